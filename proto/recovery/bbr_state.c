/* SPDX-License-Identifier: MIT */
#include "proto/recovery/bbr.h"

/* BBR's machine.  [draft-ietf-ccwg-bbr 5.3]
 *
 *     Startup --full pipe or loss--> Drain --queue empty, 3 rounds--> ProbeBW
 *     ProbeBW: DOWN -> CRUISE -> REFILL -> UP -> DOWN
 *     any ---no shorter round trip for a while---> ProbeRTT --up to 200 ms, 1 round--> ProbeBW
 *
 * A CE mark counts as too much loss of what it marks, because the draft asks for no more than that
 * marks count as congestion.  [2.18]
 *
 * What differs from the draft, with the reasons at the constants and functions:
 *
 *     start_down_for()     the waits between probes differ more, and after ProbeRTT most
 *     sp_bbr_start_refill()
 *                          a probe into a queue that overflows begins at what is delivered
 *     probe_if_time()      on a path whose rate varies a probe follows as soon as there is room;
 *                          a small window of Reno is what is in flight, also in a queue
 *     is_rising()          no loss without a queue ends Startup while the rate still rises
 *     sp_bbr_on_congestion_while_probing()
 *                          a flow that meets the probe of another one keeps 70 % of its bound,
 *                          and more without a queue
 *     is_time_to_go_down() what is in flight is that after the ACK */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"

#define STARTUP_LOSS_RANGES 6
#define DRAIN_ROUNDS        3
#define BETA_PERCENT        70
#define LOSS_PERCENT        2
/* The draft has 2 to 3 s for all probes.  But flows that share a queue come out of ProbeRTT
 * together, because each of them sees the short round trip that the others make.  After equal waits
 * they also probe for bandwidth together, and then each finds only what it has.  So the waits
 * differ more. */
#define PROBE_WAIT_NS        (1 * SB_S)
#define PROBE_WAIT_NS_RANDOM (2 * SB_S)
#define PROBE_WAIT_NS_RTT    (500 * SB_MS) /* after ProbeRTT */
/* Too much was lost at a volume that was not too high before: another flow probes now. */
#define PROBE_RETRY_NS         (500 * SB_MS)
#define PROBE_RETRY_NS_RANDOM  (1 * SB_S)
#define RETRY_PERCENT          70 /* of the bound before: as CUBIC keeps after a loss */
#define RETRY_PERCENT_CLEAN    85 /* without a queue: then it was the path that lost */
#define RENO_ROUNDS_MAX        63
#define RENO_ROUNDS_SMALL      16
#define VARYING_ROUNDS         8
#define VARYING_PERCENT        125
#define PROBE_UP_ROUNDS_MAX    30
#define PROBE_RTT_GAIN_PERCENT 50
#define PROBE_RTT_GAIN_DIVISOR 8 /* min_rtt was too long by more than its eighth */
#define PROBE_RTT_DOUBLINGS    4

/* [5.6.1] */
static void set_state(struct sp_bbr *bbr, enum sp_bbr_state state)
{
    static const struct {
        uint16_t pacing, cwnd;
    } gains[SP_BBR_STATES] = {
        [SP_BBR_STARTUP] = {277, 200},
        [SP_BBR_DRAIN] = {50, 200},
        [SP_BBR_PROBE_DOWN] = {90, 200},
        [SP_BBR_PROBE_CRUISE] = {100, 200},
        [SP_BBR_PROBE_REFILL] = {100, 200},
        [SP_BBR_PROBE_UP] = {125, 225},
        [SP_BBR_PROBE_RTT] = {100, PROBE_RTT_GAIN_PERCENT},
    };
    SB_ASSERT(state < SP_BBR_STATES);
    bbr->state = (uint8_t)state;
    bbr->pacing_gain = gains[state].pacing;
    bbr->cwnd_gain = gains[state].cwnd;
}

void sp_bbr_enter_startup(struct sp_bbr *bbr)
{
    set_state(bbr, SP_BBR_STARTUP);
}

/* ---- ProbeBW ---- */

/* Returns a number below `count` that differs between flows.  [5.3.3.9] asks for no more. */
static uint64_t draw(struct sp_bbr *bbr, uint64_t count, uint64_t now_ns)
{
    bbr->random =
        (bbr->random ^ now_ns ^ bbr->sampler.delivered_bytes) * UINT64_C(6364136223846793005) +
        UINT64_C(1442695040888963407);
    return (uint64_t)((unsigned __int128)bbr->random * count >> 64);
}

/* Probes again after `wait_ns`, or up to `random_ns` later. */
static void start_down_for(const struct sp_bbr_step *step, uint64_t wait_ns, uint64_t random_ns)
{
    struct sp_bbr *bbr = step->bbr;
    sp_bbr_reset_congestion_signals(bbr);
    bbr->probe_up_acked_per_inc = SP_BBR_INFINITE;
    bbr->rounds_since_probe_up = (uint32_t)draw(bbr, 2, step->now_ns);
    bbr->probe_wait_ns = wait_ns + draw(bbr, random_ns, step->now_ns);
    bbr->cycle_at_ns = step->now_ns;
    bbr->acks = SP_BBR_ACKS_PROBE_STOPPING;
    sp_bbr_start_round(bbr);
    set_state(bbr, SP_BBR_PROBE_DOWN);
}

static void start_down(const struct sp_bbr_step *step)
{
    start_down_for(step, PROBE_WAIT_NS, PROBE_WAIT_NS_RANDOM);
}

/* Where a queue stands and has overflowed since the last probe, this one begins at the rate that is
 * delivered now.  The draft begins it at max_bw, which is of up to two cycles ago: then of sixteen
 * flows two or three at a time sent half as much again as their share, and 7 % got lost. */
void sp_bbr_start_refill(struct sp_bbr *bbr)
{
    bool is_full = bbr->bw_shortterm != SP_BBR_INFINITE && bbr->bw_queued != SP_BBR_INFINITE;
    uint64_t bw_queued = is_full ? SB_MAX(bbr->bw_queued, bbr->bw_latest) : SP_BBR_INFINITE;
    sp_bbr_reset_shortterm(bbr);
    bbr->bw_queued = bw_queued;
    bbr->inflight_unprobed = bbr->inflight_longterm;
    bbr->bw_unprobed = bbr->max_bw;
    bbr->early_probes -= bbr->early_probes > 0;
    bbr->probe_up_rounds = 0;
    bbr->probe_up_acked = 0;
    bbr->prev_probe_precautionary = false;
    bbr->acks = SP_BBR_ACKS_REFILLING;
    sp_bbr_start_round(bbr);
    set_state(bbr, SP_BBR_PROBE_REFILL);
}

/* The bound grows by 1, 2, 4 .. datagrams per round trip. */
static void raise_longterm_slope(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    uint64_t growth = UINT64_C(1) << bbr->probe_up_rounds;
    bbr->probe_up_rounds = SB_MIN(bbr->probe_up_rounds + 1, (uint32_t)PROBE_UP_ROUNDS_MAX);
    bbr->probe_up_acked_per_inc = SB_MAX(step->cc->cwnd_bytes / growth, step->cc->datagram_bytes);
}

static void start_up(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    bbr->acks = SP_BBR_ACKS_PROBE_STARTING;
    sp_bbr_start_round(bbr);
    sp_bbr_reset_full_bw(bbr);
    bbr->full_bw = bbr->rs.bytes_per_s;
    set_state(bbr, SP_BBR_PROBE_UP);
    raise_longterm_slope(step);
}

static bool is_cwnd_limited(const struct sp_bbr *bbr)
{
    return bbr->is_cwnd_limited[0] || bbr->is_cwnd_limited[1];
}

static void raise_longterm(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    if (!is_cwnd_limited(bbr) || step->cc->cwnd_bytes < bbr->inflight_longterm)
        return;
    bbr->probe_up_acked += step->acked_bytes;
    if (bbr->probe_up_acked >= bbr->probe_up_acked_per_inc) {
        uint64_t count = bbr->probe_up_acked / bbr->probe_up_acked_per_inc;
        bbr->probe_up_acked -= count * bbr->probe_up_acked_per_inc;
        bbr->inflight_longterm += count * step->cc->datagram_bytes;
    }
    if (bbr->round_start)
        raise_longterm_slope(step);
}

/* Returns whether it has chosen the next state. */
static bool adapt_longterm(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    bool is_in_probe_bw = sp_bbr_is_in_probe_bw(bbr);
    if (bbr->acks == SP_BBR_ACKS_PROBE_STARTING && bbr->round_start)
        bbr->acks = SP_BBR_ACKS_PROBE_FEEDBACK;
    if (bbr->acks == SP_BBR_ACKS_PROBE_STOPPING && bbr->round_start) {
        bbr->is_bw_probe_sample = false;
        bbr->acks = SP_BBR_ACKS_INIT;
        if (is_in_probe_bw && !bbr->rs.is_app_limited)
            sp_bbr_advance_max_bw(bbr);
        if (is_in_probe_bw && bbr->prev_probe_precautionary && !bbr->prev_probe_too_high) {
            sp_bbr_start_refill(bbr);
            return true;
        }
    }
    if (sp_bbr_is_inflight_too_high(bbr, step->cc) || bbr->inflight_longterm == SP_BBR_INFINITE)
        return false;
    bbr->inflight_longterm = SB_MAX(bbr->inflight_longterm, bbr->rs.in_flight_bytes);
    if (bbr->state == SP_BBR_PROBE_UP)
        raise_longterm(step);
    return false;
}

static uint64_t target_inflight(const struct sp_bbr_step *step)
{
    return SB_MIN(sp_bbr_bdp(step->bbr, step->bbr->bw, 100), step->cc->cwnd_bytes);
}

/* Where the rate of the path was another one lately, a few round trips without a queue or a loss
 * are reason enough to probe: there is room, and nobody is disturbed.  Radio links change their
 * rate several times in the draft's two to three seconds.
 *
 * Where Reno would probe sooner, so does BBR: after as many round trips as its window has datagrams
 * [5.3.3.9].  In the queue of others that window is larger than the path's own volume, which on a
 * LAN that sixteen share is one datagram: half of them were probing at any time.  Where that volume
 * is no small number, it counts as in the draft. */
static bool probe_if_time(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    uint64_t in_queue = SB_MIN(bbr->inflight_latest, RENO_ROUNDS_SMALL * step->cc->datagram_bytes);
    uint64_t reno_window = SB_MAX(target_inflight(step), in_queue);
    uint64_t reno_rounds = reno_window / step->cc->datagram_bytes;
    bool is_time = step->now_ns > bbr->cycle_at_ns + bbr->probe_wait_ns ||
                   (bbr->early_probes > 0 && bbr->clean_rounds >= VARYING_ROUNDS) ||
                   bbr->rounds_since_probe_up >= SB_MIN(reno_rounds, RENO_ROUNDS_MAX);
    if (is_time)
        sp_bbr_start_refill(bbr);
    return is_time;
}

static bool is_time_to_cruise(const struct sp_bbr_step *step)
{
    const struct sp_bbr *bbr = step->bbr;
    uint64_t in_flight = step->cc->in_flight_bytes;
    return in_flight <= sp_bbr_inflight_with_headroom(bbr, step->cc) &&
           in_flight <= sp_bbr_inflight(bbr, step->cc, bbr->max_bw, 100);
}

static bool is_time_to_go_down(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    if (bbr->prev_probe_too_high && step->cc->in_flight_bytes >= bbr->inflight_longterm) {
        bbr->prev_probe_precautionary = true;
        return true;
    }
    if (is_cwnd_limited(bbr) && step->cc->cwnd_bytes >= bbr->inflight_longterm) {
        sp_bbr_reset_full_bw(bbr);
        bbr->full_bw = bbr->rs.bytes_per_s;
        return false;
    }
    return bbr->full_bw_now;
}

static void update_cycle(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    if (!bbr->full_bw_reached || adapt_longterm(step))
        return;
    switch ((enum sp_bbr_state)bbr->state) {
    case SP_BBR_PROBE_DOWN:
        if (!probe_if_time(step) && is_time_to_cruise(step))
            set_state(bbr, SP_BBR_PROBE_CRUISE);
        break;
    case SP_BBR_PROBE_CRUISE:
        (void)probe_if_time(step);
        break;
    case SP_BBR_PROBE_REFILL:
        if (bbr->round_start) {
            bbr->is_bw_probe_sample = true;
            start_up(step);
        }
        break;
    case SP_BBR_PROBE_UP:
        if (is_time_to_go_down(step)) {
            bbr->prev_probe_too_high = false;
            if (bbr->max_bw > bbr->bw_unprobed * VARYING_PERCENT / 100)
                bbr->early_probes = SP_BBR_EARLY_PROBES;
            start_down(step);
        }
        break;
    case SP_BBR_STARTUP:
    case SP_BBR_DRAIN:
    case SP_BBR_PROBE_RTT:
    case SP_BBR_STATES:
        break;
    }
}

/* ---- Startup and Drain ---- */

/* Returns whether the rate of delivery still rises, and without a queue: then losses are not those
 * of a full pipe.  A path that loses 1.2 % in bursts ended Startup at a fourth of its rate in one
 * of five connections, which then took ten seconds to find the rest.  A policer, which has no queue
 * either, ends the rise. */
static bool is_rising(const struct sp_bbr *bbr)
{
    return bbr->full_bw_count == 0 && !bbr->rs.is_app_limited && !bbr->has_queue;
}

/* [5.3.1.3] */
static void check_startup_loss(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    if (bbr->state != SP_BBR_STARTUP || bbr->full_bw_reached || !bbr->loss_round_start)
        return;
    bool is_loss_high = bbr->is_loss_in_round && bbr->loss_ranges >= STARTUP_LOSS_RANGES &&
                        sp_bbr_is_inflight_too_high(bbr, step->cc) && !is_rising(bbr);
    if (!is_loss_high && !bbr->is_mark_in_round)
        return;
    bbr->undo_state = is_loss_high ? SP_BBR_STARTUP : SP_BBR_STATES;
    bbr->full_bw_reached = true;
    bbr->full_bw_now = true;
    bbr->inflight_longterm = SB_MAX(sp_bbr_bdp(bbr, bbr->max_bw, 100), bbr->inflight_latest);
}

void sp_bbr_update_state(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    check_startup_loss(step);
    if (bbr->state == SP_BBR_STARTUP && bbr->full_bw_reached) {
        set_state(bbr, SP_BBR_DRAIN);
        bbr->drain_start_round = bbr->round_count;
    }
    if (bbr->state == SP_BBR_DRAIN &&
        (step->cc->in_flight_bytes <= sp_bbr_inflight(bbr, step->cc, bbr->bw, 100) ||
         bbr->round_count > bbr->drain_start_round + DRAIN_ROUNDS))
        start_down(step);
    update_cycle(step);
}

/* ---- Too much in flight ---- */

/* Returns what was in flight when the loss exceeded what the path may have: `lost_bytes` are the
 * last part of `in_flight`, of which some may have been lost before.  [5.5.10.2] */
static uint64_t inflight_at_loss(const struct sp_bbr *bbr, uint64_t lost_bytes)
{
    uint64_t before = sb_time_since(bbr->rs.in_flight_bytes, lost_bytes);
    uint64_t lost_before = sb_time_since(bbr->rs.lost_bytes, lost_bytes);
    uint64_t allowed = before * LOSS_PERCENT / 100;
    uint64_t prefix = sb_time_since(allowed, lost_before) * 100 / (100 - LOSS_PERCENT);
    return before + prefix;
}

void sp_bbr_on_congestion_while_probing(const struct sp_bbr_step *step, uint64_t lost_bytes,
                                        bool is_mark)
{
    struct sp_bbr *bbr = step->bbr;
    if (!bbr->is_bw_probe_sample || (!is_mark && !sp_bbr_is_inflight_too_high(bbr, step->cc)))
        return;
    bool is_others = false;
    bbr->prev_probe_too_high = true;
    bbr->is_bw_probe_sample = false; /* one reaction per probe */
    if (!bbr->rs.is_app_limited) {
        uint64_t target = target_inflight(step) * BETA_PERCENT / 100;
        uint64_t at_loss = inflight_at_loss(bbr, lost_bytes);
        uint64_t before = bbr->inflight_unprobed;
        uint64_t kept_percent = bbr->has_queue ? RETRY_PERCENT : RETRY_PERCENT_CLEAN;
        is_others = before != SP_BBR_INFINITE && at_loss < before;
        if (is_others)
            at_loss = SB_MAX(at_loss, before * kept_percent / 100);
        bbr->inflight_longterm = SB_MAX(at_loss, target);
    }
    if (bbr->state != SP_BBR_PROBE_UP)
        return;
    bbr->undo_state = SP_BBR_PROBE_UP;
    if (is_others)
        start_down_for(step, PROBE_RETRY_NS, PROBE_RETRY_NS_RANDOM);
    else
        start_down(step);
}

/* ---- ProbeRTT ---- */

static void exit_probe_rtt(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    uint64_t before_ns = bbr->probe_rtt_before_ns;
    if (bbr->min_rtt_ns < before_ns - before_ns / PROBE_RTT_GAIN_DIVISOR)
        bbr->probe_rtt_doublings = 0;
    else if (bbr->probe_rtt_doublings < PROBE_RTT_DOUBLINGS)
        bbr->probe_rtt_doublings++;
    sp_bbr_reset_shortterm(bbr);
    if (!bbr->full_bw_reached) {
        sp_bbr_enter_startup(bbr);
        return;
    }
    start_down_for(step, PROBE_WAIT_NS_RTT, PROBE_WAIT_NS_RANDOM);
    set_state(bbr, SP_BBR_PROBE_CRUISE); /* the queue is empty already */
}

void sp_bbr_check_probe_rtt_done(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    if (bbr->probe_rtt_done_at_ns == 0 || step->now_ns <= bbr->probe_rtt_done_at_ns)
        return;
    bbr->probe_rtt_min_at_ns = step->now_ns; /* the next one is due after an interval */
    step->cc->cwnd_bytes = SB_MAX(step->cc->cwnd_bytes, bbr->prior_cwnd);
    exit_probe_rtt(step);
}

static void handle_probe_rtt(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    uint64_t in_flight = step->cc->in_flight_bytes;
    uint64_t target =
        SB_MAX(sp_bbr_bdp(bbr, bbr->bw, PROBE_RTT_GAIN_PERCENT), sp_bbr_cwnd_min(step->cc));
    /* Its samples say nothing about the bandwidth. */
    sp_rate_on_app_limited(&bbr->sampler, in_flight);
    if (bbr->probe_rtt_done_at_ns == 0) {
        if (in_flight > target)
            return;
        bbr->probe_rtt_done_at_ns = step->now_ns + sp_bbr_probe_rtt_ns(bbr);
        bbr->probe_rtt_round_done = false;
        sp_bbr_start_round(bbr);
        return;
    }
    bbr->probe_rtt_round_done |= bbr->round_start;
    if (bbr->probe_rtt_round_done)
        sp_bbr_check_probe_rtt_done(step);
}

void sp_bbr_check_probe_rtt(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    if (bbr->state != SP_BBR_PROBE_RTT && bbr->probe_rtt_expired && !bbr->idle_restart) {
        bbr->prior_cwnd = bbr->recovery_start_ns == 0
                              ? step->cc->cwnd_bytes
                              : SB_MAX(bbr->prior_cwnd, step->cc->cwnd_bytes);
        set_state(bbr, SP_BBR_PROBE_RTT);
        bbr->probe_rtt_before_ns = bbr->min_rtt_ns;
        bbr->probe_rtt_done_at_ns = 0;
        bbr->acks = SP_BBR_ACKS_PROBE_STOPPING;
        sp_bbr_start_round(bbr);
    }
    if (bbr->state == SP_BBR_PROBE_RTT)
        handle_probe_rtt(step);
    if (bbr->rs.delivered_bytes > 0)
        bbr->idle_restart = false;
}

/* SPDX-License-Identifier: MIT */
#include "proto/recovery/bbr.h"

/* BBR's model of the path.  [draft-ietf-ccwg-bbr 5.5]
 *
 * Long term: the most that was delivered in this probing cycle and the one before, the shortest
 * round trip of 10 s, and the volume in flight at which too much was lost.  Short term: lower
 * bounds that losses outside of probes set, until the next probe.
 *
 * What differs from the draft, with the reasons at the functions:
 *
 *     is_too_much()        two datagrams more than 2 %, and 4 % without a queue; the draft lowers
 *                          its short-term bounds after each loss
 *     raise_bounds()       those bounds rise before the next probe, on a path without congestion
 *     bound_by_queue()     while a queue stands, the rate is less than what is delivered
 *     update_aggregation() beyond what is delivered, also where the rate is less; the maximum is
 *                          kept in two halves of the window of ten round trips, so that it covers
 *                          five to ten; in Startup one to two
 *     is_probe_rtt_due()   more often on a short path, and at times that flows share
 *     sp_bbr_advance_max_bw()
 *                          keeps the filter where a cycle had no sample */

#include "proto/base/compiler.h"
#include "proto/base/time.h"

#define LOSS_THRESHOLD_PERCENT 2
#define LOSS_DATAGRAMS         2
#define BETA_PERCENT           70
#define HEADROOM_PERCENT       15
#define FULL_BW_GROWTH_PERCENT 125
#define FULL_BW_ROUNDS         3
#define MIN_RTT_NS             (10 * SB_S)
#define PROBE_RTT_NS_MAX       (200 * SB_MS)
#define PROBE_RTT_PART         25 /* of the time between two */
#define INTERVAL_NS_USUAL      (5 * SB_S)
#define INTERVAL_NS_MIN        (INTERVAL_NS_USUAL / 16)
#define INTERVAL_ROUNDS        100
#define QUEUE_RTT_DIVISOR      8
#define STANDING_RTT_DIVISOR   4
#define DRAIN_PERCENT          80 /* of what is delivered */
#define DRAIN_PERCENT_MIN      50 /* of max_bw */
#define CLEAN_ROUNDS           4
#define RAISE_PERCENT          125 /* per round trip */
#define EXTRA_ACKED_ROUNDS     5   /* half of the window */
#define QUANTUM_BYTES_MAX      65536
#define QUANTUM_NS             (1 * SB_MS)

typedef unsigned __int128 wide;

static uint64_t percent_of(uint64_t value, uint32_t percent)
{
    return value == SP_BBR_INFINITE ? value : (uint64_t)((wide)value * percent / 100);
}

static uint64_t bytes_in(uint64_t bw, uint64_t time_ns)
{
    wide bytes = (wide)bw * time_ns / SB_S;
    return bytes > SP_BBR_INFINITE / 256 ? SP_BBR_INFINITE / 256 : (uint64_t)bytes;
}

void sp_bbr_model_init(struct sp_bbr *bbr)
{
    bbr->min_rtt_ns = SP_BBR_INFINITE;
    bbr->probe_rtt_min_ns = SP_BBR_INFINITE;
    bbr->inflight_longterm = SP_BBR_INFINITE;
    bbr->rtt_least_ns = SP_BBR_INFINITE;
    sp_bbr_reset_shortterm(bbr);
}

/* ---- What fits into the path ---- */

uint64_t sp_bbr_bdp(const struct sp_bbr *bbr, uint64_t bw, uint32_t gain_percent)
{
    if (bbr->min_rtt_ns == SP_BBR_INFINITE)
        return bbr->initial_cwnd;
    return percent_of(bytes_in(bw, bbr->min_rtt_ns), gain_percent);
}

static uint64_t quantum_of(const struct sp_cc *cc)
{
    uint64_t quantum = SB_MIN(bytes_in(cc->rate_bytes_per_s, QUANTUM_NS), QUANTUM_BYTES_MAX);
    return SB_MAX(quantum, 2 * cc->datagram_bytes);
}

/* [5.6.4.2] The budget of offload is one quantum.  [5.5.8.2] */
static uint64_t quantize(const struct sp_bbr *bbr, const struct sp_cc *cc, uint64_t inflight)
{
    inflight = SB_MAX(inflight, quantum_of(cc));
    inflight = SB_MAX(inflight, sp_bbr_cwnd_min(cc));
    return bbr->state == SP_BBR_PROBE_UP ? inflight + 2 * cc->datagram_bytes : inflight;
}

uint64_t sp_bbr_inflight(const struct sp_bbr *bbr, const struct sp_cc *cc, uint64_t bw,
                         uint32_t gain_percent)
{
    return quantize(bbr, cc, sp_bbr_bdp(bbr, bw, gain_percent));
}

uint64_t sp_bbr_inflight_max(const struct sp_bbr *bbr, const struct sp_cc *cc)
{
    uint64_t extra = SB_MAX(bbr->extra_acked[0], bbr->extra_acked[1]);
    return quantize(bbr, cc, sp_bbr_bdp(bbr, bbr->bw, bbr->cwnd_gain) + extra);
}

uint64_t sp_bbr_inflight_with_headroom(const struct sp_bbr *bbr, const struct sp_cc *cc)
{
    if (bbr->inflight_longterm == SP_BBR_INFINITE)
        return SP_BBR_INFINITE;
    uint64_t headroom =
        SB_MAX(cc->datagram_bytes, percent_of(bbr->inflight_longterm, HEADROOM_PERCENT));
    return SB_MAX(sb_time_since(bbr->inflight_longterm, headroom), sp_bbr_cwnd_min(cc));
}

/* 2 % of a round trip are allowed, and two datagrams: with fifty datagrams in a round trip a path
 * that loses 2 % at random loses more than one of them in every fourth.  The draft has no such
 * allowance, and outside of probes it counts every loss: then such a path is filled to 72 % (sim
 * --paths radio), and to 92 % with it.
 *
 * Without a queue at the bottleneck it is twice as much: then the flow has not caused that loss,
 * unless the path drops packets instead of queueing them, and there more than that gets lost.  A
 * path that loses 1.2 % in short bursts is filled to 65 % without this rule (sim --paths
 * bursts-wan), because every few round trips have more than 2 %, and to 90 % with it. */
static bool is_too_much(const struct sp_bbr *bbr, uint64_t lost_bytes, uint64_t in_flight_bytes,
                        uint64_t datagram_bytes)
{
    uint32_t percent = bbr->has_queue ? LOSS_THRESHOLD_PERCENT : 2 * LOSS_THRESHOLD_PERCENT;
    uint64_t allowed = percent_of(in_flight_bytes, percent);
    return lost_bytes > allowed + LOSS_DATAGRAMS * datagram_bytes;
}

bool sp_bbr_is_inflight_too_high(const struct sp_bbr *bbr, const struct sp_cc *cc)
{
    return is_too_much(bbr, bbr->rs.lost_bytes, bbr->rs.in_flight_bytes, cc->datagram_bytes);
}

/* ---- Rounds and filters ---- */

void sp_bbr_start_round(struct sp_bbr *bbr)
{
    bbr->next_round_delivered = bbr->sampler.delivered_bytes;
}

void sp_bbr_reset_congestion_signals(struct sp_bbr *bbr)
{
    bbr->is_loss_in_round = false;
    bbr->is_mark_in_round = false;
    bbr->lost_in_round = 0;
    bbr->bw_latest = 0;
    bbr->inflight_latest = 0;
}

void sp_bbr_reset_shortterm(struct sp_bbr *bbr)
{
    bbr->bw_shortterm = SP_BBR_INFINITE;
    bbr->inflight_shortterm = SP_BBR_INFINITE;
    bbr->bw_queued = SP_BBR_INFINITE;
}

void sp_bbr_reset_full_bw(struct sp_bbr *bbr)
{
    bbr->full_bw = 0;
    bbr->full_bw_count = 0;
    bbr->full_bw_now = false;
}

/* A cycle without samples does not erase what was known. */
void sp_bbr_advance_max_bw(struct sp_bbr *bbr)
{
    if (bbr->bw_cycles[1] == 0)
        return;
    bbr->bw_cycles[0] = bbr->bw_cycles[1];
    bbr->bw_cycles[1] = 0;
}

static void update_round(struct sp_bbr *bbr)
{
    bbr->round_start = bbr->rs.prior_delivered_bytes >= bbr->next_round_delivered;
    if (!bbr->round_start)
        return;
    sp_bbr_start_round(bbr);
    bbr->round_count++;
    bbr->rounds_since_probe_up++;
    bbr->is_cwnd_limited[0] = bbr->is_cwnd_limited[1];
    bbr->is_cwnd_limited[1] = false;
}

static void update_max_bw(struct sp_bbr *bbr)
{
    const struct sp_rate_sample *rs = &bbr->rs;
    if (rs->bytes_per_s == 0 || (rs->bytes_per_s < bbr->max_bw && rs->is_app_limited))
        return;
    bbr->bw_cycles[1] = SB_MAX(bbr->bw_cycles[1], rs->bytes_per_s);
    bbr->max_bw = SB_MAX(bbr->bw_cycles[0], bbr->bw_cycles[1]);
}

/* ---- Signals of one ACK ---- */

/* [5.5.10.3] Once per round trip with a loss, outside of probes. */
static void lower_bounds(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    bool is_probing = bbr->state == SP_BBR_STARTUP || bbr->state == SP_BBR_PROBE_REFILL ||
                      bbr->state == SP_BBR_PROBE_UP;
    bool is_loss_high =
        is_too_much(bbr, bbr->lost_in_round, bbr->inflight_latest, step->cc->datagram_bytes);
    if (is_probing || (!is_loss_high && !bbr->is_mark_in_round))
        return;
    if (bbr->bw_shortterm == SP_BBR_INFINITE)
        bbr->bw_shortterm = bbr->max_bw;
    if (bbr->inflight_shortterm == SP_BBR_INFINITE)
        bbr->inflight_shortterm = step->cc->cwnd_bytes;
    bbr->bw_shortterm = SB_MAX(bbr->bw_latest, percent_of(bbr->bw_shortterm, BETA_PERCENT));
    bbr->inflight_shortterm =
        SB_MAX(bbr->inflight_latest, percent_of(bbr->inflight_shortterm, BETA_PERCENT));
}

/* Returns whether all round trips of this round were longer than the shortest one by
 * 1/`rtt_divisor`, and by the time that a quantum takes: a train waits for its own head. */
static bool has_standing_queue(const struct sp_bbr_step *step, uint64_t rtt_divisor)
{
    const struct sp_bbr *bbr = step->bbr;
    if (bbr->rtt_least_ns == SP_BBR_INFINITE || bbr->min_rtt_ns == SP_BBR_INFINITE)
        return false;
    uint64_t train_ns = (uint64_t)((wide)quantum_of(step->cc) * SB_S / SB_MAX(bbr->max_bw, 1));
    return bbr->rtt_least_ns > bbr->min_rtt_ns + bbr->min_rtt_ns / rtt_divisor + train_ns;
}

/* Losses that no queue has caused lower the bounds as well: the path's MTU has changed, say, or its
 * radio was disturbed.  The draft keeps the bounds up to the next probe: for up to 63 round trips.
 * Here they rise again after some rounds without any sign of congestion. */
static void raise_bounds(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    bool is_clean = !bbr->is_loss_in_round && !bbr->is_mark_in_round &&
                    !has_standing_queue(step, QUEUE_RTT_DIVISOR);
    bbr->clean_rounds = is_clean ? bbr->clean_rounds + 1 : 0;
    if (bbr->clean_rounds < CLEAN_ROUNDS || bbr->bw_shortterm == SP_BBR_INFINITE)
        return;
    bbr->bw_shortterm = percent_of(bbr->bw_shortterm, RAISE_PERCENT);
    bbr->inflight_shortterm = percent_of(bbr->inflight_shortterm, RAISE_PERCENT);
    if (bbr->bw_shortterm >= bbr->max_bw)
        sp_bbr_reset_shortterm(bbr);
}

/* While a queue stands, what is delivered is this flow's share of the path.  A flow that sends
 * more, because max_bw is of a time when it had more, holds back those that probe for their share.
 * The draft waits until the filter forgets, two cycles later.  Here a flow that cruises sends less
 * than its share, so that the queue becomes short and a probe finds room: then a probe gains nearly
 * a fourth, also for a small flow.  Where it sent its share the queue stayed, and of two flows on a
 * path of 100 Mbit/s and 50 ms the first still had 60 % after half a minute (sim --paths wan
 * --flows 2 --seconds 30).  ProbeBW_DOWN sends less by itself.
 *
 * The bound ends with the queue.  Half of max_bw remains in any case, so that flows that fill each
 * queue leave something. */
static void bound_by_queue(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    bool is_down = bbr->state == SP_BBR_PROBE_DOWN;
    bool is_cruising = is_down || bbr->state == SP_BBR_PROBE_CRUISE;
    bool is_probing = bbr->state == SP_BBR_PROBE_REFILL || bbr->state == SP_BBR_PROBE_UP;
    if (is_probing && bbr->bw_queued != SP_BBR_INFINITE) {
        bbr->bw_queued = SB_MAX(bbr->bw_queued, bbr->bw_latest);
    } else if (!is_cruising || !has_standing_queue(step, STANDING_RTT_DIVISOR)) {
        bbr->bw_queued = SP_BBR_INFINITE;
    } else if (!bbr->rs.is_app_limited) {
        bbr->bw_queued = SB_MAX(percent_of(bbr->bw_latest, is_down ? 100 : DRAIN_PERCENT),
                                percent_of(bbr->max_bw, DRAIN_PERCENT_MIN));
        if (bbr->bw_latest < percent_of(bbr->max_bw, BETA_PERCENT)) {
            bbr->early_probes = SP_BBR_EARLY_PROBES;
            bbr->probe_rtt_doublings = 0; /* others have come */
        }
    }
}

/* [5.5.9] What is delivered faster than a bound on the rate allows is a queue that becomes shorter,
 * and no aggregation: counted as such it raised the window of a flow that drains its queue. */
static void update_aggregation(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    uint64_t bw = SB_MAX(bbr->bw, bbr->bw_latest);
    uint64_t expected = bytes_in(bw, sb_time_since(step->now_ns, bbr->extra_acked_at_ns));
    if (bbr->extra_acked_delivered <= expected) {
        bbr->extra_acked_delivered = 0;
        bbr->extra_acked_at_ns = step->now_ns;
        expected = 0;
    }
    bbr->extra_acked_delivered += step->acked_bytes;
    uint64_t extra = SB_MIN(bbr->extra_acked_delivered - expected, step->cc->cwnd_bytes);
    uint64_t rounds = bbr->full_bw_reached ? EXTRA_ACKED_ROUNDS : 1;
    if (bbr->round_count - bbr->extra_acked_round >= rounds) {
        bbr->extra_acked[0] = bbr->extra_acked[1];
        bbr->extra_acked[1] = 0;
        bbr->extra_acked_round = bbr->round_count;
    }
    bbr->extra_acked[1] = SB_MAX(bbr->extra_acked[1], extra);
}

/* [5.3.1.2] */
static void check_full_bw(struct sp_bbr *bbr)
{
    if (bbr->full_bw_now || !bbr->round_start || bbr->rs.is_app_limited)
        return;
    if (bbr->rs.bytes_per_s >= percent_of(bbr->full_bw, FULL_BW_GROWTH_PERCENT)) {
        sp_bbr_reset_full_bw(bbr);
        bbr->full_bw = bbr->rs.bytes_per_s;
        return;
    }
    bbr->full_bw_count++;
    bbr->full_bw_now = bbr->full_bw_count >= FULL_BW_ROUNDS;
    bbr->full_bw_reached |= bbr->full_bw_now;
}

void sp_bbr_update_signals(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    bbr->loss_round_start = bbr->rs.prior_delivered_bytes >= bbr->loss_round_delivered;
    bbr->bw_latest = SB_MAX(bbr->bw_latest, bbr->rs.bytes_per_s);
    if (step->rtt_ns > 0)
        bbr->rtt_least_ns = SB_MIN(bbr->rtt_least_ns, step->rtt_ns);
    bbr->inflight_latest = SB_MAX(bbr->inflight_latest, bbr->rs.delivered_bytes);
    if (bbr->loss_round_start)
        bbr->loss_round_delivered = bbr->sampler.delivered_bytes;
    update_round(bbr);
    update_max_bw(bbr);
    if (bbr->loss_round_start) {
        lower_bounds(step);
        raise_bounds(step);
        bound_by_queue(step);
        bbr->rtt_least_ns = SP_BBR_INFINITE;
    }
    update_aggregation(step);
    check_full_bw(bbr);
}

static uint64_t probe_rtt_interval_ns(const struct sp_bbr *bbr)
{
    uint64_t interval_ns = INTERVAL_NS_MIN;
    while (interval_ns < INTERVAL_NS_USUAL && interval_ns / INTERVAL_ROUNDS < bbr->min_rtt_ns)
        interval_ns *= 2;
    return interval_ns;
}

uint64_t sp_bbr_probe_rtt_ns(const struct sp_bbr *bbr)
{
    return SB_MIN(probe_rtt_interval_ns(bbr) / PROBE_RTT_PART, PROBE_RTT_NS_MAX);
}

/* The draft has 200 ms every five seconds for all paths.  A flow that begins in the queue of others
 * takes a round trip with that queue for the shortest one: on a LAN for 25,000 of them, and those
 * that know better give way to it.  So both times get shorter with the round trip, by powers of two
 * down to a sixteenth.
 *
 * A ProbeRTT shows the path without a queue only if all that fill the queue are in it.  In the
 * draft flows find each other by the shorter round trips that one of them causes, which many flows
 * hardly do: each has a small part of the queue.  A short interval ends at a multiple of its own,
 * by the clock that all flows of a host share, and a multiple of a longer one is one of a shorter
 * one.  Flows of other hosts see what these do together.
 *
 * While there is nothing to be learned a short interval doubles, up to the draft's.  [5.3.4.2] */
static bool is_probe_rtt_due(const struct sp_bbr *bbr, uint64_t now_ns)
{
    uint64_t interval_ns = probe_rtt_interval_ns(bbr) << bbr->probe_rtt_doublings;
    if (interval_ns >= INTERVAL_NS_USUAL)
        return now_ns > bbr->probe_rtt_min_at_ns + INTERVAL_NS_USUAL;
    uint64_t rested_ns = bbr->probe_rtt_min_at_ns + interval_ns / 2;
    return now_ns > rested_ns && now_ns >= (rested_ns / interval_ns + 1) * interval_ns;
}

/* [5.3.4.3] */
void sp_bbr_update_min_rtt(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    uint64_t now_ns = step->now_ns;
    bbr->probe_rtt_expired =
        bbr->probe_rtt_min_ns != SP_BBR_INFINITE && is_probe_rtt_due(bbr, now_ns);
    if (step->rtt_ns > 0 && (step->rtt_ns < bbr->probe_rtt_min_ns || bbr->probe_rtt_expired)) {
        bbr->probe_rtt_min_ns = step->rtt_ns;
        bbr->probe_rtt_min_at_ns = now_ns;
    }
    if (bbr->probe_rtt_min_ns < bbr->min_rtt_ns || now_ns > bbr->min_rtt_at_ns + MIN_RTT_NS) {
        bbr->min_rtt_ns = bbr->probe_rtt_min_ns;
        bbr->min_rtt_at_ns = bbr->probe_rtt_min_at_ns;
    }
    if (step->rtt_ns > 0)
        bbr->has_queue = step->rtt_ns > bbr->min_rtt_ns + bbr->min_rtt_ns / QUEUE_RTT_DIVISOR;
}

void sp_bbr_finish_signals(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    if (bbr->loss_round_start) {
        bbr->bw_latest = bbr->rs.bytes_per_s;
        bbr->inflight_latest = bbr->rs.delivered_bytes;
        bbr->is_loss_in_round = false;
        bbr->is_mark_in_round = false;
        bbr->loss_ranges = 0;
        bbr->lost_in_round = 0;
    }
    bbr->bw = SB_MIN(SB_MIN(bbr->max_bw, bbr->bw_shortterm), bbr->bw_queued);
}

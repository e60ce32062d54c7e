/* SPDX-License-Identifier: MIT */
#include "proto/recovery/bbr.h"

/* BBR's operations, its rate and its window.  [draft-ietf-ccwg-bbr 5.2, 5.6]
 *
 * What differs from the draft:
 *
 *     on_sent()     the window counts as used up to a train before its end
 *     cwnd_cap()    inflight_shortterm has room for a train more
 *     on_lost()     only persistent congestion takes the window down to what is in flight, because
 *                   a PTO of QUIC declares nothing lost [RFC9002 6.2]
 *     set_cwnd()    a window that the application leaves unused does not grow [RFC9002 7.8]
 *     on_ack_end()  the rate has a floor: the smallest window per round trip
 *
 * What can be attacked: a peer that acknowledges what it has not got makes the rate grow, as with
 * every controller; loss.c notices numbers that were never sent. */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"

#define STARTUP_GAIN_PERCENT 277
#define RATE_PERCENT         99 /* of the bandwidth: the margin */
/* Before the first round trip is known. */
#define RTT_NS_GUESS (1 * SB_MS)
/* A sender waits for room for a train: it is limited by the window up to so much before its end. */
#define TRAIN_DATAGRAMS 64

static void set_rate(struct sp_cc *cc, struct sp_bbr *bbr, uint32_t gain_percent)
{
    uint64_t rate =
        (uint64_t)((unsigned __int128)bbr->bw * gain_percent * RATE_PERCENT / (100 * 100));
    if (rate > 0 && (bbr->full_bw_reached || rate > cc->rate_bytes_per_s))
        cc->rate_bytes_per_s = rate;
}

static void init(struct sp_cc *cc, const struct sp_cc_args *args)
{
    SB_ASSERT(args->model != NULL);
    struct sp_bbr *bbr = args->model;
    *bbr = (struct sp_bbr){.undo_state = SP_BBR_STATES, .initial_cwnd = sp_cc_cwnd_initial(cc)};
    sp_rate_init(&bbr->sampler, 0);
    sp_bbr_model_init(bbr);
    sp_bbr_enter_startup(bbr);
    bbr->probe_up_acked_per_inc = SP_BBR_INFINITE;
    cc->bbr.model = bbr;
    cc->cwnd_bytes = bbr->initial_cwnd;
}

/* [5.4.1] */
static void restart_from_idle(const struct sp_bbr_step *step)
{
    struct sp_bbr *bbr = step->bbr;
    bbr->idle_restart = true;
    bbr->extra_acked_at_ns = step->now_ns;
    if (sp_bbr_is_in_probe_bw(bbr))
        set_rate(step->cc, bbr, 100);
    else if (bbr->state == SP_BBR_PROBE_RTT)
        sp_bbr_check_probe_rtt_done(step);
}

/* Returns how much of `bytes` a sender leaves unused while it waits for room for a train. */
static uint64_t train_slack(const struct sp_cc *cc, uint64_t bytes)
{
    return SB_MIN(TRAIN_DATAGRAMS * cc->datagram_bytes, bytes / 4);
}

/* The bytes are in flight already. */
static void on_sent(struct sp_cc *cc, uint64_t bytes, const struct sp_rtt *rtt, uint64_t now_ns)
{
    struct sp_bbr *bbr = cc->bbr.model;
    uint64_t before = cc->in_flight_bytes - bytes;
    if (before == 0 && bbr->sampler.app_limited_bytes != 0)
        restart_from_idle(&(struct sp_bbr_step){.cc = cc, .bbr = bbr, .now_ns = now_ns});
    sp_rate_on_sent(&bbr->sampler, bytes, before, rtt->smoothed_ns, now_ns);
    if (cc->in_flight_bytes + train_slack(cc, cc->cwnd_bytes) >= cc->cwnd_bytes)
        bbr->is_cwnd_limited[1] = true;
}

static void on_app_limited(struct sp_cc *cc)
{
    sp_rate_on_app_limited(&cc->bbr.model->sampler, cc->in_flight_bytes);
}

static void on_acked(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    sp_rate_on_acked(&cc->bbr.model->sampler, ack->bytes, ack->now_ns);
}

/* ---- Losses ---- */

static void save_for_undo(struct sp_cc *cc, struct sp_bbr *bbr)
{
    bool is_first = bbr->recovery_start_ns == 0 && bbr->state != SP_BBR_PROBE_RTT;
    bbr->prior_cwnd = is_first ? cc->cwnd_bytes : SB_MAX(bbr->prior_cwnd, cc->cwnd_bytes);
    bbr->can_undo = true;
    bbr->undo_state = SP_BBR_STATES;
    bbr->undo_bw_shortterm = bbr->bw_shortterm;
    bbr->undo_inflight_shortterm = bbr->inflight_shortterm;
    bbr->undo_inflight_longterm = bbr->inflight_longterm;
}

static void note_congestion(struct sp_cc *cc, struct sp_bbr *bbr, const struct sp_cc_loss *loss)
{
    if (!bbr->is_loss_in_round && !bbr->is_mark_in_round) {
        bbr->loss_round_delivered = bbr->sampler.delivered_bytes;
        save_for_undo(cc, bbr);
    }
    if (loss->is_ecn)
        bbr->is_mark_in_round = true;
    else
        bbr->is_loss_in_round = true;
    bbr->loss_ranges += loss->range_count;
    bbr->lost_in_round += loss->bytes;
}

static void on_lost(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    struct sp_bbr *bbr = cc->bbr.model;
    sp_rate_on_lost(&bbr->sampler, loss->bytes);
    note_congestion(cc, bbr, loss);
    const struct sp_rate_send *send = sp_rate_find(&bbr->sampler, loss->sent_ns);
    if (send != NULL) {
        bbr->rs = (struct sp_rate_sample){
            .lost_bytes = bbr->sampler.lost_bytes - send->lost_bytes,
            .in_flight_bytes = send->in_flight_bytes,
            .is_app_limited = send->is_app_limited,
        };
        const struct sp_bbr_step step = {.cc = cc, .bbr = bbr, .now_ns = loss->now_ns};
        sp_bbr_on_congestion_while_probing(&step, loss->bytes, loss->is_ecn);
    }
    if (!loss->is_ecn)
        bbr->recovery_start_ns = SB_MAX(loss->now_ns, 1);
    /* [5.6.4.4] What is in flight, and a little more. */
    if (loss->is_persistent) {
        cc->cwnd_bytes = SB_MIN(cc->cwnd_bytes, cc->in_flight_bytes + cc->datagram_bytes);
        cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, sp_cc_cwnd_min(cc));
    }
}

static void undo(struct sp_cc *cc)
{
    struct sp_bbr *bbr = cc->bbr.model;
    if (!bbr->can_undo)
        return;
    bbr->can_undo = false;
    bbr->recovery_start_ns = 0;
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, bbr->prior_cwnd);
    bbr->is_loss_in_round = false;
    sp_bbr_reset_full_bw(bbr);
    bbr->bw_shortterm = SB_MAX(bbr->bw_shortterm, bbr->undo_bw_shortterm);
    bbr->inflight_shortterm = SB_MAX(bbr->inflight_shortterm, bbr->undo_inflight_shortterm);
    bbr->inflight_longterm = SB_MAX(bbr->inflight_longterm, bbr->undo_inflight_longterm);
    enum sp_bbr_state to = (enum sp_bbr_state)bbr->undo_state;
    bbr->undo_state = SP_BBR_STATES;
    if (to == SP_BBR_STATES || to == bbr->state)
        return;
    if (to == SP_BBR_STARTUP)
        bbr->full_bw_reached = false;
    if (bbr->state == SP_BBR_PROBE_RTT)
        return;
    if (to == SP_BBR_STARTUP)
        sp_bbr_enter_startup(bbr);
    else
        sp_bbr_start_refill(bbr);
}

/* ---- Rate and window ---- */

/* [5.6.4.7] */
static uint64_t cwnd_cap(const struct sp_cc *cc, const struct sp_bbr *bbr)
{
    uint64_t cap = SP_BBR_INFINITE;
    if (bbr->state == SP_BBR_PROBE_RTT || bbr->state == SP_BBR_PROBE_CRUISE)
        cap = sp_bbr_inflight_with_headroom(bbr, cc);
    else if (sp_bbr_is_in_probe_bw(bbr))
        cap = bbr->inflight_longterm;
    /* What was delivered per round trip is less than the window by that slack.  Without it the
     * bound would fall with each loss, however little was lost. */
    if (bbr->inflight_shortterm != SP_BBR_INFINITE)
        cap = SB_MIN(cap, bbr->inflight_shortterm + train_slack(cc, bbr->inflight_shortterm));
    if (bbr->state == SP_BBR_PROBE_RTT)
        cap = SB_MIN(cap, sp_bbr_bdp(bbr, bbr->bw, bbr->cwnd_gain));
    return SB_MAX(cap, sp_bbr_cwnd_min(cc));
}

/* [5.6.4.6] */
static void set_cwnd(const struct sp_bbr_step *step, bool is_app_limited)
{
    struct sp_cc *cc = step->cc;
    struct sp_bbr *bbr = step->bbr;
    uint64_t inflight_max = sp_bbr_inflight_max(bbr, cc);
    /* [RFC9002 7.8] A window that the application leaves unused does not grow. */
    bool is_unused = is_app_limited && bbr->sampler.app_limited_bytes != 0;
    uint64_t growth = is_unused ? 0 : step->acked_bytes;
    if (bbr->full_bw_reached)
        cc->cwnd_bytes = SB_MIN(cc->cwnd_bytes + growth, inflight_max);
    else if (cc->cwnd_bytes < inflight_max || bbr->sampler.delivered_bytes < bbr->initial_cwnd)
        cc->cwnd_bytes += growth;
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, sp_bbr_cwnd_min(cc));
    cc->cwnd_bytes = SB_MIN(cc->cwnd_bytes, cwnd_cap(cc, bbr));
}

static void on_ack_end(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    struct sp_bbr *bbr = cc->bbr.model;
    const struct sp_bbr_step step = {
        .cc = cc,
        .bbr = bbr,
        .now_ns = ack->now_ns,
        .acked_bytes = ack->bytes,
        .rtt_ns = ack->rtt_ns,
    };
    if (!sp_rate_sample(&bbr->sampler, ack->sent_ns, ack->rtt->min_ns, &bbr->rs))
        bbr->rs = (struct sp_rate_sample){.is_app_limited = true};
    if (bbr->recovery_start_ns != 0 && ack->sent_ns > bbr->recovery_start_ns) {
        bbr->recovery_start_ns = 0;
        cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, bbr->prior_cwnd);
    }
    if (cc->rate_bytes_per_s == 0) {
        uint64_t rtt_ns = ack->rtt_ns > 0 ? SB_MAX(ack->rtt->smoothed_ns, 1) : RTT_NS_GUESS;
        cc->rate_bytes_per_s = (uint64_t)((unsigned __int128)bbr->initial_cwnd *
                                          STARTUP_GAIN_PERCENT * SB_S / (rtt_ns * 100));
    }
    sp_bbr_update_signals(&step);
    sp_bbr_update_state(&step);
    sp_bbr_update_min_rtt(&step);
    sp_bbr_check_probe_rtt(&step);
    sp_bbr_finish_signals(&step);
    set_rate(cc, bbr, bbr->pacing_gain);
    /* What the smallest window sends: a bandwidth that was measured while nothing got through must
     * not hold the flow back for minutes. */
    cc->rate_bytes_per_s =
        SB_MAX(cc->rate_bytes_per_s, sp_bbr_cwnd_min(cc) * SB_S / SB_MAX(ack->rtt->smoothed_ns, 1));
    set_cwnd(&step, ack->is_app_limited);
}

const struct sp_cc_ops sp_cc_bbr_ops = {
    .name = "bbr",
    .init = init,
    .on_sent = on_sent,
    .on_app_limited = on_app_limited,
    .on_acked = on_acked,
    .on_lost = on_lost,
    .on_ack_end = on_ack_end,
    .undo = undo,
    .needs_pacing = true,
};

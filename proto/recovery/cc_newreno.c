/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cc.h"

/* NewReno.  [RFC9002 7, appendix B]
 *
 * Slow start doubles the window per round trip, until HyStart++ or a loss ends it.  Congestion
 * avoidance adds one datagram per round trip.  A round trip with loss halves the window once.
 * Congestion avoidance counts acknowledged bytes instead of dividing per acknowledgment, so that
 * rounding does not starve large windows. */

#include "proto/base/compiler.h"

static void init(struct sp_cc *cc, const struct sp_cc_args *args)
{
    (void)args;
    cc->cwnd_bytes = sp_cc_cwnd_initial(cc);
    sp_hystart_init(&cc->newreno.hystart);
}

/* Returns whether the loss of packets that left at `sent_ns` has reduced the window already. */
static bool is_reduced(const struct sp_cc_newreno *reno, uint64_t sent_ns)
{
    return reno->recovery_start_ns != 0 && sent_ns <= reno->recovery_start_ns;
}

static void on_acked(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    struct sp_cc_newreno *reno = &cc->newreno;
    /* [RFC9002 7.3.2, 7.8] No growth in recovery, nor when the window was not used. */
    if (ack->is_app_limited)
        return;
    if (is_reduced(reno, ack->sent_ns) && !reno->has_collapsed) {
        reno->acked_since_bytes += ack->bytes;
        return;
    }

    /* The bytes may be a train's: they may end slow start, and go round the window more than
     * once. */
    uint64_t bytes = ack->bytes;
    if (sp_cc_is_in_first_slow_start(cc)) {
        cc->cwnd_bytes += sp_hystart_growth(&reno->hystart, bytes);
        return;
    }
    if (sp_cc_is_in_slow_start(cc)) {
        uint64_t grown = SB_MIN(bytes, cc->ssthresh_bytes - cc->cwnd_bytes);
        cc->cwnd_bytes += grown;
        bytes -= grown;
    }
    reno->acked_bytes += bytes;
    while (reno->acked_bytes >= cc->cwnd_bytes) {
        reno->acked_bytes -= cc->cwnd_bytes;
        cc->cwnd_bytes += cc->datagram_bytes; /* [RFC9002 7.3.3] */
    }
}

static void on_ack_end(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    if (sp_cc_is_in_first_slow_start(cc) && !ack->is_app_limited &&
        sp_hystart_on_ack(&cc->newreno.hystart, ack->rtt_ns, ack->sent_ns, ack->now_ns))
        cc->ssthresh_bytes = cc->cwnd_bytes;
}

static void on_lost(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    struct sp_cc_newreno *reno = &cc->newreno;
    /* [RFC9002 7.3.1, 7.3.2] */
    if (!is_reduced(reno, loss->sent_ns)) {
        reno->recovery_start_ns = SB_MAX(loss->now_ns, 1);
        reno->has_collapsed = false;
        reno->cwnd_before_bytes = cc->cwnd_bytes;
        reno->ssthresh_before_bytes = cc->ssthresh_bytes;
        reno->acked_since_bytes = 0;
        uint64_t used_bytes = sp_cc_used_bytes(cc, loss);
        cc->cwnd_bytes = SB_MAX(used_bytes / 2, sp_cc_cwnd_min(cc));
        cc->ssthresh_bytes = cc->cwnd_bytes;
        reno->acked_bytes = 0;
    }
    /* [RFC9002 7.6.2] What is acknowledged grows the window at once.  The loss of a packet that
     * left before this, as one of two probes, says nothing new. */
    if (loss->is_persistent) {
        cc->cwnd_bytes = sp_cc_cwnd_min(cc);
        reno->recovery_start_ns = SB_MAX(loss->now_ns, 1);
        reno->has_collapsed = true;
        reno->cwnd_before_bytes = reno->ssthresh_before_bytes = 0; /* nothing to undo */
        reno->acked_bytes = 0;
    }
}

static void undo(struct sp_cc *cc)
{
    struct sp_cc_newreno *reno = &cc->newreno;
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, reno->cwnd_before_bytes);
    cc->ssthresh_bytes = SB_MAX(cc->ssthresh_bytes, reno->ssthresh_before_bytes);
    reno->recovery_start_ns = 0; /* what is in flight may grow the window again */
    if (!sp_cc_is_in_first_slow_start(cc))
        return;
    /* Slow start would have grown by what was acknowledged meanwhile. */
    cc->cwnd_bytes += reno->acked_since_bytes;
    reno->acked_since_bytes = 0;
    sp_hystart_init(&reno->hystart);
}

static void on_unused(struct sp_cc *cc)
{
    cc->newreno.cwnd_before_bytes = cc->newreno.ssthresh_before_bytes = 0; /* nothing to undo */
    cc->newreno.acked_since_bytes = 0;
    cc->newreno.acked_bytes = 0;
}

const struct sp_cc_ops sp_cc_newreno_ops = {
    .name = "newreno",
    .init = init,
    .on_acked = on_acked,
    .on_lost = on_lost,
    .on_ack_end = on_ack_end,
    .undo = undo,
    .on_unused = on_unused,
};

/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cc.h"

/* A fixed rate, for closed networks.
 *
 * The pacer keeps the rate.  The window has to be large enough for it and is bounded all the same,
 * so that a path that delivers nothing does not fill the memory with packets in flight: it is what
 * the rate sends in two round trips.  A loss changes nothing; persistent congestion stops the flow
 * until something is acknowledged. */

#include "proto/base/compiler.h"
#include "proto/base/time.h"

#define WINDOW_RTTS     2
#define WINDOW_EXTRA_NS (10 * SB_MS) /* timers are late, and ACKs are delayed */

static void init(struct sp_cc *cc, const struct sp_cc_args *args)
{
    SB_ASSERT(args->rate_bytes_per_s > 0);
    cc->cwnd_bytes = sp_cc_cwnd_initial(cc);
    cc->rate_bytes_per_s = cc->fixed.rate_bytes_per_s = args->rate_bytes_per_s;
}

static void on_acked(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    (void)cc;
    (void)ack;
}

static void on_ack_end(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    if (ack->is_app_limited)
        return;
    uint64_t time_ns = sb_time_add(WINDOW_RTTS * ack->rtt->smoothed_ns, WINDOW_EXTRA_NS);
    unsigned __int128 window = (unsigned __int128)cc->fixed.rate_bytes_per_s * time_ns / SB_S;
    cc->cwnd_bytes = SB_MAX((uint64_t)window, sp_cc_cwnd_initial(cc));
}

static void on_lost(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    if (loss->is_persistent)
        cc->cwnd_bytes = sp_cc_cwnd_min(cc);
}

const struct sp_cc_ops sp_cc_fixed_ops = {
    .name = "fixed",
    .init = init,
    .on_acked = on_acked,
    .on_lost = on_lost,
    .on_ack_end = on_ack_end,
    .needs_pacing = true,
};

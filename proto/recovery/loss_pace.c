/* SPDX-License-Identifier: MIT */
#include "proto/recovery/loss.h"

/* How fast packets leave: the rate of the congestion controller, or the application's limit if
 * that is lower.  The limit is a bound on the rate of the pacer, so it costs the path of the
 * packets nothing: each batch of acknowledgments compares two numbers. */

#include "proto/base/compiler.h"

static void set_rate(struct sp_loss *loss)
{
    const struct sp_cc *cc = &loss->path->cc;
    if (!sp_rtt_has_sample(&loss->path->rtt))
        return;
    if (cc->rate_bytes_per_s != 0)
        sp_pacer_set_rate(&loss->path->pacer, cc->rate_bytes_per_s, &loss->path->rtt,
                          cc->datagram_bytes);
    else
        sp_pacer_update(&loss->path->pacer, cc->cwnd_bytes, &loss->path->rtt, cc->datagram_bytes,
                        sp_cc_is_in_slow_start(cc));
}

void sp_loss_pace(struct sp_loss *loss)
{
    if (!loss->is_pacing)
        return;
    set_rate(loss);
    if (SB_UNLIKELY(loss->limit_bytes_per_s != 0))
        sp_pacer_limit(&loss->path->pacer, loss->limit_bytes_per_s, loss->path->cc.datagram_bytes);
}

void sp_loss_set_limit(struct sp_loss *loss, uint64_t bytes_per_s, bool is_pacing, uint64_t now_ns)
{
    struct sp_pacer *pacer = &loss->path->pacer;
    struct sp_pacer before = *pacer;
    loss->limit_bytes_per_s = bytes_per_s;
    loss->is_pacing = is_pacing || bytes_per_s != 0;
    pacer->rate_bytes_per_s = 0; /* of a path without a sample, or without pacing */
    sp_loss_pace(loss);
    sp_pacer_rebase(pacer, &before, now_ns);
}

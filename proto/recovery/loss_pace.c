/* SPDX-License-Identifier: MIT */
#include "proto/recovery/loss.h"

/* How fast packets leave, and how many at once: the rate of the congestion controller, or the
 * application's limit if that is lower.  The limit is a bound on the rate of the pacer, so it costs
 * the path of the packets nothing: each batch of acknowledgments compares two numbers. */

#include "proto/base/compiler.h"

/* Returns the pace that the congestion controller asks for: none before there is a round trip. */
static struct sp_pace pace_of(const struct sp_loss_path *path)
{
    const struct sp_cc *cc = &path->cc;
    if (!sp_rtt_has_sample(&path->rtt))
        return (struct sp_pace){0};
    if (cc->rate_bytes_per_s != 0) {
        struct sp_pace own = sp_pace_of_rate(cc->rate_bytes_per_s, &path->rtt, cc->datagram_bytes);
        if (cc->ops->is_l4s)
            sp_pace_smooth(&own, &path->rtt, cc->datagram_bytes);
        return own;
    }
    return sp_pace_of_window(cc->cwnd_bytes, &path->rtt, cc->datagram_bytes,
                             sp_cc_is_in_slow_start(cc));
}

static void pace(struct sp_loss *loss, struct sp_loss_path *path, uint64_t now_ns)
{
    struct sp_pace own = {0};
    if (loss->is_pacing)
        own = pace_of(path);
    if (SB_UNLIKELY(loss->turn_trains > 0) && own.rate_bytes_per_s != 0 && !path->cc.ops->is_l4s)
        sp_pace_for_turns(&own, loss->turn_trains, path->cc.datagram_bytes);
    if (SB_UNLIKELY(loss->limit_bytes_per_s != 0))
        sp_pace_limit(&own, loss->limit_bytes_per_s, path->cc.datagram_bytes);
    sp_pacer_set(&path->pacer, own, now_ns);
}

void sp_loss_pace(struct sp_loss *loss, uint64_t now_ns)
{
    pace(loss, loss->path, now_ns);
}

uint64_t sp_loss_burst(const struct sp_loss *loss, uint64_t now_ns)
{
    if (loss->path->cc.in_flight_bytes > 0)
        return loss->path->burst_bytes;
    /* No ACK will come that could grant one. */
    uint64_t left = loss->path->burst_at_ns == now_ns ? loss->path->burst_bytes : 0;
    return SB_MAX(left, sp_cc_cwnd_initial(&loss->path->cc));
}

void sp_loss_set_limit(struct sp_loss *loss, uint64_t bytes_per_s, bool is_pacing, uint64_t now_ns)
{
    loss->limit_bytes_per_s = bytes_per_s;
    loss->is_pacing = is_pacing || bytes_per_s != 0;
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if (loss->paths[i] != NULL && loss->paths[i] != loss->path)
            pace(loss, loss->paths[i], now_ns);
    pace(loss, loss->path, now_ns);
}

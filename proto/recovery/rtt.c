/* SPDX-License-Identifier: MIT */
#include "proto/recovery/rtt.h"

/* The round trip of a path: smoothed, its variation, its minimum.  [RFC9002 5] */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/probe.h"
#include "proto/base/time.h"

void sp_rtt_init(struct sp_rtt *rtt)
{
    *rtt = (struct sp_rtt){
        .smoothed_ns = SP_RTT_INITIAL_NS,
        .variance_ns = SP_RTT_INITIAL_NS / 2,
        .first_sample_at_ns = SB_NEVER,
    };
}

void sp_rtt_assume(struct sp_rtt *rtt, uint64_t rtt_ns)
{
    SB_ASSERT(!sp_rtt_has_sample(rtt));
    rtt->smoothed_ns = rtt_ns;
    rtt->variance_ns = rtt_ns / 2;
}

void sp_rtt_on_sample(struct sp_rtt *rtt, uint64_t latest_ns, uint64_t ack_delay_ns,
                      uint64_t now_ns)
{
    rtt->latest_ns = latest_ns;
    SB_PROBE3(rtt_sample, rtt, latest_ns, ack_delay_ns);

    if (!sp_rtt_has_sample(rtt)) {
        rtt->min_ns = latest_ns;
        rtt->smoothed_ns = latest_ns;
        rtt->variance_ns = latest_ns / 2;
        rtt->first_sample_at_ns = now_ns;
        return;
    }

    /* [RFC9002 5.2] */
    rtt->min_ns = SB_MIN(rtt->min_ns, latest_ns);

    /* [RFC9002 5.3] The peer's delay must not bring a sample below the minimum. */
    uint64_t adjusted_ns = latest_ns;
    if (latest_ns - rtt->min_ns >= ack_delay_ns)
        adjusted_ns = latest_ns - ack_delay_ns;

    uint64_t distance_ns = rtt->smoothed_ns > adjusted_ns ? rtt->smoothed_ns - adjusted_ns
                                                          : adjusted_ns - rtt->smoothed_ns;
    rtt->variance_ns = (3 * rtt->variance_ns + distance_ns) / 4;
    rtt->smoothed_ns = (7 * rtt->smoothed_ns + adjusted_ns) / 8;
}

void sp_rtt_forget_min(struct sp_rtt *rtt)
{
    SB_ASSERT(sp_rtt_has_sample(rtt));
    rtt->min_ns = rtt->latest_ns;
}

uint64_t sp_rtt_pto_ns(const struct sp_rtt *rtt)
{
    return rtt->smoothed_ns + SB_MAX(4 * rtt->variance_ns, SP_RTT_GRANULARITY_NS);
}

uint64_t sp_rtt_loss_delay_ns(const struct sp_rtt *rtt)
{
    uint64_t longest_ns = SB_MAX(rtt->latest_ns, rtt->smoothed_ns);
    return SB_MAX(longest_ns * 9 / 8, SP_RTT_GRANULARITY_NS);
}

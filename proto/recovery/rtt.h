/* SPDX-License-Identifier: MIT */
#ifndef SP_RTT_H
#define SP_RTT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"

/* Round-trip time estimation.  [RFC9002 5]  All in nanoseconds. */
struct sp_rtt {
    uint64_t latest_ns;
    uint64_t smoothed_ns;
    uint64_t variance_ns;
    uint64_t min_ns;
    uint64_t first_sample_at_ns; /* SB_NEVER before there is one */
};

#define SP_RTT_INITIAL_NS     (UINT64_C(333) * 1000000) /* [RFC9002 6.2.2] */
#define SP_RTT_GRANULARITY_NS (UINT64_C(1000000))       /* [RFC9002 6.1.2] */

void sp_rtt_init(struct sp_rtt *rtt);

/* Assumes another round trip than SP_RTT_INITIAL_NS, before there is a sample.  [RFC9002 6.2.2] */
void sp_rtt_assume(struct sp_rtt *rtt, uint64_t rtt_ns);

static inline bool sp_rtt_has_sample(const struct sp_rtt *rtt)
{
    return rtt->first_sample_at_ns != SB_NEVER;
}

/* `ack_delay_ns` is the peer's, already limited to its max_ack_delay where the handshake
 * is confirmed, and 0 for Initial packets.  [RFC9002 5.3] */
void sp_rtt_on_sample(struct sp_rtt *rtt, uint64_t latest_ns, uint64_t ack_delay_ns,
                      uint64_t now_ns);

/* Persistent congestion was established: the way may be another one, so the minimum begins again
 * with the newest sample.  [RFC9002 5.2] */
void sp_rtt_forget_min(struct sp_rtt *rtt);

/* smoothed + max(4 * variance, granularity), without the ack delay.  [RFC9002 6.2.1] */
uint64_t sp_rtt_pto_ns(const struct sp_rtt *rtt);

/* How long a packet may be overtaken before it counts as lost.  [RFC9002 6.1.2] */
uint64_t sp_rtt_loss_delay_ns(const struct sp_rtt *rtt);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_PACER_H
#define SP_PACER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/recovery/rtt.h"

/* A leaky bucket that spreads a window over a round trip.  [RFC9002 7.7]
 *
 *     rate  = 5/4 * window / smoothed RTT      (2 * in slow start)
 *     burst = bytes that may leave at once after silence
 *
 * `full_at_ns` is when the bucket will be (or was) full again: credit(now) =
 * burst - rate * (full_at - now), never more than burst.  One number is the
 * whole state, and nothing has to be updated as time goes by. */
struct sp_pacer {
    uint64_t full_at_ns;
    uint64_t rate_bytes_per_s; /* 0: no pacing */
    uint64_t burst_bytes;
};

void sp_pacer_init(struct sp_pacer *pacer);

/* Adapts to the window; cheap, called once for each batch of acknowledgments. */
void sp_pacer_update(struct sp_pacer *pacer, uint64_t window_bytes, const struct sp_rtt *rtt,
                     uint64_t datagram_bytes, bool is_slow_start);

/* Paces with a rate that the controller has set, instead of one from the window. */
void sp_pacer_set_rate(struct sp_pacer *pacer, uint64_t rate_bytes_per_s, const struct sp_rtt *rtt,
                       uint64_t datagram_bytes);

/* Lowers the rate to `limit_bytes_per_s` if it is higher, or there is none.  The burst of a limited
 * pacer is what the limit allows in 2 ms, or the initial window if that is more. */
void sp_pacer_limit(struct sp_pacer *pacer, uint64_t limit_bytes_per_s, uint64_t datagram_bytes);

/* Keeps what was overdrawn, in bytes, after the rate or the burst has changed at `now_ns`.
 * `before`: the pacer as it was. */
void sp_pacer_rebase(struct sp_pacer *pacer, const struct sp_pacer *before, uint64_t now_ns);

/* Returns the bytes that may leave now; UINT64_MAX without pacing.  A datagram may overdraw them by
 * its size. */
uint64_t sp_pacer_credit_bytes(const struct sp_pacer *pacer, uint64_t now_ns);

/* True if a datagram may leave now. */
bool sp_pacer_is_open(const struct sp_pacer *pacer, uint64_t now_ns);

/* When it will be; `now_ns` or earlier if it is open. */
uint64_t sp_pacer_open_at_ns(const struct sp_pacer *pacer);

/* When it is worth waking up for: half a burst may leave then, not just one datagram. */
uint64_t sp_pacer_wake_at_ns(const struct sp_pacer *pacer);

void sp_pacer_on_sent(struct sp_pacer *pacer, uint64_t bytes, uint64_t now_ns);

#endif

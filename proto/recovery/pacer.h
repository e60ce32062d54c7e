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
    uint64_t full_at_ns;       /* at the rate of now: only sp_pacer_set() may change that */
    uint64_t rate_bytes_per_s; /* 0: no pacing */
    uint64_t burst_bytes;
};

/* How fast a pacer is. */
struct sp_pace {
    uint64_t rate_bytes_per_s; /* 0: no pacing */
    uint64_t burst_bytes;
};

void sp_pacer_init(struct sp_pacer *pacer);

/* Returns the pace that spreads a window over a round trip. */
struct sp_pace sp_pace_of_window(uint64_t window_bytes, const struct sp_rtt *rtt,
                                 uint64_t datagram_bytes, bool is_slow_start);

/* Returns the pace for a rate that the controller has set. */
struct sp_pace sp_pace_of_rate(uint64_t rate_bytes_per_s, const struct sp_rtt *rtt,
                               uint64_t datagram_bytes);

/* Shortens the burst to what the rate allows in a quarter of a millisecond, or to two datagrams if
 * that is more: an L4S queue marks what waits for a millisecond, and a burst that comes faster
 * waits.  Not within the machine, where a train costs as much as a datagram.  [RFC9331 4.3] */
void sp_pace_smooth(struct sp_pace *pace, const struct sp_rtt *rtt, uint64_t datagram_bytes);

/* Lengthens the burst to a train more than a turn has.  The rate stays.  For who takes turns with
 * others: the host bounds what all have in flight, and the turns. */
void sp_pace_for_turns(struct sp_pace *pace, uint32_t train_count, uint64_t datagram_bytes);

/* Lowers the rate to `limit_bytes_per_s` if it is higher, or there is none: its burst is then what
 * the limit allows in 2 ms, or the initial window if that is more.  No burst is longer than that.
 */
void sp_pace_limit(struct sp_pace *pace, uint64_t limit_bytes_per_s, uint64_t datagram_bytes);

/* Changes the pace at `now_ns`.  What was overdrawn stays the same number of bytes: a faster pacer
 * waits less for it, a slower one longer.  Costs little; called once per batch of acknowledgments.
 */
void sp_pacer_set(struct sp_pacer *pacer, struct sp_pace pace, uint64_t now_ns);

/* Returns the bytes that may leave now; UINT64_MAX without pacing.  A datagram may overdraw them by
 * its size. */
uint64_t sp_pacer_credit_bytes(const struct sp_pacer *pacer, uint64_t now_ns);

/* True if a datagram may leave now. */
bool sp_pacer_is_open(const struct sp_pacer *pacer, uint64_t now_ns);

/* When it will be; `now_ns` or earlier if it is open. */
uint64_t sp_pacer_open_at_ns(const struct sp_pacer *pacer);

/* Returns when there will be credit for `bytes`, no more than a burst; `now_ns` or earlier if there
 * is now.  UINT64_C(0) without pacing. */
uint64_t sp_pacer_credit_at_ns(const struct sp_pacer *pacer, uint64_t bytes);

/* Returns the datagrams of a train that its host holds until it is due: those of a quarter of a
 * millisecond, and at least two.  No more than a burst. */
uint32_t sp_pacer_ahead_count(const struct sp_pacer *pacer, uint64_t datagram_bytes);

/* When it is worth waking up for: half a burst may leave then, not just one datagram.  The times of
 * many pacers coincide, so that one wake-up serves them; that is at most an eighth of a burst
 * later.
 */
uint64_t sp_pacer_wake_at_ns(const struct sp_pacer *pacer);

void sp_pacer_on_sent(struct sp_pacer *pacer, uint64_t bytes, uint64_t now_ns);

#endif

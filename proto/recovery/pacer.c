/* SPDX-License-Identifier: MIT */
#include "proto/recovery/pacer.h"

/* Spreads the congestion window over a round trip: rate = factor * window / smoothed RTT, with
 * factor 2 in slow start and 5/4 afterwards.  Credit that was not used is kept up to one burst, and
 * no train is longer than that:
 *
 *     burst = max(INITIAL_BYTES, min(rate * 1 ms, 8 trains), 2 trains if rtt < NEAR_NS)
 *
 * INITIAL_BYTES     the initial window: ten datagrams.  [RFC9002 7.7]
 * rate * 1 ms       about how late a timer may be without slowing the flow.  More than 8 trains
 *                   would not make sending cheaper.
 * 2 trains          on a path within the machine: there a train costs the sender as much as a
 *                   datagram does, and no queue between is shorter than a train.
 *                   Who takes turns with others, whose round trips may be long for that reason
 *                   alone, has a train more than a turn: see sp_pace_for_turns().
 *
 * A pacer that is asked when to wake up names a point of a grid of time that all pacers share, so
 * that many connections wake their thread once.  The grid is that of half a burst, and finer for
 * faster pacers: its points are powers of two. */

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/limits.h"

#define INITIAL_DATAGRAMS 10
#define INITIAL_BYTES     14720
#define TRAIN_BYTES       65507
#define TRAINS_MAX        8
#define BURST_NS          (1 * SB_MS)
#define LIMIT_BURST_NS    (2 * SB_MS) /* a wake is worth half of it: a millisecond */
#define SMOOTH_NS         (250 * SB_US)
#define NEAR_TRAINS       2
#define NEAR_NS           (100 * SB_US)

/* The grid for wake-ups: a quarter of the time of half a burst at most, so that credit is never
 * lost by waiting for it. */
#define GRID_SHIFT  2
#define GRID_NS_MAX (UINT64_C(1) << 20) /* 1.05 ms */

/* Rates above this are as good as none: 2^38 bytes/s keep products in 64 bits. */
#define RATE_MAX (UINT64_C(1) << 38)

/* A train that its host holds until it is due. */
#define AHEAD_TRAIN_NS  (250 * SB_US)
#define AHEAD_COUNT_MIN UINT64_C(2)

/* Products up to here are computed in 64 bits. */
#define PRODUCT_MAX (UINT64_C(1) << 63)

/* More than this is not overdrawn in earnest: it keeps times in 64 bits at a byte per second. */
#define LACKS_MAX (UINT64_C(1) << 34)

void sp_pacer_init(struct sp_pacer *pacer)
{
    *pacer = (struct sp_pacer){0};
}

/* Bytes of whole trains.  The last datagram overdraws the credit, hence the half less. */
static uint64_t trains(uint64_t count, uint64_t datagram_bytes)
{
    uint64_t datagrams = SB_MIN(TRAIN_BYTES / datagram_bytes, (uint64_t)SP_TRAIN_COUNT_MAX);
    return count * SB_MAX(datagrams, 1) * datagram_bytes - datagram_bytes / 2;
}

static uint64_t initial_bytes(uint64_t datagram_bytes)
{
    return SB_MIN(INITIAL_DATAGRAMS * datagram_bytes, SB_MAX(INITIAL_BYTES, 2 * datagram_bytes));
}

static uint64_t burst_of(uint64_t rate, uint64_t datagram_bytes, uint64_t rtt_ns_min)
{
    uint64_t initial = initial_bytes(datagram_bytes);
    uint64_t near = rtt_ns_min < NEAR_NS ? trains(NEAR_TRAINS, datagram_bytes) : 0;
    uint64_t rated = SB_MIN(rate / (SB_S / BURST_NS), trains(TRAINS_MAX, datagram_bytes));
    return SB_MAX(initial, SB_MAX(near, rated));
}

struct sp_pace sp_pace_of_rate(uint64_t rate_bytes_per_s, const struct sp_rtt *rtt,
                               uint64_t datagram_bytes)
{
    uint64_t rate = SB_MIN(SB_MAX(rate_bytes_per_s, 1), RATE_MAX);
    return (struct sp_pace){rate, burst_of(rate, datagram_bytes, rtt->min_ns)};
}

struct sp_pace sp_pace_of_window(uint64_t window_bytes, const struct sp_rtt *rtt,
                                 uint64_t datagram_bytes, bool is_slow_start)
{
    /* window <= 2^34 and the factor 10^9 need 128 bits between them. */
    unsigned __int128 per_s = (unsigned __int128)window_bytes * SB_S / SB_MAX(rtt->smoothed_ns, 1);
    uint64_t rate = per_s > RATE_MAX / 2 ? RATE_MAX / 2 : (uint64_t)per_s;
    rate = is_slow_start ? rate * 2 : rate + rate / 4;
    return sp_pace_of_rate(rate, rtt, datagram_bytes);
}

void sp_pace_smooth(struct sp_pace *pace, const struct sp_rtt *rtt, uint64_t datagram_bytes)
{
    if (rtt->min_ns < NEAR_NS)
        return;
    uint64_t bytes = SB_MAX(pace->rate_bytes_per_s / (SB_S / SMOOTH_NS), 2 * datagram_bytes);
    pace->burst_bytes = SB_MIN(pace->burst_bytes, bytes);
}

void sp_pace_for_turns(struct sp_pace *pace, uint32_t train_count, uint64_t datagram_bytes)
{
    pace->burst_bytes = SB_MAX(pace->burst_bytes, trains(train_count + 1, datagram_bytes));
}

void sp_pace_limit(struct sp_pace *pace, uint64_t limit_bytes_per_s, uint64_t datagram_bytes)
{
    uint64_t limit = SB_MIN(SB_MAX(limit_bytes_per_s, 1), RATE_MAX);
    uint64_t burst = SB_MAX(initial_bytes(datagram_bytes), limit / (SB_S / LIMIT_BURST_NS));
    if (pace->rate_bytes_per_s != 0 && pace->rate_bytes_per_s <= limit) {
        pace->burst_bytes = SB_MIN(pace->burst_bytes, burst);
        return;
    }
    pace->rate_bytes_per_s = limit;
    pace->burst_bytes = burst;
}

/* Returns the time in which `bytes` may leave, to the nearest nanosecond: to round down each time
 * would make a high rate too high. */
static uint64_t time_for(const struct sp_pacer *pacer, uint64_t bytes)
{
    uint64_t rate = pacer->rate_bytes_per_s;
    if (SB_LIKELY(bytes < PRODUCT_MAX / SB_S))
        return (bytes * SB_S + rate / 2) / rate;
    return (uint64_t)(((unsigned __int128)bytes * SB_S + rate / 2) / rate);
}

/* Returns the bytes that may leave in `time_ns`. */
static unsigned __int128 bytes_in(const struct sp_pacer *pacer, uint64_t time_ns)
{
    if (SB_LIKELY(time_ns < PRODUCT_MAX / RATE_MAX))
        return time_ns * pacer->rate_bytes_per_s / SB_S;
    return (unsigned __int128)time_ns * pacer->rate_bytes_per_s / SB_S;
}

void sp_pacer_set(struct sp_pacer *pacer, struct sp_pace pace, uint64_t now_ns)
{
    const struct sp_pacer before = *pacer;
    pacer->rate_bytes_per_s = pace.rate_bytes_per_s;
    pacer->burst_bytes = pace.burst_bytes;
    if (before.rate_bytes_per_s == 0 || pace.rate_bytes_per_s == 0) {
        pacer->full_at_ns = SB_MIN(before.full_at_ns, now_ns);
        return;
    }
    /* A full bucket stays full. */
    if (before.full_at_ns <= now_ns || (before.rate_bytes_per_s == pace.rate_bytes_per_s &&
                                        before.burst_bytes == pace.burst_bytes))
        return;
    /* Credit below 0 is debt.  It stays what it was, unless the new burst is smaller. */
    unsigned __int128 lacks = bytes_in(&before, before.full_at_ns - now_ns) + pace.burst_bytes;
    lacks = lacks > before.burst_bytes ? lacks - before.burst_bytes : 0;
    uint64_t lacks_bytes = lacks > LACKS_MAX ? LACKS_MAX : (uint64_t)lacks;
    pacer->full_at_ns = sb_time_add(now_ns, time_for(pacer, lacks_bytes));
}

uint64_t sp_pacer_open_at_ns(const struct sp_pacer *pacer)
{
    if (pacer->rate_bytes_per_s == 0)
        return 0;
    /* It is open while the credit is positive: a datagram may overdraw the credit by its size. */
    return sb_time_since(pacer->full_at_ns, time_for(pacer, pacer->burst_bytes));
}

uint64_t sp_pacer_credit_at_ns(const struct sp_pacer *pacer, uint64_t bytes)
{
    if (pacer->rate_bytes_per_s == 0)
        return 0;
    /* Times are rounded to the nearest: one more makes sure of the bytes. */
    return sb_time_add(sp_pacer_open_at_ns(pacer), time_for(pacer, bytes) + 1);
}

uint32_t sp_pacer_ahead_count(const struct sp_pacer *pacer, uint64_t datagram_bytes)
{
    uint64_t bytes = SB_MIN(pacer->rate_bytes_per_s / (SB_S / AHEAD_TRAIN_NS), pacer->burst_bytes);
    uint64_t count = SB_MAX(bytes / datagram_bytes, AHEAD_COUNT_MIN);
    return (uint32_t)SB_MIN(count, (uint64_t)SP_TRAIN_COUNT_MAX);
}

/* Returns the distance of the points on the grid: a power of two. */
static uint64_t grid_of(uint64_t half_ns)
{
    uint64_t ns = SB_MIN(SB_MAX(half_ns >> GRID_SHIFT, 1), GRID_NS_MAX);
    return UINT64_C(1) << (63 - (uint32_t)__builtin_clzll(ns));
}

uint64_t sp_pacer_wake_at_ns(const struct sp_pacer *pacer)
{
    if (pacer->rate_bytes_per_s == 0)
        return 0;
    uint64_t half_ns = time_for(pacer, pacer->burst_bytes / 2);
    uint64_t at_ns = sb_time_add(sp_pacer_open_at_ns(pacer), half_ns);
    uint64_t grid_ns = grid_of(half_ns);
    return sb_time_add(at_ns, grid_ns - 1) & ~(grid_ns - 1);
}

uint64_t sp_pacer_credit_bytes(const struct sp_pacer *pacer, uint64_t now_ns)
{
    if (pacer->rate_bytes_per_s == 0)
        return UINT64_MAX;
    unsigned __int128 missing = bytes_in(pacer, sb_time_since(pacer->full_at_ns, now_ns));
    return missing < pacer->burst_bytes ? pacer->burst_bytes - (uint64_t)missing : 0;
}

bool sp_pacer_is_open(const struct sp_pacer *pacer, uint64_t now_ns)
{
    /* A full bucket, which is that of a request, needs no division. */
    return pacer->full_at_ns <= now_ns || sp_pacer_open_at_ns(pacer) <= now_ns;
}

void sp_pacer_on_sent(struct sp_pacer *pacer, uint64_t bytes, uint64_t now_ns)
{
    if (pacer->rate_bytes_per_s == 0)
        return;
    pacer->full_at_ns = sb_time_add(SB_MAX(pacer->full_at_ns, now_ns), time_for(pacer, bytes));
}

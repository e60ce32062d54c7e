/* SPDX-License-Identifier: MIT */
#ifndef SB_TIME_H
#define SB_TIME_H

#include <stdint.h>

/* Time is a uint64_t of nanoseconds on a monotonic clock, and an argument. */

#define SB_NEVER UINT64_MAX /* later than every time */

#define SB_US UINT64_C(1000)
#define SB_MS UINT64_C(1000000)
#define SB_S  UINT64_C(1000000000)

static inline uint64_t sb_time_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* `a + b` that stays at SB_NEVER instead of wrapping. */
static inline uint64_t sb_time_add(uint64_t a, uint64_t b)
{
    return a > SB_NEVER - b ? SB_NEVER : a + b;
}

/* `a - b`, or 0 where b is later. */
static inline uint64_t sb_time_since(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* The last multiple of `grain`, a power of two, that is not after `a`. */
static inline uint64_t sb_time_floor(uint64_t a, uint64_t grain)
{
    return a & ~(grain - 1);
}

/* The first that is not before `a`; SB_NEVER stays what it is. */
static inline uint64_t sb_time_ceil(uint64_t a, uint64_t grain)
{
    return a > SB_NEVER - grain ? SB_NEVER : sb_time_floor(a + (grain - 1), grain);
}

#endif

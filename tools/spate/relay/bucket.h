/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_BUCKET_H
#define SPATE_RELAY_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

/* A token bucket: what one neighbour may bring.  Invariant: level_bytes <= burst_bytes. */
struct relay_bucket {
    uint64_t rate_bytes_per_s; /* 0: no limit */
    uint64_t burst_bytes;
    uint64_t level_bytes;
    uint64_t filled_ns; /* to when the level is right */
};

/* The burst is a tenth of a second, but at least `burst_min`. */
static inline struct relay_bucket relay_bucket_of(uint64_t rate_bytes_per_s, uint64_t burst_min,
                                                  uint64_t now_ns)
{
    uint64_t burst = rate_bytes_per_s / 10 > burst_min ? rate_bytes_per_s / 10 : burst_min;
    return (struct relay_bucket){rate_bytes_per_s, burst, burst, now_ns};
}

/* Takes `size` bytes, or returns false and takes nothing. */
static inline bool relay_bucket_take(struct relay_bucket *bucket, uint64_t size, uint64_t now_ns)
{
    if (bucket->rate_bytes_per_s == 0)
        return true;
    uint64_t passed_ns = now_ns > bucket->filled_ns ? now_ns - bucket->filled_ns : 0;
    if (passed_ns > UINT64_C(1000000000))
        passed_ns = UINT64_C(1000000000);
    uint64_t gain = (uint64_t)((__uint128_t)bucket->rate_bytes_per_s * passed_ns / 1000000000u);
    if (gain > 0) { /* else the time is kept, so that slow rates are exact */
        bucket->level_bytes = bucket->level_bytes + gain > bucket->burst_bytes
                                  ? bucket->burst_bytes
                                  : bucket->level_bytes + gain;
        bucket->filled_ns = now_ns;
    }
    if (bucket->level_bytes < size)
        return false;
    bucket->level_bytes -= size;
    return true;
}

#endif

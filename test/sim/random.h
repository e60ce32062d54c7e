/* SPDX-License-Identifier: MIT */
#ifndef QS_RANDOM_H
#define QS_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/assert.h"

/* Pseudo-random numbers that depend on the seed only, on every machine, and the hash that the null
 * cipher, the streams' contents and the trace use. */

/* The finaliser of SplitMix64: every bit of the input changes half of the output's. */
static inline uint64_t qs_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* A cheap hash of bytes, in words: to notice a difference, not to resist anyone. */
static inline uint64_t qs_hash(uint64_t seed, const void *data, size_t size)
{
    const uint8_t *at = data;
    uint64_t hash = seed ^ (size * UINT64_C(0x9e3779b97f4a7c15));
    for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    if (size > 0)
        memcpy(&rest, at, size);
    return qs_mix(hash ^ rest);
}

/* xoshiro256**. */
struct qs_random {
    uint64_t state[4];
};

static inline void qs_random_init(struct qs_random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        random->state[i] = qs_mix(seed);
    }
}

static inline uint64_t qs_rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline uint64_t qs_random_next(struct qs_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = qs_rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = qs_rotate(s[3], 45);
    return result;
}

/* 0 to `count` - 1.  The bias of the modulo is of no interest here. */
static inline uint64_t qs_random_below(struct qs_random *random, uint64_t count)
{
    SB_ASSERT(count > 0);
    return qs_random_next(random) % count;
}

/* `low` to `high`, both included. */
static inline uint64_t qs_random_between(struct qs_random *random, uint64_t low, uint64_t high)
{
    SB_ASSERT(low <= high);
    return low + qs_random_below(random, high - low + 1);
}

/* True with a chance of `ppm` in a million.  Takes no number for a chance of none, so
 * that a fault that is off does not change the others. */
static inline bool qs_random_chance(struct qs_random *random, uint32_t ppm)
{
    return ppm > 0 && qs_random_below(random, 1000000) < ppm;
}

static inline void qs_random_bytes(struct qs_random *random, void *out, size_t size)
{
    uint8_t *at = out;
    for (; size > 0;) {
        uint64_t word = qs_random_next(random);
        size_t part = size < sizeof(word) ? size : sizeof(word);
        memcpy(at, &word, part);
        at += part;
        size -= part;
    }
}

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_SOME_H
#define SC_AEAD_FUSED_SOME_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <immintrin.h>

/* Loads and stores of partial blocks: no byte beyond the given ones is accessed.  Two overlapping
 * accesses replace a loop. */

static inline uint64_t sc_load_le(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, at, size); /* this file is for x86 only: little endian */
    return value;
}

static inline __m128i sc_load_all(const uint8_t *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline void sc_store_all(uint8_t *at, __m128i value)
{
    _mm_storeu_si128((__m128i *)(void *)at, value);
}

/* `size` from 0 to 16, then zeros. */
static inline __m128i sc_load_some(const uint8_t *at, size_t size)
{
    if (size == 16)
        return sc_load_all(at);
    if (size > 8) {
        uint64_t high = sc_load_le(at + size - 8, 8) >> (8 * (16 - size));
        return _mm_set_epi64x((long long)high, (long long)sc_load_le(at, 8));
    }
    uint64_t low = 0;
    if (size >= 4)
        low = sc_load_le(at, 4) | sc_load_le(at + size - 4, 4) << (8 * (size - 4));
    else if (size > 0)
        low = at[0] | (uint64_t)at[size / 2] << (8 * (size / 2)) |
              (uint64_t)at[size - 1] << (8 * (size - 1));
    return _mm_cvtsi64_si128((long long)low);
}

static inline void sc_store_some(uint8_t *at, __m128i value, size_t size)
{
    if (size == 16) {
        sc_store_all(at, value);
        return;
    }
    uint64_t low = (uint64_t)_mm_cvtsi128_si64(value);
    if (size > 8) {
        uint64_t high = (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(value, value));
        uint64_t last = high << (8 * (16 - size)) | low >> (8 * (size - 8));
        memcpy(at, &low, 8);
        memcpy(at + size - 8, &last, 8);
    } else if (size >= 4) {
        uint64_t last = low >> (8 * (size - 4));
        memcpy(at, &low, 4);
        memcpy(at + size - 4, &last, 4);
    } else if (size > 0) {
        at[0] = (uint8_t)low;
        at[size / 2] = (uint8_t)(low >> (8 * (size / 2)));
        at[size - 1] = (uint8_t)(low >> (8 * (size - 1)));
    }
}

/* The first bytes of `value`, `size` up to 16 places further on, with zeros before them. */
static inline __m128i sc_move_up(__m128i value, size_t size)
{
    static const uint8_t order[32] = {
        0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
        0x80, 0x80, 0x80, 0x80, 0x80, 0,    1,    2,    3,    4,    5,
        6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    };
    return _mm_shuffle_epi8(value, sc_load_all(order + 16 - size));
}

#endif

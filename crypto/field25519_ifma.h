/* SPDX-License-Identifier: MIT */
#ifndef SC_FIELD25519_IFMA_H
#define SC_FIELD25519_IFMA_H

/* Four numbers modulo 2^255 - 19 side by side, with AVX-512 IFMA: a lane each.  For
 * crypto/x25519*.c alone.
 *
 * The instructions multiply 52 bits: limbs have 51 as in crypto/field25519.h, and are carried after
 * each sum.  "Carried" limbs are below 2^51 + 2^15. */

#include <string.h>

#include <immintrin.h>

#include "crypto/field25519.h"

enum { SC_FOUR_PRODUCTS = 2 * SC_FIELD_LIMBS };

struct sc_four {
    __m256i limb[SC_FIELD_LIMBS];
};

static inline __m256i sc_four_everywhere(uint64_t value)
{
    return _mm256_set1_epi64x((long long)value);
}

/* Carries once, from all limbs at a time: of limbs below 2^61 it leaves less than 2^51 + 2^15. */
static inline struct sc_four sc_four_carry(const struct sc_four *a)
{
    const __m256i mask = sc_four_everywhere(SC_FIELD_MASK);
    struct sc_four ret;
    for (int i = 1; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_add_epi64(_mm256_and_si256(a->limb[i], mask),
                                       _mm256_srli_epi64(a->limb[i - 1], 51));
    ret.limb[0] = _mm256_madd52lo_epu64(_mm256_and_si256(a->limb[0], mask),
                                        _mm256_srli_epi64(a->limb[4], 51), sc_four_everywhere(19));
    return ret;
}

static inline __m256i sc_four_times19(__m256i a)
{
    return _mm256_add_epi64(_mm256_add_epi64(_mm256_slli_epi64(a, 4), _mm256_slli_epi64(a, 1)), a);
}

/* Of limbs below 2^52.  The high half of a product has 52 bits below it, one more than a limb has:
 * it counts twice.  Sums of both halves are below 2^56, and with 19 times what is 2^255 and more
 * below 2^61. */
static inline struct sc_four sc_four_mul(const struct sc_four *a, const struct sc_four *b)
{
    __m256i low[SC_FOUR_PRODUCTS];
    __m256i high[SC_FOUR_PRODUCTS];
    struct sc_four ret;
    for (int i = 0; i < SC_FOUR_PRODUCTS; i++)
        low[i] = high[i] = _mm256_setzero_si256();
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        for (int j = 0; j < SC_FIELD_LIMBS; j++) {
            low[i + j] = _mm256_madd52lo_epu64(low[i + j], a->limb[i], b->limb[j]);
            high[i + j + 1] = _mm256_madd52hi_epu64(high[i + j + 1], a->limb[i], b->limb[j]);
        }
    for (int i = 0; i < SC_FIELD_LIMBS; i++) {
        const int above = i + SC_FIELD_LIMBS;
        const __m256i below = _mm256_add_epi64(low[i], _mm256_slli_epi64(high[i], 1));
        const __m256i rest = _mm256_add_epi64(low[above], _mm256_slli_epi64(high[above], 1));
        ret.limb[i] = _mm256_add_epi64(below, sc_four_times19(rest));
    }
    return sc_four_carry(&ret);
}

/* Carried. */
static inline struct sc_four sc_four_add(const struct sc_four *a, const struct sc_four *b)
{
    struct sc_four ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_add_epi64(a->limb[i], b->limb[i]);
    return sc_four_carry(&ret);
}

/* 2 p - a of carried limbs: below 2^52, so that it may be multiplied. */
static inline struct sc_four sc_four_minus(const struct sc_four *a)
{
    struct sc_four ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++) {
        const uint64_t p2 = 2 * (i == 0 ? SC_FIELD_MASK - 18 : SC_FIELD_MASK);
        ret.limb[i] = _mm256_sub_epi64(sc_four_everywhere(p2), a->limb[i]);
    }
    return ret;
}

/* As loose as the lane is. */
static inline struct sc_field sc_four_lane(const struct sc_four *four, int lane)
{
    struct sc_field ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++) {
        uint64_t lanes[4];
        memcpy(lanes, &four->limb[i], sizeof(lanes));
        ret.limb[i] = lanes[lane];
    }
    return ret;
}

/* The lanes `from_b` of `b`, the others of `a`. */
static inline struct sc_four sc_four_blend(const struct sc_four *a, const struct sc_four *b,
                                           __mmask8 from_b)
{
    struct sc_four ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_mask_blend_epi64(from_b, a->limb[i], b->limb[i]);
    return ret;
}

/* Carried, of carried limbs. */
static inline struct sc_four sc_four_sub(const struct sc_four *a, const struct sc_four *b)
{
    const struct sc_four minus = sc_four_minus(b);
    return sc_four_add(a, &minus);
}

#endif

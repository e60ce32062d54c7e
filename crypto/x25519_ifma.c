/* SPDX-License-Identifier: MIT */
#include "crypto/x25519.h"

/* The ladder with AVX-512 IFMA: four multiplications side by side.
 *
 * A step of the ladder has ten, in three rounds: with A = x2 + z2, B = x2 - z2, C = x3 + z3 and
 * D = x3 - z3,
 *
 *     A A,  B B,  D A,  C B
 *     x2 = A A B B,  a24 E,  x3 = (DA + CB)^2,  (DA - CB)^2      with E = A A - B B
 *     z2 = E (A A + a24 E),  z3 = u (DA - CB)^2
 *
 * x2, z2, x3 and z3 are the lanes 0 to 3 of a vector of each limb.  That takes half the time of
 * OpenSSL's ladder in assembly, whose multiplications come one after the other.  The instructions
 * multiply 52 bits: limbs have 51 as in crypto/field25519.h, and are carried after each sum.
 *
 * Time does not depend on the key: its bits only choose which lanes go where, by an index that is
 * computed.  [Nath, Sarkar: Efficient 4-way vectorizations of the Montgomery ladder, 2020] */

#include <stdint.h>
#include <string.h>

#include <immintrin.h>

#include <openssl/crypto.h>

#include "crypto/field25519.h"

enum { A24 = 121665, PRODUCTS = 2 * SC_FIELD_LIMBS }; /* [RFC7748 5] */

/* Lanes, as masks. */
enum { LANE_0 = 1, LANE_1 = 2, LANE_3 = 8 };

/* Four numbers. */
struct four {
    __m256i limb[SC_FIELD_LIMBS];
};

static inline __m256i everywhere(uint64_t value)
{
    return _mm256_set1_epi64x((long long)value);
}

/* Carries once, from all limbs at a time: of limbs below 2^61 it leaves less than 2^51 + 2^15. */
static inline struct four carry(const struct four *a)
{
    const __m256i mask = everywhere(SC_FIELD_MASK);
    struct four ret;
    for (int i = 1; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_add_epi64(_mm256_and_si256(a->limb[i], mask),
                                       _mm256_srli_epi64(a->limb[i - 1], 51));
    ret.limb[0] = _mm256_madd52lo_epu64(_mm256_and_si256(a->limb[0], mask),
                                        _mm256_srli_epi64(a->limb[4], 51), everywhere(19));
    return ret;
}

static inline __m256i times19(__m256i a)
{
    return _mm256_add_epi64(_mm256_add_epi64(_mm256_slli_epi64(a, 4), _mm256_slli_epi64(a, 1)), a);
}

/* Of limbs below 2^52.  The high half of a product has 52 bits below it, one more than a limb has:
 * it counts twice.  Sums of both halves are below 2^56, and with 19 times what is 2^255 and more
 * below 2^61. */
static inline struct four mul(const struct four *a, const struct four *b)
{
    __m256i low[PRODUCTS];
    __m256i high[PRODUCTS];
    struct four ret;
    for (int i = 0; i < PRODUCTS; i++)
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
        ret.limb[i] = _mm256_add_epi64(below, times19(rest));
    }
    return carry(&ret);
}

/* Lane i is lane index[i] of `a`. */
static inline struct four permute(const struct four *a, __m256i index)
{
    struct four ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_permutexvar_epi64(index, a->limb[i]);
    return ret;
}

/* The lanes `from_b` of `b`, the others of `a`. */
static inline struct four blend(const struct four *a, const struct four *b, __mmask8 from_b)
{
    struct four ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_mask_blend_epi64(from_b, a->limb[i], b->limb[i]);
    return ret;
}

static inline struct four add(const struct four *a, const struct four *b)
{
    struct four ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_add_epi64(a->limb[i], b->limb[i]);
    return carry(&ret);
}

/* The sum in the lanes 0 and 2, the difference in the lanes 1 and 3, with 2 p added. */
static inline struct four sum_and_difference(const struct four *a, const struct four *b)
{
    enum { LANES_1_3 = 10 };
    struct four negated;
    for (int i = 0; i < SC_FIELD_LIMBS; i++) {
        const __m256i p2 = everywhere(2 * (i == 0 ? SC_FIELD_MASK - 18 : SC_FIELD_MASK));
        negated.limb[i] = _mm256_mask_sub_epi64(b->limb[i], LANES_1_3, p2, b->limb[i]);
    }
    return add(a, &negated);
}

#define LANES(a, b, c, d) _mm256_setr_epi64x(a, b, c, d)

/* `swap` is 2 in all lanes where x2, z2 and x3, z3 change places, otherwise 0.  `constant` has a24
 * in lane 1 and u in lane 3. */
static inline struct four step(const struct four *p, __m256i swap, const struct four *constant)
{
    struct four a = permute(p, _mm256_xor_si256(LANES(0, 0, 2, 2), swap));
    struct four b = permute(p, _mm256_xor_si256(LANES(1, 1, 3, 3), swap));
    const struct four abcd = sum_and_difference(&a, &b);
    a = permute(&abcd, LANES(0, 1, 3, 2));
    b = permute(&abcd, LANES(0, 1, 0, 1));
    const struct four first = mul(&a, &b);                       /* AA, BB, DA, CB */
    const struct four left = permute(&first, LANES(0, 0, 2, 2)); /* AA, AA, DA, DA */
    const struct four right = permute(&first, LANES(1, 1, 3, 3));
    a = sum_and_difference(&left, &right);
    a = blend(&a, &first, LANE_0); /* AA, E, DA + CB, DA - CB */
    b = blend(&a, &right, LANE_0);
    b = blend(&b, constant, LANE_1); /* BB, a24, DA + CB, DA - CB */
    const struct four second = mul(&a, &b);
    b = add(&second, &left); /* lane 1: a24 E + AA */
    b = blend(constant, &b, LANE_1);
    a = blend(&a, &second, LANE_3);
    const struct four third = mul(&a, &b);
    return blend(&second, &third, LANE_1 | LANE_3);
}

bool sc_x25519_shared_ifma(const uint8_t secret[SC_X25519_SIZE], const uint8_t peer[SC_X25519_SIZE],
                           uint8_t ret[SC_X25519_SIZE])
{
    struct {
        uint8_t scalar[SC_X25519_SIZE];
        struct four p;
        uint64_t lanes[SC_FIELD_LIMBS][4];
        struct sc_field x, z;
    } work;
    const struct sc_field u = sc_field_read(peer);
    struct four constant;
    uint64_t before = 0;
    uint8_t any = 0;
    sc_x25519_clamp(secret, work.scalar);
    for (int i = 0; i < SC_FIELD_LIMBS; i++) {
        work.p.limb[i] = LANES(i == 0, 0, (long long)u.limb[i], i == 0);
        constant.limb[i] = LANES(0, i == 0 ? A24 : 0, 0, (long long)u.limb[i]);
    }
    for (int i = 254; i >= 0; i--) {
        const uint64_t bit = work.scalar[i / 8] >> i % 8 & 1;
        work.p = step(&work.p, everywhere(sc_field_mask(before ^ bit) & 2), &constant);
        before = bit;
    }
    /* The last bit is 0, so nothing is to be swapped back. */
    for (int i = 0; i < SC_FIELD_LIMBS; i++) {
        memcpy(work.lanes[i], &work.p.limb[i], sizeof(work.lanes[i]));
        work.x.limb[i] = work.lanes[i][0];
        work.z.limb[i] = work.lanes[i][1];
    }
    work.z = sc_field_invert(&work.z);
    work.x = sc_field_mul(&work.x, &work.z);
    sc_field_write(&work.x, ret);
    for (int i = 0; i < SC_X25519_SIZE; i++)
        any |= ret[i];
    OPENSSL_cleanse(&work, sizeof(work));
    return any != 0;
}

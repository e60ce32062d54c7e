/* SPDX-License-Identifier: MIT */
#include "crypto/x25519_table.h"

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
 * OpenSSL's ladder in assembly, whose multiplications come one after the other.
 *
 * Time does not depend on the key: its bits only choose which lanes go where, by an index that is
 * computed.  [Nath, Sarkar: Efficient 4-way vectorizations of the Montgomery ladder, 2020] */

#include <stdint.h>

#include <immintrin.h>

#include "crypto/field25519_ifma.h"

enum { A24 = 121665 }; /* [RFC7748 5] */

/* Lanes, as masks. */
enum { LANE_0 = 1, LANE_1 = 2, LANE_3 = 8 };

/* Lane i is lane index[i] of `a`. */
static inline struct sc_four permute(const struct sc_four *a, __m256i index)
{
    struct sc_four ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_permutexvar_epi64(index, a->limb[i]);
    return ret;
}

/* The sum in the lanes 0 and 2, the difference in the lanes 1 and 3. */
static inline struct sc_four sum_and_difference(const struct sc_four *a, const struct sc_four *b)
{
    enum { LANES_1_3 = 10 };
    const struct sc_four minus = sc_four_minus(b);
    const struct sc_four signed_b = sc_four_blend(b, &minus, LANES_1_3);
    return sc_four_add(a, &signed_b);
}

#define LANES(a, b, c, d) _mm256_setr_epi64x(a, b, c, d)

/* `swap` is 2 in all lanes where x2, z2 and x3, z3 change places, otherwise 0.  `constant` has a24
 * in lane 1 and u in lane 3. */
static inline struct sc_four step(const struct sc_four *p, __m256i swap,
                                  const struct sc_four *constant)
{
    struct sc_four a = permute(p, _mm256_xor_si256(LANES(0, 0, 2, 2), swap));
    struct sc_four b = permute(p, _mm256_xor_si256(LANES(1, 1, 3, 3), swap));
    const struct sc_four abcd = sum_and_difference(&a, &b);
    a = permute(&abcd, LANES(0, 1, 3, 2));
    b = permute(&abcd, LANES(0, 1, 0, 1));
    const struct sc_four first = sc_four_mul(&a, &b);               /* AA, BB, DA, CB */
    const struct sc_four left = permute(&first, LANES(0, 0, 2, 2)); /* AA, AA, DA, DA */
    const struct sc_four right = permute(&first, LANES(1, 1, 3, 3));
    a = sum_and_difference(&left, &right);
    a = sc_four_blend(&a, &first, LANE_0); /* AA, E, DA + CB, DA - CB */
    b = sc_four_blend(&a, &right, LANE_0);
    b = sc_four_blend(&b, constant, LANE_1); /* BB, a24, DA + CB, DA - CB */
    const struct sc_four second = sc_four_mul(&a, &b);
    b = sc_four_add(&second, &left); /* lane 1: a24 E + AA */
    b = sc_four_blend(constant, &b, LANE_1);
    a = sc_four_blend(&a, &second, LANE_3);
    const struct sc_four third = sc_four_mul(&a, &b);
    return sc_four_blend(&second, &third, LANE_1 | LANE_3);
}

void sc_x25519_ladder_ifma(const uint8_t secret[SC_X25519_SIZE], const uint8_t peer[SC_X25519_SIZE],
                           uint8_t ret[SC_X25519_SIZE])
{
    uint8_t scalar[SC_X25519_SIZE];
    struct sc_four p;
    const struct sc_field u = sc_field_read(peer);
    struct sc_four constant;
    uint64_t before = 0;
    sc_x25519_clamp(secret, scalar);
    for (int i = 0; i < SC_FIELD_LIMBS; i++) {
        p.limb[i] = LANES(i == 0, 0, (long long)u.limb[i], i == 0);
        constant.limb[i] = LANES(0, i == 0 ? A24 : 0, 0, (long long)u.limb[i]);
    }
    for (int i = 254; i >= 0; i--) {
        const uint64_t bit = scalar[i / 8] >> i % 8 & 1;
        p = step(&p, sc_four_everywhere(sc_field_mask(before ^ bit) & 2), &constant);
        before = bit;
    }
    /* The last bit is 0, so nothing is to be swapped back. */
    const struct sc_field z = sc_four_lane(&p, 1);
    const struct sc_field inverse = sc_field_invert(&z);
    struct sc_field x = sc_four_lane(&p, 0);
    x = sc_field_mul(&x, &inverse);
    sc_field_write(&x, ret);
}

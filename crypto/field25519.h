/* SPDX-License-Identifier: MIT */
#ifndef SC_FIELD25519_H
#define SC_FIELD25519_H

/* Numbers modulo p = 2^255 - 19, in time that does not depend on them: no branch and no address
 * does.  For crypto/x25519*.c alone.
 *
 * A number is the sum of limb[i] * 2^(51 i).  What sc_field_mul() and its like return has limbs
 * below 2^51 + 2^13 ("tight"); what they take may have limbs below 2^54 ("loose").  So each sum of
 * products of limbs, times 19, is below 2^115, and each carry, times 19, fits into 64 bits. */

#include <stdint.h>
#include <string.h>

#include "proto/base/compiler.h"

enum { SC_FIELD_LIMBS = 5, SC_FIELD_BYTES = 32 };

#define SC_FIELD_MASK ((UINT64_C(1) << 51) - 1)

typedef unsigned __int128 sc_wide;

struct sc_field {
    uint64_t limb[SC_FIELD_LIMBS];
};

/* Loose, of tight numbers: below 2^52 + 2^14. */
static inline struct sc_field sc_field_add(const struct sc_field *a, const struct sc_field *b)
{
    struct sc_field ret;
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = a->limb[i] + b->limb[i];
    return ret;
}

/* Loose, of tight numbers or sums of two: 4 p is added, so that no limb is negative. */
static inline struct sc_field sc_field_sub(const struct sc_field *a, const struct sc_field *b)
{
    struct sc_field ret;
    ret.limb[0] = a->limb[0] + 4 * (SC_FIELD_MASK - 18) - b->limb[0];
    for (int i = 1; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = a->limb[i] + 4 * SC_FIELD_MASK - b->limb[i];
    return ret;
}

static inline struct sc_field sc_field_carry(sc_wide r0, sc_wide r1, sc_wide r2, sc_wide r3,
                                             sc_wide r4)
{
    struct sc_field ret;
    r1 += (uint64_t)(r0 >> 51);
    r2 += (uint64_t)(r1 >> 51);
    r3 += (uint64_t)(r2 >> 51);
    r4 += (uint64_t)(r3 >> 51);
    uint64_t low = ((uint64_t)r0 & SC_FIELD_MASK) + 19 * (uint64_t)(r4 >> 51);
    ret.limb[0] = low & SC_FIELD_MASK;
    ret.limb[1] = ((uint64_t)r1 & SC_FIELD_MASK) + (low >> 51);
    ret.limb[2] = (uint64_t)r2 & SC_FIELD_MASK;
    ret.limb[3] = (uint64_t)r3 & SC_FIELD_MASK;
    ret.limb[4] = (uint64_t)r4 & SC_FIELD_MASK;
    return ret;
}

static inline struct sc_field sc_field_mul(const struct sc_field *a, const struct sc_field *b)
{
    const uint64_t a0 = a->limb[0], a1 = a->limb[1], a2 = a->limb[2], a3 = a->limb[3],
                   a4 = a->limb[4];
    const uint64_t b0 = b->limb[0], b1 = b->limb[1], b2 = b->limb[2], b3 = b->limb[3],
                   b4 = b->limb[4];
    const uint64_t c1 = 19 * b1, c2 = 19 * b2, c3 = 19 * b3, c4 = 19 * b4;
    return sc_field_carry((sc_wide)a0 * b0 + (sc_wide)a1 * c4 + (sc_wide)a2 * c3 +
                              (sc_wide)a3 * c2 + (sc_wide)a4 * c1,
                          (sc_wide)a0 * b1 + (sc_wide)a1 * b0 + (sc_wide)a2 * c4 +
                              (sc_wide)a3 * c3 + (sc_wide)a4 * c2,
                          (sc_wide)a0 * b2 + (sc_wide)a1 * b1 + (sc_wide)a2 * b0 +
                              (sc_wide)a3 * c4 + (sc_wide)a4 * c3,
                          (sc_wide)a0 * b3 + (sc_wide)a1 * b2 + (sc_wide)a2 * b1 +
                              (sc_wide)a3 * b0 + (sc_wide)a4 * c4,
                          (sc_wide)a0 * b4 + (sc_wide)a1 * b3 + (sc_wide)a2 * b2 +
                              (sc_wide)a3 * b1 + (sc_wide)a4 * b0);
}

static inline struct sc_field sc_field_square(const struct sc_field *a)
{
    const uint64_t a0 = a->limb[0], a1 = a->limb[1], a2 = a->limb[2], a3 = a->limb[3],
                   a4 = a->limb[4];
    const uint64_t d0 = 2 * a0, d1 = 2 * a1, d2 = 2 * a2, c3 = 19 * a3, c4 = 19 * a4;
    return sc_field_carry((sc_wide)a0 * a0 + (sc_wide)d1 * c4 + (sc_wide)d2 * c3,
                          (sc_wide)d0 * a1 + (sc_wide)d2 * c4 + (sc_wide)a3 * c3,
                          (sc_wide)d0 * a2 + (sc_wide)a1 * a1 + (sc_wide)(2 * a3) * c4,
                          (sc_wide)d0 * a3 + (sc_wide)d1 * a2 + (sc_wide)a4 * c4,
                          (sc_wide)d0 * a4 + (sc_wide)d1 * a3 + (sc_wide)a2 * a2);
}

/* The same number, tight. */
static inline struct sc_field sc_field_tighten(const struct sc_field *a)
{
    return sc_field_carry(a->limb[0], a->limb[1], a->limb[2], a->limb[3], a->limb[4]);
}

/* a^(2^count), count > 0. */
static inline struct sc_field sc_field_square_times(const struct sc_field *a, int count)
{
    struct sc_field ret = *a;
    for (int i = 0; i < count; i++)
        ret = sc_field_square(&ret);
    return ret;
}

/* a^(p-2): the inverse, and 0 of 0. */
static inline struct sc_field sc_field_invert(const struct sc_field *a)
{
    struct sc_field to2 = sc_field_square(a);
    struct sc_field t = sc_field_square_times(&to2, 2);
    struct sc_field to9 = sc_field_mul(&t, a);
    struct sc_field to11 = sc_field_mul(&to9, &to2);
    t = sc_field_square(&to11);
    struct sc_field ones5 = sc_field_mul(&t, &to9); /* a^(2^5 - 1) */
    t = sc_field_square_times(&ones5, 5);
    struct sc_field ones10 = sc_field_mul(&t, &ones5);
    t = sc_field_square_times(&ones10, 10);
    struct sc_field ones20 = sc_field_mul(&t, &ones10);
    t = sc_field_square_times(&ones20, 20);
    t = sc_field_mul(&t, &ones20);
    t = sc_field_square_times(&t, 10);
    struct sc_field ones50 = sc_field_mul(&t, &ones10);
    t = sc_field_square_times(&ones50, 50);
    struct sc_field ones100 = sc_field_mul(&t, &ones50);
    t = sc_field_square_times(&ones100, 100);
    t = sc_field_mul(&t, &ones100);
    t = sc_field_square_times(&t, 50);
    t = sc_field_mul(&t, &ones50);
    t = sc_field_square_times(&t, 5);
    return sc_field_mul(&t, &to11); /* 2^255 - 2^5 + 11 = p - 2 */
}

/* The low 255 bits, little-endian; they may be p or more [RFC7748 5]. */
static inline struct sc_field sc_field_read(const uint8_t bytes[SC_FIELD_BYTES])
{
    uint64_t w[4] = {0};
    for (int i = 0; i < SC_FIELD_BYTES; i++)
        w[i / 8] |= (uint64_t)bytes[i] << 8 * (i % 8);
    return (struct sc_field){.limb = {
                                 w[0] & SC_FIELD_MASK,
                                 (w[0] >> 51 | w[1] << 13) & SC_FIELD_MASK,
                                 (w[1] >> 38 | w[2] << 26) & SC_FIELD_MASK,
                                 (w[2] >> 25 | w[3] << 39) & SC_FIELD_MASK,
                                 (w[3] >> 12) & SC_FIELD_MASK,
                             }};
}

/* The one form of it that is below p. */
static inline void sc_field_write(const struct sc_field *a, uint8_t ret[SC_FIELD_BYTES])
{
    struct sc_field t = sc_field_tighten(a);
    t = sc_field_tighten(&t); /* below 2^255 + 2^13 or so: at most p is to be taken off once */
    uint64_t carry = 19;
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        carry = (t.limb[i] + carry) >> 51;
    t.limb[0] += 19 * carry; /* `carry` is 1 if it is p or more */
    for (int i = 0; i < SC_FIELD_LIMBS - 1; i++) {
        t.limb[i + 1] += t.limb[i] >> 51;
        t.limb[i] &= SC_FIELD_MASK;
    }
    t.limb[4] &= SC_FIELD_MASK;
    const uint64_t w[4] = {
        t.limb[0] | t.limb[1] << 51,
        t.limb[1] >> 13 | t.limb[2] << 38,
        t.limb[2] >> 26 | t.limb[3] << 25,
        t.limb[3] >> 39 | t.limb[4] << 12,
    };
    for (int i = 0; i < SC_FIELD_BYTES; i++)
        ret[i] = (uint8_t)(w[i / 8] >> 8 * (i % 8));
}

/* All ones if `bit` is 1, zero if it is 0, in a way that the compiler cannot see. */
static inline uint64_t sc_field_mask(uint64_t bit)
{
    uint64_t mask = 0 - bit;
    __asm__("" : "+r"(mask));
    return mask;
}

/* `*ret` becomes `a` where `mask` is all ones, and stays where it is zero. */
static inline void sc_field_choose(struct sc_field *ret, const struct sc_field *a, uint64_t mask)
{
    for (int i = 0; i < SC_FIELD_LIMBS; i++)
        ret->limb[i] ^= mask & (ret->limb[i] ^ a->limb[i]);
}

static inline void sc_field_swap(struct sc_field *a, struct sc_field *b, uint64_t mask)
{
    for (int i = 0; i < SC_FIELD_LIMBS; i++) {
        uint64_t difference = mask & (a->limb[i] ^ b->limb[i]);
        a->limb[i] ^= difference;
        b->limb[i] ^= difference;
    }
}

#endif

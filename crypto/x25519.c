/* SPDX-License-Identifier: MIT */
#include "crypto/x25519.h"

/* OpenSSL makes public keys with limbs of 26 bits: 0.9 times the time that its ladder takes for a
 * shared secret, in assembly.  With limbs of 51 bits it is half of that.
 *
 * A public key is a multiple of one point, so that most of the work is done before: on the curve
 * edwards25519, which is another form of curve25519 [RFC7748 4.1], it is the sum of 64 points of a
 * table.  With digits of the private key k from -8 to 8,
 *
 *     k B = sum of digit[2i] 256^i B + 16 (sum of digit[2i+1] 256^i B),  i = 0 .. 31,
 *
 * and the table has 1 to 8 times each 256^i B.  All 8 are read for each digit.  [Bernstein et al.:
 * High-speed high-security signatures, 2012, section 4]
 *
 * What the stack has of a private key is wiped at the end, with all below the caller: compilers put
 * more there than what has a name. */

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "crypto/x25519_table.h"
#include "proto/base/assert.h"

/* What a row has of a point. */
struct entry {
    struct sc_field sum, difference, product;
};

static_assert(sizeof(struct entry) == SC_X25519_ENTRY_LIMBS * sizeof(uint64_t),
              "an entry is its limbs, in the order of a row");

static struct sc_x25519_row table[SC_X25519_ROWS];
static bool has_table;

static const struct sc_field zero = {.limb = {0}};
static const struct sc_field one = {.limb = {1}};

/* 2 d, and the point of the order that k is taken of.  [RFC7748 4.1] */
static const struct sc_field twice_d = {
    .limb = {UINT64_C(0x69b9426b2f159), UINT64_C(0x35050762add7a), UINT64_C(0x3cf44c0038052),
             UINT64_C(0x6738cc7407977), UINT64_C(0x2406d9dc56dff)}};
static const struct sc_field base_x = {
    .limb = {UINT64_C(0x62d608f25d51a), UINT64_C(0x412a4b4f6592a), UINT64_C(0x75b7171a4b31d),
             UINT64_C(0x1ff60527118fe), UINT64_C(0x216936d3cd6e5)}};
static const struct sc_field base_y = {
    .limb = {UINT64_C(0x6666666666658), UINT64_C(0x4cccccccccccc), UINT64_C(0x1999999999999),
             UINT64_C(0x3333333333333), UINT64_C(0x6666666666666)}};

/* The point E/G, H/F, which is how sums come. */
static struct sc_x25519_point finish(const struct sc_field *e, const struct sc_field *f,
                                     const struct sc_field *g, const struct sc_field *h)
{
    return (struct sc_x25519_point){
        .X = sc_field_mul(e, f),
        .Y = sc_field_mul(g, h),
        .Z = sc_field_mul(f, g),
        .T = sc_field_mul(e, h),
    };
}

/* [Hisil et al.: Twisted Edwards curves revisited, 2008, section 3.1]  Also right for equal points
 * and for the neutral one.  Where q is (x, y): a and b are the products of Y - X and y - x, Y + X
 * and y + x, c is 2 d T x y, and d is 2 Z. */
static struct sc_x25519_point sum_of(const struct sc_field *a, const struct sc_field *b,
                                     const struct sc_field *c, const struct sc_field *d)
{
    const struct sc_field e = sc_field_sub(b, a);
    const struct sc_field f = sc_field_sub(d, c);
    const struct sc_field g = sc_field_add(d, c);
    const struct sc_field h = sc_field_add(b, a);
    return finish(&e, &f, &g, &h);
}

static void add(struct sc_x25519_point *p, const struct entry *q)
{
    struct sc_field t = sc_field_sub(&p->Y, &p->X);
    const struct sc_field a = sc_field_mul(&t, &q->difference);
    t = sc_field_add(&p->Y, &p->X);
    const struct sc_field b = sc_field_mul(&t, &q->sum);
    const struct sc_field c = sc_field_mul(&p->T, &q->product);
    const struct sc_field d = sc_field_add(&p->Z, &p->Z);
    *p = sum_of(&a, &b, &c, &d);
}

/* [ibid., section 3.3] */
static void twice(struct sc_x25519_point *p)
{
    struct sc_field t = sc_field_add(&p->X, &p->Y);
    const struct sc_field square = sc_field_square(&t);
    const struct sc_field a = sc_field_square(&p->X);
    const struct sc_field b = sc_field_square(&p->Y);
    t = sc_field_square(&p->Z);
    const struct sc_field c = sc_field_add(&t, &t);
    const struct sc_field h = sc_field_add(&a, &b);
    const struct sc_field e = sc_field_sub(&square, &h);
    t = sc_field_sub(&b, &a);
    const struct sc_field g = sc_field_tighten(&t);
    const struct sc_field f = sc_field_sub(&c, &g);
    *p = finish(&e, &f, &g, &h);
}

static struct entry entry_of(const struct sc_x25519_point *p, const struct sc_field *inverse)
{
    const struct sc_field x = sc_field_mul(&p->X, inverse);
    const struct sc_field y = sc_field_mul(&p->Y, inverse);
    const struct sc_field xy = sc_field_mul(&x, &y);
    const struct sc_field sum = sc_field_add(&y, &x);
    const struct sc_field difference = sc_field_sub(&y, &x);
    return (struct entry){
        .sum = sc_field_tighten(&sum),
        .difference = sc_field_tighten(&difference),
        .product = sc_field_mul(&xy, &twice_d),
    };
}

/* Entries of `points`, by one inversion: that of the product of all Z. */
static void make_row(const struct sc_x25519_point points[SC_X25519_ROW_POINTS],
                     struct sc_x25519_row *ret)
{
    struct sc_field before[SC_X25519_ROW_POINTS]; /* the product of the Z before it */
    struct sc_field all = one;
    for (int i = 0; i < SC_X25519_ROW_POINTS; i++) {
        before[i] = all;
        all = sc_field_mul(&all, &points[i].Z);
    }
    struct sc_field inverse = sc_field_invert(&all); /* of the product of the Z up to `i` */
    for (int i = SC_X25519_ROW_POINTS - 1; i >= 0; i--) {
        const struct sc_field of_this = sc_field_mul(&inverse, &before[i]);
        const struct entry entry = entry_of(&points[i], &of_this);
        uint64_t limbs[SC_X25519_ENTRY_LIMBS];
        memcpy(limbs, &entry, sizeof(limbs));
        for (int limb = 0; limb < SC_X25519_ENTRY_LIMBS; limb++)
            ret->limbs[limb][i] = limbs[limb];
        inverse = sc_field_mul(&inverse, &points[i].Z);
    }
}

void sc_x25519_init(void)
{
    struct sc_x25519_point first = {
        .X = base_x, .Y = base_y, .Z = one, .T = sc_field_mul(&base_x, &base_y)};
    for (int row = 0; row < SC_X25519_ROWS; row++) {
        struct sc_x25519_point points[SC_X25519_ROW_POINTS];
        const struct sc_field inverse = sc_field_invert(&first.Z);
        const struct entry entry = entry_of(&first, &inverse);
        points[0] = first;
        for (int i = 1; i < SC_X25519_ROW_POINTS; i++) {
            points[i] = points[i - 1];
            add(&points[i], &entry);
        }
        make_row(points, &table[row]);
        for (int i = 0; i < 8; i++)
            twice(&first);
    }
    has_table = true;
}

/* The entry for `digit`, which is -8 to 8. */
static void look_up(const struct sc_x25519_row *row, int8_t digit, struct entry *ret)
{
    const uint64_t is_negative = (uint64_t)(int64_t)digit >> 63;
    const uint64_t negate = sc_field_mask(is_negative);
    const uint64_t size = ((uint64_t)(int64_t)digit ^ negate) + is_negative;
    const uint64_t none = sc_field_mask((size - 1) >> 63);
    uint64_t masks[SC_X25519_ROW_POINTS];
    uint64_t limbs[SC_X25519_ENTRY_LIMBS] = {0};
    for (uint64_t i = 0; i < SC_X25519_ROW_POINTS; i++)
        masks[i] = sc_field_mask(((size ^ (i + 1)) - 1) >> 63);
    for (int limb = 0; limb < SC_X25519_ENTRY_LIMBS; limb++)
        for (int i = 0; i < SC_X25519_ROW_POINTS; i++)
            limbs[limb] |= row->limbs[limb][i] & masks[i];
    memcpy(ret, limbs, sizeof(*ret));
    sc_field_choose(&ret->sum, &one, none);
    sc_field_choose(&ret->difference, &one, none);
    sc_field_swap(&ret->sum, &ret->difference, negate);
    struct sc_field minus = sc_field_sub(&zero, &ret->product);
    minus = sc_field_tighten(&minus);
    sc_field_choose(&ret->product, &minus, negate);
}

void sc_x25519_clamp(const uint8_t secret[SC_X25519_SIZE], uint8_t ret[SC_X25519_SIZE])
{
    memcpy(ret, secret, SC_X25519_SIZE);
    ret[0] &= 248;
    ret[31] &= 127;
    ret[31] |= 64;
}

static void split(const uint8_t scalar[SC_X25519_SIZE], int8_t ret[SC_X25519_DIGITS])
{
    int8_t carry = 0;
    for (int i = 0; i < SC_X25519_DIGITS; i++) {
        int8_t digit = (int8_t)((scalar[i / 2] >> 4 * (i % 2) & 15) + carry);
        carry = (int8_t)((digit + 8) >> 4);
        ret[i] = (int8_t)(digit - 16 * carry);
    }
    /* The scalar is below 2^255, so the last digit is 8 at most: it gives no carry away. */
    ret[SC_X25519_DIGITS - 1] = (int8_t)(ret[SC_X25519_DIGITS - 1] + 16 * carry);
}

/* u = (1 + y) / (1 - y) */
static void write_u(const struct sc_x25519_point *p, uint8_t ret[SC_X25519_SIZE])
{
    const struct sc_field above = sc_field_add(&p->Z, &p->Y);
    const struct sc_field below = sc_field_sub(&p->Z, &p->Y);
    const struct sc_field inverse = sc_field_invert(&below);
    const struct sc_field u = sc_field_mul(&above, &inverse);
    sc_field_write(&u, ret);
}

/* Wipes what the functions that the caller has called before have left on the stack. */
static SB_NEVER_INLINE void wipe_below(void)
{
    uint8_t bytes[SC_X25519_STACK_BYTES];
    explicit_bzero(bytes, sizeof(bytes));
}

static SB_NEVER_INLINE void make_public(const uint8_t secret[SC_X25519_SIZE],
                                        uint8_t ret[SC_X25519_SIZE])
{
    uint8_t scalar[SC_X25519_SIZE];
    int8_t digits[SC_X25519_DIGITS];
    struct sc_x25519_point p = {.X = zero, .Y = one, .Z = one, .T = zero};
    struct entry entry;
    sc_x25519_clamp(secret, scalar);
    split(scalar, digits);
    for (int i = 1; i < SC_X25519_DIGITS; i += 2) {
        look_up(&table[i / 2], digits[i], &entry);
        add(&p, &entry);
    }
    for (int i = 0; i < 4; i++)
        twice(&p);
    for (int i = 0; i < SC_X25519_DIGITS; i += 2) {
        look_up(&table[i / 2], digits[i], &entry);
        add(&p, &entry);
    }
    write_u(&p, ret);
}

void sc_x25519_public(const uint8_t secret[SC_X25519_SIZE], uint8_t ret[SC_X25519_SIZE])
{
    SB_ASSERT(has_table);
    make_public(secret, ret);
    wipe_below();
}

#if SC_WITH_FUSED

static void add_point(struct sc_x25519_point *p, const struct sc_x25519_point *q)
{
    struct sc_field t = sc_field_sub(&p->Y, &p->X);
    struct sc_field of_q = sc_field_sub(&q->Y, &q->X);
    const struct sc_field a = sc_field_mul(&t, &of_q);
    t = sc_field_add(&p->Y, &p->X);
    of_q = sc_field_add(&q->Y, &q->X);
    const struct sc_field b = sc_field_mul(&t, &of_q);
    of_q = sc_field_mul(&q->T, &twice_d);
    const struct sc_field c = sc_field_mul(&p->T, &of_q);
    t = sc_field_mul(&p->Z, &q->Z);
    const struct sc_field d = sc_field_add(&t, &t);
    *p = sum_of(&a, &b, &c, &d);
}

static SB_NEVER_INLINE void make_public_ifma(const uint8_t secret[SC_X25519_SIZE],
                                             uint8_t ret[SC_X25519_SIZE])
{
    uint8_t scalar[SC_X25519_SIZE];
    int8_t digits[SC_X25519_DIGITS];
    struct sc_x25519_point sums[SC_X25519_SUMS];
    sc_x25519_clamp(secret, scalar);
    split(scalar, digits);
    sc_x25519_sums_ifma(table, digits, sums);
    add_point(&sums[0], &sums[1]);
    for (int i = 0; i < 4; i++)
        twice(&sums[0]);
    add_point(&sums[2], &sums[3]);
    add_point(&sums[0], &sums[2]);
    write_u(&sums[0], ret);
}

void sc_x25519_public_ifma(const uint8_t secret[SC_X25519_SIZE], uint8_t ret[SC_X25519_SIZE])
{
    SB_ASSERT(has_table);
    make_public_ifma(secret, ret);
    wipe_below();
}

bool sc_x25519_shared_ifma(const uint8_t secret[SC_X25519_SIZE], const uint8_t peer[SC_X25519_SIZE],
                           uint8_t ret[SC_X25519_SIZE])
{
    uint8_t any = 0;
    sc_x25519_ladder_ifma(secret, peer, ret);
    wipe_below();
    for (int i = 0; i < SC_X25519_SIZE; i++)
        any |= ret[i];
    return any != 0;
}

/* Alice's private key, Bob's public key, and what they share.  [RFC7748 6.1] */
static const uint8_t rfc_secret[SC_X25519_SIZE] = {
    0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45,
    0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
};
static const uint8_t rfc_peer[SC_X25519_SIZE] = {
    0xde, 0x9e, 0xdb, 0x7d, 0x7b, 0x7d, 0xc1, 0xb4, 0xd3, 0x5b, 0x61, 0xc2, 0xec, 0xe4, 0x35, 0x37,
    0x3f, 0x83, 0x43, 0xc8, 0x5b, 0x78, 0x67, 0x4d, 0xad, 0xfc, 0x7e, 0x14, 0x6f, 0x88, 0x2b, 0x4f,
};
static const uint8_t rfc_shared[SC_X25519_SIZE] = {
    0x4a, 0x5d, 0x9d, 0x5b, 0xa4, 0xce, 0x2d, 0xe1, 0x72, 0x8e, 0x3b, 0xf4, 0x80, 0x35, 0x0f, 0x25,
    0xe0, 0x7e, 0x21, 0xc9, 0x47, 0xd1, 0x9e, 0x33, 0x76, 0xf0, 0x9b, 0x3c, 0x1e, 0x16, 0x17, 0x42,
};

static bool shares_as_the_rfc(void)
{
    uint8_t ret[SC_X25519_SIZE];
    return sc_x25519_shared_ifma(rfc_secret, rfc_peer, ret) &&
           memcmp(ret, rfc_shared, sizeof(ret)) == 0;
}

static bool makes_the_same_key(void)
{
    uint8_t expected[SC_X25519_SIZE], made[SC_X25519_SIZE];
    sc_x25519_public(rfc_secret, expected);
    sc_x25519_public_ifma(rfc_secret, made);
    return memcmp(made, expected, sizeof(made)) == 0;
}

/* Also whether the kernel keeps the registers. */
static bool has_ifma(void)
{
    return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512ifma");
}

sc_x25519_shared sc_x25519_shared_here(void)
{
    return has_ifma() && shares_as_the_rfc() ? sc_x25519_shared_ifma : NULL;
}

sc_x25519_public_key sc_x25519_public_here(void)
{
    return has_ifma() && makes_the_same_key() ? sc_x25519_public_ifma : sc_x25519_public;
}

#else

sc_x25519_shared sc_x25519_shared_here(void)
{
    return NULL;
}

sc_x25519_public_key sc_x25519_public_here(void)
{
    return sc_x25519_public;
}

#endif

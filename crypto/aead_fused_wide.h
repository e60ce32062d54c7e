/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_WIDE_H
#define SC_AEAD_FUSED_WIDE_H

/* Wide groups of the fused AES-GCM: VEC_WIDE vectors at a time, for layers whose registers hold
 * them.  How it works stands in aead_fused_impl.h. */

#include "crypto/aead_fused_pass.h"

#if VEC_WIDE > 0

enum { WIDE_SIZE = VEC_WIDE * VEC_SIZE, WIDE_BLOCKS = VEC_WIDE * VEC_BLOCKS };

#define WIDE_EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
_Static_assert(VEC_WIDE == 8, "WIDE_EACH() has each");
_Static_assert((size_t)WIDE_BLOCKS <= POWERS, "the key has the powers");

/* What tells the counter blocks of a wide group from each other: the low bits of the counter.  A
 * packet's first one is 2, and so that of each wide group is 2 more than a multiple. */
static const uint8_t wide_counts[WIDE_BLOCKS][16] = {
#define COUNT(n) {[15] = ((n) + COUNTER_FIRST) % WIDE_BLOCKS}
#define COUNT_8(n) \
    COUNT(n), COUNT((n) + 1), COUNT((n) + 2), COUNT((n) + 3), COUNT((n) + 4), COUNT((n) + 5), \
        COUNT((n) + 6), COUNT((n) + 7)
    COUNT_8(0), COUNT_8(8), COUNT_8(16), COUNT_8(24)
#undef COUNT_8
#undef COUNT
};
_Static_assert(WIDE_BLOCKS == 32, "the table has each, and its bits are 5");

/* The last COUNTER_FIRST of them have a carry into the other bits. */
static const uint8_t wide_carry[VEC_BLOCKS][16] = {
    [VEC_BLOCKS - 2] = {[12] = WIDE_BLOCKS},
    [VEC_BLOCKS - 1] = {[12] = WIDE_BLOCKS},
};
_Static_assert(COUNTER_FIRST == 2, "as many have a carry");

struct wide {
    vec counter; /* the next group's, with low bits of 0, in the machine's order */
    vec state[VEC_WIDE];
    vec text[VEC_WIDE]; /* ciphertext */
};

INLINE void wide_begin(struct wide *wide, const struct pass *pass)
{
    wide->counter = vec_every(pass->nonce);
}

/* Goes on with groups of the usual size. */
INLINE void wide_end(const struct wide *wide, struct pass *pass)
{
    pass->counter = vec_add(wide->counter, vec_every(_mm_set_epi32(COUNTER_FIRST, 0, 0, 0)));
    pass->counter = vec_add(pass->counter, vec_count());
}

/* The products of vector `i`, by Karatsuba's rule. */
INLINE struct sum wide_products(struct pass *pass, vec text, size_t i)
{
    const size_t at = power_at(WIDE_BLOCKS) + i * VEC_BLOCKS;
    vec blocks = vec_reverse(text);
    if (i == 0)
        blocks = vec_xor(blocks, vec_first(pass->hash));
    vec power = vec_load(pass->key->powers[at]);
    vec fold = vec_xor(blocks, vec_swap(blocks));
    return (struct sum){
        .low = vec_mul_ll(blocks, power),
        .middle = vec_mul_ll(fold, vec_load(pass->key->folds[at])),
        .high = vec_mul_hh(blocks, power),
    };
}

/* Adds two at a time: an XOR of three costs no more than one of two. */
INLINE void wide_add(struct sum *sum, const struct sum *one, const struct sum *two)
{
    sum->low = vec_xor3(sum->low, one->low, two->low);
    sum->middle = vec_xor3(sum->middle, one->middle, two->middle);
    sum->high = vec_xor3(sum->high, one->high, two->high);
}

INLINE void wide_reduce(struct pass *pass, struct sum *sum)
{
    sum_part(sum);
    pass->hash = vec_sum(sum_reduce_each(sum));
}

#define WIDE_HASH(a, b) \
    { \
        struct sum one = wide_products(pass, wide->text[a], a); \
        struct sum two = wide_products(pass, wide->text[b], b); \
        wide_add(&sum, &one, &two); \
    }

/* Runs all rounds but the last over the next wide group of counter blocks, and hashes `text`
 * meanwhile, if it `hashes`. */
INLINE void wide_pass(struct wide *wide, struct pass *pass, bool hashes)
{
    const struct sc_fused_schedule *schedule = &pass->key->schedule;
    const vec step = vec_every(_mm_set_epi32(WIDE_BLOCKS, 0, 0, 0));
    struct sum sum = sum_zero();
    vec key = round_key(schedule, 0);
    vec last = vec_add(wide->counter, vec_load(wide_carry[0]));
    vec most = vec_xor(counter_blocks(wide->counter), key);
    last = vec_xor(counter_blocks(last), key);
    wide->counter = vec_add(wide->counter, step);
#define BEGIN(i) \
    wide->state[i] = \
        vec_xor((i) == VEC_WIDE - 1 ? last : most, vec_load(wide_counts[(i) * VEC_BLOCKS]));
#define ROUND(i) wide->state[i] = vec_round(wide->state[i], key);
    /* clang-format off */
#define ROUNDS(r) \
    key = round_key(schedule, r); \
    WIDE_EACH(ROUND)
#define HASH(a, b) if (hashes) WIDE_HASH(a, b)
    WIDE_EACH(BEGIN)
    ROUNDS(1) HASH(0, 1)
    ROUNDS(2)
    ROUNDS(3) HASH(2, 3)
    ROUNDS(4)
    ROUNDS(5) HASH(4, 5)
    ROUNDS(6)
    ROUNDS(7) HASH(6, 7)
    ROUNDS(8)
    if (hashes)
        wide_reduce(pass, &sum);
    ROUNDS(9)
    /* clang-format on */
    if (schedule->rounds > 10) {
        ROUNDS(10)
        ROUNDS(11)
        ROUNDS(12)
        ROUNDS(13)
    }
#undef HASH
#undef ROUNDS
#undef ROUND
#undef BEGIN
}

/* Hashes `text` alone. */
INLINE void wide_hash(struct wide *wide, struct pass *pass)
{
    struct sum sum = sum_zero();
    WIDE_HASH(0, 1)
    WIDE_HASH(2, 3)
    WIDE_HASH(4, 5)
    WIDE_HASH(6, 7)
    wide_reduce(pass, &sum);
}
#undef WIDE_HASH

#endif

/* Returns whether `size` bytes of text have a wide group. */
INLINE bool wide_fits(size_t size)
{
#if VEC_WIDE > 0
    return size >= WIDE_SIZE;
#else
    (void)size;
    return false;
#endif
}

#endif

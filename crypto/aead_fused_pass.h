/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_PASS_H
#define SC_AEAD_FUSED_PASS_H

/* A packet's way through the fused AES-GCM: counters, rounds, and what is hashed meanwhile.
 * How it works stands in aead_fused_impl.h. */

#include "crypto/aead_fused.h"
#include "crypto/aead_fused_hash.h"
#include "proto/base/compiler.h"

/* The counter of a packet's first block; 1 encrypts the tag. */
enum { COUNTER_FIRST = 2 };

struct pass {
    const struct sc_fused_key *key;
    __m128i nonce; /* a block with a counter of 0 */
    vec counter;   /* blocks, with the counter in the machine's order */
    vec last_key;
    vec tag_state; /* the counter block that hides the tag, between rounds, first */
    __m128i hash;  /* Y so far: added to the next block */
};

INLINE struct pass pass_of(const struct sc_fused_key *key, uint64_t pn)
{
    /* [RFC9001 5.3] The packet number, big endian and padded on the left, XOR the IV. */
    __m128i number = _mm_cvtsi64_si128((long long)__builtin_bswap64(pn));
    __m128i nonce = _mm_xor_si128(sc_load_all(key->iv), _mm_slli_si128(number, 4));
    const struct sc_fused_schedule *schedule = &key->schedule;
    __m128i one = _mm_xor_si128(nonce, _mm_set_epi32(0x01000000, 0, 0, 0)); /* big endian */
    __m128i two = _mm_xor_si128(nonce, _mm_set_epi32(COUNTER_FIRST, 0, 0, 0));
    return (struct pass){
        .key = key,
        .nonce = nonce,
        .counter = vec_add(vec_every(two), vec_count()),
        .last_key = round_key(schedule, schedule->rounds),
        .tag_state = vec_xor(vec_first(one), round_key(schedule, 0)),
        .hash = _mm_setzero_si128(),
    };
}

/* Brings the counters, the last word of each block, from the machine's order to that of GCM. */
INLINE vec counter_blocks(vec counter)
{
    const vec order = vec_every(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    return vec_bytes(counter, order);
}

/* The next counter blocks. */
INLINE vec pass_count(struct pass *pass)
{
    const vec step = vec_every(_mm_set_epi32(VEC_BLOCKS, 0, 0, 0));
    vec blocks = counter_blocks(pass->counter);
    pass->counter = vec_add(pass->counter, step);
    return blocks;
}

/* Adds vector `i` at `text` to `sum`, as one of those that the power `at` is the first of. */
INLINE void pass_hash(struct pass *pass, struct sum *sum, vec text, size_t i, size_t at)
{
    vec blocks = vec_reverse(text);
    if (i == 0) {
        blocks = vec_xor(blocks, vec_first(pass->hash));
        pass->hash = _mm_setzero_si128();
    }
    sum_add(sum, blocks, pass->key, at + i * VEC_BLOCKS);
}

/* Runs all rounds but the last over the next group of counter blocks, and over the tag's with
 * `with_tag`; and hashes the group at `hashed` meanwhile, if there is one. */
INLINE void pass_group(struct pass *pass, vec state[VEC_GROUP], bool with_tag,
                       const uint8_t *hashed)
{
    const struct sc_fused_schedule *schedule = &pass->key->schedule;
    struct sum sum = sum_zero();
    vec key = round_key(schedule, 0);
#define BEGIN(i) state[i] = vec_xor(pass_count(pass), key);
#define ROUND(i) state[i] = vec_round(state[i], key);
    /* clang-format off */
#define ROUNDS(r) \
    key = round_key(schedule, r); \
    VEC_EACH(ROUND) \
    if (with_tag) \
        pass->tag_state = vec_round(pass->tag_state, key);
#define HASH(i) \
    if (hashed != NULL && i < VEC_GROUP) \
        pass_hash(pass, &sum, vec_load(hashed + i * VEC_SIZE), i, \
                  power_at(VEC_GROUP * VEC_BLOCKS));
    VEC_EACH(BEGIN)
    ROUNDS(1) HASH(0)
    ROUNDS(2) HASH(1)
    ROUNDS(3) HASH(2)
    ROUNDS(4) HASH(3)
    ROUNDS(5) HASH(4)
    ROUNDS(6) HASH(5)
    ROUNDS(7)
    ROUNDS(8)
    ROUNDS(9)
        /* clang-format on */
        if (hashed != NULL) pass->hash = sum_reduce(&sum);
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
_Static_assert(VEC_GROUP <= 6, "there is a place in pass_group() to hash each");

/* The last round, and the text that it is XORed to. */
INLINE vec pass_crypt(const struct pass *pass, vec state, vec text)
{
    return vec_last_round(state, vec_xor(text, pass->last_key));
}

/* Hashes associated data.  The last of it is left in the sum, to be reduced with `behind` more
 * blocks. */
INLINE struct sum pass_header(struct pass *pass, const uint8_t *header, size_t size, size_t behind)
{
    while (SB_UNLIKELY(size > VEC_SIZE)) { /* an Initial with a token */
        struct sum one = sum_zero();
        pass_hash(pass, &one, vec_load(header), 0, power_at(VEC_BLOCKS));
        pass->hash = sum_reduce(&one);
        header += VEC_SIZE;
        size -= VEC_SIZE;
    }
    struct sum sum = sum_zero();
    vec last = vec_load_some(header, size);
    pass_hash(pass, &sum, last, 0, power_at((size + 15) / 16 + behind));
    return sum;
}

/* The tag: hashes the lengths, and hides the result under the tag's counter block. */
INLINE __m128i pass_tag(struct pass *pass, struct sum *sum, size_t header_size, size_t size)
{
    __m128i bits = _mm_set_epi64x((long long)header_size * 8, (long long)size * 8);
    sum_add(sum, vec_first(_mm_xor_si128(bits, pass->hash)), pass->key, power_at(1));
    vec hash = vec_first(reverse(sum_reduce(sum)));
    return vec_low(pass_crypt(pass, pass->tag_state, hash));
}

INLINE size_t blocks_of(size_t size)
{
    return (size + 15) / 16;
}

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_HASH_H
#define SC_AEAD_FUSED_HASH_H

/* GHASH for the fused AES-GCM, and the keys.  How it works stands in aead_fused_impl.h. */

#include <string.h>

#include <openssl/crypto.h>

#include "crypto/aead_fused.h"
#ifndef SC_AEAD_FUSED_VEC_H
#include "crypto/aead_fused_vec256.h" /* unless the includer has chosen another */
#endif

/* What is cut out for reading only; it must all melt together. */
#define INLINE static inline __attribute__((always_inline))

enum {
    GROUP_SIZE = VEC_GROUP * VEC_SIZE,
    /* Blocks that one reduction may have: a vector of header, a group of text, the lengths; or
     * a wide group.  Whole vectors. */
    POWERS = VEC_BLOCKS * (VEC_WIDE > VEC_GROUP + 2 ? VEC_WIDE : VEC_GROUP + 2),
    SIZE_MAX_SUPPORTED = INT32_MAX,
};
_Static_assert((size_t)POWERS <= SC_FUSED_POWERS, "the key has room for the powers");
_Static_assert((size_t)VEC_BLOCKS <= SC_FUSED_POWERS_PADDING, "a vector ends within the table");

/* ---- GHASH ---- */

INLINE __m128i reverse(__m128i block)
{
    const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm_shuffle_epi8(block, order);
}

INLINE vec vec_reverse(vec blocks)
{
    const __m128i order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return vec_bytes(blocks, vec_every(order));
}

/* Products that are summed up and not reduced yet.  With Karatsuba's rule `middle` still has
 * the two others in it. */
struct sum {
    vec low, middle, high;
};

INLINE struct sum sum_zero(void)
{
    return (struct sum){vec_zero(), vec_zero(), vec_zero()};
}

/* Where the vector begins whose first block is multiplied by H^exponent. */
INLINE size_t power_at(size_t exponent)
{
    return POWERS - exponent;
}

/* Adds a vector of blocks, in reversed bytes, times the powers at index `at`. */
INLINE void sum_add(struct sum *sum, vec blocks, const struct sc_fused_key *key, size_t at)
{
    vec power = vec_load(key->powers[at]);
    sum->low = vec_xor(sum->low, vec_mul_ll(blocks, power));
    sum->high = vec_xor(sum->high, vec_mul_hh(blocks, power));
    if (VEC_KARATSUBA) {
        vec fold = vec_xor(blocks, vec_swap(blocks));
        sum->middle = vec_xor(sum->middle, vec_mul_ll(fold, vec_load(key->folds[at])));
    } else {
        vec lh = vec_mul_lh(blocks, power);
        vec hl = vec_mul_hl(blocks, power);
        sum->middle = vec_xor3(sum->middle, lh, hl);
    }
}

/* Takes the two other products out of the middle one, by Karatsuba's rule. */
INLINE void sum_part(struct sum *sum)
{
    sum->middle = vec_xor3(sum->middle, sum->low, sum->high);
}

/* Reduces each block's place of the vector for itself. */
INLINE vec sum_reduce_each(const struct sum *sum)
{
    const vec polynomial = vec_every(_mm_set_epi64x((long long)UINT64_C(0xc200000000000000), 0));
    vec middle = vec_xor3(sum->middle, vec_swap(sum->low), vec_mul_lh(sum->low, polynomial));
    return vec_xor3(sum->high, vec_swap(middle), vec_mul_lh(middle, polynomial));
}

INLINE __m128i sum_reduce(struct sum *sum)
{
    if (VEC_KARATSUBA)
        sum_part(sum);
    return vec_sum(sum_reduce_each(sum));
}

/* ---- Keys ---- */

static inline void fused_init_schedule(struct sc_fused_schedule *schedule, const uint8_t *key,
                                       size_t size)
{
    sc_fused_schedule_init(schedule, key, size);
}

INLINE vec round_key(const struct sc_fused_schedule *schedule, size_t i)
{
    return vec_every(sc_load_all(schedule->keys[i]));
}

/* H times x: a shift by one bit over 128, and the polynomial if a one falls out. */
static __m128i times_x(__m128i h)
{
    const __m128i polynomial = _mm_set_epi64x((long long)UINT64_C(0xc200000000000000), 1);
    __m128i carry = _mm_slli_si128(_mm_srli_epi64(h, 63), 8);
    __m128i fell_out = _mm_shuffle_epi32(_mm_srai_epi32(h, 31), 0xff);
    h = _mm_or_si128(_mm_slli_epi64(h, 1), carry);
    return _mm_xor_si128(h, _mm_and_si128(fell_out, polynomial));
}

/* Block by block. */
INLINE vec multiply(vec a, vec b)
{
    struct sum sum = {
        .low = vec_mul_ll(a, b),
        .middle = vec_xor(vec_mul_lh(a, b), vec_mul_hl(a, b)),
        .high = vec_mul_hh(a, b),
    };
    return sum_reduce_each(&sum);
}

static inline void fused_init_key(struct sc_fused_key *key, const uint8_t *aes_key, size_t size,
                                  const uint8_t iv[SC_IV_SIZE])
{
    memset(key, 0, sizeof(*key));
    sc_fused_schedule_init(&key->schedule, aes_key, size);
    memcpy(key->iv, iv, SC_IV_SIZE);

    /* H is the encryption of zeros. */
    const struct sc_fused_schedule *schedule = &key->schedule;
    vec state = round_key(schedule, 0);
    for (size_t i = 1; i < schedule->rounds; i++)
        state = vec_round(state, round_key(schedule, i));
    state = vec_last_round(state, round_key(schedule, schedule->rounds));

    __m128i power = times_x(reverse(vec_low(state))); /* by exponent, from 1 */
    for (size_t i = 1; i <= VEC_BLOCKS; i++) {
        sc_store_all(key->powers[power_at(i)], power);
        vec first = vec_first(sc_load_all(key->powers[power_at(1)]));
        power = vec_low(multiply(vec_first(power), first));
    }
    /* A vector of powers, times the highest power of another one, is a vector of higher ones. */
    for (size_t i = 2; i <= POWERS / VEC_BLOCKS; i++) {
        vec low = vec_load(key->powers[power_at(i / 2 * VEC_BLOCKS)]);
        __m128i top = sc_load_all(key->powers[power_at((i - i / 2) * VEC_BLOCKS)]);
        vec_store(key->powers[power_at(i * VEC_BLOCKS)], multiply(low, vec_every(top)));
    }
    for (size_t i = POWERS; i >= VEC_BLOCKS; i -= VEC_BLOCKS) {
        vec powers = vec_load(key->powers[power_at(i)]);
        vec_store(key->folds[power_at(i)], vec_xor(powers, vec_swap(powers)));
    }
    OPENSSL_cleanse(&power, sizeof(power));
    OPENSSL_cleanse(&state, sizeof(state));
}

#endif

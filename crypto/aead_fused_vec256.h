/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_VEC_H
#define SC_AEAD_FUSED_VEC_H

#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

#include "crypto/aead_fused_some.h"

/* The vector of AVX2 with VAES and VPCLMULQDQ: two blocks of 16 bytes.
 *
 * Such a layer is all that crypto/aead_fused_impl.h uses of the machine.  There are three, with
 * the same names and the same guard, of which a translation unit includes one: this,
 * aead_fused_vec512.h, and the tests' own, which does the work of either with plain AES-NI. */

typedef __m256i vec;

enum {
    VEC_BLOCKS = 2,
    VEC_SIZE = 16 * VEC_BLOCKS,
    VEC_GROUP = 6,     /* in flight: six, and what hashing takes, fit into 16 registers */
    VEC_KARATSUBA = 1, /* Zen 3 takes 2 cycles a product: three and a shuffle beat four */
};
#define VEC_EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define VEC_WIDE    0 /* vectors of a wide group: none, because 16 registers have no room for it */

static inline vec vec_load(const uint8_t *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

static inline void vec_store(uint8_t *at, vec value)
{
    _mm256_storeu_si256((__m256i *)(void *)at, value);
}

/* The first `size` bytes at `at`, at most VEC_SIZE, and zeros. */
static inline vec vec_load_some(const uint8_t *at, size_t size)
{
    if (size > 16)
        return _mm256_set_m128i(sc_load_some(at + 16, size - 16), sc_load_all(at));
    return _mm256_zextsi128_si256(sc_load_some(at, size));
}

static inline void vec_store_some(uint8_t *at, vec value, size_t size)
{
    __m128i low = _mm256_castsi256_si128(value);
    if (size > 16) {
        sc_store_all(at, low);
        sc_store_some(at + 16, _mm256_extracti128_si256(value, 1), size - 16);
    } else {
        sc_store_some(at, low, size);
    }
}

/* The first `size` bytes, and zeros. */
static inline vec vec_keep(vec value, size_t size)
{
    static const uint8_t ones_then_zeros[2 * VEC_SIZE] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    };
    return _mm256_and_si256(value, vec_load(ones_then_zeros + VEC_SIZE - size));
}

/* Returns `block`, followed by the block at `rest`. */
static inline vec vec_concat(__m128i block, const uint8_t *rest)
{
    return _mm256_set_m128i(sc_load_all(rest), block);
}

/* Blocks from VEC_BLOCKS places. */
static inline vec vec_join(const uint8_t *const *at)
{
    return _mm256_set_m128i(sc_load_all(at[1]), sc_load_all(at[0]));
}

static inline vec vec_zero(void)
{
    return _mm256_setzero_si256();
}

/* `block` in every block. */
static inline vec vec_every(__m128i block)
{
    return _mm256_broadcastsi128_si256(block);
}

/* `block` as the first one, then zeros. */
static inline vec vec_first(__m128i block)
{
    return _mm256_zextsi128_si256(block);
}

/* 0, 1, .. in the last word of each block. */
static inline vec vec_count(void)
{
    return _mm256_set_epi32(1, 0, 0, 0, 0, 0, 0, 0);
}

/* The first block. */
static inline __m128i vec_low(vec value)
{
    return _mm256_castsi256_si128(value);
}

/* All blocks XOR each other. */
static inline __m128i vec_sum(vec value)
{
    return _mm_xor_si128(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
}

static inline vec vec_xor(vec a, vec b)
{
    return _mm256_xor_si256(a, b);
}

static inline vec vec_xor3(vec a, vec b, vec c)
{
    return _mm256_xor_si256(_mm256_xor_si256(a, b), c);
}

/* In words of 32 bits. */
static inline vec vec_add(vec a, vec b)
{
    return _mm256_add_epi32(a, b);
}

/* The bytes of each block, in the order that the block `order` says. */
static inline vec vec_bytes(vec value, vec order)
{
    return _mm256_shuffle_epi8(value, order);
}

/* The halves of each block, exchanged. */
static inline vec vec_swap(vec value)
{
    return _mm256_shuffle_epi32(value, 0x4e);
}

static inline vec vec_round(vec state, vec key)
{
    return _mm256_aesenc_epi128(state, key);
}

static inline vec vec_last_round(vec state, vec key)
{
    return _mm256_aesenclast_epi128(state, key);
}

/* Products of halves: low by low, high by high, low of `a` by high of `b`, and the other way. */
static inline vec vec_mul_ll(vec a, vec b)
{
    return _mm256_clmulepi64_epi128(a, b, 0x00);
}

static inline vec vec_mul_hh(vec a, vec b)
{
    return _mm256_clmulepi64_epi128(a, b, 0x11);
}

static inline vec vec_mul_lh(vec a, vec b)
{
    return _mm256_clmulepi64_epi128(a, b, 0x10);
}

static inline vec vec_mul_hl(vec a, vec b)
{
    return _mm256_clmulepi64_epi128(a, b, 0x01);
}

#endif

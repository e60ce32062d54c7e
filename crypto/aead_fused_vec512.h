/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_VEC_H
#define SC_AEAD_FUSED_VEC_H

#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

#include "crypto/aead_fused_some.h"

/* The vector of AVX-512 with VAES and VPCLMULQDQ: four blocks of 16 bytes.  What every name means
 * stands in aead_fused_vec256.h. */

typedef __m512i vec;

enum {
    VEC_BLOCKS = 4,
    VEC_SIZE = 16 * VEC_BLOCKS,
    VEC_GROUP = 4,
    VEC_KARATSUBA = 0, /* Intel's products are as cheap as shuffles; see aead_fused_wide.h */
};
#define VEC_EACH(X) X(0) X(1) X(2) X(3)
#define VEC_WIDE    8 /* 32 registers hold eight states, eight vectors to hash, and the rest */

static inline vec vec_load(const uint8_t *at)
{
    return _mm512_loadu_si512(at);
}

static inline void vec_store(uint8_t *at, vec value)
{
    _mm512_storeu_si512(at, value);
}

/* A mask suppresses faults, so nothing beyond `size` is touched. */
static inline __mmask64 vec_mask(size_t size)
{
    return size == 0 ? 0 : UINT64_MAX >> (VEC_SIZE - size);
}

static inline vec vec_load_some(const uint8_t *at, size_t size)
{
    return _mm512_maskz_loadu_epi8(vec_mask(size), at);
}

static inline void vec_store_some(uint8_t *at, vec value, size_t size)
{
    _mm512_mask_storeu_epi8(at, vec_mask(size), value);
}

static inline vec vec_keep(vec value, size_t size)
{
    return _mm512_maskz_mov_epi8(vec_mask(size), value);
}

static inline vec vec_concat(__m128i block, const uint8_t *rest)
{
    vec value = _mm512_maskz_loadu_epi64(0x3f, rest);
    value = _mm512_shuffle_i64x2(value, value, 0x90); /* one block up */
    return _mm512_inserti32x4(value, block, 0);
}

static inline vec vec_join(const uint8_t *const *at)
{
    vec value = _mm512_zextsi128_si512(sc_load_all(at[0]));
    value = _mm512_inserti32x4(value, sc_load_all(at[1]), 1);
    value = _mm512_inserti32x4(value, sc_load_all(at[2]), 2);
    return _mm512_inserti32x4(value, sc_load_all(at[3]), 3);
}

static inline vec vec_zero(void)
{
    return _mm512_setzero_si512();
}

static inline vec vec_every(__m128i block)
{
    return _mm512_broadcast_i32x4(block);
}

static inline vec vec_first(__m128i block)
{
    return _mm512_zextsi128_si512(block);
}

static inline vec vec_count(void)
{
    return _mm512_set_epi32(3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0);
}

static inline __m128i vec_low(vec value)
{
    return _mm512_castsi512_si128(value);
}

static inline __m128i vec_sum(vec value)
{
    __m256i half =
        _mm256_xor_si256(_mm512_castsi512_si256(value), _mm512_extracti64x4_epi64(value, 1));
    return _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

static inline vec vec_xor(vec a, vec b)
{
    return _mm512_xor_si512(a, b);
}

static inline vec vec_xor3(vec a, vec b, vec c)
{
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

static inline vec vec_add(vec a, vec b)
{
    return _mm512_add_epi32(a, b);
}

static inline vec vec_bytes(vec value, vec order)
{
    return _mm512_shuffle_epi8(value, order);
}

static inline vec vec_swap(vec value)
{
    return _mm512_shuffle_epi32(value, 0x4e);
}

static inline vec vec_round(vec state, vec key)
{
    return _mm512_aesenc_epi128(state, key);
}

static inline vec vec_last_round(vec state, vec key)
{
    return _mm512_aesenclast_epi128(state, key);
}

static inline vec vec_mul_ll(vec a, vec b)
{
    return _mm512_clmulepi64_epi128(a, b, 0x00);
}

static inline vec vec_mul_hh(vec a, vec b)
{
    return _mm512_clmulepi64_epi128(a, b, 0x11);
}

static inline vec vec_mul_lh(vec a, vec b)
{
    return _mm512_clmulepi64_epi128(a, b, 0x10);
}

static inline vec vec_mul_hl(vec a, vec b)
{
    return _mm512_clmulepi64_epi128(a, b, 0x01);
}

#endif

/* SPDX-License-Identifier: MIT */
/* The fused AES-GCM with vectors that are arrays of single blocks, for plain AES-NI and PCLMULQDQ.
 *
 * It is the same source as the variants for AVX2 and AVX-512, with as many blocks in a vector
 * and as many vectors in a group: so the logic of one can be tried where its instructions
 * are missing, and under tools that do not know them.  LANES is 2 or 4. */

#define SC_AEAD_FUSED_VEC_H

#include <stddef.h>
#include <stdint.h>

#include <immintrin.h>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define DECLASSIFY(value) VALGRIND_MAKE_MEM_DEFINED(&(value), sizeof(value))
#endif

#include "crypto/aead_fused_some.h"
#include "proto/base/compiler.h"

enum {
    VEC_BLOCKS = LANES,
    VEC_SIZE = 16 * VEC_BLOCKS,
    VEC_GROUP = LANES == 2 ? 6 : 4,
    VEC_KARATSUBA = LANES == 2,
};
#if LANES == 2
#define VEC_EACH(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define VEC_WIDE    0
#else
#define VEC_EACH(X) X(0) X(1) X(2) X(3)
#define VEC_WIDE    8
#endif

typedef struct {
    __m128i lane[LANES];
} vec;

/* Called, not inlined: their speed does not matter, and the compiler is faster with calls. */
#define LANES_FN static __attribute__((noinline, unused))

#define EACH_LANE(expression) \
    do { \
        vec ret; \
        for (size_t i = 0; i < LANES; i++) \
            ret.lane[i] = (expression); \
        return ret; \
    } while (0)

LANES_FN vec vec_load(const uint8_t *at)
{
    EACH_LANE(sc_load_all(at + 16 * i));
}

LANES_FN void vec_store(uint8_t *at, vec value)
{
    for (size_t i = 0; i < LANES; i++)
        sc_store_all(at + 16 * i, value.lane[i]);
}

/* Of `size` bytes, those in the block `i`. */
LANES_FN size_t in_lane(size_t size, size_t i)
{
    return size < 16 * i ? 0 : SB_MIN(size - 16 * i, (size_t)16);
}

LANES_FN vec vec_load_some(const uint8_t *at, size_t size)
{
    EACH_LANE(sc_load_some(at + SB_MIN(16 * i, size), in_lane(size, i)));
}

LANES_FN void vec_store_some(uint8_t *at, vec value, size_t size)
{
    for (size_t i = 0; i < LANES; i++)
        sc_store_some(at + SB_MIN(16 * i, size), value.lane[i], in_lane(size, i));
}

LANES_FN vec vec_keep(vec value, size_t size)
{
    uint8_t bytes[VEC_SIZE];
    vec_store(bytes, value);
    return vec_load_some(bytes, size);
}

LANES_FN vec vec_concat(__m128i block, const uint8_t *rest)
{
    EACH_LANE(i == 0 ? block : sc_load_all(rest + 16 * i - 16));
}

LANES_FN vec vec_join(const uint8_t *const *at)
{
    EACH_LANE(sc_load_all(at[i]));
}

LANES_FN vec vec_zero(void)
{
    EACH_LANE(_mm_setzero_si128());
}

LANES_FN vec vec_every(__m128i block)
{
    EACH_LANE(block);
}

LANES_FN vec vec_first(__m128i block)
{
    EACH_LANE(i == 0 ? block : _mm_setzero_si128());
}

LANES_FN vec vec_count(void)
{
    EACH_LANE(_mm_set_epi32((int)i, 0, 0, 0));
}

LANES_FN __m128i vec_low(vec value)
{
    return value.lane[0];
}

LANES_FN __m128i vec_sum(vec value)
{
    __m128i sum = value.lane[0];
    for (size_t i = 1; i < LANES; i++)
        sum = _mm_xor_si128(sum, value.lane[i]);
    return sum;
}

LANES_FN vec vec_xor(vec a, vec b)
{
    EACH_LANE(_mm_xor_si128(a.lane[i], b.lane[i]));
}

LANES_FN vec vec_xor3(vec a, vec b, vec c)
{
    return vec_xor(vec_xor(a, b), c);
}

LANES_FN vec vec_add(vec a, vec b)
{
    EACH_LANE(_mm_add_epi32(a.lane[i], b.lane[i]));
}

LANES_FN vec vec_bytes(vec value, vec order)
{
    EACH_LANE(_mm_shuffle_epi8(value.lane[i], order.lane[i]));
}

LANES_FN vec vec_swap(vec value)
{
    EACH_LANE(_mm_shuffle_epi32(value.lane[i], 0x4e));
}

LANES_FN vec vec_round(vec state, vec key)
{
    EACH_LANE(_mm_aesenc_si128(state.lane[i], key.lane[i]));
}

LANES_FN vec vec_last_round(vec state, vec key)
{
    EACH_LANE(_mm_aesenclast_si128(state.lane[i], key.lane[i]));
}

LANES_FN vec vec_mul_ll(vec a, vec b)
{
    EACH_LANE(_mm_clmulepi64_si128(a.lane[i], b.lane[i], 0x00));
}

LANES_FN vec vec_mul_hh(vec a, vec b)
{
    EACH_LANE(_mm_clmulepi64_si128(a.lane[i], b.lane[i], 0x11));
}

LANES_FN vec vec_mul_lh(vec a, vec b)
{
    EACH_LANE(_mm_clmulepi64_si128(a.lane[i], b.lane[i], 0x10));
}

LANES_FN vec vec_mul_hl(vec a, vec b)
{
    EACH_LANE(_mm_clmulepi64_si128(a.lane[i], b.lane[i], 0x01));
}

#include "crypto/aead_fused_impl.h"
#include "test/support/aead_fused_lanes.h"

#if LANES == 2
const struct sc_fused fused_lanes_2 = SC_FUSED_OF("avx2's algorithm with AES-NI");
#else
const struct sc_fused fused_lanes_4 = SC_FUSED_OF("avx512's algorithm with AES-NI");
#endif

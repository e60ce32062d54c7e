/* SPDX-License-Identifier: MIT */
#include "crypto/aead_fused.h"

/* Round keys of the fused AES-GCM.
 *
 * The key expansion of FIPS 197 section 5.2 by AESKEYGENASSIST, as the manuals of Intel and AMD
 * show it.  No step branches on key bytes or uses them as an address. */

#include <string.h>

#include <immintrin.h>

#include "crypto/aead_fused_some.h"
#include "proto/base/assert.h"

/* Each word XOR all words before it. */
static __m128i sum_of_words(__m128i words)
{
    words = _mm_xor_si128(words, _mm_slli_si128(words, 4));
    return _mm_xor_si128(words, _mm_slli_si128(words, 8));
}

/* The next round key from the one that lies a key size before, and from `word`, which
 * AESKEYGENASSIST left in the high or the third place. */
#define NEXT(before, last, constant, place) \
    _mm_xor_si128(sum_of_words(before), \
                  _mm_shuffle_epi32(_mm_aeskeygenassist_si128(last, constant), place))

static void expand_128(uint8_t (*ret)[16], __m128i key)
{
    __m128i k = key;
    sc_store_all(ret[0], k);
#define ROUND(i, constant) sc_store_all(ret[i], k = NEXT(k, k, constant, 0xff))
    ROUND(1, 0x01);
    ROUND(2, 0x02);
    ROUND(3, 0x04);
    ROUND(4, 0x08);
    ROUND(5, 0x10);
    ROUND(6, 0x20);
    ROUND(7, 0x40);
    ROUND(8, 0x80);
    ROUND(9, 0x1b);
    ROUND(10, 0x36);
#undef ROUND
}

static void expand_256(uint8_t (*ret)[16], __m128i low, __m128i high)
{
    __m128i a = low;
    __m128i b = high;
    sc_store_all(ret[0], a);
    sc_store_all(ret[1], b);
#define ROUNDS(i, constant) \
    sc_store_all(ret[i], a = NEXT(a, b, constant, 0xff)); \
    sc_store_all(ret[(i) + 1], b = NEXT(b, a, 0, 0xaa))
    ROUNDS(2, 0x01);
    ROUNDS(4, 0x02);
    ROUNDS(6, 0x04);
    ROUNDS(8, 0x08);
    ROUNDS(10, 0x10);
    ROUNDS(12, 0x20);
#undef ROUNDS
    sc_store_all(ret[14], NEXT(a, b, 0x40, 0xff));
}

void sc_fused_schedule_init(struct sc_fused_schedule *schedule, const uint8_t *key, size_t size)
{
    SB_ASSERT(size == 16 || size == 32);
    memset(schedule, 0, sizeof(*schedule));
    if (size == 16)
        expand_128(schedule->keys, sc_load_all(key));
    else
        expand_256(schedule->keys, sc_load_all(key), sc_load_all(key + 16));
    schedule->rounds = size == 16 ? 10 : 14;
}

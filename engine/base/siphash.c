/* SPDX-License-Identifier: MIT */
#include "engine/base/siphash.h"

/* SipHash-2-4 as its paper gives it: two rounds per word of 8 bytes, four at the end.
 *
 * The last word holds the remaining bytes and, in its highest byte, the size. */

#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void mix(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    mix(s);
    s->v0 ^= word;
}

/* Up to 8 bytes, little endian, whatever the machine is. */
static uint64_t load(const uint8_t *data, size_t size)
{
    uint64_t word = 0;
    if (size == sizeof(word)) {
        memcpy(&word, data, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        return word;
    }
    for (size_t i = 0; i < size; i++)
        word |= (uint64_t)data[i] << (8 * i);
    return word;
}

uint64_t se_siphash(const struct se_siphash_key *key, const uint8_t *data, size_t size)
{
    struct state s = {
        .v0 = key->word[0] ^ UINT64_C(0x736f6d6570736575),
        .v1 = key->word[1] ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key->word[0] ^ UINT64_C(0x6c7967656e657261),
        .v3 = key->word[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t left = size;
    for (; left >= 8; left -= 8, data += 8)
        absorb(&s, load(data, 8));
    absorb(&s, load(data, left) | (uint64_t)size << 56);

    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

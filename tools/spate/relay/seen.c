/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/seen.h"

/* An entry is a 64-bit hash of source, sequence and offset under a secret key.  Two pieces share
 * one with a chance of 2^-60 per lookup; a packet that is taken for an old one is lost, no more. */

#include <stdlib.h>
#include <string.h>

_Static_assert(RELAY_SEEN_SETS == 1 << (64 - 51), "relay_seen_check() takes 13 bits");

bool relay_seen_init(struct relay_seen *ret, uint64_t key)
{
    ret->key = key | 1;
    ret->sets = aligned_alloc(64, RELAY_SEEN_SETS * sizeof(*ret->sets));
    if (ret->sets != NULL)
        memset(ret->sets, 0, RELAY_SEEN_SETS * sizeof(*ret->sets));
    return ret->sets != NULL;
}

void relay_seen_deinit(struct relay_seen *seen)
{
    free(seen->sets);
    seen->sets = NULL;
}

static uint64_t mix(uint64_t key, uint64_t value)
{
    __uint128_t product = (__uint128_t)(value ^ key) * (key | UINT64_C(0x9e3779b97f4a7c15));
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

bool relay_seen_check(struct relay_seen *seen, uint32_t source, uint32_t sequence, uint32_t offset)
{
    uint64_t hash = mix(seen->key, (uint64_t)source << 32 | sequence);
    hash = mix(seen->key + 2, hash + offset) | 1; /* 0 is an empty entry */
    uint64_t *set = seen->sets[hash >> 51];
    for (uint32_t i = 0; i < RELAY_SEEN_WAYS; i++) {
        if (set[i] == hash)
            return true;
    }
    for (uint32_t i = RELAY_SEEN_WAYS - 1; i > 0; i--)
        set[i] = set[i - 1];
    set[0] = hash;
    return false;
}

/* SPDX-License-Identifier: MIT */
#include "bench/load/payload.h"

#include <string.h>

static uint8_t region[PAYLOAD_SIZE] __attribute__((aligned(4096)));

void payload_init(void)
{
    uint64_t x = UINT64_C(0x2545f4914f6cdd1d);
    for (size_t i = 0; i < PAYLOAD_SIZE; i += sizeof(x)) {
        x ^= x << 13; /* xorshift64 (Marsaglia 2003) */
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(&region[i], &x, sizeof(x));
    }
}

const uint8_t *payload_region(void)
{
    return region;
}

bool payload_matches(uint64_t offset, const uint8_t *data, size_t size)
{
    while (size > 0) {
        size_t at = (size_t)(offset % PAYLOAD_SIZE);
        size_t step = size < PAYLOAD_SIZE - at ? size : PAYLOAD_SIZE - at;
        if (memcmp(data, &region[at], step) != 0)
            return false;
        offset += step;
        data += step;
        size -= step;
    }
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/control.h"

#include <string.h>

#include "tools/spate/relay/header.h"

enum { PREFIX_SIZE = 18 };

size_t relay_announcement_write(const struct relay_prefix *prefixes, uint32_t count, uint8_t *at)
{
    uint8_t *p = at;
    *p++ = RELAY_ANNOUNCEMENT;
    *p++ = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++, p += PREFIX_SIZE) {
        p[0] = prefixes[i].address.family;
        p[1] = prefixes[i].bits;
        memcpy(p + 2, prefixes[i].address.bytes, 16);
    }
    return (size_t)(p - at);
}

int relay_announcement_read(const uint8_t *at, size_t size, struct relay_prefix *ret)
{
    if (size < 2 || at[0] != RELAY_ANNOUNCEMENT || at[1] > RELAY_ANNOUNCED_MAX ||
        size != 2 + (size_t)at[1] * PREFIX_SIZE)
        return -1;
    for (int i = 0; i < at[1]; i++) {
        const uint8_t *p = at + 2 + (size_t)i * PREFIX_SIZE;
        unsigned bits_max = p[0] == RELAY_IPV4 ? 32 : p[0] == RELAY_IPV6 ? 128 : 0;
        if (bits_max == 0 || p[1] > bits_max)
            return -1;
        ret[i] = (struct relay_prefix){.address = {.family = p[0]}, .bits = p[1]};
        memcpy(ret[i].address.bytes, p + 2, bits_max / 8);
    }
    return at[1];
}

void relay_hello_write(const struct relay_hello *hello, uint8_t at[RELAY_HELLO_SIZE])
{
    memset(at, 0, RELAY_HELLO_SIZE);
    memcpy(at, "SPRL", 4);
    at[4] = 1;
    at[5] = hello->proves ? RELAY_HELLO_PROVES : 0;
    relay_put_32(at + 8, hello->unit);
    if (hello->proves)
        memcpy(at + 12, hello->proof, RELAY_PROOF_SIZE);
}

bool relay_hello_read(const uint8_t *at, size_t size, struct relay_hello *ret)
{
    if (size != RELAY_HELLO_SIZE || memcmp(at, "SPRL", 4) != 0 || at[4] != 1)
        return false;
    uint32_t unit = relay_get_32(at + 8);
    if (unit == RELAY_NOBODY || unit == RELAY_ALL)
        return false;
    ret->unit = unit;
    ret->proves = (at[5] & RELAY_HELLO_PROVES) != 0;
    memcpy(ret->proof, at + 12, RELAY_PROOF_SIZE);
    return true;
}

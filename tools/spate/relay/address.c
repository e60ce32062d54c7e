/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* ---- Packets ---- */

static void take(struct relay_address *ret, enum relay_family family, const uint8_t *at,
                 size_t size)
{
    *ret = (struct relay_address){.family = (uint8_t)family};
    memcpy(ret->bytes, at, size);
}

bool relay_address_of_ip(const uint8_t *data, size_t size, struct relay_address *ret_target,
                         struct relay_address *ret_source)
{
    if (size >= 20 && data[0] >> 4 == 4) {
        take(ret_source, RELAY_IPV4, data + 12, 4);
        take(ret_target, RELAY_IPV4, data + 16, 4);
        return true;
    }
    if (size >= 40 && data[0] >> 4 == 6) {
        take(ret_source, RELAY_IPV6, data + 8, 16);
        take(ret_target, RELAY_IPV6, data + 24, 16);
        return true;
    }
    return false;
}

bool relay_address_of_frame(const uint8_t *data, size_t size, struct relay_address *ret_target,
                            struct relay_address *ret_source)
{
    if (size < 14)
        return false;
    take(ret_target, RELAY_ETHERNET, data, 6);
    take(ret_source, RELAY_ETHERNET, data + 6, 6);
    return true;
}

bool relay_address_is_group(const struct relay_address *address)
{
    static const uint8_t all[4] = {255, 255, 255, 255};
    switch (address->family) {
    case RELAY_IPV4:
        return address->bytes[0] >> 4 == 14 || memcmp(address->bytes, all, 4) == 0;
    case RELAY_IPV6:
        return address->bytes[0] == 0xff;
    case RELAY_ETHERNET:
        return (address->bytes[0] & 1) != 0;
    default:
        return true;
    }
}

/* ---- Prefixes ---- */

bool relay_prefix_parse(const char *text, struct relay_prefix *ret)
{
    char address[INET6_ADDRSTRLEN];
    struct relay_prefix prefix = {.bits = 0};
    size_t length = strcspn(text, "/");
    if (length >= sizeof(address))
        return false;
    memcpy(address, text, length);
    address[length] = 0;
    unsigned long bits_max = 32;
    if (inet_pton(AF_INET, address, prefix.address.bytes) == 1) {
        prefix.address.family = RELAY_IPV4;
    } else if (inet_pton(AF_INET6, address, prefix.address.bytes) == 1) {
        prefix.address.family = RELAY_IPV6;
        bits_max = 128;
    } else {
        return false;
    }
    unsigned long bits = bits_max;
    if (text[length] == '/') {
        char *end;
        if (text[length + 1] < '0' || text[length + 1] > '9')
            return false;
        bits = strtoul(text + length + 1, &end, 10);
        if (*end != 0 || bits > bits_max)
            return false;
    }
    prefix.bits = (uint8_t)bits;
    *ret = prefix;
    return true;
}

bool relay_prefix_has(const struct relay_prefix *prefix, const struct relay_address *address)
{
    size_t whole = prefix->bits / 8;
    unsigned rest = prefix->bits % 8;
    if (prefix->address.family != address->family ||
        memcmp(prefix->address.bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || ((prefix->address.bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}

/* ---- The book ---- */

static uint32_t place_of(const struct relay_book *book, const struct relay_address *address)
{
    uint64_t halves[2];
    memcpy(halves, address->bytes, sizeof(halves));
    uint64_t hash = (halves[0] ^ book->key) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ hash >> 29 ^ halves[1] ^ address->family) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(hash >> 52);
}

static bool is_same(const struct relay_address *a, const struct relay_address *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

uint32_t relay_book_cached(const struct relay_book *book, const struct relay_address *address)
{
    const struct relay_cached *cached = &book->cache[place_of(book, address)];
    bool is_valid = address->family == RELAY_ETHERNET || cached->generation == book->generation;
    return is_valid && is_same(&cached->address, address) ? cached->unit : 0;
}

void relay_book_learn(struct relay_book *book, const struct relay_address *address, uint32_t unit)
{
    book->cache[place_of(book, address)] = (struct relay_cached){*address, unit, book->generation};
}

uint32_t relay_book_find(struct relay_book *book, const struct relay_address *address)
{
    uint32_t unit = 0;
    int best = -1;
    for (uint32_t i = 0; i < book->count; i++) {
        if (book->entries[i].prefix.bits > best &&
            relay_prefix_has(&book->entries[i].prefix, address)) {
            best = book->entries[i].prefix.bits;
            unit = book->entries[i].unit;
        }
    }
    if (unit != 0)
        relay_book_learn(book, address, unit);
    return unit;
}

/* Clears the bits behind the prefix, so that equal ones have equal bytes. */
static struct relay_prefix mask(const struct relay_prefix *prefix)
{
    struct relay_prefix ret = *prefix;
    size_t whole = prefix->bits / 8;
    size_t kept = whole;
    if (prefix->bits % 8 != 0)
        ret.address.bytes[kept++] &= (uint8_t)(0xff00 >> prefix->bits % 8);
    memset(ret.address.bytes + kept, 0, sizeof(ret.address.bytes) - kept);
    return ret;
}

static bool is_same_prefix(const struct relay_prefix *a, const struct relay_prefix *b)
{
    return a->bits == b->bits && is_same(&a->address, &b->address);
}

bool relay_book_add(struct relay_book *book, const struct relay_prefix *prefix, uint32_t unit,
                    bool is_fixed)
{
    const struct relay_prefix masked = mask(prefix);
    for (uint32_t i = 0; i < book->count; i++) {
        const struct relay_prefix *other = &book->entries[i].prefix;
        bool is_others = book->entries[i].unit != unit;
        if (is_others && !is_fixed && book->entries[i].is_fixed && other->bits > 0 &&
            other->bits <= masked.bits && relay_prefix_has(other, &masked.address))
            return false;
        if (is_same_prefix(other, &masked))
            return !is_others;
    }
    if (book->count == RELAY_PREFIXES_MAX)
        return false;
    book->entries[book->count].prefix = masked;
    book->entries[book->count].unit = unit;
    book->entries[book->count].is_fixed = is_fixed;
    book->count++;
    book->generation++;
    return true;
}

uint32_t relay_book_owner(const struct relay_book *book, const struct relay_prefix *prefix)
{
    const struct relay_prefix masked = mask(prefix);
    for (uint32_t i = 0; i < book->count; i++) {
        if (is_same_prefix(&book->entries[i].prefix, &masked))
            return book->entries[i].is_fixed ? 0 : book->entries[i].unit;
    }
    return 0;
}

static bool is_among(const struct relay_prefix *prefix, const struct relay_prefix *prefixes,
                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct relay_prefix masked = mask(&prefixes[i]);
        if (is_same_prefix(prefix, &masked))
            return true;
    }
    return false;
}

void relay_book_keep(struct relay_book *book, uint32_t unit, const struct relay_prefix *prefixes,
                     uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < book->count; i++) {
        if (book->entries[i].unit != unit || book->entries[i].is_fixed ||
            is_among(&book->entries[i].prefix, prefixes, count))
            book->entries[kept++] = book->entries[i];
    }
    if (kept != book->count)
        book->generation++;
    book->count = kept;
}

void relay_book_forget(struct relay_book *book, uint32_t unit)
{
    relay_book_keep(book, unit, NULL, 0);
    for (uint32_t i = 0; i < RELAY_CACHE_SIZE; i++) { /* learned addresses of Ethernet */
        if (book->cache[i].unit == unit)
            book->cache[i].unit = 0;
    }
}

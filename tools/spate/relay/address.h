/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_ADDRESS_H
#define SPATE_RELAY_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses of packets, prefixes of them, and of which unit they are. */

enum relay_family { RELAY_NO_FAMILY, RELAY_IPV4 = 4, RELAY_IPV6 = 6, RELAY_ETHERNET = 14 };

struct relay_address {
    uint8_t family; /* enum relay_family */
    uint8_t bytes[16];
};

struct relay_prefix {
    struct relay_address address;
    uint8_t bits;
};

/* Finds the destination and the source of an IP packet, or of an Ethernet frame.  Returns false if
 * it is neither. */
bool relay_address_of_ip(const uint8_t *data, size_t size, struct relay_address *ret_target,
                         struct relay_address *ret_source);
bool relay_address_of_frame(const uint8_t *data, size_t size, struct relay_address *ret_target,
                            struct relay_address *ret_source);

/* Returns whether it is of many: broadcast or multicast. */
bool relay_address_is_group(const struct relay_address *address);

/* Reads "10.0.2.0/24", "fd00::/64", or an address alone.  Returns false if it is none; *ret is
 * untouched then. */
bool relay_prefix_parse(const char *text, struct relay_prefix *ret);
bool relay_prefix_has(const struct relay_prefix *prefix, const struct relay_address *address);

/* The prefixes of all units that are known, and the addresses that were looked up lately.
 *
 * The cache has a place for each hash, whose former owner is forgotten.  Addresses of Ethernet are
 * learned from the sources of frames, as a bridge does, and are in the cache alone. */
enum { RELAY_PREFIXES_MAX = 1024, RELAY_CACHE_SIZE = 4096 };

struct relay_cached {
    struct relay_address address;
    uint32_t unit;       /* 0: empty */
    uint32_t generation; /* of the book, when it was looked up there */
};

struct relay_book {
    struct {
        struct relay_prefix prefix;
        uint32_t unit;
        bool is_fixed; /* by the command line: announcements do not change it */
    } entries[RELAY_PREFIXES_MAX];
    uint32_t count;
    uint64_t key;        /* of the hash */
    uint32_t generation; /* counts changes: what was looked up before one may be wrong after it */
    struct relay_cached cache[RELAY_CACHE_SIZE];
};

/* Adds a prefix; bits behind it do not count.  Returns false if there is no room, another unit has
 * it, or it is announced and within one that the command line gives to another unit (0.0.0.0/0 and
 * ::/0 claim nothing: they are for what nobody announces). */
bool relay_book_add(struct relay_book *book, const struct relay_prefix *prefix, uint32_t unit,
                    bool is_fixed);
/* Returns the unit that has announced the prefix, or 0. */
uint32_t relay_book_owner(const struct relay_book *book, const struct relay_prefix *prefix);
/* Forgets what a unit has announced and does not any more: all but these prefixes. */
void relay_book_keep(struct relay_book *book, uint32_t unit, const struct relay_prefix *prefixes,
                     uint32_t count);
/* Forgets what a unit has announced. */
void relay_book_forget(struct relay_book *book, uint32_t unit);

/* Returns the unit of an address, or 0.  The first looks into the cache alone, the second at the
 * prefixes, the longest first, and fills the cache. */
uint32_t relay_book_cached(const struct relay_book *book, const struct relay_address *address);
uint32_t relay_book_find(struct relay_book *book, const struct relay_address *address);
/* Puts an address into the cache. */
void relay_book_learn(struct relay_book *book, const struct relay_address *address, uint32_t unit);

#endif

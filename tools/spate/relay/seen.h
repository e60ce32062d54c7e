/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_SEEN_H
#define SPATE_RELAY_SEEN_H

#include <stdbool.h>
#include <stdint.h>

/* The pieces of flooded packets that came lately, so that none is passed on twice.  A table of sets
 * of eight, a cache line each: in a full set the oldest gives way.  512 KiB, allocated once. */

enum { RELAY_SEEN_SETS = 8192, RELAY_SEEN_WAYS = 8 };

struct relay_seen {
    uint64_t key; /* of the hash: nobody outside can choose what shares a set */
    uint64_t (*sets)[RELAY_SEEN_WAYS];
};

/* Returns false without memory. */
bool relay_seen_init(struct relay_seen *ret, uint64_t key);
void relay_seen_deinit(struct relay_seen *seen);

/* Returns whether the piece was seen before, and remembers it. */
bool relay_seen_check(struct relay_seen *seen, uint32_t source, uint32_t sequence, uint32_t offset);

#endif

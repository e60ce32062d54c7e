/* SPDX-License-Identifier: MIT */
#ifndef RELAY_PARCELS_H
#define RELAY_PARCELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Datagrams on their way, ordered by the time of their arrival and then by that of their start: a
 * binary heap. */

/* One datagram, or a train of them: equal sizes, the last one may be shorter. */
struct parcel {
    uint64_t due_ns;
    uint64_t number; /* in the order of parcels_add() */
    uint32_t flow;
    bool is_up; /* to the server */
    uint8_t ecn;
    size_t segment_size;
    size_t size;
    uint8_t data[];
};

struct parcels {
    struct parcel **heap;
    size_t count;
    size_t room;
    uint64_t bytes;
    uint64_t bytes_max; /* what is beyond it is not taken */
    uint64_t added_count;
};

void parcels_init(struct parcels *parcels, uint64_t bytes_max);
void parcels_deinit(struct parcels *parcels);

/* Makes a parcel of `size` bytes with room for them; free() it, or add it.  NULL: no memory. */
struct parcel *parcel_create(size_t size);

/* Takes the parcel.  Returns false after it was freed, because there is no room. */
bool parcels_add(struct parcels *parcels, struct parcel *parcel);

/* The next one to arrive, or NULL. */
struct parcel *parcels_first(const struct parcels *parcels);

/* Takes the next one out.  The caller frees it. */
struct parcel *parcels_take(struct parcels *parcels);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef RELAY_STORE_H
#define RELAY_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/relay/packet.h"
#include "test/relay/wheel.h"
#include "test/support/dual_queue.h"

/* Memory for packets on their way: slots of four sizes, and parcels.  It is taken from the system
 * in blocks, up to a bound, and used again: a packet costs no allocation. */

enum { STORE_CLASSES = 4 };

/* A packet, kept as long as a parcel has segments of it. */
struct store_slot {
    struct store_slot *next; /* while it is free */
    uint32_t refs;
    uint32_t class_index;
    struct packet packet; /* its data is `data` */
    uint8_t data[];
};

/* Some consecutive segments of a packet that arrive together. */
struct parcel_item {
    struct wheel_item item;   /* first; `next` while it is free */
    struct dual_item waiting; /* with l4s: before it is in the wheel */
    uint64_t delay_ns;        /* .. and how much later it arrives than it leaves the queue */
    struct store_slot *slot;
    uint32_t first;
    uint32_t count;
    uint32_t corrupt_at;  /* in the payload */
    uint8_t corrupt_with; /* by XOR; 0: nothing is changed */
    uint8_t ecn;
};

struct store_block;

struct store {
    struct store_slot *slots[STORE_CLASSES];
    struct wheel_item *parcels;
    struct store_block *blocks;
    uint64_t bytes; /* of all blocks */
    uint64_t bytes_max;
    size_t slots_used;
    size_t parcels_used;
};

void store_init(struct store *store, uint64_t bytes_max);
/* Frees also what is in use. */
void store_deinit(struct store *store);

/* Copies a packet into a slot with one reference.  NULL: the bound is reached. */
struct store_slot *store_keep(struct store *store, const struct packet *packet);
void store_unref(struct store *store, struct store_slot *slot);

/* Makes a parcel that holds a reference to `slot` of its own.  NULL: the bound is reached. */
struct parcel_item *store_parcel(struct store *store, struct store_slot *slot);
/* Gives back the parcel and its reference. */
void store_parcel_free(struct store *store, struct parcel_item *parcel);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SE_QLOG_RING_H
#define SE_QLOG_RING_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* A bounded queue of records of any size, from the thread of a shard to the one that writes.  No
 * locks; a record that finds no room is the producer's to drop.
 *
 *     cell = size, slot (8 bytes) | the record | up to the next multiple of 8
 *
 * A record is never cut: where it would cross the end of the memory, a cell that is skipped fills
 * the rest.  The end of a slot is a cell without a record, for which room is kept, so that it is
 * never dropped.
 *
 *     head <= tail <= head + mask + 1,   free bytes >= 8 * open_count */
struct se_qlog_ring {
    alignas(SB_CACHE_LINE) _Atomic uint64_t tail; /* bytes before it can be read */
    uint64_t head_seen;                           /* the producer's copy of `head` */
    uint64_t open_count;                          /* slots whose end is still to come */
    alignas(SB_CACHE_LINE) _Atomic uint64_t head; /* bytes before it are free again */
    alignas(SB_CACHE_LINE) uint64_t mask;         /* constant after init */
    uint8_t *bytes;
};

/* Returns false without memory.  `size` is a power of two, at least 64 KiB. */
SB_MUST_USE bool se_qlog_ring_init(struct se_qlog_ring *ring, uint64_t size);
void se_qlog_ring_deinit(struct se_qlog_ring *ring);

/* The producer: opens a slot.  Returns false if there is no room for its end. */
SB_MUST_USE bool se_qlog_ring_open(struct se_qlog_ring *ring);
/* Appends a record of an open slot.  Returns false if it does not fit. */
SB_MUST_USE bool se_qlog_ring_put(struct se_qlog_ring *ring, uint32_t slot, const uint8_t *record,
                                  size_t size);
/* Ends a slot. */
void se_qlog_ring_end(struct se_qlog_ring *ring, uint32_t slot);

struct se_qlog_cell {
    uint32_t slot;
    uint32_t size; /* of the record; 0: the slot ends */
    const uint8_t *record;
};

/* The consumer: returns false if there is none.  The record is valid until se_qlog_ring_free(). */
SB_MUST_USE bool se_qlog_ring_take(const struct se_qlog_ring *ring, struct se_qlog_cell *ret);
void se_qlog_ring_free(struct se_qlog_ring *ring, const struct se_qlog_cell *cell);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SE_RING_SPSC_H
#define SE_RING_SPSC_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* A bounded queue of pointers from one thread to one other.
 *
 *     head <= tail <= head + capacity        counted since the start, they never wrap
 *     items[n & mask] is the producer's for n in [tail, head + capacity),
 *                     the consumer's    for n in [head, tail)
 *
 * Each side writes its own number only, and keeps a copy of the other's: as long as the copy says
 * that there is room (or that there are items) the other side's cache line is not touched.  So
 * the line travels once for a full or an empty ring, not once for an item.  Nobody
 * waits for anybody. */
struct se_spsc {
    alignas(SB_CACHE_LINE) _Atomic uint64_t tail; /* written by the producer */
    uint64_t head_seen;                           /* the producer's copy of head */
    alignas(SB_CACHE_LINE) _Atomic uint64_t head; /* written by the consumer */
    uint64_t tail_seen;                           /* the consumer's copy of tail */
    alignas(SB_CACHE_LINE) uint64_t mask;         /* constant after init */
    void **items;                                 /* mask + 1 of them, owned by the caller */
};

/* `item_count` is a power of two, at least 2. */
void se_spsc_init(struct se_spsc *q, void **items, uint32_t item_count);

/* Queues the first of `count` items, as many as fit, and returns how many.  They are published
 * together: a batch costs one release.  Threads: the producer. */
uint32_t se_spsc_push(struct se_spsc *q, void *const *items, uint32_t count);

/* Takes up to `count` items in order and returns how many.  Threads: the consumer. */
uint32_t se_spsc_pop(struct se_spsc *q, void **ret, uint32_t count);

/* Whether se_spsc_pop() would find something.  Threads: the consumer. */
bool se_spsc_has(struct se_spsc *q);

#endif

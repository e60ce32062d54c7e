/* SPDX-License-Identifier: MIT */
#ifndef SE_RING_SPSC_H
#define SE_RING_SPSC_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* A bounded queue from one thread to one other thread, without locks.  It keeps the numbers alone:
 * the cells are an array of its owner, of any type, at the indices that the functions return.
 *
 *     producer: se_spsc_claim(), fill the cell, ..., se_spsc_publish() for all cells claimed so far
 *     consumer: se_spsc_take(), read the cells, se_spsc_free() for all cells taken so far
 *
 * Cells move in batches, because each store to `tail` or `head` takes a cache line from the other
 * side.  Each side keeps a copy of the other side's number, and reads the other line only where the
 * copy says that there is no room, or nothing to take.
 *
 *     head <= taken <= tail <= claimed <= head + mask + 1
 *
 * P1, P2 and C1, C2 in the comments name the releases and acquires that pair up. */
struct se_spsc {
    alignas(SB_CACHE_LINE) _Atomic uint64_t tail; /* cells before it can be taken */
    uint64_t claimed;                             /* the producer's own */
    uint64_t head_seen;                           /* the producer's copy of `head` */
    alignas(SB_CACHE_LINE) _Atomic uint64_t head; /* cells before it are free again */
    uint64_t taken;                               /* the consumer's own */
    uint64_t tail_seen;                           /* the consumer's copy of `tail` */
    alignas(SB_CACHE_LINE) uint64_t mask;         /* constant after init */
};

_Static_assert(offsetof(struct se_spsc, head) - offsetof(struct se_spsc, tail) >= SB_CACHE_LINE &&
                   offsetof(struct se_spsc, mask) - offsetof(struct se_spsc, head) >= SB_CACHE_LINE,
               "the two sides must not share a line");

/* `cell_count` is a power of two, at least 2. */
static inline void se_spsc_init(struct se_spsc *q, uint32_t cell_count)
{
    SB_ASSERT(cell_count >= 2 && (cell_count & (cell_count - 1)) == 0);
    atomic_init(&q->tail, 0);
    atomic_init(&q->head, 0);
    q->claimed = 0;
    q->head_seen = 0;
    q->taken = 0;
    q->tail_seen = 0;
    q->mask = cell_count - 1;
}

/* ---- The producer ---- */

/* Takes the next free cell and returns its index in `*ret_cell`.  The consumer sees it only after
 * se_spsc_publish().  Returns false if all cells are in use: `*ret_cell` is untouched. */
static inline SB_MUST_USE bool se_spsc_claim(struct se_spsc *q, uint64_t *ret_cell)
{
    if (SB_UNLIKELY(q->claimed - q->head_seen > q->mask)) {
        /* P1 acquire, pairs with C2: the consumer has read the cell before it is filled again. */
        q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
        if (q->claimed - q->head_seen > q->mask)
            return false;
    }
    *ret_cell = q->claimed++ & q->mask;
    return true;
}

/* Returns whether se_spsc_claim() would find a cell. */
static inline bool se_spsc_has_room(const struct se_spsc *q)
{
    return q->claimed - atomic_load_explicit(&q->head, memory_order_acquire) <= q->mask;
}

/* Lets the consumer see all claimed cells. */
static inline void se_spsc_publish(struct se_spsc *q)
{
    /* P2 release, pairs with C1: the cells are filled before the number says so. */
    atomic_store_explicit(&q->tail, q->claimed, memory_order_release);
}

/* ---- The consumer ---- */

/* Takes cells, the oldest first: at most `count_max`, and only neighbours.  Returns their number,
 * and the index of the first in `*ret_cell`, which is untouched if there are none.  They keep what
 * is in them until se_spsc_free(). */
static inline uint32_t se_spsc_take(struct se_spsc *q, uint32_t count_max, uint64_t *ret_cell)
{
    if (q->taken == q->tail_seen) {
        q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire); /* C1 */
        if (q->taken == q->tail_seen)
            return 0;
    }
    uint64_t first = q->taken & q->mask;
    uint64_t count = SB_MIN(q->tail_seen - q->taken, q->mask + 1 - first);
    count = SB_MIN(count, (uint64_t)count_max);
    *ret_cell = first;
    q->taken += count;
    return (uint32_t)count;
}

/* Returns whether se_spsc_take() would find something. */
static inline bool se_spsc_has(const struct se_spsc *q)
{
    return q->taken != atomic_load_explicit(&q->tail, memory_order_acquire);
}

/* Gives all taken cells back to the producer. */
static inline void se_spsc_free(struct se_spsc *q)
{
    /* C2 release, pairs with P1. */
    atomic_store_explicit(&q->head, q->taken, memory_order_release);
}

#endif

/* SPDX-License-Identifier: MIT */
#include "engine/ring_spsc.h"

/* Two counters that only grow, one for each side.
 *
 * Each side publishes its own counter with a release (P2, C2) and reads the other's with an
 * acquire (P1, C1), the latter only when its copy of it says that the ring is full or empty. */

#include <stddef.h>

#include "proto/base/assert.h"

_Static_assert(offsetof(struct se_spsc, head) - offsetof(struct se_spsc, tail) >= SB_CACHE_LINE,
               "the two sides must not share a line");
_Static_assert(offsetof(struct se_spsc, mask) - offsetof(struct se_spsc, head) >= SB_CACHE_LINE,
               "what both read must not be where one writes");

void se_spsc_init(struct se_spsc *q, void **items, uint32_t item_count)
{
    SB_ASSERT(items != NULL);
    SB_ASSERT(item_count >= 2 && (item_count & (item_count - 1)) == 0);

    atomic_init(&q->tail, 0);
    atomic_init(&q->head, 0);
    q->head_seen = 0;
    q->tail_seen = 0;
    q->mask = item_count - 1;
    q->items = items;
}

uint32_t se_spsc_push(struct se_spsc *q, void *const *items, uint32_t count)
{
    uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed); /* our own */
    uint64_t capacity = q->mask + 1;
    uint64_t free_count = q->head_seen + capacity - tail;
    if (free_count < count) {
        /* P1 acquire, pairs with C2: the consumer has read what was in the cells. */
        q->head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
        free_count = q->head_seen + capacity - tail;
    }
    SB_ASSERT(free_count <= capacity);

    uint32_t pushed = (uint32_t)SB_MIN(free_count, (uint64_t)count);
    for (uint32_t i = 0; i < pushed; i++)
        q->items[(tail + i) & q->mask] = items[i];
    /* P2 release, pairs with C1: the items are in their cells before the number says so. */
    if (pushed > 0)
        atomic_store_explicit(&q->tail, tail + pushed, memory_order_release);
    return pushed;
}

uint32_t se_spsc_pop(struct se_spsc *q, void **ret, uint32_t count)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed); /* our own */
    uint64_t ready_count = q->tail_seen - head;
    if (ready_count < count) {
        q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire); /* C1 */
        ready_count = q->tail_seen - head;
    }
    SB_ASSERT(ready_count <= q->mask + 1);

    uint32_t popped = (uint32_t)SB_MIN(ready_count, (uint64_t)count);
    for (uint32_t i = 0; i < popped; i++)
        ret[i] = q->items[(head + i) & q->mask];
    if (popped > 0)
        atomic_store_explicit(&q->head, head + popped, memory_order_release); /* C2 */
    return popped;
}

bool se_spsc_has(struct se_spsc *q)
{
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    if (q->tail_seen == head)
        q->tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire); /* C1 */
    return q->tail_seen != head;
}

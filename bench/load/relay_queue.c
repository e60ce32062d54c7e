/* SPDX-License-Identifier: MIT */
#include "bench/load/relay_queue.h"

#include <stdlib.h>
#include <string.h>

bool relay_queue_init(struct relay_queue *q, uint32_t capacity, uint32_t slot_size)
{
    memset(q, 0, sizeof(*q));
    q->items = calloc(capacity, sizeof(*q->items));
    q->free_slots = calloc(capacity, sizeof(*q->free_slots));
    q->slots = malloc((size_t)capacity * slot_size);
    if (q->items == NULL || q->free_slots == NULL || q->slots == NULL) {
        relay_queue_deinit(q);
        return false;
    }
    q->capacity = capacity;
    q->slot_size = slot_size;
    q->free_count = capacity;
    for (uint32_t i = 0; i < capacity; i++)
        q->free_slots[i] = capacity - 1 - i;
    return true;
}

void relay_queue_deinit(struct relay_queue *q)
{
    free(q->items);
    free(q->free_slots);
    free(q->slots);
    memset(q, 0, sizeof(*q));
}

bool relay_queue_take(struct relay_queue *q, uint32_t *ret_slot)
{
    if (q->free_count == 0)
        return false;
    *ret_slot = q->free_slots[--q->free_count];
    return true;
}

uint8_t *relay_queue_bytes(const struct relay_queue *q, uint32_t slot)
{
    return q->slots + (size_t)slot * q->slot_size;
}

void relay_queue_give(struct relay_queue *q, uint32_t slot)
{
    q->free_slots[q->free_count++] = slot;
}

static bool is_before(const struct relay_item *a, const struct relay_item *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

void relay_queue_add(struct relay_queue *q, struct relay_item item)
{
    uint32_t at = q->count++;
    item.sequence = q->next_sequence++;
    while (at > 0 && is_before(&item, &q->items[(at - 1) / 2])) {
        q->items[at] = q->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    q->items[at] = item;
}

const struct relay_item *relay_queue_first(const struct relay_queue *q)
{
    return q->count == 0 ? NULL : &q->items[0];
}

struct relay_item relay_queue_remove(struct relay_queue *q)
{
    struct relay_item first = q->items[0];
    struct relay_item last = q->items[--q->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < q->count && is_before(&q->items[child + 1], &q->items[child]))
            child++;
        if (child >= q->count || !is_before(&q->items[child], &last))
            break;
        q->items[at] = q->items[child];
        at = child;
    }
    if (q->count > 0)
        q->items[at] = last;
    return first;
}

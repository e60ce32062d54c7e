/* SPDX-License-Identifier: MIT */
#ifndef LOAD_RELAY_QUEUE_H
#define LOAD_RELAY_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Datagrams that wait until they are due: a heap over slots of one size.
 * Invariant: count + free_count == capacity. */
struct relay_item {
    uint64_t due_ns;
    uint64_t sequence; /* those that are due together leave in the order in which they came */
    uint32_t slot;
    uint32_t size;
    uint32_t flow;
    bool is_up;
};

struct relay_queue {
    struct relay_item *items; /* a heap: the first is due first */
    uint32_t *free_slots;
    uint8_t *slots;
    uint32_t slot_size;
    uint32_t capacity;
    uint32_t count;
    uint32_t free_count;
    uint64_t next_sequence;
};

/* Takes `capacity` slots of `slot_size` bytes.  Returns false if there is no memory. */
bool relay_queue_init(struct relay_queue *q, uint32_t capacity, uint32_t slot_size);
/* Also of a queue of zeros. */
void relay_queue_deinit(struct relay_queue *q);

/* Takes a free slot.  Returns false if there is none. */
bool relay_queue_take(struct relay_queue *q, uint32_t *ret_slot);
/* The bytes of a slot. */
uint8_t *relay_queue_bytes(const struct relay_queue *q, uint32_t slot);
/* Gives a slot back that is not queued. */
void relay_queue_give(struct relay_queue *q, uint32_t slot);

/* Queues a slot that was taken.  `item.sequence` is set here. */
void relay_queue_add(struct relay_queue *q, struct relay_item item);
/* The first item, or NULL. */
const struct relay_item *relay_queue_first(const struct relay_queue *q);
/* Removes the first item; its slot stays taken.  There must be one. */
struct relay_item relay_queue_remove(struct relay_queue *q);

#endif

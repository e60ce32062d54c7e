/* SPDX-License-Identifier: MIT */
#ifndef RELAY_WHEEL_H
#define RELAY_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Items that are due at a time, in a timer wheel: adding and taking cost the same however many
 * there are.  Items come out in the order of their ticks, and those of one tick in the order in
 * which they were added, never before they are due. */

enum {
    WHEEL_TICK_BITS = 13, /* of nanoseconds: 8.192 us */
    WHEEL_SLOT_BITS = 18, /* 2.1 s; what is due later is looked at again then */
    WHEEL_SLOTS = 1 << WHEEL_SLOT_BITS,
    WHEEL_WORDS = WHEEL_SLOTS / 64, /* a bit for each slot that is not empty */
};

#define WHEEL_NEVER UINT64_MAX

/* The first member of what is added. */
struct wheel_item {
    struct wheel_item *next;
    uint64_t due_ns;
};

struct wheel_slot {
    struct wheel_item *first;
    struct wheel_item *last;
};

/* Invariants: no item is in a slot before `tick`; a bit of `words` is set if its slot has an item,
 * one of `groups` if its word is not 0, and one of `top` if its group is not 0. */
struct wheel {
    struct wheel_slot *slots;
    uint64_t tick;
    size_t count;
    uint64_t words[WHEEL_WORDS];
    uint64_t groups[WHEEL_WORDS / 64];
    uint64_t top;
};

/* Returns false without memory. */
bool wheel_init(struct wheel *wheel, uint64_t now_ns);
/* Items that are left are the caller's.  Also of a wheel of zeros. */
void wheel_deinit(struct wheel *wheel);

/* Adds an item whose `due_ns` is set.  The wheel borrows it until it is taken. */
void wheel_add(struct wheel *wheel, struct wheel_item *item);

/* Returns when to call wheel_take() again: WHEEL_NEVER without items. */
uint64_t wheel_next_ns(const struct wheel *wheel);

/* Takes an item that is due.  NULL: there is none.  `now_ns` never decreases. */
struct wheel_item *wheel_take(struct wheel *wheel, uint64_t now_ns);

#endif

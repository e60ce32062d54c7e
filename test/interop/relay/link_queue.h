/* SPDX-License-Identifier: MIT */
#ifndef RELAY_LINK_QUEUE_H
#define RELAY_LINK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What waits before a rate: first in, first out.  The rate is constant, or steps through a list
 * again and again. */

enum { LINK_STEPS_MAX = 1024 };

/* A rate that lasts from the end of the step before it to `end_ns` after the list's start. */
struct link_step {
    uint64_t bits_per_s; /* not 0 */
    uint64_t end_ns;
};

struct link_rate {
    uint64_t bits_per_s; /* 0: the steps, or no limit */
    uint32_t step_count; /* 0: the rate does not change */
    struct link_step steps[LINK_STEPS_MAX];
};

struct link_waiting {
    uint64_t leaves_ns;
    uint64_t bytes;
};

/* Invariant: `bytes` is the sum of `waiting`, of which `count` from `head` on are used. */
struct link_queue {
    uint32_t step;                /* at which the last search ended */
    uint64_t start_ns;            /* of the steps */
    uint64_t busy_until_ns;       /* the last byte leaves then */
    struct link_waiting *waiting; /* ring; NULL at first */
    size_t room;                  /* a power of two, or 0 */
    size_t head;
    uint64_t count;
    uint64_t bytes;
};

void link_queue_init(struct link_queue *queue, uint64_t start_ns);
void link_queue_deinit(struct link_queue *queue);

/* Returns false if nothing ever waits: nothing may be added then. */
bool link_rate_is_limited(const struct link_rate *rate);

/* Takes out what has left by now. */
void link_queue_advance(struct link_queue *queue, uint64_t now_ns);

/* Returns how long a datagram that comes now waits until it begins to leave. */
uint64_t link_queue_wait_ns(const struct link_queue *queue, uint64_t now_ns);

/* Adds a datagram and yields when its last byte leaves.  `rate` is the same in each call.  Returns
 * false without memory. */
bool link_queue_add(struct link_queue *queue, const struct link_rate *rate, uint64_t now_ns,
                    size_t bytes, uint64_t *ret_ns);

#endif

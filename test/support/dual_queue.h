/* SPDX-License-Identifier: MIT */
#ifndef DUAL_QUEUE_H
#define DUAL_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A bottleneck with two queues: short waits for L4S packets, and the classic queue for all others.
 * [RFC9332]  Pure: time and the seed are arguments.
 *
 * Packets with ECT(1) or CE wait in the L4S queue, which marks those that have waited for longer
 * than `step_ns`.  The classic queue is held at `target_ns` by a controller (PI2), which makes a
 * probability p: it drops p * p of its packets, or marks them if they have ECT(0), and the L4S
 * queue marks 2 * p of its own.  So flows of both kinds, with equal round trips, get about the
 * same.
 *
 * The simulator and ip-relay have it as an option of their links. */

enum { DUAL_CLASSIC, DUAL_L4S, DUAL_QUEUES };

struct dual_config {
    uint64_t bits_per_s; /* not 0 */
    uint64_t bytes_max;  /* of both queues: what does not fit is dropped; not 0 */
    uint64_t step_ns;    /* 0: 1 ms */
    uint64_t target_ns;  /* 0: 15 ms */
};

/* What waits: the first member of what the caller adds. */
struct dual_item {
    struct dual_item *next;
    uint64_t size;
    uint64_t came_ns;
    uint64_t begins_ns; /* to leave, once it was taken */
    uint64_t leaves_ns; /* its last byte */
    uint8_t ecn;        /* the two bits of the IP header; changed to CE by a mark */
    bool is_dropped;    /* set when it is taken: the queue is longer than it should be */
};

struct dual_fifo {
    struct dual_item *first;
    struct dual_item *last;
    uint64_t bytes;
};

struct dual_queue {
    struct dual_config config;
    struct dual_fifo fifos[DUAL_QUEUES];
    uint64_t busy_until_ns; /* the packet that leaves now has left then */
    uint64_t update_ns;     /* when p is computed next */
    uint64_t delay_ns;      /* of the classic queue, at the update before */
    double p;
    uint32_t l4s_run; /* packets of the L4S queue that left one after the other */
    uint64_t random;
    uint64_t marked_count;
    uint64_t dropped_count; /* by p; not those that did not fit */
};

void dual_init(struct dual_queue *queue, const struct dual_config *config, uint64_t seed,
               uint64_t now_ns);

/* Adds an item whose `size` and `ecn` are set.  The queue borrows it until it is taken.  Returns
 * false if it does not fit: the item stays the caller's.  What has begun to leave by `now_ns` must
 * have been taken before. */
bool dual_add(struct dual_queue *queue, struct dual_item *item, uint64_t now_ns);

/* Returns when to call dual_take() again: when the next packet begins to leave; UINT64_MAX if
 * nothing waits. */
uint64_t dual_next_ns(const struct dual_queue *queue);

/* Takes out the packet that begins to leave by `now_ns`: its times, `ecn` and `is_dropped` are set
 * then.  A dropped one takes no time of the link.  Returns NULL if there is none. */
struct dual_item *dual_take(struct dual_queue *queue, uint64_t now_ns);

/* Takes out whatever waits, for an end before that.  NULL: nothing does. */
struct dual_item *dual_take_back(struct dual_queue *queue);

#endif

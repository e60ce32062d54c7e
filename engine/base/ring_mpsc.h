/* SPDX-License-Identifier: MIT */
#ifndef SE_RING_MPSC_H
#define SE_RING_MPSC_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"

struct spate_conn;
struct spate_shard;

/* A function that another thread posts to a shard. */
struct se_post {
    union {
        void (*function)(struct spate_shard *shard, void *argument);
        void (*on_conn)(struct spate_shard *shard, struct spate_conn *conn, void *argument);
    };
    void *argument;
    uint64_t conn_id; /* the handle for `on_conn`; 0: `function` */
};

/* `sequence` is the state of a cell.  With n = the count of posts since the start, and the cell
 * n & mask:
 *
 *     sequence == n             free for the producer that gets number n
 *     sequence == n + 1         full, with post number n
 *     sequence == n + capacity  taken by the consumer; free for number n + capacity */
struct se_mpsc_cell {
    _Atomic uint64_t sequence;
    struct se_post post;
};

/* A bounded queue from any number of threads to one.  (Vyukov's bounded queue, with one
 * consumer.)  A full queue refuses posts; no thread waits for another.  If a producer is
 * interrupted between taking its number and filling its cell, the consumer sees the later posts
 * only after it has continued.
 *
 * A closed queue refuses posts for good.  Each post that was accepted before is there to be taken,
 * so it is known of each whether it was refused or runs. */
struct se_mpsc {
    /* The next number, for which producers compete; SE_MPSC_CLOSED is set once it is closed. */
    alignas(SB_CACHE_LINE) _Atomic uint64_t tail;
    alignas(SB_CACHE_LINE) uint64_t head; /* the consumer's own */
    alignas(SB_CACHE_LINE) uint64_t mask; /* constant after init */
    struct se_mpsc_cell *cells;           /* mask + 1 of them, owned by the caller */
};

#define SE_MPSC_CLOSED (UINT64_C(1) << 63)

/* `cell_count` is a power of two, at least 2. */
void se_mpsc_init(struct se_mpsc *q, struct se_mpsc_cell *cells, uint32_t cell_count);

/* Returns 0, or -EAGAIN if the queue is full or -ESHUTDOWN if it is closed: then nothing was
 * queued. Threads: any. */
SB_MUST_USE int se_mpsc_push(struct se_mpsc *q, const struct se_post *post);

/* Closes the queue.  Threads: any. */
void se_mpsc_close(struct se_mpsc *q);

/* Returns true if the queue is closed and each post was taken.  While it is false, se_mpsc_pop()
 * may find nothing because a producer is still filling its cell.  Threads: the consumer. */
bool se_mpsc_is_drained(const struct se_mpsc *q);

/* False if there is nothing to take: `*ret` is untouched.  Threads: the consumer. */
bool se_mpsc_pop(struct se_mpsc *q, struct se_post *ret);

/* Whether se_mpsc_pop() would find something.  Threads: the consumer. */
bool se_mpsc_has(const struct se_mpsc *q);

#endif

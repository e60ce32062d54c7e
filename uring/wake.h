/* SPDX-License-Identifier: MIT */
#ifndef SU_WAKE_H
#define SU_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/ring.h"

/* Wakes the owner of a ring from su_ring_enter.
 *
 * A doorbell costs a system call, so it is rung only if the other side has set its flag that
 * it sleeps.  The two sides, with a queue between them:
 *
 *     waker                              sleeper (owner of the ring)
 *     -----                              -------
 *     W1  push to the queue              S1  su_wake_sleep: bell_fd = a descriptor
 *     W2  su_wake_ring: read bell_fd     S2  look at the queue once more
 *         if there is one: take it,      S3  if it is empty: su_ring_enter(timeout)
 *         write to it                    S4  su_wake_up: bell_fd = SU_WAKE_NONE
 *
 * Either W2 sees S1, or S2 sees W1: both sides store, then load the other's
 * store, with a sequentially consistent fence in between.  So no command is
 * ever left in the queue of a sleeper, and a sleeper is rung once, by the
 * waker whose exchange found the descriptor.
 *
 * There are two doorbells: an eventfd that the ring reads, for threads without a ring; and
 * MSG_RING, which another shard queues with its own submissions. */

#define SU_WAKE_NONE (-1)

struct su_wake {
    struct su_ring *ring;
    int event_fd; /* -1: none */
    int32_t file;
    uint32_t index;
    uint32_t generation;
    bool is_armed;
    uint64_t event_value;                       /* where the armed read puts the eventfd's count */
    uint64_t doorbells;                         /* doorbells that arrived; for the owner only */
    _Alignas(SB_CACHE_LINE) atomic_int bell_fd; /* where to ring; SU_WAKE_NONE: it is awake */
};

/* Makes the eventfd and registers it with `ring` (borrowed; needs one place in its file table).
 * `index` goes into user_data.  0 or -errno (-EMFILE, -ENFILE).
 * Threads: any before the ring is enabled, then the owner. */
SB_MUST_USE int su_wake_init(struct su_wake *wake, struct su_ring *ring, uint32_t index);

/* After su_ring_stop.  No other thread may still use it.  Accepts a failed init. */
void su_wake_deinit(struct su_wake *wake);

/* Queues the read of the eventfd unless it is armed.  Once per turn, before su_ring_enter.
 * Threads: the owner. */
void su_wake_rearm(struct su_wake *wake);

/* Handles a completion of kind SU_OP_WAKE or SU_OP_DOORBELL.  Threads: the owner. */
void su_wake_take(struct su_wake *wake, const struct su_completion *completion);

/* S1.  After this look at the queues once more, and sleep only if they are empty.
 * Threads: the owner. */
void su_wake_sleep(struct su_wake *wake);

/* S1 for an owner that polls su_ring_poll_fd(), or whose lent ring is waited for by its lender:
 * that one's bell is the eventfd that the ring reads.  An io_uring's bell is a write to that
 * descriptor: an eventfd that the ring reads would not end the poll, because the kernel signals no
 * eventfd from within a write to another one.  Threads: the owner. */
void su_wake_sleep_in_poll(struct su_wake *wake);

/* S4.  Threads: the owner. */
void su_wake_up(struct su_wake *wake);

/* W2 through the eventfd.  Call after the push.  One system call if the other side sleeps, a fence
 * and a load if not.  True if the bell was rung.  Threads: any. */
bool su_wake_ring(struct su_wake *wake);

/* W2 through MSG_RING, for a thread that has a ring of its own: queued on `from`, it goes out with
 * the next su_ring_enter of `from`.  `from` must not be the sleeper's.  If its submission queue is
 * full, or either ring is no io_uring, the eventfd is rung instead.  True if the bell was rung.
 * Threads: the owner of `from`. */
bool su_wake_ring_from(struct su_wake *wake, struct su_ring *from);

/* `from` got a completion of kind SU_OP_DOORBELL_LOST: MSG_RING failed (too old a kernel, no
 * memory).  `wake` is the one whose index it carries.  Rings the eventfd instead.
 * Threads: the owner of `from`. */
void su_wake_ring_lost(struct su_wake *wake);

#endif

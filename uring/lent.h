/* SPDX-License-Identifier: MIT */
#ifndef SU_LENT_H
#define SU_LENT_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/op.h"

/* A ring that its owner lends to us: the program has set it up, submits, waits, and reaps.
 *
 *     su_ring_sqe         takes a place of the lender's submission queue; NULL if that is full
 *     su_lent_take        the lender hands a completion in; it waits in a queue of ours
 *     su_ring_completions takes completions off that queue, as off a ring
 *
 * Our queue of completions has the layout of the kernel's, and the ring's own `struct io_uring`
 * describes it, as in mmsg.h: so nobody above ring.c sees a difference.
 *
 * User data.  The lender keeps up to 8 bits, at the top or at the bottom, with a value by which it
 * knows our completions.  What op.h packs into 64 bits goes into the other 56:
 *
 *      tag? | kind: 4 bits | generation: 24 | index: 28 | tag?
 *
 * Files.  With a range of the lender's file table, our sockets are registered there; without, each
 * operation names the descriptor, which costs the kernel a look-up.
 *
 * Stopping.  Our submissions that the lender has not submitted yet become NOPs, and our operations
 * are cancelled by their files.  Their completions stay on the lender's ring, which ignores them.
 *
 * Private to ring.c, but for su_lent_check() and su_lent_take().  Threads: as for the ring. */

struct su_ring;

#define SU_LENT_NO_FILES UINT32_MAX

struct su_lent_config {
    struct io_uring *uring; /* borrowed */
    uint64_t tag;
    uint64_t tag_mask;   /* 1 to 8 bits at the top or at the bottom */
    uint32_t file_first; /* of SU_RING_FILE_COUNT_MAX places, or SU_LENT_NO_FILES */
};

struct su_lent {
    struct io_uring *uring;
    uint64_t tag;
    uint64_t tag_mask;
    uint32_t shift;
    uint32_t file_first;
    bool is_short; /* the lender's queue was full in this turn */
    int *fds;      /* of our files; -1: none */
    uint32_t fd_count;
    unsigned cq_head; /* of our queue of completions */
    unsigned cq_tail;
    unsigned sq_none; /* head and tail of a submission queue that has nothing */
    unsigned flags;
};

/* Returns NULL if the ring can be lent, or one line with the reason why not. */
const char *su_lent_check(const struct su_lent_config *config);

/* Makes what stands between a ring and the lender's, and fills in `*own`, which describes the queue
 * of completions.  0 or -ENOMEM. */
SB_MUST_USE int su_lent_create(const struct su_lent_config *config, struct io_uring *own,
                               uint32_t file_count, struct su_lent **ret);

/* Accepts NULL. */
void su_lent_destroy(struct su_lent *lent, struct io_uring *own);

/* Puts `fd` at `index` of the files; -1: takes it out.  0 or -errno. */
SB_MUST_USE int su_lent_file_set(struct su_lent *lent, uint32_t index, int fd);

/* Makes a prepared submission, whose fd is an index of our files, use that file. */
void su_lent_use_file(const struct su_lent *lent, struct io_uring_sqe *sqe);

/* Returns the user data of `op` on the lender's ring. */
uint64_t su_lent_user_data(const struct su_lent *lent, struct su_op op);

/* Hands a completion in.  Returns 1; 0 if it is not ours; -EAGAIN if there is no room before
 * su_ring_completions is called. */
SB_MUST_USE int su_lent_take(struct su_ring *ring, const struct io_uring_cqe *cqe);

/* Cancels our operations and waits until they are over.  0 or -ETIME. */
int su_lent_stop(struct su_lent *lent);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SU_ZERO_COPY_H
#define SU_ZERO_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/ring.h"
#include "uring/slab.h"
#include "uring/socket.h"

/* Which sends go out without a copy: SENDMSG_ZC, from slots that are registered as a fixed buffer.
 *
 * The network card reads the slot itself, some time after the send has completed: a second
 * completion, the notification, says when the slot is ours again.  It also says whether the
 * kernel has copied after all: on loopback, for a card that cannot gather or compute checksums,
 * for a packet that somebody taps.  Then zero copy has only cost, so a socket for which
 * SU_ZERO_COPY_PATIENCE notifications in a row say that sends normally from then on.
 *
 * How much the kernel can is tried out by sending:
 *
 *     FIXED     6.15: from the registered buffer
 *     PINNED    6.2: from memory that is pinned for each send
 *     OFF
 *
 * A kernel that does not know a way refuses it with EINVAL.  The train in question then goes
 * normally, and the next one tries the next way; once one has worked, that is it. */

#define SU_ZERO_COPY_SIZE_MIN 8192 /* below, a copy is cheaper than a notification */
#define SU_ZERO_COPY_PATIENCE 8

enum su_zero_copy_mode {
    SU_ZERO_COPY_OFF,
    SU_ZERO_COPY_PINNED,
    SU_ZERO_COPY_FIXED,
};

struct su_zero_copy {
    enum su_zero_copy_mode mode;
    bool is_proven;                             /* a send of this way was accepted */
    uint8_t copied_run[SU_RING_FILE_COUNT_MAX]; /* a file: copies in a row; PATIENCE: off */
};

/* Registers `slab` with `ring`, for good: buffer 0.  What it counts against is RLIMIT_MEMLOCK;
 * without room there the way is PINNED, and OFF without io_uring.  Threads: any before the ring
 * is enabled. */
void su_zero_copy_begin(struct su_zero_copy *zero_copy, struct su_ring *ring, struct su_slab *slab);

/* Whether a send of `size` bytes on `socket` shall be one. */
static inline bool su_zero_copy_wants(const struct su_zero_copy *zero_copy,
                                      const struct su_socket *socket, uint32_t size)
{
    return SB_UNLIKELY(zero_copy->mode != SU_ZERO_COPY_OFF) && size >= SU_ZERO_COPY_SIZE_MIN &&
           zero_copy->copied_run[socket->file] < SU_ZERO_COPY_PATIENCE;
}

/* Fills the submission. */
void su_zero_copy_prepare(const struct su_zero_copy *zero_copy, struct io_uring_sqe *sqe,
                          const struct su_socket *socket, const struct msghdr *message);

/* The result of such a send, >= 0 or an errno.  True if the same bytes should be sent normally. */
bool su_zero_copy_on_result(struct su_zero_copy *zero_copy, const struct su_socket *socket,
                            int32_t result);

/* A notification for `socket`, with what it reports.  True if the kernel had copied. */
bool su_zero_copy_on_notification(struct su_zero_copy *zero_copy, const struct su_socket *socket,
                                  int32_t report);

/* Another socket has this place in the file table now: nothing is known about it. */
void su_zero_copy_forget(struct su_zero_copy *zero_copy, const struct su_socket *socket);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SU_ZERO_COPY_H
#define SU_ZERO_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/ring.h"
#include "uring/slab.h"
#include "uring/socket.h"

/* Decides which sends use zero copy: SENDMSG_ZC, from slots that are registered as a fixed buffer.
 *
 * The network card reads the slot itself, some time after the send has completed.  A second
 * completion, the notification, reports when the slot is ours again.  It also reports whether the
 * kernel has copied anyway: on loopback, for a card that cannot gather or compute checksums, for a
 * packet that is captured.  Then zero copy only costs.  So after SU_ZERO_COPY_PATIENCE such
 * notifications in a row a socket returns to ordinary sends.
 *
 * The mode is found out by sending:
 *
 *     FIXED     6.15: from the registered buffer
 *     PINNED    6.2: from memory that is pinned for each send
 *     OFF
 *
 * A kernel without support for a mode refuses it with EINVAL.  That train is then sent normally,
 * and the next train tries the next mode.  The first mode that works is kept. */

#define SU_ZERO_COPY_SIZE_MIN 8192 /* below, a copy is cheaper than a notification */
#define SU_ZERO_COPY_PATIENCE 8

enum su_zero_copy_mode {
    SU_ZERO_COPY_OFF,
    SU_ZERO_COPY_PINNED,
    SU_ZERO_COPY_FIXED,
};

struct su_zero_copy {
    enum su_zero_copy_mode mode;
    bool is_proven;                             /* a send in this mode was accepted */
    uint8_t copied_run[SU_RING_FILE_COUNT_MAX]; /* per file: copies in a row; PATIENCE: off */
};

/* Registers `slab` with `ring` as buffer 0, until the ring is destroyed.  It counts against
 * RLIMIT_MEMLOCK.  The mode is PINNED where that limit is too small, and OFF without io_uring.
 * Threads: any before the ring is enabled. */
void su_zero_copy_begin(struct su_zero_copy *zero_copy, struct su_ring *ring, struct su_slab *slab);

/* Returns true if a send of `size` bytes on `socket` should use zero copy. */
static inline bool su_zero_copy_wants(const struct su_zero_copy *zero_copy,
                                      const struct su_socket *socket, uint32_t size)
{
    return SB_UNLIKELY(zero_copy->mode != SU_ZERO_COPY_OFF) && size >= SU_ZERO_COPY_SIZE_MIN &&
           zero_copy->copied_run[socket->file] < SU_ZERO_COPY_PATIENCE;
}

/* Fills the submission. */
void su_zero_copy_prepare(const struct su_zero_copy *zero_copy, struct io_uring_sqe *sqe,
                          const struct su_socket *socket, const struct msghdr *message);

/* Handles the result of a zero-copy send, >= 0 or a negative errno.  Returns true if the same bytes
 * should be sent normally. */
bool su_zero_copy_on_result(struct su_zero_copy *zero_copy, const struct su_socket *socket,
                            int32_t result);

/* Handles a notification for `socket`; `report` is its result.  Returns true if the kernel had
 * copied. */
bool su_zero_copy_on_notification(struct su_zero_copy *zero_copy, const struct su_socket *socket,
                                  int32_t report);

/* Forgets the copies that were counted at this place in the file table: another socket has it
 * now. */
void su_zero_copy_forget(struct su_zero_copy *zero_copy, const struct su_socket *socket);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SU_MMSG_H
#define SU_MMSG_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* The second back-end: epoll, recvmmsg and sendmmsg, for systems that refuse io_uring.
 *
 * It plays the kernel's part of a ring.  The two queues and the rings of buffers
 * have io_uring's own layout but lie in plain memory, and su_ring_enter comes here
 * instead of the kernel.  It executes the queued operations with ordinary calls, and
 * puts completions where the kernel would put them.  So receivers, transmit
 * slots, buffer rings and wake-ups are the same code over both back-ends, down to
 * the bytes of a receive slot, and the io_uring path pays nothing for the choice.
 *
 * It supports these operations, as far as their users need them:
 *
 *     NOP           completes with 0
 *     RECVMSG       multishot, out of a ring of buffers; ends as the kernel's does
 *     SENDMSG       the header must stay until the completion
 *     READ          of an eventfd
 *     ASYNC_CANCEL  of a RECVMSG, READ or POLL_ADD, by user_data
 *     POLL_ADD      once or multishot, of a plain descriptor
 *
 * with registered files and IOSQE_CQE_SKIP_SUCCESS.  Any other operation completes with -EINVAL,
 * as in a kernel that does not support it.
 *
 * A turn costs one sendmmsg per sending socket, one epoll_pwait2, and one recvmmsg per socket that
 * has received, however many trains and GRO buffers they move.
 *
 * Private to ring.c and bufring.c.  Threads: as for the ring. */

struct su_mmsg;

/* Makes the queues and fills in `*uring` so that liburing's inline functions for queues work on
 * it; those that enter the kernel must not be called.  Counts are rounded up to powers of two.
 * `uring` is borrowed and must not move.  0 or -errno (-ENOMEM, -EMFILE, -ENFILE). */
SB_MUST_USE int su_mmsg_create(struct io_uring *uring, uint32_t sq_count, uint32_t cq_count,
                               struct su_mmsg **ret);

/* Accepts NULL. */
void su_mmsg_destroy(struct su_mmsg *mmsg);

/* Puts `fd` into the file table at `index`, which is free.  It is borrowed: unlike the kernel's,
 * this table does not keep it open.  0 or -EBADF. */
SB_MUST_USE int su_mmsg_file_set(struct su_mmsg *mmsg, uint32_t index, int fd);

/* No send may wait on it. */
void su_mmsg_file_clear(struct su_mmsg *mmsg, uint32_t index);

/* A ring of `slot_count` buffers (a power of two), as io_uring_setup_buf_ring makes one.  NULL with
 * `*ret_error` -EEXIST (the name is taken), -ENOMEM or -ENOSPC (there are eight already). */
struct io_uring_buf_ring *su_mmsg_group_add(struct su_mmsg *mmsg, uint16_t group,
                                            uint32_t slot_count, int *ret_error);
void su_mmsg_group_remove(struct su_mmsg *mmsg, uint16_t group);

/* Does the work of io_uring_enter: takes submissions.  With `is_getting`, also completes
 * operations, and sleeps up to `timeout_ns` (SB_NEVER: without limit) unless there are `wait_count`
 * completions.  Returns the number of submissions that it took, -EBUSY if some are left because the
 * completion queue is full, or -errno of epoll.  Adds its system calls to `*calls`. */
int su_mmsg_enter(struct su_mmsg *mmsg, uint32_t wait_count, bool is_getting, uint64_t timeout_ns,
                  uint64_t *calls);

/* Returns true if sockets may have more to receive than the last enter has brought. */
bool su_mmsg_has_more(const struct su_mmsg *mmsg);

/* Returns epoll's descriptor: readable if an operation that waits for a file can go on. */
int su_mmsg_fd(const struct su_mmsg *mmsg);

/* Ends everything at once, without completions, and empties the file table. */
void su_mmsg_stop(struct su_mmsg *mmsg);

#endif

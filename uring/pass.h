/* SPDX-License-Identifier: MIT */
#ifndef SU_PASS_H
#define SU_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* Messages with descriptors between two processes, over a connected socket of AF_UNIX and
 * SOCK_SEQPACKET. */

enum { SU_PASS_FDS_MAX = 253 }; /* of a message: the kernel's SCM_MAX_FD */

struct su_pass {
    uint8_t *data;
    size_t size;
    int fds[SU_PASS_FDS_MAX];
    uint32_t fd_count;
};

/* Returns 0, or -EPROTOTYPE if `fd` is no connected socket of that kind, or another negative errno
 * of the kernel.  Threads: any. */
SB_MUST_USE int su_pass_check(int fd);

/* Returns whether two descriptors are of one socket; false if one is not open.  Threads: any. */
bool su_pass_is_same(int a, int b);

/* Sends a message; the descriptors stay the caller's.  Does not block.  Returns 0, or -EPIPE or
 * -ECONNRESET if the other end is closed, -EAGAIN if there is no room, or another negative errno.
 * Threads: any. */
SB_MUST_USE int su_pass_send(int fd, const struct su_pass *message);

/* Waits until a message may fit, for at most `wait_ns`, after su_pass_send() has returned -EAGAIN.
 * Returns 0, -EAGAIN, or another negative errno.  Threads: any. */
SB_MUST_USE int su_pass_wait_for_room(int fd, uint64_t wait_ns);

/* Waits for a message, for at most `wait_ns`.  Writes it to `message->data`, which has room for
 * `message->size` bytes, and to the other fields.  The descriptors are the caller's then, and are
 * not inherited by programs that it executes.
 *
 * Returns 0, or with no descriptor in `message`:
 *   -EAGAIN      there is none yet
 *   -ECONNRESET  the other end is closed, and all that it sent has been received
 *   -EMSGSIZE    it is longer than the room, or has too many descriptors
 *   -EMFILE      descriptors were lost: the process has no room for them
 * or another negative errno of the kernel.  Threads: any. */
SB_MUST_USE int su_pass_receive(int fd, uint64_t wait_ns, struct su_pass *message);

/* Closes the descriptors of a message. */
void su_pass_close(struct su_pass *message);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SU_HOSTED_H
#define SU_HOSTED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "proto/base/compiler.h"
#include "uring/address.h"
#include "uring/recv.h"
#include "uring/ring.h"

/* The third back-end: the host moves the datagrams, whichever way it has of doing that.
 *
 * It is the replacement of mmsg.h with sockets that are no sockets (SU_HOSTED_FD): nothing is
 * called for them.  What was received is put into slots of the buffer ring by the host, and
 * completes as the kernel's receives do; trains wait until the host takes them, and their slots
 * stay busy until it says what came of them.  So all that stands above a ring is the same code.
 *
 * The eventfd of wake.h is a real one, and the only descriptor that is looked at.
 *
 * Threads: the owner of the ring. */

/* In the place of a descriptor; see su_socket_config.is_hosted. */
#define SU_HOSTED_FD (-2)

/* A datagram, or several of one size back to back, that the host has put into a slot. */
struct su_hosted_in {
    const struct su_recv *recv; /* of the socket that gets it; NULL: nobody does */
    struct su_address local;    /* where it came to; AF_UNSPEC: not known */
    struct su_address peer;
    uint32_t size;         /* at most the slot's; larger ones are dropped */
    uint32_t segment_size; /* of all datagrams but the last; 0: it is one */
    uint8_t ecn;           /* 0 .. 3 */
};

/* Operations that wait for the host: SENDMSG of hosted sockets. */
struct su_hosted_out {
    uint64_t id;                  /* for su_hosted_done() */
    const struct msghdr *message; /* valid until then */
    struct su_op op;
};

/* Fills in up to `count` free slots, in order, with the room for payload in each, and returns how
 * many.  Where there are none, says so as the kernel would (-ENOBUFS), so that slots are made free.
 * Returns 0 also while no hosted socket receives.  Calls nothing. */
uint32_t su_hosted_slots(struct su_ring *ring, struct iovec *ret, uint32_t count);

/* What stands in the first `count` slots of the last su_hosted_slots(): completes those that have
 * a receiver, and leaves the others free.  Returns how many slots it has looked at: fewer than
 * `count` if there is no room for more completions; take some first.  `*ret_unread` is raised by
 * those that nobody gets, because there is no receiver or it is not armed. */
uint32_t su_hosted_give(struct su_ring *ring, const struct su_hosted_in *in, uint32_t count,
                        uint64_t *ret_unread);

/* Takes the next train of any hosted socket.  False: there is none. */
bool su_hosted_take(struct su_ring *ring, struct su_hosted_out *ret);

/* The host is done with a train: `error` is 0, or a negative errno.  Returns 0, or -EINVAL if there
 * is no such train. */
SB_MUST_USE int su_hosted_done(struct su_ring *ring, uint64_t id, int error);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SU_SEND_H
#define SU_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/address.h"
#include "uring/cmsg.h"
#include "uring/ring.h"
#include "uring/slab.h"
#include "uring/socket.h"
#include "uring/zero_copy.h"

/* Transmit slots: take one, write a train of datagrams into it, commit it.
 *
 *     su_send_take  -> slot, yours: write slot->data[0 .. SU_TRAIN_SIZE_MAX)
 *     su_send_commit   queues one sendmsg; the slot is the kernel's
 *     su_send_done     its completion, or with zero copy the last of them: the slot is free again
 *  or su_send_abandon  gives an unused slot back
 *
 * A train is up to 64 datagrams of one size, back to back, the last of which
 * may be shorter; more than one go down as one UDP_SEGMENT send.  Commit only
 * queues: a turn commits many trains, and su_ring_enter takes them all down in
 * one system call, in order.  Nothing is allocated after init.
 *
 * Errors and what is done about them:
 *
 *   EIO, EINVAL with several segments: this route cannot segment (or one segment
 *       is larger than its MTU).  The same slot is sent again as single
 *       datagrams, all of them in order; the slot stays busy until the last is
 *       done.  If one of those gets through, and the others were not too large,
 *       GSO is off for this destination address from now on: later trains to it
 *       are split at commit.
 *   EMSGSIZE: larger than the path MTU.  Counted, reported to the caller, not resent.
 *   EAGAIN does not normally come up: sockets block, so the kernel itself waits
 *       for room in the send buffer and the slot stays busy meanwhile; running
 *       out of slots is the back-pressure.  EAGAIN and ENOBUFS that do come up
 *       mean that a local queue dropped the datagrams.  They are not resent:
 *       that would make a full queue worse, and loss recovery repairs it at
 *       the pace that congestion control allows.  Counted and reported.
 *   ECONNREFUSED on a connected socket is the answer to an earlier datagram and
 *       this train was not sent: it is sent again, once.
 *   Any other error (EPERM by a firewall, ENETUNREACH, ...): counted and reported. */

#define SU_SEGMENT_COUNT_MAX       64    /* UDP_MAX_SEGMENTS of kernel 6.1; later ones allow 128 */
#define SU_TRAIN_SIZE_MAX          65507 /* the largest UDP payload in IPv4 */
#define SU_SEND_SLOT_COUNT_DEFAULT 256
#define SU_SEND_SLOT_COUNT_MAX     16384

struct su_train {
    const struct su_socket *socket; /* attached to the ring; borrowed until su_send_done */
    struct su_address destination;  /* ignored on a connected socket */
    struct su_address source;       /* AF_UNSPEC: the kernel chooses; the port is ignored */
    uint32_t size;                  /* bytes in all: 1 .. SU_TRAIN_SIZE_MAX */
    uint32_t segment_size;          /* 1 .. size; = size for a single datagram */
    uint8_t ecn;                    /* 0 .. 3 */
    uint64_t tag;                   /* the caller's; comes back in su_sent */
    uint64_t depart_ns;             /* on a timed socket: not before that time; 0: at once */
};

/* The result of a train. */
struct su_sent {
    uint64_t tag;
    uint32_t datagram_count; /* in the train */
    uint32_t failed_count;   /* of those, not sent */
    uint32_t segment_size;   /* bytes of each datagram but the last */
    int error;               /* 0, or the errno (negative) of the last that failed */
    bool is_gso_refused;     /* it had to be sent in single datagrams */
};

struct su_send_counts {
    uint64_t trains;        /* committed */
    uint64_t datagrams_out; /* sent, as the kernel said */
    uint64_t bytes_out;     /* sent */
    uint64_t sends;         /* sendmsg operations completed well */
    uint64_t gso_fallbacks; /* trains that came back with EIO or EINVAL and were split */
    uint64_t split;         /* trains that were split at commit, GSO being off for the address */
    /* Datagrams that were not sent: the sum, and each reason. */
    uint64_t send_errors;
    uint64_t too_large;           /* EMSGSIZE */
    uint64_t queue_full;          /* EAGAIN, ENOBUFS */
    uint64_t refused;             /* ECONNREFUSED twice */
    uint64_t unreachable;         /* ENETUNREACH, EHOSTUNREACH, ENETDOWN */
    uint64_t forbidden;           /* EPERM, EACCES */
    uint64_t other_errors;        /* anything else */
    uint64_t stale;               /* completions of an earlier use of a slot */
    uint64_t no_slots;            /* su_send_take that found none */
    uint64_t zero_copies;         /* notifications of zero-copy sendmsg operations */
    uint64_t zero_copies_copied;  /* notifications that report a copy */
    uint64_t zero_copies_refused; /* trains that were sent again with a copy */
    uint64_t trains_timed;        /* trains with a time of departure */
};

/* Of these fields the caller uses data only. */
struct su_send_slot {
    uint8_t *data; /* SU_TRAIN_SIZE_MAX bytes, cache-line aligned, of undefined content */
    const struct su_socket *socket;
    struct msghdr message;
    struct iovec part;
    struct su_address destination; /* in the socket's form */
    struct su_address peer;        /* canonical: the key of the GSO table */
    _Alignas(struct cmsghdr) uint8_t control[SU_CONTROL_SEND_SIZE];
    struct su_address source;
    uint64_t tag;
    uint64_t depart_ns;
    uint32_t index;
    uint32_t generation;
    uint32_t size;
    uint32_t segment_size;
    uint32_t single_next;   /* split: the next datagram to queue */
    uint32_t pending_count; /* operations in flight */
    int32_t notice_count;   /* notifications that are owed; below 0 if one came first */
    uint32_t failed_count;
    int error;
    uint8_t state; /* private to send.c */
    uint8_t ecn;
    bool is_stalled; /* has more to queue, the submission queue having been full */
    bool is_gso_refused;
    bool is_retried;
    bool is_zero_copy; /* the operation in flight; notice_count may be left of an earlier one */
};

#define SU_SEND_GSO_OFF_COUNT 64 /* addresses remembered; a collision forgets the older one */

struct su_send {
    struct su_ring *ring;
    struct su_slab slab;
    struct su_send_slot *slots;
    uint32_t slot_count;
    uint32_t busy_count;    /* committed and not done */
    uint32_t stalled_count; /* of those: waiting for room in the submission queue */
    struct su_zero_copy zero_copy;
    uint32_t gso_off_count;
    struct su_address gso_off[SU_SEND_GSO_OFF_COUNT]; /* direct-mapped by address, port 0 */
    struct su_send_counts counts;
};

/* `slot_count` up to SU_SEND_SLOT_COUNT_MAX, 0 means the default; each takes 64 KB and some.
 * `ring` is borrowed.  0, -ENOMEM, -EINVAL.  Threads: any before the ring is enabled, then, here
 * and below, the owner of the ring. */
SB_MUST_USE int su_send_init(struct su_send *send, struct su_ring *ring, uint32_t slot_count,
                             bool huge_pages);

/* Turns zero-copy sends on where they are cheaper, see zero_copy.h.  A slot is then busy until the
 * kernel's notification.  Threads: any before the ring is enabled. */
void su_send_begin_zero_copy(struct su_send *send);

/* Forgets what was learned about the previous socket at this place in the file table.  Called when
 * `socket` has been attached. */
void su_send_on_attach(struct su_send *send, const struct su_socket *socket);

/* Nothing may be in flight (su_ring_stop); slots that were taken are given back by this.
 * Accepts all zero. */
void su_send_deinit(struct su_send *send);

/* Returns a slot, or NULL if all are taken: then wait for completions. */
SB_MUST_USE struct su_send_slot *su_send_take(struct su_send *send);

/* Gives a slot back that was taken and not committed. */
void su_send_abandon(struct su_send *send, struct su_send_slot *slot);

/* Queues the train that was written to slot->data.  `train` is copied.
 *   0        the slot is the kernel's until su_send_done reports it
 *   -EAGAIN  the submission queue is full and the kernel takes none now: the slot is still
 *            yours; take completions and commit again, or abandon
 * Sizes out of range assert: they are ours, not the peer's. */
SB_MUST_USE int su_send_commit(struct su_send *send, struct su_send_slot *slot,
                               const struct su_train *train);

/* Handles a completion of kind SU_OP_SEND.  True if a train is over: its slot is free again and
 * `*ret` is its result.  False: more completions of this train will come, or the
 * completion was stale; `*ret` is untouched. */
bool su_send_done(struct su_send *send, const struct su_completion *completion,
                  struct su_sent *ret);

/* Queues datagrams of a resend for which the submission queue had no room.  Once per turn, before
 * su_ring_enter.  Costs one comparison if there are none. */
void su_send_maintain(struct su_send *send);

/* Slots that su_send_take can still give. */
static inline uint32_t su_send_free_count(const struct su_send *send)
{
    return send->slab.free_count;
}

#endif

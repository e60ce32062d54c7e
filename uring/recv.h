/* SPDX-License-Identifier: MIT */
#ifndef SU_RECV_H
#define SU_RECV_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/slice.h"
#include "uring/address.h"
#include "uring/bufring.h"
#include "uring/ring.h"
#include "uring/socket.h"

/* The receiver of one socket: a multishot recvmsg that fills slots of a buffer ring, one slot per
 * GRO buffer.
 *
 * A turn:
 *
 *     su_ring_enter, su_ring_completions
 *     for each of kind SU_OP_RECEIVE: su_recv_take -> 1: a su_received
 *         iterate over its datagrams with su_segments; sb_buffer_unref(received.buffer)
 *     su_recv_rearm     once, when the batch is done
 *
 * The multishot ends with each completion that lacks F_MORE.  With -ENOBUFS it ended because no
 * slot was provided.  Nothing is lost by that: the datagrams wait in the socket, and su_recv_rearm
 * arms the multishot again as soon as a slot is free.  Only `kernel_drops` of su_recv_counts
 * counts lost datagrams.  An empty datagram ends it as well: from the first one on the socket
 * refuses them, because each would cost a turn and a multishot.  The kernel counts these as
 * dropped, too. */

/* One GRO buffer, or a single datagram. */
struct su_received {
    uint8_t *payload;       /* in the slot; may be changed in place (decryption) */
    uint32_t size;          /* bytes; 0 is a legal, empty datagram */
    uint32_t segment_size;  /* of each datagram but the last, which may be shorter; = size if one */
    struct su_address peer; /* the sender, in canonical form */
    struct su_address local; /* where it arrived; the bound address if the kernel did not say */
    uint64_t stamp_ns; /* CLOCK_REALTIME when the kernel received the last part; 0: not known */
    uint8_t ecn;       /* 0 .. 3, the same for all datagrams in it */
    struct sb_buffer *buffer; /* the slot; one reference belongs to the receiver of this struct */
};

/* clang-format off */
#define SU_RECV_COUNTS(X) \
    X(receives)          /* su_received handed out */ \
    X(bytes)             /* payload in them */ \
    X(arms)              /* multishots started: 1 is the ideal */ \
    X(receive_rearms)    /* those of them that followed an earlier one */ \
    X(receive_enobufs)   /* multishots that ended with -ENOBUFS */ \
    X(ends)              /* multishots that ended for another reason than ENOBUFS or stop */ \
    X(receive_truncated) /* datagrams or control that did not fit: dropped */ \
    X(malformed)         /* completions with inconsistent lengths: dropped */ \
    X(socket_errors)     /* ICMP errors of a connected socket and the like */ \
    X(stale)             /* completions of an earlier receiver at this index: dropped */ \
    X(kernel_drops)      /* datagrams that the kernel dropped (SO_RXQ_OVFL) */ \
    X(drops_unclear)     /* those of them that may have been empty: since empty ones are refused */
/* clang-format on */

#define SU_RECV_COUNTS_FIELD(name) uint64_t name;
#define SU_RECV_COUNTS_ADD(name)   sum->name += counts->name;

struct su_recv_counts {
    SU_RECV_COUNTS(SU_RECV_COUNTS_FIELD)
};

static inline void su_recv_counts_add(struct su_recv_counts *sum,
                                      const struct su_recv_counts *counts)
{
    SU_RECV_COUNTS(SU_RECV_COUNTS_ADD)
}

struct su_recv {
    struct su_ring *ring;
    struct su_bufring *bufring;
    const struct su_socket *socket;
    struct msghdr message; /* only its lengths: how each slot is laid out */
    uint32_t index;
    uint32_t generation;
    bool is_armed;               /* a multishot is in flight */
    bool is_wanted;              /* between start and stop */
    bool is_cancelled;           /* its cancellation was queued */
    bool is_starved;             /* the last one ended with -ENOBUFS */
    bool has_met_empty;          /* one ended with an empty datagram */
    uint32_t dropped_count_seen; /* the last SO_RXQ_OVFL */
    struct su_recv_counts counts;
};

/* Prepares a receiver; nothing is armed yet.  `index` goes into the operation's user_data: the
 * owner's name for this receiver.  All three pointers are borrowed and must outlive it.  The socket
 * must be attached to `ring`.  `recv` is all zero the first time.  Later it may be the struct of an
 * earlier receiver with the same index: its generation continues, so that late completions of the
 * earlier one are recognised. */
void su_recv_init(struct su_recv *recv, struct su_ring *ring, struct su_bufring *bufring,
                  const struct su_socket *socket, uint32_t index);

/* Queues the multishot.  0, or -EAGAIN if the submission queue is full: su_recv_rearm tries again.
 * Threads, here and below: the owner of the ring. */
int su_recv_start(struct su_recv *recv);

/* Handles a completion of kind SU_OP_RECEIVE with this receiver's index.
 *   1        `*ret` is filled; the caller owns one reference to ret->buffer
 *   0        there is no data: ended, stale, truncated, malformed (counted)
 *   -errno   the socket reported an error (-ECONNREFUSED, -EHOSTUNREACH, ...); it is counted, and
 *            the receiver continues.  Such a report is not authenticated: it is only a hint.
 * `*ret` is untouched unless 1 is returned. */
SB_MUST_USE int su_recv_take(struct su_recv *recv, const struct su_completion *completion,
                             struct su_received *ret);

/* Provides freed slots to the kernel and, if the multishot has ended, arms it again.  Does nothing
 * while no slot is free.  Once per turn, after the completions. */
void su_recv_rearm(struct su_recv *recv);

/* Queues the cancellation.  The last completion (-ECANCELED) comes later: is_armed turns false. */
void su_recv_stop(struct su_recv *recv);

/* Where the parts of one receive slot are.  Every length in it comes from the kernel through
 * shared memory and is checked against what was asked for and against `size`. */
struct su_recv_layout {
    uint8_t *name;
    uint8_t *control;
    uint8_t *payload;
    uint32_t name_size;
    uint32_t control_size;
    uint32_t payload_size;
    uint32_t flags; /* MSG_TRUNC, MSG_CTRUNC */
};

/* `size` is the completion's result.  0, or -EBADMSG if anything does not fit: `*ret` is
 * untouched.  `payload_size` is cut to what is in the slot, as with MSG_TRUNC it may be more. */
SB_MUST_USE int su_recv_parse(uint8_t *slot, uint32_t size, const struct msghdr *asked,
                              struct su_recv_layout *ret);

/* Cuts a received buffer into datagrams. */
struct su_segments {
    uint8_t *at;
    uint32_t left;
    uint32_t segment_size;
};

static inline struct su_segments su_segments_of(const struct su_received *received)
{
    return (struct su_segments){
        .at = received->payload,
        .left = received->size,
        .segment_size = received->segment_size,
    };
}

/* The next datagram: its address, and its size in `*ret_size`; NULL when there is none left.
 * An empty datagram gives none. */
static inline uint8_t *su_segments_next(struct su_segments *segments, uint32_t *ret_size)
{
    if (segments->left == 0)
        return NULL;
    uint8_t *datagram = segments->at;
    uint32_t size = SB_MIN(segments->left, segments->segment_size);
    if (size == 0)
        return NULL;
    segments->at += size;
    segments->left -= size;
    *ret_size = size;
    return datagram;
}

/* How many datagrams su_segments_next will give. */
static inline uint32_t su_received_count(const struct su_received *received)
{
    if (received->size == 0)
        return 0;
    return (received->size + received->segment_size - 1) / received->segment_size;
}

#endif

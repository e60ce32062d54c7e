/* SPDX-License-Identifier: MIT */
#ifndef SPATE_DATAGRAM_H
#define SPATE_DATAGRAM_H

#include <spate/base.h>
#include <spate/event.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Unreliable messages: each is the payload of one DATAGRAM frame [RFC9221].  A message arrives
 * whole or not at all, messages may overtake each other, and none is ever retransmitted.  They are
 * encrypted, congestion controlled and acknowledged like everything else of a connection, and share
 * it with streams in equal parts while both have something to send.
 *
 *     receiving   Set message_frame_size_max of struct spate_config: it allows the peer to send.
 *                 Each SPATE_EVENT_DATAGRAM has one message, as a slice that must be released.
 *     sending     spate_conn_datagram_send(), once SPATE_EVENT_CONNECTED was taken.
 *     results     SPATE_EVENT_DATAGRAMS_SENT has what became of many messages at once. */

/* The largest message that SPATE_DATAGRAM_COPY takes, in bytes. */
#define SPATE_DATAGRAM_COPY_SIZE_MAX 2008

/* Flags of spate_conn_datagram_send(). */
enum spate_datagram_flags {
    /* The bytes are copied during the call: they are the caller's again when it returns. */
    SPATE_DATAGRAM_COPY = 1,
    /* No result is reported.  Without SPATE_DATAGRAM_COPY the bytes must never change. */
    SPATE_DATAGRAM_SILENT = 2,
};

/* Queues a message.  It is sent from the shard's next turn on, as congestion control and pacing
 * allow, in the order of the calls; as many messages share a packet as fit.  Does not block and
 * makes no system call.  [RFC9221 5]
 *
 * Small messages are easiest to send with SPATE_DATAGRAM_COPY.  Large ones cost least when they are
 * lent: the cipher is the only one that reads them.
 *
 *   data         On success it is lent until SPATE_EVENT_DATAGRAMS_SENT returns `tag`, unless
 *                `flags` has SPATE_DATAGRAM_COPY.  On failure it stays the caller's.  May be NULL
 *                if `size` is 0.
 *   size         0 to spate_conn_datagram_size_max() bytes.
 *   tag          Returned in exactly one result; the library does not use it.
 *   deadline_ns  A message that was not sent by this time of spate_shard_now_ns(), or would depart
 *                later where the kernel paces, is dropped, with the result SPATE_DATAGRAM_EXPIRED.
 *                SPATE_FOREVER: none.
 *   flags        0, or values of enum spate_datagram_flags.
 *
 * Returns 0, or:
 *   -EAGAIN      message_count_max messages, or message_bytes_max bytes, wait to be sent.
 *                SPATE_EVENT_DATAGRAM_ROOM follows when half of that is free.
 *   -EMSGSIZE    `size` is larger than spate_conn_datagram_size_max(), or than
 *                SPATE_DATAGRAM_COPY_SIZE_MAX with SPATE_DATAGRAM_COPY.
 *   -EOPNOTSUPP  The peer takes no messages: its max_datagram_frame_size is 0 [RFC9221 3].
 *   -ENOBUFS     memory_bytes_max is reached: process events and try again later.
 *   -EINVAL      `data` is NULL and `size` is not 0, or `flags` has an unknown value.
 *   -ENOTCONN    The connection is closed, or its handshake is not complete.
 *
 * Threads: shard. */
SPATE_API int spate_conn_datagram_send(struct spate_conn *conn, const void *data, size_t size,
                                       uint64_t tag, uint64_t deadline_ns, unsigned flags);

/* The most bytes of `head` of struct spate_datagram. */
#define SPATE_DATAGRAM_HEAD_SIZE_MAX 32

/* A message of two parts, for spate_conn_datagram_send_with(): the receiver gets one message, the
 * head and then the data. */
struct spate_datagram {
    size_t size;          /* sizeof(struct spate_datagram) */
    const void *head;     /* copied during the call; may be NULL if head_size is 0 */
    size_t head_size;     /* 0 to SPATE_DATAGRAM_HEAD_SIZE_MAX bytes */
    const void *data;     /* lent or copied, as for spate_conn_datagram_send() */
    size_t data_size;     /* bytes at `data`; both sizes together are that of the message */
    uint64_t tag;         /* as for spate_conn_datagram_send() */
    uint64_t deadline_ns; /* as for spate_conn_datagram_send(); 0: none */
    uint32_t flags;       /* as for spate_conn_datagram_send() */
    uint8_t reserved[4];  /* no padding; ignored */
};

/* Queues a message whose first bytes are elsewhere in memory than the others.  It is for programs
 * that pass on what they received with a header of their own: the data stays where it is, also if
 * it is lent for several connections at once, each with a head of its own.  Otherwise it does what
 * spate_conn_datagram_send() does.
 *
 *   datagram  Describes the message; the struct itself is not kept.
 *
 * Returns 0, or:
 *   -EAGAIN      message_count_max messages, or message_bytes_max bytes, wait to be sent.
 *                SPATE_EVENT_DATAGRAM_ROOM follows when half of that is free.
 *   -EMSGSIZE    Both sizes together are larger than spate_conn_datagram_size_max(), or data_size
 *                is larger than SPATE_DATAGRAM_COPY_SIZE_MAX with SPATE_DATAGRAM_COPY.
 *   -EOPNOTSUPP  The peer takes no messages: its max_datagram_frame_size is 0 [RFC9221 3].
 *   -ENOBUFS     memory_bytes_max is reached: process events and try again later.
 *   -EINVAL      `datagram` is NULL or its `size` is not that of a release.  Or head_size is too
 *                large, a part is NULL and its size is not 0, or `flags` has an unknown value.
 *   -E2BIG       A field is set that this library is too old to know.
 *   -ENOTCONN    The connection is closed, or its handshake is not complete.
 *
 * Threads: shard. */
SPATE_API int spate_conn_datagram_send_with(struct spate_conn *conn,
                                            const struct spate_datagram *datagram);

/* Returns the bytes of the largest message that can be sent now, or 0 if the peer takes none.
 * [RFC9221 5]  It follows what the path takes, so it is small at first and grows soon after the
 * handshake.  It may also fall: a queued message that does not fit any more is dropped, with the
 * result SPATE_DATAGRAM_DROPPED.
 *
 * Threads: shard. */
SPATE_API size_t spate_conn_datagram_size_max(const struct spate_conn *conn);

#ifdef __cplusplus
}
#endif

#endif

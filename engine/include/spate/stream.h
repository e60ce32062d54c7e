/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STREAM_H
#define SPATE_STREAM_H

#include <spate/base.h>
#include <spate/event.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The largest `size` of one spate_stream_send(). */
#define SPATE_SEND_SIZE_MAX ((size_t)1 << 40)

/* Opens a stream, bidirectional or unidirectional.  [RFC9000 2]
 * Returns 0, or:
 *   -EAGAIN   At the peer's limit or our own streams_local_max: SPATE_EVENT_STREAMS_AVAILABLE
 *             will tell.
 *   -ENOTCONN The connection is closed, or its handshake is not complete.
 * Threads: shard. */
SPATE_API int spate_stream_open(struct spate_conn *conn, bool is_uni, uint64_t *ret_id);

/* Queues bytes on a stream without copying them.
 *
 * They are sent when flow control, congestion control and pacing allow, from the
 * shard's next turn on.  Bytes from one call never pass bytes from an earlier one.
 *
 *   data   Lent on success until SPATE_EVENT_SENT brings `tag` back: neither
 *          change nor free them before.  On failure they stay the caller's.
 *   size   0 to SPATE_SEND_SIZE_MAX; 0 only together with `fin`.
 *   fin    Closes the sending side behind these bytes.
 *   tag    Comes back in exactly one event; never looked at.
 *
 * Returns 0, or:
 *   -ENOBUFS   Memory limit: take events, try again later.
 *   -EPIPE     The sending side is closed: by `fin`, a reset, or the peer's STOP_SENDING;
 *              or there is no such stream.
 *   -EINVAL    `size` is out of range, or the stream is the peer's unidirectional one.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard.  Does not block, makes no system call. */
SPATE_API int spate_stream_send(struct spate_conn *conn, uint64_t stream_id, const void *data,
                                size_t size, bool fin, uint64_t tag);

/* Receives into the application's own memory: its first byte is for the next byte of the stream
 * for which no memory has been lent before, and that has not been handed out as a slice.
 *
 * From then on the bytes of this stream come there and nowhere else, and are told by
 * SPATE_EVENT_STREAM_PLACED instead of SPATE_EVENT_STREAM_DATA (of which there may be some on their
 * way still): in order, and each event with as many as are there.  Packets with nothing but bytes
 * for it are decrypted straight into the memory; bytes that come otherwise, or that had to wait for
 * memory, are copied there (struct spate_conn_stats tells how many).  The peer gets credit as
 * bytes are told, without a spate_slice_release(): who lends no more memory stops it.
 *
 *   buffer  Lent on success until an event with `tag` says is_returned: when it is full, with the
 *           end of the stream, when the peer or spate_stream_stop() abandons it, and before
 *           SPATE_EVENT_CLOSED; after spate_engine_destroy() in any case.  Until then bytes that
 *           have been told are the application's to read and stay as they are.  The others are
 *           undefined, and so they are when it comes back before it is full: a forged packet may
 *           have been decrypted there before it was found out.
 *   size    At least 1, below 2^62.
 *   tag     Comes back in each event of this memory; never looked at.
 *   ret_offset  Of buffer[0] in the stream; may be NULL.
 *
 * Several may be lent to one stream, each for what is behind the one before: while one is
 * handed back and lent again the next is being filled, and nothing has to wait or to be copied,
 * but for a packet that lies across the end of one whose follower is elsewhere in memory.
 * Who wants no slices at all lends in answer to SPATE_EVENT_STREAM_OPENED, or behind
 * spate_stream_open().
 *
 * Returns 0, or:
 *   -ENOBUFS   8 are lent to this stream already, or the memory limit.
 *   -EPIPE     Nothing more can come: it has been told to the end, abandoned, or there is no such
 *              stream.
 *   -EINVAL    `buffer` is NULL, `size` is out of range, or the stream is our unidirectional one.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard.  Bytes that have been told may be read by any thread. */
SPATE_API int spate_stream_receive_into(struct spate_conn *conn, uint64_t stream_id, void *buffer,
                                        size_t size, uint64_t tag, uint64_t *ret_offset);

/* Abandons sending with an application error code below 2^62.  [RFC9000 19.4]  Lent bytes
 * come back.  Returns 0, -EPIPE (no such stream or done already), -EINVAL, -ENOTCONN.
 * Threads: shard. */
SPATE_API int spate_stream_reset(struct spate_conn *conn, uint64_t stream_id, uint64_t error);

/* Asks the peer to stop sending.  [RFC9000 19.5]  No more data events come.
 * Returns as spate_stream_reset().  Threads: shard. */
SPATE_API int spate_stream_stop(struct spate_conn *conn, uint64_t stream_id, uint64_t error);

/* A pointer that comes back in the stream's events.  Returns 0 or -EPIPE.  Threads: shard. */
SPATE_API int spate_stream_set_user(struct spate_conn *conn, uint64_t stream_id, void *user);

/* Gives received bytes back: the slot is free again and the peer gets credit for as
 * many.  Exactly once for each SPATE_EVENT_STREAM_DATA, in any order, also after the stream
 * or the connection has closed.  Until then the bytes stay as they are.
 * Threads: shard.  From another thread: spate_shard_post(). */
SPATE_API void spate_slice_release(struct spate_shard *shard, struct spate_slice *slice);

#ifdef __cplusplus
}
#endif

#endif

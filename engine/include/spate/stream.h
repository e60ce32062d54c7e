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

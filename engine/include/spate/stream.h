/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STREAM_H
#define SPATE_STREAM_H

#include <sys/socket.h>

#include <spate/base.h>
#include <spate/event.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The largest `size` of one spate_stream_send(), and of all pieces of one spate_stream_sendv():
 * 1 TiB. */
#define SPATE_SEND_SIZE_MAX ((size_t)1 << 40)

/* The largest `count` of one spate_stream_sendv(). */
#define SPATE_SENDV_COUNT_MAX 256

/* Opens a stream.  [RFC9000 2]
 *
 *   is_uni   True: unidirectional, for sending only.  False: bidirectional.
 *   *ret_id  The stream's ID.  Untouched on failure.
 *
 * Returns 0, or:
 *   -EAGAIN    As many streams are open as the peer or streams_local_max allows.
 *              SPATE_EVENT_STREAMS_AVAILABLE reports a free place.
 *   -ENOBUFS   memory_bytes_max is reached: process events and try again later.
 *   -ENOTCONN  The connection is closed, or its handshake is not complete.
 *
 * Threads: shard. */
SPATE_API int spate_stream_open(struct spate_conn *conn, bool is_uni, uint64_t *ret_id);

/* Queues bytes on a stream without copying them.  They are sent from the shard's next turn on, as
 * flow control, congestion control and pacing allow.  Bytes of one stream are sent in the order of
 * the calls.  [RFC9000 2.2]  Does not block and makes no system call.
 *
 *   data   On success it is lent until SPATE_EVENT_SENT returns `tag`: do not change or free it
 *          before.  On failure it stays the caller's.  May be NULL if `size` is 0.
 *   size   1 to SPATE_SEND_SIZE_MAX bytes.  0 is allowed if `fin` is set.
 *   fin    True: the sending side ends after these bytes.
 *   tag    Returned in exactly one SPATE_EVENT_SENT; the library does not use it.
 *
 * Returns 0, or:
 *   -ENOBUFS   memory_bytes_max is reached: process events and try again later.
 *   -EPIPE     The sending side is closed, by `fin`, by spate_stream_reset() or by the peer's
 *              STOP_SENDING.  Or there is no such stream.
 *   -EINVAL    `size` is out of range, or `data` is NULL.  Or the stream is a unidirectional one
 *              of the peer.  Or the stream would be longer than 2^62 bytes.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_stream_send(struct spate_conn *conn, uint64_t stream_id, const void *data,
                                size_t size, bool fin, uint64_t tag);

/* Queues several pieces on a stream without copying them, as one write: one event returns all of
 * them.  They are sent in their order, and packets do not end where pieces end.  [RFC9000 2.2] Does
 * not block and makes no system call.
 *
 *   pieces  On success each piece is lent until SPATE_EVENT_SENT returns `tag`, whose size is the
 *           sum of all: do not change or free them before.  The array itself may be freed at once.
 *           On failure all stays the caller's.  Pieces of 0 bytes are allowed.
 *   count   Entries in `pieces`: 0 to SPATE_SENDV_COUNT_MAX.
 *   fin     True: the sending side ends after these bytes.
 *   tag     Returned in exactly one SPATE_EVENT_SENT; the library does not use it.
 *
 * Returns 0, or:
 *   -ENOBUFS   memory_bytes_max is reached: process events and try again later.
 *   -EPIPE     The sending side is closed, by `fin`, by spate_stream_reset() or by the peer's
 *              STOP_SENDING.  Or there is no such stream.
 *   -EINVAL    There are too many pieces, or no bytes without `fin`, or more than
 *              SPATE_SEND_SIZE_MAX.  Or a piece with bytes is NULL.  Or the stream is a
 *              unidirectional one of the peer, or would be longer than 2^62 bytes.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_stream_sendv(struct spate_conn *conn, uint64_t stream_id,
                                 const struct iovec *pieces, size_t count, bool fin, uint64_t tag);

/* How far the sending side of a stream has come.  Counts are from the start of the stream. */
struct spate_stream_progress {
    uint64_t queued_bytes; /* passed to spate_stream_send() and spate_stream_sendv(); after
                              spate_stream_reset_at() the larger of sent_bytes and its size */
    uint64_t credit_bytes; /* that the peer allows.  [RFC9000 4.1] */
    uint64_t sent_bytes;   /* sent at least once */
    uint64_t acked_bytes;  /* acknowledged without a gap: the peer has the stream up to here */
    bool fin_queued;       /* `fin` was passed */
    bool fin_acked;        /* the peer knows the end */
    uint8_t reserved[6];   /* zero */
    /* What should be queued and not acknowledged, so that this stream alone fills the path: twice
     * the congestion window, at least 64 KiB.  More than that waits longer than necessary; with
     * less the path may run empty, because SPATE_EVENT_SENT comes a round trip after the bytes.
     * Queue more while queued_bytes - acked_bytes is less; look again at each SPATE_EVENT_SENT.  It
     * grows with the bandwidth-delay product. */
    uint64_t wanted_bytes;
};

/* Writes the first `size` bytes of the progress that spate_stream_progress() describes, and zeroes
 * for fields that this library does not have.  For languages other than C and C++, whose programs
 * call spate_stream_progress().
 *
 *   *ret  Room for `size` bytes; untouched on failure.
 *   size  Bytes that the program knows: its sizeof(struct spate_stream_progress).
 *
 * Returns 0, or:
 *   -EPIPE     There is no such stream: it may be closed.
 *   -EINVAL    The stream is a unidirectional one of the peer.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_stream_progress_sized(const struct spate_conn *conn, uint64_t stream_id,
                                          struct spate_stream_progress *ret, size_t size);

/* Writes how far the sending side of a stream has come.  It costs a look-up and no more.  It is
 * inline, so that a program gets the fields that it was compiled with.  Returns the result of
 * spate_stream_progress_sized(); `*ret` is untouched on failure.  Threads: shard. */
static inline int spate_stream_progress(const struct spate_conn *conn, uint64_t stream_id,
                                        struct spate_stream_progress *ret)
{
    return spate_stream_progress_sized(conn, stream_id, ret, sizeof(*ret));
}

/* Lends memory to receive a stream into, without slices.  buffer[0] is for the first byte of the
 * stream that has not been delivered as a slice and for which no memory was lent before.
 *
 * From then on all bytes of the stream are delivered in lent memory, and reported by
 * SPATE_EVENT_STREAM_PLACED instead of SPATE_EVENT_STREAM_DATA.  Some SPATE_EVENT_STREAM_DATA
 * events may be queued already and still come.  Events report bytes in order, each as many as there
 * are.  A packet with nothing but bytes for lent memory is decrypted directly into it.  Other bytes
 * and bytes that had to wait for memory, are copied there; stream_bytes_copied of
 * spate_conn_stats() counts them.  Reported bytes count as consumed, so the peer gets credit for
 * them without spate_slice_release().  If no memory is lent, the peer runs out of credit and stops.
 *
 * Lent memory does not replace credit: the peer sends as much as the windows of the stream and of
 * the connection allow, however much is lent.  Slices that were delivered before keep their part of
 * both windows until spate_slice_release(), and so do bytes that wait for memory.  The slices may
 * be a whole window.  Release or copy them before you wait for the rest of the stream: otherwise
 * the rest cannot come.
 *
 * When the connection ends, memory can no longer be lent.  Bytes that were received in order and
 * wait for memory then come by SPATE_EVENT_STREAM_DATA, before SPATE_EVENT_CLOSED, because they
 * were acknowledged.  Release their slices.  They are dropped only after spate_conn_close(),
 * and after an error that this side has found (SPATE_CLOSE_TRANSPORT with is_local).
 *
 *   buffer       Lent on success until an event with `tag` has is_returned set.  That happens when
 *                the buffer is full, at the end of the stream, after a reset by the peer or
 *                spate_stream_stop(), and before SPATE_EVENT_CLOSED.  spate_engine_destroy()
 *                returns it without an event.  On failure it stays the caller's.
 *                Reported bytes may be read at once and do not change.  Other bytes are undefined,
 *                also after the return of a buffer that is not full: a forged packet may have been
 *                decrypted there before its authentication failed.
 *   size         Bytes in `buffer`: 1 to 2^62 - 1.
 *   tag          Returned in each event of this buffer; the library does not use it.
 *   *ret_offset  The offset of buffer[0] in the stream.  Untouched on failure; may be NULL.
 *
 * Several buffers can be lent to one stream; each is for the bytes after the previous one.  The
 * next buffer fills while the application handles the previous one, so that the peer never has to
 * wait.  Only a packet that straddles two non-adjacent buffers is copied.
 *
 * To receive no slices, call this when handling SPATE_EVENT_STREAM_OPENED or right after
 * spate_stream_open().
 *
 * Returns 0, or:
 *   -ENOBUFS   8 buffers are lent to this stream already, or memory_bytes_max is reached.
 *   -EPIPE     No more bytes can come: the end has been delivered, or the stream was reset or
 *              stopped.  Or there is no such stream.
 *   -EINVAL    `buffer` is NULL or `size` is out of range.  Or the stream is a unidirectional one
 *              of ours.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard.  Any thread may read bytes that have been reported. */
SPATE_API int spate_stream_receive_into(struct spate_conn *conn, uint64_t stream_id, void *buffer,
                                        size_t size, uint64_t tag, uint64_t *ret_offset);

/* Urgencies of streams: 0 is the most urgent.  [RFC9218 4.1] */
#define SPATE_URGENCY_DEFAULT 3
#define SPATE_URGENCY_MAX     7

/* Changes the priority of the sending side of a stream, at any time.  It takes effect with the next
 * packet, for bytes that were queued before as well, and for their retransmission.  Costs the same
 * however many streams there are.  [RFC9218 4, 10]
 *
 *   urgency         0, the most urgent, to SPATE_URGENCY_MAX.  Streams with a smaller number are
 *                   sent first.  A stream begins with SPATE_URGENCY_DEFAULT.
 *   is_incremental  True: streams of this urgency take turns; a stream begins with that.  False:
 *                   those of this urgency are sent one after the other, in the order of their IDs,
 *                   and before the ones that take turns.
 *
 * Nobody starves: while more urgent streams take all that the connection can send, the others
 * together get a byte for each 16 of these.  Datagrams are not affected.  The priority concerns our
 * own bytes and is not sent to the peer; the peer's bytes come in the order that it chooses.
 * Setting the priority that a stream has already changes nothing, so repeating it is harmless.
 *
 * Returns 0, or:
 *   -ENOBUFS   memory_bytes_max is reached: the priority is as before; try again later.
 *   -EPIPE     The sending side has been reset, or the peer has acknowledged all of it.  Or there
 *              is no such stream.
 *   -EINVAL    `urgency` is too large.  Or the stream is a unidirectional one of the peer.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_stream_set_priority(struct spate_conn *conn, uint64_t stream_id,
                                        uint32_t urgency, bool is_incremental);

/* Abandons the sending side of a stream with RESET_STREAM.  [RFC9000 19.4]  Lent bytes come back
 * with SPATE_EVENT_SENT, and its is_acked is false for those that the peer has not acknowledged.
 *
 *   error  An application error code below 2^62.
 *
 * Returns 0, or:
 *   -EPIPE     The sending side has been reset, or the peer has acknowledged all of it.  Or there
 *              is no such stream.
 *   -EINVAL    `error` is 2^62 or more.  Or the stream is a unidirectional one of the peer.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_stream_reset(struct spate_conn *conn, uint64_t stream_id, uint64_t error);

/* Abandons the sending side of a stream except its first bytes, which are still delivered, with
 * RESET_STREAM_AT.  The peer's application gets SPATE_EVENT_STREAM_RESET after those bytes.  So a
 * header that names the purpose of the stream arrives, although the body is given up.
 * [draft-ietf-quic-reliable-stream-reset]  Peers that have a draft from 07 on know the frame.
 *
 * Lent bytes that are not needed any more come back with SPATE_EVENT_SENT at once.  A write that
 * holds the boundary comes back when its bytes below it are acknowledged; its is_acked is false.
 * A later call may make the reliable size smaller; the error of the first call stays.
 * spate_stream_reset() and the peer's STOP_SENDING make it 0.  If the peer rejects 0-RTT and no
 * longer knows RESET_STREAM_AT, a reset that was made before becomes one with the size 0.
 *
 *   error          An application error code below 2^62.
 *   reliable_size  Bytes from the start of the stream, at most those that were queued: 0 to
 *                  queued_bytes of spate_stream_progress().  0 does what spate_stream_reset() does.
 *
 * Returns 0, or:
 *   -EOPNOTSUPP  The peer does not know RESET_STREAM_AT, and `reliable_size` is not 0.
 *   -EPIPE       The sending side has been reset with the size 0, or the peer has acknowledged all
 *                of it.  Or there is no such stream.
 *   -EINVAL      `error` is 2^62 or more.  Or `reliable_size` is larger than what was queued, or
 *                than in an earlier call.  Or the stream is a unidirectional one of the peer.
 *   -ENOTCONN    The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_stream_reset_at(struct spate_conn *conn, uint64_t stream_id, uint64_t error,
                                    uint64_t reliable_size);

/* Asks the peer to stop sending on a stream with STOP_SENDING.  [RFC9000 19.5]  Buffers of
 * spate_stream_receive_into() come back.  No event that is taken after this call delivers bytes of
 * the stream: those that are queued are dropped, and the peer gets credit for their bytes.  Events
 * that were taken before, in one batch with the event that is being handled, may still hold some:
 * release their slices.
 *
 *   error  An application error code below 2^62.
 *
 * Returns 0, or:
 *   -EPIPE     The stream was stopped or reset before, or its end has been delivered.  Or there
 *              is no such stream.
 *   -EINVAL    `error` is 2^62 or more.  Or the stream is a unidirectional one of ours.
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_stream_stop(struct spate_conn *conn, uint64_t stream_id, uint64_t error);

/* Sets the pointer that events of this stream carry as stream_user.  It is NULL before.
 *
 *   user  The library does not use it; may be NULL.
 *
 * Returns 0, or:
 *   -EPIPE  There is no such stream, or its SPATE_EVENT_STREAM_CLOSED has been queued.
 *
 * Threads: shard. */
SPATE_API int spate_stream_set_user(struct spate_conn *conn, uint64_t stream_id, void *user);

/* Releases received bytes: frees the memory that holds them, and gives the peer credit for as many
 * bytes of a stream.  Call it exactly once for each SPATE_EVENT_STREAM_DATA and for each
 * SPATE_EVENT_DATAGRAM, also for an empty slice.  Any order is
 * allowed, also after the stream or the connection has closed.  [RFC9000 4.2]
 *
 * Short slices of a stream share memory, up to 256 bytes of it: that is freed with the last of
 * them.  Messages of less than 256 bytes share up to 2 KiB.  So copy a few bytes that you keep for
 * long.
 *
 *   shard  The shard that delivered the slice.
 *   slice  Its bytes must not be used after this call.  The struct is set to zero.
 *
 * Threads: shard; use spate_shard_post() from another thread. */
SPATE_API void spate_slice_release(struct spate_shard *shard, struct spate_slice *slice);

/* Releases several slices, like spate_slice_release() for each of them, but for less: those of one
 * stream that follow each other are given back together.  For SPATE_EVENT_STREAM_BATCH and
 * SPATE_EVENT_DATAGRAM_BATCH.
 *
 *   shard   The shard that delivered the slices.
 *   slices  Their bytes must not be used after this call.  The structs are not changed: do not
 *           release any of them again.
 *   count   Entries in `slices`; may be 0.
 *
 * Threads: shard; use spate_shard_post() from another thread. */
SPATE_API void spate_slices_release(struct spate_shard *shard, const struct spate_slice *slices,
                                    size_t count);

#ifdef __cplusplus
}
#endif

#endif

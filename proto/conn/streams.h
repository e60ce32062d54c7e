/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_STREAMS_H
#define SP_CONN_STREAMS_H

#include "proto/conn/impl.h"
#include "proto/wire/frame.h"
#include "proto/wire/tparam.h"

void sp_conn_streams_init(struct sp_conn *conn);
/* Frees the streams, after all packets in flight were forgotten.  Returns false when `*steps`,
 * which it counts down, is 0 before all are freed. */
bool sp_conn_streams_deinit(struct sp_conn *conn, uint32_t *steps);
/* Finds or opens the stream that a frame of the peer names.  `*ret` is NULL for one that is
 * closed: ignore the frame.  `for_send`: the frame concerns our sending part. */
enum sp_err sp_conn_stream_of_frame(struct sp_conn *conn, uint64_t id, bool for_send,
                                    struct sp_stream **ret);
/* Finds the stream of an operation of the application.  Returns SP_DONE, or the result of the
 * operation if there is no such stream. */
enum sp_result sp_conn_stream_of_operation(struct sp_conn *conn, uint64_t id,
                                           struct sp_stream **ret);
/* Returns the next stream of a kind that the peer opened and the application does not know yet, or
 * NULL.  Makes it if no frame of its own did; without memory the connection ends. */
struct sp_stream *sp_conn_announce_stream(struct sp_conn *conn, bool is_uni);
void sp_conn_stream_schedule(struct sp_conn *conn, struct sp_stream *stream);
void sp_conn_stream_add_control(struct sp_conn *conn, struct sp_stream *stream, uint8_t control);
void sp_conn_stream_add_event(struct sp_conn *conn, struct sp_stream *stream);
/* Closes a stream whose events were all taken.  Frees it when no packet in flight names it and
 * its pieces are gone. */
void sp_conn_stream_reap(struct sp_conn *conn, struct sp_stream *stream);
/* Frees discarded pieces, and the closed streams that waited for that.  Takes 1 from `*steps` for
 * each piece, until that is 0. */
static inline void sp_conn_discard_some(struct sp_conn *conn, uint32_t *steps)
{
    for (struct sp_reassembly *queue;
         (queue = sp_reassembly_discard_some(&conn->pieces, steps)) != NULL;) {
        struct sp_stream *stream = SB_CONTAINER_OF(queue, struct sp_stream, recv.reassembly);
        if (stream->is_closed)
            sp_conn_stream_reap(conn, stream);
    }
}

void sp_conn_discarded(struct sp_conn *conn, uint64_t bytes);
/* After the receiving part changed.  Returns SP_DROP if there was no memory for that. */
enum sp_err sp_conn_stream_after_receive(struct sp_conn *conn, struct sp_stream *stream,
                                         const struct sp_recv_effect *effect);
/* sp_conn_on_stream() for a frame that sp_stream_recv_extend() takes; false if it does not. */
bool sp_conn_extend_stream(struct sp_conn *conn, const struct sp_frame_stream *frame,
                           struct sb_buffer *buffer);
enum sp_err sp_conn_on_stream(struct sp_conn *conn, const struct sp_frame_stream *frame,
                              struct sb_buffer *buffer);
/* Returns whether the stream's bytes up to `end` go into memory that is lent for them. */
bool sp_conn_is_lent(const struct sp_conn *conn, uint64_t id, uint64_t end);
enum sp_err sp_conn_on_max_stream_data(struct sp_conn *conn, uint64_t id, uint64_t limit);
void sp_conn_on_max_data(struct sp_conn *conn, uint64_t limit);
/* Lets at most `count_max` streams of conn->credit_list send, as far as there is credit.  Returns
 * whether there were any. */
bool sp_conn_wake_blocked(struct sp_conn *conn, uint64_t count_max);
void sp_conn_on_max_streams(struct sp_conn *conn, bool is_uni, uint64_t limit);
void sp_conn_on_streams_blocked(struct sp_conn *conn, bool is_uni, uint64_t limit);
/* Returns the peer's initial limit for what we send on `id`.  [RFC9000 18.2] */
uint64_t sp_conn_initial_max_data(const struct sp_conn *conn, uint64_t id);
/* The peer's limits became known.  The caller raises those of streams that are open. */
void sp_conn_streams_on_params(struct sp_conn *conn, const struct sp_tparams *peer);

#endif

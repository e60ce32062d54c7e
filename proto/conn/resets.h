/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_RESETS_H
#define SP_CONN_RESETS_H

#include "proto/conn/impl.h"
#include "proto/wire/frame.h"

/* The peer's frames.  They return SP_OK, SP_DROP without memory, or the error of the peer.
 * [RFC9000 19.4, 19.5, reliable-reset 4] */
SB_MUST_USE enum sp_err sp_conn_on_reset_stream(struct sp_conn *conn, uint64_t id, uint64_t error,
                                                uint64_t final_size);
SB_MUST_USE enum sp_err sp_conn_on_reset_stream_at(struct sp_conn *conn,
                                                   const struct sp_frame_reset_at *frame);
SB_MUST_USE enum sp_err sp_conn_on_stop_sending(struct sp_conn *conn, uint64_t id, uint64_t error);

/* Writes the RESET_STREAM or RESET_STREAM_AT frame of a stream.  Returns its type, and a number
 * that tells it from others of the type. */
enum sp_frame_type sp_conn_write_reset(const struct sp_stream *stream, struct sb_writer *w,
                                       uint64_t *ret_number);

/* 0-RTT was rejected: queues the reset of a stream that was reset.  A server that no longer takes
 * RESET_STREAM_AT gets a RESET_STREAM. */
void sp_conn_restart_reset(struct sp_conn *conn, struct sp_stream *stream);

#endif

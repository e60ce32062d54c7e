/* SPDX-License-Identifier: MIT */
#include "proto/conn/resets.h"

/* The early end of one part of a stream: RESET_STREAM and STOP_SENDING.  What they do to a stream
 * is in stream_send.c and stream_recv.c. */

#include "proto/conn/streams.h"

/* ---- The peer's frames ---- */

enum sp_err sp_conn_on_reset_stream(struct sp_conn *conn, uint64_t id, uint64_t error,
                                    uint64_t final_size)
{
    struct sp_stream *stream;
    enum sp_err err = sp_conn_stream_of_frame(conn, id, false, &stream);
    if (err != SP_OK || stream == NULL)
        return err;

    struct sp_recv_effect effect;
    err = sp_stream_recv_reset(&stream->recv, error, final_size, &conn->window, &effect);
    if (err != SP_OK)
        return err;
    if (stream->recv.state == SP_RECV_RESET)
        stream->pending_events |= SP_PENDING_RESET;
    return sp_conn_stream_after_receive(conn, stream, &effect);
}

/* [RFC9000 3.5, 11.2] Answers with a RESET_STREAM that carries the peer's code. */
enum sp_err sp_conn_on_stop_sending(struct sp_conn *conn, uint64_t id, uint64_t error)
{
    struct sp_stream *stream;
    enum sp_err err = sp_conn_stream_of_frame(conn, id, true, &stream);
    if (err != SP_OK || stream == NULL || stream->send.state >= SP_SEND_DATA_DONE)
        return err;

    if (sp_stream_send_reset(&stream->send, error))
        sp_conn_stream_add_control(conn, stream, SP_CONTROL_RESET);
    sp_conn_stream_schedule(conn, stream);
    stream->stop_code = error;
    stream->pending_events |= SP_PENDING_STOPPED;
    sp_conn_stream_add_event(conn, stream);
    return SP_OK;
}

/* ---- The application's operations ---- */

enum sp_result sp_conn_reset(struct sp_conn *conn, uint64_t id, uint64_t error)
{
    struct sp_stream *stream;
    enum sp_result result = sp_conn_stream_of_operation(conn, id, &stream);
    if (result != SP_DONE)
        return result;
    if (stream->send.state == SP_SEND_NONE || error > SB_VARINT_MAX)
        return SP_INVALID;
    if (stream->send.state >= SP_SEND_DATA_DONE)
        return SP_GONE;
    if (sp_stream_send_reset(&stream->send, error))
        sp_conn_stream_add_control(conn, stream, SP_CONTROL_RESET);
    sp_conn_stream_schedule(conn, stream);
    sp_conn_stream_add_event(conn, stream);
    return SP_DONE;
}

enum sp_result sp_conn_stop(struct sp_conn *conn, uint64_t id, uint64_t error)
{
    struct sp_stream *stream;
    enum sp_result result = sp_conn_stream_of_operation(conn, id, &stream);
    if (result != SP_DONE)
        return result;
    if (stream->recv.state == SP_RECV_NONE || error > SB_VARINT_MAX)
        return SP_INVALID;
    if (stream->recv.is_stopped || stream->recv.state == SP_RECV_DONE ||
        stream->recv.state >= SP_RECV_RESET)
        return SP_GONE;

    /* [RFC9000 3.5] Only useful while bytes may still arrive. */
    if (stream->recv.state != SP_RECV_ARRIVED)
        sp_conn_stream_add_control(conn, stream, SP_CONTROL_STOP);
    sp_conn_discarded(conn, sp_stream_recv_stop(&stream->recv, error));
    sp_conn_stream_add_event(conn, stream);
    return SP_DONE;
}

/* SPDX-License-Identifier: MIT */
#include "proto/conn/resets.h"

/* The early end of one part of a stream: RESET_STREAM, STOP_SENDING and RESET_STREAM_AT.  What
 * they do to a stream is in stream_send.c and stream_recv.c.
 *
 * RESET_STREAM_AT follows the last byte below its reliable size.  So the final size is what has
 * been sent, which flow control has allowed, and a frame with a smaller reliable size does not
 * change it.  [reliable-reset 4, 5, 5.2]
 *
 * What can be attacked: a peer may name a reliable size that its bytes never reach.  That holds
 * no more than a stream that it does not end. */

#include "proto/conn/streams.h"

/* Gives up all that the peer does not have yet. */
static void reset_now(struct sp_conn *conn, struct sp_stream *stream, uint64_t error)
{
    if (sp_stream_send_reset(&stream->send, error))
        sp_conn_stream_add_control(conn, stream, SP_CONTROL_RESET);
    sp_conn_stream_schedule(conn, stream);
    sp_conn_stream_add_event(conn, stream);
}

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

enum sp_err sp_conn_on_reset_stream_at(struct sp_conn *conn, const struct sp_frame_reset_at *frame)
{
    struct sp_stream *stream;
    if (!conn->config->reset_stream_at)
        return SP_ERR_FRAME_ENCODING; /* as for any unknown type.  [RFC9000 12.4] */
    enum sp_err err = sp_conn_stream_of_frame(conn, frame->id, false, &stream);
    if (err != SP_OK || stream == NULL)
        return err;

    struct sp_recv_effect effect;
    err = sp_stream_recv_reset_at(&stream->recv, frame, &conn->window, &effect);
    if (err != SP_OK)
        return err;
    if (stream->recv.state == SP_RECV_RESET || stream->recv.state == SP_RECV_RESET_AT)
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

    stream->stop_code = error;
    stream->pending_events |= SP_PENDING_STOPPED;
    reset_now(conn, stream, error);
    return SP_OK;
}

/* ---- The application's operations ---- */

/* Finds a stream whose sending part can be reset with `error`. */
static enum sp_result find_sending(struct sp_conn *conn, uint64_t id, uint64_t error,
                                   struct sp_stream **ret)
{
    enum sp_result result = sp_conn_stream_of_operation(conn, id, ret);
    if (result != SP_DONE)
        return result;
    if ((*ret)->send.state == SP_SEND_NONE || error > SB_VARINT_MAX)
        return SP_INVALID;
    return (*ret)->send.state >= SP_SEND_DATA_DONE ? SP_GONE : SP_DONE;
}

enum sp_result sp_conn_reset(struct sp_conn *conn, uint64_t id, uint64_t error)
{
    struct sp_stream *stream;
    enum sp_result result = find_sending(conn, id, error, &stream);
    if (result == SP_DONE)
        reset_now(conn, stream, error);
    return result;
}

enum sp_result sp_conn_reset_at(struct sp_conn *conn, uint64_t id, uint64_t error,
                                uint64_t reliable_size)
{
    if (reliable_size == 0)
        return sp_conn_reset(conn, id, error);
    struct sp_stream *stream;
    enum sp_result result = find_sending(conn, id, error, &stream);
    if (result != SP_DONE)
        return result;
    struct sp_stream_send *send = &stream->send;
    if (reliable_size > sp_stream_send_needed_end(send))
        return SP_INVALID;
    if (!conn->peer_takes_reset_at)
        return SP_UNSUPPORTED;
    if (sp_stream_send_is_cut(send) && reliable_size == send->reliable_size)
        return SP_DONE;

    sp_stream_send_cut(send, error, reliable_size);
    if (send->state == SP_SEND_RESET_AT) /* again, with the smaller size */
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

/* ---- Our frames ---- */

enum sp_frame_type sp_conn_write_reset(const struct sp_stream *stream, struct sb_writer *w,
                                       uint64_t *ret_number)
{
    const struct sp_stream_send *send = &stream->send;
    uint64_t final_size = send->delivery.sent_end; /* [RFC9000 4.5] */
    if (send->state == SP_SEND_RESET) {
        sp_frame_write_reset_stream(w, stream->id, send->reset_error, final_size);
        *ret_number = 0;
        return SP_FRAME_RESET_STREAM;
    }
    const struct sp_frame_reset_at frame = {
        .id = stream->id,
        .error = send->reset_error,
        .final_size = final_size,
        .reliable_size = send->reliable_size,
    };
    sp_frame_write_reset_stream_at(w, &frame);
    *ret_number = frame.reliable_size;
    return SP_FRAME_RESET_STREAM_AT;
}

void sp_conn_restart_reset(struct sp_conn *conn, struct sp_stream *stream)
{
    if (stream->send.state == SP_SEND_CUT && !conn->peer_takes_reset_at) {
        (void)sp_stream_send_reset(&stream->send, stream->send.reset_error);
        sp_conn_stream_add_event(conn, stream);
    }
    if (stream->send.state == SP_SEND_RESET)
        sp_conn_stream_add_control(conn, stream, SP_CONTROL_RESET);
}

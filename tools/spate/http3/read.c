/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/conn.h"

/* Bytes of the client's streams go to nghttp3.  An error concerns the connection, but for those of
 * a request. */

#include <stdlib.h>

/* What the client says after its answer is complete is not read.  [RFC9114 4.1] */
static void stop_late_body(struct http3_stream *stream)
{
    nghttp3_conn *h3 = stream->conn->h3;
    if (stream->status == 0 || stream->body.left > 0 || stream->is_session)
        return;
    if (spate_stream_stop(stream->conn->conn, stream->id, NGHTTP3_H3_NO_ERROR) == 0)
        (void)nghttp3_conn_shutdown_stream_read(h3, (int64_t)stream->id);
}

/* An error of nghttp3 concerns the connection, but for these two.  [RFC9114 4.1, 4.1.2] */
static void on_read_error(struct http3_conn *c, struct http3_stream *stream, int64_t error,
                          bool is_end)
{
    const bool is_request = (stream->id & 2) == 0;
    uint64_t code = 0;
    if (is_request && (error == NGHTTP3_ERR_MALFORMED_HTTP_MESSAGING ||
                       error == NGHTTP3_ERR_MALFORMED_HTTP_HEADER /* of later versions */))
        code = NGHTTP3_H3_MESSAGE_ERROR;
    else if (is_request && is_end && stream->status == 0 &&
             error == NGHTTP3_ERR_H3_FRAME_UNEXPECTED)
        code = NGHTTP3_H3_REQUEST_INCOMPLETE;
    if (code == 0) {
        http3_conn_fail(c, error);
        return;
    }
    stream->is_refused = true;
    (void)nghttp3_conn_shutdown_stream_read(c->h3, (int64_t)stream->id);
    (void)spate_stream_stop(c->conn, stream->id, code);
    http3_stream_reset(stream, code);
}

/* Looks whose a new stream is, and takes the bytes that say so.  Returns false if nothing of it is
 * to be read now: there are too few of them, or it was refused. */
static bool find_kind(struct http3_stream *stream, bool fin, const uint8_t **data, size_t *size)
{
    struct wt_conn *wt = stream->conn->wt;
    uint64_t session;
    enum wt_kind kind =
        wt_head_read(stream->head, &stream->head_size, (stream->id & 2) != 0, data, size, &session);
    if (kind == WT_KIND_UNKNOWN && !fin)
        return false;
    stream->has_kind = true;
    if (kind != WT_KIND_STREAM)
        return true;
    free(stream->control); /* as for a request */
    stream->control = NULL;
    stream->wt = wt_stream_create(wt, stream->id, session);
    stream->is_refused = stream->wt == NULL;
    return !stream->is_refused;
}

/* A piece of a stream of the client's own. */
static nghttp3_ssize read_uni(struct http3_conn *c, struct http3_stream *stream,
                              const uint8_t *data, size_t size)
{
    struct control_piece piece;
    nghttp3_ssize n = 0;
    while (n >= 0) {
        switch (control_next(stream->control, &data, &size, &piece)) {
        case CONTROL_PIECE:
            n = nghttp3_conn_read_stream(c->h3, (int64_t)stream->id, piece.data, piece.size, 0);
            if (n >= 0 && piece.is_priority) /* nghttp3 does not say what it has changed */
                http3_conn_prioritize(c, piece.stream_id);
            break;
        case CONTROL_MORE:
            return n;
        case CONTROL_FRAME_ERROR:
            return NGHTTP3_ERR_H3_FRAME_ERROR;
        case CONTROL_ID_ERROR:
            return NGHTTP3_ERR_H3_ID_ERROR;
        case CONTROL_TOO_LONG:
            http3_conn_close(c, NGHTTP3_H3_EXCESSIVE_LOAD, "a frame is too long");
            return NGHTTP3_ERR_H3_INTERNAL_ERROR; /* nothing more is read */
        }
    }
    return n;
}

/* Streams that are no control stream need nothing that keeps bytes. */
static void forget_control(struct http3_stream *stream)
{
    if (stream->control == NULL || stream->control->state != CONTROL_OTHER)
        return;
    free(stream->control);
    stream->control = NULL;
}

static nghttp3_ssize read_bytes(struct http3_conn *c, struct http3_stream *stream,
                                const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (stream->control != NULL)
        return read_uni(c, stream, data, size);
    return nghttp3_conn_read_stream(c->h3, (int64_t)stream->id, data, size, 0);
}

bool http3_stream_read(struct http3_conn *c, struct http3_stream *stream, struct spate_event *event)
{
    const bool fin = event->u.data.fin;
    const uint8_t *data = event->u.data.slice.data;
    size_t size = event->u.data.slice.size;
    if (c->is_closing || stream == NULL || stream->is_refused ||
        (!stream->has_kind && !find_kind(stream, fin, &data, &size)))
        return false;
    if (stream->wt != NULL) {
        wt_stream_event(stream->wt, event, event->u.data.slice.size - size);
        return true;
    }
    const bool was_answered = stream->status != 0;
    c->reading = stream;
    nghttp3_ssize n = read_bytes(c, stream, stream->head, stream->head_size);
    stream->head_size = 0;
    if (n >= 0)
        n = read_bytes(c, stream, data, size);
    if (n < 0)
        on_read_error(c, stream, n, false);
    /* The end by itself, so that its errors are not taken for those of a frame. */
    if (n >= 0 && fin)
        n = nghttp3_conn_read_stream(c->h3, (int64_t)stream->id, NULL, 0, 1);
    if (n < 0 && !c->is_closing && !stream->is_refused)
        on_read_error(c, stream, n, true);
    c->reading = NULL;
    if (n >= 0 && was_answered && !fin)
        stop_late_body(stream);
    forget_control(stream);
    http3_conn_touch(c);
    return false;
}

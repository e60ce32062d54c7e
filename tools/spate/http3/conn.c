/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/conn.h"

/* Connections: events of the engine go to nghttp3, and what nghttp3 wants to send goes to the
 * engine.
 *
 * nghttp3 lends its own bytes until it hears that the peer has them; the engine gives lent bytes
 * back in order, by SPATE_EVENT_SENT.  So they fit together without a copy.  What a reset gives
 * back stays lent for nghttp3 until the stream is closed, which is the last event of a stream.
 *
 * An error that concerns the connection closes it with the code of RFC 9114 section 8.1; nobody
 * else is concerned. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/hq.h"

enum { PIECES_MAX = 16, WOKEN_MAX = 256 };

#define TURN_BYTES UINT64_C(1 << 20)  /* of one connection, so that the others need not wait */
#define RETRY_NS   UINT64_C(20000000) /* who waits for memory tries again after it */

struct http3 *http3_create(const struct http3_options *options)
{
    struct http3 *http3 = calloc(1, sizeof(*http3));
    if (http3 == NULL)
        return NULL;
    http3->options = *options;
    body_memory_init(&http3->memory);
    LIST_INIT(&http3->conns);
    TAILQ_INIT(&http3->unsent);
    TAILQ_INIT(&http3->starved);
    return http3;
}

/* ---- Streams ---- */

static struct http3_stream *stream_create(struct http3_conn *c, uint64_t id)
{
    const bool is_uni = (id & 2) != 0;
    struct http3_stream *stream = calloc(1, sizeof(*stream));
    struct control *control = is_uni ? calloc(1, sizeof(*control)) : NULL;
    if (stream == NULL || (is_uni && control == NULL) ||
        spate_stream_set_user(c->conn, id, stream) != 0) {
        free(control);
        free(stream);
        return NULL;
    }
    stream->control = control;
    stream->conn = c;
    stream->id = id;
    stream->has_kind = c->wt == NULL;
    body_init(&stream->body, &c->share);
    LIST_INSERT_HEAD(&c->streams, stream, link);
    return stream;
}

static void stream_destroy(struct http3_stream *stream)
{
    if (stream->path != NULL)
        hq_print_line(stream->status, stream->sent_bytes, stream->path);
    if (stream->is_starved)
        TAILQ_REMOVE(&stream->conn->http3->starved, stream, starved_link);
    LIST_REMOVE(stream, link);
    request_end(&stream->request);
    body_end(&stream->body);
    free(stream->control);
    free(stream->path);
    free(stream);
}

void http3_stream_resume(struct http3_stream *stream)
{
    if (!stream->is_blocked)
        return;
    stream->is_blocked = false;
    if (nghttp3_conn_resume_stream(stream->conn->h3, (int64_t)stream->id) != 0)
        http3_conn_fail(stream->conn, NGHTTP3_ERR_NOMEM);
    http3_conn_touch(stream->conn);
}

void http3_stream_reset(struct http3_stream *stream, uint64_t error)
{
    nghttp3_conn_shutdown_stream_write(stream->conn->h3, (int64_t)stream->id);
    (void)spate_stream_reset(stream->conn->conn, stream->id, error);
}

/* ---- Connections ---- */

void http3_conn_touch(struct http3_conn *c)
{
    if (c->is_unsent || c->is_closing)
        return;
    c->is_unsent = true;
    TAILQ_INSERT_TAIL(&c->http3->unsent, c, unsent_link);
}

void http3_conn_close(struct http3_conn *c, uint64_t error, const char *reason)
{
    if (!c->is_closing)
        spate_conn_close(c->conn, error, reason);
    c->is_closing = true;
}

void http3_conn_fail(struct http3_conn *c, int64_t error)
{
    http3_conn_close(c, nghttp3_err_infer_quic_app_error_code((int)error),
                     nghttp3_strerror((int)error));
}

static void conn_destroy(struct http3_conn *c)
{
    if (c->is_unsent)
        TAILQ_REMOVE(&c->http3->unsent, c, unsent_link);
    LIST_REMOVE(c, link);
    while (!LIST_EMPTY(&c->streams))
        stream_destroy(LIST_FIRST(&c->streams)); /* of a connection that has not ended */
    wt_conn_destroy(c->wt);
    nghttp3_conn_del(c->h3);
    body_share_end(&c->share);
    free(c);
}

void http3_destroy(struct http3 *http3)
{
    if (http3 == NULL)
        return;
    while (!LIST_EMPTY(&http3->conns))
        conn_destroy(LIST_FIRST(&http3->conns));
    body_memory_deinit(&http3->memory);
    free(http3);
}

/* The control stream and those of QPACK.  A client must allow three.  [RFC9114 6.2] */
static bool open_streams(struct http3_conn *c)
{
    uint64_t ids[3];
    for (int i = 0; i < 3; i++) {
        if (spate_stream_open(c->conn, true, &ids[i]) != 0)
            return false;
    }
    c->control_id = ids[0];
    return nghttp3_conn_bind_control_stream(c->h3, (int64_t)ids[0]) == 0 &&
           nghttp3_conn_bind_qpack_streams(c->h3, (int64_t)ids[1], (int64_t)ids[2]) == 0;
}

void http3_begin(struct http3 *http3, struct spate_conn *conn)
{
    struct http3_conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        spate_conn_close(conn, NGHTTP3_H3_INTERNAL_ERROR, "no memory");
        return;
    }
    c->http3 = http3;
    c->conn = conn;
    LIST_INIT(&c->streams);
    c->wt = http3->options.echoes ? wt_conn_create(conn) : NULL;
    if (!body_share_begin(&c->share, &http3->memory, conn) ||
        (http3->options.echoes && c->wt == NULL) || http3_conn_create_h3(c) != 0) {
        wt_conn_destroy(c->wt);
        body_share_end(&c->share);
        free(c);
        spate_conn_close(conn, NGHTTP3_H3_INTERNAL_ERROR, "no memory");
        return;
    }
    LIST_INSERT_HEAD(&http3->conns, c, link);
    spate_conn_set_user(conn, c);
    if (!open_streams(c))
        http3_conn_close(c, NGHTTP3_H3_GENERAL_PROTOCOL_ERROR,
                         "there is no room for three streams");
    http3_conn_touch(c);
}

/* ---- Sending ---- */

/* Replaces the first bytes of our control stream.  Returns false if they are not what they should
 * be. */
static bool add_settings(struct http3_conn *c, struct iovec *pieces, nghttp3_ssize *count)
{
    uint8_t made[sizeof(c->settings) - WT_SETTINGS_MAX];
    size_t size = 0;
    for (nghttp3_ssize i = 0; i < *count; i++) {
        if (pieces[i].iov_len > sizeof(made) - size)
            return false;
        memcpy(made + size, pieces[i].iov_base, pieces[i].iov_len);
        size += pieces[i].iov_len;
    }
    size_t settings_size = wt_settings_add(made, size, c->settings);
    if (settings_size == 0)
        return false;
    c->settings_added = settings_size - size;
    c->has_settings = true;
    pieces[0] = (struct iovec){.iov_base = c->settings, .iov_len = settings_size};
    *count = 1;
    return true;
}

/* Returns 0; -EAGAIN: there is more than one turn's share; -ENOBUFS: try again later. */
static int conn_send(struct http3_conn *c)
{
    for (uint64_t bytes = 0; !c->is_closing;) {
        if (bytes >= TURN_BYTES)
            return -EAGAIN;
        nghttp3_vec vec[PIECES_MAX];
        struct iovec pieces[PIECES_MAX];
        int64_t id = -1;
        int fin = 0;
        c->has_blocked = false;
        nghttp3_ssize count = nghttp3_conn_writev_stream(c->h3, &id, &fin, vec, PIECES_MAX);
        if (count < 0) {
            http3_conn_fail(c, count);
            return 0;
        }
        if (id < 0 && c->has_blocked)
            continue; /* that stream had nothing, another one may */
        if (id < 0)
            return 0;
        for (nghttp3_ssize i = 0; i < count; i++)
            pieces[i] = (struct iovec){.iov_base = vec[i].base, .iov_len = vec[i].len};
        size_t size = (size_t)nghttp3_vec_len(vec, (size_t)count);
        if (c->wt != NULL && (uint64_t)id == c->control_id && !c->has_settings &&
            !add_settings(c, pieces, &count)) {
            http3_conn_fail(c, NGHTTP3_ERR_H3_INTERNAL_ERROR);
            return 0;
        }
        int e = size == 0 && fin == 0
                    ? 0
                    : spate_stream_sendv(c->conn, (uint64_t)id, pieces, (size_t)count, fin != 0, 0);
        if (e == -EPIPE) {
            nghttp3_conn_shutdown_stream_write(c->h3, id); /* the client has lost interest */
            continue;
        }
        if (e == -ENOBUFS) {
            c->has_settings = c->has_settings && (uint64_t)id != c->control_id;
            return e;
        }
        if (e == 0)
            e = nghttp3_conn_add_write_offset(c->h3, id, size);
        else
            c->is_closing = true; /* -ENOTCONN */
        if (e < 0 && !c->is_closing)
            http3_conn_fail(c, e);
        bytes += size;
    }
    return 0;
}

/* Those that no event wakes: for want of memory, or because their file cannot be read.  Some of
 * them at a time, the longest first. */
static void wake_starved(struct http3 *http3)
{
    struct http3_stream *last = TAILQ_LAST(&http3->starved, http3_starved);
    for (int i = 0; i < WOKEN_MAX; i++) {
        struct http3_stream *stream = TAILQ_FIRST(&http3->starved);
        if (stream == NULL)
            break;
        TAILQ_REMOVE(&http3->starved, stream, starved_link);
        stream->is_starved = false;
        if (stream->body.has_failed)
            http3_stream_reset(stream, NGHTTP3_H3_INTERNAL_ERROR);
        else
            http3_stream_resume(stream);
        if (stream == last)
            break;
    }
}

uint64_t http3_flush(struct http3 *http3)
{
    uint64_t wait_ns = SPATE_FOREVER;
    wake_starved(http3);
    struct http3_conn *last = TAILQ_LAST(&http3->unsent, http3_unsent);
    for (struct http3_conn *c; (c = TAILQ_FIRST(&http3->unsent)) != NULL;) {
        TAILQ_REMOVE(&http3->unsent, c, unsent_link);
        c->is_unsent = false;
        int e = conn_send(c);
        if (e != 0) {
            http3_conn_touch(c);
            wait_ns = e == -EAGAIN ? 0 : wait_ns < RETRY_NS ? wait_ns : RETRY_NS;
        }
        if (c == last)
            break;
    }
    if (!TAILQ_EMPTY(&http3->starved) && wait_ns > RETRY_NS)
        wait_ns = RETRY_NS;
    return wait_ns;
}

void http3_go_away(struct http3 *http3)
{
    if (http3 == NULL)
        return;
    struct http3_conn *c;
    LIST_FOREACH(c, &http3->conns, link)
    {
        /* Once: a second time nghttp3 ends the process if requests have come between. */
        if (c->is_closing || c->is_going_away || nghttp3_conn_shutdown(c->h3) != 0)
            continue;
        c->is_going_away = true;
        http3_conn_touch(c);
    }
}

/* ---- Events ---- */

/* Once the engine has given back what was lent to it, the body of an answer that nobody wants goes:
 * the client may leave its own side of the stream open as long as it likes. */
static void end_stopped(struct http3_conn *c, struct http3_stream *stream)
{
    struct spate_stream_progress progress;
    if (stream->is_stopped && spate_stream_progress(c->conn, stream->id, &progress) == 0 &&
        stream->returned_bytes >= progress.queued_bytes)
        body_end(&stream->body);
}

static void on_sent(struct http3_conn *c, struct http3_stream *stream,
                    const struct spate_event *event)
{
    if (stream != NULL) {
        stream->returned_bytes += event->u.sent.size;
        end_stopped(c, stream);
    }
    if (!event->u.sent.is_acked || c->is_closing)
        return;
    size_t size = event->u.sent.size;
    if (event->stream_id == c->control_id) {
        size -= c->settings_added; /* of the first write */
        c->settings_added = 0;
    }
    int e = nghttp3_conn_add_ack_offset(c->h3, (int64_t)event->stream_id, size);
    if (e != 0)
        http3_conn_fail(c, e);
    else if (stream != NULL)
        http3_stream_resume(stream);
}

static void on_reset(struct http3_conn *c, struct http3_stream *stream)
{
    if (c->is_closing || stream == NULL)
        return;
    (void)nghttp3_conn_shutdown_stream_read(c->h3, (int64_t)stream->id);
    http3_session_end(stream);
    if (stream->status == 0 && (stream->id & 2) == 0)
        http3_stream_reset(stream, NGHTTP3_H3_REQUEST_CANCELLED);
    http3_conn_touch(c);
}

static void on_stopped(struct http3_conn *c, struct http3_stream *stream, uint64_t id)
{
    if (c->is_closing)
        return;
    if (stream == NULL) {
        http3_conn_fail(c, NGHTTP3_ERR_H3_CLOSED_CRITICAL_STREAM);
        return;
    }
    nghttp3_conn_shutdown_stream_write(c->h3, (int64_t)id);
    stream->is_stopped = true;
    body_stop(&stream->body);
    end_stopped(c, stream);
}

static void on_stream_closed(struct http3_conn *c, struct http3_stream *stream, uint64_t id)
{
    /* What nghttp3 has never seen it cannot forget: a PRIORITY_UPDATE would make a stream of it
     * that stays as long as the connection. */
    const bool is_request = stream != NULL && (id & 2) == 0;
    if (is_request)
        (void)nghttp3_conn_read_stream(c->h3, (int64_t)id, NULL, 0, 0);
    /* Frees what nghttp3 has lent, so it is done in any case. */
    int e = nghttp3_conn_close_stream(c->h3, (int64_t)id, NGHTTP3_H3_NO_ERROR);
    if (e == NGHTTP3_ERR_H3_CLOSED_CRITICAL_STREAM)
        http3_conn_fail(c, e);
    if (is_request) {
        c->stream_count_max++; /* the engine allows the client one more too */
        nghttp3_conn_set_max_client_streams_bidi(c->h3, c->stream_count_max);
        if (stream->is_session)
            (void)wt_session_end(c->wt, id);
    }
    if (stream != NULL)
        stream_destroy(stream);
    http3_conn_touch(c);
}

/* Streams that nghttp3 does not know.  Returns whether the event is one of theirs. */
static bool is_for_wt(struct http3_conn *c, struct spate_event *event)
{
    if (c->wt == NULL)
        return false;
    if (event->kind == SPATE_EVENT_DATAGRAM || event->kind == SPATE_EVENT_DATAGRAMS_SENT) {
        wt_datagram(c->wt, event);
        return true;
    }
    if (event->stream_user == NULL || event->kind == SPATE_EVENT_STREAM_DATA)
        return false;
    const bool is_ours = (event->stream_id & 1) != 0; /* its user is not a struct http3_stream */
    struct http3_stream *stream = is_ours ? NULL : event->stream_user;
    if (!is_ours && stream->wt == NULL)
        return false;
    wt_stream_event(is_ours ? event->stream_user : stream->wt, event, 0);
    return is_ours || event->kind != SPATE_EVENT_STREAM_CLOSED; /* that is for both */
}

void http3_event(struct spate_event *event)
{
    struct http3_conn *c = event->conn_user;
    if (is_for_wt(c, event))
        return;
    struct http3_stream *stream = event->stream_user;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_OPENED:
        if (stream_create(c, event->stream_id) == NULL)
            http3_conn_close(c, NGHTTP3_H3_INTERNAL_ERROR, "no memory");
        break;
    case SPATE_EVENT_STREAM_DATA:
        if (!http3_stream_read(c, stream, event))
            spate_slice_release(spate_conn_shard(c->conn), &event->u.data.slice);
        break;
    case SPATE_EVENT_SENT:
        on_sent(c, stream, event);
        break;
    case SPATE_EVENT_STREAM_RESET:
        on_reset(c, stream);
        break;
    case SPATE_EVENT_STREAM_STOPPED:
        on_stopped(c, stream, event->stream_id);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        on_stream_closed(c, stream, event->stream_id);
        break;
    case SPATE_EVENT_CLOSED:
        conn_destroy(c);
        break;
    default:
        break;
    }
}

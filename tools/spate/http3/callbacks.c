/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/conn.h"

/* What nghttp3 asks and says while it reads and writes.
 *
 * No stream of a client can be blocked on QPACK: we allow none (qpack_blocked_streams is 0).
 * nghttp3 would keep the bytes of such a stream, and their credit has been given back by then.
 *
 * Our own fields use no table.  nghttp3 notes each answer that refers to one until the client has
 * acknowledged it, also after its stream was closed: a client that never does would cost 300 bytes
 * for each request.  What a table saves here is the date and the time of the file, 40 bytes. */

#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE 4096 /* of QPACK, for the fields of requests */

static int on_begin_headers(nghttp3_conn *h3, int64_t id, void *conn_user, void *stream_user)
{
    (void)stream_user;
    struct http3_conn *c = conn_user;
    if (c->reading == NULL || c->reading->id != (uint64_t)id)
        return NGHTTP3_ERR_CALLBACK_FAILURE;
    return nghttp3_conn_set_stream_user_data(h3, id, c->reading);
}

static int on_header(nghttp3_conn *h3, int64_t id, int32_t token, nghttp3_rcbuf *name,
                     nghttp3_rcbuf *value, uint8_t flags, void *conn_user, void *stream_user)
{
    (void)h3, (void)id, (void)token, (void)flags, (void)conn_user;
    struct http3_stream *stream = stream_user;
    request_add(&stream->request, nghttp3_rcbuf_get_buf(name), nghttp3_rcbuf_get_buf(value));
    return 0;
}

static int on_acked(nghttp3_conn *h3, int64_t id, uint64_t size, void *conn_user, void *stream_user)
{
    (void)h3, (void)id, (void)conn_user;
    struct http3_stream *stream = stream_user;
    body_give_back(&stream->body, size);
    return 0;
}

static int on_stop_sending(nghttp3_conn *h3, int64_t id, uint64_t error, void *conn_user,
                           void *stream_user)
{
    (void)h3, (void)stream_user;
    struct http3_conn *c = conn_user;
    (void)spate_stream_stop(c->conn, (uint64_t)id, error);
    return 0;
}

static int on_reset_stream(nghttp3_conn *h3, int64_t id, uint64_t error, void *conn_user,
                           void *stream_user)
{
    (void)h3, (void)stream_user;
    struct http3_conn *c = conn_user;
    (void)spate_stream_reset(c->conn, (uint64_t)id, error);
    return 0;
}

/* No event of its own will wake it. */
static void starve(struct http3_stream *stream)
{
    if (stream->is_starved)
        return;
    stream->is_starved = true;
    TAILQ_INSERT_TAIL(&stream->conn->http3->starved, stream, starved_link);
}

static nghttp3_ssize on_read_data(nghttp3_conn *h3, int64_t id, nghttp3_vec *ret, size_t count_max,
                                  uint32_t *ret_flags, void *conn_user, void *stream_user)
{
    (void)h3, (void)count_max; /* is at least 1 */
    struct http3_conn *c = conn_user;
    struct http3_stream *stream = stream_user;
    struct spate_stream_progress progress;
    if (spate_stream_progress(c->conn, (uint64_t)id, &progress) != 0)
        progress.wanted_bytes = 0;
    const void *data = NULL;
    size_t size = body_take(&stream->body, progress.wanted_bytes, &data);
    if (size == 0 && (stream->body.left > 0 || stream->body.has_failed)) {
        c->has_blocked = true;
        stream->is_blocked = true;
        if (stream->body.lent_bytes == 0 || stream->body.has_failed)
            starve(stream);
        return NGHTTP3_ERR_WOULDBLOCK;
    }
    stream->sent_bytes += size;
    if (stream->body.left == 0)
        *ret_flags |= NGHTTP3_DATA_FLAG_EOF;
    if (size == 0)
        return 0;
    ret[0] = (nghttp3_vec){.base = (uint8_t *)(uintptr_t)data, .len = size};
    return 1;
}

/* ---- Sessions of WebTransport ---- */

/* A session sends nothing on its own stream but the end. */
static nghttp3_ssize on_read_session(nghttp3_conn *h3, int64_t id, nghttp3_vec *ret,
                                     size_t count_max, uint32_t *ret_flags, void *conn_user,
                                     void *stream_user)
{
    (void)h3, (void)ret, (void)count_max;
    struct http3_conn *c = conn_user;
    struct http3_stream *stream = stream_user;
    if (wt_session_is_open(c->wt, (uint64_t)id)) {
        c->has_blocked = true;
        stream->is_blocked = true;
        return NGHTTP3_ERR_WOULDBLOCK;
    }
    *ret_flags |= NGHTTP3_DATA_FLAG_EOF;
    return 0;
}

void http3_session_end(struct http3_stream *stream)
{
    if (stream->is_session && wt_session_end(stream->conn->wt, stream->id))
        http3_stream_resume(stream);
}

static int on_body(nghttp3_conn *h3, int64_t id, const uint8_t *data, size_t size, void *conn_user,
                   void *stream_user)
{
    (void)h3;
    struct http3_conn *c = conn_user;
    struct http3_stream *stream = stream_user;
    if (stream->is_session && wt_session_read(c->wt, (uint64_t)id, data, size))
        http3_session_end(stream);
    return 0;
}

static int on_end_stream(nghttp3_conn *h3, int64_t id, void *conn_user, void *stream_user)
{
    (void)h3, (void)id, (void)conn_user;
    http3_session_end(stream_user);
    return 0;
}

static bool is_session_request(const struct http3_stream *stream)
{
    return stream->conn->wt != NULL && request_is(&stream->request, REQUEST_METHOD, "CONNECT") &&
           request_is(&stream->request, REQUEST_PROTOCOL, WT_PROTOCOL) &&
           request_is(&stream->request, REQUEST_PATH, "/echo");
}

static int begin_session(struct http3_stream *stream)
{
    static const nghttp3_data_reader reader = {.read_data = on_read_session};
    struct http3_conn *c = stream->conn;
    struct answer answer;
    /* The cipher is known with SPATE_EVENT_CONNECTED: before it this may be a replay. [RFC8470] */
    bool is_early = spate_conn_cipher(c->conn)[0] == 0;
    bool is_begun = !is_early && wt_session_begin(c->wt, stream->id);
    answer_begin(&answer, is_begun ? 200 : is_early ? 425 : 429);
    answer_add(&answer, "sec-webtransport-http3-draft", "draft02");
    request_end(&stream->request);
    stream->status = answer.status;
    stream->is_session = is_begun;
    http3_conn_touch(c);
    return nghttp3_conn_submit_response(c->h3, (int64_t)stream->id, answer.fields,
                                        answer.field_count, is_begun ? &reader : NULL);
}

/* ---- Answers ---- */

void http3_conn_prioritize(struct http3_conn *c, uint64_t stream_id)
{
    nghttp3_pri priority;
    /* Without memory it takes turns. */
    if (nghttp3_conn_get_stream_priority(c->h3, &priority, (int64_t)stream_id) == 0)
        (void)spate_stream_set_priority(c->conn, stream_id, priority.urgency, priority.inc != 0);
}

static int on_end_headers(nghttp3_conn *h3, int64_t id, int fin, void *conn_user, void *stream_user)
{
    static const nghttp3_data_reader reader = {.read_data = on_read_data};
    struct http3_conn *c = conn_user;
    struct http3_stream *stream = stream_user;
    struct answer answer;
    (void)fin;
    if (is_session_request(stream))
        return begin_session(stream);
    answer_request(&c->http3->options, &stream->request, &stream->body, &answer);
    request_end(&stream->request);
    stream->status = answer.status;
    if (c->http3->options.is_verbose)
        stream->path = strdup(answer.path);
    http3_conn_prioritize(c, stream->id);
    http3_conn_touch(c);
    return nghttp3_conn_submit_response(h3, id, answer.fields, answer.field_count,
                                        answer.has_body ? &reader : NULL);
}

int http3_conn_create_h3(struct http3_conn *c)
{
    static const nghttp3_callbacks callbacks = {
        .acked_stream_data = on_acked,
        .begin_headers = on_begin_headers,
        .recv_data = on_body,
        .end_stream = on_end_stream,
        .recv_header = on_header,
        .end_headers = on_end_headers,
        .stop_sending = on_stop_sending,
        .reset_stream = on_reset_stream,
    };
    nghttp3_settings settings;
    nghttp3_settings_default(&settings);
    settings.max_field_section_size = REQUEST_SIZE_MAX;
    settings.qpack_max_dtable_capacity = TABLE_SIZE;
    settings.qpack_encoder_max_dtable_capacity = 0;
    settings.enable_connect_protocol = c->wt != NULL;
    int e = nghttp3_conn_server_new(&c->h3, &callbacks, &settings, NULL, c);
    if (e == 0) {
        c->stream_count_max = c->http3->options.streams;
        nghttp3_conn_set_max_client_streams_bidi(c->h3, c->stream_count_max);
    }
    return e;
}

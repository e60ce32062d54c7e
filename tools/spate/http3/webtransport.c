/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/webtransport.h"

/* The part of WebTransport that nghttp3 does not have, for an echo server.
 * [draft-ietf-webtrans-http3-02, which Chromium announces]
 *
 * A bidirectional stream is echoed on itself, a unidirectional one on a stream of ours, and a
 * datagram by a datagram.  Received bytes are lent to be sent as they are, and released when the
 * client has them: the client gets no credit before, so nothing piles up here.  A stream that finds
 * no memory is reset.  A session that is not there gets its streams refused, which the draft allows
 * (section 4.5), and its datagrams dropped. */

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "tools/spate/http3/varint.h"

enum {
    SESSIONS_MAX = 16, /* of a connection */
    FRAME_STREAM = 0x41,
    TYPE_UNI = 0x54,
    CAPSULE_CLOSE = 0x2843,
    CAPSULE_HEAD_MAX = 16,
};

#define SETTING_DATAGRAM     UINT64_C(0x33)     /* RFC 9297 */
#define SETTING_DATAGRAM_04  UINT64_C(0xffd277) /* draft-ietf-masque-h3-datagram-04 */
#define SETTING_WEBTRANSPORT UINT64_C(0x2b603742)

struct session {
    bool is_open;
    bool closes; /* the capsule that is skipped closes the session */
    uint64_t id;
    uint64_t capsule_left; /* bytes of a capsule to be skipped */
    uint8_t head[CAPSULE_HEAD_MAX];
    size_t head_size;
};

struct wt_conn {
    struct spate_conn *conn;
    struct session sessions[SESSIONS_MAX];
    LIST_HEAD(, wt_stream) streams;
    LIST_HEAD(, held) held;
};

struct wt_stream {
    struct wt_conn *wt;
    uint64_t session;
    uint64_t in_id;
    uint64_t out_id; /* the same for a bidirectional one */
    int open_count;  /* streams of the engine that are not closed */
    uint8_t head[WT_HEAD_MAX];
    size_t head_size; /* to be sent before the first bytes */
    LIST_ENTRY(wt_stream) link;
};

/* A slice that is lent to be sent: the tag of a send. */
struct held {
    struct spate_slice slice;
    LIST_ENTRY(held) link;
};

/* ---- Beginnings ---- */

enum wt_kind wt_head_read(uint8_t *head, size_t *head_size, bool is_uni, const uint8_t **data,
                          size_t *size, uint64_t *ret_session)
{
    uint64_t type;
    size_t type_size = varint_collect(head, head_size, 0, data, size, &type);
    if (type_size == 0)
        return WT_KIND_UNKNOWN;
    if (type != (is_uni ? TYPE_UNI : FRAME_STREAM))
        return WT_KIND_HTTP;
    if (varint_collect(head, head_size, type_size, data, size, ret_session) == 0)
        return WT_KIND_UNKNOWN;
    return WT_KIND_STREAM;
}

size_t wt_settings_add(const uint8_t *made, size_t size, uint8_t *ret)
{
    static const uint64_t added[] = {SETTING_DATAGRAM, SETTING_DATAGRAM_04, SETTING_WEBTRANSPORT};
    uint64_t payload_size;
    size_t head_size = size > 2 && made[0] == 0 && made[1] == 4
                           ? 2 + varint_read(made + 2, size - 2, &payload_size)
                           : 0;
    if (head_size <= 2 || payload_size != size - head_size)
        return 0;
    /* nghttp3 1.8 has SETTING_DATAGRAM, but it is not asked to send it. */
    uint8_t more[WT_SETTINGS_MAX];
    size_t more_size = 0;
    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
        more_size += varint_write(added[i], more + more_size);
        more_size += varint_write(1, more + more_size);
    }
    size_t used = 2;
    memcpy(ret, made, 2);
    used += varint_write(payload_size + more_size, ret + used);
    memcpy(ret + used, made + head_size, payload_size);
    memcpy(ret + used + payload_size, more, more_size);
    return used + payload_size + more_size;
}

/* ---- Sessions ---- */

struct wt_conn *wt_conn_create(struct spate_conn *conn)
{
    struct wt_conn *wt = calloc(1, sizeof(*wt));
    if (wt == NULL)
        return NULL;
    wt->conn = conn;
    LIST_INIT(&wt->streams);
    LIST_INIT(&wt->held);
    return wt;
}

void wt_conn_destroy(struct wt_conn *wt)
{
    struct wt_stream *stream;
    struct held *held;
    if (wt == NULL)
        return;
    while ((stream = LIST_FIRST(&wt->streams)) != NULL) {
        LIST_REMOVE(stream, link);
        free(stream);
    }
    while ((held = LIST_FIRST(&wt->held)) != NULL) {
        LIST_REMOVE(held, link);
        free(held);
    }
    free(wt);
}

static struct session *find(struct wt_conn *wt, uint64_t id)
{
    for (int i = 0; i < SESSIONS_MAX; i++) {
        if (wt->sessions[i].is_open && wt->sessions[i].id == id)
            return &wt->sessions[i];
    }
    return NULL;
}

bool wt_session_begin(struct wt_conn *wt, uint64_t session)
{
    for (int i = 0; i < SESSIONS_MAX; i++) {
        if (wt->sessions[i].is_open)
            continue;
        wt->sessions[i] = (struct session){.is_open = true, .id = session};
        return true;
    }
    return false;
}

bool wt_session_is_open(struct wt_conn *wt, uint64_t id)
{
    return find(wt, id) != NULL;
}

bool wt_session_end(struct wt_conn *wt, uint64_t id)
{
    struct session *session = find(wt, id);
    struct wt_stream *stream;
    if (session == NULL)
        return false;
    session->is_open = false;
    LIST_FOREACH(stream, &wt->streams, link)
    {
        if (stream->session != id)
            continue;
        (void)spate_stream_stop(wt->conn, stream->in_id, WT_SESSION_GONE);
        (void)spate_stream_reset(wt->conn, stream->out_id, WT_SESSION_GONE);
    }
    return true;
}

bool wt_session_read(struct wt_conn *wt, uint64_t id, const uint8_t *data, size_t size)
{
    struct session *session = find(wt, id);
    while (session != NULL && size > 0) {
        if (session->capsule_left > 0) {
            size_t part = size < session->capsule_left ? size : (size_t)session->capsule_left;
            session->capsule_left -= part;
            data += part;
            size -= part;
        } else {
            uint64_t type;
            uint8_t *head = session->head;
            size_t type_size = varint_collect(head, &session->head_size, 0, &data, &size, &type);
            if (type_size == 0 || varint_collect(head, &session->head_size, type_size, &data, &size,
                                                 &session->capsule_left) == 0)
                return false;
            session->head_size = 0;
            session->closes = type == CAPSULE_CLOSE;
        }
        if (session->closes && session->capsule_left == 0)
            return true;
    }
    return false;
}

/* ---- Streams ---- */

/* Opens the stream that answers a unidirectional one. */
static bool open_answer(struct wt_stream *stream)
{
    struct wt_conn *wt = stream->wt;
    if (spate_stream_open(wt->conn, true, &stream->out_id) != 0)
        return false;
    stream->open_count++;
    (void)spate_stream_set_user(wt->conn, stream->out_id, stream);
    stream->head_size = varint_write(TYPE_UNI, stream->head);
    stream->head_size += varint_write(stream->session, stream->head + stream->head_size);
    return true;
}

struct wt_stream *wt_stream_create(struct wt_conn *wt, uint64_t id, uint64_t session)
{
    const bool is_uni = (id & 2) != 0;
    struct wt_stream *stream = find(wt, session) != NULL ? calloc(1, sizeof(*stream)) : NULL;
    if (stream != NULL) {
        *stream = (struct wt_stream){
            .wt = wt, .session = session, .in_id = id, .out_id = id, .open_count = 1};
        if (!is_uni || open_answer(stream)) {
            LIST_INSERT_HEAD(&wt->streams, stream, link);
            return stream;
        }
    }
    free(stream);
    (void)spate_stream_stop(wt->conn, id, WT_BUFFERED_STREAM_REJECTED);
    if (!is_uni)
        (void)spate_stream_reset(wt->conn, id, WT_BUFFERED_STREAM_REJECTED);
    return NULL;
}

/* Keeps a slice for as long as it is lent.  NULL: there is no memory, and it was released. */
static struct held *hold(struct wt_conn *wt, struct spate_slice *slice)
{
    struct held *held = malloc(sizeof(*held));
    if (held == NULL) {
        spate_slice_release(spate_conn_shard(wt->conn), slice);
        return NULL;
    }
    held->slice = *slice;
    LIST_INSERT_HEAD(&wt->held, held, link);
    return held;
}

static void release(struct wt_conn *wt, struct held *held)
{
    if (held == NULL)
        return;
    spate_slice_release(spate_conn_shard(wt->conn), &held->slice);
    LIST_REMOVE(held, link);
    free(held);
}

static void echo(struct wt_stream *stream, struct spate_event *event, size_t skipped)
{
    struct wt_conn *wt = stream->wt;
    struct spate_slice *slice = &event->u.data.slice;
    const struct iovec pieces[2] = {
        {.iov_base = stream->head, .iov_len = stream->head_size},
        {.iov_base = (void *)(uintptr_t)(slice->data + skipped), .iov_len = slice->size - skipped}};
    if (pieces[0].iov_len + pieces[1].iov_len == 0 && !event->u.data.fin) {
        spate_slice_release(spate_conn_shard(wt->conn), slice);
        return;
    }
    struct held *held = hold(wt, slice);
    if (held != NULL && spate_stream_sendv(wt->conn, stream->out_id, pieces, 2, event->u.data.fin,
                                           (uintptr_t)held) == 0) {
        stream->head_size = 0;
        return;
    }
    release(wt, held);
    (void)spate_stream_stop(wt->conn, stream->in_id, NGHTTP3_H3_INTERNAL_ERROR);
    (void)spate_stream_reset(wt->conn, stream->out_id, NGHTTP3_H3_INTERNAL_ERROR);
}

void wt_stream_event(struct wt_stream *stream, struct spate_event *event, size_t skipped)
{
    struct wt_conn *wt = stream->wt;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_DATA:
        echo(stream, event, skipped);
        break;
    case SPATE_EVENT_SENT:
        release(wt, (struct held *)(uintptr_t)event->u.sent.tag);
        break;
    case SPATE_EVENT_STREAM_RESET: /* the codes of both sides are those of applications */
        (void)spate_stream_reset(wt->conn, stream->out_id, event->u.error);
        break;
    case SPATE_EVENT_STREAM_STOPPED:
        (void)spate_stream_stop(wt->conn, stream->in_id, event->u.error);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        if (--stream->open_count > 0)
            break;
        LIST_REMOVE(stream, link);
        free(stream);
        break;
    default:
        break;
    }
}

/* ---- Datagrams [RFC9297 2.1] ---- */

static void echo_datagram(struct wt_conn *wt, struct spate_slice *slice)
{
    uint64_t quarter;
    if (varint_read(slice->data, slice->size, &quarter) == 0 || find(wt, quarter * 4) == NULL) {
        spate_slice_release(spate_conn_shard(wt->conn), slice);
        return;
    }
    struct held *held = hold(wt, slice);
    if (held != NULL && spate_conn_datagram_send(wt->conn, slice->data, slice->size,
                                                 (uintptr_t)held, SPATE_FOREVER, 0) != 0)
        release(wt, held); /* there is no room: datagrams may be lost */
}

void wt_datagram(struct wt_conn *wt, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_DATAGRAM) {
        echo_datagram(wt, &event->u.datagram.slice);
        return;
    }
    for (size_t i = 0; i < event->u.datagrams_sent.count; i++)
        release(wt, (struct held *)(uintptr_t)event->u.datagrams_sent.results[i].tag);
}

/* SPDX-License-Identifier: MIT */
#include "test/support/h3_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "tools/spate/http3/conn.h"
#include "tools/spate/http3/http3.h"

enum { OURS_MAX = 64, STREAMS_MAX = H3_REQUESTS_MAX + H3_UNI_MAX + OURS_MAX };

enum { LENT_MAX = 4096, SLICES_MAX = 8192 };

struct stream {
    uint64_t id;
    void *user;
    bool is_open;    /* not closed yet */
    bool in_ended;   /* nothing more comes */
    bool out_ended;  /* nothing more may be sent */
    bool fin;        /* it was sent */
    size_t in_bytes; /* delivered */
    size_t queued_bytes;
    size_t returned_bytes;
    uint32_t urgency;
};

struct lent {
    struct stream *stream;
    struct iovec pieces[16];
    size_t count;
    size_t size;
    uint64_t sum;
    uint64_t tag;
};

struct spate_conn {
    void *user;
    bool is_closed;
    uint64_t error;
};

static struct world {
    struct spate_conn conn;
    struct http3 *http3;
    bool is_early;
    bool echoes;
    struct stream streams[STREAMS_MAX];
    size_t stream_count;
    uint64_t bidi_count; /* opened */
    uint64_t uni_count;
    uint64_t ours_count;
    struct lent lent[LENT_MAX]; /* the oldest first */
    size_t lent_count;
    uint8_t *slices[SLICES_MAX]; /* their bytes, until they are released */
    size_t slice_count;
    uint64_t priority_count;
    uint32_t refused_count;
    uint64_t datagram_tags[64]; /* lent */
    size_t datagram_count;
} w;

/* ---- Files ---- */

static char folder[] = "/tmp/spate-h3-XXXXXX";
static int root = -1;

static void make_file(const char *name, size_t size)
{
    int fd = openat(root, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    SB_ASSERT(fd >= 0);
    SB_ASSERT(ftruncate(fd, (off_t)size) == 0);
    (void)close(fd);
}

static void remove_files(void)
{
    (void)unlinkat(root, "file", 0);
    (void)unlinkat(root, "large", 0);
    (void)rmdir(folder);
}

static void make_files(void)
{
    SB_ASSERT(mkdtemp(folder) != NULL);
    root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    SB_ASSERT(root >= 0);
    make_file("file", 3000);
    make_file("large", 300000);
    (void)atexit(remove_files);
}

/* ---- The library ---- */

static struct stream *find_open(uint64_t id)
{
    for (size_t i = 0; i < w.stream_count; i++) {
        if (w.streams[i].id == id && w.streams[i].is_open)
            return &w.streams[i];
    }
    return NULL;
}

static struct stream *add(uint64_t id)
{
    size_t i = 0;
    while (i < w.stream_count && w.streams[i].is_open)
        i++;
    SB_ASSERT(i < STREAMS_MAX);
    if (i == w.stream_count)
        w.stream_count++;
    w.streams[i] = (struct stream){.id = id, .is_open = true};
    w.streams[i].in_ended = (id & 3) == 3;
    w.streams[i].out_ended = (id & 3) == 2;
    return &w.streams[i];
}

static bool is_of_peer(uint64_t id)
{
    return (id & 3) == 2;
}

static uint64_t sum_of(const struct iovec *pieces, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes = pieces[i].iov_base;
        for (size_t at = 0; at < pieces[i].iov_len; at++)
            sum = sum * 31 + bytes[at];
    }
    return sum;
}

int spate_stream_open(struct spate_conn *conn, bool is_uni, uint64_t *ret_id)
{
    SB_ASSERT(conn == &w.conn && is_uni);
    if (w.ours_count == OURS_MAX)
        return -EAGAIN;
    *ret_id = 3 + 4 * w.ours_count++;
    (void)add(*ret_id);
    return 0;
}

int spate_stream_set_user(struct spate_conn *conn, uint64_t stream_id, void *user)
{
    SB_ASSERT(conn == &w.conn);
    struct stream *stream = find_open(stream_id);
    SB_ASSERT(stream != NULL);
    stream->user = user;
    return 0;
}

int spate_stream_sendv(struct spate_conn *conn, uint64_t stream_id, const struct iovec *pieces,
                       size_t count, bool fin, uint64_t tag)
{
    SB_ASSERT(conn == &w.conn && count <= 16 && !is_of_peer(stream_id));
    struct stream *stream = find_open(stream_id);
    if (conn->is_closed)
        return -ENOTCONN;
    if (stream == NULL || stream->out_ended)
        return -EPIPE;
    if (w.refused_count > 0) {
        w.refused_count--;
        return -ENOBUFS;
    }
    if (w.lent_count == LENT_MAX)
        return -ENOBUFS;
    struct lent *lent = &w.lent[w.lent_count++];
    *lent = (struct lent){.stream = stream, .count = count, .tag = tag};
    for (size_t i = 0; i < count; i++) {
        lent->pieces[i] = pieces[i];
        lent->size += pieces[i].iov_len;
    }
    SB_ASSERT(lent->size > 0 || fin);
    lent->sum = sum_of(pieces, count);
    stream->queued_bytes += lent->size;
    stream->fin = fin;
    stream->out_ended = fin;
    return 0;
}

int spate_stream_reset(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    (void)error;
    SB_ASSERT(conn == &w.conn);
    struct stream *stream = find_open(stream_id);
    if (stream == NULL)
        return -EPIPE;
    stream->out_ended = true;
    return 0;
}

int spate_stream_stop(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    (void)error;
    SB_ASSERT(conn == &w.conn);
    struct stream *stream = find_open(stream_id);
    return stream == NULL || stream->in_ended ? -EPIPE : 0;
}

int spate_stream_progress_sized(const struct spate_conn *conn, uint64_t stream_id,
                                struct spate_stream_progress *ret, size_t size)
{
    SB_ASSERT(conn == &w.conn && size == sizeof(*ret));
    struct stream *stream = find_open(stream_id);
    if (stream == NULL)
        return -EPIPE;
    *ret = (struct spate_stream_progress){.queued_bytes = stream->queued_bytes,
                                          .acked_bytes = stream->returned_bytes,
                                          .wanted_bytes = 65536};
    return 0;
}

int spate_stream_set_priority(struct spate_conn *conn, uint64_t stream_id, uint32_t urgency,
                              bool is_incremental)
{
    (void)is_incremental;
    SB_ASSERT(conn == &w.conn && urgency < 8);
    w.priority_count++;
    struct stream *stream = find_open(stream_id);
    if (stream == NULL)
        return -EPIPE;
    stream->urgency = urgency;
    return 0;
}

void spate_conn_set_user(struct spate_conn *conn, void *user)
{
    conn->user = user;
}

void spate_conn_close(struct spate_conn *conn, uint64_t error, const char *reason)
{
    SB_ASSERT(reason != NULL);
    if (!conn->is_closed)
        conn->error = error;
    conn->is_closed = true;
}

struct spate_shard *spate_conn_shard(const struct spate_conn *conn)
{
    SB_ASSERT(conn == &w.conn);
    return NULL;
}

int spate_conn_peer_address(const struct spate_conn *conn, struct sockaddr_storage *ret,
                            socklen_t *ret_size)
{
    SB_ASSERT(conn == &w.conn);
    *ret = (struct sockaddr_storage){.ss_family = AF_INET};
    *ret_size = sizeof(struct sockaddr_in);
    return 0;
}

const char *spate_conn_cipher(const struct spate_conn *conn)
{
    SB_ASSERT(conn == &w.conn);
    return w.is_early ? "" : "a cipher";
}

int spate_conn_datagram_send(struct spate_conn *conn, const void *data, size_t size, uint64_t tag,
                             uint64_t deadline_ns, unsigned flags)
{
    (void)deadline_ns, (void)flags;
    SB_ASSERT(conn == &w.conn);
    struct iovec bytes = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    if (w.datagram_count == sizeof(w.datagram_tags) / sizeof(w.datagram_tags[0]))
        return -EAGAIN;
    (void)sum_of(&bytes, 1);
    w.datagram_tags[w.datagram_count++] = tag;
    return 0;
}

void spate_slice_release(struct spate_shard *shard, struct spate_slice *slice)
{
    (void)shard;
    SB_ASSERT(slice->buffer != NULL && w.slice_count > 0);
    size_t i = 0;
    while (i < w.slice_count && w.slices[i] != slice->buffer)
        i++;
    SB_ASSERT(i < w.slice_count);
    w.slices[i] = w.slices[--w.slice_count];
    free(slice->buffer);
    slice->buffer = NULL;
}

/* ---- Events ---- */

static struct spate_event event_of(enum spate_event_kind kind, const struct stream *stream)
{
    struct spate_event event = {.kind = kind, .conn = &w.conn, .conn_user = w.conn.user};
    if (stream != NULL) {
        event.stream_id = stream->id;
        event.stream_user = stream->user;
    }
    return event;
}

static void hear(enum spate_event_kind kind, const struct stream *stream)
{
    struct spate_event event = event_of(kind, stream);
    http3_event(&event);
}

static void fill_slice(struct spate_slice *slice, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    SB_ASSERT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    SB_ASSERT(w.slice_count < SLICES_MAX);
    w.slices[w.slice_count++] = copy;
    *slice = (struct spate_slice){.data = copy, .size = size, .buffer = copy};
}

/* Gives back what was lent: of one stream, or of all. */
static void give_back(const struct stream *stream, bool is_acked)
{
    for (size_t i = 0; i < w.lent_count;) {
        if (stream != NULL && w.lent[i].stream != stream) {
            i++;
            continue;
        }
        struct lent lent = w.lent[i];
        w.lent_count--;
        memmove(w.lent + i, w.lent + i + 1, (w.lent_count - i) * sizeof(lent));
        SB_ASSERT(sum_of(lent.pieces, lent.count) == lent.sum);
        lent.stream->returned_bytes += lent.size;
        struct spate_event event = event_of(SPATE_EVENT_SENT, lent.stream);
        event.u.sent.tag = lent.tag;
        event.u.sent.size = lent.size;
        event.u.sent.is_acked = is_acked;
        http3_event(&event);
    }
}

/* What a stopped or reset stream has lent comes back, and streams that have ended are closed. */
static void settle(void)
{
    for (size_t i = 0; i < w.stream_count; i++) {
        struct stream *stream = &w.streams[i];
        if (!stream->is_open || !stream->out_ended)
            continue;
        if (!stream->fin)
            give_back(stream, false);
        if (!stream->in_ended || stream->returned_bytes < stream->queued_bytes)
            continue;
        give_back(stream, true); /* an end without a byte */
        stream->is_open = false;
        hear(SPATE_EVENT_STREAM_CLOSED, stream);
    }
}

static void open_up_to(uint64_t id)
{
    uint64_t *count = (id & 2) != 0 ? &w.uni_count : &w.bidi_count;
    for (; *count <= id / 4; ++*count)
        hear(SPATE_EVENT_STREAM_OPENED, add((id & 3) + 4 * *count));
}

/* Returns a stream of the client, or NULL if it has ended. */
static struct stream *reach(uint64_t id)
{
    if (w.conn.is_closed)
        return NULL;
    open_up_to(id);
    struct stream *stream = find_open(id);
    return stream != NULL && !stream->in_ended ? stream : NULL;
}

void h3_data(uint64_t id, const uint8_t *data, size_t size, bool fin, size_t cut)
{
    struct stream *stream = reach(id);
    for (size_t at = 0;
         stream != NULL && !w.conn.is_closed && (at < size || (at == size && fin));) {
        size_t part = size - at < cut ? size - at : cut;
        struct spate_event event = event_of(SPATE_EVENT_STREAM_DATA, stream);
        fill_slice(&event.u.data.slice, data + at, part);
        event.u.data.offset = stream->in_bytes;
        stream->in_bytes += part;
        at += part;
        event.u.data.fin = fin && at == size;
        stream->in_ended = event.u.data.fin;
        http3_event(&event);
        if (event.u.data.fin)
            break;
    }
    settle();
}

void h3_reset(uint64_t id)
{
    struct stream *stream = reach(id);
    if (stream == NULL)
        return;
    stream->in_ended = true;
    struct spate_event event = event_of(SPATE_EVENT_STREAM_RESET, stream);
    event.u.error = NGHTTP3_H3_REQUEST_CANCELLED;
    http3_event(&event);
    settle();
}

void h3_stop(uint64_t id)
{
    struct stream *stream = NULL;
    if (!w.conn.is_closed && (id & 3) == 0)
        open_up_to(id);
    if (!w.conn.is_closed)
        stream = find_open(id);
    if (stream == NULL || stream->out_ended)
        return;
    stream->out_ended = true;
    hear(SPATE_EVENT_STREAM_STOPPED, stream);
    settle();
}

void h3_ack(uint64_t id)
{
    struct stream *stream = find_open(id);
    if (stream != NULL)
        give_back(stream, true);
    settle();
}

static void return_datagrams(void)
{
    while (w.datagram_count > 0) {
        struct spate_datagram_result result = {.tag = w.datagram_tags[--w.datagram_count],
                                               .fate = SPATE_DATAGRAM_ACKED};
        struct spate_event event = event_of(SPATE_EVENT_DATAGRAMS_SENT, NULL);
        event.u.datagrams_sent.results = &result;
        event.u.datagrams_sent.count = 1;
        http3_event(&event);
    }
}

void h3_ack_all(void)
{
    give_back(NULL, true);
    return_datagrams();
    settle();
}

void h3_datagram(const uint8_t *data, size_t size)
{
    if (w.conn.is_closed || !w.echoes)
        return; /* nobody has allowed it */
    struct spate_event event = event_of(SPATE_EVENT_DATAGRAM, NULL);
    fill_slice(&event.u.datagram.slice, data, size);
    http3_event(&event);
}

void h3_flush(uint32_t refused_count)
{
    w.refused_count = refused_count;
    (void)http3_flush(w.http3);
    settle();
}

void h3_go_away(void)
{
    http3_go_away(w.http3);
}

uint32_t h3_urgency(uint64_t id)
{
    const struct stream *stream = find_open(id);
    SB_ASSERT(stream != NULL);
    return stream->urgency;
}

uint64_t h3_priority_count(void)
{
    return w.priority_count;
}

size_t h3_written(uint64_t id)
{
    const struct stream *stream = find_open(id);
    return stream != NULL ? stream->queued_bytes : 0;
}

/* ---- Beginning and end ---- */

void h3_begin(const struct h3_options *options)
{
    if (root < 0)
        make_files();
    const struct http3_options http3_options = {
        .root = root, .streams = H3_REQUESTS_MAX, .echoes = options->echoes};
    memset(&w, 0, sizeof(w));
    w.is_early = options->is_early;
    w.echoes = options->echoes;
    w.http3 = http3_create(&http3_options);
    SB_ASSERT(w.http3 != NULL);
    http3_begin(w.http3, &w.conn);
    SB_ASSERT(!w.conn.is_closed);
}

struct h3_end h3_end(void)
{
    const struct h3_end end = {.is_closed = w.conn.is_closed, .error = w.conn.error};
    w.conn.is_closed = true;
    for (size_t i = 0; i < w.stream_count; i++)
        w.streams[i].out_ended = w.streams[i].in_ended = true;
    give_back(NULL, false);
    return_datagrams();
    for (size_t i = 0; i < w.stream_count; i++) {
        const bool was_open = w.streams[i].is_open;
        w.streams[i].is_open = false;
        if (was_open)
            hear(SPATE_EVENT_STREAM_CLOSED, &w.streams[i]);
    }
    hear(SPATE_EVENT_CLOSED, NULL);
    SB_ASSERT(w.lent_count == 0 && w.slice_count == 0);
    SB_ASSERT(LIST_EMPTY(&w.http3->conns) && TAILQ_EMPTY(&w.http3->unsent));
    SB_ASSERT(TAILQ_EMPTY(&w.http3->starved) && w.http3->memory.count == 0);
    http3_destroy(w.http3);
    return end;
}

void h3_abandon(void)
{
    while (w.slice_count > 0)
        free(w.slices[--w.slice_count]); /* as the engine does at its end */
    http3_destroy(w.http3);
}

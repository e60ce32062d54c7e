/* SPDX-License-Identifier: MIT */
#include "test/support/files_world.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct files_world *w;
static uint64_t kept_all;

/* ---- The library ---- */

static struct world_stream *find(const struct spate_conn *conn, uint64_t id)
{
    for (uint32_t i = 0; i < w->stream_count; i++) {
        if (w->streams[i].conn == conn && w->streams[i].id == id)
            return &w->streams[i];
    }
    fail_msg("there is no such stream");
    return NULL;
}

int spate_stream_send(struct spate_conn *conn, uint64_t stream_id, const void *data, size_t size,
                      bool fin, uint64_t tag)
{
    struct world_stream *stream = find(conn, stream_id);
    assert_true(size > 0 || fin);
    if (stream->fin || stream->is_reset)
        return -EPIPE;
    if (w->refusals > 0) {
        w->refusals--;
        return -ENOBUFS;
    }
    stream->bytes = realloc(stream->bytes, stream->size + size + 1);
    assert_non_null(stream->bytes);
    if (size > 0)
        memcpy(stream->bytes + stream->size, data, size);
    stream->size += size;
    stream->fin = fin;
    assert_true(w->lent_count < QT_COUNT(w->lent));
    w->lent[w->lent_count++] = (struct world_lent){.stream = stream, .tag = tag, .size = size};
    w->lent_bytes += size;
    return 0;
}

int spate_stream_reset(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    struct world_stream *stream = find(conn, stream_id);
    stream->is_reset = true;
    stream->error = error;
    return 0;
}

int spate_stream_stop(struct spate_conn *conn, uint64_t stream_id, uint64_t error)
{
    (void)find(conn, stream_id), (void)error;
    return 0;
}

int spate_stream_set_user(struct spate_conn *conn, uint64_t stream_id, void *user)
{
    find(conn, stream_id)->user = user;
    return 0;
}

int spate_stream_receive_into(struct spate_conn *conn, uint64_t stream_id, void *buffer,
                              size_t size, uint64_t tag, uint64_t *ret_offset)
{
    struct world_stream *stream = find(conn, stream_id);
    if (!w->takes_memory)
        return -EPIPE;
    if (stream->place_count == QT_COUNT(stream->places))
        return -ENOBUFS;
    stream->places[stream->place_count++] =
        (struct world_place){.data = buffer, .size = size, .tag = tag};
    if (ret_offset != NULL)
        *ret_offset = stream->received;
    return 0;
}

void spate_shard_wake(struct spate_shard *shard)
{
    (void)shard;
}

void *spate_conn_user(const struct spate_conn *conn)
{
    return conn->user;
}

void spate_conn_set_user(struct spate_conn *conn, void *user)
{
    conn->user = user;
}

void spate_conn_close(struct spate_conn *conn, uint64_t error, const char *reason)
{
    (void)conn, (void)error, (void)reason;
}

int spate_conn_peer_address(const struct spate_conn *conn, struct sockaddr_storage *ret,
                            socklen_t *ret_size)
{
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)ret;
    memset(ret, 0, sizeof(*ret));
    address->sin6_family = AF_INET6;
    memcpy(&address->sin6_addr, conn->address, sizeof(conn->address));
    *ret_size = sizeof(*address);
    return 0;
}

const char *spate_conn_cipher(const struct spate_conn *conn)
{
    (void)conn;
    return "a cipher";
}

const char *spate_conn_alpn(const struct spate_conn *conn)
{
    return conn->alpn;
}

int spate_conn_export(const struct spate_conn *conn, const char *label, const void *context,
                      size_t context_size, void *ret, size_t ret_size)
{
    (void)conn, (void)label, (void)context, (void)context_size, (void)ret, (void)ret_size;
    return -ENOTCONN;
}

void spate_slice_release(struct spate_shard *shard, struct spate_slice *slice)
{
    (void)shard, (void)slice;
}

/* ---- A server, and its events ---- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status, (void)kind, (void)ftw;
    return remove(path);
}

int files_world_set_up(void **state)
{
    (void)state;
    w = calloc(1, sizeof(*w));
    assert_non_null(w);
    strcpy(w->path, "/tmp/spate-server-XXXXXX");
    assert_non_null(mkdtemp(w->path));
    w->root = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(w->root >= 0);
    files_server_init(&w->server, NULL, w->root);
    w->server.writable = "";
    kept_all = w->server.kept_left;
    for (int i = 0; i < CONNS_MAX; i++) {
        w->conns[i].alpn = FILES_ALPN_SHA256;
        memcpy(w->conns[i].address, (uint8_t[]){0x20, 0x01, 0x0d, 0xb8, 0, 0, (uint8_t)i}, 7);
    }
    for (int i = 0; i < CONNS_MAX; i++)
        files_server_accept(&w->server, &w->conns[i]);
    return 0;
}

void files_world_hear(struct world_stream *stream, enum spate_event_kind kind)
{
    struct spate_event event = {.kind = kind,
                                .conn = stream->conn,
                                .conn_user = stream->conn->user,
                                .stream_id = stream->id,
                                .stream_user = stream->user};
    files_server_event(&w->server, &event);
}

void files_world_give_back(bool is_acked)
{
    while (w->lent_count > 0) {
        struct world_lent lent = w->lent[--w->lent_count];
        struct spate_event event = {.kind = SPATE_EVENT_SENT,
                                    .conn = lent.stream->conn,
                                    .conn_user = lent.stream->conn->user,
                                    .stream_id = lent.stream->id,
                                    .stream_user = lent.stream->user};
        event.u.sent.tag = lent.tag;
        event.u.sent.size = lent.size;
        event.u.sent.is_acked = is_acked;
        w->lent_bytes -= lent.size;
        files_server_event(&w->server, &event);
    }
}

void files_world_close_stream(struct world_stream *stream)
{
    if (stream->user != NULL)
        files_world_hear(stream, SPATE_EVENT_STREAM_CLOSED);
    stream->user = NULL;
}

static void close_conn(struct spate_conn *conn)
{
    struct spate_event event = {.kind = SPATE_EVENT_CLOSED, .conn = conn, .conn_user = conn->user};
    files_server_event(&w->server, &event);
}

void files_world_move(int i, const uint8_t address[16])
{
    struct spate_conn *conn = &w->conns[i];
    close_conn(conn);
    conn->user = NULL;
    memcpy(conn->address, address, sizeof(conn->address));
    files_server_accept(&w->server, conn);
}

int files_world_tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < w->stream_count; i++) {
        w->streams[i].is_reset = true;
        if (w->streams[i].user != NULL)
            files_world_hear(&w->streams[i], SPATE_EVENT_STREAM_STOPPED);
    }
    files_world_give_back(false);
    for (uint32_t i = 0; i < w->stream_count; i++) {
        files_world_close_stream(&w->streams[i]);
        free(w->streams[i].bytes);
    }
    for (int i = 0; i < CONNS_MAX; i++)
        close_conn(&w->conns[i]);
    assert_null(w->server.sources.tree);
    uint64_t left = w->server.core.memory_left;
    uint64_t all = w->server.core.memory_max;
    uint64_t kept_left = w->server.kept_left;
    files_server_deinit(&w->server);
    (void)close(w->root);
    (void)nftw(w->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(w);
    assert_int_equal(left, all);
    assert_int_equal(kept_left, kept_all);
    return 0;
}

struct world_stream *files_world_try_stream(int conn)
{
    assert_true(w->stream_count < STREAMS_MAX);
    struct world_stream *stream = &w->streams[w->stream_count];
    *stream = (struct world_stream){.conn = &w->conns[conn], .id = 4 * (uint64_t)w->stream_count++};
    files_world_hear(stream, SPATE_EVENT_STREAM_OPENED);
    return stream;
}

struct world_stream *files_world_open_stream(int conn)
{
    struct world_stream *stream = files_world_try_stream(conn);
    assert_non_null(stream->user);
    return stream;
}

void files_world_tell(struct world_stream *stream, const void *data, size_t size, bool fin)
{
    struct spate_event event = {.kind = SPATE_EVENT_STREAM_DATA,
                                .conn = stream->conn,
                                .conn_user = stream->conn->user,
                                .stream_id = stream->id,
                                .stream_user = stream->user};
    stream->received += size;
    event.u.data.slice.data = data;
    event.u.data.slice.size = size;
    event.u.data.fin = fin;
    files_server_event(&w->server, &event);
}

void files_world_ask(struct world_stream *stream, enum files_type type, const char *path,
                     uint64_t size)
{
    struct files_request request = {.type = type, .size = size, .piece_size = FILES_SIZE_MAX};
    uint8_t data[FILES_ITEM_SIZE_MAX];
    (void)snprintf(request.path, sizeof(request.path), "%s", path);
    files_world_tell(stream, data, files_request_write(&request, data), true);
}

void files_world_settle(const struct world_stream *stream)
{
    struct files_stream *own = stream->user;
    while (own->has_source && own->source.lane.pending > 0)
        (void)files_server_retry(&w->server);
    while (own->has_sink && own->sink.lane.pending > 0)
        (void)files_server_retry(&w->server);
}

void files_world_make_file(const char *path, size_t size)
{
    int fd = openat(w->root, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    char *data = malloc(size);
    assert_non_null(data);
    memset(data, 'x', size);
    assert_int_equal(write(fd, data, size), size); /* no hole, which would not be sent */
    free(data);
    (void)close(fd);
}

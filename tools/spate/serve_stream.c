/* SPDX-License-Identifier: MIT */
#include "tools/spate/serve_stream.h"

/* One request of a client and its answer.
 *
 * The file is read by pread() into memory that is lent to the library until the peer has the bytes:
 * one copy, by the kernel.  A mapping would save it, but a file that becomes shorter while it is
 * served would then end the server by SIGBUS.
 *
 * Bounds: all streams together read SERVE_MEMORY bytes ahead, those of a connection its share of
 * it, one of them its share, at least a chunk.  A stream that finds no memory or no file descriptor
 * waits in a queue for those that end. A request is kept only while it is incomplete, and only
 * PARTIAL_MAX of them, of which a connection has a share, too. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/spate/hq.h"
#include "tools/spate/read_all.h"
#include "tools/spate/root.h"

#define SERVE_MEMORY     (UINT64_C(64) << 20)
#define STREAM_MEMORY    (UINT64_C(16) << 20)
#define CHUNK_SIZE       (UINT64_C(256) << 10)
#define CHUNKS_PER_EVENT 4 /* so that the others need not wait for long */
#define PARTIAL_MAX      4096
#define RETRIED_MAX      256 /* streams that are tried again in one turn */

enum stage {
    STAGE_REQUEST, /* its request is not complete */
    STAGE_WAITING, /* in the queue: has a path, perhaps a file, and needs memory or a descriptor */
    STAGE_SENDING,
    STAGE_ENDED, /* all is queued, or it is refused */
};

/* A connection. */
struct serve_conn {
    struct share_source *source;
    struct share lent;    /* of its streams */
    struct share partial; /* requests that are kept, not bytes */
};

struct serve_stream {
    struct spate_conn *conn;
    struct serve_conn *owner;
    uint64_t id;
    enum stage stage;
    int fd;          /* -1: not open */
    uint64_t offset; /* bytes that have been queued */
    uint64_t size;   /* of the file */
    uint64_t lent_bytes;
    char *partial; /* HQ_REQUEST_MAX bytes, or NULL */
    size_t partial_size;
    char *path;
    int status;
    TAILQ_ENTRY(serve_stream) link; /* while STAGE_WAITING */
};

/* Bytes of a file, lent to the library: the tag of a send. */
struct chunk {
    uint64_t size;
    char data[];
};

void serve_files_init(struct serve_files *files, int root, bool is_verbose)
{
    *files =
        (struct serve_files){.root = root, .memory_left = SERVE_MEMORY, .is_verbose = is_verbose};
    TAILQ_INIT(&files->waiting);
}

void serve_files_deinit(struct serve_files *files)
{
    share_sources_deinit(&files->sources);
}

/* ---- The life of a stream ---- */

static struct serve_conn *conn_of(struct serve_files *files, struct spate_conn *conn)
{
    struct serve_conn *owner = spate_conn_user(conn);
    if (owner != NULL)
        return owner;
    owner = calloc(1, sizeof(*owner));
    struct share_source *source = owner != NULL ? share_source_join(&files->sources, conn) : NULL;
    if (source == NULL) {
        free(owner);
        return NULL;
    }
    *owner = (struct serve_conn){.source = source,
                                 .lent = share_begin(source, SHARE_LENT),
                                 .partial = share_begin(source, SHARE_KEPT)};
    spate_conn_set_user(conn, owner);
    return owner;
}

static void conn_end(struct serve_files *files, struct serve_conn *owner)
{
    if (owner == NULL)
        return;
    share_source_leave(&files->sources, owner->source);
    free(owner);
}

static void stream_create(struct serve_files *files, struct spate_conn *conn, uint64_t id)
{
    struct serve_conn *owner = conn_of(files, conn);
    struct serve_stream *stream = owner != NULL ? calloc(1, sizeof(*stream)) : NULL;
    if (stream == NULL || spate_stream_set_user(conn, id, stream) != 0) {
        free(stream);
        (void)spate_stream_reset(conn, id, HQ_UNAVAILABLE);
        return;
    }
    stream->conn = conn;
    stream->owner = owner;
    stream->id = id;
    stream->fd = -1;
}

static void drop_partial(struct serve_files *files, struct serve_stream *stream)
{
    if (stream->partial == NULL)
        return;
    free(stream->partial);
    stream->partial = NULL;
    files->partial_count--;
    share_give(&stream->owner->partial, 1);
}

/* No more bytes are queued: everything but the memory that is lent goes. */
static void stream_end(struct serve_files *files, struct serve_stream *stream, int status)
{
    if (stream->stage == STAGE_ENDED)
        return;
    if (stream->stage == STAGE_WAITING)
        TAILQ_REMOVE(&files->waiting, stream, link);
    if (stream->fd >= 0) {
        (void)close(stream->fd);
        stream->fd = -1;
        files->sending_count--;
    }
    drop_partial(files, stream);
    stream->stage = STAGE_ENDED;
    stream->status = status;
}

static void stream_refuse(struct serve_files *files, struct serve_stream *stream, int status)
{
    stream_end(files, stream, status);
    (void)spate_stream_reset(stream->conn, stream->id, (uint64_t)status);
    (void)spate_stream_stop(stream->conn, stream->id, (uint64_t)status);
}

static void print_line(const struct serve_stream *stream)
{
    printf("%d %" PRIu64 " /", stream->status, stream->offset);
    for (const char *c = stream->path != NULL ? stream->path : ""; *c != 0; c++)
        (void)putchar((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
    puts("");
    (void)fflush(stdout);
}

static void stream_destroy(struct serve_files *files, struct serve_stream *stream)
{
    stream_end(files, stream, HQ_CANCELLED);
    if (files->is_verbose)
        print_line(stream);
    free(stream->path);
    free(stream);
}

static void stream_wait(struct serve_files *files, struct serve_stream *stream)
{
    if (stream->stage == STAGE_WAITING)
        return;
    stream->stage = STAGE_WAITING;
    TAILQ_INSERT_TAIL(&files->waiting, stream, link);
}

/* ---- Sending ---- */

/* What one stream may read ahead now. */
static uint64_t share(const struct serve_files *files)
{
    uint64_t bytes = SERVE_MEMORY / 2 / (files->sending_count + 1);
    if (bytes > STREAM_MEMORY)
        return STREAM_MEMORY;
    return bytes < CHUNK_SIZE ? CHUNK_SIZE : bytes;
}

/* Reads the next bytes of the file.  NULL: errno says why. */
static struct chunk *read_chunk(const struct serve_stream *stream, uint64_t size)
{
    struct chunk *chunk = malloc(sizeof(*chunk) + size);
    if (chunk == NULL)
        return NULL;
    chunk->size = size;
    int e = read_all(stream->fd, chunk->data, size, stream->offset);
    if (e != 0) {
        free(chunk);
        errno = -e;
        return NULL;
    }
    return chunk;
}

/* Queues the next chunk.  Returns false if the stream cannot go on now, or at all. */
static bool send_chunk(struct serve_files *files, struct serve_stream *stream)
{
    uint64_t left = stream->size - stream->offset;
    uint64_t size = left < CHUNK_SIZE ? left : CHUNK_SIZE;
    if (!share_allows(&stream->owner->lent, size, files->memory_left) ||
        (stream->lent_bytes > 0 && stream->lent_bytes >= share(files)))
        return false;
    struct chunk *chunk = NULL;
    if (size > 0 && (chunk = read_chunk(stream, size)) == NULL) {
        if (errno != ENOMEM)
            stream_refuse(files, stream, HQ_FAILED);
        return false;
    }
    bool is_last = size == left;
    int e = spate_stream_send(stream->conn, stream->id, chunk != NULL ? chunk->data : NULL, size,
                              is_last, (uintptr_t)chunk);
    if (e != 0) {
        free(chunk);
        if (e != -ENOBUFS)
            stream_end(files, stream, HQ_CANCELLED); /* the peer has lost interest */
        return false;
    }
    files->memory_left -= size;
    share_take(&stream->owner->lent, size);
    stream->lent_bytes += size;
    stream->offset += size;
    if (is_last)
        stream_end(files, stream, 200);
    return !is_last;
}

/* Goes on after memory came back, or for the first time. */
static void stream_send(struct serve_files *files, struct serve_stream *stream)
{
    for (int i = 0; i < CHUNKS_PER_EVENT && stream->stage == STAGE_SENDING; i++) {
        if (!send_chunk(files, stream))
            break;
    }
    if (stream->stage == STAGE_SENDING && stream->lent_bytes == 0)
        stream_wait(files, stream); /* no event of its own will wake it */
}

static int status_of(int error)
{
    switch (error) {
    case -ENOENT:
    case -ENOTDIR:
        return HQ_NOT_FOUND;
    case -ENAMETOOLONG:
        return HQ_TOO_LONG;
    case -EACCES:
    case -EPERM:
        return HQ_FORBIDDEN;
    default:
        return HQ_FAILED;
    }
}

/* Opens the file, if it is not yet. */
static void stream_start(struct serve_files *files, struct serve_stream *stream)
{
    if (stream->fd < 0) {
        int fd = root_open_file(files->root, stream->path, &stream->size);
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM) {
            stream_wait(files, stream);
            return;
        }
        if (fd < 0) {
            stream_refuse(files, stream, status_of(fd));
            return;
        }
        stream->fd = fd;
        files->sending_count++;
    }
    stream->stage = STAGE_SENDING;
    stream_send(files, stream);
}

bool serve_files_retry(struct serve_files *files)
{
    /* Some of them, each once: one that still cannot go on is last now. */
    struct serve_stream *last = TAILQ_LAST(&files->waiting, serve_waiting);
    struct serve_stream *stream = TAILQ_FIRST(&files->waiting);
    for (int i = 0; i < RETRIED_MAX && stream != NULL; i++) {
        bool is_last = stream == last;
        TAILQ_REMOVE(&files->waiting, stream, link);
        stream->stage = STAGE_SENDING;
        stream_start(files, stream);
        if (is_last)
            break;
        stream = TAILQ_FIRST(&files->waiting);
    }
    return !TAILQ_EMPTY(&files->waiting);
}

/* ---- The request ---- */

static void on_request(struct serve_files *files, struct serve_stream *stream, const char *text,
                       size_t size)
{
    char path[HQ_REQUEST_MAX];
    int status = hq_request_parse(text, size, path);
    drop_partial(files, stream);
    if (status == 0 && (stream->path = strdup(path)) == NULL)
        status = HQ_UNAVAILABLE;
    if (status != 0)
        stream_refuse(files, stream, status);
    else
        stream_start(files, stream);
}

/* Most requests come in one piece, and are read where they are. */
static void on_request_bytes(struct serve_files *files, struct serve_stream *stream,
                             const char *data, size_t size, bool fin)
{
    bool is_complete = fin || (size > 0 && memchr(data, '\n', size) != NULL);
    if (stream->partial == NULL && is_complete) {
        on_request(files, stream, data, size);
        return;
    }
    if (stream->partial == NULL) {
        const uint32_t left = PARTIAL_MAX - files->partial_count;
        if (share_allows(&stream->owner->partial, 1, left))
            stream->partial = malloc(HQ_REQUEST_MAX);
        if (stream->partial == NULL) {
            stream_refuse(files, stream, HQ_UNAVAILABLE);
            return;
        }
        files->partial_count++;
        share_take(&stream->owner->partial, 1);
    }
    if (size > HQ_REQUEST_MAX - stream->partial_size) {
        stream_refuse(files, stream, HQ_TOO_LONG);
        return;
    }
    if (size > 0)
        memcpy(stream->partial + stream->partial_size, data, size);
    stream->partial_size += size;
    if (is_complete)
        on_request(files, stream, stream->partial, stream->partial_size);
}

/* ---- Events ---- */

static void on_sent(struct serve_files *files, struct serve_stream *stream,
                    const struct spate_event *event)
{
    struct chunk *chunk = (struct chunk *)(uintptr_t)event->u.sent.tag;
    files->memory_left += event->u.sent.size;
    share_give(&stream->owner->lent, event->u.sent.size);
    free(chunk);
    stream->lent_bytes -= event->u.sent.size;
    if (!event->u.sent.is_acked)
        stream_end(files, stream, HQ_CANCELLED);
    if (stream->stage == STAGE_SENDING)
        stream_send(files, stream);
}

void serve_stream_event(struct serve_files *files, struct spate_event *event)
{
    struct serve_stream *stream = event->stream_user;
    if (event->kind == SPATE_EVENT_CLOSED) {
        conn_end(files, event->conn_user);
        return;
    }
    if (event->kind == SPATE_EVENT_STREAM_OPENED) {
        stream_create(files, event->conn, event->stream_id);
        return;
    }
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        const struct spate_slice *slice = &event->u.data.slice;
        if (stream != NULL && stream->stage == STAGE_REQUEST)
            on_request_bytes(files, stream, (const char *)slice->data, slice->size,
                             event->u.data.fin);
        spate_slice_release(spate_conn_shard(event->conn), &event->u.data.slice);
        return;
    }
    if (stream == NULL)
        return;
    switch (event->kind) {
    case SPATE_EVENT_SENT:
        on_sent(files, stream, event);
        break;
    case SPATE_EVENT_STREAM_RESET:
        if (stream->stage == STAGE_REQUEST)
            stream_refuse(files, stream, HQ_CANCELLED);
        break;
    case SPATE_EVENT_STREAM_STOPPED:
        stream_end(files, stream, HQ_CANCELLED);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        stream_destroy(files, stream);
        break;
    default:
        break;
    }
}

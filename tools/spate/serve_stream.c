/* SPDX-License-Identifier: MIT */
#include "tools/spate/serve_stream.h"

/* One request of a client and its answer.
 *
 * Bounds: those of bodies (body.h).  A stream that finds no memory or no file descriptor waits in a
 * queue for those that end. A request is kept only while it is incomplete, and only PARTIAL_MAX of
 * them, of which a connection has a share, too. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/hq.h"
#include "tools/spate/root.h"

#define PIECES_PER_EVENT 4 /* so that the others need not wait for long */
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
    LIST_ENTRY(serve_conn) link;
    LIST_HEAD(, serve_stream) streams;
    struct body_share share; /* of its streams */
    struct share partial;    /* requests that are kept, not bytes */
};

struct serve_stream {
    struct spate_conn *conn;
    struct serve_conn *owner;
    LIST_ENTRY(serve_stream) owner_link;
    uint64_t id;
    enum stage stage;
    struct body body; /* the file, once it is open */
    const void *next; /* bytes of the body that are to be queued next */
    size_t next_size;
    uint64_t queued_bytes;
    char *partial; /* HQ_REQUEST_MAX bytes, or NULL */
    size_t partial_size;
    char *path;
    int status;
    TAILQ_ENTRY(serve_stream) link; /* while STAGE_WAITING */
};

void serve_files_init(struct serve_files *files, int root, bool is_verbose)
{
    *files = (struct serve_files){.root = root, .is_verbose = is_verbose};
    body_memory_init(&files->memory);
    LIST_INIT(&files->conns);
    TAILQ_INIT(&files->waiting);
}

/* ---- The life of a stream ---- */

static struct serve_conn *conn_of(struct serve_files *files, struct spate_conn *conn)
{
    struct serve_conn *owner = spate_conn_user(conn);
    if (owner != NULL)
        return owner;
    owner = calloc(1, sizeof(*owner));
    if (owner == NULL || !body_share_begin(&owner->share, &files->memory, conn)) {
        free(owner);
        return NULL;
    }
    owner->partial = share_begin(owner->share.source, SHARE_KEPT);
    LIST_INIT(&owner->streams);
    LIST_INSERT_HEAD(&files->conns, owner, link);
    spate_conn_set_user(conn, owner);
    return owner;
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
    body_init(&stream->body, &owner->share);
    LIST_INSERT_HEAD(&owner->streams, stream, owner_link);
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
    body_stop(&stream->body);
    if (stream->next_size > 0)
        body_take_back(&stream->body);
    stream->next_size = 0;
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

static void stream_destroy(struct serve_files *files, struct serve_stream *stream)
{
    stream_end(files, stream, HQ_CANCELLED);
    if (files->is_verbose)
        hq_print_line(stream->status, stream->queued_bytes, stream->path);
    body_end(&stream->body);
    LIST_REMOVE(stream, owner_link);
    free(stream->path);
    free(stream);
}

static void conn_end(struct serve_files *files, struct serve_conn *owner)
{
    if (owner == NULL)
        return;
    while (!LIST_EMPTY(&owner->streams))
        stream_destroy(files, LIST_FIRST(&owner->streams)); /* of one that has not ended */
    body_share_end(&owner->share);
    LIST_REMOVE(owner, link);
    free(owner);
}

void serve_files_deinit(struct serve_files *files)
{
    while (!LIST_EMPTY(&files->conns))
        conn_end(files, LIST_FIRST(&files->conns));
    body_memory_deinit(&files->memory);
}

static void stream_wait(struct serve_files *files, struct serve_stream *stream)
{
    if (stream->stage == STAGE_WAITING)
        return;
    stream->stage = STAGE_WAITING;
    TAILQ_INSERT_TAIL(&files->waiting, stream, link);
}

/* ---- Sending ---- */

/* Queues the next bytes.  Returns false if the stream cannot go on now, or at all. */
static bool send_next(struct serve_files *files, struct serve_stream *stream)
{
    struct body *body = &stream->body;
    if (stream->next_size == 0 && body->left > 0) {
        stream->next_size = body_take(body, UINT64_MAX, &stream->next);
        if (body->has_failed)
            stream_refuse(files, stream, HQ_FAILED);
        if (stream->next_size == 0)
            return false;
    }
    bool is_last = body->left == 0;
    int e =
        spate_stream_send(stream->conn, stream->id, stream->next, stream->next_size, is_last, 0);
    if (e != 0) {
        if (e != -ENOBUFS)
            stream_end(files, stream, HQ_CANCELLED); /* the peer has lost interest */
        return false;
    }
    stream->queued_bytes += stream->next_size;
    stream->next_size = 0;
    if (is_last)
        stream_end(files, stream, 200);
    return !is_last;
}

/* Goes on after memory came back, or for the first time. */
static void stream_send(struct serve_files *files, struct serve_stream *stream)
{
    for (int i = 0; i < PIECES_PER_EVENT && stream->stage == STAGE_SENDING; i++) {
        if (!send_next(files, stream))
            break;
    }
    if (stream->stage == STAGE_SENDING && stream->body.lent_bytes == stream->next_size)
        stream_wait(files, stream); /* no event of its own will wake it */
}

/* Opens the file, if it is not yet. */
static void stream_start(struct serve_files *files, struct serve_stream *stream)
{
    if (!stream->body.is_set) {
        uint64_t size = 0;
        int fd = root_open_file(files->root, stream->path, &size);
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM) {
            stream_wait(files, stream);
            return;
        }
        if (fd < 0) {
            stream_refuse(files, stream, hq_status_of(fd));
            return;
        }
        body_set_file(&stream->body, fd, 0, size);
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
    body_give_back(&stream->body, event->u.sent.size);
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

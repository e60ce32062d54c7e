/* SPDX-License-Identifier: MIT */
/* What the server takes in.  Parts of large files belong to the server, not to a connection: a
 * client that was killed leaves a connection that lasts until its idle timeout, and its next
 * attempt takes over what that one has received. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tools/spate/files/server_impl.h"

enum { IDLE_MAX = 32 }; /* parts that a client keeps open: two descriptors each */

enum files_status files_push_may_write(const struct files_server *server, const char *path)
{
    const char *folder = server->writable;
    if (folder == NULL)
        return FILES_READ_ONLY;
    size_t size = strlen(folder);
    bool is_below =
        size == 0 || (strncmp(path, folder, size) == 0 && (path[size] == '/' || path[size] == 0));
    return is_below ? FILES_OK : FILES_READ_ONLY;
}

/* What a target has of the memory: its list of chunks is large for a large file. */
static size_t bytes_of(const struct files_item *item)
{
    return sizeof(struct files_target) + files_chunk_count(item->size);
}

static size_t target_bytes(const struct files_target *target)
{
    return sizeof(*target) + target->chunk_count;
}

/* Sets whose share of the memory a target is in; NULL: that of nobody. */
static void set_owner(struct files_target *target, struct files_session *session)
{
    struct files_session *before = target->owner;
    if (before != NULL)
        share_give(&before->share.kept, target_bytes(target));
    if (session != NULL)
        share_take(&session->share.kept, target_bytes(target));
    target->owner = session;
}

static void close_target(struct files_server *server, struct files_target *target)
{
    set_owner(target, NULL);
    server->kept_left += target_bytes(target);
    LIST_REMOVE(target, link);
    files_target_close(target);
}

/* Stops what another connection writes to a target. */
static void take_over(struct files_target *target, struct files_session *session)
{
    struct files_session *before = target->owner;
    if (before == session)
        return;
    set_owner(target, session);
    struct files_stream *stream = before != NULL ? LIST_FIRST(&before->streams) : NULL;
    while (stream != NULL) {
        struct files_stream *next = LIST_NEXT(stream, link);
        if (stream->has_sink && stream->sink.target == target) {
            files_sink_fail(&stream->sink, FILES_CANCELLED);
            files_push_end(stream);
            if (stream->is_closed)
                files_stream_end(stream);
        }
        stream = next;
    }
}

static int find_target(struct files_session *session, const struct files_item *item,
                       struct files_target **ret)
{
    struct files_server *server = session->server;
    struct files_target *target;
    LIST_FOREACH(target, &server->targets, link)
    {
        if (target->size == item->size && target->mtime_ns == item->mtime_ns && !target->is_whole &&
            !target->is_stale && strcmp(target->path, item->path) == 0) {
            take_over(target, session);
            *ret = target;
            return 0;
        }
    }
    if (!files_share_keep(&session->share, bytes_of(item)))
        return -ENOBUFS;
    int e = files_target_open(&server->beneath, item, ret);
    if (e != 0) {
        files_share_forget(&session->share, bytes_of(item));
        return e;
    }
    (*ret)->owner = session;
    LIST_INSERT_HEAD(&server->targets, *ret, link);
    return 0;
}

void files_push_sweep(struct files_server *server, const struct files_session *session)
{
    struct files_target *target = LIST_FIRST(&server->targets);
    while (target != NULL) {
        struct files_target *next = LIST_NEXT(target, link);
        bool is_over = target->is_whole || target->is_stale || target->owner == NULL ||
                       target->owner == session;
        if (target->owner == session && session != NULL)
            set_owner(target, NULL);
        if (target->users == 0 && is_over)
            close_target(server, target);
        target = next;
    }
}

void files_push_trim(struct files_server *server, const struct files_session *session)
{
    uint32_t count = 0;
    struct files_target *target = LIST_FIRST(&server->targets); /* the newest first */
    while (target != NULL) {
        struct files_target *next = LIST_NEXT(target, link);
        bool is_idle = target->owner == session && target->users == 0;
        count += is_idle;
        if (is_idle && count > IDLE_MAX)
            close_target(server, target);
        target = next;
    }
}

static enum files_status on_head(void *user, struct files_item *item,
                                 struct files_target **ret_target)
{
    struct files_stream *stream = user;
    enum files_status status = files_push_may_write(stream->session->server, item->path);
    if (status != FILES_OK || item->kind != FILES_FILE || item->size <= FILES_SMALL_MAX)
        return status;
    return files_status_of(find_target(stream->session, item, ret_target));
}

static void on_item(void *user, const struct files_item *item, uint32_t index,
                    enum files_status status)
{
    struct files_stream *stream = user;
    struct files_session *session = stream->session;
    (void)item;
    if (status == FILES_CHANGED && stream->sink.target != NULL)
        stream->sink.target->is_stale = true;
    if (status == FILES_OK || stream->mode != MODE_PUSH ||
        files_answer_for(&session->server->core, &session->share, session->conn, stream->id, index,
                         status))
        return;
    stream->mode = MODE_DONE; /* an end would say that the item is there */
    files_sink_fail(&stream->sink, FILES_BUSY);
}

static bool on_message(void *user, const struct files_message *message)
{
    (void)user;
    (void)message;
    return false;
}

static void on_step(void *user)
{
    struct files_stream *stream = user;
    if (stream->sink.has_ended)
        files_push_end(stream);
    if (stream->sink.has_ended && stream->is_closed)
        files_stream_end(stream);
}

void files_push_begin(struct files_stream *stream)
{
    struct files_server *server = stream->session->server;
    const struct files_sink_owner owner = {.user = stream,
                                           .on_head = on_head,
                                           .on_item = on_item,
                                           .on_message = on_message,
                                           .on_step = on_step};
    stream->mode = MODE_PUSH;
    stream->has_sink = true;
    files_sink_init(&stream->sink, &server->core, &server->beneath, &stream->session->share,
                    stream->session->conn, stream->id, &owner);
}

void files_push_end(struct files_stream *stream)
{
    if (stream->mode != MODE_PUSH)
        return;
    stream->mode = MODE_DONE;
    (void)files_answer(&stream->session->server->core, stream->session->conn, stream->id,
                       stream->sink.index, FILES_OK, true);
}

/* Returns whether the file is there already, with this size and time. */
static bool is_there(struct files_server *server, const struct files_request *request)
{
    struct stat status;
    int fd = files_beneath_open_file(server->beneath.root, request->path, &status);
    if (fd < 0)
        return false;
    (void)close(fd);
    return (uint64_t)status.st_size == request->size &&
           files_mtime_ns(&status) == request->mtime_ns;
}

/* `target` is NULL if the file is whole. */
static void answer_probe(struct files_stream *stream, const struct files_target *target)
{
    struct files_core *core = &stream->session->server->core;
    uint32_t count = target != NULL ? target->chunk_count : 0;
    uint32_t size = 1 + (count + 7) / 8;
    struct files_buffer *buffer =
        files_buffer_create_for(core, &stream->session->share, FILES_HEAD_SIZE + size);
    if (buffer == NULL) {
        (void)files_answer(core, stream->session->conn, stream->id, 0, FILES_BUSY, true);
        return;
    }
    files_head_write(FILES_HAVE, size, buffer->data);
    uint8_t *body = buffer->data + FILES_HEAD_SIZE;
    memset(body, 0, size);
    body[0] = target == NULL || target->is_whole;
    for (uint32_t i = 0; i < count; i++)
        body[1 + i / 8] |= (uint8_t)(files_target_has(target, i) << i % 8);
    buffer->used = FILES_HEAD_SIZE + size;
    (void)files_buffer_answer(core, stream->session->conn, stream->id, buffer, true);
}

void files_push_probe(struct files_stream *stream, const struct files_request *request)
{
    struct files_server *server = stream->session->server;
    struct files_item *item = &stream->sink.item; /* room that is not used yet */
    struct files_target *target = NULL;
    stream->mode = MODE_DONE;
    enum files_status status = files_push_may_write(server, request->path);
    if (status == FILES_OK && is_there(server, request)) {
        answer_probe(stream, NULL);
        return;
    }
    *item = (struct files_item){.kind = FILES_FILE,
                                .mode = request->mode,
                                .size = request->size,
                                .mtime_ns = request->mtime_ns};
    memcpy(item->path, request->path, sizeof(item->path));
    if (status == FILES_OK && request->size <= FILES_SMALL_MAX)
        status = FILES_BAD_MESSAGE;
    if (status == FILES_OK)
        status = files_status_of(find_target(stream->session, item, &target));
    if (status == FILES_OK && target->have_count == target->chunk_count)
        status = files_status_of(files_target_chunk_done(target, target->chunk_count));
    if (status != FILES_OK)
        (void)files_answer(&server->core, stream->session->conn, stream->id, 0, status, true);
    else
        answer_probe(stream, target);
}

/* SPDX-License-Identifier: MIT */
/* The streams of a copy: what is asked next, and what the answers mean. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/files/cp.h"
#include "tools/spate/message.h"

/* ---- Opening ---- */

static struct cp_stream *open_stream(struct cp_run *run, enum cp_kind kind)
{
    struct cp_stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->run = run;
    stream->kind = kind;
    if (spate_stream_open(run->conn, false, &stream->id) != 0) {
        free(stream);
        return NULL;
    }
    (void)spate_stream_set_user(run->conn, stream->id, stream);
    LIST_INSERT_HEAD(&run->streams, stream, link);
    run->stream_count++;
    return stream;
}

/* Sends the bytes of a stream, or gives it up: no answer would come.  `buffer` may be NULL. */
static bool send_all(struct cp_stream *stream, struct files_buffer *buffer)
{
    struct cp_run *run = stream->run;
    bool is_good = files_buffer_answer(&run->core, run->conn, stream->id, buffer, true);
    if (!is_good)
        cp_stream_give_up(stream, FILES_BUSY);
    return is_good;
}

static void send_request(struct cp_stream *stream, const struct files_request *request)
{
    struct files_buffer *buffer = files_buffer_message(&stream->run->core, FILES_ITEM_SIZE_MAX);
    if (buffer != NULL)
        buffer->used = files_request_write(request, buffer->data);
    (void)send_all(stream, buffer);
}

static void set_path(struct files_request *request, const char *path)
{
    memcpy(request->path, path, strlen(path) + 1);
}

static void open_auth(struct cp_run *run)
{
    uint8_t proof[FILES_PROOF_SIZE];
    struct files_buffer *buffer = NULL;
    struct cp_stream *stream = open_stream(run, CP_AUTH);
    if (stream == NULL)
        return;
    if (files_token_prove(&run->token, run->conn, false, proof))
        buffer = files_buffer_message(&run->core, FILES_HEAD_SIZE + sizeof(proof));
    if (buffer != NULL) {
        files_head_write(FILES_AUTH, sizeof(proof), buffer->data);
        memcpy(buffer->data + FILES_HEAD_SIZE, proof, sizeof(proof));
        buffer->used = FILES_HEAD_SIZE + sizeof(proof);
    }
    run->is_asked = true;
    if (send_all(stream, buffer))
        return;
    progress_clear(&run->progress);
    message(run->options->command, "out of memory");
    cp_close(run, FILES_BUSY, "out of memory");
}

static bool open_list(struct cp_run *run, const char *path)
{
    struct files_request request = {.type = FILES_LIST, .is_recursive = true};
    struct cp_stream *stream = open_stream(run, CP_LIST);
    if (stream == NULL)
        return false;
    stream->listed = path;
    run->list_count++;
    set_path(&request, path);
    send_request(stream, &request);
    return true;
}

/* ---- From the server ---- */

static void fill_want(struct files_request *request, const struct files_want *want)
{
    request->type = FILES_WANT;
    request->is_pinned = want->is_pinned;
    request->size = want->size;
    request->mtime_ns = want->mtime_ns;
    request->piece_size = want->is_pinned ? want->size : FILES_SIZE_MAX;
    set_path(request, want->path);
}

static void ask_for_batch(struct cp_stream *stream)
{
    struct cp_run *run = stream->run;
    struct files_request request = {.offset = 0};
    size_t room = 0;
    for (uint32_t i = 0; i < stream->file_count; i++)
        room += FILES_HEAD_SIZE + 64 + strlen(stream->files[i]->path);
    struct files_buffer *buffer = files_buffer_message(&run->core, room);
    if (buffer == NULL) {
        cp_stream_give_up(stream, FILES_BUSY);
        return;
    }
    cp_stream_sink(stream);
    for (uint32_t i = 0; i < stream->file_count; i++) {
        fill_want(&request, stream->files[i]);
        buffer->used += files_request_write(&request, buffer->data + buffer->used);
    }
    (void)send_all(stream, buffer);
}

/* ---- To the server ---- */

static struct files_want *copy_want(const struct files_want *want)
{
    struct files_want *copy = files_want_create(want->path, want->local, want->target);
    if (copy == NULL)
        return NULL;
    copy->kind = want->kind;
    copy->is_pinned = want->is_pinned;
    copy->mode = want->mode;
    copy->mtime_ns = want->mtime_ns;
    copy->size = want->size;
    copy->root = want->root;
    return copy;
}

/* A file that cannot be read has no index on the stream. */
static void on_unread(void *user, enum files_status status)
{
    struct cp_stream *stream = user;
    if (stream->large != NULL) {
        cp_stream_chunk(stream, status);
        return;
    }
    uint32_t index = stream->source.index;
    cp_stream_settle(stream, index, status);
    memmove(&stream->files[index], &stream->files[index + 1],
            (stream->file_count - index - 1) * sizeof(struct files_want *));
    stream->file_count--;
}

static void add_source(struct cp_stream *stream)
{
    stream->has_source = true;
    files_source_init(&stream->source, &stream->run->core, stream->run->conn, stream->id);
    stream->source.on_error = on_unread;
    stream->source.user = stream;
    stream->source.is_complete = true;
}

static void send_batch(struct cp_stream *stream)
{
    bool is_good = true;
    add_source(stream);
    for (uint32_t i = 0; i < stream->file_count && is_good; i++) {
        struct files_want *want = copy_want(stream->files[i]);
        is_good = want != NULL;
        if (is_good)
            STAILQ_INSERT_TAIL(&stream->source.wants, want, link);
    }
    if (is_good)
        files_source_pump(&stream->source);
    else
        cp_stream_give_up(stream, FILES_BUSY);
}

static bool open_batch(struct cp_run *run)
{
    struct cp_stream *stream = open_stream(run, CP_BATCH);
    if (stream == NULL)
        return false;
    uint64_t bytes = 0;
    struct files_want *want;
    while (stream->file_count < CP_BATCH_MAX && bytes < CP_BATCH_BYTES &&
           (want = STAILQ_FIRST(&run->small)) != NULL) {
        if (!want->is_pinned && !run->options->is_push && stream->file_count > 0)
            break; /* it may turn out to be large: it is alone on its stream */
        STAILQ_REMOVE_HEAD(&run->small, link);
        run->small_count--;
        run->small_bytes -= want->size;
        bytes += want->size;
        stream->files[stream->file_count++] = want;
        if (!want->is_pinned && !run->options->is_push)
            break;
    }
    if (run->options->is_push)
        send_batch(stream);
    else
        ask_for_batch(stream);
    return true;
}

/* ---- Large files ---- */

static bool open_probe(struct cp_run *run, struct cp_large *large)
{
    struct files_request request = {.type = FILES_PROBE,
                                    .mode = large->file->mode,
                                    .size = large->file->size,
                                    .mtime_ns = large->file->mtime_ns};
    struct cp_stream *stream = open_stream(run, CP_PROBE);
    if (stream == NULL)
        return false;
    stream->large = large;
    large->streams++;
    large->stage = CP_ASKED;
    set_path(&request, large->file->path);
    send_request(stream, &request);
    return true;
}

static void begin_large(struct cp_run *run, struct cp_large *large)
{
    struct files_item item = {.kind = FILES_FILE,
                              .mode = large->file->mode,
                              .size = large->file->size,
                              .mtime_ns = large->file->mtime_ns};
    memcpy(item.path, large->file->local, strlen(large->file->local) + 1);
    enum files_status status = cp_large_open(run, large, &item);
    if (status != FILES_OK)
        cp_large_settle(run, large, status);
}

static bool open_chunk(struct cp_run *run, struct cp_large *large)
{
    struct cp_stream *stream = open_stream(run, CP_CHUNK);
    if (stream == NULL)
        return false;
    uint64_t offset = large->next * files_chunk_size(large->file->size);
    large->have[large->next] = 1;
    large->streams++;
    stream->large = large;
    stream->offset = offset;
    cp_report_current(run, large->file->path);
    if (!run->options->is_push) {
        struct files_request request = {.offset = offset};
        fill_want(&request, large->file);
        request.is_pinned = true;
        request.offset = offset;
        request.piece_size = files_chunk_size(large->file->size);
        cp_stream_sink(stream);
        send_request(stream, &request);
        return true;
    }
    struct files_want *want = copy_want(large->file);
    if (want == NULL) {
        cp_stream_give_up(stream, FILES_BUSY);
        return true;
    }
    want->offset = offset;
    add_source(stream);
    STAILQ_INSERT_TAIL(&stream->source.wants, want, link);
    files_source_pump(&stream->source);
    return true;
}

/* Opens a stream for the first large file that has use for one. */
static bool open_large(struct cp_run *run)
{
    struct cp_large *large = STAILQ_FIRST(&run->large);
    while (large != NULL) {
        struct cp_large *next = STAILQ_NEXT(large, link);
        if (large->stage == CP_NEW && run->options->is_push)
            return open_probe(run, large);
        if (large->stage == CP_NEW)
            begin_large(run, large);
        while (large->next < large->chunk_count && large->have[large->next] != 0)
            large->next++;
        if (large->stage == CP_READY && large->next < large->chunk_count)
            return open_chunk(run, large);
        if (large->stage == CP_FAILED && large->streams == 0) {
            STAILQ_REMOVE(&run->large, large, cp_large, link);
            files_target_close(large->target);
            files_want_destroy(large->file);
            free(large->have);
            free(large);
        }
        large = next;
    }
    return false;
}

/* ---- What is next ---- */

/* A file of the server by its name alone: the answer says how large it is. */
static void add_single(struct cp_run *run)
{
    const char *path = run->options->sources[run->source_next++];
    const char *slash = strrchr(path, '/');
    struct files_want *want = files_want_create(path, slash != NULL ? slash + 1 : path, "");
    if (want == NULL) {
        cp_report_failed(run, path, FILES_BUSY);
        return;
    }
    want->kind = FILES_FILE;
    STAILQ_INSERT_TAIL(&run->small, want, link);
    run->small_count++;
    run->files_known++;
}

static bool open_remove(struct cp_run *run)
{
    struct files_request request = {.type = FILES_REMOVE};
    struct files_want *want = STAILQ_FIRST(&run->extra);
    /* One after the other: a folder can be removed when it is empty. */
    struct cp_stream *stream = run->stream_count == 0 ? open_stream(run, CP_REMOVE) : NULL;
    if (stream == NULL)
        return false;
    STAILQ_REMOVE_HEAD(&run->extra, link);
    stream->files[stream->file_count++] = want;
    set_path(&request, want->path);
    send_request(stream, &request);
    return true;
}

/* Sends the folders: nothing changes what is in them any more. */
static bool add_folders(struct cp_run *run)
{
    struct files_want *want;
    while ((want = STAILQ_FIRST(&run->folders)) != NULL) {
        STAILQ_REMOVE_HEAD(&run->folders, link);
        STAILQ_INSERT_TAIL(&run->small, want, link);
        run->small_count++;
    }
    return run->small_count > 0;
}

static bool open_source_stream(struct cp_run *run)
{
    const struct cp_options *o = run->options;
    if (!run->is_compared)
        return run->list_count == 0 && open_list(run, o->target);
    if (o->is_push) {
        cp_plan_walk(run);
        return false;
    }
    if (run->source_next == o->source_count || run->small_count >= CP_BATCH_MAX)
        return false;
    if (o->is_recursive)
        return open_list(run, o->sources[run->source_next++]);
    add_single(run);
    return false;
}

static bool open_next(struct cp_run *run)
{
    if (run->token.size > 0 && !run->is_proven) {
        if (run->is_connected && !run->is_asked)
            open_auth(run);
        return false;
    }
    if (run->options->is_push && !run->is_connected)
        return false;
    if (open_source_stream(run) || open_large(run))
        return true;
    bool is_complete = cp_plan_is_complete(run);
    bool is_full = run->small_count >= CP_BATCH_MAX || run->small_bytes >= CP_BATCH_BYTES;
    if (run->is_finished && run->stream_count > 0)
        return false; /* folders: those before them are set first */
    if (run->small_count > 0 && (is_full || is_complete || run->stream_count == run->list_count))
        return open_batch(run);
    if (run->stream_count > 0 || !is_complete || run->small_count > 0)
        return false;
    if (!run->is_finished)
        cp_plan_finish(run);
    run->is_finished = true;
    return STAILQ_EMPTY(&run->extra) ? add_folders(run) : open_remove(run);
}

bool cp_fill(struct cp_run *run)
{
    if (!run->may_ask || run->conn == NULL || run->is_over)
        return false;
    while (run->stream_count < run->adapt.width + run->list_count && open_next(run))
        ;
    return run->is_finished && run->stream_count == 0 && run->small_count == 0 &&
           STAILQ_EMPTY(&run->extra) && STAILQ_EMPTY(&run->folders);
}

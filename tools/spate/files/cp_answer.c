/* SPDX-License-Identifier: MIT */
/* What the answers to a copy's requests mean: items from the server, and what became of those to
 * it. */

#include <stdlib.h>
#include <string.h>

#include "tools/spate/files/cp.h"
#include "tools/spate/message.h"

/* ---- From the server: small files, and pieces of large ones ---- */

static struct files_want *wanted(const struct cp_stream *stream, uint32_t index)
{
    return index < stream->file_count ? stream->files[index] : NULL;
}

/* The file at an index is there, or failed. */
void cp_stream_settle(struct cp_stream *stream, uint32_t index, enum files_status status)
{
    struct files_want *want = wanted(stream, index);
    if (want == NULL)
        return;
    stream->files[index] = NULL;
    if (status != FILES_OK)
        cp_report_failed(stream->run, want->path, status);
    else if (want->kind != FILES_FOLDER && stream->kind == CP_BATCH)
        stream->run->files_done++;
    files_want_destroy(want);
}

enum files_status cp_large_open(struct cp_run *run, struct cp_large *large,
                                const struct files_item *item)
{
    int e = files_target_open(&run->beneath, item, &large->target);
    if (e != 0)
        return files_status_of(e);
    struct files_target *target = large->target;
    for (uint32_t i = 0; i < target->chunk_count; i++) {
        large->have[i] = files_target_has(target, i);
        if (large->have[i] != 0)
            run->bytes_skipped += files_target_chunk_bytes(target, i);
    }
    large->left = target->chunk_count - target->have_count;
    large->stage = CP_READY;
    if (large->left == 0)
        cp_large_settle(run, large,
                        files_status_of(files_target_chunk_done(target, target->chunk_count)));
    return FILES_OK;
}

/* A single file turned out to be large: its first piece comes on this stream. */
static enum files_status grow(struct cp_stream *stream, struct files_item *item)
{
    struct cp_run *run = stream->run;
    struct files_want *want = stream->files[0];
    stream->files[0] = NULL;
    want->size = item->size;
    want->mtime_ns = item->mtime_ns;
    want->mode = item->mode;
    want->is_pinned = true; /* each chunk must be of this file */
    run->bytes_known += item->size;
    struct cp_large *large = cp_plan_large(run, want);
    if (large == NULL || large->stage == CP_FAILED)
        return FILES_BUSY;
    enum files_status status = cp_large_open(run, large, item);
    if (status == FILES_OK && large->stage == CP_FAILED) /* all of it was there */
        status = FILES_CANCELLED;
    if (status == FILES_OK && large->have[0] != 0)
        status = FILES_CANCELLED;
    if (status == FILES_OK || status == FILES_CANCELLED) {
        if (status == FILES_OK)
            large->have[0] = 1;
        stream->large = large;
        large->streams++;
        return status;
    }
    cp_large_settle(run, large, status);
    return status;
}

static enum files_status on_head(void *user, struct files_item *item,
                                 struct files_target **ret_target)
{
    struct cp_stream *stream = user;
    bool is_large = item->kind == FILES_FILE && item->size > FILES_SMALL_MAX;
    const struct files_want *want =
        stream->large != NULL ? stream->large->file : wanted(stream, stream->sink.index);
    if (want == NULL || strcmp(item->path, want->path) != 0 || item->kind == FILES_FOLDER)
        return FILES_BAD_MESSAGE;
    if (want->is_pinned &&
        (item->kind != FILES_FILE || item->size != want->size || item->mtime_ns != want->mtime_ns))
        return FILES_CHANGED;
    if (stream->large != NULL && (!is_large || stream->is_answered)) /* one chunk, once */
        return FILES_BAD_MESSAGE;
    memcpy(item->path, want->local, strlen(want->local) + 1);
    if (!is_large)
        return FILES_OK;
    if (item->offset != stream->offset) /* another piece: that one would be missing in the end */
        return FILES_BAD_MESSAGE;
    enum files_status status = FILES_OK;
    if (stream->large == NULL)
        status =
            want->is_pinned || stream->file_count != 1 ? FILES_BAD_MESSAGE : grow(stream, item);
    if (status == FILES_OK)
        *ret_target = stream->large->target;
    return status;
}

void cp_stream_chunk(struct cp_stream *stream, enum files_status status)
{
    struct cp_run *run = stream->run;
    struct cp_large *large = stream->large;
    stream->is_answered = true;
    if (status == FILES_OK) {
        run->chunks_done++;
        bool is_there = large->target == NULL || large->target->is_whole; /* not only counted */
        if (--large->left == 0)
            cp_large_settle(run, large, is_there ? FILES_OK : FILES_FAILED);
    } else if (status != FILES_CANCELLED || stream->kind == CP_CHUNK) {
        cp_large_settle(run, large, status);
    }
}

static void on_item(void *user, const struct files_item *item, uint32_t index,
                    enum files_status status)
{
    struct cp_stream *stream = user;
    (void)item;
    if (stream->large != NULL)
        cp_stream_chunk(stream, status);
    else
        cp_stream_settle(stream, index, status);
}

/* Results take the place of items that the server cannot send. */
static bool on_result(void *user, const struct files_message *message)
{
    struct cp_stream *stream = user;
    struct files_result result;
    if (!files_result_read(message, &result))
        return false;
    enum files_status status = result.status != FILES_OK ? result.status : FILES_FAILED;
    if (message->type == FILES_END) { /* refused as a whole */
        for (uint32_t i = 0; i < stream->file_count; i++)
            cp_stream_settle(stream, i, status);
    } else if (stream->large == NULL) {
        cp_stream_settle(stream, stream->sink.index++, status);
    }
    if (stream->large != NULL && !stream->is_answered)
        cp_stream_chunk(stream, status);
    return true;
}

static void stream_destroy(struct cp_stream *stream);

static void on_step(void *user)
{
    struct cp_stream *stream = user;
    if (stream->is_closed && stream->sink.has_ended)
        stream_destroy(stream);
}

void cp_stream_sink(struct cp_stream *stream)
{
    struct cp_run *run = stream->run;
    const struct files_sink_owner owner = {.user = stream,
                                           .on_head = on_head,
                                           .on_item = on_item,
                                           .on_message = on_result,
                                           .on_step = on_step};
    stream->has_sink = true;
    files_sink_init(&stream->sink, &run->core, &run->beneath, NULL, run->conn, stream->id, &owner);
}

/* ---- Answers ---- */

static void on_have(struct cp_stream *stream, const struct files_message *message)
{
    struct cp_run *run = stream->run;
    struct cp_large *large = stream->large;
    uint32_t count = large->chunk_count;
    bool is_whole = message->size == 1 && message->body[0] == 1;
    stream->is_answered = true;
    if (is_whole) {
        run->files_skipped++;
        run->bytes_skipped += large->file->size;
        large->stage = CP_FAILED; /* settled */
        return;
    }
    if (message->size != 1 + (count + 7) / 8) {
        cp_large_settle(run, large, FILES_BAD_MESSAGE);
        return;
    }
    uint64_t chunk = files_chunk_size(large->file->size);
    for (uint32_t i = 0; i < count; i++) {
        large->have[i] = message->body[1 + i / 8] >> i % 8 & 1;
        large->left -= large->have[i];
        uint64_t left = large->file->size - i * chunk;
        run->bytes_skipped += large->have[i] != 0 ? (left < chunk ? left : chunk) : 0;
    }
    large->stage = CP_READY;
    if (large->left == 0)
        cp_large_settle(run, large, FILES_OK);
}

static void on_answer(struct cp_stream *stream, const struct files_result *result, bool is_last)
{
    if (stream->large != NULL) {
        if (stream->is_answered)
            return;
        if (stream->kind == CP_PROBE || result->status != FILES_OK)
            cp_large_settle(stream->run, stream->large,
                            result->status != FILES_OK ? result->status : FILES_BAD_MESSAGE);
        else if (is_last) /* an end before the first item is none of the chunk */
            cp_stream_chunk(stream, result->index > 0 ? FILES_OK : FILES_FAILED);
        stream->is_answered = is_last || result->status != FILES_OK;
        return;
    }
    if (!is_last) {
        cp_stream_settle(stream, result->index, result->status);
        return;
    }
    stream->is_answered = true;
    for (uint32_t i = 0; i < stream->file_count; i++)
        cp_stream_settle(stream, i,
                         i < result->index || stream->kind == CP_REMOVE ? result->status
                                                                        : FILES_FAILED);
}

/* One message of an answer.  Returns false if it does not belong there. */
static bool on_reply(struct cp_stream *stream, const struct files_message *reply)
{
    struct cp_run *run = stream->run;
    struct files_result result;
    if (stream->kind == CP_AUTH) {
        run->is_proven = files_token_check(&run->token, run->conn, true, reply);
        stream->is_answered = true;
        if (!run->is_proven) {
            message(run->options->command, "%s does not have the token", run->options->server);
            cp_close(run, FILES_NO_TOKEN, "the token is missing or wrong");
        }
        return true;
    }
    if (stream->kind == CP_LIST && reply->type == FILES_ITEM) {
        struct files_item *item = &stream->sink.item; /* room that a list does not use */
        if (!files_item_read(reply, item))
            return false;
        cp_plan_listed(run, stream->listed, item);
        return true;
    }
    if (stream->kind == CP_PROBE && reply->type == FILES_HAVE && reply->size > 0 &&
        !stream->is_answered) {
        on_have(stream, reply);
        return true;
    }
    if (!files_result_read(reply, &result))
        return false;
    bool is_last = reply->type == FILES_END;
    if (stream->kind != CP_LIST) {
        on_answer(stream, &result, is_last);
        return true;
    }
    stream->is_answered = is_last;
    bool may_lack = !run->is_compared && result.status == FILES_NOT_FOUND;
    if (result.status != FILES_OK && !may_lack)
        cp_report_failed(run, stream->listed, result.status);
    return true;
}

static void on_data(struct cp_stream *stream, struct spate_event *event)
{
    const uint8_t *data = event->u.data.slice.data;
    size_t size = event->u.data.slice.size;
    struct files_message message;
    if (stream->has_sink) {
        files_sink_data(&stream->sink, data, size, event->u.data.fin);
    } else {
        while (size > 0) {
            int found = files_inbox_take(&stream->inbox, &data, &size, &message);
            if (found == 0)
                break;
            if (found < 0 || !on_reply(stream, &message)) {
                (void)spate_stream_stop(stream->run->conn, stream->id, FILES_BAD_MESSAGE);
                break;
            }
        }
    }
    spate_slice_release(stream->run->core.shard, &event->u.data.slice);
}

/* The server has given the stream up. */
static void fail_all(struct cp_stream *stream, enum files_status status)
{
    struct cp_run *run = stream->run;
    for (uint32_t i = 0; i < stream->file_count; i++)
        cp_stream_settle(stream, i, status);
    if (stream->large != NULL && !stream->is_answered)
        cp_large_settle(run, stream->large, status);
    if (stream->kind == CP_LIST && !stream->is_answered)
        cp_report_failed(run, stream->listed, status);
    stream->is_answered = true;
}

void cp_stream_give_up(struct cp_stream *stream, enum files_status status)
{
    (void)spate_stream_reset(stream->run->conn, stream->id, status);
    (void)spate_stream_stop(stream->run->conn, stream->id, status);
    fail_all(stream, status);
}

/* Counts what has no answer when its stream ends: the connection has ended, and its last event says
 * why, once for all. */
static void count_missing(struct cp_stream *stream)
{
    struct cp_run *run = stream->run;
    struct cp_large *large = stream->large;
    for (uint32_t i = 0; i < stream->file_count; i++) {
        run->files_missing += stream->files[i] != NULL;
        files_want_destroy(stream->files[i]);
    }
    if (large != NULL && !stream->is_answered && large->stage != CP_FAILED) {
        large->stage = CP_FAILED;
        run->files_missing++;
    }
    run->files_missing += stream->kind == CP_LIST && !stream->is_answered;
}

static void stream_destroy(struct cp_stream *stream)
{
    struct cp_run *run = stream->run;
    count_missing(stream);
    if (stream->has_source)
        files_source_deinit(&stream->source);
    if (stream->has_sink)
        files_sink_deinit(&stream->sink);
    files_inbox_deinit(&stream->inbox);
    if (stream->large != NULL)
        stream->large->streams--;
    if (stream->kind == CP_LIST) {
        run->list_count--;
        run->is_compared = true;
    }
    run->stream_count--;
    LIST_REMOVE(stream, link);
    free(stream);
}

/* Its last event has come. */
static void end_stream(struct cp_stream *stream)
{
    stream->is_closed = true;
    if (!stream->has_sink || !files_sink_closed(&stream->sink))
        stream_destroy(stream); /* else by on_step() */
}

void cp_streams_settle(struct cp_run *run)
{
    struct cp_stream *stream = LIST_FIRST(&run->streams);
    while (stream != NULL) {
        struct cp_stream *next = LIST_NEXT(stream, link);
        if (stream->is_closed) {
            files_sink_settle(&stream->sink);
            stream_destroy(stream);
        }
        stream = next;
    }
}

static void on_sent(struct cp_stream *stream, const struct spate_event *event)
{
    if (stream->has_source)
        files_source_sent(&stream->source, event);
    else
        files_buffer_destroy(&stream->run->core,
                             (struct files_buffer *)(uintptr_t)event->u.sent.tag);
}

static void on_reset(struct cp_stream *stream, uint64_t error)
{
    enum files_status status =
        error > FILES_OK && error < FILES_STATUS_COUNT ? (enum files_status)error : FILES_FAILED;
    if (stream->has_sink)
        files_sink_fail(&stream->sink, status);
    fail_all(stream, status);
}

void cp_stream_event(struct cp_stream *stream, struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_STREAM_DATA:
        on_data(stream, event);
        break;
    case SPATE_EVENT_STREAM_PLACED:
        if (stream->has_sink)
            files_sink_placed(&stream->sink, event);
        break;
    case SPATE_EVENT_SENT:
        on_sent(stream, event);
        break;
    case SPATE_EVENT_STREAM_RESET:
        stream->run->resets++;
        on_reset(stream, event->u.error);
        break;
    case SPATE_EVENT_STREAM_STOPPED: /* its answer says why */
        if (stream->has_source)
            files_source_abort(&stream->source, FILES_CANCELLED);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        end_stream(stream);
        break;
    default:
        break;
    }
}

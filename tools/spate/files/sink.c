/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/sink.h"

/* How lent memory and slices fit together: a stream begins with slices, because its first message
 * says what follows.  When that is a piece of a large file, buffers are lent for the rest of the
 * stream, one after the other; what was on its way comes as slices before.  No slice comes after
 * lent memory, so a piece is the last item of its stream.
 *
 * A buffer that is full goes to the worker, which hashes and writes it, and is lent again after
 * that.  What cannot go there because its memory goes back, bytes of slices and of the extents
 * that end within a buffer, is hashed and written at once, when the worker has done what is before
 * it.  So the hash belongs to the worker while something is pending, and to the shard else.
 *
 * The file is not mapped: for a new page of a tmpfs the kernel takes twice as long to fill it with
 * zeros, map it and unmap it as to copy into it from the cache. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LENT_SIZE = 256 << 10 };

void files_sink_init(struct files_sink *ret, struct files_core *core, struct files_beneath *beneath,
                     struct files_share *share, struct spate_conn *conn, uint64_t stream_id,
                     const struct files_sink_owner *owner)
{
    memset(ret, 0, sizeof(*ret));
    ret->core = core;
    ret->beneath = beneath;
    ret->share = ret->inbox.share = share;
    ret->conn = conn;
    ret->stream_id = stream_id;
    ret->owner = *owner;
}

static uint32_t chunk_of(const struct files_sink *sink)
{
    return (uint32_t)(sink->item.offset / sink->target->chunk_size);
}

/* The piece is complete or given up. */
static void leave_target(struct files_sink *sink)
{
    if (sink->writes)
        files_target_leave(sink->target, chunk_of(sink));
    sink->writes = false;
    if (sink->target != NULL)
        sink->target->users--;
    sink->target = NULL;
    sink->unwritten_size = 0;
}

/* Waits for the worker. */
static void drain(struct files_sink *sink)
{
    bool was_draining = sink->is_draining;
    sink->is_draining = true;
    files_worker_drain(&sink->core->worker, &sink->lane);
    sink->is_draining = was_draining;
}

/* Nobody wants the blocks that the worker has not written. */
static void give_up_blocks(struct files_sink *sink)
{
    bool was_draining = sink->is_draining;
    sink->has_ended = true;
    sink->is_draining = true;
    files_worker_give_up(&sink->core->worker, &sink->lane);
    sink->is_draining = was_draining;
}

/* Bytes of the item's data and digest. */
static uint64_t whole(const struct files_sink *sink)
{
    uint64_t size = sink->item.data_size;
    return size > 0 ? size + files_hash_size(&sink->hash) : 0;
}

/* Room for a small file of which a part has come. */
static bool make_room(struct files_sink *sink)
{
    if (!files_share_keep(sink->share, whole(sink)))
        return false;
    sink->small = malloc(whole(sink));
    if (sink->small == NULL)
        files_share_forget(sink->share, whole(sink));
    return sink->small != NULL;
}

static void drop_small(struct files_sink *sink)
{
    if (sink->small != NULL)
        files_share_forget(sink->share, whole(sink));
    free(sink->small);
    sink->small = NULL;
}

void files_sink_deinit(struct files_sink *sink)
{
    give_up_blocks(sink);
    leave_target(sink);
    for (uint32_t i = 0; i < FILES_LENT_MAX; i++)
        files_buffer_destroy(sink->core, sink->lent[i]);
    memset(sink->lent, 0, sizeof(sink->lent));
    files_inbox_deinit(&sink->inbox);
    drop_small(sink);
    files_hash_deinit(&sink->hash);
}

static void end_item(struct files_sink *sink, enum files_status status)
{
    drop_small(sink);
    sink->in_data = false;
    sink->owner.on_item(sink->owner.user, &sink->item, sink->index++, status);
    leave_target(sink);
}

void files_sink_fail(struct files_sink *sink, enum files_status status)
{
    if (sink->has_ended)
        return;
    give_up_blocks(sink);
    if (!sink->is_closed)
        (void)spate_stream_stop(sink->conn, sink->stream_id, status);
    if (sink->in_data)
        end_item(sink, sink->is_refused ? sink->refusal : status);
}

/* ---- Small files ---- */

/* Checks and writes a file whose data and digest are there. */
static enum files_status place(struct files_sink *sink, const uint8_t *data)
{
    const struct files_item *item = &sink->item;
    uint8_t digest[FILES_DIGEST_SIZE];
    struct files_hash *hash = &sink->hash;
    if (item->data_size > 0 &&
        (!files_hash_begin(hash, &sink->core->hashes, sink->index) ||
         !files_hash_add(hash, data, item->data_size) || !files_hash_end(hash, digest)))
        return FILES_FAILED;
    if (item->data_size > 0 && memcmp(digest, data + item->data_size, files_hash_size(hash)) != 0)
        return FILES_CORRUPT;
    sink->core->bytes_in += item->data_size;
    return files_status_of(files_beneath_place(sink->beneath, item, data));
}

static void take_small(struct files_sink *sink, const uint8_t **data, size_t *size)
{
    uint64_t left = whole(sink) - sink->taken;
    size_t now = *size < left ? *size : (size_t)left;
    const uint8_t *from = *data;
    *data += now;
    *size -= now;
    sink->taken += now;
    if (sink->is_refused) {
        if (now == left)
            end_item(sink, sink->refusal);
        return;
    }
    if (now == left && sink->small == NULL) { /* all of it in one slice */
        end_item(sink, place(sink, from));
        return;
    }
    if (sink->small == NULL && !make_room(sink)) {
        sink->is_refused = true;
        sink->refusal = FILES_BUSY;
        if (now == left)
            end_item(sink, sink->refusal);
        return;
    }
    memcpy(sink->small + sink->taken - now, from, now);
    if (now == left)
        end_item(sink, place(sink, sink->small));
}

/* ---- Pieces of large files ---- */

static enum files_status finish_piece(struct files_sink *sink)
{
    uint8_t digest[FILES_DIGEST_SIZE];
    bool has_data = sink->item.data_size > 0;
    if (sink->is_refused || (has_data && !files_hash_end(&sink->hash, digest)))
        return FILES_FAILED;
    if (has_data && memcmp(digest, sink->digest, files_hash_size(&sink->hash)) != 0)
        return FILES_CORRUPT;
    return files_status_of(files_target_chunk_done(sink->target, chunk_of(sink)));
}

static int hash_and_write(struct files_sink *sink, const uint8_t *data, size_t size, uint64_t at)
{
    if (!files_hash_add(&sink->hash, data, size))
        return -EIO;
    return files_target_write(sink->target, data, size, at);
}

/* Hashes and writes what was taken, after the worker.  Returns false if that fails: the sink has
 * ended. */
static bool write_out(struct files_sink *sink)
{
    size_t size = sink->unwritten_size;
    sink->unwritten_size = 0;
    if (size == 0 || sink->has_ended)
        return !sink->has_ended;
    drain(sink);
    if (sink->error == 0)
        sink->error = hash_and_write(sink, sink->unwritten, size, sink->unwritten_at);
    if (sink->error != 0)
        files_sink_fail(sink, files_status_of(sink->error));
    return sink->error == 0;
}

/* Takes data for the file at `at`.  Bytes that follow each other in memory and in the file are
 * written together, before their memory is given back. */
static bool take_run(struct files_sink *sink, const uint8_t *data, size_t size, uint64_t at)
{
    bool follows = sink->unwritten_size > 0 && data == sink->unwritten + sink->unwritten_size &&
                   at == sink->unwritten_at + sink->unwritten_size;
    if (!follows && !write_out(sink))
        return false;
    if (!follows) {
        sink->unwritten = data;
        sink->unwritten_at = at;
    }
    sink->unwritten_size += size;
    return true;
}

/* Ends the piece when all of it is hashed and written. */
static void try_to_finish(struct files_sink *sink)
{
    if (!sink->is_taken || sink->has_ended || sink->unwritten_size > 0 || sink->lane.pending > 0)
        return;
    if (sink->error != 0) {
        files_sink_fail(sink, files_status_of(sink->error));
        return;
    }
    sink->is_taken = false;
    end_item(sink, finish_piece(sink));
    sink->has_ended = sink->has_ended || sink->has_fin;
}

/* Something follows the piece.  Returns false if the sink has ended. */
static bool finish_now(struct files_sink *sink)
{
    if (!write_out(sink))
        return false;
    drain(sink);
    try_to_finish(sink);
    return !sink->has_ended;
}

/* Takes bytes of the piece. */
static void take_piece(struct files_sink *sink, const uint8_t **data, size_t *size)
{
    struct files_item *item = &sink->item;
    while (*size > 0 && sink->taken < item->data_size) {
        const struct files_extent *extent = &item->extents[sink->extent];
        uint64_t left = extent->size - sink->extent_taken;
        size_t now = *size < left ? *size : (size_t)left;
        if (!take_run(sink, *data, now, extent->offset + sink->extent_taken))
            return;
        sink->taken += now;
        sink->core->bytes_in += now;
        sink->extent_taken += now;
        *data += now;
        *size -= now;
        if (now == left) {
            sink->extent++;
            sink->extent_taken = 0;
        }
    }
    uint64_t left = whole(sink) - sink->taken;
    if (*size == 0 || sink->taken < item->data_size || left == 0)
        return;
    size_t now = *size < left ? *size : (size_t)left;
    memcpy(sink->digest + (sink->taken - item->data_size), *data, now);
    sink->taken += now;
    *data += now;
    *size -= now;
    sink->is_taken = sink->taken == whole(sink);
}

/* Lends a buffer for the bytes that come next, or destroys it.  Returns 0 or a negative errno:
 * -ENODATA if no more are to come, or that of the library. */
static int lend(struct files_sink *sink, uint32_t index, uint64_t *ret_offset)
{
    struct files_buffer *buffer = sink->lent[index];
    uint64_t left = whole(sink) - sink->lent_to;
    size_t size = left < LENT_SIZE ? (size_t)left : LENT_SIZE;
    bool may_come = size > 0 && sink->in_data && !sink->has_ended && !sink->is_closed;
    int e = may_come ? spate_stream_receive_into(sink->conn, sink->stream_id, buffer->data, size,
                                                 (uintptr_t)buffer, ret_offset)
                     : -ENODATA;
    if (e == 0) {
        sink->lent_to += size;
        return 0;
    }
    files_buffer_destroy(sink->core, buffer);
    sink->lent[index] = NULL;
    return e;
}

static bool has_lent(const struct files_sink *sink)
{
    bool found = false;
    for (uint32_t i = 0; i < FILES_LENT_MAX; i++)
        found = found || sink->lent[i] != NULL;
    return found;
}

/* Lends the first buffers, of one half of the memory, or one of a bit more: the rest is for what is
 * sent.  Without any the bytes come as slices, and are written one by one. */
static void begin_to_lend(struct files_sink *sink)
{
    const struct files_core *core = sink->core;
    uint64_t from = 0;
    sink->lent_to = 0;
    for (uint32_t i = 0; i < FILES_LENT_MAX; i++) {
        if (core->memory_left < core->memory_max / (i == 0 ? 4 : 2) + LENT_SIZE)
            return;
        sink->lent[i] = files_buffer_create(sink->core, LENT_SIZE);
        if (sink->lent[i] == NULL || lend(sink, i, i == 0 ? &from : NULL) != 0)
            return; /* or all bytes have come, or the stream has ended: events say which */
        if (i == 0) /* those before come as slices */
            sink->lent_to += from - sink->data_at;
        if (sink->lent_to >= whole(sink)) { /* it has room for more than the rest */
            sink->lent_to = whole(sink);
            return;
        }
    }
}

/* ---- The worker ---- */

static void write_block(struct files_job *job)
{
    struct files_block *block = &files_buffer_of(job)->block;
    block->error = hash_and_write(block->owner, block->data, block->size, block->at);
}

/* Finds a buffer that was lent, or returns FILES_LENT_MAX. */
static uint32_t find_lent(const struct files_sink *sink, uint64_t tag)
{
    uint32_t index = 0;
    while (index < FILES_LENT_MAX && (tag == 0 || (uintptr_t)sink->lent[index] != tag))
        index++;
    return index;
}

/* Lends a buffer again that has come back, or destroys it. */
static void lend_again(struct files_sink *sink, struct files_buffer *buffer)
{
    if (lend(sink, find_lent(sink, (uintptr_t)buffer), NULL) == -ENOBUFS && !has_lent(sink))
        sink->error = -ENOBUFS; /* nothing would come any more */
}

static void block_is_written(struct files_job *job)
{
    struct files_buffer *buffer = files_buffer_of(job);
    struct files_sink *sink = buffer->block.owner;
    if (sink->error == 0)
        sink->error = buffer->block.error;
    lend_again(sink, buffer);
    if (sink->is_draining)
        return;
    if (sink->error != 0)
        files_sink_fail(sink, files_status_of(sink->error));
    try_to_finish(sink);
    sink->owner.on_step(sink->owner.user);
}

/* A buffer has come back: gives what is in it to the worker. */
static void write_buffer(struct files_sink *sink, struct files_buffer *buffer)
{
    buffer->block = (struct files_block){.owner = sink,
                                         .data = sink->unwritten,
                                         .size = sink->unwritten_size,
                                         .at = sink->unwritten_at};
    sink->unwritten_size = 0;
    files_core_work(sink->core, &sink->lane, buffer, write_block, block_is_written);
}

static enum files_status begin_piece(struct files_sink *sink)
{
    struct files_item *item = &sink->item;
    struct files_target *target = sink->target;
    uint32_t index = chunk_of(sink);
    bool is_chunk = item->size == target->size && item->offset % target->chunk_size == 0 &&
                    index < target->chunk_count &&
                    item->piece_size == files_target_chunk_bytes(target, index);
    if (!is_chunk)
        return FILES_BAD_MESSAGE;
    int e = files_target_enter(target, index);
    if (e != 0)
        return files_status_of(e);
    sink->writes = true;
    if (item->data_size == 0) /* a hole */
        return finish_piece(sink);
    if (!files_hash_begin(&sink->hash, &sink->core->hashes, sink->index))
        return FILES_FAILED;
    sink->extent = 0;
    sink->extent_taken = 0;
    return files_status_of(files_target_reserve(target, item));
}

/* ---- The stream ---- */

/* An item without data, or one that is refused before its data, ends at once. */
static void on_item(struct files_sink *sink, const struct files_message *message, size_t left)
{
    struct files_item *item = &sink->item;
    struct files_target *target = NULL;
    bool lacks_key = sink->hash.kind == FILES_GMAC && !sink->hash.has_key;
    if (sink->has_piece || !files_item_read(message, item) || (item->data_size > 0 && lacks_key)) {
        files_sink_fail(sink, FILES_BAD_MESSAGE);
        return;
    }
    sink->taken = 0;
    sink->in_data = true;
    bool is_large = item->kind == FILES_FILE && item->size > FILES_SMALL_MAX;
    sink->has_piece = is_large;
    sink->refusal = sink->owner.on_head(sink->owner.user, item, &target);
    if (sink->refusal == FILES_OK && !is_large && item->piece_size != item->size)
        sink->refusal = FILES_BAD_MESSAGE;
    sink->is_refused = false;
    if (sink->refusal == FILES_OK && is_large && target != NULL) {
        sink->target = target;
        target->users++;
        sink->refusal = begin_piece(sink);
    }
    sink->is_refused = sink->refusal != FILES_OK;
    if (is_large && sink->is_refused) { /* do not send 4 MiB for nothing */
        files_sink_fail(sink, sink->refusal);
    } else if (item->data_size == 0 && (is_large || sink->is_refused)) {
        end_item(sink, sink->refusal);
    } else if (item->data_size == 0) {
        end_item(sink, place(sink, NULL));
    } else if (is_large) {
        sink->data_at = sink->offset - left;
        if (left < whole(sink))
            begin_to_lend(sink);
    }
}

/* Before the first item that has data. */
static bool on_key(struct files_sink *sink, const struct files_message *message)
{
    return sink->hash.kind == FILES_GMAC && message->size == FILES_KEY_SIZE &&
           files_hash_set_key(&sink->hash, &sink->core->hashes, message->body);
}

/* Takes the next message.  Returns false if there is none. */
static bool take_message(struct files_sink *sink, const uint8_t **data, size_t *size)
{
    struct files_message message;
    int found = files_inbox_take(&sink->inbox, data, size, &message);
    if (found == 0)
        return false;
    if (found == -ENOMEM) {
        files_sink_fail(sink, FILES_BUSY);
        return true;
    }
    bool is_good = found > 0;
    if (is_good && message.type == FILES_ITEM)
        on_item(sink, &message, *size);
    else if (is_good && message.type == FILES_KEY)
        is_good = on_key(sink, &message);
    else if (is_good)
        is_good = sink->owner.on_message(sink->owner.user, &message);
    if (!is_good)
        files_sink_fail(sink, FILES_BAD_MESSAGE);
    return true;
}

static void take(struct files_sink *sink, const uint8_t *data, size_t size, bool fin)
{
    sink->offset += size;
    while (!sink->has_ended) {
        if (sink->in_data && size == 0)
            break;
        if (sink->is_taken && !finish_now(sink))
            break;
        if (sink->in_data && sink->target != NULL)
            take_piece(sink, &data, &size);
        else if (sink->in_data)
            take_small(sink, &data, &size);
        else if (!take_message(sink, &data, &size))
            break;
    }
    if (!fin || sink->has_ended)
        return;
    sink->has_fin = true;
    if (sink->is_taken)
        return; /* has_ended follows */
    if (sink->in_data || files_inbox_is_partial(&sink->inbox))
        files_sink_fail(sink, FILES_BAD_MESSAGE);
    sink->has_ended = true;
}

void files_sink_data(struct files_sink *sink, const uint8_t *data, size_t size, bool fin)
{
    if (sink->offset == 0)
        sink->hash.kind = files_core_hash(sink->conn);
    take(sink, data, size, fin);
    (void)write_out(sink);
    try_to_finish(sink);
}

void files_sink_placed(struct files_sink *sink, const struct spate_event *event)
{
    take(sink, event->u.placed.data, event->u.placed.size, event->u.placed.fin);
    uint32_t index = find_lent(sink, event->u.placed.tag);
    if (event->u.placed.is_returned && index < FILES_LENT_MAX) {
        struct files_buffer *buffer = sink->lent[index];
        if (sink->unwritten_size > 0 && !sink->has_ended)
            write_buffer(sink, buffer);
        else
            lend_again(sink, buffer);
        if (sink->error != 0)
            files_sink_fail(sink, files_status_of(sink->error));
    }
    try_to_finish(sink);
}

bool files_sink_closed(struct files_sink *sink)
{
    sink->is_closed = sink->has_fin = true; /* nothing more comes */
    return sink->is_taken && !sink->has_ended;
}

void files_sink_settle(struct files_sink *sink)
{
    drain(sink);
    try_to_finish(sink);
}

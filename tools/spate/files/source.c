/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tools/spate/files/beneath.h"
#include "tools/spate/read_all.h"

#define BLOCK_SIZE  (UINT64_C(256) << 10)
#define STREAM_LENT (UINT64_C(1) << 20)  /* bytes that one stream has queued */
#define BATCH_SIZE  ((size_t)60 << 10)   /* small files share a buffer of this size */
#define WANTS_FREE  (UINT64_C(64) << 10) /* bytes that each address may ask for in any case */
#define WANTS_PART  8 /* .. and beyond those of a connection: a part of the memory that is left */
#define KEY_BYTES   (FILES_HEAD_SIZE + FILES_KEY_SIZE)

struct files_want *files_want_create(const char *path, const char *local, const char *target)
{
    size_t path_size = strlen(path) + 1;
    size_t local_size = local != path ? strlen(local) + 1 : 0;
    size_t target_size = strlen(target) + 1;
    size_t size = sizeof(struct files_want) + path_size + local_size + target_size;
    struct files_want *want = calloc(1, size);
    if (want == NULL)
        return NULL;
    char *text = (char *)(want + 1);
    memcpy(text, path, path_size);
    memcpy(text + path_size, local, local_size);
    memcpy(text + path_size + local_size, target, target_size);
    want->bytes = size;
    want->path = text;
    want->local = local != path ? text + path_size : text;
    want->target = text + path_size + local_size;
    return want;
}

void files_want_destroy(struct files_want *want)
{
    free(want);
}

static void on_memory(struct files_waiter *waiter)
{
    struct files_source *source =
        (struct files_source *)((char *)waiter - offsetof(struct files_source, waiter));
    files_source_pump(source);
}

static void drop_want(struct files_source *source, struct files_want *want)
{
    source->core->memory_left += want->charged_bytes;
    if (source->share != NULL)
        share_give(&source->share->wanted, want->bytes);
    files_want_destroy(want);
}

/* A connection may ask for WANTS_FREE bytes, and as long as its address has no more than a part,
 * for more; its address for WANTS_FREE, and otherwise for half of what it leaves to others. */
static bool may_ask(const struct files_source *source, uint64_t size)
{
    const struct share *share = &source->share->wanted;
    const uint64_t left = source->core->memory_left;
    const uint64_t of_address = *share->source_bytes + size;
    if (of_address <= WANTS_FREE || of_address <= left / WANTS_PART)
        return true;
    return share->bytes + size <= WANTS_FREE && size <= left && of_address <= (left - size) / 2;
}

bool files_source_add(struct files_source *source, struct files_want *want)
{
    struct files_core *core = source->core;
    if (!may_ask(source, want->bytes)) {
        files_want_destroy(want);
        return false;
    }
    want->charged_bytes = want->bytes < core->memory_left ? want->bytes : core->memory_left;
    core->memory_left -= want->charged_bytes;
    share_take(&source->share->wanted, want->bytes);
    STAILQ_INSERT_TAIL(&source->wants, want, link);
    return true;
}

void files_source_init(struct files_source *ret, struct files_core *core, struct spate_conn *conn,
                       uint64_t stream_id)
{
    *ret = (struct files_source){.core = core, .conn = conn, .stream_id = stream_id, .fd = -1};
    ret->waiter.go_on = on_memory;
    STAILQ_INIT(&ret->wants);
    files_hash_init(&ret->hash, files_core_hash(conn));
}

static void close_file(struct files_source *source)
{
    if (source->fd >= 0)
        (void)close(source->fd);
    source->fd = -1;
}

/* No more bytes are queued: blocks that were not read are not needed. */
static void end(struct files_source *source)
{
    struct files_want *want;
    source->has_ended = true;
    files_worker_give_up(&source->core->worker, &source->lane);
    close_file(source);
    files_buffer_destroy(source->core, source->batch);
    source->batch = NULL;
    while ((want = STAILQ_FIRST(&source->wants)) != NULL) {
        STAILQ_REMOVE_HEAD(&source->wants, link);
        drop_want(source, want);
    }
    files_core_leave(source->core, &source->waiter);
}

void files_source_deinit(struct files_source *source)
{
    end(source);
    files_hash_deinit(&source->hash);
}

void files_source_abort(struct files_source *source, enum files_status status)
{
    if (source->has_ended)
        return;
    end(source);
    (void)spate_stream_reset(source->conn, source->stream_id, status);
}

/* Queues a buffer.  Returns false if the source has ended by that. */
static bool send_buffer(struct files_source *source, struct files_buffer *buffer)
{
    size_t size = buffer->used;
    int e = files_buffer_send(source->core, source->conn, source->stream_id, buffer, false);
    if (e == 0)
        source->lent_bytes += size;
    else
        files_source_abort(source, e == -ENOBUFS ? FILES_BUSY : FILES_CANCELLED);
    return e == 0;
}

static bool flush(struct files_source *source)
{
    struct files_buffer *batch = source->batch;
    source->batch = NULL;
    if (batch != NULL && batch->used == 0) { /* no item could be sent */
        files_buffer_destroy(source->core, batch);
        return true;
    }
    return batch == NULL || send_buffer(source, batch);
}

/* Makes room in the batch for `size` bytes.  Returns false if there is none now, or the source has
 * ended. */
static bool reserve(struct files_source *source, size_t size)
{
    if (source->batch != NULL && source->batch_room - source->batch->used < size && !flush(source))
        return false;
    if (source->batch == NULL) {
        source->batch_room = size > BATCH_SIZE ? size : BATCH_SIZE;
        source->batch = files_buffer_create_for(source->core, source->share, source->batch_room);
    }
    return source->batch != NULL;
}

/* ---- One item ---- */

/* Finds the ranges of the piece that have data.  Beyond FILES_EXTENTS_MAX the last one has the
 * rest. */
static void find_extents(int fd, bool is_sparse, struct files_item *item)
{
    uint64_t at = item->offset;
    uint64_t to = item->offset + item->piece_size;
    item->extent_count = 0;
    item->data_size = 0;
    while (at < to) {
        bool is_last = !is_sparse || item->extent_count == FILES_EXTENTS_MAX - 1;
        off_t data = is_last ? (off_t)at : lseek(fd, (off_t)at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return; /* a hole up to the end of the file */
        off_t hole = is_last || data < 0 ? (off_t)to : lseek(fd, data, SEEK_HOLE);
        uint64_t start = data < 0 ? at : (uint64_t)data;
        uint64_t stop = hole < 0 || (uint64_t)hole > to ? to : (uint64_t)hole;
        if (start >= to)
            return;
        item->extents[item->extent_count++] =
            (struct files_extent){.offset = start, .size = stop - start};
        item->data_size += stop - start;
        at = stop;
    }
}

/* Appends the digest of what was added to `hash`. */
static bool put_digest(struct files_source *source, struct files_buffer *buffer)
{
    bool is_good = files_hash_end(&source->hash, buffer->data + buffer->used);
    buffer->used += files_hash_size(&source->hash);
    return is_good;
}

/* Appends a key before the first item that has data, where digests need one. */
static bool put_key(struct files_source *source)
{
    struct files_buffer *batch = source->batch;
    if (source->hash.kind != FILES_GMAC || source->hash.has_key || source->item.data_size == 0)
        return true;
    uint8_t *key = batch->data + batch->used + FILES_HEAD_SIZE;
    if (getentropy(key, FILES_KEY_SIZE) != 0 ||
        !files_hash_set_key(&source->hash, &source->core->hashes, key))
        return false;
    files_head_write(FILES_KEY, FILES_KEY_SIZE, batch->data + batch->used);
    batch->used += FILES_HEAD_SIZE + FILES_KEY_SIZE;
    return true;
}

static bool hash_begin(struct files_source *source)
{
    return files_hash_begin(&source->hash, &source->core->hashes, source->index);
}

/* Whether the file is still what it was when its item began. */
static bool is_unchanged(int fd, const struct files_item *item)
{
    struct stat status;
    return fstat(fd, &status) == 0 && (uint64_t)status.st_size == item->size &&
           files_mtime_ns(&status) == item->mtime_ns;
}

/* Appends the whole item with its data.  There is room. */
static int put_small(struct files_source *source, int fd)
{
    struct files_buffer *batch = source->batch;
    const struct files_item *item = &source->item;
    size_t start = batch->used;
    batch->used += files_item_write(item, batch->data + batch->used);
    bool is_good = item->data_size == 0 || hash_begin(source);
    int e = is_good ? 0 : -EIO;
    for (uint32_t i = 0; i < item->extent_count && e == 0; i++) {
        uint8_t *data = batch->data + batch->used;
        e = read_all(fd, data, item->extents[i].size, item->extents[i].offset);
        if (e == 0 && !files_hash_add(&source->hash, data, item->extents[i].size))
            e = -EIO;
        batch->used += item->extents[i].size;
    }
    if (e == 0 && item->data_size > 0 && !put_digest(source, batch))
        e = -EIO;
    if (e == 0 && fd >= 0 && !is_unchanged(fd, item))
        e = -ESTALE;
    if (e != 0)
        batch->used = start;
    else
        source->core->bytes_out += item->data_size;
    return e;
}

/* Sets `item` from an open file. */
static int describe(struct files_source *source, const struct files_want *want,
                    const struct stat *status, int fd)
{
    struct files_item *item = &source->item;
    item->kind = FILES_FILE;
    item->mode = (uint16_t)(status->st_mode & 0777);
    item->mtime_ns = files_mtime_ns(status);
    item->size = (uint64_t)status->st_size;
    if (want->is_pinned && (item->size != want->size || item->mtime_ns != want->mtime_ns))
        return -ESTALE;
    if (want->offset > item->size || item->size > FILES_SIZE_MAX)
        return -EINVAL;
    uint64_t chunk = files_chunk_size(item->size);
    bool is_small = item->size <= FILES_SMALL_MAX;
    if (is_small ? want->offset != 0 : want->offset % chunk != 0)
        return -EINVAL;
    uint64_t left = item->size - want->offset;
    item->offset = want->offset;
    item->piece_size = left < chunk ? left : chunk; /* always a whole chunk */
    find_extents(fd, (uint64_t)status->st_blocks * 512 < item->size, item);
    return 0;
}

/* Begins with a chunk: its message goes out, its data follows block by block. */
static int begin_chunk(struct files_source *source, int fd)
{
    struct files_item *item = &source->item;
    if (item->data_size > 0 && !hash_begin(source))
        return -EIO;
    source->has_chunk = true;
    source->batch->used += files_item_write(item, source->batch->data + source->batch->used);
    if (!flush(source))
        return 0;
    if (item->extent_count > 0) {
        source->fd = fd;
        source->extent = 0;
        source->at = item->extents[0].offset;
        source->is_asked = false;
    }
    return 0;
}

static int put_file(struct files_source *source, const struct files_want *want, int fd,
                    const struct stat *status)
{
    int e = describe(source, want, status, fd);
    if (e != 0)
        return e;
    if (!put_key(source))
        return -EIO;
    if (source->item.size > FILES_SMALL_MAX)
        return begin_chunk(source, fd);
    /* What the file has now, not what it had before the room was made. */
    if (source->batch_room - source->batch->used <
        FILES_ITEM_SIZE_MAX + source->item.data_size + FILES_DIGEST_SIZE)
        return -ESTALE;
    return put_small(source, fd);
}

static void set_item(struct files_source *source, const struct files_want *want)
{
    struct files_item *item = &source->item;
    memset(item, 0, offsetof(struct files_item, path));
    memcpy(item->path, want->path, strlen(want->path) + 1);
    memcpy(item->target, want->target, strlen(want->target) + 1);
    item->kind = want->kind;
    item->mode = want->mode;
    item->mtime_ns = want->mtime_ns;
}

/* What cannot be sent is reported in its place. */
static void report(struct files_source *source, int e)
{
    const struct files_result result = {.index = source->index, .status = files_status_of(e)};
    if (source->answers && source->batch != NULL)
        source->batch->used +=
            files_result_write(FILES_RESULT, &result, source->batch->data + source->batch->used);
    else if (!source->answers && source->on_error != NULL)
        source->on_error(source->user, result.status);
}

/* Sends the next item, or begins to.  Returns false if that must wait, or the source has ended. */
static bool send_next(struct files_source *source)
{
    struct files_want *want = STAILQ_FIRST(&source->wants);
    struct stat status = {.st_size = 0};
    int fd = -1;
    int e = 0;
    if (source->has_chunk) { /* which is the last on its stream */
        files_source_abort(source, FILES_BAD_MESSAGE);
        return false;
    }
    /* Before it is opened, which would be for nothing. */
    if (source->batch == NULL && !files_core_allows(source->core, source->share, BATCH_SIZE))
        return false;
    if (want->kind == FILES_FILE) {
        fd = files_beneath_open_file(want->root, want->local, &status);
        e = fd < 0 ? fd : 0;
    }
    if (e == -EMFILE || e == -ENFILE)
        return false;
    size_t size = e == 0 && status.st_size <= FILES_SMALL_MAX ? (size_t)status.st_size : 0;
    if (!reserve(source, KEY_BYTES + FILES_ITEM_SIZE_MAX + size + FILES_DIGEST_SIZE)) {
        if (fd >= 0)
            (void)close(fd);
        return false;
    }
    STAILQ_REMOVE_HEAD(&source->wants, link);
    set_item(source, want);
    if (e == 0)
        e = fd >= 0 ? put_file(source, want, fd, &status) : put_small(source, -1);
    if (e != 0)
        report(source, e);
    if (fd >= 0 && source->fd != fd)
        (void)close(fd);
    source->index += e == 0 || source->answers;
    drop_want(source, want);
    return !source->has_ended;
}

/* ---- Blocks of a chunk ---- */

/* Reads and hashes one, on the worker's thread. */
static void read_block(struct files_job *job)
{
    struct files_buffer *buffer = files_buffer_of(job);
    struct files_block *block = &buffer->block;
    struct files_source *source = block->owner;
    int e = read_all(source->fd, buffer->data, block->size, block->at);
    if (e == 0 && !files_hash_add(&source->hash, buffer->data, block->size))
        e = -EIO;
    if (e == 0 && block->is_last && !is_unchanged(source->fd, &source->item))
        e = -ESTALE;
    if (e == 0 && block->is_last && !files_hash_end(&source->hash, buffer->data + block->size))
        e = -EIO;
    block->error = e;
}

/* Sends it. */
static void block_is_read(struct files_job *job)
{
    struct files_buffer *buffer = files_buffer_of(job);
    const struct files_block *block = &buffer->block;
    struct files_source *source = block->owner;
    int e = block->error;
    source->reading_bytes -= block->size;
    if (source->has_ended || e != 0)
        files_buffer_destroy(source->core, buffer);
    if (source->has_ended)
        return;
    if (e != 0) {
        files_source_abort(source, files_status_of(e));
        if (!source->answers)
            report(source, e);
        return;
    }
    source->core->bytes_out += block->size;
    if (block->is_last)
        close_file(source);
    buffer->used = block->size + (block->is_last ? files_hash_size(&source->hash) : 0);
    if (send_buffer(source, buffer))
        files_source_pump(source);
}

/* Has the next block of the chunk read.  Returns false if that must wait. */
static bool ask_for_block(struct files_source *source)
{
    const struct files_extent *extent = &source->item.extents[source->extent];
    uint64_t left = extent->offset + extent->size - source->at;
    uint64_t size = left < BLOCK_SIZE ? left : BLOCK_SIZE;
    struct files_buffer *buffer =
        files_buffer_create_for(source->core, source->share, size + FILES_DIGEST_SIZE);
    if (buffer == NULL)
        return false;
    source->is_asked = size == left && source->extent + 1 == source->item.extent_count;
    buffer->block = (struct files_block){
        .owner = source, .size = size, .at = source->at, .is_last = source->is_asked};
    source->at += size;
    if (size == left && !source->is_asked)
        source->at = source->item.extents[++source->extent].offset;
    source->reading_bytes += size;
    files_core_work(source->core, &source->lane, buffer, read_block, block_is_read);
    return true;
}

static void finish(struct files_source *source)
{
    if (!flush(source))
        return;
    if (!source->is_complete)
        return;
    if (spate_stream_send(source->conn, source->stream_id, NULL, 0, true, 0) == 0)
        end(source);
    else
        files_source_abort(source, FILES_BUSY);
}

void files_source_pump(struct files_source *source)
{
    bool can_go_on = true;
    while (can_go_on && source->lent_bytes + source->reading_bytes < STREAM_LENT &&
           !source->has_ended) {
        if (source->fd >= 0) {
            can_go_on = !source->is_asked && ask_for_block(source);
        } else if (!STAILQ_EMPTY(&source->wants)) {
            can_go_on = send_next(source);
        } else {
            finish(source);
            return;
        }
    }
    if (!source->has_ended && source->lent_bytes + source->reading_bytes == 0)
        files_core_wait(source->core, &source->waiter); /* no event of its own wakes it */
}

void files_source_sent(struct files_source *source, const struct spate_event *event)
{
    struct files_buffer *buffer = (struct files_buffer *)(uintptr_t)event->u.sent.tag;
    if (buffer == NULL)
        return;
    source->lent_bytes -= event->u.sent.size;
    files_buffer_destroy(source->core, buffer);
    if (!event->u.sent.is_acked)
        end(source);
    files_source_pump(source);
}

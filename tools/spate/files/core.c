/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/core.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { RETRIED_MAX = 256 }; /* in one turn */
enum { RESULT_SIZE = FILES_HEAD_SIZE + 6 };

void files_core_init(struct files_core *ret, uint64_t memory_max)
{
    *ret = (struct files_core){.memory_max = memory_max, .memory_left = memory_max};
    TAILQ_INIT(&ret->waiting);
    files_worker_init(&ret->worker);
}

void files_core_stop(struct files_core *core)
{
    files_worker_stop(&core->worker);
}

void files_core_deinit(struct files_core *core)
{
    files_worker_deinit(&core->worker);
    files_hashes_deinit(&core->hashes);
}

enum files_hash_kind files_core_hash(const struct spate_conn *conn)
{
    return strcmp(spate_conn_alpn(conn), FILES_ALPN_SHA256) == 0 ? FILES_SHA256 : FILES_GMAC;
}

struct files_buffer *files_buffer_message(struct files_core *core, size_t size)
{
    struct files_buffer *buffer = malloc(sizeof(*buffer) + size);
    if (buffer == NULL)
        return NULL;
    buffer->share = NULL;
    size_t whole = sizeof(*buffer) + size;
    buffer->size = whole < core->memory_left ? whole : core->memory_left;
    buffer->used = 0;
    core->memory_left -= buffer->size;
    return buffer;
}

bool files_core_allows(const struct files_core *core, const struct files_share *share, size_t size)
{
    return share != NULL ? share_allows(&share->lent, size, core->memory_left)
                         : size <= core->memory_left;
}

struct files_buffer *files_buffer_create_for(struct files_core *core, struct files_share *share,
                                             size_t size)
{
    struct files_buffer *buffer =
        files_core_allows(core, share, size) ? files_buffer_message(core, size) : NULL;
    if (buffer != NULL && share != NULL) {
        buffer->share = share;
        share_take(&share->lent, buffer->size);
    }
    return buffer;
}

struct files_buffer *files_buffer_create(struct files_core *core, size_t size)
{
    return files_buffer_create_for(core, NULL, size);
}

void files_buffer_destroy(struct files_core *core, struct files_buffer *buffer)
{
    if (buffer == NULL)
        return;
    core->memory_left += buffer->size;
    if (buffer->share != NULL)
        share_give(&buffer->share->lent, buffer->size);
    free(buffer);
}

void files_core_work(struct files_core *core, struct files_lane *lane, struct files_buffer *buffer,
                     void (*work)(struct files_job *job), void (*done)(struct files_job *job))
{
    buffer->block.job.work = work;
    buffer->block.job.done = done;
    files_worker_add(&core->worker, core->shard, lane, &buffer->block.job);
}

struct files_buffer *files_buffer_of(struct files_job *job)
{
    return (struct files_buffer *)((char *)job - offsetof(struct files_buffer, block.job));
}

int files_buffer_send(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                      struct files_buffer *buffer, bool fin)
{
    size_t size = buffer->used;
    int e = spate_stream_send(conn, stream_id, buffer->data, size, fin, (uintptr_t)buffer);
    core->queued_bytes += e == 0 ? size : 0;
    if (e != 0)
        files_buffer_destroy(core, buffer);
    return e;
}

bool files_buffer_answer(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                         struct files_buffer *buffer, bool fin)
{
    if (buffer != NULL && files_buffer_send(core, conn, stream_id, buffer, fin) == 0)
        return true;
    (void)spate_stream_reset(conn, stream_id, FILES_BUSY);
    return false;
}

static bool answer(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                   struct files_buffer *buffer, uint32_t index, enum files_status status, bool fin)
{
    const struct files_result result = {.index = index, .status = status};
    if (buffer != NULL)
        buffer->used = files_result_write(fin ? FILES_END : FILES_RESULT, &result, buffer->data);
    return files_buffer_answer(core, conn, stream_id, buffer, fin);
}

bool files_answer(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                  uint32_t index, enum files_status status, bool fin)
{
    struct files_buffer *buffer = files_buffer_message(core, RESULT_SIZE);
    return answer(core, conn, stream_id, buffer, index, status, fin);
}

bool files_answer_for(struct files_core *core, struct files_share *share, struct spate_conn *conn,
                      uint64_t stream_id, uint32_t index, enum files_status status)
{
    struct files_buffer *buffer = files_buffer_create_for(core, share, RESULT_SIZE);
    return answer(core, conn, stream_id, buffer, index, status, false);
}

void files_core_wait(struct files_core *core, struct files_waiter *waiter)
{
    if (!waiter->is_waiting)
        TAILQ_INSERT_TAIL(&core->waiting, waiter, link);
    waiter->is_waiting = true;
}

void files_core_leave(struct files_core *core, struct files_waiter *waiter)
{
    if (waiter->is_waiting)
        TAILQ_REMOVE(&core->waiting, waiter, link);
    waiter->is_waiting = false;
}

bool files_core_retry(struct files_core *core)
{
    files_worker_reap(&core->worker);
    /* Some of them, each once: one that still cannot go on is last then. */
    struct files_waiter *last = TAILQ_LAST(&core->waiting, files_waiting);
    for (int i = 0; i < RETRIED_MAX; i++) {
        struct files_waiter *waiter = TAILQ_FIRST(&core->waiting);
        if (waiter == NULL)
            break;
        files_core_leave(core, waiter);
        waiter->go_on(waiter);
        if (waiter == last)
            break;
    }
    return !TAILQ_EMPTY(&core->waiting);
}

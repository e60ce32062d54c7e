/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/core.h"

#include <errno.h>
#include <stdlib.h>

enum { SMALL_BUFFER = 64 << 10 };

bool files_core_init(struct files_core *ret, uint64_t memory_max)
{
    *ret = (struct files_core){.memory_max = memory_max, .memory_left = memory_max};
    ret->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    TAILQ_INIT(&ret->waiting);
    return ret->digest != NULL;
}

void files_core_deinit(struct files_core *core)
{
    EVP_MD_free(core->digest);
    core->digest = NULL;
}

struct files_buffer *files_buffer_create(struct files_core *core, size_t size)
{
    if (size >= SMALL_BUFFER && size > core->memory_left)
        return NULL;
    struct files_buffer *buffer = malloc(sizeof(*buffer) + size);
    if (buffer == NULL)
        return NULL;
    buffer->size = size < core->memory_left ? size : core->memory_left;
    buffer->used = 0;
    core->memory_left -= buffer->size;
    return buffer;
}

void files_buffer_destroy(struct files_core *core, struct files_buffer *buffer)
{
    if (buffer == NULL)
        return;
    core->memory_left += buffer->size;
    free(buffer);
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

bool files_answer(struct files_core *core, struct spate_conn *conn, uint64_t stream_id,
                  uint32_t index, enum files_status status, bool fin)
{
    struct files_buffer *buffer = files_buffer_create(core, FILES_HEAD_SIZE + 6);
    const struct files_result result = {.index = index, .status = status};
    if (buffer != NULL)
        buffer->used = files_result_write(fin ? FILES_END : FILES_RESULT, &result, buffer->data);
    return files_buffer_answer(core, conn, stream_id, buffer, fin);
}

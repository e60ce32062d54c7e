/* SPDX-License-Identifier: MIT */
#include "engine/buffers.h"

#include <string.h>

#include "proto/base/assert.h"

/* Blocks of 128 KiB: a shard that never runs low takes none. */
#define BLOCK_COUNT 63

void se_buffers_init(struct se_buffers *buffers, uint32_t count_max, struct sb_memory *memory)
{
    sb_pool_init(&buffers->pool, "small buffers", sizeof(struct se_small), BLOCK_COUNT, count_max,
                 memory);
}

void se_buffers_deinit(struct se_buffers *buffers)
{
    buffers->pool.used_count = 0; /* the application loses what it kept: see spate_engine_destroy */
    sb_pool_deinit(&buffers->pool);
}

static void on_release(struct sb_buffer *buffer)
{
    struct se_small *small = SB_CONTAINER_OF(buffer, struct se_small, buffer);
    sb_pool_give(small->pool, small);
}

struct se_small *se_buffers_copy(struct se_buffers *buffers, const uint8_t *data, size_t size)
{
    SB_ASSERT(size <= SE_SMALL_SIZE);
    struct se_small *small = sb_pool_take(&buffers->pool);
    if (small == NULL)
        return NULL;
    small->buffer = (struct sb_buffer){.ref_count = 1, .release = on_release};
    small->pool = &buffers->pool;
    memcpy(small->data, data, size);
    return small;
}

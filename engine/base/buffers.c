/* SPDX-License-Identifier: MIT */
#include "engine/base/buffers.h"

/* Copies of datagrams that must outlive their receive slot.
 *
 * A copy of up to SE_SMALL_SIZE bytes comes from a pool, a larger one straight from the memory
 * budget.  Both begin with the sb_buffer that slices refer to; its release function puts the
 * copy back where it came from.  Large copies are kept in a list, so that se_buffers_deinit()
 * can free what the application still holds. */

#include <string.h>

#include "proto/base/assert.h"

struct se_small {
    struct sb_buffer buffer;
    struct sb_pool *pool;
    _Alignas(16) uint8_t data[SE_SMALL_SIZE];
};

struct se_large {
    struct sb_buffer buffer;
    struct se_buffers *owner;
    struct sb_link link;
    size_t size; /* of all of it */
    uint8_t data[];
};

void se_buffers_init(struct se_buffers *buffers, uint32_t small_max, struct sb_memory *memory)
{
    buffers->memory = memory;
    sb_list_init(&buffers->large);
    sb_pool_init(&buffers->small, "small buffers", sizeof(struct se_small), UINT32_MAX, small_max,
                 memory);
}

static void large_free(struct se_large *large)
{
    struct sb_memory *memory = large->owner->memory;
    sb_list_remove(&large->link);
    memory->give(memory->context, large, large->size);
}

void se_buffers_deinit(struct se_buffers *buffers)
{
    /* The application loses what it kept: see spate_engine_destroy(). */
    for (struct sb_link *link; (link = sb_list_first(&buffers->large)) != NULL;)
        large_free(SB_CONTAINER_OF(link, struct se_large, link));
    sb_pool_abandon(&buffers->small);
}

static void on_small_release(struct sb_buffer *buffer)
{
    struct se_small *small = SB_CONTAINER_OF(buffer, struct se_small, buffer);
    sb_pool_give(small->pool, small);
}

static void on_large_release(struct sb_buffer *buffer)
{
    large_free(SB_CONTAINER_OF(buffer, struct se_large, buffer));
}

static struct sb_buffer *copy_large(struct se_buffers *buffers, const uint8_t *data, size_t size,
                                    uint8_t **ret_data)
{
    size_t size_all = sizeof(struct se_large) + size;
    if (!buffers->memory->has_room(buffers->memory->context, size_all))
        return NULL;
    struct se_large *large = buffers->memory->take(buffers->memory->context, size_all);
    if (large == NULL)
        return NULL;
    *large = (struct se_large){
        .buffer = {.ref_count = 1, .release = on_large_release, .size = (uint32_t)size_all},
        .owner = buffers,
        .size = size_all,
    };
    sb_list_init(&large->link);
    sb_list_push_back(&buffers->large, &large->link);
    memcpy(large->data, data, size);
    *ret_data = large->data;
    return &large->buffer;
}

struct sb_buffer *se_buffers_copy(struct se_buffers *buffers, const uint8_t *data, size_t size,
                                  uint8_t **ret_data)
{
    if (size > SE_SMALL_SIZE)
        return copy_large(buffers, data, size, ret_data);

    struct se_small *small = sb_pool_take_ordinary(&buffers->small);
    if (small == NULL)
        return NULL;
    small->buffer =
        (struct sb_buffer){.ref_count = 1, .release = on_small_release, .size = sizeof(*small)};
    small->pool = &buffers->small;
    memcpy(small->data, data, size);
    *ret_data = small->data;
    return &small->buffer;
}

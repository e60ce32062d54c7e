/* SPDX-License-Identifier: MIT */
#include "proto/stream/copies.h"

/* Two pools of buffers, and one of holdings.
 *
 * A copy names its holding, not its connection: the application may hold it longer than that
 * lives. */

#include "proto/base/assert.h"

#define SMALL_BLOCK   64
#define LARGE_BLOCK   16
#define HOLDING_BLOCK UINT32_MAX /* one per connection */

struct copy {
    struct sb_buffer buffer;
    struct sb_pool *pool;
    struct sp_holding *holding;
    uint8_t data[];
};

_Static_assert(sizeof(struct copy) + SP_COPY_SIZE_MAX == 2048, "a large copy fills its object");

void sp_copies_init(struct sp_copies *copies, struct sb_memory *memory)
{
    sb_pool_init(&copies->small, "small copies", sizeof(struct copy) + SP_PAGE_SIZE, SMALL_BLOCK,
                 UINT32_MAX, memory);
    sb_pool_init(&copies->large, "large copies", sizeof(struct copy) + SP_COPY_SIZE_MAX,
                 LARGE_BLOCK, UINT32_MAX, memory);
    sb_pool_init(&copies->holdings, "holdings", sizeof(struct sp_holding), HOLDING_BLOCK,
                 UINT32_MAX, memory);
    sb_list_init(&copies->pinned);
    sb_list_init(&copies->mark);
    sb_list_push_back(&copies->pinned, &copies->mark);
}

void sp_copies_reserve(struct sp_copies *copies)
{
    (void)sb_pool_reserve(&copies->small, SMALL_BLOCK / 4);
    (void)sb_pool_reserve(&copies->large, LARGE_BLOCK / 4);
}

void sp_copies_deinit(struct sp_copies *copies)
{
    sb_pool_deinit(&copies->small);
    sb_pool_deinit(&copies->large);
    sb_pool_deinit(&copies->holdings);
}

void sp_copies_reclaim(struct sp_copies *copies)
{
    copies->small.used_count = 0;
    copies->large.used_count = 0;
    copies->holdings.used_count = 0;
}

uint64_t sp_copies_used(const struct sp_copies *copies)
{
    return (uint64_t)copies->small.used_count + copies->large.used_count +
           copies->holdings.used_count;
}

struct sp_holding *sp_holding_open(struct sp_copies *copies)
{
    struct sp_holding *holding = sb_pool_take(&copies->holdings);
    if (holding != NULL)
        *holding = (struct sp_holding){.pool = &copies->holdings, .ref_count = 1};
    return holding;
}

void sp_holding_unref(struct sp_holding *holding)
{
    if (holding == NULL)
        return;
    SB_ASSERT(holding->ref_count > 0);
    if (--holding->ref_count > 0)
        return;
    SB_ASSERT(holding->held_bytes == 0);
    sb_pool_give(holding->pool, holding);
}

static void on_release(struct sb_buffer *buffer)
{
    struct copy *copy = SB_CONTAINER_OF(buffer, struct copy, buffer);
    struct sp_holding *holding = copy->holding;
    SB_ASSERT(holding->held_bytes >= copy->pool->object_size);
    holding->held_bytes -= copy->pool->object_size;
    sp_holding_unref(holding);
    sb_pool_give(copy->pool, copy);
}

struct sb_buffer *sp_copies_take(struct sp_copies *copies, struct sp_holding *holding,
                                 uint64_t size, bool is_ordinary)
{
    SB_ASSERT(size == SP_PAGE_SIZE || size == SP_COPY_SIZE_MAX);
    struct sb_pool *pool = size == SP_PAGE_SIZE ? &copies->small : &copies->large;
    struct copy *copy = sb_pool_take_as(pool, is_ordinary);
    if (copy == NULL)
        return NULL;
    copy->buffer.ref_count = 1; /* one by one: gcc would clear the whole by "rep stos" */
    copy->buffer.queued_bytes = 0;
    copy->buffer.release = on_release;
    copy->buffer.size = 0;
    copy->pool = pool;
    copy->holding = holding;
    holding->ref_count++;
    holding->held_bytes += pool->object_size;
    return &copy->buffer;
}

bool sp_copy_is_large(struct sb_buffer *buffer)
{
    if (buffer == NULL || buffer->release != on_release)
        return false;
    const struct copy *copy = SB_CONTAINER_OF(buffer, struct copy, buffer);
    return copy->pool->object_size == sizeof(struct copy) + SP_COPY_SIZE_MAX;
}

uint8_t *sp_copy_data(struct sb_buffer *buffer)
{
    SB_ASSERT(buffer->release == on_release);
    return SB_CONTAINER_OF(buffer, struct copy, buffer)->data;
}

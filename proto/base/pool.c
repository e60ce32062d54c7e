/* SPDX-License-Identifier: MIT */
#include "proto/base/pool.h"

/* Blocks of objects, and a list of free objects through the objects themselves.
 *
 * A block begins with a head of one cache line, by which sb_pool_deinit() finds it.  Objects
 * never move and never go back to their block one by one: they stay in the free list, poisoned,
 * until the pool ends.  With SB_DEBUG an object is overwritten when it is given back. */

#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/poison.h"

struct sb_pool_block {
    struct sb_pool_block *next;
    size_t size;
};

#define BLOCK_HEAD_SIZE ((size_t)SB_CACHE_LINE)
_Static_assert(sizeof(struct sb_pool_block) <= BLOCK_HEAD_SIZE, "objects start on a line");

void sb_pool_init(struct sb_pool *pool, const char *name, size_t object_size, uint32_t block_count,
                  uint32_t count_max, struct sb_memory *memory)
{
    SB_ASSERT(object_size >= sizeof(struct sb_pool_item) && object_size < UINT32_MAX - 16);
    SB_ASSERT(block_count > 0);
    SB_ASSERT(memory != NULL);

    *pool = (struct sb_pool){
        .name = name,
        .memory = memory,
        .object_size = (uint32_t)((object_size + 15) & ~(size_t)15),
        .block_count = block_count,
        .count_max = count_max,
    };
}

static void item_push(struct sb_pool *pool, struct sb_pool_item *item)
{
    item->next = pool->free;
    pool->free = item;
    SB_POISON(item, pool->object_size);
}

bool sb_pool_grow(struct sb_pool *pool)
{
    uint32_t count = SB_MIN(pool->block_count, pool->count_max - pool->made_count);
    if (count == 0)
        return false;

    size_t size = BLOCK_HEAD_SIZE + (size_t)count * pool->object_size;
    struct sb_pool_block *block = pool->memory->take(pool->memory->context, size);
    if (block == NULL)
        return false;

    *block = (struct sb_pool_block){.next = pool->blocks, .size = size};
    pool->blocks = block;
    char *objects = (char *)block + BLOCK_HEAD_SIZE;
    for (uint32_t i = count; i-- > 0;)
        item_push(pool, (struct sb_pool_item *)(void *)(objects + (size_t)i * pool->object_size));
    pool->made_count += count;
    return true;
}

bool sb_pool_reserve(struct sb_pool *pool, uint32_t count)
{
    while (pool->made_count - pool->used_count < count) {
        if (!sb_pool_grow(pool))
            return false;
    }
    return true;
}

void sb_pool_give(struct sb_pool *pool, void *object)
{
    if (object == NULL)
        return;
    SB_ASSERT(pool->used_count > 0);
    pool->used_count--;
#ifdef SB_DEBUG
    memset(object, 0xdd, pool->object_size); /* a use after this is seen at once */
#endif
    item_push(pool, object);
}

void sb_pool_deinit(struct sb_pool *pool)
{
    if (pool->memory == NULL)
        return; /* never initialised */
    SB_ASSERT(pool->used_count == 0);

    for (struct sb_pool_block *block = pool->blocks, *next; block != NULL; block = next) {
        next = block->next;
        size_t size = block->size;
        SB_UNPOISON(block, size);
        pool->memory->give(pool->memory->context, block, size);
    }
    *pool = (struct sb_pool){0};
}

void sb_pool_check(const struct sb_pool *pool)
{
    uint32_t free_count = 0;
    for (struct sb_pool_item *item = pool->free; item != NULL; free_count++) {
        SB_UNPOISON(item, sizeof(*item));
        struct sb_pool_item *next = item->next;
        SB_POISON(item, sizeof(*item));
        item = next;
    }
    SB_ASSERT(pool->made_count <= pool->count_max);
    SB_ASSERT(pool->used_count <= pool->made_count);
    SB_ASSERT(free_count == pool->made_count - pool->used_count);
}

/* SPDX-License-Identifier: MIT */
#include "proto/base/pool.h"

/* Blocks of objects, and in each block a list of its free objects through the objects themselves.
 *
 * A block begins with a head of one cache line.  It is aligned to its size, so an object finds its
 * head by a mask.  Objects never move.  A block is in one of three lists:
 *
 *     full --give--> open --last one given--> empty --trim, release--> memory
 *          <--take--      <------refill-----       <------refill-----
 *
 * Objects of a new block come into its list a page at a time, when the list is empty: a block of 64
 * KiB of which three objects are needed takes one page.
 *
 * Objects are taken from the first open block until it is full.  A block that was full comes first
 * when an object of it is given back: that object is in the cache.  With SB_DEBUG an object is
 * overwritten when it is given back. */

#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/poison.h"

#define BLOCK_HEAD_SIZE ((size_t)SB_CACHE_LINE)
_Static_assert(sizeof(struct sb_pool_block) <= BLOCK_HEAD_SIZE, "objects start on a line");

/* A block may leave this part of itself unused, or the next size is taken: 1/16. */
#define WASTE_SHIFT 4

/* Objects are added to the list of free ones by so many bytes, at least one: about a page. */
#define LINKED_BYTES 4096

static void choose_block(struct sb_pool *pool, uint32_t block_count)
{
    size_t size = SB_BLOCK_SIZE_MIN;
    size_t object_size = pool->object_size;
    for (; size < SB_BLOCK_SIZE_MAX; size *= 2) {
        size_t room = size - BLOCK_HEAD_SIZE;
        if (room / object_size >= block_count || room % object_size <= size >> WASTE_SHIFT)
            break;
    }
    size_t count = (size - BLOCK_HEAD_SIZE) / object_size;
    SB_ASSERT(count > 0);
    pool->block_size = (uint32_t)size;
    pool->block_mask = ~(uintptr_t)(size - 1);
    pool->block_count = (uint32_t)SB_MIN(count, (size_t)block_count);
}

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
        .count_max = count_max,
        .next = memory->pools,
    };
    memory->pools = pool;
    sb_list_init(&pool->open);
    sb_list_init(&pool->full);
    sb_list_init(&pool->empty);
    choose_block(pool, block_count);
}

static struct sb_pool_block *block_of_link(struct sb_link *link)
{
    return SB_CONTAINER_OF(link, struct sb_pool_block, link);
}

static void item_push(struct sb_pool_block *block, struct sb_pool_item *item, size_t size)
{
    item->next = block->free;
    block->free = item;
    SB_POISON(item, size);
}

static void count_empty(struct sb_pool *pool, int32_t change)
{
    pool->empty_count += (uint32_t)change;
    pool->memory->empty_bytes += (uint64_t)change * pool->block_size;
    pool->empty_min = SB_MIN(pool->empty_min, pool->empty_count);
}

/* Adds objects of a block that were never used to its list, which is empty: the first of them comes
 * out first.  Returns false if there are none. */
static bool link_more(const struct sb_pool *pool, struct sb_pool_block *block)
{
    uint32_t size = pool->object_size;
    uint32_t first = block->linked_count;
    uint32_t count = SB_MIN(SB_MAX(LINKED_BYTES / size, 1u), block->made_count - first);
    char *objects = (char *)block + BLOCK_HEAD_SIZE;
    for (uint32_t i = first + count; i-- > first;) {
        struct sb_pool_item *item = (struct sb_pool_item *)(void *)(objects + (size_t)i * size);
        SB_UNPOISON(item, sizeof(*item));
        item_push(block, item, size);
    }
    block->linked_count += count;
    return count > 0;
}

/* Adds an empty block.  Returns false at the limit or without memory. */
static bool grow(struct sb_pool *pool)
{
    uint32_t count = SB_MIN(pool->block_count, pool->count_max - pool->made_count);
    if (count == 0)
        return false;

    struct sb_pool_block *block = pool->memory->take(pool->memory->context, pool->block_size);
    if (block == NULL)
        return false;
    SB_ASSERT(((uintptr_t)block & (pool->block_size - 1)) == 0);

    *block = (struct sb_pool_block){.pool = pool, .made_count = count};
    sb_list_init(&block->link);
    sb_list_push_back(&pool->empty, &block->link);
    count_empty(pool, 1);
    pool->total_count++;
    pool->made_count += count;
    SB_POISON((char *)block + BLOCK_HEAD_SIZE, (size_t)count * pool->object_size);
    return link_more(pool, block);
}

static void give_block(struct sb_pool *pool, struct sb_pool_block *block)
{
    sb_list_remove(&block->link);
    pool->made_count -= block->made_count;
    pool->total_count--;
    SB_UNPOISON(block, pool->block_size);
    pool->memory->give(pool->memory->context, block, pool->block_size);
}

static void give_empty(struct sb_pool *pool, uint32_t count)
{
    for (; count > 0; count--) {
        give_block(pool, block_of_link(pool->empty.prev));
        count_empty(pool, -1);
    }
}

static bool has_room(const struct sb_pool *pool)
{
    const struct sb_memory *memory = pool->memory;
    return memory->has_room == NULL || memory->has_room(memory->context, pool->block_size);
}

bool sb_pool_refill(struct sb_pool *pool, bool is_ordinary)
{
    SB_ASSERT(sb_list_is_empty(&pool->open));
    if (pool->empty_count == 0 && ((is_ordinary && !has_room(pool)) || !grow(pool)))
        return false;
    sb_list_push_front(&pool->open, sb_list_pop_front(&pool->empty));
    count_empty(pool, -1);
    return true;
}

void sb_pool_on_full(struct sb_pool *pool, struct sb_pool_block *block)
{
    if (link_more(pool, block))
        return;
    sb_list_remove(&block->link);
    sb_list_push_back(&pool->full, &block->link);
}

bool sb_pool_reserve(struct sb_pool *pool, uint32_t count)
{
    uint32_t free_count = pool->made_count - pool->used_count;
    uint32_t missing = count > free_count ? count - free_count : 0;
    /* Counted before: memory that runs out may take back what was made here. */
    for (uint32_t blocks = (missing + pool->block_count - 1) / pool->block_count; blocks > 0;
         blocks--)
        if (!grow(pool))
            return false;
    return pool->made_count - pool->used_count >= count;
}

static void close_empty(struct sb_pool *pool, struct sb_pool_block *block)
{
    sb_list_remove(&block->link);
    sb_list_push_front(&pool->empty, &block->link);
    count_empty(pool, 1);
}

/* The block was full.  Only the last open block may be empty. */
static void open_full(struct sb_pool *pool, struct sb_pool_block *block)
{
    struct sb_link *first = sb_list_first(&pool->open);
    if (first != NULL && block_of_link(first)->used_count == 0)
        close_empty(pool, block_of_link(first));
    sb_list_remove(&block->link);
    sb_list_push_front(&pool->open, &block->link);
}

void sb_pool_give_last(struct sb_pool *pool, struct sb_pool_block *block, struct sb_pool_item *item)
{
    SB_ASSERT(pool->used_count > 0 && block->used_count > 0);
    bool was_full = block->free == NULL;
    item_push(block, item, pool->object_size);
    pool->used_count--;
    block->used_count--;
    if (was_full)
        open_full(pool, block);
    if (block->used_count == 0 && pool->open.next != pool->open.prev)
        close_empty(pool, block);
}

/* Returns how many of `empty_count` empty blocks are more than enough. */
static uint32_t surplus_of(const struct sb_pool *pool, uint32_t empty_count)
{
    uint32_t kept = SB_MAX((pool->total_count - empty_count) / 2, 1u);
    return empty_count > kept ? empty_count - kept : 0;
}

bool sb_pool_trim(struct sb_pool *pool)
{
    give_empty(pool, surplus_of(pool, pool->empty_min));
    pool->empty_min = pool->empty_count;
    return surplus_of(pool, pool->empty_count) > 0;
}

void sb_pool_release(struct sb_pool *pool)
{
    give_empty(pool, pool->empty_count);
    struct sb_link *last = sb_list_first(&pool->open);
    if (last != NULL && block_of_link(last)->used_count == 0)
        give_block(pool, block_of_link(last));
}

bool sb_memory_trim(struct sb_memory *memory)
{
    bool is_more = false;
    for (struct sb_pool *pool = memory->pools; pool != NULL; pool = pool->next)
        is_more |= sb_pool_trim(pool);
    return is_more;
}

void sb_memory_release(struct sb_memory *memory)
{
    for (struct sb_pool *pool = memory->pools; pool != NULL; pool = pool->next)
        sb_pool_release(pool);
}

static void give_all(struct sb_pool *pool, struct sb_link *list)
{
    struct sb_link *link;
    while ((link = sb_list_first(list)) != NULL)
        give_block(pool, block_of_link(link));
}

void sb_pool_abandon(struct sb_pool *pool)
{
    if (pool->memory == NULL)
        return; /* never initialised */
    give_all(pool, &pool->open);
    give_all(pool, &pool->full);
    give_empty(pool, pool->empty_count);
    SB_ASSERT(pool->made_count == 0 && pool->total_count == 0);
    struct sb_pool **link = &pool->memory->pools;
    while (*link != pool)
        link = &(*link)->next;
    *link = pool->next;
    *pool = (struct sb_pool){0};
}

void sb_pool_deinit(struct sb_pool *pool)
{
    SB_ASSERT(pool->used_count == 0);
    sb_pool_abandon(pool);
}

/* ---- Checking ---- */

enum kind { OPEN, FULL, EMPTY };

static void check_block(const struct sb_pool *pool, const struct sb_pool_block *block,
                        enum kind kind)
{
    uint32_t free_count = 0;
    SB_ASSERT(block->pool == pool);
    for (struct sb_pool_item *item = block->free; item != NULL; free_count++) {
        SB_UNPOISON(item, sizeof(*item));
        struct sb_pool_item *next = item->next;
        SB_POISON(item, sizeof(*item));
        item = next;
    }
    SB_ASSERT(block->linked_count <= block->made_count);
    SB_ASSERT(free_count == block->linked_count - block->used_count);
    SB_ASSERT((kind == FULL) == (free_count == 0));
    SB_ASSERT(kind != FULL || block->linked_count == block->made_count);
    SB_ASSERT(kind != EMPTY || block->used_count == 0);
}

void sb_pool_check(const struct sb_pool *pool)
{
    const struct sb_link *lists[] = {[OPEN] = &pool->open, &pool->full, &pool->empty};
    uint32_t counts[SB_COUNT(lists)] = {0};
    uint32_t used_count = 0;
    uint32_t made_count = 0;
    for (enum kind kind = OPEN; kind <= EMPTY; kind++) {
        for (struct sb_link *link = lists[kind]->next; link != lists[kind]; link = link->next) {
            const struct sb_pool_block *block = block_of_link(link);
            check_block(pool, block, kind);
            counts[kind]++;
            used_count += block->used_count;
            made_count += block->made_count;
            bool is_last = link->next == link->prev;
            SB_ASSERT(kind != OPEN || block->used_count > 0 || is_last);
        }
    }
    SB_ASSERT(pool->made_count <= pool->count_max);
    SB_ASSERT(made_count == pool->made_count && used_count == pool->used_count);
    SB_ASSERT(counts[EMPTY] == pool->empty_count && pool->empty_min <= pool->empty_count);
    SB_ASSERT(counts[OPEN] + counts[FULL] + counts[EMPTY] == pool->total_count);
}

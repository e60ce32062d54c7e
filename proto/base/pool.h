/* SPDX-License-Identifier: MIT */
#ifndef SB_POOL_H
#define SB_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "proto/base/poison.h"

/* The smallest and the largest block of a pool, in bytes.  Every block is a power of two and is
 * aligned to its size, so that an object's address leads to its block. */
#define SB_BLOCK_SIZE_MIN ((size_t)16 * 1024)
#define SB_BLOCK_SIZE_MAX ((size_t)64 * 1024)

struct sb_pool;

/* The source of a pool's blocks.  The owner of the memory passes it in: the
 * engine gives blocks from its budget, a test uses malloc. */
struct sb_memory {
    /* `size` bytes aligned to sb_memory_alignment(size), or NULL if the budget is spent. */
    void *(*take)(void *context, size_t size);
    void (*give)(void *context, void *block, size_t size);
    void *context;
    /* Returns whether `size` bytes more leave the reserve untouched, which is for what frees memory
     * or ends connections.  NULL: there is no reserve. */
    bool (*has_room)(void *context, size_t size);
    struct sb_pool *pools; /* those that take from it */
    /* Bytes of their blocks that are empty and wait.  After it has changed, sb_memory_trim() may
     * have something to give back. */
    uint64_t empty_bytes;
};

/* Returns the alignment that take() owes to `size` bytes: the size itself for that of a block,
 * otherwise a cache line. */
static inline size_t sb_memory_alignment(size_t size)
{
    bool is_block =
        size >= SB_BLOCK_SIZE_MIN && size <= SB_BLOCK_SIZE_MAX && (size & (size - 1)) == 0;
    return is_block ? size : SB_CACHE_LINE;
}

struct sb_pool_item {
    struct sb_pool_item *next;
};

/* The head of a block, at its start.  A block without a free object is full, one without a used
 * object is empty, any other is open.  The objects behind the first `linked_count` are free, were
 * never touched, and are not in the list yet: pages that nobody needs stay with the kernel. */
struct sb_pool_block {
    struct sb_link link;       /* in one of the pool's lists */
    struct sb_pool *pool;      /* its owner */
    struct sb_pool_item *free; /* NULL: the block is full */
    uint32_t used_count;
    uint32_t made_count;
    uint32_t linked_count;
};

/* Objects of one size, taken and given back in O(1).
 *
 * A pool grows by blocks up to `count_max` objects.  Blocks that became empty wait in a list, so
 * that a pool whose use goes up and down takes no memory for that, until sb_pool_trim() or
 * sb_pool_release() gives them back.  Freed objects are poisoned for AddressSanitizer.  A pool may
 * not be moved.
 *
 *     used_count <= made_count <= count_max
 *     used_count, made_count = sums over the blocks
 *     empty_min <= empty_count = length of the list of empty blocks
 *
 * The last open block stays in its list when it becomes empty: the next object comes from it. */
struct sb_pool {
    /* What sb_pool_take() and sb_pool_give() need, on one line. */
    struct sb_link open;
    uintptr_t block_mask; /* of the part of an address that is its block's */
    uint32_t used_count;
    uint32_t object_size; /* rounded up to 16 */
    struct sb_link full;
    struct sb_link empty;
    const char *name;
    struct sb_memory *memory;
    struct sb_pool *next; /* in memory->pools */
    uint32_t block_size;
    uint32_t block_count; /* objects per block */
    uint32_t made_count;
    uint32_t count_max;
    uint32_t total_count; /* blocks */
    uint32_t empty_count; /* blocks in the list of empty ones */
    uint32_t empty_min;   /* the lowest empty_count since the last trim */
};

/* `memory` is borrowed and must outlive the pool.  Nothing is allocated yet.
 *
 *   block_count  The most objects per block: there are as many as fit well into a block, and not
 *                more than that. */
void sb_pool_init(struct sb_pool *pool, const char *name, size_t object_size, uint32_t block_count,
                  uint32_t count_max, struct sb_memory *memory);

/* Every object must have come back. */
void sb_pool_deinit(struct sb_pool *pool);

/* Frees all blocks, whether or not their objects have come back. */
void sb_pool_abandon(struct sb_pool *pool);

/* Makes objects until `count` of them are free, so that a pool need not grow at a busy moment.
 * Returns false at the limit or without memory; objects that were made until then stay. */
bool sb_pool_reserve(struct sb_pool *pool, uint32_t count);

/* Gives back empty blocks that were not needed since the last call, but keeps half as many as were
 * needed, at least one.  So a load that goes up and down between two calls allocates nothing.
 * Returns true if the next call will give back more unless that is needed until then. */
bool sb_pool_trim(struct sb_pool *pool);

/* Gives back all blocks that are empty now. */
void sb_pool_release(struct sb_pool *pool);

/* The same for all pools of a memory.  Call sb_memory_trim() now and then, seconds apart, and
 * sb_memory_release() when memory runs out. */
bool sb_memory_trim(struct sb_memory *memory);
void sb_memory_release(struct sb_memory *memory);

/* For sb_pool_take(): opens an empty block or a new one.  `is_ordinary`: not a new one out of the
 * reserve.  Returns false at the limit or without memory. */
SB_MUST_USE SB_NEVER_INLINE bool sb_pool_refill(struct sb_pool *pool, bool is_ordinary);
/* For sb_pool_take(): the list of free objects of the block is empty.  Adds more, or closes it. */
SB_NEVER_INLINE void sb_pool_on_full(struct sb_pool *pool, struct sb_pool_block *block);

static inline void *sb_pool_take_as(struct sb_pool *pool, bool is_ordinary)
{
    if (SB_UNLIKELY(pool->open.next == &pool->open) && !sb_pool_refill(pool, is_ordinary))
        return NULL;

    struct sb_pool_block *block = SB_CONTAINER_OF(pool->open.next, struct sb_pool_block, link);
    struct sb_pool_item *item = block->free; /* not NULL: the block is open */
    SB_UNPOISON(item, pool->object_size);
    struct sb_pool_item *next = item->next;
    block->free = next;
    block->used_count++;
    pool->used_count++;
    if (SB_UNLIKELY(next == NULL))
        sb_pool_on_full(pool, block);
    return item;
}

/* An object of undefined content, or NULL at the limit or without memory. */
SB_MUST_USE static inline void *sb_pool_take(struct sb_pool *pool)
{
    return sb_pool_take_as(pool, false);
}

/* As sb_pool_take(), but the pool does not grow into the reserve: for what only brings more data
 * into the shard. */
SB_MUST_USE static inline void *sb_pool_take_ordinary(struct sb_pool *pool)
{
    return sb_pool_take_as(pool, true);
}

/* For sb_pool_give(): the object comes back to a block that is full, or that has no other used
 * object and is not the only open one. */
SB_NEVER_INLINE void sb_pool_give_last(struct sb_pool *pool, struct sb_pool_block *block,
                                       struct sb_pool_item *item);

/* NULL is accepted. */
static inline void sb_pool_give(struct sb_pool *pool, void *object)
{
    if (object == NULL)
        return;
    uintptr_t offset = (uintptr_t)object & ~pool->block_mask;
    struct sb_pool_block *block = (struct sb_pool_block *)(void *)((char *)object - offset);
    SB_ASSERT(block->pool == pool);
#ifdef SB_DEBUG
    memset(object, 0xdd, pool->object_size); /* a use after this is seen at once */
#endif
    struct sb_pool_item *item = (struct sb_pool_item *)object;
    struct sb_pool_item *next = block->free;
    uint32_t used_count = block->used_count;
    /* The only open block stays open: who uses one object at a time needs no list. */
    bool may_close = used_count <= 1 && (used_count == 0 || pool->open.next != pool->open.prev);
    if (SB_UNLIKELY(next == NULL || may_close)) {
        sb_pool_give_last(pool, block, item);
        return;
    }
    item->next = next;
    block->free = item;
    block->used_count = used_count - 1;
    pool->used_count--;
    SB_POISON(item, pool->object_size);
}

/* What one owner has taken from a pool: so each owner's part of the memory is known. */
struct sb_store {
    struct sb_pool *pool; /* borrowed */
    uint32_t count;       /* objects that were taken and not given back */
};

static inline uint64_t sb_store_bytes(const struct sb_store *store)
{
    return (uint64_t)store->count * store->pool->object_size;
}

/* sb_pool_take() for the owner. */
SB_MUST_USE static inline void *sb_store_take(struct sb_store *store)
{
    void *object = sb_pool_take(store->pool);
    store->count += object != NULL;
    return object;
}

/* sb_pool_take_ordinary() for the owner. */
SB_MUST_USE static inline void *sb_store_take_ordinary(struct sb_store *store)
{
    void *object = sb_pool_take_ordinary(store->pool);
    store->count += object != NULL;
    return object;
}

/* NULL is accepted. */
static inline void sb_store_give(struct sb_store *store, void *object)
{
    store->count -= object != NULL;
    sb_pool_give(store->pool, object);
}

/* Asserts the equations above by walking all blocks. */
void sb_pool_check(const struct sb_pool *pool);

#endif

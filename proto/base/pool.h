/* SPDX-License-Identifier: MIT */
#ifndef SB_POOL_H
#define SB_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/poison.h"

/* The source of a pool's blocks.  The owner of the memory passes it in: the
 * engine gives blocks from its budget, a test uses malloc. */
struct sb_memory {
    /* `size` bytes aligned to a cache line, or NULL if the budget is spent. */
    void *(*take)(void *context, size_t size);
    void (*give)(void *context, void *block, size_t size);
    void *context;
};

struct sb_pool_item {
    struct sb_pool_item *next;
};
struct sb_pool_block;

/* Objects of one size, taken and given back in O(1).
 *
 * A pool grows by blocks up to `count_max` objects and never shrinks before
 * its end.  Freed objects are poisoned for AddressSanitizer.
 *
 *     used_count <= made_count <= count_max
 *     made_count - used_count == length of the free list */
struct sb_pool {
    const char *name;
    struct sb_memory *memory;
    struct sb_pool_item *free;
    struct sb_pool_block *blocks;
    uint32_t object_size; /* rounded up to 16 */
    uint32_t block_count; /* objects a block */
    uint32_t made_count;
    uint32_t used_count;
    uint32_t count_max;
};

/* `memory` is borrowed and must outlive the pool.  Nothing is allocated yet. */
void sb_pool_init(struct sb_pool *pool, const char *name, size_t object_size, uint32_t block_count,
                  uint32_t count_max, struct sb_memory *memory);

/* Every object must have come back. */
void sb_pool_deinit(struct sb_pool *pool);

/* Makes objects until `count` of them are free, so that a pool need not grow at a busy moment.
 * Returns false at the limit or without memory; objects that were made until then stay. */
bool sb_pool_reserve(struct sb_pool *pool, uint32_t count);

/* Adds one block of objects.  False at the limit or without memory. */
SB_MUST_USE bool sb_pool_grow(struct sb_pool *pool);

/* An object of undefined content, or NULL at the limit or without memory. */
SB_MUST_USE static inline void *sb_pool_take(struct sb_pool *pool)
{
    if (SB_UNLIKELY(pool->free == NULL) && !sb_pool_grow(pool))
        return NULL;

    SB_ASSERT(pool->used_count < pool->made_count);
    pool->used_count++;
    struct sb_pool_item *item = pool->free;
    SB_UNPOISON(item, pool->object_size);
    pool->free = item->next;
    return item;
}

/* NULL is accepted. */
void sb_pool_give(struct sb_pool *pool, void *object);

/* Asserts the equations above by walking the free list. */
void sb_pool_check(const struct sb_pool *pool);

#endif

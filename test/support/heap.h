/* SPDX-License-Identifier: MIT */
#ifndef HEAP_H
#define HEAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/pool.h"

/* The heap as the memory of pools.  What it gives is not zero, and all must come back:
 * heap_deinit() frees what did not, and then asserts that there was nothing of that kind.  A zero
 * heap is one that heap_init() has not seen, and heap_deinit() accepts it. */
struct heap {
    struct sb_memory memory;
    uint64_t block_count; /* entries of `blocks` in use */
    uint64_t block_capacity;
    void **blocks; /* what is out, in no order */
};

static inline void *heap_take(void *context, size_t size)
{
    struct heap *heap = context;
    void *block = NULL;
    if (heap->block_count == heap->block_capacity) {
        uint64_t capacity = 2 * heap->block_capacity + 16;
        void **blocks = realloc(heap->blocks, capacity * sizeof(*blocks));
        if (blocks == NULL)
            return NULL;
        heap->blocks = blocks;
        heap->block_capacity = capacity;
    }
    if (posix_memalign(&block, sb_memory_alignment(size), size) != 0)
        return NULL;
    memset(block, 0x77, size);
    heap->blocks[heap->block_count++] = block;
    return block;
}

static inline void heap_give(void *context, void *block, size_t size)
{
    struct heap *heap = context;
    uint64_t at = heap->block_count;
    (void)size;
    while (at > 0 && heap->blocks[at - 1] != block)
        at--;
    SB_ASSERT(at > 0);
    heap->blocks[at - 1] = heap->blocks[--heap->block_count];
    free(block);
}

static inline void heap_init(struct heap *heap)
{
    *heap = (struct heap){.memory = {.take = heap_take, .give = heap_give, .context = heap}};
}

static inline bool heap_is_open(const struct heap *heap)
{
    return heap->memory.take != NULL;
}

/* Ends a pool whose memory is a heap.  Objects that are still out keep its blocks, which
 * heap_deinit() then finds: so one assertion reports the leak after all of it was freed. */
static inline void heap_pool_deinit(struct sb_pool *pool)
{
    if (pool->used_count == 0)
        sb_pool_deinit(pool);
}

static inline void heap_deinit(struct heap *heap)
{
    uint64_t left_count = heap->block_count;
    for (uint64_t i = 0; i < left_count; i++)
        free(heap->blocks[i]);
    free(heap->blocks);
    *heap = (struct heap){.block_count = 0};
    SB_ASSERT(left_count == 0);
}

#endif

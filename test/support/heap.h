/* SPDX-License-Identifier: MIT */
#ifndef HEAP_H
#define HEAP_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/pool.h"

/* The heap as the memory of pools.  What it gives is not zero, and all must come back. */
struct heap {
    struct sb_memory memory;
    uint64_t block_count;
};

static inline void *heap_take(void *context, size_t size)
{
    struct heap *heap = context;
    void *block = NULL;
    if (posix_memalign(&block, SB_CACHE_LINE, size) != 0)
        return NULL;
    memset(block, 0x77, size);
    heap->block_count++;
    return block;
}

static inline void heap_give(void *context, void *block, size_t size)
{
    struct heap *heap = context;
    (void)size;
    SB_ASSERT(heap->block_count > 0);
    heap->block_count--;
    free(block);
}

static inline void heap_init(struct heap *heap)
{
    *heap = (struct heap){.memory = {heap_take, heap_give, heap}};
}

static inline void heap_deinit(struct heap *heap)
{
    SB_ASSERT(heap->block_count == 0);
}

#endif

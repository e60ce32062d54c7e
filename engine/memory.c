/* SPDX-License-Identifier: MIT */
#include "engine/memory.h"

#include <stdlib.h>

#include "proto/base/assert.h"

bool se_memory_charge(struct se_memory *memory, uint64_t size)
{
    SB_ASSERT(memory->now_bytes <= memory->limit_bytes);
    if (size > memory->limit_bytes - memory->now_bytes)
        return false;
    memory->now_bytes += size;
    memory->peak_bytes = SB_MAX(memory->peak_bytes, memory->now_bytes);
    return true;
}

void se_memory_refund(struct se_memory *memory, uint64_t size)
{
    SB_ASSERT(size <= memory->now_bytes);
    memory->now_bytes -= size;
}

static void *take(void *context, size_t size)
{
    struct se_memory *memory = context;
    if (!se_memory_charge(memory, size))
        return NULL;
    size_t rounded = (size + SB_CACHE_LINE - 1) & ~(size_t)(SB_CACHE_LINE - 1);
    void *block = aligned_alloc(SB_CACHE_LINE, rounded);
    if (block == NULL) {
        se_memory_refund(memory, size);
        return NULL;
    }
    memory->allocations++;
    return block;
}

static void give(void *context, void *block, size_t size)
{
    struct se_memory *memory = context;
    free(block);
    se_memory_refund(memory, size);
}

void se_memory_init(struct se_memory *memory, uint64_t limit_bytes)
{
    *memory = (struct se_memory){
        .interface = {.take = take, .give = give, .context = memory},
        .limit_bytes = limit_bytes,
    };
}

void se_memory_deinit(struct se_memory *memory)
{
    SB_ASSERT(memory->now_bytes == 0);
}

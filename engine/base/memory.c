/* SPDX-License-Identifier: MIT */
#include "engine/base/memory.h"

/* Counts before it allocates.  Blocks of pools come from the kernel (engine/base/blocks.h),
 * everything else from the heap, whose own part of an allocation is counted as well.
 *
 * The reserve is a 16th of the budget, but at least 256 KiB of a small one.  A quarter of that is
 * enough for the records of some hundred connections' acknowledgments. */

#include <stdlib.h>

#include "proto/base/assert.h"

#define RESERVE_SHIFT     4
#define RESERVE_BYTES_MIN ((uint64_t)256 * 1024)

uint64_t se_memory_bound(const struct se_memory *memory, enum se_need need)
{
    switch (need) {
    case SE_NEED_ORDINARY:
        return memory->limit_bytes - memory->reserve_bytes;
    case SE_NEED_CONN:
        return memory->limit_bytes - memory->reserve_bytes / 4;
    case SE_NEED_ESSENTIAL:
        return memory->limit_bytes;
    }
    SB_ASSERT(false);
}

static bool fits(const struct se_memory *memory, uint64_t size, enum se_need need)
{
    uint64_t bound = se_memory_bound(memory, need);
    return memory->now_bytes <= bound && size <= bound - memory->now_bytes;
}

/* `bytes` of large pieces that have waited are free. */
static void forget_large(struct se_memory *memory, uint64_t bytes)
{
    memory->interface.empty_bytes -= bytes;
    se_memory_refund(memory, bytes);
}

static void release(struct se_memory *memory)
{
    sb_memory_release(&memory->interface);
    forget_large(memory, se_large_release(&memory->large));
}

bool se_memory_trim(struct se_memory *memory)
{
    bool is_more = sb_memory_trim(&memory->interface);
    uint64_t bytes = se_large_trim(&memory->large);
    forget_large(memory, bytes);
    return is_more || se_large_is_waiting(&memory->large);
}

bool se_memory_has_room(struct se_memory *memory, uint64_t size, enum se_need need)
{
    if (fits(memory, size, need))
        return true;
    release(memory);
    if (fits(memory, size, need))
        return true;
    memory->refusals += need != SE_NEED_CONN;
    return false;
}

bool se_memory_charge(struct se_memory *memory, uint64_t size)
{
    SB_ASSERT(memory->now_bytes <= memory->limit_bytes);
    if (!se_memory_has_room(memory, size, SE_NEED_ESSENTIAL))
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

void *se_memory_take_heap(struct se_memory *memory, size_t size)
{
    if (!se_memory_has_room(memory, size, SE_NEED_ORDINARY) || !se_memory_charge(memory, size))
        return NULL;
    void *taken = malloc(size);
    if (taken == NULL)
        se_memory_refund(memory, size);
    return taken;
}

void se_memory_give_heap(struct se_memory *memory, void *taken, size_t size)
{
    free(taken);
    se_memory_refund(memory, size);
}

void *se_memory_take_large(struct se_memory *memory, size_t size)
{
    void *piece = se_large_take(&memory->large, size);
    if (piece != NULL) {
        memory->interface.empty_bytes -= size;
        return piece;
    }
    piece = se_memory_take_heap(memory, size);
    memory->allocations += piece != NULL;
    return piece;
}

void se_memory_give_large(struct se_memory *memory, void *piece, size_t size)
{
    se_large_keep(&memory->large, piece, size);
    memory->interface.empty_bytes += size;
}

static bool is_block(size_t size)
{
    return sb_memory_alignment(size) == size;
}

/* Returns the bytes of the heap that an allocation takes: the C library's head and what the
 * alignment costs are within a line. */
static size_t footprint(size_t size)
{
    size_t rounded = (size + SB_CACHE_LINE - 1) & ~(size_t)(SB_CACHE_LINE - 1);
    return is_block(size) ? size : rounded + SB_CACHE_LINE;
}

static void *take(void *context, size_t size)
{
    struct se_memory *memory = context;
    size_t charged = footprint(size);
    if (!se_memory_charge(memory, charged))
        return NULL;
    void *block = is_block(size) ? se_blocks_take(&memory->blocks, size)
                                 : aligned_alloc(SB_CACHE_LINE, charged);
    if (block == NULL) {
        se_memory_refund(memory, charged);
        return NULL;
    }
    memory->allocations++;
    return block;
}

static void give(void *context, void *block, size_t size)
{
    struct se_memory *memory = context;
    if (is_block(size))
        se_blocks_give(&memory->blocks, block, size);
    else
        free(block);
    se_memory_refund(memory, footprint(size));
}

static bool has_room(void *context, size_t size)
{
    return se_memory_has_room(context, size, SE_NEED_ORDINARY);
}

void se_memory_init(struct se_memory *memory, uint64_t limit_bytes)
{
    uint64_t reserve_bytes = SB_MAX(limit_bytes >> RESERVE_SHIFT, RESERVE_BYTES_MIN);
    *memory = (struct se_memory){
        .interface = {.take = take, .give = give, .context = memory, .has_room = has_room},
        .limit_bytes = limit_bytes,
        .reserve_bytes = SB_MIN(reserve_bytes, limit_bytes / 4),
    };
    se_blocks_init(&memory->blocks);
}

void se_memory_deinit(struct se_memory *memory)
{
    release(memory);
    SB_ASSERT(memory->now_bytes == 0);
    se_blocks_deinit(&memory->blocks);
}

/* SPDX-License-Identifier: MIT */
#include "engine/base/blocks.h"

/* Each region is aligned to its size and has its head in one page after its end, so that a block's
 * address leads to the head.  A bit per unit says which are in use.
 *
 * One region without a used unit is kept, so that a shard does not map and unmap all the time. */

#include <stdbool.h>
#include <sys/mman.h>

#include "proto/base/assert.h"
#include "proto/base/poison.h"
#include "proto/base/pool.h"

#define UNIT_SIZE   SB_BLOCK_SIZE_MIN
#define REGION_SIZE (SE_REGION_UNITS * UNIT_SIZE)
#define HEAD_SIZE   ((size_t)4096)

/* One bit in every 1, 2 and 4: where blocks of so many units may begin. */
#define BEGINS_1 UINT64_MAX
#define BEGINS_2 UINT64_C(0x5555555555555555)
#define BEGINS_4 UINT64_C(0x1111111111111111)

struct se_region {
    struct sb_link link;
    uint64_t used; /* bit i: unit i is in use */
};

_Static_assert(sizeof(struct se_region) <= HEAD_SIZE, "a head is one page");
_Static_assert(SB_BLOCK_SIZE_MAX == 4 * UNIT_SIZE, "BEGINS_4 is for the largest block");

#ifdef SB_ASAN
/* The leak checker does not look for pointers in memory that was mapped. */
void __lsan_register_root_region(const void *begin, size_t size);
void __lsan_unregister_root_region(const void *begin, size_t size);
#else
static void __lsan_register_root_region(const void *begin, size_t size)
{
    (void)begin, (void)size;
}
static void __lsan_unregister_root_region(const void *begin, size_t size)
{
    (void)begin, (void)size;
}
#endif

void se_blocks_init(struct se_blocks *blocks)
{
    sb_list_init(&blocks->open);
    sb_list_init(&blocks->full);
    blocks->region_count = 0;
}

static char *base_of(struct se_region *region)
{
    return (char *)region - REGION_SIZE;
}

static struct se_region *region_of(struct sb_link *link)
{
    return SB_CONTAINER_OF(link, struct se_region, link);
}

static bool unmap(void *at, size_t size)
{
    return size == 0 || munmap(at, size) == 0;
}

/* Maps a region, and gives back what the alignment costs in address space. */
static bool map_region(struct se_blocks *blocks)
{
    size_t size = 2 * REGION_SIZE + HEAD_SIZE;
    char *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return false;
    size_t before = -(uintptr_t)mapped & (REGION_SIZE - 1);
    char *base = mapped + before;
    char *end = base + REGION_SIZE + HEAD_SIZE;
    /* What cannot be given back is address space that is never touched. */
    (void)unmap(mapped, before);
    (void)unmap(end, (size_t)(mapped + size - end));

    struct se_region *region = (struct se_region *)(void *)(base + REGION_SIZE);
    region->used = 0;
    sb_list_init(&region->link);
    sb_list_push_front(&blocks->open, &region->link);
    blocks->region_count++;
    __lsan_register_root_region(base, REGION_SIZE);
    return true;
}

static void unmap_region(struct se_blocks *blocks, struct se_region *region)
{
    char *base = base_of(region);
    sb_list_remove(&region->link);
    blocks->region_count--;
    __lsan_unregister_root_region(base, REGION_SIZE);
    (void)unmap(base, REGION_SIZE + HEAD_SIZE);
}

void se_blocks_deinit(struct se_blocks *blocks)
{
    if (blocks->open.next == NULL)
        return; /* never initialised */
    SB_ASSERT(sb_list_is_empty(&blocks->full));
    struct sb_link *link;
    while ((link = sb_list_first(&blocks->open)) != NULL) {
        SB_ASSERT(region_of(link)->used == 0);
        unmap_region(blocks, region_of(link));
    }
}

/* Returns a bit for each unit at which a block of `count` units can begin. */
static uint64_t begins_of(const struct se_region *region, uint32_t count)
{
    uint64_t begins = ~region->used;
    switch (count) {
    case 1:
        return begins & BEGINS_1;
    case 2:
        return begins & begins >> 1 & BEGINS_2;
    default:
        SB_ASSERT(count == 4);
        begins &= begins >> 1;
        return begins & begins >> 2 & BEGINS_4;
    }
}

static uint64_t bits_of(uint32_t first, uint32_t count)
{
    return ((UINT64_C(1) << count) - 1) << first;
}

static void *take_from(struct se_blocks *blocks, struct se_region *region, uint32_t count)
{
    uint64_t begins = begins_of(region, count);
    if (begins == 0)
        return NULL;
    uint32_t first = (uint32_t)__builtin_ctzll(begins);
    region->used |= bits_of(first, count);
    if (region->used == UINT64_MAX) {
        sb_list_remove(&region->link);
        sb_list_push_back(&blocks->full, &region->link);
    }
    return base_of(region) + first * UNIT_SIZE;
}

void *se_blocks_take(struct se_blocks *blocks, size_t size)
{
    SB_ASSERT(size >= SB_BLOCK_SIZE_MIN && sb_memory_alignment(size) == size);
    uint32_t count = (uint32_t)(size / UNIT_SIZE);
    SB_LIST_EACH(link, &blocks->open) {
        void *block = take_from(blocks, region_of(link), count);
        if (block != NULL)
            return block;
    }
    if (!map_region(blocks))
        return NULL;
    return take_from(blocks, region_of(blocks->open.next), count);
}

void se_blocks_give(struct se_blocks *blocks, void *block, size_t size)
{
    char *at = block;
    char *base = at - ((uintptr_t)at & (REGION_SIZE - 1));
    struct se_region *region = (struct se_region *)(void *)(base + REGION_SIZE);
    uint64_t bits =
        bits_of((uint32_t)((size_t)(at - base) / UNIT_SIZE), (uint32_t)(size / UNIT_SIZE));
    SB_ASSERT((region->used & bits) == bits);
    if (region->used == UINT64_MAX) {
        sb_list_remove(&region->link);
        sb_list_push_back(&blocks->open, &region->link);
    }
    region->used &= ~bits;
    /* A failure only means that the pages stay. */
    (void)madvise(block, size, MADV_DONTNEED);
    if (region->used == 0 && blocks->open.next != blocks->open.prev)
        unmap_region(blocks, region);
}

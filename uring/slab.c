/* SPDX-License-Identifier: MIT */
#include "uring/slab.h"

/* The region is one anonymous mapping: the slots, then the stack of free
 * indices, then one byte per slot that records whether it is taken.  The byte costs
 * little compared with slots of 64 KB.  A slot that is given back twice fails an
 * assertion at once, instead of having two owners later. */

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/poison.h"

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

int su_slab_init(struct su_slab *slab, size_t slot_size, uint32_t slot_count, bool huge_pages)
{
    SB_ASSERT(slab != NULL);
    *slab = (struct su_slab){0};

    size_t slots_size;
    if (slot_size == 0 || slot_size > SIZE_MAX / 4 || slot_count == 0 || slot_count == SU_SLAB_NONE)
        return -EINVAL;
    slot_size = round_up(slot_size, SB_CACHE_LINE);
    if (__builtin_mul_overflow(slot_size, slot_count, &slots_size) || slots_size > SIZE_MAX / 4)
        return -EINVAL;

    size_t stack_size = (size_t)slot_count * sizeof(slab->free[0]);
    size_t mapped_size = slots_size + stack_size + slot_count;
    void *base = mmap(NULL, mapped_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    if (huge_pages)
        (void)madvise(base, mapped_size, MADV_HUGEPAGE);

    slab->base = base;
    slab->slot_size = slot_size;
    slab->mapped_size = mapped_size;
    slab->slot_count = slot_count;
    slab->free_count = slot_count;
    slab->free_count_min = slot_count;
    slab->clean_count = slot_count;
    slab->has_huge_pages = huge_pages;
    slab->free = (uint32_t *)(void *)(slab->base + slots_size);
    slab->is_used = slab->base + slots_size + stack_size;
    for (uint32_t i = 0; i < slot_count; i++)
        slab->free[i] = slot_count - 1 - i; /* slot 0 goes out first */
    SB_POISON(slab->base, slots_size);
    return 0;
}

void su_slab_deinit(struct su_slab *slab)
{
    if (slab->base == NULL)
        return;
    SB_ASSERT(slab->free_count == slab->slot_count);

    SB_UNPOISON(slab->base, slab->slot_size * slab->slot_count);
    (void)munmap(slab->base, slab->mapped_size);
    *slab = (struct su_slab){0};
}

uint32_t su_slab_take(struct su_slab *slab)
{
    SB_ASSERT(slab->base != NULL);
    if (slab->free_count == 0)
        return SU_SLAB_NONE;

    uint32_t index = slab->free[--slab->free_count];
    slab->free_count_min = SB_MIN(slab->free_count_min, slab->free_count);
    slab->clean_count = SB_MIN(slab->clean_count, slab->free_count);
    SB_ASSERT(index < slab->slot_count && !slab->is_used[index]);
    slab->is_used[index] = 1;
    SB_UNPOISON(su_slab_slot(slab, index), slab->slot_size);
    return index;
}

void su_slab_give(struct su_slab *slab, uint32_t index)
{
    SB_ASSERT(index < slab->slot_count && slab->is_used[index]);
    SB_ASSERT(slab->free_count < slab->slot_count);

    slab->is_used[index] = 0;
    slab->free[slab->free_count++] = index;
    SB_POISON(su_slab_slot(slab, index), slab->slot_size);
}

/* Whole pages only: those at its ends are shared with its neighbours. */
static void discard(const struct su_slab *slab, uint32_t index)
{
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)su_slab_slot(slab, index);
    uintptr_t first = (start + page_size - 1) / page_size * page_size;
    uintptr_t end = (start + slab->slot_size) / page_size * page_size;
    if (first < end)
        (void)madvise((void *)first, end - first, MADV_DONTNEED);
}

void su_slab_trim(struct su_slab *slab)
{
    for (uint32_t i = slab->clean_count; i < slab->free_count_min; i++)
        if (!slab->has_huge_pages && !slab->is_registered)
            discard(slab, slab->free[i]);
    slab->clean_count = SB_MAX(slab->clean_count, slab->free_count_min);
    slab->free_count_min = slab->free_count;
}

void su_slab_check(const struct su_slab *slab)
{
    uint32_t used_count = 0;
    for (uint32_t i = 0; i < slab->slot_count; i++)
        used_count += slab->is_used[i];
    SB_ASSERT(slab->free_count + used_count == slab->slot_count);
    SB_ASSERT(slab->clean_count <= slab->free_count_min);
    SB_ASSERT(slab->free_count_min <= slab->free_count);
    for (uint32_t i = 0; i < slab->free_count; i++)
        SB_ASSERT(slab->free[i] < slab->slot_count && !slab->is_used[slab->free[i]]);
}

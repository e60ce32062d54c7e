/* SPDX-License-Identifier: MIT */
#ifndef SU_SLAB_H
#define SU_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* One mapped region, cut into equal slots.
 *
 * The free list is a stack: the slot that came back last goes out first,
 * because it is the one that is still in the cache.  Memory is committed by the
 * first touch, so slots that are never taken cost address space only, and
 * su_slab_trim makes those so again that were not taken for a while.  Free
 * slots are poisoned for AddressSanitizer.
 *
 *     free_count + used_count == slot_count
 *     clean_count <= free_count_min <= free_count
 *     the free stack names every free slot once */

#define SU_SLAB_NONE UINT32_MAX

struct su_slab {
    uint8_t *base;      /* slot i starts at base + i * slot_size */
    size_t slot_size;   /* multiple of a cache line */
    size_t mapped_size; /* of the whole region, with the stack after the slots */
    uint32_t slot_count;
    uint32_t free_count;
    uint32_t free_count_min; /* since the last trim: what lies below was not taken */
    uint32_t clean_count;    /* free[0 .. clean_count - 1] have no memory of their own */
    bool has_huge_pages;
    bool is_registered; /* with a ring, which keeps these very pages: they must not be replaced */
    uint32_t *free;     /* free[0 .. free_count - 1] */
    uint8_t *is_used;   /* one byte per slot */
};

/* Maps `slot_count` slots of at least `slot_size` bytes (rounded up to a cache line).
 * `huge_pages` asks for transparent huge pages, which the kernel may not give.
 * 0, or -ENOMEM, or -EINVAL if the sizes are 0 or overflow.  Threads: any. */
SB_MUST_USE int su_slab_init(struct su_slab *slab, size_t slot_size, uint32_t slot_count,
                             bool huge_pages);

/* Every slot must have come back.  Accepts an all-zero slab. */
void su_slab_deinit(struct su_slab *slab);

/* Returns the index of a free slot with undefined content, or SU_SLAB_NONE.  Threads: one at a
 * time. */
SB_MUST_USE uint32_t su_slab_take(struct su_slab *slab);
void su_slab_give(struct su_slab *slab, uint32_t index);

/* Gives the memory of free slots that were not taken since the last call back to the kernel;
 * their content is gone.  Not with huge pages, which it would break up, nor if registered. */
void su_slab_trim(struct su_slab *slab);

static inline uint8_t *su_slab_slot(const struct su_slab *slab, uint32_t index)
{
    SB_ASSERT(index < slab->slot_count);
    return slab->base + (size_t)index * slab->slot_size;
}

/* Asserts the equations above by walking the stack. */
void su_slab_check(const struct su_slab *slab);

#endif

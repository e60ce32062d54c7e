/* SPDX-License-Identifier: MIT */
#include "engine/base/large.h"

/* A list for each size.  A piece that waits has the link to the next one in its first bytes, and is
 * poisoned for AddressSanitizer. */

#include <stdlib.h>

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/base/poison.h"

struct se_spare {
    struct se_spare *next;
};

/* Returns log2 of `size`, rounded down. */
static uint32_t exponent_of(size_t size)
{
    return 63 - (uint32_t)__builtin_clzll(size);
}

static struct se_large_class *class_of(struct se_large *large, size_t size)
{
    SB_ASSERT(size >= SE_LARGE_SIZE_MIN && size <= SE_LARGE_SIZE_MAX && (size & (size - 1)) == 0);
    return &large->classes[exponent_of(size) - exponent_of(SE_LARGE_SIZE_MIN)];
}

size_t se_large_size_for(size_t size)
{
    SB_ASSERT(size <= SE_LARGE_SIZE_MAX);
    return size <= SE_LARGE_SIZE_MIN ? SE_LARGE_SIZE_MIN : (size_t)2 << exponent_of(size - 1);
}

size_t se_large_size_within(size_t size)
{
    SB_ASSERT(size >= SE_LARGE_SIZE_MIN);
    return SB_MIN((size_t)1 << exponent_of(size), SE_LARGE_SIZE_MAX);
}

void *se_large_take(struct se_large *large, size_t size)
{
    struct se_large_class *class = class_of(large, size);
    struct se_spare *spare = class->first;
    if (spare == NULL)
        return NULL;
    SB_UNPOISON(spare, size);
    class->first = spare->next;
    class->count--;
    class->least_count = SB_MIN(class->least_count, class->count);
    return spare;
}

void se_large_keep(struct se_large *large, void *piece, size_t size)
{
    struct se_large_class *class = class_of(large, size);
    struct se_spare *spare = piece;
    spare->next = class->first;
    class->first = spare;
    class->count++;
    SB_POISON(spare, size);
}

/* Frees `count` of the pieces that wait.  Returns their bytes. */
static uint64_t free_some(struct se_large *large, uint32_t index, uint32_t count)
{
    size_t size = SE_LARGE_SIZE_MIN << index;
    for (uint32_t i = 0; i < count; i++)
        free(se_large_take(large, size));
    return count * (uint64_t)size;
}

uint64_t se_large_trim(struct se_large *large)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < SE_LARGE_CLASSES; i++) {
        struct se_large_class *class = &large->classes[i];
        bytes += free_some(large, i, class->least_count);
        class->least_count = class->count;
    }
    return bytes;
}

bool se_large_is_waiting(const struct se_large *large)
{
    for (uint32_t i = 0; i < SE_LARGE_CLASSES; i++)
        if (large->classes[i].count > 0)
            return true;
    return false;
}

uint64_t se_large_release(struct se_large *large)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < SE_LARGE_CLASSES; i++)
        bytes += free_some(large, i, large->classes[i].count);
    return bytes;
}

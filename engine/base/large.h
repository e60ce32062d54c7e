/* SPDX-License-Identifier: MIT */
#ifndef SE_LARGE_H
#define SE_LARGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Large pieces of memory from the heap: a power of two, from SE_LARGE_SIZE_MIN to
 * SE_LARGE_SIZE_MAX.
 *
 * The C library gives such memory back to the kernel at once, so that each use of it meets fresh
 * pages: of a message of 3 MB these cost more than everything else.  Therefore pieces that come
 * back wait for their next use, the last one first, until a trim finds that they were not needed,
 * or until memory is short. */

enum { SE_LARGE_CLASSES = 7 };

#define SE_LARGE_SIZE_MIN ((size_t)16 * 1024)
#define SE_LARGE_SIZE_MAX (SE_LARGE_SIZE_MIN << (SE_LARGE_CLASSES - 1))

struct se_spare;

/* Pieces of one size that wait.  least_count <= count */
struct se_large_class {
    struct se_spare *first;
    uint32_t count;
    uint32_t least_count; /* since the last trim */
};

struct se_large {
    struct se_large_class classes[SE_LARGE_CLASSES];
};

/* Returns the smallest size that has room for `size` <= SE_LARGE_SIZE_MAX bytes. */
size_t se_large_size_for(size_t size);
/* Returns the largest size that is at most `size` >= SE_LARGE_SIZE_MIN bytes. */
size_t se_large_size_within(size_t size);

/* Takes a piece that waits.  NULL: there is none. */
void *se_large_take(struct se_large *large, size_t size);
/* Lets it wait. */
void se_large_keep(struct se_large *large, void *piece, size_t size);

/* Frees those that were not needed since the last call.  Returns their bytes. */
uint64_t se_large_trim(struct se_large *large);
/* Returns whether any wait. */
bool se_large_is_waiting(const struct se_large *large);
/* Frees all that wait.  Returns their bytes. */
uint64_t se_large_release(struct se_large *large);

#endif

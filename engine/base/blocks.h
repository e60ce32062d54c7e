/* SPDX-License-Identifier: MIT */
#ifndef SE_BLOCKS_H
#define SE_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"

/* Blocks of pools, straight from the kernel.
 *
 * A region is 1 MiB of address space, cut into 64 units of 16 KiB; a block is 1, 2 or 4 units.  The
 * pages of a block go back to the kernel as soon as it is given back, so that the resident memory
 * of the process follows the blocks in use.  The C library's heap would keep them. */

#define SE_REGION_UNITS 64

struct se_blocks {
    struct sb_link open; /* struct se_region.link: regions that have a free unit */
    struct sb_link full;
    uint32_t region_count;
};

void se_blocks_init(struct se_blocks *blocks);

/* Frees all regions; every block must have come back. */
void se_blocks_deinit(struct se_blocks *blocks);

/* Returns a block of `size` bytes, a power of two from SB_BLOCK_SIZE_MIN to SB_BLOCK_SIZE_MAX,
 * aligned to its size.  Its content is undefined.  Returns NULL if the kernel refuses. */
SB_MUST_USE void *se_blocks_take(struct se_blocks *blocks, size_t size);

void se_blocks_give(struct se_blocks *blocks, void *block, size_t size);

#endif

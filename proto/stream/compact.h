/* SPDX-License-Identifier: MIT */
#ifndef SP_COMPACT_H
#define SP_COMPACT_H

#include <stdint.h>

#include "proto/stream/copies.h"
#include "proto/stream/pieces.h"

/* Frees receive buffers and large copies of which few bytes are queued, by copying those.  Without
 * memory for the copies everything stays as it is. */

enum {
    /* A buffer is badly used if less than this part of it is queued: directly after a batch, .. */
    SP_COMPACT_PART = 8,
    /* .. and later, if there are few buffers. */
    SP_COMPACT_PART_SCARCE = 4,
};

/* Copies the pieces that were queued since the last call, out of badly used buffers. */
void sp_compact_fresh(struct sp_copies *copies);

/* Looks at the `count_max` pieces that have not been looked at for longest, and copies those that
 * are in badly used buffers. */
void sp_compact_old(struct sp_copies *copies, uint32_t count_max);

/* Moves what is left of a piece into a small copy, if that is enough and it keeps a large one. */
void sp_compact_rest(struct sp_piece *piece);

#endif

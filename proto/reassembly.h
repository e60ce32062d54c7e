/* SPDX-License-Identifier: MIT */
#ifndef SP_REASSEMBLY_H
#define SP_REASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/pool.h"
#include "proto/base/slice.h"

/* Received bytes of a stream, put in order without copying them. */

/* A run of bytes: a slice of the packet that brought it. */
struct sp_piece {
    struct sp_piece *next;
    struct sp_piece *prev;
    uint64_t offset;
    struct sb_slice slice;
};

/* Where the pieces of one connection come from, with a bound over all its streams. */
struct sp_piece_store {
    struct sb_pool *pool;
    uint32_t count;
    uint32_t count_max;
    uint32_t count_reserve; /* more, for what fills a first gap: or a full store stays full */
};

/* Pieces in rising order, disjoint, not empty, all at or above `read_end`.
 *
 *     received_bytes = read_end + sum of the pieces' sizes    (each byte counts once)
 */
struct sp_reassembly {
    struct sp_piece_store *store; /* borrowed */
    struct sp_piece *first;
    struct sp_piece *last;
    uint64_t read_end; /* bytes handed out */
    uint64_t received_bytes;
};

void sp_reassembly_init(struct sp_reassembly *reassembly, struct sp_piece_store *store);

/* Drops all pieces. */
void sp_reassembly_clear(struct sp_reassembly *reassembly);

/* Takes bytes that start at `offset`; what is known already is left out.  New references to
 * the slice's buffer are taken as needed: the caller keeps its own.  False at the bound of
 * pieces, or when a small slice lands deep among many: some of the bytes may have been
 * taken, none wrongly.  What begins at `read_end` is never too deep. */
SB_MUST_USE bool sp_reassembly_insert(struct sp_reassembly *reassembly, uint64_t offset,
                                      const struct sb_slice *slice);

/* Hands out the next bytes in order; the reference becomes the caller's.  False: a gap. */
bool sp_reassembly_next(struct sp_reassembly *reassembly, struct sb_slice *ret);

static inline bool sp_reassembly_is_readable(const struct sp_reassembly *reassembly)
{
    return reassembly->first != NULL && reassembly->first->offset == reassembly->read_end;
}

void sp_reassembly_check(const struct sp_reassembly *reassembly);

#endif

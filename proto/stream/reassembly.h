/* SPDX-License-Identifier: MIT */
#ifndef SP_REASSEMBLY_H
#define SP_REASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/slice.h"
#include "proto/stream/lent.h"
#include "proto/stream/pieces.h"

/* Received bytes of a stream, put in order.
 *
 * Runs of SP_PAGE_SIZE bytes or more stay in the buffer that brought them.  Shorter ones are copied
 * into pages, so that the memory in use is a small multiple of the range of offsets that the peer
 * has used, in whatever fragments the bytes come.
 *
 * Where the application has lent memory, the bytes are there: the cipher wrote them there, or they
 * were copied from the packet that brought them. */

/* Pieces in rising order, disjoint, not empty, all at or above `read_end`.
 *
 *     received_bytes = read_end + sum of the pieces' bytes that have arrived
 *     a piece is in lent memory, all of it, or beyond all lent memory
 *     an SP_PIECE_SLICE had SP_PAGE_SIZE bytes or more when it came; lend() may have cut it
 *     two pieces side by side do not fit into one page
 *     a page without bytes is the first piece: what was in it has been handed out
 */
struct sp_reassembly {
    struct sp_piece_store *store; /* borrowed */
    struct sp_pieces pieces;
    struct sp_lent *lent; /* the oldest buffer first */
    uint64_t read_end;    /* bytes handed out */
    uint64_t received_bytes;
    struct sp_piece *discarded_last; /* of its pieces in store->discarded, the last; or NULL */
};

void sp_reassembly_init(struct sp_reassembly *reassembly, struct sp_piece_store *store);

/* Drops all pieces at once: for a few of them.  Lent memory stays lent. */
void sp_reassembly_clear_pieces(struct sp_reassembly *reassembly);
static inline void sp_reassembly_clear(struct sp_reassembly *reassembly)
{
    if (reassembly->pieces.first != NULL)
        sp_reassembly_clear_pieces(reassembly);
}

/* Moves all pieces to store->discarded, in constant time.  Lent memory stays lent.  No bytes may be
 * inserted afterwards, and the queue must live until sp_reassembly_discard_some() returns it. */
void sp_reassembly_discard_pieces(struct sp_reassembly *reassembly);
static inline void sp_reassembly_discard(struct sp_reassembly *reassembly)
{
    if (reassembly->pieces.first != NULL)
        sp_reassembly_discard_pieces(reassembly);
}

/* Returns whether the store has pieces that the queue discarded. */
static inline bool sp_reassembly_is_discarding(const struct sp_reassembly *reassembly)
{
    return reassembly->discarded_last != NULL;
}

/* Frees discarded pieces, and takes 1 from `*steps` for each, until that is 0.  Returns a queue as
 * soon as it has none left: call it again then.  Returns NULL when no step or no piece is left. */
struct sp_reassembly *sp_reassembly_discard_some(struct sp_piece_store *store, uint32_t *steps);

/* Takes bytes that start at `offset`.  If a byte comes twice, one copy of it is kept, either one.
 * New references to the slice's buffer are taken as needed: the caller keeps its own.  Visits
 * O(log(pieces) + size / SP_PAGE_SIZE) pieces.  Returns false without memory, at the bound of
 * pieces, or when SP_REASSEMBLY_STEPS_MAX were visited since store->steps was 0: some of the bytes
 * may have been taken, none wrongly.  What begins at `read_end` is never refused because of
 * steps. */
SB_MUST_USE bool sp_reassembly_insert(struct sp_reassembly *reassembly, uint64_t offset,
                                      const struct sb_slice *slice);

/* The same for bytes that stand directly behind those of the last piece, in the stream and in their
 * buffer, as those of a train do that conn/pack.c has brought together: they cost no piece. Returns
 * false, and takes none, if they do not. */
SB_MUST_USE bool sp_reassembly_extend(struct sp_reassembly *reassembly, uint64_t offset,
                                      const struct sb_slice *slice);

/* The same for bytes that end the stream: a short message needs no page that could take more. */
SB_MUST_USE bool sp_reassembly_insert_last(struct sp_reassembly *reassembly, uint64_t offset,
                                           const struct sb_slice *slice);

/* Lends memory for the bytes after those for which memory is lent already, or that were handed
 * out.  Those that have arrived are copied there.  `*ret_offset`: of data[0] in the stream.
 * Returns false, and changes nothing, at the bound of buffers or pieces. */
SB_MUST_USE bool sp_reassembly_lend(struct sp_reassembly *reassembly, uint8_t *data, uint64_t size,
                                    uint64_t tag, uint64_t *ret_offset);

/* Where `size` bytes from `offset` on belong, if that is lent memory in one piece and none of them
 * has been received; otherwise NULL.  Bytes that are written there become received by
 * sp_reassembly_insert() with that very place as its slice. */
uint8_t *sp_reassembly_gap(const struct sp_reassembly *reassembly, uint64_t offset, uint64_t size);

/* Bytes in lent memory. */
struct sp_placed {
    const uint8_t *data;
    uint64_t size;
    uint64_t offset;
    uint64_t tag;
    bool is_returned; /* the buffer is no longer lent */
};

/* Hands out the next bytes in order, while memory is lent for them.  False: a gap. */
bool sp_reassembly_next_placed(struct sp_reassembly *reassembly, struct sp_placed *ret);

/* For the end: gives the oldest lent buffer back, whatever is in it, and drops all pieces.  False:
 * there is none. */
bool sp_reassembly_unlend(struct sp_reassembly *reassembly, struct sp_placed *ret);

/* Hands out the next bytes in order where no memory is lent; the reference becomes the caller's.
 * False: a gap. */
bool sp_reassembly_next(struct sp_reassembly *reassembly, struct sb_slice *ret);

static inline bool sp_reassembly_is_readable(const struct sp_reassembly *reassembly)
{
    const struct sp_piece *first = reassembly->pieces.first;
    return first != NULL && first->offset == reassembly->read_end && sp_piece_has_first(first);
}

void sp_reassembly_check(const struct sp_reassembly *reassembly);

#endif

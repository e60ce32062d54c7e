/* SPDX-License-Identifier: MIT */
#ifndef SP_REASSEMBLY_IMPL_H
#define SP_REASSEMBLY_IMPL_H

#include "proto/stream/reassembly.h"

/* What reassembly*.c and compact.c share: only for them. */

/* What making a page counts as: about the time of so many visits, with memory that is not in the
 * cache. */
#define SP_PAGE_STEPS 16

/* Links a new piece after `after`, or first if that is NULL, with one reference to `buffer`.
 * Returns NULL without memory or at the bound of pieces, and drops the reference.  Does not count
 * received bytes. */
SB_MUST_USE struct sp_piece *sp_reassembly_link(struct sp_reassembly *reassembly,
                                                struct sp_piece *after, uint64_t offset,
                                                enum sp_piece_kind kind, struct sb_buffer *buffer);

/* Unlinks a piece, drops its reference and frees it.  Does not count received bytes. */
void sp_reassembly_unlink(struct sp_reassembly *reassembly, struct sp_piece *piece);

/* Where a page begins and ends that is to take the byte at `at`. */
struct sp_page_range {
    uint64_t start;
    uint64_t end;
};

/* Returns the aligned range around `at`, as far as it lies in [least, most) and in the gap after
 * `after`. */
struct sp_page_range sp_reassembly_page_range(const struct sp_reassembly *reassembly,
                                              const struct sp_piece *after, uint64_t at,
                                              uint64_t least, uint64_t most);

/* Takes over bytes that fill the gap after `after` from `at` on, where memory is lent: at most
 * `size`, and as many as fit.  Returns the piece that holds them, or NULL at the bound. */
SB_MUST_USE struct sp_piece *sp_reassembly_place(struct sp_reassembly *reassembly,
                                                 const struct sp_lent *lent, struct sp_piece *after,
                                                 uint64_t at, const uint8_t *data, uint64_t size);

/* Adds bytes to a page in lent memory.  Returns the piece that holds them now: a page that has
 * become full grows together with its neighbours. */
struct sp_piece *sp_reassembly_place_in_page(struct sp_reassembly *reassembly,
                                             struct sp_piece *piece, uint64_t at,
                                             const uint8_t *data, uint64_t size);

/* Joins `left` with the next piece if sp_pieces_fit().  Returns the piece that holds the bytes of
 * `left` now; the next one stays where it is, `left` may be freed. */
struct sp_piece *sp_reassembly_join(struct sp_reassembly *reassembly, struct sp_piece *left);

/* Joins `piece` with its neighbours on both sides.  Returns the piece that holds its bytes now. */
struct sp_piece *sp_reassembly_join_both(struct sp_reassembly *reassembly, struct sp_piece *piece);

#endif

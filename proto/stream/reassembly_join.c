/* SPDX-License-Identifier: MIT */
#include "proto/stream/reassembly_impl.h"

/* Joins pages that cover few offsets.
 *
 * A page takes as much memory for one byte as for SP_PAGE_SIZE.  Usually it covers so many offsets,
 * but its neighbours may leave it fewer, a slice is copied into pages of which the last is short,
 * and reading takes offsets away from the first page.  Two pages side by side that fit into one
 * become one, whenever one of them is made or cut.  So any two of them, one after the other, cover
 * more than SP_PAGE_SIZE offsets, from the start of the one to the end of the other, and only the
 * first and the last piece may hold much more memory than the peer has used credit.
 *
 * It needs no memory, and so always succeeds.  Joining takes less time than making the page that it
 * frees. */

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/base/steps.h"

/* Moves the bytes of both into the copy of `right`.  Only the first piece can have lost bytes at
 * its start or can be in the hands of the application. */
static void move_bytes(const struct sp_piece *left, struct sp_piece *right)
{
    uint8_t *memory = sp_copy_data(right->buffer);
    SB_ASSERT(right->data == memory && right->buffer->ref_count == 1);
    memmove(memory + (right->offset - left->offset), memory, right->size);
    memcpy(memory, left->data, left->size);
}

struct sp_piece *sp_reassembly_join(struct sp_reassembly *reassembly, struct sp_piece *left)
{
    struct sp_piece *right = left->next;
    if (right == NULL || !sp_pieces_fit(left, right))
        return left;
    SB_STEP();
    if (right->kind == SP_PIECE_COPY)
        move_bytes(left, right);
    sp_page_join(left, right);
    sp_reassembly_unlink(reassembly, left);
    return right;
}

struct sp_piece *sp_reassembly_join_both(struct sp_reassembly *reassembly, struct sp_piece *piece)
{
    if (piece->prev != NULL)
        (void)sp_reassembly_join(reassembly, piece->prev); /* `piece` stays */
    return sp_reassembly_join(reassembly, piece);
}

/* SPDX-License-Identifier: MIT */
#include "proto/stream/compact.h"

/* Copies pieces out of buffers that they use badly.
 *
 * A receive buffer holds 64 KiB.  Usually nearly all of it is queued behind a lost packet, or
 * nothing.  But a peer can have a buffer delivered in which only one datagram waits for a gap, or
 * send datagrams so that each gets a buffer of its own. */

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/stream/reassembly_impl.h"

static bool is_badly_used(const struct sb_buffer *buffer, uint32_t part)
{
    return (uint64_t)buffer->queued_bytes * part < buffer->size;
}

/* Copies the first bytes of `piece`.  Returns how many, 0 without memory. */
static uint64_t copy_first(struct sp_piece *piece, struct sb_buffer **ret)
{
    struct sp_piece_store *store = piece->owner->store;
    uint64_t size = sp_copy_size_for(piece->size);
    *ret = sp_copies_take(store->copies, store->holding, size, true);
    if (*ret == NULL)
        return 0;
    size = SB_MIN(size, piece->size);
    memcpy(sp_copy_data(*ret), piece->data, size);
    store->packed_bytes += size;
    return size;
}

/* Makes a piece of its own of the first `size` bytes of `piece`, which are in `copy`. */
static bool cut_first(struct sp_piece *piece, uint64_t size, struct sb_buffer *copy)
{
    struct sp_piece *first = sp_piece_take(piece->owner->store, SP_PIECE_COPY, copy, true);
    if (first == NULL)
        return false;
    first->owner = piece->owner;
    first->offset = piece->offset;
    first->size = size;
    first->data = sp_copy_data(copy);
    sp_pieces_insert(&piece->owner->pieces, piece->prev, first);
    piece->offset += size;
    piece->data += size;
    piece->size -= size;
    return true;
}

/* Copies all of a piece, or drops its bytes if nobody will get them.  Returns false without memory:
 * the rest of it stays where it is. */
static bool copy_out(struct sp_piece *piece)
{
    struct sp_piece_store *store = piece->owner->store;
    struct sb_buffer *buffer = piece->buffer;
    struct sb_buffer *copy;
    sp_piece_unpin(store, piece);
    if (sp_reassembly_is_discarding(piece->owner)) {
        piece->kind = SP_PIECE_COPY;
        piece->buffer = NULL;
        sb_buffer_unref(buffer);
        return true;
    }
    for (uint64_t size; (size = copy_first(piece, &copy)) > 0;) {
        if (size < piece->size) {
            if (cut_first(piece, size, copy))
                continue;
            break;
        }
        piece->kind = SP_PIECE_COPY;
        piece->buffer = copy;
        piece->data = sp_copy_data(copy);
        sb_buffer_unref(buffer);
        (void)sp_reassembly_join_both(piece->owner, piece);
        return true;
    }
    sp_piece_pin(store, piece);
    return false;
}

void sp_compact_rest(struct sp_piece *piece)
{
    if (piece->size > SP_PAGE_SIZE || !sp_copy_is_large(piece->buffer))
        return;
    struct sp_piece_store *store = piece->owner->store;
    struct sb_buffer *large = piece->buffer;
    struct sb_buffer *copy;
    if (copy_first(piece, &copy) == 0)
        return;
    if (piece->kind == SP_PIECE_SLICE) /* of a packet that waited for its keys */
        sp_piece_unpin(store, piece);
    piece->kind = SP_PIECE_COPY;
    piece->buffer = copy;
    piece->data = sp_copy_data(copy);
    sb_buffer_unref(large);
}

void sp_compact_fresh(struct sp_copies *copies)
{
    struct sb_link *link = copies->mark.next;
    if (link == &copies->pinned)
        return;
    for (struct sb_link *next; link != &copies->pinned; link = next) {
        next = link->next;
        struct sp_piece *piece = SB_CONTAINER_OF(link, struct sp_piece, pin_link);
        if (is_badly_used(piece->buffer, SP_COMPACT_PART) && !copy_out(piece))
            break;
    }
    sb_list_remove(&copies->mark);
    sb_list_push_back(&copies->pinned, &copies->mark);
}

void sp_compact_old(struct sp_copies *copies, uint32_t count_max)
{
    for (uint32_t i = 0; i < count_max; i++) {
        struct sb_link *link = copies->pinned.next;
        if (link == &copies->mark || link == &copies->pinned)
            return;
        struct sp_piece *piece = SB_CONTAINER_OF(link, struct sp_piece, pin_link);
        if (!is_badly_used(piece->buffer, SP_COMPACT_PART_SCARCE) &&
            !sp_reassembly_is_discarding(piece->owner)) {
            sb_list_remove(link);
            sb_list_insert_before(&copies->mark, link);
        } else if (!copy_out(piece)) {
            return;
        }
    }
}

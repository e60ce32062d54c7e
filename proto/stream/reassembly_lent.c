/* SPDX-License-Identifier: MIT */
#include "proto/stream/reassembly.h"

/* Reassembly in lent memory.
 *
 * Bytes in lent memory are pieces like others, without a buffer.  Full ones that meet grow
 * together: bytes in order are one piece, however many packets brought them.  Short runs out of
 * order are recorded in pages, whose bytes are in the lent memory too. */

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/stream/compact.h"
#include "proto/stream/reassembly_impl.h"
#include "proto/wire/limits.h"

static bool is_full_lent(const struct sp_piece *piece)
{
    return piece != NULL && piece->kind == SP_PIECE_LENT && sp_piece_is_full(piece);
}

/* Brings bytes to where they belong in lent memory, from `lent` on, unless the cipher wrote them
 * there. */
static void bring(struct sp_reassembly *reassembly, const struct sp_lent *lent, uint64_t offset,
                  const uint8_t *data, uint64_t size)
{
    SB_ASSERT(offset >= lent->offset);
    for (uint64_t part; size > 0; size -= part, lent = lent->next) {
        uint8_t *to = lent->data + (offset - lent->offset);
        part = SB_MIN(size, sp_lent_end(lent) - offset);
        if (to != data) {
            memcpy(to, data, part);
            reassembly->store->copied_bytes += part;
        }
        offset += part;
        data += part;
    }
}

/* Joins a full piece with full neighbours that it touches.  Returns the piece that has them all. */
static struct sp_piece *grow_together(struct sp_reassembly *reassembly, struct sp_piece *piece)
{
    struct sp_piece *prev = piece->prev;
    SB_ASSERT(is_full_lent(piece));
    if (is_full_lent(prev) && sp_piece_end(prev) == piece->offset) {
        prev->size += piece->size;
        sp_reassembly_unlink(reassembly, piece);
        piece = prev;
    }
    struct sp_piece *next = piece->next;
    if (is_full_lent(next) && sp_piece_end(piece) == next->offset) {
        piece->size += next->size;
        sp_reassembly_unlink(reassembly, next);
    }
    return piece;
}

struct sp_piece *sp_reassembly_place_in_page(struct sp_reassembly *reassembly,
                                             struct sp_piece *piece, uint64_t at,
                                             const uint8_t *data, uint64_t size)
{
    bring(reassembly, sp_lent_find(reassembly->lent, at), at, data, size);
    reassembly->received_bytes += sp_page_add(piece, at, size);
    return sp_piece_is_full(piece) ? grow_together(reassembly, piece) : piece;
}

/* Links a piece for a run that touches no full one. */
static struct sp_piece *link_run(struct sp_reassembly *reassembly, const struct sp_lent *lent,
                                 struct sp_piece *after, uint64_t at, uint64_t size)
{
    struct sp_page_range range = {.start = at, .end = at + size};
    bool is_page = at != reassembly->read_end && size < SP_PAGE_SIZE;
    if (is_page)
        range = sp_reassembly_page_range(reassembly, after, at, lent->offset, sp_lent_end(lent));
    struct sp_piece *piece =
        sp_reassembly_link(reassembly, after, range.start, SP_PIECE_LENT, NULL);
    if (piece == NULL)
        return NULL;
    piece->size = range.end - range.start;
    if (is_page) {
        sp_page_init(piece);
        reassembly->store->steps += SP_PAGE_STEPS;
    }
    return piece;
}

struct sp_piece *sp_reassembly_place(struct sp_reassembly *reassembly, const struct sp_lent *lent,
                                     struct sp_piece *after, uint64_t at, const uint8_t *data,
                                     uint64_t size)
{
    size = SB_MIN(size, sp_lent_end(lent) - at);
    struct sp_piece *next = after != NULL ? after->next : reassembly->pieces.first;
    struct sp_piece *piece = after;
    if (is_full_lent(after) && sp_piece_end(after) == at) {
        after->size += size;
    } else if (is_full_lent(next) && next->offset == at + size) {
        piece = next;
        piece->offset = at;
        piece->size += size;
    } else {
        piece = link_run(reassembly, lent, after, at, size);
        if (piece == NULL)
            return NULL;
        if (!sp_piece_is_full(piece)) {
            size = SB_MIN(size, sp_piece_end(piece) - at);
            return sp_reassembly_place_in_page(reassembly, piece, at, data, size);
        }
    }
    bring(reassembly, lent, at, data, size);
    reassembly->received_bytes += size;
    return grow_together(reassembly, piece);
}

/* ---- Lending ---- */

/* Makes two pieces of one that goes across `at`.  False at the bound. */
static bool split(struct sp_reassembly *reassembly, struct sp_piece *piece, uint64_t at)
{
    uint64_t size = sp_piece_end(piece) - at;
    uint64_t count = sp_page_count(piece, at, size);
    if (count > 0) {
        sb_buffer_ref(piece->buffer);
        struct sp_piece *rest = sp_reassembly_link(reassembly, piece, at,
                                                   (enum sp_piece_kind)piece->kind, piece->buffer);
        if (rest == NULL)
            return false;
        rest->size = size;
        rest->data = piece->data + (at - piece->offset);
        rest->missing = (uint16_t)(size - count);
        if (piece->kind == SP_PIECE_SLICE)
            sp_piece_pin(reassembly->store, rest);
        else
            memcpy(rest->bits, piece->bits, sizeof(rest->bits));
        sp_compact_rest(rest);
        (void)sp_reassembly_join(reassembly, rest);
    }
    if (piece->kind == SP_PIECE_SLICE)
        sp_piece_unpin(reassembly->store, piece);
    piece->size -= size;
    piece->missing = (uint16_t)(piece->missing - (size - count));
    if (piece->kind == SP_PIECE_SLICE)
        sp_piece_pin(reassembly->store, piece);
    return true;
}

/* Moves what has arrived for `lent` there. */
static void collect(struct sp_reassembly *reassembly, const struct sp_lent *lent)
{
    struct sp_piece *piece = reassembly->pieces.first;
    while (piece != NULL && piece->offset < sp_lent_end(lent)) {
        struct sp_piece *next = piece->next;
        if (piece->missing == piece->size) {
            sp_reassembly_unlink(reassembly, piece);
            piece = next;
            continue;
        }
        if (piece->kind != SP_PIECE_LENT) {
            /* Of a page, also what is missing: it means nothing there. */
            bring(reassembly, lent, piece->offset, piece->data, piece->size);
            if (piece->kind == SP_PIECE_SLICE)
                sp_piece_unpin(reassembly->store, piece);
            sb_buffer_unref(piece->buffer);
            piece->buffer = NULL;
            piece->data = NULL;
            piece->kind = SP_PIECE_LENT;
        }
        struct sp_piece *prev = piece->prev;
        if (is_full_lent(piece) && is_full_lent(prev) && sp_piece_end(prev) == piece->offset) {
            prev->size += piece->size;
            sp_reassembly_unlink(reassembly, piece);
        } else if (prev != NULL) {
            (void)sp_reassembly_join(reassembly, prev);
        }
        piece = next;
    }
}

static struct sp_lent *take_lent(struct sp_piece_store *store)
{
    struct sp_lent *lent = store->lent_pool != NULL ? sb_pool_take(store->lent_pool) : NULL;
    if (lent != NULL)
        store->lent_count++;
    return lent;
}

static void give_lent(struct sp_piece_store *store, struct sp_lent *lent)
{
    SB_ASSERT(store->lent_count > 0);
    store->lent_count--;
    sb_pool_give(store->lent_pool, lent);
}

bool sp_reassembly_lend(struct sp_reassembly *reassembly, uint8_t *data, uint64_t size,
                        uint64_t tag, uint64_t *ret_offset)
{
    SB_ASSERT(data != NULL && size > 0);
    struct sp_lent **link = &reassembly->lent;
    uint64_t offset = reassembly->read_end;
    uint32_t count = 0;
    for (; *link != NULL; link = &(*link)->next, count++)
        offset = sp_lent_end(*link);
    SB_ASSERT(size <= UINT64_MAX - offset);
    if (count == SP_LENT_BUFFERS_MAX)
        return false;

    uint64_t end = offset + size;
    uint32_t steps = 0;
    struct sp_piece *piece = sp_pieces_find(&reassembly->pieces, end, &steps);
    if (piece != NULL && piece->offset == end)
        piece = piece->prev;
    struct sp_lent *lent = take_lent(reassembly->store);
    if (lent == NULL)
        return false;
    if (piece != NULL && sp_piece_end(piece) > end && !split(reassembly, piece, end)) {
        give_lent(reassembly->store, lent);
        return false;
    }
    *lent = (struct sp_lent){.data = data, .size = size, .offset = offset, .tag = tag};
    *link = lent;
    collect(reassembly, lent);
    *ret_offset = offset;
    return true;
}

/* Returns the bytes from `offset` to the end of its buffer, plus those of the following buffers
 * that are adjacent in memory: a ring that is lent in parts counts as one range. */
static uint64_t room_of(const struct sp_lent *lent, uint64_t offset)
{
    uint64_t room = sp_lent_end(lent) - offset;
    for (; lent->next != NULL && lent->next->data == lent->data + lent->size; lent = lent->next)
        room += lent->next->size;
    return room;
}

uint8_t *sp_reassembly_gap(const struct sp_reassembly *reassembly, uint64_t offset, uint64_t size)
{
    const struct sp_lent *lent = sp_lent_find(reassembly->lent, offset);
    uint64_t end = offset + size;

    if (lent == NULL || offset < reassembly->read_end || size > room_of(lent, offset))
        return NULL;
    const struct sp_piece *piece =
        sp_pieces_find(&reassembly->pieces, offset, &reassembly->store->steps);
    if (piece == NULL)
        piece = reassembly->pieces.first;
    for (; piece != NULL && piece->offset < end; piece = piece->next) {
        uint64_t from = SB_MAX(piece->offset, offset);
        uint64_t to = SB_MIN(sp_piece_end(piece), end);
        if (from < to && sp_page_count(piece, from, to - from) > 0)
            return NULL;
    }
    return lent->data + (offset - lent->offset);
}

/* Returns the next `size` bytes of the oldest buffer as delivered, with `is_returned` if it is no
 * longer lent. */
static struct sp_placed report_lent(struct sp_reassembly *reassembly, uint64_t size,
                                    bool is_returned)
{
    struct sp_lent *lent = reassembly->lent;
    struct sp_placed placed = {
        .data = lent->data + lent->delivered_bytes,
        .size = size,
        .offset = lent->offset + lent->delivered_bytes,
        .tag = lent->tag,
        .is_returned = is_returned,
    };
    lent->delivered_bytes += size;
    SB_ASSERT(lent->delivered_bytes <= lent->size);
    if (is_returned) {
        reassembly->lent = lent->next;
        give_lent(reassembly->store, lent);
    }
    return placed;
}

bool sp_reassembly_next_placed(struct sp_reassembly *reassembly, struct sp_placed *ret)
{
    const struct sp_lent *lent = reassembly->lent;
    if (lent == NULL || !sp_reassembly_is_readable(reassembly))
        return false;
    SB_ASSERT(reassembly->read_end == lent->offset + lent->delivered_bytes);

    struct sp_piece *piece = reassembly->pieces.first;
    SB_ASSERT(piece->kind == SP_PIECE_LENT);
    uint64_t size = SB_MIN(sp_piece_run(piece), lent->size - lent->delivered_bytes);
    piece->offset += size;
    piece->size -= size;
    reassembly->read_end += size;
    if (piece->missing == piece->size)
        sp_reassembly_unlink(reassembly, piece);
    else
        (void)sp_reassembly_join(reassembly, piece);
    *ret = report_lent(reassembly, size, lent->delivered_bytes + size == lent->size);
    return true;
}

bool sp_reassembly_unlend(struct sp_reassembly *reassembly, struct sp_placed *ret)
{
    if (reassembly->lent == NULL)
        return false;
    sp_reassembly_discard(reassembly);
    *ret = report_lent(reassembly, 0, true);
    return true;
}

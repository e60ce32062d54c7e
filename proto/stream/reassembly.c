/* SPDX-License-Identifier: MIT */
#include "proto/stream/reassembly.h"

/* Reassembly by slices and pages.  What belongs into lent memory is in reassembly_lent.c.
 *
 * A page covers a range of at most SP_PAGE_SIZE offsets, aligned to that size as far as its
 * neighbours allow.  All bytes of the range belong to the page, whenever and however they come.  So
 * the number of pieces is bounded by the range of offsets that the peer has used: there is at most
 * one page per SP_PAGE_SIZE offsets, and one more beside each slice, which has at least that many
 * bytes.
 *
 * Where that leaves a page few offsets, it is joined with the next one: see reassembly_join.c.
 *
 * A page for bytes in order begins where they do.  The application may hold slices of it while the
 * next bytes are added.  Once it holds none, the page is used again from its start.  So small
 * messages of a stream lie side by side, and cost no allocation if they are released at once.
 *
 * What can be attacked: memory, by fragments: see above.  Time, by fragments among many pieces: a
 * frame costs a descent in a tree and a visit per SP_PAGE_SIZE bytes; the visits of a packet are
 * counted and bounded.  Different contents for one offset: RFC 9000 lets a receiver treat them as
 * an error, but does not ask for it [RFC9000 2.2]; comparing would touch bytes twice. */

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/base/steps.h"
#include "proto/stream/reassembly_impl.h"
#include "proto/wire/limits.h"

void sp_reassembly_init(struct sp_reassembly *reassembly, struct sp_piece_store *store)
{
    SB_ASSERT(store != NULL);
    *reassembly = (struct sp_reassembly){.store = store, .pieces = {.random = &store->random}};
}

struct sp_piece *sp_reassembly_link(struct sp_reassembly *reassembly, struct sp_piece *after,
                                    uint64_t offset, enum sp_piece_kind kind,
                                    struct sb_buffer *buffer)
{
    struct sp_piece_store *store = reassembly->store;
    SB_DEBUG_ASSERT(!sp_reassembly_is_discarding(reassembly));
    /* What is next in order frees memory: it, and what waits after it, is handed out at once. */
    bool is_next = offset == reassembly->read_end;
    uint32_t reserve = is_next ? store->count_reserve : 0;
    if (store->count >= store->count_max + reserve) {
        sb_buffer_unref(buffer);
        return NULL;
    }
    struct sp_piece *piece = sp_piece_take(store, kind, buffer, !is_next);
    if (piece == NULL)
        return NULL;
    piece->owner = reassembly;
    piece->offset = offset;
    sp_pieces_insert(&reassembly->pieces, after, piece);
    return piece;
}

void sp_reassembly_unlink(struct sp_reassembly *reassembly, struct sp_piece *piece)
{
    if (piece->kind == SP_PIECE_SLICE)
        sp_piece_unpin(reassembly->store, piece);
    sp_pieces_remove(&reassembly->pieces, piece);
    sb_buffer_unref(piece->buffer);
    sp_piece_give(reassembly->store, piece);
}

void sp_reassembly_clear_pieces(struct sp_reassembly *reassembly)
{
    for (struct sp_piece *piece; (piece = reassembly->pieces.first) != NULL;) {
        SB_STEP();
        reassembly->received_bytes -= piece->size - piece->missing;
        sp_reassembly_unlink(reassembly, piece);
    }
}

void sp_reassembly_discard_pieces(struct sp_reassembly *reassembly)
{
    struct sp_piece_store *store = reassembly->store;
    struct sp_pieces *pieces = &reassembly->pieces;
    /* The latest queue comes first: so the pieces of one queue need not be side by side. */
    if (reassembly->discarded_last == NULL)
        reassembly->discarded_last = pieces->last;
    pieces->last->next = store->discarded;
    store->discarded = pieces->first;
    *pieces = (struct sp_pieces){.random = pieces->random};
    reassembly->received_bytes = reassembly->read_end;
}

struct sp_reassembly *sp_reassembly_discard_some(struct sp_piece_store *store, uint32_t *steps)
{
    for (struct sp_piece *piece; *steps > 0 && (piece = store->discarded) != NULL; --*steps) {
        struct sp_reassembly *owner = piece->owner;
        SB_STEP();
        SB_ASSERT(owner->discarded_last != NULL);
        store->discarded = piece->next;
        if (piece->kind == SP_PIECE_SLICE)
            sp_piece_unpin(store, piece);
        sb_buffer_unref(piece->buffer);
        bool is_last = piece == owner->discarded_last;
        sp_piece_give(store, piece);
        if (!is_last)
            continue;
        owner->discarded_last = NULL;
        --*steps;
        return owner;
    }
    return NULL;
}

/* ---- Inserting ---- */

static struct sp_piece *next_of(const struct sp_reassembly *reassembly,
                                const struct sp_piece *after)
{
    return after != NULL ? after->next : reassembly->pieces.first;
}

struct sp_page_range sp_reassembly_page_range(const struct sp_reassembly *reassembly,
                                              const struct sp_piece *after, uint64_t at,
                                              uint64_t least, uint64_t most)
{
    const struct sp_piece *next = next_of(reassembly, after);
    struct sp_page_range range = {.start = at - at % SP_PAGE_SIZE};
    range.end = range.start + SP_PAGE_SIZE;
    least = SB_MAX(least, reassembly->read_end);
    range.start = SB_MAX(range.start, least);
    range.end = SB_MIN(range.end, most);
    if (after != NULL)
        range.start = SB_MAX(range.start, sp_piece_end(after));
    if (next != NULL)
        range.end = SB_MIN(range.end, next->offset);
    SB_ASSERT(range.start <= at && at < range.end);
    return range;
}

/* Returns where lent memory ends, 0 if there is none. */
static uint64_t lent_end(const struct sp_reassembly *reassembly)
{
    uint64_t end = 0;
    for (const struct sp_lent *lent = reassembly->lent; lent != NULL; lent = lent->next)
        end = sp_lent_end(lent);
    return end;
}

/* Copies bytes into a page. */
static void copy_into(struct sp_reassembly *reassembly, struct sp_piece *page, uint64_t at,
                      const uint8_t *data, uint64_t size)
{
    uint8_t *memory = sp_copy_data(page->buffer);
    memcpy(memory + (page->data - memory) + (at - page->offset), data, size);
    reassembly->store->packed_bytes += size;
    reassembly->received_bytes += sp_page_add(page, at, size);
}

/* Makes a page in the gap after `after` and copies bytes into it, as many as it takes.  Returns
 * NULL without memory. */
static struct sp_piece *fill_page(struct sp_reassembly *reassembly, struct sp_piece *after,
                                  uint64_t at, const uint8_t *data, uint64_t size)
{
    const struct sp_piece *next = next_of(reassembly, after);
    struct sp_page_range range = {.start = at, .end = at + SP_PAGE_SIZE};
    if (at == reassembly->read_end)
        range.end = next != NULL ? SB_MIN(range.end, next->offset) : range.end;
    else
        range = sp_reassembly_page_range(reassembly, after, at, lent_end(reassembly), UINT64_MAX);

    struct sp_piece_store *store = reassembly->store;
    struct sb_buffer *buffer =
        sp_copies_take(store->copies, store->holding, SP_PAGE_SIZE, at != reassembly->read_end);
    if (buffer == NULL)
        return NULL;
    struct sp_piece *page =
        sp_reassembly_link(reassembly, after, range.start, SP_PIECE_COPY, buffer);
    if (page == NULL)
        return NULL;
    page->size = range.end - range.start;
    page->data = sp_copy_data(buffer);
    sp_page_init(page);
    store->steps += SP_PAGE_STEPS;
    copy_into(reassembly, page, at, data, SB_MIN(size, range.end - at));
    return page;
}

static struct sp_piece *fill_slice(struct sp_reassembly *reassembly, struct sp_piece *after,
                                   uint64_t at, const struct sb_slice *slice, uint64_t skip,
                                   uint64_t size)
{
    sb_buffer_ref(slice->buffer);
    struct sp_piece *piece =
        sp_reassembly_link(reassembly, after, at, SP_PIECE_SLICE, slice->buffer);
    if (piece == NULL)
        return NULL;
    piece->size = size;
    piece->data = slice->data + skip;
    sp_piece_pin(reassembly->store, piece);
    reassembly->received_bytes += size;
    return piece;
}

/* Takes over the bytes of `slice` from `skip` on, at most `size` and as many as fit.  They fill the
 * gap after `after` from `at` on.  Returns the piece that holds them, or NULL at the bound. */
static struct sp_piece *fill(struct sp_reassembly *reassembly, struct sp_piece *after, uint64_t at,
                             const struct sb_slice *slice, uint64_t skip, uint64_t size)
{
    const struct sp_lent *lent = sp_lent_find(reassembly->lent, at);
    if (lent != NULL)
        return sp_reassembly_place(reassembly, lent, after, at, slice->data + skip, size);
    if (size < SP_PAGE_SIZE)
        return fill_page(reassembly, after, at, slice->data + skip, size);
    return fill_slice(reassembly, after, at, slice, skip, size);
}

/* Takes over bytes in the range of a piece.  Returns the piece that holds them. */
static struct sp_piece *add_to(struct sp_reassembly *reassembly, struct sp_piece *piece,
                               uint64_t at, const uint8_t *data, uint64_t size)
{
    if (sp_piece_is_full(piece))
        return piece;
    if (piece->kind == SP_PIECE_LENT)
        return sp_reassembly_place_in_page(reassembly, piece, at, data, size);
    copy_into(reassembly, piece, at, data, size);
    return piece;
}

/* If `page` is one, takes its end away from `at` on, unless a byte has arrived there: so that bytes
 * which need no copy are not cut in two.  Returns the piece that begins before `at`. */
static struct sp_piece *clip(struct sp_reassembly *reassembly, struct sp_piece *page, uint64_t at)
{
    if (at >= sp_piece_end(page) || sp_piece_is_full(page))
        return page;
    uint64_t cut = sp_piece_end(page) - at;
    if (sp_page_count(page, at, cut) > 0)
        return page;
    if (at == page->offset) {
        struct sp_piece *prev = page->prev;
        sp_reassembly_unlink(reassembly, page);
        return prev;
    }
    page->size -= cut;
    page->missing = (uint16_t)(page->missing - cut);
    if (page->prev != NULL)
        (void)sp_reassembly_join(reassembly, page->prev);
    return page;
}

/* The first page has been handed out, and nobody holds a slice of it: it begins anew. */
static void rewind_page(struct sp_piece *page)
{
    page->size = SP_PAGE_SIZE;
    if (page->next != NULL)
        page->size = SB_MIN(page->size, page->next->offset - page->offset);
    page->data = sp_copy_data(page->buffer);
    sp_page_init(page);
}

static bool can_rewind(const struct sp_piece *first)
{
    return first != NULL && first->missing == first->size && first->kind == SP_PIECE_COPY &&
           first->buffer->ref_count == 1;
}

/* The ordinary case: bytes of a full datagram come after all others. */
static bool is_appended(const struct sp_reassembly *reassembly, uint64_t offset, uint64_t size)
{
    const struct sp_piece *last = reassembly->pieces.last;
    uint64_t end = last != NULL ? sp_piece_end(last) : reassembly->read_end;
    return offset >= end && size >= SP_PAGE_SIZE && reassembly->lent == NULL;
}

bool sp_reassembly_extend(struct sp_reassembly *reassembly, uint64_t offset,
                          const struct sb_slice *slice)
{
    struct sp_piece *last = reassembly->pieces.last;
    if (last == NULL || last->kind != SP_PIECE_SLICE || last->buffer != slice->buffer ||
        slice->buffer == NULL || last->data + last->size != slice->data ||
        sp_piece_end(last) != offset)
        return false;
    SB_DEBUG_ASSERT(reassembly->lent == NULL);
    last->size += slice->size;
    last->buffer->queued_bytes += (uint32_t)slice->size;
    reassembly->store->holding->held_bytes += slice->size;
    reassembly->received_bytes += slice->size;
    return true;
}

/* Copies a short message, or the rest of one: in order, while nothing waits. */
static bool fill_copy(struct sp_reassembly *reassembly, const struct sb_slice *slice)
{
    struct sp_piece_store *store = reassembly->store;
    struct sb_buffer *buffer = sp_copies_take(store->copies, store->holding, SP_PAGE_SIZE, false);
    if (buffer == NULL)
        return false;
    struct sp_piece *piece =
        sp_reassembly_link(reassembly, NULL, reassembly->read_end, SP_PIECE_COPY, buffer);
    if (piece == NULL)
        return false;
    uint8_t *memory = sp_copy_data(buffer);
    memcpy(memory, slice->data, slice->size);
    piece->data = memory;
    piece->size = slice->size;
    store->packed_bytes += slice->size;
    store->steps += SP_PAGE_STEPS;
    reassembly->received_bytes += slice->size;
    return true;
}

bool sp_reassembly_insert_last(struct sp_reassembly *reassembly, uint64_t offset,
                               const struct sb_slice *slice)
{
    if (offset == reassembly->read_end && slice->size < SP_PAGE_SIZE && slice->size > 0 &&
        reassembly->pieces.first == NULL && reassembly->lent == NULL)
        return fill_copy(reassembly, slice);
    return sp_reassembly_insert(reassembly, offset, slice);
}

bool sp_reassembly_insert(struct sp_reassembly *reassembly, uint64_t offset,
                          const struct sb_slice *slice)
{
    uint32_t *steps = &reassembly->store->steps;
    if (is_appended(reassembly, offset, slice->size)) {
        ++*steps;
        if (sp_reassembly_extend(reassembly, offset, slice))
            return true;
        return fill_slice(reassembly, reassembly->pieces.last, offset, slice, 0, slice->size) !=
               NULL;
    }
    uint64_t end = offset + slice->size;
    uint64_t at = SB_MAX(offset, reassembly->read_end);
    if (at >= end)
        return true;
    if (at == reassembly->read_end && can_rewind(reassembly->pieces.first))
        rewind_page(reassembly->pieces.first);
    else if (at > reassembly->read_end && *steps > SP_REASSEMBLY_STEPS_MAX)
        return false;

    sp_pieces_settle(&reassembly->pieces, at);
    struct sp_piece *piece = sp_pieces_find(&reassembly->pieces, at, steps);
    for (; at < end; ++*steps) {
        if (piece != NULL && end - at >= SP_PAGE_SIZE)
            piece = clip(reassembly, piece, at);
        if (piece != NULL && at < sp_piece_end(piece)) {
            uint64_t part_end = SB_MIN(end, sp_piece_end(piece));
            piece = add_to(reassembly, piece, at, slice->data + (at - offset), part_end - at);
            at = part_end;
            continue;
        }
        struct sp_piece *next = next_of(reassembly, piece);
        uint64_t gap_end = next != NULL ? SB_MIN(end, next->offset) : end;
        if (gap_end == at) {
            piece = next;
            continue;
        }
        piece = fill(reassembly, piece, at, slice, at - offset, gap_end - at);
        if (piece == NULL)
            return false;
        at = SB_MIN(gap_end, sp_piece_end(piece));
        piece = sp_reassembly_join_both(reassembly, piece);
    }
    return true;
}

/* ---- Handing out ---- */

bool sp_reassembly_next(struct sp_reassembly *reassembly, struct sb_slice *ret)
{
    struct sp_piece *piece = reassembly->pieces.first;
    if (reassembly->lent != NULL || piece == NULL || piece->offset != reassembly->read_end)
        return false;
    uint64_t size = sp_piece_run(piece);
    if (size == 0)
        return false;
    SB_ASSERT(piece->kind != SP_PIECE_LENT);
    *ret = (struct sb_slice){.data = piece->data, .size = size, .buffer = piece->buffer};
    reassembly->read_end += size;
    if (size == piece->size) {
        if (piece->kind == SP_PIECE_SLICE)
            sp_piece_unpin(reassembly->store, piece);
        sp_pieces_remove_first(&reassembly->pieces);
        sp_piece_give(reassembly->store, piece); /* `ret` has taken its reference over */
        return true;
    }
    sb_buffer_ref(piece->buffer);
    piece->offset += size;
    piece->data += size;
    piece->size -= size;
    (void)sp_reassembly_join(reassembly, piece);
    return true;
}

static void check_piece(const struct sp_piece *piece, uint64_t lent_end)
{
    const struct sp_piece *prev = piece->prev;
    SB_ASSERT(piece->size > 0 && piece->missing <= piece->size);
    SB_ASSERT(piece->missing < piece->size || prev == NULL);
    SB_ASSERT(sp_piece_is_full(piece) || piece->size <= SP_PAGE_SIZE);
    SB_ASSERT(sp_page_count(piece, piece->offset, piece->size) == piece->size - piece->missing);
    SB_ASSERT(piece->buffer == NULL || piece->buffer->ref_count > 0);
    SB_ASSERT((piece->kind == SP_PIECE_LENT) == (piece->data == NULL));
    SB_ASSERT(prev == NULL || !sp_pieces_fit(prev, piece));
    if (piece->kind != SP_PIECE_LENT) {
        SB_ASSERT(piece->offset >= lent_end);
        return;
    }
    SB_ASSERT(sp_piece_end(piece) <= lent_end);
    /* Full ones side by side had grown together. */
    SB_ASSERT(prev == NULL || !sp_piece_is_full(prev) || !sp_piece_is_full(piece) ||
              sp_piece_end(prev) < piece->offset);
}

void sp_reassembly_check(const struct sp_reassembly *reassembly)
{
    uint64_t received = reassembly->read_end;
    uint64_t end = 0;
    for (const struct sp_lent *lent = reassembly->lent; lent != NULL; lent = lent->next) {
        SB_ASSERT(lent->delivered_bytes <= lent->size);
        SB_ASSERT(end == 0 || lent->offset == end);
        end = sp_lent_end(lent);
    }
    sp_pieces_check(&reassembly->pieces);
    for (const struct sp_piece *p = reassembly->pieces.first; p != NULL; p = p->next) {
        SB_ASSERT(p->owner == reassembly && p->offset >= reassembly->read_end);
        check_piece(p, end);
        received += p->size - p->missing;
    }
    SB_ASSERT(reassembly->received_bytes == received);
}

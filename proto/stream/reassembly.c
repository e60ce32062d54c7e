/* SPDX-License-Identifier: MIT */
#include "proto/stream/reassembly.h"

/* Reassembly by slices, and in lent memory.
 *
 * Bytes in lent memory are pieces like others, without a slice, and grow together: bytes in
 * order are one piece, however many packets brought them.
 *
 * The first copy of a byte wins: a later frame that covers it adds only what is missing.
 * RFC 9000 lets a receiver treat different contents at the same offset as an error, but
 * does not ask for it [RFC9000 2.2]; comparing would touch bytes twice.
 *
 * What can be attacked: tiny frames with gaps cost a piece each; a connection's pieces are
 * bounded by its store.  Tiny frames into the middle of them cost a walk each: the length of the
 * walk is bounded in proportion to the frame's size. */

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/wire/limits.h"

/* A full frame may pass as many pieces as a connection can have; a packet of the smallest
 * ones takes not much longer than the cipher took for it. */
#define STEPS_FREE     256
#define STEPS_PER_BYTE 16

static uint64_t end_of(const struct sp_piece *piece)
{
    return piece->offset + piece->slice.size;
}

static bool is_placed(const struct sp_piece *piece)
{
    return piece->slice.data == NULL;
}

void sp_reassembly_init(struct sp_reassembly *reassembly, struct sp_piece_store *store)
{
    SB_ASSERT(store != NULL);
    *reassembly = (struct sp_reassembly){.store = store};
}

static void unlink_piece(struct sp_reassembly *reassembly, struct sp_piece *piece)
{
    if (piece->prev != NULL)
        piece->prev->next = piece->next;
    else
        reassembly->first = piece->next;
    if (piece->next != NULL)
        piece->next->prev = piece->prev;
    else
        reassembly->last = piece->prev;

    SB_ASSERT(reassembly->store->count > 0);
    reassembly->store->count--;
    sb_pool_give(reassembly->store->pool, piece);
}

void sp_reassembly_clear(struct sp_reassembly *reassembly)
{
    while (reassembly->first != NULL) {
        struct sp_piece *piece = reassembly->first;
        reassembly->received_bytes -= piece->slice.size;
        sb_buffer_unref(piece->slice.buffer);
        unlink_piece(reassembly, piece);
    }
}

/* Links a new piece after `after`, or first if that is NULL; takes over `slice`'s reference. */
static struct sp_piece *link_piece(struct sp_reassembly *reassembly, struct sp_piece *after,
                                   uint64_t offset, struct sb_slice slice)
{
    struct sp_piece_store *store = reassembly->store;
    /* What is next in order frees memory: it, and what waits after it, is handed out at once. */
    bool is_next = offset == reassembly->read_end;
    uint32_t count_max = store->count_max + (is_next ? store->count_reserve : 0);
    struct sp_piece *piece = NULL;
    if (store->count < count_max)
        piece = is_next ? sb_pool_take(store->pool) : sb_pool_take_ordinary(store->pool);
    if (piece == NULL)
        return NULL;
    store->count++;

    struct sp_piece *before = after != NULL ? after->next : reassembly->first;
    *piece = (struct sp_piece){.next = before, .prev = after, .offset = offset, .slice = slice};
    if (after != NULL)
        after->next = piece;
    else
        reassembly->first = piece;
    if (before != NULL)
        before->prev = piece;
    else
        reassembly->last = piece;
    reassembly->received_bytes += slice.size;
    return piece;
}

/* Finds the last piece that begins at or before `at`, NULL if none does, in at most `steps`
 * steps from the nearer end.  False if those are not enough. */
static bool find(const struct sp_reassembly *reassembly, uint64_t at, uint64_t steps,
                 struct sp_piece **ret)
{
    struct sp_piece *first = reassembly->first;
    struct sp_piece *piece = reassembly->last;

    /* New bytes mostly come after all others, retransmitted ones before them. */
    if (first == NULL || first->offset > at) {
        *ret = NULL;
        return true;
    }
    if (piece->offset > at && at - first->offset < piece->offset - at) {
        for (piece = first; piece->next->offset <= at; piece = piece->next)
            if (steps-- == 0)
                return false;
    } else {
        for (; piece->offset > at; piece = piece->prev)
            if (steps-- == 0)
                return false;
    }
    *ret = piece;
    return true;
}

/* Records bytes in lent memory that fill (a part of) the gap after `after`.  Returns the piece that
 * holds them now, or NULL at the bound. */
static struct sp_piece *place(struct sp_reassembly *reassembly, struct sp_piece *after, uint64_t at,
                              uint64_t size)
{
    struct sp_piece *before = after != NULL ? after->next : reassembly->first;
    bool joins_before = before != NULL && is_placed(before) && before->offset == at + size;

    if (after != NULL && is_placed(after) && end_of(after) == at) {
        after->slice.size += size;
        reassembly->received_bytes += size;
        if (joins_before) {
            after->slice.size += before->slice.size;
            unlink_piece(reassembly, before);
        }
        return after;
    }
    if (joins_before) {
        before->offset = at;
        before->slice.size += size;
        reassembly->received_bytes += size;
        return before;
    }
    return link_piece(reassembly, after, at, (struct sb_slice){.size = size});
}

/* Brings bytes to where they belong in lent memory, unless the cipher wrote them there. */
static void bring(struct sp_reassembly *reassembly, const struct sp_lent *lent, uint64_t offset,
                  const uint8_t *data, uint64_t size)
{
    SB_ASSERT(offset >= lent->offset && size <= sp_lent_end(lent) - offset);
    uint8_t *to = lent->data + (offset - lent->offset);
    if (to == data)
        return;
    memcpy(to, data, size);
    reassembly->store->copied_bytes += size;
}

/* Takes over the bytes of `slice` from `skip` on, at most `size` and as many as fit.  They fill the
 * gap after `after` from `at` on.  Returns the piece that holds them, or NULL at the bound. */
static struct sp_piece *fill(struct sp_reassembly *reassembly, struct sp_piece *after, uint64_t at,
                             const struct sb_slice *slice, uint64_t skip, uint64_t size)
{
    const struct sp_lent *lent = sp_lent_find(reassembly->lent, at);
    struct sp_piece *piece;
    if (lent == NULL) {
        struct sb_slice part = sb_slice_part(slice, skip, size);
        piece = link_piece(reassembly, after, at, part);
        if (piece == NULL)
            sb_buffer_unref(part.buffer);
        return piece;
    }
    size = SB_MIN(size, sp_lent_end(lent) - at);
    piece = place(reassembly, after, at, size);
    if (piece != NULL)
        bring(reassembly, lent, at, slice->data + skip, size);
    return piece;
}

bool sp_reassembly_insert(struct sp_reassembly *reassembly, uint64_t offset,
                          const struct sb_slice *slice)
{
    uint64_t end = offset + slice->size;
    uint64_t at = SB_MAX(offset, reassembly->read_end);

    struct sp_piece *after;
    if (at >= end)
        return true;
    if (!find(reassembly, at, STEPS_FREE + STEPS_PER_BYTE * slice->size, &after))
        return false;
    if (after != NULL)
        at = SB_MAX(at, end_of(after));

    while (at < end) {
        struct sp_piece *next = after != NULL ? after->next : reassembly->first;
        uint64_t gap_end = next != NULL ? SB_MIN(end, next->offset) : end;
        if (gap_end > at)
            next = fill(reassembly, after, at, slice, at - offset, gap_end - at);
        if (next == NULL)
            return false;
        at = SB_MAX(at, end_of(next));
        after = next;
    }
    return true;
}

/* ---- Lent memory ---- */

/* Makes two pieces of a slice that goes across `at`.  False at the bound. */
static bool split(struct sp_reassembly *reassembly, struct sp_piece *piece, uint64_t at)
{
    uint64_t size = at - piece->offset;
    struct sb_slice rest = sb_slice_part(&piece->slice, size, piece->slice.size - size);
    if (link_piece(reassembly, piece, at, rest) == NULL) {
        sb_buffer_unref(rest.buffer);
        return false;
    }
    piece->slice.size = size;
    reassembly->received_bytes -= rest.size; /* they were counted before */
    return true;
}

/* Moves what has arrived for `lent` there. */
static void collect(struct sp_reassembly *reassembly, const struct sp_lent *lent)
{
    struct sp_piece *piece = reassembly->first;
    while (piece != NULL && piece->offset < sp_lent_end(lent)) {
        struct sp_piece *next = piece->next;
        if (!is_placed(piece)) {
            bring(reassembly, lent, piece->offset, piece->slice.data, piece->slice.size);
            sb_buffer_unref(piece->slice.buffer);
            piece->slice = (struct sb_slice){.size = piece->slice.size};
        }
        struct sp_piece *prev = piece->prev;
        if (prev != NULL && end_of(prev) == piece->offset) {
            prev->slice.size += piece->slice.size;
            unlink_piece(reassembly, piece);
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
    struct sp_piece *piece = reassembly->first;
    while (piece != NULL && end_of(piece) <= end)
        piece = piece->next;
    struct sp_lent *lent = take_lent(reassembly->store);
    if (lent == NULL)
        return false;
    if (piece != NULL && piece->offset < end && !split(reassembly, piece, end)) {
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
    struct sp_piece *after;

    if (lent == NULL || offset < reassembly->read_end || size > room_of(lent, offset))
        return NULL;
    if (!find(reassembly, offset, STEPS_FREE, &after))
        return NULL;
    const struct sp_piece *next = after != NULL ? after->next : reassembly->first;
    if ((after != NULL && end_of(after) > offset) || (next != NULL && next->offset - offset < size))
        return NULL;
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

    struct sp_piece *piece = reassembly->first;
    SB_ASSERT(is_placed(piece));
    uint64_t size = SB_MIN(piece->slice.size, lent->size - lent->delivered_bytes);
    piece->offset += size;
    piece->slice.size -= size;
    reassembly->read_end += size;
    if (piece->slice.size == 0)
        unlink_piece(reassembly, piece);
    *ret = report_lent(reassembly, size, lent->delivered_bytes + size == lent->size);
    return true;
}

bool sp_reassembly_unlend(struct sp_reassembly *reassembly, struct sp_placed *ret)
{
    if (reassembly->lent == NULL)
        return false;
    sp_reassembly_clear(reassembly);
    *ret = report_lent(reassembly, 0, true);
    return true;
}

/* ---- Slices ---- */

bool sp_reassembly_next(struct sp_reassembly *reassembly, struct sb_slice *ret)
{
    if (reassembly->lent != NULL || !sp_reassembly_is_readable(reassembly))
        return false;
    struct sp_piece *piece = reassembly->first;
    SB_ASSERT(!is_placed(piece));
    *ret = piece->slice;
    reassembly->read_end += piece->slice.size;
    unlink_piece(reassembly, piece);
    return true;
}

void sp_reassembly_check(const struct sp_reassembly *reassembly)
{
    uint64_t received = reassembly->read_end;
    uint64_t at = reassembly->read_end;
    uint64_t lent_end = 0;
    for (const struct sp_lent *lent = reassembly->lent; lent != NULL; lent = lent->next) {
        SB_ASSERT(lent->delivered_bytes <= lent->size);
        SB_ASSERT(lent_end == 0 || lent->offset == lent_end);
        lent_end = sp_lent_end(lent);
    }
    const struct sp_piece *prev = NULL;
    for (const struct sp_piece *p = reassembly->first; p != NULL; prev = p, p = p->next) {
        SB_ASSERT(p->prev == prev);
        SB_ASSERT(p->slice.size > 0);
        SB_ASSERT(p->offset >= at);
        SB_ASSERT(p->slice.buffer == NULL || p->slice.buffer->ref_count > 0);
        SB_ASSERT(is_placed(p) ? end_of(p) <= lent_end : p->offset >= lent_end);
        SB_ASSERT(prev == NULL || !is_placed(p) || p->offset > at); /* or they had grown together */
        at = end_of(p);
        received += p->slice.size;
    }
    SB_ASSERT(reassembly->last == prev);
    SB_ASSERT(reassembly->received_bytes == received);
}

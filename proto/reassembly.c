/* SPDX-License-Identifier: MIT */
/* Reassembly by slices.
 *
 * The first copy of a byte wins: a later frame that covers it adds only what is missing.
 * RFC 9000 lets a receiver treat different contents at the same offset as an error, but
 * does not ask for it [RFC9000 2.2]; comparing would touch bytes twice.
 *
 * What can be attacked: tiny frames with gaps cost a piece each; a connection's pieces are
 * bounded by its store.  Tiny frames into the middle of them cost a walk each: a frame may
 * walk as far as its bytes pay for. */

#include "proto/reassembly.h"

#include "proto/base/assert.h"

/* A full frame may pass as many pieces as a connection can have; a packet of the smallest
 * ones takes not much longer than the cipher took for it. */
#define STEPS_FREE   256
#define STEPS_A_BYTE 16

static uint64_t end_of(const struct sp_piece *piece)
{
    return piece->offset + piece->slice.size;
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

/* Links a new piece behind `after`, or first where that is NULL; takes over `slice`'s reference. */
static struct sp_piece *link_piece(struct sp_reassembly *reassembly, struct sp_piece *after,
                                   uint64_t offset, struct sb_slice slice)
{
    struct sp_piece_store *store = reassembly->store;
    uint32_t count_max =
        store->count_max + (offset == reassembly->read_end ? store->count_reserve : 0);
    struct sp_piece *piece = store->count < count_max ? sb_pool_take(store->pool) : NULL;
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

    /* New bytes mostly come behind all others, repeated ones before them. */
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

bool sp_reassembly_insert(struct sp_reassembly *reassembly, uint64_t offset,
                          const struct sb_slice *slice)
{
    uint64_t end = offset + slice->size;
    uint64_t at = SB_MAX(offset, reassembly->read_end);

    struct sp_piece *after;
    if (at >= end)
        return true;
    if (!find(reassembly, at, STEPS_FREE + STEPS_A_BYTE * slice->size, &after))
        return false;
    if (after != NULL)
        at = SB_MAX(at, end_of(after));

    while (at < end) {
        struct sp_piece *next = after != NULL ? after->next : reassembly->first;
        uint64_t gap_end = next != NULL ? SB_MIN(end, next->offset) : end;
        if (gap_end > at) {
            struct sb_slice part = sb_slice_part(slice, at - offset, gap_end - at);
            struct sp_piece *piece = link_piece(reassembly, after, at, part);
            if (piece == NULL) {
                sb_buffer_unref(part.buffer);
                return false;
            }
        }
        if (next == NULL)
            break;
        at = SB_MAX(at, end_of(next));
        after = next;
    }
    return true;
}

bool sp_reassembly_next(struct sp_reassembly *reassembly, struct sb_slice *ret)
{
    if (!sp_reassembly_is_readable(reassembly))
        return false;
    struct sp_piece *piece = reassembly->first;
    *ret = piece->slice;
    reassembly->read_end += piece->slice.size;
    unlink_piece(reassembly, piece);
    return true;
}

void sp_reassembly_check(const struct sp_reassembly *reassembly)
{
    uint64_t received = reassembly->read_end;
    uint64_t at = reassembly->read_end;
    const struct sp_piece *prev = NULL;
    for (const struct sp_piece *p = reassembly->first; p != NULL; prev = p, p = p->next) {
        SB_ASSERT(p->prev == prev);
        SB_ASSERT(p->slice.size > 0);
        SB_ASSERT(p->offset >= at);
        SB_ASSERT(p->slice.buffer == NULL || p->slice.buffer->ref_count > 0);
        at = end_of(p);
        received += p->slice.size;
    }
    SB_ASSERT(reassembly->last == prev);
    SB_ASSERT(reassembly->received_bytes == received);
}

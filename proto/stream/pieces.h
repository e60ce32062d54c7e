/* SPDX-License-Identifier: MIT */
#ifndef SP_PIECES_H
#define SP_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "proto/base/pool.h"
#include "proto/base/slice.h"
#include "proto/base/treap.h"
#include "proto/stream/copies.h"

/* The pieces of a reassembly queue: an ordered set of disjoint ranges of a stream. */

struct sp_reassembly;

enum sp_piece_kind {
    SP_PIECE_SLICE, /* in the buffer that brought the bytes, which it pins */
    SP_PIECE_COPY,  /* in a copy */
    SP_PIECE_LENT,  /* in memory that the application has lent */
};

/* Pieces at the end of a list that are not in its tree: a batch of datagrams. */
#define SP_PIECES_TAIL_MAX 64

/* A range of a stream and where its bytes are.  A full piece has all of them.  Other pieces, pages,
 * have at most SP_PAGE_SIZE, and one bit for each:
 *
 *     bit (offset % SP_PAGE_SIZE) == 1: the byte at `offset`, which is in the range, has arrived
 *     missing == size - number of those bits
 */
struct sp_piece {
    struct sp_piece *next; /* in rising order */
    struct sp_piece *prev;
    struct sb_treap_node node; /* in the tree, if it is there */
    struct sp_reassembly *owner;
    uint64_t offset;
    uint64_t size;
    const uint8_t *data;      /* of the byte at `offset`; NULL for SP_PIECE_LENT */
    struct sb_buffer *buffer; /* holds a reference; may be NULL */
    union {
        struct sb_link pin_link;          /* SP_PIECE_SLICE: in sp_copies.pinned */
        uint64_t bits[SP_PAGE_SIZE / 64]; /* if missing > 0 */
    };
    uint32_t priority; /* in the tree: not less than those of the children */
    uint16_t missing;
    uint8_t kind; /* enum sp_piece_kind */
    bool is_in_tree;
};

/* Where the pieces of one connection come from, with bounds over all its streams. */
struct sp_piece_store {
    struct sb_pool *pool;
    struct sp_copies *copies;
    struct sp_holding *holding;
    uint32_t count;
    uint32_t count_max;
    uint32_t count_reserve;     /* extra pieces for the first gap; else a full store stays full */
    uint32_t lent_count;        /* buffers, over all streams */
    struct sb_pool *lent_pool;  /* NULL if no memory is ever lent */
    uint64_t copied_bytes;      /* by memcpy into lent memory, since the start */
    uint64_t packed_bytes;      /* by memcpy into copies, since the start */
    uint64_t random;            /* for sp_pieces.random; start it with a secret */
    uint32_t steps;             /* pieces visited; set it to 0 before each packet */
    struct sp_piece *discarded; /* of sp_reassembly_discard(), linked by `next` */
};

/* A list in rising order, and a treap over all but its last pieces: the priorities are random, so
 * the depth is about 2 ln(count) whatever the order of arrival, as long as a peer cannot guess
 * them.  The last pieces are few enough to walk: so a batch in order costs a list only. */
struct sp_pieces {
    struct sb_treap_node *root;
    struct sp_piece *first;
    struct sp_piece *last;
    struct sp_piece *tail; /* the first piece that is not in the tree, or NULL */
    uint64_t *random;      /* borrowed: state of the generator of priorities */
    uint32_t tail_count;   /* pieces from `tail` on, up to SP_PIECES_TAIL_MAX */
};

static inline uint64_t sp_piece_end(const struct sp_piece *piece)
{
    return piece->offset + piece->size;
}

static inline bool sp_piece_is_full(const struct sp_piece *piece)
{
    return piece->missing == 0;
}

/* Takes a full piece from the store, with `buffer` and one reference to it.  Its range, its owner
 * and its place in the list are undefined.  Returns NULL without memory, and drops the reference.
 * Bounds are the caller's matter.  `is_ordinary`: not out of the reserve of memory. */
SB_MUST_USE static inline struct sp_piece *sp_piece_take(struct sp_piece_store *store,
                                                         enum sp_piece_kind kind,
                                                         struct sb_buffer *buffer, bool is_ordinary)
{
    struct sp_piece *piece = sb_pool_take_as(store->pool, is_ordinary);
    if (SB_UNLIKELY(piece == NULL)) {
        sb_buffer_unref(buffer);
        return NULL;
    }
    piece->data = NULL;
    piece->buffer = buffer;
    piece->missing = 0;
    piece->kind = (uint8_t)kind;
    store->count++;
    store->holding->held_bytes += sizeof(*piece);
    return piece;
}

/* Gives back a piece that is not linked, without its reference to the buffer. */
static inline void sp_piece_give(struct sp_piece_store *store, struct sp_piece *piece)
{
    SB_DEBUG_ASSERT(store->count > 0);
    store->count--;
    store->holding->held_bytes -= sizeof(*piece);
    sb_pool_give(store->pool, piece);
}

/* Counts the bytes of a slice as queued in its buffer, and lists it as one that pins that. */
static inline void sp_piece_pin(struct sp_piece_store *store, struct sp_piece *piece)
{
    SB_DEBUG_ASSERT(piece->kind == SP_PIECE_SLICE);
    if (piece->buffer == NULL)
        return;
    piece->buffer->queued_bytes += (uint32_t)piece->size;
    store->holding->held_bytes += piece->size;
    struct sb_link *end = &store->copies->pinned;
    piece->pin_link = (struct sb_link){.next = end, .prev = end->prev};
    end->prev->next = &piece->pin_link;
    end->prev = &piece->pin_link;
}

static inline void sp_piece_unpin(struct sp_piece_store *store, struct sp_piece *piece)
{
    SB_DEBUG_ASSERT(piece->kind == SP_PIECE_SLICE);
    if (piece->buffer == NULL)
        return;
    SB_DEBUG_ASSERT(piece->buffer->queued_bytes >= piece->size);
    piece->buffer->queued_bytes -= (uint32_t)piece->size;
    store->holding->held_bytes -= piece->size;
    piece->pin_link.prev->next = piece->pin_link.next;
    piece->pin_link.next->prev = piece->pin_link.prev;
}

/* Moves a few pieces into the tree if sp_pieces_find() would have to walk for `at`.  So a walk of
 * the same pieces does not happen often. */
void sp_pieces_settle(struct sp_pieces *pieces, uint64_t at);

/* Returns the last piece that begins at or before `at`, or NULL.  Adds its steps to `*steps`. */
struct sp_piece *sp_pieces_find(const struct sp_pieces *pieces, uint64_t at, uint32_t *steps);

/* Links a piece after `after`, or first if that is NULL. */
void sp_pieces_insert(struct sp_pieces *pieces, struct sp_piece *after, struct sp_piece *piece);
void sp_pieces_remove(struct sp_pieces *pieces, struct sp_piece *piece);

/* Unlinks the first piece. */
static inline void sp_pieces_remove_first(struct sp_pieces *pieces)
{
    struct sp_piece *piece = pieces->first;
    struct sp_piece *next = piece->next;
    if (SB_UNLIKELY(piece->is_in_tree)) {
        sp_pieces_remove(pieces, piece);
        return;
    }
    pieces->tail_count--;
    pieces->tail = next;
    pieces->first = next;
    if (next != NULL)
        next->prev = NULL;
    else
        pieces->last = NULL;
}

void sp_pieces_check(const struct sp_pieces *pieces);

/* ---- Bits of pages: `at` and `size` are a range within the piece's. ---- */

/* Makes a page of a piece: no byte has arrived. */
void sp_page_init(struct sp_piece *piece);

/* Records bytes that have arrived.  Returns how many of them were missing. */
uint32_t sp_page_add(struct sp_piece *piece, uint64_t at, uint64_t size);

/* Returns how many bytes of the range have arrived. */
uint32_t sp_page_count(const struct sp_piece *piece, uint64_t at, uint64_t size);

/* Makes `right` cover what `left` does, the offsets between the two, and its own: SP_PAGE_SIZE at
 * most.  `left` comes before it.  Moves no bytes. */
void sp_page_join(const struct sp_piece *left, struct sp_piece *right);

/* Returns whether two pieces, one after the other, fit into one page. */
static inline bool sp_pieces_fit(const struct sp_piece *left, const struct sp_piece *right)
{
    return left->kind == right->kind && left->kind != SP_PIECE_SLICE &&
           sp_piece_end(right) - left->offset <= SP_PAGE_SIZE;
}

/* Returns whether the first byte has arrived. */
static inline bool sp_piece_has_first(const struct sp_piece *piece)
{
    uint64_t word = piece->bits[piece->offset % SP_PAGE_SIZE / 64];
    return sp_piece_is_full(piece) || (word >> piece->offset % 64 & 1) != 0;
}

/* Returns how many bytes from the page's first on have arrived without a gap. */
uint64_t sp_page_run(const struct sp_piece *piece);

static inline uint64_t sp_piece_run(const struct sp_piece *piece)
{
    if (sp_piece_is_full(piece))
        return piece->size;
    return sp_piece_has_first(piece) ? sp_page_run(piece) : 0;
}

#endif

/* SPDX-License-Identifier: MIT */
#include "proto/stream/pieces.h"

/* A treap (base/treap.h) over a list.  Only sp_pieces_find() descends.
 *
 * The last pieces of the list, up to SP_PIECES_TAIL_MAX, are not in the tree.  If there are more,
 * the first of them moves there.  Each look-up that would end among them moves some, too: so the
 * look-ups of one packet walk a few hundred pieces at most, however many they are.
 *
 * What can be attacked: a peer chooses the offsets, and so the depth if it could guess the
 * priorities.  They come from a generator that starts with a secret. */

#include "proto/base/assert.h"
#include "proto/base/bytes.h"

#define SETTLE_COUNT 8

/* ---- The tree ---- */

static struct sp_piece *piece_of(struct sb_treap_node *node)
{
    return SB_CONTAINER_OF(node, struct sp_piece, node);
}

static bool is_above(struct sb_treap_node *a, struct sb_treap_node *b)
{
    return piece_of(a)->priority > piece_of(b)->priority;
}

struct sp_piece *sp_pieces_find(const struct sp_pieces *pieces, uint64_t at, uint32_t *steps)
{
    struct sp_piece *found = NULL;
    ++*steps;
    /* New bytes mostly come after all others, retransmitted ones before them. */
    if (pieces->first == NULL || pieces->first->offset > at)
        return NULL;
    if (pieces->tail != NULL && pieces->tail->offset <= at) {
        for (found = pieces->last; found->offset > at; found = found->prev)
            ++*steps;
        return found;
    }
    for (struct sb_treap_node *node = pieces->root; node != NULL; ++*steps) {
        struct sp_piece *piece = piece_of(node);
        bool is_right = piece->offset <= at;
        if (is_right)
            found = piece;
        node = node->child[is_right];
    }
    return found;
}

static uint32_t next_priority(struct sp_pieces *pieces)
{
    uint64_t *random = pieces->random;
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*random >> 32);
}

/* Adds a piece of the list to the tree.  Its neighbours are there already, as far as the tree
 * reaches. */
static void tree_insert(struct sp_pieces *pieces, struct sp_piece *piece)
{
    struct sb_treap_node *prev = piece->prev != NULL ? &piece->prev->node : NULL;
    /* Without a root the next one is not there yet. */
    struct sb_treap_node *next =
        pieces->root != NULL && piece->next != NULL ? &piece->next->node : NULL;
    piece->is_in_tree = true;
    piece->priority = next_priority(pieces);
    sb_treap_insert(&pieces->root, &piece->node, prev, next, is_above);
}

/* Moves the first piece of the tail into the tree. */
static SB_NEVER_INLINE void shorten_tail(struct sp_pieces *pieces)
{
    struct sp_piece *piece = pieces->tail;
    pieces->tail = piece->next;
    pieces->tail_count--;
    tree_insert(pieces, piece);
}

void sp_pieces_settle(struct sp_pieces *pieces, uint64_t at)
{
    if (pieces->tail == NULL || pieces->tail->offset > at || pieces->last->offset <= at)
        return;
    for (uint32_t i = 0; i < SETTLE_COUNT && pieces->tail != NULL; i++)
        shorten_tail(pieces);
}

void sp_pieces_insert(struct sp_pieces *pieces, struct sp_piece *after, struct sp_piece *piece)
{
    struct sp_piece *before = after != NULL ? after->next : pieces->first;
    piece->next = before;
    piece->prev = after;
    if (after != NULL)
        after->next = piece;
    else
        pieces->first = piece;
    if (before != NULL)
        before->prev = piece;
    else
        pieces->last = piece;

    if (before != NULL && before->is_in_tree) {
        tree_insert(pieces, piece);
        return;
    }
    piece->is_in_tree = false;
    if (pieces->tail == before)
        pieces->tail = piece;
    if (++pieces->tail_count > SP_PIECES_TAIL_MAX)
        shorten_tail(pieces);
}

void sp_pieces_remove(struct sp_pieces *pieces, struct sp_piece *piece)
{
    if (piece->is_in_tree) {
        sb_treap_remove(&pieces->root, &piece->node, is_above);
    } else {
        pieces->tail_count--;
        if (pieces->tail == piece)
            pieces->tail = piece->next;
    }
    if (piece->prev != NULL)
        piece->prev->next = piece->next;
    else
        pieces->first = piece->next;
    if (piece->next != NULL)
        piece->next->prev = piece->prev;
    else
        pieces->last = piece->prev;
}

static void check_in_tree(const struct sp_pieces *pieces, const struct sp_piece *piece)
{
    SB_ASSERT(piece->prev == NULL || piece->prev->is_in_tree);
    const struct sb_treap_node *node = &piece->node;
    SB_ASSERT((node->parent == NULL) == (pieces->root == node));
    for (uint32_t side = 0; side < 2; side++) {
        struct sb_treap_node *child = node->child[side];
        if (child == NULL)
            continue;
        SB_ASSERT(child->parent == node && !is_above(child, child->parent));
        SB_ASSERT(piece_of(child)->is_in_tree);
        SB_ASSERT((piece_of(child)->offset > piece->offset) == (side == 1));
    }
}

void sp_pieces_check(const struct sp_pieces *pieces)
{
    uint32_t tail_count = 0;
    const struct sp_piece *prev = NULL;
    for (const struct sp_piece *p = pieces->first; p != NULL; prev = p, p = p->next) {
        SB_ASSERT(p->prev == prev);
        SB_ASSERT(prev == NULL || sp_piece_end(prev) <= p->offset);
        if (p->is_in_tree) {
            check_in_tree(pieces, p);
            continue;
        }
        SB_ASSERT(tail_count++ > 0 || pieces->tail == p);
    }
    SB_ASSERT(pieces->last == prev);
    SB_ASSERT(pieces->tail_count == tail_count && tail_count <= SP_PIECES_TAIL_MAX);
    SB_ASSERT((pieces->tail != NULL) == (tail_count > 0));
    SB_ASSERT((pieces->root != NULL) == (pieces->first != pieces->tail));
}

/* ---- Bits ---- */

#define WORD_BITS 64

/* The compiler's builtin may call a library, and proto/ links against nothing. */
static uint32_t ones(uint64_t word)
{
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)(word * UINT64_C(0x0101010101010101) >> 56);
}

/* A part of a range that lies in one word of bits. */
struct part {
    uint32_t word;
    uint32_t size; /* of it in bits */
    uint64_t mask;
};

static struct part part_of(uint64_t at, uint64_t size)
{
    uint32_t bit = (uint32_t)(at % WORD_BITS);
    uint32_t count = (uint32_t)SB_MIN(size, (uint64_t)(WORD_BITS - bit));
    return (struct part){
        .word = (uint32_t)(at % SP_PAGE_SIZE / WORD_BITS),
        .size = count,
        .mask = (UINT64_MAX >> (WORD_BITS - count)) << bit,
    };
}

void sp_page_init(struct sp_piece *piece)
{
    SB_ASSERT(piece->size > 0 && piece->size <= SP_PAGE_SIZE);
    for (uint32_t i = 0; i < SP_PAGE_SIZE / WORD_BITS; i++)
        piece->bits[i] = 0;
    piece->missing = (uint16_t)piece->size;
}

uint32_t sp_page_add(struct sp_piece *piece, uint64_t at, uint64_t size)
{
    SB_ASSERT(at >= piece->offset && size <= sp_piece_end(piece) - at && !sp_piece_is_full(piece));
    uint32_t added = 0;
    while (size > 0) {
        struct part part = part_of(at, size);
        added += ones(part.mask & ~piece->bits[part.word]);
        piece->bits[part.word] |= part.mask;
        at += part.size;
        size -= part.size;
    }
    piece->missing = (uint16_t)(piece->missing - added);
    return added;
}

uint32_t sp_page_count(const struct sp_piece *piece, uint64_t at, uint64_t size)
{
    SB_ASSERT(at >= piece->offset && size <= sp_piece_end(piece) - at);
    uint32_t count = 0;
    if (sp_piece_is_full(piece))
        return (uint32_t)size;
    while (size > 0) {
        struct part part = part_of(at, size);
        count += ones(part.mask & piece->bits[part.word]);
        at += part.size;
        size -= part.size;
    }
    return count;
}

static void copy_bits(uint64_t *to, const struct sp_piece *from)
{
    uint64_t at = from->offset;
    uint64_t end = sp_piece_end(from);
    while (at < end) {
        struct part part = part_of(at, end - at);
        to[part.word] |= sp_piece_is_full(from) ? part.mask : part.mask & from->bits[part.word];
        at += part.size;
    }
}

void sp_page_join(const struct sp_piece *left, struct sp_piece *right)
{
    uint64_t bits[SP_PAGE_SIZE / WORD_BITS] = {0};
    uint64_t size = sp_piece_end(right) - left->offset;
    SB_ASSERT(sp_piece_end(left) <= right->offset && size <= SP_PAGE_SIZE);
    copy_bits(bits, left);
    copy_bits(bits, right);
    uint64_t arrived = left->size - left->missing + (right->size - right->missing);
    memcpy(right->bits, bits, sizeof(bits));
    right->offset = left->offset;
    right->size = size;
    right->missing = (uint16_t)(size - arrived);
}

uint64_t sp_page_run(const struct sp_piece *piece)
{
    uint64_t at = piece->offset;
    uint64_t end = sp_piece_end(piece);
    while (at < end) {
        struct part part = part_of(at, end - at);
        uint64_t gaps = part.mask & ~piece->bits[part.word];
        if (gaps != 0)
            return at - piece->offset + (uint32_t)__builtin_ctzll(gaps) - at % WORD_BITS;
        at += part.size;
    }
    return piece->size;
}

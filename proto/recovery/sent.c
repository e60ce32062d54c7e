/* SPDX-License-Identifier: MIT */
#include "proto/recovery/sent.h"

/* Sent packets by number.
 *
 * Numbers rise by one, acknowledgments come in long runs, and both ends of what is
 * outstanding move slowly: so packets stand in blocks of 32 in a list, and a
 * cursor remembers where the last lookup ended.  A run of lookups then costs one
 * step a block.  What can be attacked: a peer that acknowledges single packets far
 * apart makes lookups walk.  A walk begins at the cursor or at the nearer end, and the ranges of an
 * ACK frame fall, so one frame passes over each block at most twice.  How far the frames of one
 * packet may walk is bounded in conn/frames.c. */

#include "proto/base/assert.h"
#include "proto/base/steps.h"

void sp_sent_init(struct sp_sent *sent, struct sb_store *blocks)
{
    SB_ASSERT(blocks != NULL);
    *sent = (struct sp_sent){.blocks = blocks};
}

static void unlink_block(struct sp_sent *sent, struct sp_sent_block *block)
{
    if (block->prev != NULL)
        block->prev->next = block->next;
    else
        sent->first = block->next;
    if (block->next != NULL)
        block->next->prev = block->prev;
    else
        sent->last = block->prev;
    if (sent->cursor == block)
        sent->cursor = block->next != NULL ? block->next : block->prev;
    sb_store_give(sent->blocks, block);
}

/* Uses the last block, in which nothing is outstanding, for new numbers: so a connection without
 * anything in flight can always send. */
static void reuse_last(struct sp_sent *sent, uint64_t first_pn)
{
    struct sp_sent_block *last = sent->last;
    *last = (struct sp_sent_block){.first_pn = first_pn, .prev = last->prev};
}

bool sp_sent_grow(struct sp_sent *sent)
{
    uint64_t first_pn = sp_sent_block_of(sent->next_pn);
    if (sent->last != NULL && sent->last->out_bits == 0) {
        reuse_last(sent, first_pn);
        return true;
    }
    struct sp_sent_block *block = sb_store_take(sent->blocks);
    if (block == NULL)
        return false;

    *block = (struct sp_sent_block){.first_pn = first_pn, .prev = sent->last};
    struct sp_sent_block *old = sent->last;
    if (old != NULL)
        old->next = block;
    else
        sent->first = block;
    sent->last = block;
    return true;
}

/* Returns the block that holds `pn`, or else the nearest one below or above it in the direction of
 * the search. */
static struct sp_sent_block *seek(struct sp_sent *sent, uint64_t pn)
{
    struct sp_sent_block *block = sent->cursor != NULL ? sent->cursor : sent->first;
    uint64_t first_pn = sp_sent_block_of(pn);
    if (block == NULL)
        return NULL;

    /* From an end, if that is nearer.  The last block may lie on either side. */
    if (first_pn > block->first_pn && sent->last->first_pn < 2 * first_pn - block->first_pn)
        block = sent->last;
    else if (first_pn < block->first_pn &&
             first_pn - sent->first->first_pn < block->first_pn - first_pn)
        block = sent->first;
    for (; block->first_pn < first_pn && block->next != NULL; block = block->next) {
        SB_STEP();
        sent->walk_count++;
    }
    for (; block->first_pn > first_pn && block->prev != NULL; block = block->prev) {
        SB_STEP();
        sent->walk_count++;
    }
    sent->cursor = block;
    return block;
}

struct sp_sent_packet *sp_sent_find(struct sp_sent *sent, uint64_t pn)
{
    if (sent->first == NULL || pn < sent->first->first_pn || pn >= sent->next_pn)
        return NULL;

    struct sp_sent_block *block = seek(sent, pn);
    if (block == NULL || block->first_pn != sp_sent_block_of(pn))
        return NULL;
    return &block->packets[pn - block->first_pn];
}

struct sp_sent_frame *sp_sent_settle(struct sp_sent *sent, uint64_t pn, enum sp_sent_state state)
{
    struct sp_sent_packet *packet = sp_sent_find(sent, pn);
    SB_ASSERT(packet != NULL && packet->state == SP_SENT_OUT);
    SB_ASSERT(state != SP_SENT_OUT);

    struct sp_sent_block *block = sent->cursor;
    struct sp_sent_frame *frames = packet->frames;
    packet->frames = NULL;
    packet->state = (uint8_t)state;

    uint32_t bit = 1u << (pn - block->first_pn);
    SB_ASSERT((block->out_bits & bit) != 0 && sent->out_count > 0);
    sent->out_count--;
    if (packet->is_eliciting) {
        SB_ASSERT(sent->eliciting_count > 0);
        sent->eliciting_count--;
    }
    block->out_bits &= ~bit;
    if (state == SP_SENT_LOST)
        block->lost_bits |= bit;
    if (block->out_bits == 0 && block != sent->last)
        unlink_block(sent, block);
    return frames;
}

struct sp_sent_packet *sp_sent_next(struct sp_sent *sent, uint64_t pn, bool or_lost,
                                    uint64_t *ret_pn)
{
    if (sent->first == NULL || pn >= sent->next_pn)
        return NULL;

    /* The first block needs no search, and the cursor stays where ACKs come. */
    struct sp_sent_block *block = sent->first;
    if (pn >= block->first_pn + SP_SENT_BLOCK_PACKETS)
        block = seek(sent, pn);
    for (; block != NULL; block = block->next) {
        uint64_t from = SB_MAX(pn, block->first_pn) - block->first_pn;
        if (from >= SP_SENT_BLOCK_PACKETS)
            continue;
        uint32_t bits = (block->out_bits | (or_lost ? block->lost_bits : 0)) & UINT32_MAX << from;
        if (bits != 0) {
            uint32_t i = (uint32_t)__builtin_ctz(bits);
            *ret_pn = block->first_pn + i;
            return &block->packets[i];
        }
    }
    return NULL;
}

struct sp_sent_block *sp_sent_block_from(struct sp_sent *sent, uint64_t pn)
{
    if (sent->first == NULL || pn >= sent->next_pn)
        return NULL;
    struct sp_sent_block *block = pn <= sent->first->first_pn ? sent->first : seek(sent, pn);
    return block->first_pn + SP_SENT_BLOCK_PACKETS <= pn ? block->next : block;
}

struct sp_sent_block *sp_sent_block_settled(struct sp_sent *sent, struct sp_sent_block *block,
                                            uint32_t bits, uint32_t count, uint32_t eliciting_count)
{
    struct sp_sent_block *next = block->next;
    SB_ASSERT((block->out_bits & bits) == bits && sent->out_count >= count);
    SB_ASSERT(sent->eliciting_count >= eliciting_count);
    block->out_bits &= ~bits;
    sent->out_count -= count;
    sent->eliciting_count -= eliciting_count;
    if (block->out_bits == 0 && block != sent->last)
        unlink_block(sent, block);
    return next;
}

struct sp_sent_frame *sp_sent_rest(struct sp_sent *sent)
{
    struct sp_sent_frame *frames = NULL;
    struct sp_sent_frame **tail = &frames;
    SB_ASSERT(sent->eliciting_count == 0);
    for (struct sp_sent_block *block = sent->first; block != NULL; block = block->next) {
        for (uint32_t i = 0; i < SP_SENT_BLOCK_PACKETS; i++) {
            if ((block->out_bits >> i & 1) == 0)
                continue;
            sp_sent_append(&tail, block->packets[i].frames);
            block->packets[i].frames = NULL;
        }
    }
    sent->out_count = 0;
    sp_sent_deinit(sent);
    return frames;
}

void sp_sent_deinit(struct sp_sent *sent)
{
    SB_ASSERT(sent->out_count == 0);
    while (sent->first != NULL)
        unlink_block(sent, sent->first);
    sent->cursor = NULL;
}

void sp_sent_check(const struct sp_sent *sent)
{
    uint32_t out = 0, eliciting = 0;
    const struct sp_sent_block *prev = NULL;
    for (const struct sp_sent_block *b = sent->first; b != NULL; prev = b, b = b->next) {
        SB_ASSERT(b->prev == prev);
        SB_ASSERT(prev == NULL || prev->first_pn < b->first_pn);
        SB_ASSERT(b->out_bits != 0 || b == sent->last);
        for (uint32_t i = 0; i < SP_SENT_BLOCK_PACKETS; i++) {
            const struct sp_sent_packet *p = &b->packets[i];
            SB_ASSERT((b->out_bits >> i & 1) == (p->state == SP_SENT_OUT));
            SB_ASSERT((b->lost_bits >> i & 1) == (p->state == SP_SENT_LOST));
            if (p->state != SP_SENT_OUT) {
                SB_ASSERT(p->frames == NULL);
                continue;
            }
            SB_ASSERT(b->first_pn + i < sent->next_pn);
            out++;
            eliciting += p->is_eliciting;
        }
    }
    SB_ASSERT(prev == sent->last);
    SB_ASSERT(out == sent->out_count);
    SB_ASSERT(eliciting == sent->eliciting_count);
}

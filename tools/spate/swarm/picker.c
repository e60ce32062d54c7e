/* SPDX-License-Identifier: MIT */
#include "tools/spate/swarm/picker.h"

/* Costs: choosing blocks walks over the slots, which are few, and the blocks of one.  Opening a
 * piece walks over the pieces, at most SWARM_PIECES_MAX bytes of state, once per piece. */

#include <stdlib.h>
#include <string.h>

enum state { CLOSED, OPEN, THERE };

#define GONE (UINT64_C(1) << PICKER_PEERS_MAX)

bool picker_init(struct picker *ret, uint64_t total, uint32_t piece_size, uint32_t slot_count)
{
    uint32_t blocks_max = piece_size / SWARM_BLOCK;
    *ret = (struct picker){.piece_size = piece_size, .total = total, .slot_count = slot_count};
    ret->piece_count = (uint32_t)((total + piece_size - 1) / piece_size);
    ret->closed_count = ret->piece_count;
    ret->availability = calloc(ret->piece_count + 1, sizeof(*ret->availability));
    ret->state = calloc(ret->piece_count + 1, 1);
    ret->slots = calloc(slot_count, sizeof(*ret->slots));
    bool is_good = ret->availability != NULL && ret->state != NULL && ret->slots != NULL;
    for (uint32_t i = 0; is_good && i < slot_count; i++) {
        ret->slots[i].blocks = calloc(blocks_max, sizeof(struct picker_block));
        is_good = ret->slots[i].blocks != NULL;
    }
    return is_good;
}

void picker_deinit(struct picker *picker)
{
    for (uint32_t i = 0; picker->slots != NULL && i < picker->slot_count; i++)
        free(picker->slots[i].blocks);
    free(picker->slots);
    free(picker->state);
    free(picker->availability);
    *picker = (struct picker){.slots = NULL};
}

bool picker_bit(const uint8_t *bits, uint32_t piece)
{
    return (bits[piece / 8] >> (7 - piece % 8) & 1) != 0;
}

void picker_have(struct picker *picker, uint32_t piece)
{
    if (picker->state[piece] != CLOSED)
        return;
    picker->state[piece] = THERE;
    picker->closed_count--;
    picker->there_count++;
}

void picker_count(struct picker *picker, uint32_t piece, bool is_there)
{
    if (is_there)
        picker->availability[piece]++;
    else if (picker->availability[piece] > 0)
        picker->availability[piece]--;
}

/* ---- Slots ---- */

static uint64_t piece_bytes(const struct picker *picker, uint32_t piece)
{
    uint64_t left = picker->total - (uint64_t)piece * picker->piece_size;
    return left < picker->piece_size ? left : picker->piece_size;
}

uint32_t picker_block_bytes(const struct picker *picker, uint32_t slot, uint32_t block)
{
    uint64_t left = piece_bytes(picker, picker->slots[slot].piece) - (uint64_t)block * SWARM_BLOCK;
    return left < SWARM_BLOCK ? (uint32_t)left : SWARM_BLOCK;
}

static bool is_asked(const struct picker_block *block)
{
    return block->who[0] != PICKER_NOBODY || block->who[1] != PICKER_NOBODY;
}

/* Makes all blocks of a slot missing. */
static void clear(struct picker_slot *slot)
{
    for (uint32_t i = 0; i < slot->block_count; i++)
        slot->blocks[i] = (struct picker_block){.who = {PICKER_NOBODY, PICKER_NOBODY}};
    slot->free_count = slot->block_count;
    slot->there_count = 0;
    slot->contributors = 0;
    slot->round++;
}

/* Returns the rarest closed piece of a bitfield, or -1. */
static int64_t find_rarest(struct picker *picker, const uint8_t *have)
{
    int64_t found = -1;
    uint16_t rarest = UINT16_MAX;
    for (uint32_t i = 0; i < picker->piece_count && rarest > 1; i++) {
        uint32_t piece = picker->next + i;
        if (piece >= picker->piece_count)
            piece -= picker->piece_count;
        if (picker->state[piece] == CLOSED && picker->availability[piece] < rarest &&
            picker_bit(have, piece)) {
            found = piece;
            rarest = picker->availability[piece];
        }
    }
    return found;
}

int picker_open(struct picker *picker, uint8_t peer, const uint8_t *have)
{
    uint32_t slot = 0;
    while (slot < picker->slot_count && picker->slots[slot].stage != PICKER_CLOSED)
        slot++;
    int64_t piece =
        slot < picker->slot_count && picker->closed_count > 0 ? find_rarest(picker, have) : -1;
    if (piece < 0)
        return -1;
    struct picker_slot *s = &picker->slots[slot];
    *s = (struct picker_slot){
        .stage = PICKER_OPENING,
        .piece = (uint32_t)piece,
        .owner = peer,
        .round = s->round,
        .blocks = s->blocks,
    };
    s->block_count = (uint32_t)((piece_bytes(picker, s->piece) + SWARM_BLOCK - 1) / SWARM_BLOCK);
    clear(s);
    picker->state[piece] = OPEN;
    picker->closed_count--;
    picker->opening_count++;
    picker->next = s->piece + 1 < picker->piece_count ? s->piece + 1 : 0;
    return (int)slot;
}

void picker_ready(struct picker *picker, uint32_t slot)
{
    picker->slots[slot].stage = PICKER_READY;
    picker->opening_count--;
}

bool picker_can_open(const struct picker *picker, const uint8_t *have)
{
    if (picker->closed_count == 0)
        return false;
    for (uint32_t piece = 0; piece < picker->piece_count; piece++) {
        if (picker->state[piece] == CLOSED && picker_bit(have, piece))
            return true;
    }
    return false;
}

static void leave(struct picker *picker, struct picker_slot *slot, enum state state)
{
    picker->opening_count -= slot->stage == PICKER_OPENING;
    picker->full_count -= slot->stage == PICKER_FULL;
    picker->state[slot->piece] = (uint8_t)state;
    picker->closed_count += state == CLOSED;
    picker->there_count += state == THERE;
    slot->stage = PICKER_CLOSED;
}

void picker_close(struct picker *picker, uint32_t slot)
{
    leave(picker, &picker->slots[slot], CLOSED);
}

/* Whether nobody is asked for anything of a slot that is ready. */
static bool is_idle(const struct picker_slot *slot)
{
    return slot->stage == PICKER_READY && slot->owner == PICKER_NOBODY &&
           slot->free_count + slot->there_count == slot->block_count;
}

int picker_find_idle(const struct picker *picker, const uint8_t *have)
{
    int found = -1;
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < picker->slot_count; i++) {
        const struct picker_slot *slot = &picker->slots[i];
        if (slot->stage == PICKER_CLOSED)
            return -1;
        if (!is_idle(slot) || picker_bit(have, slot->piece))
            continue;
        uint32_t loss = picker->availability[slot->piece] > 0 ? 1 + slot->there_count : 0;
        if (loss < least) {
            found = (int)i;
            least = loss;
        }
    }
    return found >= 0 && picker_can_open(picker, have) ? found : -1;
}

void picker_piece_there(struct picker *picker, uint32_t slot)
{
    leave(picker, &picker->slots[slot], THERE);
}

uint8_t picker_piece_bad(struct picker *picker, uint32_t slot)
{
    struct picker_slot *s = &picker->slots[slot];
    uint64_t all = s->contributors;
    picker->full_count -= s->stage == PICKER_FULL;
    s->stage = PICKER_READY;
    s->owner = PICKER_NOBODY;
    s->is_solo = true;
    clear(s);
    if (all == 0 || all == GONE || (all & (all - 1)) != 0)
        return PICKER_NOBODY;
    return (uint8_t)__builtin_ctzll(all);
}

void picker_disown_slot(struct picker *picker, uint32_t slot)
{
    struct picker_slot *s = &picker->slots[slot];
    if (s->is_solo && s->owner != PICKER_NOBODY)
        s->tried |= UINT64_C(1) << s->owner;
    s->owner = PICKER_NOBODY;
    s->orphan_ms = 0;
    /* Half of it from another peer would say again only that one of two lies. */
    if (!s->is_solo || s->there_count == 0 || s->stage != PICKER_READY)
        return;
    for (uint32_t i = 0; i < s->block_count; i++) {
        s->free_count += s->blocks[i].is_there && !is_asked(&s->blocks[i]);
        s->blocks[i].is_there = false;
    }
    s->there_count = 0;
    s->contributors = 0;
    s->round++;
}

void picker_disown(struct picker *picker, uint8_t peer)
{
    for (uint32_t i = 0; i < picker->slot_count; i++) {
        if (picker->slots[i].stage != PICKER_CLOSED && picker->slots[i].owner == peer)
            picker_disown_slot(picker, i);
    }
}

void picker_forget(struct picker *picker, uint8_t peer)
{
    uint64_t bit = UINT64_C(1) << peer;
    picker_disown(picker, peer);
    for (uint32_t i = 0; i < picker->slot_count; i++) {
        struct picker_slot *slot = &picker->slots[i];
        slot->tried &= ~bit;
        if (slot->stage != PICKER_CLOSED && (slot->contributors & bit) != 0)
            slot->contributors = (slot->contributors & ~bit) | GONE;
    }
}

/* ---- Choosing ---- */

static bool is_free(const struct picker_block *block)
{
    return !block->is_there && !is_asked(block);
}

/* Takes the first free blocks of a slot that follow each other. */
static void take_free(struct picker *picker, uint32_t slot, uint8_t peer, uint32_t blocks_max,
                      uint32_t now_ms, struct picker_run *ret)
{
    struct picker_slot *s = &picker->slots[slot];
    uint32_t first = 0;
    while (!is_free(&s->blocks[first]))
        first++;
    uint32_t count = 0;
    while (count < blocks_max && first + count < s->block_count &&
           is_free(&s->blocks[first + count])) {
        s->blocks[first + count].who[0] = peer;
        s->blocks[first + count].asked_ms = now_ms;
        count++;
    }
    s->free_count -= count;
    *ret = (struct picker_run){.slot = slot, .first = first, .count = count};
}

/* Who may be asked for blocks of a slot, the best first. */
enum claim { CLAIM_OWN, CLAIM_ORPHAN, CLAIM_OTHER, CLAIM_COUNT };

static enum claim claim_of(const struct picker_slot *slot, uint8_t peer)
{
    if (slot->owner == peer)
        return CLAIM_OWN;
    if (slot->owner == PICKER_NOBODY)
        return CLAIM_ORPHAN;
    return slot->is_solo ? CLAIM_COUNT : CLAIM_OTHER;
}

/* Whether others go first: the peer had this piece alone before, and did not finish it. */
static bool must_wait(struct picker_slot *slot, uint8_t peer, uint32_t now_ms)
{
    if (!slot->is_solo || slot->owner != PICKER_NOBODY || (slot->tried >> peer & 1) == 0)
        return false;
    if (slot->orphan_ms == 0)
        slot->orphan_ms = now_ms | 1;
    return (int32_t)(now_ms - slot->orphan_ms) < PICKER_AGAIN_MS;
}

/* Whether a block is worth a second request. */
static bool is_late(const struct picker_block *block, uint8_t peer, uint32_t before_ms)
{
    bool is_asked_once = (block->who[0] == PICKER_NOBODY) != (block->who[1] == PICKER_NOBODY);
    return !block->is_there && is_asked_once && block->who[0] != peer && block->who[1] != peer &&
           (int32_t)(before_ms - block->asked_ms) >= 0;
}

/* Takes blocks that somebody else was asked for: the ones that wait longest. */
static bool take_late(struct picker *picker, uint8_t peer, const uint8_t *have, uint32_t blocks_max,
                      uint32_t before_ms, struct picker_run *ret)
{
    bool is_found = false;
    uint32_t oldest = 0;
    for (uint32_t i = 0; i < picker->slot_count; i++) {
        const struct picker_slot *slot = &picker->slots[i];
        if (slot->stage != PICKER_READY || slot->is_solo || !picker_bit(have, slot->piece))
            continue;
        for (uint32_t k = 0; k < slot->block_count; k++) {
            const struct picker_block *block = &slot->blocks[k];
            if (is_late(block, peer, before_ms) &&
                (!is_found || (int32_t)(block->asked_ms - oldest) < 0)) {
                is_found = true;
                oldest = block->asked_ms;
                *ret = (struct picker_run){.slot = i, .first = k, .is_copy = true};
            }
        }
    }
    if (!is_found)
        return false;
    struct picker_slot *slot = &picker->slots[ret->slot];
    while (ret->count < blocks_max && ret->first + ret->count < slot->block_count &&
           is_late(&slot->blocks[ret->first + ret->count], peer, before_ms)) {
        struct picker_block *block = &slot->blocks[ret->first + ret->count++];
        block->who[block->who[0] != PICKER_NOBODY] = peer;
    }
    return true;
}

bool picker_choose(struct picker *picker, uint8_t peer, const uint8_t *have, uint32_t blocks_max,
                   uint32_t now_ms, uint32_t copy_before_ms, struct picker_run *ret)
{
    int best[CLAIM_COUNT] = {-1, -1, -1};
    for (uint32_t i = 0; i < picker->slot_count; i++) {
        struct picker_slot *slot = &picker->slots[i];
        if (slot->stage != PICKER_READY || slot->free_count == 0 ||
            !picker_bit(have, slot->piece) || must_wait(slot, peer, now_ms))
            continue;
        enum claim claim = claim_of(slot, peer);
        if (claim < CLAIM_COUNT && best[claim] < 0)
            best[claim] = (int)i;
    }
    bool can_open = best[CLAIM_OWN] < 0 && best[CLAIM_ORPHAN] < 0 && picker_can_open(picker, have);
    int slot = best[CLAIM_OWN] >= 0 ? best[CLAIM_OWN] : best[CLAIM_ORPHAN];
    if (slot >= 0)
        picker->slots[slot].owner = peer;
    else if (!can_open || picker->opening_count + picker->full_count == 0)
        slot = best[CLAIM_OTHER];
    if (slot >= 0) {
        take_free(picker, (uint32_t)slot, peer, blocks_max, now_ms, ret);
        return true;
    }
    /* While memory is on its way, or the disk is behind, nothing is sent twice. */
    if (picker->opening_count + picker->full_count > 0)
        return false;
    return take_late(picker, peer, have, blocks_max, copy_before_ms, ret);
}

/* ---- Blocks ---- */

bool picker_block_there(struct picker *picker, uint32_t slot, uint32_t block, uint8_t peer)
{
    struct picker_slot *s = &picker->slots[slot];
    struct picker_block *b = &s->blocks[block];
    if (b->is_there || (s->is_solo && s->owner != peer)) /* or too late: it was the owner */
        return false;
    s->free_count -= !is_asked(b);
    b->is_there = true;
    s->there_count++;
    s->contributors |= UINT64_C(1) << peer;
    if (s->there_count == s->block_count) {
        s->stage = PICKER_FULL;
        picker->full_count++;
    }
    return true;
}

void picker_block_done(struct picker *picker, uint32_t slot, uint32_t block, uint8_t peer)
{
    struct picker_slot *s = &picker->slots[slot];
    struct picker_block *b = &s->blocks[block];
    if (b->who[0] != peer && b->who[1] != peer)
        return; /* the piece began anew meanwhile */
    b->who[b->who[0] != peer] = PICKER_NOBODY;
    s->free_count += is_free(b);
}

bool picker_is_full(const struct picker *picker, uint32_t slot)
{
    return picker->slots[slot].stage == PICKER_FULL;
}

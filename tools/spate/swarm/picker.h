/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SWARM_PICKER_H
#define SPATE_SWARM_PICKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/spate/swarm/wire.h"

/* What to ask whom for.  A few pieces are open at a time, one in each slot; their blocks are asked
 * for in runs, each of one peer.  No file, no socket and no clock: times are arguments.
 *
 * A piece is opened for one peer, and stays that peer's, so that its blocks come in order, and so
 * that a wrong hash says who sent it.  Others take a part in it when they have nothing better. */

enum {
    PICKER_PEERS_MAX = 63, /* one less than a mask has bits */
    PICKER_SLOTS_MAX = 1024,
    PICKER_NOBODY = 255,
    PICKER_ASKED_MAX = 2,   /* peers that a block is asked of at a time */
    PICKER_AGAIN_MS = 1000, /* before a peer gets a piece again that it did not finish alone */
};

enum picker_stage {
    PICKER_CLOSED,
    PICKER_OPENING, /* its memory is not there yet */
    PICKER_READY,
    PICKER_FULL, /* all blocks are there: it is verified and written */
};

struct picker_block {
    uint32_t asked_ms;             /* when it was first asked for */
    uint8_t who[PICKER_ASKED_MAX]; /* peers that it is asked of now, or PICKER_NOBODY */
    bool is_there;
};

/* Invariant: free_count blocks are neither there nor asked for; there_count are there. */
struct picker_slot {
    enum picker_stage stage;
    uint32_t piece;
    uint32_t block_count;
    uint32_t free_count;
    uint32_t there_count;
    uint32_t round;        /* changes when blocks that were there are missing again */
    uint8_t owner;         /* or PICKER_NOBODY */
    bool is_solo;          /* nobody but the owner may send blocks of it */
    uint64_t tried;        /* is_solo: a bit per peer that was its owner and did not finish it */
    uint32_t orphan_ms;    /* is_solo: when one of those could have had it first; 0: not yet */
    uint64_t contributors; /* a bit per peer whose blocks are in it; the last: one that is gone */
    struct picker_block *blocks;
};

/* Invariant: closed_count pieces are neither there nor in a slot. */
struct picker {
    uint32_t piece_count;
    uint32_t piece_size;
    uint64_t total;
    uint32_t closed_count;
    uint32_t there_count;
    uint32_t slot_count;
    uint32_t opening_count;
    uint32_t full_count;
    uint16_t *availability; /* peers that have a piece */
    uint8_t *state;         /* of a piece: picker.c */
    struct picker_slot *slots;
    uint32_t next; /* where the next search begins: pieces of one availability take turns */
};

/* A run of blocks of one slot. */
struct picker_run {
    uint32_t slot;
    uint32_t first;
    uint32_t count;
    bool is_copy; /* end game: somebody else was asked for them first */
};

/* Returns false without memory; picker_deinit() is allowed then too. */
bool picker_init(struct picker *ret, uint64_t total, uint32_t piece_size, uint32_t slot_count);
void picker_deinit(struct picker *picker);

/* Returns whether a bit of a bitfield is set. */
bool picker_bit(const uint8_t *bits, uint32_t piece);

/* A piece that was there from the beginning. */
void picker_have(struct picker *picker, uint32_t piece);

/* A peer has a piece, or has it no longer. */
void picker_count(struct picker *picker, uint32_t piece, bool is_there);

/* Opens the rarest piece that the peer has, in a free slot.
 *
 *   have  The peer's bitfield.
 *
 * Returns the slot, which waits for picker_ready() or picker_close(); or -1. */
int picker_open(struct picker *picker, uint8_t peer, const uint8_t *have);
void picker_ready(struct picker *picker, uint32_t slot);

/* Returns whether the peer could open a piece that another one has in no slot. */
bool picker_can_open(const struct picker *picker, const uint8_t *have);

/* Chooses blocks for a peer: of its own pieces first, then of those without an owner, then of
 * others'; and at last, when it cannot open another piece, blocks that were asked of a peer alone
 * at `copy_before_ms` or earlier.
 *
 *   blocks_max  The most to choose.
 *   now_ms      For the blocks' asked_ms.
 *
 * Returns false if there are none; else they count as asked for. */
bool picker_choose(struct picker *picker, uint8_t peer, const uint8_t *have, uint32_t blocks_max,
                   uint32_t now_ms, uint32_t copy_before_ms, struct picker_run *ret);

/* A block has come from a peer.  Returns true if it was not there before, and is wanted from this
 * peer. */
bool picker_block_there(struct picker *picker, uint32_t slot, uint32_t block, uint8_t peer);

/* A peer was asked for a block, and is so no longer. */
void picker_block_done(struct picker *picker, uint32_t slot, uint32_t block, uint8_t peer);

/* Returns whether all blocks of a slot are there. */
bool picker_is_full(const struct picker *picker, uint32_t slot);

/* The piece is verified and written: its slot is free. */
void picker_piece_there(struct picker *picker, uint32_t slot);

/* The piece has another hash: all its blocks are missing again.  It is asked of one peer from now
 * on.  Returns the peer that has sent all of it, or PICKER_NOBODY if there were several, or one
 * that is gone. */
uint8_t picker_piece_bad(struct picker *picker, uint32_t slot);

/* Finds a piece that may be given up for one that the peer could open: nobody sends it, and neither
 * has the peer it.  Best is one that nobody has, else the one with the fewest blocks.
 *
 * Returns its slot; or -1: there is none, a slot is free, or the peer could open nothing. */
int picker_find_idle(const struct picker *picker, const uint8_t *have);

/* Gives a slot up: its piece is closed again.  No block of it may be asked for. */
void picker_close(struct picker *picker, uint32_t slot);

/* The peer is slow: its pieces have no owner.  One that is asked of one peer alone goes to others
 * first from now on, and what has come of it is missing again. */
void picker_disown(struct picker *picker, uint8_t peer);

/* As picker_disown(), for one slot. */
void picker_disown_slot(struct picker *picker, uint32_t slot);

/* The peer is gone: its pieces have no owner, and the next one with its number did not send what it
 * has sent. */
void picker_forget(struct picker *picker, uint8_t peer);

/* Returns the bytes of a block. */
uint32_t picker_block_bytes(const struct picker *picker, uint32_t slot, uint32_t block);

#endif

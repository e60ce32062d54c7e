/* SPDX-License-Identifier: MIT */
#ifndef SP_SENT_H
#define SP_SENT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/pool.h"
#include "proto/limits.h"

struct sp_stream;

/* What was in the packets of one number space that are not settled yet. */

/* A frame whose loss or acknowledgment matters.  What is not repeated when lost
 * (PADDING, PATH_RESPONSE, PING) is not recorded. */
struct sp_sent_frame {
    struct sp_sent_frame *next;
    struct sp_stream *stream; /* holds a reference (stream->sent_refs) */
    uint64_t offset;          /* STREAM, CRYPTO; ACK: the largest acknowledged; else a number */
    uint32_t size;            /* STREAM, CRYPTO */
    uint8_t type;             /* enum sp_frame_type, STREAM without its flags */
    bool fin;
};

enum sp_sent_state {
    SP_SENT_SKIPPED, /* never sent, or settled */
    SP_SENT_OUT,
    SP_SENT_LOST, /* declared lost; its frames are gone from here */
};

struct sp_sent_packet {
    struct sp_sent_frame *frames;
    uint64_t sent_ns;
    uint32_t size; /* bytes that it counts in flight; 0 if it does not */
    uint8_t state; /* enum sp_sent_state */
    bool is_eliciting;
    bool is_ect; /* sent with an ECT mark */
};

struct sp_sent_block {
    struct sp_sent_block *next;
    struct sp_sent_block *prev;
    uint64_t first_pn; /* a multiple of SP_SENT_BLOCK_PACKETS */
    uint32_t out_count;
    struct sp_sent_packet packets[SP_SENT_BLOCK_PACKETS];
};

/* Packets by number, in blocks.  A block without an outstanding packet is given
 * back, unless it is the last one: so the memory follows what is in flight.
 *
 *     out_count = sum of the blocks' out_count
 *     first block's out_count > 0, or it is the only one */
struct sp_sent {
    struct sb_pool *blocks; /* borrowed */
    struct sp_sent_block *first;
    struct sp_sent_block *last;
    struct sp_sent_block *cursor; /* the block of the last lookup, or NULL */
    uint64_t next_pn;
    uint32_t out_count;
    uint32_t eliciting_count; /* of the outstanding */
};

void sp_sent_init(struct sp_sent *sent, struct sb_pool *blocks);

/* Makes room for packet `next_pn`.  False without memory.  After true the next
 * sp_sent_add() cannot fail. */
SB_MUST_USE bool sp_sent_reserve(struct sp_sent *sent);

/* Records packet `next_pn` and counts it up.  Takes `packet->frames` over.  One that is
 * SKIPPED, and has no frames, is forgotten at once. */
void sp_sent_add(struct sp_sent *sent, const struct sp_sent_packet *packet);

/* The packet `pn` if it is known still, whatever its state; NULL otherwise. */
struct sp_sent_packet *sp_sent_find(struct sp_sent *sent, uint64_t pn);

/* Settles an outstanding packet of the block that holds `pn`: its state becomes `state`, its
 * frames are the caller's.  The block may be given back by it. */
struct sp_sent_frame *sp_sent_settle(struct sp_sent *sent, uint64_t pn, enum sp_sent_state state);

/* The first packet whose number is at least `pn` and that is outstanding, or else, with
 * `or_lost`, declared lost and still known.  NULL: none. */
struct sp_sent_packet *sp_sent_next(struct sp_sent *sent, uint64_t pn, bool or_lost,
                                    uint64_t *ret_pn);

/* Gives all blocks back; all packets must be settled. */
void sp_sent_deinit(struct sp_sent *sent);

void sp_sent_check(const struct sp_sent *sent);

#endif

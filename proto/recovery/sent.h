/* SPDX-License-Identifier: MIT */
#ifndef SP_SENT_H
#define SP_SENT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/pool.h"
#include "proto/wire/limits.h"

struct sp_message;
struct sp_stream;

/* What was in the packets of one number space that are not settled yet. */

/* A frame whose loss or acknowledgment matters.  Frames that are not retransmitted when lost
 * (PADDING, PATH_RESPONSE, PING) are not recorded, but for the PING of a PMTU probe. */
struct sp_sent_frame {
    struct sp_sent_frame *next;
    union {
        struct sp_stream *stream;    /* holds a reference (stream->sent_refs) */
        struct sp_message *messages; /* DATAGRAM: all of the packet, owned */
    };
    uint64_t offset; /* STREAM, CRYPTO; ACK: the largest acknowledged; PING: the bytes
                        of the probe; else a number */
    uint32_t size;   /* STREAM, CRYPTO; DATAGRAM: the number of messages; PING:
                        sp_loss_path.number of the probe's path */
    uint16_t type;   /* enum sp_frame_type, STREAM without its flags */
    bool fin;
};

enum sp_sent_state {
    SP_SENT_SKIPPED, /* never sent, or settled */
    SP_SENT_OUT,
    SP_SENT_LOST, /* declared lost; its frames have been taken from here */
};

struct sp_sent_packet {
    struct sp_sent_frame *frames;
    uint64_t sent_ns;
    uint32_t size; /* bytes that it counts in flight; 0 if it does not */
    uint8_t state; /* enum sp_sent_state */
    bool is_eliciting;
    bool is_ect;  /* sent with an ECT mark */
    uint8_t path; /* sp_loss_path.index of the path that it went */
};

/* An ACK frame repeats what earlier ones had.  So that it costs what is new in it, the packets
 * whose state it may change are found by bits:
 *
 *     bit i of out_bits = packets[i] is SP_SENT_OUT,  of lost_bits = it is SP_SENT_LOST */
struct sp_sent_block {
    struct sp_sent_block *next;
    struct sp_sent_block *prev;
    uint64_t first_pn; /* a multiple of SP_SENT_BLOCK_PACKETS */
    uint32_t out_bits;
    uint32_t lost_bits;
    struct sp_sent_packet packets[SP_SENT_BLOCK_PACKETS];
};

/* Packets by number, in blocks.  A block without an outstanding packet is given
 * back, unless it is the last one: so the memory follows what is in flight.
 *
 *     out_count = the sum of bits in the blocks' out_bits
 *     the first block's out_bits != 0, or it is the only one */
struct sp_sent {
    struct sb_store *blocks; /* borrowed */
    struct sp_sent_block *first;
    struct sp_sent_block *last;
    struct sp_sent_block *cursor; /* the block of the last lookup, or NULL */
    uint64_t next_pn;             /* grows with each packet. [RFC9000 12.3, 17.2.3] */
    uint64_t walk_count;          /* blocks that lookups have passed over so far */
    uint32_t out_count;
    uint32_t eliciting_count; /* of the outstanding */
};

void sp_sent_init(struct sp_sent *sent, struct sb_store *blocks);

_Static_assert(SP_SENT_BLOCK_PACKETS == 32, "a bit of a uint32_t for each");

/* Returns the bits of the packets `from` to `to` of a block. */
static inline uint32_t sp_sent_bits(uint64_t from, uint64_t to)
{
    return (UINT32_MAX << from) & (UINT32_MAX >> (SP_SENT_BLOCK_PACKETS - 1 - to));
}

/* Appends the list `frames` to the list whose last link is `*tail`. */
static inline void sp_sent_append(struct sp_sent_frame ***tail, struct sp_sent_frame *frames)
{
    **tail = frames;
    while (**tail != NULL)
        *tail = &(**tail)->next;
}

/* The first number of the block that `pn` belongs to. */
static inline uint64_t sp_sent_block_of(uint64_t pn)
{
    return pn & ~(uint64_t)(SP_SENT_BLOCK_PACKETS - 1);
}

/* Adds the block that packet `next_pn` belongs to.  False without memory. */
SB_MUST_USE bool sp_sent_grow(struct sp_sent *sent);

/* Makes room for packet `next_pn`.  False without memory.  After true the next
 * sp_sent_add() cannot fail. */
SB_MUST_USE static inline bool sp_sent_reserve(struct sp_sent *sent)
{
    const struct sp_sent_block *last = sent->last;
    return (last != NULL && last->first_pn == sp_sent_block_of(sent->next_pn)) ||
           sp_sent_grow(sent);
}

/* Records packet `next_pn` and counts it up.  Takes `packet->frames` over.  One that is
 * SKIPPED, and has no frames, is forgotten at once.
 *
 * Field by field, so that the packet stays in registers: a copy as a whole would read 16 bytes
 * from what has been stored as two times 8 just before, which the processor cannot forward. */
static inline void sp_sent_add(struct sp_sent *sent, const struct sp_sent_packet *packet)
{
    struct sp_sent_block *block = sent->last;
    SB_ASSERT(block != NULL && block->first_pn == sp_sent_block_of(sent->next_pn));
    SB_ASSERT(packet->state == SP_SENT_OUT ||
              (packet->state == SP_SENT_SKIPPED && packet->frames == NULL));

    uint64_t index = sent->next_pn - block->first_pn;
    struct sp_sent_packet *slot = &block->packets[index];
    slot->frames = packet->frames;
    slot->sent_ns = packet->sent_ns;
    slot->size = packet->size;
    slot->state = packet->state;
    slot->is_eliciting = packet->is_eliciting;
    slot->is_ect = packet->is_ect;
    slot->path = packet->path;
    sent->next_pn++;
    if (packet->state == SP_SENT_SKIPPED)
        return;
    block->out_bits |= 1u << index;
    sent->out_count++;
    if (packet->is_eliciting)
        sent->eliciting_count++;
}

/* The packet `pn` if it is known still, whatever its state; NULL otherwise. */
struct sp_sent_packet *sp_sent_find(struct sp_sent *sent, uint64_t pn);

/* Settles an outstanding packet of the block that holds `pn`: its state becomes `state`, its
 * frames are the caller's.  The block may be given back by it. */
struct sp_sent_frame *sp_sent_settle(struct sp_sent *sent, uint64_t pn, enum sp_sent_state state);

/* Returns the first packet from `pn` on that is outstanding.  With `or_lost` also one that was
 * declared lost and is still recorded.  Returns NULL if there is none. */
struct sp_sent_packet *sp_sent_next(struct sp_sent *sent, uint64_t pn, bool or_lost,
                                    uint64_t *ret_pn);

/* The first block that holds a number of at least `pn`, or NULL: where a walk through a range of
 * numbers begins, which looks at the packets of a block by itself. */
struct sp_sent_block *sp_sent_block_from(struct sp_sent *sent, uint64_t pn);

/* Updates the counts after such a walk: `count` packets of `block`, those in `bits`, are no longer
 * outstanding; `eliciting_count` of them are ack-eliciting.  Their state was set and their frames
 * have been taken.  Returns the next block; may give `block` back to its pool. */
struct sp_sent_block *sp_sent_block_settled(struct sp_sent *sent, struct sp_sent_block *block,
                                            uint32_t bits, uint32_t count,
                                            uint32_t eliciting_count);

/* Forgets what is outstanding, which must not be ack-eliciting: nothing tells when a peer does not
 * acknowledge that, and nothing depends on it.  Gives all blocks back; packets can be added as
 * before.  The frames are the caller's. */
SB_MUST_USE struct sp_sent_frame *sp_sent_rest(struct sp_sent *sent);

/* Gives all blocks back; all packets must be settled. */
void sp_sent_deinit(struct sp_sent *sent);

void sp_sent_check(const struct sp_sent *sent);

#endif

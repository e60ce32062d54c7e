/* SPDX-License-Identifier: MIT */
#ifndef SP_ACK_H
#define SP_ACK_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/pool.h"
#include "proto/wire/frame.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* What the peer asks of our ACKs, by its newest ACK_FREQUENCY frame.  All zero before the first.
 * [ack-frequency 4] */
struct sp_ack_wish {
    uint64_t next_sequence; /* smaller ones are obsolete; 0: there was no frame */
    uint32_t count;         /* ack-eliciting packets per ACK */
    uint32_t delay_us;
    uint32_t reorder_threshold; /* 0: reordering asks for no ACK */
};

/* Ranges that need no memory of their own: a flow without loss has one, and one that reorders two.
 */
enum { SP_ACK_RANGES_FEW = 3 };

/* Room for all ranges that may be remembered, from a pool. */
struct sp_ack_many {
    struct sp_ack_range ranges[SP_ACK_RANGES_MAX];
};

/* The packets received in one packet number space, and when to acknowledge them.  [RFC9000 13.2]
 *
 *     ranges[0] is the largest; falling, disjoint, not adjacent
 *     numbers below `floor` count as received: they were, or were forgotten
 *     `ranges` is `few`, or `many->ranges` from the fourth range on and until one is left
 *
 * Usage order, once per batch:  on_packet() for each packet  ->  decide()  -> later, with
 * a packet that carries the ACK:  on_sent(). */
struct sp_ack {
    uint32_t range_count;
    uint32_t eliciting_count; /* ack-eliciting packets since the last ACK sent */
    uint32_t batch_eliciting; /* ack-eliciting packets in this batch */
    uint32_t in_order_count;  /* ack-eliciting packets since the last sign of loss, capped */
    bool is_wanted;           /* an ACK should leave now */
    bool is_pending;          /* something was received that no ACK has reported */
    bool batch_is_urgent;     /* this batch shows loss, reordering or a CE mark */
    bool batch_is_immediate;  /* this batch has an IMMEDIATE_ACK frame */
    bool last_was_ce;         /* the last ack-eliciting packet had a CE mark */
    bool has_eliciting;
    bool has_late;              /* a packet has come after a later one */
    uint64_t largest_eliciting; /* valid if has_eliciting */
    uint64_t sent_at_ns;        /* when the last ACK left */
    uint64_t deadline_ns;       /* SB_NEVER, or when an ACK is due by delay */
    uint64_t largest_at_ns;     /* when the largest number arrived */
    uint64_t reported_end;      /* one more than the largest number in an ACK sent; 0: none */
    uint64_t floor;
    uint64_t confirmed_end; /* the peer knows of what is below, since this batch; 0: no news */
    struct sp_ecn_counts ecn;
    const struct sp_ack_wish *wish; /* NULL: none */
    struct sp_ack_range *ranges;
    struct sp_ack_many *many; /* NULL: none */
    struct sb_store *store;   /* of struct sp_ack_many, borrowed; NULL: there are but few ranges */
    struct sp_ack_range few[SP_ACK_RANGES_FEW];
};

/* `store`: see struct sp_ack.  The object may not be moved. */
void sp_ack_init(struct sp_ack *ack, struct sb_store *store);
/* Gives back what was taken from the store, and takes nothing more: only the newest ranges are
 * still known. */
void sp_ack_deinit(struct sp_ack *ack);

/* True if `pn` must not be processed (again). */
bool sp_ack_is_known(const struct sp_ack *ack, uint64_t pn);

/* One more than the largest received: what truncated numbers are expanded with. */
static inline uint64_t sp_ack_next_pn(const struct sp_ack *ack)
{
    return ack->range_count > 0 ? ack->ranges[0].largest + 1 : ack->floor;
}

/* Records that a packet with a new number was processed. */
void sp_ack_on_packet(struct sp_ack *ack, uint64_t pn, bool is_eliciting, enum sp_ecn ecn,
                      uint64_t now_ns);

/* Takes an ACK_FREQUENCY frame; an obsolete one is ignored.  `wish` is borrowed, always the same
 * one.  `delay_us_min`: our min_ack_delay.  Returns SP_OK, or PROTOCOL_VIOLATION for a delay below
 * that or of 2^14 ms or more. [ack-frequency 4] */
SB_MUST_USE enum sp_err sp_ack_on_frequency(struct sp_ack *ack, struct sp_ack_wish *wish,
                                            const struct sp_frame_ack_frequency *frame,
                                            uint64_t delay_us_min);

/* Takes an IMMEDIATE_ACK frame: the batch at hand is acknowledged at once.  [ack-frequency 5] */
static inline void sp_ack_on_immediate(struct sp_ack *ack)
{
    ack->batch_is_immediate = true;
}

/* Decides once per batch when to send an ACK.  `delay_ns_max` is the delay that we promised, for
 * which the peer may have asked for another one; 0 means at once, as for Initial and Handshake
 * packets.  [RFC9000 13.2.1]  `rtt_ns`: the smoothed round trip, 0 if it is not known. */
void sp_ack_decide(struct sp_ack *ack, uint64_t delay_ns_max, uint64_t rtt_ns, uint64_t now_ns);

/* Returns true if there are received packets that no ACK has reported: an ACK is worth adding to a
 * packet that leaves anyway. */
static inline bool sp_ack_is_pending(const struct sp_ack *ack)
{
    return ack->is_pending && ack->range_count > 0;
}

/* An ACK frame is due by itself. */
static inline bool sp_ack_is_due(const struct sp_ack *ack, uint64_t now_ns)
{
    return sp_ack_is_pending(ack) && (ack->is_wanted || ack->deadline_ns <= now_ns);
}

void sp_ack_on_sent(struct sp_ack *ack, uint64_t now_ns);

/* Records that the peer acknowledged a packet in which we had acknowledged up to `largest`: numbers
 * up to there need not be acknowledged again.  decide() forgets them, not before: the packet that
 * says so may have come late and be one of them.  [RFC9000 13.2.4] */
void sp_ack_on_confirmed(struct sp_ack *ack, uint64_t largest);

/* What the peer has confirmed, kept for a round trip where packets come late: see ack.c. */
struct sp_ack_lag {
    uint64_t largest;
    uint64_t at_ns; /* when it was confirmed; 0: nothing was */
};

/* Takes `*largest`, which was confirmed now, and replaces it by what was confirmed `rtt_ns` ago or
 * earlier.  Returns false, and takes nothing, if that has been taken already. */
bool sp_ack_lag_take(struct sp_ack_lag *lag, uint64_t rtt_ns, uint64_t now_ns, uint64_t *largest);

void sp_ack_check(const struct sp_ack *ack);

#endif

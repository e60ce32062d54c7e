/* SPDX-License-Identifier: MIT */
#ifndef SP_REORDER_H
#define SP_REORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/recovery/rtt.h"

/* What a path's reordering asks of loss detection.  [RFC9002 6.1, RFC8985]
 *
 * Two things are learned from packets that were acknowledged after later ones: how long they were
 * overtaken, so that the next ones are waited for that long; and whether all losses to which the
 * congestion controller has reacted were none, so that it can take its reaction back. */

enum { SP_REORDER_RUNS = 3 };

/* Packets that count as lost and were sent within a short time. */
struct sp_reorder_run {
    uint64_t first_pn;
    uint64_t sent_ns; /* when `first_pn` left */
    uint64_t bits;    /* bit i: `first_pn` + i */
};

struct sp_reorder {
    /* What was late in this period of time, and in the one before. */
    uint64_t late_ns[2];    /* the most beyond a round trip */
    uint64_t period_end_ns; /* of this one */
    /* Losses since the last reduction that have not proved spurious: the first `run_count`. */
    struct sp_reorder_run runs[SP_REORDER_RUNS];
    uint64_t reduced_at_ns; /* packets sent up to here reduce no more */
    bool is_wide[2];        /* late by as many packets as would count as a loss */
    uint8_t run_count;
    bool can_undo; /* `runs` has all of them */
};

static inline bool sp_reorder_has_runs(const struct sp_reorder *reorder)
{
    return reorder->run_count > 0;
}

/* Returns whether a gap of packet numbers is no sign of a loss on this path.  [RFC8985 6.2] */
static inline bool sp_reorder_is_wide(const struct sp_reorder *reorder)
{
    return reorder->is_wide[0] || reorder->is_wide[1];
}

/* Forgets what is old.  Call it before sp_reorder_delay_ns(). */
void sp_reorder_update(struct sp_reorder *reorder, const struct sp_rtt *rtt, uint64_t now_ns);

/* Returns how long a packet may be overtaken before it counts as lost: 9/8 of a round trip, or as
 * much more as others were late lately, up to three round trips.  `ack_delay_ns`: how long the peer
 * may delay the ACK of a packet that comes late. */
uint64_t sp_reorder_delay_ns(const struct sp_reorder *reorder, const struct sp_rtt *rtt,
                             uint64_t ack_delay_ns);

/* A packet that left at `sent_ns` was acknowledged after later ones.  `distance`: how many numbers
 * later the largest of them is. */
void sp_reorder_on_late(struct sp_reorder *reorder, uint64_t sent_ns, uint64_t distance,
                        const struct sp_rtt *rtt, uint64_t now_ns);

/* A packet counts as lost.  Call it in rising order of numbers. */
void sp_reorder_on_lost(struct sp_reorder *reorder, uint64_t pn, uint64_t sent_ns, uint64_t now_ns);

/* The controller has reacted, at `now_ns`, to what cannot prove spurious. */
void sp_reorder_on_final(struct sp_reorder *reorder, uint64_t now_ns);

/* Takes the packets `smallest` to `largest` out of the lost ones, because they were acknowledged.
 * Returns how many were there; `*ret_pn` and `*ret_sent_ns`: the oldest of them. */
uint32_t sp_reorder_on_acked(struct sp_reorder *reorder, uint64_t smallest, uint64_t largest,
                             uint64_t *ret_pn, uint64_t *ret_sent_ns);

/* Returns, once, whether all losses since the last reduction have proved spurious. */
bool sp_reorder_take_undo(struct sp_reorder *reorder);

#endif

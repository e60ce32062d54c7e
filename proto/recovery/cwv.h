/* SPDX-License-Identifier: MIT */
#ifndef SP_CWV_H
#define SP_CWV_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"

/* Congestion window validation: how much of a window was used lately.  [RFC7661, RFC9002 7.8]
 *
 * A window that is not used says nothing about the path of now.  It is kept all the same, so that a
 * pause costs nothing; but it is not trusted:
 *
 *     pipeACK        the most bytes that were acknowledged within a round trip, in the last
 *                    max(3 round trips, 1 s).  [RFC7661 4.2]
 *     validated      pipeACK, or what is in flight, is at least half the window.  [RFC7661 4.3]
 *     not validated  the window does not grow; a loss reduces what was used, not the window; after
 *                    each SP_CWV_PERIOD_NS of it the window is halved.  [RFC7661 4.4]
 *
 * A sample is what was acknowledged in a time of one smoothed round trip. */

/* The non-validated period.  [RFC7661 4.4.3] */
#define SP_CWV_PERIOD_NS (5 * 60 * SB_S)

/* Largest samples are kept per half of pipeACK's period: two whole ones and the one at hand. */
enum { SP_CWV_HALVES = 3 };

struct sp_cwv {
    uint64_t ack_bytes;       /* acknowledged by the ACK at hand, so far */
    uint64_t round_bytes;     /* acknowledged in this round, by earlier ACKs */
    uint64_t round_at_ns;     /* when the round began: the time of an ACK */
    uint64_t half_at_ns;      /* when the half period at hand began */
    uint64_t validated_ns;    /* when the window was validated last; 0: nothing was measured yet */
    uint64_t validated_bytes; /* .. what was used then; 0: the window was never validated */
    uint32_t highest_bytes[SP_CWV_HALVES]; /* at most UINT32_MAX; the half at hand comes first */
    bool is_known;                         /* pipeACK: a round has ended since sp_cwv_restart() */
    bool skips_round;                      /* this round is no sample: it began in recovery */
};

/* Begins to measure, at the start or when the window was reduced: pipeACK is unknown until a whole
 * round has passed.  [RFC7661 4.2] */
void sp_cwv_restart(struct sp_cwv *cwv, uint64_t now_ns);

/* Returns pipeACK; UINT64_MAX while it is unknown. */
uint64_t sp_cwv_pipe_bytes(const struct sp_cwv *cwv);

/* The end of an ACK at `now_ns`: moves `ack_bytes` to the round.  `rtt_ns`: the smoothed round
 * trip. */
void sp_cwv_on_ack(struct sp_cwv *cwv, uint64_t rtt_ns, uint64_t now_ns);

/* Notes that `used_bytes` of a window are in use.  Returns whether that validates the window. */
bool sp_cwv_validate(struct sp_cwv *cwv, uint64_t used_bytes, uint64_t cwnd_bytes, uint64_t now_ns);

/* Returns how many non-validated periods have ended since the last call. */
uint64_t sp_cwv_take_periods(struct sp_cwv *cwv, uint64_t now_ns);

#endif

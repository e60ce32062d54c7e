/* SPDX-License-Identifier: MIT */
#ifndef SP_HYSTART_H
#define SP_HYSTART_H

#include <stdbool.h>
#include <stdint.h>

/* HyStart++: the end of the first slow start before the path drops packets.  [RFC9406]
 *
 * A queue at the bottleneck lengthens the round trip.  When the shortest round trip of one round is
 * longer than that of the round before by more than a threshold, the window grows by a quarter of
 * what slow start would add (conservative slow start).  If the round trip is no longer than that
 * for five rounds, slow start ends; if it becomes shorter again, slow start goes on.
 *
 *     sp_hystart_init()
 *     for each ACK:  sp_hystart_growth()     for the acknowledged bytes, in any number of parts
 *                    sp_hystart_on_ack()     once
 *
 * The limit L of bytes per ACK is not here: pacing, or the burst of sp_loss_room(), does more. */

enum sp_hystart_state {
    SP_HYSTART_SLOW,         /* slow start */
    SP_HYSTART_CONSERVATIVE, /* conservative slow start */
};

struct sp_hystart {
    uint64_t round_at_ns;     /* the round ends with the ACK of a packet that left after this */
    uint64_t last_min_ns;     /* shortest round trip of the round before; UINT64_MAX: none */
    uint64_t min_ns;          /* of this round */
    uint64_t baseline_min_ns; /* of the round that began conservative slow start */
    uint32_t sample_count;    /* round-trip times in this round */
    uint16_t rounds;          /* of conservative slow start that have ended */
    uint8_t state;            /* enum sp_hystart_state */
    uint8_t grown_rest;       /* acknowledged bytes that have not counted yet; below 4 */
};

void sp_hystart_init(struct sp_hystart *hystart);

/* Returns the bytes by which the window grows for `acked_bytes`. */
uint64_t sp_hystart_growth(struct sp_hystart *hystart, uint64_t acked_bytes);

/* `rtt_ns`: the sample of the ACK, 0 if it has brought none.  `sent_ns`: when the newest packet
 * that it acknowledges left.  Returns true if slow start ends now. */
bool sp_hystart_on_ack(struct sp_hystart *hystart, uint64_t rtt_ns, uint64_t sent_ns,
                       uint64_t now_ns);

#endif

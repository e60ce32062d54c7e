/* SPDX-License-Identifier: MIT */
#include "proto/recovery/hystart.h"

/* HyStart++.  [RFC9406 4]
 *
 * A round is delimited by send times instead of packet numbers: packets of a train leave at one
 * time, and packet numbers are unknown to a congestion controller.
 *
 * What can be attacked: a peer that delays its ACKs ends its own slow start early. */

#include "proto/base/compiler.h"
#include "proto/base/time.h"

/* [RFC9406 4.3] */
#define RTT_THRESHOLD_NS_MIN (4 * SB_MS)
#define RTT_THRESHOLD_NS_MAX (16 * SB_MS)
#define RTT_DIVISOR          8
#define SAMPLES_MIN          8
#define GROWTH_DIVISOR       4
#define CONSERVATIVE_ROUNDS  5

void sp_hystart_init(struct sp_hystart *hystart)
{
    *hystart = (struct sp_hystart){
        .last_min_ns = UINT64_MAX,
        .min_ns = UINT64_MAX,
    };
}

uint64_t sp_hystart_growth(struct sp_hystart *hystart, uint64_t acked_bytes)
{
    if (hystart->state == SP_HYSTART_SLOW)
        return acked_bytes;
    uint64_t bytes = hystart->grown_rest + acked_bytes;
    hystart->grown_rest = (uint8_t)(bytes % GROWTH_DIVISOR);
    return bytes / GROWTH_DIVISOR;
}

static void begin_round(struct sp_hystart *hystart, uint64_t now_ns)
{
    hystart->round_at_ns = now_ns;
    hystart->last_min_ns = hystart->min_ns;
    hystart->min_ns = UINT64_MAX;
    hystart->sample_count = 0;
}

static bool is_delayed(const struct sp_hystart *hystart)
{
    if (hystart->sample_count < SAMPLES_MIN || hystart->last_min_ns == UINT64_MAX)
        return false;
    uint64_t threshold_ns = SB_MIN(SB_MAX(hystart->last_min_ns / RTT_DIVISOR, RTT_THRESHOLD_NS_MIN),
                                   RTT_THRESHOLD_NS_MAX);
    return hystart->min_ns >= hystart->last_min_ns + threshold_ns;
}

bool sp_hystart_on_ack(struct sp_hystart *hystart, uint64_t rtt_ns, uint64_t sent_ns,
                       uint64_t now_ns)
{
    if (rtt_ns > 0) {
        hystart->min_ns = SB_MIN(hystart->min_ns, rtt_ns);
        hystart->sample_count++;
    }
    if (hystart->state == SP_HYSTART_SLOW) {
        if (is_delayed(hystart)) {
            hystart->state = SP_HYSTART_CONSERVATIVE;
            hystart->baseline_min_ns = hystart->min_ns;
            hystart->rounds = 0;
        }
    } else if (hystart->sample_count >= SAMPLES_MIN && hystart->min_ns < hystart->baseline_min_ns) {
        hystart->state = SP_HYSTART_SLOW;
    }
    if (sent_ns <= hystart->round_at_ns)
        return false;
    begin_round(hystart, now_ns);
    if (hystart->state == SP_HYSTART_SLOW)
        return false;
    hystart->rounds++; /* the first one may have been a part of a round */
    return hystart->rounds >= CONSERVATIVE_ROUNDS;
}

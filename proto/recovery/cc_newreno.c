/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cc.h"

/* NewReno.  [RFC9002 7, appendix B]
 *
 * Slow start doubles the window every round trip; congestion avoidance adds one
 * datagram a round trip; one reduction by half for each round trip with loss.
 * Congestion avoidance counts acknowledged bytes instead of dividing for every
 * acknowledgment, so that rounding does not starve large windows. */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* [RFC9002 7.2] 10 datagrams, but at most the larger of 14,720 bytes and two. */
#define INITIAL_DATAGRAMS 10
#define INITIAL_BYTES     14720
#define MINIMUM_DATAGRAMS 2

static uint64_t minimum_bytes(const struct sp_cc *cc)
{
    return MINIMUM_DATAGRAMS * cc->datagram_bytes;
}

void sp_cc_init(struct sp_cc *cc, uint64_t datagram_bytes)
{
    SB_ASSERT(datagram_bytes > 0);
    *cc = (struct sp_cc){
        .ssthresh_bytes = UINT64_MAX,
        .datagram_bytes = datagram_bytes,
    };
    cc->cwnd_bytes =
        SB_MIN(INITIAL_DATAGRAMS * datagram_bytes, SB_MAX(INITIAL_BYTES, minimum_bytes(cc)));
}

void sp_cc_set_datagram_bytes(struct sp_cc *cc, uint64_t datagram_bytes)
{
    SB_ASSERT(datagram_bytes > 0);
    cc->datagram_bytes = datagram_bytes;
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, minimum_bytes(cc));
}

void sp_cc_on_sent(struct sp_cc *cc, uint64_t bytes)
{
    cc->in_flight_bytes += bytes;
}

void sp_cc_on_removed(struct sp_cc *cc, uint64_t bytes)
{
    SB_ASSERT(cc->in_flight_bytes >= bytes);
    cc->in_flight_bytes -= bytes;
}

void sp_cc_on_acked(struct sp_cc *cc, uint64_t bytes, uint64_t sent_ns, bool is_limited)
{
    sp_cc_on_removed(cc, bytes);

    /* [RFC9002 7.3.2, 7.8] No growth in recovery, nor when the window was not used. */
    if (!is_limited || (cc->recovery_start_ns != 0 && sent_ns <= cc->recovery_start_ns))
        return;

    /* `bytes` may be a train's: it may end slow start, and go round the window more than once. */
    if (sp_cc_is_in_slow_start(cc)) {
        uint64_t grown = SB_MIN(bytes, cc->ssthresh_bytes - cc->cwnd_bytes);
        cc->cwnd_bytes += grown;
        bytes -= grown;
    }
    cc->acked_bytes += bytes;
    while (cc->acked_bytes >= cc->cwnd_bytes) {
        cc->acked_bytes -= cc->cwnd_bytes;
        cc->cwnd_bytes += cc->datagram_bytes;
    }
}

void sp_cc_on_congestion(struct sp_cc *cc, uint64_t sent_ns, uint64_t now_ns)
{
    if (cc->recovery_start_ns != 0 && sent_ns <= cc->recovery_start_ns)
        return; /* this round trip has paid already */

    cc->recovery_start_ns = SB_MAX(now_ns, 1);
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes / 2, minimum_bytes(cc));
    cc->ssthresh_bytes = cc->cwnd_bytes;
    cc->acked_bytes = 0;
}

void sp_cc_on_persistent_congestion(struct sp_cc *cc)
{
    cc->cwnd_bytes = minimum_bytes(cc);
    cc->recovery_start_ns = 0;
    cc->acked_bytes = 0;
}

/* SPDX-License-Identifier: MIT */
#ifndef CC_FLOW_H
#define CC_FLOW_H

/* A congestion controller on a path whose round trip is always the same. */

#include "proto/base/time.h"
#include "proto/recovery/cc.h"

enum { CC_FLOW_DATAGRAM = 1000 };

struct cc_flow {
    struct sp_cc cc;
    struct sp_rtt rtt;
    uint64_t now_ns;
};

/* Begins with a window of `cwnd` datagrams. */
static inline void cc_flow_begin(struct cc_flow *flow, enum sp_cc_kind kind, uint64_t rtt_ns,
                                 uint64_t cwnd)
{
    *flow = (struct cc_flow){
        .rtt = {.latest_ns = rtt_ns, .smoothed_ns = rtt_ns, .min_ns = rtt_ns},
        .now_ns = SB_S,
    };
    const struct sp_cc_args args = {
        .ops = sp_cc_ops_of(kind),
        .datagram_bytes = CC_FLOW_DATAGRAM,
    };
    sp_cc_init(&flow->cc, &args);
    flow->cc.cwnd_bytes = cwnd * CC_FLOW_DATAGRAM;
}

/* A datagram that left a round trip ago is lost. */
static inline void cc_flow_lost(struct cc_flow *flow, bool is_persistent)
{
    struct sp_cc_loss loss = {
        .bytes = CC_FLOW_DATAGRAM,
        .sent_ns = flow->now_ns - flow->rtt.latest_ns,
        .now_ns = flow->now_ns,
        .rtt = &flow->rtt,
        .is_persistent = is_persistent,
    };
    sp_cc_on_lost(&flow->cc, &loss);
}

#endif

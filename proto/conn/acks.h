/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_ACKS_H
#define SP_CONN_ACKS_H

#include "proto/conn/impl.h"

/* Decides for each space when it acknowledges what a batch of datagrams has brought.  Initial and
 * Handshake packets are acknowledged at once.  [RFC9000 13.2.1] */
static inline void sp_conn_decide_acks(struct sp_conn *conn, uint64_t now_ns)
{
    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++) {
        uint64_t delay_ns = i == SP_SPACE_APP && conn->handshake_state >= SP_HANDSHAKE_CONFIRMED
                                ? conn->config->ack_delay_ns_max
                                : 0;
        uint64_t rtt_ns =
            sp_rtt_has_sample(&conn->loss.path->rtt) ? conn->loss.path->rtt.smoothed_ns : 0;
        sp_ack_decide(&conn->spaces[i]->ack, delay_ns, rtt_ns, now_ns);
    }
}

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_ACKS_H
#define SP_CONN_ACKS_H

#include "proto/conn/impl.h"
#include "proto/conn/rest.h"

/* Decides for each space when it acknowledges what a batch of datagrams has brought.  Initial and
 * Handshake packets are acknowledged at once [RFC9000 13.2.1], and so is the PING of a peer that
 * was silent for long: see conn/rest.c. */
static inline void sp_conn_decide_acks(struct sp_conn *conn, uint64_t now_ns)
{
    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++) {
        uint64_t delay_ns = i == SP_SPACE_APP && conn->handshake_state >= SP_HANDSHAKE_CONFIRMED
                                ? conn->config->ack_delay_ns_max
                                : 0;
        uint64_t rtt_ns =
            sp_rtt_has_sample(&conn->loss.path->rtt) ? conn->loss.path->rtt.smoothed_ns : 0;
        if (SB_UNLIKELY(conn->is_roused) && sp_conn_acks_roused(conn))
            delay_ns = 0;
        sp_ack_decide(&conn->spaces[i]->ack, delay_ns, rtt_ns, now_ns);
    }
}

#endif

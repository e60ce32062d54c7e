/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_MTU_H
#define SP_CONN_MTU_H

#include "proto/conn/impl.h"

/* The size of datagrams: what the connection knows about path.pmtu.  [RFC9000 14]
 *
 * After the handshake the path is probed for larger sizes.  A probe is a PING and
 * PADDING (send.c).  Its record is a PING frame with its size.  It counts neither as in flight nor
 * for the PTO, so that its loss is no sign of congestion and delays nothing.  [RFC9000 14.4] */

void sp_conn_mtu_start(struct sp_conn *conn, uint64_t now_ns);
/* Begins to probe a path that the connection has moved to. */
void sp_conn_mtu_start_path(struct sp_conn_path *path, size_t size_max, uint64_t now_ns);
/* A probe of `size` bytes was acknowledged, or lost.  `path_number`: that of the path which it has
 * tried, in use or not. */
void sp_conn_mtu_acked(struct sp_conn *conn, uint64_t path_number, uint64_t size, uint64_t now_ns);
void sp_conn_mtu_lost(struct sp_conn *conn, uint64_t path_number, uint64_t size, uint64_t now_ns);

/* A train was filled: finds out whether larger datagrams would be of use.  A client's last flight
 * of the handshake is full in any case, because a datagram with an Initial packet is padded. */
static inline void sp_conn_mtu_sent(struct sp_conn *conn, const struct sp_train *train)
{
    if (train->segment_size == conn->datagram_size &&
        (conn->handshake_state >= SP_HANDSHAKE_CONFIRMED ||
         (conn->handshake_state == SP_HANDSHAKE_COMPLETE && !sb_list_is_empty(&conn->send_list))))
        sp_pmtu_on_full(&conn->path->pmtu);
}

/* The general case of sp_conn_mtu_check(). */
void sp_conn_mtu_decide(struct sp_conn *conn, uint64_t now_ns);
/* After an ACK or a loss: finds out that the path has ceased to take large datagrams, and begins
 * the next attempt when it is time. */
static inline void sp_conn_mtu_check(struct sp_conn *conn, uint64_t now_ns)
{
    if (SB_UNLIKELY(conn->loss.path->large_lost_count >= SP_PMTU_HOLE_LOSSES ||
                    sp_pmtu_is_time(&conn->path->pmtu, now_ns)))
        sp_conn_mtu_decide(conn, now_ns);
}

/* Gives up the probes that would not fit into `capacity` bytes. */
void sp_conn_mtu_fit(struct sp_conn *conn, size_t capacity, uint64_t now_ns);

/* The system refused a datagram of `size` bytes.  Returns whether datagrams are smaller now. */
SB_MUST_USE bool sp_conn_mtu_refused(struct sp_conn *conn, uint64_t size, uint64_t now_ns);

#endif

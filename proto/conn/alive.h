/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_ALIVE_H
#define SP_CONN_ALIVE_H

#include "proto/conn/impl.h"

/* What keeps a quiet connection from its idle timeout.  [RFC9000 4.1, 10.1.2] */

/* Returns when sp_conn_stay_alive() is due; SB_NEVER if the connection may fall idle, or if packets
 * in flight keep it alive. */
uint64_t sp_conn_alive_deadline_ns(const struct sp_conn *conn);

/* Returns when a connection that was quiet from `from_ns` on shows that it is there, if that is to
 * happen after `quiet_ns`: an eighth of that earlier at most, at a multiple of SP_COARSE_NS or, of
 * a shorter wait, of less.  `phase` is any number of the connection's own: those with different
 * ones drift apart, even if they all were quiet from the same moment on. */
uint64_t sp_conn_alive_at_ns(uint64_t from_ns, uint64_t quiet_ns, uint16_t phase);

/* Queues what tells the peer that we are still there: that we are blocked, or a PING. */
void sp_conn_stay_alive(struct sp_conn *conn, uint64_t now_ns);

#endif

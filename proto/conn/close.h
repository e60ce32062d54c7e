/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_CLOSE_H
#define SP_CONN_CLOSE_H

#include "proto/conn/impl.h"

void sp_conn_fail(struct sp_conn *conn, enum sp_err error, uint64_t frame_type, const char *reason,
                  uint64_t now_ns);
/* Ends an open connection; does nothing later, because the first reason wins.  `state`: the state
 * that follows. */
void sp_conn_end(struct sp_conn *conn, const struct sp_close *close, enum sp_conn_state state,
                 uint64_t now_ns);
/* The time to close or to drain is over: the connection ends, or waits once more, until `last_ns`
 * at most, for its first CONNECTION_CLOSE to leave. */
void sp_conn_on_end_time(struct sp_conn *conn, uint64_t last_ns, uint64_t now_ns);
/* A datagram of `size` bytes with a CONNECTION_CLOSE has been handed out. */
void sp_conn_on_close_sent(struct sp_conn *conn, size_t size, uint64_t now_ns);
void sp_conn_on_peer_close(struct sp_conn *conn, const struct sp_frame_close *frame,
                           uint64_t now_ns);
void sp_conn_on_datagram_while_closing(struct sp_conn *conn, size_t size);
/* Closes the connection if `is_out_of_memory` is set. */
void sp_conn_check_memory(struct sp_conn *conn, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_REST_H
#define SP_CONN_REST_H

#include "proto/conn/impl.h"

/* Lets the connection rest if conn->rest_at_ns has come and it is idle, or sets the next time. */
void sp_conn_rest_on_deadline(struct sp_conn *conn, uint64_t now_ns);

/* Of a connection with is_roused: */

/* Returns whether all that came was one packet with nothing for the application, which is to be
 * acknowledged at once. */
bool sp_conn_acks_roused(const struct sp_conn *conn);
/* After packets came or left: lets the connection rest if they were a PING and its ACK. */
SB_NEVER_INLINE void sp_conn_rest_roused(struct sp_conn *conn);

/* Wakes the keys, which must be before anything is opened or sealed.  Returns false without memory;
 * after SP_MEMORY_PATIENCE_NS of that, the connection is out of memory. */
SB_MUST_USE SB_NEVER_INLINE bool sp_conn_wake(struct sp_conn *conn, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_MEMORY_H
#define SP_CONN_MEMORY_H

#include "proto/base/time.h"
#include "proto/conn/impl.h"

/* After so long without memory for something that the peer or the application waits for, the
 * connection ends.  Long enough for other connections to give some back, and for a few
 * retransmissions of the peer. */
#define SP_MEMORY_PATIENCE_NS (3 * SB_S)

/* Notes that something waits for memory now.  After SP_MEMORY_PATIENCE_NS of that the connection is
 * out of memory. */
void sp_conn_note_shortage(struct sp_conn *conn, enum sp_shortage what, uint64_t now_ns);

/* Notes that it got memory. */
static inline void sp_conn_end_shortage(struct sp_conn *conn, enum sp_shortage what)
{
    conn->short_since_ns[what] = SB_NEVER;
}

/* Raises the limit of the connection's window, or that of a stream, and returns it.  Both follow
 * the bandwidth-delay product.  The connection's window stays within its part of the memory; up to
 * that it is at least as large as that of a stream has become. */
uint64_t sp_conn_raise_limit(struct sp_conn *conn, uint64_t now_ns);
uint64_t sp_conn_raise_stream_limit(struct sp_conn *conn, struct sp_stream_recv *recv,
                                    uint64_t now_ns);

/* Gives back what the connection's window has been widened by. */
void sp_conn_narrow_window(struct sp_conn *conn);

/* Decides anew whether the peer gets more credit: not while memory is short and the connection
 * holds more than its share. */
void sp_conn_decide_credit(struct sp_conn *conn);

/* Returns whether there is credit to give that is held back. */
bool sp_conn_is_credit_held(const struct sp_conn *conn);

/* Sets the time of the next decision.  Call it while credit is held back, when the time of the last
 * one has come and after sending. */
void sp_conn_hold_credit(struct sp_conn *conn, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_SEND_WAIT_H
#define SP_CONN_SEND_WAIT_H

#include "proto/conn/impl.h"

/* Records what sp_conn_send() has done: a train, or why there is none.  With a sink. */
void sp_conn_trace_outcome(struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns);

/* Decides whether to send nothing now, and a full train of `room_count` datagrams a little later.
 * Returns SP_WAIT_TRAIN or SP_WAIT_PACER to wait, SP_WAIT_NONE to send. */
enum sp_wait sp_gate_train(const struct sp_conn *conn, uint32_t room_count, uint64_t now_ns);

/* Returns whether a train that was filled is the last one: another call of sp_conn_send() at this
 * time would send nothing, and change nothing.  False is no answer. */
bool sp_gate_is_through(const struct sp_conn *conn, uint64_t now_ns);

/* Wakes the keys of a resting connection if there is something to send.  Returns false if there is
 * not, or no memory for the keys: it is tried again after a PTO. */
SB_MUST_USE SB_NEVER_INLINE bool
sp_conn_wake_to_send(struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns);

/* Returns whether sp_conn_send_wait() has a reason for an empty `train`, and the connection's
 * deadline covers its timer.  The sender asserts that. */
bool sp_gate_is_explained(const struct sp_conn *conn, const struct sp_train *train,
                          uint64_t now_ns);

/* Reports that the application leaves the path idle to a controller that wants to know.  Bytes that
 * wait for the peer's credit are no sign of that: the peer is as slow as a path may be.
 * [draft-ietf-ccwg-bbr 4.1.1.4] */
SB_NEVER_INLINE void sp_conn_note_idle(struct sp_conn *conn, const struct sp_train *train,
                                       uint64_t now_ns);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_EARLY_H
#define SP_CONN_EARLY_H

#include "proto/conn/impl.h"

/* 0-RTT: see early.c. */

/* Client, before TLS starts: keeps the parameters that 0-RTT packets have to keep to.  Without
 * memory, or if `encoded` cannot be read, there will be no 0-RTT packets. */
void sp_conn_early_prepare(struct sp_conn *conn, struct sb_bytes encoded);

/* TLS has the key of 0-RTT packets: a client may send them, a server accepts them.  Takes `key`. */
void sp_conn_early_begin(struct sp_conn *conn, struct sp_key *key);

/* Client: the server's answer.  Its parameters follow by sp_conn_early_on_params(). */
void sp_conn_early_accepted(struct sp_conn *conn);
void sp_conn_early_rejected(struct sp_conn *conn);

/* Takes the server's limits: at once, or if 0-RTT was accepted from the first 1-RTT packet on.
 * Returns SP_OK, or PROTOCOL_VIOLATION for a server that has accepted 0-RTT under lower limits than
 * the remembered ones.  [RFC9000 7.4.1] */
SB_MUST_USE enum sp_err sp_conn_early_on_params(struct sp_conn *conn,
                                                const struct sp_tparams *peer);

/* MAX_STREAMS has raised the limit of one kind of streams from `before`, or not. */
void sp_conn_early_on_max_streams(struct sp_conn *conn, bool is_uni, uint64_t before);

/* Client: the next packet of the application space is the first 1-RTT packet. */
void sp_conn_early_end(struct sp_conn *conn);

/* sp_conn_early_may_ack() of a connection that has, or had, 0-RTT. */
bool sp_conn_early_may_ack_some(const struct sp_conn *conn, const struct sp_frame_ack *ack);

/* Returns whether an ACK frame of the application space may be one: it acknowledges no 0-RTT packet
 * that the server has rejected.  [RFC9001 4.6.2] */
static inline bool sp_conn_early_may_ack(const struct sp_conn *conn, const struct sp_frame_ack *ack)
{
    return SB_LIKELY(conn->early == NULL) || sp_conn_early_may_ack_some(conn, ack);
}

/* Server: the handshake is complete. */
void sp_conn_early_complete(struct sp_conn *conn, uint64_t now_ns);

/* Returns when sp_conn_early_on_deadline() has something to do; SB_NEVER: not. */
static inline uint64_t sp_conn_early_deadline_ns(const struct sp_conn *conn)
{
    return SB_LIKELY(conn->early == NULL) ? SB_NEVER : conn->early->until_ns;
}
void sp_conn_early_on_deadline(struct sp_conn *conn, uint64_t now_ns);

/* Returns whether 0-RTT packets of `version` that come now may be opened later. */
bool sp_conn_early_may_come(const struct sp_conn *conn, uint32_t version);

/* Frees what is there. */
void sp_conn_early_free(struct sp_conn *conn);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_SPACE_H
#define SP_CONN_SPACE_H

#include "proto/conn/impl.h"

/* The end of packet number spaces, and of struct sp_handshake. */

/* Frees all that belongs to `space`: keys, CRYPTO bytes, sent packets.  Accepts one that is
 * discarded. */
void sp_conn_free_space(struct sp_conn *conn, enum sp_space space);

/* True if conn->handshake is there and nothing will ask for it: the handshake is confirmed, or the
 * connection sends nothing any more. */
bool sp_conn_handshake_is_over(const struct sp_conn *conn);

/* Frees conn->handshake with everything that it holds.  Call it at the end of an operation, when
 * nothing on the stack points into it.  Does nothing if it was freed before. */
void sp_conn_end_handshake(struct sp_conn *conn);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_FILL_MESSAGES_H
#define SP_CONN_FILL_MESSAGES_H

#include "proto/conn/impl.h"
#include "proto/packet/build.h"

/* Adds DATAGRAM frames to a packet, as many messages as fit and wait.  Returns the bytes that they
 * take. */
size_t sp_conn_fill_messages(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns);

/* Counts what messages and streams have got of a packet, so that they get equal parts. */
void sp_conn_share_with_messages(struct sp_conn *conn, size_t message_bytes, size_t stream_bytes);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_FILL_H
#define SP_CONN_FILL_H

#include "proto/conn/impl.h"
#include "proto/packet/build.h"

/* Returns whether frames other than ACKs wait to be sent in `space`. */
bool sp_conn_has_frames(const struct sp_conn *conn, enum sp_space space);
/* Fills a packet that was begun.  `may_send`: congestion window and pacer allow more than ACKs.
 * Returns false, and changes nothing, if the packet would be empty. */
bool sp_conn_fill(struct sp_conn *conn, struct sp_build *build, bool may_send, uint64_t now_ns);

/* Fills a packet that was begun with a PMTU probe of `size` bytes.  Returns false without memory
 * for its record. */
bool sp_conn_fill_mtu_probe(struct sp_conn *conn, struct sp_build *build, size_t size);

/* Fills a packet that was begun with PATH_CHALLENGE `challenge`, unless that is NULL, with the
 * PATH_RESPONSEs of `path`, and with PADDING.  Nothing of it is recorded. */
void sp_conn_fill_path_probe(struct sp_build *build, struct sp_conn_path *path,
                             const uint8_t *challenge);

/* Returns whether a control frame of the connection or of a stream waits. */
bool sp_conn_wants_control(const struct sp_conn *conn);

/* Adds an ACK of all that was received, if it fits. */
void sp_conn_fill_ack(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns);

#endif

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

/* Returns whether a control frame of the connection or of a stream may wait.  Nearly always none
 * does, so this costs little: false is certain. */
static inline bool sp_conn_may_want_control(const struct sp_conn *conn)
{
    const struct sp_stream_limits *bidi = &conn->limits[false];
    const struct sp_stream_limits *uni = &conn->limits[true];
    return conn->wanted_frames != 0 || !sb_list_is_empty(&conn->control_list) ||
           conn->path->response_count > 0 || conn->data_blocked == SP_BLOCKED_DUE ||
           bidi->grant == SP_GRANT_DUE || bidi->blocked == SP_BLOCKED_DUE ||
           uni->grant == SP_GRANT_DUE || uni->blocked == SP_BLOCKED_DUE ||
           sp_ack_request_is_due(&conn->ack_request) || conn->local_ids.may_want_send ||
           conn->remote_ids.may_want_send;
}

/* The general case of sp_conn_wants_control(). */
SB_NEVER_INLINE bool sp_conn_has_control(const struct sp_conn *conn);

/* Returns whether a control frame of the connection or of a stream waits. */
static inline bool sp_conn_wants_control(const struct sp_conn *conn)
{
    return SB_UNLIKELY(sp_conn_may_want_control(conn)) && sp_conn_has_control(conn);
}

/* Adds an ACK of all that was received, if it fits. */
void sp_conn_fill_ack(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns);

#endif

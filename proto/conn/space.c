/* SPDX-License-Identifier: MIT */
#include "proto/conn/space.h"

/* The end of packet number spaces.
 *
 * A space may be discarded while a packet's frames are handled, and callers still have a pointer to
 * it.  So its memory, a part of struct sp_handshake, is freed only when the operation ends.  Until
 * then a NULL in conn->spaces[] marks it as discarded. */

#include "proto/base/assert.h"
#include "proto/conn/recovery.h"
#include "proto/conn/undecryptable.h"
#include "proto/conn/version.h"

void sp_conn_free_space(struct sp_conn *conn, enum sp_space space)
{
    struct sp_conn_space *s = conn->spaces[space];
    if (s == NULL)
        return;
    sp_conn_free_frames(conn, sp_loss_discard(&conn->loss, space));
    if (space == SP_SPACE_INITIAL)
        sp_conn_version_free(conn);
    conn->protect.ops->destroy(s->read);
    conn->protect.ops->destroy(s->write);
    s->read = NULL;
    s->write = NULL;
    sp_crypto_stream_deinit(&s->crypto);
    sp_ack_deinit(&s->ack);
    conn->spaces[space] = NULL;
}

bool sp_conn_handshake_is_over(const struct sp_conn *conn)
{
    bool is_confirmed = conn->handshake_state >= SP_HANDSHAKE_CONFIRMED && !conn->preferred_pending;
    return conn->handshake != NULL &&
           (is_confirmed || conn->state == SP_CONN_DRAINING || conn->state == SP_CONN_DRAINED);
}

void sp_conn_end_handshake(struct sp_conn *conn)
{
    if (conn->handshake == NULL)
        return;
    sp_conn_drop_undecryptable(conn);
    sb_buffer_unref(conn->handshake->token.buffer);
    sp_conn_free_space(conn, SP_SPACE_INITIAL);
    sp_conn_free_space(conn, SP_SPACE_HANDSHAKE);
    sb_pool_give(&conn->pools->handshakes, conn->handshake);
    conn->handshake = NULL;
    conn->rest_at_ns = sb_time_add(conn->idle_from_ns, SP_REST_AFTER_NS);
}

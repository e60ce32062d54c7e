/* SPDX-License-Identifier: MIT */
#include "proto/conn/early.h"

/* 0-RTT.  [RFC9001 4.6, RFC9000 7.4.1]  It carries streams; messages wait for the handshake.
 *
 * A client begins with the limits that the server gave it in an earlier connection, and with a key
 * of that time.  Its 0-RTT packets have the numbers of the application space, so that
 * acknowledgments and losses of them are those of any other packet there.
 *
 *     OFFERED --accepted--> ACCEPTED   nothing changes but the limits, with the first 1-RTT packet
 *             --rejected--> REJECTED   the server has kept nothing: the streams start again
 *
 * After a rejection what was sent counts as never sent: the same bytes leave in 1-RTT packets,
 * under the limits of the present handshake.  Streams above the present limit are held until
 * MAX_STREAMS allows them.
 *
 * A server reports the streams of 0-RTT before the handshake is complete.  Whether such packets are
 * a replay is not known here: TLS decides what to accept.
 *
 * What can be attacked: a server that lowers limits after it accepted is refused.  0-RTT packets
 * before their key wait in conn/undecryptable.c, among at most SP_UNDECRYPTABLE_MAX. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/messages.h"
#include "proto/conn/recovery.h"
#include "proto/conn/resets.h"
#include "proto/conn/schedule.h"
#include "proto/conn/streams.h"
#include "proto/conn/trace.h"
#include "proto/conn/undecryptable.h"

static struct sp_early *make(struct sp_conn *conn)
{
    SB_ASSERT(conn->early == NULL);
    struct sp_early *early = sb_pool_take(&conn->pools->earlies);
    if (early != NULL)
        *early = (struct sp_early){.until_ns = SB_NEVER};
    conn->early = early;
    return early;
}

static void drop_key(struct sp_conn *conn)
{
    conn->protect.ops->destroy(conn->early->key);
    conn->early->key = NULL;
    conn->early->until_ns = SB_NEVER;
}

void sp_conn_early_free(struct sp_conn *conn)
{
    if (conn->early == NULL)
        return;
    drop_key(conn);
    sb_pool_give(&conn->pools->earlies, conn->early);
    conn->early = NULL;
    /* Only late 0-RTT packets had the first CID still. */
    if (conn->handshake_state >= SP_HANDSHAKE_CONFIRMED && conn->original_dcid_is_routed) {
        conn->original_dcid_is_routed = false;
        conn->ids_changed = true;
    }
}

void sp_conn_early_prepare(struct sp_conn *conn, struct sb_bytes encoded)
{
    struct sp_tparams remembered;
    SB_ASSERT(!sp_conn_is_server(conn));
    if (sp_tparams_read(encoded, SP_SERVER, &remembered) != SP_OK || make(conn) == NULL)
        return;
    conn->early->remembered = remembered;
}

void sp_conn_early_begin(struct sp_conn *conn, struct sp_key *key)
{
    bool is_server = sp_conn_is_server(conn);
    /* A client without parameters sends nothing early.  A server without memory lets its client
     * send all of it again. */
    if (is_server ? make(conn) == NULL : conn->early == NULL) {
        conn->protect.ops->destroy(key);
        return;
    }
    conn->early->key = key;
    conn->early->version = conn->handshake->first_version;
    conn->early_state = is_server ? SP_EARLY_ACCEPTED : SP_EARLY_OFFERED;
    conn->resumption_pending = conn->early_pending = true;
    if (is_server)
        return;
    sp_conn_trace_restored(conn, &conn->early->remembered);
    sp_conn_streams_on_params(conn, &conn->early->remembered);
}

void sp_conn_early_accepted(struct sp_conn *conn)
{
    if (conn->early_state == SP_EARLY_OFFERED)
        conn->early_state = SP_EARLY_ACCEPTED;
}

/* ---- Streams ---- */

/* Queues what a stream has to send, from its beginning, unless the peer does not allow it yet. */
static void restart(struct sp_conn *conn, struct sp_stream *stream)
{
    uint64_t local_max = conn->limits[sp_stream_is_uni(stream->id)].local_max;
    stream->send.max_data = sp_conn_initial_max_data(conn, stream->id);
    stream->is_held = stream->id >> 2 >= local_max;
    sp_conn_restart_reset(conn, stream);
    if (stream->recv.is_stopped && stream->recv.state == SP_RECV_OPEN)
        sp_conn_stream_add_control(conn, stream, SP_CONTROL_STOP);
    sp_conn_stream_schedule(conn, stream);
}

/* [RFC9001 4.6.2] */
static void rewind_all(struct sp_conn *conn)
{
    SP_STREAM_MAP_EACH(stream, &conn->streams) {
        SB_ASSERT(sp_stream_is_local(stream->id, false));
        sp_schedule_remove(stream);
        sb_list_remove(&stream->control_link);
        stream->control = 0;
        sp_stream_send_rewind(&stream->send, 0);
    }
    conn->data_sent = 0;
    conn->max_data = 0;
    conn->data_blocked = SP_BLOCKED_NOT;
    for (uint32_t i = 0; i < 2; i++)
        sp_stream_limits_rewind(&conn->limits[i]);
}

static void restart_all(struct sp_conn *conn)
{
    SP_STREAM_MAP_EACH(stream, &conn->streams)
        restart(conn, stream);
    for (uint32_t i = 0; i < 2; i++)
        if (conn->limits[i].local_opened > conn->limits[i].local_max)
            conn->limits[i].blocked = sp_blocked_next(conn->limits[i].blocked, SP_BLOCKED_ON_BLOCK);
}

void sp_conn_early_on_max_streams(struct sp_conn *conn, bool is_uni, uint64_t before)
{
    const struct sp_stream_limits *limits = &conn->limits[is_uni];
    uint64_t end = SB_MIN(limits->local_max, SB_MIN(limits->local_opened, limits->early_max));
    for (uint64_t index = before; index < end; index++) {
        struct sp_stream *stream =
            sp_stream_map_find(&conn->streams, index << 2 | (is_uni ? SP_STREAM_IS_UNI : 0));
        if (stream != NULL && stream->is_held)
            restart(conn, stream);
    }
}

/* The limits of the handshake are at least those of 0-RTT. */
static void raise_all(struct sp_conn *conn)
{
    SP_STREAM_MAP_EACH(stream, &conn->streams) {
        uint64_t limit = sp_conn_initial_max_data(conn, stream->id);
        if (stream->send.state == SP_SEND_NONE || limit <= stream->send.max_data)
            continue;
        stream->send.max_data = limit;
        stream->control &= (uint8_t)~SP_CONTROL_BLOCKED;
        sp_conn_stream_schedule(conn, stream);
    }
}

/* ---- The server's answer ---- */

void sp_conn_early_rejected(struct sp_conn *conn)
{
    if (sp_conn_is_server(conn)) {
        conn->early_state = SP_EARLY_REJECTED;
        sp_conn_drop_early_undecryptable(conn);
        return;
    }
    if (conn->early_state != SP_EARLY_OFFERED)
        return;
    conn->early_state = SP_EARLY_REJECTED;
    conn->resumption_pending = conn->early_rejected_pending = true;
    conn->early->pn_end = conn->loss.app.sent.next_pn;
    drop_key(conn);
    sp_conn_free_frames(conn, sp_loss_forget(&conn->loss, SP_SPACE_APP));
    conn->app.probe_count = 0;
    rewind_all(conn);
}

enum sp_err sp_conn_early_on_params(struct sp_conn *conn, const struct sp_tparams *peer)
{
    struct sp_early *early = conn->early;
    if (sp_conn_is_server(conn) || early == NULL || conn->early_state != SP_EARLY_ACCEPTED) {
        sp_conn_messages_on_params(conn, peer->max_datagram_frame_size);
        sp_conn_streams_on_params(conn, peer);
        if (conn->early_state == SP_EARLY_REJECTED && !sp_conn_is_server(conn))
            restart_all(conn);
        return SP_OK;
    }
    if (!sp_tparams_cover(peer, &early->remembered))
        return SP_ERR_PROTOCOL_VIOLATION;
    early->fresh = *peer;
    early->has_fresh = true;
    return SP_OK;
}

/* [RFC9001 5.6, RFC9000 17.2.3] No 0-RTT packet follows. */
void sp_conn_early_end(struct sp_conn *conn)
{
    if (conn->early == NULL)
        return;
    /* Of the first key phase are the packets from this one on.  [RFC9001 6.1] */
    conn->keys.write_first_pn = conn->loss.app.sent.next_pn;
    conn->keys.write_count = 0;
    if (conn->early->has_fresh) {
        sp_conn_messages_on_params(conn, conn->early->fresh.max_datagram_frame_size);
        sp_conn_streams_on_params(conn, &conn->early->fresh);
        raise_all(conn);
    }
    /* [RFC9001 4.9.3] */
    if (conn->early_state != SP_EARLY_REJECTED)
        sp_conn_early_free(conn);
}

bool sp_conn_early_may_ack_some(const struct sp_conn *conn, const struct sp_frame_ack *ack)
{
    if (conn->early->pn_end == 0)
        return true;
    struct sp_ack_walk walk = sp_ack_walk_of(ack);
    struct sp_ack_range range;
    while (sp_ack_next(&walk, &range))
        if (range.smallest < conn->early->pn_end)
            return false;
    return true;
}

void sp_conn_early_complete(struct sp_conn *conn, uint64_t now_ns)
{
    if (conn->early != NULL)
        conn->early->until_ns = sb_time_add(now_ns, 3 * sp_loss_pto_ns(&conn->loss));
}

void sp_conn_early_on_deadline(struct sp_conn *conn, uint64_t now_ns)
{
    if (sp_conn_early_deadline_ns(conn) <= now_ns)
        sp_conn_early_free(conn);
}

bool sp_conn_early_may_come(const struct sp_conn *conn, uint32_t version)
{
    /* A ClientHello that was answered has decided about it. */
    return conn->handshake != NULL && conn->early_state == SP_EARLY_NONE &&
           conn->handshake->first_version == version &&
           sp_conn_write_key(conn, SP_SPACE_HANDSHAKE) == NULL &&
           conn->handshake_state < SP_HANDSHAKE_COMPLETE;
}

enum sp_early_state sp_conn_early(const struct sp_conn *conn)
{
    return conn->early_state;
}

/* SPDX-License-Identifier: MIT */
#include "proto/conn/impl.h"

/* Events for the caller, one per call.
 *
 * There is no queue of events: each is a flag or a list entry where it arose, and becomes an event
 * when the caller takes it.  So nothing can overflow, and a late caller gets the newest state.
 *
 * The order: routes first, because the next datagram may need them; then events of the connection;
 * then those of messages, unless events of streams have waited for too many of them; then all
 * STREAM_OPENED, so that the application can process many at once; then the other events of
 * streams, STREAM_CLOSED last of each stream; then the end of the connection. */

#include "proto/base/assert.h"
#include "proto/conn/messages.h"
#include "proto/conn/space.h"
#include "proto/conn/streams.h"
#include "proto/conn/trace.h"

/* ---- Routes ---- */

/* Finds a difference between the announced entries and the present ones.  There are few. */
static bool diff_announced(struct sp_announced *announced, uint32_t announced_count,
                           const struct sp_cid *current, uint32_t count, bool *ret_is_added,
                           struct sp_cid *ret)
{
    for (uint32_t i = 0; i < announced_count; i++) {
        bool holds = false;
        for (uint32_t k = 0; k < count && announced[i].is_used; k++)
            holds |= sp_cid_equal(&announced[i].cid, &current[k]);
        if (announced[i].is_used && !holds) {
            announced[i].is_used = false;
            *ret_is_added = false;
            *ret = announced[i].cid;
            return true;
        }
    }
    for (uint32_t k = 0; k < count; k++) {
        struct sp_announced *empty = NULL;
        bool is_announced = false;
        for (uint32_t i = 0; i < announced_count; i++) {
            if (!announced[i].is_used)
                empty = &announced[i];
            else
                is_announced |= sp_cid_equal(&announced[i].cid, &current[k]);
        }
        if (is_announced)
            continue;
        SB_ASSERT(empty != NULL);
        *empty = (struct sp_announced){.cid = current[k], .is_used = true};
        *ret_is_added = true;
        *ret = current[k];
        return true;
    }
    return false;
}

static bool next_cid(struct sp_conn *conn, struct sp_event *ret)
{
    struct sp_cid current[SP_CIDS_MAX + 1];
    uint32_t count = 0;
    bool is_added;

    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        if (conn->local_ids.entries[i].is_used)
            current[count++] = conn->local_ids.entries[i].cid;
    if (conn->original_dcid_is_routed)
        current[count++] = conn->original_dcid;
    if (!diff_announced(conn->announced_cids, SP_CIDS_MAX + 1, current, count, &is_added,
                        &ret->cid))
        return false;
    ret->kind = is_added ? SP_EVENT_CID_ADDED : SP_EVENT_CID_REMOVED;
    return true;
}

static bool next_token(struct sp_conn *conn, struct sp_event *ret)
{
    struct sp_cid current[SP_CIDS_MAX];
    struct sp_cid token;
    uint32_t count = 0;
    bool is_added;

    for (uint32_t i = 0; i < SP_CIDS_MAX; i++) {
        const struct sp_cid_remote_entry *entry = &conn->remote_ids.entries[i];
        if (sp_cid_remote_token_counts(entry))
            current[count++] = sp_cid_of(entry->reset_token, SP_RESET_TOKEN_SIZE);
    }
    if (!diff_announced(conn->announced_tokens, SP_CIDS_MAX, current, count, &is_added, &token))
        return false;
    ret->kind = is_added ? SP_EVENT_TOKEN_ADDED : SP_EVENT_TOKEN_REMOVED;
    memcpy(ret->token, token.bytes, SP_RESET_TOKEN_SIZE);
    return true;
}

static SB_NEVER_INLINE bool next_route(struct sp_conn *conn, struct sp_event *ret)
{
    if (next_cid(conn, ret) || next_token(conn, ret))
        return true;
    conn->ids_changed = false;
    return false;
}

bool sp_conn_may_have_route(const struct sp_conn *conn)
{
    return conn->ids_changed;
}

bool sp_conn_next_route(struct sp_conn *conn, struct sp_event *ret)
{
    return SB_UNLIKELY(conn->ids_changed) && next_route(conn, ret);
}

/* ---- Streams ---- */

static bool take_pending(struct sp_stream *stream, uint8_t bit)
{
    bool had = (stream->pending_events & bit) != 0;
    stream->pending_events &= (uint8_t)~bit;
    return had;
}

static bool next_sent(struct sp_conn *conn, struct sp_stream *stream, struct sp_event *ret)
{
    struct sp_chunk *chunk = sp_stream_send_pop_done(&stream->send);
    if (chunk == NULL)
        return false;
    ret->kind = SP_EVENT_STREAM_SENT;
    ret->sent.tag = chunk->tag;
    ret->sent.size = chunk->size + chunk->before_bytes;
    ret->sent.is_acked = chunk->is_acked;
    sb_store_give(&conn->stores.chunks, chunk);
    return true;
}

static void report_placed(const struct sp_stream *stream, const struct sp_received *received,
                          struct sp_event *ret)
{
    ret->kind = SP_EVENT_STREAM_PLACED;
    ret->placed.data = received->slice.data;
    ret->placed.size = received->slice.size;
    ret->placed.offset = received->offset;
    ret->placed.tag = received->tag;
    ret->placed.fin = received->fin;
    ret->placed.is_returned = received->is_returned;
    ret->placed.is_early = stream->is_early;
}

/* Gives credit for what followed the last bytes that were just handed out.  [reliable-reset 5] */
static inline void return_cut(struct sp_conn *conn, const struct sp_stream *stream)
{
    uint64_t bytes = sp_stream_recv_cut_bytes(&stream->recv);
    if (SB_UNLIKELY(bytes > 0) && conn->state == SP_CONN_OPEN)
        sp_conn_discarded(conn, bytes);
}

static bool next_received(struct sp_conn *conn, struct sp_stream *stream, struct sp_event *ret)
{
    struct sp_received received;
    if (sp_stream_recv_is_read(&stream->recv) ||
        !sp_stream_recv_next(&stream->recv, conn->state != SP_CONN_OPEN, &received))
        return false;
    conn->handed_bytes += received.slice.size;
    sp_conn_trace_handed(conn, stream, received.offset, received.slice.size, received.fin);
    return_cut(conn, stream);
    if (received.is_placed) {
        report_placed(stream, &received, ret);
        conn->stats.placed_in_bytes += received.slice.size;
        sp_conn_consume(conn, stream->id, received.slice.size);
        return true;
    }
    ret->kind = SP_EVENT_STREAM_DATA;
    ret->data.slice = received.slice;
    ret->data.offset = received.offset;
    ret->data.fin = received.fin;
    ret->data.is_early = stream->is_early;
    return true;
}

uint32_t sp_conn_more_data(struct sp_conn *conn, uint64_t stream_id, struct sb_slice *ret,
                           uint32_t count_max, bool *ret_fin)
{
    struct sb_link *link = sb_list_first(&conn->event_list); /* it has just had an event */
    SB_ASSERT(link != NULL);
    struct sp_stream *stream = SB_CONTAINER_OF(link, struct sp_stream, event_link);
    SB_ASSERT(stream->id == stream_id);
    uint64_t offset = stream->recv.reassembly.read_end, size = 0;
    uint32_t count = sp_stream_recv_more(&stream->recv, ret, count_max, ret_fin);
    for (uint32_t i = 0; i < count; i++)
        size += ret[i].size;
    conn->handed_bytes += size;
    if (count > 0) {
        sp_conn_trace_handed(conn, stream, offset, size, *ret_fin);
        return_cut(conn, stream);
    }
    return count;
}

/* Returns lent memory for which no more bytes can arrive. */
static bool next_unlent(struct sp_conn *conn, struct sp_stream *stream, struct sp_event *ret)
{
    struct sp_received received;
    if (SB_LIKELY(stream->recv.reassembly.lent == NULL) ||
        !sp_stream_recv_unlend(&stream->recv, conn->state != SP_CONN_OPEN, &received))
        return false;
    report_placed(stream, &received, ret);
    return true;
}

/* Takes one event of this stream.  Returns false if there is none. */
static bool next_of_stream(struct sp_conn *conn, struct sp_stream *stream, struct sp_event *ret)
{
    struct sp_stream_recv *recv = &stream->recv;

    if (next_sent(conn, stream, ret))
        return true;
    if (conn->state != SP_CONN_OPEN && !conn->reports_received)
        return next_unlent(conn, stream, ret);
    if (next_received(conn, stream, ret) || next_unlent(conn, stream, ret))
        return true;
    if (SB_LIKELY(stream->pending_events == 0))
        return false;
    if (take_pending(stream, SP_PENDING_STOPPED)) {
        ret->kind = SP_EVENT_STREAM_STOPPED;
        ret->error = stream->stop_code;
        return true;
    }
    if (recv->state == SP_RECV_RESET && take_pending(stream, SP_PENDING_RESET)) {
        ret->kind = SP_EVENT_STREAM_RESET;
        ret->error = recv->reset_error;
        recv->state = sp_recv_next(recv->state, SP_RECV_ON_READ_RESET);
        return true;
    }
    return false;
}

/* Returns whether the application does not know all streams of the peer. */
static bool has_unannounced(const struct sp_conn *conn)
{
    const struct sp_stream_limits *bidi = &conn->limits[false];
    const struct sp_stream_limits *uni = &conn->limits[true];
    return bidi->remote_announced != bidi->remote_opened ||
           uni->remote_announced != uni->remote_opened;
}

bool sp_conn_next_opened(struct sp_conn *conn, struct sp_event *ret)
{
    struct sp_stream *stream = NULL;
    if (!has_unannounced(conn))
        return false;
    if (conn->state != SP_CONN_OPEN) {
        /* Streams that no frame of their own has opened are not worth making any more. */
        struct sb_link *link = sb_list_pop_front(&conn->opened_list);
        if (link != NULL)
            stream = SB_CONTAINER_OF(link, struct sp_stream, event_link);
    } else {
        stream = sp_conn_announce_stream(conn, false);
        if (stream == NULL)
            stream = sp_conn_announce_stream(conn, true);
    }
    if (stream == NULL)
        return false;
    /* The stream may have no further event: next_of_stream() finds out. */
    sb_list_push_back(&conn->event_list, &stream->event_link);
    ret->kind = SP_EVENT_STREAM_OPENED;
    ret->stream_id = stream->id;
    ret->stream_user = stream->user;
    return true;
}

static bool next_stream_event(struct sp_conn *conn, struct sp_event *ret)
{
    for (struct sb_link *link; (link = sb_list_first(&conn->event_list)) != NULL;) {
        struct sp_stream *stream = SB_CONTAINER_OF(link, struct sp_stream, event_link);
        ret->stream_id = stream->id;
        ret->stream_user = stream->user;
        if (next_of_stream(conn, stream, ret))
            return true;

        sb_list_remove(link);
        if (conn->state != SP_CONN_OPEN || sp_stream_is_done(stream)) {
            ret->kind = SP_EVENT_STREAM_CLOSED;
            sp_conn_trace_stream(conn, stream->id, false);
            sp_conn_stream_reap(conn, stream);
            return true;
        }
    }
    return false;
}

/* ---- All ---- */

/* 0-RTT before CONNECTED; tickets and tokens after it. */
static bool next_of_resumption(struct sp_conn *conn, struct sp_event *ret)
{
    if (conn->early_pending) {
        conn->early_pending = false;
        ret->kind = SP_EVENT_EARLY;
        return true;
    }
    if (conn->early_rejected_pending) {
        conn->early_rejected_pending = false;
        ret->kind = SP_EVENT_EARLY_REJECTED;
        return true;
    }
    if (conn->connected_pending)
        return false;
    if (conn->ticket_pending && conn->state == SP_CONN_OPEN) {
        conn->ticket_pending = conn->tls_ops->ticket(conn->tls, &ret->ticket);
        ret->kind = SP_EVENT_TICKET;
        if (conn->ticket_pending)
            return true;
    }
    conn->resumption_pending = false;
    if (conn->new_token.buffer == NULL)
        return false;
    ret->kind = SP_EVENT_NEW_TOKEN;
    ret->new_token = conn->new_token;
    conn->new_token = (struct sb_slice){0};
    return true;
}

/* [RFC9000 9.6.1] Once the handshake is confirmed.  Nothing else needs its memory any more. */
static bool next_preferred(struct sp_conn *conn, struct sp_event *ret)
{
    if (conn->handshake_state < SP_HANDSHAKE_CONFIRMED && conn->state == SP_CONN_OPEN)
        return false;
    conn->preferred_pending = false;
    if (conn->handshake == NULL || conn->state != SP_CONN_OPEN)
        return false;
    ret->kind = SP_EVENT_PREFERRED;
    ret->preferred = conn->handshake->preferred;
    sp_conn_end_handshake(conn);
    return true;
}

static SB_NEVER_INLINE bool next_rare(struct sp_conn *conn, struct sp_event *ret)
{
    if (SB_UNLIKELY(conn->resumption_pending) && next_of_resumption(conn, ret))
        return true;
    if (conn->connected_pending) {
        conn->connected_pending = false;
        ret->kind = SP_EVENT_CONNECTED;
        return true;
    }
    if (conn->confirmed_pending) {
        conn->confirmed_pending = false;
        ret->kind = SP_EVENT_CONFIRMED;
        return true;
    }
    if (SB_UNLIKELY(conn->preferred_pending) && next_preferred(conn, ret))
        return true;
    if (SB_UNLIKELY(conn->tls_wait_pending)) {
        conn->tls_wait_pending = false;
        ret->kind = SP_EVENT_TLS_WAIT;
        return conn->state == SP_CONN_OPEN;
    }
    if (SB_UNLIKELY(conn->path_events != 0)) {
        uint8_t bit = conn->path_events & (uint8_t)-conn->path_events; /* the lowest */
        conn->path_events &= (uint8_t)~bit;
        ret->kind = SP_EVENT_PATH;
        ret->path = bit == SP_PATH_EVENT_PEER_MOVED  ? SP_PATH_PEER_MOVED
                    : bit == SP_PATH_EVENT_MIGRATED  ? SP_PATH_MIGRATED
                    : bit == SP_PATH_EVENT_PREFERRED ? SP_PATH_PREFERRED
                                                     : SP_PATH_FAILED;
        return true;
    }
    for (uint32_t is_uni = 0; is_uni < 2 && conn->state == SP_CONN_OPEN; is_uni++) {
        struct sp_stream_limits *limits = &conn->limits[is_uni];
        if (limits->open_wait != SP_OPEN_WAIT_AVAILABLE)
            continue;
        limits->open_wait = sp_open_wait_next(limits->open_wait, SP_OPEN_WAIT_ON_TAKE);
        ret->kind = SP_EVENT_STREAMS_AVAILABLE;
        ret->is_uni = is_uni;
        return true;
    }
    return false;
}

static bool next_of_conn(struct sp_conn *conn, struct sp_event *ret)
{
    bool may_have = conn->rare_events != 0 ||
                    conn->limits[false].open_wait == SP_OPEN_WAIT_AVAILABLE ||
                    conn->limits[true].open_wait == SP_OPEN_WAIT_AVAILABLE;
    return SB_UNLIKELY(may_have) && next_rare(conn, ret);
}

/* Releases what an ended connection holds, before its last events. */
static SB_NEVER_INLINE void release_ended(struct sp_conn *conn)
{
    uint32_t steps = UINT32_MAX;
    while (!sp_conn_unwind(conn, &steps))
        steps = UINT32_MAX;
    steps = SP_DISCARDS_PER_PACKET; /* an open connection frees them with its packets */
    sp_conn_discard_some(conn, &steps);
}

bool sp_conn_next_event(struct sp_conn *conn, struct sp_event *ret)
{
    if (SB_UNLIKELY(conn->state != SP_CONN_OPEN))
        release_ended(conn);

    bool has_messages = SB_UNLIKELY(conn->messages != NULL);
    bool yields =
        has_messages &&
        sp_conn_messages_yield(conn, !sb_list_is_empty(&conn->event_list) || has_unannounced(conn));
    if (sp_conn_next_route(conn, ret) || next_of_conn(conn, ret) ||
        (has_messages && !yields && sp_conn_next_message_event(conn, ret)) ||
        (has_unannounced(conn) && sp_conn_next_opened(conn, ret)) || next_stream_event(conn, ret) ||
        (yields && sp_conn_next_message_event(conn, ret)))
        return true;
    if (conn->closed_pending) {
        if (conn->state == SP_CONN_CLOSING && conn->close_packet == SP_CLOSE_PACKET_FIRST)
            return false; /* until it has been sent */
        conn->closed_pending = false;
        ret->kind = SP_EVENT_CLOSED;
        ret->close = &conn->close;
        return true;
    }
    if (conn->drained_pending) {
        conn->drained_pending = false;
        ret->kind = SP_EVENT_DRAINED;
        return true;
    }
    return false;
}

/* SPDX-License-Identifier: MIT */
#include "engine/conn/events.h"

/* Translates the events of connections (struct sp_event) to those of the application. */

#include <stdio.h>
#include <string.h>

#include <spate/stream.h>

#include "crypto/tls.h"
#include "engine/conn/ask.h"
#include "engine/conn/events_push.h"
#include "engine/conn/prefer.h"
#include "engine/conn/received.h"
#include "engine/conn/resume.h"
#include "engine/conn/watch.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/conn/message.h"

void se_events_processed(struct se_events *events)
{
    /* The places of events that were taken, or dropped, are free from now on.  Without this a turn
     * could wait with events pending, because the application took all those that there were. */
    if (se_events_count(events) == 0) {
        events->head = 0;
        events->tail = 0;
        events->dropped_count = 0;
        events->results_count = 0;
        events->slices_count = 0;
    }
    events->processed_count = events->pushed_count - (events->tail - events->head);
}

/* Which events must wait until the application has processed an earlier one. */
enum hold {
    HOLD_NOTHING,
    HOLD_STREAMS, /* all but STREAM_OPENED */
    HOLD_ALL,
};

static enum hold hold_of(const struct spate_conn *conn)
{
    uint64_t processed_count = conn->shard->events.processed_count;
    if (conn->intro_number > processed_count)
        return HOLD_ALL;
    return conn->stream_intro_number > processed_count ? HOLD_STREAMS : HOLD_NOTHING;
}

static inline struct spate_event *push(struct spate_conn *conn, enum spate_event_kind kind)
{
    return se_events_push(&conn->shard->events, conn, kind);
}

static inline struct spate_event *
push_of_stream(struct spate_conn *conn, enum spate_event_kind kind, const struct sp_event *reported)
{
    return se_events_push_of_stream(&conn->shard->events, conn, kind, reported);
}

bool se_events_push_shutdown(struct se_events *events)
{
    if (se_events_is_full(events))
        return false;
    events->ring[events->tail++] = (struct spate_event){.kind = SPATE_EVENT_SHUTDOWN};
    events->pushed_count++;
    return true;
}

static void push_placed(struct spate_conn *conn, const struct sp_event *reported)
{
    struct spate_event *event = push_of_stream(conn, SPATE_EVENT_STREAM_PLACED, reported);
    event->u.placed.data = reported->placed.data;
    event->u.placed.size = reported->placed.size;
    event->u.placed.offset = reported->placed.offset;
    event->u.placed.tag = reported->placed.tag;
    event->u.placed.fin = reported->placed.fin;
    event->u.placed.is_returned = reported->placed.is_returned;
    event->u.placed.early = reported->placed.is_early;
    se_conn_want_send(conn); /* the peer may get credit for them */
}

static void push_path(struct spate_conn *conn, enum sp_path_change change)
{
    static const enum spate_path_change changes[] = {
        [SP_PATH_PEER_MOVED] = SPATE_PATH_PEER_MOVED,
        [SP_PATH_MIGRATED] = SPATE_PATH_MIGRATED,
        [SP_PATH_FAILED] = SPATE_PATH_FAILED,
        [SP_PATH_PREFERRED] = SPATE_PATH_PREFERRED,
    };
    if (change == SP_PATH_PEER_MOVED || change == SP_PATH_PREFERRED)
        conn->remote = sp_conn_path(conn->proto)->remote;
    push(conn, SPATE_EVENT_PATH)->u.path = changes[change];
}

/* Adds the results to the connection's event before, if that is the last one and not taken yet. */
static void push_results(struct spate_conn *conn, const struct sp_event *reported)
{
    static const enum spate_datagram_fate fates[] = {
        [SP_MESSAGE_ACKED] = SPATE_DATAGRAM_ACKED,
        [SP_MESSAGE_LOST] = SPATE_DATAGRAM_LOST,
        [SP_MESSAGE_EXPIRED] = SPATE_DATAGRAM_EXPIRED,
        [SP_MESSAGE_DROPPED] = SPATE_DATAGRAM_DROPPED,
    };
    struct se_events *events = &conn->shard->events;
    struct spate_event *event =
        events->tail > events->head ? &events->ring[events->tail - 1] : NULL;
    if (event == NULL || event->kind != SPATE_EVENT_DATAGRAMS_SENT || event->conn != conn) {
        event = push(conn, SPATE_EVENT_DATAGRAMS_SENT);
        event->u.datagrams_sent.results = &events->results[events->results_count];
    }
    for (uint32_t i = 0; i < reported->messages_done.count; i++) {
        const struct sp_message_result *from = &reported->messages_done.results[i];
        SB_ASSERT(events->results_count < SB_COUNT(events->results));
        events->results[events->results_count++] = (struct spate_datagram_result){
            .tag = from->tag, .size = from->size, .fate = fates[from->fate]};
    }
    event->u.datagrams_sent.count += reported->messages_done.count;
}

static enum spate_close_kind close_kind_of(enum sp_close_kind kind)
{
    switch (kind) {
    case SP_CLOSE_NONE:
    case SP_CLOSE_TRANSPORT:
        return SPATE_CLOSE_TRANSPORT;
    case SP_CLOSE_APP:
        return SPATE_CLOSE_APP;
    case SP_CLOSE_IDLE:
        return SPATE_CLOSE_IDLE;
    case SP_CLOSE_HANDSHAKE_TIMEOUT:
        return SPATE_CLOSE_HANDSHAKE_TIMEOUT;
    case SP_CLOSE_STATELESS_RESET:
        return SPATE_CLOSE_STATELESS_RESET;
    case SP_CLOSE_VERSION:
        return SPATE_CLOSE_VERSION;
    }
    return SPATE_CLOSE_TRANSPORT;
}

static const struct spate_close *push_closed(struct spate_conn *conn, const struct sp_close *close)
{
    struct spate_event *event = push(conn, SPATE_EVENT_CLOSED);
    event->u.close = (struct spate_close){
        .kind = close_kind_of(close->kind),
        .is_local = close->is_local,
        .error = close->error,
        .reason = conn->reason,
    };
    if (conn->unreachable != 0) {
        event->u.close.kind = SPATE_CLOSE_UNREACHABLE;
        event->u.close.error = (uint64_t)conn->unreachable;
    }
    /* If our TLS refused the handshake, its reason is more exact than the connection's. */
    const struct sp_tls *tls = sp_conn_tls(conn->proto);
    const char *why = close->is_local && tls != NULL ? sc_tls_error(tls) : NULL;
    if (why != NULL)
        (void)snprintf(conn->reason, sizeof(conn->reason), "%s", why);
    else
        (void)snprintf(conn->reason, sizeof(conn->reason), "%.*s", (int)close->reason_size,
                       close->reason);
    return &event->u.close;
}

static const char *cipher_name(enum sp_suite suite)
{
    switch (suite) {
    case SP_SUITE_AES_128_GCM:
        return "TLS_AES_128_GCM_SHA256";
    case SP_SUITE_AES_256_GCM:
        return "TLS_AES_256_GCM_SHA384";
    case SP_SUITE_CHACHA20_POLY1305:
        return "TLS_CHACHA20_POLY1305_SHA256";
    case SP_SUITE_NONE:
        break;
    }
    return "";
}

static void learn_alpn(struct spate_conn *conn)
{
    struct sb_bytes alpn = sc_tls_alpn(sp_conn_tls(conn->proto));
    conn->alpn = alpn.data != NULL ? (const char *)alpn.data : "";
}

static void on_connected(struct spate_conn *conn)
{
    learn_alpn(conn);
    se_qlog_alpn(conn->qlog, conn->alpn);
    conn->cipher = cipher_name(sc_tls_suite(sp_conn_tls(conn->proto)));
    se_conn_advance(conn, SE_CONN_CONNECTED);
    se_measured_begin(conn);
    (void)push(conn, SPATE_EVENT_CONNECTED);
    conn->intro_number = conn->shard->events.pushed_count;
    if (SB_UNLIKELY(conn->watch != NULL))
        conn->watch->on_connected(conn->watch);
}

/* Pushes an event after which none of the connection follows until the application has taken it:
 * its bytes are valid until then. */
static void push_alone(struct spate_conn *conn, enum spate_event_kind kind, struct sb_bytes bytes)
{
    struct spate_event *event = push(conn, kind);
    event->u.bytes.data = bytes.data;
    event->u.bytes.size = bytes.size;
    conn->intro_number = conn->shard->events.pushed_count;
}

static void on_closed(struct spate_conn *conn, const struct sp_close *close)
{
    se_conn_end(conn);
    if (!se_conn_is_announced(conn)) {
        se_conn_advance(conn, SE_CONN_FAILED);
        sp_conn_release_tls(conn->proto);
        return;
    }
    se_conn_end_watch(conn, push_closed(conn, close));
    se_conn_advance(conn, SE_CONN_CLOSED);
}

/* Translates an event that is for the application, of the kinds that are rare. */
static void translate_for_app(struct spate_conn *conn, const struct sp_event *reported)
{
    struct spate_event *event;
    switch (reported->kind) {
    case SP_EVENT_STREAMS_AVAILABLE:
        event = push(conn, SPATE_EVENT_STREAMS_AVAILABLE);
        event->u.is_uni = reported->is_uni;
        break;
    case SP_EVENT_STREAM_PLACED:
        push_placed(conn, reported);
        break;
    case SP_EVENT_STREAM_RESET:
        event = push_of_stream(conn, SPATE_EVENT_STREAM_RESET, reported);
        event->u.error = reported->error;
        break;
    case SP_EVENT_STREAM_STOPPED:
        event = push_of_stream(conn, SPATE_EVENT_STREAM_STOPPED, reported);
        event->u.error = reported->error;
        break;
    case SP_EVENT_MESSAGE:
        if (SB_UNLIKELY(conn->wants_batches))
            se_received_push_message_batch(conn, reported);
        else
            se_received_push_message(conn, reported);
        break;
    case SP_EVENT_MESSAGES_DONE:
        push_results(conn, reported);
        break;
    case SP_EVENT_PATH:
        push_path(conn, reported->path);
        break;
    case SP_EVENT_PREFERRED:
        if (!se_prefer_follow(conn, &reported->preferred))
            push_path(conn, SP_PATH_FAILED);
        break;
    case SP_EVENT_MESSAGE_ROOM:
        (void)push(conn, SPATE_EVENT_DATAGRAM_ROOM);
        break;
    default:
        SB_ASSERT(reported->kind == SP_EVENT_NONE);
        break;
    }
}

static void translate_route(struct spate_conn *conn, const struct sp_event *reported)
{
    switch (reported->kind) {
    case SP_EVENT_CID_ADDED:
        se_conn_add_cid(conn, &reported->cid);
        break;
    case SP_EVENT_CID_REMOVED:
        se_conn_remove_cid(conn, &reported->cid);
        break;
    case SP_EVENT_TOKEN_ADDED:
        se_conn_add_token(conn, reported->token);
        break;
    default:
        SB_ASSERT(reported->kind == SP_EVENT_TOKEN_REMOVED);
        se_conn_remove_token(conn, reported->token);
        break;
    }
}

static SB_NEVER_INLINE void translate_rare(struct spate_conn *conn, const struct sp_event *reported)
{
    switch (reported->kind) {
    case SP_EVENT_CONFIRMED:
    case SP_EVENT_EARLY_REJECTED:
        break;
    case SP_EVENT_EARLY:
        if (conn->is_server) {
            learn_alpn(conn);
            se_conn_advance(conn, SE_CONN_EARLY);
        }
        push_alone(conn, SPATE_EVENT_EARLY, (struct sb_bytes){0});
        break;
    case SP_EVENT_TICKET:
        push_alone(conn, SPATE_EVENT_TICKET, reported->ticket);
        break;
    case SP_EVENT_NEW_TOKEN:
        if (se_conn_keep_token(conn, &reported->new_token))
            push_alone(conn, SPATE_EVENT_NEW_TOKEN,
                       (struct sb_bytes){.data = conn->token, .size = conn->token_size});
        sb_buffer_unref(reported->new_token.buffer);
        break;
    case SP_EVENT_CONNECTED:
        on_connected(conn);
        break;
    case SP_EVENT_TLS_WAIT:
        se_ask_raise(conn);
        break;
    case SP_EVENT_CLOSED:
        on_closed(conn, reported->close);
        break;
    case SP_EVENT_DRAINED:
        se_conn_end(conn);
        break;
    default:
        translate_for_app(conn, reported);
        break;
    }
}

/* The events that each stream has; the others are out of the way of these. */
void se_conn_translate(struct spate_conn *conn, const struct sp_event *reported)
{
    struct spate_event *event;
    switch (reported->kind) {
    case SP_EVENT_STREAM_OPENED:
        (void)push_of_stream(conn, SPATE_EVENT_STREAM_OPENED, reported);
        conn->stream_intro_number = conn->shard->events.pushed_count;
        break;
    case SP_EVENT_STREAM_DATA:
        if (SB_UNLIKELY(conn->wants_batches))
            se_received_push_data_batch(conn, reported);
        else
            se_received_push_data(conn, reported);
        break;
    case SP_EVENT_STREAM_SENT:
        event = push_of_stream(conn, SPATE_EVENT_SENT, reported);
        event->u.sent.tag = reported->sent.tag;
        event->u.sent.size = reported->sent.size;
        event->u.sent.is_acked = reported->sent.is_acked;
        break;
    case SP_EVENT_STREAM_CLOSED:
        (void)push_of_stream(conn, SPATE_EVENT_STREAM_CLOSED, reported);
        se_conn_send_credit(conn);
        break;
    default:
        translate_rare(conn, reported);
        break;
    }
}

static SB_NEVER_INLINE void route_all(struct spate_conn *conn)
{
    struct sp_event reported;
    while (sp_conn_next_route(conn->proto, &reported))
        translate_route(conn, &reported);
}

void se_conn_route(struct spate_conn *conn)
{
    if (SB_UNLIKELY(sp_conn_may_have_route(conn->proto)))
        route_all(conn);
    se_conn_ports(conn);
}

void se_conn_drain(struct spate_conn *conn)
{
    struct sp_event reported;
    struct sp_conn *proto = se_conn_proto(conn);
    /* Routes need no room in the queue and are not held back: the next datagram may need them. */
    se_conn_route(conn);
    /* Events of an ended connection follow when all that it held is released, in later turns. */
    bool is_unwound = sp_conn_unwind(proto, &conn->shard->unwind_steps);
    if (SB_UNLIKELY(conn->channel != NULL)) {
        se_channel_drain(conn, is_unwound);
        return;
    }
    for (enum hold hold; is_unwound && !se_events_is_full(&conn->shard->events) &&
                         (hold = hold_of(conn)) != HOLD_ALL;) {
        if (hold == HOLD_STREAMS) {
            if (!sp_conn_next_opened(proto, &reported))
                break;
        } else if (!sp_conn_next_event(proto, &reported)) {
            sb_list_remove(&conn->event_pending_link);
            return;
        }
        se_conn_translate(conn, &reported);
    }
    if (!sb_link_is_in(&conn->event_pending_link))
        sb_list_push_back(&conn->shard->event_pending, &conn->event_pending_link);
}

void se_shard_drain(struct spate_shard *shard)
{
    SB_LIST_EACH(link, &shard->event_pending) {
        if (se_events_is_full(&shard->events))
            return;
        se_conn_drain(SB_CONTAINER_OF(link, struct spate_conn, event_pending_link));
    }
}

/* Drops one event with received bytes, unless it returns lent memory: then it says no more. */
static void drop_received(struct spate_conn *conn, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        spate_slice_release(conn->shard, &event->u.data.slice);
    } else if (event->kind == SPATE_EVENT_STREAM_BATCH) {
        spate_slices_release(conn->shard, event->u.batch.slices, event->u.batch.count);
    } else if (event->u.placed.is_returned) {
        event->u.placed.size = 0;
        event->u.placed.fin = false;
        return;
    }
    *event = (struct spate_event){.kind = SPATE_EVENT_NONE};
    conn->shard->events.dropped_count++;
}

bool se_events_drop_received(struct spate_conn *conn, uint64_t stream_id)
{
    struct se_events *events = &conn->shard->events;
    bool has_dropped = false;
    for (uint32_t i = events->head; i < events->tail; i++) {
        struct spate_event *event = &events->ring[i];
        if (event->conn != conn || event->stream_id != stream_id ||
            (event->kind != SPATE_EVENT_STREAM_DATA && event->kind != SPATE_EVENT_STREAM_BATCH &&
             event->kind != SPATE_EVENT_STREAM_PLACED))
            continue;
        drop_received(conn, event);
        has_dropped = true;
    }
    return has_dropped;
}

/* Skips dropped events: moves the others of the next `count_max` together, to where the dropped
 * ones were. */
static void skip_dropped(struct se_events *events, uint32_t count_max)
{
    uint32_t end = events->head;
    for (uint32_t found = 0; end < events->tail && found < count_max; end++)
        found += events->ring[end].kind != SPATE_EVENT_NONE;
    uint32_t begin = end;
    for (uint32_t i = end; i-- > events->head;)
        if (events->ring[i].kind != SPATE_EVENT_NONE)
            events->ring[--begin] = events->ring[i];
    events->dropped_count -= begin - events->head;
    events->head = begin;
}

const struct spate_event *se_events_take(struct spate_shard *shard, uint32_t count_max,
                                         uint32_t *ret_count)
{
    struct se_events *events = &shard->events;
    se_events_processed(events);
    if (se_events_count(events) == 0)
        se_shard_drain(shard);

    uint32_t count = SB_MIN(count_max, se_events_count(events));
    if (SB_UNLIKELY(events->dropped_count > 0))
        skip_dropped(events, count);
    const struct spate_event *first = &events->ring[events->head];
    for (uint32_t i = 0; i < count; i++) {
        if (first[i].kind != SPATE_EVENT_CLOSED)
            continue;
        se_conn_advance(first[i].conn, SE_CONN_TAKEN);
        se_conn_end(first[i].conn);
    }
    events->head += count;
    *ret_count = count;
    return first;
}

void se_events_discard(struct spate_shard *shard)
{
    struct se_events *events = &shard->events;
    for (; events->head < events->tail; events->head++) {
        struct spate_event *event = &events->ring[events->head];
        if (event->kind == SPATE_EVENT_STREAM_DATA)
            sb_buffer_unref(event->u.data.slice.buffer);
        else if (event->kind == SPATE_EVENT_DATAGRAM)
            sb_buffer_unref(event->u.datagram.slice.buffer);
        else if (event->kind == SPATE_EVENT_STREAM_BATCH ||
                 event->kind == SPATE_EVENT_DATAGRAM_BATCH)
            for (size_t i = 0; i < event->u.batch.count; i++)
                sb_buffer_unref(event->u.batch.slices[i].buffer);
    }
}

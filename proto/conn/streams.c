/* SPDX-License-Identifier: MIT */
#include "proto/conn/streams.h"

/* The streams of a connection: the application's operations, the peer's frames, limits and flow
 * control.  The two parts of a stream are in stream_send.c and stream_recv.c.
 *
 * What can be attacked: a peer may open all streams up to our limit at once, by a frame with the
 * highest ID.  That frame makes one stream, and the events make the others, as fast as the
 * application takes them.  A frame for a closed stream is ignored; a frame for a stream that we
 * never opened is an error. */

#include "proto/base/assert.h"
#include "proto/base/steps.h"
#include "proto/base/time.h"
#include "proto/conn/message.h"
#include "proto/conn/messages.h"
#include "proto/conn/schedule.h"
#include "proto/conn/trace.h"

void sp_conn_streams_init(struct sp_conn *conn)
{
    const struct sp_config *config = conn->config;

    sb_list_init(&conn->send_list);
    sb_list_init(&conn->credit_list);
    sb_list_init(&conn->blocked_list);
    sb_list_init(&conn->control_list);
    sb_list_init(&conn->held_list);
    sb_list_init(&conn->opened_list);
    sb_list_init(&conn->event_list);
    sb_list_init(&conn->zombie_list);
    sp_window_init(&conn->window, config->conn_window_bytes, config->conn_window_bytes_max);
    sp_stream_limits_init(&conn->limits[false], config->streams_bidi_max);
    sp_stream_limits_init(&conn->limits[true], config->streams_uni_max);
    sp_stream_map_init(&conn->streams, conn->pools->memory, conn->pieces.random);
}

/* Frees a closed stream that is not in the map, or makes a zombie of it. */
static void release(struct sp_conn *conn, struct sp_stream *stream)
{
    sp_schedule_remove(stream);
    sb_list_remove(&stream->control_link);
    sb_list_remove(&stream->event_link);
    sp_reassembly_discard(&stream->recv.reassembly);
    if (stream->sent_refs > 0 || sp_reassembly_is_discarding(&stream->recv.reassembly)) {
        sb_list_push_back(&conn->zombie_list, &stream->event_link);
        return;
    }
    sp_stream_send_deinit(&stream->send);
    sp_stream_recv_deinit(&stream->recv);
    sb_store_give(&conn->stores.streams, stream);
}

bool sp_conn_streams_deinit(struct sp_conn *conn, uint32_t *steps)
{
    if (conn->streams.buckets == NULL)
        return true;
    for (; sp_conn_discard_some(conn, steps), *steps > 0;) {
        struct sp_stream *stream = sp_stream_map_pop(&conn->streams);
        struct sb_link *zombie = sb_list_first(&conn->zombie_list);
        if (stream == NULL && zombie != NULL)
            stream = SB_CONTAINER_OF(zombie, struct sp_stream, event_link);
        if (stream == NULL) {
            sp_stream_map_deinit(&conn->streams);
            return true;
        }
        SB_ASSERT(stream->sent_refs == 0);
        stream->is_closed = true;
        release(conn, stream);
        *steps -= SB_MIN(*steps, SP_UNWIND_STREAM_STEPS);
    }
    return false;
}

uint64_t sp_conn_initial_max_data(const struct sp_conn *conn, uint64_t id)
{
    if (sp_stream_is_uni(id))
        return conn->peer_stream_data_uni;
    return sp_stream_is_local(id, sp_conn_is_server(conn)) ? conn->peer_stream_data_bidi_remote
                                                           : conn->peer_stream_data_bidi_local;
}

static struct sp_stream *make_stream(struct sp_conn *conn, uint64_t id)
{
    SB_STEP();
    struct sp_stream *stream = sb_store_take_ordinary(&conn->stores.streams);
    if (stream == NULL)
        return NULL;

    bool is_local = sp_stream_is_local(id, sp_conn_is_server(conn));
    /* Both parts of a bidirectional stream are initialised below. */
    memset(stream, 0, sp_stream_is_uni(id) ? sizeof(*stream) : offsetof(struct sp_stream, send));
    stream->id = id;
    stream->priority = SP_PRIORITY_FIRST;
    sb_list_init(&stream->send_link);
    sb_list_init(&stream->control_link);
    sb_list_init(&stream->event_link);
    if (is_local || !sp_stream_is_uni(id))
        sp_stream_send_init(&stream->send, &conn->stores.chunks, &conn->stores.ranges,
                            sp_conn_initial_max_data(conn, id));
    if (!is_local || !sp_stream_is_uni(id))
        sp_stream_recv_init(&stream->recv, &conn->pieces, conn->config->stream_window_bytes,
                            conn->config->stream_window_bytes_max);
    sp_stream_map_add(&conn->streams, stream);
    conn->stats.streams_opened++;
    sp_conn_trace_stream(conn, id, true);
    return stream;
}

/* ---- Lists ---- */

static uint64_t conn_credit(const struct sp_conn *conn)
{
    SB_ASSERT(conn->data_sent <= conn->max_data);
    return conn->max_data - conn->data_sent;
}

void sp_conn_stream_schedule(struct sp_conn *conn, struct sp_stream *stream)
{
    sp_conn_trace_stream_wait(conn, stream);
    if (SB_UNLIKELY(stream->is_held))
        return;
    switch (sp_stream_send_want(&stream->send, conn_credit(conn))) {
    case SP_WANT_NOTHING:
        sp_schedule_remove(stream);
        if (SB_UNLIKELY(sp_stream_send_take_cut_out(&stream->send)))
            sp_conn_stream_add_control(conn, stream, SP_CONTROL_RESET);
        break;
    case SP_WANT_CREDIT:
        sp_schedule_remove(stream);
        sb_list_push_back(&conn->blocked_list, &stream->send_link);
        if (stream->send.blocked_at != stream->send.max_data)
            sp_conn_stream_add_control(conn, stream, SP_CONTROL_BLOCKED);
        break;
    case SP_WANT_CONN_CREDIT:
        sp_schedule_remove(stream);
        sb_list_push_back(&conn->credit_list, &stream->send_link);
        conn->data_blocked = sp_blocked_next(conn->data_blocked, SP_BLOCKED_ON_BLOCK);
        break;
    case SP_WANT_SEND:
        sp_schedule_add(conn, stream);
        break;
    }
}

void sp_conn_stream_add_control(struct sp_conn *conn, struct sp_stream *stream, uint8_t control)
{
    /* One whose credit is held back may have other frames to send. */
    if (conn->holds_credit && (stream->control & SP_CONTROL_MAX_DATA) != 0 &&
        control != SP_CONTROL_MAX_DATA)
        sb_list_remove(&stream->control_link);
    stream->control |= control;
    if (!stream->is_held && !sb_link_is_in(&stream->control_link))
        sb_list_push_back(&conn->control_list, &stream->control_link);
}

void sp_conn_stream_add_event(struct sp_conn *conn, struct sp_stream *stream)
{
    if (!stream->is_closed && !sb_link_is_in(&stream->event_link))
        sb_list_push_back(&conn->event_list, &stream->event_link);
}

void sp_conn_stream_reap(struct sp_conn *conn, struct sp_stream *stream)
{
    if (!stream->is_closed) {
        stream->is_closed = true;
        sp_stream_map_remove(&conn->streams, stream);
        if (!sp_stream_is_local(stream->id, sp_conn_is_server(conn))) {
            sp_stream_limits_on_remote_closed(&conn->limits[sp_stream_is_uni(stream->id)]);
        } else {
            /* Room under streams_local_max, whichever kind waits for it. */
            sp_stream_limits_on_room(&conn->limits[false]);
            sp_stream_limits_on_room(&conn->limits[true]);
        }
    }
    release(conn, stream);
}

/* Gives credit at once for bytes that the application will never get. */
void sp_conn_discarded(struct sp_conn *conn, uint64_t bytes)
{
    if (bytes == 0)
        return;
    sp_window_consume(&conn->window, bytes);
    if (sp_window_wants_update(&conn->window))
        conn->wants_max_data = true;
}

/* ---- The peer's frames ----
 *
 * Frames that are out of date change nothing.  [RFC9000 13.3] */

enum sp_err sp_conn_stream_of_frame(struct sp_conn *conn, uint64_t id, bool for_send,
                                    struct sp_stream **ret)
{
    bool is_local = sp_stream_is_local(id, sp_conn_is_server(conn));
    bool is_uni = sp_stream_is_uni(id);
    struct sp_stream_limits *limits = &conn->limits[is_uni];
    uint64_t index = id >> 2;

    /* [RFC9000 19.4, 19.5, 19.8, 19.10, 19.13] The part must exist. */
    if (is_uni && is_local != for_send)
        return SP_ERR_STREAM_STATE;

    *ret = NULL;
    if (is_local) {
        if (index >= limits->local_opened)
            return SP_ERR_STREAM_STATE; /* not opened by us yet */
        *ret = sp_stream_map_find(&conn->streams, id);
        return SP_OK;
    }

    if (index >= limits->remote_max)
        return SP_ERR_STREAM_LIMIT; /* [RFC9000 4.6, 19.11] */
    /* Beyond those that are open none is made yet. */
    bool is_new = index >= limits->remote_opened;
    struct sp_stream *stream = is_new ? NULL : sp_stream_map_find(&conn->streams, id);
    if (stream == NULL && index >= limits->remote_announced) {
        stream = make_stream(conn, id);
        if (stream == NULL)
            return SP_DROP;
        limits->remote_made++;
        /* [RFC9000 3.2] A stream opens all lower ones of its kind. */
        sp_stream_limits_on_remote_opened(limits, SB_MAX(limits->remote_opened, index + 1));
        sb_list_push_back(&conn->opened_list, &stream->event_link);
    }
    *ret = stream;
    return SP_OK;
}

struct sp_stream *sp_conn_announce_stream(struct sp_conn *conn, bool is_uni)
{
    struct sp_stream_limits *limits = &conn->limits[is_uni];
    if (limits->remote_announced == limits->remote_opened)
        return NULL;
    uint64_t id = limits->remote_announced << 2 | (is_uni ? SP_STREAM_IS_UNI : 0) |
                  (sp_conn_is_server(conn) ? 0 : SP_STREAM_BY_SERVER);
    /* Usually that of the first frame that has opened one. */
    struct sb_link *first = sb_list_first(&conn->opened_list);
    struct sp_stream *stream =
        first != NULL ? SB_CONTAINER_OF(first, struct sp_stream, event_link) : NULL;
    if (stream == NULL || stream->id != id)
        stream = sp_stream_map_find(&conn->streams, id);
    if (stream == NULL) {
        stream = make_stream(conn, id);
        if (stream == NULL) {
            conn->is_out_of_memory = true; /* the frame that opened it is acknowledged */
            return NULL;
        }
        limits->remote_made++;
    }
    limits->remote_announced++;
    sb_list_remove(&stream->event_link);
    return stream;
}

enum sp_err sp_conn_stream_after_receive(struct sp_conn *conn, struct sp_stream *stream,
                                         const struct sp_recv_effect *effect)
{
    uint32_t discards = SP_DISCARDS_PER_FRAME;
    if (effect->discarded > 0)
        sp_conn_discard_some(conn, &discards);
    sp_conn_discarded(conn, effect->discarded);
    if (effect->has_event)
        sp_conn_stream_add_event(conn, stream);
    return effect->is_out_of_memory ? SP_DROP : SP_OK;
}

bool sp_conn_extend_stream(struct sp_conn *conn, const struct sp_frame_stream *frame,
                           struct sb_buffer *buffer)
{
    if (frame->fin)
        return false;
    struct sp_stream *stream = sp_stream_map_find(&conn->streams, frame->id);
    if (stream == NULL || !sp_stream_recv_extend(&stream->recv, frame, buffer, &conn->window))
        return false;
    conn->stats.stream_bytes_in += frame->size;
    return true;
}

enum sp_err sp_conn_on_stream(struct sp_conn *conn, const struct sp_frame_stream *frame,
                              struct sb_buffer *buffer)
{
    struct sp_stream *stream;
    enum sp_err err = sp_conn_stream_of_frame(conn, frame->id, false, &stream);
    if (err != SP_OK || stream == NULL)
        return err;

    struct sp_recv_effect effect;
    uint64_t received = stream->recv.reassembly.received_bytes;
    err = sp_stream_recv_data(&stream->recv, frame, buffer, &conn->window, &effect);
    if (err != SP_OK)
        return err;
    if (!effect.is_out_of_memory)
        conn->short_since_ns[SP_SHORT_OF_ROOM] = SB_NEVER;
    conn->stats.stream_bytes_in += stream->recv.reassembly.received_bytes - received;
    return sp_conn_stream_after_receive(conn, stream, &effect);
}

bool sp_conn_is_lent(const struct sp_conn *conn, uint64_t id, uint64_t end)
{
    const struct sp_stream *stream = sp_stream_map_find(&conn->streams, id);
    if (stream == NULL || stream->recv.state == SP_RECV_NONE)
        return false;
    uint64_t lent_end = 0;
    for (const struct sp_lent *lent = stream->recv.reassembly.lent; lent != NULL; lent = lent->next)
        lent_end = sp_lent_end(lent);
    return end <= lent_end;
}

enum sp_err sp_conn_on_max_stream_data(struct sp_conn *conn, uint64_t id, uint64_t limit)
{
    struct sp_stream *stream;
    enum sp_err err = sp_conn_stream_of_frame(conn, id, true, &stream);
    if (err != SP_OK || stream == NULL || limit <= stream->send.max_data)
        return err;

    stream->send.max_data = limit;
    stream->control &= (uint8_t)~SP_CONTROL_BLOCKED;
    sp_conn_stream_schedule(conn, stream);
    return SP_OK;
}

/* [RFC9000 4.1] Limits only rise. */
void sp_conn_on_max_data(struct sp_conn *conn, uint64_t limit)
{
    if (limit <= conn->max_data)
        return;
    conn->max_data = limit;
    conn->data_blocked = sp_blocked_next(conn->data_blocked, SP_BLOCKED_ON_RAISE);
    /* Each can send a byte at least.  One more than that is still blocked afterwards, and says so;
     * for the others it would be work without an effect. */
    (void)sp_conn_wake_blocked(conn, conn_credit(conn) + 1);
}

bool sp_conn_wake_blocked(struct sp_conn *conn, uint64_t count_max)
{
    uint64_t count = 0;
    struct sb_link *link;
    for (; count < count_max && conn_credit(conn) > 0 &&
           (link = sb_list_first(&conn->credit_list)) != NULL;
         count++) {
        SB_STEP();
        sp_conn_stream_schedule(conn, SB_CONTAINER_OF(link, struct sp_stream, send_link));
        SB_ASSERT(sb_list_first(&conn->credit_list) != link);
    }
    return count > 0;
}

void sp_conn_on_max_streams(struct sp_conn *conn, bool is_uni, uint64_t limit)
{
    sp_stream_limits_on_raise(&conn->limits[is_uni], limit);
}

void sp_conn_on_streams_blocked(struct sp_conn *conn, bool is_uni, uint64_t limit)
{
    sp_stream_limits_on_remote_blocked(&conn->limits[is_uni], limit);
}

void sp_conn_streams_on_params(struct sp_conn *conn, const struct sp_tparams *peer)
{
    const uint64_t max[2] = {peer->initial_max_streams_bidi, peer->initial_max_streams_uni};
    for (uint32_t i = 0; i < 2; i++) {
        if (sp_conn_has_streams(conn)) /* of 0-RTT */
            sp_stream_limits_on_raise(&conn->limits[i], max[i]);
        else
            conn->limits[i].local_max = max[i];
    }
    conn->peer_stream_data_bidi_local = peer->initial_max_stream_data_bidi_local;
    conn->peer_stream_data_bidi_remote = peer->initial_max_stream_data_bidi_remote;
    conn->peer_stream_data_uni = peer->initial_max_stream_data_uni;
    conn->peer_takes_reset_at = peer->reset_stream_at;
    sp_conn_on_max_data(conn, peer->initial_max_data);
}

/* ---- The application's operations ---- */

enum sp_result sp_conn_open(struct sp_conn *conn, bool is_uni, uint64_t *ret_id)
{
    if (conn->state != SP_CONN_OPEN)
        return SP_CLOSED;

    struct sp_stream_limits *limits = &conn->limits[is_uni];
    bool may_open = sp_conn_has_streams(conn);
    uint64_t local_now = conn->streams.count;
    for (uint32_t i = 0; i < 2; i++) /* the rest of the map is ours */
        local_now -= SB_MIN(local_now, conn->limits[i].remote_made - conn->limits[i].remote_closed);
    if (!may_open || !sp_stream_limits_has_room(limits) ||
        local_now >= conn->config->streams_local_max) {
        sp_stream_limits_on_refused(limits, may_open);
        return SP_AGAIN;
    }

    /* [RFC9000 2.1] Counted up, so that no ID comes twice. */
    uint64_t id = limits->local_opened << 2 | (is_uni ? SP_STREAM_IS_UNI : 0) |
                  (sp_conn_is_server(conn) ? SP_STREAM_BY_SERVER : 0);
    if (make_stream(conn, id) == NULL)
        return SP_NO_MEMORY;
    limits->local_opened++;
    *ret_id = id;
    return SP_DONE;
}

void *sp_conn_stream_user(const struct sp_conn *conn, uint64_t id)
{
    const struct sp_stream *stream = sp_stream_map_find(&conn->streams, id);
    return stream != NULL ? stream->user : NULL;
}

bool sp_conn_owes_streams(const struct sp_conn *conn)
{
    return conn->limits[false].grant == SP_GRANT_DUE || conn->limits[true].grant == SP_GRANT_DUE;
}

uint64_t sp_conn_stream_count(const struct sp_conn *conn)
{
    return conn->streams.count;
}

bool sp_conn_has_begun(const struct sp_conn *conn)
{
    return conn->limits[0].local_opened > 0 || conn->limits[1].local_opened > 0 ||
           sp_conn_wants_message(conn) || sp_conn_has_message_result(conn) ||
           conn->stats.messages_out > 0;
}

enum sp_result sp_conn_stream_of_operation(struct sp_conn *conn, uint64_t id,
                                           struct sp_stream **ret)
{
    if (conn->state != SP_CONN_OPEN)
        return SP_CLOSED;
    *ret = sp_stream_map_find(&conn->streams, id);
    return *ret != NULL ? SP_DONE : SP_GONE;
}

enum sp_result sp_conn_write(struct sp_conn *conn, uint64_t id, const struct sp_write *write)
{
    struct sp_stream *stream;
    enum sp_result result = sp_conn_stream_of_operation(conn, id, &stream);
    if (result != SP_DONE)
        return result;
    if (stream->send.state == SP_SEND_NONE || (write->size == 0 && !write->fin) ||
        write->size > SB_VARINT_MAX - stream->send.queued_end)
        return SP_INVALID;
    if (!sp_stream_send_is_open(&stream->send))
        return SP_GONE;
    if (!sp_stream_send_queue(&stream->send, write->data, write->size, write->tag, write->fin))
        return SP_NO_MEMORY;
    sp_conn_trace_queued(conn, stream, write->size, write->fin);
    if (!sb_link_is_in(&stream->send_link))
        sp_conn_stream_schedule(conn, stream);
    return SP_DONE;
}

/* Returns the sum of the sizes, or SB_VARINT_NONE if it is too large for a stream at `offset`. */
static uint64_t sum_of(const struct sp_writev *write, uint64_t offset)
{
    uint64_t size_max = SB_MIN((UINT64_C(1) << 48) - 1, SB_VARINT_MAX - offset);
    uint64_t size = 0;
    for (size_t i = 0; i < write->count; i++) {
        if (write->ranges[i].size > size_max - size)
            return SB_VARINT_NONE;
        size += write->ranges[i].size;
    }
    return size;
}

enum sp_result sp_conn_writev(struct sp_conn *conn, uint64_t id, const struct sp_writev *write)
{
    struct sp_stream *stream;
    enum sp_result result = sp_conn_stream_of_operation(conn, id, &stream);
    if (result != SP_DONE)
        return result;
    uint64_t size = sum_of(write, stream->send.queued_end);
    if (stream->send.state == SP_SEND_NONE || size == SB_VARINT_NONE || (size == 0 && !write->fin))
        return SP_INVALID;
    if (size == 0)
        return sp_conn_write(conn, id, &(struct sp_write){.tag = write->tag, .fin = true});
    if (!sp_stream_send_is_open(&stream->send))
        return SP_GONE;
    if (!sp_stream_send_queue_all(&stream->send, write->ranges, write->count, write->tag,
                                  write->fin))
        return SP_NO_MEMORY;
    sp_conn_trace_queued(conn, stream, size, write->fin);
    if (!sb_link_is_in(&stream->send_link))
        sp_conn_stream_schedule(conn, stream);
    return SP_DONE;
}

enum sp_result sp_conn_progress(const struct sp_conn *conn, uint64_t id, struct sp_progress *ret)
{
    const struct sp_stream *stream = sp_stream_map_find(&conn->streams, id);
    if (conn->state != SP_CONN_OPEN)
        return SP_CLOSED;
    if (stream == NULL)
        return SP_GONE;
    const struct sp_stream_send *send = &stream->send;
    if (send->state == SP_SEND_NONE)
        return SP_INVALID;
    *ret = (struct sp_progress){
        .queued_bytes = send->queued_end,
        .credit_bytes = send->max_data,
        .sent_bytes = send->delivery.sent_end,
        .acked_bytes = send->delivery.acked_end,
        .fin_queued = send->fin_queued,
        .fin_acked = send->fin_acked,
        .wanted_bytes = SB_MAX(2 * conn->loss.path->cc.cwnd_bytes, SP_WANTED_BYTES_MIN),
    };
    return SP_DONE;
}

enum sp_result sp_conn_stream_set_priority(struct sp_conn *conn, uint64_t id, uint32_t urgency,
                                           bool is_incremental)
{
    struct sp_stream *stream;
    enum sp_result result = sp_conn_stream_of_operation(conn, id, &stream);
    bool was_in = result == SP_DONE && sb_link_is_in(&stream->send_link);
    if (result == SP_DONE)
        result = sp_schedule_set_priority(conn, stream, urgency, is_incremental);
    if (was_in && !sb_link_is_in(&stream->send_link))
        sp_conn_stream_schedule(conn, stream);
    return result;
}

void sp_conn_consume(struct sp_conn *conn, uint64_t id, uint64_t size)
{
    SB_ASSERT(size <= conn->handed_bytes);
    conn->handed_bytes -= size;
    if (conn->state != SP_CONN_OPEN)
        return;
    sp_conn_discarded(conn, size);

    struct sp_stream *stream = sp_stream_map_find(&conn->streams, id);
    if (stream == NULL || stream->recv.state == SP_RECV_NONE)
        return;
    sp_window_consume(&stream->recv.window, size);
    if (sp_stream_recv_wants_credit(&stream->recv))
        sp_conn_stream_add_control(conn, stream, SP_CONTROL_MAX_DATA);
}

enum sp_result sp_conn_receive_into(struct sp_conn *conn, uint64_t id, const struct sp_lend *lend,
                                    uint64_t *ret_offset)
{
    struct sp_stream *stream;
    enum sp_result result = sp_conn_stream_of_operation(conn, id, &stream);
    if (result != SP_DONE)
        return result;
    struct sp_stream_recv *recv = &stream->recv;
    if (recv->state == SP_RECV_NONE || lend->data == NULL || lend->size == 0 ||
        lend->size > SB_VARINT_MAX)
        return SP_INVALID;
    if (recv->is_stopped || recv->state > SP_RECV_ARRIVED)
        return SP_GONE;
    if (!sp_stream_recv_lend(recv, lend->data, lend->size, lend->tag, ret_offset))
        return SP_AGAIN;
    sp_conn_stream_add_event(conn, stream); /* what has waited for it */
    return SP_DONE;
}

bool sp_conn_stream_is_early(const struct sp_conn *conn, uint64_t id)
{
    const struct sp_stream *stream = sp_stream_map_find(&conn->streams, id);
    return stream != NULL && stream->is_early;
}

enum sp_result sp_conn_stream_set_user(struct sp_conn *conn, uint64_t id, void *user)
{
    /* Allowed after the end of the connection too, because events of the stream may follow. */
    struct sp_stream *stream = sp_stream_map_find(&conn->streams, id);
    if (stream == NULL)
        return SP_GONE;
    stream->user = user;
    return SP_DONE;
}

/* SPDX-License-Identifier: MIT */
#include "proto/conn/recovery.h"

/* Handles the frames of packets that were acknowledged or lost.
 *
 * A packet is never sent again.  Its frames are retransmitted in new packets if they still matter:
 * bytes of streams and CRYPTO by their ranges, limits with their newest value.
 * [RFC9000 13.3] */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/messages.h"
#include "proto/conn/mtu.h"
#include "proto/conn/schedule.h"
#include "proto/conn/streams.h"

/* A ClientHello that comes again sooner after our flight is a duplicate of the network's, or has
 * crossed it. */
#define FLIGHT_PAUSE_NS (25 * SB_MS)

static void unref(struct sp_conn *conn, struct sp_sent_frame *frame)
{
    struct sp_stream *stream = frame->stream;
    if (stream == NULL)
        return;
    if (SB_UNLIKELY(frame->type == SP_FRAME_DATAGRAM)) {
        /* Not acknowledged: lost, or forgotten at the connection's end.  [RFC9221 5.2] */
        sp_conn_messages_lost(conn, frame->messages);
        return;
    }
    SB_ASSERT(stream->sent_refs > 0);
    stream->sent_refs--;
    if (stream->is_closed)
        sp_conn_stream_reap(conn, stream);
}

void sp_conn_free_frames(struct sp_conn *conn, struct sp_sent_frame *frames)
{
    while (frames != NULL) {
        struct sp_sent_frame *next = frames->next;
        unref(conn, frames);
        sb_store_give(&conn->stores.frames, frames);
        frames = next;
    }
}

void sp_conn_forget_packets(struct sp_conn *conn, enum sp_space space, uint32_t *steps)
{
    while (*steps > 0) {
        /* A few at a time: how many frames they have shows only then. */
        uint32_t count_max = SB_MIN(*steps / 4 + 1, (uint32_t)SP_SENT_BLOCK_PACKETS), count;
        struct sp_sent_frame *frames = sp_loss_forget_some(&conn->loss, space, count_max, &count);
        uint32_t frame_count = 0;
        for (const struct sp_sent_frame *f = frames; f != NULL; f = f->next)
            frame_count += f->type == SP_FRAME_DATAGRAM ? 1 + f->size : 1;
        sp_conn_free_frames(conn, frames);
        *steps -= SB_MIN(*steps, count + frame_count);
        if (count < count_max)
            return;
    }
}

/* ---- Acknowledged ---- */

static void stream_acked(struct sp_conn *conn, const struct sp_sent_frame *frame)
{
    struct sp_stream *stream = frame->stream;
    uint64_t before = stream->send.delivery.acked_end;

    if (stream->is_closed)
        return;
    if (!sp_stream_send_on_acked(&stream->send, frame->offset, frame->size, frame->fin)) {
        conn->is_out_of_memory = true;
        return;
    }
    conn->stats.stream_bytes_acked += stream->send.delivery.acked_end - before;
    if (stream->send.done_first != NULL || sp_stream_is_done(stream))
        sp_conn_stream_add_event(conn, stream);
    /* Bytes that were declared lost may need no retransmission now. */
    if (sb_link_is_in(&stream->send_link) &&
        sp_stream_send_want(&stream->send, UINT64_MAX) == SP_WANT_NOTHING)
        sp_conn_stream_schedule(conn, stream);
}

static void reset_at_acked(struct sp_conn *conn, const struct sp_sent_frame *frame)
{
    if (frame->stream->is_closed)
        return;
    sp_stream_send_on_reset_at_acked(&frame->stream->send, frame->offset);
    sp_conn_stream_add_event(conn, frame->stream);
}

static void ack_confirmed(struct sp_conn *conn, enum sp_space space, uint64_t largest,
                          uint64_t now_ns)
{
    struct sp_ack *ack = &conn->spaces[space]->ack;
    if (SB_UNLIKELY(ack->has_late) && space == SP_SPACE_APP &&
        !sp_ack_lag_take(&conn->ack_lag, conn->loss.path->rtt.smoothed_ns, now_ns, &largest))
        return;
    sp_ack_on_confirmed(ack, largest);
}

static void frame_acked(struct sp_conn *conn, enum sp_space space, struct sp_sent_frame *frame,
                        uint64_t now_ns)
{
    switch (frame->type) {
    case SP_FRAME_ACK:
        ack_confirmed(conn, space, frame->offset, now_ns);
        break;
    case SP_FRAME_CRYPTO:
        if (!sp_delivery_on_acked(&conn->spaces[space]->crypto.out, frame->offset, frame->size))
            conn->is_out_of_memory = true;
        break;
    case SP_FRAME_STREAM:
        stream_acked(conn, frame);
        break;
    case SP_FRAME_DATAGRAM:
        sp_conn_messages_acked(conn, frame->messages);
        frame->messages = NULL;
        break;
    case SP_FRAME_RESET_STREAM:
        if (!frame->stream->is_closed) {
            frame->stream->send.state =
                sp_send_next(frame->stream->send.state, SP_SEND_ON_RESET_ACKED);
            sp_conn_stream_add_event(conn, frame->stream);
        }
        break;
    case SP_FRAME_RESET_STREAM_AT:
        reset_at_acked(conn, frame);
        break;
    case SP_FRAME_PING:
        sp_conn_mtu_acked(conn, frame->size, frame->offset, now_ns);
        break;
    case SP_FRAME_RETIRE_CONNECTION_ID:
        sp_cid_remote_on_retired_acked(&conn->remote_ids, frame->offset);
        break;
    case SP_FRAME_ACK_FREQUENCY:
        sp_ack_request_on_acked(&conn->ack_request, frame->offset, &conn->loss);
        break;
    default:
        break; /* nothing waits for it */
    }
}

/* ---- Lost ---- */

static void stream_lost(struct sp_conn *conn, const struct sp_sent_frame *frame)
{
    struct sp_stream *stream = frame->stream;
    if (stream->is_closed)
        return;
    if (!sp_stream_send_on_lost(&stream->send, frame->offset, frame->size, frame->fin)) {
        conn->is_out_of_memory = true;
        return;
    }
    if (sp_stream_send_want(&stream->send, 0) == SP_WANT_SEND) {
        /* Before all new data: the peer's application waits for these bytes. */
        sp_schedule_add_lost(conn, stream);
    }
}

static void stream_control_lost(struct sp_conn *conn, const struct sp_sent_frame *frame)
{
    struct sp_stream *stream = frame->stream;
    if (stream->is_closed)
        return;

    switch (frame->type) {
    case SP_FRAME_RESET_STREAM:
        if (stream->send.state == SP_SEND_RESET)
            sp_conn_stream_add_control(conn, stream, SP_CONTROL_RESET);
        break;
    case SP_FRAME_RESET_STREAM_AT:
        /* Unless one with a smaller size was sent already.  [reliable-reset 4, 5.2] */
        if (stream->send.state == SP_SEND_RESET_AT && !stream->send.fin_acked &&
            frame->offset == stream->send.reliable_size)
            sp_conn_stream_add_control(conn, stream, SP_CONTROL_RESET);
        break;
    case SP_FRAME_STOP_SENDING:
        if (stream->recv.state == SP_RECV_OPEN)
            sp_conn_stream_add_control(conn, stream, SP_CONTROL_STOP);
        break;
    case SP_FRAME_MAX_STREAM_DATA:
        /* Retransmitted with the newest value, unless a newer one was sent already. */
        if (stream->recv.state == SP_RECV_OPEN && frame->offset == stream->recv.window.limit)
            sp_conn_stream_add_control(conn, stream, SP_CONTROL_MAX_DATA);
        break;
    case SP_FRAME_STREAM_DATA_BLOCKED:
        stream->send.blocked_at = SB_VARINT_NONE;
        sp_conn_stream_schedule(conn, stream);
        break;
    default:
        SB_ASSERT(false);
    }
}

static void frame_lost(struct sp_conn *conn, enum sp_space space, const struct sp_sent_frame *frame)
{

    switch (frame->type) {
    case SP_FRAME_CRYPTO:
        if (!sp_delivery_on_lost(&conn->spaces[space]->crypto.out, frame->offset, frame->size))
            conn->is_out_of_memory = true;
        break;
    case SP_FRAME_STREAM:
        stream_lost(conn, frame);
        break;
    case SP_FRAME_RESET_STREAM:
    case SP_FRAME_RESET_STREAM_AT:
    case SP_FRAME_STOP_SENDING:
    case SP_FRAME_MAX_STREAM_DATA:
    case SP_FRAME_STREAM_DATA_BLOCKED:
        stream_control_lost(conn, frame);
        break;
    case SP_FRAME_MAX_DATA:
        conn->wants_max_data |= frame->offset == conn->window.limit;
        break;
    case SP_FRAME_MAX_STREAMS_BIDI:
    case SP_FRAME_MAX_STREAMS_UNI:
        sp_stream_limits_on_grant_lost(&conn->limits[frame->type == SP_FRAME_MAX_STREAMS_UNI],
                                       frame->offset);
        break;
    case SP_FRAME_DATA_BLOCKED:
        if (frame->offset != conn->max_data)
            break;
        conn->data_blocked = sp_blocked_next(conn->data_blocked, SP_BLOCKED_ON_LOST);
        if (!sb_list_is_empty(&conn->credit_list))
            conn->data_blocked = sp_blocked_next(conn->data_blocked, SP_BLOCKED_ON_BLOCK);
        break;
    case SP_FRAME_STREAMS_BLOCKED_BIDI:
    case SP_FRAME_STREAMS_BLOCKED_UNI:
        sp_stream_limits_on_blocked_lost(&conn->limits[frame->type == SP_FRAME_STREAMS_BLOCKED_UNI],
                                         frame->offset);
        break;
    case SP_FRAME_NEW_TOKEN:
        conn->wants_new_token = true;
        break;
    case SP_FRAME_NEW_CONNECTION_ID:
        sp_cid_local_on_lost(&conn->local_ids, frame->offset);
        break;
    case SP_FRAME_RETIRE_CONNECTION_ID:
        sp_cid_remote_on_retired_lost(&conn->remote_ids, frame->offset);
        break;
    case SP_FRAME_HANDSHAKE_DONE:
        conn->wants_handshake_done = true;
        break;
    case SP_FRAME_ACK_FREQUENCY:
        sp_ack_request_on_lost(&conn->ack_request, frame->offset);
        break;
    default:
        break; /* ACK: a newer one has all ranges.  DATAGRAM: never sent again.  [RFC9221 5.2] */
    }
}

/* ---- Skipped numbers ---- */

/* [RFC9000 21.4] At random, so that the peer cannot know which, and the farther apart the longer
 * the connection lives: the peer answers each hole with an ACK at once, and its ACKs have one range
 * more for a round trip.  A connection of few packets draws no random number. */
void sp_conn_skip_number(struct sp_conn *conn)
{
    uint32_t random;
    if (conn->skip_span != 0 && !sp_loss_skip(&conn->loss))
        return; /* in one of the next trains */
    conn->skip_span = conn->skip_span == 0
                          ? SP_SKIP_SPAN_MIN
                          : SB_MIN(2 * conn->skip_span, (uint32_t)SP_SKIP_SPAN_MAX);
    conn->host.random(conn->host.context, &random, sizeof(random));
    conn->skip_at_pn = conn->loss.app.sent.next_pn + 1 + random % conn->skip_span;
}

void sp_conn_on_outcome(struct sp_conn *conn, enum sp_space space,
                        const struct sp_loss_outcome *outcome, uint64_t now_ns)
{
    for (struct sp_sent_frame *f = outcome->acked; f != NULL; f = f->next)
        frame_acked(conn, space, f, now_ns);
    for (const struct sp_sent_frame *f = outcome->lost; f != NULL; f = f->next) {
        frame_lost(conn, space, f);
        if (f->type == SP_FRAME_PING)
            sp_conn_mtu_lost(conn, f->size, f->offset, now_ns);
    }
    if (space == SP_SPACE_APP)
        sp_conn_mtu_check(conn, now_ns);
    sp_conn_free_frames(conn, outcome->acked);
    sp_conn_free_frames(conn, outcome->lost);
}

void sp_conn_retransmit_all(struct sp_conn *conn, enum sp_space space, struct sp_sent_frame *frames)
{
    for (const struct sp_sent_frame *f = frames; f != NULL; f = f->next)
        frame_lost(conn, space, f);
    sp_conn_free_frames(conn, frames);
}

/* Queues frames in flight for a probe.  Their packets stay in flight, and can still be
 * acknowledged. Each further probe goes on where the last one ended, and around: what the peer
 * lacks may be anywhere, and where its answers are lost as well nothing else tells. [RFC9002 6.2.4]
 */
void sp_conn_retransmit_probed(struct sp_conn *conn, enum sp_space space, uint32_t count)
{
    struct sp_sent *sent = &conn->loss.spaces[space]->sent;
    uint64_t *pn = &conn->spaces[space]->probe_pn;
    count = SB_MIN(count, sent->eliciting_count);
    while (count > 0) {
        const struct sp_sent_packet *packet = sp_sent_next(sent, *pn, false, pn);
        if (packet == NULL) {
            *pn = 0;
            continue;
        }
        ++*pn;
        if (!packet->is_eliciting)
            continue;
        for (const struct sp_sent_frame *f = packet->frames; f != NULL; f = f->next)
            frame_lost(conn, space, f);
        count--;
    }
}

/* [RFC9002 6.2.3] The client has not got our flight, or sends faster than that takes: so not for
 * every repeated ClientHello, and the second time only after twice the time. */
void sp_conn_resend_flight(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_handshake *handshake = conn->handshake;
    uint64_t pause_ns = FLIGHT_PAUSE_NS << handshake->flight_resends;
    const struct sp_loss_space *initial = conn->loss.spaces[SP_SPACE_INITIAL];
    sp_ecn_pause(&conn->loss.path->ecn); /* as on a PTO, which a server without a flight lacks */
    if (initial->sent.eliciting_count == 0 || handshake->flight_resends == SP_FLIGHT_RESENDS_MAX ||
        now_ns < sb_time_add(initial->last_eliciting_ns, pause_ns))
        return;
    handshake->flight_resends++;
    for (uint32_t i = SP_SPACE_INITIAL; i < SP_SPACE_APP; i++)
        if (!sp_crypto_stream_retransmit(&conn->spaces[i]->crypto, UINT64_MAX))
            conn->is_out_of_memory = true;
}

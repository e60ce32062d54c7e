/* SPDX-License-Identifier: MIT */
#include "proto/conn/close.h"

/* The end of a connection.  [RFC9000 10, 11.1]
 *
 *     OPEN --we close-->      CLOSING  --3 PTO-->  DRAINED
 *     OPEN --peer closes-->   DRAINING --3 PTO-->  DRAINED
 *     OPEN --reset-->         DRAINING --3 PTO-->  DRAINED
 *     OPEN --silence-->       DRAINED
 *     OPEN --unreachable-->   DRAINED
 *
 * sp_conn_end() only takes note.  Packets in flight and what streams hold is released afterwards,
 * by sp_conn_unwind(): a peer can have made us hold so much that others would wait for it.
 *
 * The first reason wins.  All lent memory is returned, and each stream that the application knows
 * is reported as closed, before SP_EVENT_CLOSED.  If we closed, SP_EVENT_CLOSED also waits until
 * the first CONNECTION_CLOSE has been handed out: a caller that destroys everything then does not
 * leave the peer to its idle timeout.  That wait ends with the connection at the latest.  Where it
 * is the host that has not handed it out, because nothing can leave for a while, the connection
 * lasts longer, and its time to close counts from the moment when it has left.
 *
 * Received bytes have been acknowledged, so the peer does not send them again.  Therefore those
 * that were not taken are still reported, with the streams that were opened for them.  Bytes that
 * wait for memory to be lent are handed out as slices.  Only if we closed, received bytes are
 * dropped: the application does not want them, or the peer's last packet broke the protocol. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/messages.h"
#include "proto/conn/recovery.h"
#include "proto/conn/schedule.h"
#include "proto/conn/streams.h"
#include "proto/conn/trace.h"
#include "proto/conn/undecryptable.h"

static void set_reason(struct sp_close *close, const char *reason, size_t size)
{
    close->reason_size = (uint32_t)SB_MIN(size, (size_t)SP_REASON_SIZE_MAX);
    if (close->reason_size > 0)
        memcpy(close->reason, reason, close->reason_size);
}

/* Returns the length of `text`, at most SP_REASON_SIZE_MAX.  Without that bound a compiler would
 * turn the loop into strlen(), and proto/ links against nothing. */
static size_t text_size(const char *text)
{
    size_t size = 0;
    while (size < SP_REASON_SIZE_MAX && text[size] != '\0')
        size++;
    return size;
}

static void end_stream(struct sp_conn *conn, struct sp_stream *stream)
{
    if (stream->send.state != SP_SEND_NONE)
        (void)sp_stream_send_reset(&stream->send, 0);
    if (!conn->reports_received) {
        if (stream->recv.state != SP_RECV_NONE)
            sp_reassembly_discard(&stream->recv.reassembly);
        stream->pending_events = 0;
    }
    stream->control = 0;
    sp_schedule_remove(stream);
    sb_list_remove(&stream->control_link);
    sp_conn_stream_add_event(conn, stream); /* STREAM_CLOSED at least */
}

static bool end_packets(struct sp_conn *conn, uint32_t *steps)
{
    for (uint32_t i = 0; i < SP_SPACES && *steps > 0; i++)
        if (conn->loss.spaces[i] != NULL)
            sp_conn_forget_packets(conn, (enum sp_space)i, steps);
    return *steps > 0;
}

/* Releases what the streams hold, bucket by bucket. */
static bool end_streams(struct sp_conn *conn, uint32_t *steps)
{
    const struct sp_stream_map *map = &conn->streams;
    struct sb_link *link;
    if (!conn->reports_received && !sp_conn_drop_received_messages(conn, steps))
        return false;
    /* Streams that the application will never hear of. */
    while (*steps > 0 && !conn->reports_received &&
           (link = sb_list_first(&conn->opened_list)) != NULL) {
        sp_conn_stream_reap(conn, SB_CONTAINER_OF(link, struct sp_stream, event_link));
        *steps -= SB_MIN(*steps, SP_UNWIND_STREAM_STEPS);
    }
    for (; *steps > 0 && conn->unwind_bucket <= map->mask; conn->unwind_bucket++) {
        *steps -= 1;
        for (struct sp_stream *stream = map->buckets[conn->unwind_bucket]; stream != NULL;
             stream = stream->hash_next) {
            end_stream(conn, stream);
            *steps -= SB_MIN(*steps, SP_UNWIND_STREAM_STEPS);
        }
    }
    sp_conn_discard_some(conn, steps);
    return conn->unwind_bucket > map->mask && conn->pieces.discarded == NULL;
}

static SB_NEVER_INLINE bool unwind(struct sp_conn *conn, uint32_t *steps)
{
    if (conn->unwind == SP_UNWIND_PACKETS && end_packets(conn, steps))
        conn->unwind = SP_UNWIND_STREAMS;
    if (conn->unwind == SP_UNWIND_STREAMS && end_streams(conn, steps))
        conn->unwind = SP_UNWIND_NOTHING;
    return conn->unwind == SP_UNWIND_NOTHING;
}

bool sp_conn_unwind(struct sp_conn *conn, uint32_t *steps)
{
    return SB_LIKELY(conn->unwind == SP_UNWIND_NOTHING) || unwind(conn, steps);
}

/* Returns how long a connection closes or drains: three PTOs [RFC9000 10.2].  The peer decides what
 * a PTO is: it claims a max_ack_delay, and acknowledges late for a long round trip.  Neither may
 * make us remember a closed connection for long, so both count up to a bound. */
static uint64_t end_time_ns(const struct sp_conn *conn)
{
    uint64_t ack_delay_ns = SB_MIN(conn->loss.peer_ack_delay_ns_max, SP_END_ACK_DELAY_NS_MAX);
    uint64_t pto_ns = sb_time_add(sp_rtt_pto_ns(&conn->loss.path->rtt), ack_delay_ns);
    return 3 * SB_MIN(pto_ns, SP_END_PTO_NS_MAX);
}

void sp_conn_end(struct sp_conn *conn, const struct sp_close *close, enum sp_conn_state state,
                 uint64_t now_ns)
{
    SB_ASSERT(state != SP_CONN_OPEN);
    if (conn->state != SP_CONN_OPEN)
        return;

    conn->close = *close;
    conn->closed_pending = true;
    conn->state = state;
    conn->reports_received = state != SP_CONN_CLOSING;
    conn->close_packet = state == SP_CONN_CLOSING ? SP_CLOSE_PACKET_FIRST : SP_CLOSE_PACKET_NONE;
    conn->lacks_records = false;
    conn->close_answer_at = 1;
    conn->close_size_bytes = conn->close_budget_bytes = 0;
    conn->end_at_ns = sb_time_add(now_ns, end_time_ns(conn));
    conn->unwind = SP_UNWIND_PACKETS;
    sp_conn_drop_undecryptable(conn);
    if (state == SP_CONN_DRAINED)
        conn->drained_pending = true;
    sp_conn_trace_closed(conn, now_ns);
}

void sp_conn_on_end_time(struct sp_conn *conn, uint64_t last_ns, uint64_t now_ns)
{
    SB_ASSERT(conn->state == SP_CONN_CLOSING || conn->state == SP_CONN_DRAINING);
    uint64_t until_ns = sb_time_min(last_ns, sb_time_add(now_ns, SP_END_UNSENT_NS_MAX));
    if (!conn->is_close_late && until_ns > now_ns) {
        conn->is_close_late = true;
        conn->end_at_ns = until_ns;
        return;
    }
    conn->state = SP_CONN_DRAINED;
    conn->drained_pending = true;
}

void sp_conn_on_close_sent(struct sp_conn *conn, size_t size, uint64_t now_ns)
{
    conn->close_size_bytes = size;
    if (SB_UNLIKELY(conn->is_close_late))
        conn->end_at_ns = sb_time_add(now_ns, end_time_ns(conn));
    conn->is_close_late = false;
}

static void end_with_error(struct sp_conn *conn, enum sp_err error, uint64_t frame_type,
                           const char *reason, enum sp_conn_state state, uint64_t now_ns)
{
    SB_ASSERT(error != SP_OK && error != SP_DROP);
    struct sp_close close = {
        .kind = SP_CLOSE_TRANSPORT,
        .is_local = true,
        .error = error,
        .frame_type = frame_type,
    };
    set_reason(&close, reason, text_size(reason));
    sp_conn_end(conn, &close, state, now_ns);
}

/* [RFC9000 10.3] */
void sp_conn_fail(struct sp_conn *conn, enum sp_err error, uint64_t frame_type, const char *reason,
                  uint64_t now_ns)
{
    end_with_error(conn, error, frame_type, reason, SP_CONN_CLOSING, now_ns);
}

void sp_conn_abandon(struct sp_conn *conn, enum sp_err error, const char *reason, uint64_t now_ns)
{
    end_with_error(conn, error, 0, reason, SP_CONN_DRAINED, now_ns);
}

void sp_conn_check_memory(struct sp_conn *conn, uint64_t now_ns)
{
    if (conn->is_out_of_memory)
        sp_conn_fail(conn, SP_ERR_INTERNAL, 0, "out of memory", now_ns);
}

void sp_conn_on_peer_close(struct sp_conn *conn, const struct sp_frame_close *frame,
                           uint64_t now_ns)
{
    struct sp_close close = {
        .kind = frame->is_app ? SP_CLOSE_APP : SP_CLOSE_TRANSPORT,
        .error = frame->error,
        .frame_type = frame->frame_type,
    };
    set_reason(&close, (const char *)frame->reason.data, frame->reason.size);
    sp_conn_end(conn, &close, SP_CONN_DRAINING, now_ns);
}

/* Answers the 1st, 2nd, 4th, 8th datagram and so on, so that answers become rarer.  Nothing is
 * opened any more, so anybody may have sent the datagram: all answers together have at most three
 * times the bytes that came since the end.  [RFC9000 10.2.1] */
void sp_conn_on_datagram_while_closing(struct sp_conn *conn, size_t size)
{
    conn->close_packets_in++;
    conn->close_budget_bytes += (uint64_t)size * SP_AMPLIFICATION_FACTOR;
    if (conn->close_packets_in < conn->close_answer_at ||
        conn->close_size_bytes > conn->close_budget_bytes)
        return;
    while (conn->close_answer_at <= conn->close_packets_in)
        conn->close_answer_at *= 2;
    if (conn->close_packet == SP_CLOSE_PACKET_NONE)
        conn->close_packet = SP_CLOSE_PACKET_ANSWER;
}

/* [RFC9000 10.3.1] */
void sp_conn_on_stateless_reset(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_close close = {.kind = SP_CLOSE_STATELESS_RESET};
    if (conn->state == SP_CONN_CLOSING) {
        conn->state = SP_CONN_DRAINING; /* the peer has lost its state: it needs no answer */
        conn->close_packet = SP_CLOSE_PACKET_NONE;
        conn->lacks_records = false;
    }
    sp_conn_end(conn, &close, SP_CONN_DRAINING, now_ns);
}

void sp_conn_close(struct sp_conn *conn, uint64_t error, const char *reason, size_t reason_size,
                   uint64_t now_ns)
{
    SB_ASSERT(error <= SB_VARINT_MAX);
    SB_ASSERT(reason != NULL || reason_size == 0);
    struct sp_close close = {.kind = SP_CLOSE_APP, .is_local = true, .error = error};
    set_reason(&close, reason, reason_size);
    sp_conn_end(conn, &close, SP_CONN_CLOSING, now_ns);
}

void sp_conn_close_transport(struct sp_conn *conn, enum sp_err error, const char *reason,
                             uint64_t now_ns)
{
    sp_conn_fail(conn, error, 0, reason, now_ns);
}

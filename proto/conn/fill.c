/* SPDX-License-Identifier: MIT */
#include "proto/conn/fill.h"

/* The frames of one packet: which ones, in which order, and the record of each.  [RFC9000 12.5]
 *
 * The order: ACK, frames of the handshake and the path, limits, CIDs, control frames of streams,
 * CRYPTO, then DATAGRAM frames and STREAM frames of one stream after the other, in turns.  A frame
 * is only added together with its record, so that every loss is noticed. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/account.h"
#include "proto/conn/fill_messages.h"
#include "proto/conn/memory.h"
#include "proto/conn/messages.h"
#include "proto/conn/recovery.h"
#include "proto/conn/resets.h"
#include "proto/conn/schedule.h"
#include "proto/conn/streams.h"

/* Data frames smaller than this are not added after other frames. */
#define DATA_SIZE_MIN 32

/* The head of a CRYPTO frame: type, offset and size. */
#define CRYPTO_HEAD_SIZE_MAX (1 + 2 * SB_VARINT_SIZE_MAX)

/* After so many ACK-only packets, one is made ack-eliciting: otherwise the records of ACKs would
 * never be freed.  Not each of them: two ends would answer each other for ever.
 * [RFC9000 13.2.1, 13.2.4] */
#define ACKS_ALONE_MAX 32

/* Adds a record to the packet, in memory that may be NULL: then the frame must not be added. */
static struct sp_sent_frame *record_in(struct sp_sent_frame *frame, struct sp_build *build,
                                       enum sp_frame_type type, uint64_t number)
{
    if (frame == NULL)
        return NULL;
    SB_DEBUG_ASSERT((unsigned)type <= UINT16_MAX);
    *frame = (struct sp_sent_frame){.type = (uint16_t)type, .offset = number};
    *build->frames_tail = frame;
    build->frames_tail = &frame->next;
    return frame;
}

/* Records a frame other than STREAM.  Returns NULL without memory. */
static struct sp_sent_frame *record(struct sp_conn *conn, struct sp_build *build,
                                    enum sp_frame_type type, uint64_t number)
{
    return record_in(sb_store_take(&conn->stores.frames), build, type, number);
}

/* Commits an ack-eliciting control frame with its record.  Returns false without room for either.
 */
static bool commit(struct sp_conn *conn, struct sp_build *build, const struct sb_writer *writer,
                   enum sp_frame_type type, uint64_t number, struct sp_stream *stream)
{
    if (writer->failed)
        return false;
    struct sp_sent_frame *frame = record(conn, build, type, number);
    if (frame == NULL) {
        conn->lacks_records = true;
        return false;
    }
    if (stream != NULL) {
        frame->stream = stream;
        stream->sent_refs++;
    }
    build->is_eliciting = true;
    build->is_in_flight = true;
    bool fits = sp_build_commit(build, writer);
    SB_ASSERT(fits);
    return true;
}

/* ---- ACK ---- */

/* Acknowledges packets of the space that `build` is in [RFC9000 13.2.6, 17.2.3], and reports the
 * marks that came with them whether or not we mark ours [RFC9000 13.4.1]. */
void sp_conn_fill_ack(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns)
{
    struct sp_ack *ack = &conn->spaces[build->space]->ack;
    uint64_t delay_ns = sb_time_since(now_ns, ack->largest_at_ns);
    const struct sp_ecn_counts *ecn =
        ack->ecn.ect0 + ack->ecn.ect1 + ack->ecn.ce > 0 ? &ack->ecn : NULL;

    struct sb_writer w = sp_build_writer(build);
    /* Our exponent is the default, 3.  [RFC9000 18.2] */
    uint32_t count =
        sp_frame_write_ack(&w, ack->ranges, ack->range_count, delay_ns / SB_US >> 3, ecn);
    if (count == 0)
        return;
    /* An ACK that can wait does not take the place of a message, which cannot be cut. */
    if (SB_UNLIKELY(sp_conn_is_message_crowded(conn, sp_build_left(build), sb_writer_used(&w))) &&
        build->space == SP_SPACE_APP && !sp_ack_is_due(ack, now_ns))
        return;
    /* When this packet is acknowledged, its record lets all ranges be forgotten.  So there is one
     * only if the frame has all ranges.  Without memory ranges are only sent longer than needed. */
    if (count == ack->range_count)
        (void)record(conn, build, SP_FRAME_ACK, ack->ranges[0].largest);
    build->has_ack = sp_build_commit(build, &w);
}

/* ---- Control frames of the connection ---- */

static bool add_number(struct sp_conn *conn, struct sp_build *build, enum sp_frame_type type,
                       uint64_t number)
{
    struct sb_writer w = sp_build_writer(build);
    sp_frame_write_number(&w, type, number);
    return commit(conn, build, &w, type, number, NULL);
}

static void add_limits(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns)
{
    if (conn->wants_max_data && !conn->holds_credit) {
        uint64_t limit = sp_window_wants_update(&conn->window) ? sp_conn_raise_limit(conn, now_ns)
                                                               : conn->window.limit;
        if (add_number(conn, build, SP_FRAME_MAX_DATA, limit))
            conn->wants_max_data = false;
    }
    if (conn->data_blocked == SP_BLOCKED_DUE &&
        add_number(conn, build, SP_FRAME_DATA_BLOCKED, conn->max_data))
        conn->data_blocked = sp_blocked_next(conn->data_blocked, SP_BLOCKED_ON_SENT);
    for (uint32_t is_uni = 0; is_uni < 2; is_uni++) {
        struct sp_stream_limits *limits = &conn->limits[is_uni];
        if (limits->grant == SP_GRANT_DUE && !conn->holds_credit &&
            add_number(conn, build, is_uni ? SP_FRAME_MAX_STREAMS_UNI : SP_FRAME_MAX_STREAMS_BIDI,
                       sp_stream_limits_grant(limits)))
            limits->grant = sp_grant_next(limits->grant, SP_GRANT_ON_SENT);
        if (limits->blocked == SP_BLOCKED_DUE &&
            add_number(conn, build,
                       is_uni ? SP_FRAME_STREAMS_BLOCKED_UNI : SP_FRAME_STREAMS_BLOCKED_BIDI,
                       limits->local_max))
            limits->blocked = sp_blocked_next(limits->blocked, SP_BLOCKED_ON_SENT);
    }
}

static void add_cids(struct sp_conn *conn, struct sp_build *build)
{
    for (struct sp_cid_local_entry *e; (e = sp_cid_local_next_unsent(&conn->local_ids)) != NULL;) {
        struct sp_frame_new_cid frame = {
            .sequence = e->sequence,
            .retire_prior_to = sp_cid_local_retires(&conn->local_ids, e),
            .cid = e->cid,
        };
        memcpy(frame.reset_token, e->reset_token, SP_RESET_TOKEN_SIZE);
        struct sb_writer w = sp_build_writer(build);
        sp_frame_write_new_cid(&w, &frame);
        if (!commit(conn, build, &w, SP_FRAME_NEW_CONNECTION_ID, e->sequence, NULL))
            return;
        e->wants_send = false;
        e->was_sent = true;
    }
    for (struct sp_cid_retired *r; (r = sp_cid_remote_next_retired(&conn->remote_ids)) != NULL;) {
        if (!add_number(conn, build, SP_FRAME_RETIRE_CONNECTION_ID, r->sequence))
            return;
        r->wants_send = false;
    }
}

static void add_ping(struct sp_build *build)
{
    struct sb_writer w = sp_build_writer(build);
    sp_frame_write_ping(&w);
    if (sp_build_commit(build, &w)) {
        build->is_eliciting = true;
        build->is_in_flight = true;
    }
}

/* Adds the PATH_RESPONSEs of a path.  They are not retransmitted: the peer sends a new
 * PATH_CHALLENGE.  [RFC9000 8.2.2, 19.17] */
static void add_responses(struct sp_build *build, struct sp_conn_path *path)
{
    while (path->response_count > 0) {
        struct sb_writer w = sp_build_writer(build);
        sp_frame_write_path(&w, SP_FRAME_PATH_RESPONSE, path->responses[path->response_count - 1]);
        if (!sp_build_commit(build, &w))
            return;
        path->response_count--;
    }
}

/* .. and of the one in use, in a packet that is more than a probe: the peer sees that we are here.
 * [RFC9000 9.3.3] */
static void add_path_responses(struct sp_conn *conn, struct sp_build *build)
{
    if (conn->path->response_count == 0)
        return;
    add_responses(build, conn->path);
    build->wants_full_datagram = true; /* [RFC9000 8.2.2] */
    add_ping(build);
}

static void add_handshake_done(struct sp_conn *conn, struct sp_build *build)
{
    if (!conn->wants_handshake_done)
        return;
    struct sb_writer w = sp_build_writer(build);
    sp_frame_write_handshake_done(&w);
    if (commit(conn, build, &w, SP_FRAME_HANDSHAKE_DONE, 0, NULL))
        conn->wants_handshake_done = false;
}

/* A token is made for each frame: one that gets lost is not sent again, a newer one is. */
static void add_new_token(struct sp_conn *conn, struct sp_build *build)
{
    uint8_t token[SP_NEW_TOKEN_SIZE_MAX];
    if (!conn->wants_new_token)
        return;
    size_t size = conn->host.new_token(conn->host.context, token);
    if (size > 0) {
        struct sb_writer w = sp_build_writer(build);
        sp_frame_write_new_token(&w, (struct sb_bytes){.data = token, .size = size});
        if (!commit(conn, build, &w, SP_FRAME_NEW_TOKEN, 0, NULL))
            return;
    }
    conn->wants_new_token = false;
}

/* Asks the peer for other ACKs.  [ack-frequency 4] */
static void add_ack_frequency(struct sp_conn *conn, struct sp_build *build)
{
    struct sp_frame_ack_frequency frame;
    sp_ack_request_write(&conn->ack_request, conn->loss.path, &frame);
    struct sb_writer w = sp_build_writer(build);
    sp_frame_write_ack_frequency(&w, &frame);
    if (!commit(conn, build, &w, SP_FRAME_ACK_FREQUENCY, frame.sequence, NULL))
        return;
    sp_ack_request_on_sent(&conn->ack_request, &frame, &conn->loss);
    conn->stats.ack_frequencies_out++;
}

/* Asks for the acknowledgment of a probe at once.  It is not retransmitted, and is not allowed in
 * 0-RTT packets.  [ack-frequency 3, 5, 7] */
static void add_immediate_ack(const struct sp_conn *conn, struct sp_build *build)
{
    if (!sp_ack_request_is_enabled(&conn->ack_request) || sp_conn_sends_early(conn))
        return;
    struct sb_writer w = sp_build_writer(build);
    sp_frame_write_immediate_ack(&w);
    if (sp_build_commit(build, &w)) {
        build->is_eliciting = true;
        build->is_in_flight = true;
    }
}

/* ---- Control frames of streams ---- */

static bool add_stream_control(struct sp_conn *conn, struct sp_build *build,
                               struct sp_stream *stream, uint64_t now_ns)
{
    enum sp_frame_type type;
    uint8_t bit;
    uint64_t number = 0;
    struct sb_writer w = sp_build_writer(build);

    if (stream->control & SP_CONTROL_RESET) {
        bit = SP_CONTROL_RESET;
        type = sp_conn_write_reset(stream, &w, &number);
    } else if (stream->control & SP_CONTROL_STOP) {
        bit = SP_CONTROL_STOP;
        type = SP_FRAME_STOP_SENDING;
        sp_frame_write_stop_sending(&w, stream->id, stream->recv.stop_error);
    } else if (stream->control & SP_CONTROL_MAX_DATA) {
        bit = SP_CONTROL_MAX_DATA;
        type = SP_FRAME_MAX_STREAM_DATA;
        if (sp_window_wants_update(&stream->recv.window))
            (void)sp_conn_raise_stream_limit(conn, &stream->recv, now_ns);
        number = stream->recv.window.limit;
        sp_frame_write_stream_limit(&w, type, stream->id, number);
    } else {
        bit = SP_CONTROL_BLOCKED;
        type = SP_FRAME_STREAM_DATA_BLOCKED;
        number = stream->send.max_data;
        stream->send.blocked_at = number;
        sp_frame_write_stream_limit(&w, type, stream->id, number);
    }
    if (!commit(conn, build, &w, type, number, stream))
        return false;
    stream->control &= (uint8_t)~bit;
    return true;
}

static void add_streams_control(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns)
{
    for (struct sb_link *link; (link = sb_list_first(&conn->control_list)) != NULL;) {
        struct sp_stream *stream = SB_CONTAINER_OF(link, struct sp_stream, control_link);
        /* Drop control frames that became unnecessary while they were queued. */
        if (stream->recv.state != SP_RECV_OPEN)
            stream->control &= (uint8_t)~SP_CONTROL_MAX_DATA;
        if (stream->send.state != SP_SEND_RESET && stream->send.state != SP_SEND_RESET_AT)
            stream->control &= (uint8_t)~SP_CONTROL_RESET;
        /* Drop frames that the state no longer allows.  [RFC9000 3.3] */
        if (stream->recv.state >= SP_RECV_RESET)
            stream->control &= (uint8_t)~SP_CONTROL_STOP;
        if (stream->send.state >= SP_SEND_RESET_AT)
            stream->control &= (uint8_t)~SP_CONTROL_BLOCKED;
        uint8_t held = conn->holds_credit ? stream->control & SP_CONTROL_MAX_DATA : 0;
        stream->control &= (uint8_t)~held;
        bool is_added = true;
        while (stream->control != 0 && is_added)
            is_added = add_stream_control(conn, build, stream, now_ns);
        stream->control |= held;
        if (!is_added)
            return;
        sb_list_remove(&stream->control_link);
        if (held != 0)
            sb_list_push_back(&conn->held_list, &stream->control_link);
    }
}

/* ---- Data ---- */

/* [RFC9001 4.9] The bytes of each level go in packets of its own space, again if they are lost. */
static void add_crypto(struct sp_conn *conn, struct sp_build *build)
{
    static const enum sp_level levels[SP_SPACES] = {SP_LEVEL_INITIAL, SP_LEVEL_HANDSHAKE,
                                                    SP_LEVEL_APP};
    struct sp_crypto_stream *stream = &conn->spaces[build->space]->crypto;
    uint64_t offset, size;

    while (sp_crypto_stream_next(stream, &offset, &size)) {
        size_t head_size = sp_frame_crypto_head_size(offset, sp_build_left(build));
        if (!sp_build_has_data_room(build, head_size, size))
            return;
        size = SB_MIN(size, sp_build_left(build) - head_size);

        struct sb_writer w = sp_build_writer(build);
        sp_frame_write_crypto_head(&w, offset, size);
        if (!commit(conn, build, &w, SP_FRAME_CRYPTO, offset, NULL))
            return;
        SB_CONTAINER_OF(build->frames_tail, struct sp_sent_frame, next)->size = (uint32_t)size;
        sp_build_data(build,
                      conn->tls_ops->bytes(conn->tls, levels[build->space], offset, (size_t)size),
                      (size_t)size);
        if (!sp_delivery_on_sent(&stream->out, offset, size)) {
            conn->is_out_of_memory = true;
            return;
        }
    }
}

/* Adds the oldest CRYPTO bytes in flight to a probe that would carry none.  A PING would tell a
 * server that has not seen the ClientHello nothing.  [RFC9000 17.2.2, RFC9002 6.2.3, 6.2.4] */
static void add_probe_crypto(struct sp_conn *conn, struct sp_build *build)
{
    if (build->space == SP_SPACE_APP || build->is_eliciting ||
        sp_build_left(build) <= CRYPTO_HEAD_SIZE_MAX)
        return;
    /* Without memory a PING has to do. */
    if (sp_crypto_stream_retransmit(&conn->spaces[build->space]->crypto,
                                    sp_build_left(build) - CRYPTO_HEAD_SIZE_MAX))
        add_crypto(conn, build);
}

/* Cuts `piece` so that it and its head fit into `left` bytes, and decides whether the frame runs to
 * the end of the packet.  Returns the size of the head, or 0 if too little fits. */
static size_t fit_piece(struct sp_send_piece *piece, size_t left, bool is_first, uint64_t id,
                        struct sp_stream_head *ret)
{
    ret->id = id;
    ret->offset = piece->offset;
    ret->has_length = false;
    size_t head_size = sp_frame_stream_head_size(ret);
    if (left <= head_size)
        return 0;

    uint64_t room = left - head_size;
    if (piece->size < room) {
        /* Others may follow: it needs a length. */
        ret->has_length = true;
        uint64_t length_size = sb_varint_size(piece->size);
        room -= SB_MIN(room, length_size);
        head_size += length_size;
    }
    if (piece->size > room) {
        if (room == 0 || (room < DATA_SIZE_MIN && !is_first))
            return 0;
        if (ret->has_length) /* of a smaller number */
            head_size -= sb_varint_size(piece->size) - sb_varint_size(room);
        piece->size = room;
        piece->fresh = SB_MIN(piece->fresh, room);
        piece->fin = false;
    }
    ret->size = piece->size;
    ret->fin = piece->fin;
    return head_size;
}

enum stream_result {
    STREAM_ADDED,   /* a frame is in the packet */
    STREAM_WAITING, /* no frame: the stream needs credit, and is not in the schedule any more */
    STREAM_STOP,    /* the packet is full, or memory is lacking: no further stream is tried */
};

/* Writes a STREAM frame with its record.  Returns false without memory. */
static bool add_piece(struct sp_conn *conn, struct sp_build *build, struct sp_stream *stream,
                      const struct sp_send_piece *piece, const struct sp_stream_head *head)
{
    struct sp_sent_frame *frame = record_in(sb_store_take_ordinary(&conn->stores.frames), build,
                                            SP_FRAME_STREAM, piece->offset);
    if (SB_UNLIKELY(frame == NULL)) {
        conn->lacks_records = true;
        return false;
    }
    sp_conn_end_shortage(conn, SP_SHORT_OF_RECORDS);
    frame->stream = stream;
    frame->size = (uint32_t)piece->size;
    frame->fin = piece->fin;
    stream->sent_refs++;
    build->is_eliciting = true;
    build->is_in_flight = true;

    struct sb_writer w = sp_build_writer(build);
    sp_frame_write_stream_head(&w, head);
    bool fits = sp_build_commit(build, &w);
    SB_ASSERT(fits);
    sp_build_data(build, piece->data, (size_t)piece->size);
    return true;
}

/* Adds one STREAM frame of a stream in the schedule. */
static enum stream_result add_stream(struct sp_conn *conn, struct sp_build *build,
                                     struct sp_stream *stream)
{
    struct sp_send_piece piece;
    struct sp_stream_head head;
    size_t left = sp_build_left(build);

    uint64_t credit = conn->max_data - conn->data_sent; /* [RFC9000 19.9] */
    if (!sp_stream_send_next(&stream->send, left, credit, &piece)) {
        sp_conn_stream_schedule(conn, stream); /* to another list if it needs credit */
        return sp_stream_send_want(&stream->send, credit) == SP_WANT_SEND ? STREAM_STOP
                                                                          : STREAM_WAITING;
    }
    size_t head_size = fit_piece(&piece, left, build->payload_size == 0, stream->id, &head);
    if (head_size == 0 || !sp_build_has_data_room(build, head_size, piece.size) ||
        !add_piece(conn, build, stream, &piece, &head) ||
        !sp_conn_account_bytes(conn, stream, &piece))
        return STREAM_STOP;
    sp_schedule_on_served(conn, stream, piece.size);
    sp_conn_stream_schedule(conn, stream);
    conn->served = stream;
    return STREAM_ADDED;
}

static void add_streams(struct sp_conn *conn, struct sp_build *build)
{
    while (sp_build_left(build) > 0) {
        struct sb_link *link = sp_schedule_first(conn);
        if (link == NULL) {
            /* Those that got credit may need no more: it is for others. */
            if (!sp_conn_wake_blocked(conn, 1))
                return;
            continue;
        }
        struct sp_stream *stream = SB_CONTAINER_OF(link, struct sp_stream, send_link);
        if (add_stream(conn, build, stream) == STREAM_STOP)
            return;
    }
}

/* Adds messages and bytes of streams.  While both wait, each gets half. */
static void add_data(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns)
{
    if (SB_LIKELY(!sp_conn_wants_message(conn))) {
        add_streams(conn, build);
        return;
    }
    bool is_first = conn->messages->lead_bytes <= 0;
    size_t message_bytes = is_first ? sp_conn_fill_messages(conn, build, now_ns) : 0;
    size_t before = build->payload_size;
    add_streams(conn, build);
    size_t stream_bytes = build->payload_size - before;
    if (!is_first)
        message_bytes = sp_conn_fill_messages(conn, build, now_ns);
    sp_conn_share_with_messages(conn, message_bytes, stream_bytes);
}

bool sp_conn_has_control(const struct sp_conn *conn)
{
    if (conn->wants_handshake_done || conn->wants_new_token ||
        (conn->wants_max_data && !conn->holds_credit) || conn->data_blocked == SP_BLOCKED_DUE ||
        conn->path->response_count > 0 || sp_ack_request_is_due(&conn->ack_request) ||
        !sb_list_is_empty(&conn->control_list))
        return true;
    for (uint32_t i = 0; i < 2; i++)
        if ((conn->limits[i].grant == SP_GRANT_DUE && !conn->holds_credit) ||
            conn->limits[i].blocked == SP_BLOCKED_DUE)
            return true;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        if (conn->local_ids.entries[i].is_used && conn->local_ids.entries[i].wants_send)
            return true;
    for (uint32_t i = 0; i < SP_RETIRED_CIDS_MAX; i++)
        if (conn->remote_ids.retired[i].wants_send)
            return true;
    return false;
}

/* Adds all of it. */
static SB_NEVER_INLINE void add_control(struct sp_conn *conn, struct sp_build *build,
                                        uint64_t now_ns)
{
    add_handshake_done(conn, build);
    add_new_token(conn, build);
    add_path_responses(conn, build);
    add_limits(conn, build, now_ns);
    add_cids(conn, build);
    if (sp_ack_request_is_due(&conn->ack_request))
        add_ack_frequency(conn, build);
    add_streams_control(conn, build, now_ns);
}

bool sp_conn_has_frames(const struct sp_conn *conn, enum sp_space space)
{
    if (sp_crypto_stream_wants_send(&conn->spaces[space]->crypto))
        return true;
    if (space != SP_SPACE_APP)
        return false;
    bool has_credit = conn->max_data > conn->data_sent;
    return sp_schedule_first(conn) != NULL ||
           (has_credit && !sb_list_is_empty(&conn->credit_list)) || sp_conn_wants_message(conn) ||
           sp_conn_wants_control(conn);
}

bool sp_conn_fill(struct sp_conn *conn, struct sp_build *build, bool may_send, uint64_t now_ns)
{
    struct sp_conn_space *s = conn->spaces[build->space];
    bool is_probe = s->probe_count > 0;
    bool is_app = build->space == SP_SPACE_APP;

    conn->served = NULL;
    if (sp_ack_is_pending(&s->ack))
        sp_conn_fill_ack(conn, build, now_ns);
    if (may_send || is_probe) {
        if (is_app && SB_UNLIKELY(sp_conn_may_want_control(conn)))
            add_control(conn, build, now_ns);
        if (SB_UNLIKELY(sp_crypto_stream_wants_send(&s->crypto)))
            add_crypto(conn, build);
        if (is_app)
            add_data(conn, build, now_ns);
        /* What was queued may wait for credit now, and has to say so: no later packet may come. */
        if (is_app && !build->is_eliciting && sp_conn_wants_control(conn)) {
            add_limits(conn, build, now_ns);
            add_streams_control(conn, build, now_ns);
        }
        if (is_app && !build->is_eliciting && conn->acks_alone >= ACKS_ALONE_MAX)
            add_ping(build);
    }
    if (is_probe)
        add_probe_crypto(conn, build);
    if (is_probe && is_app)
        add_immediate_ack(conn, build);
    if (is_probe && !build->is_eliciting)
        add_ping(build);
    if (!build->is_eliciting && !(build->has_ack && sp_ack_is_due(&s->ack, now_ns))) {
        sp_conn_free_frames(conn, build->frames);
        return false;
    }
    /* [RFC9001 5.4.2] Long enough to take a sample of. */
    if (build->pn_size + build->payload_size < SP_PN_SIZE_MAX)
        sp_build_pad(build, SP_PN_SIZE_MAX - build->pn_size - build->payload_size);
    return true;
}

void sp_conn_fill_path_probe(struct sp_build *build, struct sp_conn_path *path,
                             const uint8_t *challenge)
{
    if (challenge != NULL) {
        struct sb_writer w = sp_build_writer(build);
        sp_frame_write_path(&w, SP_FRAME_PATH_CHALLENGE, challenge);
        bool fits = sp_build_commit(build, &w);
        SB_ASSERT(fits);
    }
    add_responses(build, path);
    if (sp_build_left(build) > 0)
        sp_build_pad(build, sp_build_left(build));
}

bool sp_conn_fill_mtu_probe(struct sp_conn *conn, struct sp_build *build, size_t size)
{
    struct sp_sent_frame *frame = record(conn, build, SP_FRAME_PING, size);
    if (frame == NULL) {
        conn->lacks_records = true;
        return false;
    }
    frame->size = conn->path->loss.number;
    sp_build_padded_ping(build);
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "proto/conn/frames.h"

/* Handles each frame of an opened packet.
 *
 * Frames are handled in order.  A frame that is refused ends the connection.  Without memory for a
 * frame the whole packet is dropped: it is not acknowledged, and the peer retransmits its frames.
 * Frames that were handled already do no harm, because every frame may arrive twice.
 *
 * What can be attacked: a packet has room for hundreds of small frames.  Each costs a few steps,
 * but for two kinds: ACK frames, whose lookups may walk over all packets in flight, are bounded per
 * packet; CRYPTO frames only collect bytes, and TLS is called once per packet.  What an ACK frame
 * acknowledges or declares lost costs a step per packet that we have sent. */

#include "proto/base/assert.h"
#include "proto/base/steps.h"
#include "proto/base/time.h"
#include "proto/conn/close.h"
#include "proto/conn/early.h"
#include "proto/conn/handshake.h"
#include "proto/conn/messages.h"
#include "proto/conn/path_cids.h"
#include "proto/conn/paths.h"
#include "proto/conn/recovery.h"
#include "proto/conn/resets.h"
#include "proto/conn/streams.h"
#include "proto/conn/token.h"
#include "proto/conn/version.h"
#include "proto/wire/frame_table.h"

/* [RFC9000 19.3] The peer's delay in time. */
static uint64_t ack_delay_ns(const struct sp_conn *conn, uint64_t delay)
{
    uint64_t exponent = conn->peer_ack_delay_exponent;
    /* A delay that would not fit is nonsense; it is limited by max_ack_delay later. */
    if (delay > (UINT64_MAX / SB_US) >> exponent)
        return conn->loss.peer_ack_delay_ns_max;
    return (delay << exponent) * SB_US;
}

/* Returns whether another ACK frame of the packet is within what one packet may cost. */
static bool may_handle_ack(const struct sp_conn *conn, struct sp_packet *packet)
{
    uint64_t walk_count = conn->loss.spaces[packet->space]->sent.walk_count;
    if (packet->ack_count++ == 0)
        return true;
    if (packet->ack_count == 2)
        packet->ack_walk_max = walk_count + SP_ACK_WALK_PER_PACKET_MAX;
    return packet->ack_count <= SP_ACK_FRAMES_PER_PACKET_MAX && walk_count <= packet->ack_walk_max;
}

static enum sp_err on_ack(struct sp_conn *conn, struct sp_packet *packet,
                          const struct sp_frame_ack *ack, uint64_t now_ns)
{
    if (!may_handle_ack(conn, packet))
        return SP_DROP;
    if (packet->space == SP_SPACE_APP &&
        !sp_keyphase_may_ack(&conn->keys, packet->key, ack->largest))
        return SP_ERR_KEY_UPDATE;
    if (packet->space == SP_SPACE_APP && !sp_conn_early_may_ack(conn, ack))
        return SP_ERR_PROTOCOL_VIOLATION;

    struct sp_loss_outcome outcome;
    enum sp_err err =
        sp_loss_on_ack(&conn->loss, packet->space, ack, ack_delay_ns(conn, ack->delay),
                       sp_packet_arrived_ns(packet, now_ns), &outcome);
    if (SB_UNLIKELY(err != SP_OK)) { /* the ranges before the bad one were processed */
        sp_conn_free_frames(conn, outcome.acked);
        return err;
    }
    conn->stats.acks_in++;

    /* [RFC9001 6.1] Our key phase is confirmed by an ACK of a packet sent in it. */
    if (packet->space == SP_SPACE_APP && ack->largest >= conn->keys.write_first_pn)
        conn->keys.write_is_acked = true;
    /* [RFC9002 6.2.2.1] A Handshake packet that was acknowledged proved our address. */
    if (packet->space == SP_SPACE_HANDSHAKE && outcome.acked_any)
        conn->loss.peer_is_validating = false;
    if (outcome.acked_any)
        conn->spaces[packet->space]->probe_count = 0;
    sp_conn_on_outcome(conn, packet->space, &outcome, now_ns);
    if (conn->loss.is_confirmed)
        sp_ack_request_update(&conn->ack_request, conn->loss.path);
    return SP_OK;
}

/* Returns whether TLS reads a later level than that of `space` now. */
static bool is_level_over(const struct sp_conn *conn, enum sp_space space)
{
    return space != SP_SPACE_APP && sp_conn_read_key(conn, (enum sp_space)(space + 1)) != NULL;
}

/* Starts a server's TLS with the first byte of a ClientHello.  Initial packets that bring none,
 * such as a PING, leave the connection without state: see sp_conn_is_authenticated().  The other
 * bytes of a ClientHello may come before its first one.  [RFC8446 4] */
static void begin_tls(struct sp_conn *conn, const struct sp_frame_crypto *frame)
{
    enum { CLIENT_HELLO = 1 };
    if (conn->tls != NULL || frame->offset != 0 || frame->size == 0 ||
        frame->data[0] != CLIENT_HELLO)
        return;
    SB_ASSERT(sp_conn_is_server(conn));
    conn->handshake_state = SP_HANDSHAKE_AUTHENTICATED;
    if (!sp_conn_start_tls(conn))
        conn->is_out_of_memory = true;
}

/* Returns whether the bytes of a frame may be dropped only: they would have to wait in a buffer
 * that is wanted back. */
static bool must_drop_stream(const struct sp_conn *conn, const struct sp_packet *packet,
                             const struct sp_frame_stream *frame)
{
    return packet->datagram->is_transient && frame->size > 0 &&
           !sp_conn_is_lent(conn, frame->id, frame->offset + frame->size);
}

static bool must_drop_crypto(const struct sp_crypto_stream *stream, const struct sp_packet *packet,
                             const struct sp_frame_crypto *frame)
{
    /* What is in order goes to TLS at once. */
    return packet->datagram->is_transient && frame->offset > stream->in.read_end;
}

static enum sp_err on_crypto(struct sp_conn *conn, struct sp_packet *packet,
                             const struct sp_frame_crypto *frame, uint64_t now_ns)
{
    struct sp_crypto_stream *stream = &conn->spaces[packet->space]->crypto;
    /* [RFC9001 4.1.3] */
    if (frame->offset + frame->size > stream->in.read_end && is_level_over(conn, packet->space))
        return SP_ERR_PROTOCOL_VIOLATION;
    bool is_out_of_memory = false;
    bool is_repeated = frame->size > 0 && frame->offset + frame->size <= stream->in.read_end;
    if (must_drop_crypto(stream, packet, frame))
        return SP_DROP;
    enum sp_err err =
        sp_crypto_stream_receive(stream, frame, packet->datagram->buffer, &is_out_of_memory);
    if (err != SP_OK)
        return err;
    if (is_out_of_memory)
        return SP_DROP;
    if (packet->space == SP_SPACE_INITIAL)
        sp_conn_version_on_crypto(conn);
    if (is_repeated && packet->space == SP_SPACE_INITIAL && sp_conn_is_server(conn))
        sp_conn_resend_flight(conn, now_ns);
    begin_tls(conn, frame);
    if (conn->is_out_of_memory)
        return SP_DROP;
    packet->has_crypto = true;
    return SP_OK;
}

static enum sp_err on_stream(struct sp_conn *conn, const struct sp_packet *packet,
                             const struct sp_frame_stream *frame)
{
    enum sp_err err = sp_conn_on_stream(conn, frame, packet->datagram->buffer);
    struct sp_stream *stream =
        packet->type == SP_PACKET_ZERO_RTT ? sp_stream_map_find(&conn->streams, frame->id) : NULL;
    if (stream != NULL)
        stream->is_early = true;
    return err;
}

static void on_max_streams(struct sp_conn *conn, bool is_uni, uint64_t limit)
{
    uint64_t before = conn->limits[is_uni].local_max;
    sp_conn_on_max_streams(conn, is_uni, limit);
    sp_conn_early_on_max_streams(conn, is_uni, before);
}

static enum sp_err on_stream_control(struct sp_conn *conn, const struct sp_frame *frame)
{
    struct sp_stream *stream;

    switch (frame->type) {
    case SP_FRAME_RESET_STREAM:
        return sp_conn_on_reset_stream(conn, frame->on_stream.id, frame->on_stream.error,
                                       frame->on_stream.final_size);
    case SP_FRAME_RESET_STREAM_AT:
        return sp_conn_on_reset_stream_at(
            conn, &(struct sp_frame_reset_at){.id = frame->on_stream.id,
                                              .error = frame->on_stream.error,
                                              .final_size = frame->on_stream.final_size,
                                              .reliable_size = frame->on_stream.reliable_size});
    case SP_FRAME_STOP_SENDING:
        return sp_conn_on_stop_sending(conn, frame->on_stream.id, frame->on_stream.error);
    case SP_FRAME_MAX_STREAM_DATA:
        return sp_conn_on_max_stream_data(conn, frame->on_stream.id, frame->on_stream.limit);
    case SP_FRAME_STREAM_DATA_BLOCKED:
        /* Credit follows the reader, not the wishes of the writer: only the ID is checked. */
        return sp_conn_stream_of_frame(conn, frame->on_stream.id, false, &stream);
    default:
        SB_DEBUG_ASSERT(false); /* on_frame() sends no other type here */
        return SP_ERR_INTERNAL;
    }
}

static enum sp_err on_new_cid(struct sp_conn *conn, const struct sp_frame_new_cid *frame)
{
    enum sp_err err = sp_cid_remote_add(&conn->remote_ids, frame);
    conn->ids_changed = true;
    if (err == SP_OK)
        sp_conn_on_remote_cids(conn);
    return err;
}

static enum sp_err on_retire_cid(struct sp_conn *conn, const struct sp_packet *packet,
                                 uint64_t sequence)
{
    /* [RFC9000 19.16, 12.5] In 0-RTT the client knows none. */
    if (packet->type == SP_PACKET_ZERO_RTT || sequence >= conn->local_ids.next_sequence)
        return SP_ERR_PROTOCOL_VIOLATION;
    struct sp_cid_local_entry *entry = sp_cid_local_find(&conn->local_ids, sequence);
    if (entry == NULL)
        return SP_OK; /* a repeat */

    /* [RFC9000 19.16] One that was never sent: a peer that counts ahead would make us
     * issue as many as it can name. */
    if (!entry->was_sent)
        return SP_ERR_PROTOCOL_VIOLATION;

    /* [RFC9000 19.16] Not the one that this very packet was sent to.  Its header may be gone: see
     * pack.h. */
    uint32_t lcid = (uint32_t)(entry - conn->local_ids.entries);
    if (packet->path != NULL && packet->path->lcid == lcid)
        return SP_ERR_PROTOCOL_VIOLATION;

    entry->is_used = false;
    conn->ids_changed = true;
    sp_path_on_lcid_retired(conn, lcid);
    sp_conn_issue_cids(conn);
    return SP_OK;
}

/* [RFC9000 19.7, 8.1.3] Only a server gives tokens.  A newer one replaces one that was not taken.
 * It is copied: it would pin a receive buffer.  Without memory it is ignored. */
static enum sp_err on_new_token(struct sp_conn *conn, struct sb_bytes token)
{
    if (sp_conn_is_server(conn))
        return SP_ERR_PROTOCOL_VIOLATION;
    struct sb_slice copy;
    if (token.size > SP_NEW_TOKEN_SIZE_MAX || !sp_conn_copy_token(conn, token, &copy))
        return SP_OK;
    sb_buffer_unref(conn->new_token.buffer);
    conn->new_token = copy;
    conn->resumption_pending = true;
    return SP_OK;
}

static enum sp_err on_handshake_done(struct sp_conn *conn, uint64_t now_ns)
{
    /* [RFC9000 19.20] */
    if (sp_conn_is_server(conn))
        return SP_ERR_PROTOCOL_VIOLATION;
    if (conn->handshake_state >= SP_HANDSHAKE_COMPLETE)
        sp_conn_confirm(conn, now_ns);
    return SP_OK;
}

/* What the peer wants of our ACKs, allowed if we have sent min_ack_delay.  [ack-frequency 3] */
static enum sp_err on_ack_request(struct sp_conn *conn, const struct sp_frame *frame)
{
    if (!conn->config->ack_frequency)
        return SP_ERR_FRAME_ENCODING; /* as for any unknown type.  [RFC9000 12.4] */
    if (frame->type == SP_FRAME_IMMEDIATE_ACK) {
        sp_ack_on_immediate(&conn->app.ack);
        return SP_OK;
    }
    conn->stats.ack_frequencies_in++;
    return sp_ack_on_frequency(&conn->app.ack, &conn->ack_wish, &frame->ack_frequency,
                               sp_conn_min_ack_delay_us(conn));
}

/* A PING that ends a silence is acknowledged at once: the peer asks whether we are there, and no
 * answer of the application will take the ACK along.  A host with many idle connections then needs
 * no timer for each ACK, and those of PINGs that came together leave together. */
static void on_ping(struct sp_conn *conn, const struct sp_packet *packet, uint64_t now_ns)
{
    if (packet->space == SP_SPACE_APP &&
        sb_time_since(now_ns, conn->idle_from_ns) >= SP_REST_AFTER_NS)
        conn->app.ack.batch_is_immediate = true;
}

static enum sp_err on_frame(struct sp_conn *conn, struct sp_packet *packet,
                            const struct sp_frame *frame, uint64_t now_ns)
{
    switch (frame->type) {
    case SP_FRAME_PING:
        on_ping(conn, packet, now_ns);
        return SP_OK;
    case SP_FRAME_PADDING:
    case SP_FRAME_DATA_BLOCKED:
        return SP_OK;
    case SP_FRAME_ACK:
    case SP_FRAME_ACK_ECN:
        return on_ack(conn, packet, &frame->ack, now_ns);
    case SP_FRAME_CRYPTO:
        return on_crypto(conn, packet, &frame->crypto, now_ns);
    case SP_FRAME_NEW_TOKEN:
        return on_new_token(conn, frame->token);
    case SP_FRAME_STREAM:
    case SP_FRAME_STREAM_FIN:
    case SP_FRAME_STREAM_LEN:
    case SP_FRAME_STREAM_LEN_FIN:
    case SP_FRAME_STREAM_OFF:
    case SP_FRAME_STREAM_OFF_FIN:
    case SP_FRAME_STREAM_OFF_LEN:
    case SP_FRAME_STREAM_OFF_LEN_FIN:
        if (must_drop_stream(conn, packet, &frame->stream))
            return SP_DROP;
        return on_stream(conn, packet, &frame->stream);
    case SP_FRAME_DATAGRAM:
    case SP_FRAME_DATAGRAM_LEN:
        return sp_conn_on_message(conn, &frame->datagram, packet->datagram, &packet->message_count);
    case SP_FRAME_RESET_STREAM:
    case SP_FRAME_RESET_STREAM_AT:
    case SP_FRAME_STOP_SENDING:
    case SP_FRAME_MAX_STREAM_DATA:
    case SP_FRAME_STREAM_DATA_BLOCKED:
        return on_stream_control(conn, frame);
    case SP_FRAME_MAX_DATA:
        sp_conn_on_max_data(conn, frame->limit);
        return SP_OK;
    case SP_FRAME_MAX_STREAMS_BIDI:
    case SP_FRAME_MAX_STREAMS_UNI:
        on_max_streams(conn, frame->type == SP_FRAME_MAX_STREAMS_UNI, frame->limit);
        return SP_OK;
    case SP_FRAME_STREAMS_BLOCKED_BIDI:
    case SP_FRAME_STREAMS_BLOCKED_UNI:
        sp_conn_on_streams_blocked(conn, frame->type == SP_FRAME_STREAMS_BLOCKED_UNI, frame->limit);
        return SP_OK;
    case SP_FRAME_NEW_CONNECTION_ID:
        return on_new_cid(conn, &frame->new_cid);
    case SP_FRAME_RETIRE_CONNECTION_ID:
        return on_retire_cid(conn, packet, frame->sequence);
    case SP_FRAME_PATH_CHALLENGE: /* [RFC9000 8.2.1, 8.2.2] Whatever size its datagram has. */
        sp_conn_on_path_challenge(conn, packet->path, frame->path_data, now_ns);
        return SP_OK;
    case SP_FRAME_PATH_RESPONSE: /* [RFC9000 19.18] One that answers nothing is ignored. */
        sp_conn_on_path_response(conn, frame->path_data, now_ns);
        return SP_OK;
    case SP_FRAME_CONNECTION_CLOSE:
    case SP_FRAME_CONNECTION_CLOSE_APP:
        sp_conn_on_peer_close(conn, &frame->close, now_ns);
        return SP_OK;
    case SP_FRAME_IMMEDIATE_ACK:
    case SP_FRAME_ACK_FREQUENCY:
        return on_ack_request(conn, frame);
    case SP_FRAME_HANDSHAKE_DONE:
        return on_handshake_done(conn, now_ns);
    default:
        /* Our bug: the table has a row for it.  The peer chooses when: no assertion in release. */
        SB_DEBUG_ASSERT(false);
        return SP_ERR_INTERNAL;
    }
}

/* Hands what the CRYPTO frames of the packet have brought to TLS. */
static void after_crypto(struct sp_conn *conn, const struct sp_packet *packet, uint64_t now_ns)
{
    static const enum sp_level levels[SP_SPACES] = {SP_LEVEL_INITIAL, SP_LEVEL_HANDSHAKE,
                                                    SP_LEVEL_APP};
    if (packet->has_crypto && conn->state == SP_CONN_OPEN && conn->spaces[packet->space] != NULL)
        sp_conn_advance_tls(conn, levels[packet->space], now_ns);
}

static enum sp_err handle_all(struct sp_conn *conn, struct sp_packet *packet, uint64_t now_ns)
{
    /* [RFC9000 12.4] A packet without frames is an error. */
    if (packet->payload_size == 0)
        return SP_ERR_PROTOCOL_VIOLATION;
    conn->pieces.steps = 0;
    uint32_t discards = SP_DISCARDS_PER_PACKET;
    if (SB_UNLIKELY(conn->pieces.discarded != NULL))
        sp_conn_discard_some(conn, &discards);
    if (packet->lone != NULL) {
        packet->frame_type = packet->payload[0];
        packet->is_eliciting = packet->is_nonprobing = true;
        if (packet->lone_buffer != NULL && must_drop_stream(conn, packet, packet->lone))
            return SP_DROP;
        if (packet->continues && sp_conn_extend_stream(conn, packet->lone, packet->lone_buffer))
            return SP_OK;
        return sp_conn_on_stream(conn, packet->lone, packet->lone_buffer);
    }

    struct sb_reader reader = sb_reader_of(packet->payload, packet->payload_size);
    while (sb_reader_left(&reader) > 0) {
        SB_STEP();
        struct sp_frame frame;
        enum sp_err err = sp_frame_read(&reader, packet->type, &frame);
        if (err != SP_OK) {
            packet->frame_type = 0;
            return err;
        }
        packet->frame_type = frame.type;
        packet->is_eliciting |= sp_frame_is_eliciting(frame.type);
        packet->is_nonprobing |= !sp_frame_is_probing(frame.type);
        err = on_frame(conn, packet, &frame, now_ns);
        if (err != SP_OK)
            return err;
        /* A frame may have ended the connection or thrown away this packet's keys. */
        if (conn->state != SP_CONN_OPEN)
            return SP_OK;
        if (conn->spaces[packet->space] == NULL)
            return SP_OK;
    }
    return SP_OK;
}

enum sp_err sp_conn_frames(struct sp_conn *conn, struct sp_packet *packet, uint64_t now_ns)
{
    enum sp_err err = handle_all(conn, packet, now_ns);
    if (err == SP_OK || err == SP_DROP) /* dropped: what was taken is in order all the same */
        after_crypto(conn, packet, now_ns);
    return err;
}

/* SPDX-License-Identifier: MIT */
#include "proto/conn/handshake.h"

/* The handshake: hands CRYPTO bytes to TLS, and turns events of TLS into keys, parameters and
 * states. [RFC9001 4, RFC9000 7] */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/close.h"
#include "proto/conn/early.h"
#include "proto/conn/header_bits.h"
#include "proto/conn/messages.h"
#include "proto/conn/mtu.h"
#include "proto/conn/recovery.h"
#include "proto/conn/space.h"
#include "proto/conn/streams.h"
#include "proto/conn/token.h"
#include "proto/conn/trace.h"
#include "proto/conn/version.h"
#include "proto/wire/stateless.h"
#include "proto/wire/tparam.h"

#define EXCESS_REASON "CRYPTO after the end of its level"

/* ---- Our side ---- */

static uint64_t ms_of(uint64_t ns)
{
    return (ns + SB_MS - 1) / SB_MS;
}

/* [RFC9000 5.1.1] With it goes the CID of sequence number 1, which sp_conn_create() has made. */
static void write_preferred(struct sp_conn *conn, struct sp_tparams *params)
{
    const struct sp_preferred *preferred = &conn->handshake->preferred;
    if (!sp_preferred_has_any(preferred))
        return;
    const struct sp_cid_local_entry *entry = sp_cid_local_find(&conn->local_ids, 1);
    SB_ASSERT(entry != NULL);
    params->preferred = *preferred;
    params->has_preferred_cid = true;
    params->preferred_cid = entry->cid;
    memcpy(params->preferred_token, entry->reset_token, SP_RESET_TOKEN_SIZE);
}

static void write_params(struct sp_conn *conn, uint32_t version, struct sb_writer *w)
{
    const struct sp_config *config = conn->config;
    const struct sp_handshake *handshake = conn->handshake;
    struct sp_tparams params;
    uint8_t versions[SP_VERSION_INFO_SIZE_MAX];

    sp_tparams_init(&params);
    sp_conn_version_write(conn, version, versions, &params);
    params.has_initial_scid = true;
    params.initial_scid = sp_conn_is_server(conn) ? handshake->server_scid : handshake->client_scid;
    if (sp_conn_is_server(conn)) { /* [RFC9000 18.2] a client sends none of these */
        params.has_original_dcid = true;
        params.original_dcid = handshake->original_dcid;
        params.has_retry_scid = handshake->has_retry;
        params.retry_scid = handshake->retry_scid;
        params.has_reset_token = true;
        conn->host.reset_token(conn->host.context, &handshake->server_scid, params.reset_token);
        write_preferred(conn, &params);
    }
    /* Without a spare CID a client cannot move.  [RFC9000 9.5] */
    params.disable_active_migration =
        !config->migration || (sp_conn_is_server(conn) && conn->local_ids.own_max == 1);
    params.grease_quic_bit = config->grease;
    params.max_idle_timeout_ms = ms_of(config->idle_timeout_ns);
    params.initial_max_data = config->conn_window_bytes;
    params.initial_max_stream_data_bidi_local = config->stream_window_bytes;
    params.initial_max_stream_data_bidi_remote = config->stream_window_bytes;
    params.initial_max_stream_data_uni = config->stream_window_bytes;
    params.initial_max_streams_bidi = config->streams_bidi_max;
    params.initial_max_streams_uni = config->streams_uni_max;
    params.max_ack_delay_ms = ms_of(config->ack_delay_ns_max);
    if (config->ack_frequency)
        params.min_ack_delay_us = sp_conn_min_ack_delay_us(conn);
    params.active_cid_limit = SP_CIDS_MAX;
    params.reset_stream_at = config->reset_stream_at;
    params.max_datagram_frame_size = config->message_frame_size_max;

    uint64_t grease;
    conn->host.random(conn->host.context, &grease, sizeof(grease));
    sp_tparams_write(w, &params, grease);
}

/* Starts TLS, which is there, with our parameters. */
static bool start(struct sp_conn *conn)
{
    uint8_t bytes[SP_TPARAMS_SIZE_MAX];
    struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
    write_params(conn, conn->version, &w);
    SB_ASSERT(!w.failed);
    sp_conn_trace_params(conn, conn->role, (struct sb_bytes){bytes, sb_writer_used(&w)});
    return conn->tls_ops->start(conn->tls, bytes, sb_writer_used(&w));
}

/* Server: writes the parameters anew if the client's make us choose another version than that of
 * its first flight, which those of start() name.  Changes nothing of the connection: TLS calls it.
 */
static size_t answer_params(void *context, struct sb_bytes encoded, uint8_t *ret, size_t room)
{
    struct sp_conn *conn = context;
    struct sp_tparams peer;
    if (sp_tparams_read(encoded, SP_CLIENT, &peer) != SP_OK)
        return 0; /* on_peer_params() closes */
    uint32_t version = sp_conn_version_choose(conn, &peer);
    if (version == conn->version)
        return 0;
    struct sb_writer w = sb_writer_of(ret, room);
    write_params(conn, version, &w);
    SB_ASSERT(!w.failed);
    return sb_writer_used(&w);
}

bool sp_conn_start_tls(struct sp_conn *conn)
{
    SB_ASSERT(conn->tls == NULL);
    conn->tls = conn->host.make_tls(conn->host.context);
    if (conn->tls == NULL)
        return false;
    if (sp_conn_is_server(conn))
        conn->tls_ops->set_answer(conn->tls, answer_params, conn);
    return start(conn);
}

void sp_conn_issue_cids(struct sp_conn *conn)
{
    while (sp_cid_local_wants_more(&conn->local_ids)) {
        struct sp_cid cid;
        uint8_t token[SP_RESET_TOKEN_SIZE];
        conn->host.make_cid(conn->host.context, conn->config->cid_size, &cid);
        conn->host.reset_token(conn->host.context, &cid, token);
        (void)sp_cid_local_add(&conn->local_ids, &cid, token);
    }
    conn->ids_changed = true;
}

void sp_conn_discard_space(struct sp_conn *conn, enum sp_space space, uint64_t now_ns)
{
    if (conn->spaces[space] == NULL)
        return;

    SB_ASSERT(space != SP_SPACE_APP);
    sp_conn_free_space(conn, space);
    conn->loss.idle_since_ns = now_ns;
    if (conn->tls != NULL)
        conn->tls_ops->drop(conn->tls,
                            space == SP_SPACE_INITIAL ? SP_LEVEL_INITIAL : SP_LEVEL_HANDSHAKE);
}

/* ---- Events of TLS ---- */

static void on_secret(struct sp_conn *conn, const struct sp_tls_event *event, uint64_t now_ns)
{
    SB_ASSERT(event->level != SP_LEVEL_INITIAL);

    /* [RFC9001 4.1.3] Bytes of the level before that wait for a gap will never fit. */
    const struct sp_conn_space *before =
        conn->spaces[event->level == SP_LEVEL_APP ? SP_SPACE_HANDSHAKE : SP_SPACE_INITIAL];
    if (!event->is_write && before != NULL && sp_crypto_stream_has_gap(&before->crypto)) {
        sp_conn_fail(conn, SP_ERR_PROTOCOL_VIOLATION, SP_FRAME_CRYPTO, EXCESS_REASON, now_ns);
        return;
    }
    /* [RFC9369 4.1] 0-RTT packets have the version of the client's first flight. */
    uint32_t version =
        event->level == SP_LEVEL_EARLY ? conn->handshake->first_version : conn->version;
    struct sp_key *key = conn->protect.ops->key(conn->protect.context, version, event->suite,
                                                event->secret.data, event->secret.size);
    if (key == NULL) {
        sp_conn_fail(conn, SP_ERR_INTERNAL, SP_FRAME_CRYPTO, "no key", now_ns);
        return;
    }
    if (event->level == SP_LEVEL_EARLY) {
        sp_conn_early_begin(conn, key);
        return;
    }
    if (event->level == SP_LEVEL_APP) {
        if (event->is_write) {
            sp_keyphase_set_write(&conn->keys, key);
            if (!sp_conn_is_server(conn))
                sp_conn_early_end(conn);
        } else if (!sp_keyphase_set_read(&conn->keys, key))
            conn->is_out_of_memory = true;
        return;
    }
    struct sp_conn_space *s = conn->spaces[SP_SPACE_HANDSHAKE];
    SB_ASSERT(s != NULL);
    struct sp_key **slot = event->is_write ? &s->write : &s->read;
    SB_ASSERT(*slot == NULL);
    *slot = key;
    if (event->is_write)
        conn->loss.has_handshake_keys = true;
}

/* [RFC9000 7.3] What the packets' headers said must be what TLS has authenticated. */
static bool cids_are_authentic(const struct sp_conn *conn, const struct sp_tparams *peer)
{
    const struct sp_handshake *handshake = conn->handshake;
    if (!peer->has_initial_scid)
        return false;
    if (sp_conn_is_server(conn))
        return sp_cid_equal(&peer->initial_scid, &handshake->client_scid);
    if (!sp_cid_equal(&peer->initial_scid, &handshake->server_scid) || !peer->has_original_dcid ||
        !sp_cid_equal(&peer->original_dcid, &conn->original_dcid))
        return false;
    if (peer->has_retry_scid != handshake->has_retry)
        return false;
    return !handshake->has_retry || sp_cid_equal(&peer->retry_scid, &handshake->retry_scid);
}

/* [RFC9000 5.1.1, 9.6.2] Keeps a preferred address until the handshake is confirmed.  Its CID is
 * one like others, on any path: it counts against our limit, and is retired when the server asks
 * for it.  Returns false if it was refused. */
static bool take_preferred(struct sp_conn *conn, const struct sp_tparams *peer, uint64_t now_ns)
{
    struct sp_frame_new_cid frame = {.sequence = 1, .cid = peer->preferred_cid};
    memcpy(frame.reset_token, peer->preferred_token, SP_RESET_TOKEN_SIZE);
    enum sp_err err = sp_cid_remote_add(&conn->remote_ids, &frame);
    conn->ids_changed = true;
    if (err != SP_OK) {
        sp_conn_fail(conn, SP_ERR_TRANSPORT_PARAMETER, SP_FRAME_CRYPTO,
                     "preferred_address with a CID in use", now_ns);
        return false;
    }
    conn->handshake->preferred = peer->preferred;
    conn->preferred_pending =
        conn->config->follow_preferred && sp_preferred_has_any(&peer->preferred);
    return true;
}

static void on_peer_params(struct sp_conn *conn, struct sb_bytes encoded, uint64_t now_ns)
{
    struct sp_tparams peer;
    enum sp_role sender = sp_conn_is_server(conn) ? SP_CLIENT : SP_SERVER;
    sp_conn_trace_params(conn, sender, encoded);
    enum sp_err err = sp_tparams_read(encoded, sender, &peer);
    if (err != SP_OK) {
        sp_conn_fail(conn, err, SP_FRAME_CRYPTO, "malformed transport parameters", now_ns);
        return;
    }
    if (!cids_are_authentic(conn, &peer)) {
        sp_conn_fail(conn, SP_ERR_TRANSPORT_PARAMETER, SP_FRAME_CRYPTO,
                     "connection IDs do not match", now_ns);
        return;
    }

    err = sp_conn_version_check(conn, &peer);
    if (err != SP_OK) {
        sp_conn_fail(conn, err, SP_FRAME_CRYPTO, "version information does not match", now_ns);
        return;
    }
    if (sp_conn_is_server(conn) &&
        !sp_conn_version_move(conn, sp_conn_version_choose(conn, &peer))) {
        conn->is_out_of_memory = true;
        return;
    }

    sp_header_bits_on_params(conn, peer.grease_quic_bit);
    conn->handshake->has_peer_params = true;
    conn->handshake->peer_udp_payload_size_max = peer.max_udp_payload_size;
    conn->peer_ack_delay_exponent = (uint32_t)peer.ack_delay_exponent; /* 20 at most */
    conn->peer_stays = peer.disable_active_migration;
    conn->loss.peer_ack_delay_ns_max = peer.max_ack_delay_ms * SB_MS;
    if (conn->config->ack_frequency && peer.min_ack_delay_us != SP_MIN_ACK_DELAY_NONE)
        sp_ack_request_enable(&conn->ack_request, peer.min_ack_delay_us,
                              peer.max_ack_delay_ms * (SB_MS / SB_US));
    conn->local_ids.count_max = (uint32_t)SB_MIN(peer.active_cid_limit, (uint64_t)SP_CIDS_MAX);
    if (peer.has_reset_token) {
        sp_cid_remote_set_first_token(&conn->remote_ids, peer.reset_token);
        conn->ids_changed = true;
    }
    if (peer.has_preferred_cid && !take_preferred(conn, &peer, now_ns))
        return;
    /* [RFC9000 10.1] The smaller of the two that exist. */
    uint64_t theirs_ns =
        peer.max_idle_timeout_ms > UINT64_MAX / SB_MS ? 0 : peer.max_idle_timeout_ms * SB_MS;
    if (theirs_ns != 0 && (conn->idle_timeout_ns == 0 || theirs_ns < conn->idle_timeout_ns))
        conn->idle_timeout_ns = theirs_ns;
    err = sp_conn_early_on_params(conn, &peer);
    if (err != SP_OK)
        sp_conn_fail(conn, err, SP_FRAME_CRYPTO, "0-RTT accepted under lower limits", now_ns);
}

void sp_conn_confirm(struct sp_conn *conn, uint64_t now_ns)
{
    if (conn->handshake_state >= SP_HANDSHAKE_CONFIRMED)
        return;
    SB_ASSERT(conn->handshake_state == SP_HANDSHAKE_COMPLETE);
    conn->handshake_state = SP_HANDSHAKE_CONFIRMED;
    conn->confirmed_pending = true;
    conn->loss.is_confirmed = true;
    conn->loss.confirmed_at_ns = now_ns;
    conn->loss.peer_is_validating = false;
    sp_conn_discard_space(conn, SP_SPACE_INITIAL, now_ns);
    sp_conn_discard_space(conn, SP_SPACE_HANDSHAKE, now_ns); /* [RFC9001 4.9.2] */
    sp_ecn_resume(&conn->loss.path->ecn);
    conn->original_dcid_is_routed = sp_conn_is_server(conn) && conn->early != NULL; /* late ones */
    conn->ids_changed = true;
    if (!sp_conn_is_server(conn)) /* which waits for an ACK of HANDSHAKE_DONE or of others */
        sp_conn_mtu_check(conn, now_ns);
}

static void on_complete(struct sp_conn *conn, uint64_t now_ns)
{
    if (!conn->handshake->has_peer_params) {
        /* [RFC9001 8.2] */
        sp_conn_fail(conn, (enum sp_err)(SP_ERR_CRYPTO + SP_ALERT_MISSING_EXTENSION),
                     SP_FRAME_CRYPTO, "no transport parameters", now_ns);
        return;
    }
    SB_ASSERT(conn->handshake_state == SP_HANDSHAKE_AUTHENTICATED);
    conn->handshake_state = SP_HANDSHAKE_COMPLETE;
    SB_PROBE3(handshake_done, conn, conn->role, now_ns - conn->handshake->start_ns);
    conn->connected_pending = true;
    sp_conn_mtu_start(conn, now_ns);
    sp_conn_issue_cids(conn);
    for (uint32_t i = 0; i < 2; i++) /* sp_conn_open() may have failed before the limits came */
        sp_stream_limits_on_room(&conn->limits[i]);
    if (sp_conn_is_server(conn)) {
        conn->wants_handshake_done = true; /* [RFC9000 19.20] */
        conn->wants_new_token = conn->host.new_token != NULL;
        sp_conn_early_complete(conn, now_ns);
        sp_conn_confirm(conn, now_ns); /* [RFC9001 4.1.2] */
    }
}

static void on_tls_event(struct sp_conn *conn, const struct sp_tls_event *event, uint64_t now_ns)
{
    struct sp_conn_space *s = conn->spaces[sp_space_of_level(event->level)];
    switch (event->kind) {
    case SP_TLS_NONE:
        break;
    case SP_TLS_CRYPTO:
        if (s != NULL) /* otherwise nobody needs it any more */
            s->crypto.out_end += event->size;
        break;
    case SP_TLS_SECRET:
        on_secret(conn, event, now_ns);
        break;
    case SP_TLS_PEER_PARAMS:
        on_peer_params(conn, event->params, now_ns);
        break;
    case SP_TLS_EARLY_ACCEPTED:
        sp_conn_early_accepted(conn);
        break;
    case SP_TLS_EARLY_REJECTED:
        sp_conn_early_rejected(conn);
        break;
    case SP_TLS_TICKET:
        conn->resumption_pending = conn->ticket_pending = true;
        break;
    case SP_TLS_COMPLETE:
        on_complete(conn, now_ns);
        break;
    case SP_TLS_ALERT:
        /* [RFC9001 4.8] */
        sp_conn_fail(conn, (enum sp_err)(SP_ERR_CRYPTO + event->alert), SP_FRAME_CRYPTO,
                     "the TLS handshake failed", now_ns);
        break;
    case SP_TLS_WAIT:
        conn->tls_wait_pending = true;
        break;
    case SP_TLS_EXCESS:
        sp_conn_fail(conn, SP_ERR_PROTOCOL_VIOLATION, SP_FRAME_CRYPTO, "CRYPTO that QUIC forbids",
                     now_ns);
        break;
    }
}

/* Small slices, put together: a call of TLS costs about as much as a packet, and a peer can cut its
 * messages into bytes. */
struct gathered {
    size_t size;
    uint8_t bytes[1024];
};

static void flush_tls(struct sp_conn *conn, enum sp_level level, struct gathered *gathered)
{
    if (gathered->size > 0)
        conn->tls_ops->receive(conn->tls, level, gathered->bytes, gathered->size);
    gathered->size = 0;
}

static void give_tls(struct sp_conn *conn, enum sp_level level, const struct sb_slice *slice,
                     struct gathered *gathered)
{
    if (slice->size > sizeof(gathered->bytes) - gathered->size)
        flush_tls(conn, level, gathered);
    if (slice->size > sizeof(gathered->bytes)) {
        conn->tls_ops->receive(conn->tls, level, slice->data, slice->size);
        return;
    }
    memcpy(gathered->bytes + gathered->size, slice->data, slice->size);
    gathered->size += slice->size;
}

/* Hands all CRYPTO bytes of `level` that are in order to TLS and works off what follows. */
void sp_conn_advance_tls(struct sp_conn *conn, enum sp_level level, uint64_t now_ns)
{
    struct sp_conn_space *s = conn->spaces[sp_space_of_level(level)];
    struct sb_slice slice;

    if (conn->tls == NULL)
        return;
    struct gathered gathered = {.size = 0};
    while (s != NULL && sp_reassembly_next(&s->crypto.in, &slice)) {
        give_tls(conn, level, &slice, &gathered);
        sb_buffer_unref(slice.buffer);
    }
    flush_tls(conn, level, &gathered);
    sp_conn_pull_tls(conn, now_ns);
}

void sp_conn_pull_tls(struct sp_conn *conn, uint64_t now_ns)
{
    for (;;) {
        struct sp_tls_event event = {.kind = SP_TLS_NONE};
        conn->tls_ops->next(conn->tls, &event);
        if (event.kind == SP_TLS_NONE || conn->state != SP_CONN_OPEN)
            return;
        on_tls_event(conn, &event, now_ns);
    }
}

/* ---- Retry and Version Negotiation: before the server has said anything else ---- */

/* Returns the bytes of an Initial with this CID and token beside its frames. */
static size_t initial_overhead(const struct sp_conn *conn, const struct sp_header *retry)
{
    const struct sp_long_header header = {
        .type = SP_PACKET_INITIAL,
        .version = conn->version,
        .dcid = retry->scid,
        .scid = conn->handshake->client_scid,
        .token = retry->token,
        .pn_size = SP_PN_SIZE_MAX,
    };
    return sp_header_long_size(&header) + SP_TAG_SIZE;
}

/* [RFC9000 17.2.5, 17.2.5.1, 17.2.5.2]  The token may have any size that an Initial can carry.  It
 * belongs to this handshake, and is freed with it.  [RFC9000 8.1.3]  It is copied: it would pin a
 * receive buffer until then.  Without memory the Retry is dropped: the next Initial brings another.
 */
void sp_conn_on_retry(struct sp_conn *conn, const uint8_t *data, const struct sp_header *header)
{
    struct sp_handshake *handshake = conn->handshake;
    size_t overhead = initial_overhead(conn, header);
    size_t size_max = SB_MIN(conn->config->datagram_size_max, (size_t)SP_PMTU_UNPROVED_MAX);
    bool is_expected = !sp_conn_is_server(conn) && !handshake->server_cid_is_known &&
                       !handshake->has_retry && header->token.size > 0 &&
                       overhead + SP_RETRY_ROOM_BYTES_MIN <= size_max &&
                       !sp_cid_equal(&header->scid, sp_cid_remote_active(&conn->remote_ids));
    if (!is_expected ||
        !conn->protect.ops->retry_is_authentic(conn->protect.context, conn->version,
                                               &conn->original_dcid, data, header->size)) {
        sp_conn_drop_packet(conn, SP_PACKET_RETRY, header->size, SP_QLOG_DROP_INVALID);
        return;
    }
    struct sb_slice token;
    if (!sp_conn_copy_token(conn, header->token, &token)) {
        sp_conn_drop_packet(conn, SP_PACKET_RETRY, header->size, SP_QLOG_DROP_INTERNAL);
        return;
    }

    sp_conn_trace_retry(conn, header);
    handshake->has_retry = true;
    handshake->retry_scid = header->scid;
    sb_buffer_unref(handshake->token.buffer);
    handshake->token = token;
    size_t size = SB_MIN(overhead + SP_RETRY_ROOM_BYTES, size_max);
    conn->datagram_size = SB_MAX(conn->datagram_size, size);
    sp_cid_remote_replace_first(&conn->remote_ids, &header->scid);
    if (!sp_conn_make_initial_keys(conn, &header->scid))
        conn->is_out_of_memory = true;
    /* [RFC9000 17.2.5.3] The server has kept nothing of what was sent.  The numbers go on. */
    sp_conn_retransmit_all(conn, SP_SPACE_INITIAL, sp_loss_forget(&conn->loss, SP_SPACE_INITIAL));
    /* [RFC9000 17.2.3] .. and of 0-RTT packets. */
    sp_conn_retransmit_all(conn, SP_SPACE_APP, sp_loss_forget(&conn->loss, SP_SPACE_APP));
    /* [RFC9002 6.3] The path has answered: waiting begins anew. */
    conn->loss.pto_count = 0;
    conn->spaces[SP_SPACE_INITIAL]->probe_count = conn->app.probe_count = 0;
}

/* Begins again with another version: a new connection, but for what the application sees of it.
 * What it has queued is sent then.  [RFC9368 2.1, 2.4] */
static void begin_again(struct sp_conn *conn, uint32_t version, uint64_t now_ns)
{
    struct sp_handshake *handshake = conn->handshake;
    struct sp_conn_space *s = conn->spaces[SP_SPACE_INITIAL];
    handshake->has_negotiated = true;
    handshake->first_version = version;
    conn->version = version;

    sp_conn_free_frames(conn, sp_loss_forget(&conn->loss, SP_SPACE_INITIAL));
    sp_conn_early_rejected(conn); /* [RFC9369 5] the ticket is of the other version */
    conn->loss.pto_count = 0;
    s->probe_count = 0;
    sp_crypto_stream_deinit(&s->crypto);
    sp_crypto_stream_init(&s->crypto, &conn->pieces, &conn->stores.ranges,
                          SP_CRYPTO_INITIAL_BYTES_MAX);
    sp_conn_choose_dcid(conn);
    if (!sp_conn_make_initial_keys(conn, &conn->original_dcid) ||
        !conn->tls_ops->restart(conn->tls) || !start(conn)) {
        conn->is_out_of_memory = true;
        return;
    }
    sp_conn_advance_tls(conn, SP_LEVEL_INITIAL, now_ns);
}

void sp_conn_choose_dcid(struct sp_conn *conn)
{
    /* [RFC9000 7.2] At least 8 bytes that nobody can predict. */
    uint8_t bytes[SP_INITIAL_DCID_SIZE_MIN];
    conn->host.random(conn->host.context, bytes, sizeof(bytes));
    conn->original_dcid = sp_cid_of(bytes, sizeof(bytes));
    sp_cid_remote_init(&conn->remote_ids, &conn->original_dcid);
}

/* [RFC9000 6.2, RFC9368 2.1, 4]  Only the first one counts. */
void sp_conn_on_version_negotiation(struct sp_conn *conn, const struct sp_header *header,
                                    uint64_t now_ns)
{
    const struct sp_handshake *handshake = conn->handshake;
    if (sp_conn_is_server(conn) || handshake->server_cid_is_known || handshake->has_retry ||
        handshake->has_negotiated ||
        !sp_negotiation_is_refusal(header, conn->version, &conn->original_dcid,
                                   &handshake->client_scid)) {
        sp_conn_drop_packet(conn, SP_PACKET_VERSION_NEGOTIATION, header->size,
                            SP_QLOG_DROP_INVALID);
        return;
    }
    sp_conn_trace_refusal(conn, header);
    uint32_t version = sp_conn_version_of_negotiation(conn, header->versions);
    if (version != 0) {
        begin_again(conn, version, now_ns);
        return;
    }
    struct sp_close close = {.kind = SP_CLOSE_VERSION};
    sp_conn_end(conn, &close, SP_CONN_DRAINED, now_ns);
}

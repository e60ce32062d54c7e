/* SPDX-License-Identifier: MIT */
#include "proto/conn/impl.h"

/* Datagrams to packets to frames.
 *
 * Short-header packets, which are nearly all packets, are handled in runs: one cipher call makes
 * their header protection masks, another opens them, in place or as conn/place.c or conn/pack.c
 * decides, and then the frames of each are handled.  Long-header packets are handled one by one.
 *
 * What can be attacked: anybody may have sent the bytes of a packet that is not opened yet.  Until
 * then nothing of the connection changes but counters. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/acks.h"
#include "proto/conn/close.h"
#include "proto/conn/early.h"
#include "proto/conn/frames.h"
#include "proto/conn/handshake.h"
#include "proto/conn/header_bits.h"
#include "proto/conn/memory.h"
#include "proto/conn/messages.h"
#include "proto/conn/pack.h"
#include "proto/conn/path_cids.h"
#include "proto/conn/paths.h"
#include "proto/conn/place.h"
#include "proto/conn/prefetch.h"
#include "proto/conn/rest.h"
#include "proto/conn/space.h"
#include "proto/conn/trace.h"
#include "proto/conn/undecryptable.h"
#include "proto/conn/version.h"
#include "proto/wire/stateless.h"

/* [RFC9000 17.2, 17.3.1] Without the fixed bit it is no packet, unless we have said that we accept
 * it.  [RFC9287 3] */
static bool may_have_bits(const struct sp_conn *conn, uint8_t first)
{
    return (first & SP_HEADER_FIXED) != 0 || conn->config->grease;
}

/* [RFC9001 5.7] A server reads no 1-RTT packet before the handshake is complete. */
static bool can_read_app(const struct sp_conn *conn)
{
    return conn->keys.read != NULL &&
           (!sp_conn_is_server(conn) || conn->handshake_state >= SP_HANDSHAKE_COMPLETE);
}

/* ---- One opened packet ---- */

static void on_first_authentic(struct sp_conn *conn, const struct sp_header *header)
{
    /* [RFC9000 7.2] The client adopts the CID that the server chose for itself. */
    struct sp_handshake *handshake = conn->handshake;
    if (!sp_conn_is_server(conn) && !handshake->server_cid_is_known) {
        handshake->server_cid_is_known = true;
        handshake->server_scid = header->scid;
        sp_cid_remote_replace_first(&conn->remote_ids, &header->scid);
    }
    /* A server waits for a ClientHello: see begin_tls() in conn/frames.c. */
    if (!sp_conn_is_server(conn) && conn->handshake_state < SP_HANDSHAKE_AUTHENTICATED)
        conn->handshake_state = SP_HANDSHAKE_AUTHENTICATED;
}

/* Handles the frames of an opened packet and counts it.  It is acknowledged only after that
 * [RFC9000 13.1].  A fault ends the connection, because frames before it have been handled.
 * [RFC9000 5.2] */
static void process(struct sp_conn *conn, struct sp_packet *packet, uint64_t now_ns)
{
    sp_conn_trace_received(conn, packet);
    enum sp_err err = sp_conn_frames(conn, packet, now_ns);
    if (err == SP_DROP) {
        if (SB_UNLIKELY(packet->message_count > 0))
            sp_conn_take_messages_back(conn, packet->message_count);
        sp_conn_drop_packet(conn, packet->type, packet->size, SP_QLOG_DROP_INTERNAL);
        sp_conn_note_shortage(conn, SP_SHORT_OF_ROOM, now_ns);
        return;
    }
    conn->stats.packets_in++;
    if (err != SP_OK) {
        sp_conn_fail(conn, err, packet->frame_type, "", now_ns);
        return;
    }
    struct sp_conn_space *s = conn->spaces[packet->space];
    if (s == NULL)
        return;
    sp_ack_on_packet(&s->ack, packet->pn, packet->is_eliciting, packet->datagram->ecn,
                     sp_packet_arrived_ns(packet, now_ns));
    if (SB_UNLIKELY(conn->loss.pto_count > 1))
        sp_loss_on_heard(&conn->loss, conn->idle_from_ns, now_ns);
    conn->idle_from_ns = now_ns; /* [RFC9000 10.1] */
    conn->sent_since_receive = false;
    conn->is_hidden |= packet->is_eliciting;
    if (packet->is_nonprobing && packet->type == SP_PACKET_ONE_RTT &&
        packet->pn >= conn->nonprobing_pn) {
        conn->nonprobing_pn = packet->pn;
        if (SB_UNLIKELY(packet->path != conn->path) && packet->path != NULL)
            sp_conn_path_follow(conn, packet->path, now_ns);
    }
}

static void on_open_failed(struct sp_conn *conn, enum sp_packet_type type, size_t size,
                           const struct sp_key_limits *limits, uint64_t now_ns)
{
    sp_conn_drop_packet(conn, type, size, SP_QLOG_DROP_DECRYPTION);
    /* [RFC9001 5.5, 6.6] */
    if (++conn->keys.failed_count >= limits->fail_count_max)
        sp_conn_fail(conn, SP_ERR_AEAD_LIMIT_REACHED, 0, "too many forged packets", now_ns);
}

/* ---- Long headers ---- */

static enum sp_space space_of_long(const struct sp_header *header)
{
    return header->type == SP_PACKET_INITIAL     ? SP_SPACE_INITIAL
           : header->type == SP_PACKET_HANDSHAKE ? SP_SPACE_HANDSHAKE
                                                 : SP_SPACE_APP;
}

static void receive_with_key(struct sp_conn *conn, const struct sp_datagram *datagram,
                             uint8_t *data, const struct sp_header *header, struct sp_key *key,
                             uint64_t now_ns)
{
    enum sp_space space = space_of_long(header);
    struct sp_conn_space *s = conn->spaces[space];
    const uint8_t *sample = data + header->pn_offset + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    conn->protect.ops->masks(key, &sample, 1, mask);
    uint32_t pn_size = sp_header_unmask(data, data + header->pn_offset, mask[0]);
    uint32_t truncated = sp_pn_read(data + header->pn_offset, pn_size);
    uint64_t pn = sp_pn_expand(sp_ack_next_pn(&s->ack), truncated, pn_size);
    size_t header_size = header->pn_offset + pn_size;
    struct sp_key_limits limits = conn->protect.ops->limits(key);
    if (!sp_open_in_place(conn->protect.ops, key, pn, (struct sb_bytes){data, header_size},
                          data + header_size, header->size - header_size)) {
        on_open_failed(conn, header->type, header->size, &limits, now_ns);
        return;
    }
    if (sp_ack_is_known(&s->ack, pn)) {
        conn->stats.packets_duplicate++;
        sp_conn_drop_packet(conn, header->type, header->size, SP_QLOG_DROP_DUPLICATE);
        return;
    }

    if (space != SP_SPACE_APP) {
        on_first_authentic(conn, header);
        sp_conn_version_on_opened(conn, header->version);
    }
    /* [RFC9000 8.1] A Handshake packet proves that the client can read what we send there. */
    if (space == SP_SPACE_HANDSHAKE && sp_conn_is_server(conn)) {
        conn->path->is_valid = true;
        conn->loss.is_amplification_blocked = false;
        sp_conn_discard_space(conn, SP_SPACE_INITIAL, now_ns); /* [RFC9001 4.9.1] */
    }

    struct sp_packet packet = {
        .type = header->type,
        .space = space,
        .pn = pn,
        .payload = data + header_size,
        .payload_size = header->size - header_size - SP_TAG_SIZE,
        .size = header->size,
        .datagram = datagram,
        .path = conn->path,
    };
    /* [RFC9000 17.2] */
    if ((data[0] & SP_HEADER_LONG_RESERVED) != 0)
        sp_conn_fail(conn, SP_ERR_PROTOCOL_VIOLATION, 0, "reserved bits are set", now_ns);
    else
        process(conn, &packet, now_ns);
}

static void receive_protected_long(struct sp_conn *conn, const struct sp_datagram *datagram,
                                   uint8_t *data, const struct sp_header *header, uint64_t now_ns)
{
    enum sp_space space = space_of_long(header);
    if (conn->spaces[space] == NULL) {
        sp_conn_drop_packet(conn, header->type, header->size, SP_QLOG_DROP_NO_KEY);
        return;
    }
    bool may_come;
    struct sp_key *key = sp_conn_long_key(conn, space, header->version, &may_come);
    if (key != NULL)
        receive_with_key(conn, datagram, data, header, key, now_ns);
    else if (may_come)
        sp_conn_keep_undecryptable(conn, datagram, data, header->size, header->type, now_ns);
    else
        sp_conn_drop_packet(conn, header->type, header->size, SP_QLOG_DROP_NO_KEY);
}

/* A client's 0-RTT packet.  It may come late, after the handshake.  [RFC9001 4.9.3, 5.6, 5.7] */
static void receive_zero_rtt(struct sp_conn *conn, const struct sp_datagram *datagram,
                             uint8_t *data, const struct sp_header *header, uint64_t now_ns)
{
    if (sp_conn_is_server(conn) && conn->early != NULL && conn->early->version == header->version)
        receive_with_key(conn, datagram, data, header, conn->early->key, now_ns);
    else if (sp_conn_is_server(conn) && sp_conn_early_may_come(conn, header->version))
        sp_conn_keep_undecryptable(conn, datagram, data, header->size, header->type, now_ns);
    else
        sp_conn_drop_packet(conn, header->type, header->size, SP_QLOG_DROP_NO_KEY);
}

/* A client learns the server's CID once; later packets with another one are not of this
 * connection.  [RFC9000 7.2] */
static bool scid_fits(const struct sp_conn *conn, const struct sp_header *header)
{
    const struct sp_handshake *handshake = conn->handshake;
    if (sp_conn_is_server(conn))
        return sp_cid_equal(&header->scid, &handshake->client_scid);
    return !handshake->server_cid_is_known || sp_cid_equal(&header->scid, &handshake->server_scid);
}

static void receive_long(struct sp_conn *conn, const struct sp_datagram *datagram, uint8_t *data,
                         const struct sp_header *header, uint64_t now_ns)
{
    bool is_early = header->type == SP_PACKET_ZERO_RTT;
    if (is_early && (conn->handshake == NULL || scid_fits(conn, header))) {
        receive_zero_rtt(conn, datagram, data, header, now_ns);
        return;
    }
    if (conn->handshake == NULL) {
        sp_conn_drop_packet(conn, header->type, header->size, SP_QLOG_DROP_NO_KEY);
        return;
    }
    switch (header->type) {
    case SP_PACKET_INITIAL:
        /* [RFC9000 14, 14.1] A client's Initial in a small datagram is not answered.
         * [RFC9000 17.2.2] A server's Initial has no token. */
        if (sp_conn_is_server(conn) ? datagram->size < SP_DATAGRAM_SIZE_MIN
                                    : header->token.size != 0)
            break;
        if (scid_fits(conn, header)) {
            receive_protected_long(conn, datagram, data, header, now_ns);
            return;
        }
        break;
    case SP_PACKET_HANDSHAKE:
        if (scid_fits(conn, header)) {
            receive_protected_long(conn, datagram, data, header, now_ns);
            return;
        }
        break;
    case SP_PACKET_RETRY:
        if (header->version != conn->version)
            break; /* [RFC9369 4.1] */
        sp_conn_on_retry(conn, data, header);
        return;
    case SP_PACKET_VERSION_NEGOTIATION:
        sp_conn_on_version_negotiation(conn, header, now_ns);
        return;
    case SP_PACKET_ZERO_RTT:
    case SP_PACKET_ONE_RTT:
    case SP_PACKET_UNKNOWN_VERSION:
        break;
    }
    sp_conn_drop_packet(conn, header->type, header->size, SP_QLOG_DROP_INVALID);
}

/* ---- Short headers ---- */

/* Packets of one run: each reaches to the end of its datagram. */
struct short_run {
    bool is_foreign; /* of the datagram at hand */
    uint32_t count;
    struct sp_short packets[SP_BATCH_MAX];
};

/* Returns true if `data`, which is no packet of ours, is a Stateless Reset.  The token stands where
 * the tag of a packet would, which opening in place leaves as it was.  [RFC9000 10.3.1] */
static bool is_reset(const struct sp_conn *conn, const uint8_t *data, size_t size)
{
    const uint8_t *token = sp_reset_token_in(data, size);
    return token != NULL && sp_cid_remote_has_token(&conn->remote_ids, token);
}

/* Acts on another key than that of the phase at hand, which has opened packet `pn`.  Returns false
 * if the packet must not be handled. */
static SB_NEVER_INLINE bool on_key_phase(struct sp_conn *conn, const struct sp_key *key,
                                         uint64_t pn, uint64_t now_ns)
{
    const struct sp_keyphase_opened opened = {
        .key = key,
        .pn = pn,
        .next_pn_known = sp_ack_next_pn(&conn->app.ack),
    };
    uint64_t late_ns = sb_time_add(now_ns, 3 * sp_loss_pto_ns(&conn->loss));
    switch (sp_keyphase_on_opened(&conn->keys, &opened, conn->loss.app.sent.next_pn, late_ns)) {
    case SP_KEYPHASE_SAME:
        return true;
    case SP_KEYPHASE_UPDATED:
        conn->stats.key_updates++;
        return true;
    case SP_KEYPHASE_NO_MEMORY:
        conn->is_out_of_memory = true;
        return false;
    case SP_KEYPHASE_VIOLATION:
        sp_conn_fail(conn, SP_ERR_KEY_UPDATE, 0, "keys updated out of order", now_ns);
        return false;
    }
    return false;
}

/* Returns the path of an authentic packet, or NULL. */
static struct sp_conn_path *path_of(struct sp_conn *conn, const struct sp_short *packet,
                                    uint64_t now_ns)
{
    if (SB_UNLIKELY(packet->is_foreign || conn->path_count > 1) &&
        !sp_path_equal(&packet->datagram->path, &conn->path->path))
        return sp_conn_path_of_packet(conn, packet->datagram, packet->lcid, now_ns);
    conn->path->lcid = packet->lcid;
    return conn->path;
}

/* Handles a packet after the attempt to open it. */
static void receive_short(struct sp_conn *conn, const struct sp_short *received,
                          const struct sp_key *key, const struct sp_open *open,
                          const struct sp_packed *lone, uint64_t now_ns)
{
    size_t size = open->header_size + open->size;
    if (!open->is_authentic) {
        struct sp_key_limits limits = conn->keys.limits;
        if (is_reset(conn, open->header, size))
            sp_conn_on_stateless_reset(conn, now_ns);
        else
            on_open_failed(conn, SP_PACKET_ONE_RTT, size, &limits, now_ns);
        return;
    }
    /* [RFC9000 12.3] Only what is opened can be a duplicate. */
    if (sp_ack_is_known(&conn->app.ack, open->pn)) {
        conn->stats.packets_duplicate++;
        sp_conn_drop_packet(conn, SP_PACKET_ONE_RTT, size, SP_QLOG_DROP_DUPLICATE);
        return;
    }

    if (!sp_keyphase_is_same(&conn->keys, key, open->pn) &&
        !on_key_phase(conn, key, open->pn, now_ns))
        return;

    struct sp_packet opened = {
        .type = SP_PACKET_ONE_RTT,
        .space = SP_SPACE_APP,
        .pn = open->pn,
        .payload = open->head != NULL ? open->head : open->data,
        .payload_size = lone != NULL ? open->head_size : open->size - SP_TAG_SIZE,
        .size = size,
        .lone = lone != NULL ? &lone->frame : NULL,
        .lone_buffer = conn->pieces.lent_count > 0 ? NULL : received->datagram->buffer,
        .continues = lone != NULL && lone->continues,
        .datagram = received->datagram,
        .path = path_of(conn, received, now_ns),
        .key = key,
    };
    /* [RFC9000 17.3.1] */
    if ((received->first & SP_HEADER_SHORT_RESERVED) != 0)
        sp_conn_fail(conn, SP_ERR_PROTOCOL_VIOLATION, 0, "reserved bits are set", now_ns);
    else
        process(conn, &opened, now_ns);
}

static struct sp_key *key_of_short(const struct sp_conn *conn, const struct sp_open *open)
{
    return sp_keyphase_read_key(&conn->keys, (open->header[0] & SP_HEADER_KEY_PHASE) != 0,
                                open->pn);
}

/* Removes the header protection.  All packet numbers of a run are decoded from the largest number
 * known before the run: the sender makes them long enough, and a forged one has no influence. */
static void unmask_short_run(struct sp_conn *conn, struct short_run *run,
                             struct sp_open opens[SP_BATCH_MAX])
{
    const uint8_t *samples[SP_BATCH_MAX];
    uint8_t masks[SP_BATCH_MAX][SP_MASK_SIZE];
    size_t pn_offset = 1 + (size_t)conn->config->cid_size;
    uint64_t next_pn = sp_ack_next_pn(&conn->app.ack);

    for (uint32_t i = 0; i < run->count; i++)
        samples[i] = run->packets[i].data + pn_offset + SP_PN_SIZE_MAX;
    /* The header key is the same for all key phases. */
    conn->protect.ops->masks(conn->keys.read, samples, run->count, masks);
    for (uint32_t i = 0; i < run->count; i++) {
        uint8_t *data = run->packets[i].data;
        uint32_t pn_size = sp_header_unmask(data, data + pn_offset, masks[i]);
        size_t header_size = pn_offset + pn_size;
        run->packets[i].first = data[0];
        opens[i] = (struct sp_open){
            .pn = sp_pn_expand(next_pn, sp_pn_read(data + pn_offset, pn_size), pn_size),
            .header = data,
            .header_size = header_size,
            .data = data + header_size,
            .size = run->packets[i].size - header_size,
        };
    }
}

/* The spin bit follows the packet with the largest number: mostly the last one.  [RFC9000 17.4] */
static void follow_spin(struct sp_conn *conn, const struct short_run *run,
                        const struct sp_open *opens)
{
    uint64_t largest = sp_ack_next_pn(&conn->app.ack) - 1;
    for (uint32_t i = run->count; i-- > 0;)
        if (opens[i].is_authentic && opens[i].pn == largest) {
            sp_header_bits_on_received(conn, run->packets[i].first);
            return;
        }
}

/* Masks for the whole run in one cipher call, then all packets of one key are opened. */
static void flush_short_run(struct sp_conn *conn, struct short_run *run, uint64_t now_ns)
{
    struct sp_open opens[SP_BATCH_MAX];
    struct sp_packed packed[SP_BATCH_MAX]; /* of those that are one STREAM frame */
    uint32_t count = run->count;

    if (count == 0)
        return;
    unmask_short_run(conn, run, opens);
    for (uint32_t at = 0; at < count && conn->state == SP_CONN_OPEN;) {
        struct sp_key *key = key_of_short(conn, &opens[at]);
        uint32_t first = at, end = at + 1;
        while (end < count && key_of_short(conn, &opens[end]) == key)
            end++;
        uint64_t lone =
            sp_conn_open_run(conn, key, &run->packets[at], &opens[at], end - at, &packed[at]);
        if (SB_UNLIKELY(conn->streams.count > SP_STREAM_MAP_FEW))
            sp_conn_prefetch_streams(conn, &opens[at], end - at);
        for (; at < end && conn->state == SP_CONN_OPEN; at++) {
            const struct sp_short *packet = &run->packets[at];
            bool is_lone = (lone >> (at - first) & 1) != 0;
            receive_short(conn, packet, key, &opens[at], is_lone ? &packed[at] : NULL, now_ns);
        }
    }
    if (conn->state == SP_CONN_OPEN && conn->bits.spins)
        follow_spin(conn, run, opens);
    run->count = 0;
}

static void add_short(struct sp_conn *conn, struct short_run *run,
                      const struct sp_datagram *datagram, uint8_t *data, size_t size,
                      uint64_t now_ns)
{
    uint32_t lcid = SP_CID_NONE;
    if (sp_header_is_short(data, size, conn->config->cid_size) && may_have_bits(conn, data[0]))
        lcid = sp_conn_find_cid(conn, data + 1, conn->config->cid_size);
    if (lcid == SP_CID_NONE) {
        if (is_reset(conn, data, size))
            sp_conn_on_stateless_reset(conn, now_ns);
        else
            sp_conn_drop_packet(conn, SP_PACKET_ONE_RTT, size, SP_QLOG_DROP_UNKNOWN_CID);
        return;
    }
    if (!can_read_app(conn)) {
        sp_conn_keep_undecryptable(conn, datagram, data, size, SP_PACKET_ONE_RTT, now_ns);
        return;
    }
    if (run->count == SP_BATCH_MAX)
        flush_short_run(conn, run, now_ns);
    run->packets[run->count++] = (struct sp_short){
        .datagram = datagram,
        .data = data,
        .size = size,
        .lcid = lcid,
        .is_foreign = run->is_foreign,
    };
}

/* ---- Datagrams ---- */

static void receive_datagram(struct sp_conn *conn, const struct sp_datagram *datagram,
                             struct short_run *run, uint64_t now_ns)
{
    uint8_t *data = datagram->data;
    size_t left = datagram->size;

    conn->stats.datagrams_in++;
    conn->stats.bytes_in += left;
    run->is_foreign = !sp_path_equal(&datagram->path, &conn->path->path);
    if (SB_UNLIKELY(run->is_foreign) && !sp_conn_may_come_by(conn, &datagram->path)) {
        sp_conn_drop_packet(conn, SP_PACKET_UNKNOWN_VERSION, left, SP_QLOG_DROP_REJECTED);
        return;
    }
    sp_conn_path_credit(conn, &datagram->path, left);

    while (left > 0 && conn->state == SP_CONN_OPEN && !conn->is_out_of_memory) {
        if ((data[0] & SP_HEADER_LONG) == 0) {
            add_short(conn, run, datagram, data, left, now_ns);
            return;
        }
        flush_short_run(conn, run, now_ns);
        if (conn->state != SP_CONN_OPEN)
            return;

        struct sp_header header;
        if (!sp_header_read(data, left, conn->config->cid_size, &header) ||
            header.type == SP_PACKET_UNKNOWN_VERSION ||
            (header.version != 0 && !may_have_bits(conn, data[0])) ||
            sp_conn_find_cid(conn, header.dcid.bytes, header.dcid.size) == SP_CID_NONE) {
            sp_conn_drop_packet(conn, SP_PACKET_UNKNOWN_VERSION, left, SP_QLOG_DROP_INVALID);
            return; /* [RFC9000 5.2.1, 12.2] */
        }
        receive_long(conn, datagram, data, &header, now_ns);
        SB_ASSERT(header.size > 0 && header.size <= left);
        data += header.size;
        left -= header.size;
    }
}

/* Packets that waited for keys, once the keys are there. */
static void receive_undecryptable(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_undecryptable waiting[SP_UNDECRYPTABLE_MAX];
    uint32_t count = conn->handshake->undecryptable_count;

    memcpy(waiting, conn->handshake->undecryptable, sizeof(waiting[0]) * count);
    conn->handshake->undecryptable_count = 0; /* packets that still lack keys are kept again */
    for (uint32_t i = 0; i < count; i++) {
        struct sp_datagram *datagram = &waiting[i].datagram;
        struct short_run run = {.count = 0};
        struct sp_header header;

        datagram->waited_ns = sb_time_since(now_ns, waiting[i].arrived_ns);
        if (conn->state == SP_CONN_OPEN && waiting[i].type == SP_PACKET_ONE_RTT) {
            add_short(conn, &run, datagram, datagram->data, datagram->size, now_ns);
            flush_short_run(conn, &run, now_ns);
        } else if (conn->state == SP_CONN_OPEN && sp_header_read(datagram->data, datagram->size,
                                                                 conn->config->cid_size, &header)) {
            receive_long(conn, datagram, datagram->data, &header, now_ns);
        }
        sb_buffer_unref(datagram->buffer);
    }
}

/* Keys that came with one packet may open others that wait.  Every round takes at least one. */
static bool has_decryptable(const struct sp_conn *conn)
{
    const struct sp_handshake *handshake = conn->handshake;
    for (uint32_t i = 0; handshake != NULL && i < handshake->undecryptable_count; i++) {
        enum sp_packet_type type = handshake->undecryptable[i].type;
        if (type == SP_PACKET_ONE_RTT    ? can_read_app(conn)
            : type == SP_PACKET_ZERO_RTT ? conn->early != NULL
                                         : sp_conn_read_key(conn, SP_SPACE_HANDSHAKE) != NULL)
            return true;
    }
    return false;
}

void sp_conn_receive(struct sp_conn *conn, const struct sp_datagram *datagrams, uint32_t count,
                     uint64_t now_ns)
{
    struct short_run run;
    run.count = 0;
    sp_conn_trace_receive(conn, datagrams, count, now_ns);
    if (SB_UNLIKELY(conn->keys.is_resting) && !sp_conn_wake(conn, now_ns))
        count = 0; /* lost, as what there is no room for */
    for (uint32_t i = 0; i < count; i++) {
        if (conn->state == SP_CONN_CLOSING) {
            /* [RFC9000 10.2.1] A datagram from elsewhere is not answered, there or here. */
            if (!sp_addr_equal(&datagrams[i].path.remote, &conn->path->path.remote))
                continue;
            sp_conn_path_credit(conn, &datagrams[i].path,
                                datagrams[i].size); /* a CONNECTION_CLOSE may wait for it */
            sp_conn_on_datagram_while_closing(conn, datagrams[i].size);
            continue;
        }
        if (conn->state != SP_CONN_OPEN)
            break;
        SB_ASSERT(datagrams[i].data != NULL && datagrams[i].size > 0);
        receive_datagram(conn, &datagrams[i], &run, now_ns);
    }
    if (conn->state == SP_CONN_OPEN)
        flush_short_run(conn, &run, now_ns);
    while (conn->state == SP_CONN_OPEN && has_decryptable(conn))
        receive_undecryptable(conn, now_ns);
    sp_conn_messages_end_batch(conn);
    sp_conn_check_memory(conn, now_ns);
    if (conn->state == SP_CONN_OPEN)
        sp_conn_decide_acks(conn, now_ns);
    if (SB_UNLIKELY(conn->is_roused) && conn->state == SP_CONN_OPEN)
        sp_conn_rest_roused(conn);
    if (SB_UNLIKELY(conn->path_count > 1))
        sp_conn_paths_sweep(conn);
    sp_conn_trace_end(conn);
    if (sp_conn_handshake_is_over(conn))
        sp_conn_end_handshake(conn);
}

void sp_conn_resume_tls(struct sp_conn *conn, uint64_t now_ns)
{
    if (conn->state != SP_CONN_OPEN || conn->tls == NULL)
        return;
    sp_conn_pull_tls(conn, now_ns);
    sp_conn_receive(conn, NULL, 0, now_ns); /* new keys may open packets that wait */
}

/* SPDX-License-Identifier: MIT */
/* A client that sends what it likes: the handshake, the keys, the packets.
 *
 * It reads just enough of what comes back to know the limits and which packets it may
 * acknowledge.  The frames are in hostile_frames.c. */

#include "test/support/hostile.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/conn/impl.h"
#include "proto/wire/frame.h"

enum { CONNS_MAX = 65536, STREAMS_MAX = 65536, PN_SIZE = 4 };

/* ---- The host ---- */

static void *take_memory(void *context, size_t size)
{
    (void)context;
    size_t alignment = sb_memory_alignment(size);
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void give_memory(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    free(block);
}

void hostile_host_init(struct hostile_host *host, const struct sp_protect *protect,
                       const struct sp_tls_ops *tls_ops,
                       struct sp_tls *(*make_tls)(void *context, uint64_t seed), void *context)
{
    *host = (struct hostile_host){
        .protect = *protect,
        .tls_ops = tls_ops,
        .make_tls = make_tls,
        .context = context,
        .memory = {.take = take_memory, .give = give_memory},
    };
    sp_config_init(&host->config);
    host->config.cid_size = 8;
    struct sp_pool_limits limits = {.conns_max = CONNS_MAX, .streams_max = STREAMS_MAX};
    sp_pools_init(&host->pools, &limits, &host->memory);
}

void hostile_host_deinit(struct hostile_host *host)
{
    if (host->tls_ops == NULL)
        return;
    sp_pools_deinit(&host->pools);
    *host = (struct hostile_host){0};
}

static void make_random(void *context, void *out, size_t size)
{
    struct hostile *h = context;
    qs_random_bytes(&h->random, out, size);
}

static void make_token(void *context, const struct sp_cid *cid, uint8_t ret[SP_RESET_TOKEN_SIZE])
{
    (void)cid;
    make_random(context, ret, SP_RESET_TOKEN_SIZE);
}

static void make_cid(void *context, size_t size, struct sp_cid *ret)
{
    uint8_t bytes[SP_CID_SIZE_MAX];
    make_random(context, bytes, size);
    *ret = sp_cid_of(bytes, size);
}

static struct sp_tls *make_tls(void *context)
{
    struct hostile *h = context;
    return h->host->make_tls(h->host->context, qs_random_next(&h->random));
}

/* ---- The handshake ---- */

struct hostile *hostile_create(struct hostile_host *host, const struct sp_path *path, uint64_t seed,
                               uint64_t now_ns)
{
    struct hostile *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return NULL;
    h->host = host;
    h->largest_in = SB_VARINT_NONE;
    h->seen_size_max = SIZE_MAX;
    qs_random_init(&h->random, seed);
    struct sp_conn_args args = {
        .role = SP_CLIENT,
        .config = &host->config,
        .pools = &host->pools,
        .protect = host->protect,
        .tls_ops = host->tls_ops,
        .host = {make_random, make_token, make_cid, make_tls, h},
        .path = *path,
    };
    h->conn = sp_conn_create(&args, now_ns);
    if (h->conn == NULL) {
        free(h);
        return NULL;
    }
    return h;
}

static void drop_own_key(struct hostile *h, struct sp_key *key)
{
    if (key != h->conn->keys.read && key != h->conn->keys.write)
        h->host->protect.ops->destroy(key);
}

void hostile_destroy(struct hostile *h)
{
    if (h == NULL)
        return;
    drop_own_key(h, h->read);
    drop_own_key(h, h->write);
    sp_conn_destroy(h->conn);
    free(h);
}

/* The handshake is confirmed: the connection's numbers and keys are ours. */
static void take_over(struct hostile *h)
{
    const struct sp_conn *conn = h->conn;
    h->state = HOSTILE_READY;
    h->read = conn->keys.read;
    h->write = conn->keys.write;
    h->next_pn = conn->loss.spaces[SP_SPACE_APP]->sent.next_pn;
    h->write_is_acked = true;
    uint64_t next_in = sp_ack_next_pn(&conn->app.ack);
    h->largest_in = next_in > 0 ? next_in - 1 : SB_VARINT_NONE;
    h->dcid = *sp_cid_remote_active(&conn->remote_ids);
    h->conn_limit = h->conn_start = conn->max_data;
    h->stream_limit = h->stream_start = conn->peer_stream_data_bidi_remote;
    h->streams_limit[0] = conn->limits[0].local_max;
    h->streams_limit[1] = conn->limits[1].local_max;
    h->odd_offset = 1;
    h->crypto_offset = 1;
    h->cid_sequence = SP_CIDS_MAX;
    for (uint32_t i = 0; i < SP_CIDS_MAX; i++)
        if (conn->remote_ids.entries[i].is_used)
            h->cid_sequence_in = SB_MAX(h->cid_sequence_in, conn->remote_ids.entries[i].sequence);
}

static void pull_events(struct hostile *h)
{
    struct sp_event event;
    while (sp_conn_next_event(h->conn, &event)) {
        if (event.kind == SP_EVENT_STREAM_DATA)
            sb_buffer_unref(event.data.slice.buffer);
        if (event.kind == SP_EVENT_NEW_TOKEN)
            sb_buffer_unref(event.new_token.buffer);
        if (event.kind == SP_EVENT_CLOSED)
            h->state = HOSTILE_CLOSED;
        else if (event.kind == SP_EVENT_CONFIRMED && h->state == HOSTILE_HANDSHAKE)
            take_over(h);
    }
}

size_t hostile_send(struct hostile *h, uint8_t *out, size_t room, uint64_t now_ns)
{
    if (h->state == HOSTILE_READY)
        return 0;
    struct sp_train train = {.data = out, .capacity = room, .count_max = 1};
    uint32_t count = sp_conn_send(h->conn, &train, now_ns);
    pull_events(h);
    return count > 0 ? train.size : 0;
}

void hostile_on_time(struct hostile *h, uint64_t now_ns)
{
    if (h->state != HOSTILE_HANDSHAKE || sp_conn_deadline_ns(h->conn) > now_ns)
        return;
    sp_conn_on_deadline(h->conn, now_ns);
    pull_events(h);
}

/* ---- Received packets ---- */

struct bytes {
    struct sb_buffer buffer;
    uint8_t data[];
};

static void free_bytes(struct sb_buffer *buffer)
{
    free(SB_CONTAINER_OF(buffer, struct bytes, buffer));
}

static void on_frame(struct hostile *h, const struct sp_frame *frame)
{
    switch (frame->type) {
    case SP_FRAME_ACK:
    case SP_FRAME_ACK_ECN:
        h->write_is_acked |= frame->ack.largest >= h->write_first_pn;
        break;
    case SP_FRAME_MAX_DATA:
        h->conn_limit = SB_MAX(h->conn_limit, frame->limit);
        break;
    case SP_FRAME_MAX_STREAM_DATA:
        if (frame->on_stream.id == 0)
            h->stream_limit = SB_MAX(h->stream_limit, frame->on_stream.limit);
        break;
    case SP_FRAME_MAX_STREAMS_BIDI:
    case SP_FRAME_MAX_STREAMS_UNI: {
        uint64_t *limit = &h->streams_limit[frame->type - SP_FRAME_MAX_STREAMS_BIDI];
        *limit = SB_MAX(*limit, frame->limit);
        break;
    }
    case SP_FRAME_NEW_CONNECTION_ID:
        h->cid_sequence_in = SB_MAX(h->cid_sequence_in, frame->new_cid.sequence);
        break;
    case SP_FRAME_PATH_CHALLENGE:
        memcpy(h->challenges[h->challenge_count++ % HOSTILE_CHALLENGES_MAX], frame->path_data,
               SP_PATH_DATA_SIZE);
        break;
    case SP_FRAME_CONNECTION_CLOSE:
    case SP_FRAME_CONNECTION_CLOSE_APP:
        h->state = HOSTILE_CLOSED;
        break;
    default:
        if ((frame->type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM)
            h->bytes_in += frame->stream.size;
        break;
    }
}

/* Opens with the key of the packet's phase, and moves on to the next one where that fits. */
static bool open_packet(struct hostile *h, bool phase_bit, uint64_t pn, struct sb_bytes header,
                        uint8_t *body, size_t size)
{
    const struct sp_protect_ops *ops = h->host->protect.ops;
    if (phase_bit == ((h->read_phase & 1) != 0))
        return sp_open_in_place(ops, h->read, pn, header, body, size);
    struct sp_key *next = ops->next(h->read);
    if (next == NULL || !sp_open_in_place(ops, next, pn, header, body, size)) {
        ops->destroy(next);
        return false;
    }
    drop_own_key(h, h->read);
    h->read = next;
    h->read_phase++;
    return true;
}

/* Of a datagram that the peer coalesced, only a packet with a short header at its start. */
static void read_packet(struct hostile *h, uint8_t *data, size_t size)
{
    uint8_t cid_size = h->host->config.cid_size;
    if (!sp_header_is_short(data, size, cid_size))
        return;
    uint8_t *pn_at = data + 1 + cid_size;
    const uint8_t *sample = pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    h->host->protect.ops->masks(h->read, &sample, 1, mask);
    uint32_t pn_size = sp_header_unmask(data, pn_at, mask[0]);
    uint64_t next = h->largest_in == SB_VARINT_NONE ? 0 : h->largest_in + 1;
    uint64_t pn = sp_pn_expand(next, sp_pn_read(pn_at, pn_size), pn_size);
    struct sb_bytes header = {data, 1 + (size_t)cid_size + pn_size};
    uint8_t *body = data + header.size;
    bool phase_bit = (data[0] & SP_HEADER_KEY_PHASE) != 0;
    if (!open_packet(h, phase_bit, pn, header, body, size - header.size))
        return;

    h->opened_count++;
    if (size >= h->seen_size_min && size <= h->seen_size_max)
        h->seen[h->seen_count++ % HOSTILE_SEEN_MAX] = pn;
    if (h->largest_in == SB_VARINT_NONE || pn > h->largest_in)
        h->largest_in = pn;
    struct sb_reader reader = sb_reader_of(body, size - header.size - SP_TAG_SIZE);
    struct sp_frame frame;
    while (sb_reader_left(&reader) > 0 &&
           sp_frame_read(&reader, SP_PACKET_ONE_RTT, &frame) == SP_OK)
        on_frame(h, &frame);
}

void hostile_receive(struct hostile *h, const uint8_t *data, size_t size, uint64_t now_ns)
{
    if (h->state == HOSTILE_CLOSED || size == 0)
        return;
    struct bytes *bytes = malloc(sizeof(*bytes) + size);
    SB_ASSERT(bytes != NULL);
    bytes->buffer = (struct sb_buffer){.ref_count = 1, .release = free_bytes};
    memcpy(bytes->data, data, size);
    if (h->state == HOSTILE_READY) {
        read_packet(h, bytes->data, size);
    } else {
        struct sp_datagram datagram = {
            .data = bytes->data,
            .size = size,
            .buffer = &bytes->buffer,
            .path = h->conn->path->path,
        };
        sp_conn_receive(h->conn, &datagram, 1, now_ns);
        pull_events(h);
    }
    sb_buffer_unref(&bytes->buffer);
}

/* ---- Packets to send ---- */

void hostile_update_key(struct hostile *h)
{
    SB_ASSERT(h->state != HOSTILE_HANDSHAKE);
    struct sp_key *next = h->host->protect.ops->next(h->write);
    SB_ASSERT(next != NULL);
    drop_own_key(h, h->write);
    h->write = next;
    h->write_phase++;
    h->write_first_pn = h->next_pn;
    h->write_is_acked = false;
}

struct packet {
    struct sp_key *key;
    uint64_t pn;
    uint8_t *data;
    uint8_t *pn_at;
    size_t header_size;
};

static void seal_packet(const struct sp_protect_ops *ops, const struct packet *packet,
                        const uint8_t *frames, size_t size)
{
    struct sp_seal seal = {
        .pn = packet->pn,
        .header = packet->data,
        .header_size = packet->header_size,
        .parts = &(struct sb_bytes){frames, size},
        .part_count = 1,
        .out = packet->data + packet->header_size,
    };
    (void)ops->seal(packet->key, &seal);
    const uint8_t *sample = packet->pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    ops->masks(packet->key, &sample, 1, mask);
    sp_header_mask(packet->data, packet->pn_at, PN_SIZE, mask[0]);
}

size_t hostile_seal(struct hostile *h, const uint8_t *frames, size_t size, uint8_t *out,
                    size_t room)
{
    SB_ASSERT(h->state != HOSTILE_HANDSHAKE && size > 0 && room >= size + 64);
    struct packet packet = {.key = h->write, .pn = h->next_pn++, .data = out};
    struct sb_writer w = sb_writer_of(out, room);
    struct sp_short_header header = {
        .dcid = &h->dcid,
        .pn = packet.pn,
        .pn_size = PN_SIZE,
        .key_phase = (h->write_phase & 1) != 0,
    };
    sp_header_write_short(&w, &header, &packet.pn_at);
    SB_ASSERT(!w.failed);
    packet.header_size = sb_writer_used(&w);
    seal_packet(h->host->protect.ops, &packet, frames, size);
    return packet.header_size + size + SP_TAG_SIZE;
}

size_t hostile_initial(const struct sp_protect *protect, const struct sp_cid *dcid,
                       const struct sp_cid *scid, uint64_t pn, const uint8_t *frames, size_t size,
                       uint8_t out[SP_DATAGRAM_SIZE_MIN])
{
    struct sp_key *read, *write;
    if (!protect->ops->initial(protect->context, SP_VERSION_1, dcid, SP_CLIENT, &read, &write))
        return 0;
    struct sp_long_header header = {.version = SP_VERSION_1,
                                    .type = SP_PACKET_INITIAL,
                                    .dcid = *dcid,
                                    .scid = *scid,
                                    .pn = pn,
                                    .pn_size = PN_SIZE};
    struct packet packet = {.key = write, .pn = pn, .data = out};
    uint8_t *length_at;
    struct sb_writer w = sb_writer_of(out, SP_DATAGRAM_SIZE_MIN);
    sp_header_write_long(&w, &header, &length_at, &packet.pn_at);
    SB_ASSERT(!w.failed);
    packet.header_size = sb_writer_used(&w);

    uint8_t payload[SP_DATAGRAM_SIZE_MIN] = {0}; /* PADDING */
    size_t payload_size = SP_DATAGRAM_SIZE_MIN - packet.header_size - SP_TAG_SIZE;
    SB_ASSERT(size <= payload_size);
    memcpy(payload, frames, size);
    sp_header_set_length(length_at, PN_SIZE + payload_size + SP_TAG_SIZE);
    seal_packet(protect->ops, &packet, payload, payload_size);
    protect->ops->destroy(read);
    protect->ops->destroy(write);
    return SP_DATAGRAM_SIZE_MIN;
}

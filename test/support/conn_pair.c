/* SPDX-License-Identifier: MIT */
#include "test/support/conn_pair.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/conn/message.h"
#include "test/sim/random.h"

enum { DATAGRAM_SIZE_MAX = PAIR_DATAGRAM_SIZE_MAX, ROUNDS_MAX = 1000 };

static void *take_memory(void *context, size_t size)
{
    struct conn_pair *pair = context;
    if (pair->memory_left == 0)
        return NULL;
    pair->memory_left--;
    return heap_take(&pair->heap, size);
}

static void give_memory(void *context, void *block, size_t size)
{
    struct conn_pair *pair = context;
    heap_give(&pair->heap, block, size);
}

static void make_random(void *context, void *out, size_t size)
{
    struct pair_end *end = context;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (uint8_t)qs_mix(++end->random);
}

static void make_token(void *context, const struct sp_cid *cid, uint8_t ret[SP_RESET_TOKEN_SIZE])
{
    (void)context;
    uint64_t halves[2] = {qs_hash(1, cid->bytes, cid->size), qs_hash(2, cid->bytes, cid->size)};
    memcpy(ret, halves, SP_RESET_TOKEN_SIZE);
}

static void make_cid(void *context, size_t size, struct sp_cid *ret)
{
    uint8_t bytes[SP_CID_SIZE_MAX];
    make_random(context, bytes, size);
    *ret = sp_cid_of(bytes, size);
}

static enum sp_role role_of(const struct pair_end *end)
{
    return end == &end->pair->ends[SP_SERVER] ? SP_SERVER : SP_CLIENT;
}

static struct sp_tls *make_tls(void *context)
{
    struct pair_end *end = context;
    struct sp_tls *tls = end->tls;
    end->tls = NULL;
    return tls != NULL
               ? tls
               : qs_null_tls_create(role_of(end), &end->pair->tls_plan, qs_mix(++end->random));
}

static size_t new_token(void *context, uint8_t ret_token[SP_NEW_TOKEN_SIZE_MAX])
{
    const struct pair_end *end = context;
    memset(ret_token, 'n', sizeof(end->pair->token));
    return sizeof(end->pair->token);
}

/* Resumes with the pair's ticket, and proves the address with its token. */
static void resume(struct conn_pair *pair, struct sp_conn_args *args)
{
    struct pair_end *end = &pair->ends[SP_CLIENT];
    args->token = (struct sb_bytes){pair->token, pair->token_size};
    if (pair->ticket_size == 0)
        return;
    end->tls = qs_null_tls_create(SP_CLIENT, &pair->tls_plan, qs_mix(++end->random));
    bool done =
        qs_null_tls_resume(end->tls, (struct sb_bytes){pair->ticket, pair->ticket_size}, true);
    SB_ASSERT(done);
    args->early_params = qs_null_tls_early_params(end->tls);
}

void pair_init(struct conn_pair *pair)
{
    pair_deinit(pair);
    *pair = (struct conn_pair){.memory_left = UINT64_MAX, .now_ns = SB_S};
    heap_init(&pair->heap);
    pair->memory = (struct sb_memory){.take = take_memory, .give = give_memory, .context = pair};
    sp_config_init(&pair->config);
    qs_null_plan_init(&pair->protect_plan);
    qs_tls_plan_init(&pair->tls_plan);
    pair->tls_ops = &qs_null_tls_ops;
    struct sp_pool_limits limits = {.conns_max = 2, .streams_max = 12000};
    sp_pools_init(&pair->pools, &limits, &pair->memory);
    for (uint32_t i = 0; i < 2; i++)
        pair->ends[i] = (struct pair_end){.pair = pair, .random = 1000 * (uint64_t)i};
}

static struct sp_path path_of(enum sp_role role)
{
    struct sp_path path = {
        .local = {.ip = {10, 0, 0, 1}, .port = 1000, .family = 4},
        .remote = {.ip = {10, 0, 0, 2}, .port = 443, .family = 4},
    };
    if (role == SP_CLIENT)
        return path;
    return (struct sp_path){.local = path.remote, .remote = path.local};
}

static void make_end(struct conn_pair *pair, enum sp_role role, const struct sp_header *first)
{
    pair->ends[role].config = pair->config; /* a connection's does not change */
    struct sp_conn_args args = {
        .role = role,
        .config = &pair->ends[role].config,
        .pools = &pair->pools,
        .protect = {&qs_null_protect_ops, &pair->protect_plan},
        .tls_ops = pair->tls_ops,
        .host = {make_random, make_token, make_cid, make_tls, &pair->ends[role]},
        .path = path_of(role),
    };
    if (role == SP_CLIENT)
        resume(pair, &args);
    if (role == SP_SERVER && pair->sends_new_token)
        args.host.new_token = new_token;
    args.preferred = role == SP_SERVER ? &pair->preferred : NULL;
    if (first != NULL) {
        args.version = first->version;
        args.client_dcid = first->dcid;
        args.client_scid = first->scid;
    }
    pair->ends[role].conn = sp_conn_create(&args, pair->now_ns);
    SB_ASSERT(pair->ends[role].conn != NULL);
}

void pair_start(struct conn_pair *pair)
{
    make_end(pair, SP_CLIENT, NULL);
}

struct sp_conn *pair_conn(struct conn_pair *pair, enum sp_role role)
{
    return pair->ends[role].conn;
}

static void take_of_early(struct conn_pair *pair, const struct sp_event *event)
{
    if (event->kind == SP_EVENT_EARLY_REJECTED) {
        pair->early_rejected_count++;
    } else if (event->kind == SP_EVENT_TICKET) {
        SB_ASSERT(event->ticket.size <= sizeof(pair->ticket));
        memcpy(pair->ticket, event->ticket.data, event->ticket.size);
        pair->ticket_size = event->ticket.size;
    } else if (event->kind == SP_EVENT_NEW_TOKEN) {
        pair->token_size = SB_MIN(event->new_token.size, sizeof(pair->token));
        memcpy(pair->token, event->new_token.data, pair->token_size);
        sb_buffer_unref(event->new_token.buffer);
    }
}

void pair_pull(struct conn_pair *pair, enum sp_role role)
{
    struct sp_conn *conn = pair->ends[role].conn;
    struct sp_event event;
    while (sp_conn_next_event(conn, &event)) {
        if (event.kind == SP_EVENT_MESSAGE) {
            sp_conn_release_message(conn, event.message.size);
            sb_buffer_unref(event.message.buffer);
        }
        take_of_early(pair, &event);
        if (event.kind == SP_EVENT_PREFERRED)
            pair->preferred_seen = event.preferred;
        if (event.kind != SP_EVENT_STREAM_DATA)
            continue;
        sp_conn_consume(conn, event.stream_id, event.data.slice.size);
        sb_buffer_unref(event.data.slice.buffer);
    }
}

/* ---- Datagrams ---- */

struct bytes {
    struct sb_buffer buffer;
    struct heap *heap;
    uint8_t data[DATAGRAM_SIZE_MAX];
};

static void free_bytes(struct sb_buffer *buffer)
{
    struct bytes *bytes = SB_CONTAINER_OF(buffer, struct bytes, buffer);
    heap_give(bytes->heap, bytes, sizeof(*bytes));
}

/* Datagrams side by side. */
struct train {
    struct sb_buffer buffer;
    struct heap *heap;
    size_t size;
    uint8_t data[];
};

static void free_train(struct sb_buffer *buffer)
{
    struct train *train = SB_CONTAINER_OF(buffer, struct train, buffer);
    heap_give(train->heap, train, sizeof(*train) + train->size);
}

/* A copy of its own, which is overwritten while it is opened. */
static struct sp_datagram datagram_of(struct conn_pair *pair, enum sp_role to, const uint8_t *data,
                                      size_t size)
{
    SB_ASSERT(size <= DATAGRAM_SIZE_MAX);
    struct bytes *bytes = heap_take(&pair->heap, sizeof(*bytes));
    SB_ASSERT(bytes != NULL);
    bytes->buffer = (struct sb_buffer){.ref_count = 1, .release = free_bytes};
    bytes->heap = &pair->heap;
    memcpy(bytes->data, data, size);
    return (struct sp_datagram){
        .data = bytes->data,
        .size = size,
        .buffer = &bytes->buffer,
        .path = path_of(to),
        .is_transient = pair->is_transient,
        .ecn = pair->ecn,
    };
}

static void deliver(struct conn_pair *pair, enum sp_role to, const uint8_t *data, size_t size)
{
    struct sp_datagram datagram = datagram_of(pair, to, data, size);
    if (pair->ends[to].conn == NULL) {
        struct sp_header header;
        bool read = sp_header_read(datagram.data, size, pair->config.cid_size, &header);
        SB_ASSERT(read && to == SP_SERVER);
        make_end(pair, to, &header);
    }
    sp_conn_receive(pair->ends[to].conn, &datagram, 1, pair->now_ns);
    sb_buffer_unref(datagram.buffer);
    sp_conn_check(pair->ends[to].conn);
}

void pair_give(struct conn_pair *pair, enum sp_role to, const struct pair_packet *const *packets,
               uint32_t count)
{
    struct sp_datagram datagrams[PAIR_BATCH_MAX] = {0};
    SB_ASSERT(count <= PAIR_BATCH_MAX);
    for (uint32_t i = 0; i < count; i++)
        datagrams[i] = datagram_of(pair, to, packets[i]->data, packets[i]->size);
    sp_conn_receive(pair->ends[to].conn, datagrams, count, pair->now_ns);
    for (uint32_t i = 0; i < count; i++)
        sb_buffer_unref(datagrams[i].buffer);
    sp_conn_check(pair->ends[to].conn);
}

void pair_give_train(struct conn_pair *pair, enum sp_role to,
                     const struct pair_packet *const *packets, uint32_t count)
{
    struct sp_datagram datagrams[PAIR_BATCH_MAX] = {0};
    size_t size = 0;
    SB_ASSERT(count > 0 && count <= PAIR_BATCH_MAX);
    for (uint32_t i = 0; i < count; i++)
        size += packets[i]->size;
    struct train *train = heap_take(&pair->heap, sizeof(*train) + size);
    SB_ASSERT(train != NULL);
    train->buffer = (struct sb_buffer){.ref_count = 1, .release = free_train};
    train->heap = &pair->heap;
    train->size = size;
    uint8_t *at = train->data;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(at, packets[i]->data, packets[i]->size);
        datagrams[i] = (struct sp_datagram){
            .data = at,
            .size = packets[i]->size,
            .buffer = &train->buffer,
            .path = path_of(to),
            .is_transient = pair->is_transient,
            .ecn = pair->ecn,
        };
        at += packets[i]->size;
    }
    sp_conn_receive(pair->ends[to].conn, datagrams, count, pair->now_ns);
    sb_buffer_unref(&train->buffer);
    sp_conn_check(pair->ends[to].conn);
}

/* One datagram.  0: nothing to send. */
static size_t send_one(struct conn_pair *pair, enum sp_role from, uint8_t *out)
{
    struct sp_train train = {.data = out, .capacity = DATAGRAM_SIZE_MAX, .count_max = 1};
    uint32_t count = sp_conn_send(pair->ends[from].conn, &train, pair->now_ns);
    return count > 0 ? train.size : 0;
}

static enum sp_role other(enum sp_role role)
{
    return role == SP_CLIENT ? SP_SERVER : SP_CLIENT;
}

bool pair_take(struct conn_pair *pair, enum sp_role from, struct pair_packet *ret)
{
    ret->size = send_one(pair, from, ret->data);
    return ret->size > 0;
}

void pair_start_answered(struct conn_pair *pair, struct pair_packet *ret)
{
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    bool is_answered = pair_take(pair, SP_SERVER, ret);
    SB_ASSERT(is_answered);
}

void pair_deliver(struct conn_pair *pair, enum sp_role to, const struct pair_packet *packet)
{
    deliver(pair, to, packet->data, packet->size);
}

static bool carry(struct conn_pair *pair, enum sp_role from)
{
    uint8_t out[DATAGRAM_SIZE_MAX];
    size_t size;
    bool any = false;
    for (; (size = send_one(pair, from, out)) > 0; any = true)
        deliver(pair, other(from), out, size);
    pair_pull(pair, from);
    return any;
}

void pair_carry(struct conn_pair *pair, enum sp_role from)
{
    (void)carry(pair, from);
}

bool pair_pass_some(struct conn_pair *pair, uint64_t end_ns)
{
    uint64_t next_ns = SB_NEVER;
    for (uint32_t role = 0; role < 2; role++)
        next_ns = SB_MIN(next_ns, sp_conn_deadline_ns(pair->ends[role].conn));
    if (next_ns >= end_ns) {
        pair->now_ns = end_ns;
        return false;
    }
    pair->now_ns = SB_MAX(pair->now_ns, next_ns);
    for (uint32_t role = 0; role < 2; role++)
        sp_conn_on_deadline(pair->ends[role].conn, pair->now_ns);
    return true;
}

void pair_shuttle(struct conn_pair *pair)
{
    bool is_busy = true;
    for (uint32_t round = 0; is_busy; round++) {
        SB_ASSERT(round < ROUNDS_MAX);
        is_busy = false;
        pair->now_ns += SB_MS;
        for (uint32_t from = 0; from < 2; from++)
            if (pair->ends[from].conn != NULL)
                is_busy |= carry(pair, (enum sp_role)from);
    }
}

void pair_connect(struct conn_pair *pair)
{
    pair_start(pair);
    pair_shuttle(pair);
    SB_ASSERT(pair->ends[SP_CLIENT].conn->handshake_state >= SP_HANDSHAKE_CONFIRMED);
    SB_ASSERT(pair->ends[SP_SERVER].conn->handshake_state >= SP_HANDSHAKE_CONFIRMED);
}

void pair_settle(struct conn_pair *pair)
{
    for (int i = 0; i < 3; i++) {
        pair->now_ns += 30 * SB_MS;
        pair_shuttle(pair);
    }
}

uint32_t pair_flush(struct conn_pair *pair, enum sp_role role, size_t *ret_size_max)
{
    uint8_t out[DATAGRAM_SIZE_MAX];
    uint32_t count = 0;
    size_t size;
    *ret_size_max = 0;
    for (; (size = send_one(pair, role, out)) > 0; count++)
        *ret_size_max = SB_MAX(*ret_size_max, size);
    sp_conn_check(pair->ends[role].conn);
    return count;
}

void pair_end(struct conn_pair *pair)
{
    for (uint32_t i = 0; i < 2; i++) {
        sp_conn_destroy(pair->ends[i].conn);
        pair->ends[i].conn = NULL;
        memset(pair->ends[i].next_pn, 0, sizeof(pair->ends[i].next_pn));
    }
}

void pair_deinit(struct conn_pair *pair)
{
    if (!heap_is_open(&pair->heap))
        return;
    pair_end(pair);
    if (sp_pools_used(&pair->pools) == 0)
        sp_pools_deinit(&pair->pools);
    heap_deinit(&pair->heap); /* asserts that pools and datagrams have left nothing */
}

/* ---- Hand-made packets ---- */

static uint64_t *pn_of(struct conn_pair *pair, enum sp_role from, enum sp_space space)
{
    struct pair_end *end = &pair->ends[from];
    if (end->next_pn[space] == 0)
        end->next_pn[space] = end->conn->loss.spaces[space]->sent.next_pn;
    return &end->next_pn[space];
}

void pair_skip(struct conn_pair *pair, enum sp_role to, enum sp_space space, uint64_t gap)
{
    *pn_of(pair, other(to), space) += gap;
}

static size_t write_header(const struct sp_conn *from, enum sp_space space, uint64_t pn,
                           struct sb_writer *w, uint8_t **ret_length_at, uint8_t **ret_pn_at)
{
    const struct sp_cid *dcid = sp_cid_remote_active(&from->remote_ids);
    if (space == SP_SPACE_APP) {
        struct sp_short_header brief = {
            .dcid = dcid, .pn = pn, .pn_size = 4, .key_phase = from->keys.write_phase & 1};
        sp_header_write_short(w, &brief, ret_pn_at);
    } else {
        struct sp_long_header full = {
            .version = SP_VERSION_1,
            .type = space == SP_SPACE_INITIAL ? SP_PACKET_INITIAL : SP_PACKET_HANDSHAKE,
            .dcid = *dcid,
            .scid = from->role == SP_SERVER ? from->handshake->server_scid
                                            : from->handshake->client_scid,
            .pn = pn,
            .pn_size = 4,
        };
        sp_header_write_long(w, &full, ret_length_at, ret_pn_at);
    }
    return sb_writer_used(w);
}

void pair_make(struct conn_pair *pair, enum sp_role to, enum sp_space space, const uint8_t *frames,
               size_t size, enum pair_fault fault, struct pair_packet *ret)
{
    struct sp_conn *from = pair->ends[other(to)].conn;
    struct sp_key *key = sp_conn_write_key(from, space);
    SB_ASSERT(key != NULL && size <= DATAGRAM_SIZE_MAX - 100);

    *ret = (struct pair_packet){.size = 0};
    uint8_t *packet = ret->data;
    uint8_t *length_at = NULL, *pn_at = NULL;
    uint64_t pn = (*pn_of(pair, other(to), space))++;
    struct sb_writer w = sb_writer_of(packet, sizeof(ret->data));
    size_t header_size = write_header(from, space, pn, &w, &length_at, &pn_at);
    if (fault == PAIR_FAULT_RESERVED)
        packet[0] |= space == SP_SPACE_APP ? SP_HEADER_SHORT_RESERVED : SP_HEADER_LONG_RESERVED;
    if (length_at != NULL)
        sp_header_set_length(length_at, 4 + size + SP_TAG_SIZE);
    struct sp_seal seal = {
        .pn = pn,
        .header = packet,
        .header_size = header_size,
        .parts = &(struct sb_bytes){frames, size},
        .part_count = 1,
        .out = packet + header_size,
    };
    (void)qs_null_protect_ops.seal(key, &seal);
    const uint8_t *sample = pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    qs_null_protect_ops.masks(key, &sample, 1, mask);
    sp_header_mask(packet, pn_at, 4, mask[0]);

    size_t sealed_size = header_size + size + SP_TAG_SIZE;
    if (fault == PAIR_FAULT_TAG)
        packet[sealed_size - 1] ^= 1;
    /* [RFC9000 14.1] What follows the Initial is no packet, but counts as padding here. */
    ret->size = space == SP_SPACE_INITIAL ? SB_MAX(sealed_size, SP_DATAGRAM_SIZE_MIN) : sealed_size;
}

void pair_inject(struct conn_pair *pair, enum sp_role to, enum sp_space space,
                 const uint8_t *frames, size_t size, enum pair_fault fault)
{
    struct pair_packet packet;
    pair_make(pair, to, space, frames, size, fault, &packet);
    deliver(pair, to, packet.data, packet.size);
}

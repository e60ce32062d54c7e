/* SPDX-License-Identifier: MIT */
#include "test/support/null_pair.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/time.h"

enum { CID_SIZE = 8, TRAIN_SIZE = 8 * 1500 };

struct datagram {
    struct sb_buffer buffer;
    struct null_pair *pair;
    uint8_t data[];
};

static void release(struct sb_buffer *buffer)
{
    struct datagram *datagram = SB_CONTAINER_OF(buffer, struct datagram, buffer);
    SB_ASSERT(datagram->pair->datagram_count > 0);
    datagram->pair->datagram_count--;
    free(datagram);
}

static void host_random(void *context, void *out, size_t size)
{
    struct null_end *end = context;
    qs_random_bytes(&end->random, out, size);
}

static void host_reset_token(void *context, const struct sp_cid *cid,
                             uint8_t ret_token[SP_RESET_TOKEN_SIZE])
{
    (void)context;
    memset(ret_token, 0, SP_RESET_TOKEN_SIZE);
    memcpy(ret_token, cid->bytes, SB_MIN(cid->size, SP_RESET_TOKEN_SIZE));
    ret_token[SP_RESET_TOKEN_SIZE - 1] = 0x5a;
}

static void host_make_cid(void *context, size_t size, struct sp_cid *ret)
{
    struct null_end *end = context;
    uint8_t bytes[SP_CID_SIZE_MAX];
    qs_random_bytes(&end->random, bytes, size);
    *ret = sp_cid_of(bytes, size);
}

static struct sp_tls *host_make_tls(void *context)
{
    struct null_end *end = context;
    return qs_null_tls_create(end->role, &end->pair->tls_plan, qs_random_next(&end->random));
}

static struct sp_path path_of(enum sp_role role)
{
    struct sp_addr client = {.ip = {10, 0, 0, 1}, .port = 1111, .family = 4};
    struct sp_addr server = {.ip = {10, 0, 0, 2}, .port = 2222, .family = 4};
    return role == SP_CLIENT ? (struct sp_path){.local = client, .remote = server}
                             : (struct sp_path){.local = server, .remote = client};
}

static void make_conn(struct null_pair *pair, enum sp_role role, const struct sp_header *header)
{
    struct null_end *end = &pair->ends[role];
    struct sp_conn_args args = {
        .role = role,
        .config = &pair->config,
        .pools = &pair->pools,
        .protect = {.ops = &qs_null_protect_ops, .context = &pair->protect_plan},
        .tls_ops = &qs_null_tls_ops,
        .host =
            {
                .random = host_random,
                .reset_token = host_reset_token,
                .make_cid = host_make_cid,
                .make_tls = host_make_tls,
                .context = end,
            },
        .path = path_of(role),
    };
    if (role == SP_SERVER) {
        args.client_dcid = header->dcid;
        args.client_scid = header->scid;
    }
    end->conn = sp_conn_create(&args, pair->now_ns);
    SB_ASSERT(end->conn != NULL);
}

void null_pair_init(struct null_pair *pair, uint64_t seed)
{
    *pair = (struct null_pair){.now_ns = SB_S};
    heap_init(&pair->heap);
    struct sp_pool_limits limits = {.conns_max = 2, .streams_max = 64};
    sp_pools_init(&pair->pools, &limits, &pair->heap.memory);
    sp_config_init(&pair->config);
    pair->config.cid_size = CID_SIZE;
    pair->config.stream_window_bytes = 2048;
    pair->config.stream_window_bytes_max = 8192;
    pair->config.conn_window_bytes = 4096;
    pair->config.conn_window_bytes_max = 16384;
    pair->config.streams_bidi_max = 5;
    pair->config.streams_uni_max = 3;
    pair->config.streams_local_max = 8;
    qs_null_plan_init(&pair->protect_plan);
    qs_tls_plan_init(&pair->tls_plan);
    pair->tls_plan.certificate_size = 300;
    for (uint32_t i = 0; i < 2; i++) {
        pair->ends[i] = (struct null_end){.pair = pair, .role = (enum sp_role)i};
        qs_random_init(&pair->ends[i].random, seed * 2 + i);
    }
    make_conn(pair, SP_CLIENT, NULL);
}

void null_pair_deinit(struct null_pair *pair)
{
    sp_conn_destroy(pair->ends[0].conn);
    sp_conn_destroy(pair->ends[1].conn);
    SB_ASSERT(sp_pools_used(&pair->pools) == 0);
    SB_ASSERT(pair->datagram_count == 0);
    sp_pools_deinit(&pair->pools);
    heap_deinit(&pair->heap);
}

void null_pair_give(struct null_pair *pair, enum sp_role to, const uint8_t *data, size_t size,
                    enum sp_ecn ecn)
{
    struct sb_bytes bytes = {.data = data, .size = size};
    null_pair_give_batch(pair, to, &bytes, 1, ecn);
}

static struct sp_datagram datagram_of(struct null_pair *pair, enum sp_role to,
                                      const struct sb_bytes *bytes, enum sp_ecn ecn)
{
    struct datagram *datagram = malloc(sizeof(*datagram) + bytes->size);
    SB_ASSERT(datagram != NULL);
    datagram->buffer = (struct sb_buffer){.ref_count = 1, .release = release};
    datagram->pair = pair;
    pair->datagram_count++;
    memcpy(datagram->data, bytes->data, bytes->size);
    return (struct sp_datagram){
        .data = datagram->data,
        .size = bytes->size,
        .buffer = &datagram->buffer,
        .path = path_of(to),
        .ecn = ecn,
    };
}

void null_pair_give_batch(struct null_pair *pair, enum sp_role to, const struct sb_bytes *datagrams,
                          uint32_t count, enum sp_ecn ecn)
{
    struct null_end *end = &pair->ends[to];
    struct sp_datagram received[NULL_PAIR_BATCH_MAX] = {0};
    uint32_t received_count = 0;

    SB_ASSERT(count <= NULL_PAIR_BATCH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (datagrams[i].size == 0)
            continue; /* goes to no connection: the host cannot read a CID */
        if (end->conn == NULL) {
            struct sp_header header;
            if (!sp_header_read(datagrams[i].data, datagrams[i].size, CID_SIZE, &header) ||
                header.type != SP_PACKET_INITIAL)
                continue;
            make_conn(pair, to, &header);
        }
        received[received_count++] = datagram_of(pair, to, &datagrams[i], ecn);
    }
    if (received_count > 0)
        sp_conn_receive(end->conn, received, received_count, pair->now_ns);
    for (uint32_t i = 0; i < received_count; i++)
        sb_buffer_unref(received[i].buffer);
}

static void drop_events(struct sp_conn *conn)
{
    struct sp_event event;
    while (sp_conn_next_event(conn, &event)) {
        if (event.kind == SP_EVENT_STREAM_DATA)
            sb_buffer_unref(event.data.slice.buffer);
        if (event.kind == SP_EVENT_NEW_TOKEN)
            sb_buffer_unref(event.new_token.buffer);
    }
}

bool null_pair_step(struct null_pair *pair, enum sp_role from)
{
    struct sp_conn *conn = pair->ends[from].conn;
    if (conn == NULL)
        return false;
    drop_events(conn);
    uint8_t bytes[TRAIN_SIZE];
    struct sp_train train = {.data = bytes, .capacity = sizeof(bytes), .count_max = 8};
    if (sp_conn_send(conn, &train, pair->now_ns) == 0)
        return false;
    enum sp_role to = from == SP_CLIENT ? SP_SERVER : SP_CLIENT;
    for (uint32_t i = 0; i < train.count; i++) {
        size_t at = i * train.segment_size;
        null_pair_give(pair, to, bytes + at, SB_MIN(train.segment_size, train.size - at),
                       train.ecn);
    }
    return true;
}

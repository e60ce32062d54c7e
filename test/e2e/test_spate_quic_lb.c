/* SPDX-License-Identifier: MIT */
/* Connection IDs that load balancers can read, over real sockets: what clients send carries the
 * server ID, whatever becomes of their addresses and of the configuration. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>

#define MS UINT64_C(1000000)

enum {
    SHARDS_MAX = 4,
    CLIENTS = 8,
    ROUNDS = 6,
    PIECE = 3000,
};

struct client {
    struct pw_relay *relay;
    struct spate_conn *conn;
    uint64_t stream_id;
};

struct world {
    struct pw *w;
    uint32_t shard_count;
    struct spate_shard *shards[SHARDS_MAX];
    struct client clients[CLIENTS];
    uint64_t accepted;
    uint64_t bytes;
    uint32_t closed;
};

static uint8_t piece[PIECE];
static struct spate_quic_lb first; /* of the server that is made next */
static uint32_t shard_count;
static enum spate_retry retry;
static const uint8_t reset_key[SPATE_KEY_SIZE] = "a key that outlives the engine";

static void configure_server(struct spate_config *config)
{
    config->shard_count = shard_count;
    config->quic_lb = &first;
    config->retry = retry;
    memcpy(config->reset_key, reset_key, sizeof(reset_key));
}

static struct spate_quic_lb config_of(uint8_t config_id, uint8_t server_id_size, uint8_t nonce_size,
                                      uint8_t key)
{
    struct spate_quic_lb lb;
    spate_quic_lb_init(&lb);
    lb.config_id = config_id;
    lb.server_id_size = server_id_size;
    lb.nonce_size = nonce_size;
    lb.is_encrypted = key != 0;
    memset(lb.server_id, 0x30 + config_id, sizeof(lb.server_id));
    memset(lb.key, key, sizeof(lb.key));
    return lb;
}

static void on_server_event(struct world *world, uint32_t index, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CONNECTED)
        world->accepted++;
    if (event->kind == SPATE_EVENT_CLOSED)
        world->closed++;
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    world->bytes += event->u.data.slice.size;
    spate_slice_release(world->shards[index], &event->u.data.slice);
}

static void turn_all(struct world *world)
{
    struct spate_event events[32];
    uint32_t count;
    for (uint32_t i = 0; i < world->shard_count; i++) {
        assert_true(spate_shard_turn(world->shards[i], 0) >= 0);
        while ((count = spate_shard_events(world->shards[i], events, 32)) > 0)
            for (uint32_t at = 0; at < count; at++)
                on_server_event(world, i, &events[at]);
    }
    pw_wait(&world->w->client, 0);
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (world->clients[i].relay != NULL)
            pw_relay_pass(world->clients[i].relay);
}

static void turn_until(struct world *world, const uint64_t *value, uint64_t wanted)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*value < wanted) {
        turn_all(world);
        if (pw_now_ns() > end_ns)
            fail_msg("%llu of %llu", (unsigned long long)*value, (unsigned long long)wanted);
    }
}

static void turn_for(struct world *world, uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns;
    while (pw_now_ns() < end_ns)
        turn_all(world);
}

/* All shards but the first, which may listen already. */
static void listen_at(struct world *world, uint32_t from)
{
    for (uint32_t i = from; i < world->shard_count; i++) {
        struct spate_listener *listener;
        world->shards[i] = spate_engine_shard(world->w->server.engine, i);
        assert_int_equal(spate_shard_listen(world->shards[i], (struct sockaddr *)&world->w->address,
                                            world->w->address_size, world->w->server.tls, NULL,
                                            &listener, NULL),
                         0);
    }
}

static struct world *make_world(const struct spate_quic_lb *lb, uint32_t count)
{
    struct world *world = owned_alloc(sizeof(*world));
    first = *lb;
    shard_count = world->shard_count = count;
    world->w = pw_create(&(struct pw_config){.server = configure_server});
    memset(&first, 0, sizeof(first)); /* the engine has a copy */
    world->shards[0] = world->w->server.shard;
    listen_at(world, 1);
    return world;
}

static void connect_all(struct world *world)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        world->clients[i].relay = pw_relay_create(world->w);
        world->clients[i].conn = pw_connect_through(world->w, world->clients[i].relay);
    }
    turn_until(world, &world->accepted, CLIENTS);
    for (uint32_t i = 0; i < CLIENTS; i++)
        assert_int_equal(
            spate_stream_open(world->clients[i].conn, false, &world->clients[i].stream_id), 0);
    turn_for(world, 100 * MS); /* nobody moves before the handshake is confirmed [RFC9000 9] */
}

/* Each client sends a piece, after its port has changed if it `moves`. */
static void send_all(struct world *world, bool moves)
{
    uint64_t wanted = world->bytes + (uint64_t)CLIENTS * PIECE;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &world->clients[i];
        if (moves) {
            client->relay->to_server = pw_udp_socket();
            assert_int_equal(connect(client->relay->to_server,
                                     (const struct sockaddr *)&world->w->address,
                                     world->w->address_size),
                             0);
        }
        assert_int_equal(spate_stream_send(client->conn, client->stream_id, piece, PIECE, false, 0),
                         0);
    }
    turn_until(world, &world->bytes, wanted);
    assert_int_equal(world->closed, 0);
    assert_int_equal(world->w->client.closed_count, 0);
}

static struct spate_shard_stats sum_stats(struct world *world)
{
    struct spate_shard_stats sum;
    memset(&sum, 0, sizeof(sum));
    for (uint32_t i = 0; i < world->shard_count; i++) {
        struct spate_shard_stats stats;
        spate_shard_stats(world->shards[i], &stats);
        sum.strays_out += stats.strays_out;
        sum.stateless_resets += stats.stateless_resets;
        sum.cids_unroutable += stats.cids_unroutable;
        sum.conns_with_old_cids += stats.conns_with_old_cids;
        sum.quic_lb_nonces_left += stats.quic_lb_nonces_left;
    }
    return sum;
}

static void reader_end(void *reader)
{
    spate_quic_lb_reader_destroy(reader);
}

/* What a balancer does with all datagrams that clients have sent since the samples were emptied.
 * Returns how many had a CID of the server; all of those with a short header must have one. */
static uint32_t read_samples(struct world *world, const struct spate_quic_lb *lb)
{
    struct spate_quic_lb_reader *reader;
    uint32_t count = 0;
    assert_int_equal(spate_quic_lb_reader_create(lb, &reader, NULL), 0);
    (void)owned_add(reader, reader_end);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct pw_relay *relay = world->clients[i].relay;
        for (uint32_t k = 0; k < relay->sample_count; k++) {
            const struct pw_sample *sample = &relay->samples[k];
            uint8_t id[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX] = {0};
            int result = spate_quic_lb_read_datagram(reader, sample->data, sample->size, id);
            bool is_ours = result == 0 && memcmp(id, lb->server_id, lb->server_id_size) == 0;
            assert_true(is_ours || (sample->data[0] & 0x80) != 0);
            count += is_ours;
        }
        relay->sample_count = 0;
    }
    return count;
}

/* ---- Tests ---- */

struct shape {
    uint8_t server_id_size;
    uint8_t nonce_size;
    uint8_t key;
    uint32_t shards;
    enum spate_retry retry;
};

static const struct shape shapes[] = {
    {3, 4, 0, 4, SPATE_RETRY_AUTO},   {8, 8, 7, 4, SPATE_RETRY_AUTO},
    {1, 17, 7, 4, SPATE_RETRY_NEVER}, {15, 4, 7, 1, SPATE_RETRY_AUTO},
    {2, 5, 7, 4, SPATE_RETRY_ALWAYS},
};

static void clients_that_move_stay_with_their_server_and_shard(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(shapes); i++) {
        const struct shape *shape = &shapes[i];
        struct spate_quic_lb lb =
            config_of((uint8_t)(i + 1), shape->server_id_size, shape->nonce_size, shape->key);
        retry = shape->retry;
        struct world *world = make_world(&lb, shape->shards);
        connect_all(world);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            send_all(world, true);
            assert_true(read_samples(world, &lb) >= CLIENTS);
        }
        struct spate_shard_stats sum = sum_stats(world);
        assert_int_equal(sum.strays_out, 0); /* the kernel's program has read them all */
        assert_int_equal(sum.stateless_resets, 0);
        assert_int_equal(sum.cids_unroutable, 0);
        assert_int_equal(sum.conns_with_old_cids, 0);
        owned_end(world->w);
        owned_end(world);
    }
    retry = SPATE_RETRY_AUTO;
}

/* The second Initial of a client that was sent a Retry goes to the server that sent it. */
static void the_cid_of_a_retry_leads_to_its_server(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(1, 2, 6, 9);
    retry = SPATE_RETRY_ALWAYS;
    struct world *world = make_world(&lb, 1);
    retry = SPATE_RETRY_AUTO;
    world->clients[0].relay = pw_relay_create(world->w);
    world->clients[0].conn = pw_connect_through(world->w, world->clients[0].relay);
    turn_until(world, &world->accepted, 1);
    struct pw_relay *relay = world->clients[0].relay;
    struct spate_quic_lb_reader *reader;
    assert_int_equal(spate_quic_lb_reader_create(&lb, &reader, NULL), 0);
    (void)owned_add(reader, reader_end);
    uint32_t initials = 0;
    for (uint32_t k = 0; k < relay->sample_count; k++) {
        const struct pw_sample *sample = &relay->samples[k];
        uint8_t id[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX] = {0};
        if ((sample->data[0] & 0xf0) != 0xc0 || sample->data[4] != 1)
            continue;
        int result = spate_quic_lb_read_datagram(reader, sample->data, sample->size, id);
        if (initials++ > 0)
            assert_true(result == 0 && memcmp(id, lb.server_id, 2) == 0);
    }
    assert_true(initials >= 2);
}

static void another_configuration_replaces_the_ids_of_all_connections(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(1, 3, 6, 7);
    struct world *world = make_world(&lb, SHARDS_MAX);
    connect_all(world);
    send_all(world, false);
    assert_true(read_samples(world, &lb) > 0);
    for (uint8_t n = 2; n < 6; n++) {
        /* With another key, in clear, with other lengths, and with none. */
        struct spate_quic_lb next = config_of(n == 4 ? SPATE_QUIC_LB_UNROUTABLE : n, n,
                                              (uint8_t)(9 - n), n == 3 ? 0 : (uint8_t)(7 + n));
        struct spate_error error = {""};
        if (spate_engine_set_quic_lb(world->w->server.engine, &next, &error) != 0)
            fail_msg("%s", error.text);
        send_all(world, n % 2 == 0);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (sum_stats(world).conns_with_old_cids > 0) {
            turn_all(world);
            assert_true(pw_now_ns() < end_ns);
        }
        for (uint32_t i = 0; i < CLIENTS; i++)
            world->clients[i].relay->sample_count = 0;
        send_all(world, true);
        if (n != 4)
            assert_true(read_samples(world, &next) >= CLIENTS);
        assert_int_equal(sum_stats(world).stateless_resets, 0);
        assert_int_equal(sum_stats(world).strays_out, 0);
        assert_true((sum_stats(world).cids_unroutable > 0) == (n >= 4));
        assert_true((sum_stats(world).quic_lb_nonces_left > 0) == (n != 4));
    }
    turn_for(world, 10 * MS);
    assert_int_equal(world->closed, 0);
}

static void clients_move_by_themselves_only_where_the_server_is_hidden(void **state)
{
    (void)state;
    for (uint8_t key = 0; key < 2; key++) {
        struct spate_quic_lb lb = config_of(1, 3, 6, key);
        struct world *world = make_world(&lb, 1);
        connect_all(world);
        const struct sockaddr_in local = {.sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int want = key != 0 ? 0 : -EPERM;
        assert_int_equal(spate_conn_migrate(world->clients[0].conn, (const struct sockaddr *)&local,
                                            sizeof(local), NULL),
                         want);
        send_all(world, false);
        owned_end(world->w);
        owned_end(world);
    }
}

static void a_server_without_it_cannot_get_it_later(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.is_v6 = false});
    struct spate_quic_lb lb = config_of(1, 3, 6, 7);
    struct spate_error error = {""};
    assert_int_equal(spate_engine_set_quic_lb(w->server.engine, &lb, &error), -EINVAL);
    assert_string_equal(error.text, "the engine was created without quic_lb");
    assert_int_equal(spate_engine_set_quic_lb(w->server.engine, NULL, &error), -EINVAL);
    struct spate_config config;
    spate_engine_config(w->server.engine, &config);
    assert_null(config.quic_lb);
}

/* [RFC9000 10.3] The shard that a CID names is the same in the next engine with that reset_key:
 * otherwise its resets would have the key of another shard. */
static void a_restarted_server_ends_the_connections_of_the_former(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(1, 3, 6, 7);
    struct spate_config config;
    struct world *world = make_world(&lb, SHARDS_MAX);
    connect_all(world);
    spate_engine_destroy(world->w->server.engine);
    first = lb;
    spate_config_init(&config);
    config.backend = pw_backend();
    configure_server(&config);
    assert_int_equal(spate_engine_create(&config, &world->w->server.engine, NULL), 0);
    world->w->server.shard = spate_engine_shard(world->w->server.engine, 0);
    listen_at(world, 0);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &world->clients[i];
        assert_int_equal(spate_stream_send(client->conn, client->stream_id, piece, 100, false, 0),
                         0);
    }
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (world->w->client.closed_count < CLIENTS && pw_now_ns() < end_ns)
        turn_all(world);
    assert_int_equal(world->w->client.closed_count, CLIENTS);
    assert_int_equal(world->w->client.close.kind, SPATE_CLOSE_STATELESS_RESET);
    assert_int_equal(sum_stats(world).strays_out, 0);
}

/* Whoever sends packets with invented CIDs reaches some shard, which answers or does not; none
 * passes them on for ever, and connections go on. */
static void invented_ids_harm_nobody(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(1, 3, 6, 7);
    struct world *world = make_world(&lb, SHARDS_MAX);
    connect_all(world);
    int fd = pw_udp_socket();
    uint8_t packet[60];
    for (uint32_t i = 0; i < 4000; i++) {
        for (uint32_t k = 0; k < sizeof(packet); k++)
            packet[k] = (uint8_t)(pw_byte(i, k) + i * 7 + (k * i >> 3));
        packet[0] = i % 3 == 0 ? 0xc0 : 0x40;
        packet[5] = 11;
        (void)sendto(fd, packet, 1 + i % sizeof(packet), 0,
                     (const struct sockaddr *)&world->w->address, world->w->address_size);
        if (i % 64 == 0)
            turn_all(world);
    }
    turn_for(world, 20 * MS);
    send_all(world, true);
    struct spate_shard_stats sum = sum_stats(world);
    assert_true(sum.strays_out < 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, clients_that_move_stay_with_their_server_and_shard),
        QT_TEST(owned, the_cid_of_a_retry_leads_to_its_server),
        QT_TEST(owned, another_configuration_replaces_the_ids_of_all_connections),
        QT_TEST(owned, clients_move_by_themselves_only_where_the_server_is_hidden),
        QT_TEST(owned, a_server_without_it_cannot_get_it_later),
        QT_TEST(owned, a_restarted_server_ends_the_connections_of_the_former),
        QT_TEST(owned, invented_ids_harm_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

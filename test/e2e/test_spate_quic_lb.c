/* SPDX-License-Identifier: MIT */
/* Connection IDs that load balancers can read, over real sockets: what clients send carries the
 * server ID, whatever becomes of their addresses and of the configuration. */

#include "test/support/moving_world.h"

#include <errno.h>
#include <string.h>

enum { ROUNDS = 6 };

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

static struct mv_world *make_world(const struct spate_quic_lb *lb, uint32_t count)
{
    first = *lb;
    shard_count = count;
    struct mv_world *world = mv_make(count, configure_server);
    memset(&first, 0, sizeof(first)); /* the engine has a copy */
    return world;
}

/* What a balancer does with all datagrams that clients have sent since the samples were emptied.
 * Returns how many had a CID of the server; all of those with a short header must have one. */
static uint32_t read_samples(struct mv_world *world, const struct spate_quic_lb *lb)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MV_CLIENTS; i++)
        count += pw_relay_balance(world->clients[i].relay, lb);
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
        struct mv_world *world = make_world(&lb, shape->shards);
        mv_connect_all(world);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            mv_send_all(world, true);
            assert_true(read_samples(world, &lb) >= MV_CLIENTS);
        }
        struct spate_shard_stats sum = mv_stats(world);
        assert_int_equal(sum.strays_out, 0); /* the kernel's program has read them all */
        assert_int_equal(sum.stateless_resets, 0);
        assert_int_equal(sum.cids_unroutable, 0);
        assert_int_equal(sum.conns_with_old_cids, 0);
        owned_end(world->w);
        owned_end(world);
    }
    retry = SPATE_RETRY_AUTO;
}

static void reader_end(void *reader)
{
    spate_quic_lb_reader_destroy(reader);
}

/* The second Initial of a client that was sent a Retry goes to the server that sent it. */
static void the_cid_of_a_retry_leads_to_its_server(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(1, 2, 6, 9);
    retry = SPATE_RETRY_ALWAYS;
    struct mv_world *world = make_world(&lb, 1);
    retry = SPATE_RETRY_AUTO;
    world->clients[0].relay = pw_relay_create(world->w);
    world->clients[0].conn = pw_connect_through(world->w, world->clients[0].relay);
    mv_turn_until(world, &world->accepted, 1);
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
    struct mv_world *world = make_world(&lb, MV_SHARDS_MAX);
    mv_connect_all(world);
    mv_send_all(world, false);
    assert_true(read_samples(world, &lb) > 0);
    for (uint8_t n = 2; n < 6; n++) {
        /* With another key, in clear, with other lengths, and with none. */
        struct spate_quic_lb next = config_of(n == 4 ? SPATE_QUIC_LB_UNROUTABLE : n, n,
                                              (uint8_t)(9 - n), n == 3 ? 0 : (uint8_t)(7 + n));
        struct spate_error error = {""};
        if (spate_engine_set_quic_lb(world->w->server.engine, &next, &error) != 0)
            fail_msg("%s", error.text);
        mv_send_all(world, n % 2 == 0);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (mv_stats(world).conns_with_old_cids > 0) {
            mv_turn(world);
            assert_true(pw_now_ns() < end_ns);
        }
        for (uint32_t i = 0; i < MV_CLIENTS; i++)
            world->clients[i].relay->sample_count = 0;
        mv_send_all(world, true);
        if (n != 4)
            assert_true(read_samples(world, &next) >= MV_CLIENTS);
        assert_int_equal(mv_stats(world).stateless_resets, 0);
        assert_int_equal(mv_stats(world).strays_out, 0);
        assert_true((mv_stats(world).cids_unroutable > 0) == (n >= 4));
        assert_true((mv_stats(world).quic_lb_nonces_left > 0) == (n != 4));
    }
    mv_turn_for(world, 10 * MV_MS);
    assert_int_equal(world->closed, 0);
}

static void clients_move_by_themselves_only_where_the_server_is_hidden(void **state)
{
    (void)state;
    for (uint8_t key = 0; key < 2; key++) {
        struct spate_quic_lb lb = config_of(1, 3, 6, key);
        struct mv_world *world = make_world(&lb, 1);
        mv_connect_all(world);
        const struct sockaddr_in local = {.sin_family = AF_INET,
                                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int want = key != 0 ? 0 : -EPERM;
        assert_int_equal(spate_conn_migrate(world->clients[0].conn, (const struct sockaddr *)&local,
                                            sizeof(local), NULL),
                         want);
        mv_send_all(world, false);
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
    struct mv_world *world = make_world(&lb, MV_SHARDS_MAX);
    mv_connect_all(world);
    spate_engine_destroy(world->w->server.engine);
    first = lb;
    spate_config_init(&config);
    config.backend = pw_backend();
    configure_server(&config);
    assert_int_equal(spate_engine_create(&config, &world->w->server.engine, NULL), 0);
    world->w->server.shard = spate_engine_shard(world->w->server.engine, 0);
    mv_listen(world, 0);
    static const uint8_t bytes[100];
    for (uint32_t i = 0; i < MV_CLIENTS; i++) {
        struct mv_client *client = &world->clients[i];
        assert_int_equal(spate_stream_send(client->conn, client->stream_id, bytes, 100, false, 0),
                         0);
    }
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (world->w->client.closed_count < MV_CLIENTS && pw_now_ns() < end_ns)
        mv_turn(world);
    assert_int_equal(world->w->client.closed_count, MV_CLIENTS);
    assert_int_equal(world->w->client.close.kind, SPATE_CLOSE_STATELESS_RESET);
    assert_int_equal(mv_stats(world).strays_out, 0);
}

/* Whoever sends packets with invented CIDs reaches some shard, which answers or does not; none
 * passes them on for ever, and connections go on. */
static void invented_ids_harm_nobody(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(1, 3, 6, 7);
    struct mv_world *world = make_world(&lb, MV_SHARDS_MAX);
    mv_connect_all(world);
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
            mv_turn(world);
    }
    mv_turn_for(world, 20 * MV_MS);
    mv_send_all(world, true);
    struct spate_shard_stats sum = mv_stats(world);
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

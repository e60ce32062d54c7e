/* SPDX-License-Identifier: MIT */
/* Several shards at one address, and clients whose addresses change all the time: each packet comes
 * to the shard of its connection, by the kernel's program or as a stray. */

#include "test/support/spate_world.h"

#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum {
    SHARDS = 4,
    CLIENTS = 12, /* so that they do not all begin at one shard: once in 16 million runs */
    ROUNDS = 10,
    PIECE = 3000,
};

struct client {
    struct pw_relay *relay;
    struct spate_conn *conn;
    uint64_t stream_id;
};

struct world {
    struct pw *w;
    struct spate_shard *shards[SHARDS];
    struct spate_listener *listeners[SHARDS];
    struct client clients[CLIENTS];
    uint32_t conns_of[SHARDS];
    uint64_t accepted;
    uint64_t bytes;
    uint32_t closed;
};

static uint8_t piece[PIECE];

static void configure_server(struct spate_config *config)
{
    config->shard_count = SHARDS;
}

static void on_server_event(struct world *world, uint32_t index, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CONNECTED) {
        world->conns_of[index]++;
        world->accepted++;
    }
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
    for (uint32_t i = 0; i < SHARDS; i++) {
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

static struct world *make_world(void)
{
    struct world *world = owned_alloc(sizeof(*world));
    world->w = pw_create(&(struct pw_config){.server = configure_server});
    world->shards[0] = world->w->server.shard;
    world->listeners[0] = world->w->listener;
    for (uint32_t i = 1; i < SHARDS; i++) {
        world->shards[i] = spate_engine_shard(world->w->server.engine, i);
        assert_int_equal(spate_shard_listen(world->shards[i], (struct sockaddr *)&world->w->address,
                                            world->w->address_size, world->w->server.tls, NULL,
                                            &world->listeners[i], NULL),
                         0);
    }
    return world;
}

static void connect_all(struct world *world)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        world->clients[i].relay = pw_relay_create(world->w);
        world->clients[i].conn = pw_connect_through(world->w, world->clients[i].relay);
    }
    turn_until(world, &world->accepted, CLIENTS);
    assert_int_equal(world->w->client.connected_count, CLIENTS);
    for (uint32_t i = 0; i < CLIENTS; i++)
        assert_int_equal(
            spate_stream_open(world->clients[i].conn, false, &world->clients[i].stream_id), 0);
    turn_for(world, 100 * MS); /* nobody moves before the handshake is confirmed [RFC9000 9] */
    uint32_t most = 0;
    for (uint32_t i = 0; i < SHARDS; i++)
        most = world->conns_of[i] > most ? world->conns_of[i] : most;
    assert_in_range(most, 1, CLIENTS - 1);
}

/* The client's packets come from another port from now on. */
static void rebind(struct world *world, struct client *client)
{
    client->relay->to_server = pw_udp_socket();
    assert_int_equal(connect(client->relay->to_server, (const struct sockaddr *)&world->w->address,
                             world->w->address_size),
                     0);
}

/* In each round all clients change their ports and send a piece, of which nothing is lost. */
static void move_and_send(struct world *world)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t wanted = world->bytes + (uint64_t)CLIENTS * PIECE;
        for (uint32_t i = 0; i < CLIENTS; i++) {
            struct client *client = &world->clients[i];
            rebind(world, client);
            assert_int_equal(
                spate_stream_send(client->conn, client->stream_id, piece, PIECE, false, 0), 0);
        }
        turn_until(world, &world->bytes, wanted);
    }
    assert_int_equal(world->closed, 0);
    assert_int_equal(world->w->client.closed_count, 0);
}

static struct spate_shard_stats sum_stats(struct world *world)
{
    struct spate_shard_stats sum;
    memset(&sum, 0, sizeof(sum));
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct spate_shard_stats stats;
        spate_shard_stats(world->shards[i], &stats);
        sum.strays_in += stats.strays_in;
        sum.strays_out += stats.strays_out;
        sum.strays_dropped += stats.strays_dropped;
        sum.stateless_resets += stats.stateless_resets;
    }
    return sum;
}

static void the_kernel_finds_the_shard_of_a_client_that_moves(void **state)
{
    (void)state;
    struct world *world = make_world();
    connect_all(world);
    move_and_send(world);
    struct spate_shard_stats sum = sum_stats(world);
    assert_int_equal(sum.strays_out, 0);
    assert_int_equal(sum.stateless_resets, 0);
}

/* The last socket takes the place of the second one, and the program must follow. */
static void the_kernel_follows_when_a_shard_leaves(void **state)
{
    (void)state;
    struct world *world = make_world();
    turn_for(world, 5 * MS);
    spate_listener_close(world->listeners[1]);
    turn_for(world, 50 * MS); /* the socket is closed when its receiver has ended */
    connect_all(world);
    assert_int_equal(world->conns_of[1], 0);
    move_and_send(world);
    struct spate_shard_stats sum = sum_stats(world);
    assert_int_equal(sum.strays_out, 0);
    assert_int_equal(sum.stateless_resets, 0);
}

/* Another program, which gives the first shard all packets: those of others are strays. */
static void mislead(struct world *world)
{
    struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const struct sock_fprog program = {.len = 1, .filter = first};
    int one = 1;
    int fd = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&world->w->address, world->w->address_size),
                     0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)), 0);
}

static void strays_find_their_shard(void **state)
{
    (void)state;
    struct world *world = make_world();
    connect_all(world);
    mislead(world);
    move_and_send(world);
    struct spate_shard_stats sum = sum_stats(world);
    assert_true(sum.strays_out > 0);
    assert_int_equal(sum.strays_in, sum.strays_out);
    assert_int_equal(sum.strays_dropped, 0);
    assert_int_equal(sum.stateless_resets, 0);
    assert_true(world->conns_of[0] < CLIENTS);
}

/* A shard that does not turn gets so much and no more; nobody waits for it. */
static void a_shard_that_stands_gets_a_bounded_number(void **state)
{
    (void)state;
    struct world *world = make_world();
    uint8_t packet[40] = {0x40, 0, 1}; /* for shard 1 */
    mislead(world);
    int fd = pw_udp_socket();
    for (uint32_t i = 0; i < 600; i++) {
        packet[4] = (uint8_t)i;
        (void)sendto(fd, packet, sizeof(packet), 0, (const struct sockaddr *)&world->w->address,
                     world->w->address_size);
        if (i % 50 == 49)
            assert_true(spate_shard_turn(world->shards[0], 0) >= 0);
    }
    for (uint32_t i = 0; i < 5; i++)
        assert_true(spate_shard_turn(world->shards[0], 0) >= 0);
    struct spate_shard_stats sum = sum_stats(world);
    assert_true(sum.strays_dropped > 0);
    assert_true(sum.strays_out > 0);
    turn_all(world);
    assert_int_equal(sum_stats(world).strays_in, sum.strays_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, the_kernel_finds_the_shard_of_a_client_that_moves),
        QT_TEST(owned, the_kernel_follows_when_a_shard_leaves),
        QT_TEST(owned, strays_find_their_shard),
        QT_TEST(owned, a_shard_that_stands_gets_a_bounded_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

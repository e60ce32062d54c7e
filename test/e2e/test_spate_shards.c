/* SPDX-License-Identifier: MIT */
/* One listener of all shards: before they run, while they run, and what goes wrong. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum {
    SHARDS = 4,
    CLIENTS = 16, /* so that they do not all begin at one shard: once in 10^9 runs */
    SOCKETS_MAX = 61,
};

struct world {
    struct pw w; /* TLS and the client; the server has no end there */
    struct spate_engine *server;
    struct spate_engine_listener *listener;
    atomic_uint accepted[SHARDS];
    int listen_result; /* of on_start */
};

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static struct spate_engine *make_engine(uint32_t shard_count)
{
    struct spate_config config;
    struct spate_engine *engine = NULL;
    struct spate_error error = {""};
    spate_config_init(&config);
    config.backend = pw_backend();
    config.shard_count = shard_count;
    config.receive_slots = 32;
    if (spate_engine_create(&config, &engine, &error) != 0)
        fail_msg("%s", error.text);
    return owned_add(engine, destroy);
}

static struct world *make_world(uint32_t shard_count)
{
    struct world *world = owned_alloc(sizeof(*world));
    (void)owned_add(&world->w, pw_deinit);
    pw_make_tls(&world->w);
    world->w.client.name = "client";
    world->w.client.engine = pw_make_engine();
    world->w.client.shard = spate_engine_shard(world->w.client.engine, 0);
    world->server = make_engine(shard_count);
    return world;
}

static int listen_on(struct world *world, struct spate_engine *engine,
                     const struct sockaddr_storage *address, socklen_t size,
                     struct spate_engine_listener **ret, struct spate_error *error)
{
    const struct spate_listen_options options = {
        .size = sizeof(options),
        .address = (const struct sockaddr *)address,
        .address_size = size,
        .tls = world->w.server.tls,
    };
    return spate_engine_listen(engine, &options, ret, error);
}

/* With port 0; the world's address is the one that it got. */
static int listen_somewhere(struct world *world, bool is_v6)
{
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(is_v6, 0, &size);
    struct spate_error error = {""};
    int result = listen_on(world, world->server, &any, size, &world->listener, &error);
    if (result != 0)
        return result;
    return spate_engine_listener_address(world->listener, &world->w.address,
                                         &world->w.address_size);
}

/* ---- By the test's own thread ---- */

static void turn_all(struct world *world)
{
    struct spate_event events[32];
    uint32_t count = spate_engine_shard_count(world->server);
    for (uint32_t i = 0; i < count; i++) {
        struct spate_shard *shard = spate_engine_shard(world->server, i);
        assert_true(spate_shard_turn(shard, 0) >= 0);
        uint32_t taken;
        while ((taken = spate_shard_events(shard, events, 32)) > 0)
            for (uint32_t at = 0; at < taken; at++)
                if (events[at].kind == SPATE_EVENT_CONNECTED)
                    atomic_fetch_add(&world->accepted[i], 1);
    }
    pw_wait(&world->w.client, 0);
}

static uint32_t accepted_count(struct world *world, uint32_t *ret_shards)
{
    uint32_t sum = 0;
    *ret_shards = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint32_t count = atomic_load(&world->accepted[i]);
        sum += count;
        *ret_shards += count > 0;
    }
    return sum;
}

/* Returns how many shards have got connections. */
static uint32_t connect_all(struct world *world, void (*turn)(struct world *world))
{
    uint32_t shards;
    uint32_t before = accepted_count(world, &shards);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint32_t connected = world->w.client.connected_count;
    /* A client's shard connects all to one address from one port, and the hash would choose one
     * shard for all: each has a socket of its own here. */
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct pw_relay *relay = pw_relay_create(&world->w);
        (void)pw_connect_through(&world->w, relay);
        while (world->w.client.connected_count <= connected + i && pw_now_ns() < end_ns) {
            turn(world);
            pw_relay_pass(relay);
        }
        assert_int_equal(world->w.client.connected_count, connected + i + 1);
        for (int round = 0; round < 20; round++) { /* the client's last flight */
            turn(world);
            pw_relay_pass(relay);
        }
    }
    while (accepted_count(world, &shards) < before + CLIENTS && pw_now_ns() < end_ns)
        turn(world);
    assert_int_equal(accepted_count(world, &shards), before + CLIENTS);
    return shards;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    return ntohs(((const struct sockaddr_in *)address)->sin_port); /* IPv6: the same place */
}

static void check_parts(struct world *world)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct sockaddr_storage address;
        socklen_t size;
        struct spate_listener *part = spate_engine_listener_part(world->listener, i);
        assert_non_null(part);
        assert_int_equal(spate_listener_address(part, &address, &size), 0);
        assert_int_equal(size, world->w.address_size);
        assert_memory_equal(&address, &world->w.address, sizeof(address));
    }
    assert_null(spate_engine_listener_part(world->listener, SHARDS));
    assert_int_not_equal(port_of(&world->w.address), 0);
}

static void all_shards_get_one_port_and_their_share_of_clients(void **state)
{
    (void)state;
    static const bool is_v6[] = {false, true};
    for (size_t i = 0; i < QT_COUNT(is_v6); i++) {
        struct world *world = make_world(SHARDS);
        assert_int_equal(listen_somewhere(world, is_v6[i]), 0);
        check_parts(world);
        if (!is_v6[i])
            assert_true(connect_all(world, turn_all) > 1);
        else
            (void)pw_connect(&world->w);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (world->w.client.connected_count == 0 && pw_now_ns() < end_ns)
            turn_all(world);
        assert_true(world->w.client.connected_count > 0);
        owned_end_all();
    }
}

/* Connects at once, not through relays. */
static void connect_in_groups(struct world *world, uint32_t group_count)
{
    uint32_t shards;
    uint32_t wanted = accepted_count(world, &shards) + CLIENTS;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct spate_connect_options options = {
            .size = sizeof(options),
            .address = (struct sockaddr *)&world->w.address,
            .address_size = world->w.address_size,
            .server_name = PW_SERVER_NAME,
            .tls = world->w.client.tls,
            .socket_group = i % group_count,
        };
        struct spate_conn *conn;
        assert_int_equal(spate_shard_connect_with(world->w.client.shard, &options, &conn, NULL), 0);
    }
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (accepted_count(world, &shards) < wanted && pw_now_ns() < end_ns)
        turn_all(world);
    assert_int_equal(accepted_count(world, &shards), wanted);
}

static void clients_reach_several_shards_by_groups_of_sockets(void **state)
{
    (void)state;
    uint32_t shards;
    struct world *world = make_world(SHARDS);
    assert_int_equal(listen_somewhere(world, false), 0);
    connect_in_groups(world, CLIENTS);
    (void)accepted_count(world, &shards);
    assert_true(shards > 1);
}

/* The first CID of each connection decides, and not the client's address. */
static void connections_of_one_socket_reach_several_shards(void **state)
{
    (void)state;
    uint32_t shards;
    struct world *world = make_world(SHARDS);
    assert_int_equal(listen_somewhere(world, false), 0);
    connect_in_groups(world, 1);
    (void)accepted_count(world, &shards);
    assert_true(shards > 1);
}

/* Beyond the sockets that there are, all share one. */
static void more_groups_than_sockets_share_one(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    uint32_t shards;
    assert_int_equal(listen_somewhere(world, false), 0);
    for (uint32_t round = 0; round < 5; round++)
        for (uint32_t i = 0; i < CLIENTS; i++) {
            const struct spate_connect_options options = {
                .size = sizeof(options),
                .address = (struct sockaddr *)&world->w.address,
                .address_size = world->w.address_size,
                .server_name = PW_SERVER_NAME,
                .tls = world->w.client.tls,
                .socket_group = 1 + round * CLIENTS + i,
            };
            struct spate_conn *conn;
            assert_int_equal(spate_shard_connect_with(world->w.client.shard, &options, &conn, NULL),
                             0);
        }
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (accepted_count(world, &shards) < 5 * CLIENTS && pw_now_ns() < end_ns)
        turn_all(world);
    assert_int_equal(accepted_count(world, &shards), 5 * CLIENTS);
    assert_true(5 * CLIENTS > SOCKETS_MAX);
}

static void one_shard_alone_listens_as_ever(void **state)
{
    (void)state;
    struct world *world = make_world(1);
    assert_int_equal(listen_somewhere(world, false), 0);
    assert_int_equal(connect_all(world, turn_all), 1);
    spate_engine_listener_close(world->listener);
}

static void a_close_refuses_newcomers_and_frees_the_port(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    assert_int_equal(listen_somewhere(world, false), 0);
    turn_all(world);
    struct spate_conn *conn = pw_connect(&world->w);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (world->w.client.connected_count == 0 && pw_now_ns() < end_ns)
        turn_all(world);
    spate_engine_listener_close(world->listener);
    uint32_t closed = world->w.client.closed_count;
    (void)pw_connect(&world->w); /* by the socket of the first one: to a shard that is closed */
    while (world->w.client.closed_count == closed && pw_now_ns() < end_ns)
        turn_all(world);
    assert_int_equal(world->w.client.closed_count, closed + 1);
    assert_int_equal(world->w.client.connected_count, 1); /* it lives on */

    spate_conn_close(conn, 0, NULL);
    struct spate_engine *other = make_engine(SHARDS);
    struct spate_engine_listener *listener;
    int result = -EADDRINUSE;
    while (result == -EADDRINUSE && pw_now_ns() < end_ns) {
        for (int i = 0; i < 1000; i++)
            turn_all(world);
        result = listen_on(world, other, &world->w.address, world->w.address_size, &listener, NULL);
    }
    assert_int_equal(result, 0);
}

static void an_engine_that_never_ran_frees_the_port_at_once(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    assert_int_equal(listen_somewhere(world, false), 0);
    spate_engine_listener_close(world->listener);
    int fd = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(bind(fd, (struct sockaddr *)&world->w.address, world->w.address_size), 0);
}

/* ---- By the engine's threads ---- */

static uint32_t index_of(const struct world *world, const struct spate_shard *shard)
{
    uint32_t index = 0;
    while (spate_engine_shard(world->server, index) != shard)
        index++;
    return index;
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    struct world *world = user;
    for (uint32_t i = 0; i < count; i++)
        if (events[i].kind == SPATE_EVENT_CONNECTED)
            atomic_fetch_add(&world->accepted[index_of(world, shard)], 1);
}

static void start(struct world *world, int (*on_start)(struct spate_shard *shard, void *user))
{
    const struct spate_handlers handlers = {
        .size = sizeof(handlers), .on_start = on_start, .on_events = on_events, .user = world};
    struct spate_error error = {""};
    if (spate_engine_start(world->server, &handlers, &error) != 0)
        fail_msg("%s", error.text);
}

static void turn_client(struct world *world)
{
    pw_wait(&world->w.client, MS / 10);
}

static void shards_that_run_take_their_sockets(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    start(world, NULL);
    assert_int_equal(listen_somewhere(world, false), 0);
    check_parts(world); /* reads what does not change */
    assert_true(connect_all(world, turn_client) > 1);

    spate_engine_listener_close(world->listener);
    usleep(50000);
    uint32_t closed = world->w.client.closed_count;
    (void)pw_connect(&world->w);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (world->w.client.closed_count == closed && pw_now_ns() < end_ns)
        turn_client(world);
    assert_int_equal(world->w.client.closed_count, closed + 1);
    assert_int_equal(world->w.client.connected_count, CLIENTS);
}

static int listen_in_start(struct spate_shard *shard, void *user)
{
    struct world *world = user;
    return index_of(world, shard) != 0 ? 0 : listen_somewhere(world, false);
}

static void the_first_shard_may_call_it_when_it_starts(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    start(world, listen_in_start);
    check_parts(world);
    assert_true(connect_all(world, turn_client) > 1);
    spate_engine_stop(world->server);
    struct spate_error error = {""};
    struct spate_engine_listener *listener;
    assert_int_equal(listen_on(world, world->server, &world->w.address, world->w.address_size,
                               &listener, &error),
                     -ESHUTDOWN);
    assert_string_equal(error.text, "shard 0 has ended");
}

/* ---- What goes wrong ---- */

static void the_options_are_checked(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    struct spate_engine_listener *listener = NULL;
    struct spate_error error = {""};
    assert_int_equal(spate_engine_listen(world->server, NULL, &listener, &error), -EINVAL);
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(false, 0, &size);
    struct spate_listen_options options = {.size = sizeof(options),
                                           .address = (struct sockaddr *)&any,
                                           .address_size = size,
                                           .tls = world->w.client.tls};
    assert_int_equal(spate_engine_listen(world->server, &options, &listener, &error), -EINVAL);
    assert_string_equal(error.text, "a listener needs the TLS options of a server");
    options.tls = world->w.server.tls;
    options.address = NULL;
    assert_int_equal(spate_engine_listen(world->server, &options, &listener, &error), -EINVAL);
    assert_null(listener);
}

/* An address whose port was free a moment ago. */
static struct sockaddr_storage free_address(socklen_t *ret_size)
{
    struct sockaddr_storage address = pw_loopback(false, 0, ret_size);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int result = bind(fd, (struct sockaddr *)&address, *ret_size);
    if (result == 0)
        result = getsockname(fd, (struct sockaddr *)&address, ret_size);
    (void)close(fd);
    assert_int_equal(result, 0);
    return address;
}

/* The third shard has no socket left, so nobody listens. */
static void if_one_shard_cannot_listen_none_does(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(false, 0, &size);
    struct spate_listener *one;
    for (int i = 0; i < SOCKETS_MAX; i++)
        assert_int_equal(spate_shard_listen(spate_engine_shard(world->server, 2),
                                            (struct sockaddr *)&any, size, world->w.server.tls,
                                            NULL, &one, NULL),
                         0);
    struct sockaddr_storage address = free_address(&size);

    struct spate_engine_listener *listener = NULL;
    struct spate_error error = {""};
    assert_int_equal(listen_on(world, world->server, &address, size, &listener, &error), -EMFILE);
    assert_string_equal(error.text, "no more than 61 sockets a shard");
    assert_null(listener);
    int again = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(bind(again, (struct sockaddr *)&address, size), 0); /* it is free, at once */
}

static void a_shard_that_shuts_down_refuses(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    assert_int_equal(spate_shard_shutdown(spate_engine_shard(world->server, 3), 0, 0, NULL), 0);
    assert_int_equal(listen_somewhere(world, false), -ESHUTDOWN);
}

struct blocked {
    struct world *world;
    pthread_t thread;
    atomic_bool has_begun;
    int result;
};

static void *listen_in_vain(void *argument)
{
    struct blocked *blocked = argument;
    struct spate_engine_listener *listener;
    atomic_store(&blocked->has_begun, true);
    blocked->result = listen_on(blocked->world, blocked->world->server, &blocked->world->w.address,
                                blocked->world->w.address_size, &listener, NULL);
    return NULL;
}

/* The first call waits for a second, and the shards go on meanwhile. */
static void the_port_of_another_engine_is_refused_and_two_calls_too(void **state)
{
    (void)state;
    struct world *world = make_world(SHARDS);
    start(world, NULL);
    assert_int_equal(listen_somewhere(world, false), 0);
    struct world *second = make_world(SHARDS);
    second->w.address = world->w.address;
    second->w.address_size = world->w.address_size;
    start(second, NULL);
    struct blocked blocked = {.world = second};
    uint64_t begin_ns = pw_now_ns();
    assert_int_equal(pthread_create(&blocked.thread, NULL, listen_in_vain, &blocked), 0);
    while (!atomic_load(&blocked.has_begun))
        usleep(1000);
    usleep(100000);
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(false, 0, &size);
    struct spate_engine_listener *listener;
    int result = listen_on(second, second->server, &any, size, &listener, NULL);
    (void)pthread_join(blocked.thread, NULL); /* before anything can fail */
    assert_int_equal(blocked.result, -EADDRINUSE);
    assert_true(pw_now_ns() - begin_ns >= 900 * MS);
    assert_int_equal(result, -EBUSY);
    assert_int_equal(listen_on(second, second->server, &any, size, &listener, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, all_shards_get_one_port_and_their_share_of_clients),
        QT_TEST(owned, clients_reach_several_shards_by_groups_of_sockets),
        QT_TEST(owned, connections_of_one_socket_reach_several_shards),
        QT_TEST(owned, more_groups_than_sockets_share_one),
        QT_TEST(owned, one_shard_alone_listens_as_ever),
        QT_TEST(owned, a_close_refuses_newcomers_and_frees_the_port),
        QT_TEST(owned, an_engine_that_never_ran_frees_the_port_at_once),
        QT_TEST(owned, shards_that_run_take_their_sockets),
        QT_TEST(owned, the_first_shard_may_call_it_when_it_starts),
        QT_TEST(owned, the_options_are_checked),
        QT_TEST(owned, if_one_shard_cannot_listen_none_does),
        QT_TEST(owned, a_shard_that_shuts_down_refuses),
        QT_TEST(owned, the_port_of_another_engine_is_refused_and_two_calls_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

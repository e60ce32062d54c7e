/* SPDX-License-Identifier: MIT */
/* A shard whose application blocks: other threads see it, and the other shards go on. */

#include "test/support/spate_world.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define MS       UINT64_C(1000000)
#define BLOCK_NS (500 * MS)

enum {
    SHARDS = 2,
    CLIENTS_MAX = 40, /* all begin at one shard: once in 10^12 runs */
    ROUNDS_MIN = 20,
    NO_SHARD = 255,
};

/* A request is one byte, and the response the index of the shard. */
enum { REQUEST = 'r', REQUEST_BLOCK = 'b' };

struct world {
    struct pw w; /* TLS and the client */
    struct spate_engine *server;
    struct pw_relay *relays[CLIENTS_MAX];
    uint32_t relay_count;
    uint8_t answer;           /* the last one */
    uint64_t answers[SHARDS]; /* of each shard */
    atomic_bool is_blocked;
    struct spate_shard_stats stats;
    atomic_bool has_stats;
};

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static uint8_t index_of(const struct world *world, const struct spate_shard *shard)
{
    return shard == spate_engine_shard(world->server, 0) ? 0 : 1;
}

static void answer(struct world *world, struct spate_shard *shard, const struct spate_event *event)
{
    static const uint8_t indices[SHARDS] = {0, 1};
    struct spate_slice slice = event->u.data.slice;
    bool must_block = slice.size > 0 && ((const uint8_t *)slice.data)[0] == REQUEST_BLOCK;
    spate_slice_release(shard, &slice);
    if (must_block) {
        atomic_store(&world->is_blocked, true);
        usleep(BLOCK_NS / 1000);
        atomic_store(&world->is_blocked, false);
    }
    if (event->u.data.fin)
        (void)!spate_stream_send(event->conn, event->stream_id, &indices[index_of(world, shard)], 1,
                                 true, 0);
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    for (uint32_t i = 0; i < count; i++)
        if (events[i].kind == SPATE_EVENT_STREAM_DATA)
            answer(user, shard, &events[i]);
}

static void on_client_event(struct pw_end *end, struct spate_event *event)
{
    struct world *world = end->context;
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    if (event->u.data.slice.size > 0) {
        world->answer = *(const uint8_t *)event->u.data.slice.data;
        assert_true(world->answer < SHARDS);
        world->answers[world->answer]++;
    }
    spate_slice_release(end->shard, &event->u.data.slice);
}

static struct world *make_world(void)
{
    struct world *world = owned_alloc(sizeof(*world));
    struct spate_config config;
    struct spate_engine_listener *listener;
    (void)owned_add(&world->w, pw_deinit);
    pw_make_tls(&world->w);
    world->w.client = (struct pw_end){.name = "client",
                                      .tls = world->w.client.tls,
                                      .engine = pw_make_engine(),
                                      .on_event = on_client_event,
                                      .context = world};
    world->w.client.shard = spate_engine_shard(world->w.client.engine, 0);

    spate_config_init(&config);
    config.backend = pw_backend();
    config.shard_count = SHARDS;
    assert_int_equal(spate_engine_create(&config, &world->server, NULL), 0);
    (void)owned_add(world->server, destroy);
    struct sockaddr_storage any = pw_loopback(false, 0, &world->w.address_size);
    const struct spate_listen_options options = {.size = sizeof(options),
                                                 .address = (struct sockaddr *)&any,
                                                 .address_size = world->w.address_size,
                                                 .tls = world->w.server.tls};
    const struct spate_handlers handlers = {
        .size = sizeof(handlers), .on_events = on_events, .user = world};
    assert_int_equal(spate_engine_listen(world->server, &options, &listener, NULL), 0);
    assert_int_equal(
        spate_engine_listener_address(listener, &world->w.address, &world->w.address_size), 0);
    assert_int_equal(spate_engine_start(world->server, &handlers, NULL), 0);
    return world;
}

static void turn(struct world *world)
{
    pw_wait(&world->w.client, MS / 10);
    for (uint32_t i = 0; i < world->relay_count; i++)
        pw_relay_pass(world->relays[i]);
}

static void ask(struct spate_conn *conn, uint8_t request)
{
    static const uint8_t requests[] = {REQUEST, REQUEST_BLOCK};
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, &requests[request == REQUEST_BLOCK], 1, true, 0),
                     0);
}

static void wait_for_answer(struct world *world, const uint64_t *answers, uint64_t wanted)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*answers < wanted) {
        turn(world);
        assert_true(pw_now_ns() < end_ns);
    }
}

/* Returns what a request to the first shard and its response have taken. */
static uint64_t ask_the_first(struct world *world, struct spate_conn *conn)
{
    uint64_t begin_ns = pw_now_ns();
    uint64_t wanted = world->answers[0] + 1;
    ask(conn, REQUEST);
    wait_for_answer(world, &world->answers[0], wanted);
    return pw_now_ns() - begin_ns;
}

/* Connects until each shard has a connection. */
static void connect_to_both(struct world *world, struct spate_conn *conns[SHARDS])
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (conns[0] == NULL || conns[1] == NULL) {
        assert_true(world->relay_count < CLIENTS_MAX);
        uint32_t before = world->w.client.connected_count;
        struct pw_relay *relay = pw_relay_create(&world->w);
        world->relays[world->relay_count++] = relay;
        struct spate_conn *conn = pw_connect_through(&world->w, relay);
        while (world->w.client.connected_count == before) {
            turn(world);
            assert_true(pw_now_ns() < end_ns);
        }
        world->answer = NO_SHARD;
        ask(conn, REQUEST);
        while (world->answer == NO_SHARD) {
            turn(world);
            assert_true(pw_now_ns() < end_ns);
        }
        conns[world->answer] = conn;
    }
}

static void read_stats(struct spate_shard *shard, void *argument)
{
    struct world *world = argument;
    spate_shard_stats(shard, &world->stats);
    atomic_store(&world->has_stats, true);
}

static uint64_t longest_ns(struct world *world, uint32_t index)
{
    atomic_store(&world->has_stats, false);
    assert_int_equal(spate_shard_post(spate_engine_shard(world->server, index), read_stats, world),
                     0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!atomic_load(&world->has_stats) && pw_now_ns() < end_ns)
        usleep(100);
    assert_true(atomic_load(&world->has_stats));
    return world->stats.turn_longest_ns;
}

static void a_shard_that_blocks_is_seen_and_delays_nobody_else(void **state)
{
    (void)state;
    struct world *world = make_world();
    struct spate_conn *conns[SHARDS] = {NULL, NULL};
    struct spate_shard *blocked = spate_engine_shard(world->server, 1);
    connect_to_both(world, conns);
    assert_true(longest_ns(world, 1) < BLOCK_NS);
    uint64_t free_ns = longest_ns(world, 0);

    uint64_t begin_ns = pw_now_ns();
    uint64_t wanted = world->answers[1] + 1;
    ask(conns[1], REQUEST_BLOCK);
    while (!atomic_load(&world->is_blocked)) {
        turn(world);
        assert_true(pw_now_ns() - begin_ns < PW_PATIENCE_NS);
    }
    uint64_t slowest_ns = 0;
    uint64_t busy_ns = 0;
    uint32_t rounds = 0;
    while (atomic_load(&world->is_blocked)) {
        uint64_t took_ns = ask_the_first(world, conns[0]);
        uint64_t seen_ns = spate_shard_busy_ns(blocked);
        if (atomic_load(&world->is_blocked)) {
            slowest_ns = took_ns > slowest_ns ? took_ns : slowest_ns;
            assert_true(seen_ns >= busy_ns); /* it grows */
            busy_ns = seen_ns;
            rounds++;
        }
    }
    assert_true(rounds >= ROUNDS_MIN);
    assert_true(slowest_ns < BLOCK_NS / 2);
    assert_in_range(busy_ns, BLOCK_NS / 2, PW_PATIENCE_NS);

    wait_for_answer(world, &world->answers[1], wanted);
    assert_in_range(longest_ns(world, 1), BLOCK_NS, PW_PATIENCE_NS);
    assert_true(longest_ns(world, 0) < BLOCK_NS);
    assert_true(longest_ns(world, 0) >= free_ns);
    while (spate_shard_busy_ns(blocked) != 0)
        assert_true(pw_now_ns() - begin_ns < PW_PATIENCE_NS);
}

/* ---- In the loop of a host ---- */

static void work(struct spate_shard *shard, void *argument)
{
    (void)shard;
    usleep((unsigned)(uintptr_t)argument);
}

static void a_host_that_polls_is_not_busy_and_a_post_is(void **state)
{
    (void)state;
    struct spate_engine *engine = owned_add(pw_make_engine(), destroy);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    struct spate_shard_stats stats;
    assert_int_equal(spate_shard_busy_ns(shard), 0);
    assert_true(spate_shard_fd(shard) >= 0);
    assert_int_equal(spate_shard_turn(shard, 0), 0);
    assert_true(spate_shard_busy_ns(shard) > 0); /* it is the program's turn */
    while (spate_shard_deadline_ns(shard) == 0)
        assert_int_equal(spate_shard_turn(shard, 0), 0);
    assert_int_equal(spate_shard_busy_ns(shard), 0);
    usleep(60000); /* its poll */
    assert_int_equal(spate_shard_turn(shard, 0), 0);
    spate_shard_stats(shard, &stats);
    assert_true(stats.turn_longest_ns < 50 * MS);

    assert_int_equal(spate_shard_post(shard, work, (void *)(uintptr_t)60000), 0);
    assert_int_equal(spate_shard_turn(shard, 0), 0);
    spate_shard_stats(shard, &stats);
    assert_in_range(stats.turn_longest_ns, 60 * MS, PW_PATIENCE_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_shard_that_blocks_is_seen_and_delays_nobody_else),
        QT_TEST(owned, a_host_that_polls_is_not_busy_and_a_post_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

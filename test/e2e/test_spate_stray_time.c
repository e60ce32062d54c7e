/* SPDX-License-Identifier: MIT */
/* What it costs a request that it reaches the wrong shard.
 *
 * The test's thread runs the client and the first shard, another thread the second one, which has
 * the connection.  In turns the kernel gives all packets to the second shard, and to the first one,
 * for which they are strays.  The difference of the medians is printed.  The bound is loose,
 * because a test machine has other work. */

#include "test/support/spate_world.h"

#include <linux/filter.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define US        UINT64_C(1000)
#define MS        (1000 * US)
#define ADDED_MAX (2 * MS)

enum {
    SHARDS = 2,
    BLOCKS = 10,
    REQUESTS = 400, /* of a block */
};

struct world {
    struct pw w; /* TLS and the client */
    struct spate_engine *server;
    int steering; /* a socket of the group, to give the kernel its program by */
    pthread_t thread;
    bool has_thread;
    atomic_bool is_over;
    uint8_t answer;
    uint64_t answers;
};

static const uint8_t indices[SHARDS] = {0, 1};

/* Runs a turn of a shard of the server, and answers requests with its index. */
static void serve(struct spate_shard *shard, uint32_t index, uint64_t wait_ns)
{
    struct spate_event events[32];
    uint32_t count;
    assert_true(spate_shard_turn(shard, wait_ns) >= 0);
    while ((count = spate_shard_events(shard, events, 32)) > 0)
        for (uint32_t i = 0; i < count; i++) {
            if (events[i].kind != SPATE_EVENT_STREAM_DATA)
                continue;
            spate_slice_release(shard, &events[i].u.data.slice);
            if (events[i].u.data.fin)
                (void)!spate_stream_send(events[i].conn, events[i].stream_id, &indices[index], 1,
                                         true, 0);
        }
}

static void *run(void *argument)
{
    struct world *world = argument;
    while (!atomic_load(&world->is_over))
        serve(spate_engine_shard(world->server, 1), 1, 10 * MS);
    return NULL;
}

static void stop(void *object)
{
    struct world *world = object;
    atomic_store(&world->is_over, true);
    if (world->has_thread)
        (void)pthread_join(world->thread, NULL);
    spate_engine_destroy(world->server);
    pw_deinit(&world->w);
}

static void on_client_event(struct pw_end *end, struct spate_event *event)
{
    struct world *world = end->context;
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    if (event->u.data.slice.size > 0) {
        world->answer = *(const uint8_t *)event->u.data.slice.data;
        world->answers++;
    }
    spate_slice_release(end->shard, &event->u.data.slice);
}

static void make_server(struct world *world, uint64_t spin_ns)
{
    struct spate_config config;
    struct spate_engine_listener *listener;
    spate_config_init(&config);
    config.backend = pw_backend();
    config.shard_count = SHARDS;
    config.spin_ns = spin_ns;
    assert_int_equal(spate_engine_create(&config, &world->server, NULL), 0);
    struct sockaddr_storage any = pw_loopback(false, 0, &world->w.address_size);
    const struct spate_listen_options options = {.size = sizeof(options),
                                                 .address = (struct sockaddr *)&any,
                                                 .address_size = world->w.address_size,
                                                 .tls = world->w.server.tls};
    assert_int_equal(spate_engine_listen(world->server, &options, &listener, NULL), 0);
    assert_int_equal(
        spate_engine_listener_address(listener, &world->w.address, &world->w.address_size), 0);
}

static struct world *make_world(uint64_t spin_ns)
{
    struct world *world = owned_alloc(sizeof(*world));
    int one = 1;
    (void)owned_add(world, stop);
    pw_make_tls(&world->w);
    world->w.client = (struct pw_end){.name = "client",
                                      .tls = world->w.client.tls,
                                      .engine = pw_make_engine(),
                                      .on_event = on_client_event,
                                      .context = world};
    world->w.client.shard = spate_engine_shard(world->w.client.engine, 0);
    make_server(world, spin_ns);
    world->steering = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(setsockopt(world->steering, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    assert_int_equal(
        bind(world->steering, (const struct sockaddr *)&world->w.address, world->w.address_size),
        0);
    assert_int_equal(pthread_create(&world->thread, NULL, run, world), 0);
    world->has_thread = true;
    return world;
}

/* From now on all packets reach this shard. */
static void steer_to(const struct world *world, uint32_t index)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, index)};
    const struct sock_fprog program = {.len = 1, .filter = code};
    assert_int_equal(setsockopt(world->steering, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                                sizeof(program)),
                     0);
}

static void turn(struct world *world)
{
    serve(spate_engine_shard(world->server, 0), 0, 0);
    pw_wait(&world->w.client, 0);
}

static uint64_t ask(struct world *world, struct spate_conn *conn)
{
    static const uint8_t request[1];
    uint64_t id;
    uint64_t begin_ns = pw_now_ns();
    uint64_t wanted = world->answers + 1;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, request, 1, true, 0), 0);
    while (world->answers < wanted) {
        turn(world);
        assert_true(pw_now_ns() - begin_ns < PW_PATIENCE_NS);
    }
    return pw_now_ns() - begin_ns;
}

/* Connects to the second shard. */
static struct spate_conn *connect_to_second(struct world *world)
{
    struct spate_conn *conn = NULL;
    uint32_t connected = world->w.client.connected_count;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    steer_to(world, 1);
    conn = pw_connect(&world->w);
    while (world->w.client.connected_count == connected) {
        turn(world);
        assert_true(pw_now_ns() < end_ns);
    }
    for (int i = 0; i < 100; i++)
        (void)ask(world, conn);
    assert_int_equal(world->answer, 1);
    return conn;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t median(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof(values[0]), compare);
    return values[count / 2];
}

static void measure(const char *name, uint64_t spin_ns)
{
    static uint64_t direct[BLOCKS * REQUESTS];
    static uint64_t stray[BLOCKS * REQUESTS];
    struct world *world = make_world(spin_ns);
    struct spate_conn *conn = connect_to_second(world);
    size_t count = 0;
    for (uint32_t block = 0; block < BLOCKS; block++) {
        for (uint32_t i = 0; i < REQUESTS; i++) {
            steer_to(world, 1);
            direct[count] = ask(world, conn);
            steer_to(world, 0);
            stray[count++] = ask(world, conn);
            assert_int_equal(world->answer, 1);
        }
    }
    struct spate_shard_stats stats;
    spate_shard_stats(spate_engine_shard(world->server, 0), &stats);
    assert_true(stats.strays_out >= BLOCKS * REQUESTS);
    assert_int_equal(stats.strays_dropped, 0);
    uint64_t direct_ns = median(direct, count);
    uint64_t stray_ns = median(stray, count);
    print_message("%s: p50 %.2f us directly, %.2f us as a stray\n", name, (double)direct_ns / 1e3,
                  (double)stray_ns / 1e3);
    assert_true(stray_ns < direct_ns + ADDED_MAX);
}

static void a_stray_is_late_by_a_bounded_time(void **state)
{
    (void)state;
    measure("a shard that spins", SPATE_FOREVER);
    owned_end_all();
    measure("a shard that sleeps", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_stray_is_late_by_a_bounded_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

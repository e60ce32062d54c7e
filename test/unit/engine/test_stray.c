/* SPDX-License-Identifier: MIT */
/* Datagrams that one shard passes on to another: the doorbell, and a shard that has ended. */

#include "test/support/qt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <spate/stats.h>

#include "engine/net/inherit.h"
#include "engine/shard/shard.h"
#include "test/support/owned.h"

enum {
    SHARDS = 2,
    PATIENCE_MS = 10000,
    STRAYS = 5,
    NO_FILE = 1 << 20, /* a descriptor that nobody has */
    MIXED = 32,        /* datagrams of a buffer for both shards in turns */
    MIXED_SIZE = 60,
};

struct world {
    struct spate_engine *engine;
    struct spate_shard *shards[SHARDS];
    atomic_uint done_count;  /* functions that have run */
    atomic_bool may_go_on;   /* the second shard waits for it */
    atomic_bool has_ended;   /* the second shard */
    uint64_t dropped_at_end; /* strays that it has dropped until on_stop */
    struct spate_shard_stats stats;
    uint64_t doorbells;      /* of the shard's doorbell, together with `stats` */
    struct su_address bound; /* where both shards listen */
    int listen_result;
};

static struct world world;

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    (void)shard;
    (void)events;
    (void)count;
    (void)user;
}

static void on_stop(struct spate_shard *shard, void *user)
{
    (void)user;
    if (shard != world.shards[1])
        return;
    struct spate_shard_stats stats;
    spate_shard_stats(shard, &stats);
    world.dropped_at_end = stats.strays_dropped;
    atomic_store(&world.has_ended, true);
}

static void begin(void)
{
    struct spate_config config;
    memset(&world, 0, sizeof(world));
    spate_config_init(&config);
    config.shard_count = SHARDS;
    config.spin_ns = 0;
    assert_int_equal(spate_engine_create(&config, &world.engine, NULL), 0);
    (void)owned_add(world.engine, destroy);
    for (uint32_t i = 0; i < SHARDS; i++)
        world.shards[i] = spate_engine_shard(world.engine, i);
    const struct spate_handlers handlers = {
        .size = sizeof(handlers), .on_events = on_events, .on_stop = on_stop};
    assert_int_equal(spate_engine_start(world.engine, &handlers, NULL), 0);
}

static void wait_for(atomic_bool *flag)
{
    for (int ms = 0; !atomic_load(flag) && ms < PATIENCE_MS; ms++)
        usleep(1000);
    assert_true(atomic_load(flag));
}

/* Runs a function on a shard, and waits until it has returned. */
static void run_on(uint32_t index, void (*function)(struct spate_shard *shard, void *argument))
{
    uint32_t before = atomic_load(&world.done_count);
    assert_int_equal(spate_shard_post(world.shards[index], function, NULL), 0);
    for (int ms = 0; atomic_load(&world.done_count) == before && ms < PATIENCE_MS; ms++)
        usleep(1000);
    assert_int_equal(atomic_load(&world.done_count), before + 1);
}

static void read_stats(struct spate_shard *shard, void *argument)
{
    (void)argument;
    spate_shard_stats(shard, &world.stats);
    world.doorbells = shard->wake.doorbells;
    atomic_fetch_add(&world.done_count, 1);
}

static struct spate_shard_stats stats_of(uint32_t index)
{
    run_on(index, read_stats);
    return world.stats;
}

/* The first shard passes some datagrams on to the second one. */
static void pass(struct spate_shard *shard, void *argument)
{
    (void)argument;
    uint8_t data[40] = {0x40};
    const struct su_received received = {
        .payload = data, .size = sizeof(data), .segment_size = sizeof(data)};
    for (uint32_t i = 0; i < STRAYS; i++) {
        struct se_strays strays = {.count = 0};
        se_strays_add(&strays, &shard->ports[0], &received, data, sizeof(data), 1);
        se_strays_pass(&strays, shard);
    }
    se_strays_ring(shard);
    atomic_fetch_add(&world.done_count, 1);
}

/* Waits until the second shard has taken the first strays of its life: it has been woken for that,
 * and by nothing else. */
static void wait_until_taken(void)
{
    struct se_mpsc_cell *last = &world.shards[1]->stray_cells[STRAYS - 1];
    for (int ms = 0; atomic_load(&last->sequence) < SE_STRAYS_MAX && ms < PATIENCE_MS; ms++)
        usleep(1000);
    assert_in_range(atomic_load(&last->sequence), SE_STRAYS_MAX, UINT64_MAX);
}

static void let_it_sleep(void)
{
    uint64_t before = stats_of(1).sleeps;
    usleep(20000);
    assert_true(stats_of(1).sleeps > before);
    usleep(20000);
}

static void one_doorbell_wakes_a_shard_that_sleeps(void **state)
{
    (void)state;
    begin();
    let_it_sleep();
    uint64_t rung = world.doorbells;
    run_on(0, pass);
    wait_until_taken();
    usleep(20000); /* it goes to sleep again, and the next post rings */
    assert_int_equal(stats_of(1).strays_dropped, STRAYS); /* it has no socket there */
    assert_in_range(world.doorbells, rung + 1, rung + 2);
    assert_int_equal(stats_of(0).strays_out, STRAYS);
}

/* The kernel refuses the message, and the eventfd is rung instead. */
static void a_doorbell_that_the_kernel_refuses_is_not_lost(void **state)
{
    (void)state;
    begin();
    let_it_sleep();
    struct su_ring *ring = &world.shards[1]->ring;
    if (ring->mmsg != NULL)
        return;
    int ring_fd = ring->uring.ring_fd;
    ring->uring.ring_fd = NO_FILE; /* the sleeper enters by its registered descriptor */
    run_on(0, pass);
    wait_until_taken();
    ring->uring.ring_fd = ring_fd;
    assert_int_equal(stats_of(1).strays_dropped, STRAYS);
}

/* From here on every system call of the second shard's ring fails. */
static void break_when_told(struct spate_shard *shard, void *argument)
{
    (void)argument;
    while (!atomic_load(&world.may_go_on))
        usleep(100);
    shard->ring.uring.enter_ring_fd = NO_FILE;
}

static void a_shard_that_has_ended_drops_strays_and_refuses_posts(void **state)
{
    (void)state;
    begin();
    if (world.shards[1]->ring.mmsg != NULL)
        return;
    assert_int_equal(spate_shard_post(world.shards[1], break_when_told, NULL), 0);
    run_on(0, pass); /* they wait at the end */
    atomic_store(&world.may_go_on, true);
    wait_for(&world.has_ended);
    assert_int_equal(world.dropped_at_end, STRAYS);
    assert_int_equal(stats_of(0).strays_out, STRAYS);
    assert_int_equal(stats_of(0).strays_dropped, 0);

    run_on(0, pass); /* they are refused */
    assert_int_equal(stats_of(0).strays_out, STRAYS);
    assert_int_equal(stats_of(0).strays_dropped, STRAYS);
    assert_int_equal(spate_shard_post(world.shards[1], read_stats, NULL), -ESHUTDOWN);
    assert_int_equal(spate_shard_busy_ns(world.shards[1]), 0);
}

static void listen_here(struct spate_shard *shard, void *argument)
{
    (void)argument;
    const struct se_listen_at at = {.address = world.bound};
    struct se_port *port = NULL;
    world.listen_result = se_port_listen(shard, &at, &port, NULL);
    if (world.listen_result == 0) {
        port->listener.is_open = true; /* it stays open, but has no TLS */
        world.bound = port->socket.local;
    }
    atomic_fetch_add(&world.done_count, 1);
}

/* What the kernel may join in one buffer, if a client has connections to both shards. */
static void take_mixed(struct spate_shard *shard, void *argument)
{
    (void)argument;
    static uint8_t data[MIXED * MIXED_SIZE];
    struct se_port *port = &shard->ports[__builtin_ctzll(shard->ports_used)];
    struct su_address nobody = world.bound; /* who gets the Stateless Resets */
    su_address_set_port(&nobody, 9);
    memset(data, 0, sizeof(data));
    for (uint32_t i = 0; i < MIXED; i++) {
        uint8_t *packet = &data[i * MIXED_SIZE];
        packet[0] = 0x40;
        packet[1 + SE_STRAY_CID_AT] = (uint8_t)((i + 1) % SHARDS);
        packet[8] = (uint8_t)i;
    }
    struct su_received received = {.payload = data,
                                   .size = sizeof(data),
                                   .segment_size = MIXED_SIZE,
                                   .peer = nobody,
                                   .local = world.bound};
    se_rx_take(port, &received);
    se_strays_ring(shard);
    atomic_fetch_add(&world.done_count, 1);
}

static void each_stray_of_a_mixed_buffer_is_passed_on_once(void **state)
{
    (void)state;
    begin();
    world.bound.v4 =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (uint32_t i = 0; i < SHARDS; i++) {
        run_on(i, listen_here);
        assert_int_equal(world.listen_result, 0);
    }
    run_on(0, take_mixed);
    for (int ms = 0; stats_of(1).strays_in == 0 && ms < PATIENCE_MS; ms++)
        usleep(1000);
    usleep(20000); /* were anything passed back, it would be now */
    assert_int_equal(stats_of(0).strays_out, 1);
    assert_int_equal(stats_of(0).strays_in, 0);
    assert_int_equal(stats_of(1).strays_out, 0);
    assert_int_equal(stats_of(1).strays_in, 1);
    assert_int_equal(stats_of(1).datagrams_in, MIXED / SHARDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_stray_of_a_mixed_buffer_is_passed_on_once),
        QT_TEST(owned, one_doorbell_wakes_a_shard_that_sleeps),
        QT_TEST(owned, a_doorbell_that_the_kernel_refuses_is_not_lost),
        QT_TEST(owned, a_shard_that_has_ended_drops_strays_and_refuses_posts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

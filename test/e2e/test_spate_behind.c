/* SPDX-License-Identifier: MIT */
/* A shard that comes late, because the CPU went to others, finds its sockets full and its timers
 * due.  It reads first: what waits in a socket is neither sent again nor missed. */

#include "test/support/spate_world.h"

#include <stdlib.h>
#include <time.h>

enum {
    CONNS = 300,
    SLOTS = 16, /* what a turn receives, so that the others wait */
};

#define MS        UINT64_C(1000000)
#define IDLE_NS   (2000 * MS)
#define HALF_NS   (IDLE_NS / 2)
#define SETTLE_NS (50 * MS) /* longer than an ACK is delayed */

struct world {
    struct pw *w;
    struct spate_conn *clients[CONNS];
    struct spate_conn *servers[CONNS];
    uint32_t server_count;
};

static void configure(struct spate_config *config)
{
    config->receive_slots = SLOTS;
    config->idle_timeout_ns = IDLE_NS;
    config->handshakes_max = CONNS;
}

static void on_server_event(struct pw_end *end, struct spate_event *event)
{
    struct world *world = end->context;
    if (event->kind == SPATE_EVENT_CONNECTED)
        world->servers[world->server_count++] = event->conn;
    pw_default(end, event);
}

static void world_end(void *object)
{
    free(object);
}

static struct world *world_create(void)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    (void)owned_add(world, world_end);
    world->w = pw_create(&(struct pw_config){.server = configure, .client = configure});
    world->w->server.on_event = on_server_event;
    world->w->server.context = world;
    return world;
}

static void turn_for(struct pw_end *end, uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns;
    while (pw_now_ns() < end_ns)
        pw_wait(end, MS);
}

/* Each of `conns` sends a byte, in a datagram of its own. */
static void send_on_each(struct spate_conn *const *conns)
{
    for (uint32_t i = 0; i < CONNS; i++) {
        uint64_t id;
        assert_int_equal(spate_stream_open(conns[i], true, &id), 0);
        assert_int_equal(spate_stream_send(conns[i], id, "x", 1, true, 0), 0);
    }
}

/* All are connected, have just been in use, and nothing is on its way. */
static void connect_all(struct world *world)
{
    struct pw *w = world->w;
    for (uint32_t i = 0; i < CONNS; i++)
        world->clients[i] = pw_connected(w);
    send_on_each(world->clients);
    pw_for(w, SETTLE_NS);
    while (w->server.fin_count < CONNS)
        pw_for(w, SETTLE_NS);
    assert_int_equal(world->server_count, CONNS);
}

static void sleep_until(uint64_t at_ns)
{
    const struct timespec at = {.tv_sec = (time_t)(at_ns / (1000 * MS)),
                                .tv_nsec = (long)(at_ns % (1000 * MS))};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
}

static void a_packet_that_waits_keeps_its_connection(void **state)
{
    (void)state;
    struct world *world = world_create();
    struct pw *w = world->w;
    connect_all(world);
    uint64_t now_ns = pw_now_ns();

    sleep_until(now_ns + HALF_NS);
    send_on_each(world->servers);
    turn_for(&w->server, SETTLE_NS);
    sleep_until(now_ns + IDLE_NS + SETTLE_NS);

    turn_for(&w->client, 2 * SETTLE_NS);
    assert_int_equal(w->client.closed_count, 0);
    assert_int_equal(w->client.fin_count, CONNS);
}

static uint64_t probe_timeouts(struct spate_conn *const *conns)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < CONNS; i++) {
        struct spate_conn_stats stats;
        spate_conn_stats(conns[i], &stats);
        count += stats.ptos;
    }
    return count;
}

static void what_was_acknowledged_is_not_sent_again(void **state)
{
    (void)state;
    struct world *world = world_create();
    struct pw *w = world->w;
    connect_all(world);

    uint64_t ptos = probe_timeouts(world->clients);
    uint64_t sent = pw_stats(&w->client).datagrams_out;
    send_on_each(world->clients);
    while (pw_stats(&w->client).datagrams_out < sent + CONNS)
        pw_wait(&w->client, 0);
    turn_for(&w->server, SETTLE_NS);
    assert_int_equal(w->server.fin_count, 2 * CONNS);
    sleep_until(pw_now_ns() + HALF_NS);
    turn_for(&w->client, 2 * SETTLE_NS);

    assert_int_equal(probe_timeouts(world->clients), ptos);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_packet_that_waits_keeps_its_connection),
        QT_TEST(owned, what_was_acknowledged_is_not_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

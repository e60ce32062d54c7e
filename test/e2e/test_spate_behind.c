/* SPDX-License-Identifier: MIT */
/* A shard that comes late, because the CPU went to others, finds its sockets full and its timers
 * due.  It reads first: what waits in a socket is neither sent again nor missed. */

#include "test/support/spate_world.h"

#include <stdlib.h>
#include <time.h>

enum {
    CONNS = 300,
    HANDSHAKES = 20, /* at a time */
    SLOTS = 16,      /* what a turn receives, so that the others wait */
};

#define MS        UINT64_C(1000000)
#define IDLE_NS   (5000 * MS) /* longer than making the connections takes */
#define HALF_NS   (IDLE_NS / 2)
#define LATE_NS   (1000 * MS) /* longer than a PTO */
#define SETTLE_NS (50 * MS)   /* longer than an ACK is delayed */

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
    uint32_t begun = 0;
    while (w->client.connected_count < CONNS) {
        for (; begun < CONNS && begun < w->client.connected_count + HANDSHAKES; begun++)
            world->clients[begun] = pw_connect(w);
        pw_for(w, MS);
        assert_int_equal(w->client.closed_count, 0);
    }
    send_on_each(world->clients);
    pw_for(w, SETTLE_NS);
    while (w->server.fin_count < CONNS)
        pw_for(w, SETTLE_NS);
    assert_int_equal(world->server_count, CONNS);
}

/* Turns one side until it has received so many streams, or a connection has ended. */
static void turn_until_received(struct pw_end *end, uint32_t fin_count)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (end->fin_count < fin_count && end->closed_count == 0 && pw_now_ns() < end_ns)
        pw_wait(end, MS);
    assert_int_equal(end->closed_count, 0);
    assert_int_equal(end->fin_count, fin_count);
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

    turn_until_received(&w->client, CONNS);
}

struct packets {
    uint64_t out[CONNS];
};

static struct packets packets_out(struct spate_conn *const *conns)
{
    struct packets packets;
    for (uint32_t i = 0; i < CONNS; i++) {
        struct spate_conn_stats stats;
        spate_conn_stats(conns[i], &stats);
        packets.out[i] = stats.packets_out;
    }
    return packets;
}

static bool has_each_sent(struct spate_conn *const *conns, const struct packets *before)
{
    struct packets now = packets_out(conns);
    for (uint32_t i = 0; i < CONNS; i++) {
        if (now.out[i] == before->out[i])
            return false;
    }
    return true;
}

static void turn_until_each_has_sent(struct pw_end *end, struct spate_conn *const *conns,
                                     const struct packets *before)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!has_each_sent(conns, before)) {
        pw_wait(end, MS);
        assert_true(pw_now_ns() < end_ns);
    }
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

    struct packets before = packets_out(world->clients);
    struct packets acks_before = packets_out(world->servers);
    send_on_each(world->clients);
    turn_until_each_has_sent(&w->client, world->clients, &before);
    uint64_t ptos = probe_timeouts(world->clients);
    turn_until_received(&w->server, 2 * CONNS);
    turn_until_each_has_sent(&w->server, world->servers, &acks_before);
    sleep_until(pw_now_ns() + LATE_NS);
    turn_for(&w->client, 2 * SETTLE_NS);

    assert_int_equal(probe_timeouts(world->clients), ptos);
}

/* A batch that is full is no sign that more waits: the plain system calls ask for four datagrams at
 * first.  The probe that was due in that turn leaves in the next. */
static void a_full_batch_delays_no_probe(void **state)
{
    (void)state;
    for (uint32_t count = 3; count <= 5; count++) {
        struct pw *w = pw_create(&(struct pw_config){0});
        (void)pw_connected(w);
        pw_for(w, SETTLE_NS);
        struct spate_conn *conn = w->server.conn;
        struct spate_conn_stats stats;
        uint64_t id, start_ns, drops = pw_stats(&w->server).unroutable;
        spate_conn_stats(conn, &stats);
        uint64_t ptos = stats.ptos; /* HANDSHAKE_DONE, where its ACK was late */
        assert_int_equal(spate_stream_open(conn, true, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, "x", 1, true, 0), 0);
        pw_wait(&w->server, 0); /* the client gets no turn, and does not answer */
        int fd = pw_udp_socket();
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(
                sendto(fd, "?", 1, 0, (const struct sockaddr *)&w->address, w->address_size), 1);
        sleep_until(pw_now_ns() + 400 * MS);
        spate_conn_stats(conn, &stats);
        assert_int_equal(stats.ptos, ptos);
        start_ns = pw_now_ns();
        while (stats.ptos == ptos && pw_now_ns() < start_ns + PW_PATIENCE_NS) {
            pw_wait(&w->server, 1000 * MS);
            spate_conn_stats(conn, &stats);
        }
        assert_int_equal(pw_stats(&w->server).unroutable - drops, count);
        assert_true(pw_now_ns() - start_ns < QT_SLOWER * 200 * MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_packet_that_waits_keeps_its_connection),
        QT_TEST(owned, what_was_acknowledged_is_not_sent_again),
        QT_TEST(owned, a_full_batch_delays_no_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

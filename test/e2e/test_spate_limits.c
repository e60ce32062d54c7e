/* SPDX-License-Identifier: MIT */
/* Each limit of the configuration, and what is promised to happen there. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- conns_max ---- */

static void two_conns(struct spate_config *config)
{
    config->conns_max = 2;
}

static bool client_has_two(struct pw *w)
{
    return w->client.connected_count == 2 && w->server.connected_count == 2;
}

static bool client_has_lost_one(struct pw *w)
{
    return w->client.closed_count == 1;
}

static void beyond_conns_max_a_client_is_refused(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = two_conns});
    (void)pw_connect(w);
    (void)pw_connect(w);
    pw_until(w, client_has_two);

    struct spate_conn *third = pw_connect(w);
    pw_until(w, client_has_lost_one);
    (void)third;
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_TRANSPORT);
    assert_int_equal(w->client.close.error, 2); /* CONNECTION_REFUSED [RFC9000 20.1] */
    assert_false(w->client.close.is_local);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_true(stats.conns_refused >= 1);
    assert_int_equal(stats.conns_now, 2);
    assert_int_equal(stats.conns_accepted, 2);
}

static void beyond_conns_max_connect_says_enobufs(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.client = two_conns});
    (void)pw_connect(w);
    (void)pw_connect(w);
    struct spate_error error = {""};
    struct spate_conn *conn = NULL;
    assert_int_equal(spate_shard_connect(w->client.shard, (struct sockaddr *)&w->address,
                                         w->address_size, PW_SERVER_NAME, w->client.tls, NULL,
                                         &conn, &error),
                     -ENOBUFS);
    assert_null(conn);
    assert_string_equal(error.text, "at the limit of 2 connections");
    pw_until(w, client_has_two);
}

/* ---- handshakes_max ---- */

static void one_handshake(struct spate_config *config)
{
    config->handshakes_max = 1;
}

static bool server_dropped_a_handshake(struct pw *w)
{
    return pw_stats(&w->server).handshakes_dropped > 0;
}

static bool server_has_a_handshake(struct pw *w)
{
    return pw_stats(&w->server).handshakes_now == 1;
}

static bool both_are_connected(struct pw *w)
{
    return w->client.connected_count == 1 && w->server.connected_count == 1;
}

/* A client that begins and is never heard of again holds the only place.  The next one is dropped
 * at first; when it tries again, the silent one gives way, long before its handshake times out. */
static void beyond_handshakes_max_the_oldest_unproven_client_gives_way(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = one_handshake});
    static struct pw silent;
    silent = (struct pw){.client.name = "silent"};
    (void)owned_add(&silent, pw_deinit);
    pw_make_tls(&silent);
    struct spate_config config;
    struct spate_error error = {""};
    spate_config_init(&config);
    config.backend = pw_backend();
    assert_int_equal(spate_engine_create(&config, &silent.client.engine, &error), 0);
    silent.client.shard = spate_engine_shard(silent.client.engine, 0);
    silent.address = w->address;
    silent.address_size = w->address_size;
    (void)pw_connect(&silent);
    assert_true(spate_shard_turn(silent.client.shard, 0) >= 0);
    pw_until(w, server_has_a_handshake);

    (void)pw_connect(w);
    pw_until(w, server_dropped_a_handshake);
    assert_int_equal(w->client.connected_count, 0);
    pw_until(w, both_are_connected);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(stats.handshakes_done, 1);
    assert_int_equal(stats.handshakes_failed, 1);
    assert_int_equal(stats.handshakes_evicted, 1);
    assert_int_equal(w->server.connected_count, 1);
    assert_int_equal(w->server.closed_count, 0); /* nobody was told of the silent one */
}

/* ---- memory_bytes_max ---- */

static void little_memory(struct spate_config *config)
{
    config->memory_bytes_max = UINT64_C(2) << 20;
}

static bool client_was_refused(struct pw *w)
{
    return w->client.closed_count > 0;
}

static void without_memory_new_connections_are_refused_and_old_ones_live(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = little_memory});
    for (int i = 0; i < 400 && w->client.closed_count == 0; i++) {
        (void)pw_connect(w);
        for (int turns = 0; turns < 4; turns++)
            pw_turn(w);
    }
    pw_until(w, client_was_refused);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_TRANSPORT);
    struct spate_shard_stats stats = pw_stats(&w->server);
    /* Refused, or what was left lasted for the beginning of a handshake. */
    assert_true(stats.conns_refused > 0 || w->client.close.error == 1 /* INTERNAL_ERROR */);
    assert_true(stats.conns_now > 0);
    assert_true(stats.memory_bytes_peak <= UINT64_C(2) << 20);
    assert_int_equal(w->server.closed_count, 0);
}

/* ---- streams ---- */

static void three_streams(struct spate_config *config)
{
    config->streams_bidi_max = 3;
    config->streams_uni_max = 1;
}

static uint32_t opened_count;

/* "May work now": if it does not, another event follows. */
static void open_when_available(struct pw_end *end, struct spate_event *event)
{
    uint64_t id;
    if (event->kind == SPATE_EVENT_STREAMS_AVAILABLE && !event->u.is_uni)
        opened_count += spate_stream_open(event->conn, false, &id) == 0;
    pw_default(end, event);
}

static void answer_with_fin(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA && event->u.data.fin)
        assert_int_equal(spate_stream_send(event->conn, event->stream_id, NULL, 0, true, 0), 0);
    pw_default(end, event);
}

static bool one_more_is_open(struct pw *w)
{
    (void)w;
    return opened_count == 1;
}

static void beyond_the_peers_stream_limit_open_says_eagain_until_one_closes(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = three_streams});
    w->client.on_event = open_when_available;
    w->server.on_event = answer_with_fin;
    opened_count = 0;
    struct spate_conn *conn = pw_connected(w);
    uint64_t id[4];
    for (int i = 0; i < 3; i++)
        assert_int_equal(spate_stream_open(conn, false, &id[i]), 0);
    assert_int_equal(spate_stream_open(conn, false, &id[3]), -EAGAIN);
    assert_int_equal(spate_stream_open(conn, true, &id[3]), 0); /* another kind */

    pw_for(w, 20000000);
    assert_int_equal(opened_count, 0);
    assert_int_equal(spate_stream_send(conn, id[0], NULL, 0, true, 0), 0);
    pw_until(w, one_more_is_open);
}

static void two_local(struct spate_config *config)
{
    config->streams_local_max = 2;
}

static void beyond_streams_local_max_open_says_eagain(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.client = two_local});
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_open(conn, false, &id), -EAGAIN);
}

/* ---- receive slots ---- */

static void few_receive_slots(struct spate_config *config)
{
    config->receive_slots = 4;
}

static bool flood_was_seen(struct pw *w)
{
    struct spate_shard_stats stats = pw_stats(&w->server);
    return stats.receive_enobufs > 0 && stats.unroutable >= 100;
}

/* More datagrams than slots lie in the socket when the server looks: the kernel runs out of
 * slots, says ENOBUFS, and nothing is lost by it. */
static void a_flood_that_empties_the_slots_loses_nothing(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = few_receive_slots});
    (void)pw_connected(w);
    struct spate_shard_stats before = pw_stats(&w->server);
    int fd = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    uint8_t data[40] = {0x40};
    for (int i = 0; i < 100; i++) { /* of different sizes, or GRO would join them */
        size_t size = 20 + (size_t)i % 3;
        assert_int_equal(sendto(fd, data, size, 0, (struct sockaddr *)&w->address, w->address_size),
                         size);
    }
    pw_until(w, flood_was_seen);
    struct spate_shard_stats after = pw_stats(&w->server);
    assert_true(after.datagrams_in - before.datagrams_in >= 100);
    assert_true(after.unroutable - before.unroutable >= 100);
    assert_int_equal(after.kernel_drops, before.kernel_drops);
    assert_true(after.receive_rearms > 0);
    assert_int_equal(w->server.closed_count, 0);
}

/* ---- events ---- */

/* More than there are events for a shard: datagrams of one stream that the server's application
 * does not take.  With our own cipher a train of them would be one event. */
#define UNTAKEN_BYTES 1000000
static const uint8_t untaken[UNTAKEN_BYTES];

static bool server_has_opened(struct pw *w)
{
    return w->server.bytes_in > 0;
}

/* Returns how many events the server's application has not taken. */
static int turn_with_a_busy_application(struct pw *w)
{
    pw_wait(&w->client, 0);
    return spate_shard_turn(w->server.shard, 0);
}

static void many_datagrams(struct spate_config *config)
{
    config->datagram_size_max = 1452;
}

static void an_event_for_each(struct spate_config *config)
{
    config->crypto = SPATE_CRYPTO_OPENSSL;
}

static void an_application_that_takes_no_events_costs_nobody_the_handshake(void **state)
{
    (void)state;
    struct pw *w =
        pw_create(&(struct pw_config){.server = an_event_for_each, .client = many_datagrams});
    struct spate_conn *first = pw_connected(w);
    uint64_t id;
    assert_int_equal(spate_stream_open(first, false, &id), 0);
    assert_int_equal(spate_stream_send(first, id, untaken, 1, false, 0), 0);
    pw_until(w, server_has_opened);
    assert_int_equal(spate_stream_send(first, id, untaken, UNTAKEN_BYTES, false, 1), 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (turn_with_a_busy_application(w) < 256)
        assert_true(pw_now_ns() < end_ns);

    (void)pw_connect(w);
    while (w->client.connected_count < 2) {
        (void)turn_with_a_busy_application(w);
        assert_true(pw_now_ns() < end_ns);
    }
    for (int i = 0; i < 20; i++) /* the client's last flight */
        (void)turn_with_a_busy_application(w);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(stats.handshakes_failed, 0);
    assert_int_equal(stats.unroutable, 0);
    pw_until(w, client_has_two);
}

/* An application that takes as many events as there are places, once per turn, is not left waiting:
 * the connection has more of them. */
static void events_that_had_no_place_do_not_wait_for_a_packet(void **state)
{
    (void)state;
    struct pw *w =
        pw_create(&(struct pw_config){.server = an_event_for_each, .client = many_datagrams});
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, untaken, 1, false, 0), 0);
    pw_until(w, server_has_opened);
    assert_int_equal(spate_stream_send(conn, id, untaken, UNTAKEN_BYTES, false, 1), 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (turn_with_a_busy_application(w) < 256)
        assert_true(pw_now_ns() < end_ns);
    for (int i = 0; i < 20; i++)
        (void)turn_with_a_busy_application(w);

    struct spate_event events[256];
    assert_int_equal(spate_shard_events(w->server.shard, events, 256), 256);
    for (int i = 0; i < 256; i++)
        pw_default(&w->server, &events[i]);
    uint64_t begin_ns = pw_now_ns();
    assert_true(spate_shard_turn(w->server.shard, UINT64_C(5000000000)) > 0);
    assert_true(pw_now_ns() - begin_ns < UINT64_C(4000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, beyond_conns_max_a_client_is_refused),
        QT_TEST(owned, beyond_conns_max_connect_says_enobufs),
        QT_TEST(owned, beyond_handshakes_max_the_oldest_unproven_client_gives_way),
        QT_TEST(owned, without_memory_new_connections_are_refused_and_old_ones_live),
        QT_TEST(owned, beyond_the_peers_stream_limit_open_says_eagain_until_one_closes),
        QT_TEST(owned, beyond_streams_local_max_open_says_eagain),
        QT_TEST(owned, a_flood_that_empties_the_slots_loses_nothing),
        QT_TEST(owned, an_application_that_takes_no_events_costs_nobody_the_handshake),
        QT_TEST(owned, events_that_had_no_place_do_not_wait_for_a_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What a closed connection costs until it is drained, and what its late packets find. */

#include "test/support/spate_world.h"

#include <string.h>
#include <unistd.h>

static void run(struct pw *w, struct pw_relay *relay)
{
    pw_turn(w);
    if (relay != NULL)
        pw_relay_pass(relay);
}

static void until(struct pw *w, struct pw_relay *relay, const uint32_t *counter, uint32_t value)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*counter < value && pw_now_ns() < end_ns)
        run(w, relay);
    assert_int_equal(*counter, value);
}

static void until_gone(struct pw *w, struct pw_relay *relay, struct pw_end *end)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (pw_stats(end).conns_now > 0 && pw_now_ns() < end_ns)
        run(w, relay);
    assert_int_equal(pw_stats(end).conns_now, 0);
}

static void until_drained(struct pw *w, struct pw_relay *relay, struct pw_end *end)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (pw_stats(end).draining_now > 0 && pw_now_ns() < end_ns)
        run(w, relay);
    assert_int_equal(pw_stats(end).draining_now, 0);
}

/* Connects by way of a relay, until both ends know. */
static struct spate_conn *connect_through(struct pw *w, struct pw_relay **ret_relay)
{
    struct pw_relay *relay = pw_relay_create(w);
    struct spate_conn *conn = pw_connect_through(w, relay);
    until(w, relay, &w->client.connected_count, 1);
    until(w, relay, &w->server.connected_count, 1);
    *ret_relay = relay;
    return conn;
}

/* The server's close is lost; the client's next packet finds the connection freed, and what is
 * left of it says why. */
static void a_late_packet_is_answered_with_the_close(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct pw_relay *relay;
    struct spate_conn *conn = connect_through(w, &relay);
    for (int i = 0; i < 100; i++)
        run(w, relay);

    relay->drops_to_client = true;
    spate_conn_close(w->server.conn, 5, "lost");
    uint64_t sent_before = pw_stats(&w->server).datagrams_out;
    until_gone(w, relay, &w->server);
    assert_int_equal(w->client.closed_count, 0);
    assert_int_equal(pw_stats(&w->server).draining_now, 1);
    assert_int_equal(pw_stats(&w->server).datagrams_out, sent_before + 1);

    relay->drops_to_client = false;
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, "still there?", 12, true, 0), 0);
    until(w, relay, &w->client.closed_count, 1);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_APP);
    assert_int_equal(w->client.close.error, 5);
    assert_string_equal(w->client.close_reason, "lost");
    assert_int_equal(pw_stats(&w->server).stateless_resets, 0);
    until_drained(w, relay, &w->server);
    until_gone(w, relay, &w->client);
    until_drained(w, relay, &w->client);
}

static void one_conn(struct spate_config *config)
{
    config->conns_max = 1;
    config->handshakes_max = 1;
}

/* Nobody waits for a connection that has closed, and the number of those has a bound. */
static void closed_connections_keep_nobody_out(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = one_conn, .client = one_conn});
    enum { ROUNDS = 200, BOUND = 68 };
    uint64_t most = 0;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        (void)pw_connected(w);
        spate_conn_close(i % 2 == 0 ? w->server.conn : w->client.conn, i, "next");
        until(w, NULL, &w->client.closed_count, i);
        until(w, NULL, &w->server.closed_count, i);
        until_gone(w, NULL, &w->server);
        until_gone(w, NULL, &w->client);
        uint64_t now = pw_stats(&w->server).draining_now;
        most = now > most ? now : most;
    }
    assert_in_range(most, 2, BOUND);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(stats.conns_refused, 0);
    assert_int_equal(stats.handshakes_dropped, 0);
    assert_int_equal(stats.conns_accepted, ROUNDS);
    until_drained(w, NULL, &w->server);
    until_drained(w, NULL, &w->client);
}

static void slow_acks(struct spate_config *config)
{
    one_conn(config);
    config->ack_delay_ns_max = UINT64_C(16383) * 1000000;
}

/* [RFC9000 10.2] The peer claims a max_ack_delay of 16 s; 68 closed connections are remembered,
 * the oldest make room, and none lasts as long as the claim. */
static void the_oldest_make_room_and_claims_do_not_last(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = one_conn, .client = slow_acks});
    enum { ROUNDS = 100, BOUND = 68 };
    uint64_t begin_ns = pw_now_ns();
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        (void)pw_connected(w);
        spate_conn_close(w->server.conn, i, "next");
        until(w, NULL, &w->client.closed_count, i);
        until_gone(w, NULL, &w->server);
        until_gone(w, NULL, &w->client);
    }
    /* Unless the machine took longer for them than they are remembered. */
    if (pw_now_ns() - begin_ns < UINT64_C(700000000)) {
        assert_int_equal(pw_stats(&w->server).draining_now, BOUND);
        assert_int_equal(pw_stats(&w->server).draining_evicted, ROUNDS - BOUND);
    }
    uint64_t last_ns = pw_now_ns();
    until_drained(w, NULL, &w->server);
    assert_true(pw_now_ns() - last_ns < UINT64_C(10000000000));
}

/* A client that does not believe the server's certificate has ended the server's handshake; the
 * next one gets in at once. */
static void failed_handshakes_keep_nobody_out(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = one_conn});
    enum { REFUSALS = 30 };
    for (uint32_t i = 1; i <= REFUSALS; i++) {
        struct spate_conn *conn;
        struct spate_error error = {""};
        assert_int_equal(spate_shard_connect(w->client.shard, (struct sockaddr *)&w->address,
                                             w->address_size, "somebody.else", w->client.tls, NULL,
                                             &conn, &error),
                         0);
        until(w, NULL, &w->client.closed_count, i);
        assert_int_equal(w->client.close.kind, SPATE_CLOSE_TRANSPORT);
        assert_true(w->client.close.is_local);
        until_gone(w, NULL, &w->server);
        assert_int_equal(pw_stats(&w->server).handshakes_now, 0);
    }
    (void)pw_connected(w);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(stats.handshakes_dropped, 0);
    assert_int_equal(stats.conns_refused, 0);
    assert_int_equal(stats.handshakes_failed, REFUSALS);
    assert_int_equal(w->server.closed_count, 0);
}

static struct spate_slice held;

static void hold_first(struct pw_end *end, struct spate_event *event)
{
    if (event->kind != SPATE_EVENT_STREAM_DATA || held.data != NULL)
        pw_default(end, event);
    else
        held = event->u.data.slice;
}

static bool is_held(struct pw *w)
{
    (void)w;
    return held.data != NULL;
}

static void slices_outlive_their_connection(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    held = (struct spate_slice){0};
    w->server.on_event = hold_first;
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, "hold on", 7, true, 0), 0);
    pw_until(w, is_held);
    spate_conn_close(w->client.conn, 0, "");
    until(w, NULL, &w->server.closed_count, 1);
    until_gone(w, NULL, &w->server);
    (void)pw_connected(w); /* takes the place */
    assert_int_equal(held.size, 7);
    assert_memory_equal(held.data, "hold on", 7);
    spate_slice_release(w->server.shard, &held);
}

/* The socket stays as long as something may have to be answered through it. */
static void a_listener_that_closes_still_answers_late_packets(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct pw_relay *relay;
    struct spate_conn *conn = connect_through(w, &relay);
    relay->drops_to_client = true;
    spate_conn_close(w->server.conn, 6, "");
    spate_listener_close(w->listener);
    until_gone(w, relay, &w->server);
    relay->drops_to_client = false;
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, "?", 1, true, 0), 0);
    until(w, relay, &w->client.closed_count, 1);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_APP);
    assert_int_equal(w->client.close.error, 6);
    until_drained(w, relay, &w->server);
    for (int i = 0; i < 100; i++)
        run(w, relay);
    /* Now the port is free again. */
    struct spate_listener *listener;
    struct spate_error error = {""};
    assert_int_equal(spate_shard_listen(w->server.shard, (struct sockaddr *)&w->address,
                                        w->address_size, w->server.tls, NULL, &listener, &error),
                     0);
}

/* The closing period is three PTO from the call on, with an ACK delay of 25 ms in each, however
 * long ago the last turn was.  [RFC9000 10.2] */
static void the_closing_period_begins_with_the_call(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    pw_for(w, 50000000); /* until the handshake is confirmed and nothing is in flight */
    usleep(1500000);
    uint64_t start_ns = pw_now_ns();
    spate_conn_close(conn, 6, "after a pause");
    until_gone(w, NULL, &w->client);
    until_drained(w, NULL, &w->client);
    assert_true(pw_now_ns() - start_ns >= 50000000);
    until(w, NULL, &w->server.closed_count, 1);
    assert_int_equal(w->server.close.error, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_late_packet_is_answered_with_the_close),
        QT_TEST(owned, closed_connections_keep_nobody_out),
        QT_TEST(owned, the_oldest_make_room_and_claims_do_not_last),
        QT_TEST(owned, failed_handshakes_keep_nobody_out),
        QT_TEST(owned, slices_outlive_their_connection),
        QT_TEST(owned, a_listener_that_closes_still_answers_late_packets),
        QT_TEST(owned, the_closing_period_begins_with_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

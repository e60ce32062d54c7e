/* SPDX-License-Identifier: MIT */
/* Beginnings and ends: refusals, restarts, slices that outlive what they came from. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool client_is_closed(struct pw *w)
{
    return w->client.closed_count > 0;
}

static void nobody_at_the_port_is_unreachable(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        struct pw *w = pw_create(&(struct pw_config){.is_v6 = is_v6 != 0});
        spate_engine_destroy(w->server.engine); /* the port was there, and is free now */
        w->server.engine = NULL;
        uint64_t begin_ns = pw_now_ns();
        (void)pw_connect(w);
        pw_until(w, client_is_closed);
        assert_int_equal(w->client.close.kind, SPATE_CLOSE_UNREACHABLE);
        assert_int_equal(w->client.close.error, ECONNREFUSED);
        assert_true(w->client.close.is_local);
        assert_string_equal(w->client.close_reason, "Connection refused");
        assert_int_equal(w->client.connected_count, 0);
        assert_true(pw_now_ns() - begin_ns < UINT64_C(2000000000));
        owned_end_all();
    }
}

static void two_conns(struct spate_config *config)
{
    config->conns_max = 2;
}

/* A program that starts before its server tries again and again. */
static void refused_connections_do_not_count_against_conns_max(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.client = two_conns});
    spate_engine_destroy(w->server.engine);
    w->server.engine = NULL;
    for (uint32_t i = 1; i <= 20; i++) {
        (void)pw_connect(w); /* fails if there is no room */
        while (w->client.closed_count < i)
            pw_turn(w);
        assert_int_equal(w->client.close.kind, SPATE_CLOSE_UNREACHABLE);
    }
}

static void short_idle(struct spate_config *config)
{
    config->idle_timeout_ns = UINT64_C(100000000);
}

static bool both_are_closed(struct pw *w)
{
    return w->client.closed_count > 0 && w->server.closed_count > 0;
}

static void silence_ends_a_connection(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.client = short_idle});
    (void)pw_connected(w);
    pw_until(w, both_are_closed);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_IDLE);
    assert_int_equal(w->server.close.kind, SPATE_CLOSE_IDLE);
    pw_for(w, 20000000);
    assert_int_equal(pw_stats(&w->server).conns_now, 0);
    assert_int_equal(pw_stats(&w->client).conns_now, 0);
}

/* Nothing of a ring that is gone may keep the port: the kernel takes rings down late. */
static void a_server_can_take_the_port_of_the_one_before_at_once(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    (void)pw_connected(w);
    for (int i = 0; i < 5; i++) {
        struct spate_error error = {""};
        struct spate_config config;
        spate_config_init(&config);
        config.backend = pw_backend();
        spate_engine_destroy(w->server.engine);
        w->server.engine = NULL;
        assert_int_equal(spate_engine_create(&config, &w->server.engine, &error), 0);
        w->server.shard = spate_engine_shard(w->server.engine, 0);
        if (spate_shard_listen(w->server.shard, (struct sockaddr *)&w->address, w->address_size,
                               w->server.tls, NULL, &w->listener, &error) != 0)
            fail_msg("%s", error.text);
        (void)pw_connected(w);
    }
}

static void a_port_that_is_taken_is_named(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_error error = {""};
    struct spate_listener *listener = NULL;
    assert_int_equal(spate_shard_listen(w->client.shard, (struct sockaddr *)&w->address,
                                        w->address_size, w->server.tls, NULL, &listener, &error),
                     -EADDRINUSE);
    assert_null(listener);
    char expected[128];
    const struct sockaddr_in *address = (const struct sockaddr_in *)&w->address;
    (void)snprintf(expected, sizeof(expected), "127.0.0.1:%u: bind failed: Address already in use",
                   ntohs(address->sin_port));
    assert_string_equal(error.text, expected);
}

static void wrong_arguments_are_refused_with_a_reason(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_error error = {""};
    struct spate_conn *conn = NULL;
    struct spate_listener *listener = NULL;
    struct sockaddr *address = (struct sockaddr *)&w->address;
    struct sockaddr unknown = {.sa_family = AF_UNIX};

    assert_int_equal(spate_shard_connect(w->client.shard, &unknown, sizeof(unknown), "x",
                                         w->client.tls, NULL, &conn, &error),
                     -EINVAL);
    assert_string_equal(error.text, "the address is neither IPv4 nor IPv6");
    assert_int_equal(spate_shard_connect(w->client.shard, address, w->address_size, "x",
                                         w->server.tls, NULL, &conn, &error),
                     -EINVAL);
    assert_string_equal(error.text, "a connection needs the TLS options of a client");
    assert_int_equal(spate_shard_connect(w->client.shard, address, w->address_size, NULL,
                                         w->client.tls, NULL, &conn, &error),
                     -EINVAL);
    assert_int_equal(spate_shard_listen(w->client.shard, address, w->address_size, w->client.tls,
                                        NULL, &listener, &error),
                     -EINVAL);
    assert_string_equal(error.text, "a listener needs the TLS options of a server");
    struct sockaddr_in no_port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(spate_shard_connect(w->client.shard, (struct sockaddr *)&no_port,
                                         sizeof(no_port), "x", w->client.tls, NULL, &conn, &error),
                     -EINVAL);
    assert_string_equal(error.text, "the port to connect to is 0");
    assert_null(conn);
    assert_null(listener);
    assert_int_equal(pw_stats(&w->client).conns_now, 0);
}

static void a_closed_listener_refuses_the_new_and_keeps_the_old(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    spate_listener_close(w->listener);
    uint64_t begin_ns = pw_now_ns();
    (void)pw_connect(w);
    pw_until(w, client_is_closed);
    assert_true(pw_now_ns() - begin_ns < UINT64_C(1000000000)); /* not left to its timeout */
    assert_int_equal(w->client.connected_count, 1);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_TRANSPORT);
    assert_int_equal(w->client.close.error, 2); /* CONNECTION_REFUSED [RFC9000 20.1] */

    uint64_t id;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, "still here", 10, true, 1), 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (w->server.bytes_in < 10 && pw_now_ns() < end_ns)
        pw_turn(w);
    assert_int_equal(w->server.bytes_in, 10);
}

/* ---- many addresses ---- */

#define ADDRESSES 75 /* more than a shard has sockets */

static bool all_are_connected(struct pw *w)
{
    assert_int_equal(w->client.closed_count, 0);
    return w->client.connected_count == ADDRESSES && w->server.connected_count == ADDRESSES;
}

static bool all_are_closed(struct pw *w)
{
    return w->client.closed_count == ADDRESSES && w->server.closed_count == ADDRESSES;
}

static void close_on_connected(struct pw_end *end, struct spate_event *event)
{
    struct spate_conn **conns = end->context;
    if (event->kind == SPATE_EVENT_CONNECTED)
        conns[end->connected_count - 1] = event->conn;
    pw_default(end, event);
}

/* A server bound to "any" answers from the address that it was asked at (or the connected sockets
 * of the client would not hear it), and a client has no limit of addresses. */
static void a_client_connects_to_more_addresses_than_it_has_sockets(void **state)
{
    (void)state;
    struct spate_conn *conns[ADDRESSES];
    struct pw *w = pw_create(&(struct pw_config){.is_any = true});
    w->client.on_event = close_on_connected;
    w->client.context = conns;
    struct sockaddr_in *address = (struct sockaddr_in *)&w->address;
    for (uint32_t i = 0; i < ADDRESSES; i++) {
        address->sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
        (void)pw_connect(w);
    }
    pw_until(w, all_are_connected);
    for (uint32_t i = 0; i < ADDRESSES; i++)
        spate_conn_close(conns[i], 0, NULL);
    pw_until(w, all_are_closed);
}

/* ---- slices ---- */

#define HELD_MAX 25000

struct held {
    struct spate_slice slices[HELD_MAX];
    uint32_t count;
    uint64_t bytes;
};

static void hold(struct pw_end *end, struct spate_event *event)
{
    struct held *held = end->context;
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    assert_true(held->count < HELD_MAX);
    held->slices[held->count++] = event->u.data.slice;
    held->bytes += event->u.data.slice.size;
}

static void release_all(struct pw_end *end)
{
    struct held *held = end->context;
    for (uint32_t i = 0; i < held->count; i++)
        spate_slice_release(end->shard, &held->slices[i]);
    held->count = 0;
}

static void check_held(const struct held *held)
{
    uint64_t offset = 0;
    for (uint32_t i = 0; i < held->count; i++)
        for (size_t k = 0; k < held->slices[i].size; k++, offset++)
            assert_int_equal(held->slices[i].data[k], pw_byte(5, offset));
}

#define UPLOAD_SIZE ((size_t)4 << 20)
#define WINDOW      ((uint64_t)256 << 10)

static void small_window_few_slots(struct spate_config *config)
{
    config->stream_window_bytes = WINDOW;
    config->stream_window_bytes_max = WINDOW;
    config->receive_slots = 4;
}

static void upload_begin(struct spate_conn *conn)
{
    uint8_t *data = owned_alloc(UPLOAD_SIZE);
    for (size_t i = 0; i < UPLOAD_SIZE; i++)
        data[i] = pw_byte(5, i);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, data, UPLOAD_SIZE, true, 7), 0);
}

static bool window_is_held(struct pw *w)
{
    const struct held *held = w->server.context;
    return held->bytes == WINDOW;
}

static bool upload_is_held(struct pw *w)
{
    const struct held *held = w->server.context;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < held->count; i++)
        bytes += held->slices[i].size;
    if (bytes >= WINDOW / 2)
        release_all(&w->server);
    return held->bytes == UPLOAD_SIZE;
}

/* It gets what its window allows and not a byte more, it does not starve the shard of slots
 * (others are served meanwhile), and what it holds stays as it is. */
static void hold_a_window(const struct pw_config *config)
{
    struct pw *w = pw_create(config);
    struct held *held = owned_alloc(sizeof(*held));
    w->server.on_event = hold;
    w->server.context = held;
    upload_begin(pw_connected(w));
    pw_until(w, window_is_held);
    pw_for(w, 50000000);
    assert_int_equal(held->bytes, WINDOW);
    check_held(held);
    assert_true(pw_stats(&w->server).datagrams_copied > 0);

    (void)pw_connected(w); /* somebody else gets in */
    check_held(held);

    pw_until(w, upload_is_held);
    release_all(&w->server);
}

static void a_slow_reader_stops_its_own_stream_and_nobody_else(void **state)
{
    (void)state;
    hold_a_window(&(struct pw_config){.server = small_window_few_slots});
}

#define MESSAGES     20000
#define MESSAGE_SIZE ((size_t)50)

/* Each message leaves alone, and is held: what that costs follows its bytes, not the packets and
 * not the receive slots. */
static void small_messages_that_are_held_cost_what_they_are(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){0});
    struct held *held = owned_alloc(sizeof(*held));
    w->server.on_event = hold;
    w->server.context = held;
    struct spate_conn *conn = pw_connected(w);
    uint64_t before = pw_stats(&w->server).memory_bytes_now;
    uint8_t *data = owned_alloc(MESSAGES * MESSAGE_SIZE);
    for (size_t i = 0; i < MESSAGES * MESSAGE_SIZE; i++)
        data[i] = pw_byte(5, i);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    for (size_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(spate_stream_send(conn, id, data + i * MESSAGE_SIZE, MESSAGE_SIZE,
                                           i == MESSAGES - 1, i),
                         0);
        pw_turn(w);
    }
    uint64_t give_up_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (held->bytes < MESSAGES * MESSAGE_SIZE) {
        pw_turn(w);
        assert_true(pw_now_ns() < give_up_ns);
    }
    check_held(held);
    assert_true(pw_stats(&w->server).memory_bytes_now - before <= 8 * MESSAGES * MESSAGE_SIZE);
    assert_int_equal(pw_stats(&w->server).datagrams_copied, 0); /* slots are not pinned */
    release_all(&w->server);
}

static void large_datagrams(struct spate_config *config)
{
    config->datagram_size_max = 9000;
}

/* Larger than a small copy, they once stayed in their slots until none was left. */
static void a_slow_reader_of_large_datagrams_starves_nobody(void **state)
{
    (void)state;
    hold_a_window(&(struct pw_config){.server = small_window_few_slots, .client = large_datagrams});
}

static bool server_is_closed(struct pw *w)
{
    return w->server.closed_count > 0;
}

static void slices_stay_valid_after_their_connection_is_gone(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.client = short_idle});
    struct held *held = owned_alloc(sizeof(*held));
    w->server.on_event = hold;
    w->server.context = held;
    struct spate_conn *conn = pw_connected(w);
    upload_begin(conn);
    while (held->bytes < 100000)
        pw_turn(w);
    spate_conn_close(conn, 0, "bye");
    pw_until(w, server_is_closed);
    pw_for(w, 500000000); /* longer than the draining time */
    assert_int_equal(pw_stats(&w->server).conns_now, 0);
    check_held(held);

    (void)pw_connected(w); /* which lives at the same index */
    check_held(held);
    release_all(&w->server);
    pw_for(w, 10000000);
    assert_non_null(w->server.conn);
}

static void an_engine_can_be_destroyed_with_everything_in_flight(void **state)
{
    (void)state;
    for (int turns = 0; turns < 30; turns++) {
        struct pw *w = pw_create(NULL);
        struct held *held = owned_alloc(sizeof(*held));
        w->server.on_event = hold;
        w->server.context = held;
        bool has_begun = false;
        (void)pw_connect(w);
        for (int i = 0; i < turns; i++) {
            pw_turn(w);
            if (!has_begun && w->client.conn != NULL) {
                upload_begin(w->client.conn);
                has_begun = true;
            }
        }
        owned_end_all();
    }
}

/* Takes one event a turn at the server: far slower than they arise. */
static struct spate_event slow_turn(struct pw *w)
{
    struct spate_event event = {.kind = SPATE_EVENT_NONE};
    assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
    (void)spate_shard_events(w->server.shard, &event, 1);
    return event;
}

/* A peer that closes as soon as all is acknowledged has delivered it all. */
static void what_was_acknowledged_is_told_before_the_peers_close(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    uint8_t *data = owned_alloc(UPLOAD_SIZE / 8);
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, data, UPLOAD_SIZE / 8, true, 7), 0);
    struct spate_event event = {.kind = SPATE_EVENT_NONE};
    uint64_t bytes = 0;
    bool has_fin = false;
    bool is_closing = false;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (event.kind != SPATE_EVENT_CLOSED && pw_now_ns() < end_ns) {
        struct spate_event mine;
        assert_true(spate_shard_turn(w->client.shard, 0) >= 0);
        while (spate_shard_events(w->client.shard, &mine, 1) > 0) {
            if (mine.kind == SPATE_EVENT_SENT && !is_closing)
                spate_conn_close(conn, 9, "done");
            is_closing |= mine.kind == SPATE_EVENT_SENT;
        }
        event = slow_turn(w);
        if (event.kind != SPATE_EVENT_STREAM_DATA)
            continue;
        bytes += event.u.data.slice.size;
        has_fin = event.u.data.fin;
        spate_slice_release(w->server.shard, &event.u.data.slice);
    }
    assert_int_equal(event.kind, SPATE_EVENT_CLOSED);
    assert_int_equal(event.u.close.error, 9);
    assert_int_equal(bytes, UPLOAD_SIZE / 8);
    assert_true(has_fin);
}

static bool client_got_its_bytes_back(struct pw *w)
{
    return w->client.closed_count > 0;
}

static void lent_bytes_come_back_before_closed(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    upload_begin(conn);
    spate_conn_close(conn, 1, "never mind");
    pw_until(w, client_got_its_bytes_back);
    assert_int_equal(w->client.sent_count, 1);
}

/* ---- The close of this side ---- */

static bool client_has_a_stream(struct pw *w)
{
    return w->client.stream_closed_count > 0;
}

/* A program that ends when it hears CLOSED must not leave its peer to the idle timeout. */
static void a_close_has_left_before_closed_is_reported(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct pw *w = pw_create(NULL);
        struct spate_conn *conn = pw_connected(w);
        uint64_t id;
        assert_int_equal(spate_stream_open(conn, false, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, "x", 1, false, 1), 0);
        struct spate_event event = {.kind = SPATE_EVENT_NONE};
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (event.kind != SPATE_EVENT_CLOSED) {
            assert_true(pw_now_ns() < end_ns);
            pw_wait(&w->client, 0);
            assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
            while (event.kind != SPATE_EVENT_CLOSED &&
                   spate_shard_events(w->server.shard, &event, 1) > 0) {
                if (event.kind == SPATE_EVENT_STREAM_DATA) {
                    spate_slice_release(w->server.shard, &event.u.data.slice);
                    spate_conn_close(event.conn, 7, "that will do");
                }
            }
        }
        spate_engine_destroy(w->server.engine);
        w->server.engine = NULL;
        pw_until(w, client_is_closed);
        assert_int_equal(w->client.close.kind, SPATE_CLOSE_APP);
        assert_int_equal(w->client.close.error, 7);
        assert_true(client_has_a_stream(w));
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, nobody_at_the_port_is_unreachable),
        QT_TEST(owned, refused_connections_do_not_count_against_conns_max),
        QT_TEST(owned, silence_ends_a_connection),
        QT_TEST(owned, a_close_has_left_before_closed_is_reported),
        QT_TEST(owned, a_server_can_take_the_port_of_the_one_before_at_once),
        QT_TEST(owned, a_port_that_is_taken_is_named),
        QT_TEST(owned, wrong_arguments_are_refused_with_a_reason),
        QT_TEST(owned, a_closed_listener_refuses_the_new_and_keeps_the_old),
        QT_TEST(owned, a_client_connects_to_more_addresses_than_it_has_sockets),
        QT_TEST(owned, small_messages_that_are_held_cost_what_they_are),
        QT_TEST(owned, a_slow_reader_stops_its_own_stream_and_nobody_else),
        QT_TEST(owned, a_slow_reader_of_large_datagrams_starves_nobody),
        QT_TEST(owned, slices_stay_valid_after_their_connection_is_gone),
        QT_TEST(owned, an_engine_can_be_destroyed_with_everything_in_flight),
        QT_TEST(owned, what_was_acknowledged_is_told_before_the_peers_close),
        QT_TEST(owned, lent_bytes_come_back_before_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

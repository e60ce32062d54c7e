/* SPDX-License-Identifier: MIT */
/* Connections whose addresses change, over real sockets: a NAT that forgets its client, and a
 * client that moves. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BYTES = 20000000, REBINDINGS = 5 };

static uint8_t *payload;

/* What an end has got, and the longest time without more of it. */
struct got {
    uint64_t bytes;
    uint64_t at_ns;
    uint64_t stall_ns;
    bool is_wrong;
    uint32_t path_events[4]; /* by enum spate_path_change */
};

static void on_event(struct pw_end *end, struct spate_event *event)
{
    struct got *got = end->context;
    if (event->kind == SPATE_EVENT_PATH)
        got->path_events[event->u.path]++;
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        const struct spate_slice *slice = &event->u.data.slice;
        uint64_t now_ns = pw_now_ns();
        got->is_wrong |= event->u.data.offset != got->bytes ||
                         memcmp(slice->data, payload + got->bytes, slice->size) != 0;
        if (got->at_ns != 0 && now_ns - got->at_ns > got->stall_ns)
            got->stall_ns = now_ns - got->at_ns;
        got->at_ns = now_ns;
        got->bytes += slice->size;
    }
    pw_default(end, event);
}

static bool are_connected(struct pw *w)
{
    return w->client.connected_count > 0 && w->server.connected_count > 0;
}

static void send_all(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, payload, BYTES, true, 1), 0);
}

static struct pw *begin(struct got *server, struct got *client)
{
    payload = owned_alloc(BYTES);
    for (uint64_t i = 0; i < BYTES; i++)
        payload[i] = pw_byte(1, i);
    struct pw *w = pw_create(NULL);
    w->server.context = server;
    w->client.context = client;
    w->server.on_event = w->client.on_event = on_event;
    return w;
}

/* The relay is the NAT: its other socket is forgotten, and a new one has another port. */
static void rebind(struct pw *w, struct pw_relay *relay)
{
    relay->to_server = pw_udp_socket();
    assert_int_equal(
        connect(relay->to_server, (const struct sockaddr *)&w->address, w->address_size), 0);
}

/* Nothing is lost, and nothing stands still for long, in both directions at once. */
static void a_nat_that_forgets_its_client_costs_no_byte(void **state)
{
    (void)state;
    struct got server = {0}, client = {0};
    struct pw *w = begin(&server, &client);
    struct pw_relay *relay = pw_relay_create(w);
    (void)pw_connect_through(w, relay);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!are_connected(w)) {
        pw_turn(w);
        pw_relay_pass(relay);
    }
    for (int i = 0; i < 20; i++) { /* the handshake is confirmed */
        pw_turn(w);
        pw_relay_pass(relay);
    }
    send_all(w->client.conn);
    send_all(w->server.conn);
    uint32_t count = 0;
    while (server.bytes < BYTES || client.bytes < BYTES) {
        pw_turn(w);
        pw_relay_pass(relay);
        if (count < REBINDINGS && client.bytes > (count + 1) * (BYTES / (REBINDINGS + 1))) {
            rebind(w, relay);
            count++;
        }
        assert_true(pw_now_ns() < end_ns);
    }
    print_message("    longest stall: %llu us at the client, %llu us at the server\n",
                  (unsigned long long)client.stall_ns / 1000,
                  (unsigned long long)server.stall_ns / 1000);
    assert_int_equal(count, REBINDINGS);
    assert_false(server.is_wrong || client.is_wrong);
    assert_true(server.path_events[SPATE_PATH_PEER_MOVED] >= 1);
    assert_true(client.stall_ns < 1000000000 && server.stall_ns < 1000000000);
    struct sockaddr_storage now, seen;
    socklen_t size = sizeof(now), seen_size;
    assert_int_equal(getsockname(relay->to_server, (struct sockaddr *)&now, &size), 0);
    assert_int_equal(spate_conn_peer_address(w->server.conn, &seen, &seen_size), 0);
    assert_int_equal(((struct sockaddr_in *)&now)->sin_port,
                     ((struct sockaddr_in *)&seen)->sin_port);
}

static struct got moved;

static bool has_all(struct pw *w)
{
    const struct got *server = w->server.context;
    return server->bytes == BYTES;
}

static bool has_moved(struct pw *w)
{
    const struct got *client = w->client.context;
    return client->path_events[SPATE_PATH_MIGRATED] + client->path_events[SPATE_PATH_FAILED] > 0;
}

static void a_client_moves_to_another_address_under_load(void **state)
{
    (void)state;
    struct got server = {0};
    moved = (struct got){0};
    struct pw *w = begin(&server, &moved);
    (void)pw_connected(w);
    pw_for(w, 50000000);
    send_all(w->client.conn);
    for (int i = 0; i < 20; i++)
        pw_turn(w);
    struct sockaddr_in local = {.sin_family = AF_INET};
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1); /* 127.0.0.2 */
    struct spate_error error = {.text = ""};
    assert_int_equal(
        spate_conn_migrate(w->client.conn, (const struct sockaddr *)&local, sizeof(local), &error),
        0);
    assert_int_equal(spate_conn_migrate(w->client.conn, NULL, 0, &error), -EAGAIN);
    pw_until(w, has_moved);
    pw_until(w, has_all);
    assert_int_equal(moved.path_events[SPATE_PATH_MIGRATED], 1);
    assert_int_equal(server.path_events[SPATE_PATH_PEER_MOVED], 1);
    assert_false(server.is_wrong);
    struct sockaddr_storage seen;
    socklen_t size;
    assert_int_equal(spate_conn_peer_address(w->server.conn, &seen, &size), 0);
    assert_int_equal(((struct sockaddr_in *)&seen)->sin_addr.s_addr, local.sin_addr.s_addr);
}

static uint32_t moves_wanted;

static bool has_moved_again(struct pw *w)
{
    (void)w;
    return moved.path_events[SPATE_PATH_MIGRATED] >= moves_wanted ||
           moved.path_events[SPATE_PATH_FAILED] > 0;
}

/* Each move takes a socket, and a shard has 63 in all. */
static void a_client_moves_more_often_than_there_are_sockets(void **state)
{
    (void)state;
    enum { MOVES = 150 };
    struct got server = {0};
    moved = (struct got){0};
    struct pw *w = begin(&server, &moved);
    (void)pw_connected(w);
    pw_for(w, 50000000);
    for (moves_wanted = 1; moves_wanted <= MOVES; moves_wanted++) {
        struct spate_error error = {.text = ""};
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        int result;
        while ((result = spate_conn_migrate(w->client.conn, NULL, 0, &error)) == -EAGAIN) {
            assert_true(pw_now_ns() < end_ns);
            pw_turn(w);
        }
        if (result != 0)
            fail_msg("move %u: %s", moves_wanted, error.text);
        pw_until(w, has_moved_again);
    }
    assert_int_equal(moved.path_events[SPATE_PATH_FAILED], 0);
}

/* A host calls it when its network has changed, and that may be long after the shard's last turn:
 * longer than the validation of a path takes. */
static void a_client_moves_after_a_long_time_without_a_turn(void **state)
{
    (void)state;
    struct got server = {0};
    moved = (struct got){0};
    struct pw *w = begin(&server, &moved);
    (void)pw_connected(w);
    pw_for(w, 50000000);
    usleep(3500000);
    assert_int_equal(spate_conn_migrate(w->client.conn, NULL, 0, NULL), 0);
    moves_wanted = 1;
    pw_for(w, 200000000);
    assert_int_equal(moved.path_events[SPATE_PATH_FAILED], 0);
    pw_until(w, has_moved_again);
}

static void who_cannot_move_gets_an_error(void **state)
{
    (void)state;
    struct got server = {0}, client = {0};
    struct pw *w = begin(&server, &client);
    (void)pw_connected(w);
    pw_for(w, 50000000);
    struct spate_error error;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in far = {.sin_family = AF_INET};
    far.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, which is nobody's */
    assert_int_equal(spate_conn_migrate(w->server.conn, NULL, 0, &error), -EINVAL);
    assert_int_equal(
        spate_conn_migrate(w->client.conn, (const struct sockaddr *)&v6, sizeof(v6), &error),
        -EINVAL);
    assert_int_equal(
        spate_conn_migrate(w->client.conn, (const struct sockaddr *)&far, sizeof(far), &error),
        -EADDRNOTAVAIL);
    assert_true(strlen(error.text) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_nat_that_forgets_its_client_costs_no_byte),
        QT_TEST(owned, a_client_moves_to_another_address_under_load),
        QT_TEST(owned, a_client_moves_more_often_than_there_are_sockets),
        QT_TEST(owned, a_client_moves_after_a_long_time_without_a_turn),
        QT_TEST(owned, who_cannot_move_gets_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

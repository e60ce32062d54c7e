/* SPDX-License-Identifier: MIT */
/* The address that a server prefers, over real sockets. */

#include "test/support/spate_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum { BYTES = 3000000, CLIENTS = 16 };

static uint8_t *payload;
static bool forbids, stays, always_retries;

static void change_server(struct spate_config *config)
{
    config->migration = !forbids;
    config->retry = always_retries ? SPATE_RETRY_ALWAYS : SPATE_RETRY_AUTO;
}

static void change_client(struct spate_config *config)
{
    config->follow_preferred = !stays;
}

static const struct pw_config settings = {.server = change_server, .client = change_client};

/* What an end has got. */
struct got {
    uint32_t path_events[5]; /* by enum spate_path_change */
    uint64_t bytes;
    bool is_wrong;
};

static void on_event(struct pw_end *end, struct spate_event *event)
{
    struct got *got = end->context;
    if (event->kind == SPATE_EVENT_PATH)
        got->path_events[event->u.path]++;
    if (event->kind == SPATE_EVENT_STREAM_DATA) {
        const struct spate_slice *slice = &event->u.data.slice;
        got->is_wrong |= event->u.data.offset + slice->size > BYTES ||
                         memcmp(slice->data, payload + event->u.data.offset, slice->size) != 0;
        got->bytes += slice->size;
    }
    pw_default(end, event);
}

static struct pw *begin(struct got *server, struct got *client, bool is_v6)
{
    struct pw_config config = settings;
    config.is_v6 = is_v6;
    payload = owned_alloc(BYTES);
    for (uint64_t i = 0; i < BYTES; i++)
        payload[i] = pw_byte(1, i);
    struct pw *w = pw_create(&config);
    w->server.context = server;
    w->client.context = client;
    w->server.on_event = w->client.on_event = on_event;
    return w;
}

static void prefer(struct spate_listener *listener, bool is_v6, const char *v4)
{
    socklen_t size;
    struct spate_error error = {""};
    struct sockaddr_storage address = pw_loopback(is_v6, 0, &size);
    if (!is_v6)
        assert_int_equal(inet_pton(AF_INET, v4, &((struct sockaddr_in *)&address)->sin_addr), 1);
    if (spate_listener_prefer(listener, (const struct sockaddr *)&address, size, &error) != 0)
        fail_msg("%s", error.text);
}

static void assert_server_at(const struct spate_conn *conn, const struct spate_listener *listener,
                             int family)
{
    struct sockaddr_storage seen, preferred;
    socklen_t seen_size, size;
    assert_int_equal(spate_listener_preferred_address(listener, family, &preferred, &size), 0);
    assert_int_equal(spate_conn_peer_address(conn, &seen, &seen_size), 0);
    assert_int_equal(seen_size, size);
    assert_memory_equal(&seen, &preferred, size);
}

static void send_all(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, payload, BYTES, true, 1), 0);
}

static bool both_have_all(struct pw *w)
{
    const struct got *server = w->server.context, *client = w->client.context;
    return server->bytes == BYTES && client->bytes == BYTES;
}

static bool client_has_decided(struct pw *w)
{
    const struct got *client = w->client.context;
    return client->path_events[SPATE_PATH_PREFERRED] + client->path_events[SPATE_PATH_FAILED] > 0;
}

static void exchange(struct pw *w)
{
    const struct got *server = w->server.context, *client = w->client.context;
    send_all(w->client.conn);
    send_all(w->server.conn);
    pw_until(w, both_have_all);
    assert_false(server->is_wrong || client->is_wrong);
}

/* IPv4 and IPv6, with and without Retry, and where the server forbids other moves. */
static void a_client_moves_to_the_preferred_address_under_load(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct got server = {0}, client = {0};
        always_retries = (i & 1) != 0;
        forbids = i == 2;
        bool is_v6 = i >= 2;
        struct pw *w = begin(&server, &client, is_v6);
        prefer(w->listener, is_v6, "127.0.0.3");
        (void)pw_connected(w);
        exchange(w);
        pw_until(w, client_has_decided);
        assert_int_equal(client.path_events[SPATE_PATH_PREFERRED], 1);
        pw_for(w, 50000000);
        assert_int_equal(server.path_events[SPATE_PATH_PEER_MOVED], 1);
        assert_server_at(w->client.conn, w->listener, is_v6 ? AF_INET6 : AF_INET);
        int result = spate_conn_migrate(w->client.conn, NULL, 0, NULL);
        assert_int_equal(result, 0); /* allowed now, whatever the server said */
        owned_end(w);
    }
    forbids = always_retries = false;
}

/* Of the other family too: the client has no choice. */
static void the_only_address_may_be_of_the_other_family(void **state)
{
    (void)state;
    struct got server = {0}, client = {0};
    struct pw *w = begin(&server, &client, false);
    prefer(w->listener, true, NULL);
    (void)pw_connected(w);
    pw_until(w, client_has_decided);
    assert_int_equal(client.path_events[SPATE_PATH_PREFERRED], 1);
    assert_server_at(w->client.conn, w->listener, AF_INET6);
    exchange(w);
}

static void a_client_may_stay_where_it_is(void **state)
{
    (void)state;
    struct got server = {0}, client = {0};
    stays = true;
    struct pw *w = begin(&server, &client, false);
    prefer(w->listener, false, "127.0.0.3");
    (void)pw_connected(w);
    exchange(w);
    pw_for(w, 50000000);
    assert_int_equal(client.path_events[SPATE_PATH_PREFERRED], 0);
    assert_int_equal(server.path_events[SPATE_PATH_PEER_MOVED], 0);
    struct sockaddr_storage seen;
    socklen_t size;
    assert_int_equal(spate_conn_peer_address(w->client.conn, &seen, &size), 0);
    assert_memory_equal(&seen, &w->address, size);
    stays = false;
}

/* [RFC9000 9.6.2] The address is of connections that have begun elsewhere. */
static void nobody_can_connect_to_a_preferred_address(void **state)
{
    (void)state;
    struct got server = {0}, client = {0};
    struct pw *w = begin(&server, &client, false);
    prefer(w->listener, false, "127.0.0.3");
    assert_int_equal(
        spate_listener_preferred_address(w->listener, AF_INET, &w->address, &w->address_size), 0);
    (void)pw_connect(w);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (w->client.closed_count == 0 && pw_now_ns() < end_ns)
        pw_turn(w);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_TRANSPORT);
    assert_int_equal(w->client.close.error, 2); /* CONNECTION_REFUSED */
}

static void wrong_addresses_get_an_error(void **state)
{
    (void)state;
    struct got server = {0}, client = {0};
    struct pw *w = begin(&server, &client, false);
    struct spate_error error = {""};
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6};
    struct sockaddr_storage ret;
    socklen_t size;
    assert_int_equal(
        spate_listener_prefer(w->listener, (const struct sockaddr *)&any, sizeof(any), &error),
        -EINVAL);
    assert_true(strlen(error.text) > 0);
    assert_int_equal(
        spate_listener_prefer(w->listener, (const struct sockaddr *)&any6, sizeof(any6), NULL),
        -EINVAL);
    assert_int_equal(spate_listener_prefer(w->listener, NULL, 0, NULL), -EINVAL);
    any.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, which is nobody's */
    assert_int_equal(
        spate_listener_prefer(w->listener, (const struct sockaddr *)&any, sizeof(any), NULL),
        -EADDRNOTAVAIL);
    assert_int_equal(spate_listener_preferred_address(w->listener, AF_INET, &ret, &size), -EINVAL);
    assert_int_equal(spate_listener_preferred_address(w->listener, AF_UNIX, &ret, &size), -EINVAL);
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    prefer(w->listener, false, "127.0.0.3");
    assert_int_equal(
        spate_listener_prefer(w->listener, (const struct sockaddr *)&any, sizeof(any), NULL),
        -EALREADY);
}

/* [RFC9000 18.2] */
static void a_server_can_forbid_that_clients_move(void **state)
{
    (void)state;
    struct got server = {0}, client = {0};
    forbids = true;
    struct pw *w = begin(&server, &client, false);
    (void)pw_connected(w);
    pw_for(w, 50000000);
    struct spate_error error = {""};
    assert_int_equal(spate_conn_migrate(w->client.conn, NULL, 0, &error), -EPERM);
    exchange(w);
    forbids = false;
}

/* ---- Two shards ---- */

struct crowd {
    struct spate_listener *listeners[2];
    uint32_t moved_count;
    uint32_t peers_moved[2];
    uint64_t bytes;
};

static struct crowd crowd;

static void on_crowd_event(struct pw_end *end, struct spate_event *event)
{
    const uint32_t *shard = end->context; /* NULL: the client */
    uint64_t id;
    if (event->kind == SPATE_EVENT_CONNECTED && shard == NULL) {
        assert_int_equal(spate_stream_open(event->conn, true, &id), 0);
        assert_int_equal(spate_stream_send(event->conn, id, payload, 100000, true, 1), 0);
    } else if (event->kind == SPATE_EVENT_PATH && shard == NULL) {
        assert_int_equal(event->u.path, SPATE_PATH_PREFERRED);
        crowd.moved_count++;
    } else if (event->kind == SPATE_EVENT_PATH) {
        crowd.peers_moved[*shard]++;
    } else if (event->kind == SPATE_EVENT_STREAM_DATA) {
        crowd.bytes += event->u.data.slice.size;
    }
    pw_default(end, event);
}

static void two_shards(struct spate_config *config)
{
    config->shard_count = 2;
}

/* The kernel chooses the shard of a client's first address, and knows nothing of connections.  A
 * preferred address is of one shard alone. */
static void each_shard_has_a_preferred_address_of_its_own(void **state)
{
    (void)state;
    static uint32_t indices[2] = {0, 1};
    crowd = (struct crowd){.moved_count = 0};
    payload = owned_alloc(BYTES);
    struct pw *w = pw_create(&(struct pw_config){.server = two_shards});
    struct pw_end second = w->server;
    second.shard = spate_engine_shard(w->server.engine, 1);
    crowd.listeners[0] = w->listener;
    assert_int_equal(spate_shard_listen(second.shard, (struct sockaddr *)&w->address,
                                        w->address_size, w->server.tls, NULL, &crowd.listeners[1],
                                        NULL),
                     0);
    w->server.on_event = w->client.on_event = second.on_event = on_crowd_event;
    w->server.context = &indices[0];
    second.context = &indices[1];
    for (int i = 0; i < 2; i++)
        prefer(crowd.listeners[i], false, "127.0.0.3");
    struct pw distinct[CLIENTS]; /* each a socket of its own */
    for (uint32_t i = 0; i < CLIENTS; i++) {
        distinct[i] = *w;
        distinct[i].client.engine = i == 0 ? w->client.engine : pw_make_engine();
        distinct[i].client.shard = spate_engine_shard(distinct[i].client.engine, 0);
        (void)pw_connect(&distinct[i]);
    }
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint32_t moved = 0;
    while (crowd.moved_count < CLIENTS || crowd.bytes < CLIENTS * 100000u || moved < CLIENTS) {
        pw_wait(&w->server, 0);
        pw_wait(&second, 0);
        for (uint32_t i = 0; i < CLIENTS; i++)
            pw_wait(&distinct[i].client, 0);
        moved = crowd.peers_moved[0] + crowd.peers_moved[1];
        assert_true(pw_now_ns() < end_ns);
    }
    for (uint32_t i = 1; i < CLIENTS; i++)
        spate_engine_destroy(distinct[i].client.engine);
    print_message("    %u clients have moved at one shard, %u at the other\n", crowd.peers_moved[0],
                  crowd.peers_moved[1]);
    assert_true(crowd.peers_moved[0] > 0 && crowd.peers_moved[1] > 0);
    assert_int_equal(moved, CLIENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_client_moves_to_the_preferred_address_under_load),
        QT_TEST(owned, the_only_address_may_be_of_the_other_family),
        QT_TEST(owned, a_client_may_stay_where_it_is),
        QT_TEST(owned, nobody_can_connect_to_a_preferred_address),
        QT_TEST(owned, wrong_addresses_get_an_error),
        QT_TEST(owned, a_server_can_forbid_that_clients_move),
        QT_TEST(owned, each_shard_has_a_preferred_address_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* An end in order: nobody new gets in, those who are there may finish, the rest is closed. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#define MS       UINT64_C(1000000)
#define SLEEP_NS (10000 * MS)

/* [RFC9000 20.1] */
#define CONNECTION_REFUSED 2

struct ended {
    uint32_t shutdown_count;
};

static void on_event(struct pw_end *end, struct spate_event *event)
{
    struct ended *ended = end->context;
    if (event->kind == SPATE_EVENT_SHUTDOWN) {
        assert_null(event->conn);
        assert_int_equal(pw_stats(end).conns_now, 0);
        ended->shutdown_count++;
    }
    pw_default(end, event);
}

static struct pw *begin(struct ended *ended)
{
    struct pw *w = pw_create(NULL);
    *ended = (struct ended){0};
    w->server.on_event = on_event;
    w->server.context = ended;
    return w;
}

static bool server_is_done(struct pw *w)
{
    return ((struct ended *)w->server.context)->shutdown_count > 0;
}

static bool client_is_closed(struct pw *w)
{
    return w->client.closed_count > 0;
}

static void a_shard_without_connections_is_done_at_once(void **state)
{
    (void)state;
    struct ended ended;
    struct pw *w = begin(&ended);
    assert_int_equal(spate_shard_shutdown(w->server.shard, SPATE_FOREVER, 0, NULL), 0);
    pw_until(w, server_is_done);
    pw_for(w, 5 * MS);
    assert_int_equal(ended.shutdown_count, 1);
    assert_int_equal(spate_shard_shutdown(w->server.shard, 0, 0, NULL), 0);
    pw_for(w, 5 * MS);
    assert_int_equal(ended.shutdown_count, 2);
}

static void never_spins(struct spate_config *config)
{
    config->spin_ns = 0;
}

/* Nothing else ends its wait. */
static void a_shard_without_connections_does_not_sleep_over_its_end(void **state)
{
    (void)state;
    struct ended ended = {0};
    struct pw *w = pw_create(&(struct pw_config){.server = never_spins});
    w->server.on_event = on_event;
    w->server.context = &ended;
    pw_for(w, 5 * MS);
    for (uint32_t i = 1; i <= 2; i++) { /* the second call causes one more event */
        uint64_t begin_ns = pw_now_ns();
        assert_int_equal(spate_shard_shutdown(w->server.shard, SPATE_FOREVER, 0, NULL), 0);
        pw_wait(&w->server, SLEEP_NS);
        assert_int_equal(ended.shutdown_count, i);
        assert_in_range(pw_now_ns() - begin_ns, 0, SLEEP_NS / 2);
    }
}

static void a_host_learns_that_the_end_is_due(void **state)
{
    (void)state;
    struct ended ended;
    struct pw *w = begin(&ended);
    pw_for(w, 5 * MS);
    assert_true(spate_shard_fd(w->server.shard) >= 0);
    assert_in_range(spate_shard_deadline_ns(w->server.shard), pw_now_ns(), UINT64_MAX);
    assert_int_equal(spate_shard_shutdown(w->server.shard, SPATE_FOREVER, 0, NULL), 0);
    assert_in_range(spate_shard_deadline_ns(w->server.shard), 0, pw_now_ns());
    pw_wait(&w->server, 0);
    assert_int_equal(ended.shutdown_count, 1);
    assert_in_range(spate_shard_deadline_ns(w->server.shard), pw_now_ns(), UINT64_MAX);
}

static void begins_with_10_ms(struct spate_config *config)
{
    config->initial_rtt_ns = 10 * MS; /* a PTO of 30 ms [RFC9002 6.2.1] */
}

/* A handshake is refused, and answers what comes late for three PTO [RFC9000 10.2], however long
 * ago the last turn was. */
static void a_shutdown_counts_from_the_call(void **state)
{
    (void)state;
    struct ended ended = {0};
    struct pw *w = pw_create(&(struct pw_config){.server = begins_with_10_ms});
    w->server.on_event = on_event;
    w->server.context = &ended;
    (void)pw_connect(w);
    assert_true(spate_shard_turn(w->client.shard, 0) >= 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (pw_stats(&w->server).conns_accepted == 0 && pw_now_ns() < end_ns)
        pw_wait(&w->server, 0);
    for (int i = 0; i < 3; i++)
        pw_wait(&w->server, 0); /* its flight has left */
    usleep(500000);
    uint64_t begin_ns = pw_now_ns();
    assert_int_equal(spate_shard_shutdown(w->server.shard, SPATE_FOREVER, 0, NULL), 0);
    while (!server_is_done(w) && pw_now_ns() < end_ns)
        pw_wait(&w->server, 0);
    assert_int_equal(ended.shutdown_count, 1);
    assert_true(pw_now_ns() - begin_ns >= 80 * MS);
}

static bool server_has_the_bytes(struct pw *w)
{
    return w->server.bytes_in == 10;
}

static void the_new_are_refused_and_the_old_may_finish(void **state)
{
    (void)state;
    struct ended ended;
    struct pw *w = begin(&ended);
    struct spate_conn *conn = pw_connected(w);
    assert_int_equal(spate_shard_shutdown(w->server.shard, SPATE_FOREVER, 0, NULL), 0);

    uint64_t begin_ns = pw_now_ns();
    (void)pw_connect(w);
    pw_until(w, client_is_closed);
    assert_true(pw_now_ns() - begin_ns < 1000 * MS);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_TRANSPORT);
    assert_int_equal(w->client.close.error, CONNECTION_REFUSED);
    assert_int_equal(pw_stats(&w->server).conns_refused, 1);
    assert_int_equal(w->client.connected_count, 1);

    uint64_t id;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, "still here", 10, true, 1), 0);
    pw_until(w, server_has_the_bytes);
    assert_int_equal(ended.shutdown_count, 0);
    spate_conn_close(conn, 0, NULL);
    pw_until(w, server_is_done);
    assert_int_equal(w->server.closed_count, 1);
    assert_false(w->server.close.is_local);
}

/* A connection that has drained before the application took its CLOSED has no timer that would wake
 * a shard: it is freed, and the shutdown reported, without one. */
static void a_connection_that_drained_unseen_does_not_hold_up_the_end(void **state)
{
    (void)state;
    struct ended ended;
    struct pw *w = begin(&ended);
    spate_conn_close(pw_connected(w), 0, NULL);
    /* Memory is trimmed after a second, which wakes it as well. */
    for (uint64_t end_ns = pw_now_ns() + 1500 * MS; pw_now_ns() < end_ns;) {
        pw_wait(&w->client, MS);
        assert_true(spate_shard_turn(w->server.shard, MS) >= 0); /* and its events wait */
    }
    assert_int_equal(w->server.closed_count, 0);
    assert_int_equal(spate_shard_shutdown(w->server.shard, 0, 0, NULL), 0);
    uint64_t begin_ns = pw_now_ns();
    while (ended.shutdown_count == 0) {
        pw_wait(&w->server, 5000 * MS);
        assert_true(pw_now_ns() - begin_ns < 2000 * MS);
    }
    assert_int_equal(w->server.closed_count, 1);
}

static void at_the_deadline_the_rest_is_closed(void **state)
{
    (void)state;
    struct ended ended;
    struct pw *w = begin(&ended);
    for (int i = 0; i < 300; i++) /* more than one turn looks at */
        (void)pw_connected(w);
    uint64_t begin_ns = pw_now_ns();
    assert_int_equal(spate_shard_shutdown(w->server.shard, 100 * MS, 77, "maintenance"), 0);
    pw_for(w, 50 * MS);
    assert_int_equal(w->client.closed_count, 0);
    /* The deadline wakes a shard that sleeps. */
    while (w->server.closed_count == 0) {
        pw_wait(&w->server, 5000 * MS);
        assert_true(pw_now_ns() - begin_ns < 2000 * MS);
    }
    assert_true(pw_now_ns() - begin_ns >= 100 * MS);
    pw_until(w, server_is_done);
    pw_for(w, 20 * MS);
    assert_int_equal(w->server.closed_count, 300);
    assert_int_equal(w->client.closed_count, 300);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_APP);
    assert_int_equal(w->client.close.error, 77);
    assert_string_equal(w->client.close_reason, "maintenance");
    assert_int_equal(ended.shutdown_count, 1);
}

static void a_second_call_hurries(void **state)
{
    (void)state;
    struct ended ended;
    struct pw *w = begin(&ended);
    (void)pw_connected(w);
    assert_int_equal(spate_shard_shutdown(w->server.shard, SPATE_FOREVER, 1, NULL), 0);
    pw_for(w, 20 * MS);
    assert_int_equal(w->client.closed_count, 0);
    assert_int_equal(spate_shard_shutdown(w->server.shard, 0, 2, NULL), 0);
    pw_until(w, server_is_done);
    pw_until(w, client_is_closed);
    assert_int_equal(w->client.close.error, 2);
}

/* A client that never finishes its handshake would hold up the end for handshake_timeout_ns. */
static void a_handshake_that_is_not_complete_is_refused(void **state)
{
    (void)state;
    struct ended ended;
    struct pw *w = begin(&ended);
    struct pw_relay *relay = pw_relay_create(w);
    relay->drops_to_client = true;
    (void)pw_connect_through(w, relay);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (pw_stats(&w->server).handshakes_now == 0 && pw_now_ns() < end_ns) {
        pw_turn(w);
        pw_relay_pass(relay);
    }
    assert_int_equal(pw_stats(&w->server).handshakes_now, 1);
    relay->drops_to_client = false;
    assert_int_equal(spate_shard_shutdown(w->server.shard, SPATE_FOREVER, 0, NULL), 0);
    while (w->client.closed_count == 0 && pw_now_ns() < end_ns) {
        pw_turn(w);
        pw_relay_pass(relay);
    }
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_TRANSPORT);
    assert_int_equal(w->client.close.error, CONNECTION_REFUSED);
    pw_until(w, server_is_done);
    assert_int_equal(w->server.connected_count, 0);
}

static void nothing_begins_during_a_shutdown(void **state)
{
    (void)state;
    struct ended ended;
    struct pw *w = begin(&ended);
    struct spate_listener *listener = NULL;
    struct spate_conn *conn = NULL;
    struct spate_error error = {""};
    struct sockaddr *address = (struct sockaddr *)&w->address;
    assert_int_equal(spate_shard_shutdown(w->server.shard, 0, UINT64_C(1) << 62, NULL), -EINVAL);
    assert_int_equal(spate_shard_shutdown(w->server.shard, 0, 0, NULL), 0);
    assert_int_equal(spate_shard_listen(w->server.shard, address, w->address_size, w->server.tls,
                                        NULL, &listener, &error),
                     -ESHUTDOWN);
    assert_string_equal(error.text, "the shard is shutting down");
    assert_int_equal(spate_shard_connect(w->server.shard, address, w->address_size, "x",
                                         w->client.tls, NULL, &conn, &error),
                     -ESHUTDOWN);
    assert_null(listener);
    assert_null(conn);
}

/* ---- Engine threads ---- */

struct server {
    struct pw w; /* its server is not turned */
    atomic_uint connected_count;
    atomic_uint closed_count;
    atomic_uint stop_count;
};

static int on_start(struct spate_shard *shard, void *user)
{
    struct server *s = user;
    struct spate_listener *listener;
    struct sockaddr_storage any = pw_loopback(false, 0, &s->w.address_size);
    int result = spate_shard_listen(shard, (struct sockaddr *)&any, s->w.address_size,
                                    s->w.server.tls, NULL, &listener, NULL);
    return result != 0 ? result
                       : spate_listener_address(listener, &s->w.address, &s->w.address_size);
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    struct server *s = user;
    (void)shard;
    for (uint32_t i = 0; i < count; i++) {
        assert_int_not_equal(events[i].kind, SPATE_EVENT_SHUTDOWN);
        if (events[i].kind == SPATE_EVENT_CONNECTED)
            atomic_fetch_add(&s->connected_count, 1);
        if (events[i].kind == SPATE_EVENT_CLOSED)
            atomic_fetch_add(&s->closed_count, 1);
    }
}

static void on_stop(struct spate_shard *shard, void *user)
{
    struct server *s = user;
    (void)shard;
    atomic_fetch_add(&s->stop_count, 1);
}

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static bool both_are_connected(struct pw *w)
{
    struct server *s = (struct server *)w; /* its first member */
    return w->client.connected_count > 0 && atomic_load(&s->connected_count) > 0;
}

static void engine_threads_shut_down_in_order(void **state)
{
    (void)state;
    static struct server s;
    memset(&s, 0, sizeof(s));
    (void)owned_add(&s.w, pw_deinit);
    pw_make_tls(&s.w);
    s.w.client.name = "client";
    s.w.client.engine = pw_make_engine();
    s.w.client.shard = spate_engine_shard(s.w.client.engine, 0);
    struct spate_engine *engine = owned_add(pw_make_engine(), destroy);
    assert_int_equal(spate_engine_shutdown(engine, 0, 0, NULL), -EINVAL); /* it does not run */

    const struct spate_handlers handlers = {.size = sizeof(handlers),
                                            .on_start = on_start,
                                            .on_events = on_events,
                                            .on_stop = on_stop,
                                            .user = &s};
    assert_int_equal(spate_engine_start(engine, &handlers, NULL), 0);
    (void)pw_connect(&s.w);
    pw_until(&s.w, both_are_connected);
    assert_int_equal(spate_engine_shutdown(engine, 0, UINT64_MAX, NULL), -EINVAL);
    assert_int_equal(spate_engine_shutdown(engine, 50 * MS, 78, "bye"), 0);
    assert_int_equal(atomic_load(&s.closed_count), 1);
    assert_int_equal(atomic_load(&s.stop_count), 1);
    assert_int_equal(spate_engine_shutdown(engine, 0, 0, NULL), -EINVAL);
    pw_until(&s.w, client_is_closed);
    assert_int_equal(s.w.client.close.kind, SPATE_CLOSE_APP);
    assert_int_equal(s.w.client.close.error, 78);
}

static void engine_threads_without_connections_end_at_once(void **state)
{
    (void)state;
    static struct server s;
    struct spate_config config;
    struct spate_engine *engine;
    const struct spate_handlers handlers = {
        .size = sizeof(handlers), .on_events = on_events, .on_stop = on_stop, .user = &s};
    memset(&s, 0, sizeof(s));
    spate_config_init(&config);
    config.backend = pw_backend();
    config.shard_count = 2;
    config.spin_ns = 0;
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    (void)owned_add(engine, destroy);
    assert_int_equal(spate_engine_start(engine, &handlers, NULL), 0);
    uint64_t begin_ns = pw_now_ns();
    assert_int_equal(spate_engine_shutdown(engine, SLEEP_NS, 0, NULL), 0);
    assert_in_range(pw_now_ns() - begin_ns, 0, SLEEP_NS / 2);
    assert_int_equal(atomic_load(&s.stop_count), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_shard_without_connections_is_done_at_once),
        QT_TEST(owned, a_shard_without_connections_does_not_sleep_over_its_end),
        QT_TEST(owned, a_host_learns_that_the_end_is_due),
        QT_TEST(owned, a_shutdown_counts_from_the_call),
        QT_TEST(owned, the_new_are_refused_and_the_old_may_finish),
        QT_TEST(owned, a_connection_that_drained_unseen_does_not_hold_up_the_end),
        QT_TEST(owned, at_the_deadline_the_rest_is_closed),
        QT_TEST(owned, a_second_call_hurries),
        QT_TEST(owned, a_handshake_that_is_not_complete_is_refused),
        QT_TEST(owned, nothing_begins_during_a_shutdown),
        QT_TEST(owned, engine_threads_shut_down_in_order),
        QT_TEST(owned, engine_threads_without_connections_end_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

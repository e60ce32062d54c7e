/* SPDX-License-Identifier: MIT */
/* What happens on the way to memory_bytes_max, at it, and after it. */

#include "test/support/spate_world.h"

#include <errno.h>

#define MIB (UINT64_C(1) << 20)

enum {
    INTERNAL_ERROR = 1, /* [RFC9000 20.1] */
    CONNECTION_REFUSED = 2,
    STREAMS_MAX = 50000,
    CONNS_MAX = 2000,
    BURST = 16,
    REFUSED = 50,
    STEP = 20,
    BYTES = 1000000,
};

static uint64_t budget;
static const uint8_t payload[BYTES];

static void little_memory(struct spate_config *config)
{
    config->memory_bytes_max = budget;
    config->streams_bidi_max = STREAMS_MAX;
    config->streams_uni_max = STREAMS_MAX;
    config->idle_timeout_ns = UINT64_C(60000000000); /* no test waits for it */
}

/* A close that is lost costs no more than this. */
static void little_memory_and_patience(struct spate_config *config)
{
    little_memory(config);
    config->idle_timeout_ns = UINT64_C(15000000000);
    config->handshake_timeout_ns = UINT64_C(5000000000);
}

static void many_streams(struct spate_config *config)
{
    config->streams_local_max = STREAMS_MAX;
}

/* Opens streams, as many as it can, one byte on each: the server keeps the state of all. */
static void open_streams(struct spate_conn *conn, uint32_t count)
{
    uint64_t id;
    for (uint32_t i = 0; i < count && spate_stream_open(conn, true, &id) == 0; i++)
        (void)spate_stream_send(conn, id, payload, 1, false, 0);
}

/* ---- After a peak ---- */

static struct spate_conn *conns[CONNS_MAX];
static uint32_t conn_count;
static bool is_leaving; /* connections are closed as soon as they are connected */

/* Remembers the connections that are open, and gives each some streams. */
static void remember(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CONNECTED) {
        assert_true(conn_count < CONNS_MAX);
        conns[conn_count++] = event->conn;
        open_streams(event->conn, 20);
        if (is_leaving)
            spate_conn_close(event->conn, 0, "");
    }
    for (uint32_t i = 0; event->kind == SPATE_EVENT_CLOSED && i < conn_count; i++)
        if (conns[i] == event->conn)
            conns[i--] = conns[--conn_count];
    pw_default(end, event);
}

static bool is_refused(struct pw *w)
{
    return pw_stats(&w->server).conns_refused > 0;
}

static bool server_is_empty(struct pw *w)
{
    return pw_stats(&w->server).conns_now == 0 && pw_stats(&w->client).conns_now == 0;
}

/* Clients connect in bursts, each with some streams, until one is refused. */
static void fill_the_server(struct pw *w)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_refused(w)) { /* which looks at each connection */
        assert_true(pw_now_ns() < end_ns);
        for (uint32_t i = 0; i < BURST; i++)
            (void)pw_connect(w);
        for (uint32_t turn = 0; turn < 4 * BURST; turn++)
            pw_turn(w);
    }
}

static void all_leave(struct pw *w)
{
    is_leaving = true;
    for (uint32_t i = 0; i < conn_count; i++)
        spate_conn_close(conns[i], 0, "");
    pw_until(w, server_is_empty);
    is_leaving = false;
}

static bool memory_is_back(struct pw *w)
{
    return pw_stats(&w->server).memory_bytes_now <= budget / 2;
}

static void after_a_peak_a_server_takes_new_clients(void **state)
{
    (void)state;
    static const uint64_t budgets[] = {MIB, 16 * MIB};
    for (size_t i = 0; i < QT_COUNT(budgets); i++) {
        budget = budgets[i];
        conn_count = 0;
        struct pw *w = pw_create(&(struct pw_config){
            .server = little_memory_and_patience,
            .client = many_streams,
        });
        w->client.on_event = remember;
        for (uint32_t round = 0; round < 2; round++) {
            uint64_t refused_count = pw_stats(&w->server).conns_refused;
            for (uint32_t k = 0; k < 3; k++)
                (void)pw_connected(w);
            assert_int_equal(pw_stats(&w->server).conns_refused, refused_count);
            if (round == 0) {
                fill_the_server(w);
                assert_true(pw_stats(&w->server).memory_bytes_peak > budget / 2);
            }
            all_leave(w);
        }
        assert_true(pw_stats(&w->server).memory_bytes_peak <= budget);
        pw_until(w, memory_is_back);
    }
}

/* ---- At the limit ---- */

static struct spate_conn *hog;
static bool is_hog_closed;
static struct spate_close hog_close;
static uint32_t others_closed;

static void watch(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CLOSED && event->conn == hog) {
        is_hog_closed = true;
        hog_close = event->u.close;
    } else if (event->kind == SPATE_EVENT_CLOSED) {
        others_closed++;
    }
    pw_default(end, event);
}

static bool hog_is_closed(struct pw *w)
{
    (void)w;
    return is_hog_closed;
}

static bool others_have_all(struct pw *w)
{
    return w->server.fin_count >= 2;
}

static void the_largest_owner_is_closed_and_the_others_go_on(void **state)
{
    (void)state;
    uint64_t id;
    budget = 4 * MIB;
    is_hog_closed = false;
    others_closed = 0;
    struct pw *w = pw_create(&(struct pw_config){.server = little_memory, .client = many_streams});
    w->client.on_event = watch;
    struct spate_conn *others[2] = {pw_connected(w), pw_connected(w)};
    hog = pw_connected(w);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_hog_closed) {
        assert_true(pw_now_ns() < end_ns);
        open_streams(hog, 100);
        pw_turn(w);
    }
    assert_int_equal(hog_close.kind, SPATE_CLOSE_TRANSPORT);
    assert_int_equal(hog_close.error, INTERNAL_ERROR);
    assert_false(hog_close.is_local);
    assert_int_equal(w->server.closed_count, 1);
    assert_true(w->server.close.is_local);
    assert_int_equal(w->server.close.error, INTERNAL_ERROR);
    assert_int_equal(pw_stats(&w->server).conns_shed, 1);

    for (size_t i = 0; i < QT_COUNT(others); i++) {
        assert_int_equal(spate_stream_open(others[i], true, &id), 0);
        assert_int_equal(spate_stream_send(others[i], id, payload, BYTES, true, 0), 0);
    }
    pw_until(w, others_have_all);
    (void)pw_connected(w); /* and a new one gets in */
    assert_int_equal(others_closed, 0);
    assert_true(pw_stats(&w->server).memory_bytes_peak <= budget);
}

static void a_single_connection_at_the_limit_ends_with_internal_error(void **state)
{
    (void)state;
    budget = MIB;
    is_hog_closed = false;
    struct pw *w = pw_create(&(struct pw_config){.server = little_memory, .client = many_streams});
    w->client.on_event = watch;
    hog = pw_connected(w);
    open_streams(hog, STREAMS_MAX);
    pw_until(w, hog_is_closed); /* long before the idle timeout */
    assert_int_equal(hog_close.error, INTERNAL_ERROR);
}

/* ---- Clients that come one by one ---- */

static uint32_t streams_each; /* of each client */
static uint32_t refused;
static uint32_t newcomers;
static uint64_t fins_wanted;

/* Remembers the connections that are open; each gets some streams that it keeps. */
static void come_in(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CONNECTED) {
        assert_true(conn_count < CONNS_MAX);
        conns[conn_count++] = event->conn;
        open_streams(event->conn, streams_each);
    }
    if (event->kind == SPATE_EVENT_CLOSED) {
        assert_int_equal(event->u.close.kind, SPATE_CLOSE_TRANSPORT);
        assert_int_equal(event->u.close.error, CONNECTION_REFUSED);
        assert_false(event->u.close.is_local);
        refused++;
    }
    pw_default(end, event);
}

static bool newcomer_has_its_answer(struct pw *w)
{
    (void)w;
    return conn_count + refused == newcomers;
}

static bool all_bytes_are_there(struct pw *w)
{
    return w->server.bytes_in == (uint64_t)conn_count * streams_each;
}

static bool one_more_fin(struct pw *w)
{
    return w->server.fin_count == fins_wanted;
}

static void clients_that_come_one_by_one_take_no_place_of_others(void **state)
{
    (void)state;
    static const struct {
        uint64_t budget;
        uint32_t streams;
    } cases[] = {{16 * MIB, 20}, {16 * MIB, 0}, {4 * MIB, 5}, {2 * MIB, 1}};
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        budget = cases[i].budget;
        streams_each = cases[i].streams;
        conn_count = newcomers = refused = 0;
        struct pw *w = pw_create(&(struct pw_config){.server = little_memory});
        w->client.on_event = come_in;
        while (refused < REFUSED) { /* no one of those that are in is closed: see come_in() */
            assert_true(newcomers < CONNS_MAX);
            newcomers++;
            (void)pw_connect(w);
            pw_until(w, newcomer_has_its_answer);
            pw_until(w, all_bytes_are_there);
        }
        struct spate_shard_stats stats = pw_stats(&w->server);
        assert_int_equal(stats.conns_refused, REFUSED);
        assert_int_equal(stats.conns_shed, 0);
        assert_int_equal(stats.conns_now, conn_count);
        assert_true(stats.memory_bytes_now > budget / 4 * 3);

        pw_for(w, UINT64_C(1500000000)); /* they become idle: then room for some more, and work */
        fins_wanted = 0;
        for (uint32_t k = 0; k < conn_count; k += STEP) {
            uint64_t id;
            assert_int_equal(spate_stream_open(conns[k], true, &id), 0);
            assert_int_equal(spate_stream_send(conns[k], id, payload, BYTES / 10, true, 0), 0);
            fins_wanted++;
            pw_until(w, one_more_fin);
        }
        assert_int_equal(pw_stats(&w->server).conns_now, conn_count);
        assert_int_equal(w->server.closed_count, 0);
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, after_a_peak_a_server_takes_new_clients),
        QT_TEST(owned, clients_that_come_one_by_one_take_no_place_of_others),
        QT_TEST(owned, the_largest_owner_is_closed_and_the_others_go_on),
        QT_TEST(owned, a_single_connection_at_the_limit_ends_with_internal_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Bytes to and fro over real sockets: one large stream, many small ones, both address
 * families, and what the counters say about it. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>

#define LARGE_SIZE ((size_t)10 << 20)

/* ---- An echo server: a slice is lent on until its bytes are acknowledged ---- */

static void echo_on_event(struct pw_end *end, struct spate_event *event)
{
    struct spate_slice *slice;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_DATA:
        if (event->u.data.slice.size == 0 && !event->u.data.fin)
            break;
        slice = owned_alloc(sizeof(*slice));
        *slice = event->u.data.slice;
        assert_int_equal(spate_stream_send(event->conn, event->stream_id, slice->data, slice->size,
                                           event->u.data.fin, (uintptr_t)slice),
                         0);
        break;
    case SPATE_EVENT_SENT:
        slice = (struct spate_slice *)(uintptr_t)event->u.sent.tag;
        assert_int_equal(event->u.sent.size, slice->size);
        spate_slice_release(end->shard, slice);
        owned_end(slice);
        break;
    default:
        break;
    }
}

/* ---- a client that checks what comes back ---- */

struct echo {
    uint64_t seed;
    uint64_t id;
    uint8_t *data;
    size_t size;
    uint64_t received; /* bytes, all of them right */
    bool has_fin;
    bool is_sent;
    bool is_closed;
};

#define ECHOES_MAX 200

struct echoes {
    struct echo echo[ECHOES_MAX];
    uint32_t count;
    uint32_t opened;
    size_t size; /* of each */
};

static void echo_check(struct echo *e, const struct spate_event *event)
{
    const struct spate_slice *slice = &event->u.data.slice;
    assert_int_equal(event->u.data.offset, e->received);
    assert_false(e->has_fin);
    assert_true(e->received + slice->size <= e->size);
    assert_memory_equal(slice->data, e->data + e->received, slice->size);
    e->received += slice->size;
    e->has_fin = event->u.data.fin;
}

static void client_on_event(struct pw_end *end, struct spate_event *event)
{
    struct echo *e = event->stream_user;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_DATA:
        assert_non_null(e);
        assert_int_equal(e->id, event->stream_id);
        echo_check(e, event);
        break;
    case SPATE_EVENT_SENT:
        assert_ptr_equal((void *)(uintptr_t)event->u.sent.tag, e);
        assert_true(event->u.sent.is_acked);
        assert_int_equal(event->u.sent.size, e->size);
        assert_false(e->is_sent);
        e->is_sent = true;
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        assert_true(e->has_fin && e->is_sent && !e->is_closed);
        e->is_closed = true;
        break;
    default:
        break;
    }
    pw_default(end, event);
}

static bool open_more(struct echoes *all, struct spate_conn *conn)
{
    while (all->opened < all->count) {
        struct echo *e = &all->echo[all->opened];
        int result = spate_stream_open(conn, false, &e->id);
        if (result == -EAGAIN)
            return false;
        assert_int_equal(result, 0);
        e->seed = all->opened;
        e->size = all->size;
        e->data = owned_alloc(e->size);
        for (size_t i = 0; i < e->size; i++)
            e->data[i] = pw_byte(e->seed, i);
        assert_int_equal(spate_stream_set_user(conn, e->id, e), 0);
        assert_int_equal(spate_stream_send(conn, e->id, e->data, e->size, true, (uintptr_t)e), 0);
        all->opened++;
    }
    return true;
}

static bool all_are_back(struct pw *w)
{
    struct echoes *all = w->client.context;
    if (!open_more(all, w->client.conn))
        return false;
    for (uint32_t i = 0; i < all->count; i++)
        if (all->echo[i].received < all->size || !all->echo[i].is_closed)
            return false;
    return true;
}

static struct pw *run_echo(const struct pw_config *config, struct echoes *all)
{
    struct pw *w = pw_create(config);
    w->server.on_event = echo_on_event;
    w->client.on_event = client_on_event;
    w->client.context = all;
    (void)pw_connected(w);
    pw_until(w, all_are_back);
    return w;
}

static bool both_are_closed(struct pw *w)
{
    return w->client.closed_count == 1 && w->server.closed_count == 1;
}

/* After this everything that was lent is back on both sides. */
static void close_with(struct pw *w, uint64_t error, const char *reason)
{
    spate_conn_close(w->client.conn, error, reason);
    pw_until(w, both_are_closed);
    assert_int_equal(w->server.close.kind, SPATE_CLOSE_APP);
    assert_false(w->server.close.is_local);
    assert_int_equal(w->server.close.error, error);
    assert_string_equal(w->server.close_reason, reason);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_APP);
    assert_true(w->client.close.is_local);
}

static void ten_megabytes_come_back_unchanged(void **state)
{
    (void)state;
    for (int is_v6 = 0; is_v6 < 2; is_v6++) {
        struct echoes all = {.count = 1, .size = LARGE_SIZE};
        struct pw *w = run_echo(&(struct pw_config){.is_v6 = is_v6 != 0}, &all);

        struct spate_shard_stats stats = pw_stats(&w->server);
        assert_true(stats.datagrams_out > LARGE_SIZE / 9000);
        assert_true(stats.sends < stats.datagrams_out / 2); /* trains */
        /* One a turn; with mmsg one each to send, wait and receive, and some to arm. */
        uint64_t calls_max = pw_backend() == SPATE_BACKEND_MMSG ? 3 : 1;
        assert_true(stats.syscalls <= calls_max * stats.turns + 10);
        assert_int_equal(stats.conns_now, 1);
        assert_int_equal(stats.handshakes_now, 0);
        assert_int_equal(stats.handshakes_done, 1);

        close_with(w, 42, "enough");
        owned_end_all();
    }
}

static void many_streams_at_once_do_not_mix(void **state)
{
    (void)state;
    struct echoes all = {.count = ECHOES_MAX, .size = 10000};
    struct pw *w = run_echo(NULL, &all);
    close_with(w, 0, "");
}

static void an_empty_stream_is_echoed_as_one(void **state)
{
    (void)state;
    struct echoes all = {.count = 3, .size = 0};
    struct pw *w = run_echo(NULL, &all);
    close_with(w, 1, "x");
}

static void small_datagrams(struct spate_config *config)
{
    config->datagram_size_max = 1200;
    config->receive_slots = 4;
    config->transmit_slots = 1;
}

static void it_works_with_the_fewest_slots(void **state)
{
    (void)state;
    struct echoes all = {.count = 10, .size = 100000};
    struct pw *w =
        run_echo(&(struct pw_config){.server = small_datagrams, .client = small_datagrams}, &all);
    close_with(w, 1, "x");
}

static void large_datagrams(struct spate_config *config)
{
    config->datagram_size_max = 65507;
}

static void datagrams_may_be_as_large_as_loopback_takes(void **state)
{
    (void)state;
    struct echoes all = {.count = 1, .size = 1 << 20};
    struct pw *w =
        run_echo(&(struct pw_config){.server = large_datagrams, .client = large_datagrams}, &all);
    close_with(w, 1, "x");
}

static void what_was_negotiated_can_be_asked_for(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    assert_ptr_equal(conn, w->client.conn);
    assert_string_equal(spate_conn_alpn(conn), "test");
    assert_string_equal(spate_conn_alpn(w->server.conn), "test");
    assert_string_equal(spate_conn_cipher(conn), "TLS_AES_128_GCM_SHA256");
    assert_string_equal(spate_conn_cipher(w->server.conn), "TLS_AES_128_GCM_SHA256");
    assert_string_equal(spate_conn_server_name(w->server.conn), PW_SERVER_NAME);
    assert_true(spate_conn_is_server(w->server.conn));
    assert_false(spate_conn_is_server(conn));
    assert_ptr_equal(spate_conn_shard(conn), w->client.shard);

    struct sockaddr_storage peer;
    socklen_t peer_size;
    assert_int_equal(spate_conn_peer_address(conn, &peer, &peer_size), 0);
    assert_int_equal(peer_size, w->address_size);
    assert_memory_equal(&peer, &w->address, peer_size);

    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    assert_true(stats.packets_out > 0 && stats.packets_in > 0 && stats.rtt_min_ns > 0);

    /* A program that knows three counters, and one that knows two more than there are. */
    uint64_t counters[sizeof(stats) / sizeof(uint64_t) + 3];
    memset(counters, 0xaa, sizeof(counters));
    spate_conn_stats_sized(conn, (struct spate_conn_stats *)counters, 3 * sizeof(uint64_t));
    assert_memory_equal(counters, &stats, 3 * sizeof(uint64_t));
    assert_int_equal(counters[3], UINT64_C(0xaaaaaaaaaaaaaaaa));
    size_t size = sizeof(stats) + 2 * sizeof(uint64_t);
    spate_conn_stats_sized(conn, (struct spate_conn_stats *)counters, size);
    assert_memory_equal(counters, &stats, sizeof(stats));
    assert_int_equal(counters[QT_COUNT(counters) - 3], 0);
    assert_int_equal(counters[QT_COUNT(counters) - 2], 0);
    assert_int_equal(counters[QT_COUNT(counters) - 1], UINT64_C(0xaaaaaaaaaaaaaaaa));
}

/* ---- user pointers ---- */

#define MARKED_STREAMS 50

static char conn_mark;
static char stream_marks[4 * MARKED_STREAMS];

/* Marks what is introduced, and demands the mark in everything that follows: also where opening,
 * data and fin came in one datagram. */
static void mark_on_event(struct pw_end *end, struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        spate_conn_set_user(event->conn, &conn_mark);
        break;
    case SPATE_EVENT_STREAM_OPENED:
        assert_ptr_equal(event->conn_user, &conn_mark);
        assert_null(event->stream_user);
        assert_int_equal(
            spate_stream_set_user(event->conn, event->stream_id, &stream_marks[event->stream_id]),
            0);
        break;
    default:
        assert_ptr_equal(event->conn_user, &conn_mark);
        assert_ptr_equal(event->stream_user, &stream_marks[event->stream_id]);
        break;
    }
    pw_default(end, event);
}

static bool all_marked_streams_ended(struct pw *w)
{
    return w->server.fin_count == MARKED_STREAMS;
}

static void user_pointers_are_in_every_event_after_the_one_that_introduced(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    w->server.on_event = mark_on_event;
    struct spate_conn *conn = pw_connected(w);
    for (int i = 0; i < MARKED_STREAMS; i++) {
        uint64_t id;
        assert_int_equal(spate_stream_open(conn, true, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, "abc", 3, true, 0), 0);
    }
    pw_until(w, all_marked_streams_ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, ten_megabytes_come_back_unchanged),
        QT_TEST(owned, many_streams_at_once_do_not_mix),
        QT_TEST(owned, an_empty_stream_is_echoed_as_one),
        QT_TEST(owned, it_works_with_the_fewest_slots),
        QT_TEST(owned, datagrams_may_be_as_large_as_loopback_takes),
        QT_TEST(owned, user_pointers_are_in_every_event_after_the_one_that_introduced),
        QT_TEST(owned, what_was_negotiated_can_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* spate_stream_stop(): no bytes come after it, and nothing is lost by it. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BYTES = 64 * 1024, /* of one stream: many packets */
    BUFFERS = 8,
    BUFFER_BYTES = 1000,
    STREAMS = 20,
    QUEUED_MIN = 10,
};

static void small_window(struct spate_config *config)
{
    config->conn_window_bytes = 2 * BYTES;
    config->conn_window_bytes_max = 2 * BYTES;
}

static void no_gso(struct spate_config *config)
{
    config->gso = false;              /* an event for each packet, */
    config->datagram_size_max = 1452; /* of which there are many */
}

static struct pw *begin(struct spate_conn **ret)
{
    struct pw *w = pw_create(&(struct pw_config){.server = small_window, .client = no_gso});
    *ret = pw_connected(w);
    return w;
}

static uint64_t upload(struct spate_conn *conn, uint64_t size)
{
    static const uint8_t data[BYTES];
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, data, size, true, 0), 0);
    return id;
}

/* Runs both ends until the server has `count` events that nobody has taken. */
static void let_events_queue(struct pw *w, int count)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    int queued = 0;
    while (queued < count) {
        assert_true(pw_now_ns() < end_ns);
        pw_wait(&w->client, 0);
        queued = spate_shard_turn(w->server.shard, 0);
        assert_true(queued >= 0);
    }
}

static void let_all_arrive(struct pw *w)
{
    enum { QUIET_MS = 100 }; /* a datagram that is lost comes again after a PTO */
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint64_t quiet_ns = pw_now_ns();
    while (pw_now_ns() - quiet_ns < QUIET_MS * UINT64_C(1000000)) {
        assert_true(pw_now_ns() < end_ns);
        uint64_t before = pw_stats(&w->server).datagrams_in;
        pw_wait(&w->client, 0);
        assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
        if (pw_stats(&w->server).datagrams_in > before)
            quiet_ns = pw_now_ns();
    }
}

/* Takes the next event of this kind; drops others. */
static struct spate_event take(struct pw *w, enum spate_event_kind kind)
{
    struct spate_event event = {.kind = SPATE_EVENT_NONE};
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (event.kind != kind) {
        assert_true(pw_now_ns() < end_ns);
        if (spate_shard_events(w->server.shard, &event, 1) == 0)
            pw_turn(w); /* the server has none now: nothing is lost */
    }
    return event;
}

static void opened(struct pw *w, uint64_t id)
{
    let_events_queue(w, 1);
    assert_int_equal(take(w, SPATE_EVENT_STREAM_OPENED).stream_id, id);
}

static void no_bytes_come_after_a_stop(void **state)
{
    (void)state;
    struct spate_conn *conn;
    struct pw *w = begin(&conn);
    /* Each leaves as much credit as it found, or the last ones would not arrive. */
    for (int i = 0; i < STREAMS; i++) {
        uint64_t id = upload(conn, BYTES);
        opened(w, id);
        let_events_queue(w, QUEUED_MIN);
        struct spate_event event = take(w, SPATE_EVENT_STREAM_DATA);
        assert_int_equal(event.stream_id, id);
        spate_slice_release(w->server.shard, &event.u.data.slice);
        assert_int_equal(spate_stream_stop(event.conn, id, 5), 0);
        assert_int_equal(spate_stream_stop(event.conn, id, 5), -EPIPE);
        assert_int_equal(spate_stream_reset(event.conn, id, 5), 0);
        while (event.kind != SPATE_EVENT_STREAM_CLOSED) {
            assert_int_not_equal(event.kind, SPATE_EVENT_NONE);
            pw_wait(&w->client, 0);
            assert_true(spate_shard_turn(w->server.shard, 0) >= 0);
            if (spate_shard_events(w->server.shard, &event, 1) > 0)
                assert_int_not_equal(event.kind, SPATE_EVENT_STREAM_DATA);
            else
                event.kind = SPATE_EVENT_SENT; /* nothing yet */
        }
    }
}

/* All has arrived and is queued: for the application it has not ended yet. */
static void a_stop_before_the_queued_end_is_taken_succeeds(void **state)
{
    (void)state;
    struct spate_conn *conn;
    struct pw *w = begin(&conn);
    uint64_t id = upload(conn, BYTES / 4);
    opened(w, id);
    let_all_arrive(w);
    struct spate_event event = take(w, SPATE_EVENT_STREAM_DATA);
    assert_false(event.u.data.fin);
    spate_slice_release(w->server.shard, &event.u.data.slice);
    assert_int_equal(spate_stream_stop(event.conn, id, 5), 0);
    assert_int_equal(spate_shard_events(w->server.shard, &event, 1), 0);
    assert_int_equal(spate_stream_stop(event.conn, id, 5), -EPIPE);
}

/* Other events keep their order and their number. */
static void a_batch_leaves_out_what_was_dropped(void **state)
{
    (void)state;
    struct spate_conn *conn;
    struct pw *w = begin(&conn);
    uint64_t first = upload(conn, BYTES / 4);
    uint64_t second = upload(conn, BYTES / 4);
    let_events_queue(w, 2); /* no bytes come before these two are taken */
    assert_int_equal(take(w, SPATE_EVENT_STREAM_OPENED).stream_id, first);
    assert_int_equal(take(w, SPATE_EVENT_STREAM_OPENED).stream_id, second);
    let_all_arrive(w);
    int before = spate_shard_turn(w->server.shard, 0);
    assert_int_equal(spate_stream_stop(w->server.conn, first, 5), 0);
    int after = spate_shard_turn(w->server.shard, 0);
    assert_in_range(after, 1, before - 1);

    struct spate_event events[5];
    uint64_t offset = 0;
    uint32_t count;
    int taken = 0;
    while ((count = spate_shard_events(w->server.shard, events, 5)) > 0) {
        for (uint32_t i = 0; i < count; i++, taken++) {
            assert_int_equal(events[i].kind, SPATE_EVENT_STREAM_DATA);
            assert_int_equal(events[i].stream_id, second);
            assert_int_equal(events[i].u.data.offset, offset);
            offset += events[i].u.data.slice.size;
            spate_slice_release(w->server.shard, &events[i].u.data.slice);
        }
    }
    assert_int_equal(taken, after);
    assert_int_equal(offset, BYTES / 4);
}

static void lent_memory_comes_back_without_bytes(void **state)
{
    (void)state;
    static uint8_t buffers[BUFFERS][BUFFER_BYTES];
    struct spate_conn *conn;
    struct pw *w = begin(&conn);
    uint64_t id = upload(conn, BYTES);
    opened(w, id);
    for (uint64_t i = 0; i < BUFFERS; i++)
        assert_int_equal(
            spate_stream_receive_into(w->server.conn, id, buffers[i], BUFFER_BYTES, i, NULL), 0);
    let_events_queue(w, BUFFERS);
    struct spate_event event = take(w, SPATE_EVENT_STREAM_PLACED);
    uint64_t returned_count = event.u.placed.is_returned;
    assert_int_equal(spate_stream_stop(w->server.conn, id, 5), 0);
    while (spate_shard_events(w->server.shard, &event, 1) > 0) {
        assert_int_equal(event.kind, SPATE_EVENT_STREAM_PLACED);
        assert_int_equal(event.u.placed.size, 0);
        assert_true(event.u.placed.is_returned);
        assert_int_equal(event.u.placed.tag, returned_count);
        returned_count++;
    }
    assert_int_equal(returned_count, BUFFERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, no_bytes_come_after_a_stop),
        QT_TEST(owned, a_stop_before_the_queued_end_is_taken_succeeds),
        QT_TEST(owned, a_batch_leaves_out_what_was_dropped),
        QT_TEST(owned, lent_memory_comes_back_without_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

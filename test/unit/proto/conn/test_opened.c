/* SPDX-License-Identifier: MIT */
/* Streams that the peer opens: a frame opens all lower streams of its kind [RFC9000 3.2], and each
 * is made by its own first frame, or when it is reported. */

#include "test/support/qt.h"

#include "proto/conn/streams.h"
#include "test/support/conn_pair.h"

enum { STREAMS = 1000 };

QT_FIXTURE(conn_pair, pair_deinit)

static struct sp_conn *connect_pair(struct conn_pair *pair)
{
    pair_init(pair);
    pair->config.streams_bidi_max = STREAMS;
    pair->config.streams_uni_max = STREAMS;
    pair_connect(pair);
    return pair_conn(pair, SP_SERVER);
}

/* Gives the server one byte of stream `id`, and its end. */
static void inject_byte(struct conn_pair *pair, uint64_t id)
{
    uint8_t frame[32];
    struct sb_writer w = sb_writer_of(frame, sizeof(frame));
    struct sp_stream_head head = {.id = id, .size = 1, .has_length = true, .fin = true};
    sp_frame_write_stream_head(&w, &head);
    sb_writer_u8(&w, 'x');
    assert_false(w.failed);
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frame, sb_writer_used(&w), PAIR_FAULT_NONE);
}

/* Takes STREAM_OPENED events of one kind: `first` to `last`, in order, and nothing else. */
static void take_opened(struct sp_conn *conn, bool is_uni, uint64_t first, uint64_t last)
{
    struct sp_event event;
    for (uint64_t i = first; i <= last; i++) {
        assert_true(sp_conn_next_event(conn, &event));
        assert_int_equal(event.kind, SP_EVENT_STREAM_OPENED);
        assert_int_equal(event.stream_id, i << 2 | (is_uni ? SP_STREAM_IS_UNI : 0));
    }
}

static void take_byte(struct sp_conn *conn, uint64_t id)
{
    struct sp_event event;
    assert_true(sp_conn_next_event(conn, &event));
    assert_int_equal(event.kind, SP_EVENT_STREAM_DATA);
    assert_int_equal(event.stream_id, id);
    assert_true(event.data.fin);
    sp_conn_consume(conn, id, event.data.slice.size);
    sb_buffer_unref(event.data.slice.buffer);
}

static void a_frame_makes_one_stream_and_the_events_make_the_others(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *server = connect_pair(pair);
    inject_byte(pair, (STREAMS - 1) << 2);
    assert_int_equal(server->streams.count, 1);
    assert_int_equal(pair->pools.streams.used_count, 1);
    take_opened(server, false, 0, 9);
    assert_int_equal(server->streams.count, 11);
    take_opened(server, false, 10, STREAMS - 1);
    assert_int_equal(server->streams.count, STREAMS);
    take_byte(server, (STREAMS - 1) << 2);
    struct sp_event event;
    assert_false(sp_conn_next_event(server, &event));

    /* They are like any others. */
    uint64_t id = 500 << 2;
    struct sp_write write = {.data = "y", .size = 1, .fin = true};
    assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
    inject_byte(pair, id);
    take_byte(server, id);
}

static void frames_of_a_stream_in_the_gap_are_reported_after_its_turn(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *server = connect_pair(pair);
    inject_byte(pair, 9 << 2);
    inject_byte(pair, 4 << 2);
    inject_byte(pair, 5 << 2 | SP_STREAM_IS_UNI);
    assert_int_equal(server->streams.count, 3);
    take_opened(server, false, 0, 9);
    take_opened(server, true, 0, 5);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct sp_event event;
        do {
            assert_true(sp_conn_next_event(server, &event));
        } while (event.kind == SP_EVENT_STREAM_CLOSED); /* the unidirectional one */
        assert_int_equal(event.kind, SP_EVENT_STREAM_DATA);
        seen |= UINT64_C(1) << event.stream_id;
        sb_buffer_unref(event.data.slice.buffer);
    }
    assert_int_equal(seen, UINT64_C(1) << 36 | UINT64_C(1) << 16 | UINT64_C(1) << 22);
}

/* A closed stream is not taken for one that was never made. */
static void frames_of_a_closed_stream_are_ignored(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *server = connect_pair(pair);
    uint64_t id = 3 << 2 | SP_STREAM_IS_UNI;
    inject_byte(pair, id);
    pair_pull(pair, SP_SERVER);
    assert_null(sp_stream_map_find(&server->streams, id));
    inject_byte(pair, id);
    assert_null(sp_stream_map_find(&server->streams, id));
    assert_int_equal(server->state, SP_CONN_OPEN);
    struct sp_event event;
    assert_false(sp_conn_next_event(server, &event));
}

/* [RFC9000 4.6] The limit counts opened streams, made or not. */
static void the_limit_counts_all_opened_streams(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t i = 0; i < 2; i++) {
        struct sp_conn *server = connect_pair(pair);
        inject_byte(pair, (STREAMS - 1 + i) << 2);
        assert_int_equal(server->state, i == 0 ? SP_CONN_OPEN : SP_CONN_CLOSING);
    }
    assert_int_equal(pair_conn(pair, SP_SERVER)->close.error, SP_ERR_STREAM_LIMIT);
}

/* Our own limit does not count the peer's streams, made or not. */
static void our_streams_are_counted_apart(void **state)
{
    struct conn_pair *pair = *state;
    uint64_t id;
    pair_init(pair);
    pair->config.streams_local_max = 2;
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    inject_byte(pair, 50 << 2);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(sp_conn_open(server, false, &id), SP_DONE);
    assert_int_equal(sp_conn_open(server, false, &id), SP_AGAIN);
    pair_pull(pair, SP_SERVER);
    assert_int_equal(sp_conn_open(server, false, &id), SP_AGAIN);
}

/* The frame is acknowledged: its streams cannot be given up in silence. */
static void a_stream_that_cannot_be_made_ends_the_connection(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    struct sp_conn *server = connect_pair(pair);
    inject_byte(pair, (STREAMS - 1) << 2);
    pair->memory_left = 0;
    struct sp_event event;
    while (sp_conn_next_event(server, &event))
        assert_int_equal(event.kind, SP_EVENT_STREAM_OPENED);
    sp_conn_on_deadline(server, pair->now_ns);
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);
    assert_int_equal(server->state, SP_CONN_CLOSING);
    assert_int_equal(server->close.error, SP_ERR_INTERNAL);
}

/* After the end only those are reported that had frames of their own. */
static void the_end_makes_no_streams(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *server = connect_pair(pair);
    inject_byte(pair, (STREAMS - 1) << 2);
    take_opened(server, false, 0, 1);
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)"\x1d\x01\0", 3, PAIR_FAULT_NONE);
    assert_int_equal(server->state, SP_CONN_DRAINING);
    uint32_t made = server->streams.count;
    struct sp_event event;
    uint32_t opened_count = 0;
    while (sp_conn_next_event(server, &event)) {
        opened_count += event.kind == SP_EVENT_STREAM_OPENED;
        if (event.kind == SP_EVENT_STREAM_DATA)
            sb_buffer_unref(event.data.slice.buffer);
    }
    assert_int_equal(opened_count, 1);
    assert_true(server->streams.count <= made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, a_frame_makes_one_stream_and_the_events_make_the_others),
        QT_TEST(conn_pair, frames_of_a_stream_in_the_gap_are_reported_after_its_turn),
        QT_TEST(conn_pair, frames_of_a_closed_stream_are_ignored),
        QT_TEST(conn_pair, the_limit_counts_all_opened_streams),
        QT_TEST(conn_pair, our_streams_are_counted_apart),
        QT_TEST(conn_pair, a_stream_that_cannot_be_made_ends_the_connection),
        QT_TEST(conn_pair, the_end_makes_no_streams),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What an ended connection holds is released in time that is linear in it, and in parts. */

#include "test/support/qt.h"

#include "proto/base/steps.h"
#include "proto/conn/streams.h"
#include "test/support/conn_pair.h"

enum { STREAMS_MAX = 2000, BYTES = 100000 };

static const uint8_t bytes[BYTES];

QT_FIXTURE(conn_pair, pair_deinit)

/* The client opens `count` streams at the server by one packet. */
static struct sp_conn *connect_with_streams(struct conn_pair *pair, uint64_t count)
{
    uint8_t frame[16];
    struct sb_writer w = sb_writer_of(frame, sizeof(frame));
    pair_init(pair);
    pair->config.streams_bidi_max = STREAMS_MAX;
    pair_connect(pair);
    struct sp_stream_head head = {.id = (count - 1) << 2, .size = 1, .has_length = true};
    sp_frame_write_stream_head(&w, &head);
    sb_writer_u8(&w, 'x');
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frame, sb_writer_used(&w), PAIR_FAULT_NONE);
    pair_pull(pair, SP_SERVER);
    assert_int_equal(pair_conn(pair, SP_SERVER)->streams.count, count);
    return pair_conn(pair, SP_SERVER);
}

/* Puts some packets in flight, with bytes of many streams. */
static void put_in_flight(struct conn_pair *pair, struct sp_conn *conn)
{
    size_t size;
    for (uint64_t i = 0; i < conn->streams.count; i += 10) {
        struct sp_write write = {.data = bytes, .size = 100};
        assert_int_equal(sp_conn_write(conn, i << 2, &write), SP_DONE);
    }
    (void)pair_flush(pair, conn->role, &size);
    assert_true(conn->loss.app.sent.out_count > 0);
}

static uint64_t held_objects(const struct conn_pair *pair)
{
    return sp_pools_used(&pair->pools);
}

/* Steps and walks per stream do not grow with the number of streams. */
static void the_end_is_linear_in_streams(void **state)
{
    struct conn_pair *pair = *state;
    static const uint64_t counts[] = {100, 500, 1100, STREAMS_MAX};
    for (size_t i = 0; i < QT_COUNT(counts); i++) {
        struct sp_conn *server = connect_with_streams(pair, counts[i]);
        uint64_t buckets = server->streams.mask + 1;
        uint32_t packets = server->loss.app.sent.out_count;
        uint64_t before = SB_STEPS_COUNT();
        uint32_t steps = UINT32_MAX;
        sp_conn_close(server, 1, NULL, 0, pair->now_ns);
        assert_int_equal(SB_STEPS_COUNT() - before, 0);
        assert_true(sp_conn_unwind(server, &steps));
        assert_true(sp_conn_destroy_some(server, &steps));
        pair->ends[SP_SERVER].conn = NULL;
        assert_in_range(UINT32_MAX - steps, 2 * SP_UNWIND_STREAM_STEPS * counts[i],
                        SP_UNWIND_CONN_STEPS + 2 * SP_UNWIND_STREAM_STEPS * counts[i] + buckets +
                            8 * packets + 8);
        assert_in_range(SB_STEPS_COUNT() - before, 0, counts[i] + buckets);
    }
}

/* A packet of the peer costs no more if it ends a connection that holds much. */
static void the_packet_that_closes_releases_nothing(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *server = connect_with_streams(pair, 1000);
    put_in_flight(pair, server);
    uint64_t held = held_objects(pair);
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)"\x1d\x01\0", 3, PAIR_FAULT_NONE);
    assert_int_equal(server->state, SP_CONN_DRAINING);
    assert_int_equal(held_objects(pair), held);
}

static void it_is_done_in_parts_of_any_size(void **state)
{
    struct conn_pair *pair = *state;
    static const uint32_t parts[] = {1, 7, 100, 5000};
    for (size_t i = 0; i < 2 * QT_COUNT(parts); i++) {
        uint32_t part = parts[i / 2];
        struct sp_conn *server = connect_with_streams(pair, 500);
        put_in_flight(pair, server);
        uint32_t calls = 0;
        if (i % 2 == 0)
            sp_conn_close(server, 1, NULL, 0, pair->now_ns);
        for (bool is_done = false; !is_done; calls++) {
            uint32_t steps = part;
            uint64_t held = held_objects(pair);
            is_done =
                i % 2 == 0 ? sp_conn_unwind(server, &steps) : sp_conn_destroy_some(server, &steps);
            assert_in_range(steps, 0, part);
            /* An object per step, but the last stream's, and what is freed at the end. */
            assert_in_range(held - held_objects(pair), 0, part + 40);
            assert_true(is_done || steps == 0);
        }
        assert_in_range(calls, 1, 1 + 4000 / part);
        if (i % 2 == 0) {
            assert_null(sb_list_first(&server->send_list));
            assert_int_equal(server->loss.app.sent.out_count, 0);
        } else {
            pair->ends[SP_SERVER].conn = NULL;
        }
    }
}

/* Nothing is reported before: lent bytes may still be named by packets. */
static void events_follow_when_all_is_released(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *server = connect_with_streams(pair, 500);
    put_in_flight(pair, server);
    sp_conn_close(server, 1, NULL, 0, pair->now_ns);
    uint32_t steps = 20;
    assert_false(sp_conn_unwind(server, &steps));
    size_t size;
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1); /* CLOSED waits for this */
    struct sp_event event;
    uint32_t sent_count = 0;
    bool is_closed = false;
    while (sp_conn_next_event(server, &event)) { /* releases the rest by itself */
        sent_count += event.kind == SP_EVENT_STREAM_SENT;
        is_closed |= event.kind == SP_EVENT_CLOSED;
        assert_int_equal(server->unwind, SP_UNWIND_NOTHING);
    }
    assert_int_equal(sent_count, 50);
    assert_true(is_closed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, the_end_is_linear_in_streams),
        QT_TEST(conn_pair, the_packet_that_closes_releases_nothing),
        QT_TEST(conn_pair, it_is_done_in_parts_of_any_size),
        QT_TEST(conn_pair, events_follow_when_all_is_released),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

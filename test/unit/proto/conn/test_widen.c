/* SPDX-License-Identifier: MIT */
/* Windows of connections grow out of one bound of memory: nobody gets more than there is, one alone
 * nearly all, and two that compete as much each. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/conn/memory.h"
#include "test/support/conn_pair.h"

enum { WINDOW = 4000, BOUND = 20000, CHUNK = 100000 };

QT_FIXTURE(conn_pair, pair_deinit)

static const uint8_t bytes[CHUNK];

static uint64_t stream_ids[2]; /* [enum sp_role] */
static uint64_t other_bytes;   /* that a connection which is not there has */

static void begin(struct conn_pair *pair, uint64_t bound)
{
    pair_init(pair);
    other_bytes = 0;
    struct sp_config *config = &pair->config;
    config->conn_window_bytes = config->stream_window_bytes = WINDOW;
    config->conn_window_bytes_max = config->stream_window_bytes_max = 64 << 20;
    config->pacing = false;
    pair->pools.widen_bytes_max = bound;
    pair_connect(pair);
    for (int role = 0; role < 2; role++) {
        struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
        assert_int_equal(sp_conn_open(conn, true, &stream_ids[role]), SP_DONE);
    }
}

static uint64_t widened(struct conn_pair *pair, enum sp_role role)
{
    return pair_conn(pair, role)->window.size - WINDOW;
}

/* Sends what takes some round trips.  The other end reads it at once. */
static void send_for(struct conn_pair *pair, enum sp_role from, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        const struct sp_write write = {.data = bytes, .size = CHUNK, .tag = 1};
        assert_int_equal(sp_conn_write(pair_conn(pair, from), stream_ids[from], &write), SP_DONE);
        pair_shuttle(pair);
        pair->now_ns += SB_MS;
        assert_true(pair->pools.widened_bytes <= pair->pools.widen_bytes_max);
        assert_int_equal(pair->pools.widened_bytes,
                         other_bytes + widened(pair, SP_CLIENT) + widened(pair, SP_SERVER));
    }
}

static void one_alone_gets_nearly_all(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair, BOUND);
    assert_int_equal(pair->pools.widened_bytes, 0);
    send_for(pair, SP_CLIENT, 200);
    assert_int_equal(widened(pair, SP_SERVER), BOUND / 9 * 8);
    assert_int_equal(widened(pair, SP_CLIENT), 0);
    pair_end(pair);
    assert_int_equal(pair->pools.widened_bytes, 0);
}

/* Lets a third connection, which is not there, have what it may. */
static void grow_other(struct conn_pair *pair)
{
    uint64_t left = BOUND - widened(pair, SP_SERVER);
    pair->pools.widened_bytes -= other_bytes;
    other_bytes = left / 9 * 8;
    pair->pools.widened_bytes += other_bytes;
}

/* The one that was there first gives back what it has too much, as it is used up. */
static void two_that_compete_get_as_much_each(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair, BOUND);
    send_for(pair, SP_CLIENT, 200);
    uint64_t before = widened(pair, SP_SERVER);
    for (uint32_t i = 0; i < 100; i++) {
        grow_other(pair);
        send_for(pair, SP_CLIENT, 1);
    }
    uint64_t after = widened(pair, SP_SERVER);
    assert_true(after < before);
    /* 8/17 each */
    assert_in_range(after, BOUND / 17 * 8 * 95 / 100, BOUND / 17 * 8 * 105 / 100);
    assert_in_range(other_bytes, BOUND / 17 * 8 * 95 / 100, BOUND / 17 * 8 * 105 / 100);
    pair->pools.widened_bytes -= other_bytes;
    other_bytes = 0;
    send_for(pair, SP_CLIENT, 50);
    assert_int_equal(widened(pair, SP_SERVER), before);
}

static void without_memory_windows_stay_as_they_are(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair, 0);
    send_for(pair, SP_CLIENT, 50);
    assert_int_equal(pair_conn(pair, SP_SERVER)->window.size, WINDOW);
    assert_true(pair_conn(pair, SP_SERVER)->stats.stream_bytes_in == 50 * CHUNK);
}

static void without_a_bound_the_configuration_counts(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair, UINT64_MAX);
    send_for(pair, SP_CLIENT, 200);
    assert_true(widened(pair, SP_SERVER) > BOUND);
    assert_true(pair_conn(pair, SP_SERVER)->window.size <= 64 << 20);
}

/* What waits for a late packet gets room in both windows, as far as there is memory. */
static void the_window_of_a_connection_follows_that_of_a_stream_with_a_gap(void **state)
{
    struct conn_pair *pair = *state;
    static const uint64_t bounds[] = {UINT64_MAX, BOUND, 0};
    for (size_t i = 0; i < QT_COUNT(bounds); i++) {
        begin(pair, bounds[i]);
        send_for(pair, SP_CLIENT, 1);
        struct sp_conn *conn = pair_conn(pair, SP_SERVER);
        uint64_t size = conn->window.size;
        struct sp_stream *stream = sp_stream_map_find(&conn->streams, stream_ids[SP_CLIENT]);
        struct sp_stream_recv *recv = &stream->recv;
        uint64_t gap = recv->window.limit - recv->window.received;
        assert_true(sp_window_receive(&recv->window, gap)); /* behind a byte that is missing */
        assert_int_equal(sp_stream_recv_held_bytes(recv), gap);
        recv->window.round_arrived = recv->window.consumed + gap;
        (void)sp_conn_raise_stream_limit(conn, recv, pair->now_ns);
        assert_true(recv->window.size >= 2 * gap);
        uint64_t room = bounds[i] == UINT64_MAX ? 64 << 20 : bounds[i] / 9 * 8;
        uint64_t wanted = SB_MIN(recv->window.size, WINDOW + room);
        assert_int_equal(conn->window.size, SB_MAX(size, wanted));
        assert_int_equal(pair->pools.widened_bytes,
                         widened(pair, SP_CLIENT) + widened(pair, SP_SERVER));
        recv->window.received -= gap;
        pair_end(pair);
    }
}

/* Pieces for a loss of all that is in flight: as many as the largest window takes. */
static void the_pieces_follow_the_largest_window(void **state)
{
    struct conn_pair *pair = *state;
    static const struct {
        uint64_t window_bytes_max, pieces_max;
    } samples[] = {{WINDOW, 65536},
                   {64 << 20, 65536},
                   {128 << 20, 131072},
                   {256 << 20, 262144},
                   {UINT64_C(1) << 60, 1 << 20}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        pair_init(pair);
        pair->config.conn_window_bytes = WINDOW;
        pair->config.conn_window_bytes_max = samples[i].window_bytes_max;
        pair_connect(pair);
        assert_int_equal(pair_conn(pair, SP_SERVER)->pieces.count_max, samples[i].pieces_max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, one_alone_gets_nearly_all),
        QT_TEST(conn_pair, two_that_compete_get_as_much_each),
        QT_TEST(conn_pair, without_memory_windows_stay_as_they_are),
        QT_TEST(conn_pair, without_a_bound_the_configuration_counts),
        QT_TEST(conn_pair, the_window_of_a_connection_follows_that_of_a_stream_with_a_gap),
        QT_TEST(conn_pair, the_pieces_follow_the_largest_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

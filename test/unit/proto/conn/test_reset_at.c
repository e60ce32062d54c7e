/* SPDX-License-Identifier: MIT */
/* Resets with a reliable size between two connections. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/impl.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

enum { ERROR = 9, BYTES = 20000 };

static const uint8_t bytes[BYTES];

/* What the events of each side were since the last begin(). */
static struct seen {
    uint64_t data_bytes;
    uint64_t reset_error;
    uint64_t back_bytes;
    uint32_t reset_count, closed_count, back_count, acked_count;
} seen[2]; /* [enum sp_role] */

static void begin(struct conn_pair *pair)
{
    memset(seen, 0, sizeof(seen));
    pair_init(pair);
}

static void take_events(struct conn_pair *pair, enum sp_role role)
{
    struct sp_conn *conn = pair_conn(pair, role);
    struct seen *s = &seen[role];
    struct sp_event event;
    while (sp_conn_next_event(conn, &event)) {
        switch (event.kind) {
        case SP_EVENT_STREAM_DATA:
            s->data_bytes += event.data.slice.size;
            sp_conn_consume(conn, event.stream_id, event.data.slice.size);
            sb_buffer_unref(event.data.slice.buffer);
            break;
        case SP_EVENT_STREAM_RESET:
            s->reset_count++;
            s->reset_error = event.error;
            break;
        case SP_EVENT_STREAM_SENT:
            s->back_count++;
            s->back_bytes += event.sent.size;
            s->acked_count += event.sent.is_acked;
            break;
        case SP_EVENT_STREAM_CLOSED:
            s->closed_count++;
            break;
        default:
            break;
        }
    }
}

/* Carries datagrams both ways, with their events and timers, until nothing more can come. */
static void run(struct conn_pair *pair)
{
    for (int round = 0; round < 60; round++) {
        for (enum sp_role from = SP_CLIENT; from <= SP_SERVER; from++) {
            if (pair->ends[from].conn == NULL)
                continue;
            pair_carry(pair, from);
            if (pair->ends[1 - from].conn != NULL)
                take_events(pair, (enum sp_role)(1 - from));
            sp_conn_on_deadline(pair_conn(pair, from), pair->now_ns);
            sp_conn_check(pair_conn(pair, from));
        }
        pair->now_ns += 5 * SB_MS;
    }
}

static uint64_t open_with(struct conn_pair *pair, uint64_t size, bool fin)
{
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_write write = {.data = bytes, .size = size, .fin = fin};
    uint64_t id;
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
    return id;
}

static enum sp_result reset_at(struct conn_pair *pair, uint64_t id, uint64_t size)
{
    return sp_conn_reset_at(pair_conn(pair, SP_CLIENT), id, ERROR, size);
}

static void the_reliable_bytes_arrive_and_then_the_reset(void **state)
{
    struct conn_pair *pair = *state;
    static const uint64_t sizes[] = {1, 1000, 5000, BYTES - 1, BYTES};
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        begin(pair);
        pair_connect(pair);
        uint64_t id = open_with(pair, BYTES, i % 2 == 0);
        assert_int_equal(reset_at(pair, id, sizes[i]), SP_DONE);
        run(pair);
        const struct seen *server = &seen[SP_SERVER];
        assert_int_equal(server->data_bytes, sizes[i]); /* nothing above had been sent */
        assert_int_equal(server->reset_count, 1);
        assert_int_equal(server->reset_error, ERROR);
        assert_int_equal(server->closed_count, 1);
        const struct seen *client = &seen[SP_CLIENT];
        assert_int_equal(client->back_count, 1);
        assert_int_equal(client->back_bytes, BYTES);
        assert_int_equal(client->acked_count, sizes[i] == BYTES);
        assert_int_equal(client->closed_count, 1);
        sp_conn_check(pair_conn(pair, SP_CLIENT));
    }
}

static void arguments_are_checked(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair);
    pair_connect(pair);
    uint64_t id = open_with(pair, 100, false);
    assert_int_equal(reset_at(pair, id, 101), SP_INVALID);
    assert_int_equal(sp_conn_reset_at(pair_conn(pair, SP_CLIENT), id, SB_VARINT_NONE, 1),
                     SP_INVALID);
    assert_int_equal(reset_at(pair, id + 4, 1), SP_GONE);
    assert_int_equal(reset_at(pair, id, 60), SP_DONE);
    assert_int_equal(reset_at(pair, id, 61), SP_INVALID); /* it never rises */
    assert_int_equal(reset_at(pair, id, 60), SP_DONE);
    assert_int_equal(reset_at(pair, id, 10), SP_DONE);
    const struct sp_write write = {.data = bytes, .size = 1};
    assert_int_equal(sp_conn_write(pair_conn(pair, SP_CLIENT), id, &write), SP_GONE);
    assert_int_equal(reset_at(pair, id, 0), SP_DONE); /* a RESET_STREAM */
    assert_int_equal(reset_at(pair, id, 0), SP_GONE);
    assert_int_equal(reset_at(pair, id, 1), SP_GONE);
    run(pair);
    const struct seen *server = &seen[SP_SERVER];
    assert_int_equal(server->data_bytes, 0);
    assert_int_equal(server->reset_count, 1);
    assert_int_equal(reset_at(pair, id, 1), SP_GONE);
    sp_conn_close(pair_conn(pair, SP_CLIENT), 0, NULL, 0, pair->now_ns);
    assert_int_equal(reset_at(pair, id, 1), SP_CLOSED);
}

/* [reliable-reset 3] */
static void who_does_not_know_the_frame_gets_none(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair);
    pair->config.reset_stream_at = false;
    pair_connect(pair);
    uint64_t id = open_with(pair, 100, false);
    assert_int_equal(reset_at(pair, id, 10), SP_UNSUPPORTED);
    assert_int_equal(reset_at(pair, id, 0), SP_DONE);
    run(pair);
    assert_int_equal(seen[SP_SERVER].reset_count, 1);

    static const uint8_t frame[] = {0x24, 6, 0, 1, 1};
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE);
    assert_int_equal(pair_conn(pair, SP_SERVER)->close.error, SP_ERR_FRAME_ENCODING);
}

/* The frame waits for the bytes, and they for credit: nothing exceeds the peer's windows. */
static void the_frame_follows_the_bytes_through_flow_control(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair);
    pair->config.stream_window_bytes = pair->config.stream_window_bytes_max = 1000;
    pair_connect(pair);
    uint64_t id = open_with(pair, BYTES, true);
    pair_carry(pair, SP_CLIENT); /* as many bytes as the window allows */
    assert_int_equal(reset_at(pair, id, 5000), SP_DONE);
    run(pair);
    assert_int_equal(seen[SP_SERVER].data_bytes, 5000);
    assert_int_equal(seen[SP_SERVER].reset_count, 1);
    assert_int_equal(pair_conn(pair, SP_SERVER)->state, SP_CONN_OPEN);
    assert_int_equal(seen[SP_CLIENT].back_bytes, BYTES);
}

/* What was discarded counts as read: the connection's window never runs out. */
static void credit_of_the_connection_comes_back(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair);
    pair->config.conn_window_bytes = pair->config.conn_window_bytes_max = 30000;
    pair_connect(pair);
    for (int i = 0; i < 50; i++) {
        uint64_t id = open_with(pair, BYTES, false);
        run(pair);
        assert_int_equal(reset_at(pair, id, 100 + (uint64_t)i), SP_DONE);
        if (i % 3 == 0)
            assert_int_equal(reset_at(pair, id, 50), SP_DONE);
        run(pair);
        const struct seen *server = &seen[SP_SERVER];
        assert_int_equal(server->reset_count, i + 1);
        assert_int_equal(seen[SP_CLIENT].back_bytes, (uint64_t)BYTES * (uint64_t)(i + 1));
        const struct sp_window *window = &pair_conn(pair, SP_SERVER)->window;
        assert_int_equal(window->consumed, window->received);
    }
}

/* [RFC9000 3.5, reliable-reset 5] */
static void a_stop_makes_the_reliable_size_zero(void **state)
{
    struct conn_pair *pair = *state;
    begin(pair);
    pair->config.stream_window_bytes = pair->config.stream_window_bytes_max = 1000;
    pair_connect(pair);
    uint64_t id = open_with(pair, BYTES, false);
    assert_int_equal(reset_at(pair, id, 5000), SP_DONE);
    pair_carry(pair, SP_CLIENT); /* as many bytes as the window allows */
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(sp_conn_stop(server, id, 3), SP_DONE);
    run(pair);
    const struct seen *client = &seen[SP_CLIENT];
    assert_int_equal(client->back_bytes, BYTES);
    assert_int_equal(client->acked_count, 0);
    assert_int_equal(client->closed_count, 1);
    assert_int_equal(server->state, SP_CONN_OPEN); /* it got the first error again */
    assert_int_equal(seen[SP_SERVER].closed_count, 1);
}

/* ---- 0-RTT ---- */

static struct conn_pair *begin_early(void **state, enum qs_early early)
{
    struct conn_pair *pair = *state;
    begin(pair);
    pair->tls_plan.early = early;
    pair_connect(pair);
    assert_true(pair->ticket_size > 0);
    pair_end(pair);
    return pair;
}

/* [reliable-reset 3] The parameter is remembered. */
static void a_reset_of_0_rtt_is_sent_before_the_handshake_is_complete(void **state)
{
    struct conn_pair *pair = begin_early(state, QS_EARLY_ACCEPT);
    pair_start(pair);
    uint64_t id = open_with(pair, 500, false);
    assert_int_equal(reset_at(pair, id, 200), SP_DONE);
    pair_carry(pair, SP_CLIENT);
    assert_true(sp_conn_is_handshaking(pair_conn(pair, SP_SERVER)));
    take_events(pair, SP_SERVER);
    const struct seen *server = &seen[SP_SERVER];
    assert_int_equal(server->data_bytes, 200);
    assert_int_equal(server->reset_count, 1);
    run(pair);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->state, SP_CONN_OPEN);
}

static void a_reset_of_rejected_0_rtt_is_made_again(void **state)
{
    for (int knows = 0; knows < 2; knows++) {
        struct conn_pair *pair = begin_early(state, QS_EARLY_REJECT);
        pair->config.reset_stream_at = true;
        pair_start(pair);
        uint64_t id = open_with(pair, 500, false);
        assert_int_equal(reset_at(pair, id, 200), SP_DONE);
        pair->config.reset_stream_at = knows; /* the server is made later */
        run(pair);
        const struct seen *server = &seen[SP_SERVER];
        assert_int_equal(server->data_bytes, knows ? 200 : 0);
        assert_int_equal(server->reset_count, 1);
        assert_int_equal(server->reset_error, ERROR);
        assert_int_equal(seen[SP_CLIENT].back_bytes, 500);
        assert_int_equal(pair_conn(pair, SP_CLIENT)->state, SP_CONN_OPEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, the_reliable_bytes_arrive_and_then_the_reset),
        QT_TEST(conn_pair, arguments_are_checked),
        QT_TEST(conn_pair, who_does_not_know_the_frame_gets_none),
        QT_TEST(conn_pair, the_frame_follows_the_bytes_through_flow_control),
        QT_TEST(conn_pair, credit_of_the_connection_comes_back),
        QT_TEST(conn_pair, a_stop_makes_the_reliable_size_zero),
        QT_TEST(conn_pair, a_reset_of_0_rtt_is_sent_before_the_handshake_is_complete),
        QT_TEST(conn_pair, a_reset_of_rejected_0_rtt_is_made_again),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

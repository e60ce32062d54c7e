/* SPDX-License-Identifier: MIT */
/* ACK_FREQUENCY and IMMEDIATE_ACK on a live connection: draft-ietf-quic-ack-frequency. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static uint8_t bytes[400000];

/* The client sends `size` bytes on a new stream; they are not under way yet. */
static void write_bytes(struct conn_pair *pair, size_t size)
{
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_write write = {.data = bytes, .size = size, .fin = true};
    uint64_t id;
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
}

/* [ack-frequency 3] */
static void who_does_not_want_the_extension_does_not_have_it(void **state)
{
    struct conn_pair *pair = *state;
    for (int has = 0; has < 2; has++) {
        pair_init(pair);
        pair->config.ack_frequency = has;
        pair_connect(pair);
        for (enum sp_role role = SP_CLIENT; role <= SP_SERVER; role++) {
            struct sp_conn *conn = pair_conn(pair, role);
            assert_int_equal(sp_ack_request_is_enabled(&conn->ack_request), has);
            if (!has)
                continue;
            assert_int_equal(conn->ack_request.delay_us_min, 1000);
            assert_int_equal(conn->ack_request.delay_us_max, 25000);
        }
        write_bytes(pair, sizeof(bytes));
        pair_shuttle(pair);
        const struct sp_counters *client = &pair_conn(pair, SP_CLIENT)->stats;
        const struct sp_counters *server = &pair_conn(pair, SP_SERVER)->stats;
        assert_int_equal(client->ack_frequencies_out > 0, has);
        assert_int_equal(client->ack_frequencies_out, server->ack_frequencies_in);
        assert_int_equal(server->ack_frequencies_out, 0); /* it has sent nothing */
    }
}

/* A min_ack_delay that we send is never more than our max_ack_delay.  [ack-frequency 3] */
static void short_delays_of_ours_are_announced(void **state)
{
    struct conn_pair *pair = *state;
    static const uint64_t delays_ns[] = {0, 1, 999999, SB_MS, 400 * SB_MS};
    static const uint64_t want_us[] = {0, 0, 999, 1000, 1000};
    for (size_t i = 0; i < QT_COUNT(delays_ns); i++) {
        pair_init(pair);
        pair->config.ack_delay_ns_max = delays_ns[i];
        pair_connect(pair);
        assert_int_equal(pair_conn(pair, SP_CLIENT)->ack_request.delay_us_min, want_us[i]);
    }
}

static enum sp_err error_of(struct conn_pair *pair, const uint8_t *frames, size_t size)
{
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frames, size, PAIR_FAULT_NONE);
    const struct sp_conn *server = pair_conn(pair, SP_SERVER);
    if (server->state == SP_CONN_OPEN)
        return SP_OK;
    assert_int_equal(server->close.kind, SP_CLOSE_TRANSPORT);
    return (enum sp_err)server->close.error;
}

/* [ack-frequency 3, 4] */
static void frames_that_break_the_rules_end_the_connection(void **state)
{
    struct conn_pair *pair = *state;
    static const struct {
        bool has; /* the extension */
        uint8_t frame[16];
        size_t size;
        enum sp_err want;
    } samples[] = {
        {false, {0x1f}, 1, SP_ERR_FRAME_ENCODING},
        {false, {0x40, 0xaf, 0, 1, 0x67, 0x10, 1}, 7, SP_ERR_FRAME_ENCODING},
        {true, {0x1f}, 1, SP_OK},
        {true, {0x40, 0xaf, 0, 1, 0x43, 0xe8, 1}, 7, SP_OK},                     /* 1,000 us */
        {true, {0x40, 0xaf, 0, 1, 0x43, 0xe7, 1}, 7, SP_ERR_PROTOCOL_VIOLATION}, /* 999 us */
        {true, {0x40, 0xaf, 0, 1, 0x80, 0xf9, 0xff, 0xff, 1}, 9, SP_OK},         /* 16,383,999 */
        {true, {0x40, 0xaf, 0, 1, 0x80, 0xfa, 0, 0, 1}, 9, SP_ERR_PROTOCOL_VIOLATION},
        {true, {0x40, 0xaf, 0, 1, 0x67, 0x10}, 6, SP_ERR_FRAME_ENCODING}, /* cut */
        {true, {0xaf}, 1, SP_ERR_FRAME_ENCODING},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        pair_init(pair);
        pair->config.ack_frequency = samples[i].has;
        pair_connect(pair);
        print_message("    sample %d\n", (int)i);
        assert_int_equal(error_of(pair, samples[i].frame, samples[i].size), samples[i].want);
    }
}

/* [ack-frequency 4] */
static void an_obsolete_wish_is_ignored(void **state)
{
    struct conn_pair *pair = *state;
    static const uint8_t newer[] = {0x40, 0xaf, 5, 7, 0x48, 0x00, 3};
    static const uint8_t older[] = {0x40, 0xaf, 4, 1, 0x44, 0x00, 1};
    pair_init(pair);
    pair_connect(pair);
    assert_int_equal(error_of(pair, newer, sizeof(newer)), SP_OK);
    assert_int_equal(error_of(pair, older, sizeof(older)), SP_OK);
    const struct sp_ack_wish *wish = &pair_conn(pair, SP_SERVER)->ack_wish;
    assert_int_equal(wish->count, 8);
    assert_int_equal(wish->delay_us, 0x800);
    assert_int_equal(wish->reorder_threshold, 3);
}

/* [ack-frequency 5, 7] */
static void a_probe_is_acknowledged_at_once(void **state)
{
    struct conn_pair *pair = *state;
    for (int has = 0; has < 2; has++) {
        struct pair_packet packet;
        pair_init(pair);
        pair->config.ack_frequency = has;
        pair_connect(pair);
        pair_settle(pair);
        pair_conn(pair, SP_CLIENT)->app.probe_count = 1;
        assert_true(pair_take(pair, SP_CLIENT, &packet));
        pair_deliver(pair, SP_SERVER, &packet);
        assert_int_equal(sp_ack_is_due(&pair_conn(pair, SP_SERVER)->app.ack, pair->now_ns), has);
    }
}

/* [ack-frequency 3] The server would end the connection. */
static void a_probe_of_0_rtt_packets_does_without(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    pair_init(pair);
    pair->tls_plan.early = QS_EARLY_ACCEPT;
    pair_connect(pair);
    pair_end(pair);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    write_bytes(pair, 100);
    pair_carry(pair, SP_CLIENT);
    /* The server's parameters have come, but not the rest of its flight. */
    assert_true(sp_conn_sends_early(client));
    sp_ack_request_enable(&client->ack_request, 1000, 25000);
    client->app.probe_count = 1;
    assert_true(pair_take(pair, SP_CLIENT, &packet));
    sp_ack_request_init(&client->ack_request);
    pair_deliver(pair, SP_SERVER, &packet);
    assert_int_equal(pair_conn(pair, SP_SERVER)->state, SP_CONN_OPEN);
    pair_shuttle(pair);
    assert_int_equal(pair_conn(pair, SP_SERVER)->state, SP_CONN_OPEN);
}

/* [ack-frequency 4] The peer gets a newer one after that. */
static void a_lost_frame_is_replaced(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_conn *server = pair_conn(pair, SP_SERVER);
    write_bytes(pair, sizeof(bytes));
    while (client->stats.ack_frequencies_out == 0) {
        assert_true(client->ack_request.state < SP_ACK_REQUEST_SENT);
        while (pair_take(pair, SP_CLIENT, &packet))
            if (client->stats.ack_frequencies_out == 0)
                pair_deliver(pair, SP_SERVER, &packet);
            else
                break; /* this one gets lost */
        if (client->stats.ack_frequencies_out > 0)
            break;
        pair->now_ns += SB_MS;
        pair_pull(pair, SP_SERVER);
        pair_carry(pair, SP_SERVER);
    }
    assert_int_equal(client->ack_request.state, SP_ACK_REQUEST_SENT);
    assert_int_equal(server->stats.ack_frequencies_in, 0);
    pair_shuttle(pair);
    assert_true(server->stats.ack_frequencies_in > 0);
    assert_true(server->ack_wish.next_sequence >= 2);
    assert_int_equal(client->ack_request.next_sequence, client->stats.ack_frequencies_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, who_does_not_want_the_extension_does_not_have_it),
        QT_TEST(conn_pair, short_delays_of_ours_are_announced),
        QT_TEST(conn_pair, frames_that_break_the_rules_end_the_connection),
        QT_TEST(conn_pair, an_obsolete_wish_is_ignored),
        QT_TEST(conn_pair, a_probe_is_acknowledged_at_once),
        QT_TEST(conn_pair, a_probe_of_0_rtt_packets_does_without),
        QT_TEST(conn_pair, a_lost_frame_is_replaced),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

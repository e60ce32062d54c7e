/* SPDX-License-Identifier: MIT */
/* What keeps a quiet connection from its idle timeout, and what does not. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/conn/alive.h"
#include "test/support/conn_pair.h"

#define IDLE_NS (30 * SB_S)

static const uint8_t bytes[10000];

QT_FIXTURE(conn_pair, pair_deinit)

static void connect_pair(struct conn_pair *pair)
{
    pair->config.idle_timeout_ns = IDLE_NS;
    pair_connect(pair);
    for (int i = 0; i < 3; i++) {
        pair->now_ns += 30 * SB_MS;
        pair_shuttle(pair);
    }
}

/* Lets time pass; nobody reads, and datagrams arrive at once.  Returns how many the client sent. */
static uint32_t pass(struct conn_pair *pair, uint64_t duration_ns)
{
    uint64_t end_ns = pair->now_ns + duration_ns;
    uint32_t count = 0;
    while (pair_pass_some(pair, end_ns)) {
        struct pair_packet packet;
        for (uint32_t role = 0; role < 2; role++)
            while (pair_take(pair, (enum sp_role)role, &packet)) {
                count += role == SP_CLIENT;
                pair_deliver(pair, role == SP_CLIENT ? SP_SERVER : SP_CLIENT, &packet);
            }
    }
    return count;
}

static void write_too_much(struct conn_pair *pair)
{
    uint64_t id;
    struct sp_write write = {.data = bytes, .size = sizeof(bytes)};
    assert_int_equal(sp_conn_open(pair_conn(pair, SP_CLIENT), true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(pair_conn(pair, SP_CLIENT), id, &write), SP_DONE);
}

static void want_many_streams(struct conn_pair *pair)
{
    uint64_t id;
    for (int i = 0; i < 3; i++)
        assert_int_equal(sp_conn_open(pair_conn(pair, SP_CLIENT), true, &id), SP_DONE);
    assert_int_equal(sp_conn_open(pair_conn(pair, SP_CLIENT), true, &id), SP_AGAIN);
}

/* [RFC9000 4.1, 4.6] */
static void a_blocked_sender_says_so_again_and_stays(void **state)
{
    struct conn_pair *pair = *state;
    for (int what = 0; what < 3; what++) {
        pair_init(pair);
        pair->config.streams_uni_max = 3;
        uint64_t *window =
            what == 0 ? &pair->config.conn_window_bytes : &pair->config.stream_window_bytes;
        window[0] = window[1] = 1000;
        connect_pair(pair);
        if (what < 2)
            write_too_much(pair);
        else
            want_many_streams(pair);
        pair_carry(pair, SP_CLIENT);
        uint32_t count = pass(pair, 10 * IDLE_NS);
        assert_false(sp_conn_is_closed(pair_conn(pair, SP_CLIENT)));
        assert_false(sp_conn_is_closed(pair_conn(pair, SP_SERVER)));
        assert_in_range(count, 25, 35); /* three per timeout, each up to an eighth too early */
    }
}

static void one_that_has_nothing_to_say_falls_idle(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_pair(pair);
    assert_true(sp_conn_alive_deadline_ns(pair_conn(pair, SP_CLIENT)) == SB_NEVER);
    assert_int_equal(pass(pair, IDLE_NS + SB_S), 0);
    assert_true(sp_conn_is_closed(pair_conn(pair, SP_CLIENT)));
}

/* [RFC9000 10.1] A timeout that is shorter than a round trip ends nothing. */
static void an_idle_timeout_is_never_below_three_ptos(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_pair(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const uint64_t timeout_ns = 3 * sp_loss_pto_ns(&client->loss);
    client->idle_timeout_ns = 1;
    assert_int_equal(sp_conn_deadline_ns(client), client->idle_from_ns + timeout_ns);
    sp_conn_on_deadline(client, client->idle_from_ns + timeout_ns - 1);
    assert_false(sp_conn_is_closed(client));
    sp_conn_on_deadline(client, client->idle_from_ns + timeout_ns);
    assert_int_equal(client->close.kind, SP_CLOSE_IDLE);
}

/* [RFC9000 10.1.2] Whatever the application has asked for, it is soon enough. */
static void a_ping_keeps_alive_who_asked_for_it(void **state)
{
    struct conn_pair *pair = *state;
    static const struct {
        uint64_t keep_ns;
        uint64_t idle_ns;
        uint32_t pings; /* of both together, in ten minutes */
    } samples[] = {
        {20 * SB_S, 60 * SB_S, 30},
        {20 * SB_S, 0, 30},
        {20 * SB_S, 30 * SB_S, 60}, /* every 10 s */
        {3600 * SB_S, 30 * SB_S, 60},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        pair_init(pair);
        pair->config.keep_alive_ns = samples[i].keep_ns;
        connect_pair(pair);
        pair_conn(pair, SP_CLIENT)->idle_timeout_ns = samples[i].idle_ns;
        pair_conn(pair, SP_SERVER)->idle_timeout_ns = samples[i].idle_ns;
        struct sp_stats before[2], after[2];
        for (int role = 0; role < 2; role++)
            sp_conn_stats(pair_conn(pair, (enum sp_role)role), &before[role]);
        (void)pass(pair, 600 * SB_S);
        uint64_t packets = 0;
        for (int role = 0; role < 2; role++) {
            assert_false(sp_conn_is_closed(pair_conn(pair, (enum sp_role)role)));
            sp_conn_stats(pair_conn(pair, (enum sp_role)role), &after[role]);
            packets += after[role].packets_out - before[role].packets_out;
            assert_int_equal(after[role].ptos, 0);
        }
        /* Each PING, and its ACK. */
        assert_in_range(packets, 2 * samples[i].pings - 6, 4 * samples[i].pings + 6);
    }
}

/* It does not come on top of what keeps the connection alive anyway. */
static void nothing_is_sent_while_packets_are_in_flight(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->config.keep_alive_ns = SB_S;
    connect_pair(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_true(sp_conn_alive_deadline_ns(client) != SB_NEVER);
    write_too_much(pair);
    size_t size;
    (void)pair_flush(pair, SP_CLIENT, &size);
    assert_true(sp_conn_alive_deadline_ns(client) == SB_NEVER);
    assert_true(sp_loss_deadline_ns(&client->loss) != SB_NEVER);
}

/* [RFC9000 13.2.1] Nothing else will take its ACK along: so there is no timer for that. */
static void a_ping_after_silence_is_acknowledged_at_once(void **state)
{
    struct conn_pair *pair = *state;
    for (int is_after_silence = 0; is_after_silence < 2; is_after_silence++) {
        pair_init(pair);
        pair->config.ack_delay_ns_max = 25 * SB_MS;
        pair->config.ack_frequency = false; /* else the probe has an IMMEDIATE_ACK frame */
        connect_pair(pair);
        if (is_after_silence)
            (void)pass(pair, 2 * SB_S);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        pair_conn(pair, SP_CLIENT)->app.probe_count = 1;
        pair_carry(pair, SP_CLIENT);
        assert_int_equal(server->app.ack.eliciting_count, 1);
        assert_int_equal(server->app.ack.is_wanted, is_after_silence);
        assert_true(is_after_silence || server->app.ack.deadline_ns > pair->now_ns);
        pair_carry(pair, SP_SERVER);
        assert_int_equal(pair_conn(pair, SP_CLIENT)->loss.app.sent.eliciting_count,
                         !is_after_silence);
    }
}

/* Connections that were made at any moment send their PINGs at moments that they share. */
static void keep_alives_of_many_connections_are_due_together(void **state)
{
    struct conn_pair *pair = *state;
    for (uint64_t i = 0; i < 50; i++) {
        pair_init(pair);
        pair->now_ns += i * 7654321;
        pair->config.keep_alive_ns = 5 * SB_S;
        connect_pair(pair);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        (void)pass(pair, 2 * SB_S); /* nothing of the handshake is waited for */
        uint64_t due_ns = sp_conn_deadline_ns(client);
        assert_int_equal(due_ns, sp_conn_alive_deadline_ns(client));
        assert_int_equal(due_ns % SP_COARSE_NS, 0);
        assert_in_range(due_ns - client->idle_from_ns, 4375 * SB_MS, 5 * SB_S);
        sp_conn_on_deadline(client, due_ns - 1);
        assert_int_equal(client->app.probe_count, 0);
        sp_conn_on_deadline(client, due_ns);
        assert_int_equal(client->app.probe_count, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, a_blocked_sender_says_so_again_and_stays),
        QT_TEST(conn_pair, one_that_has_nothing_to_say_falls_idle),
        QT_TEST(conn_pair, an_idle_timeout_is_never_below_three_ptos),
        QT_TEST(conn_pair, a_ping_keeps_alive_who_asked_for_it),
        QT_TEST(conn_pair, nothing_is_sent_while_packets_are_in_flight),
        QT_TEST(conn_pair, a_ping_after_silence_is_acknowledged_at_once),
        QT_TEST(conn_pair, keep_alives_of_many_connections_are_due_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

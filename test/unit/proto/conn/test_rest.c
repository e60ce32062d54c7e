/* SPDX-License-Identifier: MIT */
/* What an idle connection gives back, and that it is as usable as before. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/conn/alive.h"
#include "proto/conn/memory.h"
#include "proto/conn/rest.h"
#include "test/support/conn_pair.h"

static const uint8_t bytes[5000];

QT_FIXTURE(conn_pair, pair_deinit)

/* Lets time pass.  Datagrams arrive at once, and what they bring is consumed. */
static void pass(struct conn_pair *pair, uint64_t duration_ns)
{
    uint64_t end_ns = pair->now_ns + duration_ns;
    while (pair_pass_some(pair, end_ns)) {
        pair_shuttle(pair);
    }
}

static void connect_and_rest(struct conn_pair *pair)
{
    pair_connect(pair);
    pass(pair, 5 * SB_S);
    assert_true(sp_conn_is_resting(pair_conn(pair, SP_CLIENT)));
    assert_true(sp_conn_is_resting(pair_conn(pair, SP_SERVER)));
}

static uint64_t write_some(struct conn_pair *pair, enum sp_role role)
{
    uint64_t id;
    struct sp_write write = {.data = bytes, .size = sizeof(bytes), .fin = true};
    assert_int_equal(sp_conn_open(pair_conn(pair, role), true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(pair_conn(pair, role), id, &write), SP_DONE);
    return id;
}

static uint64_t bytes_acked(struct conn_pair *pair, enum sp_role role)
{
    return pair_conn(pair, role)->stats.stream_bytes_acked;
}

static void an_idle_connection_rests_and_holds_nothing(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_and_rest(pair);
    for (uint32_t role = 0; role < 2; role++) {
        struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
        assert_int_equal(sp_conn_memory_bytes(conn), pair->pools.conns.object_size);
        assert_int_equal(conn->stores.packets.count, 0);
        assert_int_equal(conn->stores.frames.count, 0);
        assert_int_equal(conn->stores.acks.count, 0);
    }
    assert_int_equal(pair->pools.packets.used_count, 0);
}

/* Its only timers are those that it was asked for. */
static void a_resting_connection_has_no_timer_but_the_idle_timeout(void **state)
{
    struct conn_pair *pair = *state;
    for (int has_timeout = 0; has_timeout < 2; has_timeout++) {
        pair_init(pair);
        pair->config.idle_timeout_ns = has_timeout ? 30 * SB_S : 0;
        connect_and_rest(pair);
        for (uint32_t role = 0; role < 2; role++) {
            const struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
            uint64_t want_ns = has_timeout ? conn->idle_from_ns + 30 * SB_S : SB_NEVER;
            assert_int_equal(sp_conn_deadline_ns(conn), want_ns);
        }
    }
}

static void either_side_wakes_by_sending_or_receiving_and_rests_again(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t role = 0; role < 2; role++) {
        pair_init(pair);
        connect_and_rest(pair);
        for (uint32_t round = 1; round <= 3; round++) {
            (void)write_some(pair, (enum sp_role)role);
            pair_shuttle(pair);
            assert_false(sp_conn_is_resting(pair_conn(pair, SP_CLIENT)));
            assert_false(sp_conn_is_resting(pair_conn(pair, SP_SERVER)));
            pass(pair, 5 * SB_S);
            assert_int_equal(bytes_acked(pair, (enum sp_role)role), round * sizeof(bytes));
            assert_true(sp_conn_is_resting(pair_conn(pair, SP_CLIENT)));
            assert_true(sp_conn_is_resting(pair_conn(pair, SP_SERVER)));
        }
    }
}

static void one_that_has_something_in_flight_does_not_rest(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    (void)write_some(pair, SP_CLIENT);
    for (int i = 0; i < 20; i++) {
        size_t size_max;
        (void)pair_flush(pair, SP_CLIENT, &size_max); /* all is lost */
        pair->now_ns = SB_MAX(pair->now_ns + SB_MS, sp_conn_deadline_ns(client));
        sp_conn_on_deadline(client, pair->now_ns);
        assert_false(sp_conn_is_resting(client));
        if (sp_conn_is_closed(client))
            break;
    }
}

/* Nothing is sent for calls of sp_conn_send() that have nothing to send. */
static void asking_for_a_train_does_not_wake(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_and_rest(pair);
    pair_shuttle(pair);
    assert_true(sp_conn_is_resting(pair_conn(pair, SP_CLIENT)));
    assert_true(sp_conn_is_resting(pair_conn(pair, SP_SERVER)));
}

static void a_forged_packet_wakes_for_a_second_at_most(void **state)
{
    struct conn_pair *pair = *state;
    static const uint8_t ping_frame[] = {0x01};
    pair_init(pair);
    connect_and_rest(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    uint64_t idle_from_ns = server->idle_from_ns;
    struct pair_packet packet;
    /* A packet made by hand is sealed with the client's key. */
    assert_true(sp_keyphase_wake(&pair_conn(pair, SP_CLIENT)->keys));
    pair_make(pair, SP_SERVER, SP_SPACE_APP, ping_frame, sizeof(ping_frame), PAIR_FAULT_TAG,
              &packet);
    pair_deliver(pair, SP_SERVER, &packet);
    assert_false(sp_conn_is_resting(server));
    assert_int_equal(server->idle_from_ns, idle_from_ns);
    pair->now_ns += SP_REST_AFTER_NS + 2 * SP_COARSE_NS;
    sp_conn_on_deadline(server, pair->now_ns);
    assert_true(sp_conn_is_resting(server));
}

/* A packet that comes while there is no memory is lost; what is to be sent waits. */
static void without_memory_it_waits_and_then_goes_on(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_and_rest(pair);
    pair->protect_plan.is_out_of_memory = true;
    (void)write_some(pair, SP_CLIENT);
    pair_shuttle(pair);
    assert_int_equal(bytes_acked(pair, SP_CLIENT), 0);
    assert_true(sp_conn_is_resting(pair_conn(pair, SP_CLIENT)));
    assert_true(sp_conn_deadline_ns(pair_conn(pair, SP_CLIENT)) < pair->now_ns + SB_S);
    pass(pair, SB_S);
    assert_int_equal(bytes_acked(pair, SP_CLIENT), 0);
    pair->protect_plan.is_out_of_memory = false;
    pass(pair, SB_S);
    assert_int_equal(bytes_acked(pair, SP_CLIENT), sizeof(bytes));
}

static void without_memory_for_long_it_ends(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_and_rest(pair);
    pair->protect_plan.is_out_of_memory = true;
    (void)write_some(pair, SP_CLIENT);
    pair_shuttle(pair);
    pass(pair, 2 * SP_MEMORY_PATIENCE_NS);
    assert_true(sp_conn_is_closed(pair_conn(pair, SP_CLIENT)));
}

/* A packet that comes wakes it, and may find no room as the ones before. */
static void waking_ends_no_shortage_of_other_memory(void **state)
{
    struct conn_pair *pair = *state;
    static const uint8_t ping_frame[] = {0x01};
    pair_init(pair);
    connect_and_rest(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    uint64_t since_ns = pair->now_ns;
    sp_conn_note_shortage(server, SP_SHORT_OF_ROOM, since_ns);
    sp_conn_note_shortage(server, SP_SHORT_OF_RECORDS, since_ns);
    assert_true(sp_keyphase_wake(&pair_conn(pair, SP_CLIENT)->keys));
    struct pair_packet packet;
    pair_make(pair, SP_SERVER, SP_SPACE_APP, ping_frame, sizeof(ping_frame), PAIR_FAULT_NONE,
              &packet);
    pair->now_ns += SP_MEMORY_PATIENCE_NS;
    pair_deliver(pair, SP_SERVER, &packet);
    assert_false(sp_conn_is_resting(server));
    assert_int_equal(server->short_since_ns[SP_SHORT_OF_ROOM], since_ns);
    assert_int_equal(server->short_since_ns[SP_SHORT_OF_RECORDS], since_ns);
    assert_int_equal(server->short_since_ns[SP_SHORT_OF_KEYS], SB_NEVER);
}

/* A slow pacer may have no credit yet after a rest of a second. */
static void what_the_pacer_holds_back_leaves_in_time(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_and_rest(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->loss.is_pacing = true;
    server->loss.path->pacer = (struct sp_pacer){
        .rate_bytes_per_s = 100000, .burst_bytes = 20000, .full_at_ns = pair->now_ns + SB_S};
    (void)write_some(pair, SP_SERVER);
    pair_shuttle(pair);
    assert_true(sp_conn_is_resting(server));
    assert_true(sp_conn_deadline_ns(server) <= pair->now_ns + SB_S);
    pass(pair, SB_S);
    assert_int_equal(bytes_acked(pair, SP_SERVER), sizeof(bytes));
}

static void keys_are_updated_after_a_rest(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->config.key_update_packets = 5;
    connect_and_rest(pair);
    for (uint32_t round = 0; round < 10; round++) {
        (void)write_some(pair, SP_CLIENT);
        (void)write_some(pair, SP_SERVER);
        pass(pair, 5 * SB_S);
        assert_true(sp_conn_is_resting(pair_conn(pair, SP_CLIENT)));
    }
    assert_true(pair_conn(pair, SP_CLIENT)->stats.key_updates > 3);
    assert_int_equal(bytes_acked(pair, SP_SERVER), 10 * sizeof(bytes));
}

/* The CONNECTION_CLOSE needs the key, and so does what answers for a closed connection. */
static void a_resting_connection_can_be_closed(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t role = 0; role < 2; role++) {
        pair_init(pair);
        connect_and_rest(pair);
        sp_conn_close(pair_conn(pair, (enum sp_role)role), 7, "", 0, pair->now_ns);
        pair_shuttle(pair);
        assert_true(sp_conn_is_closed(pair_conn(pair, SP_CLIENT)));
        assert_true(sp_conn_is_closed(pair_conn(pair, SP_SERVER)));
    }
}

static void ping(struct conn_pair *pair)
{
    sp_conn_stay_alive(pair_conn(pair, SP_CLIENT), pair->now_ns);
    pair_shuttle(pair);
}

/* No timer of either is due before both rest. */
static void a_ping_after_a_rest_is_acknowledged_and_both_rest_at_once(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_and_rest(pair);
    for (int round = 0; round < 3; round++) {
        struct sp_counters before = pair_conn(pair, SP_CLIENT)->stats;
        uint64_t start_ns = pair->now_ns;
        ping(pair);
        assert_true(pair->now_ns < start_ns + 5 * SB_MS); /* the way there and back */
        for (uint32_t role = 0; role < 2; role++) {
            const struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
            assert_true(sp_conn_is_resting(conn));
            assert_int_equal(sp_conn_memory_bytes(conn), pair->pools.conns.object_size);
            assert_true(sp_conn_deadline_ns(conn) > pair->now_ns + SP_REST_AFTER_NS);
        }
        const struct sp_counters *after = &pair_conn(pair, SP_CLIENT)->stats;
        assert_int_equal(after->packets_out, before.packets_out + 1);
        assert_int_equal(after->packets_in, before.packets_in + 1);
        pass(pair, 5 * SB_S);
    }
}

/* Each of them would wake it. */
static void pings_that_come_one_by_one_do_not_let_it_rest(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    connect_and_rest(pair);
    ping(pair);
    pair->now_ns += SP_REST_AFTER_NS / 4;
    ping(pair);
    assert_false(sp_conn_is_resting(pair_conn(pair, SP_SERVER)));
    pass(pair, SP_REST_AFTER_NS / 4);
    assert_false(sp_conn_is_resting(pair_conn(pair, SP_CLIENT)));
    pass(pair, 5 * SB_S);
    assert_true(sp_conn_is_resting(pair_conn(pair, SP_CLIENT)));
    assert_true(sp_conn_is_resting(pair_conn(pair, SP_SERVER)));
}

/* The response goes along with the ACK. */
static void a_request_after_a_rest_is_acknowledged_after_the_delay(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_write write = {.data = bytes, .size = 10, .fin = true};
    uint64_t id;
    pair_init(pair);
    connect_and_rest(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    const struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
    pair_carry(pair, SP_CLIENT);
    assert_false(sp_conn_is_resting(server));
    assert_false(server->app.ack.is_wanted);
    assert_true(server->app.ack.deadline_ns > pair->now_ns);
    assert_true(server->app.ack.deadline_ns < pair->now_ns + SB_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, an_idle_connection_rests_and_holds_nothing),
        QT_TEST(conn_pair, a_resting_connection_has_no_timer_but_the_idle_timeout),
        QT_TEST(conn_pair, either_side_wakes_by_sending_or_receiving_and_rests_again),
        QT_TEST(conn_pair, one_that_has_something_in_flight_does_not_rest),
        QT_TEST(conn_pair, asking_for_a_train_does_not_wake),
        QT_TEST(conn_pair, a_forged_packet_wakes_for_a_second_at_most),
        QT_TEST(conn_pair, a_ping_after_a_rest_is_acknowledged_and_both_rest_at_once),
        QT_TEST(conn_pair, pings_that_come_one_by_one_do_not_let_it_rest),
        QT_TEST(conn_pair, a_request_after_a_rest_is_acknowledged_after_the_delay),
        QT_TEST(conn_pair, without_memory_it_waits_and_then_goes_on),
        QT_TEST(conn_pair, without_memory_for_long_it_ends),
        QT_TEST(conn_pair, waking_ends_no_shortage_of_other_memory),
        QT_TEST(conn_pair, what_the_pacer_holds_back_leaves_in_time),
        QT_TEST(conn_pair, keys_are_updated_after_a_rest),
        QT_TEST(conn_pair, a_resting_connection_can_be_closed),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

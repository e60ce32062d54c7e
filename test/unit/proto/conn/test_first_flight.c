/* SPDX-License-Identifier: MIT */
/* What gets a handshake over the loss of its first flights, and what packets that wait for their
 * keys do to the round trip. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "test/support/conn_pair.h"

enum { FLIGHT_MAX = 8 };

struct flight {
    struct pair_packet packets[FLIGHT_MAX];
    uint32_t count;
};

QT_FIXTURE(conn_pair, pair_deinit)

static void take_flight(struct conn_pair *pair, enum sp_role from, struct flight *ret)
{
    ret->count = 0;
    while (ret->count < FLIGHT_MAX && pair_take(pair, from, &ret->packets[ret->count]))
        ret->count++;
}

static void to_deadline(struct conn_pair *pair, enum sp_role role)
{
    struct sp_conn *conn = pair_conn(pair, role);
    pair->now_ns = SB_MAX(pair->now_ns, sp_conn_deadline_ns(conn));
    sp_conn_on_deadline(conn, pair->now_ns);
}

/* [RFC9000 17.2.2, RFC9002 6.2.4] Whichever of the probes arrives first, a server can start. */
static void each_probe_carries_the_client_hello(void **state)
{
    struct conn_pair *pair = *state;
    struct flight flight;
    for (uint32_t pto = 1; pto <= 3; pto++)
        for (uint32_t arrives = 0; arrives < 2; arrives++) {
            pair_init(pair);
            pair_start(pair);
            take_flight(pair, SP_CLIENT, &flight);
            for (uint32_t i = 0; i < pto; i++) {
                to_deadline(pair, SP_CLIENT);
                take_flight(pair, SP_CLIENT, &flight);
            }
            assert_int_equal(flight.count, 2);
            pair_deliver(pair, SP_SERVER, &flight.packets[arrives]);
            assert_non_null(sp_conn_write_key(pair_conn(pair, SP_SERVER), SP_SPACE_HANDSHAKE));
        }
}

/* The server's probes: the ServerHello, and the certificate of the other space with it. */
static void each_probe_of_the_server_carries_its_flight(void **state)
{
    struct conn_pair *pair = *state;
    struct flight flight;
    for (uint32_t arrives = 0; arrives < 2; arrives++) {
        pair_init(pair);
        pair->tls_plan.certificate_size = 200;
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        take_flight(pair, SP_SERVER, &flight);
        assert_int_equal(flight.count, 1);
        to_deadline(pair, SP_SERVER);
        take_flight(pair, SP_SERVER, &flight);
        assert_int_equal(flight.count, 2);
        pair_deliver(pair, SP_CLIENT, &flight.packets[arrives]);
        assert_true(pair_conn(pair, SP_CLIENT)->handshake_state >= SP_HANDSHAKE_COMPLETE);
    }
}

/* The server has answered with a flight of several datagrams, which are in `*ret`. */
static void begin_with_long_flight(struct conn_pair *pair, struct flight *ret)
{
    pair_init(pair);
    pair->tls_plan.certificate_size = 2000;
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    take_flight(pair, SP_SERVER, ret);
    assert_true(ret->count > 1);
}

/* [RFC9002 6.2.3] The client's PTO is enough, the server's need not come. */
static void a_repeated_client_hello_brings_the_flight_again(void **state)
{
    struct conn_pair *pair = *state;
    struct flight flight;
    begin_with_long_flight(pair, &flight);

    to_deadline(pair, SP_CLIENT);
    pair_carry(pair, SP_CLIENT);
    pair_carry(pair, SP_SERVER);
    assert_true(pair_conn(pair, SP_CLIENT)->handshake_state >= SP_HANDSHAKE_COMPLETE);
}

/* The amplification limit bounds the bytes; this bounds the work of a server that may send. */
static void the_flight_is_not_sent_for_each_client_hello(void **state)
{
    struct conn_pair *pair = *state;
    struct flight hello, flight;
    pair_init(pair);
    pair->config.handshake_timeout_ns = pair->config.idle_timeout_ns = 0;
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    take_flight(pair, SP_SERVER, &flight);
    const struct sp_conn *server = pair_conn(pair, SP_SERVER);
    uint64_t first_ns = pair->now_ns;
    uint32_t resends = 0;
    for (uint32_t i = 0; i < 12; i++) {
        to_deadline(pair, SP_CLIENT);
        take_flight(pair, SP_CLIENT, &hello);
        pair->now_ns = first_ns + i * 20 * SB_MS; /* as if it came so fast */
        uint64_t sent_before = server->loss.spaces[SP_SPACE_INITIAL]->last_eliciting_ns;
        for (uint32_t k = 0; k < hello.count; k++)
            pair_deliver(pair, SP_SERVER, &hello.packets[k]);
        take_flight(pair, SP_SERVER, &flight);
        resends += server->loss.spaces[SP_SPACE_INITIAL]->last_eliciting_ns != sent_before;
    }
    assert_int_equal(resends, SP_FLIGHT_RESENDS_MAX);
}

/* Anybody can send an Initial in anybody's name: what it takes comes back, whatever is configured.
 */
static void a_handshake_in_a_strangers_name_ends_by_itself(void **state)
{
    struct conn_pair *pair = *state;
    struct flight flight;
    for (uint32_t is_proven = 0; is_proven < 2; is_proven++) {
        pair_init(pair);
        pair->config.handshake_timeout_ns = pair->config.idle_timeout_ns = 0;
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        const uint64_t end_ns = pair->now_ns + 60 * SB_S;
        server->path->is_valid = is_proven == 1; /* as by a token */
        while (!sp_conn_is_closed(server) && sp_conn_deadline_ns(server) < end_ns) {
            pair->now_ns = SB_MAX(pair->now_ns, sp_conn_deadline_ns(server));
            sp_conn_on_deadline(server, pair->now_ns);
            take_flight(pair, SP_SERVER, &flight); /* nobody answers */
        }
        assert_int_equal(sp_conn_is_closed(server), is_proven == 0);
        assert_int_equal(sp_conn_is_drained(server), is_proven == 0);
    }
}

/* [RFC9000 13.2.5] The first datagram of the server's flight comes 100 ms after the others, which
 * wait for its keys. */
static void the_wait_for_keys_is_no_part_of_the_round_trip(void **state)
{
    struct conn_pair *pair = *state;
    struct flight flight;
    begin_with_long_flight(pair, &flight);
    pair->now_ns += 20 * SB_MS;
    for (uint32_t i = 1; i < flight.count; i++)
        pair_deliver(pair, SP_CLIENT, &flight.packets[i]);
    assert_true(pair_conn(pair, SP_CLIENT)->handshake->undecryptable_count > 0);
    pair->now_ns += 100 * SB_MS;
    pair_deliver(pair, SP_CLIENT, &flight.packets[0]);

    const struct sp_ack *ack = &pair_conn(pair, SP_CLIENT)->spaces[SP_SPACE_HANDSHAKE]->ack;
    assert_int_equal(pair->now_ns - ack->largest_at_ns, 100 * SB_MS);
}

/* The client's Finished comes 100 ms after its 1-RTT packets, which the server acknowledges then.
 */
static void the_wait_for_the_peers_keys_is_none_either(void **state)
{
    struct conn_pair *pair = *state;
    struct flight flight;
    pair_init(pair);
    pair_start(pair);
    pair->now_ns += 10 * SB_MS;
    pair_carry(pair, SP_CLIENT);
    pair->now_ns += 10 * SB_MS;
    pair_carry(pair, SP_SERVER);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    assert_int_equal(client->handshake_state, SP_HANDSHAKE_COMPLETE);
    uint64_t before_ns = client->loss.path->rtt.smoothed_ns;

    take_flight(pair, SP_CLIENT, &flight); /* the Finished, with the first 1-RTT packet */
    uint64_t id;
    struct sp_write write = {.data = "x", .size = 1};
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(client, id, &write), SP_DONE);
    struct flight early;
    take_flight(pair, SP_CLIENT, &early);
    assert_true(early.count > 0);
    pair->now_ns += 10 * SB_MS;
    for (uint32_t i = 0; i < early.count; i++)
        pair_deliver(pair, SP_SERVER, &early.packets[i]);
    pair->now_ns += 200 * SB_MS;
    for (uint32_t i = 0; i < flight.count; i++)
        pair_deliver(pair, SP_SERVER, &flight.packets[i]);
    pair->now_ns += 10 * SB_MS;
    pair_carry(pair, SP_SERVER);
    assert_int_equal(client->loss.app.sent.eliciting_count, 0); /* acknowledged */
    assert_in_range(client->loss.path->rtt.smoothed_ns, 1, before_ns + 5 * SB_MS);
}

/* The ACKs in such packets are older than they look, too. */
static void an_ack_that_waited_for_keys_counts_from_its_arrival(void **state)
{
    struct conn_pair *pair = *state;
    struct flight flight, answers;
    pair_init(pair);
    pair->config.datagram_size_max = SP_DATAGRAM_SIZE_MIN; /* the last packet is no probe */
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    pair->now_ns += 10 * SB_MS;
    pair_carry(pair, SP_SERVER);
    take_flight(pair, SP_CLIENT, &flight); /* the Finished is late */
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    pair->now_ns += 10 * SB_MS;
    for (uint32_t i = 0; i < flight.count; i++)
        pair_deliver(pair, SP_SERVER, &flight.packets[i]);
    take_flight(pair, SP_SERVER, &answers);
    assert_true(answers.count > 0);
    uint64_t sent_ns = pair->now_ns;
    pair->now_ns += 20 * SB_MS;
    for (uint32_t i = 0; i < answers.count; i++)
        pair_deliver(pair, SP_CLIENT, &answers.packets[i]);

    /* By hand: a packet of the client that waits for 300 ms at the server. */
    pair->now_ns += 5 * SB_MS;
    struct pair_packet ack;
    size_t size;
    (void)pair_flush(pair, SP_CLIENT, &size);
    uint8_t frame[] = {0x02, (uint8_t)(server->loss.app.sent.next_pn - 1), 0, 0, 0};
    pair_make(pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame), PAIR_FAULT_NONE, &ack);
    uint64_t arrived_ns = pair->now_ns;
    pair->now_ns += 300 * SB_MS;
    struct sp_datagram datagram = {
        .data = ack.data,
        .size = ack.size,
        .path = {.local = server->path->path.local, .remote = server->path->path.remote},
        .waited_ns = pair->now_ns - arrived_ns,
    };
    sp_conn_receive(server, &datagram, 1, pair->now_ns);
    assert_int_equal(server->loss.path->rtt.latest_ns, arrived_ns - sent_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, each_probe_carries_the_client_hello),
        QT_TEST(conn_pair, each_probe_of_the_server_carries_its_flight),
        QT_TEST(conn_pair, a_repeated_client_hello_brings_the_flight_again),
        QT_TEST(conn_pair, the_flight_is_not_sent_for_each_client_hello),
        QT_TEST(conn_pair, a_handshake_in_a_strangers_name_ends_by_itself),
        QT_TEST(conn_pair, the_wait_for_keys_is_no_part_of_the_round_trip),
        QT_TEST(conn_pair, the_wait_for_the_peers_keys_is_none_either),
        QT_TEST(conn_pair, an_ack_that_waited_for_keys_counts_from_its_arrival),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What gets a handshake over the loss of its first flights. */

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

/* [RFC9002 6.2.3] The client's PTO is enough, the server's need not come. */
static void a_repeated_client_hello_brings_the_flight_again(void **state)
{
    struct conn_pair *pair = *state;
    struct flight flight;
    pair_init(pair);
    pair->tls_plan.certificate_size = 2000;
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    take_flight(pair, SP_SERVER, &flight);
    assert_true(flight.count > 1);

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, each_probe_carries_the_client_hello),
        QT_TEST(conn_pair, each_probe_of_the_server_carries_its_flight),
        QT_TEST(conn_pair, a_repeated_client_hello_brings_the_flight_again),
        QT_TEST(conn_pair, the_flight_is_not_sent_for_each_client_hello),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

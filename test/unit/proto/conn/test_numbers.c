/* SPDX-License-Identifier: MIT */
/* Packet numbers that run out, or run away from a peer that acknowledges nothing. */

#include "test/support/qt.h"

#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

/* Gives `to` a PING and a PATH_CHALLENGE: it has something to send. */
static void ask(struct conn_pair *pair, enum sp_role to)
{
    static const uint8_t frames[] = "\x01\x1a"
                                    "12345678";
    pair_inject(pair, to, SP_SPACE_APP, frames, sizeof(frames) - 1, PAIR_FAULT_NONE);
}

/* [RFC9000 17.1] A number that far ahead could not be told apart any more. */
static void silence_over_two_to_the_31_packets_ends_the_connection(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->loss.app.sent.next_pn += UINT64_C(1) << 31;
    ask(pair, SP_SERVER);
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 0);
    sp_conn_on_deadline(server, pair->now_ns);
    assert_true(sp_conn_is_closed(server));
}

/* [RFC9000 12.3] Not even a CONNECTION_CLOSE has a number left. */
static void the_last_packet_number_ends_the_connection_in_silence(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->loss.app.sent.next_pn = SP_PN_MAX - SP_TRAIN_COUNT_MAX;
    server->loss.app.largest_acked = server->loss.app.sent.next_pn - 1;
    ask(pair, SP_SERVER);
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 0);
    sp_conn_on_deadline(server, pair->now_ns);
    assert_true(sp_conn_is_closed(server));
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, silence_over_two_to_the_31_packets_ends_the_connection),
        QT_TEST(conn_pair, the_last_packet_number_ends_the_connection_in_silence),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

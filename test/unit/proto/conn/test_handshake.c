/* SPDX-License-Identifier: MIT */
/* What only the handshake needs is given back when it is over. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "test/support/conn_pair.h"

static uint32_t handshakes(const struct conn_pair *pair)
{
    return pair->pools.handshakes.used_count;
}

QT_FIXTURE(conn_pair, pair_deinit)

static void memory_halves_when_the_handshake_is_confirmed(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    assert_int_equal(handshakes(pair), 1);
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(handshakes(pair), 2);
    pair_shuttle(pair);
    assert_int_equal(handshakes(pair), 0);
    for (uint32_t role = 0; role < 2; role++) {
        const struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
        assert_true(conn->handshake_state >= SP_HANDSHAKE_CONFIRMED);
        assert_null(conn->handshake);
        assert_null(conn->spaces[SP_SPACE_INITIAL]);
        assert_null(conn->spaces[SP_SPACE_HANDSHAKE]);
        assert_null(conn->loss.spaces[SP_SPACE_INITIAL]);
        assert_null(conn->loss.spaces[SP_SPACE_HANDSHAKE]);
        sp_conn_check(conn);
    }
    print_message("a connection: %zu bytes, and %zu until it is confirmed\n",
                  sizeof(struct sp_conn), sizeof(struct sp_handshake));
    assert_in_range(sizeof(struct sp_conn), 1, 4096);
    assert_in_range(sizeof(struct sp_handshake), 1, 4096);
}

/* Whoever closes still needs its keys to answer; the peer needs nothing more. */
static void end_before_that_gives_it_back(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t role = 0; role < 2; role++) {
        pair_init(pair);
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        assert_int_equal(handshakes(pair), 2);

        struct sp_conn *closer = pair_conn(pair, (enum sp_role)role);
        struct sp_conn *peer = pair_conn(pair, role == SP_CLIENT ? SP_SERVER : SP_CLIENT);
        sp_conn_close(closer, 1, NULL, 0, pair->now_ns);
        assert_non_null(closer->handshake);
        pair_carry(pair, (enum sp_role)role);
        assert_non_null(closer->handshake);
        assert_true(sp_conn_is_closed(peer));
        assert_null(peer->handshake);

        pair->now_ns = sp_conn_deadline_ns(closer);
        sp_conn_on_deadline(closer, pair->now_ns);
        assert_null(closer->handshake);
        assert_int_equal(handshakes(pair), 0);
    }
}

static void late_packets_of_the_handshake_are_dropped(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t space = 0; space < SP_SPACE_APP; space++) {
        struct pair_packet packet;
        const struct pair_packet *packets[] = {&packet};
        pair_init(pair);
        pair_start(pair);
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        pair_make(pair, SP_CLIENT, (enum sp_space)space, (const uint8_t *)"\x01", 1,
                  PAIR_FAULT_NONE, &packet);
        pair_shuttle(pair);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        assert_null(client->handshake);
        const struct sp_stats before = client->stats;
        pair_give(pair, SP_CLIENT, packets, 1);
        assert_true(client->stats.packets_dropped > before.packets_dropped);
        assert_int_equal(client->stats.packets_in, before.packets_in);
        assert_false(sp_conn_is_closed(client));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, memory_halves_when_the_handshake_is_confirmed),
        QT_TEST(conn_pair, end_before_that_gives_it_back),
        QT_TEST(conn_pair, late_packets_of_the_handshake_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

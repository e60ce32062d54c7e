/* SPDX-License-Identifier: MIT */
/* The fixed bit and the spin bit of a live connection. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/conn/header_bits.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

/* Sends something of `from` that is acknowledged, and returns the first byte of that packet. */
static uint8_t send_one(struct conn_pair *pair, enum sp_role from, bool is_delivered)
{
    struct sp_conn *conn = pair_conn(pair, from);
    struct pair_packet packet;
    conn->app.probe_count = 1;
    assert_true(pair_take(pair, from, &packet));
    if (is_delivered)
        pair_deliver(pair, from == SP_CLIENT ? SP_SERVER : SP_CLIENT, &packet);
    return packet.data[0];
}

/* [RFC9287 3, 3.1] */
static void packets_lack_the_fixed_bit_if_both_sides_agree(void **state)
{
    struct conn_pair *pair = *state;
    for (int greases = 0; greases < 2; greases++) {
        pair_init(pair);
        pair->config.grease = greases;
        pair_connect(pair);
        uint32_t with_count = 0;
        for (int i = 0; i < 100; i++)
            with_count += (send_one(pair, SP_CLIENT, true) & SP_HEADER_FIXED) != 0;
        if (greases)
            assert_in_range(with_count, 10, 90);
        else
            assert_int_equal(with_count, 100);
        assert_int_equal(pair_conn(pair, SP_SERVER)->state, SP_CONN_OPEN);
    }
}

/* [RFC9287 3.1] Before its parameters are known a peer gets the bit. */
static void initial_packets_have_the_fixed_bit(void **state)
{
    struct conn_pair *pair = *state;
    for (int i = 0; i < 20; i++) {
        struct pair_packet packet;
        pair_init(pair);
        pair->ends[SP_CLIENT].random += (uint64_t)i;
        pair_start(pair);
        while (pair_take(pair, SP_CLIENT, &packet)) {
            assert_int_equal(packet.data[0] & SP_HEADER_FIXED, SP_HEADER_FIXED);
            pair_deliver(pair, SP_SERVER, &packet);
        }
        assert_true(pair_take(pair, SP_SERVER, &packet));
        assert_int_equal(packet.data[0] & SP_HEADER_FIXED, SP_HEADER_FIXED);
    }
}

/* [RFC9000 17.2, 17.3.1, RFC9287 3] */
static void packets_without_the_fixed_bit_need_an_agreement(void **state)
{
    struct conn_pair *pair = *state;
    for (int greases = 0; greases < 2; greases++) {
        struct pair_packet packet;
        pair_init(pair);
        pair->config.grease = greases;
        pair_start(pair);
        struct sp_conn *client = pair_conn(pair, SP_CLIENT);
        pair_carry(pair, SP_CLIENT);
        pair_carry(pair, SP_SERVER);
        struct sp_conn *server = pair_conn(pair, SP_SERVER);
        client->bits.fixed = 0; /* of its Handshake packet, and later */
        uint64_t in = server->stats.packets_in;
        assert_true(pair_take(pair, SP_CLIENT, &packet));
        pair_deliver(pair, SP_SERVER, &packet);
        assert_true((server->stats.packets_in > in + 1) == greases);
        client->bits.fixed = UINT32_MAX;
        while (client->handshake_state < SP_HANDSHAKE_CONFIRMED) {
            pair->now_ns = SB_MAX(pair->now_ns, sp_conn_deadline_ns(client));
            sp_conn_on_deadline(client, pair->now_ns);
            pair_shuttle(pair);
        }

        client->bits.fixed = 0;
        in = server->stats.packets_in;
        (void)send_one(pair, SP_CLIENT, true);
        assert_int_equal(server->stats.packets_in - in, greases);
    }
}

/* [RFC9000 17.4] The server returns what it gets, the client the opposite. */
static void the_spin_bit_spins(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    for (uint32_t role = 0; role < 2; role++)
        pair_conn(pair, (enum sp_role)role)->bits.spins = true;
    pair_conn(pair, SP_CLIENT)->bits.spin = pair_conn(pair, SP_SERVER)->bits.spin = 0;
    uint8_t want = 0;
    for (int i = 0; i < 10; i++) {
        for (int k = 0; k < 3; k++)
            assert_int_equal(send_one(pair, SP_CLIENT, true) & SP_HEADER_SPIN, want);
        assert_int_equal(send_one(pair, SP_SERVER, true) & SP_HEADER_SPIN, want);
        want ^= SP_HEADER_SPIN;
    }
}

/* [RFC9000 17.4] Only a packet with a larger number than all before. */
static void late_packets_do_not_turn_it(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet late;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->bits.spins = true;
    client->bits.spins = false;
    client->bits.spin = UINT32_MAX;
    client->app.probe_count = 1;
    assert_true(pair_take(pair, SP_CLIENT, &late));
    client->bits.spin = 0;
    (void)send_one(pair, SP_CLIENT, true);
    assert_int_equal(server->bits.spin, 0);
    pair_deliver(pair, SP_SERVER, &late);
    assert_int_equal(server->bits.spin, 0);
    client->bits.spin = UINT32_MAX;
    (void)send_one(pair, SP_CLIENT, true);
    assert_int_equal(server->bits.spin, UINT32_MAX);
}

/* [RFC9000 17.4] */
static void a_new_cid_begins_with_0(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    client->bits.spins = true;
    client->bits.spin = UINT32_MAX;
    assert_int_equal(send_one(pair, SP_CLIENT, true) & SP_HEADER_SPIN, SP_HEADER_SPIN);
    client->bits.spin = UINT32_MAX;
    client->remote_ids.active = (client->remote_ids.active + 1) % SP_CIDS_MAX;
    assert_true(client->remote_ids.entries[client->remote_ids.active].is_used);
    assert_int_equal(send_one(pair, SP_CLIENT, true) & SP_HEADER_SPIN, 0);
}

/* [RFC9000 17.4] It is random then, and the peer's changes nothing. */
static void the_spin_bit_can_be_disabled(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->config.spin_bit = false;
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    const uint32_t word = server->bits.spin;
    uint32_t set_count = 0;
    for (int i = 0; i < 100; i++) {
        set_count += (send_one(pair, SP_CLIENT, true) & SP_HEADER_SPIN) != 0;
        assert_int_equal(server->bits.spin, word);
    }
    assert_in_range(set_count, 10, 90);
}

/* [RFC9000 17.4] */
static void one_connection_in_sixteen_does_not_spin(void **state)
{
    struct conn_pair *pair = *state;
    uint32_t off_count = 0;
    for (uint32_t i = 0; i < 800; i++) {
        pair_init(pair);
        pair->ends[SP_CLIENT].random = 7777 + 100 * (uint64_t)i;
        pair_start(pair);
        off_count += !pair_conn(pair, SP_CLIENT)->bits.spins;
    }
    assert_in_range(off_count, 20, 90);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, packets_lack_the_fixed_bit_if_both_sides_agree),
        QT_TEST(conn_pair, initial_packets_have_the_fixed_bit),
        QT_TEST(conn_pair, packets_without_the_fixed_bit_need_an_agreement),
        QT_TEST(conn_pair, the_spin_bit_spins),
        QT_TEST(conn_pair, late_packets_do_not_turn_it),
        QT_TEST(conn_pair, a_new_cid_begins_with_0),
        QT_TEST(conn_pair, the_spin_bit_can_be_disabled),
        QT_TEST(conn_pair, one_connection_in_sixteen_does_not_spin),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

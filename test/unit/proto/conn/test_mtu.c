/* SPDX-License-Identifier: MIT */
/* How a connection finds out what datagrams the path takes, and what it does when that changes:
 * RFC 9000, Sections 14.2 to 14.4. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "test/support/conn_pair.h"

enum { LARGE = 1452, SMALL = 1200, ETHERNET = 1472 };

static const uint8_t bytes[100000];

QT_FIXTURE(conn_pair, pair_deinit)

static struct sp_conn *client_of(struct conn_pair *pair)
{
    return pair_conn(pair, SP_CLIENT);
}

static void start_with(struct conn_pair *pair, size_t datagram_size_max)
{
    pair_init(pair);
    pair->config.datagram_size_max = datagram_size_max;
    pair->config.streams_uni_max = pair->config.streams_local_max = 1000;
    pair->config.conn_window_bytes = pair->config.conn_window_bytes_max = 16 << 20;
    pair_start(pair);
}

static void start(struct conn_pair *pair)
{
    start_with(pair, LARGE);
}

/* Carries datagrams of up to `mtu` bytes for `duration_ns`, on a path of 20 ms.  Returns the size
 * of the largest that was sent. */
static size_t run(struct conn_pair *pair, size_t mtu, uint64_t duration_ns)
{
    uint64_t end_ns = pair->now_ns + duration_ns;
    size_t largest = 0;
    while (pair->now_ns < end_ns) {
        for (uint32_t role = 0; role < 2; role++) {
            struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
            struct pair_packet packet;
            if (conn == NULL)
                continue;
            if (sp_conn_deadline_ns(conn) <= pair->now_ns)
                sp_conn_on_deadline(conn, pair->now_ns);
            pair_pull(pair, (enum sp_role)role);
            while (pair_take(pair, (enum sp_role)role, &packet)) {
                largest = SB_MAX(largest, packet.size);
                if (packet.size <= mtu)
                    pair_deliver(pair, role == SP_CLIENT ? SP_SERVER : SP_CLIENT, &packet);
            }
            pair->now_ns += 10 * SB_MS;
        }
    }
    return largest;
}

static void connect_pair(struct conn_pair *pair)
{
    start(pair);
    run(pair, LARGE, SB_S);
    assert_true(client_of(pair)->handshake_state >= SP_HANDSHAKE_CONFIRMED);
    assert_int_equal(client_of(pair)->datagram_size, LARGE);
    assert_int_equal(pair_conn(pair, SP_SERVER)->datagram_size, LARGE);
}

static void write_on_new_stream(struct conn_pair *pair, size_t size)
{
    uint64_t id;
    struct sp_write write = {.data = bytes, .size = size, .fin = true};
    assert_int_equal(sp_conn_open(client_of(pair), true, &id), SP_DONE);
    assert_int_equal(sp_conn_write(client_of(pair), id, &write), SP_DONE);
}

/* Writes on `*id`, which it opens if it is 0. */
static void write_more(struct conn_pair *pair, uint64_t *id, size_t size)
{
    struct sp_write write = {.data = bytes, .size = size};
    if (*id == 0)
        assert_int_equal(sp_conn_open(client_of(pair), true, id), SP_DONE);
    assert_int_equal(sp_conn_write(client_of(pair), *id, &write), SP_DONE);
}

/* [RFC9000 14.2] */
static void large_datagrams_wait_for_a_proof(void **state)
{
    struct conn_pair *pair = *state;
    struct pair_packet packet;
    start(pair);
    pair_carry(pair, SP_CLIENT);
    pair_carry(pair, SP_SERVER);
    write_on_new_stream(pair, sizeof(bytes));
    uint32_t large_count = 0;
    while (pair_take(pair, SP_CLIENT, &packet)) {
        large_count += packet.size > SMALL;
        pair_deliver(pair, SP_SERVER, &packet);
    }
    assert_int_equal(large_count, 1); /* the probe */
    assert_int_equal(client_of(pair)->datagram_size, SMALL);
    pair_carry(pair, SP_SERVER);
    assert_int_equal(client_of(pair)->datagram_size, LARGE);
    assert_int_equal(client_of(pair)->loss.path->cc.datagram_bytes, LARGE);
}

/* Delivers all that `from` sends.  Returns how many datagrams of it were large. */
static uint32_t carry_all(struct conn_pair *pair, enum sp_role from)
{
    struct pair_packet packet;
    uint32_t large_count = 0;
    while (pair_take(pair, from, &packet)) {
        large_count += packet.size > SMALL;
        pair_deliver(pair, from == SP_CLIENT ? SP_SERVER : SP_CLIENT, &packet);
    }
    return large_count;
}

/* Most of what is opened only to ask one small question never sends a full datagram. */
static void a_handshake_alone_sends_no_probe(void **state)
{
    struct conn_pair *pair = *state;
    start(pair);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(carry_all(pair, SP_CLIENT), 0);
        assert_int_equal(pair_conn(pair, SP_SERVER)->handshake_state >= SP_HANDSHAKE_CONFIRMED, i);
        assert_int_equal(client_of(pair)->handshake_state >= SP_HANDSHAKE_COMPLETE, i);
        assert_int_equal(carry_all(pair, SP_SERVER), 0);
    }
    assert_true(client_of(pair)->handshake_state >= SP_HANDSHAKE_CONFIRMED);
    assert_int_equal(carry_all(pair, SP_CLIENT), 1); /* it lives on */
    pair->now_ns += SB_S;
    sp_conn_on_deadline(client_of(pair), pair->now_ns); /* a delayed ACK, if one is due */
    (void)carry_all(pair, SP_CLIENT);
    assert_int_equal(carry_all(pair, SP_SERVER), 1);
}

/* One that asks for nothing more than 1,200 bytes gets nothing more. */
static void a_peer_that_takes_no_more_gets_no_probe(void **state)
{
    struct conn_pair *pair = *state;
    start_with(pair, SMALL);
    run(pair, LARGE, SB_S);
    write_on_new_stream(pair, sizeof(bytes));
    assert_int_equal(run(pair, LARGE, SB_S), SMALL);
    assert_false(client_of(pair)->path->pmtu.is_prepared);
    assert_false(pair_conn(pair, SP_SERVER)->path->pmtu.is_prepared);
}

/* What only receives sends no full datagram: its probe goes with the first ACK. */
static void a_server_that_only_receives_sends_its_probe(void **state)
{
    struct conn_pair *pair = *state;
    start(pair);
    pair_carry(pair, SP_CLIENT);
    pair_carry(pair, SP_SERVER);
    write_on_new_stream(pair, sizeof(bytes));
    run(pair, LARGE, SB_S);
    assert_int_equal(pair_conn(pair, SP_SERVER)->datagram_size, LARGE);
    assert_int_equal(client_of(pair)->datagram_size, LARGE);
}

/* The ACK of 0-RTT packets comes with the server's first flight. */
static void a_handshake_with_0_rtt_alone_sends_no_probe_of_the_client(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair->config.datagram_size_max = LARGE;
    pair->tls_plan.early = QS_EARLY_ACCEPT;
    pair_connect(pair);
    pair_end(pair);
    pair_start(pair);
    write_on_new_stream(pair, 100);
    pair_carry(pair, SP_CLIENT);
    pair_carry(pair, SP_SERVER);
    assert_int_equal(client_of(pair)->handshake_state, SP_HANDSHAKE_COMPLETE);
    assert_true(client_of(pair)->loss.app.largest_acked != SB_VARINT_NONE);
    assert_int_equal(carry_all(pair, SP_CLIENT), 0);
}

/* [RFC9000 14.4] */
static void the_loss_of_a_probe_is_no_congestion(void **state)
{
    struct conn_pair *pair = *state;
    start(pair);
    run(pair, SMALL, SB_S);
    uint64_t cwnd = client_of(pair)->loss.path->cc.cwnd_bytes;
    for (int i = 0; i < 50; i++) {
        write_on_new_stream(pair, 100);
        run(pair, SMALL, 100 * SB_MS);
    }
    const struct sp_conn *client = client_of(pair);
    assert_true(client->loss.lost_count >= 3);
    assert_int_equal(client->path->pmtu.size, SMALL);
    assert_true(client->loss.path->cc.cwnd_bytes >= cwnd);
    assert_int_equal(client->stats.ptos, 0);
    assert_true(sp_cc_is_in_slow_start(&client->loss.path->cc));
}

/* Each message is a large packet and a small one, and the small ones are acknowledged: neither the
 * idle timeout nor a count of PTOs would ever notice. */
static void messages_get_through_a_path_that_shrinks(void **state)
{
    struct conn_pair *pair = *state;
    connect_pair(pair);
    for (int i = 0; i < 20; i++) {
        write_on_new_stream(pair, 2000);
        run(pair, 1300, 20 * SB_MS);
    }
    run(pair, 1300, 2 * SB_S);
    assert_in_range(client_of(pair)->datagram_size, SMALL, 1300);
    assert_int_equal(client_of(pair)->loss.path->cc.in_flight_bytes, 0);
    struct sp_stats stats;
    sp_conn_stats(client_of(pair), &stats);
    assert_int_equal(stats.stream_bytes_acked, 20 * 2000);
    assert_in_range(stats.datagram_bytes, SMALL, 1300);
    assert_int_equal(stats.mtu_fallbacks, 1);
}

static void a_transfer_gets_through_a_path_that_shrinks(void **state)
{
    struct conn_pair *pair = *state;
    connect_pair(pair);
    write_on_new_stream(pair, sizeof(bytes));
    run(pair, 1300, 3 * SB_S);
    assert_in_range(client_of(pair)->datagram_size, 1252, 1300);
    assert_int_equal(client_of(pair)->stats.stream_bytes_acked, sizeof(bytes));
    assert_int_equal(client_of(pair)->stats.mtu_fallbacks, 1);
}

/* One message at a time: two packets in flight are all that there is to find it out with. */
static void a_single_message_gets_through_as_well(void **state)
{
    struct conn_pair *pair = *state;
    connect_pair(pair);
    write_on_new_stream(pair, 2000);
    run(pair, 1300, 3 * SB_S);
    assert_int_equal(client_of(pair)->stats.stream_bytes_acked, 2000);
}

/* [RFC9000 14.3] The first PTO may mean an ordinary loss, the second may not.  One probe of it is
 * large and goes first: if only the small one is acknowledged, size is what matters. */
static void the_second_pto_sends_a_large_probe_and_a_small_one(void **state)
{
    struct conn_pair *pair = *state;
    connect_pair(pair);
    write_on_new_stream(pair, sizeof(bytes));
    struct sp_conn *client = client_of(pair);
    client->rest_at_ns = SB_NEVER; /* the PTO's is the only timer */
    (void)pair_flush(pair, SP_CLIENT, &(size_t){0});
    for (uint32_t pto = 1; pto <= 4; pto++) {
        pair->now_ns = sp_conn_deadline_ns(client);
        sp_conn_on_deadline(client, pair->now_ns);
        assert_int_equal(client->loss.pto_count, pto);
        pair_pull(pair, SP_CLIENT);
        struct pair_packet packet;
        for (uint32_t i = 0; i < 2; i++) {
            assert_true(pair_take(pair, SP_CLIENT, &packet));
            assert_int_equal(packet.size, pto == 1 || i == 0 ? LARGE : SMALL);
        }
        assert_false(pair_take(pair, SP_CLIENT, &packet));
    }
    assert_int_equal(client->datagram_size, LARGE); /* a dead path proves nothing */
}

/* [RFC8899 5.1.1] The search is repeated after a pause. */
static void a_larger_path_is_found_later(void **state)
{
    struct conn_pair *pair = *state;
    uint64_t id = 0;
    start(pair);
    run(pair, SMALL, SB_S);
    for (int i = 0; i < 40; i++) {
        write_more(pair, &id, 3000);
        run(pair, SMALL, 100 * SB_MS);
    }
    assert_int_equal(client_of(pair)->path->pmtu.state, SP_PMTU_BASE);
    for (int i = 0; i < 60; i++) {
        write_more(pair, &id, 3000);
        run(pair, LARGE, 100 * SB_MS);
    }
    assert_int_equal(client_of(pair)->datagram_size, LARGE);
}

/* All that is sent gets lost for a while, large and small, as when the receiver's socket is full:
 * that is no hole. */
static void an_outage_costs_no_search(void **state)
{
    struct conn_pair *pair = *state;
    connect_pair(pair);
    struct sp_conn *client = client_of(pair);
    write_on_new_stream(pair, sizeof(bytes));
    run(pair, 0, SB_S);
    assert_true(client->loss.pto_count >= 2);
    run(pair, LARGE, 2 * SB_S);
    assert_int_equal(client->stats.stream_bytes_acked, sizeof(bytes));
    assert_int_equal(client->stats.mtu_fallbacks, 0);
    assert_int_equal(client->datagram_size, LARGE);
}

/* A receiver stands still, and the last room in its socket takes small datagrams alone.  Once it
 * reads again, large ones get through: no hole.  [RFC9000 14.3] */
static void a_receiver_that_stands_still_is_no_hole(void **state)
{
    struct conn_pair *pair = *state;
    connect_pair(pair);
    struct sp_conn *client = client_of(pair);
    write_on_new_stream(pair, sizeof(bytes));
    (void)pair_flush(pair, SP_CLIENT, &(size_t){0}); /* lost: there is no room */
    struct pair_packet small = {.size = 0};
    while (small.size == 0) {
        struct pair_packet packet;
        pair->now_ns = sp_conn_deadline_ns(client);
        sp_conn_on_deadline(client, pair->now_ns);
        while (pair_take(pair, SP_CLIENT, &packet))
            if (packet.size <= SMALL)
                small = packet;
    }
    assert_int_equal(client->loss.pto_count, 2);
    pair_deliver(pair, SP_SERVER, &small);
    run(pair, LARGE, 2 * SB_S);
    assert_int_equal(client->stats.stream_bytes_acked, sizeof(bytes));
    assert_int_equal(client->stats.mtu_fallbacks, 0);
    assert_int_equal(client->datagram_size, LARGE);
}

static uint64_t datagrams_out(struct conn_pair *pair)
{
    struct sp_stats stats;
    sp_conn_stats(client_of(pair), &stats);
    return stats.datagrams_out;
}

/* A connection that has nothing to send, or little, sends one probe and no more. */
static void little_traffic_needs_no_probes(void **state)
{
    struct conn_pair *pair = *state;
    start_with(pair, 2000); /* more than what the first probe is for */
    run(pair, 2000, SB_S);
    assert_int_equal(client_of(pair)->datagram_size, ETHERNET);
    uint64_t before = datagrams_out(pair);
    run(pair, 2000, SB_S);
    assert_int_equal(datagrams_out(pair), before);

    for (int i = 0; i < 10; i++) {
        write_on_new_stream(pair, 500);
        assert_in_range(run(pair, 2000, 100 * SB_MS), 500, ETHERNET);
    }
    write_on_new_stream(pair, 10000);
    run(pair, 2000, SB_S);
    write_on_new_stream(pair, 10000);
    run(pair, 2000, SB_S);
    assert_int_equal(client_of(pair)->datagram_size, 2000);
}

/* [RFC9000 18.2] max_udp_payload_size of the peer. */
static void no_probe_is_larger_than_the_peer_allows(void **state)
{
    struct conn_pair *pair = *state;
    start(pair);
    pair_carry(pair, SP_CLIENT);
    struct sp_conn *client = client_of(pair);
    assert_non_null(client->handshake);
    pair_pull(pair, SP_SERVER);
    struct pair_packet packet;
    while (client->handshake != NULL && !client->handshake->has_peer_params &&
           pair_take(pair, SP_SERVER, &packet))
        pair_deliver(pair, SP_CLIENT, &packet);
    assert_int_equal(client->handshake->peer_udp_payload_size_max, SP_UDP_PAYLOAD_SIZE_MAX);
    assert_true(client->handshake_state < SP_HANDSHAKE_COMPLETE);
    client->handshake->peer_udp_payload_size_max = 1333;
    run(pair, LARGE, SB_S);
    assert_int_equal(client->path->pmtu.size_max, 1333);
    write_on_new_stream(pair, sizeof(bytes));
    run(pair, LARGE, SB_S);
    assert_int_equal(client->datagram_size, 1333);
}

/* What was refused is sent again at once, not after a PTO. */
static void datagrams_that_the_system_refuses_get_smaller_at_once(void **state)
{
    struct conn_pair *pair = *state;
    connect_pair(pair);
    write_on_new_stream(pair, 5000);
    struct sp_conn *client = client_of(pair);
    size_t largest;
    (void)pair_flush(pair, SP_CLIENT, &largest);
    assert_int_equal(largest, LARGE);
    sp_conn_on_too_large(client, LARGE, pair->now_ns);
    assert_int_equal(client->datagram_size, SMALL);
    assert_true(pair_flush(pair, SP_CLIENT, &largest) >= 2);
    assert_in_range(largest, 1, SMALL);
    assert_int_equal(client->loss.pto_count, 0);

    sp_conn_on_too_large(client, SMALL, pair->now_ns); /* nothing smaller is left to try */
    assert_int_equal(client->datagram_size, SMALL);
    assert_int_equal(pair_flush(pair, SP_CLIENT, &largest), 0);
    sp_conn_close(client, 1, NULL, 0, pair->now_ns);
    sp_conn_on_too_large(client, LARGE, pair->now_ns);
}

static void a_probe_is_as_large_as_the_train_allows(void **state)
{
    struct conn_pair *pair = *state;
    uint64_t id = 0;
    start_with(pair, 9000); /* a train of the pair takes 2,048 */
    run(pair, 9000, SB_S);
    for (int i = 0; i < 20; i++) {
        write_more(pair, &id, 20000);
        assert_in_range(run(pair, 9000, 100 * SB_MS), SMALL, 2048);
    }
    assert_in_range(client_of(pair)->datagram_size, 2048 - 2048 / 128, 2048);
    assert_int_equal(client_of(pair)->loss.lost_count, 0);
}

/* Drops what is larger than `mtu`, but for probes, which come alone. */
static void run_eating(struct conn_pair *pair, size_t mtu, uint64_t duration_ns)
{
    uint64_t end_ns = pair->now_ns + duration_ns;
    while (pair->now_ns < end_ns) {
        for (uint32_t role = 0; role < 2; role++) {
            struct sp_conn *conn = pair_conn(pair, (enum sp_role)role);
            if (sp_conn_deadline_ns(conn) <= pair->now_ns)
                sp_conn_on_deadline(conn, pair->now_ns);
            pair_pull(pair, (enum sp_role)role);
            struct pair_packet packet;
            while (pair_take(pair, (enum sp_role)role, &packet))
                if (packet.size <= mtu || packet.size > conn->datagram_size)
                    pair_deliver(pair, role == SP_CLIENT ? SP_SERVER : SP_CLIENT, &packet);
            pair->now_ns += 10 * SB_MS;
        }
    }
}

/* A path that lets probes pass and eats what follows: each time it is believed for longer at 1,200
 * bytes, so in two minutes it gets about log2(120 s / 1 s) fallbacks. */
static void a_path_that_eats_all_but_probes_has_a_bounded_effect(void **state)
{
    struct conn_pair *pair = *state;
    uint64_t id = 0;
    connect_pair(pair);
    struct sp_conn *client = client_of(pair);
    uint64_t written = 0, lost_before = client->loss.lost_count;
    for (int i = 0; i < 240; i++) {
        write_more(pair, &id, 5000);
        written += 5000;
        run_eating(pair, SMALL, 500 * SB_MS);
    }
    run(pair, LARGE, 2 * SB_S);
    assert_int_equal(client->stats.stream_bytes_acked, written);
    assert_in_range(client->stats.mtu_fallbacks, 2, 10);
    assert_in_range(client->loss.lost_count - lost_before, 2, 10 * 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, large_datagrams_wait_for_a_proof),
        QT_TEST(conn_pair, a_handshake_alone_sends_no_probe),
        QT_TEST(conn_pair, a_peer_that_takes_no_more_gets_no_probe),
        QT_TEST(conn_pair, a_server_that_only_receives_sends_its_probe),
        QT_TEST(conn_pair, a_handshake_with_0_rtt_alone_sends_no_probe_of_the_client),
        QT_TEST(conn_pair, the_loss_of_a_probe_is_no_congestion),
        QT_TEST(conn_pair, messages_get_through_a_path_that_shrinks),
        QT_TEST(conn_pair, a_transfer_gets_through_a_path_that_shrinks),
        QT_TEST(conn_pair, a_single_message_gets_through_as_well),
        QT_TEST(conn_pair, the_second_pto_sends_a_large_probe_and_a_small_one),
        QT_TEST(conn_pair, a_larger_path_is_found_later),
        QT_TEST(conn_pair, an_outage_costs_no_search),
        QT_TEST(conn_pair, a_receiver_that_stands_still_is_no_hole),
        QT_TEST(conn_pair, little_traffic_needs_no_probes),
        QT_TEST(conn_pair, no_probe_is_larger_than_the_peer_allows),
        QT_TEST(conn_pair, datagrams_that_the_system_refuses_get_smaller_at_once),
        QT_TEST(conn_pair, a_probe_is_as_large_as_the_train_allows),
        QT_TEST(conn_pair, a_path_that_eats_all_but_probes_has_a_bounded_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

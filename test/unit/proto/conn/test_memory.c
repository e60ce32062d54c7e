/* SPDX-License-Identifier: MIT */
/* A connection and memory: what it holds, and how a lack of it ends. */

#include "test/support/conn_pair.h"
#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/memory.h"

QT_FIXTURE(conn_pair, pair_deinit)

static uint64_t open_and_write(struct sp_conn *conn, const void *data, size_t size)
{
    uint64_t id = 0;
    assert_int_equal(sp_conn_open(conn, false, &id), SP_DONE);
    const struct sp_write write = {.data = data, .size = size};
    assert_int_equal(sp_conn_write(conn, id, &write), SP_DONE);
    return id;
}

static void check_store(const struct sb_store *client, const struct sb_store *server)
{
    assert_ptr_equal(client->pool, server->pool);
    assert_int_equal(client->count + server->count, client->pool->used_count);
}

/* Each object in use belongs to one of the two. */
static void check_stores(const struct conn_pair *pair)
{
    const struct sp_stores *client = &pair->ends[SP_CLIENT].conn->stores;
    const struct sp_stores *server = &pair->ends[SP_SERVER].conn->stores;
    check_store(&client->streams, &server->streams);
    check_store(&client->chunks, &server->chunks);
    check_store(&client->ranges, &server->ranges);
    check_store(&client->packets, &server->packets);
    check_store(&client->frames, &server->frames);
}

static void what_is_taken_is_charged_to_the_connection_that_takes_it(void **state)
{
    static const uint8_t data[3000];
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t at_start = sp_conn_memory_bytes(client);
    assert_int_equal(at_start, pair->pools.conns.object_size + pair->pools.handshakes.object_size);
    pair_shuttle(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    check_stores(pair);
    assert_true(sp_conn_memory_bytes(client) < at_start + pair->pools.packets.object_size);

    uint64_t client_before = sp_conn_memory_bytes(client);
    uint64_t server_before = sp_conn_memory_bytes(server);
    enum { COUNT = 40 };
    for (uint32_t i = 0; i < COUNT; i++)
        (void)open_and_write(client, data, sizeof(data));
    uint64_t stream_bytes = pair->pools.streams.object_size + pair->pools.chunks.object_size;
    assert_true(sp_conn_memory_bytes(client) >= client_before + COUNT * stream_bytes);
    assert_int_equal(sp_conn_memory_bytes(server), server_before);
    pair_carry(pair, SP_CLIENT);
    assert_true(sp_conn_memory_bytes(server) > server_before);
    check_stores(pair);
    pair_shuttle(pair);
    check_stores(pair);

    struct sp_stats stats;
    sp_conn_stats(server, &stats);
    assert_int_equal(stats.memory_bytes, sp_conn_memory_bytes(server));
}

/* ---- A lack of memory ---- */

enum { WINDOW = 10000, MESSAGE = 3 * WINDOW };

static const uint8_t message[MESSAGE];

static void small_windows(struct sp_config *config)
{
    config->stream_window_bytes = config->stream_window_bytes_max = WINDOW;
    config->conn_window_bytes = config->conn_window_bytes_max = WINDOW;
}

/* Lets time pass to the next deadline of either end, until the server is closed or `until_ns`. */
static void pass_until(struct conn_pair *pair, uint64_t until_ns)
{
    while (!sp_conn_is_closed(pair_conn(pair, SP_SERVER)) && pair->now_ns < until_ns) {
        uint64_t next_ns = sb_time_min(sp_conn_deadline_ns(pair_conn(pair, SP_CLIENT)),
                                       sp_conn_deadline_ns(pair_conn(pair, SP_SERVER)));
        pair->now_ns = SB_MAX(pair->now_ns, sb_time_min(next_ns, until_ns));
        for (int role = 0; role < 2; role++)
            if (sp_conn_deadline_ns(pair_conn(pair, (enum sp_role)role)) <= pair->now_ns)
                sp_conn_on_deadline(pair_conn(pair, (enum sp_role)role), pair->now_ns);
        pair_shuttle(pair);
    }
}

static uint64_t server_got(const struct conn_pair *pair)
{
    return pair->ends[SP_SERVER].conn->stats.stream_bytes_in;
}

/* The client has used up its credit, the server has read everything and gives no more. */
static void hold_credit(struct conn_pair *pair)
{
    pair_init(pair);
    small_windows(&pair->config);
    pair_connect(pair);
    pair->pools.share_bytes = 1;
    (void)open_and_write(pair_conn(pair, SP_CLIENT), message, MESSAGE);
    pair_shuttle(pair);
    assert_int_equal(server_got(pair), WINDOW);
}

static void above_its_share_a_connection_gives_no_credit_until_it_may(void **state)
{
    struct conn_pair *pair = *state;
    hold_credit(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    pass_until(pair, pair->now_ns + 2 * SB_S);
    assert_int_equal(server_got(pair), WINDOW);
    assert_false(sp_conn_is_closed(server));
    struct sp_send_wait wait = sp_conn_send_wait(server, 1, pair->now_ns);
    assert_int_equal(wait.reason, SP_WAIT_MEMORY);
    assert_true(wait.at_ns > pair->now_ns && wait.at_ns < pair->now_ns + SB_S);

    pair->pools.share_bytes = sp_conn_memory_bytes(server); /* not above it any more */
    pass_until(pair, wait.at_ns + SB_S);
    assert_int_equal(server_got(pair), MESSAGE);
    assert_false(sp_conn_is_closed(server));
}

static void a_peer_without_credit_is_not_kept_waiting_for_ever(void **state)
{
    struct conn_pair *pair = *state;
    hold_credit(pair);
    uint64_t start_ns = pair->now_ns;
    pass_until(pair, start_ns + 20 * SB_S);
    const struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_true(sp_conn_is_closed(server));
    assert_true(server->close.is_local);
    assert_int_equal(server->close.error, SP_ERR_INTERNAL);
    assert_in_range(pair->now_ns - start_ns, 3 * SB_S, 4 * SB_S);
    pair_shuttle(pair);
    assert_int_equal(pair_conn(pair, SP_CLIENT)->close.error, SP_ERR_INTERNAL);
}

/* Held credit of a peer that has enough of it harms nobody. */
static void a_peer_with_credit_left_may_be_idle(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    small_windows(&pair->config);
    pair_connect(pair);
    pair->pools.share_bytes = 1;
    (void)open_and_write(pair_conn(pair, SP_CLIENT), message, WINDOW / 2);
    pass_until(pair, pair->now_ns + 20 * SB_S);
    assert_int_equal(server_got(pair), WINDOW / 2);
    assert_true(sp_conn_is_credit_held(pair_conn(pair, SP_SERVER)));
    assert_false(sp_conn_is_closed(pair_conn(pair, SP_SERVER)));
}

/* A datagram that may not be kept: what frees memory, or ends the connection, is processed. */
static void bytes_that_would_have_to_wait_in_a_transient_datagram_are_dropped(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    uint64_t id = open_and_write(pair_conn(pair, SP_CLIENT), message, 1000);
    uint64_t blocks = pair->heap.block_count;
    pair->is_transient = true;
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(server_got(pair), 0);
    assert_int_equal(server->stats.packets_dropped, 1);
    assert_int_equal(pair->heap.block_count, blocks); /* the datagram is gone */

    uint64_t offset;
    static uint8_t memory[1000];
    const struct sp_lend lend = {.data = memory, .size = sizeof(memory)};
    pair->is_transient = false;
    pass_until(pair, pair->now_ns + 2 * SB_S); /* it is retransmitted */
    assert_int_equal(server_got(pair), 1000);
    assert_int_equal(sp_conn_receive_into(server, id, &lend, &offset), SP_DONE);

    pair->is_transient = true;
    const struct sp_write more = {.data = message, .size = 1000};
    assert_int_equal(sp_conn_write(pair_conn(pair, SP_CLIENT), id, &more), SP_DONE);
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(server_got(pair), 2000); /* it is in the memory that was lent */
    pair_pull(pair, SP_SERVER);
    sp_conn_close(pair_conn(pair, SP_CLIENT), 7, "", 0, pair->now_ns);
    pair_carry(pair, SP_CLIENT);
    assert_true(sp_conn_is_closed(server));
    assert_int_equal(server->close.error, 7);
}

static bool has_no_room(void *context, size_t size)
{
    (void)context, (void)size;
    return false;
}

/* Bytes out of order may not take the reserve.  Those that are next may: they free memory. */
static void bytes_in_order_find_room_in_the_reserve(void **state)
{
    static const uint8_t later[] = "\x0e\x00\x53\x88\x01x"; /* offset 5000, one byte */
    static const uint8_t next[] = "\x0e\x00\x01\x01x";
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    (void)open_and_write(pair_conn(pair, SP_CLIENT), message, 1); /* stream 0 exists */
    pair_carry(pair, SP_CLIENT);
    pair_pull(pair, SP_SERVER);
    struct sb_pool *pieces = &pair->pools.pieces;
    void *taken[1000];
    uint32_t taken_count = 0;
    for (; pieces->used_count < pieces->made_count; taken_count++) {
        assert_true(taken_count < QT_COUNT(taken));
        taken[taken_count] = sb_pool_take(pieces);
    }
    pair->memory.has_room = has_no_room;
    const struct sp_conn *server = pair_conn(pair, SP_SERVER);
    uint64_t dropped = server->stats.packets_dropped;
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, later, sizeof(later) - 1, PAIR_FAULT_NONE);
    assert_int_equal(server->stats.packets_dropped, dropped + 1);
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, next, sizeof(next) - 1, PAIR_FAULT_NONE);
    assert_int_equal(server->stats.packets_dropped, dropped + 1);
    while (taken_count > 0)
        sb_pool_give(pieces, taken[--taken_count]);
}

/* Drops all packets with bytes of streams until `until_ns`. */
static void drop_until(struct conn_pair *pair, uint64_t until_ns)
{
    pair->is_transient = true;
    pair_shuttle(pair);
    pass_until(pair, until_ns);
    pair->is_transient = false;
}

static void a_peer_whose_packets_find_no_room_is_not_kept_waiting_for_ever(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t lasting = 0; lasting < 2; lasting++) {
        pair_init(pair);
        pair_connect(pair);
        uint64_t start_ns = pair->now_ns;
        (void)open_and_write(pair_conn(pair, SP_CLIENT), message, 1000);
        drop_until(pair, start_ns + (lasting ? 20 : 1) * SB_S);
        pass_until(pair, start_ns + 21 * SB_S);
        const struct sp_conn *server = pair_conn(pair, SP_SERVER);
        assert_int_equal(sp_conn_is_closed(server), lasting);
        assert_int_equal(server_got(pair), lasting ? 0 : 1000);
        if (lasting) {
            assert_int_equal(server->close.error, SP_ERR_INTERNAL);
            assert_in_range(pair->now_ns - start_ns, 3 * SB_S, 10 * SB_S);
        }
    }
}

/* An ACK that is due but finds no memory for its record is tried again after a PTO, not at once:
 * its own deadline has passed.  Found by the swarm, seed 7311127421. */
static void an_ack_that_lacks_memory_does_not_spin(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    (void)open_and_write(pair_conn(pair, SP_CLIENT), message, 1000);
    pair_carry(pair, SP_CLIENT);
    struct sb_pool *packets = &pair->pools.packets;
    void *taken[1000];
    uint32_t taken_count = 0;
    pair->memory_left = 0;
    for (void *object; (object = sb_pool_take(packets)) != NULL; taken_count++) {
        assert_true(taken_count < QT_COUNT(taken));
        taken[taken_count] = object;
    }
    /* The last block of records may have room: ACKs of these fill it. */
    size_t size;
    for (uint32_t i = 0; i < 200 && !server->lacks_records; i++) {
        pair_inject(pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)"\x01", 1, PAIR_FAULT_NONE);
        pair->now_ns += pair->config.ack_delay_ns_max;
        (void)pair_flush(pair, SP_SERVER, &size);
    }
    assert_true(server->lacks_records);
    assert_true(sp_ack_is_due(&server->app.ack, pair->now_ns));
    assert_true(sp_conn_deadline_ns(server) > pair->now_ns);

    while (taken_count > 0)
        sb_pool_give(packets, taken[--taken_count]);
    pair->now_ns = sp_conn_deadline_ns(server);
    sp_conn_on_deadline(server, pair->now_ns);
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 1);
    assert_false(sp_ack_is_pending(&server->app.ack));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, what_is_taken_is_charged_to_the_connection_that_takes_it),
        QT_TEST(conn_pair, above_its_share_a_connection_gives_no_credit_until_it_may),
        QT_TEST(conn_pair, a_peer_without_credit_is_not_kept_waiting_for_ever),
        QT_TEST(conn_pair, a_peer_with_credit_left_may_be_idle),
        QT_TEST(conn_pair, bytes_that_would_have_to_wait_in_a_transient_datagram_are_dropped),
        QT_TEST(conn_pair, bytes_in_order_find_room_in_the_reserve),
        QT_TEST(conn_pair, a_peer_whose_packets_find_no_room_is_not_kept_waiting_for_ever),
        QT_TEST(conn_pair, an_ack_that_lacks_memory_does_not_spin),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Rate limits of connections and shards, through the public API, over real sockets. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/time.h"

enum { BYTES = 4000000, CONNS = 16, RATE = 8000000, LOW_RATE = 1000 };

static const uint8_t bytes[BYTES];
static uint64_t conn_rate, shard_rate, wanted;

static void set(struct spate_config *config)
{
    config->conn_rate_bytes_per_s_max = conn_rate;
    config->shard_rate_bytes_per_s_max = shard_rate;
    config->datagram_size_max = 1200; /* probes of the path MTU are not counted */
}

static bool has_arrived(struct pw *w)
{
    return w->server.bytes_in >= wanted;
}

static void begin(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, BYTES, true, 1), 0);
}

static uint64_t bytes_out(const struct spate_conn *conn)
{
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    return stats.bytes_out;
}

/* At most 1 % more than the limit, and a burst.  How much less it is depends on how busy the
 * machine is: test_pacer.c has the exact figures. */
static void assert_rate(uint64_t sent, uint64_t took_ns, uint64_t limit)
{
    uint64_t allowed = (uint64_t)((unsigned __int128)limit * took_ns / SB_S);
    print_message("    %lu of %lu bytes\n", (unsigned long)sent, (unsigned long)allowed);
    assert_true(sent <= allowed + allowed / 100 + limit / 500 + 150000);
    assert_true(sent >= allowed / 8);
}

static void a_connection_keeps_its_limit(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        conn_rate = i == 0 ? RATE : 0;
        shard_rate = 0;
        struct pw *w = pw_create(&(struct pw_config){.client = set});
        struct spate_conn *conn = pw_connected(w);
        if (i == 1)
            assert_int_equal(spate_conn_set_rate_limit(conn, RATE), 0);
        uint64_t before = bytes_out(conn), start_ns = pw_now_ns();
        begin(conn);
        wanted = BYTES / 2;
        pw_until(w, has_arrived);
        assert_rate(bytes_out(conn) - before, pw_now_ns() - start_ns, RATE);

        /* Changed while it sends: almost nothing, then all. */
        assert_int_equal(spate_conn_set_rate_limit(conn, LOW_RATE), 0);
        pw_for(w, 20 * SB_MS); /* what is on the way */
        before = bytes_out(conn);
        pw_for(w, 200 * SB_MS);
        assert_true(bytes_out(conn) - before <= 4 * 1500);
        assert_int_equal(spate_conn_set_rate_limit(conn, 0), 0);
        wanted = BYTES;
        start_ns = pw_now_ns();
        pw_until(w, has_arrived);
        assert_true(pw_now_ns() - start_ns < 10 * SB_S);
    }
}

static void connections_of_a_shard_share_its_limit(void **state)
{
    (void)state;
    conn_rate = 0;
    shard_rate = RATE;
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    struct spate_conn *conns[CONNS];
    uint64_t before[CONNS];
    for (uint32_t i = 0; i < CONNS; i++)
        conns[i] = pw_connected(w);
    for (uint32_t i = 0; i < CONNS; i++)
        begin(conns[i]);
    pw_for(w, 200 * SB_MS);
    for (uint32_t i = 0; i < CONNS; i++)
        before[i] = bytes_out(conns[i]);
    uint64_t start_ns = pw_now_ns();
    pw_for(w, SB_S);
    uint64_t took_ns = pw_now_ns() - start_ns, sum = 0;
    double squares = 0;
    for (uint32_t i = 0; i < CONNS; i++) {
        uint64_t sent = bytes_out(conns[i]) - before[i];
        sum += sent;
        squares += (double)sent * (double)sent;
    }
    assert_rate(sum, took_ns, RATE);
    double jain = (double)sum * (double)sum / (CONNS * squares);
    print_message("    Jain's index %.4f\n", jain);
    assert_true(jain >= 0.99);

    /* Those that stand in line go on without the limit, and closing does not need it. */
    assert_int_equal(spate_shard_set_rate_limit(w->client.shard, 0), 0);
    wanted = (uint64_t)CONNS * BYTES;
    pw_until(w, has_arrived);
    assert_int_equal(spate_shard_set_rate_limit(w->client.shard, LOW_RATE), 0);
    for (uint32_t i = 0; i < CONNS; i++)
        begin(conns[i]);
    pw_for(w, 20 * SB_MS);
    for (uint32_t i = 0; i < CONNS; i++)
        spate_conn_close(conns[i], 0, NULL);
    for (uint32_t i = 0; i < 100 && w->client.closed_count < CONNS; i++)
        pw_for(w, 10 * SB_MS);
    assert_int_equal(w->client.closed_count, CONNS);
}

/* Without a limit the connections are a flow group, which ends when there is one: nobody stays
 * behind in the line that is no longer served. */
static void a_limit_that_comes_and_goes_leaves_nobody_behind(void **state)
{
    (void)state;
    conn_rate = 0;
    shard_rate = 0;
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    struct spate_conn *conns[CONNS];
    for (uint32_t i = 0; i < CONNS; i++)
        conns[i] = pw_connected(w);
    for (uint32_t i = 0; i < CONNS; i++)
        begin(conns[i]);
    for (uint32_t i = 1; i <= CONNS; i++) {
        wanted = (uint64_t)i * BYTES;
        pw_until(w, has_arrived);
        uint64_t rate = i % 2 == 0 ? 0 : UINT64_C(125000000000);
        assert_int_equal(spate_shard_set_rate_limit(w->client.shard, rate), 0);
    }
}

/* The receiver of many bytes has a low limit: its ACKs do not wait for it. */
static void acknowledgments_are_not_held_back(void **state)
{
    (void)state;
    conn_rate = 0;
    shard_rate = 0;
    struct pw *w = pw_create(&(struct pw_config){0});
    struct spate_conn *conn = pw_connected(w);
    assert_int_equal(spate_shard_set_rate_limit(w->server.shard, LOW_RATE), 0);
    begin(conn);
    wanted = BYTES;
    pw_until(w, has_arrived);
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    assert_true(stats.ptos <= 2);
}

static void what_is_out_of_range_is_refused(void **state)
{
    (void)state;
    conn_rate = 0;
    shard_rate = 0;
    struct pw *w = pw_create(&(struct pw_config){0});
    struct spate_conn *conn = pw_connected(w);
    static const uint64_t wrong[] = {1, 999, UINT64_C(125000000001), UINT64_MAX};
    for (size_t i = 0; i < QT_COUNT(wrong); i++) {
        assert_int_equal(spate_conn_set_rate_limit(conn, wrong[i]), -EINVAL);
        assert_int_equal(spate_shard_set_rate_limit(w->client.shard, wrong[i]), -EINVAL);
    }
    assert_int_equal(spate_conn_set_rate_limit(conn, UINT64_C(125000000000)), 0);
    assert_int_equal(spate_shard_set_rate_limit(w->client.shard, UINT64_C(125000000000)), 0);
    wanted = BYTES;
    begin(conn);
    pw_until(w, has_arrived);
}

/* A program that polls does something else between two turns.  What the limit allows since then
 * leaves with the next turn, and not with the one after it. */
static void a_turn_after_a_pause_sends_what_the_limit_allows(void **state)
{
    (void)state;
    enum { PAUSES = 10 };
    conn_rate = 0;
    shard_rate = RATE;
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    struct spate_conn *conn = pw_connected(w);
    begin(conn);
    pw_for(w, 100 * SB_MS);
    uint32_t count = 0;
    for (uint32_t i = 0; i < PAUSES; i++) {
        for (uint32_t k = 0; k < 5; k++)
            pw_turn(w); /* all is acknowledged, and the line waits for time */
        (void)usleep(20000);
        pw_wait(&w->server, 0);
        uint64_t before = bytes_out(conn);
        pw_wait(&w->client, 0);
        count += bytes_out(conn) > before;
    }
    print_message("    sent after %u of %u pauses\n", count, (unsigned)PAUSES);
    assert_true(count >= PAUSES / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_connection_keeps_its_limit),
        QT_TEST(owned, connections_of_a_shard_share_its_limit),
        QT_TEST(owned, a_limit_that_comes_and_goes_leaves_nobody_behind),
        QT_TEST(owned, acknowledgments_are_not_held_back),
        QT_TEST(owned, what_is_out_of_range_is_refused),
        QT_TEST(owned, a_turn_after_a_pause_sends_what_the_limit_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

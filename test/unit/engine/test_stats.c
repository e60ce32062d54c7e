/* SPDX-License-Identifier: MIT */
/* Counters on their way: from those who count over the sums to the public structs.  What the
 * fields are is not said here again: every word of a struct is looked at. */

#include "test/support/qt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/shard/shard.h"
#include "engine/shard/stat_file.h"
#include "test/support/conn_pair.h"

#define WORDS(type) (sizeof(type) / sizeof(uint64_t))

enum { SHARD_WORDS = WORDS(struct spate_shard_stats) };

static uint64_t next_value;

/* Each word gets a value that no other has, and no sum of two others. */
static void fill(void *counters, size_t size)
{
    uint64_t *words = counters;
    for (size_t i = 0; i < size / sizeof(uint64_t); i++, next_value = next_value * 3 / 2 + 1)
        words[i] = next_value;
}

static uint64_t word(const void *counters, size_t index)
{
    uint64_t value;
    memcpy(&value, (const char *)counters + index * sizeof(value), sizeof(value));
    return value;
}

static struct spate_shard *make_shard(void)
{
    struct spate_shard *shard = calloc(1, sizeof(*shard));
    assert_non_null(shard);
    sb_list_init(&shard->all);
    return shard;
}

static void each_counter_of_a_receiver_is_in_the_sum(void **state)
{
    (void)state;
    struct su_recv_counts a, b, sum;
    next_value = 1;
    fill(&a, sizeof(a));
    fill(&b, sizeof(b));
    sum = a;
    su_recv_counts_add(&sum, &b);
    for (size_t i = 0; i < WORDS(struct su_recv_counts); i++)
        assert_int_equal(word(&sum, i), word(&a, i) + word(&b, i));
}

static void each_counter_of_a_connection_is_in_the_sum_and_no_gauge(void **state)
{
    (void)state;
    struct sp_stats a, b, sum;
    next_value = 1;
    fill(&a, sizeof(a));
    fill(&b, sizeof(b));
    sum = a;
    sp_stats_add(&sum, &b);
/* What is waited for is known to the host alone. */
#define IS_GAUGE(kind, name) strcmp(#kind, "COUNTER") != 0,
    const bool is_gauge[WORDS(struct sp_stats)] = {SPATE_CONN_STATS(IS_GAUGE)};
    for (size_t i = 0; i < WORDS(struct sp_stats); i++)
        assert_int_equal(word(&sum, i), word(&a, i) + (is_gauge[i] ? 0 : word(&b, i)));
    assert_true(is_gauge[offsetof(struct sp_stats, rtt_smoothed_ns) / sizeof(uint64_t)]);
}

/* Everything that counts, counts something else. */
static void fill_sources(struct spate_shard *shard)
{
    static const size_t shard_counts[] = {
        offsetof(struct spate_shard_stats, turns),
        offsetof(struct spate_shard_stats, copied_in_bytes),
    };
    next_value = 1;
    fill(&shard->counts.recv_closed, sizeof(shard->counts.recv_closed));
    fill(&shard->ports[2].recv.counts, sizeof(shard->ports[2].recv.counts));
    fill(&shard->counts.conns_closed, sizeof(shard->counts.conns_closed));
    next_value = 7;
    fill(&shard->ring.counts, sizeof(shard->ring.counts));
    next_value = 1000;
    fill(&shard->send.counts, sizeof(shard->send.counts));
    for (size_t i = 0; i < QT_COUNT(shard_counts); i++)
        fill((char *)&shard->counts.own + shard_counts[i], sizeof(uint64_t));
    shard->ports[2].state = SE_PORT_OPEN;
    shard->ports_used = 1 << 2;
    shard->memory.allocations = 11;
    shard->memory.now_bytes = 12;
    shard->memory.peak_bytes = 13;
    shard->conn_count = 14;
    shard->budget.count = 15;
    shard->tombstones.count = 16;
}

static void a_shard_reports_what_its_parts_have_counted(void **state)
{
    (void)state;
    struct spate_shard *shard = make_shard();
    fill_sources(shard);
    const struct su_recv_counts *closed = &shard->counts.recv_closed;
    const struct su_recv_counts *open = &shard->ports[2].recv.counts;
    const struct sp_stats *conns = &shard->counts.conns_closed;

    struct spate_shard_stats stats;
    spate_shard_stats(shard, &stats);
    assert_int_equal(stats.turns, shard->counts.own.turns);
    assert_int_equal(stats.syscalls, shard->ring.counts.syscalls);
    assert_int_equal(stats.receives, closed->receives + open->receives);
    assert_int_equal(stats.receive_rearms, closed->receive_rearms + open->receive_rearms);
    assert_int_equal(stats.kernel_drops, closed->kernel_drops + open->kernel_drops);
    assert_int_equal(stats.sends, shard->send.counts.sends);
    assert_int_equal(stats.send_errors, shard->send.counts.send_errors);
    assert_int_equal(stats.packets_lost, conns->packets_lost);
    /* Counted in two places: datagrams, and memory that was lent. */
    assert_int_equal(stats.copied_in_bytes,
                     shard->counts.own.copied_in_bytes + conns->copied_in_bytes);
    assert_int_equal(stats.allocations, 11);
    assert_int_equal(stats.memory_bytes_now, 12);
    assert_int_equal(stats.memory_bytes_peak, 13);
    assert_int_equal(stats.conns_now, 14);
    assert_int_equal(stats.handshakes_now, 15);
    assert_int_equal(stats.draining_now, 16);
    free(shard);
}

/* Writes which fields change when one of the words at `source` does. */
static size_t changes(struct spate_shard *shard, void *source, size_t index,
                      bool is_changed[SHARD_WORDS])
{
    uint64_t *words = source;
    struct spate_shard_stats before, after;
    spate_shard_stats(shard, &before);
    words[index]++;
    spate_shard_stats(shard, &after);
    size_t count = 0;
    for (size_t i = 0; i < SHARD_WORDS; i++) {
        bool is_one_more = word(&after, i) == word(&before, i) + 1;
        assert_true(is_one_more || word(&after, i) == word(&before, i));
        is_changed[i] |= is_one_more;
        count += is_one_more;
    }
    return count;
}

static void each_field_of_a_shard_comes_from_somebody_who_counts(void **state)
{
    (void)state;
    struct spate_shard *shard = make_shard();
    shard->ports[0].state = SE_PORT_OPEN;
    shard->ports_used = 1;
    const struct {
        void *counters;
        size_t size;
    } sources[] = {
        {&shard->counts.recv_closed, sizeof(shard->counts.recv_closed)},
        {&shard->counts.conns_closed, sizeof(shard->counts.conns_closed)},
        {&shard->ports[0].recv.counts, sizeof(shard->ports[0].recv.counts)},
        {&shard->ring.counts, sizeof(shard->ring.counts)},
        {&shard->send.counts, sizeof(shard->send.counts)},
        {&shard->memory.now_bytes, sizeof(uint64_t)},
        {&shard->memory.peak_bytes, sizeof(uint64_t)},
        {&shard->memory.allocations, sizeof(uint64_t)},
        {&shard->turn_longest_ns, sizeof(uint64_t)},
        {&shard->wake.doorbells, sizeof(uint64_t)},
    };
#define IS_OWN(kind, name) strcmp(#kind, "SHARD") == 0,
    const bool is_own[SHARD_WORDS] = {SPATE_SHARD_STATS(IS_OWN)};
    bool is_changed[SHARD_WORDS] = {false};
    for (size_t i = 0; i < QT_COUNT(sources); i++)
        for (size_t at = 0; at < sources[i].size / sizeof(uint64_t); at++)
            assert_true(changes(shard, sources[i].counters, at, is_changed) <= 1);
    for (size_t at = 0; at < SHARD_WORDS; at++)
        if (is_own[at])
            assert_int_equal(changes(shard, &shard->counts.own, at, is_changed), 1);
    is_changed[offsetof(struct spate_shard_stats, conns_now) / sizeof(uint64_t)] = true;
    is_changed[offsetof(struct spate_shard_stats, handshakes_now) / sizeof(uint64_t)] = true;
    is_changed[offsetof(struct spate_shard_stats, draining_now) / sizeof(uint64_t)] = true;
    is_changed[offsetof(struct spate_shard_stats, quic_lb_nonces_left) / sizeof(uint64_t)] = true;
    is_changed[offsetof(struct spate_shard_stats, conns_with_old_cids) / sizeof(uint64_t)] = true;
    /* Of the slots, and of the queue of events. */
    is_changed[offsetof(struct spate_shard_stats, receive_slots_free) / sizeof(uint64_t)] = true;
    is_changed[offsetof(struct spate_shard_stats, transmit_slots_free) / sizeof(uint64_t)] = true;
    is_changed[offsetof(struct spate_shard_stats, events_now) / sizeof(uint64_t)] = true;
    /* Of the thread that writes qlog: test_qlog.c. */
    is_changed[offsetof(struct spate_shard_stats, qlog_errors) / sizeof(uint64_t)] = true;
    for (size_t i = 0; i < SHARD_WORDS; i++)
        assert_true(is_changed[i]);
    free(shard);
}

QT_FIXTURE(conn_pair, pair_deinit)

static void a_shard_reports_its_connections_living_and_closed(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct spate_shard *shard = make_shard();
    struct spate_conn conns[2] = {0};
    struct sp_stats stats[2];
    for (uint32_t i = 0; i < 2; i++) {
        conns[i].proto = pair_conn(pair, i == 0 ? SP_CLIENT : SP_SERVER);
        sb_list_init(&conns[i].all_link);
        sb_list_push_back(&shard->all, &conns[i].all_link);
        sp_conn_stats(conns[i].proto, &stats[i]);
    }
    shard->counts.conns_closed.packets_in = 1000;
    shard->counts.conns_closed.acks_out = 2000;

    struct spate_shard_stats sum;
    spate_shard_stats(shard, &sum);
    assert_true(stats[0].packets_in > 0 && stats[1].packets_in > 0);
    assert_int_equal(sum.packets_in, 1000 + stats[0].packets_in + stats[1].packets_in);
    assert_int_equal(sum.acks_out, 2000 + stats[0].acks_out + stats[1].acks_out);
    free(shard);
}

static void what_the_parts_of_a_connection_count_has_fields_of_its_own(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *conn = pair_conn(pair, SP_CLIENT);
    struct sp_loss_path *path = conn->loss.path;
    conn->loss.lost_count = 1001;
    conn->loss.spurious_count = 1002;
    conn->loss.persistent_count = 1003;
    path->rtt.smoothed_ns = 1004;
    path->rtt.min_ns = 1005;
    path->rtt.variance_ns = 1006;
    path->pacer.rate_bytes_per_s = 1007;
    conn->pieces.copied_bytes = 1000;
    conn->pieces.packed_bytes = 8;

    struct sp_stats stats;
    sp_conn_stats(conn, &stats);
    assert_int_equal(stats.packets_lost, 1001);
    assert_int_equal(stats.packets_spurious, 1002);
    assert_int_equal(stats.persistent_congestions, 1003);
    assert_int_equal(stats.rtt_smoothed_ns, 1004);
    assert_int_equal(stats.rtt_min_ns, 1005);
    assert_int_equal(stats.rtt_variance_ns, 1006);
    assert_int_equal(stats.pacing_rate, 1007);
    assert_int_equal(stats.copied_in_bytes, 1008);
    assert_int_equal(stats.cwnd_bytes, path->cc.cwnd_bytes);
    assert_int_equal(stats.in_flight_bytes, path->cc.in_flight_bytes);
    assert_int_equal(stats.datagram_bytes, conn->datagram_size);
}

static void each_field_of_a_connection_is_reported(void **state)
{
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *proto = pair_conn(pair, SP_CLIENT);
    next_value = 1;
    fill(&proto->stats, sizeof(proto->stats));
    struct sp_stats stats;
    sp_conn_stats(proto, &stats);

    struct spate_shard *shard = make_shard();
    struct spate_conn conn = {.proto = proto, .shard = shard};
    struct spate_conn_stats reported;
    se_waits_init(&conn.waits, 0);
    se_waits_hold(&conn.waits, 77);
    se_waits_set(&conn.waits, SPATE_WAIT_PACER, 55);
    shard->now_ns = 99;
    spate_conn_stats(&conn, &reported);
    assert_int_equal(reported.packets_in, stats.packets_in);
    assert_int_equal(reported.stream_bytes_out, stats.stream_bytes_out);
    assert_int_equal(reported.copied_out_bytes, stats.copied_out_bytes);
    assert_int_equal(reported.rtt_min_ns, stats.rtt_min_ns);
    assert_int_equal(reported.cwnd_bytes, stats.cwnd_bytes);
    assert_int_equal(sizeof(reported), sizeof(stats));
    /* proto/ knows nothing of these. */
    stats.waited_shard_ns = 55;
    stats.waited_pacer_ns = 44;
    stats.waits_for = SPATE_WAIT_PACER;
    stats.held_bytes = 77;
    for (size_t i = 0; i < WORDS(struct sp_stats); i++)
        assert_int_equal(word(&reported, i), word(&stats, i));
    free(shard);
}

/* As after a hand-over, where both processes have one configuration: the old engine ends last. */
static void an_engine_that_ends_leaves_the_file_of_its_successor(void **state)
{
    (void)state;
    static struct se_stat_file old, next;
    struct spate_error warning = {""}, error = {""};
    char folder[] = "/tmp/spate-stats-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/stat", folder);
    assert_int_equal(se_stat_file_open(&old, path, 1, &warning, &error), 0);
    assert_int_equal(se_stat_file_open(&next, path, 1, &warning, &error), 0);
    se_stat_file_close(&old);
    int left = access(path, F_OK);
    se_stat_file_close(&next);
    int end = access(path, F_OK) == 0 ? 0 : errno;
    (void)unlink(path);
    (void)rmdir(folder);
    assert_int_equal(left, 0);
    assert_int_equal(end, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_counter_of_a_receiver_is_in_the_sum),
        cmocka_unit_test(each_counter_of_a_connection_is_in_the_sum_and_no_gauge),
        cmocka_unit_test(a_shard_reports_what_its_parts_have_counted),
        cmocka_unit_test(each_field_of_a_shard_comes_from_somebody_who_counts),
        QT_TEST(conn_pair, a_shard_reports_its_connections_living_and_closed),
        QT_TEST(conn_pair, what_the_parts_of_a_connection_count_has_fields_of_its_own),
        QT_TEST(conn_pair, each_field_of_a_connection_is_reported),
        cmocka_unit_test(an_engine_that_ends_leaves_the_file_of_its_successor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

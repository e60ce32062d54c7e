/* SPDX-License-Identifier: MIT */
/* Times of departure (SO_TXTIME), through the public API, over real sockets.
 *
 * Loopback has no fq, so a shard is told that it has: the kernel then takes the times and ignores
 * them.  test/e2e/bench_fq.py is about interfaces that have it. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "engine/conn/conn.h"
#include "engine/shard/shard.h"
#include "proto/base/time.h"

enum { BYTES = 4000000, RATE = 16000000 };

static const uint8_t bytes[BYTES];
static enum spate_kernel_pacing pacing;

static void set(struct spate_config *config)
{
    config->kernel_pacing = pacing;
    config->conn_rate_bytes_per_s_max = RATE;
    config->datagram_size_max = 1200;
}

/* Makes the shard believe that loopback keeps to times of departure. */
static void pretend_fq(struct spate_shard *shard)
{
    struct se_depart *depart = &shard->depart;
    if (!depart->is_asked || !depart->is_on)
        assert_int_equal(su_qdisc_init(&depart->qdisc), 0);
    depart->is_asked = depart->is_on = true;
    depart->qdisc.known[0] =
        (struct su_qdisc_known){(int)if_nametoindex("lo"), true, shard->now_ns};
}

static bool has_arrived(struct pw *w)
{
    return w->server.bytes_in == BYTES;
}

static uint64_t send_all(struct pw *w, struct spate_conn *conn)
{
    uint64_t id, start_ns = pw_now_ns();
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, BYTES, true, 1), 0);
    pw_until(w, has_arrived);
    return pw_now_ns() - start_ns;
}

static uint64_t timed(struct spate_shard *shard)
{
    struct spate_shard_stats stats;
    spate_shard_stats(shard, &stats);
    return stats.trains_timed;
}

/* What the kernel does not hold in fact arrives early: samples of the round trip stay sane, nothing
 * counts as lost, and the rate is kept. */
static void trains_get_times_where_the_interface_keeps_to_them(void **state)
{
    (void)state;
    pacing = SPATE_KERNEL_PACING_AUTO;
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    pretend_fq(w->client.shard);
    struct spate_conn *conn = pw_connected(w);
    uint64_t took_ns = send_all(w, conn);
    assert_true(conn->depart.is_held);
    assert_true(timed(w->client.shard) > 30); /* fewer and larger ones where the CPU is not ours */
    assert_int_equal(timed(w->server.shard), 0);
    assert_true(took_ns > (uint64_t)BYTES * SB_S / RATE * 9 / 10);

    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    print_message("    %lu trains with times, round trip %lu us\n",
                  (unsigned long)timed(w->client.shard),
                  (unsigned long)(stats.rtt_smoothed_ns / SB_US));
    assert_true(stats.rtt_smoothed_ns > 0 && stats.rtt_smoothed_ns < 100 * SB_MS);
    assert_true(stats.packets_lost <= 10);
}

static void without_fq_trains_leave_at_once(void **state)
{
    (void)state;
    pacing = SPATE_KERNEL_PACING_AUTO;
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    struct spate_conn *conn = pw_connected(w);
    (void)send_all(w, conn);
    assert_true(w->client.shard->depart.is_asked);
    if (w->client.shard->depart.is_on) /* some interface of this machine has it, loopback not */
        print_message("    an interface has fq\n");
    assert_int_equal(timed(w->client.shard), 0);
    assert_false(conn->depart.is_held);
}

static bool has_a_byte_more(struct pw *w)
{
    static uint64_t bytes_in;
    bool has_more = w->server.bytes_in > bytes_in;
    bytes_in = has_more ? w->server.bytes_in : bytes_in;
    return has_more;
}

/* The kernel is asked about its queues when there is something to gain, or by who lives long. */
static void a_few_packets_ask_for_no_queue(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_conn *conn = pw_connected(w);
    const struct se_depart *depart = &w->client.shard->depart;
    assert_false(depart->is_asked);
    for (uint32_t i = 0; i < 80; i++) {
        uint64_t id;
        assert_int_equal(spate_stream_open(conn, false, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, bytes, 1, true, 1), 0);
        pw_until(w, has_a_byte_more);
    }
    assert_true(depart->is_asked);
}

static void it_can_be_turned_off(void **state)
{
    (void)state;
    pacing = SPATE_KERNEL_PACING_OFF;
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    assert_false(w->client.shard->depart.is_on);
    (void)send_all(w, pw_connected(w));
    assert_int_equal(timed(w->client.shard), 0);
}

static void the_report_names_both_parts(void **state)
{
    (void)state;
    struct spate_cap caps[128];
    size_t count = spate_caps(caps, QT_COUNT(caps));
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_txtime = strcmp(caps[i].name, "SO_TXTIME") == 0;
        bool is_fq = strcmp(caps[i].name, "fq on an interface") == 0;
        found += is_txtime || is_fq;
        if (is_txtime || is_fq)
            assert_true(caps[i].have || caps[i].reason[0] != '\0');
    }
    assert_int_equal(found, 2);
}

static void what_does_not_exist_is_refused(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_engine *engine = NULL;
    struct spate_error error;
    spate_config_init(&config);
    config.kernel_pacing = (enum spate_kernel_pacing)2;
    assert_int_equal(spate_engine_create(&config, &engine, &error), -EINVAL);
    assert_non_null(strstr(error.text, "kernel_pacing is 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, trains_get_times_where_the_interface_keeps_to_them),
        QT_TEST(owned, without_fq_trains_leave_at_once),
        QT_TEST(owned, a_few_packets_ask_for_no_queue),
        QT_TEST(owned, it_can_be_turned_off),
        QT_TEST(owned, the_report_names_both_parts),
        QT_TEST(owned, what_does_not_exist_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

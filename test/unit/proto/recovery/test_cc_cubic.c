/* SPDX-License-Identifier: MIT */
/* CUBIC: RFC 9438, with its formulas in floating point as the oracle. */

#include "test/support/qt.h"

#include <math.h>

#include "test/support/cc_flow.h"

enum { DATAGRAM = CC_FLOW_DATAGRAM };

static void begin(struct cc_flow *flow, uint64_t rtt_ns, uint64_t cwnd)
{
    cc_flow_begin(flow, SP_CC_CUBIC, rtt_ns, cwnd);
}

static void acked_sent_at(struct cc_flow *flow, uint64_t bytes, uint64_t sent_ns,
                          bool is_app_limited)
{
    struct sp_cc_ack ack = {bytes,          sent_ns, flow->now_ns,       &flow->rtt,
                            is_app_limited, 0,       flow->rtt.latest_ns};
    sp_cc_on_sent(&flow->cc, bytes);
    sp_cc_on_acked(&flow->cc, &ack);
    sp_cc_on_ack_end(&flow->cc, &ack);
}

static void acked(struct cc_flow *flow, uint64_t bytes, bool is_app_limited)
{
    acked_sent_at(flow, bytes, flow->now_ns - flow->rtt.latest_ns, is_app_limited);
}

/* Time with a full window, in steps of a tenth of a round trip. */
static void run(struct cc_flow *flow, uint64_t duration_ns)
{
    uint64_t end_ns = flow->now_ns + duration_ns;
    uint64_t round_bytes = flow->cc.cwnd_bytes;
    for (uint32_t i = 1; flow->now_ns < end_ns; i++) {
        flow->now_ns += flow->rtt.latest_ns / 10;
        acked(flow, round_bytes / 10, false);
        if (i % 10 == 0)
            round_bytes = flow->cc.cwnd_bytes;
    }
}

/* Until packets that were sent after the loss are acknowledged. */
static void recover(struct cc_flow *flow)
{
    flow->now_ns += flow->rtt.latest_ns + 1;
}

static double datagrams(const struct cc_flow *flow)
{
    return (double)flow->cc.cwnd_bytes / DATAGRAM;
}

static double w_cubic(double w_max, double cwnd, double t)
{
    double k = cbrt((w_max - cwnd) / 0.4);
    return 0.4 * (t - k) * (t - k) * (t - k) + w_max;
}

/* [RFC9438 4.2, 4.4, 4.5] K = 9.09 s: the window is 700, 1000 after K, and 1300 after two. */
static void the_window_follows_the_cubic_function(void **state)
{
    (void)state;
    static const double times[] = {0.5, 1, 2, 4, 6, 8, 9.09, 10, 12, 14, 16, 18.17, 20};
    for (size_t i = 0; i < QT_COUNT(times); i++) {
        struct cc_flow flow;
        begin(&flow, 100 * SB_MS, 1000);
        cc_flow_lost(&flow, false);
        assert_int_equal(flow.cc.cwnd_bytes, 700 * DATAGRAM);
        recover(&flow);
        run(&flow, (uint64_t)(times[i] * SB_S));
        double want = w_cubic(1000, 700, times[i]);
        assert_true(fabs(datagrams(&flow) - want) < 0.02 * want);
    }
    assert_true(fabs(w_cubic(1000, 700, 18.17) - 1300) < 1);
}

/* Integers lose nothing over magnitudes of windows and of round trips. */
static void large_and_small_windows_follow_it(void **state)
{
    (void)state;
    static const struct {
        uint64_t cwnd;
        double rtt_s;
    } samples[] = {{200, 0.2}, {1000, 0.05}, {50000, 0.1}, {1000000, 0.3}, {15000000, 0.6}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct cc_flow flow;
        begin(&flow, (uint64_t)(samples[i].rtt_s * SB_S), samples[i].cwnd);
        cc_flow_lost(&flow, false);
        recover(&flow);
        double k = cbrt(0.3 * (double)samples[i].cwnd / 0.4);
        run(&flow, (uint64_t)(k * 1.5 * SB_S));
        double want = w_cubic((double)samples[i].cwnd, 0.7 * (double)samples[i].cwnd, 1.5 * k);
        assert_true(fabs(datagrams(&flow) - want) < 0.02 * want);
    }
}

/* [RFC9438 4.2] No more than half the window per round trip. */
static void growth_is_slower_than_slow_start(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, SB_S, 10);
    cc_flow_lost(&flow, false);
    recover(&flow);
    for (int round = 0; round < 60; round++) {
        double before = datagrams(&flow);
        run(&flow, SB_S);
        assert_true(datagrams(&flow) >= before);
        assert_true(datagrams(&flow) <= before * 1.66); /* (1 + 0.05) ^ 10 */
    }
}

/* [RFC9438 4.3] 9/17 of a datagram per round trip up to the window before the loss, then one. */
static void on_a_short_path_the_window_is_that_of_reno(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 2 * SB_MS, 100);
    cc_flow_lost(&flow, false);
    recover(&flow);
    run(&flow, 20 * 2 * SB_MS);
    assert_true(fabs(datagrams(&flow) - (70 + 20 * 9.0 / 17)) < 0.3);
    while (datagrams(&flow) < 100)
        run(&flow, 2 * SB_MS);
    double before = datagrams(&flow);
    run(&flow, 20 * 2 * SB_MS);
    assert_true(fabs(datagrams(&flow) - before - 20) < 1);
}

/* [RFC9438 4.7] */
static void a_second_loss_below_w_max_gives_way(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 100 * SB_MS, 1000);
    cc_flow_lost(&flow, false);
    assert_int_equal(flow.cc.cubic.stage.w_max_bytes, 1000 * DATAGRAM);
    recover(&flow);
    cc_flow_lost(&flow, false);
    assert_int_equal(flow.cc.cwnd_bytes, 490 * DATAGRAM);
    assert_int_equal(flow.cc.cubic.stage.w_max_bytes, 595 * DATAGRAM); /* 700 * 0.85 */
}

/* [RFC9002 7.3.2] */
static void a_round_trip_reduces_once(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 100 * SB_MS, 1000);
    cc_flow_lost(&flow, false);
    flow.now_ns += 50 * SB_MS;
    cc_flow_lost(&flow, false);
    assert_int_equal(flow.cc.cwnd_bytes, 700 * DATAGRAM);
    acked(&flow, 100 * DATAGRAM, false); /* sent before the loss was known */
    assert_int_equal(flow.cc.cwnd_bytes, 700 * DATAGRAM);
}

/* [RFC9438 4.2, 5.8] Time without a full window is no time of the stage. */
static void time_that_the_application_limits_does_not_count(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 100 * SB_MS, 1000);
    cc_flow_lost(&flow, false);
    recover(&flow);
    run(&flow, 2 * SB_S);
    uint64_t before = flow.cc.cwnd_bytes;
    for (int i = 0; i < 1000; i++) {
        flow.now_ns += 50 * SB_MS;
        acked(&flow, DATAGRAM, true);
    }
    assert_int_equal(flow.cc.cwnd_bytes, before);
    run(&flow, SB_S);
    double want = w_cubic(1000, 700, 3);
    assert_true(fabs(datagrams(&flow) - want) < 0.02 * want);

    flow.now_ns += 1000 * SB_S; /* silence, and then a whole window at once */
    acked(&flow, flow.cc.cwnd_bytes, false);
    assert_true(datagrams(&flow) < want * 1.1);
}

/* [RFC9438 4.9.2] */
static void what_a_spurious_loss_changed_is_restored(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 100 * SB_MS, 1000);
    cc_flow_lost(&flow, false);
    recover(&flow);
    run(&flow, 3 * SB_S);
    struct sp_cc before = flow.cc;
    cc_flow_lost(&flow, false);
    assert_true(flow.cc.cwnd_bytes < before.cwnd_bytes);
    sp_cc_undo(&flow.cc);
    assert_int_equal(flow.cc.cwnd_bytes, before.cwnd_bytes);
    assert_int_equal(flow.cc.ssthresh_bytes, before.ssthresh_bytes);
    assert_memory_equal(&flow.cc.cubic.stage, &before.cubic.stage, sizeof(before.cubic.stage));

    cc_flow_lost(&flow, false); /* too late: the window is larger already */
    flow.cc.cwnd_bytes = 5000 * DATAGRAM;
    sp_cc_undo(&flow.cc);
    assert_int_equal(flow.cc.cwnd_bytes, 5000 * DATAGRAM);
    sp_cc_undo(&flow.cc); /* nothing to undo any more */
    assert_int_equal(flow.cc.cwnd_bytes, 5000 * DATAGRAM);
}

static void an_undone_first_loss_resumes_slow_start(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 100 * SB_MS, 20);
    sp_cc_undo(&flow.cc); /* nothing was reduced */
    assert_int_equal(flow.cc.cwnd_bytes, 20 * DATAGRAM);
    cc_flow_lost(&flow, false);
    assert_false(sp_cc_is_in_slow_start(&flow.cc));
    sp_cc_undo(&flow.cc);
    assert_true(sp_cc_is_in_first_slow_start(&flow.cc));
    acked(&flow, 10 * DATAGRAM, false);
    assert_int_equal(flow.cc.cwnd_bytes, 30 * DATAGRAM);
}

/* What is acknowledged by the ACK that shows the loss, and from then on, grows the window too. */
static void an_undone_loss_costs_slow_start_nothing(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 100 * SB_MS, 20);
    uint64_t sent_ns = flow.now_ns - flow.rtt.latest_ns;
    struct sp_cc_ack ack = {
        .bytes = 8 * DATAGRAM, .sent_ns = sent_ns, .now_ns = flow.now_ns, .rtt = &flow.rtt};
    sp_cc_on_sent(&flow.cc, ack.bytes);
    sp_cc_on_acked(&flow.cc, &ack);
    cc_flow_lost(&flow, false);
    sp_cc_on_ack_end(&flow.cc, &ack);
    acked_sent_at(&flow, 5 * DATAGRAM, sent_ns, false);
    acked_sent_at(&flow, 3 * DATAGRAM, sent_ns, true); /* the window was not used */
    sp_cc_undo(&flow.cc);
    assert_true(sp_cc_is_in_first_slow_start(&flow.cc));
    assert_int_equal(flow.cc.cwnd_bytes, (20 + 8 + 5) * DATAGRAM);
}

/* [RFC9438 4.8] After persistent congestion K is 0, and slow start goes to 0.7 of the window. */
static void persistent_congestion_begins_again(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 100 * SB_MS, 1000);
    cc_flow_lost(&flow, true);
    assert_int_equal(flow.cc.cwnd_bytes, 2 * DATAGRAM);
    assert_int_equal(flow.cc.ssthresh_bytes, 700 * DATAGRAM);
    uint64_t now_ns = flow.now_ns;
    flow.now_ns += flow.rtt.latest_ns / 2;
    acked_sent_at(&flow, 2 * DATAGRAM, now_ns - 1, false);
    assert_int_equal(flow.cc.cwnd_bytes, 4 * DATAGRAM);
    cc_flow_lost(&flow, false); /* one of two probes */
    assert_int_equal(flow.cc.cwnd_bytes, 4 * DATAGRAM);
    assert_int_equal(flow.cc.ssthresh_bytes, 700 * DATAGRAM);
    sp_cc_undo(&flow.cc); /* of what was lost before */
    assert_int_equal(flow.cc.cwnd_bytes, 4 * DATAGRAM);
    while (sp_cc_is_in_slow_start(&flow.cc))
        acked(&flow, flow.cc.cwnd_bytes, false);
    acked(&flow, DATAGRAM, false);
    assert_int_equal(flow.cc.cubic.stage.k_us, 0);
    assert_true(flow.cc.cubic.stage.w_max_bytes >= 700 * DATAGRAM);
    run(&flow, 5 * SB_S);
    double want = 700 + 0.4 * 5 * 5 * 5;
    assert_true(fabs(datagrams(&flow) - want) < 0.03 * want);
}

/* [RFC9438 4.10, RFC9406] */
static void slow_start_ends_where_the_queue_grows(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 50 * SB_MS, 100);
    for (int round = 0; round < 20 && sp_cc_is_in_slow_start(&flow.cc); round++) {
        if (datagrams(&flow) > 1000) /* the path's: more waits in a queue */
            flow.rtt.latest_ns = (uint64_t)(50 * SB_MS * (datagrams(&flow) / 1000));
        run(&flow, flow.rtt.latest_ns);
    }
    assert_false(sp_cc_is_in_slow_start(&flow.cc));
    /* 1,600 show the delay; then come two rounds to see it, and five of a quarter more. */
    assert_true(datagrams(&flow) > 1000 && datagrams(&flow) < 16000);
    assert_in_range(flow.cc.ssthresh_bytes, 1000 * DATAGRAM, flow.cc.cwnd_bytes);
    run(&flow, flow.rtt.latest_ns);
    assert_int_equal(flow.cc.cubic.stage.k_us, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_follows_the_cubic_function),
        cmocka_unit_test(large_and_small_windows_follow_it),
        cmocka_unit_test(growth_is_slower_than_slow_start),
        cmocka_unit_test(on_a_short_path_the_window_is_that_of_reno),
        cmocka_unit_test(a_second_loss_below_w_max_gives_way),
        cmocka_unit_test(a_round_trip_reduces_once),
        cmocka_unit_test(time_that_the_application_limits_does_not_count),
        cmocka_unit_test(what_a_spurious_loss_changed_is_restored),
        cmocka_unit_test(an_undone_first_loss_resumes_slow_start),
        cmocka_unit_test(an_undone_loss_costs_slow_start_nothing),
        cmocka_unit_test(persistent_congestion_begins_again),
        cmocka_unit_test(slow_start_ends_where_the_queue_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* BBR: the walk through its states, and the test cases of draft-ietf-ccwg-bbr, appendix A. */

#include "test/support/bbr_flow.h"

/* A: exiting STARTUP on a bandwidth plateau, DRAIN on what is in flight, and the cycle after. */
static void the_pipe_is_found_and_the_cycle_begins(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_DRAIN, SB_S);
    assert_true(flow.bbr.full_bw_now && flow.bbr.full_bw_reached);
    assert_int_equal(flow.bbr.full_bw_count, 3);
    assert_in_range(flow.bbr.max_bw, 2450000, 2550000);
    assert_int_equal(flow.bbr.pacing_gain, 50);
    /* By way of DOWN, within one ACK: there is no queue any more. */
    run_until(SP_BBR_PROBE_CRUISE, 200 * SB_MS);
    assert_true(flow.cc.in_flight_bytes <= bdp() * 11 / 10);
    assert_in_range(flow.bbr.min_rtt_ns, 40 * SB_MS, 41 * SB_MS);
    run(4 * SB_S);
    static const uint8_t order[] = {
        SP_BBR_STARTUP,      SP_BBR_DRAIN,        SP_BBR_PROBE_CRUISE,
        SP_BBR_PROBE_REFILL, SP_BBR_PROBE_UP,     SP_BBR_PROBE_DOWN,
        SP_BBR_PROBE_CRUISE, SP_BBR_PROBE_REFILL, SP_BBR_PROBE_UP,
    };
    assert_memory_equal(flow.order, order, SB_MIN(sizeof(order), (size_t)flow.order_count));
    assert_true(flow.order_count >= 6);
}

/* The rate is that of the path, and the queue is short but for probes. */
static void the_path_is_full_and_the_queue_is_not(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes_per_s, rtt_ms;
    } samples[] = {{1250000, 20}, {2500000, 40}, {6000000, 30}, {200000, 300}, {100000, 10}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        begin(samples[i].bytes_per_s, samples[i].rtt_ms * SB_MS);
        run(4 * SB_S);
        flow.delivered = 0;
        uint64_t in_flight = 0;
        for (int part = 0; part < 1000; part++) {
            run(10 * SB_MS);
            in_flight += flow.cc.in_flight_bytes / 1000;
        }
        assert_in_range(flow.delivered, samples[i].bytes_per_s * 90 / 10,
                        samples[i].bytes_per_s * 102 / 10);
        assert_true(in_flight < bdp() * 14 / 10 + 10 * (uint64_t)DATAGRAM);
    }
}

/* [5.6.4.2] Two and a quarter of what the path holds, at most, and little more for aggregation:
 * also while it begins, and where the queue has room for any volume. */
static void what_is_in_flight_is_bounded(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes_per_s, rtt_ms;
    } samples[] = {{2500000, 40}, {6000000, 100}, {1250000, 600}, {10000000, 2}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        begin(samples[i].bytes_per_s, samples[i].rtt_ms * SB_MS);
        uint64_t most = 0;
        for (int part = 0; part < 15000; part++) {
            run(SB_MS);
            most = SB_MAX(most, flow.cc.in_flight_bytes);
        }
        assert_in_range(most, bdp(), bdp() * 24 / 10 + 10 * (uint64_t)DATAGRAM);
    }
}

/* A: exiting STARTUP on loss when application-limited. */
static void loss_ends_startup_even_if_the_application_is_slow(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    flow.app_bytes_per_s = 1500000;
    run(2 * SB_S);
    assert_int_equal(flow.bbr.state, SP_BBR_STARTUP);
    flow.lose_every = 5;
    run_until(SP_BBR_PROBE_CRUISE, 500 * SB_MS); /* there is no queue to drain */
    assert_true(flow.bbr.full_bw_now && flow.bbr.full_bw_reached);
    assert_int_not_equal(flow.bbr.inflight_longterm, SP_BBR_INFINITE);
    assert_int_equal(flow.bbr.undo_state, SP_BBR_STARTUP);
}

/* A: never exiting STARTUP when application-limited with no loss. */
static void a_slow_application_without_loss_stays_in_startup(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    flow.app_bytes_per_s = 1000000;
    run(4 * SB_S);
    assert_int_equal(flow.bbr.state, SP_BBR_STARTUP);
}

/* A: exiting DRAIN based on time. */
static void drain_ends_after_three_rounds(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_DRAIN, SB_S);
    flow.bytes_per_s /= 3; /* what is in flight does not drain now */
    flow.busy_ns += 400 * SB_MS;
    uint64_t round = flow.bbr.round_count;
    run_until(SP_BBR_PROBE_DOWN, 2 * SB_S);
    assert_true(flow.bbr.round_count <= round + 5);
}

/* A: entering and exiting PROBE_RTT. */
static void the_round_trip_is_measured_without_a_queue(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_CRUISE, 2 * SB_S);
    /* Another flow's queue: the round trip never becomes as short again. */
    flow.rtt_ns += 2 * SB_MS;
    run_until(SP_BBR_PROBE_RTT, 6 * SB_S);
    assert_int_equal(flow.bbr.cwnd_gain, 50);
    uint64_t cwnd = flow.bbr.prior_cwnd, start_ns = flow.now_ns;
    run(100 * SB_MS);
    assert_int_equal(flow.bbr.state, SP_BBR_PROBE_RTT);
    assert_true(flow.cc.cwnd_bytes <= bdp() * 6 / 10);
    run_until(SP_BBR_PROBE_CRUISE, SB_S);
    assert_in_range(flow.now_ns - start_ns, 200 * SB_MS, 400 * SB_MS);
    assert_true(flow.cc.cwnd_bytes >= cwnd * 8 / 10);
    run(4 * SB_S);
    assert_int_equal(flow.entered[SP_BBR_PROBE_RTT], 1); /* every five seconds */
    run(2 * SB_S);
    assert_int_equal(flow.entered[SP_BBR_PROBE_RTT], 2);
}

/* Flows that share a path leave PROBE_RTT together, and must not probe together afterwards. */
static void probes_after_probe_rtt_come_at_different_times(void **state)
{
    (void)state;
    uint64_t least_ns = SB_NEVER, most_ns = 0;
    begin(2500000, 40 * SB_MS);
    for (int i = 0; i < 20; i++) {
        run_until(SP_BBR_PROBE_RTT, 15 * SB_S);
        run_until(SP_BBR_PROBE_CRUISE, SB_S);
        least_ns = SB_MIN(least_ns, flow.bbr.probe_wait_ns);
        most_ns = SB_MAX(most_ns, flow.bbr.probe_wait_ns);
        flow.rtt_ns += SB_MS / 10; /* never as short again */
    }
    assert_true(least_ns < SB_S);
    assert_in_range(most_ns, 2 * SB_S, 3 * SB_S);
}

/* A: skipping PROBE_RTT due to application-limited sending. */
static void silence_takes_the_place_of_probe_rtt(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_CRUISE, 2 * SB_S);
    flow.rtt_ns += 2 * SB_MS;
    flow.is_idle = true;
    run(6 * SB_S);
    flow.is_idle = false;
    run(500 * SB_MS);
    assert_int_equal(flow.entered[SP_BBR_PROBE_RTT], 0);
    assert_in_range(flow.cc.rate_bytes_per_s, 2000000, 3200000);
}

/* [5.3.3.7] Loss above 2 % in PROBE_UP ends the probe and bounds what may be in flight. */
static void loss_while_probing_bounds_the_volume(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_UP, 5 * SB_S);
    flow.lose_every = 10;
    run_until(SP_BBR_PROBE_DOWN, 300 * SB_MS);
    assert_true(flow.bbr.prev_probe_too_high);
    assert_in_range(flow.bbr.inflight_longterm, bdp() * 6 / 10, bdp() * 15 / 10);
    flow.lose_every = 0;
    uint64_t bound = flow.bbr.inflight_longterm;
    run(SB_S);
    assert_true(flow.cc.cwnd_bytes <= bound + 2 * (uint64_t)DATAGRAM);
    run(8 * SB_S);
    assert_true(flow.bbr.inflight_longterm > bound); /* later probes raise it */
}

/* [5.5.10.3] 30 % of loss at the short term: at most 0.7 per round trip, until the next probe. */
static void loss_in_cruise_lowers_the_short_term_bounds(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_CRUISE, 2 * SB_S);
    flow.lose_every = 3;
    run(200 * SB_MS);
    assert_int_not_equal(flow.bbr.bw_shortterm, SP_BBR_INFINITE);
    assert_true(flow.bbr.bw < flow.bbr.max_bw * 9 / 10);
    flow.lose_every = 0;
    run_until(SP_BBR_PROBE_REFILL, 4 * SB_S);
    assert_int_equal(flow.bbr.bw_shortterm, SP_BBR_INFINITE);
    assert_int_equal(flow.bbr.inflight_shortterm, SP_BBR_INFINITE);
}

/* [5.5.11] */
static void a_spurious_loss_in_startup_is_undone(void **state)
{
    (void)state;
    begin(25000000, 40 * SB_MS);
    run(150 * SB_MS);
    assert_int_equal(flow.bbr.state, SP_BBR_STARTUP);
    flow.lose_every = 5;
    run_until(SP_BBR_DRAIN, 500 * SB_MS);
    flow.lose_every = 0;
    sp_cc_undo(&flow.cc);
    assert_int_equal(flow.bbr.state, SP_BBR_STARTUP);
    assert_false(flow.bbr.full_bw_reached);
    assert_int_equal(flow.bbr.inflight_longterm, SP_BBR_INFINITE);
    assert_int_equal(flow.bbr.bw_shortterm, SP_BBR_INFINITE);
    sp_cc_undo(&flow.cc); /* nothing is left to undo */
    assert_int_equal(flow.bbr.state, SP_BBR_STARTUP);
}

/* [2.18] Marks count as congestion. */
static void marks_keep_the_queue_short(void **state)
{
    (void)state;
    uint64_t longest_ns[2] = {0, 0};
    for (uint32_t marks = 0; marks < 2; marks++) {
        begin(2500000, 40 * SB_MS);
        flow.marks = marks > 0;
        run(2 * SB_S);
        flow.delivered = 0;
        for (int part = 0; part < 600; part++) {
            run(10 * SB_MS);
            longest_ns[marks] = SB_MAX(longest_ns[marks], flow.rtt.latest_ns);
        }
        assert_true(flow.delivered > 15000000 * UINT64_C(85) / 100);
    }
    assert_true(longest_ns[1] < longest_ns[0]);
}

/* [RFC9002 7.6.2, draft 5.6.4.4] and back after a round trip. */
static void persistent_congestion_is_left_in_a_round_trip(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_CRUISE, 2 * SB_S);
    uint64_t cwnd = flow.cc.cwnd_bytes;
    while (flow.count > 0) {
        flow.count--;
        sp_cc_on_removed(&flow.cc, DATAGRAM);
    }
    struct sp_cc_loss loss = {.bytes = cwnd / 2,
                              .sent_ns = flow.now_ns - SB_MS,
                              .now_ns = flow.now_ns,
                              .rtt = &flow.rtt,
                              .range_count = 1,
                              .is_persistent = true};
    sp_cc_on_lost(&flow.cc, &loss);
    assert_int_equal(flow.cc.cwnd_bytes, sp_cc_cwnd_min(&flow.cc));
    run(100 * SB_MS);
    assert_true(flow.cc.cwnd_bytes > cwnd / 2);
}

/* Whatever was measured while nothing got through, four datagrams leave per round trip. */
static void the_rate_has_a_floor(void **state)
{
    (void)state;
    begin(2000, 100 * SB_MS); /* 16 kbit/s */
    run(20 * SB_S);
    assert_true(flow.delivered > 2000 * 15);
    assert_true(flow.cc.rate_bytes_per_s >= 4 * DATAGRAM * SB_S / flow.rtt.smoothed_ns);
}

/* Seed 179577788500000 of the swarm: a network without delay, and a clock that stands still. */
static void a_round_trip_of_no_time_is_none(void **state)
{
    (void)state;
    begin(UINT64_C(1) << 40, 0);
    for (int i = 0; i < 10; i++) {
        send();
        receive();
        for (uint32_t k = 0; k < flow.count; k++)
            flow.packets[(flow.first + k) % IN_FLIGHT_MAX].acked_ns = flow.now_ns;
    }
    assert_int_equal(flow.rtt.smoothed_ns, 0);
    assert_true(flow.cc.rate_bytes_per_s > 0);
    assert_true(flow.delivered > 10 * (uint64_t)DATAGRAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pipe_is_found_and_the_cycle_begins),
        cmocka_unit_test(the_path_is_full_and_the_queue_is_not),
        cmocka_unit_test(what_is_in_flight_is_bounded),
        cmocka_unit_test(loss_ends_startup_even_if_the_application_is_slow),
        cmocka_unit_test(a_slow_application_without_loss_stays_in_startup),
        cmocka_unit_test(drain_ends_after_three_rounds),
        cmocka_unit_test(the_round_trip_is_measured_without_a_queue),
        cmocka_unit_test(probes_after_probe_rtt_come_at_different_times),
        cmocka_unit_test(silence_takes_the_place_of_probe_rtt),
        cmocka_unit_test(loss_while_probing_bounds_the_volume),
        cmocka_unit_test(loss_in_cruise_lowers_the_short_term_bounds),
        cmocka_unit_test(a_spurious_loss_in_startup_is_undone),
        cmocka_unit_test(marks_keep_the_queue_short),
        cmocka_unit_test(persistent_congestion_is_left_in_a_round_trip),
        cmocka_unit_test(the_rate_has_a_floor),
        cmocka_unit_test(a_round_trip_of_no_time_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Where BBR differs from draft-ietf-ccwg-bbr: see the heads of bbr_model.c and bbr_state.c. */

#include "test/support/bbr_flow.h"

/* Another flow fills the queue while this one probes at a volume that was not too much before: it
 * keeps 70 % of that volume, or 85 % if there is no queue, and tries again soon. */
static void the_probes_of_others_cost_little(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_UP, 5 * SB_S);
    flow.lose_every = 10;
    run_until(SP_BBR_PROBE_DOWN, 300 * SB_MS);
    flow.lose_every = 0;
    run_until(SP_BBR_PROBE_UP, 5 * SB_S);
    uint64_t before = flow.bbr.inflight_longterm;
    flow.bbr.rs = (struct sp_rate_sample){.in_flight_bytes = before / 2, .lost_bytes = before / 8};
    struct sp_bbr clean = flow.bbr;
    clean.has_queue = false;
    struct sp_bbr_step step = {.cc = &flow.cc, .bbr = &clean, .now_ns = flow.now_ns};
    sp_bbr_on_congestion_while_probing(&step, DATAGRAM, false);
    assert_in_range(clean.inflight_longterm, before * 84 / 100, before * 86 / 100);
    step.bbr = &flow.bbr;
    flow.bbr.has_queue = true;
    sp_bbr_on_congestion_while_probing(&step, DATAGRAM, false);
    assert_int_equal(flow.bbr.state, SP_BBR_PROBE_DOWN);
    assert_in_range(flow.bbr.inflight_longterm, before * 69 / 100, before * 71 / 100);
    assert_in_range(flow.bbr.probe_wait_ns, 500 * SB_MS, 1500 * SB_MS);
}

/* The path loses 5 % without a queue: Startup finds its rate nevertheless. */
static void loss_does_not_end_startup_while_the_rate_rises(void **state)
{
    (void)state;
    begin(25000000, 40 * SB_MS);
    flow.lose_every = 20;
    run_until(SP_BBR_DRAIN, 2 * SB_S);
    assert_true(flow.bbr.max_bw > 22000000);
}

/* The rate halves and comes back: eight round trips without a queue, and it probes. */
static void a_rate_that_varies_is_probed_early(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_CRUISE, 2 * SB_S);
    assert_int_equal(flow.bbr.early_probes, 0);
    flow.bbr.probe_wait_ns = 100 * SB_S;
    flow.bytes_per_s = 1250000;
    run(400 * SB_MS);
    assert_int_equal(flow.bbr.early_probes, SP_BBR_EARLY_PROBES);
    flow.bytes_per_s = 5000000;
    flow.busy_ns = SB_MIN(flow.busy_ns, flow.now_ns);
    run(200 * SB_MS);
    assert_int_equal(flow.bbr.state, SP_BBR_PROBE_CRUISE);
    run_until(SP_BBR_PROBE_REFILL, 500 * SB_MS);
    run_until(SP_BBR_PROBE_DOWN, SB_S);
    assert_true(flow.bbr.max_bw > 4500000);
    assert_int_equal(flow.bbr.early_probes, SP_BBR_EARLY_PROBES); /* it has varied again */
}

/* Loses many packets without a queue, and then one of `lose_every`.  Returns the bound on the rate
 * that this leaves. */
static uint64_t bound_by_losses(uint32_t lose_every)
{
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_CRUISE, 2 * SB_S);
    flow.lose_every = 3;
    run(200 * SB_MS);
    flow.lose_every = lose_every;
    run(80 * SB_MS); /* what was lost is noticed */
    return flow.bbr.bw_shortterm;
}

/* No more losses: the path is as it was before. */
static void short_term_bounds_rise_again_on_a_clean_path(void **state)
{
    (void)state;
    uint64_t bound = bound_by_losses(0);
    assert_true(bound < flow.bbr.max_bw * 8 / 10);
    run(100 * SB_MS);
    assert_int_equal(flow.bbr.bw_shortterm, bound); /* not before some rounds have been clean */
    run(300 * SB_MS);
    assert_int_equal(flow.bbr.state, SP_BBR_PROBE_CRUISE); /* not because it has probed */
    assert_int_equal(flow.bbr.bw_shortterm, SP_BBR_INFINITE);
    assert_int_equal(flow.bbr.inflight_shortterm, SP_BBR_INFINITE);
    assert_in_range(flow.bbr.bw, 2400000, 2600000);
}

/* A loss in each round: the path is not clean. */
static void short_term_bounds_stay_while_something_gets_lost(void **state)
{
    (void)state;
    uint64_t bound = bound_by_losses(12);
    run(400 * SB_MS);
    assert_int_equal(flow.bbr.state, SP_BBR_PROBE_CRUISE);
    assert_true(flow.bbr.bw_shortterm <= bound);
}

/* Begins to cruise, and then leaves so much of the path.  Returns the rate before. */
static uint64_t take_from_path(uint64_t left_percent)
{
    begin(2500000, 40 * SB_MS);
    run_until(SP_BBR_PROBE_CRUISE, 2 * SB_S);
    assert_int_equal(flow.bbr.bw_queued, SP_BBR_INFINITE);
    uint64_t before = flow.bbr.bw;
    flow.bytes_per_s = before * left_percent / 100;
    return before;
}

/* Others take a part of the path: this flow sends 80 % of what still comes through, for as many
 * round trips as a queue stands, but no less than half of what it had. */
static void a_standing_queue_bounds_the_rate(void **state)
{
    (void)state;
    static const struct {
        uint64_t left_percent, bw_percent_min, bw_percent_max;
    } samples[] = {{85, 50, 72}, {40, 49, 51}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        uint64_t before = take_from_path(samples[i].left_percent);
        uint64_t least = before;
        for (uint32_t k = 0; k < 50; k++) {
            run(10 * SB_MS);
            least = SB_MIN(least, flow.bbr.bw);
        }
        assert_int_equal(flow.bbr.state, SP_BBR_PROBE_CRUISE);
        assert_in_range(least, before * samples[i].bw_percent_min / 100,
                        before * samples[i].bw_percent_max / 100);
        assert_in_range(flow.bbr.max_bw, before * 99 / 100, before * 101 / 100);
        flow.bytes_per_s = 2500000;
        flow.busy_ns = SB_MIN(flow.busy_ns, flow.now_ns);
        run(300 * SB_MS); /* the queue is empty */
        assert_int_equal(flow.bbr.bw_queued, SP_BBR_INFINITE);
        assert_in_range(flow.bbr.bw, before * 99 / 100, before * 101 / 100);
    }
}

/* A probe into a queue begins at max_bw, or at what is delivered if the queue has overflowed; then
 * it rises with what it finds. */
static void a_probe_into_a_full_queue_begins_at_what_is_delivered(void **state)
{
    (void)state;
    uint64_t before = take_from_path(70);
    for (uint32_t k = 0; k < 100 && flow.bbr.bw_queued == SP_BBR_INFINITE; k++)
        run(10 * SB_MS);
    assert_true(flow.bbr.bw_queued < before);
    struct sp_bbr other = flow.bbr;
    other.bw_shortterm = SP_BBR_INFINITE;
    sp_bbr_start_refill(&other);
    assert_int_equal(other.bw_queued, SP_BBR_INFINITE);

    flow.bbr.bw_shortterm = before; /* losses have set it */
    sp_bbr_start_refill(&flow.bbr);
    assert_int_equal(flow.bbr.bw_shortterm, SP_BBR_INFINITE);
    assert_in_range(flow.bbr.bw_queued, before * 68 / 100, before * 75 / 100);
    flow.bytes_per_s = 2500000;
    flow.busy_ns = SB_MIN(flow.busy_ns, flow.now_ns);
    run(400 * SB_MS);
    assert_true(flow.bbr.bw > before * 85 / 100);
}

/* Runs up to the next ProbeRTT and returns when it begins. */
static uint64_t next_probe_rtt_ns(void)
{
    if (flow.bbr.state == SP_BBR_PROBE_RTT)
        run_until(SP_BBR_PROBE_CRUISE, SB_S);
    run_until(SP_BBR_PROBE_RTT, 11 * SB_S);
    return flow.now_ns;
}

/* The shorter the round trip, the more often it is measured, and the shorter the time. */
static void short_paths_are_measured_more_often(void **state)
{
    (void)state;
    static const struct {
        uint64_t rtt_ns, interval_ns, time_ns;
    } samples[] = {
        {SB_MS, 312500 * SB_US, 12500 * SB_US},
        {5 * SB_MS, 625 * SB_MS, 25 * SB_MS},
        {20 * SB_MS, 2500 * SB_MS, 100 * SB_MS},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        begin(2500000, samples[i].rtt_ns);
        run_until(SP_BBR_PROBE_DOWN, 5 * SB_S);
        uint64_t at_ns = next_probe_rtt_ns();
        assert_in_range(at_ns % samples[i].interval_ns, 0, 30 * SB_MS);
        assert_true(at_ns < 1000 * SB_S + 2 * samples[i].interval_ns);
        run_until(SP_BBR_PROBE_CRUISE, SB_S);
        assert_in_range(flow.now_ns - at_ns, samples[i].time_ns,
                        samples[i].time_ns + 3 * samples[i].rtt_ns);
    }
}

/* The intervals double up to the draft's as long as there is nothing to be learned. */
static void a_path_that_is_known_is_measured_less_often(void **state)
{
    (void)state;
    begin(2500000, SB_MS);
    run_until(SP_BBR_PROBE_DOWN, SB_S);
    uint64_t before_ns = next_probe_rtt_ns();
    for (uint64_t interval_ms = 625; interval_ms <= 2500; interval_ms *= 2) {
        uint64_t at_ns = next_probe_rtt_ns();
        assert_in_range(at_ns - before_ns, interval_ms / 2 * SB_MS, interval_ms * 2 * SB_MS);
        before_ns = at_ns;
    }
    before_ns = next_probe_rtt_ns();
    assert_in_range(next_probe_rtt_ns() - before_ns, 5000 * SB_MS, 5100 * SB_MS);
}

/* A third of the round trip was the queue of others, who leave it as this flow does. */
static void a_path_that_was_not_known_is_measured_again_soon(void **state)
{
    (void)state;
    begin(2500000, 1500 * SB_US);
    run_until(SP_BBR_PROBE_DOWN, SB_S);
    (void)next_probe_rtt_ns();
    (void)next_probe_rtt_ns();
    assert_int_equal(flow.bbr.probe_rtt_doublings, 1);
    flow.rtt_ns = SB_MS;
    run_until(SP_BBR_PROBE_CRUISE, SB_S);
    assert_int_equal(flow.bbr.probe_rtt_doublings, 0);
    uint64_t at_ns = flow.now_ns;
    assert_in_range(next_probe_rtt_ns() - at_ns, 280 * SB_MS, 470 * SB_MS);
}

/* Whenever they have begun, so that all of them leave the queue at once. */
static void flows_of_a_host_measure_at_the_same_time(void **state)
{
    (void)state;
    uint64_t first_ns = 0;
    for (uint64_t begun_ms = 0; begun_ms < 150; begun_ms += 37) {
        begin(2500000, SB_MS);
        flow.now_ns += begun_ms * SB_MS;
        run_until(SP_BBR_PROBE_DOWN, SB_S);
        uint64_t at_ns = next_probe_rtt_ns();
        first_ns = begun_ms == 0 ? at_ns : first_ns;
        assert_in_range(at_ns, first_ns - SB_MS, first_ns + SB_MS);
    }
}

/* [5.3.3.9] Reno's window is what is in flight, also beyond the path's own volume of 8 datagrams:
 * in the queue of others a flow waits for more round trips than that. */
static void a_queue_of_others_delays_probes_as_it_does_reno(void **state)
{
    (void)state;
    begin(2500000, 4 * SB_MS);
    run_until(SP_BBR_PROBE_CRUISE, SB_S);
    uint64_t own = bdp() / DATAGRAM;
    flow.rtt_ns *= 3;
    run_until(SP_BBR_PROBE_UP, 2 * SB_S); /* begins without it */
    run_until(SP_BBR_PROBE_DOWN, 2 * SB_S);
    flow.bbr.probe_wait_ns = SB_S * 10;
    flow.bbr.early_probes = 0;
    run_until(SP_BBR_PROBE_REFILL, 2 * SB_S);
    assert_true(flow.bbr.rounds_since_probe_up >= own * 3 / 2);
}

/* A part of random loss is no congestion. */
static void two_percent_of_loss_are_tolerated(void **state)
{
    (void)state;
    begin(2500000, 40 * SB_MS);
    flow.lose_every = 50;
    run(3 * SB_S);
    flow.delivered = 0;
    run(10 * SB_S);
    assert_true(flow.delivered > 25000000 * UINT64_C(85) / 100);
}

/* Without a queue twice as much: 3 % of 830 datagrams are more than 2 % and two. */
static void loss_without_a_queue_is_tolerated(void **state)
{
    (void)state;
    begin(25000000, 40 * SB_MS);
    flow.lose_every = 33;
    run(3 * SB_S);
    flow.delivered = 0;
    run(10 * SB_S);
    assert_true(flow.delivered > UINT64_C(250000000) * 85 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_probes_of_others_cost_little),
        cmocka_unit_test(loss_does_not_end_startup_while_the_rate_rises),
        cmocka_unit_test(a_rate_that_varies_is_probed_early),
        cmocka_unit_test(short_term_bounds_rise_again_on_a_clean_path),
        cmocka_unit_test(short_term_bounds_stay_while_something_gets_lost),
        cmocka_unit_test(a_standing_queue_bounds_the_rate),
        cmocka_unit_test(a_probe_into_a_full_queue_begins_at_what_is_delivered),
        cmocka_unit_test(short_paths_are_measured_more_often),
        cmocka_unit_test(a_path_that_is_known_is_measured_less_often),
        cmocka_unit_test(a_path_that_was_not_known_is_measured_again_soon),
        cmocka_unit_test(flows_of_a_host_measure_at_the_same_time),
        cmocka_unit_test(a_queue_of_others_delays_probes_as_it_does_reno),
        cmocka_unit_test(two_percent_of_loss_are_tolerated),
        cmocka_unit_test(loss_without_a_queue_is_tolerated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

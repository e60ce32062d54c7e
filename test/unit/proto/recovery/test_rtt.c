/* SPDX-License-Identifier: MIT */
/* Round-trip times: RFC 9002, Sections 5 and 6. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/recovery/rtt.h"

/* [RFC9002 6.2.2] 333 ms, and half of it: the first PTO is 999 ms. */
static void before_a_sample_the_estimate_is_the_initial_one(void **state)
{
    (void)state;
    struct sp_rtt rtt;
    sp_rtt_init(&rtt);
    assert_false(sp_rtt_has_sample(&rtt));
    assert_int_equal(rtt.smoothed_ns, 333 * SB_MS);
    assert_int_equal(sp_rtt_pto_ns(&rtt), 999 * SB_MS);
    assert_int_equal(sp_rtt_loss_delay_ns(&rtt), 333 * SB_MS * 9 / 8);
}

/* [RFC9002 5.2, 5.3] The first sample counts as it is, whatever the peer says of its delay. */
static void the_first_sample_replaces_the_estimate(void **state)
{
    (void)state;
    struct sp_rtt rtt;
    sp_rtt_init(&rtt);
    sp_rtt_on_sample(&rtt, 100 * SB_MS, 90 * SB_MS, 5 * SB_S);
    assert_true(sp_rtt_has_sample(&rtt));
    assert_int_equal(rtt.first_sample_at_ns, 5 * SB_S);
    assert_int_equal(rtt.latest_ns, 100 * SB_MS);
    assert_int_equal(rtt.min_ns, 100 * SB_MS);
    assert_int_equal(rtt.smoothed_ns, 100 * SB_MS);
    assert_int_equal(rtt.variance_ns, 50 * SB_MS);
    assert_int_equal(sp_rtt_pto_ns(&rtt), 300 * SB_MS);
}

/* [RFC9002 5.3] Each after a first sample of 80 ms. */
static void a_sample_moves_the_estimate_by_the_formula(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint64_t latest_us, delay_us;
        uint64_t min_us, smoothed_us, variance_us;
    } samples[] = {
        {"the same", 80000, 0, 80000, 80000, 30000},
        {"longer", 160000, 0, 80000, 90000, 50000},
        {"longer by the peer's delay", 96000, 16000, 80000, 80000, 30000},
        {"longer by more than it", 112000, 16000, 80000, 82000, 34000},
        {"the delay would go below the minimum", 96000, 16001, 80000, 82000, 34000},
        {"shorter", 40000, 0, 40000, 75000, 40000},
        {"shorter, with a delay", 40000, 16000, 40000, 75000, 40000},
        {"none at all", 0, 0, 0, 70000, 50000},
        {"an absurd delay", 160000, UINT64_MAX / 4 / SB_US, 80000, 90000, 50000},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_rtt rtt;
        sp_rtt_init(&rtt);
        sp_rtt_on_sample(&rtt, 80 * SB_MS, 0, 1);
        sp_rtt_on_sample(&rtt, samples[i].latest_us * SB_US, samples[i].delay_us * SB_US, 2);
        print_message("    %s\n", samples[i].what);
        assert_int_equal(rtt.first_sample_at_ns, 1);
        assert_int_equal(rtt.min_ns, samples[i].min_us * SB_US);
        assert_int_equal(rtt.smoothed_ns, samples[i].smoothed_us * SB_US);
        assert_int_equal(rtt.variance_ns, samples[i].variance_us * SB_US);
    }
}

/* [RFC9002 6.1.2, 6.2.1] On a path of no delay timers are still a granularity long. */
static void no_timer_is_shorter_than_the_granularity(void **state)
{
    (void)state;
    struct sp_rtt rtt;
    sp_rtt_init(&rtt);
    for (int i = 0; i < 100; i++)
        sp_rtt_on_sample(&rtt, 50 * SB_US, 0, 1);
    assert_true(4 * rtt.variance_ns < SB_MS);
    assert_int_equal(sp_rtt_pto_ns(&rtt), rtt.smoothed_ns + SB_MS);
    assert_int_equal(sp_rtt_loss_delay_ns(&rtt), SB_MS);
}

/* [RFC9002 6.1.2] 9/8 of the larger of the smoothed and the latest. */
static void the_loss_delay_follows_the_larger_estimate(void **state)
{
    (void)state;
    struct sp_rtt rtt;
    sp_rtt_init(&rtt);
    sp_rtt_on_sample(&rtt, 80 * SB_MS, 0, 1);
    assert_int_equal(sp_rtt_loss_delay_ns(&rtt), 90 * SB_MS);
    sp_rtt_on_sample(&rtt, 160 * SB_MS, 0, 2);
    assert_int_equal(sp_rtt_loss_delay_ns(&rtt), 180 * SB_MS);
    sp_rtt_on_sample(&rtt, 10 * SB_MS, 0, 3);
    assert_int_equal(rtt.smoothed_ns, 80 * SB_MS);
    assert_int_equal(sp_rtt_loss_delay_ns(&rtt), 90 * SB_MS);
}

/* [RFC9002 6.2.2] */
static void another_round_trip_may_be_assumed(void **state)
{
    (void)state;
    struct sp_rtt rtt;
    sp_rtt_init(&rtt);
    sp_rtt_assume(&rtt, 5 * SB_MS);
    assert_int_equal(sp_rtt_pto_ns(&rtt), 15 * SB_MS);
    sp_rtt_on_sample(&rtt, 100 * SB_MS, 0, SB_S);
    assert_int_equal(rtt.smoothed_ns, 100 * SB_MS); /* nothing is left of it */
    expect_assert_failure(sp_rtt_assume(&rtt, SB_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_a_sample_the_estimate_is_the_initial_one),
        cmocka_unit_test(the_first_sample_replaces_the_estimate),
        cmocka_unit_test(a_sample_moves_the_estimate_by_the_formula),
        cmocka_unit_test(no_timer_is_shorter_than_the_granularity),
        cmocka_unit_test(the_loss_delay_follows_the_larger_estimate),
        cmocka_unit_test(another_round_trip_may_be_assumed),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The back-off and the circuit breaker of a pool, in virtual time. */

#include "test/support/qt.h"

#include "engine/pool/backoff.h"
#include "engine/pool/breaker.h"
#include "proto/base/time.h"

#define MOST UINT64_MAX /* of 64 random bits */

static const struct se_breaker_config config = {
    .failures_max = 3,
    .trials_max = 2,
    .successes_min = 2,
    .open_ns = 100,
    .open_ns_max = 350,
};

static void pauses_double_up_to_the_maximum_and_are_of_any_length_up_to_that(void **state)
{
    (void)state;
    struct se_backoff backoff;
    se_backoff_init(&backoff, 10, 75);
    static const uint64_t bounds[] = {10, 20, 40, 75, 75, 75};
    for (uint32_t i = 0; i < QT_COUNT(bounds); i++) {
        struct se_backoff least = backoff;
        struct se_backoff middle = backoff;
        assert_int_equal(se_backoff_bound_ns(&backoff), bounds[i]);
        assert_int_equal(se_backoff_fail(&least, 0), 0);
        assert_int_equal(se_backoff_fail(&middle, MOST / 2 + 1), (bounds[i] + 1) / 2);
        assert_int_equal(se_backoff_fail(&backoff, MOST), bounds[i]);
    }
    se_backoff_reset(&backoff);
    assert_int_equal(se_backoff_bound_ns(&backoff), 10);
}

static void pauses_stay_bounded_after_any_number_of_failures(void **state)
{
    (void)state;
    struct se_backoff backoff;
    se_backoff_init(&backoff, 1, MOST);
    for (uint32_t i = 0; i < 200; i++)
        assert_true(se_backoff_fail(&backoff, MOST) >= (i < 64 ? UINT64_C(1) << i : MOST));
    backoff.failures = UINT32_MAX;
    assert_int_equal(se_backoff_fail(&backoff, MOST), MOST);
    assert_int_equal(backoff.failures, UINT32_MAX);
}

static void jitter_is_uniform(void **state)
{
    (void)state;
    uint32_t counts[10] = {0};
    uint64_t random = 1;
    for (uint32_t i = 0; i < 10000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        counts[se_backoff_scale(random, 9)]++;
    }
    for (uint32_t i = 0; i < 10; i++)
        assert_in_range(counts[i], 800, 1200);
}

static void failures_in_a_row_open_it_and_successes_between_them_do_not(void **state)
{
    (void)state;
    struct se_breaker breaker;
    se_breaker_init(&breaker, &config);
    for (uint32_t i = 0; i < 10; i++) {
        assert_false(se_breaker_fail(&breaker, 0, 0));
        assert_false(se_breaker_fail(&breaker, 0, 0));
        assert_false(se_breaker_succeed(&breaker));
    }
    assert_true(se_breaker_allows(&breaker));
    assert_int_equal(se_breaker_next_ns(&breaker), SB_NEVER);
    assert_false(se_breaker_fail(&breaker, 0, 0));
    assert_false(se_breaker_fail(&breaker, 0, 0));
    assert_true(se_breaker_fail(&breaker, 5, 0));
    assert_int_equal(breaker.state, SE_BREAKER_OPEN);
    assert_false(se_breaker_allows(&breaker));
    assert_int_equal(se_breaker_next_ns(&breaker), 105);
}

static void open_it(struct se_breaker *breaker, uint64_t now_ns)
{
    for (uint32_t i = 0; i < config.failures_max; i++)
        (void)se_breaker_fail(breaker, now_ns, 0);
    assert_int_equal(breaker->state, SE_BREAKER_OPEN);
}

static void half_open_it(struct se_breaker *breaker)
{
    se_breaker_init(breaker, &config);
    open_it(breaker, 0);
    assert_false(se_breaker_run(breaker, 99));
    assert_true(se_breaker_run(breaker, 100));
    assert_int_equal(breaker->state, SE_BREAKER_HALF_OPEN);
}

static void late_results_change_nothing_while_it_is_open(void **state)
{
    (void)state;
    struct se_breaker breaker;
    se_breaker_init(&breaker, &config);
    open_it(&breaker, 0);
    assert_false(se_breaker_fail(&breaker, 50, MOST));
    assert_false(se_breaker_succeed(&breaker));
    assert_int_equal(breaker.state, SE_BREAKER_OPEN);
    assert_int_equal(se_breaker_next_ns(&breaker), 100);
    assert_int_equal(breaker.openings, 1);
}

static void half_open_allows_trials_and_enough_successes_close_it(void **state)
{
    (void)state;
    struct se_breaker breaker;
    half_open_it(&breaker);
    for (uint32_t i = 0; i < config.trials_max; i++) {
        assert_true(se_breaker_allows(&breaker));
        se_breaker_begin(&breaker);
    }
    assert_false(se_breaker_allows(&breaker));
    assert_false(se_breaker_succeed(&breaker));
    assert_true(se_breaker_allows(&breaker)); /* one has a result */
    assert_true(se_breaker_succeed(&breaker));
    assert_int_equal(breaker.state, SE_BREAKER_CLOSED);
    assert_int_equal(se_breaker_next_ns(&breaker), SB_NEVER);
}

static void a_failure_opens_it_again_for_longer_up_to_the_maximum(void **state)
{
    (void)state;
    static const uint64_t waits[] = {200, 350, 350};
    struct se_breaker breaker;
    half_open_it(&breaker);
    uint64_t now_ns = 100;
    for (uint32_t i = 0; i < QT_COUNT(waits); i++) {
        se_breaker_begin(&breaker);
        assert_false(se_breaker_succeed(&breaker));
        assert_true(se_breaker_fail(&breaker, now_ns, 0));
        assert_int_equal(se_breaker_next_ns(&breaker), now_ns + waits[i]);
        now_ns += waits[i];
        assert_true(se_breaker_run(&breaker, now_ns));
        assert_int_equal(breaker.successes, 0);
    }
    (void)se_breaker_succeed(&breaker);
    assert_true(se_breaker_succeed(&breaker));
    open_it(&breaker, now_ns); /* it was closed, but nothing has gone well since */
    assert_int_equal(se_breaker_next_ns(&breaker), now_ns + 350);
    assert_true(se_breaker_run(&breaker, now_ns + 350));
    for (uint32_t i = 0; i < config.successes_min + 1; i++)
        (void)se_breaker_succeed(&breaker);
    open_it(&breaker, now_ns); /* it is short again */
    assert_int_equal(se_breaker_next_ns(&breaker), now_ns + 100);
}

static void an_open_time_gets_up_to_a_half_longer_at_random(void **state)
{
    (void)state;
    struct se_breaker breaker;
    se_breaker_init(&breaker, &config);
    for (uint32_t i = 0; i < config.failures_max; i++)
        (void)se_breaker_fail(&breaker, 0, MOST);
    assert_int_equal(se_breaker_next_ns(&breaker), 150);
}

static void trials_without_a_result_are_given_up(void **state)
{
    (void)state;
    struct se_breaker breaker;
    half_open_it(&breaker);
    se_breaker_begin(&breaker);
    assert_false(se_breaker_succeed(&breaker));
    se_breaker_begin(&breaker);
    se_breaker_begin(&breaker);
    assert_false(se_breaker_allows(&breaker));
    assert_int_equal(se_breaker_next_ns(&breaker), 200);
    assert_false(se_breaker_run(&breaker, 200));
    assert_true(se_breaker_allows(&breaker));
    assert_int_equal(breaker.successes, 1); /* of the trial that had one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_double_up_to_the_maximum_and_are_of_any_length_up_to_that),
        cmocka_unit_test(pauses_stay_bounded_after_any_number_of_failures),
        cmocka_unit_test(jitter_is_uniform),
        cmocka_unit_test(failures_in_a_row_open_it_and_successes_between_them_do_not),
        cmocka_unit_test(late_results_change_nothing_while_it_is_open),
        cmocka_unit_test(half_open_allows_trials_and_enough_successes_close_it),
        cmocka_unit_test(a_failure_opens_it_again_for_longer_up_to_the_maximum),
        cmocka_unit_test(an_open_time_gets_up_to_a_half_longer_at_random),
        cmocka_unit_test(trials_without_a_result_are_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

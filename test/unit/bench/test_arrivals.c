/* SPDX-License-Identifier: MIT */
/* The schedule of an open loop. */

#include "test/support/qt.h"

#include "bench/load/arrivals.h"

static void uniform_arrivals_are_evenly_spaced_and_do_not_drift(void **state)
{
    (void)state;
    struct arrivals a;
    arrivals_init(&a, 3, false, 1, 1000); /* the interval is no whole number */
    for (uint64_t i = 1; i <= 3000000; i++) {
        uint64_t expected = 1000 + i * 1000000000 / 3;
        uint64_t got = arrivals_peek_ns(&a);
        assert_in_range(got, expected - 1, expected + 1);
        arrivals_advance(&a);
    }
}

static void poisson_arrivals_have_the_mean_and_the_spread_of_the_rate(void **state)
{
    (void)state;
    struct arrivals a;
    const uint64_t count = 200000;
    double squares = 0;
    uint64_t last = 0;
    arrivals_init(&a, 1e6, true, 7, 0); /* a mean gap of 1000 ns */
    for (uint64_t i = 0; i < count; i++) {
        uint64_t now = arrivals_peek_ns(&a);
        assert_true(now >= last);
        squares += (double)(now - last) * (double)(now - last);
        last = now;
        arrivals_advance(&a);
    }
    assert_in_range(last / count, 985, 1015);
    /* An exponential gap has E[x^2] = 2 mean^2; even spacing would have 1. */
    assert_in_range((uint64_t)(squares / (double)count / 1e4), 190, 210);
}

static void the_same_seed_gives_the_same_schedule(void **state)
{
    (void)state;
    struct arrivals a;
    struct arrivals b;
    struct arrivals other;
    uint32_t differences = 0;
    arrivals_init(&a, 1000, true, 42, 5);
    arrivals_init(&b, 1000, true, 42, 5);
    arrivals_init(&other, 1000, true, 43, 5);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(arrivals_peek_ns(&a), arrivals_peek_ns(&b));
        differences += arrivals_peek_ns(&a) != arrivals_peek_ns(&other);
        arrivals_advance(&a);
        arrivals_advance(&b);
        arrivals_advance(&other);
    }
    assert_true(differences > 90);
}

static void peeking_late_does_not_move_the_schedule(void **state)
{
    (void)state;
    struct arrivals a;
    arrivals_init(&a, 1000, false, 1, 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(arrivals_peek_ns(&a), 1000000);
    arrivals_advance(&a);
    assert_int_equal(arrivals_peek_ns(&a), 2000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_arrivals_are_evenly_spaced_and_do_not_drift),
        cmocka_unit_test(poisson_arrivals_have_the_mean_and_the_spread_of_the_rate),
        cmocka_unit_test(the_same_seed_gives_the_same_schedule),
        cmocka_unit_test(peeking_late_does_not_move_the_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

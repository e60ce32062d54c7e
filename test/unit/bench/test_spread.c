/* SPDX-License-Identifier: MIT */
/* How evenly something is shared. */

#include "test/support/qt.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/load/spread.h"

static bool is_near(double a, double b)
{
    return fabs(a - b) < 1e-9;
}

static struct spread of(uint32_t count, const double *shares)
{
    struct spread spread = {.count = 0};
    for (uint32_t i = 0; i < count; i++)
        spread_add(&spread, shares[i]);
    return spread;
}

static void equal_shares_are_even(void **state)
{
    (void)state;
    const double shares[] = {7, 7, 7, 7, 7};
    struct spread spread = of(5, shares);
    assert_true(is_near(spread_slowest_over_fastest(&spread), 1));
    assert_true(is_near(spread_jain(&spread), 1));
    assert_true(is_near(spread.sum, 35));
}

static void all_for_one_of_n_is_1_of_n(void **state)
{
    (void)state;
    const double shares[] = {0, 0, 12, 0};
    struct spread spread = of(4, shares);
    assert_true(is_near(spread_slowest_over_fastest(&spread), 0));
    assert_true(is_near(spread_jain(&spread), 0.25));
}

static void the_least_and_the_greatest_count(void **state)
{
    (void)state;
    const double shares[] = {3, 1, 4, 2};
    struct spread spread = of(4, shares);
    assert_true(is_near(spread_slowest_over_fastest(&spread), 0.25));
    assert_true(is_near(spread_jain(&spread), 100.0 / (4 * 30)));
}

static void nothing_is_neither_even_nor_uneven(void **state)
{
    (void)state;
    const double zeros[] = {0, 0};
    struct spread empty = {.count = 0};
    struct spread idle = of(2, zeros);
    assert_true(isnan(spread_slowest_over_fastest(&empty)) && isnan(spread_jain(&empty)));
    assert_true(isnan(spread_slowest_over_fastest(&idle)) && isnan(spread_jain(&idle)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_shares_are_even),
        cmocka_unit_test(all_for_one_of_n_is_1_of_n),
        cmocka_unit_test(the_least_and_the_greatest_count),
        cmocka_unit_test(nothing_is_neither_even_nor_uneven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

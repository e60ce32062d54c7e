/* SPDX-License-Identifier: MIT */
/* How long a shard spins: the window follows what waiting was like. */

#include "test/support/qt.h"

#include "engine/spin.h"
#include "proto/base/time.h"

#define LIMIT_NS (160 * SB_US)

static void the_two_extremes_never_change_their_mind(void **state)
{
    (void)state;
    static const uint64_t limits[] = {0, SB_NEVER};
    for (size_t i = 0; i < QT_COUNT(limits); i++) {
        struct se_spin spin;
        se_spin_init(&spin, limits[i]);
        for (uint32_t wait = 0; wait < 100; wait++) {
            assert_true(spin.window_ns == limits[i]);
            se_spin_learn(&spin, wait * SB_MS, wait % 2 == 0);
        }
    }
}

static void long_waits_end_the_spinning_in_a_few_steps(void **state)
{
    (void)state;
    for (uint32_t has_news = 0; has_news < 2; has_news++) {
        struct se_spin spin;
        se_spin_init(&spin, LIMIT_NS);
        uint64_t before_ns = spin.window_ns;
        assert_int_equal(before_ns, LIMIT_NS);
        uint32_t wait_count = 0;
        for (; spin.window_ns > 0; wait_count++) {
            se_spin_learn(&spin, LIMIT_NS + 1, has_news != 0);
            assert_true(spin.window_ns < before_ns);
            before_ns = spin.window_ns;
        }
        assert_int_equal(wait_count, 5); /* 80, 40, 20, 10 us, none */
        se_spin_learn(&spin, SB_S, has_news != 0);
        assert_int_equal(spin.window_ns, 0);
    }
}

static void short_waits_bring_it_back_though_they_were_slept(void **state)
{
    (void)state;
    struct se_spin spin;
    se_spin_init(&spin, LIMIT_NS);
    while (spin.window_ns > 0)
        se_spin_learn(&spin, SB_S, true);
    static const uint64_t windows_us[] = {20, 40, 80, 160, 160};
    for (size_t i = 0; i < QT_COUNT(windows_us); i++) {
        se_spin_learn(&spin, LIMIT_NS, true);
        assert_int_equal(spin.window_ns, windows_us[i] * SB_US);
    }
}

static void a_short_wait_without_news_says_nothing(void **state)
{
    (void)state;
    struct se_spin spin;
    se_spin_init(&spin, LIMIT_NS);
    se_spin_learn(&spin, SB_S, true);
    se_spin_learn(&spin, 1, false);
    assert_int_equal(spin.window_ns, LIMIT_NS / 2);
}

static void the_smallest_limits_work_as_well(void **state)
{
    (void)state;
    for (uint64_t limit_ns = 1; limit_ns < 64; limit_ns++) {
        struct se_spin spin;
        se_spin_init(&spin, limit_ns);
        for (uint32_t i = 0; i < 10; i++)
            se_spin_learn(&spin, SB_S, true);
        assert_int_equal(spin.window_ns, 0);
        for (uint32_t i = 0; i < 10; i++) {
            se_spin_learn(&spin, 0, true);
            assert_true(spin.window_ns > 0 && spin.window_ns <= limit_ns);
        }
        assert_int_equal(spin.window_ns, limit_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_two_extremes_never_change_their_mind),
        cmocka_unit_test(long_waits_end_the_spinning_in_a_few_steps),
        cmocka_unit_test(short_waits_bring_it_back_though_they_were_slept),
        cmocka_unit_test(a_short_wait_without_news_says_nothing),
        cmocka_unit_test(the_smallest_limits_work_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Receive windows: RFC 9000, Section 4. */

#include "test/support/qt.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/window.h"
#include "test/sim/random.h"

/* [RFC9000 4.1] */
static void a_byte_beyond_the_limit_is_refused_and_not_counted(void **state)
{
    (void)state;
    struct sp_window window;
    sp_window_init(&window, 1000, 4000);
    assert_true(sp_window_receive(&window, 0));
    assert_true(sp_window_receive(&window, 600));
    assert_false(sp_window_receive(&window, 401));
    assert_false(sp_window_receive(&window, UINT64_MAX));
    assert_int_equal(window.received, 600);
    assert_true(sp_window_receive(&window, 400));
    assert_false(sp_window_receive(&window, 1));
    assert_true(sp_window_receive(&window, 0));
}

/* [RFC9000 4.2] */
static void credit_is_given_again_when_half_of_it_is_used(void **state)
{
    (void)state;
    struct sp_window window;
    sp_window_init(&window, 1000, 1000);
    assert_true(sp_window_receive(&window, 1000));
    assert_false(sp_window_wants_update(&window)); /* received is not read */
    sp_window_consume(&window, 499);
    assert_false(sp_window_wants_update(&window));
    sp_window_consume(&window, 1);
    assert_true(sp_window_wants_update(&window));
    assert_int_equal(sp_window_update(&window, SB_MS, SB_S), 1500);
    assert_false(sp_window_wants_update(&window));
    assert_true(sp_window_receive(&window, 500));
    assert_false(sp_window_receive(&window, 1));
}

static void a_window_that_is_used_up_fast_doubles_up_to_its_maximum(void **state)
{
    (void)state;
    static const struct {
        uint64_t after_ns; /* .. the update before */
        uint64_t want_size;
    } steps[] = {
        {0, 1000},                /* the first: no time to compare with */
        {20 * SB_MS - 1, 2000},   /* within two round trips */
        {20 * SB_MS, 2000},       /* slower */
        {1, 4000},                /* .. */
        {1, 5000},                /* the maximum */
        {1, 5000},                /* .. for ever */
        {3600 * SB_S, 5000},      /* and it never shrinks */
    };
    struct sp_window window;
    sp_window_init(&window, 1000, 5000);
    uint64_t now_ns = 0;
    for (size_t i = 0; i < QT_COUNT(steps); i++) {
        uint64_t bytes = window.limit - window.received;
        assert_true(sp_window_receive(&window, bytes));
        sp_window_consume(&window, bytes);
        assert_true(sp_window_wants_update(&window));
        now_ns += steps[i].after_ns;
        assert_int_equal(sp_window_update(&window, 10 * SB_MS, now_ns),
                         window.consumed + steps[i].want_size);
    }
}

static void a_window_of_nothing_never_wants_anything(void **state)
{
    (void)state;
    struct sp_window window;
    sp_window_init(&window, 0, 0);
    assert_false(sp_window_wants_update(&window));
    assert_false(sp_window_receive(&window, 1));
    assert_true(sp_window_receive(&window, 0));
}

/* consumed <= received <= limit <= consumed + size_max, and the limit never falls. */
static void the_limit_only_rises_and_stays_in_its_bounds(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        struct sp_window window;
        sp_window_init(&window, 1 + seed * 3, 1000);
        uint64_t now_ns = 0;
        for (int i = 0; i < 1000; i++) {
            uint64_t limit = window.limit;
            uint64_t room = limit - window.received;
            uint64_t bytes = qs_random_below(&random, room + 3);
            assert_int_equal(sp_window_receive(&window, bytes), bytes <= room);
            sp_window_consume(&window,
                              qs_random_below(&random, window.received - window.consumed + 1));
            now_ns += qs_random_below(&random, 3 * SB_MS);
            if (sp_window_wants_update(&window))
                assert_true(sp_window_update(&window, SB_MS, now_ns) > limit);
            assert_true(window.consumed <= window.received);
            assert_true(window.received <= window.limit);
            assert_true(window.limit <= window.consumed + window.size);
            assert_true(window.size <= 1000);
        }
    }
}

static void using_more_than_was_received_is_our_bug(void **state)
{
    (void)state;
    struct sp_window window;
    expect_assert_failure(sp_window_init(&window, 2, 1));
    sp_window_init(&window, 10, 10);
    assert_true(sp_window_receive(&window, 5));
    expect_assert_failure(sp_window_consume(&window, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_beyond_the_limit_is_refused_and_not_counted),
        cmocka_unit_test(credit_is_given_again_when_half_of_it_is_used),
        cmocka_unit_test(a_window_that_is_used_up_fast_doubles_up_to_its_maximum),
        cmocka_unit_test(a_window_of_nothing_never_wants_anything),
        cmocka_unit_test(the_limit_only_rises_and_stays_in_its_bounds),
        cmocka_unit_test(using_more_than_was_received_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Losses that prove spurious, and those that do not count as such. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/recovery/reorder.h"

#define LOST_AT_NS (SB_S + 10 * SB_MS)

/* Packets that are `step` numbers apart are lost, `count` of them, sent at the same time. */
static struct sp_reorder lost(uint64_t count, uint64_t step)
{
    struct sp_reorder reorder = {0};
    for (uint64_t i = 0; i < count; i++)
        sp_reorder_on_lost(&reorder, 1000 + i * step, SB_S, LOST_AT_NS);
    return reorder;
}

static uint32_t acked(struct sp_reorder *reorder, uint64_t smallest, uint64_t largest)
{
    uint64_t pn = 0, sent_ns = 0;
    uint32_t count = sp_reorder_on_acked(reorder, smallest, largest, &pn, &sent_ns);
    if (count > 0) {
        assert_in_range(pn, smallest, largest);
        assert_int_equal(sent_ns, SB_S);
    }
    return count;
}

static void each_lost_packet_is_taken_back_once(void **state)
{
    (void)state;
    static const uint64_t steps[] = {1, 2, 63, 64};
    for (uint32_t i = 0; i < QT_COUNT(steps); i++) {
        struct sp_reorder reorder = lost(SP_REORDER_RUNS, steps[i]);
        uint64_t end = 1000 + SP_REORDER_RUNS * steps[i];
        assert_int_equal(acked(&reorder, 0, 999), 0);
        assert_int_equal(acked(&reorder, end, UINT64_MAX >> 2), 0);
        assert_int_equal(acked(&reorder, 1000, 1000), 1);
        assert_int_equal(acked(&reorder, 1000, 1000), 0);
        assert_false(sp_reorder_take_undo(&reorder));
        assert_int_equal(acked(&reorder, 0, end), SP_REORDER_RUNS - 1);
        assert_true(sp_reorder_take_undo(&reorder));
        assert_false(sp_reorder_take_undo(&reorder));
        assert_false(sp_reorder_has_runs(&reorder));
    }
}

static void more_losses_than_are_remembered_are_not_undone(void **state)
{
    (void)state;
    struct sp_reorder reorder = lost(SP_REORDER_RUNS + 1, 64);
    assert_int_equal(acked(&reorder, 0, 100000), SP_REORDER_RUNS);
    assert_false(sp_reorder_take_undo(&reorder));
}

static void only_losses_since_the_last_reduction_count(void **state)
{
    (void)state;
    struct sp_reorder reorder = lost(SP_REORDER_RUNS + 1, 64);
    sp_reorder_on_lost(&reorder, 5000, LOST_AT_NS + 1, LOST_AT_NS + SB_MS);
    uint64_t pn, sent_ns;
    assert_int_equal(sp_reorder_on_acked(&reorder, 0, 10000, &pn, &sent_ns), 1);
    assert_int_equal(pn, 5000);
    assert_int_equal(sent_ns, LOST_AT_NS + 1);
    assert_true(sp_reorder_take_undo(&reorder));
}

/* Persistent congestion and CE marks are no mistake. */
static void what_cannot_be_spurious_is_not_undone(void **state)
{
    (void)state;
    struct sp_reorder reorder = lost(1, 1);
    sp_reorder_on_final(&reorder, LOST_AT_NS);
    assert_int_equal(acked(&reorder, 0, 10000), 0);
    assert_false(sp_reorder_take_undo(&reorder));
    sp_reorder_on_lost(&reorder, 2000, SB_S, LOST_AT_NS); /* of the same round trip */
    assert_int_equal(acked(&reorder, 0, 10000), 1);
    assert_false(sp_reorder_take_undo(&reorder));
}

static void what_was_lost_long_ago_is_forgotten(void **state)
{
    (void)state;
    struct sp_rtt rtt;
    sp_rtt_init(&rtt);
    sp_rtt_on_sample(&rtt, 100 * SB_MS, 0, SB_S);
    struct sp_reorder reorder = lost(2, 1);
    sp_reorder_update(&reorder, &rtt, LOST_AT_NS + 400 * SB_MS);
    assert_true(sp_reorder_has_runs(&reorder));
    sp_reorder_update(&reorder, &rtt, LOST_AT_NS + 400 * SB_MS + 1);
    assert_false(sp_reorder_has_runs(&reorder));
    assert_false(sp_reorder_take_undo(&reorder));
}

/* The first sample was of a packet that came late: 4 ms.  The round trip is 2 ms, and packets come
 * 2 ms late.  The next one is waited for that long also when the smoothed round trip has fallen. */
static void lateness_counts_from_the_newest_round_trip(void **state)
{
    (void)state;
    struct sp_rtt rtt;
    struct sp_reorder reorder = {0};
    sp_rtt_init(&rtt);
    sp_rtt_on_sample(&rtt, 4 * SB_MS, 0, SB_S);
    sp_rtt_on_sample(&rtt, 2 * SB_MS, 0, SB_S + 2 * SB_MS);
    assert_true(rtt.smoothed_ns > 3 * SB_MS);
    sp_reorder_on_late(&reorder, SB_S, 10, &rtt, SB_S + 4 * SB_MS);
    for (uint64_t i = 2; i < 50; i++)
        sp_rtt_on_sample(&rtt, 2 * SB_MS, 0, SB_S + i * 2 * SB_MS);
    assert_true(rtt.smoothed_ns < 2100 * SB_US);
    assert_in_range(sp_reorder_delay_ns(&reorder, &rtt, 0), 4 * SB_MS, 5 * SB_MS);
}

/* For one period at least, and two at most: of 16 round trips, or of a second if that is more. */
static void lateness_is_remembered_for_some_round_trips(void **state)
{
    (void)state;
    static const struct {
        uint64_t rtt_ns, period_ns;
    } samples[] = {{100 * SB_MS, 1600 * SB_MS}, {10 * SB_MS, SB_S}};
    for (uint32_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_rtt rtt;
        struct sp_reorder reorder = {0};
        sp_rtt_init(&rtt);
        sp_rtt_on_sample(&rtt, samples[i].rtt_ns, 0, SB_S);
        uint64_t plain_ns = sp_reorder_delay_ns(&reorder, &rtt, 0), now_ns = 10 * SB_S;
        sp_reorder_on_late(&reorder, now_ns - 2 * samples[i].rtt_ns, 10, &rtt, now_ns);
        for (uint32_t period = 0; period < 2; period++) {
            sp_reorder_update(&reorder, &rtt, now_ns);
            now_ns += samples[i].period_ns;
            sp_reorder_update(&reorder, &rtt, now_ns - 1);
            assert_true(sp_reorder_delay_ns(&reorder, &rtt, 0) > plain_ns);
        }
        sp_reorder_update(&reorder, &rtt, now_ns);
        assert_int_equal(sp_reorder_delay_ns(&reorder, &rtt, 0), plain_ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_lost_packet_is_taken_back_once),
        cmocka_unit_test(more_losses_than_are_remembered_are_not_undone),
        cmocka_unit_test(only_losses_since_the_last_reduction_count),
        cmocka_unit_test(what_cannot_be_spurious_is_not_undone),
        cmocka_unit_test(what_was_lost_long_ago_is_forgotten),
        cmocka_unit_test(lateness_counts_from_the_newest_round_trip),
        cmocka_unit_test(lateness_is_remembered_for_some_round_trips),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

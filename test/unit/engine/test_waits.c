/* SPDX-License-Identifier: MIT */
/* What a connection waits for: the sums, and the names of the reasons. */

#include "test/support/qt.h"

#include <string.h>

#include "engine/conn/waits.h"

static const struct {
    enum sp_wait reason;
    bool has_slices;
    enum spate_wait wanted;
} kinds[] = {
    {SP_WAIT_NONE, false, SPATE_WAIT_SHARD},
    {SP_WAIT_IDLE, false, SPATE_WAIT_IDLE},
    {SP_WAIT_IDLE, true, SPATE_WAIT_APPLICATION},
    {SP_WAIT_ACK_DELAY, false, SPATE_WAIT_ACK_DELAY},
    {SP_WAIT_ACK_DELAY, true, SPATE_WAIT_APPLICATION},
    {SP_WAIT_CWND, true, SPATE_WAIT_CWND},
    {SP_WAIT_TRAIN, true, SPATE_WAIT_CWND},
    {SP_WAIT_PACER, true, SPATE_WAIT_PACER},
    {SP_WAIT_HELD, true, SPATE_WAIT_LIMIT},
    {SP_WAIT_AMPLIFICATION, true, SPATE_WAIT_AMPLIFICATION},
    {SP_WAIT_CONN_CREDIT, true, SPATE_WAIT_CONN_CREDIT},
    {SP_WAIT_STREAM_CREDIT, true, SPATE_WAIT_STREAM_CREDIT},
    {SP_WAIT_KEY, true, SPATE_WAIT_KEY},
    {SP_WAIT_EXHAUSTED, true, SPATE_WAIT_KEY},
    {SP_WAIT_MEMORY, true, SPATE_WAIT_MEMORY},
    {SP_WAIT_ENDING, true, SPATE_WAIT_CLOSED},
    {SP_WAIT_CLOSED, true, SPATE_WAIT_CLOSED},
};

static void each_reason_of_the_protocol_has_a_kind(void **state)
{
    (void)state;
    uint64_t seen = 0;
    for (size_t i = 0; i < QT_COUNT(kinds); i++) {
        assert_int_equal(se_waits_kind_of(kinds[i].reason, kinds[i].has_slices), kinds[i].wanted);
        seen |= UINT64_C(1) << kinds[i].reason;
    }
    assert_int_equal(seen, (UINT64_C(1) << (SP_WAIT_CLOSED + 1)) - 1);
}

static void each_kind_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SE_WAITS_KINDS; i++)
        for (uint32_t at = 0; at < i; at++)
            assert_string_not_equal(spate_wait_name((enum spate_wait)i),
                                    spate_wait_name((enum spate_wait)at));
    assert_string_equal(spate_wait_name((enum spate_wait)SE_WAITS_KINDS), "unknown");
    assert_string_equal(spate_wait_name((enum spate_wait) - 1), "unknown");
}

/* The n-th kind for n microseconds, twice; then its total is the n-th counter of the list. */
static void each_moment_belongs_to_one_kind(void **state)
{
    (void)state;
    struct se_waits waits;
    struct spate_conn_stats stats;
    uint64_t now_ns = 1000, sum_ns = 0;
    se_waits_init(&waits, now_ns);
    for (uint32_t i = 0; i < 2 * SE_WAITS_KINDS; i++) {
        uint32_t kind = i % SE_WAITS_KINDS;
        se_waits_set(&waits, (enum spate_wait)kind, now_ns);
        now_ns += 1000 * (kind + 1);
    }
    memset(&stats, 0, sizeof(stats));
    se_waits_give(&waits, now_ns, &stats);
    assert_int_equal(stats.waits_for, SPATE_WAIT_CLOSED);
    const uint64_t *total_ns = &stats.waited_shard_ns;
    for (uint32_t i = 0; i < SE_WAITS_KINDS; i++) {
        assert_int_equal(total_ns[i], 2 * 1000 * (i + 1));
        sum_ns += total_ns[i];
    }
    assert_int_equal(sum_ns, now_ns - 1000);
    assert_ptr_equal(&total_ns[SPATE_WAIT_CWND], &stats.waited_cwnd_ns);
    assert_ptr_equal(&total_ns[SPATE_WAIT_SLOT], &stats.waited_slot_ns);
    assert_ptr_equal(&total_ns[SPATE_WAIT_CLOSED], &stats.waited_closed_ns);
}

static void time_that_goes_back_adds_nothing(void **state)
{
    (void)state;
    struct se_waits waits;
    se_waits_init(&waits, 5000);
    se_waits_set(&waits, SPATE_WAIT_IDLE, 4000);
    se_waits_set(&waits, SPATE_WAIT_PACER, 6000);
    assert_int_equal(waits.total_ns[SPATE_WAIT_SHARD], 0);
    assert_int_equal(waits.total_ns[SPATE_WAIT_IDLE], 1000);
}

static void more_is_never_given_back_than_was_held(void **state)
{
    (void)state;
    struct se_waits waits;
    se_waits_init(&waits, 0);
    se_waits_hold(&waits, 100);
    se_waits_release(&waits, 60);
    assert_int_equal(waits.held_bytes, 40);
    se_waits_release(&waits, 60);
    assert_int_equal(waits.held_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reason_of_the_protocol_has_a_kind),
        cmocka_unit_test(each_kind_has_a_name_of_its_own),
        cmocka_unit_test(each_moment_belongs_to_one_kind),
        cmocka_unit_test(time_that_goes_back_adds_nothing),
        cmocka_unit_test(more_is_never_given_back_than_was_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

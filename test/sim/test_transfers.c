/* SPDX-License-Identifier: MIT */
/* How long transfers may take on paths that reorder and lose (sim --transfers). */

#include "test/support/qt.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/transfers.h"

static double median_ms(const char *name, enum sp_cc_kind cc)
{
    enum { RUNS = 21 };
    uint64_t ns = qs_transfer_median_ns(qs_transfer_kind_named(name), cc, RUNS);
    assert_true(ns > 0);
    print_message("    %s, %s: %.1f ms\n", name, sp_cc_ops_of(cc)->name, (double)ns / SB_MS);
    return (double)ns / SB_MS;
}

static const enum sp_cc_kind windows[] = {SP_CC_CUBIC, SP_CC_NEWRENO};

/* A tenth of a round trip late, as every 7th datagram is: the first loss is spurious, and all. */
static void packets_that_are_a_little_late_cost_less_than_a_tenth(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(windows); i++)
        assert_true(median_ms("seventh", windows[i]) < 1.1 * median_ms("clean-40ms", windows[i]));
}

/* A tenth is late by a whole round trip: what comes then is neither lost nor a duplicate, its
 * number can be expanded, an ACK has room for all gaps, and the window for what waits.  The path
 * itself costs 15 %, which a sender takes that never counts a packet as lost: the last packets are
 * late, and a tenth of each round trip's growth comes a round trip later.  The rest is the first
 * loss, after which the path counts as one that reorders. */
static void packets_that_are_a_round_trip_late_are_few_losses(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(windows); i++)
        assert_true(median_ms("reorder-10", windows[i]) < 1.2 * median_ms("clean-2ms", windows[i]));
}

/* [RFC9438 4.3] The window of Reno at that loss rate is 5.5 datagrams: 1.3 s. */
static void random_losses_leave_the_window_of_reno(void **state)
{
    (void)state;
    assert_true(median_ms("loss-5", SP_CC_CUBIC) < 1400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_that_are_a_little_late_cost_less_than_a_tenth),
        cmocka_unit_test(packets_that_are_a_round_trip_late_are_few_losses),
        cmocka_unit_test(random_losses_leave_the_window_of_reno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

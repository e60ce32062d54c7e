/* SPDX-License-Identifier: MIT */
/* What holds for every congestion controller: RFC 9002, Section 7.
 *
 * Method: each test runs over all kinds, so that a new controller is tried without a new test.
 * What is special to one is in a test of its own (test_cc_newreno). */

#include "test/support/qt.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/recovery/bbr.h"
#include "proto/recovery/cc.h"

enum { DATAGRAM = 1200 };

static const struct sp_rtt rtt = {
    .latest_ns = 20 * SB_MS, .smoothed_ns = 20 * SB_MS, .variance_ns = SB_MS, .min_ns = 20 * SB_MS};

/* What a path and an application may do to a controller, drawn from a seed. */
struct walk {
    struct sp_cc cc;
    uint64_t now_ns;
    uint64_t random;
    uint64_t cwnd_bytes_max; /* so far */
};

static uint64_t draw(struct walk *walk, uint64_t below)
{
    walk->random = walk->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (walk->random >> 33) % below;
}

static void begin(struct walk *walk, uint32_t kind, uint64_t seed)
{
    *walk = (struct walk){.now_ns = SB_S, .random = seed};
    static struct sp_bbr model;
    const struct sp_cc_args args = {sp_cc_ops_of((enum sp_cc_kind)kind), DATAGRAM, 1000000, &model,
                                    0};
    sp_cc_init(&walk->cc, &args);
    walk->cwnd_bytes_max = walk->cc.cwnd_bytes;
    assert_int_equal(sp_cc_kind_of(&walk->cc), kind);
}

static void sent(struct walk *walk, uint64_t bytes)
{
    sp_cc_on_sent(&walk->cc, bytes);
    sp_cc_after_sent(&walk->cc, bytes, &rtt, walk->now_ns);
}

static void acked(struct walk *walk, uint64_t bytes, bool is_app_limited)
{
    if (is_app_limited)
        sp_cc_on_app_limited(&walk->cc);
    struct sp_cc_ack ack = {
        bytes, walk->now_ns - rtt.latest_ns, walk->now_ns, &rtt, is_app_limited, 1, rtt.latest_ns};
    sp_cc_on_acked(&walk->cc, &ack);
    sp_cc_on_ack_end(&walk->cc, &ack);
}

static void lost(struct walk *walk, uint64_t bytes, bool is_persistent)
{
    struct sp_cc_loss loss = {
        .bytes = bytes,
        .sent_ns = walk->now_ns - rtt.latest_ns,
        .now_ns = walk->now_ns,
        .rtt = &rtt,
        .range_count = bytes > 0,
        .ce_count = bytes == 0,
        .is_ecn = bytes == 0,
        .is_persistent = is_persistent,
    };
    sp_cc_on_removed(&walk->cc, bytes);
    sp_cc_on_lost(&walk->cc, &loss);
}

/* Sends a window, of which each event takes a part out of flight. */
static void step(struct walk *walk)
{
    uint64_t cwnd_bytes = walk->cc.cwnd_bytes;
    if (draw(walk, 2) == 0)
        sent(walk, sp_cc_room(&walk->cc));
    uint64_t bytes = draw(walk, walk->cc.in_flight_bytes + 1);
    walk->now_ns += draw(walk, 2 * rtt.latest_ns);
    switch (draw(walk, 9)) {
    case 0:
        lost(walk, bytes, false);
        assert_true(walk->cc.cwnd_bytes <= cwnd_bytes);
        break;
    case 1:
        lost(walk, 0, false);
        assert_true(walk->cc.cwnd_bytes <= cwnd_bytes);
        break;
    case 2:
        acked(walk, bytes, true); /* it may give back what a loss or a probe took */
        assert_true(walk->cc.cwnd_bytes <= walk->cwnd_bytes_max);
        break;
    case 3:
        sp_cc_set_datagram_bytes(&walk->cc, 1200 + draw(walk, 300));
        break;
    case 4:
        if (draw(walk, 16) == 0)
            lost(walk, bytes, true);
        break;
    case 5:
        sp_cc_undo(&walk->cc);
        break;
    default:
        acked(walk, bytes, false);
        break;
    }
    assert_true(walk->cc.cwnd_bytes >= sp_cc_cwnd_min(&walk->cc));
    walk->cwnd_bytes_max = SB_MAX(walk->cwnd_bytes_max, walk->cc.cwnd_bytes);
}

static void every_kind_has_its_operations(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < SP_CC_KINDS; kind++) {
        const struct sp_cc_ops *ops = sp_cc_ops_of((enum sp_cc_kind)kind);
        print_message("    %s\n", ops->name);
        assert_true(ops->init != NULL && ops->on_acked != NULL && ops->on_lost != NULL);
        for (uint32_t other = 0; other < kind; other++)
            assert_string_not_equal(ops->name, sp_cc_ops_of((enum sp_cc_kind)other)->name);
    }
    expect_assert_failure((void)sp_cc_ops_of(SP_CC_KINDS));
}

/* [RFC9002 7.2] The window is at least two datagrams, whatever happens; a loss, a mark and an
 * ACK that the window did not hold back never make it grow. */
static void the_window_stays_in_its_bounds(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < SP_CC_KINDS; kind++) {
        for (uint64_t seed = 0; seed < 50; seed++) {
            struct walk walk;
            begin(&walk, kind, seed);
            assert_true(walk.cc.cwnd_bytes >= sp_cc_cwnd_min(&walk.cc));
            for (uint32_t i = 0; i < 1000; i++)
                step(&walk);
        }
    }
}

static void a_window_that_is_full_grows(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < SP_CC_KINDS; kind++) {
        struct walk walk;
        begin(&walk, kind, 1);
        uint64_t cwnd_bytes = walk.cc.cwnd_bytes;
        for (uint32_t round = 0; round < 10; round++) {
            walk.now_ns += rtt.latest_ns;
            sent(&walk, sp_cc_room(&walk.cc));
            acked(&walk, walk.cc.in_flight_bytes, false);
        }
        assert_true(walk.cc.cwnd_bytes > cwnd_bytes || walk.cc.rate_bytes_per_s != 0);
    }
}

/* [RFC9002 7.2] */
static void the_first_window_may_have_more_datagrams(void **state)
{
    (void)state;
    static const struct {
        uint32_t datagrams;
        uint64_t datagram_bytes, want;
    } samples[] = {{0, 1200, 12000},  {10, 1200, 12000}, {10, 1472, 14720}, {10, 9000, 18000},
                   {64, 1200, 76800}, {64, 9000, 94208}, {2, 1200, 2400},   {2, 9000, 18000}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_cc cc;
        const struct sp_cc_args args = {.ops = &sp_cc_cubic_ops,
                                        .datagram_bytes = samples[i].datagram_bytes,
                                        .initial_datagrams = samples[i].datagrams};
        sp_cc_init(&cc, &args);
        assert_int_equal(cc.cwnd_bytes, samples[i].want);
    }
}

/* [RFC9002 7.8] */
static void an_idle_application_does_not_grow_the_window(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < SP_CC_KINDS; kind++) {
        struct walk walk;
        begin(&walk, kind, 1);
        uint64_t cwnd_bytes = walk.cc.cwnd_bytes;
        for (uint32_t round = 0; round < 100; round++) {
            walk.now_ns += rtt.latest_ns;
            sent(&walk, DATAGRAM);
            acked(&walk, DATAGRAM, true);
            assert_true(walk.cc.cwnd_bytes <= cwnd_bytes);
        }
    }
}

/* [RFC9002 7.6.2] */
static void persistent_congestion_collapses_the_window(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < SP_CC_KINDS; kind++) {
        for (uint64_t seed = 0; seed < 50; seed++) {
            struct walk walk;
            begin(&walk, kind, seed);
            for (uint32_t i = 0; i < 100; i++)
                step(&walk);
            walk.now_ns += SB_S;
            sent(&walk, sp_cc_room(&walk.cc));
            lost(&walk, walk.cc.in_flight_bytes, true);
            /* Two datagrams in RFC 9002; BBR keeps four. */
            assert_true(walk.cc.cwnd_bytes <= 2 * sp_cc_cwnd_min(&walk.cc));
        }
    }
}

/* A controller that breaks the rules of the table is our bug. */
static void too_small(struct sp_cc *cc)
{
    cc->cwnd_bytes = sp_cc_cwnd_min(cc) - 1;
}

static void too_small_at_first(struct sp_cc *cc, const struct sp_cc_args *args)
{
    (void)args;
    too_small(cc);
}

static void too_small_by_ack(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    (void)ack;
    too_small(cc);
}

static void too_small_by_loss(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    (void)loss;
    too_small(cc);
}

static void a_window_below_the_floor_is_our_bug(void **state)
{
    (void)state;
    static const struct sp_cc_ops bad = {
        .name = "bad",
        .init = too_small_at_first,
        .on_acked = too_small_by_ack,
        .on_lost = too_small_by_loss,
        .on_ack_end = too_small_by_ack,
        .undo = too_small,
    };
    const struct sp_cc_args args = {.ops = &bad, .datagram_bytes = DATAGRAM};
    struct walk walk;
    begin(&walk, SP_CC_NEWRENO, 1);
    struct sp_cc_ack ack = {0, 1, 2, &rtt, false, 0, 0};
    struct sp_cc_loss loss = {.sent_ns = 1, .now_ns = 2, .rtt = &rtt, .is_ecn = true};
    expect_assert_failure(sp_cc_init(&walk.cc, &args));
    walk.cc.ops = &bad;
    assert_int_equal(sp_cc_kind_of(&walk.cc), SP_CC_KINDS);
    expect_assert_failure(sp_cc_on_acked(&walk.cc, &ack));
    expect_assert_failure(sp_cc_on_lost(&walk.cc, &loss));
    expect_assert_failure(sp_cc_on_ack_end(&walk.cc, &ack));
    expect_assert_failure(sp_cc_undo(&walk.cc));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_its_operations),
        cmocka_unit_test(the_window_stays_in_its_bounds),
        cmocka_unit_test(a_window_that_is_full_grows),
        cmocka_unit_test(the_first_window_may_have_more_datagrams),
        cmocka_unit_test(an_idle_application_does_not_grow_the_window),
        cmocka_unit_test(persistent_congestion_collapses_the_window),
        cmocka_unit_test(a_window_below_the_floor_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

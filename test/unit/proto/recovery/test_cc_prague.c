/* SPDX-License-Identifier: MIT */
/* Prague: draft-briscoe-iccrg-prague-congestion-control, with alpha computed by hand. */

#include "test/support/qt.h"

#include "proto/base/compiler.h"
#include "test/support/cc_flow.h"

enum { DATAGRAM = CC_FLOW_DATAGRAM, ALPHA_ONE = 1 << 20 };

static void begin(struct cc_flow *flow, uint64_t rtt_ns, uint64_t cwnd)
{
    cc_flow_begin(flow, SP_CC_PRAGUE, rtt_ns, cwnd);
}

/* An ACK of `count` packets sent at `sent_ns`, of which `ce_count` were marked. */
static void acked_sent_at(struct cc_flow *flow, uint32_t count, uint32_t ce_count, uint64_t sent_ns)
{
    struct sp_cc_ack ack = {
        .bytes = count * (uint64_t)DATAGRAM,
        .sent_ns = sent_ns,
        .now_ns = flow->now_ns,
        .rtt = &flow->rtt,
        .marked_count = count,
        .rtt_ns = flow->rtt.latest_ns,
    };
    sp_cc_on_sent(&flow->cc, ack.bytes);
    sp_cc_on_acked(&flow->cc, &ack);
    struct sp_cc_loss mark = {
        .sent_ns = sent_ns,
        .now_ns = flow->now_ns,
        .rtt = &flow->rtt,
        .ce_count = ce_count,
        .is_ecn = true,
    };
    if (ce_count > 0)
        sp_cc_on_lost(&flow->cc, &mark);
    sp_cc_on_ack_end(&flow->cc, &ack);
}

static void acked(struct cc_flow *flow, uint32_t count, uint32_t ce_count)
{
    acked_sent_at(flow, count, ce_count, flow->now_ns - flow->rtt.latest_ns);
}

/* A round trip, all of which one ACK acknowledges: so a round ends with it. */
static void round_of(struct cc_flow *flow, uint32_t count, uint32_t ce_count)
{
    flow->now_ns += flow->rtt.latest_ns + 1;
    acked(flow, count, ce_count);
}

static void lost(struct cc_flow *flow, bool is_persistent)
{
    sp_cwv_restart(&flow->cc.cwv, flow->now_ns); /* the window is in use */
    cc_flow_lost(flow, is_persistent);
}

/* The first mark, then rounds until the next one counts. */
static void begin_marked(struct cc_flow *flow, uint64_t rtt_ns, uint64_t cwnd)
{
    begin(flow, rtt_ns, 2 * cwnd);
    acked(flow, 1, 1);
    assert_int_equal(flow->cc.prague.state, SP_PRAGUE_L4S);
    assert_int_equal(flow->cc.cwnd_bytes, cwnd * DATAGRAM);
    round_of(flow, 10, 0);
}

/* Such a round, whose marks do not reduce the window: that would begin another round. */
static void counted_round_of(struct cc_flow *flow, uint32_t count, uint32_t ce_count)
{
    flow->cc.prague.is_reduced = true;
    round_of(flow, count, ce_count);
}

/* [RFC9331 4.1] */
static void its_packets_are_those_of_l4s(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 50 * SB_MS, 10);
    assert_int_equal(sp_cc_mark(&flow.cc), SP_ECN_ECT1);
    assert_true(flow.cc.ops->needs_pacing);
}

/* Before the first mark it doubles as others do, and the first one halves, as a loss would. */
static void the_first_mark_ends_slow_start(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 50 * SB_MS, 10);
    for (int i = 0; i < 3; i++)
        round_of(&flow, (uint32_t)(flow.cc.cwnd_bytes / DATAGRAM), 0);
    assert_int_equal(flow.cc.cwnd_bytes, 80 * DATAGRAM);
    assert_int_equal(flow.cc.prague.alpha, ALPHA_ONE); /* whatever was not marked before */
    flow.now_ns += flow.rtt.latest_ns + 1;
    acked(&flow, 4, 1);
    /* The ACK's packets count before its marks do: 84 without the mark, of which three remain. */
    assert_in_range(flow.cc.cwnd_bytes, 40 * DATAGRAM, 42 * DATAGRAM);
    assert_false(sp_cc_is_in_slow_start(&flow.cc));
}

/* By hand: 15/16 of it remain, and 1/16 of the share is added. */
static void alpha_is_the_average_share(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, ce_count, want;
    } rounds[] = {
        {100, 100, 988997 + 65536 - 61812}, /* 992721 */
        {100, 50, 992721 + 32768 - 62045},  /* 963444 */
        {100, 0, 963444 - 60215},           /* 903229 */
        {8, 1, 903229 + 8192 - 56451},      /* 854970 */
        {3, 1, 854970 + 21845 - 53435},     /* 823380: 2^20 / 3 is 349525, of which 1/16 is 21845 */
        {1, 1, 823380 + 65536 - 51461},     /* 837455 */
        {1, 0, 837455 - 52340},             /* 785115 */
    };
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 1000);
    /* 2^20 * 15/16 is 983040; one of eleven is 95325, of which 1/16 is 5957. */
    assert_int_equal(flow.cc.prague.alpha, 983040 + 5957);
    for (size_t i = 0; i < QT_COUNT(rounds); i++) {
        counted_round_of(&flow, rounds[i].count, rounds[i].ce_count);
        assert_int_equal(flow.cc.prague.alpha, rounds[i].want);
    }
    /* It stays between none and all. */
    for (int i = 0; i < 300; i++)
        counted_round_of(&flow, 100, 100);
    assert_in_range(flow.cc.prague.alpha, ALPHA_ONE - 16, ALPHA_ONE);
    for (int i = 0; i < 400; i++)
        round_of(&flow, 100, 0);
    assert_in_range(flow.cc.prague.alpha, 0, 16);
}

/* A peer that reports more marks than packets, later than these. */
static void more_marks_than_packets_are_all(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 1000);
    counted_round_of(&flow, 2, 1000);
    assert_int_equal(flow.cc.prague.alpha, 992721);
    assert_true(flow.cc.cwnd_bytes >= 500 * DATAGRAM);
}

/* By alpha / 2, at the first mark of a round trip. */
static void a_round_of_marks_reduces_once(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 1000);
    flow.cc.prague.alpha = ALPHA_ONE / 5;
    uint64_t before = flow.cc.cwnd_bytes;
    flow.now_ns += flow.rtt.latest_ns + 1;
    acked(&flow, 1, 1);
    uint64_t reduced = flow.cc.cwnd_bytes, at_ns = flow.now_ns;
    assert_in_range(reduced, before * 9 / 10, before * 9 / 10 + 1);
    assert_int_equal(flow.cc.ssthresh_bytes, reduced);
    for (uint64_t sent_ns = at_ns - 40 * SB_MS; sent_ns <= at_ns; sent_ns += 10 * SB_MS) {
        flow.now_ns = sent_ns + flow.rtt.latest_ns;
        acked_sent_at(&flow, 1, 1, sent_ns); /* sent before the reduction */
        assert_int_equal(flow.cc.cwnd_bytes, reduced);
    }
    acked_sent_at(&flow, 2, 1, at_ns + 1); /* one of them may have left before it */
    assert_in_range(flow.cc.cwnd_bytes, reduced, reduced + DATAGRAM);
    acked_sent_at(&flow, 1, 1, at_ns + 2);
    assert_true(flow.cc.cwnd_bytes < reduced * 19 / 20);
}

static void marks_never_take_the_last_two_datagrams(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 10);
    for (int i = 0; i < 50; i++)
        round_of(&flow, 4, 4);
    assert_int_equal(flow.cc.cwnd_bytes, 2 * DATAGRAM);
}

/* A datagram per round trip for packets without a mark: so with half of them marked, half of it. */
static void packets_without_marks_grow_the_window(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 100);
    uint64_t before = flow.cc.cwnd_bytes;
    for (int i = 0; i < 10; i++)
        round_of(&flow, 100, 0);
    assert_in_range(flow.cc.cwnd_bytes, before + 9 * DATAGRAM, before + 10 * DATAGRAM);
    flow.cc.prague.alpha = 0; /* nothing is taken */
    before = flow.cc.cwnd_bytes;
    for (int i = 0; i < 10; i++) {
        flow.cc.prague.alpha = 0;
        round_of(&flow, 100, 50);
    }
    assert_in_range(flow.cc.cwnd_bytes, before + 4 * DATAGRAM, before + 5 * DATAGRAM);
}

/* After 500 rounds a path of 5 ms grows and is reduced as one of 25 ms: 25 times slower per round
 * trip, five times per second. */
static void a_short_path_is_alike_to_one_of_25_ms(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 5 * SB_MS, 1000);
    for (int i = 0; i < 25; i++) /* before that, a datagram per round trip */
        round_of(&flow, 1000, 0);
    assert_in_range(flow.cc.cwnd_bytes, 1024 * DATAGRAM, 1026 * DATAGRAM);
    flow.cc.prague.rounds = 500;
    uint64_t before = flow.cc.cwnd_bytes;
    for (int i = 0; i < 50; i++) {
        flow.cc.prague.quiet_rounds = 0;
        round_of(&flow, 1000, 0);
    }
    assert_in_range(flow.cc.cwnd_bytes, before + 1900, before + 2000);

    /* One reduction, and one step of alpha, in 25 ms. */
    for (int i = 0; i < 5; i++)
        round_of(&flow, 1000, 0);
    uint32_t reductions = 0, steps = 0, alpha = flow.cc.prague.alpha;
    for (int i = 0; i < 50; i++) {
        before = flow.cc.cwnd_bytes;
        round_of(&flow, 1000, 1000);
        reductions += flow.cc.cwnd_bytes < before;
        steps += flow.cc.prague.alpha != alpha;
        alpha = flow.cc.prague.alpha;
    }
    assert_in_range(reductions, 8, 10); /* a round begins with the reduction */
    assert_in_range(steps, 8, 10);
    /* Even the shortest path grows. */
    begin_marked(&flow, 10 * SB_US, 10);
    flow.cc.prague.rounds = 500;
    before = flow.cc.cwnd_bytes;
    for (uint32_t i = 0; i < 3000000; i++) {
        flow.cc.prague.quiet_rounds = 0;
        round_of(&flow, 10, 0);
    }
    assert_true(flow.cc.cwnd_bytes > before);
}

/* As CUBIC: to 7/10, and no further growth or reduction in that round trip. */
static void a_loss_is_one_of_cubic(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 1000);
    flow.cc.prague.alpha = ALPHA_ONE / 100;
    uint64_t before = flow.cc.cwnd_bytes;
    lost(&flow, false);
    assert_int_equal(flow.cc.cwnd_bytes, before * 7 / 10);
    assert_int_equal(flow.cc.prague.state, SP_PRAGUE_CLASSIC);
    lost(&flow, false);
    acked(&flow, 100, 100);
    assert_int_equal(flow.cc.cwnd_bytes, before * 7 / 10);
    assert_int_equal(flow.cc.prague.state, SP_PRAGUE_CLASSIC); /* the marks are of the same round */
    for (int i = 0; i < 200; i++) /* K is 9 s: W_max again after 180 round trips */
        round_of(&flow, 700, 0);
    assert_in_range(flow.cc.cwnd_bytes, before * 98 / 100, before * 102 / 100);
    /* A mark ends that. */
    flow.now_ns += flow.rtt.latest_ns + 1;
    acked(&flow, 1, 1);
    assert_int_equal(flow.cc.prague.state, SP_PRAGUE_L4S);
}

/* Both in one round trip are one reduction, by what the loss asks for. */
static void a_mark_before_a_loss_is_a_part_of_it(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 1000);
    flow.cc.prague.alpha = ALPHA_ONE / 10;
    uint64_t before = flow.cc.cwnd_bytes;
    flow.now_ns += flow.rtt.latest_ns + 1;
    acked(&flow, 1, 1);
    uint64_t reduced = flow.cc.cwnd_bytes;
    assert_true(reduced < before);
    lost(&flow, false);
    assert_in_range(flow.cc.cwnd_bytes, before * 7 / 10 - 1, before * 7 / 10 + 1);
    /* What proves spurious takes the reduction of the loss back, and not that of the mark. */
    sp_cc_undo(&flow.cc);
    assert_int_equal(flow.cc.cwnd_bytes, reduced);

    /* A mark that has taken more was enough. */
    begin_marked(&flow, 50 * SB_MS, 1000);
    flow.cc.prague.alpha = ALPHA_ONE;
    flow.now_ns += flow.rtt.latest_ns + 1;
    acked(&flow, 1, 1);
    reduced = flow.cc.cwnd_bytes;
    lost(&flow, false);
    assert_int_equal(flow.cc.cwnd_bytes, reduced);
    assert_int_equal(flow.cc.ssthresh_bytes, reduced);
}

static void a_spurious_loss_is_undone_unless_there_was_a_mark(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 1000);
    flow.cc.prague.alpha = ALPHA_ONE / 10;
    uint64_t before = flow.cc.cwnd_bytes;
    lost(&flow, false);
    sp_cc_undo(&flow.cc);
    assert_int_equal(flow.cc.cwnd_bytes, before);
    lost(&flow, false);
    flow.now_ns += flow.rtt.latest_ns + 1;
    acked(&flow, 1, 1);
    uint64_t reduced = flow.cc.cwnd_bytes;
    assert_true(reduced < before * 7 / 10);
    sp_cc_undo(&flow.cc);
    assert_int_equal(flow.cc.cwnd_bytes, reduced);
}

/* [RFC9002 7.6.2] */
static void persistent_congestion_leaves_two_datagrams(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 1000);
    lost(&flow, true);
    assert_int_equal(flow.cc.cwnd_bytes, 2 * DATAGRAM);
    assert_true(sp_cc_is_in_slow_start(&flow.cc));
    round_of(&flow, 2, 0);
    assert_int_equal(flow.cc.cwnd_bytes, 4 * DATAGRAM);
}

/* [RFC9002 7.8] */
static void a_window_that_is_not_used_does_not_grow(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 100);
    uint64_t before = flow.cc.cwnd_bytes;
    for (int i = 0; i < 100; i++) {
        flow.now_ns += flow.rtt.latest_ns + 1;
        struct sp_cc_ack ack = {
            .bytes = DATAGRAM,
            .sent_ns = flow.now_ns - flow.rtt.latest_ns,
            .now_ns = flow.now_ns,
            .rtt = &flow.rtt,
            .is_app_limited = true,
            .marked_count = 1,
        };
        sp_cc_on_sent(&flow.cc, DATAGRAM);
        sp_cc_on_acked(&flow.cc, &ack);
        sp_cc_on_ack_end(&flow.cc, &ack);
    }
    assert_int_equal(flow.cc.cwnd_bytes, before);
    assert_int_equal(flow.cc.prague.state, SP_PRAGUE_L4S); /* and it proves nothing free */
}

/* Capacity has become free: CUBIC's curve takes it, faster than a datagram per round trip. */
static void without_marks_it_grows_as_cubic(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 50 * SB_MS, 1000);
    for (int i = 0; i < 32; i++)
        round_of(&flow, 1000, 0);
    assert_int_equal(flow.cc.prague.state, SP_PRAGUE_CLASSIC);
    uint64_t before = flow.cc.cwnd_bytes;
    for (int i = 0; i < 200; i++) /* 10 s: 0.4 * 1000 datagrams */
        round_of(&flow, (uint32_t)(flow.cc.cwnd_bytes / DATAGRAM), 0);
    assert_in_range(flow.cc.cwnd_bytes, before + 350 * DATAGRAM, before + 450 * DATAGRAM);
}

/* The window per 17/16 of a round trip; a quarter more than a window per round trip while it grows
 * as CUBIC's. */
static void the_rate_follows_the_window(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin(&flow, 50 * SB_MS, 100);
    round_of(&flow, 1, 0);
    assert_int_equal(flow.cc.rate_bytes_per_s, 101 * DATAGRAM * 20 * 5 / 4);
    begin_marked(&flow, 50 * SB_MS, 100);
    uint64_t rate = flow.cc.cwnd_bytes * 20;
    assert_int_equal(flow.cc.rate_bytes_per_s, rate - rate / 17);
    lost(&flow, false);
    rate = flow.cc.cwnd_bytes * 20;
    assert_int_equal(flow.cc.rate_bytes_per_s, rate + rate / 4);
}

/* Marks behind a queue of `queue_ns`, round for round; the window is kept. */
static void mark_behind(struct cc_flow *flow, uint64_t queue_ns, int rounds)
{
    uint64_t cwnd_bytes = flow->cc.cwnd_bytes;
    flow->rtt.latest_ns = flow->rtt.smoothed_ns = flow->rtt.min_ns + queue_ns;
    for (int i = 0; i < rounds && flow->cc.ops == &sp_cc_prague_ops; i++) {
        round_of(flow, (uint32_t)(cwnd_bytes / DATAGRAM), 1);
        flow->cc.cwnd_bytes = cwnd_bytes;
    }
}

/* [RFC9331 4.3] Then it is CUBIC, from that window on, and its packets are no longer those of L4S.
 */
static void a_classic_queue_is_recognised_by_its_length(void **state)
{
    (void)state;
    static const struct {
        uint64_t queue_ns, cwnd;
        bool want;
    } samples[] = {{5 * SB_MS, 1000, true}, {2 * SB_MS, 1000, false}, {30 * SB_MS, 1000, true},
                   {5 * SB_MS, 2, false},   {8 * SB_MS, 20, false},   {20 * SB_MS, 20, true}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct cc_flow flow;
        begin_marked(&flow, 20 * SB_MS, samples[i].cwnd);
        mark_behind(&flow, samples[i].queue_ns, 15);
        assert_ptr_equal(flow.cc.ops, &sp_cc_prague_ops);
        mark_behind(&flow, samples[i].queue_ns, 100);
        assert_int_equal(sp_cc_kind_of(&flow.cc), samples[i].want ? SP_CC_CUBIC : SP_CC_PRAGUE);
        if (!samples[i].want)
            continue;
        assert_int_equal(sp_cc_mark(&flow.cc), SP_ECN_ECT0);
        assert_int_equal(flow.cc.rate_bytes_per_s, 0);
        uint64_t before = flow.cc.cwnd_bytes;
        round_of(&flow, 10, 1);
        assert_in_range(flow.cc.cwnd_bytes, before * 7 / 10 - DATAGRAM, before * 7 / 10 + DATAGRAM);
    }
}

/* A short queue now and then takes the signs back. */
static void signs_of_a_classic_queue_are_weighed(void **state)
{
    (void)state;
    struct cc_flow flow;
    begin_marked(&flow, 20 * SB_MS, 1000);
    for (int i = 0; i < 50; i++) {
        mark_behind(&flow, 5 * SB_MS, 4);
        mark_behind(&flow, SB_MS, 4);
    }
    assert_ptr_equal(flow.cc.ops, &sp_cc_prague_ops);
}

/* What sp_loss does when the path clears the marks. */
static void without_ecn_it_is_cubic(void **state)
{
    (void)state;
    struct cc_flow flow, cubic;
    begin(&flow, 50 * SB_MS, 10); /* in slow start */
    sp_cc_leave_l4s(&flow.cc);
    begin(&cubic, 50 * SB_MS, 10);
    sp_cc_init(&cubic.cc,
               &(struct sp_cc_args){.ops = &sp_cc_cubic_ops, .datagram_bytes = DATAGRAM});
    for (int i = 0; i < 4; i++) {
        round_of(&flow, (uint32_t)(flow.cc.cwnd_bytes / DATAGRAM), 0);
        round_of(&cubic, (uint32_t)(cubic.cc.cwnd_bytes / DATAGRAM), 0);
        assert_int_equal(flow.cc.cwnd_bytes, cubic.cc.cwnd_bytes);
    }
    assert_int_equal(flow.cc.cwnd_bytes, 160 * DATAGRAM);
    expect_assert_failure(sp_cc_leave_l4s(&flow.cc));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_packets_are_those_of_l4s),
        cmocka_unit_test(the_first_mark_ends_slow_start),
        cmocka_unit_test(alpha_is_the_average_share),
        cmocka_unit_test(more_marks_than_packets_are_all),
        cmocka_unit_test(a_round_of_marks_reduces_once),
        cmocka_unit_test(marks_never_take_the_last_two_datagrams),
        cmocka_unit_test(packets_without_marks_grow_the_window),
        cmocka_unit_test(a_short_path_is_alike_to_one_of_25_ms),
        cmocka_unit_test(a_loss_is_one_of_cubic),
        cmocka_unit_test(a_mark_before_a_loss_is_a_part_of_it),
        cmocka_unit_test(a_spurious_loss_is_undone_unless_there_was_a_mark),
        cmocka_unit_test(persistent_congestion_leaves_two_datagrams),
        cmocka_unit_test(a_window_that_is_not_used_does_not_grow),
        cmocka_unit_test(without_marks_it_grows_as_cubic),
        cmocka_unit_test(the_rate_follows_the_window),
        cmocka_unit_test(a_classic_queue_is_recognised_by_its_length),
        cmocka_unit_test(signs_of_a_classic_queue_are_weighed),
        cmocka_unit_test(without_ecn_it_is_cubic),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

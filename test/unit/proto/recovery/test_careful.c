/* SPDX-License-Identifier: MIT */
/* Careful resume: RFC 9959. */

#include "test/support/qt.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/recovery/careful.h"
#include "proto/recovery/cc.h"

enum { DATAGRAM = 1000, IW = 10000, SAVED = 1000000, JUMP = SAVED / 2 };

#define RTT_NS   (100 * SB_MS)
#define UNTIL_NS (1000 * SB_S)

static const enum sp_cc_kind kinds[] = {SP_CC_CUBIC, SP_CC_NEWRENO};

struct flow {
    struct sp_cc cc;
    struct sp_careful careful;
    struct sp_rtt rtt;
    uint64_t now_ns;
};

/* A connection of which nothing is acknowledged yet, whose round trip is `rtt_ns`. */
static void begin(struct flow *flow, enum sp_cc_kind kind, uint64_t rtt_ns)
{
    *flow = (struct flow){.now_ns = SB_S};
    sp_rtt_init(&flow->rtt);
    sp_rtt_on_sample(&flow->rtt, rtt_ns, 0, flow->now_ns);
    const struct sp_cc_args args = {.ops = sp_cc_ops_of(kind), .datagram_bytes = DATAGRAM};
    sp_cc_init(&flow->cc, &args);
    const struct sp_careful_saved saved = {SAVED, RTT_NS, UNTIL_NS};
    sp_careful_begin(&flow->careful, &flow->cc, &saved);
}

static void acked_sent_at(struct flow *flow, uint64_t bytes, uint64_t sent_ns)
{
    bool is_app_limited = flow->cc.in_flight_bytes * 2 < flow->cc.cwnd_bytes;
    struct sp_cc_ack ack = {
        .bytes = bytes,
        .sent_ns = sent_ns,
        .now_ns = flow->now_ns,
        .rtt = &flow->rtt,
        .is_app_limited = is_app_limited,
        .rtt_ns = flow->rtt.latest_ns,
    };
    sp_cc_on_acked(&flow->cc, &ack);
    sp_cc_on_ack_end(&flow->cc, &ack);
}

static void lost_sent_at(struct flow *flow, uint64_t bytes, uint64_t sent_ns)
{
    struct sp_cc_loss loss = {
        .bytes = bytes,
        .sent_ns = sent_ns,
        .now_ns = flow->now_ns,
        .rtt = &flow->rtt,
        .range_count = bytes > 0,
        .is_ecn = bytes == 0,
    };
    sp_cc_on_removed(&flow->cc, bytes);
    sp_cc_on_lost(&flow->cc, &loss);
}

static void fill(struct flow *flow)
{
    sp_cc_on_sent(&flow->cc, sp_cc_room(&flow->cc));
}

/* Sends the initial window and has it acknowledged, a round trip later. */
static void reconnoitre(struct flow *flow)
{
    fill(flow);
    uint64_t sent_ns = flow->now_ns;
    flow->now_ns += flow->rtt.latest_ns;
    acked_sent_at(flow, IW, sent_ns);
}

/* .. and half of it: slow start sends 10,000 bytes before the rest of the window comes back. */
static void jump(struct flow *flow)
{
    fill(flow);
    uint64_t sent_ns = flow->now_ns;
    flow->now_ns += flow->rtt.latest_ns - SB_MS;
    acked_sent_at(flow, IW / 2, sent_ns);
    assert_int_equal(flow->careful.phase, SP_CAREFUL_RECONNAISSANCE);
    fill(flow);
    flow->now_ns += SB_MS;
    acked_sent_at(flow, IW / 2, sent_ns);
    assert_int_equal(flow->careful.phase, SP_CAREFUL_UNVALIDATED);
    assert_int_equal(flow->careful.pipe_bytes, 10000); /* in flight: what slow start has sent */
}

/* All pairs of phases and events.  */
static void each_phase_leads_where_the_rfc_says(void **state)
{
    (void)state;
    enum { NO = SP_CAREFUL_PHASES };
    static const int want[SP_CAREFUL_PHASES][SP_CAREFUL_EVENTS] = {
        /* JUMP, REFUSE, SENT, UNUSED, ACKED, CONGESTED */
        {SP_CAREFUL_UNVALIDATED, SP_CAREFUL_DECLINED, NO, NO, NO, SP_CAREFUL_DECLINED},
        {NO, NO, SP_CAREFUL_VALIDATING, SP_CAREFUL_VALIDATED, NO, SP_CAREFUL_RETREAT},
        {NO, NO, NO, NO, SP_CAREFUL_VALIDATED, SP_CAREFUL_RETREAT},
        {NO, NO, NO, NO, SP_CAREFUL_RETREATED, SP_CAREFUL_RETREATED},
        {NO, NO, NO, NO, NO, NO},
        {NO, NO, NO, NO, NO, NO},
        {NO, NO, NO, NO, NO, NO},
    };
    for (int phase = 0; phase < SP_CAREFUL_PHASES; phase++) {
        for (int event = 0; event < SP_CAREFUL_EVENTS; event++) {
            enum sp_careful_phase next =
                sp_careful_next((enum sp_careful_phase)phase, (enum sp_careful_event)event);
            assert_int_equal((int)next, want[phase][event]);
        }
    }
}

/* [RFC9959] The whole initial window has to arrive first. */
static void the_jump_is_half_of_the_saved_window(void **state)
{
    (void)state;
    for (size_t i = 0; i < SB_COUNT(kinds); i++) {
        struct flow flow;
        begin(&flow, kinds[i], RTT_NS);
        reconnoitre(&flow);
        assert_int_equal(flow.careful.phase, SP_CAREFUL_UNVALIDATED);
        assert_int_equal(flow.cc.cwnd_bytes, JUMP);
        assert_int_equal(flow.cc.rate_bytes_per_s, JUMP * 10); /* over a round trip of 100 ms */
        assert_true(sp_cc_is_in_first_slow_start(&flow.cc));

        begin(&flow, kinds[i], RTT_NS);
        jump(&flow);
    }
}

/* [RFC9959] Less than half the round trip, or more than ten times, is another path. */
static void another_round_trip_means_another_path(void **state)
{
    (void)state;
    static const struct {
        uint64_t rtt_ns;
        enum sp_careful_phase want;
    } samples[] = {
        {RTT_NS / 2 - 1, SP_CAREFUL_DECLINED},   {RTT_NS / 2, SP_CAREFUL_UNVALIDATED},
        {RTT_NS * 3, SP_CAREFUL_UNVALIDATED},    {RTT_NS * 10, SP_CAREFUL_UNVALIDATED},
        {RTT_NS * 10 + 10, SP_CAREFUL_DECLINED}, {SB_MS, SP_CAREFUL_DECLINED},
    };
    for (size_t i = 0; i < SB_COUNT(samples); i++) {
        struct flow flow;
        begin(&flow, SP_CC_CUBIC, samples[i].rtt_ns);
        reconnoitre(&flow);
        assert_int_equal(flow.careful.phase, samples[i].want);
        if (samples[i].want == SP_CAREFUL_DECLINED)
            assert_int_equal(flow.cc.cwnd_bytes, 2 * IW); /* slow start, as always */
    }
}

static void nothing_old_small_or_congested_is_resumed(void **state)
{
    (void)state;
    struct flow flow;
    for (uint32_t i = 0; i < 4; i++) {
        begin(&flow, SP_CC_NEWRENO, RTT_NS);
        if (i == 0)
            flow.careful.saved.until_ns = flow.now_ns + RTT_NS; /* it ends just then */
        else if (i == 1)
            flow.careful.saved.cwnd_bytes = 4 * IW + 1; /* half of that has slow start too */
        if (i < 2) {
            reconnoitre(&flow);
        } else {
            fill(&flow);
            flow.now_ns += RTT_NS;
            lost_sent_at(&flow, i == 2 ? 1000 : 0, SB_S); /* or a mark */
            assert_int_equal(flow.cc.cwnd_bytes, IW / 2);
        }
        assert_int_equal(flow.careful.phase, SP_CAREFUL_DECLINED);
        assert_int_equal(flow.cc.rate_bytes_per_s, 0);
    }
}

/* An application that does not fill its window gets no larger one, until it does. */
static void a_jump_waits_for_something_to_send(void **state)
{
    (void)state;
    struct flow flow;
    begin(&flow, SP_CC_CUBIC, RTT_NS);
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t sent_ns = flow.now_ns;
        sp_cc_on_sent(&flow.cc, IW / 4);
        flow.now_ns += RTT_NS;
        acked_sent_at(&flow, IW / 4, sent_ns);
        assert_int_equal(flow.careful.phase, SP_CAREFUL_RECONNAISSANCE);
        assert_int_equal(flow.cc.cwnd_bytes, IW);
    }
    reconnoitre(&flow);
    assert_int_equal(flow.careful.phase, SP_CAREFUL_UNVALIDATED);
}

/* [RFC9959] 500,000 bytes are under way when the first of them arrives; the window goes on
 * in slow start from there. */
static void a_jump_that_gets_through_goes_on_in_slow_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < SB_COUNT(kinds); i++) {
        struct flow flow;
        begin(&flow, kinds[i], RTT_NS);
        jump(&flow);
        uint64_t jump_ns = flow.now_ns;
        fill(&flow);
        assert_int_equal(flow.cc.in_flight_bytes, JUMP);
        flow.now_ns += RTT_NS - SB_MS;
        acked_sent_at(&flow, 1000, jump_ns - SB_MS); /* of before it; the window is full: sent */
        assert_int_equal(flow.careful.phase, SP_CAREFUL_VALIDATING);
        assert_int_equal(flow.cc.cwnd_bytes, JUMP);
        assert_int_equal(flow.cc.rate_bytes_per_s, 0);
        flow.now_ns += SB_MS;
        acked_sent_at(&flow, 99000, jump_ns);
        assert_int_equal(flow.cc.cwnd_bytes, JUMP + 99000);
        assert_int_equal(flow.careful.phase, SP_CAREFUL_VALIDATING);
        fill(&flow);
        flow.now_ns += RTT_NS;
        acked_sent_at(&flow, 100000, flow.now_ns - RTT_NS / 2); /* it left later than the jump */
        assert_int_equal(flow.careful.phase, SP_CAREFUL_VALIDATED);
        assert_true(sp_cc_is_in_first_slow_start(&flow.cc));
    }
}

/* [RFC9959] The window is what was used of the jump. */
static void a_jump_that_is_not_used_leaves_no_window(void **state)
{
    (void)state;
    struct flow flow;
    begin(&flow, SP_CC_CUBIC, RTT_NS);
    jump(&flow);
    flow.now_ns += RTT_NS - SB_MS;
    acked_sent_at(&flow, 10000, flow.now_ns - RTT_NS);
    assert_int_equal(flow.careful.phase, SP_CAREFUL_UNVALIDATED);
    sp_cc_on_sent(&flow.cc, 5000);
    flow.now_ns += SB_MS; /* a round trip has passed */
    acked_sent_at(&flow, 1000, flow.now_ns - SB_MS);
    assert_int_equal(flow.careful.phase, SP_CAREFUL_VALIDATED);
    assert_int_equal(flow.cc.cwnd_bytes, 21000); /* pipe: 10,000 in flight, 11,000 acknowledged */

    /* Some of it: 60,000 bytes, of which 5,000 are acknowledged. */
    begin(&flow, SP_CC_CUBIC, RTT_NS);
    jump(&flow);
    sp_cc_on_sent(&flow.cc, 50000);
    uint64_t jump_ns = flow.now_ns;
    flow.now_ns += RTT_NS;
    acked_sent_at(&flow, 5000, jump_ns);
    assert_int_equal(flow.careful.phase, SP_CAREFUL_VALIDATING);
    assert_int_equal(flow.cc.cwnd_bytes, 60000);
}

/* [RFC9959] pipe: 10,000 in flight at the jump and 30,000 acknowledged since.  Half of that is
 * left; when all of the jump has arrived or is lost, slow start ends at half of what got through.
 */
static void losses_of_a_jump_lead_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < SB_COUNT(kinds) * 2; i++) {
        bool is_ecn = i % 2 == 1;
        struct flow flow;
        begin(&flow, kinds[i / 2], RTT_NS);
        jump(&flow);
        fill(&flow);
        uint64_t jump_ns = flow.now_ns;
        flow.now_ns += RTT_NS;
        acked_sent_at(&flow, 10000, jump_ns - SB_MS);
        acked_sent_at(&flow, 20000, jump_ns);
        assert_int_equal(flow.careful.phase, SP_CAREFUL_VALIDATING);
        assert_int_equal(flow.careful.pipe_bytes, 40000);
        lost_sent_at(&flow, is_ecn ? 0 : 50000, jump_ns);
        assert_int_equal(flow.careful.phase, SP_CAREFUL_RETREAT);
        assert_int_equal(flow.cc.cwnd_bytes, 20000);
        assert_int_equal(flow.cc.ssthresh_bytes, 20000);
        assert_int_equal(flow.cc.rate_bytes_per_s, 0);
        lost_sent_at(&flow, 100000, jump_ns); /* the same congestion */
        assert_int_equal(flow.cc.cwnd_bytes, 20000);
        acked_sent_at(&flow, 100000, jump_ns);
        assert_int_equal(flow.cc.cwnd_bytes, 20000);
        assert_int_equal(flow.careful.phase, SP_CAREFUL_RETREAT);
        uint64_t last_ns = flow.now_ns;
        flow.now_ns += RTT_NS;
        acked_sent_at(&flow, 1000, last_ns + SB_MS);
        assert_int_equal(flow.careful.phase, SP_CAREFUL_RETREATED);
        assert_int_equal(flow.cc.ssthresh_bytes, 70500); /* (40,000 + 101,000) / 2 */
        assert_true(sp_cc_is_in_slow_start(&flow.cc));
    }
}

/* Before any of the jump has arrived: what slow start would have is halved. */
static void a_loss_while_the_jump_is_sent_leads_back(void **state)
{
    (void)state;
    struct flow flow;
    begin(&flow, SP_CC_NEWRENO, RTT_NS);
    jump(&flow);
    sp_cc_on_sent(&flow.cc, 100000);
    flow.now_ns += RTT_NS / 2;
    lost_sent_at(&flow, 1000, flow.now_ns - RTT_NS);
    assert_int_equal(flow.careful.phase, SP_CAREFUL_RETREAT);
    assert_int_equal(flow.cc.cwnd_bytes, 5000);
    assert_int_equal(flow.careful.last_ns, flow.now_ns); /* all that left so far is of the jump */
}

/* A second congestion in the retreat is the controller's: nothing raises ssthresh then. */
static void a_second_loss_ends_the_retreat(void **state)
{
    (void)state;
    struct flow flow;
    begin(&flow, SP_CC_NEWRENO, RTT_NS);
    jump(&flow);
    fill(&flow);
    uint64_t jump_ns = flow.now_ns;
    flow.now_ns += RTT_NS;
    acked_sent_at(&flow, 30000, jump_ns);
    lost_sent_at(&flow, 50000, jump_ns);
    uint64_t cwnd_bytes = flow.cc.cwnd_bytes;
    flow.now_ns += RTT_NS;
    lost_sent_at(&flow, 1000, flow.now_ns - SB_MS);
    assert_int_equal(flow.careful.phase, SP_CAREFUL_RETREATED);
    assert_int_equal(flow.cc.cwnd_bytes, cwnd_bytes / 2);
    assert_int_equal(flow.cc.ssthresh_bytes, cwnd_bytes / 2);
}

/* What got through is given back, not the jump. */
static void a_spurious_loss_of_a_jump_is_undone(void **state)
{
    (void)state;
    for (size_t i = 0; i < SB_COUNT(kinds); i++) {
        struct flow flow;
        begin(&flow, kinds[i], RTT_NS);
        jump(&flow);
        fill(&flow);
        uint64_t jump_ns = flow.now_ns;
        flow.now_ns += RTT_NS;
        acked_sent_at(&flow, 30000, jump_ns);
        lost_sent_at(&flow, 1000, jump_ns);
        sp_cc_undo(&flow.cc);
        assert_int_equal(flow.cc.cwnd_bytes, 40000);
        assert_true(sp_cc_is_in_first_slow_start(&flow.cc));
    }
}

static void observe(struct flow *flow, uint64_t want_cwnd, uint64_t want_until_ns)
{
    struct sp_careful_saved saved = {0};
    bool has_any = sp_careful_observe(&flow->cc, &flow->rtt, flow->now_ns, 2 * UNTIL_NS, &saved);
    assert_int_equal(has_any, want_cwnd != 0);
    assert_int_equal(saved.cwnd_bytes, want_cwnd);
    assert_int_equal(saved.until_ns, want_until_ns);
}

static void what_is_worth_it_is_saved(void **state)
{
    (void)state;
    struct flow flow;
    begin(&flow, SP_CC_CUBIC, RTT_NS);
    flow.cc.careful = NULL;
    observe(&flow, 0, 0); /* nothing was measured */
    for (uint32_t i = 0; i < 6; i++)
        reconnoitre(&flow);
    fill(&flow);
    flow.cc.cwnd_bytes = 100000;
    flow.cc.cwv.validated_bytes = 20000;
    observe(&flow, 0, 0); /* half of it is the initial window */
    flow.cc.cwv.validated_bytes = 90000;
    observe(&flow, 90000, 2 * UNTIL_NS);
    flow.rtt.smoothed_ns = 3 * RTT_NS;
    observe(&flow, 30000, 2 * UNTIL_NS); /* two thirds of it waited in a queue */
    flow.rtt.smoothed_ns = RTT_NS;
    flow.now_ns += 301 * SB_S;
    observe(&flow, 0, 0); /* it was too long ago */

    begin(&flow, SP_CC_CUBIC, RTT_NS); /* it used less than it began with, and was not limited */
    observe(&flow, SAVED, UNTIL_NS);
    reconnoitre(&flow);
    observe(&flow, SAVED, UNTIL_NS);
    flow.now_ns = UNTIL_NS;
    observe(&flow, 0, 0);

    begin(&flow, SP_CC_CUBIC, RTT_NS); /* it used more */
    flow.cc.cwv.validated_ns = flow.now_ns;
    flow.cc.cwv.validated_bytes = 2 * SAVED;
    observe(&flow, 2 * SAVED, 2 * UNTIL_NS);

    begin(&flow, SP_CC_NEWRENO, RTT_NS); /* what was saved was too much */
    jump(&flow);
    fill(&flow);
    flow.now_ns += RTT_NS;
    lost_sent_at(&flow, 1000, flow.now_ns - RTT_NS);
    flow.cc.cwv.validated_bytes = 50000;
    observe(&flow, 50000, 2 * UNTIL_NS);

    const struct sp_cc_args args = {
        .ops = &sp_cc_fixed_ops, .datagram_bytes = DATAGRAM, .rate_bytes_per_s = 1000000};
    sp_cc_init(&flow.cc, &args); /* it knows no window */
    observe(&flow, 0, 0);
    expect_assert_failure(sp_careful_begin(&flow.careful, &flow.cc, &flow.careful.saved));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_phase_leads_where_the_rfc_says),
        cmocka_unit_test(the_jump_is_half_of_the_saved_window),
        cmocka_unit_test(another_round_trip_means_another_path),
        cmocka_unit_test(nothing_old_small_or_congested_is_resumed),
        cmocka_unit_test(a_jump_waits_for_something_to_send),
        cmocka_unit_test(a_jump_that_gets_through_goes_on_in_slow_start),
        cmocka_unit_test(a_jump_that_is_not_used_leaves_no_window),
        cmocka_unit_test(losses_of_a_jump_lead_back),
        cmocka_unit_test(a_loss_while_the_jump_is_sent_leads_back),
        cmocka_unit_test(a_second_loss_ends_the_retreat),
        cmocka_unit_test(a_spurious_loss_of_a_jump_is_undone),
        cmocka_unit_test(what_is_worth_it_is_saved),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

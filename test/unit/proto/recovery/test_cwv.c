/* SPDX-License-Identifier: MIT */
/* Windows of senders that are idle or limited by their application: RFC 7661, RFC 9002, 7.8. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/recovery/cc.h"
#include "proto/recovery/cwv.h"

enum { DATAGRAM = 1000, MINUTE_S = 60 };

#define RTT_NS (100 * SB_MS)

static const struct sp_rtt rtt = {
    .latest_ns = RTT_NS, .smoothed_ns = RTT_NS, .variance_ns = SB_MS, .min_ns = RTT_NS};

/* A sender on a path whose round trip is always the same. */
struct flow {
    struct sp_cc cc;
    uint64_t now_ns;
};

static void begin(struct flow *flow, enum sp_cc_kind kind, uint64_t cwnd, uint64_t ssthresh)
{
    *flow = (struct flow){.now_ns = SB_S};
    const struct sp_cc_args args = {.ops = sp_cc_ops_of(kind), .datagram_bytes = DATAGRAM};
    sp_cc_init(&flow->cc, &args);
    flow->cc.cwnd_bytes = cwnd;
    flow->cc.ssthresh_bytes = ssthresh;
}

static void sent(struct flow *flow, uint64_t bytes)
{
    if (flow->cc.in_flight_bytes == 0)
        (void)sp_cc_on_restart(&flow->cc, flow->now_ns);
    sp_cc_on_sent(&flow->cc, bytes);
}

/* An ACK of packets that left a round trip ago. */
static void acked(struct flow *flow, uint64_t bytes)
{
    bool is_app_limited = flow->cc.in_flight_bytes * 2 < flow->cc.cwnd_bytes;
    struct sp_cc_ack ack = {bytes, flow->now_ns - RTT_NS, flow->now_ns, &rtt, is_app_limited, 0,
                            RTT_NS};
    sp_cc_on_acked(&flow->cc, &ack);
    sp_cc_on_ack_end(&flow->cc, &ack);
}

static void lost(struct flow *flow, uint64_t bytes)
{
    struct sp_cc_loss loss = {
        .bytes = bytes,
        .sent_ns = flow->now_ns - RTT_NS,
        .now_ns = flow->now_ns,
        .rtt = &rtt,
        .range_count = 1,
    };
    sp_cc_on_removed(&flow->cc, bytes);
    sp_cc_on_lost(&flow->cc, &loss);
}

/* Sends `bytes` per round trip, as ten bursts that are acknowledged one by one. */
static void use(struct flow *flow, uint64_t bytes, uint64_t duration_ns)
{
    for (uint64_t end_ns = flow->now_ns + duration_ns; flow->now_ns < end_ns;) {
        flow->now_ns += RTT_NS / 10;
        if (flow->cc.in_flight_bytes >= bytes)
            acked(flow, bytes / 10);
        sent(flow, bytes / 10);
    }
}

/* Sends `bytes` at once, with an ACK for each tenth a round trip later. */
static void burst(struct flow *flow, uint64_t bytes)
{
    sent(flow, bytes);
    flow->now_ns += RTT_NS;
    for (uint32_t i = 0; i < 10; i++, flow->now_ns += SB_MS)
        acked(flow, bytes / 10);
}

static void one_ack(struct sp_cwv *cwv, uint64_t bytes, uint64_t rtt_ns, uint64_t now_ns)
{
    cwv->ack_bytes = bytes;
    sp_cwv_on_ack(cwv, rtt_ns, now_ns);
}

/* [RFC7661 4.2] */
static void a_sample_is_what_a_round_trip_acknowledges(void **state)
{
    (void)state;
    struct sp_cwv cwv = {0};
    sp_cwv_restart(&cwv, SB_S);
    uint64_t now_ns = SB_S;
    for (uint32_t i = 0; i < 20; i++) { /* the first round is skipped, the second is not over */
        one_ack(&cwv, 1000, RTT_NS, now_ns += RTT_NS / 10);
        assert_true(sp_cwv_pipe_bytes(&cwv) == UINT64_MAX || i == 19);
    }
    assert_int_equal(sp_cwv_pipe_bytes(&cwv), 10000);
    for (uint32_t i = 0; i < 10; i++)
        one_ack(&cwv, 3000, RTT_NS, now_ns += RTT_NS / 10);
    assert_int_equal(sp_cwv_pipe_bytes(&cwv), 28000); /* 1000 + 9 * 3000: a round of both */
    for (uint32_t i = 0; i < 50; i++)
        one_ack(&cwv, 100, RTT_NS, now_ns += RTT_NS / 10);
    assert_int_equal(sp_cwv_pipe_bytes(&cwv), 28000); /* the most counts */
}

/* [RFC7661 4.2] max(3 round trips, 1 s), and no more than half of that longer. */
static void samples_are_forgotten_after_their_period(void **state)
{
    (void)state;
    static const struct {
        uint64_t rtt_ns, kept_ns, gone_ns;
    } samples[] = {
        {10 * SB_MS, SB_S, 1510 * SB_MS},
        {100 * SB_MS, SB_S, 1700 * SB_MS},
        {SB_S, 3 * SB_S, 5500 * SB_MS},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_cwv cwv = {0};
        uint64_t rtt_ns = samples[i].rtt_ns, now_ns = 100 * SB_S;
        sp_cwv_restart(&cwv, now_ns);
        one_ack(&cwv, 0, rtt_ns, now_ns += rtt_ns);
        one_ack(&cwv, 5000, rtt_ns, now_ns += rtt_ns / 2);
        one_ack(&cwv, 10, rtt_ns, now_ns += rtt_ns);
        assert_int_equal(sp_cwv_pipe_bytes(&cwv), 5000);
        uint64_t at_ns = now_ns;
        while (now_ns + rtt_ns <= at_ns + samples[i].kept_ns)
            one_ack(&cwv, 10, rtt_ns, now_ns += rtt_ns);
        assert_int_equal(sp_cwv_pipe_bytes(&cwv), 5000);
        while (now_ns < at_ns + samples[i].gone_ns)
            one_ack(&cwv, 10, rtt_ns, now_ns += rtt_ns);
        assert_int_equal(sp_cwv_pipe_bytes(&cwv), 10);
        one_ack(&cwv, 7, rtt_ns, now_ns += 1000 * SB_S); /* at once as well */
        assert_int_equal(sp_cwv_pipe_bytes(&cwv), 7);
    }
}

/* [RFC7661 4.4.1] What was used, less what was lost: half of that, or with CUBIC 0.7.  From half
 * the window on it counts as a whole. */
static void a_loss_reduces_what_was_used(void **state)
{
    (void)state;
    static const struct {
        uint64_t used, lost, want_reno, want_cubic;
    } samples[] = {
        {10000, 1000, 4500, 6300},     /* (10,000 - 1,000) / 2, * 0.7 */
        {20000, 2000, 9000, 12600},    /* (20,000 - 2,000) */
        {20000, 10000, 5000, 7000},    /* (20,000 - 10,000) */
        {40000, 1000, 19500, 27300},   /* (40,000 - 1,000) */
        {50000, 1000, 50000, 70000},   /* half the window: all of it */
        {100000, 30000, 50000, 70000}, /* .. also where much is lost */
        {2000, 1000, 2000, 2000},      /* never less than two datagrams */
    };
    for (size_t i = 0; i < QT_COUNT(samples) * 2; i++) {
        bool is_cubic = i % 2 == 1;
        struct flow flow;
        begin(&flow, is_cubic ? SP_CC_CUBIC : SP_CC_NEWRENO, 100000, 50000);
        use(&flow, samples[i / 2].used, SB_S);
        flow.cc.cwnd_bytes = 100000; /* however much it has grown */
        lost(&flow, samples[i / 2].lost);
        uint64_t want = is_cubic ? samples[i / 2].want_cubic : samples[i / 2].want_reno;
        assert_int_equal(flow.cc.cwnd_bytes, want);
        assert_int_equal(flow.cc.ssthresh_bytes, want);
    }
}

/* The ACK that shows the loss has taken the rest out of flight: it counts as in flight, because
 * nothing else tells how much was used after a pause. */
static void the_ack_that_shows_a_loss_counts(void **state)
{
    (void)state;
    struct flow flow;
    begin(&flow, SP_CC_NEWRENO, 100000, 50000);
    use(&flow, 10000, SB_S);
    acked(&flow, flow.cc.in_flight_bytes);
    flow.now_ns += 20 * SB_S;
    sent(&flow, 30000);
    flow.now_ns += RTT_NS;
    struct sp_cc_ack ack = {29000, flow.now_ns - RTT_NS, flow.now_ns, &rtt, true, 0, RTT_NS};
    sp_cc_on_acked(&flow.cc, &ack);
    lost(&flow, 1000);
    sp_cc_on_ack_end(&flow.cc, &ack);
    assert_int_equal(flow.cc.cwnd_bytes, 14500); /* (30,000 - 1,000) / 2 */
}

/* [RFC7661 4.2] In recovery nothing is measured, and after it a round trip first. */
static void recovery_is_no_sample(void **state)
{
    (void)state;
    struct flow flow;
    begin(&flow, SP_CC_NEWRENO, 100000, 50000);
    use(&flow, 20000, SB_S);
    lost(&flow, 2000);
    assert_int_equal(flow.cc.cwnd_bytes, 9000);
    assert_int_equal(sp_cwv_pipe_bytes(&flow.cc.cwv), UINT64_MAX);
    use(&flow, 18000, RTT_NS);
    assert_int_equal(sp_cwv_pipe_bytes(&flow.cc.cwv), UINT64_MAX);
    use(&flow, 5000, 4 * RTT_NS);
    assert_true(sp_cwv_pipe_bytes(&flow.cc.cwv) <= 18000);
}

/* A loss that proves spurious gives the whole window back. */
static void an_undone_reduction_gives_the_window_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct flow flow;
        begin(&flow, i == 0 ? SP_CC_CUBIC : SP_CC_NEWRENO, 100000, 50000);
        use(&flow, 20000, SB_S);
        lost(&flow, 2000);
        assert_true(flow.cc.cwnd_bytes < 20000);
        sp_cc_undo(&flow.cc);
        assert_int_equal(flow.cc.cwnd_bytes, 100000);
        assert_int_equal(flow.cc.ssthresh_bytes, 50000);
    }
}

/* [RFC7661 4.4.3] ssthresh = max(ssthresh, 3/4 window), window = max(window / 2, initial window),
 * for each five minutes. */
static void silence_halves_the_window_every_five_minutes(void **state)
{
    (void)state;
    static const struct {
        uint64_t silence_s, want_cwnd, want_ssthresh;
    } samples[] = {
        {0, 800000, 400000},
        {5 * MINUTE_S - 1, 800000, 400000},
        {5 * MINUTE_S, 400000, 600000},
        {10 * MINUTE_S - 1, 400000, 600000},
        {10 * MINUTE_S, 200000, 600000},
        {15 * MINUTE_S, 100000, 600000},
        {30 * MINUTE_S, 12500, 600000},
        {35 * MINUTE_S, 10000, 600000}, /* the initial window */
        {UINT64_C(365) * 24 * 60 * MINUTE_S, 10000, 600000},
    };
    for (size_t i = 0; i < QT_COUNT(samples) * 2; i++) {
        struct flow flow;
        begin(&flow, i % 2 == 0 ? SP_CC_CUBIC : SP_CC_NEWRENO, 800000, 400000);
        burst(&flow, 800000);
        flow.cc.cwnd_bytes = 800000;
        flow.now_ns = flow.cc.cwv.validated_ns + samples[i / 2].silence_s * SB_S;
        bool is_halved = sp_cc_on_restart(&flow.cc, flow.now_ns);
        assert_int_equal(is_halved, samples[i / 2].want_cwnd != 800000);
        assert_int_equal(flow.cc.cwnd_bytes, samples[i / 2].want_cwnd);
        assert_int_equal(flow.cc.ssthresh_bytes, samples[i / 2].want_ssthresh);
        assert_false(sp_cc_on_restart(&flow.cc, flow.now_ns)); /* once */
    }
}

/* What is left of a window grows again as in slow start, up to ssthresh. */
static void a_halved_window_grows_when_it_is_used(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct flow flow;
        begin(&flow, i == 0 ? SP_CC_CUBIC : SP_CC_NEWRENO, 800000, 400000);
        burst(&flow, 800000);
        flow.cc.cwnd_bytes = 800000;
        flow.now_ns += 6 * MINUTE_S * SB_S;
        sent(&flow, 400000);
        assert_int_equal(flow.cc.cwnd_bytes, 400000);
        flow.now_ns += RTT_NS;
        acked(&flow, 150000);
        assert_int_equal(flow.cc.cwnd_bytes, 550000);
        sent(&flow, 300000);
        acked(&flow, 250000);
        assert_in_range(flow.cc.cwnd_bytes, 600000, 602000);
        sp_cc_undo(&flow.cc); /* nothing of before is given back */
        assert_in_range(flow.cc.cwnd_bytes, 600000, 602000);
    }
}

/* A tenth of the window is used all the time: that does not keep the window either. */
static void a_trickle_halves_the_window_too(void **state)
{
    (void)state;
    struct flow flow;
    begin(&flow, SP_CC_CUBIC, 800000, 400000);
    burst(&flow, 800000);
    flow.cc.cwnd_bytes = 800000;
    use(&flow, 80000, (5 * MINUTE_S - 2) * SB_S);
    assert_int_equal(flow.cc.cwnd_bytes, 800000);
    use(&flow, 80000, 10 * SB_S);
    assert_int_equal(flow.cc.cwnd_bytes, 400000);
    use(&flow, 80000, 5 * MINUTE_S * SB_S);
    assert_int_equal(flow.cc.cwnd_bytes, 200000);
    use(&flow, 80000, 20 * MINUTE_S * SB_S); /* that is more than half of what is left then */
    assert_in_range(flow.cc.cwnd_bytes, 100000, 161000);
}

/* Bursts of more than half the window, with pauses of seconds and minutes between them. */
static void pauses_do_not_cost_the_window(void **state)
{
    (void)state;
    static const uint64_t pauses_ns[] = {200 * SB_MS, 2 * SB_S, 60 * SB_S, 290 * SB_S};
    for (size_t i = 0; i < QT_COUNT(pauses_ns) * 2; i++) {
        struct flow flow;
        begin(&flow, i % 2 == 0 ? SP_CC_CUBIC : SP_CC_NEWRENO, 800000, 400000);
        for (uint32_t k = 0; k < 20; k++) {
            burst(&flow, 600000);
            assert_true(flow.cc.cwnd_bytes >= 800000);
            flow.now_ns += pauses_ns[i / 2];
        }
        uint64_t cwnd_bytes = flow.cc.cwnd_bytes;
        sent(&flow, 600000);
        lost(&flow, 1000); /* and a loss reduces the whole window */
        assert_int_equal(flow.cc.cwnd_bytes, i % 2 == 0 ? cwnd_bytes * 7 / 10 : cwnd_bytes / 2);
    }
}

/* Those that measure a rate, and the fixed one, keep to it. */
static void controllers_without_validation_keep_their_window(void **state)
{
    (void)state;
    struct sp_cc cc;
    const struct sp_cc_args args = {
        .ops = &sp_cc_fixed_ops, .datagram_bytes = DATAGRAM, .rate_bytes_per_s = 1000000};
    sp_cc_init(&cc, &args);
    cc.cwnd_bytes = 800000;
    assert_false(sp_cc_on_restart(&cc, SB_S));
    assert_false(sp_cc_on_restart(&cc, 100000 * SB_S));
    assert_int_equal(cc.cwnd_bytes, 800000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_is_what_a_round_trip_acknowledges),
        cmocka_unit_test(samples_are_forgotten_after_their_period),
        cmocka_unit_test(a_loss_reduces_what_was_used),
        cmocka_unit_test(the_ack_that_shows_a_loss_counts),
        cmocka_unit_test(recovery_is_no_sample),
        cmocka_unit_test(an_undone_reduction_gives_the_window_back),
        cmocka_unit_test(silence_halves_the_window_every_five_minutes),
        cmocka_unit_test(a_halved_window_grows_when_it_is_used),
        cmocka_unit_test(a_trickle_halves_the_window_too),
        cmocka_unit_test(pauses_do_not_cost_the_window),
        cmocka_unit_test(controllers_without_validation_keep_their_window),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

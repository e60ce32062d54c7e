/* SPDX-License-Identifier: MIT */
/* NewReno: RFC 9002, Section 7 and appendix B. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/recovery/cc.h"

/* Sends and has acknowledged one datagram that left at `sent_ns`, with the window in use. */
static const struct sp_rtt rtt = {.smoothed_ns = 50, .min_ns = 50};

static void init(struct sp_cc *cc, uint64_t datagram_bytes)
{
    sp_cc_init(cc,
               &(struct sp_cc_args){.ops = &sp_cc_newreno_ops, .datagram_bytes = datagram_bytes});
}

static void ack_bytes(struct sp_cc *cc, uint64_t bytes, uint64_t sent_ns, bool is_app_limited)
{
    struct sp_cc_ack ack = {bytes, sent_ns, sent_ns + rtt.min_ns, &rtt, is_app_limited, 0, 0};
    sp_cc_on_sent(cc, bytes);
    sp_cc_on_acked(cc, &ack);
}

static void ack_one(struct sp_cc *cc, uint64_t sent_ns)
{
    ack_bytes(cc, cc->datagram_bytes, sent_ns, false);
}

static void lose_one(struct sp_cc *cc, uint64_t sent_ns, uint64_t now_ns, bool is_persistent)
{
    struct sp_cc_loss loss = {
        .bytes = cc->datagram_bytes,
        .sent_ns = sent_ns,
        .now_ns = now_ns,
        .rtt = &rtt,
        .is_persistent = is_persistent,
    };
    sp_cc_on_sent(cc, loss.bytes);
    sp_cc_on_removed(cc, loss.bytes);
    sp_cc_on_lost(cc, &loss);
}

/* [RFC9002 7.2] */
static void the_first_window_follows_the_size_of_datagrams(void **state)
{
    (void)state;
    static const struct {
        uint64_t datagram_bytes, want;
    } samples[] = {{1200, 12000}, {1472, 14720}, {1500, 14720}, {7360, 14720}, {9000, 18000}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_cc cc;
        init(&cc, samples[i].datagram_bytes);
        assert_int_equal(cc.cwnd_bytes, samples[i].want);
        assert_true(sp_cc_is_in_slow_start(&cc));
        assert_int_equal(sp_cc_room(&cc), samples[i].want);
    }
    struct sp_cc cc;
    expect_assert_failure(init(&cc, 0));
}

/* [RFC9002 7.3.1] */
static void slow_start_grows_by_what_is_acknowledged(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    for (int i = 0; i < 10; i++)
        ack_one(&cc, 1);
    assert_int_equal(cc.cwnd_bytes, 24000); /* doubled in a round trip */
    assert_int_equal(cc.in_flight_bytes, 0);
}

/* Out of slow start and through a round trip of congestion avoidance, at every place. */
static void packets_acknowledged_together_count_as_each_by_itself(void **state)
{
    (void)state;
    for (uint32_t together = 1; together <= 32; together++) {
        struct sp_cc one, many;
        init(&one, 1200);
        one.ssthresh_bytes = 24000; /* a multiple of the datagrams: neither overshoots */
        many = one;
        for (uint32_t round = 0; round < 20; round++) {
            for (uint32_t i = 0; i < together; i++)
                ack_one(&one, 1);
            ack_bytes(&many, together * UINT64_C(1200), 1, false);
            assert_memory_equal(&one, &many, sizeof(one));
        }
        assert_true(together == 1 || one.cwnd_bytes > 24000);
    }
}

/* [RFC9002 7.8] */
static void a_window_that_is_not_used_does_not_grow(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    ack_bytes(&cc, 1200, 1, true);
    assert_int_equal(cc.cwnd_bytes, 12000);
    assert_int_equal(cc.in_flight_bytes, 0);
}

/* [RFC9002 7.3.2, 7.3.3] */
static void a_loss_halves_the_window_once_a_round_trip(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    cc.cwnd_bytes = 48000;
    lose_one(&cc, 90, 100, false);
    assert_int_equal(cc.cwnd_bytes, 24000);
    assert_int_equal(cc.ssthresh_bytes, 24000);
    assert_false(sp_cc_is_in_slow_start(&cc));
    lose_one(&cc, 99, 120, false); /* it was sent before the first was noticed */
    lose_one(&cc, 100, 130, false);
    assert_int_equal(cc.cwnd_bytes, 24000);
    ack_one(&cc, 100); /* so was this: recovery goes on */
    assert_int_equal(cc.cwnd_bytes, 24000);
    assert_int_equal(cc.newreno.acked_bytes, 0);
    lose_one(&cc, 101, 200, false); /* sent in the recovery that this ends */
    assert_int_equal(cc.cwnd_bytes, 12000);
}

/* What is acknowledged until the loss proves spurious grows the window of slow start too. */
static void an_undone_loss_costs_slow_start_nothing(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    lose_one(&cc, 90, 100, false);
    assert_int_equal(cc.cwnd_bytes, 6000);
    ack_bytes(&cc, 3600, 90, false);
    ack_bytes(&cc, 1200, 90, true); /* the window was not used */
    assert_int_equal(cc.cwnd_bytes, 6000);
    sp_cc_undo(&cc);
    assert_true(sp_cc_is_in_first_slow_start(&cc));
    assert_int_equal(cc.cwnd_bytes, 15600);
    lose_one(&cc, 190, 200, false);
    sp_cc_undo(&cc);
    assert_int_equal(cc.cwnd_bytes, 15600);
}

/* [RFC9002 7.1] */
static void a_mark_counts_as_a_loss(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    struct sp_cc_loss mark = {.sent_ns = 90, .now_ns = 100, .rtt = &rtt, .is_ecn = true};
    sp_cc_on_lost(&cc, &mark);
    assert_int_equal(cc.cwnd_bytes, 6000);
    lose_one(&cc, 95, 120, false); /* in the round trip of the mark */
    assert_int_equal(cc.cwnd_bytes, 6000);
}

static void a_loss_at_time_zero_begins_recovery_too(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    cc.cwnd_bytes = 48000;
    lose_one(&cc, 0, 0, false);
    lose_one(&cc, 0, 0, false);
    assert_int_equal(cc.cwnd_bytes, 24000);
}

/* [RFC9002 7.3.3] At most one datagram for each window that is acknowledged. */
static void congestion_avoidance_adds_one_datagram_a_round_trip(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    cc.cwnd_bytes = 24000;
    lose_one(&cc, 1, 100, false);
    assert_int_equal(cc.cwnd_bytes, 12000);
    for (int round = 0; round < 5; round++) {
        uint64_t before = cc.cwnd_bytes;
        for (uint64_t acked = 0; acked < before; acked += 1200) {
            assert_int_equal(cc.cwnd_bytes, before);
            ack_one(&cc, 200);
        }
        assert_int_equal(cc.cwnd_bytes, before + 1200);
    }
}

/* [RFC9002 7.2, 7.6.2] */
static void the_window_never_falls_below_two_datagrams(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    for (uint64_t now_ns = 10; now_ns < 200; now_ns += 10)
        lose_one(&cc, now_ns, now_ns + 1, false);
    assert_int_equal(cc.cwnd_bytes, 2400);

    init(&cc, 1200);
    lose_one(&cc, 5, 10, true);
    assert_int_equal(cc.cwnd_bytes, 2400);
    assert_int_equal(cc.ssthresh_bytes, 6000);
    assert_true(sp_cc_is_in_slow_start(&cc));
    ack_one(&cc, 1); /* the recovery is over as well */
    assert_int_equal(cc.cwnd_bytes, 3600);
    lose_one(&cc, 10, 12, false); /* one of two probes: that round trip was counted */
    assert_int_equal(cc.cwnd_bytes, 3600);
    assert_int_equal(cc.ssthresh_bytes, 6000);
    sp_cc_undo(&cc); /* it was not lost: but the outage was */
    assert_int_equal(cc.cwnd_bytes, 3600);
    lose_one(&cc, 11, 13, false);
    assert_int_equal(cc.ssthresh_bytes, 2400);
    ack_one(&cc, 12);
    assert_int_equal(cc.cwnd_bytes, 2400);

    sp_cc_set_datagram_bytes(&cc, 9000);
    assert_int_equal(cc.cwnd_bytes, 18000);
    sp_cc_set_datagram_bytes(&cc, 1200);
    assert_int_equal(cc.cwnd_bytes, 18000);
}

static void room_is_what_the_window_has_left(void **state)
{
    (void)state;
    struct sp_cc cc;
    init(&cc, 1200);
    sp_cc_on_sent(&cc, 11999);
    assert_int_equal(sp_cc_room(&cc), 1);
    sp_cc_on_sent(&cc, 2400); /* probes may go beyond. [RFC9002 7.5] */
    assert_int_equal(sp_cc_room(&cc), 0);
    sp_cc_on_removed(&cc, 14399);
    assert_int_equal(sp_cc_room(&cc), 12000);
    expect_assert_failure(sp_cc_on_removed(&cc, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_window_follows_the_size_of_datagrams),
        cmocka_unit_test(slow_start_grows_by_what_is_acknowledged),
        cmocka_unit_test(packets_acknowledged_together_count_as_each_by_itself),
        cmocka_unit_test(a_window_that_is_not_used_does_not_grow),
        cmocka_unit_test(a_loss_halves_the_window_once_a_round_trip),
        cmocka_unit_test(an_undone_loss_costs_slow_start_nothing),
        cmocka_unit_test(a_mark_counts_as_a_loss),
        cmocka_unit_test(a_loss_at_time_zero_begins_recovery_too),
        cmocka_unit_test(congestion_avoidance_adds_one_datagram_a_round_trip),
        cmocka_unit_test(the_window_never_falls_below_two_datagrams),
        cmocka_unit_test(room_is_what_the_window_has_left),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Tests that the oracles of ACKs can fail. */

#include "test/sim/oracle_bench.h"

QT_FIXTURE(bench, bench_end)

static void only_what_was_received_may_be_acknowledged(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    for (int i = 0; i < 3; i++) {
        sp_frame_write_ping(&bench->w);
        bench_receives(bench);
    }
    bench_write_ack(bench, 0, 2);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_ack(bench, 0, 3);
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench_has_found(bench, "acknowledges packet 3");
}

static void one_ack_alone_answers_a_batch_that_asked(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    qs_oracle_batch(&bench->oracle, 100);
    sp_frame_write_ping(&bench->w);
    bench_receives(bench);
    bench_write_ack(bench, 0, 0);
    bench_sends(bench);
    bench_is_content(bench);

    sp_frame_write_ping(&bench->w);
    bench_receives(bench);
    bench_write_ack(bench, 0, 0);
    bench_sends(bench);
    bench_has_found(bench, "second ACK alone");

    qs_oracle_batch(&bench->oracle, 100);
    bench_write_ack(bench, 0, 0);
    bench_receives(bench); /* an ACK asks for none */
    bench_write_ack(bench, 0, 0);
    bench_sends(bench);
    bench_has_found(bench, "nothing asked");
}

static void an_acknowledgment_is_not_put_off_for_too_long(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_SERVER);
    bench->oracle.wished_delay_ns = 25;
    sp_frame_write_ping(&bench->w);
    bench_receives(bench);
    bench->clock.now_ns = 20;
    sp_frame_write_ping(&bench->w);
    bench_receives(bench);
    bench->clock.now_ns = 30;
    qs_oracle_check_acks(&bench->oracle, 5);
    bench_is_content(bench);
    bench->clock.now_ns = 31;
    qs_oracle_check_acks(&bench->oracle, 5);
    bench_has_found(bench, "acknowledges nothing");
    bench_write_ack(bench, 0, 1);
    bench_sends(bench);
    qs_oracle_check_acks(&bench->oracle, 5);
}

/* [RFC9000 13.2.4] Packets below those of which the peer knows may be refused, and are not
 * acknowledged then. */
static void what_may_be_forgotten_need_not_be_acknowledged(void **state)
{
    struct bench *bench = *state;
    for (uint32_t is_known = 0; is_known < 2; is_known++) {
        bench_begin(bench, SP_SERVER);
        bench->plan.side[SP_SERVER].config.ack_delay_ns_max = 25;
        bench->next_pn = 5;
        sp_frame_write_ping(&bench->w);
        bench_receives(bench);
        bench->next_pn = 0;
        struct sp_ack_range range = {.smallest = 5, .largest = 5};
        assert_int_equal(sp_frame_write_ack(&bench->w, &range, 1, 0, NULL), 1);
        bench_sends(bench);
        bench->oracle.spaces[SP_SPACE_APP].ack_floor = 1; /* earlier ones are reported again */
        bench->next_pn = 6;
        bench_write_ack(bench, 0, is_known ? 0 : 1);
        if (!is_known)
            bench->oracle.spaces[SP_SPACE_APP].acks[0].pn = 7; /* that one is not acknowledged */
        bench_receives(bench);
        bench->next_pn = 4;
        sp_frame_write_ping(&bench->w);
        bench_receives(bench);
        bench->clock.now_ns = 100;
        qs_oracle_check_acks(&bench->oracle, 5);
        if (is_known)
            bench_is_content(bench);
        else
            bench_has_found(bench, "acknowledges nothing");
    }
}

/* [ack-frequency 4, 5, 6] A longer delay; an obsolete wish; an ACK at once. */
static void the_wishes_of_the_peer_are_kept(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_SERVER);
    for (uint64_t i = 2; i-- > 0;) {
        struct sp_frame_ack_frequency frame = {.sequence = i, .delay_us = i == 1 ? 40 : 1000};
        sp_frame_write_ack_frequency(&bench->w, &frame);
        bench_receives(bench);
    }
    bench->clock.now_ns = 40 * SB_US + 1;
    qs_oracle_check_acks(&bench->oracle, 1);
    bench_is_content(bench);
    qs_oracle_check_acks(&bench->oracle, 0);
    bench_has_found(bench, "acknowledges nothing");
    sp_frame_write_immediate_ack(&bench->w);
    bench_receives(bench);
    bench->oracle.spaces[SP_SPACE_APP].owes_delay_ns = SB_S;
    qs_oracle_check_acks(&bench->oracle, 0);
    bench_is_content(bench);
    bench->clock.now_ns++;
    qs_oracle_check_acks(&bench->oracle, 0);
    bench_has_found(bench, "acknowledges nothing");
}

/* [ack-frequency 4] It comes after a packet that waits for its ACK, in the same batch or later. */
static void a_longer_delay_counts_for_what_waits_already(void **state)
{
    struct bench *bench = *state;
    const struct sp_frame_ack_frequency frame = {.delay_us = 40};
    bench_begin(bench, SP_SERVER);
    bench->oracle.wished_delay_ns = 25;
    sp_frame_write_ping(&bench->w);
    bench_receives(bench);
    sp_frame_write_ack_frequency(&bench->w, &frame);
    bench_receives(bench);
    bench->clock.now_ns += 40 * SB_US;
    qs_oracle_check_acks(&bench->oracle, 0);
    bench_is_content(bench);
    bench->clock.now_ns++;
    qs_oracle_check_acks(&bench->oracle, 0);
    bench_has_found(bench, "acknowledges nothing");
}

/* [ack-frequency 3, 4] */
static void wishes_are_numbered_and_within_what_the_peer_grants(void **state)
{
    struct bench *bench = *state;
    static const struct sp_frame_ack_frequency frames[] = {{.delay_us = 1000},
                                                           {.sequence = 1, .delay_us = 1000},
                                                           {.delay_us = 999},
                                                           {.delay_us = 25001}};
    static const char *const wants[] = {"", "after 0", "a delay of 999", "a delay of 25001"};
    for (size_t i = 0; i < QT_COUNT(frames); i++) {
        bench_begin(bench, SP_SERVER);
        bench->plan.side[SP_CLIENT].config.ack_delay_ns_max = 25 * SB_MS;
        bench->plan.side[SP_CLIENT].config.ack_frequency = true;
        sp_frame_write_ack_frequency(&bench->w, &frames[i]);
        bench_sends(bench);
        if (i == 0)
            bench_is_content(bench);
        bench_has_found(bench, wants[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(bench, only_what_was_received_may_be_acknowledged),
        QT_TEST(bench, one_ack_alone_answers_a_batch_that_asked),
        QT_TEST(bench, an_acknowledgment_is_not_put_off_for_too_long),
        QT_TEST(bench, what_may_be_forgotten_need_not_be_acknowledged),
        QT_TEST(bench, the_wishes_of_the_peer_are_kept),
        QT_TEST(bench, a_longer_delay_counts_for_what_waits_already),
        QT_TEST(bench, wishes_are_numbered_and_within_what_the_peer_grants),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* HyStart++: RFC 9406, Section 4. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/recovery/hystart.h"

/* A round of ACKs, each with a sample of the round trip. */
struct rounds {
    struct sp_hystart hystart;
    uint64_t now_ns;
};

static void begin(struct rounds *rounds)
{
    *rounds = (struct rounds){.now_ns = SB_S};
    sp_hystart_init(&rounds->hystart);
}

/* `count` ACKs of packets that left after the last round's end, except the last one of them: so
 * the first ACK ends the round before.  Returns whether slow start has ended. */
static bool run(struct rounds *rounds, uint32_t count, uint64_t rtt_ns)
{
    bool has_ended = false;
    uint64_t sent_ns = rounds->now_ns;
    for (uint32_t i = 0; i < count; i++) {
        rounds->now_ns = sent_ns + rtt_ns + i;
        /* The round's end is its last ACK, which is of a packet sent after its start. */
        bool is_last = i == count - 1;
        has_ended |=
            sp_hystart_on_ack(&rounds->hystart, rtt_ns, is_last ? sent_ns : 0, rounds->now_ns);
    }
    rounds->now_ns++;
    return has_ended;
}

/* [RFC9406 4.2] The threshold is an eighth of the round trip, 4 to 16 ms. */
static void a_longer_round_trip_slows_the_growth(void **state)
{
    (void)state;
    static const struct {
        uint64_t rtt_ms, delay_ms;
        bool is_slowed;
    } samples[] = {
        {1, 3, false},   {1, 4, true},     {40, 4, false},  {40, 5, true},     {100, 12, false},
        {100, 13, true}, {200, 15, false}, {200, 16, true}, {1000, 15, false}, {1000, 16, true},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct rounds rounds;
        begin(&rounds);
        uint64_t rtt_ns = samples[i].rtt_ms * SB_MS;
        assert_false(run(&rounds, 8, rtt_ns));
        assert_int_equal(sp_hystart_growth(&rounds.hystart, 1200), 1200);
        assert_false(run(&rounds, 8, rtt_ns + samples[i].delay_ms * SB_MS));
        bool is_slowed = rounds.hystart.state == SP_HYSTART_CONSERVATIVE;
        assert_int_equal(is_slowed, samples[i].is_slowed);
        assert_int_equal(sp_hystart_growth(&rounds.hystart, 1200), is_slowed ? 300 : 1200);
    }
}

static void a_few_samples_prove_nothing(void **state)
{
    (void)state;
    struct rounds rounds;
    begin(&rounds);
    run(&rounds, 8, 20 * SB_MS);
    run(&rounds, 7, 90 * SB_MS); /* 7 of 8 */
    assert_int_equal(rounds.hystart.state, SP_HYSTART_SLOW);
    run(&rounds, 8, 90 * SB_MS); /* no longer than the round before */
    assert_int_equal(rounds.hystart.state, SP_HYSTART_SLOW);
    run(&rounds, 8, 120 * SB_MS);
    assert_int_equal(rounds.hystart.state, SP_HYSTART_CONSERVATIVE);
}

static void an_ack_without_a_sample_is_none(void **state)
{
    (void)state;
    struct rounds rounds;
    begin(&rounds);
    run(&rounds, 8, 20 * SB_MS);
    for (int i = 0; i < 20; i++)
        assert_false(sp_hystart_on_ack(&rounds.hystart, 0, 0, rounds.now_ns));
    assert_int_equal(rounds.hystart.sample_count, 0);
    assert_int_equal(rounds.hystart.min_ns, UINT64_MAX);
}

/* [RFC9406 4.2] Five rounds, of which the first may be a part of one. */
static void slow_start_ends_after_five_rounds_of_longer_round_trips(void **state)
{
    (void)state;
    struct rounds rounds;
    begin(&rounds);
    run(&rounds, 8, 20 * SB_MS);
    for (int round = 0; round < 4; round++)
        assert_false(run(&rounds, 8, 30 * SB_MS));
    assert_int_equal(rounds.hystart.state, SP_HYSTART_CONSERVATIVE);
    assert_true(run(&rounds, 8, 30 * SB_MS));
}

static void a_shorter_round_trip_resumes_slow_start(void **state)
{
    (void)state;
    struct rounds rounds;
    begin(&rounds);
    run(&rounds, 8, 20 * SB_MS);
    run(&rounds, 8, 30 * SB_MS);
    run(&rounds, 8, 30 * SB_MS);
    assert_int_equal(rounds.hystart.state, SP_HYSTART_CONSERVATIVE);
    assert_false(run(&rounds, 8, 29 * SB_MS)); /* the delay came from something else */
    assert_int_equal(rounds.hystart.state, SP_HYSTART_SLOW);
    for (int round = 0; round < 20; round++)
        assert_false(run(&rounds, 8, 29 * SB_MS));
}

static void growth_does_not_depend_on_the_parts(void **state)
{
    (void)state;
    for (uint64_t part = 1; part < 12; part++) {
        struct sp_hystart hystart;
        sp_hystart_init(&hystart);
        hystart.state = SP_HYSTART_CONSERVATIVE;
        uint64_t grown = 0;
        for (uint64_t left = 12000; left > 0;) {
            uint64_t bytes = left < part ? left : part;
            grown += sp_hystart_growth(&hystart, bytes);
            left -= bytes;
        }
        assert_int_equal(grown, 3000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_longer_round_trip_slows_the_growth),
        cmocka_unit_test(a_few_samples_prove_nothing),
        cmocka_unit_test(an_ack_without_a_sample_is_none),
        cmocka_unit_test(slow_start_ends_after_five_rounds_of_longer_round_trips),
        cmocka_unit_test(a_shorter_round_trip_resumes_slow_start),
        cmocka_unit_test(growth_does_not_depend_on_the_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

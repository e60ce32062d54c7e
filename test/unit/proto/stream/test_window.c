/* SPDX-License-Identifier: MIT */
/* Receive windows: RFC 9000, Section 4. */

#include "test/support/qt.h"

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/stream/window.h"
#include "test/sim/random.h"

/* [RFC9000 4.1] */
static void a_byte_beyond_the_limit_is_refused_and_not_counted(void **state)
{
    (void)state;
    struct sp_window window;
    sp_window_init(&window, 1000, 4000);
    assert_true(sp_window_receive(&window, 0));
    assert_true(sp_window_receive(&window, 600));
    assert_false(sp_window_receive(&window, 401));
    assert_false(sp_window_receive(&window, UINT64_MAX));
    assert_int_equal(window.received, 600);
    assert_true(sp_window_receive(&window, 400));
    assert_false(sp_window_receive(&window, 1));
    assert_true(sp_window_receive(&window, 0));
}

/* [RFC9000 4.2] */
static void credit_is_given_again_when_a_quarter_of_it_is_used(void **state)
{
    (void)state;
    struct sp_window window;
    sp_window_init(&window, 1000, 1000);
    assert_true(sp_window_receive(&window, 1000));
    assert_false(sp_window_wants_update(&window)); /* received is not read */
    sp_window_consume(&window, 249);
    assert_false(sp_window_wants_update(&window));
    sp_window_consume(&window, 1);
    assert_true(sp_window_wants_update(&window));
    assert_int_equal(sp_window_update(&window, 0, SB_MS, SB_S), 1250);
    assert_false(sp_window_wants_update(&window));
    assert_true(sp_window_receive(&window, 250));
    assert_false(sp_window_receive(&window, 1));
}

/* Receives and consumes in steps of `bytes`, one each `interval_ns`, for `duration_ns`, giving
 * credit as it becomes due.  Returns how often a step had to wait for credit. */
static uint32_t flow(struct sp_window *window, uint64_t bytes, uint64_t interval_ns,
                     uint64_t rtt_ns, uint64_t *now_ns, uint64_t duration_ns)
{
    uint32_t stalled_count = 0;
    for (uint64_t end_ns = *now_ns + duration_ns; *now_ns < end_ns; *now_ns += interval_ns) {
        if (sp_window_receive(window, bytes))
            sp_window_consume(window, bytes);
        else
            stalled_count++;
        if (sp_window_wants_update(window))
            (void)sp_window_update(window, 0, rtt_ns, *now_ns);
    }
    return stalled_count;
}

/* Two to four times what a round trip takes: 19.5 ms of the path, half a ms of the ends. */
static void a_window_grows_to_a_few_round_trips_of_the_flow(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        uint64_t bytes_a_ms, size_min, size_max;
    } samples[] = {
        {1000, 100000, 100000}, /* 39 kB of 100 kB: no need */
        {2400, 100000, 100000}, /* 94 kB */
        {10000, 400000, 800000},
        {50000, 2000000, 4000000},
        {1000000, 4000000, 4000000}, /* the maximum */
    };
    /* clang-format on */
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_window window;
        uint64_t now_ns = SB_S;
        sp_window_init(&window, 100000, 4000000);
        uint64_t bytes = SB_MIN(samples[i].bytes_a_ms, 100000);
        uint64_t interval_ns = SB_MS * bytes / samples[i].bytes_a_ms;
        (void)flow(&window, bytes, interval_ns, 39 * SB_MS / 2, &now_ns, SB_S);
        assert_in_range(window.size, samples[i].size_min - samples[i].size_min / 10,
                        samples[i].size_max + samples[i].size_max / 10);
        uint64_t size = window.size;
        (void)flow(&window, bytes, interval_ns, 39 * SB_MS / 2, &now_ns, 10 * SB_S);
        assert_true(window.size <= size + size / 10); /* and stays there */
    }
}

static void a_burst_after_silence_does_not_widen_the_window(void **state)
{
    (void)state;
    struct sp_window window;
    uint64_t now_ns = SB_S;
    sp_window_init(&window, 100000, 4000000);
    for (int i = 0; i < 100; i++) {
        (void)flow(&window, 1000, SB_US, 39 * SB_MS / 2, &now_ns, 45 * SB_US); /* 45 kB at 1 GB/s */
        now_ns += SB_S;
    }
    assert_int_equal(window.size, 100000);
}

/* A sender that doubles its rate each round trip is never held back for long. */
static void a_window_keeps_ahead_of_slow_start(void **state)
{
    (void)state;
    struct sp_window window;
    uint64_t now_ns = SB_S;
    sp_window_init(&window, 100000, 16000000);
    uint64_t bytes = 500;
    for (int round = 0; round < 9; round++, bytes *= 2)
        assert_int_equal(flow(&window, bytes, SB_MS, 20 * SB_MS, &now_ns, 20 * SB_MS), 0);
    assert_true(window.size >= 20 * bytes / 2);
}

/* A sender whose window grows by each byte that comes back, and that is paced, as in slow start.
 * Its window is at least half as large as it would be with any credit. */
static void credit_hardly_holds_slow_start_back(void **state)
{
    (void)state;
    enum { STEPS_PER_ROUND = 40, ROUNDS = 9 };
    struct sp_window window;
    uint64_t sent[STEPS_PER_ROUND * ROUNDS] = {0};
    uint64_t cwnd = 14720, in_flight = 0;
    sp_window_init(&window, 65536, 64000000);
    for (uint32_t step = 0; step < STEPS_PER_ROUND * ROUNDS; step++) {
        uint64_t now_ns = SB_S + step * SB_MS;
        if (step >= STEPS_PER_ROUND) {
            uint64_t back = sent[step - STEPS_PER_ROUND];
            sp_window_consume(&window, back);
            in_flight -= back;
            cwnd += back;
            if (sp_window_wants_update(&window))
                (void)sp_window_update(&window, 0, STEPS_PER_ROUND * SB_MS, now_ns);
        }
        /* Twice the window in a round trip. */
        sent[step] = SB_MIN(cwnd - in_flight, 2 * cwnd / STEPS_PER_ROUND);
        sent[step] = SB_MIN(sent[step], window.limit - window.received);
        assert_true(sp_window_receive(&window, sent[step]));
        in_flight += sent[step];
    }
    assert_in_range(cwnd, (14720 << (ROUNDS - 1)) / 2, 14720 << ROUNDS);
}

/* A slow start whose every tenth packet is late by a round trip, so that all after it wait. Returns
 * the sender's window at the end. */
static uint64_t reordered_slow_start(uint64_t window_bytes)
{
    enum { STEPS_PER_ROUND = 40, STEPS = 9 * STEPS_PER_ROUND };
    struct sp_window window;
    uint64_t sent[STEPS] = {0};
    uint64_t cwnd = 14720, in_flight = 0, held = 0;
    uint32_t next = 0; /* the first step whose bytes have not all come */
    bool has_come[STEPS] = {false};
    sp_window_init(&window, window_bytes, 64000000);
    for (uint32_t step = 0; step < STEPS; step++) {
        for (uint32_t rounds = 1; rounds <= 2 && step >= rounds * STEPS_PER_ROUND; rounds++) {
            uint32_t from = step - rounds * STEPS_PER_ROUND;
            if ((from % 10 == 9) != (rounds == 2))
                continue;
            has_come[from] = true;
            in_flight -= sent[from];
            cwnd += sent[from];
            held += sent[from];
        }
        for (; has_come[next]; next++) {
            held -= sent[next];
            sp_window_consume(&window, sent[next]);
        }
        if (sp_window_wants_update(&window))
            (void)sp_window_update(&window, held, STEPS_PER_ROUND * SB_MS, SB_S + step * SB_MS);
        sent[step] = SB_MIN(cwnd - in_flight, 2 * cwnd / STEPS_PER_ROUND);
        sent[step] = SB_MIN(sent[step], window.limit - window.received);
        assert_true(sp_window_receive(&window, sent[step]));
        in_flight += sent[step];
    }
    return cwnd;
}

/* All of a round trip waits.  A window that counted consumed bytes alone would let the sender have
 * 21 % of the window that it has with any credit, instead of 32 %. */
static void a_window_has_room_for_what_waits_for_late_packets(void **state)
{
    (void)state;
    uint64_t free = reordered_slow_start(64000000), bounded = reordered_slow_start(65536);
    assert_in_range(bounded, free * 3 / 10, free);
}

static void a_window_is_widened_up_to_its_maximum(void **state)
{
    (void)state;
    struct sp_window window;
    sp_window_init(&window, 1000, 4000);
    sp_window_widen(&window, 500);
    assert_int_equal(window.size, 1000);
    sp_window_widen(&window, 2000);
    assert_int_equal(window.size, 2000);
    assert_int_equal(window.limit, 1000); /* until it is given */
    assert_true(sp_window_wants_update(&window));
    assert_int_equal(sp_window_update(&window, 0, SB_MS, SB_S), 2000);
    sp_window_widen(&window, 5000);
    assert_int_equal(window.size, 4000);
}

/* However fast the bytes come: what counts is what the application takes. */
static void a_slow_reader_does_not_widen_the_window(void **state)
{
    (void)state;
    struct sp_window window;
    uint64_t now_ns = SB_S;
    sp_window_init(&window, 100000, 4000000);
    for (int i = 0; i < 10000; i++, now_ns += SB_MS) {
        assert_true(sp_window_receive(&window, window.limit - window.received)); /* all at once */
        sp_window_consume(&window, SB_MIN(2000, window.received - window.consumed));
        if (sp_window_wants_update(&window))
            (void)sp_window_update(&window, 0, 39 * SB_MS / 2, now_ns);
    }
    assert_int_equal(window.size, 100000); /* 2 round trips take 80,000 */
}

/* Credit that was given stays: the window shrinks by what is consumed. */
static void a_window_shrinks_when_its_maximum_falls(void **state)
{
    (void)state;
    struct sp_window window;
    uint64_t now_ns = SB_S;
    sp_window_init(&window, 100000, 4000000);
    (void)flow(&window, 10000, SB_MS, 39 * SB_MS / 2, &now_ns, SB_S);
    assert_in_range(window.size, 390000, 810000);
    uint64_t size = window.size, limit = window.limit;
    window.size_max = 150000;
    while (window.size > 150000) {
        assert_int_equal(window.limit, limit);
        assert_true(sp_window_receive(&window, 10000));
        sp_window_consume(&window, 10000);
        now_ns += SB_MS;
        if (!sp_window_wants_update(&window))
            continue;
        (void)sp_window_update(&window, 0, 39 * SB_MS / 2, now_ns);
        assert_true(window.size < size);
        assert_int_equal(window.limit, window.consumed + window.size);
        size = window.size;
    }
    assert_int_equal(window.size, 150000);
    assert_true(window.limit > limit);
    assert_int_equal(flow(&window, 1000, SB_MS, 39 * SB_MS / 2, &now_ns, SB_S), 0);
    window.size_max = 4000000; /* and grows again */
    (void)flow(&window, 10000, SB_MS, 39 * SB_MS / 2, &now_ns, SB_S);
    assert_in_range(window.size, 390000, 810000);
}

static void a_window_of_nothing_never_wants_anything(void **state)
{
    (void)state;
    struct sp_window window;
    sp_window_init(&window, 0, 0);
    assert_false(sp_window_wants_update(&window));
    assert_false(sp_window_receive(&window, 1));
    assert_true(sp_window_receive(&window, 0));
}

/* consumed <= received <= limit <= consumed + size_max, and the limit never falls. */
static void the_limit_only_rises_and_stays_in_its_bounds(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        struct sp_window window;
        sp_window_init(&window, 1 + seed * 3, 1000);
        uint64_t now_ns = 0;
        for (int i = 0; i < 1000; i++) {
            uint64_t limit = window.limit;
            uint64_t room = limit - window.received;
            uint64_t bytes = qs_random_below(&random, room + 3);
            assert_int_equal(sp_window_receive(&window, bytes), bytes <= room);
            sp_window_consume(&window,
                              qs_random_below(&random, window.received - window.consumed + 1));
            now_ns += qs_random_below(&random, 3 * SB_MS);
            if (sp_window_wants_update(&window))
                assert_true(sp_window_update(&window, 0, SB_MS, now_ns) > limit);
            assert_true(window.consumed <= window.received);
            assert_true(window.received <= window.limit);
            assert_true(window.limit <= window.consumed + window.size);
            assert_true(window.size <= 1000);
        }
    }
}

static void using_more_than_was_received_is_our_bug(void **state)
{
    (void)state;
    struct sp_window window;
    expect_assert_failure(sp_window_init(&window, 2, 1));
    sp_window_init(&window, 10, 10);
    assert_true(sp_window_receive(&window, 5));
    expect_assert_failure(sp_window_consume(&window, 6));
}

/* [RFC9000 16, 19.9]  A limit is a number of 62 bits.  What is left below the largest is given
 * once. */
static void the_limit_ends_at_the_largest_number_of_the_wire(void **state)
{
    (void)state;
    struct sp_window window;
    const uint64_t size = UINT64_C(1) << 60;
    sp_window_init(&window, size, size);
    for (uint64_t now_ns = SB_S; window.limit < SB_VARINT_MAX; now_ns += SB_S) {
        uint64_t bytes = SB_MIN(window.limit - window.received, size / 4 + 1);
        assert_true(sp_window_receive(&window, bytes));
        sp_window_consume(&window, bytes);
        assert_true(sp_window_wants_update(&window));
        assert_in_range(sp_window_update(&window, 0, SB_MS, now_ns), size, SB_VARINT_MAX);
        assert_int_equal(window.size, size);
    }
    assert_false(sp_window_wants_update(&window));
    uint64_t rest = SB_VARINT_MAX - window.received;
    assert_true(sp_window_receive(&window, rest));
    sp_window_consume(&window, rest);
    assert_false(sp_window_wants_update(&window));
    assert_int_equal(sp_window_update(&window, 0, SB_MS, UINT64_C(100) * SB_S), SB_VARINT_MAX);
    assert_false(sp_window_receive(&window, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_beyond_the_limit_is_refused_and_not_counted),
        cmocka_unit_test(credit_is_given_again_when_a_quarter_of_it_is_used),
        cmocka_unit_test(a_window_grows_to_a_few_round_trips_of_the_flow),
        cmocka_unit_test(a_burst_after_silence_does_not_widen_the_window),
        cmocka_unit_test(a_window_keeps_ahead_of_slow_start),
        cmocka_unit_test(credit_hardly_holds_slow_start_back),
        cmocka_unit_test(a_window_has_room_for_what_waits_for_late_packets),
        cmocka_unit_test(a_window_is_widened_up_to_its_maximum),
        cmocka_unit_test(a_slow_reader_does_not_widen_the_window),
        cmocka_unit_test(a_window_shrinks_when_its_maximum_falls),
        cmocka_unit_test(a_window_of_nothing_never_wants_anything),
        cmocka_unit_test(the_limit_only_rises_and_stays_in_its_bounds),
        cmocka_unit_test(the_limit_ends_at_the_largest_number_of_the_wire),
        cmocka_unit_test(using_more_than_was_received_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

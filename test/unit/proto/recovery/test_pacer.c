/* SPDX-License-Identifier: MIT */
/* Pacing: RFC 9002, Section 7.7. */

#include "test/support/qt.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/recovery/pacer.h"

/* Of a path whose round trips all took the same time. */
static void update(struct sp_pacer *pacer, uint64_t window_bytes, uint64_t rtt_ns,
                   uint64_t datagram_bytes, bool is_slow_start)
{
    struct sp_rtt rtt = {.smoothed_ns = rtt_ns, .min_ns = rtt_ns};
    sp_pacer_set(pacer, sp_pace_of_window(window_bytes, &rtt, datagram_bytes, is_slow_start), 0);
}

/* Paces with `limit` alone from `now_ns` on. */
static void set_limit(struct sp_pacer *pacer, uint64_t limit, uint64_t datagram_bytes,
                      uint64_t now_ns)
{
    struct sp_pace pace = {0};
    sp_pace_limit(&pace, limit, datagram_bytes);
    sp_pacer_set(pacer, pace, now_ns);
}

/* Sends datagrams whenever the pacer is open, for `duration_ns`; `late_ns` is how late the
 * timer is each time.  Returns the bytes sent. */
static uint64_t send_for(struct sp_pacer *pacer, uint64_t size, uint64_t duration_ns,
                         uint64_t late_ns)
{
    uint64_t bytes = 0;
    uint64_t begin_ns = SB_S;
    for (uint64_t now_ns = begin_ns; now_ns < begin_ns + duration_ns;) {
        while (sp_pacer_is_open(pacer, now_ns)) {
            sp_pacer_on_sent(pacer, size, now_ns);
            bytes += size;
        }
        assert_true(sp_pacer_open_at_ns(pacer) > now_ns);
        now_ns = sp_pacer_open_at_ns(pacer) + late_ns;
    }
    return bytes;
}

static void without_a_rate_nothing_is_held_back(void **state)
{
    (void)state;
    struct sp_pacer pacer;
    sp_pacer_init(&pacer);
    for (int i = 0; i < 1000; i++) {
        assert_true(sp_pacer_is_open(&pacer, 0));
        sp_pacer_on_sent(&pacer, 1200, 0);
    }
    assert_int_equal(sp_pacer_credit_bytes(&pacer, 0), UINT64_MAX);
}

/* A train is as large as the credit: gate.h, send_wait.c. */
static void the_credit_is_what_is_left_of_the_burst(void **state)
{
    (void)state;
    struct sp_pacer pacer;
    sp_pacer_init(&pacer);
    set_limit(&pacer, 10000000, 1200, SB_S);
    uint64_t burst = pacer.burst_bytes;
    assert_in_range(burst, 4800, UINT32_MAX);
    assert_int_equal(sp_pacer_credit_bytes(&pacer, SB_S), burst);
    sp_pacer_on_sent(&pacer, 1200, SB_S);
    assert_in_range(sp_pacer_credit_bytes(&pacer, SB_S), burst - 1201, burst - 1199);
    sp_pacer_on_sent(&pacer, 2 * burst, SB_S);
    assert_int_equal(sp_pacer_credit_bytes(&pacer, SB_S), 0);
    uint64_t open_ns = SB_S + (burst + 1200 + 2400) * SB_S / 10000000; /* .. and 2,400 bytes */
    assert_in_range(sp_pacer_credit_bytes(&pacer, open_ns), 2400 - 2, 2400 + 2);
    assert_int_equal(sp_pacer_credit_bytes(&pacer, SB_S + SB_S), burst);
}

/* 5/4 of a window, in slow start 2, each round trip, whatever the timer's lateness below the
 * burst; within 1 % over a second, the first burst aside. */
static void the_rate_is_kept_over_time(void **state)
{
    (void)state;
    static const struct {
        uint64_t window_bytes, rtt_ns, late_ns;
        bool is_slow_start;
        uint64_t want_bytes_per_s;
    } samples[] = {
        {120000, 100 * SB_MS, 0, false, 1500000},
        {120000, 100 * SB_MS, 0, true, 2400000},
        {120000, 100 * SB_MS, SB_MS, false, 1500000},
        {120000, 100 * SB_MS, SB_MS, true, 2400000},
        {12000000, 100 * SB_MS, SB_MS / 2, false, 150000000},
        {12000, 1 * SB_S, 0, false, 15000},
        {1 << 20, 1 * SB_MS, 0, false, (UINT64_C(1000) << 20) / 4 * 5},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_pacer pacer;
        sp_pacer_init(&pacer);
        update(&pacer, samples[i].window_bytes, samples[i].rtt_ns, 1200, samples[i].is_slow_start);
        uint64_t duration_ns = 20 * SB_S * 15000 / SB_MIN(samples[i].want_bytes_per_s, 300000);
        uint64_t want = samples[i].want_bytes_per_s * duration_ns / SB_S;
        uint64_t got = send_for(&pacer, 1200, duration_ns, samples[i].late_ns);
        print_message("    want %lu, got %lu\n", (unsigned long)want, (unsigned long)got);
        assert_true(got >= want - want / 100);
        assert_true(got <= want + want / 100 + pacer.burst_bytes + 1200);
    }
}

/* [RFC9002 7.7] "limit such bursts to the initial congestion window", or to a millisecond of the
 * rate, unless the path does not leave the machine. */
static void a_burst_after_silence_is_bounded(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        uint64_t window_bytes, rtt_ns, datagram_bytes, want_datagrams;
    } samples[] = {
        {12000, 100 * SB_MS, 1200, 10},       /* slow: the initial window's ten */
        {24000, 100 * SB_MS, 9000, 2},        /* .. or two */
        {100000, 100 * SB_MS, 65507, 2},
        {960000, 100 * SB_MS, 1200, 10},
        {1600000, 100 * SB_MS, 1200, 17},     /* 1 ms of 20 MB/s */
        {4000000, 100 * SB_MS, 1200, 42},     /* .. of 50 MB/s */
        {8000000, 100 * SB_MS, 1200, 84},     /* .. of 100 MB/s */
        {480000000, 100 * SB_MS, 1200, 432},  /* fast: eight trains of 54 */
        {480000000, 100 * SB_MS, 1000, 512},  /* .. of 64 */
        {480000000, 100 * SB_MS, 65507, 8},   /* .. of one */
        {1200, 99 * SB_US, 1200, 108},        /* within the machine: two trains */
        {1200, 100 * SB_US, 1200, 12},        /* another one: 1 ms of 15 MB/s */
        {1200, 600 * SB_US, 1200, 10},
        {12000, 5 * SB_MS, 1200, 10},
    };
    /* clang-format on */
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_pacer pacer;
        uint64_t size = samples[i].datagram_bytes;
        sp_pacer_init(&pacer);
        update(&pacer, samples[i].window_bytes, samples[i].rtt_ns, size, false);
        for (uint64_t now_ns = SB_S; now_ns <= 31 * SB_S; now_ns += 10 * SB_S) {
            uint64_t count = 0;
            for (; sp_pacer_is_open(&pacer, now_ns); count++)
                sp_pacer_on_sent(&pacer, size, now_ns);
            /* Open down to a credit of 0: at most one datagram over it, and what whole
             * nanoseconds make of 432 of them. */
            assert_in_range(count, samples[i].want_datagrams - samples[i].want_datagrams / 400,
                            samples[i].want_datagrams + 2);
        }
    }
}

/* Round trips that are long because others have their turns do not cut the train of a turn. */
static void a_turn_is_worth_its_trains(void **state)
{
    (void)state;
    static const struct {
        uint64_t window_bytes, rtt_ns, want_bytes;
        uint32_t train_count;
    } samples[] = {
        {14400, 10 * SB_MS, 2 * 54 * 1200 - 600, 1},
        {14400, 10 * SB_MS, 5 * 54 * 1200 - 600, 4},
        {1200, 50 * SB_US, 2 * 54 * 1200 - 600, 1}, /* it has them anyway */
        {4000000, 10 * SB_MS, 500000, 4},           /* .. and more */
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        const struct sp_rtt rtt = {.smoothed_ns = samples[i].rtt_ns, .min_ns = samples[i].rtt_ns};
        const struct sp_pace own = sp_pace_of_window(samples[i].window_bytes, &rtt, 1200, false);
        struct sp_pace pace = own;
        sp_pace_for_turns(&pace, samples[i].train_count, 1200);
        assert_int_equal(pace.burst_bytes, samples[i].want_bytes);
        assert_int_equal(pace.rate_bytes_per_s, own.rate_bytes_per_s);
    }
}

static void what_was_overdrawn_is_waited_for(void **state)
{
    (void)state;
    struct sp_pacer pacer;
    sp_pacer_init(&pacer);
    update(&pacer, 80000, 100 * SB_MS, 1000, false); /* 1 byte a microsecond */
    assert_int_equal(pacer.rate_bytes_per_s, 1000000);
    assert_int_equal(pacer.burst_bytes, 10000);
    sp_pacer_on_sent(&pacer, 64000, SB_S); /* one train, as one send */
    assert_int_equal(sp_pacer_open_at_ns(&pacer), SB_S + 54 * SB_MS);
    assert_false(sp_pacer_is_open(&pacer, SB_S + 54 * SB_MS - 1));
    assert_true(sp_pacer_is_open(&pacer, SB_S + 54 * SB_MS));
}

/* The rate stays between one byte a second and what 64 bits can multiply. */
static void extremes_of_window_and_time_do_not_overflow(void **state)
{
    (void)state;
    static const uint64_t windows[] = {0, 1, 2400, UINT64_C(1) << 34, UINT64_C(1) << 62};
    static const uint64_t rtts[] = {0, 1, SB_MS, 100 * SB_S, UINT64_C(1) << 62};
    for (size_t i = 0; i < QT_COUNT(windows) * QT_COUNT(rtts) * 2; i++) {
        uint64_t window = windows[i / 2 % QT_COUNT(windows)];
        uint64_t rtt_ns = rtts[i / 2 / QT_COUNT(windows)];
        struct sp_pacer pacer;
        sp_pacer_init(&pacer);
        update(&pacer, window, rtt_ns, 1200, i % 2 == 0);
        assert_true(pacer.rate_bytes_per_s > 0);
        assert_in_range(pacer.burst_bytes, 12000, 432 * 1200);
        assert_true(sp_pacer_is_open(&pacer, 0));
        sp_pacer_on_sent(&pacer, 432 * 1200, SB_S);
        sp_pacer_on_sent(&pacer, 1200, SB_S);
        assert_true(sp_pacer_open_at_ns(&pacer) >= SB_S || pacer.rate_bytes_per_s > 1000000000);
    }
}

/* Whatever the limit, from 8 kbit/s to 40 Gbit/s: within 1 % of it, with the timer's own steps. */
static void a_limit_is_kept_over_the_whole_range(void **state)
{
    (void)state;
    for (uint64_t limit = 1000; limit <= UINT64_C(5000000000); limit = limit * 7 / 3) {
        struct sp_pacer pacer;
        sp_pacer_init(&pacer);
        set_limit(&pacer, limit, 1200, 0);
        assert_int_equal(pacer.rate_bytes_per_s, limit);
        uint64_t now_ns = SB_S;
        uint64_t sent = 0;
        uint64_t want = 100 * SB_MAX(pacer.burst_bytes, 12000);
        uint64_t train = limit < 50000000 ? 1200 : UINT64_C(50) * 1200; /* counted as a whole */
        while (sent < want) {
            uint64_t burst = 0;
            for (; sp_pacer_is_open(&pacer, now_ns); burst += train)
                sp_pacer_on_sent(&pacer, train, now_ns);
            sent += burst;
            assert_true(burst <= pacer.burst_bytes + 2 * train);
            assert_true(sp_pacer_wake_at_ns(&pacer) > now_ns);
            now_ns = sp_pacer_wake_at_ns(&pacer);
        }
        unsigned __int128 allowed = (unsigned __int128)(now_ns - SB_S) * limit / SB_S;
        allowed += pacer.burst_bytes / 2; /* the first burst, less what the last wake granted */
        uint64_t got = sent * 1000 / (uint64_t)allowed;
        if (got < 990 || got > 1010)
            fail_msg("%lu: %lu per mille", (unsigned long)limit, (unsigned long)got);
    }
}

static void a_limit_lowers_a_rate_and_never_raises_it(void **state)
{
    (void)state;
    struct sp_rtt rtt = {.smoothed_ns = 100 * SB_MS, .min_ns = 100 * SB_MS};
    struct sp_pace pace = sp_pace_of_window(80000, &rtt, 1000, false);
    sp_pace_limit(&pace, 2000000, 1000);
    assert_int_equal(pace.rate_bytes_per_s, 1000000);
    sp_pace_limit(&pace, 1000, 1000);
    assert_int_equal(pace.rate_bytes_per_s, 1000);
    assert_int_equal(pace.burst_bytes, 10000);
    sp_pace_limit(&pace, 0, 1000); /* as good as 1 */
    assert_int_equal(pace.rate_bytes_per_s, 1);
}

/* Neither a near path nor a turn among others makes a burst that the limit does not allow. */
static void a_limit_bounds_bursts_below_it_too(void **state)
{
    (void)state;
    static const struct {
        uint64_t min_ns, limit, want;
    } samples[] = {
        {100 * SB_MS, 2000000, 10000},                            /* ten datagrams */
        {50 * SB_US, 2000000, 10000},                             /* near */
        {100 * SB_MS, 20000000, 40000},                           /* 2 ms */
        {100 * SB_MS, UINT64_C(1000000000), 2 * 64 * 1000 - 500}, /* two trains are less */
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        const struct sp_rtt rtt = {.smoothed_ns = 100 * SB_MS, .min_ns = samples[i].min_ns};
        struct sp_pace pace = sp_pace_of_window(80000, &rtt, 1000, false);
        sp_pace_for_turns(&pace, 1, 1000);
        sp_pace_limit(&pace, samples[i].limit, 1000);
        assert_int_equal(pace.rate_bytes_per_s, 1000000);
        assert_int_equal(pace.burst_bytes, samples[i].want);
    }
}

/* A thousand connections, each of which begins at a time of its own: their pacers wake one thread
 * at common times, and lose nothing of their rates. */
/* For L4S a quarter of a millisecond, or two datagrams; trains within the machine. */
static void a_smooth_pace_has_short_bursts(void **state)
{
    (void)state;
    static const struct {
        uint64_t rate, rtt_us, want;
    } samples[] = {
        {100000, 10000, 2400},     {12500000, 10000, 3125}, {125000000, 1000, 31250},
        {1250000000, 100, 312500}, {125000000, 99, 0},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        const struct sp_rtt rtt = {.smoothed_ns = samples[i].rtt_us * SB_US,
                                   .min_ns = samples[i].rtt_us * SB_US};
        const struct sp_pace whole = sp_pace_of_rate(samples[i].rate, &rtt, 1200);
        struct sp_pace pace = whole;
        sp_pace_smooth(&pace, &rtt, 1200);
        assert_int_equal(pace.rate_bytes_per_s, samples[i].rate);
        assert_int_equal(pace.burst_bytes,
                         samples[i].want > 0 ? samples[i].want : whole.burst_bytes);
        assert_true(pace.burst_bytes <= whole.burst_bytes);
    }
}

static void pacers_wake_their_thread_together(void **state)
{
    (void)state;
    enum { PACERS = 1000 };
    static const struct {
        uint64_t bytes_per_s, want_wakes_per_s_max;
    } samples[] = {
        {1000, 960}, {12500, 960}, {125000, 960}, {1250000, 2000}, {12500000, 20000},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        static struct sp_pacer pacers[PACERS];
        struct sp_rtt rtt = {.smoothed_ns = 20 * SB_MS, .min_ns = 20 * SB_MS};
        uint64_t rate = samples[i].bytes_per_s, sent = 0, wakes = 0;
        uint64_t duration_ns = SB_MAX(40 * UINT64_C(12000) * SB_S / rate, SB_S / 10);
        uint64_t end_ns = SB_S + duration_ns, now_ns = SB_S;
        for (uint32_t k = 0; k < PACERS; k++) {
            sp_pacer_init(&pacers[k]);
            sp_pacer_set(&pacers[k], sp_pace_of_rate(rate, &rtt, 1200), SB_S);
            sp_pacer_on_sent(&pacers[k], 12000 + 12000 * k / PACERS, SB_S);
        }
        for (; now_ns < end_ns; wakes++) {
            uint64_t next_ns = SB_NEVER;
            for (uint32_t k = 0; k < PACERS; k++) {
                if (sp_pacer_wake_at_ns(&pacers[k]) <= now_ns)
                    for (; sp_pacer_is_open(&pacers[k], now_ns); sent += 1200)
                        sp_pacer_on_sent(&pacers[k], 1200, now_ns);
                next_ns = sb_time_min(next_ns, sp_pacer_wake_at_ns(&pacers[k]));
            }
            assert_true(next_ns > now_ns);
            now_ns = next_ns;
        }
        double seconds = (double)(now_ns - SB_S) / SB_S;
        double got = (double)sent / ((double)rate * PACERS * seconds);
        print_message("    %lu: %.0f wakes/s, %.4f of the rate\n", (unsigned long)rate,
                      (double)wakes / seconds, got);
        assert_true((double)wakes / seconds <= (double)samples[i].want_wakes_per_s_max);
        assert_true(got > 0.98 && got <= 1.01);
    }
}

/* What was overdrawn is a number of bytes: a higher rate waits less for it, a lower one longer. */
static void a_change_of_the_rate_keeps_the_debt(void **state)
{
    (void)state;
    static const struct {
        uint64_t before, after, want_wait_ns;
    } samples[] = {
        {1000, 1000, 50 * SB_S},
        {1000, 1000000, 50 * SB_MS},
        {1000000, 1000, 50 * SB_S},
        {1, 6000000, 50 * SB_S / 6000},
        {1000, 0, 0},
        {0, 1000, 0},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_pacer pacer;
        sp_pacer_init(&pacer);
        if (samples[i].before > 0)
            set_limit(&pacer, samples[i].before, 1200, SB_S);
        assert_true(pacer.burst_bytes == 0 || pacer.burst_bytes == 12000);
        sp_pacer_on_sent(&pacer, 62000, SB_S);
        if (samples[i].after > 0)
            set_limit(&pacer, samples[i].after, 1200, SB_S);
        else
            sp_pacer_set(&pacer, (struct sp_pace){0}, SB_S);
        uint64_t wait_ns = sb_time_since(sp_pacer_open_at_ns(&pacer), SB_S);
        assert_in_range(wait_ns, samples[i].want_wait_ns, samples[i].want_wait_ns + 10);
    }
}

/* A window that grows a thousand times within a moment, as after an outage: a train that was sent
 * at the old rate does not hold back the new one. */
static void a_window_that_grows_sharply_does_not_wait_for_old_trains(void **state)
{
    (void)state;
    struct sp_pacer pacer;
    sp_pacer_init(&pacer);
    update(&pacer, 2400, 100 * SB_MS, 1200, false); /* 30 kB/s */
    sp_pacer_on_sent(&pacer, 65000, SB_S);
    assert_true(sp_pacer_open_at_ns(&pacer) > SB_S + 1700 * SB_MS);
    struct sp_rtt rtt = {.smoothed_ns = 100 * SB_MS, .min_ns = 100 * SB_MS};
    sp_pacer_set(&pacer, sp_pace_of_window(2400000, &rtt, 1200, false), SB_S); /* 30 MB/s */
    assert_true(sp_pacer_open_at_ns(&pacer) <= SB_S + 1800 * SB_US);
}

/* Many small changes, one for each batch of acknowledgments, neither lose nor give away anything:
 * the bytes that leave are those of the mean rate. */
static void many_changes_add_up_to_the_mean_rate(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1000, 20000, 1000000, 100000000, UINT64_C(5000000000)};
    for (size_t i = 0; i < QT_COUNT(rates); i++) {
        struct sp_pacer pacer;
        sp_pacer_init(&pacer);
        uint64_t now_ns = SB_S, sent = 0, step_ns = SB_S * 600 / rates[i] + 1000;
        uint64_t step_count = 100000;
        for (uint64_t step = 0; step < step_count; step++, now_ns += step_ns) {
            uint64_t rate = step % 2 == 0 ? rates[i] * 3 / 4 : rates[i] * 5 / 4;
            sp_pacer_set(&pacer, (struct sp_pace){rate, 14720}, now_ns);
            for (; sp_pacer_is_open(&pacer, now_ns); sent += 1200)
                sp_pacer_on_sent(&pacer, 1200, now_ns);
        }
        double allowed = (double)rates[i] * (double)(now_ns - SB_S) / SB_S + 14720;
        double got = (double)sent / allowed;
        print_message("    %lu: %.4f\n", (unsigned long)rates[i], got);
        assert_true(got > 0.99 && got < 1.01);
    }
}

/* From 8 kbit/s to 40 Gbit/s, whatever the round trip: no rate becomes 0 by rounding, and each is
 * kept within 1 %, also if each packet is counted alone. */
static void rates_of_windows_are_kept_over_the_whole_range(void **state)
{
    (void)state;
    static const uint64_t rtts_ns[] = {20 * SB_US, SB_MS, 30 * SB_MS, SB_S};
    for (uint64_t rate = 1000; rate <= UINT64_C(5000000000); rate = rate * 7 / 3) {
        for (size_t i = 0; i < QT_COUNT(rtts_ns); i++) {
            uint64_t window = (uint64_t)((unsigned __int128)rate * rtts_ns[i] / SB_S) * 4 / 5;
            if (window < 2400)
                continue;
            struct sp_pacer pacer;
            sp_pacer_init(&pacer);
            update(&pacer, window, rtts_ns[i], 1200, false);
            assert_in_range(pacer.rate_bytes_per_s, rate - rate / 100, rate);
            uint64_t duration_ns =
                (uint64_t)((unsigned __int128)100 * pacer.burst_bytes * SB_S / rate);
            double want = (double)pacer.rate_bytes_per_s * (double)duration_ns / SB_S;
            double got = (double)(send_for(&pacer, 1200, duration_ns, 0) - pacer.burst_bytes);
            if (got < want * 0.99 || got > want * 1.01)
                fail_msg("%lu, %lu: %.4f", (unsigned long)rate, (unsigned long)rtts_ns[i],
                         got / want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_rate_nothing_is_held_back),
        cmocka_unit_test(the_credit_is_what_is_left_of_the_burst),
        cmocka_unit_test(the_rate_is_kept_over_time),
        cmocka_unit_test(a_burst_after_silence_is_bounded),
        cmocka_unit_test(a_turn_is_worth_its_trains),
        cmocka_unit_test(what_was_overdrawn_is_waited_for),
        cmocka_unit_test(a_limit_is_kept_over_the_whole_range),
        cmocka_unit_test(a_limit_lowers_a_rate_and_never_raises_it),
        cmocka_unit_test(a_limit_bounds_bursts_below_it_too),
        cmocka_unit_test(a_change_of_the_rate_keeps_the_debt),
        cmocka_unit_test(a_window_that_grows_sharply_does_not_wait_for_old_trains),
        cmocka_unit_test(a_smooth_pace_has_short_bursts),
        cmocka_unit_test(pacers_wake_their_thread_together),
        cmocka_unit_test(many_changes_add_up_to_the_mean_rate),
        cmocka_unit_test(rates_of_windows_are_kept_over_the_whole_range),
        cmocka_unit_test(extremes_of_window_and_time_do_not_overflow),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

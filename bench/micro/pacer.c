/* SPDX-License-Identifier: MIT */
/* How well the pacer and the rate limiter keep a rate, in virtual time.
 *
 * The pacer is asked for a rate; datagrams leave whenever it is open, and the next look at it comes
 * when it says, or a while later.  The reference is arithmetic: rate x time.  From every
 * moment on, what has left is at most the burst, a datagram that overdraws it, and the rate's part;
 * the largest excess over that is measured, not assumed. */

#include <math.h>
#include <stdlib.h>

#include "bench/micro/benches.h"
#include "engine/net/admit.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/recovery/pacer.h"

enum { DATAGRAM = 1200, RTT_NS = 20 * SB_MS };

/* Bits a second, asked of the pacer. */
static const struct {
    const char *name;
    double bits_per_s;
    /* clang-format off */
} rates[] = {
    {"1 Mbit/s", 1e6},  {"10 Mbit/s", 1e7}, {"100 Mbit/s", 1e8},
    {"1 Gbit/s", 1e9}, {"10 Gbit/s", 1e10},
};
/* clang-format on */

struct outcome {
    double deviation; /* of the rate that came out from the one asked for, in % */
    double excess;    /* bytes beyond the configured burst; negative: never reached */
};

static struct sp_pacer pacer_of(double bits_per_s)
{
    struct sp_pacer pacer;
    struct sp_rtt rtt = {.smoothed_ns = RTT_NS, .min_ns = RTT_NS};
    sp_pacer_init(&pacer);
    /* [RFC9002 7.7] rate = 5/4 x window / RTT */
    double window = bits_per_s / 8 * RTT_NS / SB_S * 4 / 5;
    sp_pacer_set(&pacer, sp_pace_of_window((uint64_t)llround(window), &rtt, DATAGRAM, false), 0);
    return pacer;
}

/* Sends for at least a second and 2,000 datagrams.  `late_ns`: how much later than asked each look
 * comes.  `by_wake`: looks come when they are worth it, as the connection's timer does. */
static struct outcome simulate(double bits_per_s, uint64_t late_ns, bool by_wake)
{
    struct sp_pacer pacer = pacer_of(bits_per_s);
    double rate = bits_per_s / 8 / SB_S; /* bytes a nanosecond */
    uint64_t start_ns = SB_S, now_ns = start_ns, sent = 0;
    struct outcome outcome = {.excess = -INFINITY};
    double base = 0; /* the least of sent - rate x time so far, at the start of a burst */
    while (sent < 2000 * DATAGRAM || now_ns < start_ns + SB_S) {
        base = fmin(base, (double)sent - rate * (double)(now_ns - start_ns));
        while (sp_pacer_is_open(&pacer, now_ns)) {
            sp_pacer_on_sent(&pacer, DATAGRAM, now_ns);
            sent += DATAGRAM;
        }
        double level = (double)sent - rate * (double)(now_ns - start_ns) - base;
        outcome.excess = fmax(outcome.excess, level - (double)pacer.burst_bytes - DATAGRAM);
        now_ns = by_wake ? sp_pacer_wake_at_ns(&pacer) : sp_pacer_open_at_ns(&pacer);
        now_ns += late_ns;
    }
    /* The first burst was saved up before the start. */
    double got = (double)(sent - pacer.burst_bytes) / (double)(now_ns - start_ns);
    outcome.deviation = (got / rate - 1) * 100;
    return outcome;
}

/* A bucket of 10 tokens that is asked four times as often as it fills, for 10,000 tokens. */
static double limiter_deviation(uint32_t rate)
{
    enum { TOKENS = 10000, BURST = 10 };
    struct se_bucket bucket;
    uint64_t start_ns = SB_S, now_ns = start_ns;
    se_bucket_init(&bucket, rate, BURST);
    for (uint32_t taken = 0; taken < TOKENS + BURST;) {
        taken += se_bucket_take(&bucket, now_ns);
        now_ns += SB_S / rate / 4;
    }
    return (TOKENS / ((double)rate * (double)(now_ns - start_ns) / SB_S) - 1) * 100;
}

static const uint32_t limiter_rates[] = {100, 1000, 30000, 1000000};

static void check(void)
{
    for (size_t i = 0; i < SB_COUNT(rates); i++) {
        for (int by_wake = 0; by_wake < 2; by_wake++) {
            struct outcome outcome = simulate(rates[i].bits_per_s, 0, by_wake != 0);
            micro_check(fabs(outcome.deviation) <= 1, "the pacer's rate");
            micro_check(outcome.excess <= 1, "the pacer's burst"); /* 1 byte of rounding */
        }
    }
    for (size_t i = 0; i < SB_COUNT(limiter_rates); i++)
        micro_check(fabs(limiter_deviation(limiter_rates[i])) <= 1, "the rate limiter");
}

static void run_pacer(void *context, uint64_t count)
{
    struct sp_pacer pacer = pacer_of(1e9);
    uint64_t now_ns = SB_S;
    (void)context;
    for (uint64_t i = 0; i < count; i++) {
        if (!sp_pacer_is_open(&pacer, now_ns))
            now_ns = sp_pacer_wake_at_ns(&pacer);
        sp_pacer_on_sent(&pacer, DATAGRAM, now_ns);
    }
    micro_use(now_ns);
}

static void row_of(struct micro *m, const char *name, const char *unit, double value,
                   enum micro_goal goal, double target, const char *note)
{
    struct micro_sample sample = micro_sample_of(&value, 1);
    micro_row(m, &(struct micro_row){.name = name,
                                     .unit = unit,
                                     .sample = &sample,
                                     .goal = goal,
                                     .target = target,
                                     .note = note});
}

static void time_all(struct micro *m)
{
    char name[64];
    double excess = -INFINITY;
    for (size_t i = 0; i < SB_COUNT(rates) && !m->is_counting; i++) {
        struct outcome exact = simulate(rates[i].bits_per_s, 0, false);
        struct outcome woken = simulate(rates[i].bits_per_s, 0, true);
        struct outcome late = simulate(rates[i].bits_per_s, 50 * SB_US, true);
        excess = fmax(excess, fmax(exact.excess, fmax(woken.excess, late.excess)));
        (void)snprintf(name, sizeof(name), "off %s, each look in time", rates[i].name);
        row_of(m, name, "%", fabs(exact.deviation), MICRO_AT_MOST, 1, NULL);
        (void)snprintf(name, sizeof(name), "off %s, half a burst a look", rates[i].name);
        row_of(m, name, "%", fabs(woken.deviation), MICRO_AT_MOST, 1, NULL);
        (void)snprintf(name, sizeof(name), "off %s, looks 50 us late", rates[i].name);
        row_of(m, name, "%", fabs(late.deviation), MICRO_AT_MOST, 1, NULL);
    }
    for (size_t i = 0; i < SB_COUNT(limiter_rates) && !m->is_counting; i++) {
        (void)snprintf(name, sizeof(name), "limiter off %u a second", limiter_rates[i]);
        row_of(m, name, "%", fabs(limiter_deviation(limiter_rates[i])), MICRO_AT_MOST, 1, NULL);
    }
    if (!m->is_counting)
        row_of(m, "most beyond burst and one datagram", "bytes", excess, MICRO_AT_MOST, 1, NULL);
    const struct micro_subject subject = {"to ask and to tell the pacer", run_pacer, NULL, 1};
    struct micro_sample sample;
    micro_time(m, &subject, 1, &sample);
    micro_row_ns(m, subject.name, &sample, MICRO_REPORTED, 0);
}

const struct micro_bench micro_pacer = {
    .name = "pacer",
    .what = "C4: how well pacer and rate limiter keep a rate, in virtual time",
    .check = check,
    .time = time_all,
};

/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/adapt.h"

#define NS_PER_S 1000000000.0

enum {
    MEASURED = 4,    /* windows that are compared with as many */
    RESTING = 16,    /* windows before the next try, where neither direction has helped */
    NOISE = 100 / 3, /* less than the 33rd part, 3 %, is noise */
    FORGETTING = 50
};

void adapt_init(struct adapt *ret, uint32_t width, uint64_t window_ns, uint64_t now_ns)
{
    *ret = (struct adapt){.width = width,
                          .width_max = width,
                          .is_rising = true,
                          .window_ns = window_ns,
                          .since_ns = now_ns};
}

/* Goes one stream in the direction.  Returns false at the end of the range. */
static bool step(struct adapt *adapt, bool rises)
{
    if (adapt->width == (rises ? ADAPT_MAX : ADAPT_MIN))
        return false;
    adapt->width = rises ? adapt->width + 1 : adapt->width - 1;
    if (adapt->width > adapt->width_max)
        adapt->width_max = adapt->width;
    return true;
}

/* Begins the next try from a width with this rate. */
static void try_next(struct adapt *adapt, uint64_t rate)
{
    adapt->rate_before = rate;
    adapt->is_trying = step(adapt, adapt->is_rising);
    if (!adapt->is_trying)
        adapt->is_rising = !adapt->is_rising;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void decide(struct adapt *adapt, uint64_t rate)
{
    uint64_t before =
        adapt->is_rising ? adapt->rate_before : larger(adapt->rate_before, adapt->rate_best);
    uint64_t noise = before / NOISE;
    bool is_good = adapt->is_rising ? rate > before + noise : rate + noise >= before;
    adapt->rate_best = larger(rate, adapt->rate_best - adapt->rate_best / FORGETTING);
    if (!adapt->is_trying || is_good) {
        adapt->failed = adapt->is_trying ? 0 : adapt->failed;
        try_next(adapt, rate);
        return;
    }
    (void)step(adapt, !adapt->is_rising);
    adapt->is_rising = !adapt->is_rising;
    adapt->is_trying = false;
    adapt->failed++;
}

void adapt_look(struct adapt *adapt, uint64_t bytes, uint64_t now_ns)
{
    if (now_ns - adapt->since_ns < adapt->window_ns)
        return;
    double seconds = (double)(now_ns - adapt->since_ns) / NS_PER_S;
    uint64_t rate = (uint64_t)((double)(bytes - adapt->since_bytes) / seconds);
    uint32_t measured = !adapt->is_trying && adapt->failed >= 2 ? RESTING : MEASURED;
    adapt->since_ns = now_ns;
    adapt->since_bytes = bytes;
    if (adapt->windows++ > 0)
        adapt->rate_sum += rate;
    if (adapt->windows <= measured)
        return;
    if (measured == RESTING)
        adapt->failed = 0;
    decide(adapt, adapt->rate_sum / measured);
    adapt->windows = 0;
    adapt->rate_sum = 0;
}

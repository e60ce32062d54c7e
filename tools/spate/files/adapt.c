/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/adapt.h"

#define NS_PER_S 1000000000.0

void adapt_init(struct adapt *ret, uint32_t width, uint64_t window_ns, uint64_t now_ns)
{
    *ret = (struct adapt){.width = width,
                          .width_max = width,
                          .is_rising = true,
                          .window_ns = window_ns,
                          .since_ns = now_ns};
}

/* What less than 5 % makes is noise. */
static bool is_more(uint64_t rate, uint64_t than)
{
    return rate > than + than / 20;
}

void adapt_look(struct adapt *adapt, uint64_t bytes, uint64_t now_ns)
{
    if (now_ns - adapt->since_ns < adapt->window_ns)
        return;
    double seconds = (double)(now_ns - adapt->since_ns) / NS_PER_S;
    uint64_t rate = (uint64_t)((double)(bytes - adapt->since_bytes) / seconds);
    if (is_more(adapt->rate_before, rate)) /* it fell */
        adapt->is_rising = !adapt->is_rising;
    else if (!is_more(rate, adapt->rate_before)) /* the same */
        adapt->is_rising = false;
    if (adapt->is_rising && adapt->width < ADAPT_MAX)
        adapt->width++;
    else if (!adapt->is_rising && adapt->width > ADAPT_MIN)
        adapt->width--;
    if (adapt->width > adapt->width_max)
        adapt->width_max = adapt->width;
    adapt->since_ns = now_ns;
    adapt->since_bytes = bytes;
    adapt->rate_before = rate;
}

/* SPDX-License-Identifier: MIT */
#include "bench/load/arrivals.h"

#include <math.h>

/* splitmix64 (Steele, Lea, Flood 2014): any seed is good. */
static uint64_t next_random(struct arrivals *a)
{
    uint64_t z = (a->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void advance(struct arrivals *a)
{
    a->count++;
    if (a->is_poisson) {
        /* In (0, 1]: the logarithm is finite. */
        double u = ((double)(next_random(a) >> 11) + 1) / 9007199254740992.0;
        a->offset_ns -= log(u) * a->interval_ns;
    } else {
        a->offset_ns = (double)a->count * a->interval_ns; /* a sum of gaps would drift */
    }
}

void arrivals_init(struct arrivals *a, double rate, bool is_poisson, uint64_t seed,
                   uint64_t start_ns)
{
    *a = (struct arrivals){
        .interval_ns = 1e9 / rate,
        .is_poisson = is_poisson,
        .random = seed,
        .start_ns = start_ns,
    };
    advance(a);
}

uint64_t arrivals_peek_ns(const struct arrivals *a)
{
    return a->start_ns + (uint64_t)a->offset_ns;
}

void arrivals_advance(struct arrivals *a)
{
    advance(a);
}

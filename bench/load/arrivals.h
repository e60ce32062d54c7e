/* SPDX-License-Identifier: MIT */
#ifndef LOAD_ARRIVALS_H
#define LOAD_ARRIVALS_H

#include <stdbool.h>
#include <stdint.h>

/* The schedule of an open loop: when each request should start.
 *
 * The times depend on the rate and the seed only, never on how fast responses come.
 * Latency is counted from them, so that a server which stalls is charged for every
 * request that should have been sent meanwhile (no coordinated omission).  A late start
 * stays in the schedule until it is possible, so the backlog needs no queue. */
struct arrivals {
    double interval_ns;
    bool is_poisson;
    uint64_t random;
    uint64_t start_ns;
    uint64_t count;
    double offset_ns; /* of the next arrival, the count-th, behind start_ns */
};

/* `rate` per second, above 0.  Uniform arrivals are evenly spaced; Poisson arrivals have
 * exponential gaps, as independent users make them. */
void arrivals_init(struct arrivals *a, double rate, bool is_poisson, uint64_t seed,
                   uint64_t start_ns);

/* The time of the next arrival. */
uint64_t arrivals_peek_ns(const struct arrivals *a);

/* Advances to the next arrival. */
void arrivals_advance(struct arrivals *a);

#endif

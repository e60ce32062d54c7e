/* SPDX-License-Identifier: MIT */
#ifndef LOAD_VERSUS_H
#define LOAD_VERSUS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/load/limit.h"

enum { VERSUS_RUNS_MAX = 99 }; /* of --runs */

struct failure;
struct options;
struct result;

/* A scenario next to the limit: runs of both in turns, so that what disturbs the machine for a
 * while disturbs both, and the median of each. */
struct versus {
    struct limit limit;  /* each cost the median of its own; its sums made from those */
    double gbps;         /* of the scenario, as everything below */
    double cpu_s_per_gb; /* of both sides */
    double p50_us;
    double p99_us;
    double of_limit_min; /* least ratio of a run to the limit measured right after it */
    double of_limit_max;
    uint32_t runs;
};

/* The middle of up to VERSUS_RUNS_MAX values; of an even number the lower one, so that it is one
 * that was measured. */
double versus_median(const double *values, uint32_t count);

typedef bool (*versus_scenario)(const struct options *o, struct result *ret,
                                struct failure *failure);

/* Runs them.
 *
 *   *ret_result  The run in the middle, by throughput or, for rr, by p50.
 *
 * A signal ends it early, with the pairs that are complete. */
bool versus_run(const struct options *o, versus_scenario scenario,
                const volatile sig_atomic_t *stop, struct result *ret_result, struct versus *ret,
                struct failure *failure);

/* The limit alone: only `limit` and `runs` of *ret are filled in. */
bool versus_limit_only(const struct options *o, const volatile sig_atomic_t *stop,
                       struct versus *ret, struct failure *failure);

#endif

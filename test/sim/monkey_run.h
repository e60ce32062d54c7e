/* SPDX-License-Identifier: MIT */
#ifndef QS_MONKEY_RUN_H
#define QS_MONKEY_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "test/sim/world.h"

struct qs_monkey_options {
    uint64_t seed_count;
    uint64_t first_seed;
    bool is_verbose;
    bool real_crypto;
    bool meddles;     /* a canary: honest packets change */
    uint64_t tighten; /* a canary: each bound is divided by it; at least 1 */
    bool is_scarce;   /* the server has twice the memory that its honest clients need, no more */
    /* Runs a plan, as qs_world_run() does. */
    void (*run)(const struct qs_plan *plan, struct qs_result *ret);
    /* Reports a failed run. */
    void (*fail)(const struct qs_plan *plan, const char *text);
};

/* Runs each seed without and with monkeys, checks the bounds and prints a table of what was
 * measured.  Returns false if a run failed or a bound was passed. */
bool qs_monkey_run(const struct qs_monkey_options *options);

#endif

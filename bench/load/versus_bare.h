/* SPDX-License-Identifier: MIT */
#ifndef LOAD_VERSUS_BARE_H
#define LOAD_VERSUS_BARE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/load/bare.h"
#include "bench/load/versus.h"

/* Handshakes next to bare TLS ones: runs of both in turns, and the median of each.  All of it is
 * CPU time of a handshake. */
struct versus_bare {
    struct bare bare;
    double server_us;
    double client_us;
    double of_bare_min; /* server: least ratio of a run to the bare run right after it */
    double of_bare_max;
    uint32_t runs;
};

/* Runs them.
 *
 *   *ret_result  The run in the middle, by the server's CPU time.
 *
 * A signal ends it early, with the pairs that are complete. */
bool versus_bare_run(const struct options *o, versus_scenario scenario,
                     const volatile sig_atomic_t *stop, struct result *ret_result,
                     struct versus_bare *ret, struct failure *failure);

#endif

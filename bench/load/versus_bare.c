/* SPDX-License-Identifier: MIT */
#include "bench/load/versus_bare.h"

#include <math.h>
#include <stdlib.h>

#include "bench/load/clock.h"
#include "bench/load/cpu.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/report.h"
#include "bench/load/result.h"

struct table {
    double server_us[VERSUS_RUNS_MAX];
    double client_us[VERSUS_RUNS_MAX];
    double bare_server_us[VERSUS_RUNS_MAX];
    double bare_client_us[VERSUS_RUNS_MAX];
    uint32_t runs;
};

/* Runs on the server's CPU, because it is compared with the server's cost. */
static bool run_bare(const struct options *o, const struct result *result, struct bare *ret,
                     struct failure *failure)
{
    const struct bare_setup setup = {
        .options = o,
        .cipher = result->cipher,
        .duration_ns = o->duration_ns > 0 ? o->duration_ns : NS_PER_S,
    };
    bool is_good = cpu_pin(cpu_choose(o->server_cpu, o->client_cpu), "--server-cpu", failure) &&
                   bare_measure(&setup, ret, failure);
    cpu_unpin();
    return is_good;
}

static bool run_one(const struct options *o, versus_scenario scenario,
                    const volatile sig_atomic_t *stop, struct result *result, struct table *t,
                    struct failure *failure)
{
    struct bare bare;
    if (!scenario(o, result, failure) || *stop != 0)
        return false;
    if (result->handshakes == 0)
        return failure_set(failure, "no handshake has succeeded");
    if (!run_bare(o, result, &bare, failure) || *stop != 0)
        return false;
    t->server_us[t->runs] = report_cpu_us_per_operation(result, true);
    t->client_us[t->runs] = report_cpu_us_per_operation(result, false);
    t->bare_server_us[t->runs] = bare.server_us;
    t->bare_client_us[t->runs] = bare.client_us;
    t->runs++;
    return true;
}

static struct versus_bare versus_bare_of(const struct table *t)
{
    struct versus_bare v = {
        .bare = {.server_us = versus_median(t->bare_server_us, t->runs),
                 .client_us = versus_median(t->bare_client_us, t->runs)},
        .server_us = versus_median(t->server_us, t->runs),
        .client_us = versus_median(t->client_us, t->runs),
        .of_bare_min = NAN,
        .of_bare_max = NAN,
        .runs = t->runs,
    };
    for (uint32_t i = 0; i < t->runs; i++) {
        v.of_bare_min = fmin(v.of_bare_min, t->server_us[i] / t->bare_server_us[i]);
        v.of_bare_max = fmax(v.of_bare_max, t->server_us[i] / t->bare_server_us[i]);
    }
    return v;
}

bool versus_bare_run(const struct options *o, versus_scenario scenario,
                     const volatile sig_atomic_t *stop, struct result *ret_result,
                     struct versus_bare *ret, struct failure *failure)
{
    static struct table table;
    struct result *results = calloc(o->runs, sizeof(*results));
    if (results == NULL)
        return failure_set(failure, "out of memory");

    table.runs = 0;
    while (table.runs < o->runs &&
           run_one(o, scenario, stop, &results[table.runs], &table, failure))
        continue;
    if (*stop != 0 && table.runs > 0)
        *failure = (struct failure){.is_set = false}; /* with what there is */
    else if (*stop != 0)
        (void)failure_set(failure, "interrupted before anything was measured");
    if (!failure->is_set) {
        *ret = versus_bare_of(&table);
        for (uint32_t i = 0; i < table.runs; i++)
            if (table.server_us[i] == ret->server_us)
                *ret_result = results[i];
    }
    free(results);
    return !failure->is_set;
}

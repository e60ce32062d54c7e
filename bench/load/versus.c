/* SPDX-License-Identifier: MIT */
#include "bench/load/versus.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "bench/load/clock.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/report.h"
#include "bench/load/result.h"

#define RUNS_MAX VERSUS_RUNS_MAX

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double versus_median(const double *values, uint32_t count)
{
    double sorted[RUNS_MAX];
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = values[i];
    qsort(sorted, count, sizeof(sorted[0]), compare);
    return sorted[(count - 1) / 2];
}

/* Each number by itself. */
static struct limit median_limit(const struct limit *limits, uint32_t count)
{
    static const size_t numbers[] = {
        offsetof(struct limit, send_ns),         offsetof(struct limit, receive_ns),
        offsetof(struct limit, kernel_gbps),     offsetof(struct limit, kernel_lost),
        offsetof(struct limit, seal_ns),         offsetof(struct limit, open_ns),
        offsetof(struct limit, blocking.p50_us), offsetof(struct limit, blocking.p99_us),
        offsetof(struct limit, spinning.p50_us), offsetof(struct limit, spinning.p99_us),
    };
    struct limit all = limits[0];
    for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
        double values[RUNS_MAX];
        for (uint32_t i = 0; i < count; i++)
            values[i] = *(const double *)(const void *)((const char *)&limits[i] + numbers[n]);
        *(double *)(void *)((char *)&all + numbers[n]) = versus_median(values, count);
    }
    limit_derive(&all);
    return all;
}

static struct limit_setup setup_of(const struct options *o, const volatile sig_atomic_t *stop,
                                   uint32_t parts)
{
    return (struct limit_setup){
        .options = o,
        .stop = stop,
        .duration_ns = o->duration_ns > 0 ? o->duration_ns : NS_PER_S,
        .parts = parts,
    };
}

bool versus_limit_only(const struct options *o, const volatile sig_atomic_t *stop,
                       struct versus *ret, struct failure *failure)
{
    struct limit limits[RUNS_MAX];
    const struct limit_setup setup = setup_of(o, stop, LIMIT_BULK | LIMIT_TRIP);
    uint32_t runs = 0;
    while (runs < o->runs && limit_measure(&setup, &limits[runs], failure))
        runs++;
    if (*stop != 0 && runs > 0)
        *failure = (struct failure){.is_set = false}; /* with what there is */
    if (failure->is_set)
        return false;
    *ret = (struct versus){.limit = median_limit(limits, runs), .runs = runs};
    return true;
}

/* Everything of the runs that is needed in the end. */
struct table {
    double gbps[RUNS_MAX];
    double cpu_s_per_gb[RUNS_MAX];
    double p50_us[RUNS_MAX];
    double p99_us[RUNS_MAX];
    struct limit limits[RUNS_MAX];
    uint32_t runs;
};

static bool run_one(const struct options *o, versus_scenario scenario, struct limit_setup *setup,
                    struct result *result, struct table *table, struct failure *failure)
{
    uint32_t i = table->runs;
    if (!scenario(o, result, failure) || *setup->stop != 0)
        return false;
    setup->cipher = result->cipher;
    if (!limit_measure(setup, &table->limits[i], failure))
        return false;
    table->gbps[i] = report_gbps(result);
    table->cpu_s_per_gb[i] = report_cpu_s_per_gb(result);
    table->p50_us[i] = report_percentile_us(result, 50);
    table->p99_us[i] = report_percentile_us(result, 99);
    table->runs++;
    return true;
}

static uint32_t middle(const double *values, uint32_t count)
{
    double wanted = versus_median(values, count);
    uint32_t i = 0;
    while (values[i] != wanted && i + 1 < count)
        i++;
    return i;
}

static struct versus versus_of(const struct table *t)
{
    struct versus v = {
        .limit = median_limit(t->limits, t->runs),
        .gbps = versus_median(t->gbps, t->runs),
        .cpu_s_per_gb = versus_median(t->cpu_s_per_gb, t->runs),
        .p50_us = versus_median(t->p50_us, t->runs),
        .p99_us = versus_median(t->p99_us, t->runs),
        .of_limit_min = NAN,
        .of_limit_max = NAN,
        .runs = t->runs,
    };
    for (uint32_t i = 0; i < t->runs; i++) {
        v.of_limit_min = fmin(v.of_limit_min, t->gbps[i] / t->limits[i].gbps);
        v.of_limit_max = fmax(v.of_limit_max, t->gbps[i] / t->limits[i].gbps);
    }
    return v;
}

bool versus_run(const struct options *o, versus_scenario scenario,
                const volatile sig_atomic_t *stop, struct result *ret_result, struct versus *ret,
                struct failure *failure)
{
    static struct table table;
    bool is_bulk = o->kind == SCENARIO_BULK;
    struct limit_setup setup = setup_of(o, stop, is_bulk ? LIMIT_BULK : LIMIT_TRIP);
    struct result *results = calloc(o->runs, sizeof(*results));
    if (results == NULL)
        return failure_set(failure, "out of memory");

    table.runs = 0;
    while (table.runs < o->runs &&
           run_one(o, scenario, &setup, &results[table.runs], &table, failure))
        continue;
    if (*stop != 0 && table.runs > 0)
        *failure = (struct failure){.is_set = false}; /* with what there is */
    else if (*stop != 0)
        (void)failure_set(failure, "interrupted before anything was measured");
    if (!failure->is_set) {
        uint32_t i = middle(is_bulk ? table.gbps : table.p50_us, table.runs);
        *ret_result = results[i];
        *ret = versus_of(&table);
    }
    free(results);
    return !failure->is_set;
}

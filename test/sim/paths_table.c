/* SPDX-License-Identifier: MIT */
#include "test/sim/paths.h"

/* The table of the laboratory, and for its pictures what each run has measured over time. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/recovery/cc.h"

enum { POINTS = 100 }; /* of a picture */

/* Writes "2-bbr" or "2-bbr-cubic". */
static void write_name(const struct qs_path_run *run, char *out, size_t size)
{
    const char *first = sp_cc_ops_of(run->first)->name;
    const char *later = sp_cc_ops_of(run->later)->name;
    snprintf(out, size, "%u-%s%s%s", run->flow_count, first, run->first == run->later ? "" : "-",
             run->first == run->later ? "" : later);
}

/* A line per point: the time in s, the longest wait in ms, Mbit/s of each flow. */
static bool write_series(const struct qs_path_run *run, const char *folder)
{
    char name[64], path[512];
    const struct qs_meter *meter = qs_path_meter();
    write_name(run, name, sizeof(name));
    int length = snprintf(path, sizeof(path), "%s/%s-%s.csv", folder, run->kind->name, name);
    FILE *file = length > 0 && (size_t)length < sizeof(path) ? fopen(path, "w") : NULL;
    if (file == NULL) {
        fprintf(stderr, "sim: cannot write %s\n", path);
        return false;
    }
    uint32_t width = meter->step_count / POINTS + 1;
    for (uint32_t step = width; step < meter->step_count; step += width) {
        uint64_t from_ns = (step - width) * QS_METER_STEP_NS, to_ns = step * QS_METER_STEP_NS;
        uint64_t wait_ns = 0;
        for (uint32_t i = step - width; i < step; i++)
            wait_ns = SB_MAX(wait_ns, meter->longest_wait_ns[i]);
        fprintf(file, "%.2f,%.2f", (double)to_ns / SB_S, (double)wait_ns / SB_MS);
        for (uint32_t flow = 0; flow < run->flow_count; flow++)
            fprintf(file, ",%.3f", qs_meter_flow_rate(meter, flow, from_ns, to_ns) * 8 / 1e6);
        fprintf(file, "\n");
    }
    return fclose(file) == 0;
}

static bool print_row(const struct qs_path_run *run, const char *folder)
{
    struct qs_path_figures figures;
    char who[32];
    qs_path_run(run, &figures);
    const char *first = sp_cc_ops_of(run->first)->name;
    const char *later = sp_cc_ops_of(run->later)->name;
    if (run->first == run->later)
        snprintf(who, sizeof(who), "%u %s", run->flow_count, first);
    else
        snprintf(who, sizeof(who), "%s, %u %s", first, run->flow_count - 1, later);
    if (figures.has_failed) {
        printf("| %s | %s | FAILED: %s |\n", run->kind->name, who, figures.failure);
        return false;
    }
    char to_90[16] = "-";
    if (figures.to_90_ns != SB_NEVER)
        snprintf(to_90, sizeof(to_90), "%.2f", (double)figures.to_90_ns / SB_S);
    printf("| %s | %s | %.1f | %.2f | %.2f | %.2f | %s | %.3f | %.0f | %.0f |\n", run->kind->name,
           who, figures.utilisation * 100, figures.loss * 100, (double)figures.wait_p50_ns / SB_MS,
           (double)figures.wait_p99_ns / SB_MS, to_90, figures.fairness, figures.first_share * 100,
           figures.spurious * 100);
    fflush(stdout);
    return folder == NULL || write_series(run, folder);
}

/* All rows of one path and controller. */
static bool print_rows(const struct qs_path_kind *kind, enum sp_cc_kind first,
                       const struct qs_paths_options *options)
{
    static const struct {
        uint32_t count;
        uint64_t interval_ms;
    } groups[] = {{1, 0}, {2, 2000}, {4, 500}, {16, 100}};
    bool is_large = kind->bits_per_s > 1000000000;
    bool passed = true;
    struct qs_path_run run = {.kind = kind,
                              .first = first,
                              .later = first,
                              .seed = options->seed,
                              .seconds = (uint32_t)options->seconds};
    for (uint32_t g = 0; g < (is_large ? 1 : SB_COUNT(groups)); g++) {
        if (options->flow_count != 0 && options->flow_count != groups[g].count)
            continue;
        run.flow_count = groups[g].count;
        run.flow_interval_ns =
            SB_MIN(groups[g].interval_ms * SB_MS,
                   (run.seconds > 0 ? run.seconds : kind->seconds) * SB_S / 4 / groups[g].count);
        passed = print_row(&run, options->folder) && passed;
    }
    if (first == SP_CC_CUBIC || is_large || options->flow_count != 0)
        return passed;
    run.flow_count = 2;
    run.later = SP_CC_CUBIC;
    return print_row(&run, options->folder) && passed;
}

bool qs_paths_print(const struct qs_paths_options *options)
{
    bool passed = true;
    printf("| path | flows | utilisation, %% | lost, %% | queue p50, ms | p99, ms | 90 %% after, s "
           "| Jain | first flow, %% | spurious, %% |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < qs_path_kind_count; i++) {
        const struct qs_path_kind *kind = &qs_path_kinds[i];
        if (options->name != NULL && strcmp(options->name, kind->name) != 0)
            continue;
        for (uint32_t k = 0; k < SP_CC_KINDS; k++) {
            enum sp_cc_kind first = (enum sp_cc_kind)k;
            if (options->cc == NULL || strcmp(options->cc, sp_cc_ops_of(first)->name) == 0)
                passed = print_rows(kind, first, options) && passed;
        }
    }
    return passed;
}

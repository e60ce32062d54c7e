/* SPDX-License-Identifier: MIT */
/* Repetitions are interleaved: one round runs every subject of a group once.  The median is what
 * targets are held against; the minimum is what the machine can do, the maximum says how much to
 * trust either. */

#include "bench/micro/harness.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/micro/instructions.h"
#include "proto/base/assert.h"
#include "proto/base/compiler.h"

#define RUN_NS_MIN 1000000 /* so that reading the clock, 25 ns, does not count */

void micro_check(bool holds, const char *what)
{
    if (holds)
        return;
    (void)fflush(stdout);
    (void)fprintf(stderr, "spate-micro: wrong: %s\n", what);
    exit(1);
}

uint64_t micro_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t time_once(const struct micro_subject *subject, uint64_t count)
{
    uint64_t start_ns = micro_now_ns();
    subject->run(subject->context, count);
    return micro_now_ns() - start_ns;
}

/* Returns how many operations take long enough to be timed, and warms them up. */
static uint64_t calibrate(const struct micro_subject *subject)
{
    uint64_t count = 1;
    while (time_once(subject, count) < RUN_NS_MIN)
        count *= 2;
    return count;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise(struct micro_sample *sample)
{
    double sorted[MICRO_REPETITIONS_MAX];
    SB_ASSERT(sample->count > 0 && sample->count <= MICRO_REPETITIONS_MAX);
    memcpy(sorted, sample->each, sample->count * sizeof(sorted[0]));
    qsort(sorted, sample->count, sizeof(sorted[0]), compare);
    sample->min = sorted[0];
    sample->median = sorted[sample->count / 2];
    sample->max = sorted[sample->count - 1];
}

void micro_time(const struct micro *m, const struct micro_subject *subjects, uint32_t count,
                struct micro_sample *ret)
{
    uint64_t operations[MICRO_SUBJECTS_MAX];
    SB_ASSERT(count <= MICRO_SUBJECTS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        if (m->is_counting)
            micro_count_instructions(&subjects[i]);
        else
            operations[i] = calibrate(&subjects[i]);
        ret[i] = (struct micro_sample){.count = m->repetitions};
    }
    if (m->is_counting)
        return;
    for (uint32_t round = 0; round < m->repetitions; round++) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t items = SB_MAX(subjects[i].items, 1u);
            uint64_t ns = time_once(&subjects[i], operations[i]);
            ret[i].each[round] = (double)ns / (double)operations[i] / items;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        summarise(&ret[i]);
}

struct micro_sample micro_sample_of(const double *figures, uint32_t count)
{
    struct micro_sample sample = {.count = count};
    SB_ASSERT(count > 0 && count <= MICRO_REPETITIONS_MAX);
    memcpy(sample.each, figures, count * sizeof(figures[0]));
    summarise(&sample);
    return sample;
}

struct micro_sample micro_ratio(const struct micro_sample *a, const struct micro_sample *b)
{
    struct micro_sample sample = {.count = a->count};
    for (uint32_t i = 0; i < a->count; i++)
        sample.each[i] = a->each[i] / b->each[i];
    summarise(&sample);
    return sample;
}

struct micro_sample micro_difference(const struct micro_sample *a, const struct micro_sample *b)
{
    struct micro_sample sample = {.count = a->count};
    for (uint32_t i = 0; i < a->count; i++)
        sample.each[i] = a->each[i] - b->each[i];
    summarise(&sample);
    return sample;
}

struct micro_sample micro_rate(const struct micro_sample *ns, double scale)
{
    struct micro_sample sample = {.count = ns->count};
    for (uint32_t i = 0; i < ns->count; i++)
        sample.each[i] = scale / ns->each[i];
    summarise(&sample);
    return sample;
}

/* ---- The table ---- */

static const char *verdict_of(struct micro *m, const struct micro_row *row)
{
    if (row->goal == MICRO_REPORTED)
        return "";
    bool is_met = row->goal == MICRO_AT_MOST ? row->sample->median <= row->target
                                             : row->sample->median >= row->target;
    m->met_count += is_met;
    m->missed_count += !is_met;
    return is_met ? "met" : "missed";
}

static void print_json(struct json *json, const struct micro_row *row, const char *verdict)
{
    json_begin(json, row->name);
    json_text(json, "unit", row->unit);
    json_number(json, "median", row->sample->median);
    json_number(json, "min", row->sample->min);
    json_number(json, "max", row->sample->max);
    if (row->goal != MICRO_REPORTED) {
        json_text(json, "goal", row->goal == MICRO_AT_MOST ? "at most" : "at least");
        json_number(json, "target", row->target);
        json_bool(json, "met", strcmp(verdict, "met") == 0);
    }
    if (row->note != NULL)
        json_text(json, "note", row->note);
    json_end(json);
}

void micro_row(struct micro *m, const struct micro_row *row)
{
    if (m->is_counting)
        return;
    const char *verdict = verdict_of(m, row);
    if (m->json != NULL) {
        print_json(m->json, row, verdict);
        return;
    }
    int digits = row->sample->median < 100 ? 2 : 0;
    printf("  %-42s %9.*f %9.*f %9.*f %-6s", row->name, digits, row->sample->median, digits,
           row->sample->min, digits, row->sample->max, row->unit);
    if (row->goal != MICRO_REPORTED)
        printf(" %s %-6g %s", row->goal == MICRO_AT_MOST ? "<=" : ">=", row->target, verdict);
    if (row->note != NULL)
        printf("  %s", row->note);
    printf("\n");
    (void)fflush(stdout);
}

void micro_row_ns(struct micro *m, const char *name, const struct micro_sample *sample,
                  enum micro_goal goal, double target)
{
    micro_row(m, &(struct micro_row){
                     .name = name, .unit = "ns", .sample = sample, .goal = goal, .target = target});
}

void micro_run_bench(struct micro *m, const struct micro_bench *bench, bool is_quick)
{
    bench->check();
    if (is_quick) {
        printf("ok - %s does what its reference does\n", bench->name);
        return;
    }
    if (m->json != NULL)
        json_begin(m->json, bench->name);
    else if (!m->is_counting)
        printf("\n%s: %s\n  %-42s %9s %9s %9s\n", bench->name, bench->what, "", "median", "min",
               "max");
    bench->time(m);
    if (m->json != NULL)
        json_end(m->json);
}

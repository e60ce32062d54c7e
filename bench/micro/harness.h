/* SPDX-License-Identifier: MIT */
#ifndef MICRO_HARNESS_H
#define MICRO_HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/load/json.h"

/* What the micro-benchmarks share: the clock, repetitions, and the table.
 *
 * A bench is a file that says what it is about, checks its subjects against a plain
 * reference, and times them:
 *
 *     check()   compares; ends the program with 1 through micro_check() where they differ
 *     time()    micro_time() for each group of subjects, then micro_row() for each figure
 *
 * check() always runs first, so it may also prepare what time() needs.  All of it belongs to the
 * main thread. */

enum { MICRO_REPETITIONS_MAX = 101, MICRO_SUBJECTS_MAX = 32 };

struct micro {
    struct json *json;    /* NULL: the table goes to stdout */
    uint32_t repetitions; /* 1 to MICRO_REPETITIONS_MAX */
    bool is_counting;     /* under callgrind: each subject runs once, nothing else is timed */
    uint32_t met_count;
    uint32_t missed_count;
};

struct micro_bench {
    const char *name;
    const char *what; /* one line for a person */
    void (*check)(void);
    void (*time)(struct micro *m);
};

/* Says what is wrong and ends the program with 1, unless `holds`. */
void micro_check(bool holds, const char *what);

uint64_t micro_now_ns(void);

/* Keeps the compiler from leaving out what made `value`. */
static inline void micro_use(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

/* Keeps the compiler from removing the code that wrote the object at `at`. */
static inline void micro_use_at(const void *at)
{
    __asm__ volatile("" : : "r"(at) : "memory");
}

/* What is timed: `run` does `count` operations. */
struct micro_subject {
    const char *name;
    void (*run)(void *context, uint64_t count);
    void *context;
    uint32_t items; /* per operation: figures are per item; 0 counts as 1 */
};

/* Nanoseconds an item, of each repetition and over all of them. */
struct micro_sample {
    double median;
    double min;
    double max;
    double each[MICRO_REPETITIONS_MAX];
    uint32_t count;
};

/* Times the subjects in turn, once each repetition, so that what disturbs the machine disturbs
 * all of them; warm, and for at least a millisecond each time.  Fills `ret` in their order. */
void micro_time(const struct micro *m, const struct micro_subject *subjects, uint32_t count,
                struct micro_sample *ret);

/* From `count` figures, e.g. of operations that were timed one by one. */
struct micro_sample micro_sample_of(const double *figures, uint32_t count);
/* Repetition by repetition. */
struct micro_sample micro_ratio(const struct micro_sample *a, const struct micro_sample *b);
struct micro_sample micro_difference(const struct micro_sample *a, const struct micro_sample *b);
/* Converts nanoseconds per item to a rate: `scale` / ns. */
struct micro_sample micro_rate(const struct micro_sample *ns, double scale);

enum micro_goal {
    MICRO_REPORTED,
    MICRO_AT_MOST,
    MICRO_AT_LEAST,
};

/* One line of the table. */
struct micro_row {
    const char *name; /* unique in its bench */
    const char *unit;
    const struct micro_sample *sample;
    enum micro_goal goal; /* held against the median */
    double target;
    const char *note; /* may be NULL */
};

/* Prints it; nothing while counting. */
void micro_row(struct micro *m, const struct micro_row *row);

/* The commonest row. */
void micro_row_ns(struct micro *m, const char *name, const struct micro_sample *sample,
                  enum micro_goal goal, double target);

/* Runs one bench: its check, and unless `is_quick` its times. */
void micro_run_bench(struct micro *m, const struct micro_bench *bench, bool is_quick);

#endif

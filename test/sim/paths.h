/* SPDX-License-Identifier: MIT */
#ifndef QS_PATHS_H
#define QS_PATHS_H

#include <stdbool.h>
#include <stdint.h>

#include "test/sim/meter.h"
#include "test/sim/plan.h"

/* A laboratory: congestion controllers on paths of many kinds, alone, in groups, and against each
 * other.  A server sends to a client without an end through one bottleneck. */

/* The longest run: the meter has room for a step more. */
#define QS_PATH_SECONDS_MAX (QS_METER_STEPS_MAX * QS_METER_STEP_NS / SB_S - 1)

struct qs_path_kind {
    const char *name;
    const char *what;
    uint64_t bits_per_s;
    uint64_t rtt_ns;
    uint32_t queue_percent; /* of the bandwidth-delay product */
    uint32_t queue_packets; /* instead; 0: queue_percent counts */
    uint32_t seconds;
    /* Changes the plan after the above.  NULL: nothing. */
    void (*change)(struct qs_plan *plan, struct qs_path_plan *path);
};

struct qs_path_run {
    const struct qs_path_kind *kind;
    enum sp_cc_kind first; /* the controller of the first flow */
    enum sp_cc_kind later; /* of all others */
    uint32_t flow_count;
    uint64_t flow_interval_ns; /* between the starts of two flows */
    uint64_t seed;
    uint32_t seconds; /* 0: those of `kind` */
};

/* The figures of a run.  Waits, losses and rates count from a quarter of the run on, or when the
 * last flow has begun. */
struct qs_path_figures {
    double utilisation; /* of the bottleneck: 0 to 1 */
    double loss;        /* dropped datagrams of those sent */
    uint64_t wait_p50_ns;
    uint64_t wait_p99_ns;
    uint64_t to_90_ns;  /* when the bottleneck was 90 % full for the first time; SB_NEVER: never */
    double fairness;    /* Jain's index in the last third of the run */
    double first_share; /* of the first flow, of what all got in the last third */
    double spurious;    /* of the packets that counted as lost */
    bool has_failed;
    char failure[512];
};

extern const struct qs_path_kind qs_path_kinds[];
extern const uint32_t qs_path_kind_count;

/* NULL: there is none. */
const struct qs_path_kind *qs_path_kind_named(const char *name);

/* Not for several threads: it measures in memory of its own. */
void qs_path_run(const struct qs_path_run *run, struct qs_path_figures *ret);

/* Returns what the last run has measured: valid until the next one. */
const struct qs_meter *qs_path_meter(void);

struct qs_paths_options {
    const char *name;    /* of one path; NULL: all */
    const char *cc;      /* one controller; NULL: all */
    const char *folder;  /* gets a file per run, for pictures; NULL: none */
    uint64_t flow_count; /* only so many flows of one controller; 0: all rows */
    uint64_t seconds;    /* of each run, at most QS_PATH_SECONDS_MAX; 0: those of its path */
    uint64_t seed;
};

/* Prints the table.  Returns false if a run has failed, or a file cannot be written. */
bool qs_paths_print(const struct qs_paths_options *options);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef LOAD_SCENARIOS_H
#define LOAD_SCENARIOS_H

#include "bench/load/options.h"

enum { SCENARIO_PRESETS_MAX = 6 };

/* One word of the command line. */
struct scenario_spec {
    const char *name;
    /* The scenario that does the work.  SCENARIO_BULK to SCENARIO_SERVE are kinds themselves. */
    enum scenario kind;
    const char *help;
    /* Values that options have where the command line has none; flags have "".  A NULL ends it. */
    struct {
        const char *option;
        const char *value;
    } presets[SCENARIO_PRESETS_MAX];
};

/* By enum scenario; that of SCENARIO_NONE has the name "none". */
extern const struct scenario_spec scenario_specs[SCENARIO_COUNT];

/* Returns the scenario with that name, or SCENARIO_NONE. */
enum scenario scenario_find(const char *name);

/* Writes all names to `ret`: "bulk, rr or serve". */
void scenario_names(char *ret, size_t ret_size);

#endif

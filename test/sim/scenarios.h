/* SPDX-License-Identifier: MIT */
#ifndef QS_SCENARIOS_H
#define QS_SCENARIOS_H

#include <stdbool.h>
#include <stdint.h>

#include "test/sim/plan.h"

/* Runs that have a name.  A family has several members: NAME-1, NAME-2 and so on. */
struct qs_scenario {
    const char *name;
    const char *what; /* in one line */
    void (*fill)(struct qs_plan *plan, uint32_t member);
    const uint32_t *members; /* NULL: 1 to member_count */
    uint32_t member_count;   /* 0: no family */
};

/* Each changes the quiet plan of qs_plan_init() in one respect, so that a failure says
 * where to look. */
struct qs_scenario_group {
    const struct qs_scenario *rows;
    uint32_t count;
};

extern const struct qs_scenario_group qs_scenarios_acks;
extern const struct qs_scenario_group qs_scenarios_net;
extern const struct qs_scenario_group qs_scenarios_paths;
extern const struct qs_scenario_group qs_scenarios_streams;
extern const struct qs_scenario_group qs_scenarios_conn;
extern const struct qs_scenario_group qs_scenarios_version;
extern const struct qs_scenario_group qs_scenarios_messages;
extern const struct qs_scenario_group qs_scenarios_early;
extern const struct qs_scenario_group qs_scenarios_pauses;

/* Returns scenario `index` of all, or NULL after the last. */
const struct qs_scenario *qs_scenario_at(uint32_t index);

/* The plan of member `index` of `scenario` (0 for one that is no family). */
void qs_scenario_plan(const struct qs_scenario *scenario, uint32_t index, uint64_t seed,
                      struct qs_plan *ret);

/* The plan of a random network, random applications and random faults. */
void qs_swarm_plan(uint64_t seed, struct qs_plan *ret);
/* Its part about applications that pause. */
void qs_swarm_pauses(struct qs_plan *plan);

#endif

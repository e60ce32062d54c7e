/* SPDX-License-Identifier: MIT */
#include "test/sim/scenarios.h"

#include <stdio.h>

#include "proto/base/compiler.h"

const struct qs_scenario *qs_scenario_at(uint32_t index)
{
    static const struct qs_scenario_group *const groups[] = {
        &qs_scenarios_net,   &qs_scenarios_paths,   &qs_scenarios_streams,
        &qs_scenarios_conn,  &qs_scenarios_version, &qs_scenarios_messages,
        &qs_scenarios_early, &qs_scenarios_acks,    &qs_scenarios_pauses,
    };
    for (size_t i = 0; i < SB_COUNT(groups); i++) {
        if (index < groups[i]->count)
            return &groups[i]->rows[index];
        index -= groups[i]->count;
    }
    return NULL;
}

void qs_scenario_plan(const struct qs_scenario *scenario, uint32_t index, uint64_t seed,
                      struct qs_plan *ret)
{
    qs_plan_init(ret, seed);
    uint32_t member = scenario->members != NULL ? scenario->members[index] : index + 1;
    scenario->fill(ret, member);
    if (scenario->member_count == 0)
        snprintf(ret->name, sizeof(ret->name), "%s", scenario->name);
    else
        snprintf(ret->name, sizeof(ret->name), "%s-%u", scenario->name, member);
}

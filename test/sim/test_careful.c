/* SPDX-License-Identifier: MIT */
/* What careful resume gains and costs: the second of two connections over a long fat path, with and
 * without what the first has measured.  [RFC9959] */

#include "test/support/qt.h"

#include <stdio.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/meter.h"
#include "test/sim/scenarios.h"
#include "test/sim/world.h"

#define SECOND_NS (3 * SB_S) /* when the second connection begins */

static struct qs_meter meter;

struct figures {
    uint64_t to_90_ns; /* of the second connection: until 90 % of the rate were kept for 100 ms */
    uint64_t done_ns;  /* .. until all of its bytes had arrived */
    uint64_t drop_count;
};

static uint64_t to_90_ns(double rate)
{
    for (uint64_t at_ns = SECOND_NS; at_ns < SECOND_NS + 20 * SB_S; at_ns += QS_METER_STEP_NS)
        if (qs_meter_rate(&meter, at_ns, at_ns + 100 * SB_MS) >= 0.9 * rate)
            return at_ns - SECOND_NS;
    return SB_NEVER;
}

/* Runs a member of resume-path, with other rates: `later_rate` from the second connection on. */
static struct figures run(uint32_t member, bool resumes, double later_rate, uint64_t seed)
{
    static struct qs_plan plan;
    struct qs_result result;
    const struct qs_scenario *scenario;
    uint32_t index = 0;
    while ((scenario = qs_scenario_at(index)) != NULL && strcmp(scenario->name, "resume-path") != 0)
        index++;
    assert_non_null(scenario);
    qs_scenario_plan(scenario, member - 1, seed, &plan);
    plan.side[SP_SERVER].resumes_paths = resumes;
    plan.work_ns = 30 * SB_S;
    plan.lost_max = 0;
    plan.faults_end_ns = 20 * SB_S; /* the meter runs until then */
    qs_meter_init(&meter, SECOND_NS);
    plan.meter = &meter;
    qs_world_run(&plan, &result);
    if (result.has_failed)
        fail_msg("%s", result.failure);
    const struct figures figures = {
        .to_90_ns = to_90_ns(later_rate),
        .done_ns = result.done_ns - SECOND_NS,
        .drop_count = meter.drop_count,
    };
    print_message("    %u, seed %lu, %s: 90 %% after %.2f s, done after %.2f s, %lu dropped\n",
                  member, (unsigned long)seed, resumes ? "resumed" : "not resumed",
                  (double)figures.to_90_ns / SB_S, (double)figures.done_ns / SB_S,
                  (unsigned long)figures.drop_count);
    return figures;
}

/* 400 Mbit/s, 100 ms: CUBIC and NewReno. */
static void a_long_fat_path_is_full_in_half_the_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        for (uint32_t member = 1; member <= 2; member++) {
            struct figures with = run(member, true, 50e6, seed);
            struct figures without = run(member, false, 50e6, seed);
            assert_true(with.to_90_ns <= without.to_90_ns / 2);
            assert_true(with.done_ns + 300 * SB_MS <= without.done_ns);
            assert_true(with.drop_count <= 1000); /* slow start overshoots: 7 % of 20 MB */
        }
    }
}

/* A tenth of the rate when the second begins: what it loses is less than the jump, and it comes to
 * the new rate all the same. */
static void a_path_that_became_narrow_costs_one_jump(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        for (uint32_t member = 3; member <= 4; member++) {
            struct figures with = run(member, true, 5e6, seed);
            struct figures without = run(member, false, 5e6, seed);
            assert_true(with.drop_count <= without.drop_count + 2500000 / 1400);
            assert_true(with.done_ns <= without.done_ns + 2 * SB_S);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_fat_path_is_full_in_half_the_time),
        cmocka_unit_test(a_path_that_became_narrow_costs_one_jump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "test/sim/transfers.h"

/* The paths of bench/peers/paths.py that have a number of bytes instead of a time.  There the rate
 * is what the machine moves; here it is 8 Gbit/s. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/world.h"

enum { PERCENT = 10000 };

#define RATE_BYTES_PER_S UINT64_C(1000000000)

const struct qs_transfer_kind qs_transfer_kinds[] = {
    {"clean-40ms", "40 ms, nothing late, 4 MiB", 40 * SB_MS, 4 << 20, {0}},
    {"seventh",
     "40 ms, every 7th comes 4 ms late, 4 MiB",
     40 * SB_MS,
     4 << 20,
     {.reorder_every = 7, .reorder_ns = 4 * SB_MS, .reorder_ns_min = 4 * SB_MS}},
    {"clean-2ms", "2 ms, nothing late, 5 MB", 2 * SB_MS, 5000000, {0}},
    {"reorder-10",
     "2 ms, 10 % come 2 ms late, 5 MB",
     2 * SB_MS,
     5000000,
     {.reorder_ppm = 10 * PERCENT, .reorder_ns = 2 * SB_MS, .reorder_ns_min = 2 * SB_MS}},
    {"loss-5", "2 ms, 5 % lost, 5 MB", 2 * SB_MS, 5000000, {.loss_ppm = 5 * PERCENT}},
};
const uint32_t qs_transfer_kind_count = SB_COUNT(qs_transfer_kinds);

const struct qs_transfer_kind *qs_transfer_kind_named(const char *name)
{
    for (uint32_t i = 0; i < qs_transfer_kind_count; i++)
        if (strcmp(qs_transfer_kinds[i].name, name) == 0)
            return &qs_transfer_kinds[i];
    return NULL;
}

static void fill(struct qs_plan *plan, const struct qs_transfer_kind *kind, enum sp_cc_kind cc,
                 uint64_t seed)
{
    qs_plan_init(plan, seed);
    snprintf(plan->name, sizeof(plan->name), "transfer-%s", kind->name);
    plan->path[SP_CLIENT] = kind->path;
    plan->path[SP_CLIENT].rate_bytes_per_s = RATE_BYTES_PER_S;
    plan->path[SP_CLIENT].queue_bytes = 32 << 20;
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_CLIENT].app.uni_count = 1;
    plan->side[SP_CLIENT].app.write_bytes_max = 250000;
    plan->side[SP_CLIENT].app.writes_max = 40;
    qs_plan_set_bytes(plan, kind->bytes, kind->bytes);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        plan->path[role].delay_ns = kind->rtt_ns / 2;
        side->batch_ns_max = 20 * SB_US;
        side->timer_slack_ns_max = 20 * SB_US;
        side->train_count_max = 64;
        side->config.cc_kind = cc;
    }
    plan->check_interval = 0;
    plan->faults_end_ns = 60 * SB_S;
    plan->work_ns = 60 * SB_S;
    qs_plan_set_timeouts(plan, 60 * SB_S, 60 * SB_S);
}

uint64_t qs_transfer_ns(const struct qs_transfer_kind *kind, enum sp_cc_kind cc, uint64_t seed)
{
    static struct qs_plan plan;
    struct qs_result result;
    fill(&plan, kind, cc, seed);
    qs_world_run(&plan, &result);
    if (!result.has_failed)
        return result.done_ns;
    fprintf(stderr, "transfer %s, seed %llu: %s\n", kind->name, (unsigned long long)seed,
            result.failure);
    return 0;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

uint64_t qs_transfer_median_ns(const struct qs_transfer_kind *kind, enum sp_cc_kind cc,
                               uint32_t count)
{
    uint64_t times[QS_TRANSFERS_MAX];
    SB_ASSERT(count > 0 && count <= QS_TRANSFERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        times[i] = qs_transfer_ns(kind, cc, i + 1);
        if (times[i] == 0)
            return 0;
    }
    qsort(times, count, sizeof(times[0]), compare);
    return times[count / 2];
}

bool qs_transfers_print(const char *name, const char *cc)
{
    enum { RUNS = 21 };
    bool passed = true;
    printf("| transfer | controller | median, ms |\n|---|---|---|\n");
    for (uint32_t i = 0; i < qs_transfer_kind_count; i++) {
        const struct qs_transfer_kind *kind = &qs_transfer_kinds[i];
        if (name != NULL && strcmp(name, kind->name) != 0)
            continue;
        for (uint32_t k = 0; k < SP_CC_KINDS; k++) {
            const char *own = sp_cc_ops_of((enum sp_cc_kind)k)->name;
            if (k == SP_CC_FIXED || (cc != NULL && strcmp(cc, own) != 0))
                continue;
            uint64_t ns = qs_transfer_median_ns(kind, (enum sp_cc_kind)k, RUNS);
            printf("| %s | %s | %.1f |\n", kind->name, own, (double)ns / SB_MS);
            passed = passed && ns > 0;
        }
    }
    return passed;
}

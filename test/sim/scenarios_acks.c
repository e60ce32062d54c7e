/* SPDX-License-Identifier: MIT */
/* Scenarios of ACKs that the peer of their receiver has asked for: ACK frequency. */

#include "test/sim/scenarios.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum { PERCENT = 10000 }; /* of a million */

enum member {
    CLEAN = 1,
    LOSSY,        /* ACK_FREQUENCY frames get lost, and so do the ACKs, of which there are few */
    REORDERED,    /* .. so that reordering asks for no ACKs */
    DAMAGED,      /* damaged, doubled, late */
    CLIENT_ALONE, /* only the client knows the extension */
    SERVER_ALONE,
    SHORT_DELAY, /* the server delays ACKs by 400 us only, less than is granted otherwise */
    MOVED,       /* the client's address changes: the window begins anew, and few ACKs are due */
    MARKED,      /* the queue marks its packets */
    HOLE,        /* nothing passes for a second: probes, and persistent congestion */
    NEITHER,     /* as CLEAN, without the extension: to compare with */
};

/* 4 MB to the client and 200 kB to the server, 8 MB/s, 40 ms of round trip. */
static void transfer(struct qs_plan *plan)
{
    static const uint64_t rate_bytes_per_s = 8000000;
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_CLIENT].app.uni_count = plan->side[SP_SERVER].app.uni_count = 1;
    qs_plan_set_bytes(plan, 4000000, 4000000);
    plan->side[SP_CLIENT].app.bytes_min = plan->side[SP_CLIENT].app.bytes_max = 200000;
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.write_bytes_max = 200000;
        plan->path[role].delay_ns = 20 * SB_MS;
        plan->path[role].rate_bytes_per_s = rate_bytes_per_s;
        plan->path[role].queue_bytes = 200000;
    }
    plan->ack_frequencies_min = 1;
    plan->check_interval = 100;
    plan->work_ns = 20 * SB_S;
}

static void damage(struct qs_plan *plan, enum member member)
{
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_path_plan *path = &plan->path[role];
        path->loss_ppm = member == LOSSY ? 2 * PERCENT : 0;
        path->reorder_ppm = member == REORDERED ? 10 * PERCENT : 0;
        path->corrupt_ppm = path->duplicate_ppm = member == DAMAGED ? 1 * PERCENT : 0;
        path->reorder_ns = 10 * SB_MS;
        path->mark_bytes = member == MARKED ? 60000 : 0;
        if (member == HOLE) {
            path->blackhole_from_ns = 500 * SB_MS;
            path->blackhole_until_ns = 1500 * SB_MS;
        }
    }
}

static void ack_frequency(struct qs_plan *plan, uint32_t member)
{
    transfer(plan);
    if (member != CLEAN && member <= DAMAGED)
        qs_plan_set_faults(plan);
    damage(plan, (enum member)member);
    plan->side[SP_CLIENT].config.ack_frequency = member != SERVER_ALONE && member != NEITHER;
    plan->side[SP_SERVER].config.ack_frequency = member != CLIENT_ALONE && member != NEITHER;
    if (!plan->side[SP_CLIENT].config.ack_frequency || !plan->side[SP_SERVER].config.ack_frequency)
        plan->ack_frequencies_min = 0;
    if (member == SHORT_DELAY)
        plan->side[SP_SERVER].config.ack_delay_ns_max = 400 * SB_US;
    if (member == MOVED) {
        plan->rebind.at_ns = 400 * SB_MS;
        plan->rebind.every_ns = 300 * SB_MS;
        plan->rebind.count = 3;
        plan->rebind.changes_ip = true;
    }
    if (member == HOLE)
        plan->work_ns = 60 * SB_S;
}

#define EACH_OF(array) (array), SB_COUNT(array)

static const struct qs_scenario rows[] = {
    {"ack-frequency", "clean, lossy, reordered, damaged; one side alone; short delays; moved; ..",
     ack_frequency, NULL, NEITHER},
};
const struct qs_scenario_group qs_scenarios_acks = {EACH_OF(rows)};

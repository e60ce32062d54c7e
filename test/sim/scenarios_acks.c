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

/* A rate that the path has, kept by the pacer, on a path where nothing is lost: the trains come at
 * longer intervals than round trips, and what is acknowledged is so after the delay that the sender
 * has asked for.  1, 10, 100 MB/s, at round trips of 100 us, 2 ms and 40 ms; then once more with
 * timers that are late by up to the least delay of ACKs that the ends grant, 1 ms. */
enum { FIXED_RATES = 3, FIXED_ROUND_TRIPS = 3, FIXED_TIMERS = 2 };

static void fixed_rate(struct qs_plan *plan, uint32_t member)
{
    static const uint64_t rates[FIXED_RATES] = {1000000, 10000000, 100000000};
    static const uint64_t delays_ns[FIXED_ROUND_TRIPS] = {50 * SB_US, SB_MS, 20 * SB_MS};
    uint32_t at = member - 1;
    uint64_t rate = rates[at % FIXED_RATES];
    bool is_late = at / (FIXED_RATES * FIXED_ROUND_TRIPS) > 0;
    plan->side[SP_CLIENT].app.bidi_count = plan->side[SP_CLIENT].app.uni_count = 0;
    plan->side[SP_SERVER].app.uni_count = 1;
    qs_plan_set_bytes(plan, rate / 2, rate / 2);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        side->app.write_bytes_max = (uint32_t)rate / 4;
        side->config.cc_kind = SP_CC_FIXED;
        side->config.fixed_rate_bytes_per_s = rate;
        side->config.conn_window_bytes = side->config.conn_window_bytes_max = rate;
        side->config.stream_window_bytes = side->config.stream_window_bytes_max = rate;
        side->timer_slack_ns_max = is_late ? SB_MS : 0;
        plan->path[role].delay_ns = delays_ns[at / FIXED_RATES % FIXED_ROUND_TRIPS];
    }
    plan->has_no_ptos = true;
    plan->check_interval = 1000;
    plan->work_ns = 10 * SB_S;
}

#define EACH_OF(array) (array), SB_COUNT(array)

static const struct qs_scenario rows[] = {
    {"ack-frequency", "clean, lossy, reordered, damaged; one side alone; short delays; moved; ..",
     ack_frequency, NULL, NEITHER},
    {"fixed-rate", "a fixed rate, and nothing lost: no PTO fires", fixed_rate, NULL,
     FIXED_RATES *FIXED_ROUND_TRIPS *FIXED_TIMERS},
};
const struct qs_scenario_group qs_scenarios_acks = {EACH_OF(rows)};

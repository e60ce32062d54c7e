/* SPDX-License-Identifier: MIT */
/* Scenarios of paths: a client that moves, a server that prefers another address or replaces its
 * CIDs, and an attacker who copies packets. */

#include "test/sim/scenarios.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum { PERCENT = 10000 }; /* of a million */

static void be_rough(struct qs_plan *plan)
{
    qs_plan_set_faults(plan);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_path_plan *path = &plan->path[role];
        path->loss_ppm = 5 * PERCENT;
        path->reorder_ppm = 10 * PERCENT;
        path->reorder_ns = 15 * SB_MS;
        path->corrupt_ppm = 2 * PERCENT;
        path->duplicate_ppm = 2 * PERCENT;
    }
}

/* 1: nothing else; 2: Retry; 3: other moves are forbidden; 4: the NAT changes the address as well;
 * 5: the client moves on, often; 6 to 10: the same with loss, reordering and corruption. */
static void preferred(struct qs_plan *plan, uint32_t member)
{
    uint32_t what = (member - 1) % 5 + 1;
    qs_plan_set_bytes(plan, 1000000, 1000000);
    if (member > 5)
        be_rough(plan);
    plan->side[SP_SERVER].has_preferred = true;
    plan->preferred_min = 1;
    plan->check_interval = 20;
    if (what == 2)
        plan->side[SP_SERVER].sends_retry = true;
    if (what == 3)
        plan->side[SP_SERVER].config.migration = false;
    if (what == 4) {
        plan->rebind.at_ns = 40 * SB_MS;
        plan->rebind.every_ns = 150 * SB_MS;
        plan->rebind.count = 3;
        plan->rebind.changes_ip = true;
        plan->preferred_min = 0; /* it may fail, because its NAT has changed meanwhile */
    }
    if (what == 5) {
        plan->moves.at_ns = 200 * SB_MS;
        plan->moves.every_ns = 100 * SB_MS;
        plan->moves.count = 5;
    }
}

static void preferred_ignored(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    qs_plan_set_bytes(plan, 300000, 300000);
    plan->side[SP_SERVER].has_preferred = true;
    plan->side[SP_CLIENT].config.follow_preferred = false;
}

/* 1: once; 2: often; 3: often, and from half of the places nothing passes; 4: datagrams of other
 * sizes pass; 5: the NAT changes ports as well; 6 to 10: the same with loss, reordering and
 * corruption. */
static void migration(struct qs_plan *plan, uint32_t member)
{
    uint32_t what = (member - 1) % 5 + 1;
    qs_plan_set_bytes(plan, 3000000, 3000000);
    if (member > 5)
        be_rough(plan);
    plan->moves.at_ns = 50 * SB_MS;
    plan->moves.every_ns = 100 * SB_MS;
    plan->moves.count = what == 1 ? 1 : 8;
    plan->migrated_min = 1;
    plan->check_interval = 50;
    if (what == 3)
        plan->moves.dead_ppm = 50 * PERCENT;
    if (what == 4)
        plan->moves.mtu_max = 4000;
    if (what == 5) {
        plan->rebind.at_ns = 80 * SB_MS;
        plan->rebind.every_ns = 130 * SB_MS;
        plan->rebind.count = 4;
        plan->migrated_min = 0;
    }
    for (int role = 0; role < QS_SIDES; role++)
        plan->side[role].config.datagram_size_max = 8972;
}

/* Copies of the client's packets from another address: 1 behind the originals, 2 before them, 3
 * from many addresses, 4 altered, 5 while the client moves, 6 and 7 to another address of the
 * server, 7 from many and while the client moves; 8 to 14: the same with loss, reordering and
 * corruption. */
static void copier(struct qs_plan *plan, uint32_t member)
{
    uint32_t what = (member - 1) % 7 + 1;
    qs_plan_set_bytes(plan, 1000000, 1000000);
    if (member > 7)
        be_rough(plan);
    else
        plan->faults_end_ns = 2 * SB_S;
    plan->work_ns = 120 * SB_S;
    qs_plan_set_timeouts(plan, 120 * SB_S, 120 * SB_S);
    plan->copier.copy_ppm = 20 * PERCENT;
    plan->copier.race_ns = what == 1 ? 0 : 30 * SB_MS;
    plan->copier.has_many = what == 3 || what == 7;
    plan->copier.goes_elsewhere = what >= 6;
    plan->copier.forged_ppm = what == 4 ? 100 * PERCENT : 0;
    plan->check_interval = 20;
    if (what == 5 || what == 7) {
        plan->moves.at_ns = 50 * SB_MS;
        plan->moves.every_ns = 200 * SB_MS;
        plan->moves.count = 5;
        plan->side[SP_SERVER].has_preferred = true;
    }
}

/* The server replaces its CIDs: 1 once, 2 in the handshake, 3 often, 4 both sides do, 5 the client
 * has one CID at a time and moves never, 6 while the client moves, 7 while its NAT changes ports,
 * 8 while it goes to the preferred address; 9 to 16: the same with loss, reordering and corruption.
 */
static void renewal(struct qs_plan *plan, uint32_t member)
{
    uint32_t what = (member - 1) % 8 + 1;
    bool is_quiet = member <= 8;
    qs_plan_set_bytes(plan, 2000000, 2000000);
    if (!is_quiet)
        be_rough(plan);
    plan->renewals.at_ns = what == 2 ? 15 * SB_MS : 60 * SB_MS;
    plan->renewals.every_ns = 70 * SB_MS;
    plan->renewals.count = what <= 2 ? 1 : 5;
    plan->renewals.clients_too = what == 4;
    plan->side[SP_SERVER].cid_count_max = what == 5 ? 1 : SP_CIDS_MAX - 1;
    /* With each renewal but the first the CIDs of the one before, and the client's first choice. */
    plan->retired_min = what <= 2 ? 2 : is_quiet ? 6 : 4;
    plan->check_interval = 20;
    if (what == 6) {
        plan->moves.at_ns = 50 * SB_MS;
        plan->moves.every_ns = 100 * SB_MS;
        plan->moves.count = 5;
        plan->migrated_min = 1;
    }
    if (what == 7) {
        plan->rebind.at_ns = 50 * SB_MS;
        plan->rebind.every_ns = 130 * SB_MS;
        plan->rebind.count = 3;
    }
    if (what == 8) {
        plan->side[SP_SERVER].has_preferred = true;
        plan->preferred_min = 1;
    }
}

#define EACH_OF(array) (array), SB_COUNT(array)

static const struct qs_scenario rows[] = {
    {"preferred", "the server prefers another address", preferred, NULL, 10},
    {"preferred-ignored", "the client stays at the first address", preferred_ignored, NULL, 0},
    {"migration", "the client moves, once or often, also to where nothing passes", migration, NULL,
     10},
    {"renewal", "the server replaces its CIDs, also while the client moves", renewal, NULL, 16},
    {"copier", "an attacker sends copies from other addresses", copier, NULL, 14},
};
const struct qs_scenario_group qs_scenarios_paths = {EACH_OF(rows)};

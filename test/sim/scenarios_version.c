/* SPDX-License-Identifier: MIT */
/* Scenarios of versions 1 and 2: who begins with which, who moves, who is deceived. */

#include "test/sim/scenarios.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum { PERCENT = 10000 }; /* of a million */

static const struct sp_versions one_two = {.count = 2, .list = {SP_VERSION_1, SP_VERSION_2}};
static const struct sp_versions two_one = {.count = 2, .list = {SP_VERSION_2, SP_VERSION_1}};
static const struct sp_versions only_one = {.count = 1, .list = {SP_VERSION_1}};
static const struct sp_versions only_two = {.count = 1, .list = {SP_VERSION_2}};

static void set_versions(struct qs_plan *plan, const struct sp_versions *client,
                         const struct sp_versions *server)
{
    plan->side[SP_CLIENT].config.versions = *client;
    plan->side[SP_SERVER].config.versions = *server;
}

/* What happens to the handshake, beside versions. */
static void trouble(struct qs_plan *plan, uint32_t member)
{
    struct qs_path_plan *from_client = &plan->path[SP_CLIENT];
    struct qs_path_plan *from_server = &plan->path[SP_SERVER];
    switch (member) {
    case 1:
        break;
    case 2:
        plan->side[SP_SERVER].sends_retry = true;
        break;
    case 3:
        plan->protect.seal_count_max = 200;
        plan->key_updates_min = 4;
        qs_plan_set_loss(plan, 5);
        break;
    case 4: /* a hello of two datagrams: the server acknowledges before it can choose */
        plan->needs_null = true;
        plan->tls.hello_size = 1800;
        from_client->late_nth = 2;
        from_client->late_ns = 30 * SB_MS;
        break;
    case 5: /* the first datagram of the server is lost, then one that is late */
        from_server->drop_first = from_server->drop_count = 1;
        from_server->late_nth = 3;
        from_server->late_ns = 30 * SB_MS;
        plan->tls.certificate_size = 5000;
        break;
    case 6: /* what the client sends in the negotiated version is lost */
        from_client->drop_first = 2;
        from_client->drop_count = 3;
        break;
    case 7:
        qs_plan_set_faults(plan);
        for (int role = 0; role < QS_SIDES; role++) {
            plan->path[role].reorder_ppm = 50 * PERCENT;
            plan->path[role].reorder_ns = 30 * SB_MS;
            plan->path[role].corrupt_ppm = 5 * PERCENT;
            plan->path[role].duplicate_ppm = 20 * PERCENT;
        }
        break;
    default:
        qs_plan_set_loss(plan, 20);
        break;
    }
}

/* The client begins with version 2.  [RFC9369] */
static void version_2(struct qs_plan *plan, uint32_t member)
{
    set_versions(plan, &two_one, &one_two);
    plan->version = SP_VERSION_2;
    trouble(plan, member);
}

/* The server moves a client of version 1 to version 2.  [RFC9368 2.3, RFC9369 4.1] */
static void upgrade(struct qs_plan *plan, uint32_t member)
{
    set_versions(plan, &one_two, &two_one);
    plan->side[SP_SERVER].config.orders_versions = true;
    plan->version = SP_VERSION_2;
    trouble(plan, member);
}

/* The client begins with version 1 and prefers version 2: the server does as it asks. */
static void preference(struct qs_plan *plan, uint32_t member)
{
    set_versions(plan, &two_one, &one_two);
    plan->side[SP_CLIENT].config.first_version = SP_VERSION_1;
    plan->version = SP_VERSION_2;
    trouble(plan, member);
}

/* The server moves a client of version 2 to version 1. */
static void downgrade(struct qs_plan *plan, uint32_t member)
{
    set_versions(plan, &two_one, &one_two);
    plan->side[SP_SERVER].config.orders_versions = true;
    plan->version = SP_VERSION_1;
    trouble(plan, member);
}

/* The server has only the version that the client tries second.  [RFC9368 2.1] */
static void fallback(struct qs_plan *plan, uint32_t member)
{
    bool to_two = member % 2 == 0;
    set_versions(plan, to_two ? &one_two : &two_one, to_two ? &only_two : &only_one);
    plan->version = to_two ? SP_VERSION_2 : SP_VERSION_1;
    trouble(plan, (member + 1) / 2);
}

/* Somebody refuses the client's version in the name of a server that has it.  [RFC9368 4] */
static void attack(struct qs_plan *plan, uint32_t member)
{
    bool to_two = member % 2 == 0;
    set_versions(plan, to_two ? &one_two : &two_one, &one_two);
    plan->side[SP_SERVER].forged_negotiations = 1;
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_TRANSPORT, SP_ERR_VERSION_NEGOTIATION);
    if (member > 2) { /* again: the second one is ignored, and so is the attempt */
        plan->side[SP_SERVER].forged_negotiations = 1000;
        qs_plan_set_timeouts(plan, 5 * SB_S, 30 * SB_S);
        qs_plan_expect(plan, SP_CLOSE_HANDSHAKE_TIMEOUT, 0);
    }
}

/* Without a common version there is no connection. */
static void none_in_common(struct qs_plan *plan, uint32_t member)
{
    set_versions(plan, member == 1 ? &only_one : &only_two, member == 1 ? &only_two : &only_one);
    plan->must_complete = false;
    qs_plan_expect(plan, SP_CLOSE_VERSION, 0);
}

/* A side that speaks only one version, and one that speaks both. */
static void one_version(struct qs_plan *plan, uint32_t member)
{
    static const struct {
        const struct sp_versions *client;
        const struct sp_versions *server;
        uint32_t version;
    } rows[] = {
        {&only_one, &two_one, SP_VERSION_1},
        {&only_two, &one_two, SP_VERSION_2},
        {&one_two, &only_one, SP_VERSION_1},
        {&two_one, &only_two, SP_VERSION_2},
    };
    set_versions(plan, rows[member - 1].client, rows[member - 1].server);
    plan->side[SP_SERVER].config.orders_versions = true;
    plan->version = rows[member - 1].version;
}

static const struct qs_scenario rows[] = {
    {"version-2", "a client that begins with version 2", version_2, NULL, 8},
    {"version-upgrade", "a server that moves its client from version 1 to 2", upgrade, NULL, 8},
    {"version-preference", "a client that asks to be moved to version 2", preference, NULL, 8},
    {"version-downgrade", "a server that moves its client from version 2 to 1", downgrade, NULL, 8},
    {"version-fallback", "a server that refuses the client's version", fallback, NULL, 16},
    {"version-attack", "a forged Version Negotiation", attack, NULL, 4},
    {"version-none", "no version in common", none_in_common, NULL, 2},
    {"version-one", "one side has one version only", one_version, NULL, 4},
};
const struct qs_scenario_group qs_scenarios_version = {rows, SB_COUNT(rows)};

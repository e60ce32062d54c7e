/* SPDX-License-Identifier: MIT */
#include "test/sim/world.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/impl.h"
#include "test/sim/moves.h"
#include "test/sim/renewals.h"
#include "test/sim/meter.h"
#include "test/sim/oracle_wait.h"

/* Not 0, so that a time that was never set is in the past. */
#define START_NS (1000 * SB_MS)

enum { PACKETS_MAX = 1000000 }; /* ten times what the largest run needs */

static void connect_next(void *context, void *argument)
{
    (void)argument;
    struct qs_world *world = context;
    qs_host_connect(&world->hosts[SP_CLIENT]);
    if (++world->connected_count < world->plan->conn_count)
        qs_clock_at(&world->clock, world->clock.now_ns + world->plan->conn_interval_ns,
                    connect_next, world, NULL);
}

static void crash(void *context, void *argument)
{
    (void)argument;
    qs_host_crash(context);
}

static void check_work(void *context, void *argument)
{
    (void)argument;
    qs_judge_work(context);
}

/* `plan` with all its times moved to the clock's start. */
static void plan_shift(struct qs_plan *plan)
{
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_path_plan *path = &plan->path[role];
        if (path->blackhole_until_ns > 0) {
            path->blackhole_from_ns += START_NS;
            path->blackhole_until_ns += START_NS;
        }
        struct qs_side_plan *side = &plan->side[role];
        side->app.close_at_ns += START_NS;
        if (side->crash_at_ns > 0)
            side->crash_at_ns += START_NS;
    }
    plan->rebind.at_ns = SB_NEVER; /* see begin_moving() */
    plan->faults_end_ns += START_NS;
    if (plan->over_ns > 0)
        plan->over_ns += START_NS;
}

/* Notes what each connection has got, and does so again a step later. */
static void measure(void *context, void *argument)
{
    (void)argument;
    struct qs_world *world = context;
    struct qs_meter *meter = world->plan->meter;
    if (meter->step_count == QS_METER_STEPS_MAX || world->clock.now_ns > world->plan->faults_end_ns)
        return;
    uint32_t step = meter->step_count++;
    const struct qs_host *host = &world->hosts[SP_CLIENT];
    for (uint32_t i = 0; i < host->end_count && i < QS_METER_FLOWS_MAX; i++)
        meter->got[i][step] = host->ends[i]->app.bytes_received;
    qs_clock_at(&world->clock, world->clock.now_ns + QS_METER_STEP_NS, measure, world, NULL);
}

static void world_init(struct qs_world *world, const struct qs_plan *plan)
{
    *world = (struct qs_world){.plan = plan};
    qs_clock_init(&world->clock, START_NS);
    qs_trace_init(&world->trace, &world->clock, plan->verbose);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_host *host = &world->hosts[role];
        struct qs_link *link = &world->links[role];
        qs_link_init(link, plan, (enum sp_role)role, &world->clock, &world->trace);
        qs_host_init(host, plan, (enum sp_role)role, &world->clock, &world->trace);
        host->out = link;
        host->peer = &world->hosts[1 - role];
        link->deliver = qs_host_deliver;
        link->context = host->peer;
        if (host->side->crash_at_ns > 0)
            qs_clock_at(&world->clock, host->side->crash_at_ns, crash, host, NULL);
    }
    qs_clock_at(&world->clock, START_NS, connect_next, world, NULL);
    if (plan->meter != NULL) {
        plan->meter->start_ns = START_NS;
        measure(world, NULL);
    }
    if (plan->monkeys.count > 0)
        world->monkeys = qs_monkeys_create(plan, &world->hosts[SP_SERVER]);
    qs_clock_at(&world->clock, plan->faults_end_ns + plan->work_ns, check_work, world, NULL);
}

/* What an end waits for may be lost after its last step. */
static void check_silence(struct qs_world *world)
{
    bool was_silent = world->is_silent;
    world->is_silent = true;
    for (int role = 0; role < QS_SIDES; role++)
        if (world->links[role].under_way_count > 0 || world->hosts[role].arrived_count > 0)
            world->is_silent = false;
    for (int role = 0; role < QS_SIDES && world->is_silent && !was_silent; role++)
        qs_oracle_check_waits(&world->hosts[role]);
}

static bool is_over(const struct qs_world *world)
{
    bool over = world->connected_count == world->plan->conn_count;
    for (int role = 0; role < QS_SIDES; role++) {
        const struct qs_host *host = &world->hosts[role];
        over = over && world->links[role].under_way_count == 0 && host->arrived_count == 0 &&
               qs_host_live_count(host) == 0;
    }
    return over && (world->monkeys == NULL || qs_monkeys_are_gone(world->monkeys));
}

/* All clients have begun, and have seen the end of all their streams. */
static bool is_done(const struct qs_world *world)
{
    const struct qs_host *host = &world->hosts[SP_CLIENT];
    bool done = world->connected_count == world->plan->conn_count;
    for (uint32_t i = 0; i < host->end_count && done; i++)
        done = qs_app_is_complete(&host->ends[i]->app);
    return done;
}

/* Frees first the datagrams in flight, then the monkeys, then the ends and their hosts. */
static void world_deinit(struct qs_world *world, struct qs_monkey_report *ret_monkeys)
{
    struct qs_due due;
    while (qs_clock_pop(&world->clock, &due))
        (void)qs_link_take_back(&due);
    qs_monkeys_destroy(world->monkeys, ret_monkeys);
    for (int role = 0; role < QS_SIDES; role++)
        qs_host_deinit(&world->hosts[role]);
    qs_clock_deinit(&world->clock);
}

static bool all_are_confirmed(const struct qs_host *host)
{
    for (uint32_t i = 0; i < host->end_count; i++) {
        const struct qs_end *end = host->ends[i];
        if (end->conn != NULL && !end->is_stray &&
            end->conn->handshake_state < SP_HANDSHAKE_CONFIRMED)
            return false;
    }
    return true;
}

/* [RFC9000 9] A client that moves before the handshake is confirmed is lost, so the NAT forgets it,
 * and it moves, later.  A client that has closed may be gone while its server still waits for its
 * last packets. Returns whether that has begun. */
static bool begin_moving(struct qs_world *world, struct qs_plan *shifted, uint64_t after_ns)
{
    if (shifted->rebind.count == 0 && shifted->moves.count == 0)
        return true;
    if (world->connected_count < shifted->conn_count)
        return false;
    for (int role = 0; role < QS_SIDES; role++)
        if (!all_are_confirmed(&world->hosts[role]))
            return false;
    if (shifted->rebind.count > 0)
        shifted->rebind.at_ns = world->clock.now_ns + after_ns;
    qs_moves_begin(world);
    return true;
}

static void count_losses(const struct qs_world *world, struct qs_meter *meter)
{
    const struct qs_host *host = &world->hosts[SP_SERVER];
    for (uint32_t i = 0; i < host->end_count; i++) {
        const struct sp_stats *stats = &host->ends[i]->stats;
        meter->sent_count += stats->packets_out;
        meter->lost_count += stats->packets_lost;
        meter->spurious_count += stats->packets_spurious;
    }
}

void qs_world_run(const struct qs_plan *plan, struct qs_result *ret)
{
    struct qs_world world;
    struct qs_plan shifted = *plan;
    plan_shift(&shifted);
    world_init(&world, &shifted);

    uint64_t end_ns = qs_plan_end_ns(&shifted);
    bool has_begun = false;
    if (plan->note != NULL)
        qs_note(&world.trace, "%s", plan->note);
    qs_renewals_begin(&world);
    while (!world.trace.has_failed && !is_over(&world)) {
        if (!qs_clock_step(&world.clock))
            qs_fail(&world.trace, "nothing happens any more");
        else if (world.trace.packet_count > PACKETS_MAX && plan->meter == NULL)
            qs_fail(&world.trace, "more than %d packets: both answer each other", PACKETS_MAX);
        else if (world.clock.now_ns > end_ns)
            qs_fail(&world.trace, "it takes too long: %u client's and %u server's connections live",
                    qs_host_live_count(&world.hosts[SP_CLIENT]),
                    qs_host_live_count(&world.hosts[SP_SERVER]));
        check_silence(&world);
        has_begun = has_begun || begin_moving(&world, &shifted, plan->rebind.at_ns);
        if (world.done_ns == 0 && is_done(&world))
            world.done_ns = world.clock.now_ns;
    }
    if (!world.trace.has_failed)
        qs_judge_end(&world);

    *ret = (struct qs_result){.hash = world.trace.hash,
                              .packet_count = world.trace.packet_count,
                              .ended_ns = world.clock.now_ns - START_NS,
                              .done_ns = world.done_ns > 0 ? world.done_ns - START_NS : 0,
                              .memory_bytes_max = world.hosts[SP_SERVER].memory_bytes_max};
    if (plan->meter != NULL)
        count_losses(&world, plan->meter);
    for (int role = 0; role < QS_SIDES; role++) {
        ret->lost_count += world.links[role].damaged_count;
        for (uint32_t i = 0; i < world.hosts[role].end_count; i++)
            ret->bytes_received += world.hosts[role].ends[i]->app.bytes_received;
    }
    world_deinit(&world, &ret->monkeys);
    ret->has_failed = world.trace.has_failed;
    memcpy(ret->failure, world.trace.failure, sizeof(ret->failure));
}

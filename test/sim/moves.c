/* SPDX-License-Identifier: MIT */
/* Clients that move.
 *
 * The n-th address of a client has the byte n in its second place, and a port of its own; ways.h
 * says what is special to the way from there.  The NAT of the plan (the node QS_NODE_REBIND)
 * changes the third place. */

#include "test/sim/moves.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/conn/impl.h"
#include "test/sim/host.h"
#include "test/sim/world.h"

enum { PLACES = 200 };

void qs_end_move(struct qs_end *end, const struct sp_addr *remote)
{
    uint64_t now_ns = end->host->clock->now_ns;
    struct sp_path to = *sp_conn_path(end->conn);
    end->move_count++;
    to.local.port = (uint16_t)(qs_addr_of(SP_CLIENT).port + end->move_count % PLACES);
    if (remote != NULL) {
        to.remote = *remote;
        if (sp_conn_move_to_preferred(end->conn, &to, now_ns) == SP_DONE)
            qs_note(end->host->trace, "%s moves to the preferred address", end->who);
        return;
    }
    to.local.ip[1] = (uint8_t)(1 + end->move_count % PLACES);
    if (sp_conn_migrate(end->conn, &to, now_ns) == SP_DONE)
        qs_note(end->host->trace, "%s moves to place %u", end->who, to.local.ip[1]);
}

static void move_all(void *context, void *argument)
{
    (void)argument;
    struct qs_world *world = context;
    struct qs_host *clients = &world->hosts[SP_CLIENT];
    for (uint32_t i = 0; i < clients->end_count && !world->trace.has_failed; i++) {
        struct qs_end *end = clients->ends[i];
        if (end->conn == NULL || sp_conn_is_closed(end->conn))
            continue;
        qs_end_move(end, NULL);
        qs_end_step(end);
    }
    const struct qs_moves_plan *moves = &world->plan->moves;
    if (++world->move_count < moves->count)
        qs_clock_at(&world->clock, world->clock.now_ns + moves->every_ns, move_all, world, NULL);
}

void qs_moves_begin(struct qs_world *world)
{
    const struct qs_moves_plan *moves = &world->plan->moves;
    if (moves->count > 0)
        qs_clock_at(&world->clock, world->clock.now_ns + moves->at_ns, move_all, world, NULL);
}

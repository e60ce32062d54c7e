/* SPDX-License-Identifier: MIT */
/* Hosts that replace the CIDs of their connections, as when a load balancer gets another
 * configuration: in handshakes, while clients move, and again before the peer has retired those of
 * the time before. */

#include "test/sim/renewals.h"

#include "proto/base/compiler.h"
#include "test/sim/end.h"
#include "test/sim/host.h"
#include "test/sim/world.h"

static void renew_of(struct qs_host *host)
{
    uint32_t count_max = host->side->cid_count_max;
    for (uint32_t i = 0; i < host->end_count && !host->trace->has_failed; i++) {
        struct qs_end *end = host->ends[i];
        if (end->conn == NULL || sp_conn_is_closed(end->conn))
            continue;
        qs_note(host->trace, "%s renews its CIDs", end->who);
        sp_conn_renew_cids(end->conn, count_max != 0 ? count_max : SP_CIDS_MAX - 1);
        qs_end_step(end);
    }
}

static void renew_all(void *context, void *argument)
{
    (void)argument;
    struct qs_world *world = context;
    const struct qs_renewals_plan *renewals = &world->plan->renewals;
    renew_of(&world->hosts[SP_SERVER]);
    if (renewals->clients_too)
        renew_of(&world->hosts[SP_CLIENT]);
    if (++world->renewal_count < renewals->count)
        qs_clock_at(&world->clock, world->clock.now_ns + renewals->every_ns, renew_all, world,
                    NULL);
}

void qs_renewals_begin(struct qs_world *world)
{
    const struct qs_renewals_plan *renewals = &world->plan->renewals;
    if (renewals->count > 0)
        qs_clock_at(&world->clock, world->clock.now_ns + renewals->at_ns, renew_all, world, NULL);
}

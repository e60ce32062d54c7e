/* SPDX-License-Identifier: MIT */
#include "test/sim/ways.h"

#include "test/sim/random.h"

enum { PPM = 1000000 };

static uint64_t chance_of(const struct qs_plan *plan, const struct sp_addr *addr, const char *what)
{
    uint64_t key = qs_hash(plan->seed, what, 4) + addr->ip[1];
    return qs_mix(key);
}

bool qs_way_is_dead(const struct qs_plan *plan, const struct sp_addr *addr)
{
    return addr->ip[1] != 0 && chance_of(plan, addr, "dead") % PPM < plan->moves.dead_ppm;
}

size_t qs_way_mtu(const struct qs_plan *plan, const struct sp_addr *addr)
{
    if (addr->ip[1] == 0 || plan->moves.mtu_max == 0)
        return SIZE_MAX;
    uint64_t span = plan->moves.mtu_max - SP_DATAGRAM_SIZE_MIN + 1;
    return SP_DATAGRAM_SIZE_MIN + (size_t)(chance_of(plan, addr, "mtu ") % span);
}

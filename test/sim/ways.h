/* SPDX-License-Identifier: MIT */
#ifndef QS_WAYS_H
#define QS_WAYS_H

#include <stdbool.h>
#include <stddef.h>

#include "test/sim/plan.h"

/* What is special to the way between the server and `addr`, one of a client's addresses but the
 * first.  Chance decides by the plan's seed: nothing passes, or no large datagrams do. */
bool qs_way_is_dead(const struct qs_plan *plan, const struct sp_addr *addr);
size_t qs_way_mtu(const struct qs_plan *plan, const struct sp_addr *addr); /* SIZE_MAX: any */

#endif

/* SPDX-License-Identifier: MIT */
#ifndef QS_MONKEY_H
#define QS_MONKEY_H

#include <stdbool.h>
#include <stdint.h>

#include "test/sim/host.h"
#include "test/support/hostile.h"

/* Hostile clients beside the honest ones of a world.  Each completes a handshake with a server's
 * connection of its own, a victim, whose objects come from the pools of the world's server.  Then
 * it sends packets of one hostile kind, mixed with others, with garbage and with replays, at any
 * pace, until it has enough: it closes, falls silent or was closed.
 *
 *     monkey.c     the clients: what they send, and when
 *     victim.c     the servers' side, and the measures
 *     victim_app.c its application: reads, holds, ignores or lends
 *     monkey_run.c plans, runs with and without monkeys, bounds, the table
 *
 * A monkey and its victim exchange datagrams directly.  So the honest connections meet them in
 * the pools alone, and as long as there is memory for all, their packets must be exactly those of
 * a run without monkeys. */

/* What one datagram of a monkey cost, at most and on average. */
struct qs_monkey_cost {
    uint64_t datagram_count;
    uint64_t steps;     /* of all together */
    uint64_t steps_max; /* of the dearest one; see steps.h */
};

/* What all victims of a run took. */
struct qs_monkey_report {
    struct qs_monkey_cost costs[HOSTILE_KINDS];
    uint64_t ready_count;      /* monkeys that completed their handshake */
    uint64_t closed_count;     /* victims that closed because of what they got */
    uint64_t call_steps_max;   /* of one call that takes no datagram */
    uint64_t pinned_bytes_max; /* of receive buffers, by one victim */
    uint64_t pool_bytes_max;   /* of objects, by one victim */
    /* Both together, but for a share per stream, in percent of the connection's window. */
    uint64_t held_percent_max;
    uint64_t objects_max; /* taken from pools for one datagram */
    uint64_t keys_max;    /* made for one datagram */
    /* Datagrams sent without bytes of streams, in percent of those received, over a life. */
    uint64_t answers_percent_max;
    uint64_t moving_answers_percent_max; /* of monkeys with more than one address */
};

struct qs_monkeys;

/* Starts `plan->monkeys.count` of them.  All is borrowed until qs_monkeys_destroy(). */
struct qs_monkeys *qs_monkeys_create(const struct qs_plan *plan, struct qs_host *server);
/* Returns true when all have ended and all victims are freed. */
bool qs_monkeys_are_gone(const struct qs_monkeys *monkeys);
/* Frees all, also in the middle of a run.  NULL is accepted, and leaves the report untouched. */
void qs_monkeys_destroy(struct qs_monkeys *monkeys, struct qs_monkey_report *ret);

#endif

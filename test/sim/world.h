/* SPDX-License-Identifier: MIT */
#ifndef QS_WORLD_H
#define QS_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "test/sim/clock.h"
#include "test/sim/host.h"
#include "test/sim/monkey.h"
#include "test/sim/net.h"
#include "test/sim/plan.h"
#include "test/sim/trace.h"

/* A client, a server and the network between them. */
struct qs_world {
    const struct qs_plan *plan;
    struct qs_clock clock;
    struct qs_trace trace;
    struct qs_link links[QS_SIDES]; /* by sender */
    struct qs_host hosts[QS_SIDES];
    struct qs_monkeys *monkeys; /* NULL: none */
    uint64_t done_ns;           /* when the last honest client had all it wanted; 0: not yet */
    uint32_t connected_count;   /* connections that the client has begun */
    uint32_t move_count;        /* so often the clients have moved */
    uint32_t renewal_count;     /* so often CIDs were replaced */
    bool is_silent;             /* no datagram is under way or waits to be read */
    uint64_t key_updates;
    uint64_t ack_frequencies;
    uint64_t resets_at; /* RESET_STREAM_AT that were reported after their reliable bytes */
};

/* The results of a run. */
struct qs_result {
    bool has_failed;
    char failure[512];
    uint64_t hash;
    uint64_t packet_count;
    uint64_t bytes_received;   /* by the applications */
    uint64_t lost_count;       /* datagrams that the network lost or damaged */
    uint64_t ended_ns;         /* virtual time */
    uint64_t done_ns;          /* when the last client had all that it wanted; 0: one never had */
    uint64_t memory_bytes_max; /* of the server's pools */
    struct qs_monkey_report monkeys;
};

/* Runs `plan` from its beginning to its end. */
void qs_world_run(const struct qs_plan *plan, struct qs_result *ret);

/* judge.c: what must be true when everything is over, and in the middle of it. */
void qs_judge_work(struct qs_world *world);
void qs_judge_end(struct qs_world *world);

#endif

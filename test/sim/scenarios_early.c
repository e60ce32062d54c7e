/* SPDX-License-Identifier: MIT */
/* Scenarios of resumption and 0-RTT: the first connection gets a ticket, two later ones use one
 * each. */

#include "test/sim/scenarios.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"

/* Three connections, far enough apart that each has a ticket of the one before. */
static void resume(struct qs_plan *plan, uint32_t percent)
{
    plan->conn_count = 3;
    plan->conn_interval_ns = 500 * SB_MS;
    plan->resumes = true;
    plan->resumed_min = 2;
    plan->side[SP_SERVER].sends_new_token = true;
    plan->side[SP_SERVER].sends_retry = true;
    plan->proven_min = 2;
    if (percent == 0)
        return;
    qs_plan_set_loss(plan, percent);
    qs_plan_set_bytes(plan, 10000, 30000);
    plan->conn_interval_ns = 2 * SB_S;
    plan->resumed_min = 0; /* a ticket may come too late */
    plan->proven_min = 0;
}

static void resume_forgotten(struct qs_plan *plan, uint32_t member)
{
    (void)member;
    resume(plan, 0);
    plan->resumed_min = 0;
    plan->tls.forgets_tickets = true;
    plan->tls.early = QS_EARLY_ACCEPT;
    plan->wants_early = true;
    plan->rejected_min = 2;
    plan->needs_null = true;
}

static void early(struct qs_plan *plan, uint32_t percent)
{
    resume(plan, percent);
    plan->side[SP_SERVER].sends_retry = false;
    plan->proven_min = percent == 0 ? 2 : 0;
    plan->wants_early = true;
    plan->tls.early = QS_EARLY_ACCEPT;
    for (int role = 0; role < QS_SIDES && percent > 0; role++) {
        plan->path[role].reorder_ppm = 200000;
        plan->path[role].reorder_ns = 40 * SB_MS;
        plan->path[role].duplicate_ppm = 100000;
        plan->path[role].corrupt_ppm = 20000;
    }
}

static void early_accepted(struct qs_plan *plan, uint32_t percent)
{
    early(plan, percent);
    plan->accepted_min = percent == 0 ? 2 : 0;
}

static void early_rejected(struct qs_plan *plan, uint32_t percent)
{
    early(plan, percent);
    plan->tls.early = QS_EARLY_REJECT;
    plan->rejected_min = percent == 0 ? 2 : 0;
    plan->needs_null = true;
}

/* One datagram of the client is lost, late or doubled: before the ClientHello or after it, with or
 * without 0-RTT packets. */
static void early_client(struct qs_plan *plan, uint32_t member)
{
    early(plan, 0);
    qs_plan_set_faults(plan);
    plan->conn_count = 2;
    plan->conn_interval_ns = 2 * SB_S;
    plan->resumed_min = plan->proven_min = 1;
    plan->path[SP_CLIENT].drop_first = 40 + member;
    plan->path[SP_CLIENT].drop_count = 1;
    plan->path[SP_CLIENT].late_nth = 45 + member;
    plan->path[SP_CLIENT].late_ns = 30 * SB_MS;
}

/* Limits that have become lower: 0-RTT is rejected, and what it sent has to keep to them. */
static void early_lower(struct qs_plan *plan, uint32_t percent)
{
    early(plan, percent);
    plan->side[SP_CLIENT].app.bidi_count = 10;
    plan->side[SP_CLIENT].app.uni_count = 10;
    plan->later = plan->side[SP_SERVER].config;
    plan->later.conn_window_bytes = plan->later.stream_window_bytes = 3000;
    plan->has_later = true;
    plan->conn_count = 2;
    plan->resumed_min = plan->proven_min = percent == 0;
    plan->rejected_min = percent == 0;
}

/* .. streams too: those above the new limit wait. */
static void early_held(struct qs_plan *plan, uint32_t percent)
{
    early_lower(plan, percent);
    plan->later.streams_bidi_max = 3;
    plan->later.streams_uni_max = 2;
    plan->side[SP_CLIENT].app.reset_ppm = 300000;
    plan->side[SP_CLIENT].app.reset_at_ppm = 500000;
    plan->side[SP_CLIENT].app.stop_ppm = 200000;
}

static void early_higher(struct qs_plan *plan, uint32_t percent)
{
    early(plan, percent);
    plan->later = plan->side[SP_SERVER].config;
    plan->side[SP_SERVER].config.conn_window_bytes = 4000;
    plan->side[SP_SERVER].config.stream_window_bytes = 2000;
    plan->has_later = true;
    plan->conn_count = 2;
    plan->resumed_min = plan->accepted_min = plan->proven_min = percent == 0;
}

/* A Retry: 0-RTT packets are sent again after it. */
static void early_retry(struct qs_plan *plan, uint32_t percent)
{
    early(plan, percent);
    plan->side[SP_SERVER].sends_retry = true;
    plan->side[SP_SERVER].sends_new_token = false;
    plan->proven_min = 0;
    plan->accepted_min = percent == 0 ? 2 : 0;
}

/* A ClientHello of two datagrams: 0-RTT packets come in between. */
static void early_hello(struct qs_plan *plan, uint32_t member)
{
    early(plan, 0);
    plan->tls.hello_size = 2000;
    plan->accepted_min = 2;
    if (member > 1) {
        plan->accepted_min = plan->resumed_min = plan->proven_min = 0;
        qs_plan_set_faults(plan);
        plan->path[SP_CLIENT].reorder_ppm = 500000;
        plan->path[SP_CLIENT].reorder_ns = 20 * SB_MS;
    }
    plan->needs_null = true;
}

/* The network reorders: 0-RTT packets come before their Initials.  The server drops them, and gets
 * them again, or keeps them.  [RFC9000 5.2.2] */
static void early_first(struct qs_plan *plan, uint32_t member)
{
    early(plan, 0);
    plan->accepted_min = 2;
    plan->side[SP_CLIENT].app.write_bytes_max = 20000;
    qs_plan_set_bytes(plan, 6000, 6000);
    plan->path[SP_CLIENT].initial_late_ns = (member % 2 == 0 ? 5 : 15) * SB_MS;
    plan->side[SP_SERVER].keeps_early = member <= 2;
    plan->kept_min = member <= 2 ? 2 : 0;
    if (member == 2 || member == 4) {
        plan->path[SP_CLIENT].duplicate_ppm = 300000;
        qs_plan_set_faults(plan);
    }
}

static const uint32_t some_percents[] = {0, 5, 20};

#define EACH_OF(array) (array), SB_COUNT(array)

static const struct qs_scenario rows[] = {
    {"resume", "tickets, and tokens that save a Retry", resume, EACH_OF(some_percents)},
    {"resume-forgotten", "the server cannot open its tickets", resume_forgotten, NULL, 0},
    {"early-accepted", "0-RTT", early_accepted, EACH_OF(some_percents)},
    {"early-rejected", "0-RTT that is rejected and sent again", early_rejected,
     EACH_OF(some_percents)},
    {"early-client", "0-RTT, and the client's n-th datagram is lost", early_client, NULL, 20},
    {"early-lower", "0-RTT under limits that are too high now", early_lower,
     EACH_OF(some_percents)},
    {"early-held", "0-RTT with more streams than are allowed now", early_held,
     EACH_OF(some_percents)},
    {"early-higher", "limits that have grown since the ticket", early_higher,
     EACH_OF(some_percents)},
    {"early-retry", "0-RTT to a server that sends Retry", early_retry, EACH_OF(some_percents)},
    {"early-hello", "0-RTT after a ClientHello of two datagrams", early_hello, NULL, 4},
    {"early-first", "0-RTT before its ClientHello", early_first, NULL, 4},
};
const struct qs_scenario_group qs_scenarios_early = {EACH_OF(rows)};

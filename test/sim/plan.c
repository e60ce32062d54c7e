/* SPDX-License-Identifier: MIT */
#include "test/sim/plan.h"

#include <stdio.h>

#include "proto/base/time.h"

enum { PPM = 1000000 };

static void side_init(struct qs_side_plan *side)
{
    sp_config_init(&side->config);
    side->config.cid_size = 8;
    side->batch_ns_max = 100 * SB_US;
    side->timer_slack_ns_max = 100 * SB_US;
    side->train_count_max = 16;
    side->app = (struct qs_app_plan){
        .bytes_min = 10000,
        .bytes_max = 30000,
        .reset_ns = 50 * SB_MS,
        .write_bytes_max = 8000,
        .writes_max = 4,
        .lend_bytes_max = 20000,
        .lends_max = 2,
        .message_burst = 1,
    };
}

void qs_plan_init(struct qs_plan *plan, uint64_t seed)
{
    *plan = (struct qs_plan){
        .name = "unnamed",
        .seed = seed,
        .conn_count = 1,
        .work_ns = 20 * SB_S,
        .must_complete = true,
        .check_interval = 1,
    };
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].delay_ns = 10 * SB_MS;
        side_init(&plan->side[role]);
        plan->expect[role].kind = SP_CLOSE_APP;
    }
    struct qs_app_plan *client = &plan->side[SP_CLIENT].app;
    client->bidi_count = 2;
    client->close_when = QS_CLOSE_WHEN_DONE;
    qs_tls_plan_init(&plan->tls);
    qs_null_plan_init(&plan->protect);
}

void qs_plan_set_bytes(struct qs_plan *plan, uint64_t min, uint64_t max)
{
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].app.bytes_min = min;
        plan->side[role].app.bytes_max = max;
    }
}

void qs_plan_set_timeouts(struct qs_plan *plan, uint64_t handshake_ns, uint64_t idle_ns)
{
    for (int role = 0; role < QS_SIDES; role++) {
        plan->side[role].config.handshake_timeout_ns = handshake_ns;
        plan->side[role].config.idle_timeout_ns = idle_ns;
    }
}

void qs_plan_set_faults(struct qs_plan *plan)
{
    plan->faults_end_ns = 10 * SB_S;
    plan->work_ns = 120 * SB_S;
    qs_plan_set_timeouts(plan, 120 * SB_S, 120 * SB_S);
}

void qs_plan_set_loss(struct qs_plan *plan, uint32_t percent)
{
    qs_plan_set_faults(plan);
    qs_plan_set_bytes(plan, 300000, 600000);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].loss_ppm = percent * 10000;
}

void qs_plan_expect(struct qs_plan *plan, enum sp_close_kind kind, uint64_t error)
{
    for (int role = 0; role < QS_SIDES; role++)
        plan->expect[role] = (struct qs_expect){.kind = kind, .error = error};
}

uint64_t qs_plan_round_ns(const struct qs_plan *plan)
{
    uint64_t ns = SB_MS;
    for (int role = 0; role < QS_SIDES; role++) {
        const struct qs_side_plan *side = &plan->side[role];
        ns += plan->path[role].delay_ns + plan->path[role].jitter_ns;
        ns += side->batch_ns_max + side->timer_slack_ns_max;
        ns += side->stall_ns * side->stall_ppm / PPM;
        ns += side->socket_full_ns * side->socket_full_ppm / PPM;
    }
    return ns;
}

/* Returns the bytes that `role` sends on all streams of one connection, at most. */
static uint64_t bytes_max_of(const struct qs_plan *plan, int role)
{
    const struct qs_app_plan *from = &plan->side[role].app;
    const struct qs_app_plan *to = &plan->side[1 - role].app;
    uint64_t stream_count = (uint64_t)from->bidi_count + from->uni_count + to->bidi_count;
    return stream_count * from->bytes_max;
}

uint64_t qs_plan_lend_ns(const struct qs_plan *plan, int role)
{
    const struct qs_app_plan *to = &plan->side[1 - role].app;
    if (to->lend_ppm == 0)
        return 0;
    /* On average half of the largest buffer, and half of the longest pause. */
    return bytes_max_of(plan, role) / (to->lend_bytes_max / 2 + 1) * (QS_LEND_PAUSE_NS_MAX / 2) /
           PPM * to->lend_pause_ppm;
}

/* For all that `role` sends on one connection.  Windows of streams are used at the same time, what
 * an application does with the bytes takes its time one after the other. */
static uint64_t credit_ns(const struct qs_plan *plan, int role)
{
    const struct qs_app_plan *from = &plan->side[role].app;
    const struct qs_app_plan *to = &plan->side[1 - role].app;
    const struct sp_config *peer = &plan->side[1 - role].config;
    uint64_t bytes = bytes_max_of(plan, role);
    uint64_t rounds = bytes / peer->conn_window_bytes + from->bytes_max / peer->stream_window_bytes;
    uint64_t ns = rounds * qs_plan_round_ns(plan);
    if (to->read_ns > 0)
        ns += bytes / to->read_bytes * to->read_ns;
    ns += qs_plan_lend_ns(plan, role);
    if (plan->path[role].rate_bytes_per_s > 0)
        ns += bytes * plan->conn_count * SB_MS / plan->path[role].rate_bytes_per_s * 1000;
    return ns;
}

uint64_t qs_plan_credit_ns(const struct qs_plan *plan)
{
    /* Credit comes when a quarter of a window can be given, and chance may be against it. */
    return 2 * (credit_ns(plan, SP_CLIENT) + credit_ns(plan, SP_SERVER));
}

uint64_t qs_plan_end_ns(const struct qs_plan *plan)
{
    if (plan->over_ns > 0)
        return plan->over_ns;
    uint64_t end_ns = plan->faults_end_ns + plan->work_ns;
    for (int role = 0; role < QS_SIDES; role++) {
        const struct sp_config *config = &plan->side[role].config;
        end_ns += config->idle_timeout_ns + config->handshake_timeout_ns;
        end_ns += 4 * plan->path[role].delay_ns + 10 * SB_S;
    }
    return end_ns;
}

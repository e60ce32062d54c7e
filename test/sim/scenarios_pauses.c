/* SPDX-License-Identifier: MIT */
/* Scenarios of senders that pause, and of connections on a path that earlier ones have measured;
 * and the swarm's part about them. */

#include "test/sim/scenarios.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/random.h"

/* A server that sends in bursts through 200 Mbit/s, 100 ms. */
static void send_in_bursts(struct qs_plan *plan, uint64_t burst_bytes, uint64_t pause_ns,
                           uint64_t count)
{
    qs_plan_set_bytes(plan, burst_bytes * count, burst_bytes * count);
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_SERVER].app.uni_count = 1;
    plan->side[SP_SERVER].app.write_bytes_max = 20000;
    plan->side[SP_SERVER].app.writes_max = 200;
    plan->side[SP_SERVER].app.pause_bytes = burst_bytes;
    plan->side[SP_SERVER].app.pause_ns = pause_ns;
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].delay_ns = 50 * SB_MS;
        plan->side[role].train_count_max = 64;
        plan->side[role].config.idle_timeout_ns = 3600 * SB_S;
        plan->side[role].config.stream_window_bytes = 16 << 20;
        plan->side[role].config.conn_window_bytes = 16 << 20;
    }
    plan->path[SP_SERVER].rate_bytes_per_s = 25000000;
    plan->path[SP_SERVER].queue_bytes = 30000;
    plan->faults_end_ns = (count - 1) * pause_ns;
    plan->check_interval = 100;
}

/* The path has a twentieth of its rate from 10 s on. */
static void become_narrow(struct qs_plan *plan)
{
    static const struct qs_rate_step steps[] = {{0, 25000000}, {10 * SB_S, 1250000}};
    plan->path[SP_SERVER].rate_steps = steps;
    plan->path[SP_SERVER].rate_step_count = SB_COUNT(steps);
}

/* [RFC7661, RFC9002 7.8]  CUBIC (1 to 3) and NewReno (4 to 6).
 *
 *     1, 4  pauses of 2 s: the window is kept, so the last burst takes two round trips and not six
 *     2, 5  one of 16 minutes, after which the path is twenty times narrower: the window has been
 *           halved three times, and fewer packets get lost than without that
 *     3, 6  meanwhile a little is sent, and some of it lost: the window becomes what that used */
static void idle_restart(struct qs_plan *plan, uint32_t member)
{
    struct qs_app_plan *app = &plan->side[SP_SERVER].app;
    plan->side[SP_SERVER].config.cc_kind = member <= 3 ? SP_CC_CUBIC : SP_CC_NEWRENO;
    switch ((member - 1) % 3) {
    case 0:
        send_in_bursts(plan, 500000, 2 * SB_S, 12);
        plan->work_ns = 500 * SB_MS;
        break;
    case 1:
        send_in_bursts(plan, 1000000, 16 * 60 * SB_S, 2);
        become_narrow(plan);
        plan->work_ns = 4 * SB_S;
        plan->lost_max = 60; /* 806 and 555 without that */
        break;
    default:
        send_in_bursts(plan, 1000000, 20 * SB_S, 2);
        become_narrow(plan);
        for (int role = 0; role < QS_SIDES; role++)
            plan->side[role].config.message_frame_size_max = 65535;
        app->message_count = 3 * 150;
        app->message_burst = 150;
        app->message_size_max = 1100;
        app->message_ns = 6 * SB_S;
        plan->work_ns = 4 * SB_S;
        plan->lost_max = 100; /* 524 and 218 without that */
        break;
    }
}

/* A server that sends 20 MB on each of two connections, the second 3 s after the first, through
 * 400 Mbit/s and 100 ms.  [RFC9959]
 *
 *     1, 2  CUBIC, NewReno: the second takes no longer than 1 s; without the first it takes 1.4 s
 *     3, 4  the path has become ten times narrower: half of 5 MB leaves, and what does not fit into
 *           a round trip and a queue gets lost, once: test_careful.c counts that
 *     5, 6  1 % of the packets gets lost, or comes late: that is not the time for a jump */
static void resume_path(struct qs_plan *plan, uint32_t member)
{
    static const struct qs_rate_step steps[] = {{0, 50000000}, {2900 * SB_MS, 5000000}};
    qs_plan_set_bytes(plan, 20000000, 20000000);
    plan->conn_count = 2;
    plan->conn_interval_ns = 3 * SB_S;
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_SERVER].app.uni_count = 1;
    plan->side[SP_SERVER].app.write_bytes_max = 200000;
    plan->side[SP_SERVER].app.writes_max = 200;
    plan->side[SP_SERVER].resumes_paths = true;
    plan->side[SP_SERVER].config.cc_kind = member % 2 == 1 ? SP_CC_CUBIC : SP_CC_NEWRENO;
    for (int role = 0; role < QS_SIDES; role++) {
        plan->path[role].delay_ns = 50 * SB_MS;
        plan->side[role].train_count_max = 64;
        plan->side[role].config.stream_window_bytes = 64 << 20;
        plan->side[role].config.conn_window_bytes = 64 << 20;
    }
    plan->path[SP_SERVER].rate_bytes_per_s = 50000000;
    plan->path[SP_SERVER].queue_bytes = 5000000;
    plan->check_interval = 10000;
    plan->faults_end_ns = 3 * SB_S;
    plan->work_ns = SB_S;
    switch ((member - 1) / 2) {
    case 0:
        break;
    case 1:
        plan->path[SP_SERVER].rate_steps = steps;
        plan->path[SP_SERVER].rate_step_count = SB_COUNT(steps);
        plan->path[SP_SERVER].queue_bytes = 500000;
        plan->lost_max = 5000;
        plan->work_ns = 20 * SB_S;
        break;
    default:
        plan->path[SP_SERVER].loss_ppm = 10000;
        plan->path[SP_SERVER].reorder_ppm = 10000;
        plan->path[SP_SERVER].reorder_ns = 3 * SB_MS;
        plan->work_ns = 60 * SB_S;
        break;
    }
}

/* Applications that pause in one run of four, up to 20 s in all; hosts that resume paths in one of
 * two, for which some runs get later connections.  Of a sequence of its own, so that all else stays
 * as it was. */
void qs_swarm_pauses(struct qs_plan *plan)
{
    struct qs_random random;
    qs_random_init(&random, qs_hash(plan->seed, "pauses", 6));
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_app_plan *app = &plan->side[role].app;
        plan->side[role].resumes_paths = qs_random_below(&random, 2) == 0;
        if (qs_random_below(&random, 4) > 0)
            continue;
        uint64_t count = qs_random_between(&random, 1, 8);
        app->pause_bytes = app->bytes_max / count + 1;
        app->pause_ns = 1 + qs_random_below(&random, 20 * SB_S / count);
        /* At the worst one stream is open at a time. */
        uint64_t streams =
            1 + app->bidi_count + app->uni_count + plan->side[1 - role].app.bidi_count;
        plan->work_ns += streams * count * app->pause_ns;
    }
}

static const struct qs_scenario rows[] = {
    {"idle-restart", "bursts and pauses", idle_restart, NULL, 6},
    {"resume-path", "a path that an earlier connection has measured", resume_path, NULL, 6},
};
const struct qs_scenario_group qs_scenarios_pauses = {rows, SB_COUNT(rows)};

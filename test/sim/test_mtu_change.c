/* SPDX-License-Identifier: MIT */
/* What a change of the path's MTU costs a transfer: it stands still until the sender has found out,
 * and nothing is lost.  The MTU goes from 9,000 to 1,400 and back. */

#include "test/support/qt.h"

#include <stdio.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/meter.h"
#include "test/sim/world.h"

#define BYTES_PER_S UINT64_C(25000000)
#define BEGIN_NS    (1 * SB_S) /* of a run, on the plan's clock */
#define SHRINKS_NS  (2 * SB_S) /* after the begin, as all below */
#define GROWS_NS    (5 * SB_S)
#define END_NS      (10 * SB_S)

enum { JUMBO = 9000 - 28, NARROW = 1400 - 28 };

static struct qs_meter meter;
static struct qs_plan plan;

static void make_plan(enum sp_cc_kind kind, uint64_t rtt_ns, uint64_t seed)
{
    qs_plan_init(&plan, seed);
    snprintf(plan.name, sizeof(plan.name), "mtu-change");
    for (int role = 0; role < QS_SIDES; role++) {
        struct sp_config *config = &plan.side[role].config;
        plan.path[role].delay_ns = rtt_ns / 2;
        config->datagram_size_max = JUMBO;
        config->cc_kind = kind;
        config->stream_window_bytes = config->stream_window_bytes_max = 1 << 30;
        config->conn_window_bytes = config->conn_window_bytes_max = 1 << 30;
    }
    struct qs_path_plan *path = &plan.path[SP_SERVER];
    path->rate_bytes_per_s = BYTES_PER_S;
    path->queue_bytes = BYTES_PER_S / 20;
    path->mtu = NARROW;
    path->mtu_from_ns = BEGIN_NS + SHRINKS_NS;
    path->mtu_then = JUMBO;
    path->mtu_then_from_ns = BEGIN_NS + GROWS_NS;
    plan.side[SP_CLIENT].app.bidi_count = 0;
    plan.side[SP_SERVER].app.uni_count = 1;
    plan.side[SP_SERVER].app.write_bytes_max = 250000;
    plan.side[SP_SERVER].app.writes_max = 40;
    qs_plan_set_bytes(&plan, 2 * BYTES_PER_S * (END_NS / SB_S), 2 * BYTES_PER_S * (END_NS / SB_S));
    plan.side[SP_CLIENT].app.close_when = QS_CLOSE_AT;
    plan.side[SP_CLIENT].app.close_at_ns = END_NS;
    plan.datagram_bytes_min[SP_SERVER] = JUMBO * 97 / 100; /* in the end again */
    plan.meter = &meter;
    plan.check_interval = 0;
    plan.must_complete = false;
    plan.expect[SP_CLIENT].kind = plan.expect[SP_SERVER].kind = SP_CLOSE_NONE;
    plan.faults_end_ns = END_NS;
    plan.work_ns = 60 * SB_S;
}

/* The longest time in a part of the run in which the client's application got nothing. */
static uint64_t longest_stall_ns(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t longest_ns = 0, stall_ns = 0;
    for (uint64_t step = from_ns / QS_METER_STEP_NS; step < to_ns / QS_METER_STEP_NS; step++) {
        stall_ns = meter.got[0][step + 1] == meter.got[0][step] ? stall_ns + QS_METER_STEP_NS : 0;
        longest_ns = SB_MAX(longest_ns, stall_ns);
    }
    return longest_ns;
}

/* When, after `from_ns`, the client got 90 % of the rate for 100 ms; the stall is before that. */
static uint64_t full_speed_ns(uint64_t from_ns, uint64_t to_ns)
{
    uint64_t stall_end_ns = from_ns;
    for (uint64_t at_ns = from_ns; at_ns < to_ns; at_ns += QS_METER_STEP_NS)
        if (qs_meter_flow_rate(&meter, 0, at_ns, at_ns + QS_METER_STEP_NS) <= 0)
            stall_end_ns = at_ns + QS_METER_STEP_NS;
    for (uint64_t at_ns = stall_end_ns; at_ns < to_ns; at_ns += QS_METER_STEP_NS)
        if (qs_meter_flow_rate(&meter, 0, at_ns, at_ns + 100 * SB_MS) >= 0.9 * (double)BYTES_PER_S)
            return at_ns - from_ns;
    return SB_NEVER;
}

struct row {
    enum sp_cc_kind kind;
    uint64_t rtt_ns, stall_ns_max, full_ns_max;
    uint64_t seed_count, late_count_max; /* late: after full_ns_max, and within LATE_NS_MAX */
};

/* What BBR has learned from losses while it cruises stays until it probes for bandwidth again, 2 to
 * 3 s after it did last. */
#define LATE_NS_MAX (3200 * SB_MS)

/* Returns whether it was late. */
static bool check_row(const struct row *row, uint64_t seed)
{
    struct qs_result result;
    make_plan(row->kind, row->rtt_ns, seed);
    qs_meter_init(&meter, 0);
    qs_world_run(&plan, &result);
    uint64_t last_ns = END_NS - 200 * SB_MS;
    uint64_t stall_ns = longest_stall_ns(SHRINKS_NS, GROWS_NS);
    uint64_t full_ns = full_speed_ns(SHRINKS_NS, GROWS_NS);
    uint64_t growing_ns = longest_stall_ns(GROWS_NS, last_ns);
    double growing = qs_meter_flow_rate(&meter, 0, GROWS_NS, last_ns);
    print_message("    %s, %u ms: MTU 9000 to 1400: stands still for %u ms, 90 %% of the rate "
                  "after %u ms; back to 9000: %u ms, %.1f %% of the rate meanwhile\n",
                  sp_cc_ops_of(row->kind)->name, (unsigned)(row->rtt_ns / SB_MS),
                  (unsigned)(stall_ns / SB_MS), (unsigned)(full_ns / SB_MS),
                  (unsigned)(growing_ns / SB_MS), growing * 100 / (double)BYTES_PER_S);
    if (result.has_failed)
        fail_msg("%s", result.failure);
    assert_in_range(stall_ns, 1, row->stall_ns_max);
    assert_in_range(full_ns, 1, LATE_NS_MAX);
    assert_in_range(growing_ns, 0, 100 * SB_MS); /* bytes behind a lost packet wait */
    assert_true(growing >= 0.9 * (double)BYTES_PER_S);
    return full_ns > row->full_ns_max;
}

static void a_transfer_lives_through_a_change_of_the_mtu(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {SP_CC_CUBIC, 2 * SB_MS, 300 * SB_MS, 500 * SB_MS, 1, 0},
        {SP_CC_CUBIC, 20 * SB_MS, 400 * SB_MS, 800 * SB_MS, 1, 0},
        /* By its draws the change meets BBR at other places of its cycle. */
        {SP_CC_BBR, 20 * SB_MS, 400 * SB_MS, 800 * SB_MS, 10, 1},
    };
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        uint64_t late_count = 0;
        for (uint64_t seed = 1; seed <= rows[i].seed_count; seed++)
            late_count += check_row(&rows[i], seed);
        assert_in_range(late_count, 0, rows[i].late_count_max);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_lives_through_a_change_of_the_mtu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "test/sim/paths.h"

/* The paths of the laboratory, and the runs over them. */

#include <stdio.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/recovery/cc.h"
#include "test/sim/world.h"

enum { PERCENT = 10000, DATAGRAM = 1472 };

static void lose_at_random(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->loss_ppm = 2 * PERCENT;
}

/* Every 2,000th datagram begins a burst of ten, of which half get lost. */
static void lose_in_bursts(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->burst_begin_ppm = 500;
    path->burst_end_ppm = 10 * PERCENT;
    path->burst_loss_ppm = 50 * PERCENT;
}

/* Every 200th datagram begins a burst of five, of which half get lost: 1.2 % of all. */
static void lose_in_many_bursts(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->burst_begin_ppm = 5000;
    path->burst_end_ppm = 20 * PERCENT;
    path->burst_loss_ppm = 50 * PERCENT;
}

static void reorder(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->reorder_ppm = 1 * PERCENT;
    path->reorder_ns = 3 * SB_MS;
}

static void reorder_much(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->reorder_ppm = 5 * PERCENT;
    path->reorder_ns = path->reorder_ns_min = 3 * SB_MS;
}

static void reorder_little(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->reorder_ppm = PERCENT / 10;
    path->reorder_ns = path->reorder_ns_min = 3 * SB_MS;
}

/* 20 Mbit/s of a link that has 100. */
static void police(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->policer_bytes_per_s = 2500000;
    path->policer_bytes = 100000;
}

static void step_rate(struct qs_plan *plan, struct qs_path_plan *path)
{
    static const struct qs_rate_step steps[] = {
        {0, 12500000}, {8 * SB_S, 1250000}, {16 * SB_S, 12500000}};
    (void)plan;
    path->rate_steps = steps;
    path->rate_step_count = SB_COUNT(steps);
}

/* Fills `steps` with rates of 100 ms each, which begin again after the last. */
static void set_steps(struct qs_path_plan *path, const uint32_t *kbytes_per_s,
                      struct qs_rate_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        steps[i] = (struct qs_rate_step){i * 100 * SB_MS, kbytes_per_s[i] * UINT64_C(1000)};
    path->rate_steps = steps;
    path->rate_step_count = count;
    path->rate_period_ns = count * 100 * SB_MS;
}

/* A radio whose rate changes every 100 ms: 11 Mbit/s in the middle, 2 to 24. */
static void vary_rate(struct qs_plan *plan, struct qs_path_plan *path)
{
    static const uint32_t kbytes_per_s[] = {
        1400, 1600, 1900, 2300, 2800, 3000, 2600, 2100, 1700, 1200, 800,  500,  300,  250,
        400,  700,  1000, 1300, 1500, 1100, 900,  1200, 1800, 2400, 2200, 1600, 1000, 600,
        450,  700,  1150, 1700, 2000, 1800, 1450, 1250, 950,  800,  1050, 1300,
    };
    static struct qs_rate_step steps[SB_COUNT(kbytes_per_s)];
    (void)plan;
    set_steps(path, kbytes_per_s, steps, SB_COUNT(kbytes_per_s));
}

/* A phone: a walk between 2 and 80 Mbit/s in steps of 100 ms, that of bench/peers/paths.py. */
static void walk_rate(struct qs_plan *plan, struct qs_path_plan *path)
{
    static const uint32_t kbytes_per_s[] = {
        2353,  1974, 2238, 1775, 1892, 1827,  1433,  1504,  1161, 1168, 924,  742,  743,  919,
        757,   667,  747,  978,  1067, 1050,  1392,  1082,  1360, 1253, 1046, 857,  799,  984,
        843,   921,  1038, 1007, 1080, 850,   668,   582,   670,  672,  628,  688,  700,  649,
        791,   919,  822,  895,  948,  1201,  1418,  1304,  1732, 1420, 1415, 1693, 1422, 1477,
        1142,  1306, 1569, 1707, 2162, 2022,  2346,  2582,  2820, 2874, 3580, 4680, 4819, 5503,
        4324,  5033, 5696, 7610, 9398, 8626,  8433,  9652,  7367, 7532, 6396, 5239, 4111, 4947,
        4088,  3663, 3592, 4541, 3622, 3676,  3949,  5020,  6191, 7799, 7131, 7095, 6823, 8677,
        10000, 8390, 7165, 6354, 5641, 5844,  6415,  5805,  4368, 4356, 4216, 4571, 5998, 6942,
        7318,  8155, 9370, 7326, 9382, 10000, 10000, 10000,
    };
    static struct qs_rate_step steps[SB_COUNT(kbytes_per_s)];
    (void)plan;
    set_steps(path, kbytes_per_s, steps, SB_COUNT(kbytes_per_s));
    path->queue_bytes = 500000;
}

/* Large datagrams, and windows that begin small and have to grow to two thirds of 190 MB. */
static void be_long_and_fat(struct qs_plan *plan, struct qs_path_plan *path)
{
    struct sp_config usual;
    sp_config_init(&usual);
    (void)path;
    for (int role = 0; role < QS_SIDES; role++) {
        struct sp_config *config = &plan->side[role].config;
        config->datagram_size_max = 8972;
        config->stream_window_bytes = usual.stream_window_bytes;
        config->stream_window_bytes_max = usual.stream_window_bytes_max;
        config->conn_window_bytes = usual.conn_window_bytes;
        config->conn_window_bytes_max = usual.conn_window_bytes_max;
    }
}

static void have_l4s(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->has_l4s = true;
}

/* One queue for all, that marks behind 5 ms of it: as CoDel does, but all of them. */
static void mark_late(struct qs_plan *plan, struct qs_path_plan *path)
{
    (void)plan;
    path->mark_bytes = path->rate_bytes_per_s / 200;
}

const struct qs_path_kind qs_path_kinds[] = {
    {"lan", "1 Gbit/s, 200 us", 1000000000, 200 * SB_US, 0, 256, 2, NULL},
    {"wan", "100 Mbit/s, 50 ms, 1 BDP", 100000000, 50 * SB_MS, 100, 0, 12, NULL},
    {"wan-half", "100 Mbit/s, 50 ms, 1/2 BDP", 100000000, 50 * SB_MS, 50, 0, 12, NULL},
    {"wan-deep", "100 Mbit/s, 50 ms, 4 BDP", 100000000, 50 * SB_MS, 400, 0, 12, NULL},
    {"long-fat", "5 Gbit/s, 100 ms, 2 BDP", 5000000000, 100 * SB_MS, 200, 0, 7, be_long_and_fat},
    {"radio", "20 Mbit/s, 30 ms, 2 % lost", 20000000, 30 * SB_MS, 100, 0, 20, lose_at_random},
    {"bursts", "20 Mbit/s, 30 ms, bursts", 20000000, 30 * SB_MS, 100, 0, 20, lose_in_bursts},
    {"bursts-wan", "100 Mbit/s, 40 ms, many bursts", 100000000, 40 * SB_MS, 100, 0, 20,
     lose_in_many_bursts},
    {"satellite", "50 Mbit/s, 600 ms, 1 BDP", 50000000, 600 * SB_MS, 100, 0, 30, NULL},
    {"reorder", "100 Mbit/s, 10 ms, 1 % late", 100000000, 10 * SB_MS, 100, 0, 12, reorder},
    {"fast", "2 Gbit/s, 10 ms, 1 BDP", 2000000000, 10 * SB_MS, 100, 0, 6, NULL},
    {"fast-late-0.1", "2 Gbit/s, 10 ms, 0.1 % late", 2000000000, 10 * SB_MS, 100, 0, 6,
     reorder_little},
    {"fast-late-5", "2 Gbit/s, 10 ms, 5 % late", 2000000000, 10 * SB_MS, 100, 0, 6, reorder_much},
    {"shallow", "10 Mbit/s, 20 ms, 5 packets", 10000000, 20 * SB_MS, 0, 5, 20, NULL},
    {"policer", "20 of 100 Mbit/s, 30 ms", 100000000, 30 * SB_MS, 100, 0, 20, police},
    {"steps", "100, 10, 100 Mbit/s, 40 ms", 100000000, 40 * SB_MS, 100, 0, 24, step_rate},
    {"phone", "2 to 80 Mbit/s, 50 ms", 26000000, 50 * SB_MS, 0, 0, 12, walk_rate},
    {"variable", "2 to 24 Mbit/s, 50 ms", 11000000, 50 * SB_MS, 400, 0, 20, vary_rate},
    {"l4s", "100 Mbit/s, 20 ms, a queue for L4S", 100000000, 20 * SB_MS, 200, 0, 20, have_l4s},
    {"l4s-near", "100 Mbit/s, 5 ms, a queue for L4S", 100000000, 5 * SB_MS, 800, 0, 20, have_l4s},
    {"classic-ecn", "100 Mbit/s, 20 ms, marks behind 5 ms", 100000000, 20 * SB_MS, 200, 0, 20,
     mark_late},
};
const uint32_t qs_path_kind_count = SB_COUNT(qs_path_kinds);

const struct qs_path_kind *qs_path_kind_named(const char *name)
{
    for (uint32_t i = 0; i < qs_path_kind_count; i++)
        if (strcmp(qs_path_kinds[i].name, name) == 0)
            return &qs_path_kinds[i];
    return NULL;
}

static uint64_t bdp_of(const struct qs_path_kind *kind)
{
    return kind->bits_per_s / 8 * (kind->rtt_ns / SB_US) / 1000000;
}

/* A server that always has more to send, and a client that takes all at once. */
static void fill_sides(struct qs_plan *plan, const struct qs_path_run *run, uint64_t run_ns)
{
    uint64_t bytes_per_s = run->kind->bits_per_s / 8;
    uint64_t flight = 4 * (bdp_of(run->kind) + plan->path[SP_SERVER].queue_bytes) + 1000000;
    plan->side[SP_CLIENT].app.bidi_count = 0;
    plan->side[SP_SERVER].app.uni_count = 1;
    plan->side[SP_SERVER].app.write_bytes_max = 250000;
    plan->side[SP_SERVER].app.writes_max = (uint32_t)(flight / 250000 + 1);
    uint64_t bytes = bytes_per_s * (run_ns / SB_S + 1) * 2;
    qs_plan_set_bytes(plan, bytes, bytes);
    for (int role = 0; role < QS_SIDES; role++) {
        struct qs_side_plan *side = &plan->side[role];
        side->batch_ns_max = 20 * SB_US;
        /* The receiver's timers are for late ACKs, after a batch of datagrams. */
        side->timer_slack_ns_max = role == SP_SERVER ? 20 * SB_US : 100 * SB_US;
        side->train_count_max = 64;
        side->config.stream_window_bytes = side->config.stream_window_bytes_max = 1 << 30;
        side->config.conn_window_bytes = side->config.conn_window_bytes_max = 1 << 30;
        side->config.cc_kind = run->first;
        side->config.fixed_rate_bytes_per_s = bytes_per_s * 95 / 100 / run->flow_count;
    }
    plan->side[SP_CLIENT].app.close_when = QS_CLOSE_AT;
    plan->side[SP_CLIENT].app.close_at_ns = run_ns;
}

static void fill(struct qs_plan *plan, const struct qs_path_run *run, struct qs_meter *meter)
{
    const struct qs_path_kind *kind = run->kind;
    uint64_t run_ns = (run->seconds > 0 ? run->seconds : kind->seconds) * SB_S;
    qs_plan_init(plan, run->seed);
    snprintf(plan->name, sizeof(plan->name), "path-%s", kind->name);
    for (int role = 0; role < QS_SIDES; role++)
        plan->path[role].delay_ns = kind->rtt_ns / 2;
    struct qs_path_plan *path = &plan->path[SP_SERVER];
    path->rate_bytes_per_s = kind->bits_per_s / 8;
    path->queue_bytes = kind->queue_packets > 0 ? kind->queue_packets * (uint64_t)DATAGRAM
                                                : bdp_of(kind) * kind->queue_percent / 100;
    fill_sides(plan, run, run_ns);
    if (kind->change != NULL)
        kind->change(plan, path);
    plan->conn_count = run->flow_count;
    plan->conn_interval_ns = run->flow_interval_ns;
    plan->has_later = run->later != run->first;
    plan->later = plan->side[SP_SERVER].config;
    plan->later.cc_kind = run->later;
    plan->meter = meter;
    plan->check_interval = 0;
    plan->must_complete = false;
    plan->expect[SP_CLIENT].kind = plan->expect[SP_SERVER].kind = SP_CLOSE_NONE;
    plan->faults_end_ns = run_ns;
    plan->work_ns = 60 * SB_S;
}

/* Returns the bytes that the bottleneck can pass. */
static double capacity(const struct qs_plan *plan, uint64_t from_ns, uint64_t to_ns)
{
    const struct qs_path_plan *path = &plan->path[SP_SERVER];
    double bytes = 0;
    if (path->policer_bytes_per_s > 0)
        return (double)path->policer_bytes_per_s;
    if (path->rate_step_count == 0)
        return (double)path->rate_bytes_per_s;
    for (uint64_t at_ns = from_ns; at_ns < to_ns; at_ns += 10 * SB_MS) {
        uint64_t in_ns = path->rate_period_ns > 0 ? at_ns % path->rate_period_ns : at_ns;
        uint64_t rate = path->rate_bytes_per_s;
        for (uint32_t i = 0; i < path->rate_step_count; i++)
            if (path->rate_steps[i].at_ns <= in_ns)
                rate = path->rate_steps[i].bytes_per_s;
        bytes += (double)rate / 100;
    }
    return bytes * SB_S / (double)(to_ns - from_ns);
}

static struct qs_meter measured;

const struct qs_meter *qs_path_meter(void)
{
    return &measured;
}

void qs_path_run(const struct qs_path_run *run, struct qs_path_figures *ret)
{
    static struct qs_plan plan;
    struct qs_result result;
    uint64_t run_ns = (run->seconds > 0 ? run->seconds : run->kind->seconds) * SB_S;
    uint64_t late_ns = run_ns * 2 / 3;
    uint64_t from_ns = SB_MAX(run_ns / 4, run->flow_interval_ns * (run->flow_count - 1));
    qs_meter_init(&measured, from_ns);
    fill(&plan, run, &measured);
    qs_world_run(&plan, &result);

    uint64_t end_ns = run_ns - run_ns % QS_METER_STEP_NS - QS_METER_STEP_NS;
    double rate = (double)plan.path[SP_SERVER].rate_bytes_per_s;
    double of_all = 0;
    for (uint32_t flow = 0; flow < run->flow_count; flow++)
        of_all += qs_meter_flow_rate(&measured, flow, late_ns, end_ns);
    *ret = (struct qs_path_figures){
        .utilisation = qs_meter_rate(&measured, from_ns, end_ns) / capacity(&plan, from_ns, end_ns),
        .loss = (double)measured.drop_count /
                (double)SB_MAX(measured.wait_count + measured.drop_count, 1),
        .wait_p50_ns = qs_meter_wait_ns(&measured, 50),
        .wait_p99_ns = qs_meter_wait_ns(&measured, 99),
        .to_90_ns = qs_meter_time_to(&measured, rate * 0.9, SB_MAX(100 * SB_MS, run->kind->rtt_ns)),
        .fairness = qs_meter_fairness(&measured, run->flow_count, late_ns, end_ns),
        .first_share = qs_meter_flow_rate(&measured, 0, late_ns, end_ns) / of_all,
        .spurious = (double)measured.spurious_count / (double)SB_MAX(measured.lost_count, 1),
        .has_failed = result.has_failed,
    };
    memcpy(ret->failure, result.failure, sizeof(ret->failure));
}

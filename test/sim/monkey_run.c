/* SPDX-License-Identifier: MIT */
/* Honest clients with and without monkeys beside them, and what the monkeys may cost.
 *
 * For each seed there is a run without monkeys.  The run with them must then give the same trace
 * of honest packets, to the byte: nothing but the pools is shared, and there is memory for all.
 * With scarce memory the honest clients must be done within a multiple of their time.
 *
 * The bounds are what 20,000 seeds take at most, with some room. */

#include "test/sim/monkey_run.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/random.h"

enum {
    /* Honest clients are done within this multiple of their time alone, and a PTO or two. */
    SLOWER_MAX = 3,
    /* Seeds of a hundred with scarce memory in which an honest client may starve. */
    STARVED_PERCENT_MAX = 100,
};

#define SLACK_NS (2 * SB_S)

/* One row per measure of struct qs_monkey_report.
 *
 * Objects: a frame that opens a stream with one byte takes 4 bytes of a packet, and two objects.
 * Many addresses: each new one gets up to eight PATH_CHALLENGEs in three seconds, and so does the
 * one before it.  What counts there is bytes: test/sim/oracle_path.c.
 *
 * Calls: the longest one is a turn's part of the end of a connection, 2,048 steps of
 * sp_conn_unwind() with about 36 basic blocks each, which takes 15 us. */
static const struct bound {
    const char *name;
    size_t offset;
    uint64_t max;
} bounds[] = {
#define ROW(text, field, most) {text, offsetof(struct qs_monkey_report, field), most}
    ROW("bytes of receive buffers pinned by a connection", pinned_bytes_max, 8 << 20),
    ROW("bytes of objects of a connection", pool_bytes_max, 2 << 20),
    ROW("both but for its streams, in percent of its window", held_percent_max, 800),
    ROW("objects taken for a datagram", objects_max, 2 * 1452 / 4),
    ROW("keys made for a datagram", keys_max, 1),
    ROW("datagrams without data sent for 100", answers_percent_max, 200),
    ROW("the same, from many addresses", moving_answers_percent_max, 500),
    ROW("steps of a call that takes no datagram", call_steps_max, 100000),
#undef ROW
};

/* Steps for one datagram: see steps.h.  An ordinary full one takes 200 to 500 in proto/, and 5 us
 * with cipher and kernel.  A datagram of PINGs takes 28,000 steps and twice that time, so four
 * times the time are 84,000.  Most take those that acknowledge much of what the victim has sent,
 * once for each packet: up to 72,000. */
static const uint64_t datagram_steps_max = 84000;

static bool one_in(struct qs_random *random, uint64_t n)
{
    return qs_random_below(random, n) == 0;
}

static void make_plan(const struct qs_monkey_options *options, uint64_t seed, struct qs_plan *ret)
{
    qs_plan_init(ret, seed);
    snprintf(ret->name, sizeof(ret->name), "%s", options->is_scarce ? "monkey-scarce" : "monkey");
    struct qs_random random;
    qs_random_init(&random, qs_hash(seed, "monkeys", 7));
    ret->verbose = options->is_verbose;
    ret->real_crypto = options->real_crypto;
    ret->conn_count = 1 + (uint32_t)qs_random_below(&random, 3);
    ret->conn_interval_ns = qs_random_below(&random, 100 * SB_MS);
    ret->check_interval = 16;
    qs_plan_set_timeouts(ret, 20 * SB_S, 20 * SB_S);
    qs_plan_set_bytes(ret, 1000, 1000 + qs_random_below(&random, 100000));
    ret->faults_end_ns = 2 * SB_S;
    ret->work_ns = 60 * SB_S;
    for (int role = 0; role < QS_SIDES; role++)
        ret->path[role].loss_ppm = one_in(&random, 4) ? 20000 : 0;
    ret->side[SP_CLIENT].app.bidi_count = 1 + (uint32_t)qs_random_below(&random, 6);
    struct sp_config *server = &ret->side[SP_SERVER].config;
    if (one_in(&random, 3)) {
        server->streams_bidi_max = 1 + qs_random_below(&random, 1000);
        server->streams_uni_max = 1 + qs_random_below(&random, 100);
    }
    if (one_in(&random, 3)) {
        server->conn_window_bytes = server->conn_window_bytes_max =
            20000 + qs_random_below(&random, 2000000);
        server->stream_window_bytes = server->stream_window_bytes_max =
            20000 + qs_random_below(&random, 2000000);
        if (one_in(&random, 2)) { /* small at first, and free to grow */
            server->conn_window_bytes = SB_MIN(server->conn_window_bytes, 50000);
            server->stream_window_bytes = SB_MIN(server->stream_window_bytes, 50000);
        }
    }
    ret->side[SP_SERVER].config.message_frame_size_max = 65535;
    ret->monkeys = (struct qs_monkeys_plan){
        .count = 1 + (uint32_t)qs_random_below(&random, 3),
        .datagrams_max = one_in(&random, 4)    ? 1500
                         : one_in(&random, 16) ? 5000
                                               : 150,
        .start_ns_max = 200 * SB_MS,
        .meddles = options->meddles,
    };
}

struct totals {
    struct qs_monkey_report report;
    uint64_t bound_seeds[SB_COUNT(bounds)]; /* with the largest value of each */
    uint64_t kind_seeds[HOSTILE_KINDS];
    uint64_t failed_count;
    uint64_t starved_count;
};

static void add_report(struct totals *totals, const struct qs_monkey_report *r, uint64_t seed)
{
    struct qs_monkey_report *sum = &totals->report;
    for (int kind = 0; kind < HOSTILE_KINDS; kind++) {
        struct qs_monkey_cost *cost = &sum->costs[kind];
        cost->datagram_count += r->costs[kind].datagram_count;
        cost->steps += r->costs[kind].steps;
        if (r->costs[kind].steps_max > cost->steps_max) {
            cost->steps_max = r->costs[kind].steps_max;
            totals->kind_seeds[kind] = seed;
        }
    }
    sum->ready_count += r->ready_count;
    sum->closed_count += r->closed_count;
    for (size_t i = 0; i < SB_COUNT(bounds); i++) {
        uint64_t now;
        uint64_t *most = (uint64_t *)(void *)((char *)sum + bounds[i].offset);
        memcpy(&now, (const char *)r + bounds[i].offset, sizeof(now));
        if (now > *most) {
            *most = now;
            totals->bound_seeds[i] = seed;
        }
    }
}

/* Writes into `ret_text` the first bound that was passed; an empty text: none. */
static void check_bounds(const struct qs_monkey_report *r, uint64_t tighten, char *ret_text,
                         size_t size)
{
    *ret_text = '\0';
    for (int kind = 0; kind < HOSTILE_KINDS; kind++) {
        if (r->costs[kind].steps_max <= datagram_steps_max / tighten)
            continue;
        snprintf(ret_text, size, "a datagram of %s took %" PRIu64 " steps, at most %" PRIu64,
                 hostile_kind_name((enum hostile_kind)kind), r->costs[kind].steps_max,
                 datagram_steps_max / tighten);
        return;
    }
    for (size_t i = 0; i < SB_COUNT(bounds); i++) {
        uint64_t value;
        memcpy(&value, (const char *)r + bounds[i].offset, sizeof(value));
        if (value <= bounds[i].max / tighten)
            continue;
        snprintf(ret_text, size, "%s: %" PRIu64 ", at most %" PRIu64, bounds[i].name, value,
                 bounds[i].max / tighten);
        return;
    }
}

/* Runs with memory for all.  False after a failure, which it reports. */
static bool run_ample(const struct qs_monkey_options *options, const struct qs_plan *plan,
                      const struct qs_result *alone, struct totals *totals)
{
    struct qs_result result;
    char text[200];
    options->run(plan, &result);
    add_report(totals, &result.monkeys, plan->seed);
    check_bounds(&result.monkeys, options->tighten, text, sizeof(text));
    if (result.has_failed)
        options->fail(plan, result.failure);
    else if (!plan->real_crypto && result.hash != alone->hash)
        options->fail(plan, "honest packets are others than without monkeys");
    else if (text[0] != '\0')
        options->fail(plan, text);
    else
        return true;
    return false;
}

/* Runs with memory for the honest clients and little more. */
static bool run_scarce(const struct qs_monkey_options *options, struct qs_plan *plan,
                       const struct qs_result *alone, struct totals *totals)
{
    struct qs_result result;
    plan->side[SP_SERVER].memory_bytes_max = 2 * alone->memory_bytes_max;
    plan->must_complete = false;
    plan->may_lack_memory = true;
    plan->may_time_out = true;
    plan->expect[SP_CLIENT].kind = plan->expect[SP_SERVER].kind = SP_CLOSE_NONE;
    options->run(plan, &result);
    add_report(totals, &result.monkeys, plan->seed);
    if (result.has_failed) {
        options->fail(plan, result.failure);
        return false;
    }
    if (result.done_ns == 0 || result.done_ns > SLOWER_MAX * alone->done_ns + SLACK_NS)
        totals->starved_count++;
    return true;
}

static void run_seed(const struct qs_monkey_options *options, uint64_t seed, struct totals *totals)
{
    struct qs_plan plan;
    make_plan(options, seed, &plan);
    struct qs_plan alone_plan = plan;
    alone_plan.monkeys.count = 0;
    alone_plan.verbose = false;
    struct qs_result alone;
    options->run(&alone_plan, &alone);
    if (alone.has_failed) {
        options->fail(&alone_plan, alone.failure);
        totals->failed_count++;
    } else {
        bool passed = options->is_scarce ? run_scarce(options, &plan, &alone, totals)
                                         : run_ample(options, &plan, &alone, totals);
        totals->failed_count += !passed;
    }
}

/* With the seed that has the largest value. */
static void print_table(const struct totals *totals)
{
    const struct qs_monkey_report *r = &totals->report;
    printf("%" PRIu64 " monkeys connected, %" PRIu64 " were closed by their server\n",
           r->ready_count, r->closed_count);
    printf("%-52s %12s %12s %12s\n", "measure", "largest", "bound", "seed");
    for (size_t i = 0; i < SB_COUNT(bounds); i++) {
        uint64_t value;
        memcpy(&value, (const char *)r + bounds[i].offset, sizeof(value));
        printf("%-52s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n", bounds[i].name, value,
               bounds[i].max, totals->bound_seeds[i]);
    }
    printf("\n%-18s %12s %12s %12s %12s %12s\n", "steps per datagram", "datagrams", "mean",
           "largest", "bound", "seed");
    for (int kind = 0; kind < HOSTILE_KINDS; kind++) {
        const struct qs_monkey_cost *cost = &r->costs[kind];
        printf("%-18s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 "\n",
               hostile_kind_name((enum hostile_kind)kind), cost->datagram_count,
               cost->datagram_count > 0 ? cost->steps / cost->datagram_count : 0, cost->steps_max,
               datagram_steps_max, totals->kind_seeds[kind]);
    }
}

bool qs_monkey_run(const struct qs_monkey_options *options)
{
    struct totals totals = {0};
    printf("first seed %" PRIu64 "\n", options->first_seed);
    for (uint64_t i = 0; i < options->seed_count; i++)
        run_seed(options, options->first_seed + i, &totals);
    print_table(&totals);
    if (options->is_scarce)
        printf("\nan honest client starved in %" PRIu64 " of %" PRIu64
               " seeds with scarce memory\n",
               totals.starved_count, options->seed_count);
    printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", options->seed_count, totals.failed_count);
    return totals.failed_count == 0 &&
           totals.starved_count * 100 <= STARVED_PERCENT_MAX * options->seed_count;
}

/* SPDX-License-Identifier: MIT */
/* How well rate limits are kept, between whom, and what they cost, in virtual time.
 *
 * A limit of a connection is its pacer's; shards and the engine have a line of connections, each of
 * which always has more to send.  Trains leave as engine/shard/shard_tx.c has them leave, and
 * everybody wakes when the limit says, or up to 100 us late.  The reference is arithmetic: rate x
 * time, also while the rate changes every few milliseconds. */

#include <math.h>
#include <stdlib.h>

#include "bench/micro/benches.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/recovery/pacer.h"
#include "test/support/limit_turn.h"

enum { DATAGRAM = 1200, SHARDS = 4, CONNS_MAX = 1000, LATE_NS = 100 * 1000 };

/* Changes of the rate come so often, which divides no time of a burst. */
#define CHANGE_NS (UINT64_C(7300) * SB_US)

static const struct {
    const char *name;
    uint64_t bytes_per_s;
    uint64_t seconds; /* long enough for 1,000 trains */
} rates[] = {
    {"1 Mbit/s", 125000, 60},     {"10 Mbit/s", 1250000, 10}, {"100 Mbit/s", 12500000, 4},
    {"1 Gbit/s", 125000000, 2},   {"5 Gbit/s", 625000000, 1}, {"10 Gbit/s", 1250000000, 1},
    {"20 Gbit/s", 2500000000, 1},
};

static const uint32_t conn_counts[] = {1, 10, 100, 1000};

static uint64_t late_ns(void)
{
    static uint64_t random = 1;
    random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (random >> 33) % LATE_NS;
}

/* The rate at a time of a run whose rate changes: `rate`, and half of it. */
static uint64_t rate_at(uint64_t rate, uint64_t run_ns)
{
    return run_ns / CHANGE_NS % 2 == 0 ? rate : rate / 2;
}

/* Returns the bytes that the rate allows in a run. */
static double allowed(uint64_t rate, uint64_t run_ns, bool changes)
{
    if (!changes)
        return (double)rate * (double)run_ns / SB_S;
    double bytes = 0;
    for (uint64_t at_ns = 0; at_ns < run_ns; at_ns += CHANGE_NS)
        bytes += (double)rate_at(rate, at_ns) * (double)SB_MIN(CHANGE_NS, run_ns - at_ns) / SB_S;
    return bytes;
}

/* ---- A connection ---- */

/* Returns what left, as a part of what was allowed. */
static double of_conn(uint64_t rate, uint64_t seconds, bool changes)
{
    struct sp_pacer pacer;
    uint64_t start_ns = SB_S, run_ns = seconds * SB_S, now_ns = start_ns, bytes = 0, set = 0;
    sp_pacer_init(&pacer);
    while (now_ns < start_ns + run_ns) {
        uint64_t wanted = changes ? rate_at(rate, now_ns - start_ns) : rate;
        if (wanted != set) {
            struct sp_pace pace = {0};
            sp_pace_limit(&pace, wanted, DATAGRAM);
            sp_pacer_set(&pacer, pace, now_ns);
            if (set == 0) /* the first burst is not a part of the rate */
                sp_pacer_on_sent(&pacer, pacer.burst_bytes, now_ns);
            set = wanted;
        }
        for (; sp_pacer_is_open(&pacer, now_ns); bytes += DATAGRAM)
            sp_pacer_on_sent(&pacer, DATAGRAM, now_ns);
        uint64_t wake_ns = sp_pacer_wake_at_ns(&pacer) + late_ns();
        uint64_t change_ns = now_ns + CHANGE_NS - (now_ns - start_ns) % CHANGE_NS;
        now_ns = changes ? SB_MIN(wake_ns, change_ns) : wake_ns;
    }
    return (double)bytes / allowed(rate, now_ns - start_ns, changes);
}

/* ---- Shards ---- */

struct shard {
    struct se_limit limit;
    uint64_t wake_ns;
};

struct world {
    struct se_engine_limit engine;
    struct shard shards[SHARDS];
    struct limited_conn conns[CONNS_MAX];
    uint32_t shard_count;
    uint32_t conn_count;
    bool is_engine; /* the limit is the engine's, not the shard's */
    uint64_t now_ns;
};

static void set_rate(struct world *w, uint64_t rate)
{
    if (w->is_engine)
        se_engine_limit_set(&w->engine, rate, w->now_ns);
    else
        se_limit_set(&w->shards[0].limit, rate, w->now_ns);
    for (uint32_t i = 0; i < w->shard_count; i++)
        w->shards[i].wake_ns = w->now_ns; /* as the engine does */
}

static void init(struct world *w, uint64_t rate, uint32_t conn_count, bool is_engine)
{
    *w = (struct world){
        .now_ns = SB_S,
        .shard_count = is_engine ? SHARDS : 1,
        .conn_count = conn_count,
        .is_engine = is_engine,
    };
    for (uint32_t i = 0; i < w->shard_count; i++)
        se_limit_init(&w->shards[i].limit, &w->engine);
    set_rate(w, rate);
    for (uint32_t i = 0; i < conn_count; i++) {
        sb_list_init(&w->conns[i].link);
        se_limit_join(&w->shards[i % w->shard_count].limit, &w->conns[i].link);
    }
    for (uint32_t i = 0; i < w->shard_count; i++)
        se_limit_announce(&w->shards[i].limit);
}

static void turn(struct world *w, struct shard *shard)
{
    bool is_cut = limit_turn(&shard->limit, DATAGRAM, w->now_ns) >= LIMIT_TURN_BYTES;
    shard->wake_ns = sb_time_add(SB_MAX(se_limit_wake_ns(&shard->limit), w->now_ns + SB_US),
                                 is_cut ? 0 : late_ns());
}

static void run_until(struct world *w, uint64_t end_ns)
{
    for (;;) {
        struct shard *first = &w->shards[0];
        for (uint32_t i = 1; i < w->shard_count; i++)
            if (w->shards[i].wake_ns < first->wake_ns)
                first = &w->shards[i];
        if (first->wake_ns > end_ns)
            break;
        w->now_ns = SB_MAX(w->now_ns, first->wake_ns);
        turn(w, first);
    }
    w->now_ns = end_ns;
}

/* Runs for a while, and then for `seconds`.  Returns what left then, as a part of what was allowed;
 * and Jain's index in `*ret_jain`. */
static double of_shards(uint64_t rate, uint64_t seconds, uint32_t conn_count, bool is_engine,
                        bool changes, double *ret_jain)
{
    static struct world w;
    init(&w, rate, conn_count, is_engine);
    run_until(&w, w.now_ns + SB_S / 2);
    for (uint32_t i = 0; i < conn_count; i++)
        w.conns[i].bytes = 0;
    uint64_t start_ns = w.now_ns, run_ns = seconds * SB_S;
    for (uint64_t at_ns = 0; at_ns < run_ns; at_ns += CHANGE_NS) {
        if (changes)
            set_rate(&w, rate_at(rate, at_ns));
        run_until(&w, start_ns + SB_MIN(at_ns + CHANGE_NS, run_ns));
    }
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < conn_count; i++) {
        sum += (double)w.conns[i].bytes;
        squares += (double)w.conns[i].bytes * (double)w.conns[i].bytes;
    }
    *ret_jain = sum * sum / (conn_count * squares);
    return sum / allowed(rate, run_ns, changes);
}

/* ---- The bench ---- */

enum limit_of { OF_CONN, OF_SHARD, OF_ENGINE, OF_ALL };
static const char *const limit_names[OF_ALL] = {"connection", "shard", "engine"};

static double off_percent(enum limit_of who, size_t rate, bool changes)
{
    double jain;
    double part = who == OF_CONN ? of_conn(rates[rate].bytes_per_s, rates[rate].seconds, changes)
                                 : of_shards(rates[rate].bytes_per_s, rates[rate].seconds, 16,
                                             who == OF_ENGINE, changes, &jain);
    return fabs(part - 1) * 100;
}

static double jain_of(enum limit_of who, uint32_t conn_count)
{
    double jain;
    (void)of_shards(1250000000, 4, conn_count, who == OF_ENGINE, false, &jain);
    return jain;
}

static void check(void)
{
    for (enum limit_of who = OF_CONN; who < OF_ALL; who++) {
        for (size_t i = 0; i < SB_COUNT(rates); i++) {
            micro_check(off_percent(who, i, false) <= 1, "a limit");
            micro_check(off_percent(who, i, true) <= 1, "a limit that changes");
        }
        for (size_t i = 0; i < SB_COUNT(conn_counts) && who != OF_CONN; i++)
            micro_check(jain_of(who, conn_counts[i]) >= 0.99, "Jain's index");
    }
}

enum { TRAIN = 44 }; /* datagrams of 1,472 bytes in 64 KiB */

/* What a train of a connection costs in its pacer: may it leave, how large, and that it has. */
static void run_conn(void *context, uint64_t count)
{
    struct sp_pacer pacer;
    struct sp_pace pace = {0};
    uint64_t now_ns = SB_S, datagrams = *(const uint32_t *)context;
    sp_pacer_init(&pacer);
    sp_pace_limit(&pace, UINT64_C(125000000000), 1472);
    sp_pacer_set(&pacer, pace, now_ns);
    for (uint64_t i = 0; i < count; i++) {
        if (sp_pacer_is_open(&pacer, now_ns) && sp_pacer_credit_bytes(&pacer, now_ns) > 0)
            sp_pacer_on_sent(&pacer, datagrams * 1472, now_ns);
        now_ns += datagrams * 100;
    }
    micro_use(pacer.full_at_ns);
}

/* The same of a shard's limit, for a connection that stands in line. */
static void run_shard(void *context, uint64_t count)
{
    static struct world w;
    uint64_t datagrams = *(const uint32_t *)context;
    init(&w, UINT64_C(125000000000), 2, false);
    struct se_limit *limit = &w.shards[0].limit;
    for (uint64_t i = 0; i < count; i++) {
        if (se_limit_is_open(limit, w.now_ns)) {
            struct sb_link *link = se_limit_pop(limit);
            micro_use(se_limit_train_count(limit));
            se_limit_on_sent(limit, datagrams * 1472, w.now_ns);
            se_limit_join(limit, link);
        }
        w.now_ns += datagrams * 100;
    }
    micro_use(limit->bucket.full_at_ns);
}

static void figure(struct micro *m, const char *name, const char *unit, double value,
                   enum micro_goal goal, double target)
{
    struct micro_sample sample = micro_sample_of(&value, 1);
    micro_row(m,
              &(struct micro_row){
                  .name = name, .unit = unit, .sample = &sample, .goal = goal, .target = target});
}

static void time_all(struct micro *m)
{
    static const uint32_t one = 1, train = TRAIN;
    char name[64];
    for (size_t i = 0; i < SB_COUNT(rates) && !m->is_counting; i++) {
        for (enum limit_of who = OF_CONN; who < OF_ALL; who++) {
            (void)snprintf(name, sizeof(name), "%s, off %s", limit_names[who], rates[i].name);
            figure(m, name, "%", off_percent(who, i, false), MICRO_AT_MOST, 1);
            (void)snprintf(name, sizeof(name), "%s, off %s and its half in turns", limit_names[who],
                           rates[i].name);
            figure(m, name, "%", off_percent(who, i, true), MICRO_AT_MOST, 1);
        }
    }
    for (size_t i = 0; i < SB_COUNT(conn_counts) && !m->is_counting; i++) {
        for (enum limit_of who = OF_SHARD; who < OF_ALL; who++) {
            (void)snprintf(name, sizeof(name), "%s, Jain's index, %u connections", limit_names[who],
                           conn_counts[i]);
            figure(m, name, "", jain_of(who, conn_counts[i]), MICRO_AT_LEAST, 0.99);
        }
    }
    const struct micro_subject subjects[] = {
        {"connection, per packet of a train", run_conn, (void *)(uintptr_t)&train, TRAIN},
        {"connection, per packet alone", run_conn, (void *)(uintptr_t)&one, 1},
        {"shard, per packet of a train", run_shard, (void *)(uintptr_t)&train, TRAIN},
        {"shard, per packet alone", run_shard, (void *)(uintptr_t)&one, 1},
    };
    struct micro_sample samples[SB_COUNT(subjects)];
    micro_time(m, subjects, SB_COUNT(subjects), samples);
    for (size_t i = 0; i < SB_COUNT(subjects); i++)
        micro_row_ns(m, subjects[i].name, &samples[i],
                     subjects[i].items == 1 ? MICRO_REPORTED : MICRO_AT_MOST, 5);
}

const struct micro_bench micro_limits = {
    .name = "limits",
    .what = "C5: how well rate limits are kept and shared, and their cost, in virtual time",
    .check = check,
    .time = time_all,
};

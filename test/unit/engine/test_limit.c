/* SPDX-License-Identifier: MIT */
/* The rate limit of an engine, of which two shards borrow, in virtual time: exact, and even between
 * connections however they are spread. */

#include "test/support/qt.h"

#include <string.h>

#include <spate/io.h>

#include "engine/shard/shard.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/support/limit_turn.h"

enum { SHARDS = 2, CONNS_MAX = 16, DATAGRAM = 1200 };

struct shard {
    struct se_limit limit;
    struct limited_conn conns[CONNS_MAX];
    uint32_t conn_count;
    uint64_t wake_ns;
    uint64_t late_ns_max; /* it runs so much later than it wants to, at most */
};

struct world {
    struct se_engine_limit engine;
    struct shard shards[SHARDS];
    uint64_t now_ns;
    uint64_t random;
};

static uint64_t draw(struct world *w, uint64_t below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (w->random >> 33) % below;
}

static void init(struct world *w, uint64_t rate, const uint32_t conn_counts[SHARDS])
{
    *w = (struct world){.now_ns = SB_S, .random = rate};
    se_engine_limit_set(&w->engine, rate, w->now_ns);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &w->shards[i];
        se_limit_init(&shard->limit, &w->engine);
        shard->late_ns_max = 100 * SB_US;
        shard->conn_count = conn_counts[i];
        for (uint32_t k = 0; k < conn_counts[i]; k++) {
            sb_list_init(&shard->conns[k].link);
            se_limit_join(&shard->limit, &shard->conns[k].link);
        }
        se_limit_announce(&shard->limit);
    }
}

static void turn(struct world *w, struct shard *shard)
{
    (void)limit_turn(&shard->limit, DATAGRAM, w->now_ns);
    uint64_t at_ns = se_limit_wake_ns(&shard->limit);
    shard->wake_ns = SB_MAX(at_ns, w->now_ns + SB_US);
    if (shard->wake_ns != SB_NEVER)
        shard->wake_ns += draw(w, shard->late_ns_max);
}

static void run(struct world *w, uint64_t ns)
{
    uint64_t end_ns = w->now_ns + ns;
    for (;;) {
        struct shard *first = &w->shards[0];
        for (uint32_t i = 1; i < SHARDS; i++)
            if (w->shards[i].wake_ns < first->wake_ns)
                first = &w->shards[i];
        if (first->wake_ns > end_ns)
            break;
        w->now_ns = SB_MAX(w->now_ns, first->wake_ns);
        turn(w, first);
    }
    w->now_ns = end_ns;
}

static uint64_t sent_by(const struct shard *shard)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < shard->conn_count; i++)
        bytes += shard->conns[i].bytes;
    return bytes;
}

static uint64_t sent(const struct world *w)
{
    return sent_by(&w->shards[0]) + sent_by(&w->shards[1]);
}

static void forget(struct world *w)
{
    for (uint32_t i = 0; i < SHARDS; i++)
        for (uint32_t k = 0; k < CONNS_MAX; k++)
            w->shards[i].conns[k].bytes = 0;
}

/* What was sent until now, the first burst too, does not count. */
static void settle(struct world *w)
{
    run(w, SB_S / 4);
    forget(w);
}

static double jain(const struct world *w)
{
    double sum = 0, squares = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < SHARDS; i++)
        for (uint32_t k = 0; k < w->shards[i].conn_count; k++, count++) {
            double bytes = (double)w->shards[i].conns[k].bytes;
            sum += bytes;
            squares += bytes * bytes;
        }
    return sum * sum / (count * squares);
}

static void assert_percent(uint64_t value, uint64_t want, uint64_t percent)
{
    if (value < want - want * percent / 100 || value > want + want * percent / 100)
        fail_msg("%lu, and not %lu", (unsigned long)value, (unsigned long)want);
}

/* 1 Mbit/s to 20 Gbit/s; a second of the fastest, and longer where trains are rare. */
static const struct {
    uint64_t rate, seconds;
} rates[] = {{125000, 60}, {1250000, 10}, {12500000, 4}, {125000000, 2}, {2500000000, 2}};

static void shards_keep_the_limit_together(void **state)
{
    (void)state;
    static const uint32_t spreads[][SHARDS] = {{8, 8}, {4, 12}, {1, 15}, {16, 0}, {1, 1}};
    for (size_t i = 0; i < QT_COUNT(rates); i++) {
        for (size_t k = 0; k < QT_COUNT(spreads); k++) {
            static struct world w;
            init(&w, rates[i].rate, spreads[k]);
            settle(&w);
            run(&w, rates[i].seconds * SB_S);
            assert_percent(sent(&w), rates[i].rate * rates[i].seconds, 1);
            if (jain(&w) < 0.99)
                fail_msg("%lu bytes/s, %u and %u: Jain's index %.4f", (unsigned long)rates[i].rate,
                         spreads[k][0], spreads[k][1], jain(&w));
        }
    }
}

/* One that always comes late does not lose its share to one that is always there. */
static void a_slow_shard_gets_its_share(void **state)
{
    (void)state;
    static struct world w;
    init(&w, 125000000, (const uint32_t[]){8, 8});
    w.shards[0].late_ns_max = 10 * SB_US;
    w.shards[1].late_ns_max = 900 * SB_US;
    settle(&w);
    run(&w, 2 * SB_S);
    assert_percent(sent(&w), 250000000, 1);
    assert_percent(sent_by(&w.shards[1]), 125000000, 2);
}

/* What one does not need, the other one gets, and gives it back. */
static void nothing_is_kept_for_who_does_not_wait(void **state)
{
    (void)state;
    static struct world w;
    init(&w, 12500000, (const uint32_t[]){8, 8});
    run(&w, SB_S);
    for (uint32_t i = 0; i < 8; i++) /* they close */
        se_limit_leave(&w.shards[1].limit, &w.shards[1].conns[i].link);
    assert_int_equal(w.engine.waiting_count, 8);
    settle(&w);
    run(&w, 2 * SB_S);
    assert_percent(sent_by(&w.shards[0]), 25000000, 1);
    assert_int_equal(sent_by(&w.shards[1]), 0);
    for (uint32_t i = 0; i < 8; i++)
        se_limit_join(&w.shards[1].limit, &w.shards[1].conns[i].link);
    w.shards[1].wake_ns = w.now_ns;
    settle(&w);
    run(&w, 2 * SB_S);
    assert_percent(sent(&w), 25000000, 1);
    assert_true(jain(&w) >= 0.99);
}

/* Setting it again and again gives nothing away, and a change holds at once. */
static void a_change_forgives_no_debt(void **state)
{
    (void)state;
    static struct world w;
    init(&w, 125000, (const uint32_t[]){8, 8});
    run(&w, SB_S);
    forget(&w);
    for (uint32_t i = 0; i < 2000; i++) {
        se_engine_limit_set(&w.engine, i % 2 == 0 ? 125001 : 125000, w.now_ns);
        run(&w, 5 * SB_MS);
    }
    assert_in_range(sent(&w), 1000000, 1250000 + 1250000 / 100 + 12000);
    se_engine_limit_set(&w.engine, 12500000, w.now_ns);
    for (uint32_t i = 0; i < SHARDS; i++)
        w.shards[i].wake_ns = w.now_ns; /* spate_engine_set_rate_limit() wakes all */
    settle(&w);
    run(&w, 2 * SB_S);
    assert_percent(sent(&w), 25000000, 1);
}

/* What is due, and what was not used yet, stays the same bytes: the average of two rates in turns
 * of 7.3 ms comes out within 1 %, whatever the spread.  It was up to 28 % less. */
static void changes_are_kept_on_average(void **state)
{
    (void)state;
    static const uint32_t spreads[][SHARDS] = {{8, 8}, {4, 12}, {1, 15}, {1, 1}};
    for (size_t i = 0; i < QT_COUNT(rates); i++) {
        for (size_t k = 0; k < QT_COUNT(spreads); k++) {
            static struct world w;
            init(&w, rates[i].rate, spreads[k]);
            settle(&w);
            uint64_t turns = rates[i].seconds * 100, turn_ns = 7300 * SB_US;
            for (uint64_t at = 0; at < turns; at++) {
                uint64_t rate = at % 2 == 0 ? rates[i].rate : rates[i].rate / 3;
                se_engine_limit_set(&w.engine, rate, w.now_ns);
                for (uint32_t s = 0; s < SHARDS; s++)
                    w.shards[s].wake_ns = w.now_ns;
                run(&w, turn_ns);
            }
            uint64_t want = (rates[i].rate + rates[i].rate / 3) * turns / 2 * turn_ns / SB_S;
            assert_percent(sent(&w), want, 1);
        }
    }
}

/* Both limits hold, whichever is lower. */
static void a_shard_may_have_a_limit_of_its_own_too(void **state)
{
    (void)state;
    static struct world w;
    init(&w, 12500000, (const uint32_t[]){8, 8});
    se_limit_set(&w.shards[0].limit, 2500000, w.now_ns);
    settle(&w);
    run(&w, 4 * SB_S);
    assert_percent(sent_by(&w.shards[0]), 10000000, 1);
    assert_in_range(sent(&w), 30000000, 50500000);
    se_limit_set(&w.shards[0].limit, 25000000, w.now_ns);
    settle(&w);
    run(&w, 4 * SB_S);
    assert_percent(sent(&w), 50000000, 1);
    assert_true(jain(&w) >= 0.99);
}

static void without_a_limit_nobody_waits(void **state)
{
    (void)state;
    static struct world w;
    init(&w, 125000, (const uint32_t[]){2, 2});
    run(&w, SB_S);
    assert_true(se_limit_is_set(&w.shards[0].limit));
    assert_int_equal(w.engine.waiting_count, 4);
    se_engine_limit_set(&w.engine, 0, w.now_ns);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct se_limit *limit = &w.shards[i].limit;
        assert_false(se_limit_is_set(limit));
        assert_true(se_limit_is_open(limit, w.now_ns));
        se_limit_announce(limit);
        se_limit_clear(limit);
        assert_int_equal(se_limit_wake_ns(limit), SB_NEVER);
    }
    assert_int_equal(w.engine.waiting_count, 0);
}

/* The clock of a shard without sockets is its host's, from 5 ns on here.  What was set before goes
 * by it as well, and so does a change. */
static void the_clock_is_that_of_the_host(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_engine *engine = NULL;
    spate_config_init(&config);
    config.backend = SPATE_BACKEND_HOST;
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    struct se_limit *limit = &shard->limit;
    for (uint64_t rate = 1000; rate <= 2000; rate += 1000)
        assert_int_equal(spate_engine_set_rate_limit(engine, rate), 0);
    assert_int_equal(spate_shard_turn_at(shard, 5), 0);
    assert_true(se_limit_is_open(limit, 5));

    assert_int_equal(spate_shard_turn_at(shard, 100 * SB_S), 0);
    for (uint32_t i = 0; i < 100; i++)
        if (se_limit_is_open(limit, 100 * SB_S))
            se_limit_on_sent(limit, DATAGRAM, 100 * SB_S);
    assert_false(se_limit_is_open(limit, 100 * SB_S));
    assert_int_equal(spate_engine_set_rate_limit(engine, 4000), 0);
    assert_false(se_limit_is_open(limit, 100 * SB_S));
    assert_true(se_limit_is_open(limit, 102 * SB_S));
    assert_int_equal(spate_engine_set_rate_limit(engine, 0), 0);
    assert_int_equal(spate_engine_set_rate_limit(engine, 4000), 0);
    assert_true(se_limit_is_open(limit, 102 * SB_S));
    spate_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_keep_the_limit_together),
        cmocka_unit_test(a_slow_shard_gets_its_share),
        cmocka_unit_test(nothing_is_kept_for_who_does_not_wait),
        cmocka_unit_test(a_change_forgives_no_debt),
        cmocka_unit_test(changes_are_kept_on_average),
        cmocka_unit_test(a_shard_may_have_a_limit_of_its_own_too),
        cmocka_unit_test(without_a_limit_nobody_waits),
        cmocka_unit_test(the_clock_is_that_of_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The relay's rates and queues, in virtual time. */

#include "test/support/qt.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/interop/relay/link.h"

enum { ECT_0 = 2, CE = 3, SIZE = 1000 };

#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

struct world {
    struct link link;
    char path[64]; /* of a file that the tear-down removes */
};

static void world_deinit(struct world *w)
{
    link_deinit(&w->link);
    if (w->path[0] != 0)
        (void)unlink(w->path);
}
QT_FIXTURE(world, world_deinit)

static struct link *link_at(struct world *w, const char *text)
{
    static struct link_config config;
    memset(&config, 0, sizeof(config));
    const char *wrong = link_parse(text, &config);
    if (wrong != NULL)
        fail_msg("%s %s", text, wrong);
    link_deinit(&w->link);
    link_init(&w->link, &config, 1, 10 * S);
    return &w->link;
}

static void a_rate_spreads_datagrams_and_its_queue_drops_what_is_too_much(void **state)
{
    struct link *link = link_at(*state, "rate=8mbit,queue=5k,delay=20ms,ce-queue=2k");
    for (uint64_t i = 1; i <= 5; i++) { /* 1 ms for each */
        struct link_verdict verdict = link_pass(link, 10 * S, SIZE, ECT_0);
        assert_false(verdict.is_dropped);
        assert_int_equal(verdict.due_ns, 10 * S + i * MS + 20 * MS);
        assert_int_equal(verdict.ecn, i > 3 ? CE : ECT_0);
    }
    assert_true(link_pass(link, 10 * S, SIZE, ECT_0).is_dropped);
    assert_int_equal(link->counts.overflowed, 1);
    assert_false(link_pass(link, 10 * S + MS, SIZE, ECT_0).is_dropped); /* one has left */
    assert_true(link_pass(link, 10 * S + MS, SIZE, ECT_0).is_dropped);
    struct link_verdict later = link_pass(link, 11 * S, SIZE, ECT_0); /* the queue is empty */
    assert_int_equal(later.due_ns, 11 * S + MS + 20 * MS);
}

static void a_queue_is_counted_in_datagrams_or_by_the_round_trip(void **state)
{
    static const struct {
        const char *text;
        uint32_t count; /* that find room at once */
    } table[] = {
        {"rate=8mbit,queue-packets=5", 5},          {"rate=8mbit,queue-packets=1", 1},
        {"rate=8mbit,queue-bdp=0.5,rtt=20ms", 10},  {"rtt=20ms,queue-bdp=4,rate=8mbit", 80},
        {"rate=8mbit,queue-packets=5,queue=3k", 3}, {"rate=8mbit", 1000},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        struct link *link = link_at(*state, table[i].text);
        uint32_t count = 0;
        while (count < 1000 && !link_pass(link, 10 * S, SIZE, 0).is_dropped)
            count++;
        assert_int_equal(count, table[i].count);
        /* One more when the first has left. */
        assert_true(link_pass(link, 10 * S + MS - 1, SIZE, 0).is_dropped == (count < 1000));
        assert_false(link_pass(link, 10 * S + MS, SIZE, 0).is_dropped);
    }
}

static void the_waits_in_the_queue_are_recorded(void **state)
{
    struct link *link = link_at(*state, "rate=8mbit,delay=50ms,queue=200k");
    for (uint32_t i = 0; i < 100; i++)
        (void)link_pass(link, 10 * S, SIZE, 0);
    assert_int_equal(link->waits.count, 100);
    assert_in_range(spate_histogram_percentile(&link->waits, 50), 48 * MS, 51 * MS);
    assert_in_range(spate_histogram_percentile(&link->waits, 99), 97 * MS, 100 * MS);
    assert_int_equal(spate_histogram_percentile(&link->waits, 0), 0);
}

static void a_policer_drops_what_comes_too_fast_and_delays_nothing(void **state)
{
    struct link *link = link_at(*state, "policer=8mbit:5k,delay=3ms");
    uint32_t passed = 0;
    for (uint32_t i = 0; i < 10; i++)
        passed += !link_pass(link, 10 * S, SIZE, 0).is_dropped;
    assert_int_equal(passed, 5);
    assert_int_equal(link->counts.policed, 5);
    /* Twice the rate for a second: half of it passes, at once. */
    passed = 0;
    for (uint32_t i = 1; i <= 2000; i++) {
        uint64_t now_ns = 10 * S + i * MS / 2;
        struct link_verdict verdict = link_pass(link, now_ns, SIZE, 0);
        passed += !verdict.is_dropped;
        assert_true(verdict.is_dropped || verdict.due_ns == now_ns + 3 * MS);
    }
    assert_in_range(passed, 999, 1001);
}

static void steps_change_the_rate_also_while_a_datagram_leaves(void **state)
{
    /* 1 ms for a datagram, then 10 ms, again and again. */
    struct link *link = link_at(*state, "steps=8mbit/10ms+800kbit/20ms");
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(link_pass(link, 10 * S, SIZE, 0).due_ns, 10 * S + i * MS);
    assert_int_equal(link_pass(link, 10 * S, SIZE, 0).due_ns, 10 * S + 20 * MS);
    assert_int_equal(link_pass(link, 10 * S, SIZE, 0).due_ns, 10 * S + 30 * MS);
    assert_int_equal(link_pass(link, 10 * S, SIZE, 0).due_ns, 10 * S + 31 * MS);
    /* Half of it in the last half millisecond of a fast step. */
    assert_int_equal(link_pass(link, 10 * S + 39 * MS + MS / 2, SIZE, 0).due_ns, 10 * S + 45 * MS);
    /* After a long silence. */
    assert_int_equal(link_pass(link, 20 * S + 2 * MS, SIZE, 0).due_ns, 20 * S + 12 * MS);
    /* 12 of them leave in each period. */
    link = link_at(*state, "steps=8mbit/10ms+800kbit/20ms");
    uint64_t due_ns = 0;
    for (uint32_t i = 0; i < 1200; i++)
        due_ns = link_pass(link, 10 * S, SIZE, 0).due_ns;
    assert_int_equal(due_ns, 10 * S + 100 * 30 * MS);
}

static void a_trace_is_a_file_of_rates(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *text;
        bool is_good;
    } table[] = {
        {"8\n0.8\n80", true}, {"8\n", true},   {"", false},         {"8\n\n", false},
        {"0\n", false},       {"-1\n", false}, {"8 mbit\n", false}, {"inf\n", false},
    };
    (void)snprintf(w->path, sizeof(w->path), "/tmp/trace-XXXXXX");
    int fd = mkstemp(w->path);
    assert_true(fd >= 0);
    (void)close(fd);
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        static struct link_rate rate;
        FILE *file = fopen(w->path, "we");
        assert_non_null(file);
        assert_true(fputs(table[i].text, file) >= 0);
        assert_int_equal(fclose(file), 0);
        if (link_read_trace(w->path, &rate) != table[i].is_good)
            fail_msg("%s", table[i].text);
    }
    char text[80];
    FILE *file = fopen(w->path, "we");
    assert_non_null(file);
    assert_true(fputs("8\n0.8\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(text, sizeof(text), "trace=%s", w->path);
    struct link *link = link_at(w, text);
    for (uint64_t i = 1; i <= 100; i++) /* 1 ms each */
        assert_int_equal(link_pass(link, 10 * S, SIZE, 0).due_ns, 10 * S + i * MS);
    assert_int_equal(link_pass(link, 10 * S, SIZE, 0).due_ns, 10 * S + 110 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, a_rate_spreads_datagrams_and_its_queue_drops_what_is_too_much),
        QT_TEST(world, a_queue_is_counted_in_datagrams_or_by_the_round_trip),
        QT_TEST(world, the_waits_in_the_queue_are_recorded),
        QT_TEST(world, a_policer_drops_what_comes_too_fast_and_delays_nothing),
        QT_TEST(world, steps_change_the_rate_also_while_a_datagram_leaves),
        QT_TEST(world, a_trace_is_a_file_of_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

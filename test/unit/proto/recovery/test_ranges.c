/* SPDX-License-Identifier: MIT */
/* Sets of numbers as ranges, against a map of bits. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/steps.h"
#include "proto/recovery/ranges.h"
#include "test/sim/random.h"
#include "test/support/heap.h"

enum { NUMBERS = 200 };

struct world {
    struct heap heap;
    struct sb_pool pool;
    struct sb_store store;
    struct sp_ranges ranges;
};

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    sp_ranges_clear(&world->ranges);
    heap_pool_deinit(&world->pool);
    heap_deinit(&world->heap); /* asserts that all came back */
    assert_true(sp_ranges_is_empty(&world->ranges));
}

static void world_init(struct world *world, uint32_t count_max)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    sb_pool_init(&world->pool, "ranges", sizeof(struct sp_range), 4, count_max,
                 &world->heap.memory);
    world->store = (struct sb_store){.pool = &world->pool};
    sp_ranges_init(&world->ranges, &world->store);
}

QT_FIXTURE(world, world_deinit)

struct span {
    uint64_t start;
    uint64_t end;
};

static void assert_spans(const struct sp_ranges *ranges, const struct span *want, size_t count)
{
    sp_ranges_check(ranges);
    assert_int_equal(ranges->count, count);
    const struct sp_range *at = ranges->first;
    for (size_t i = 0; i < count; i++, at = at->next) {
        assert_int_equal(at->start, want[i].start);
        assert_int_equal(at->end, want[i].end);
    }
    assert_null(at);
}

/* Each begins with {[10, 20), [30, 40), [50, 60)}. */
static void ranges_join_and_split_at_their_edges(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *what;
        bool is_add;
        struct span span;
        size_t count;
        struct span want[4];
    } samples[] = {
        {"add nothing", true, {25, 25}, 3, {{10, 20}, {30, 40}, {50, 60}}},
        {"add in front", true, {0, 9}, 4, {{0, 9}, {10, 20}, {30, 40}, {50, 60}}},
        {"add adjacent in front", true, {0, 10}, 3, {{0, 20}, {30, 40}, {50, 60}}},
        {"add behind", true, {61, 62}, 4, {{10, 20}, {30, 40}, {50, 60}, {61, 62}}},
        {"add adjacent behind", true, {60, 62}, 3, {{10, 20}, {30, 40}, {50, 62}}},
        {"add what is there", true, {32, 35}, 3, {{10, 20}, {30, 40}, {50, 60}}},
        {"fill a gap", true, {20, 30}, 2, {{10, 40}, {50, 60}}},
        {"fill a gap but one", true, {21, 29}, 4, {{10, 20}, {21, 29}, {30, 40}, {50, 60}}},
        {"swallow one", true, {25, 45}, 3, {{10, 20}, {25, 45}, {50, 60}}},
        {"swallow all", true, {0, 100}, 1, {{0, 100}}},
        {"join all", true, {20, 50}, 1, {{10, 60}}},
        {"remove nothing", false, {35, 35}, 3, {{10, 20}, {30, 40}, {50, 60}}},
        {"remove a gap", false, {20, 30}, 3, {{10, 20}, {30, 40}, {50, 60}}},
        {"split", false, {33, 36}, 4, {{10, 20}, {30, 33}, {36, 40}, {50, 60}}},
        {"remove one", false, {30, 40}, 2, {{10, 20}, {50, 60}}},
        {"cut two edges", false, {15, 35}, 3, {{10, 15}, {35, 40}, {50, 60}}},
        {"cut an end", false, {55, 99}, 3, {{10, 20}, {30, 40}, {50, 55}}},
        {"remove all", false, {0, UINT64_MAX}, 0, {{0, 0}}},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        world_init(world, 100);
        print_message("    %s\n", samples[i].what);
        assert_true(sp_ranges_add(&world->ranges, 50, 60));
        assert_true(sp_ranges_add(&world->ranges, 10, 20));
        assert_true(sp_ranges_add(&world->ranges, 30, 40));
        if (samples[i].is_add)
            assert_true(sp_ranges_add(&world->ranges, samples[i].span.start, samples[i].span.end));
        else
            assert_true(
                sp_ranges_remove(&world->ranges, samples[i].span.start, samples[i].span.end));
        assert_spans(&world->ranges, samples[i].want, samples[i].count);
    }
}

/* Checks against the bits, gaps and all. */
static void assert_as_map(const struct sp_ranges *ranges, const bool map[NUMBERS])
{
    sp_ranges_check(ranges);
    uint32_t runs = 0;
    for (uint64_t i = 0; i < NUMBERS; i++) {
        assert_int_equal(sp_ranges_contain(ranges, i), map[i]);
        runs += map[i] && (i == 0 || !map[i - 1]);
    }
    assert_int_equal(ranges->count, runs);
}

static void assert_beyond(struct sp_ranges *ranges, const bool map[NUMBERS], uint64_t value)
{
    const struct sp_range *range = sp_ranges_beyond(ranges, value);
    uint64_t next = value;
    while (next < NUMBERS && !map[next])
        next++;
    if (next == NUMBERS)
        assert_null(range);
    else
        assert_true(range->start <= next && next < range->end);
    sp_ranges_check(ranges);
}

static void any_order_of_adds_and_removes_matches_a_map(void **state)
{
    struct world *world = *state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        world_init(world, 5 + (uint32_t)seed); /* few enough to run out of them */
        bool map[NUMBERS] = {false};
        for (int step = 0; step < 500; step++) {
            uint64_t start = qs_random_below(&random, NUMBERS);
            uint64_t size = qs_random_below(&random, seed % 2 == 0 ? 8 : 60);
            uint64_t end = SB_MIN(start + size, NUMBERS);
            bool is_add = qs_random_below(&random, 2) == 0;
            uint32_t count = world->ranges.count;
            bool done = is_add ? sp_ranges_add(&world->ranges, start, end)
                               : sp_ranges_remove(&world->ranges, start, end);
            if (done)
                memset(map + start, is_add, end - start);
            else
                assert_int_equal(count, world->pool.count_max); /* else there was memory */
            assert_as_map(&world->ranges, map);
            assert_beyond(&world->ranges, map, qs_random_below(&random, NUMBERS));
        }
    }
}

/* Work at two places of many ranges in turn. */
static void places_far_apart_cost_few_steps(void **state)
{
    enum { COUNT = 4096, TURNS = COUNT / 2, STEPS_PER_TURN = 100 };
    struct world *world = *state;
    struct sp_ranges *ranges = &world->ranges;
    world_init(world, COUNT);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_true(sp_ranges_add(ranges, 4 * i + 1, 4 * i + 3));
    sp_ranges_check(ranges);
    assert_int_equal(ranges->count, COUNT);
    uint64_t before = SB_STEPS_COUNT();
    for (uint64_t i = 0; i < TURNS; i++) {
        uint64_t low = 4 * (COUNT / 4 + i / 2), high = low + 4 * (COUNT / 4);
        assert_true(sp_ranges_remove(ranges, low, low + 2));
        assert_true(sp_ranges_add(ranges, high, high + 2));
        assert_true(sp_ranges_contain(ranges, high));
    }
    print_message("    %4u steps\n", (unsigned)((SB_STEPS_COUNT() - before) / TURNS));
    assert_in_range((SB_STEPS_COUNT() - before) / TURNS, SB_STEPS_ARE_COUNTED, STEPS_PER_TURN);
    sp_ranges_check(ranges);
}

static void without_memory_the_set_stays_as_it_was(void **state)
{
    struct world *world = *state;
    world_init(world, 2);
    assert_true(sp_ranges_add(&world->ranges, 10, 20));
    assert_true(sp_ranges_add(&world->ranges, 30, 40));
    static const struct span before[] = {{10, 20}, {30, 40}};
    assert_false(sp_ranges_add(&world->ranges, 50, 60));
    assert_spans(&world->ranges, before, 2);
    assert_false(sp_ranges_remove(&world->ranges, 33, 34));
    assert_spans(&world->ranges, before, 2);
    /* These need none. */
    assert_true(sp_ranges_add(&world->ranges, 20, 25));
    assert_true(sp_ranges_remove(&world->ranges, 35, 50));
    static const struct span after[] = {{10, 25}, {30, 35}};
    assert_spans(&world->ranges, after, 2);
}

static void a_range_that_ends_before_it_begins_is_our_bug(void **state)
{
    struct world *world = *state;
    world_init(world, 2);
    expect_assert_failure((void)!sp_ranges_add(&world->ranges, 2, 1));
    expect_assert_failure((void)!sp_ranges_remove(&world->ranges, 2, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, ranges_join_and_split_at_their_edges),
        QT_TEST(world, any_order_of_adds_and_removes_matches_a_map),
        QT_TEST(world, places_far_apart_cost_few_steps),
        QT_TEST(world, without_memory_the_set_stays_as_it_was),
        QT_TEST(world, a_range_that_ends_before_it_begins_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

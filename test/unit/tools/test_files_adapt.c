/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include "tools/spate/files/adapt.h"

#define WINDOW_NS UINT64_C(200000000)

/* A link: the rate grows up to `useful` streams, and falls beyond `harmful`; what a window measures
 * swings around it. */
struct link {
    uint32_t useful;
    uint32_t harmful;
    uint32_t swing_percent;
    uint64_t random;
    uint64_t now_ns;
    uint64_t bytes;
};

static uint64_t next_random(struct link *link)
{
    link->random = link->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return link->random >> 33;
}

static void pass_window(struct link *link, struct adapt *adapt)
{
    uint32_t streams = adapt->width < link->useful ? adapt->width : link->useful;
    uint64_t bytes = 10000000 * (uint64_t)streams;
    if (adapt->width > link->harmful)
        bytes /= adapt->width - link->harmful + 1;
    uint64_t swing = bytes * link->swing_percent / 100;
    if (swing > 0)
        bytes = bytes - swing + next_random(link) % (2 * swing);
    link->now_ns += WINDOW_NS;
    link->bytes += bytes;
    adapt_look(adapt, link->bytes, link->now_ns);
    assert_in_range(adapt->width, ADAPT_MIN, ADAPT_MAX);
    assert_true(adapt->width <= adapt->width_max);
}

/* Returns the average width after `settle` windows. */
static double run(struct link *link, struct adapt *adapt, uint32_t from, uint32_t settle,
                  uint32_t count)
{
    uint64_t sum = 0;
    adapt_init(adapt, from, WINDOW_NS, link->now_ns);
    adapt->since_bytes = link->bytes;
    for (uint32_t i = 0; i < settle + count; i++) {
        pass_window(link, adapt);
        sum += i >= settle ? adapt->width : 0;
    }
    return count > 0 ? (double)sum / count : 0;
}

static void the_number_of_streams_follows_the_bandwidth(void **state)
{
    (void)state;
    static const struct {
        uint32_t from, useful, harmful, least, most;
    } table[] = {
        {4, 16, 16, 15, 16}, {4, 1, 16, 1, 2}, {1, 6, 16, 5, 7}, {8, 3, 3, 2, 4}, {16, 16, 8, 7, 9},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct link link = {.useful = table[i].useful, .harmful = table[i].harmful};
        struct adapt adapt;
        double width = run(&link, &adapt, table[i].from, 120, 200);
        if (width < table[i].least || width > table[i].most)
            fail_msg("row %zu: %.1f", i, width);
    }
}

/* Single windows swing by 40 %, more than a stream of 12 brings.  What is lost to tries that lead
 * the wrong way is a few percent of what 12 streams carry. */
static void noise_does_not_take_streams_away(void **state)
{
    (void)state;
    enum { SEEDS = 50, WINDOWS = 400, USEFUL = 12 };
    uint64_t carried = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct link link = {.useful = USEFUL, .harmful = 16, .swing_percent = 40, .random = seed};
        struct adapt adapt;
        (void)run(&link, &adapt, 4, 200, 0);
        for (int i = 0; i < WINDOWS; i++) {
            carried += adapt.width < USEFUL ? adapt.width : USEFUL;
            pass_window(&link, &adapt);
        }
    }
    double share = (double)carried / (SEEDS * WINDOWS * USEFUL);
    if (share < 0.94)
        fail_msg("%.3f of the link", share);
}

/* A short copy is over before noise has taken more than one of the streams that it began with. */
static void a_short_copy_keeps_its_streams(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct link link = {.useful = 4, .harmful = 16, .swing_percent = 60, .random = seed};
        struct adapt adapt;
        adapt_init(&adapt, 4, WINDOW_NS, 0);
        for (int i = 0; i < 10; i++) {
            pass_window(&link, &adapt);
            assert_in_range(adapt.width, 3, 6);
        }
    }
}

static void streams_that_bring_nothing_go(void **state)
{
    (void)state;
    double sum = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct link link = {.useful = 2, .harmful = 16, .swing_percent = 20, .random = seed};
        struct adapt adapt;
        sum += run(&link, &adapt, 12, 400, 400);
    }
    if (sum / 50 > 8)
        fail_msg("on average %.1f", sum / 50);
}

/* Each stream below 6 costs 2.5 %, less than noise: four steps would cost a tenth. */
static void small_steps_do_not_add_up(void **state)
{
    (void)state;
    struct adapt adapt;
    uint64_t bytes = 0;
    uint64_t sum = 0;
    adapt_init(&adapt, 6, WINDOW_NS, 0);
    for (uint32_t i = 1; i <= 600; i++) {
        bytes += 1000000 * (uint64_t)(adapt.width < 6 ? 1000 - 25 * (6 - adapt.width) : 1000);
        adapt_look(&adapt, bytes, i * WINDOW_NS);
        sum += adapt.width < 6 ? 1000 - 25 * (6 - adapt.width) : 1000;
    }
    if (sum < 600 * 965)
        fail_msg("%.3f of the link", (double)sum / 600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_number_of_streams_follows_the_bandwidth),
        cmocka_unit_test(noise_does_not_take_streams_away),
        cmocka_unit_test(a_short_copy_keeps_its_streams),
        cmocka_unit_test(streams_that_bring_nothing_go),
        cmocka_unit_test(small_steps_do_not_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

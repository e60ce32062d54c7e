/* SPDX-License-Identifier: MIT */
/* A connection's streams at their limits: whoever waits for one gets it. */

#include "test/support/qt.h"

#include "test/support/conn_pair.h"

enum { STREAMS = 100, TAKEN_MAX = 4096 };

struct world {
    struct conn_pair pair;
    void *taken[TAKEN_MAX]; /* streams, so that the connections find none */
    uint32_t taken_count;
};

static void world_end(struct world *world)
{
    while (world->taken_count > 0)
        sb_pool_give(&world->pair.pools.streams, world->taken[--world->taken_count]);
    pair_deinit(&world->pair);
}

QT_FIXTURE(world, world_end)

static void begin(struct world *world)
{
    pair_init(&world->pair);
    world->pair.config.streams_uni_max = STREAMS;
    pair_connect(&world->pair);
}

static uint32_t open_all(struct world *world, uint64_t *ret_ids)
{
    uint32_t count = 0;
    while (sp_conn_open(pair_conn(&world->pair, SP_CLIENT), true, &ret_ids[count]) == SP_DONE)
        count++;
    return count;
}

static void write_byte(struct world *world, uint64_t id, bool fin)
{
    static const uint8_t byte;
    const struct sp_write write = {.data = &byte, .size = 1, .fin = fin};
    assert_int_equal(sp_conn_write(pair_conn(&world->pair, SP_CLIENT), id, &write), SP_DONE);
}

/* 20 of 100 close and 80 stay open for ever: less than a quarter is all there is to give.
 * [RFC9000 4.6] */
static void streams_that_stay_open_do_not_starve_the_others(void **state)
{
    struct world *world = *state;
    uint64_t ids[2 * STREAMS];
    begin(world);
    assert_int_equal(open_all(world, ids), STREAMS);
    for (uint32_t i = 0; i < STREAMS; i++)
        write_byte(world, ids[i], i < 20);
    pair_shuttle(&world->pair);
    assert_int_equal(open_all(world, ids), 20);
    pair_shuttle(&world->pair);
    assert_int_equal(open_all(world, ids), 0);
}

/* The peer does not know of streams on which nothing was sent: STREAMS_BLOCKED tells it. */
static void streams_without_bytes_do_not_starve_the_others(void **state)
{
    struct world *world = *state;
    uint64_t ids[2 * STREAMS];
    begin(world);
    assert_int_equal(open_all(world, ids), STREAMS);
    for (uint32_t i = 0; i < 20; i++)
        write_byte(world, ids[i], true);
    pair_shuttle(&world->pair);
    assert_int_equal(open_all(world, ids), 20);
}

static void a_stream_that_lacks_memory_is_not_refused_by_a_limit(void **state)
{
    struct world *world = *state;
    struct sp_conn *client;
    struct sp_event event;
    uint64_t id;
    begin(world);
    client = pair_conn(&world->pair, SP_CLIENT);
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE); /* the pool has a block */
    world->pair.memory_left = 0;
    while (world->taken_count < TAKEN_MAX &&
           (world->taken[world->taken_count] = sb_pool_take(&world->pair.pools.streams)) != NULL)
        world->taken_count++;
    assert_int_equal(sp_conn_open(client, true, &id), SP_NO_MEMORY);
    assert_int_equal(id, 2);
    pair_shuttle(&world->pair);
    assert_false(sp_conn_next_event(client, &event));
    sb_pool_give(&world->pair.pools.streams, world->taken[--world->taken_count]);
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    assert_int_equal(id, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, streams_that_stay_open_do_not_starve_the_others),
        QT_TEST(world, streams_without_bytes_do_not_starve_the_others),
        QT_TEST(world, a_stream_that_lacks_memory_is_not_refused_by_a_limit),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

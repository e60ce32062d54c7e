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

/* [RFC9000 2.1] */
static void the_id_of_a_stream_is_never_used_again(void **state)
{
    struct world *world = *state;
    uint64_t ids[2 * STREAMS];
    begin(world);
    for (uint64_t i = 0; i < 2 * STREAMS; i++) {
        assert_int_equal(sp_conn_open(pair_conn(&world->pair, SP_CLIENT), true, &ids[i]), SP_DONE);
        assert_int_equal(ids[i], 4 * i + 2);
        write_byte(world, ids[i], true);
        pair_shuttle(&world->pair);
    }
}

/* [RFC9000 3.2] */
static void a_stream_opens_all_of_its_kind_below_it(void **state)
{
    struct world *world = *state;
    begin(world);
    struct sp_conn *server = pair_conn(&world->pair, SP_SERVER);
    pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, (const uint8_t *)"\x08\x16z", 3,
                PAIR_FAULT_NONE); /* a byte on the sixth */
    assert_int_equal(server->limits[true].remote_opened, 6);
    assert_int_equal(server->limits[false].remote_opened, 0);
    pair_pull(&world->pair, SP_SERVER); /* each is made when it is reported */
    for (uint64_t id = 2; id <= 22; id += 4)
        assert_non_null(sp_stream_map_find(&server->streams, id));
    assert_int_equal(server->streams.count, 6);
}

/* [RFC9000 4.1, 4.6] */
static void a_lower_limit_changes_nothing(void **state)
{
    struct world *world = *state;
    uint64_t id;
    begin(world);
    struct sp_conn *client = pair_conn(&world->pair, SP_CLIENT);
    assert_int_equal(sp_conn_open(client, false, &id), SP_DONE);
    struct sp_stream *stream = sp_stream_map_find(&client->streams, id);
    const uint64_t limits[] = {client->max_data, stream->send.max_data,
                               client->limits[false].local_max, client->limits[true].local_max};
    static const uint8_t frames[] = "\x10\x01\x11\x00\x01\x12\x01\x13\x01";
    pair_inject(&world->pair, SP_CLIENT, SP_SPACE_APP, frames, sizeof(frames) - 1, PAIR_FAULT_NONE);
    assert_int_equal(client->state, SP_CONN_OPEN);
    assert_int_equal(client->max_data, limits[0]);
    assert_int_equal(stream->send.max_data, limits[1]);
    assert_int_equal(client->limits[false].local_max, limits[2]);
    assert_int_equal(client->limits[true].local_max, limits[3]);
}

/* [RFC9000 4.4] One direction ends, and the other one still gets credit. */
static void a_direction_keeps_its_credit_after_the_other_has_ended(void **state)
{
    struct world *world = *state;
    static const uint8_t data[10000];
    const struct sp_write write = {.data = data, .size = sizeof(data)};
    const struct sp_write end = {.data = data, .size = 1, .fin = true};
    for (uint32_t is_reset = 0; is_reset < 2; is_reset++) {
        uint64_t id;
        pair_init(&world->pair);
        world->pair.config.stream_window_bytes = world->pair.config.stream_window_bytes_max = 1000;
        pair_connect(&world->pair);
        struct sp_conn *client = pair_conn(&world->pair, SP_CLIENT);
        struct sp_conn *server = pair_conn(&world->pair, SP_SERVER);
        assert_int_equal(sp_conn_open(client, false, &id), SP_DONE);
        assert_int_equal(sp_conn_write(client, id, &end), SP_DONE);
        if (is_reset)
            assert_int_equal(sp_conn_reset(client, id, 7), SP_DONE);
        pair_shuttle(&world->pair);
        assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
        pair_shuttle(&world->pair);
        assert_int_equal(client->stats.stream_bytes_in, sizeof(data));
        assert_true(sp_conn_write(client, id, &write) == SP_GONE);
    }
}

/* [RFC9000 3.5] */
static void a_stop_is_answered_with_a_reset(void **state)
{
    struct world *world = *state;
    uint64_t id;
    begin(world);
    struct sp_conn *client = pair_conn(&world->pair, SP_CLIENT);
    struct sp_conn *server = pair_conn(&world->pair, SP_SERVER);
    assert_int_equal(sp_conn_open(client, true, &id), SP_DONE);
    write_byte(world, id, false);
    pair_shuttle(&world->pair);
    assert_int_equal(sp_conn_stop(server, id, 9), SP_DONE);
    pair_carry(&world->pair, SP_SERVER);
    struct sp_stream *stream = sp_stream_map_find(&client->streams, id);
    assert_int_equal(stream->send.state, SP_SEND_RESET);
    assert_int_equal(stream->send.reset_error, 9);
    pair_carry(&world->pair, SP_CLIENT);
    stream = sp_stream_map_find(&server->streams, id);
    assert_true(stream == NULL || stream->recv.state >= SP_RECV_RESET);
}

/* The client resets its stream `index` at `size`, of which it has sent nothing. */
static void reset_at_size(struct world *world, uint64_t index, uint64_t size)
{
    uint8_t frame[32];
    struct sb_writer w = sb_writer_of(frame, sizeof(frame));
    sp_frame_write_reset_stream(&w, index << 2 | SP_STREAM_IS_UNI, 0, size);
    pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, frame, sb_writer_used(&w), PAIR_FAULT_NONE);
    pair_pull(&world->pair, SP_SERVER);
    size_t size_max;
    (void)pair_flush(&world->pair, SP_SERVER, &size_max);
}

/* With the largest windows that can be configured a few frames use up all that a connection can
 * ever count.  [RFC9000 4.1, 19.9] */
static void the_credit_of_a_connection_ends_where_its_numbers_end(void **state)
{
    struct world *world = *state;
    const uint64_t window = UINT64_C(1) << 60;
    pair_init(&world->pair);
    world->pair.config.stream_window_bytes = world->pair.config.stream_window_bytes_max = window;
    world->pair.config.conn_window_bytes = world->pair.config.conn_window_bytes_max = window;
    pair_connect(&world->pair);
    struct sp_conn *server = pair_conn(&world->pair, SP_SERVER);
    for (uint64_t i = 0; i < 3; i++)
        reset_at_size(world, i, window);
    assert_int_equal(server->window.limit, SB_VARINT_MAX);
    reset_at_size(world, 3, window - 1);
    assert_int_equal(server->window.consumed, SB_VARINT_MAX);
    assert_false(server->wants_max_data);
    assert_int_equal(server->state, SP_CONN_OPEN);
    reset_at_size(world, 4, 1);
    assert_int_equal(server->close.error, SP_ERR_FLOW_CONTROL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, streams_that_stay_open_do_not_starve_the_others),
        QT_TEST(world, streams_without_bytes_do_not_starve_the_others),
        QT_TEST(world, a_stream_that_lacks_memory_is_not_refused_by_a_limit),
        QT_TEST(world, the_id_of_a_stream_is_never_used_again),
        QT_TEST(world, a_stream_opens_all_of_its_kind_below_it),
        QT_TEST(world, a_lower_limit_changes_nothing),
        QT_TEST(world, a_direction_keeps_its_credit_after_the_other_has_ended),
        QT_TEST(world, a_stop_is_answered_with_a_reset),
        QT_TEST(world, the_credit_of_a_connection_ends_where_its_numbers_end),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

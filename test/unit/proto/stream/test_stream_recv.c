/* SPDX-License-Identifier: MIT */
/* The receiving part of a stream: RFC 9000, Sections 3.2, 4.1 and 4.5. */

#include "test/support/qt.h"

#include "proto/stream/stream_recv.h"
#include "test/support/heap.h"
#include "test/support/piece_store.h"

enum { STREAM_WINDOW = 100, CONN_WINDOW = 150 };

static const uint8_t bytes[1000];

struct world {
    struct heap heap;
    struct test_store store;
    struct sp_window conn_window;
    struct sp_stream_recv recv;
    struct sp_recv_effect effect; /* of the last frame */
};

static void free_discarded(struct world *world)
{
    uint32_t steps = UINT32_MAX;
    (void)sp_reassembly_discard_some(&world->store.store, &steps);
    assert_null(world->store.store.discarded);
}

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    free_discarded(world);
    sp_stream_recv_deinit(&world->recv);
    test_store_deinit(&world->store);
    heap_deinit(&world->heap);
}

static void world_init(struct world *world)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    test_store_init(&world->store, 100, &world->heap);
    sp_window_init(&world->conn_window, CONN_WINDOW, CONN_WINDOW);
    sp_stream_recv_init(&world->recv, &world->store.store, STREAM_WINDOW, STREAM_WINDOW);
}

QT_FIXTURE(world, world_deinit)

static enum sp_err data(struct world *world, uint64_t offset, uint64_t size, bool fin)
{
    struct sp_frame_stream frame = {.offset = offset, .data = bytes, .size = size, .fin = fin};
    enum sp_err err =
        sp_stream_recv_data(&world->recv, &frame, NULL, &world->conn_window, &world->effect);
    sp_stream_recv_check(&world->recv);
    return err;
}

static enum sp_err reset(struct world *world, uint64_t final_size)
{
    enum sp_err err =
        sp_stream_recv_reset(&world->recv, 7, final_size, &world->conn_window, &world->effect);
    sp_stream_recv_check(&world->recv);
    return err;
}

/* Takes what can be read; returns its bytes and whether the end came with it. */
static uint64_t read_all(struct world *world, bool *ret_fin)
{
    uint64_t sum = 0;
    struct sp_received received = {.fin = false};
    while (sp_stream_recv_next(&world->recv, false, &received)) {
        sum += received.slice.size;
        sb_buffer_unref(received.slice.buffer);
    }
    *ret_fin = received.fin;
    return sum;
}

struct step {
    enum { DATA, FIN, RESET } kind;
    uint64_t offset, size;
    enum sp_err want;
};

/* A frame that fails charges nothing: both windows are as before. */
static void sizes_and_windows_are_held(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *what;
        struct step steps[3];
    } samples[] = {
        {"[RFC9000 4.1] up to the limit", {{DATA, 0, 100, 0}}},
        {"[RFC9000 4.1] beyond it", {{DATA, 0, 101, SP_ERR_FLOW_CONTROL}}},
        {"[RFC9000 4.1] beyond it by offset", {{DATA, 100, 1, SP_ERR_FLOW_CONTROL}}},
        {"[RFC9000 4.1] nothing, at the limit", {{DATA, 100, 0, 0}}},
        {"[RFC9000 4.1] nothing, beyond it", {{DATA, 101, 0, SP_ERR_FLOW_CONTROL}}},
        {"[RFC9000 4.1] an end beyond it", {{FIN, 101, 0, SP_ERR_FLOW_CONTROL}}},
        {"[RFC9000 4.1] a reset beyond it", {{RESET, 0, 101, SP_ERR_FLOW_CONTROL}}},
        {"[RFC9000 4.1] the largest offset",
         {{DATA, (UINT64_C(1) << 62) - 5, 4, SP_ERR_FLOW_CONTROL}}},
        {"[RFC9000 4.5] data beyond the end", {{FIN, 0, 10, 0}, {DATA, 5, 6, SP_ERR_FINAL_SIZE}}},
        {"[RFC9000 4.5] data up to the end", {{FIN, 5, 5, 0}, {DATA, 0, 10, 0}}},
        {"[RFC9000 4.5] another, larger end", {{FIN, 0, 10, 0}, {FIN, 10, 1, SP_ERR_FINAL_SIZE}}},
        {"[RFC9000 4.5] another, smaller end", {{FIN, 0, 10, 0}, {FIN, 0, 9, SP_ERR_FINAL_SIZE}}},
        {"[RFC9000 4.5] the same end", {{FIN, 0, 10, 0}, {FIN, 4, 6, 0}, {FIN, 10, 0, 0}}},
        {"[RFC9000 4.5] an end below data", {{DATA, 20, 5, 0}, {FIN, 0, 24, SP_ERR_FINAL_SIZE}}},
        {"[RFC9000 4.5] an end at data", {{DATA, 20, 5, 0}, {FIN, 25, 0, 0}}},
        {"[RFC9000 4.5] a reset below data", {{DATA, 20, 5, 0}, {RESET, 0, 24, SP_ERR_FINAL_SIZE}}},
        {"[RFC9000 4.5] a reset at another end",
         {{FIN, 5, 5, 0}, {RESET, 0, 11, SP_ERR_FINAL_SIZE}}},
        {"[RFC9000 4.5] a reset at the end", {{FIN, 5, 5, 0}, {RESET, 0, 10, 0}}},
        {"[RFC9000 4.5] two resets", {{RESET, 0, 10, 0}, {RESET, 0, 11, SP_ERR_FINAL_SIZE}}},
        {"[RFC9000 4.5] the same reset", {{RESET, 0, 10, 0}, {RESET, 0, 10, 0}}},
        {"[RFC9000 4.5] data beyond a reset", {{RESET, 0, 10, 0}, {DATA, 5, 6, SP_ERR_FINAL_SIZE}}},
        {"late data behind a reset", {{RESET, 0, 10, 0}, {DATA, 0, 10, 0}, {FIN, 0, 10, 0}}},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        world_init(world);
        print_message("    %s\n", samples[i].what);
        for (size_t k = 0; k < 3; k++) {
            const struct step *s = &samples[i].steps[k];
            struct sp_window conn = world->conn_window, stream = world->recv.window;
            enum sp_err err = s->kind == RESET ? reset(world, s->size)
                                               : data(world, s->offset, s->size, s->kind == FIN);
            assert_int_equal(err, s->want);
            if (err != SP_OK) {
                assert_memory_equal(&conn, &world->conn_window, sizeof(conn));
                assert_memory_equal(&stream, &world->recv.window, sizeof(stream));
                break;
            }
            if (k < 2 && samples[i].steps[k + 1].offset + samples[i].steps[k + 1].size == 0)
                break;
            /* The connection is charged for the highest offset, once. */
            assert_int_equal(world->conn_window.received, world->recv.window.received);
        }
    }
}

/* [RFC9000 4.1] */
static void the_windows_of_a_connection_and_its_stream_both_bind(void **state)
{
    struct world *world = *state;
    world_init(world);
    assert_true(sp_window_receive(&world->conn_window, CONN_WINDOW - 50)); /* other streams */
    assert_int_equal(data(world, 0, 51, false), SP_ERR_FLOW_CONTROL);
    assert_int_equal(world->recv.window.received, 0);
    assert_int_equal(data(world, 10, 40, false), SP_OK);
    assert_int_equal(data(world, 0, 50, false), SP_OK); /* nothing more is charged */
    assert_int_equal(reset(world, 51), SP_ERR_FLOW_CONTROL);
}

/* [RFC9000 3.2] */
static void the_end_is_told_with_the_last_bytes_or_alone(void **state)
{
    struct world *world = *state;
    world_init(world);
    bool fin;
    assert_int_equal(data(world, 5, 5, false), SP_OK);
    assert_false(world->effect.has_event);
    assert_int_equal(data(world, 0, 5, false), SP_OK);
    assert_true(world->effect.has_event);
    assert_int_equal(read_all(world, &fin), 10);
    assert_false(fin);
    assert_int_equal(data(world, 10, 0, true), SP_OK);
    assert_true(world->effect.has_event);
    assert_int_equal(read_all(world, &fin), 0);
    assert_int_equal(world->recv.state, SP_RECV_DONE);

    world_init(world);
    assert_int_equal(data(world, 5, 5, true), SP_OK);
    assert_int_equal(data(world, 0, 5, false), SP_OK);
    assert_int_equal(world->recv.state, SP_RECV_ARRIVED);
    assert_int_equal(reset(world, 10), SP_OK); /* too late to change anything */
    assert_int_equal(world->recv.state, SP_RECV_ARRIVED);
    assert_int_equal(read_all(world, &fin), 10);
    assert_int_equal(world->recv.state, SP_RECV_DONE);
}

/* [RFC9000 4.5] What was not read counts as used: the connection's window gets it back. */
static void a_reset_gives_back_what_was_not_read(void **state)
{
    struct world *world = *state;
    world_init(world);
    bool fin;
    assert_int_equal(data(world, 0, 10, false), SP_OK);
    assert_int_equal(read_all(world, &fin), 10);
    assert_int_equal(data(world, 20, 10, false), SP_OK);
    assert_int_equal(reset(world, 60), SP_OK);
    assert_int_equal(world->effect.discarded, 50);
    assert_true(world->effect.has_event);
    assert_int_equal(world->recv.state, SP_RECV_RESET);
    assert_int_equal(world->recv.reset_error, 7);
    free_discarded(world);
    assert_int_equal(world->store.store.count, 0);
    assert_int_equal(world->conn_window.received, 60);
    assert_int_equal(reset(world, 60), SP_OK);
    assert_int_equal(world->effect.discarded, 0);
    assert_false(world->effect.has_event);
}

/* [RFC9000 3.5] A stopped stream keeps nothing, but its sizes still count. */
static void a_stopped_stream_discards_and_still_counts(void **state)
{
    struct world *world = *state;
    world_init(world);
    bool fin;
    assert_int_equal(data(world, 10, 10, false), SP_OK);
    assert_int_equal(sp_stream_recv_stop(&world->recv, 9), 20);
    free_discarded(world);
    assert_int_equal(world->store.store.count, 0);
    assert_int_equal(data(world, 20, 30, false), SP_OK);
    assert_int_equal(world->effect.discarded, 30);
    assert_int_equal(world->conn_window.received, 50);
    assert_int_equal(data(world, 100, 1, false), SP_ERR_FLOW_CONTROL);
    assert_int_equal(read_all(world, &fin), 0);
    assert_false(sp_stream_recv_wants_credit(&world->recv));
    assert_int_equal(data(world, 60, 0, true), SP_OK);
    assert_int_equal(world->effect.discarded, 10);
    assert_int_equal(world->recv.state, SP_RECV_DONE); /* nothing that is missing is wanted */
    assert_int_equal(data(world, 60, 1, false), SP_ERR_FINAL_SIZE);

    world_init(world);
    (void)sp_stream_recv_stop(&world->recv, 9);
    assert_int_equal(reset(world, 60), SP_OK);
    assert_int_equal(world->effect.discarded, 60);
    assert_int_equal(world->recv.state, SP_RECV_RESET_DONE); /* nobody is to be told */

    world_init(world);
    assert_int_equal(data(world, 0, 10, true), SP_OK);
    assert_int_equal(sp_stream_recv_stop(&world->recv, 9), 10);
    assert_int_equal(world->recv.state, SP_RECV_DONE);
}

static void a_stream_without_room_for_pieces_asks_to_drop_the_packet(void **state)
{
    struct world *world = *state;
    world_init(world);
    assert_int_equal(data(world, 10, 1, false), SP_OK);
    assert_false(world->effect.is_out_of_memory);
    sp_reassembly_clear(&world->recv.reassembly);
    world->store.store.count_max = 0;
    assert_int_equal(data(world, 10, 1, false), SP_OK);
    assert_true(world->effect.is_out_of_memory);
}

/* A slice of sp_stream_recv_next(), and what sp_stream_recv_more() finds after it. */
static void more_slices_follow_up_to_a_gap_the_room_or_the_end(void **state)
{
    enum { SIZE = SP_PAGE_SIZE + 1 }; /* not copied into pages */
    static const struct {
        uint64_t begins[5]; /* of slices of SIZE bytes, in SIZE; 0 after the first: none */
        bool fin;           /* the last one ends the stream */
        uint32_t room;
        uint32_t count;
        bool is_end;
    } rows[] = {
        {{0}, false, 8, 0, false},
        {{0}, true, 8, 0, false}, /* the first slice has told the end already */
        {{0, 1, 2}, false, 8, 2, false},
        {{0, 1, 2}, true, 8, 2, true},
        {{0, 1, 2}, true, 2, 2, true},
        {{0, 1, 2}, true, 1, 1, false},
        {{0, 1, 2}, true, 0, 0, false},
        {{0, 1, 3}, true, 8, 1, false},
        {{0, 2, 1, 4}, false, 8, 2, false},
        {{0, 2}, true, 8, 0, false},
    };
    struct world *world = *state;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        struct sb_slice more[8];
        struct sp_received first;
        bool fin = true;
        uint32_t last = 0;
        world_init(world);
        sp_window_init(&world->conn_window, 10 * SIZE, 10 * SIZE);
        sp_window_init(&world->recv.window, 10 * SIZE, 10 * SIZE);
        while (last < 4 && rows[i].begins[last + 1] != 0)
            last++;
        for (uint32_t k = 0; k <= last; k++)
            assert_int_equal(data(world, rows[i].begins[k] * SIZE, SIZE, rows[i].fin && k == last),
                             SP_OK);
        assert_true(sp_stream_recv_next(&world->recv, false, &first));
        assert_int_equal(sp_stream_recv_more(&world->recv, more, rows[i].room, &fin),
                         rows[i].count);
        assert_int_equal(fin, rows[i].is_end);
        for (uint32_t k = 0; k < rows[i].count; k++)
            assert_int_equal(more[k].size, SIZE);
        sp_stream_recv_check(&world->recv);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, sizes_and_windows_are_held),
        QT_TEST(world, the_windows_of_a_connection_and_its_stream_both_bind),
        QT_TEST(world, the_end_is_told_with_the_last_bytes_or_alone),
        QT_TEST(world, a_reset_gives_back_what_was_not_read),
        QT_TEST(world, a_stopped_stream_discards_and_still_counts),
        QT_TEST(world, more_slices_follow_up_to_a_gap_the_room_or_the_end),
        QT_TEST(world, a_stream_without_room_for_pieces_asks_to_drop_the_packet),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

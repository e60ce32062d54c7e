/* SPDX-License-Identifier: MIT */
/* The sending part of a stream: RFC 9000, Sections 3.1, 4.1 and 13.3. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/stream/stream_send.h"
#include "test/sim/random.h"
#include "test/support/heap.h"
#include "test/support/send_store.h"

enum { BYTES = 500, PIECES = 2000 };

struct world {
    struct heap heap;
    struct send_store sending;
    struct sp_stream_send send;
    uint8_t bytes[BYTES]; /* what the application lends */
};

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    sp_stream_send_deinit(&world->send);
    send_store_deinit(&world->sending);
    heap_deinit(&world->heap);
}

static void world_init(struct world *world, uint64_t max_data)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    send_store_init(&world->sending, &world->heap);
    sp_stream_send_init(&world->send, &world->sending.chunks, &world->sending.ranges, max_data);
    for (size_t i = 0; i < BYTES; i++)
        world->bytes[i] = (uint8_t)(i * 7);
}

QT_FIXTURE(world, world_deinit)

static uint32_t pop_all(struct world *world, bool want_acked)
{
    uint32_t count = 0;
    for (struct sp_chunk *chunk; (chunk = sp_stream_send_pop_done(&world->send)) != NULL;) {
        assert_int_equal(chunk->is_acked, want_acked);
        sb_store_give(&world->sending.chunks, chunk);
        count++;
    }
    return count;
}

/* Whatever is lost and however late, the peer gets every byte and the end; each lent
 * chunk comes back once. */
static void everything_arrives_whatever_is_lost(void **state)
{
    struct world *world = *state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        world_init(world, 100);
        struct sp_send_piece out[PIECES];
        uint32_t out_count = 0, lent = 0, back = 0;
        uint8_t got[BYTES] = {0};
        bool got_fin = false;
        struct sp_stream_send *send = &world->send;
        while (send->state != SP_SEND_DATA_DONE) {
            if (sp_stream_send_is_open(send) && qs_random_below(&random, 3) == 0) {
                uint64_t left = BYTES - send->queued_end;
                uint64_t size = qs_random_between(&random, 1, 60);
                size = SB_MIN(left, size);
                bool fin = left == 0 || (left == size && seed % 2 == 0);
                const uint8_t *data = world->bytes + send->queued_end;
                assert_true(sp_stream_send_queue(send, data, size, lent++, fin));
            }
            struct sp_send_piece piece;
            uint64_t room = qs_random_between(&random, 1, 50);
            if (out_count < PIECES && sp_stream_send_next(send, room, 1000, &piece)) {
                assert_true(piece.size <= room);
                assert_true(piece.offset + piece.size <= send->max_data);
                assert_true(sp_stream_send_on_sent(send, &piece));
                out[out_count++] = piece;
            }
            send->max_data += qs_random_below(&random, 10);
            if (out_count > 0 && qs_random_below(&random, 2) == 0) {
                uint32_t i = (uint32_t)qs_random_below(&random, out_count);
                piece = out[i];
                out[i] = out[--out_count];
                if (qs_random_below(&random, 3) == 0) {
                    assert_true(sp_stream_send_on_lost(send, piece.offset, piece.size, piece.fin));
                } else {
                    if (piece.size > 0)
                        memcpy(got + piece.offset, piece.data, piece.size);
                    got_fin |= piece.fin;
                    assert_true(sp_stream_send_on_acked(send, piece.offset, piece.size, piece.fin));
                }
            }
            sp_stream_send_check(send);
            back += pop_all(world, true);
        }
        assert_true(got_fin);
        assert_memory_equal(got, world->bytes, BYTES);
        assert_int_equal(back + pop_all(world, true), lent);
    }
}

static bool queue_two(struct world *world, uint64_t tag)
{
    const struct sb_bytes ranges[] = {
        {world->bytes, 10}, {world->bytes, 0}, {world->bytes + 100, 20}, {NULL, 0}};
    return sp_stream_send_queue_all(&world->send, ranges, QT_COUNT(ranges), tag, false);
}

/* The ranges before the last give their memory back as they are acknowledged. */
static void ranges_that_were_queued_together_come_back_together(void **state)
{
    struct world *world = *state;
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        world_init(world, 100);
        struct sp_stream_send *send = &world->send;
        assert_true(queue_two(world, 7));
        assert_int_equal(send->queued_end, 30);
        assert_int_equal(world->sending.chunks.count, 2);
        struct sp_send_piece piece;
        while (sp_stream_send_next(send, 1000, 1000, &piece)) {
            const uint8_t *wanted = piece.offset < 10 ? world->bytes : world->bytes + 100;
            assert_ptr_equal(piece.data, wanted);
            assert_true(sp_stream_send_on_sent(send, &piece));
        }
        assert_true(sp_stream_send_on_acked(send, 0, 15, false));
        sp_stream_send_check(send);
        assert_null(sp_stream_send_pop_done(send));
        assert_int_equal(world->sending.chunks.count, 1);
        if (is_reset != 0)
            assert_true(sp_stream_send_reset(send, 1));
        else
            assert_true(sp_stream_send_on_acked(send, 15, 15, false));
        struct sp_chunk *chunk = sp_stream_send_pop_done(send);
        assert_non_null(chunk);
        assert_int_equal(chunk->tag, 7);
        assert_int_equal(chunk->size + chunk->before_bytes, 30);
        assert_int_equal(chunk->is_acked, !is_reset);
        sb_store_give(&world->sending.chunks, chunk);
        assert_null(sp_stream_send_pop_done(send));
        assert_int_equal(world->sending.chunks.count, 0);
    }
}

static void without_memory_none_of_the_ranges_is_queued(void **state)
{
    struct world *world = *state;
    world_init(world, 100);
    struct sp_stream_send *send = &world->send;
    world->sending.chunk_pool.count_max = 3;
    assert_true(queue_two(world, 1));
    assert_false(queue_two(world, 2));
    assert_int_equal(send->queued_end, 30);
    assert_int_equal(world->sending.chunks.count, 2);
    sp_stream_send_check(send);
}

/* [RFC9000 4.1] */
static void credit_of_stream_and_connection_hold_back_new_bytes(void **state)
{
    struct world *world = *state;
    world_init(world, 30);
    struct sp_stream_send *send = &world->send;
    struct sp_send_piece piece;
    assert_int_equal(sp_stream_send_want(send, 100), SP_WANT_NOTHING);
    assert_true(sp_stream_send_queue(send, world->bytes, 100, 0, false));
    assert_int_equal(sp_stream_send_want(send, 0), SP_WANT_CONN_CREDIT);
    assert_true(sp_stream_send_next(send, 1000, 20, &piece));
    assert_true(piece.size == 20 && piece.fresh == 20);
    assert_true(sp_stream_send_on_sent(send, &piece));
    assert_true(sp_stream_send_next(send, 1000, 100, &piece));
    assert_int_equal(piece.size, 10);
    assert_true(sp_stream_send_on_sent(send, &piece));
    assert_int_equal(sp_stream_send_want(send, 100), SP_WANT_CREDIT);
    assert_true(sp_stream_send_on_lost(send, 0, 20, false));
    assert_true(sp_stream_send_next(send, 1000, 0, &piece)); /* repeats need no credit */
    assert_true(piece.offset == 0 && piece.size == 20 && piece.fresh == 0);
}

/* [RFC9000 3.1, 3.5] */
static void a_reset_gives_back_what_was_lent_once(void **state)
{
    struct world *world = *state;
    world_init(world, 100);
    struct sp_stream_send *send = &world->send;
    struct sp_send_piece piece;
    assert_true(sp_stream_send_queue(send, world->bytes, 50, 1, false));
    assert_true(sp_stream_send_queue(send, world->bytes, 50, 2, true));
    assert_false(sp_stream_send_is_open(send));
    assert_true(sp_stream_send_next(send, 60, 100, &piece));
    assert_true(sp_stream_send_on_sent(send, &piece));
    assert_true(sp_stream_send_reset(send, 9));
    assert_int_equal(send->reset_error, 9);
    assert_int_equal(pop_all(world, false), 2);
    assert_false(sp_stream_send_reset(send, 10)); /* the first reason stays */
    assert_int_equal(send->reset_error, 9);
    assert_int_equal(sp_stream_send_want(send, 100), SP_WANT_NOTHING);
    /* What was in flight may still be settled, either way. */
    assert_true(sp_stream_send_on_lost(send, 0, 50, false));
    assert_true(sp_stream_send_on_acked(send, 0, 50, false));
    assert_int_equal(pop_all(world, false), 0);
}

static void nothing_is_queued_behind_the_end(void **state)
{
    struct world *world = *state;
    world_init(world, 100);
    struct sp_send_piece piece;
    expect_assert_failure((void)!sp_stream_send_queue(&world->send, world->bytes, 0, 0, false));
    assert_true(sp_stream_send_queue(&world->send, NULL, 0, 1, true));
    expect_assert_failure((void)!sp_stream_send_queue(&world->send, world->bytes, 1, 2, false));
    assert_true(sp_stream_send_next(&world->send, 0, 0, &piece)); /* a FIN alone needs no room */
    assert_true(piece.fin && piece.size == 0);
    assert_true(sp_stream_send_on_sent(&world->send, &piece));
    assert_false(sp_stream_send_next(&world->send, 0, 0, &piece));
    assert_true(sp_stream_send_on_acked(&world->send, 0, 0, true));
    assert_int_equal(world->send.state, SP_SEND_DATA_DONE);
    assert_int_equal(pop_all(world, true), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, everything_arrives_whatever_is_lost),
        QT_TEST(world, ranges_that_were_queued_together_come_back_together),
        QT_TEST(world, without_memory_none_of_the_ranges_is_queued),
        QT_TEST(world, credit_of_stream_and_connection_hold_back_new_bytes),
        QT_TEST(world, a_reset_gives_back_what_was_lent_once),
        QT_TEST(world, nothing_is_queued_behind_the_end),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Both parts of a stream that is reset with a reliable size. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/stream/stream_recv.h"
#include "proto/stream/stream_send.h"
#include "test/sim/random.h"
#include "test/support/heap.h"
#include "test/support/piece_store.h"
#include "test/support/send_store.h"

enum { BYTES = 500, PIECES = 3000, WINDOW = 1000, ERROR = 7 };

struct world {
    struct heap heap;
    struct send_store sending;
    struct test_store store;
    struct sp_window conn_window;
    struct sp_stream_send send;
    struct sp_stream_recv recv;
    struct sp_recv_effect effect; /* of the last frame */
    uint8_t bytes[BYTES];         /* what the application lends */
    uint64_t given_back;          /* bytes that were given to the connection's window at once */
    struct qs_random random;
    struct sp_send_piece out[PIECES]; /* in flight */
    uint32_t out_count;
    uint32_t acked_count; /* writes that came back, acknowledged */
    uint32_t back_count;  /* .. in all */
};

static void free_discarded(struct world *world)
{
    uint32_t steps = UINT32_MAX;
    (void)sp_reassembly_discard_some(&world->store.store, &steps);
}

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    free_discarded(world);
    sp_stream_send_deinit(&world->send);
    sp_stream_recv_deinit(&world->recv);
    test_store_deinit(&world->store);
    send_store_deinit(&world->sending);
    heap_deinit(&world->heap);
}

static void world_init(struct world *world, uint64_t seed)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    send_store_init(&world->sending, &world->heap);
    test_store_init(&world->store, 100, &world->heap);
    world->store.store.lent_pool = &world->store.lent;
    sp_window_init(&world->conn_window, WINDOW, WINDOW);
    sp_stream_send_init(&world->send, &world->sending.chunks, &world->sending.ranges, WINDOW);
    sp_stream_recv_init(&world->recv, &world->store.store, WINDOW, WINDOW);
    qs_random_init(&world->random, seed);
    world->given_back = 0;
    world->out_count = world->acked_count = world->back_count = 0;
    for (size_t i = 0; i < BYTES; i++)
        world->bytes[i] = (uint8_t)(i * 7);
}

QT_FIXTURE(world, world_deinit)

static void queue(struct world *world, uint64_t size, uint64_t tag, bool fin)
{
    const uint8_t *data = world->bytes + world->send.queued_end;
    assert_true(sp_stream_send_queue(&world->send, data, size, tag, fin));
}

/* Sends the next piece of at most `room` bytes.  Returns whether there was one. */
static bool send_piece(struct world *world, uint64_t room)
{
    struct sp_send_piece piece;
    if (!sp_stream_send_next(&world->send, room, WINDOW, &piece))
        return false;
    assert_true(sp_stream_send_on_sent(&world->send, &piece));
    sp_stream_send_check(&world->send);
    assert_true(world->out_count < PIECES);
    world->out[world->out_count++] = piece;
    return true;
}

static void pop(struct world *world)
{
    for (struct sp_chunk *chunk; (chunk = sp_stream_send_pop_done(&world->send)) != NULL;) {
        world->acked_count += chunk->is_acked;
        world->back_count++;
        sb_store_give(&world->sending.chunks, chunk);
    }
}

static enum sp_err reset_at(struct world *world, uint64_t error, uint64_t final_size,
                            uint64_t reliable_size)
{
    const struct sp_frame_reset_at frame = {
        .error = error, .final_size = final_size, .reliable_size = reliable_size};
    enum sp_err err =
        sp_stream_recv_reset_at(&world->recv, &frame, &world->conn_window, &world->effect);
    if (err == SP_OK)
        world->given_back += world->effect.discarded;
    sp_stream_recv_check(&world->recv);
    return err;
}

static enum sp_err data(struct world *world, uint64_t offset, uint64_t size, bool fin)
{
    const struct sp_frame_stream frame = {
        .offset = offset, .data = world->bytes + offset, .size = size, .fin = fin};
    enum sp_err err =
        sp_stream_recv_data(&world->recv, &frame, NULL, &world->conn_window, &world->effect);
    if (err == SP_OK)
        world->given_back += world->effect.discarded;
    sp_stream_recv_check(&world->recv);
    return err;
}

/* Takes what can be read, which must be right.  Returns its bytes. */
static uint64_t read_all(struct world *world, uint64_t from)
{
    uint64_t end = from;
    struct sp_received received;
    while (sp_stream_recv_next(&world->recv, false, &received)) {
        assert_int_equal(received.offset, end);
        if (received.slice.size > 0)
            assert_memory_equal(received.slice.data, world->bytes + end, received.slice.size);
        end += received.slice.size;
        world->given_back += sp_stream_recv_cut_bytes(&world->recv);
        sb_buffer_unref(received.slice.buffer);
        sp_stream_recv_check(&world->recv);
    }
    return end - from;
}

/* ---- Sending ---- */

static void bytes_above_the_boundary_come_back_at_once(void **state)
{
    struct world *world = *state;
    static const struct {
        uint64_t reliable, sent;
        uint32_t back; /* of writes of 100 bytes each, at once */
    } samples[] = {{1, 0, 4},   {100, 0, 4},   {101, 0, 3},   {250, 0, 2},
                   {500, 0, 0}, {250, 300, 2}, {500, 500, 0}, {99, 120, 4}};
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        world_init(world, i);
        for (uint64_t tag = 0; tag < 5; tag++)
            queue(world, 100, tag, tag == 4);
        while (world->send.delivery.sent_end < samples[i].sent)
            assert_true(send_piece(world, samples[i].sent - world->send.delivery.sent_end));
        sp_stream_send_cut(&world->send, ERROR, samples[i].reliable);
        sp_stream_send_check(&world->send);
        pop(world);
        assert_int_equal(world->back_count, samples[i].back);
        assert_int_equal(world->acked_count, 0);
        assert_false(sp_stream_send_is_open(&world->send));

        /* What is sent is all below the boundary, and RESET_STREAM_AT is due after that. */
        bool is_out = sp_stream_send_take_cut_out(&world->send);
        assert_int_equal(is_out, samples[i].sent >= samples[i].reliable);
        while (send_piece(world, 30))
            assert_false(world->out[world->out_count - 1].fin);
        uint64_t final_size = SB_MAX(samples[i].sent, samples[i].reliable);
        assert_int_equal(world->send.delivery.sent_end, final_size);
        assert_int_equal(sp_stream_send_take_cut_out(&world->send), !is_out);
        assert_int_equal(world->send.state, SP_SEND_RESET_AT);

        assert_true(sp_stream_send_on_acked(&world->send, 0, samples[i].reliable, false));
        assert_int_equal(world->send.state, SP_SEND_RESET_AT);
        sp_stream_send_on_reset_at_acked(&world->send, samples[i].reliable);
        assert_int_equal(world->send.state, SP_SEND_RESET_DONE);
        pop(world);
        assert_int_equal(world->back_count, 5);
        assert_int_equal(world->acked_count, samples[i].reliable / 100);
        assert_int_equal(world->sending.chunks.count, 0);
    }
}

/* Ranges that come back together keep their tag and their size, wherever they are cut. */
static void a_group_that_is_cut_comes_back_once(void **state)
{
    struct world *world = *state;
    for (uint64_t reliable = 1; reliable <= 60; reliable++) {
        world_init(world, 0);
        struct sp_stream_send *send = &world->send;
        const struct sb_bytes ranges[] = {
            {world->bytes, 10}, {world->bytes + 10, 20}, {world->bytes + 30, 30}};
        assert_true(sp_stream_send_queue_all(send, ranges, QT_COUNT(ranges), 9, true));
        if (reliable % 2 == 0) /* the first range is gone by then */
            assert_true(send_piece(world, 10) && sp_stream_send_on_acked(send, 0, 10, false));
        sp_stream_send_cut(send, ERROR, reliable);
        sp_stream_send_check(send);
        while (send_piece(world, 7))
            continue;
        assert_true(sp_stream_send_take_cut_out(send));
        uint64_t sent_end = send->delivery.sent_end;
        assert_true(sp_stream_send_on_acked(send, 0, sent_end, false));
        struct sp_chunk *chunk = sp_stream_send_pop_done(send);
        assert_non_null(chunk);
        assert_int_equal(chunk->tag, 9);
        assert_int_equal(chunk->size + chunk->before_bytes, 60);
        assert_int_equal(chunk->is_acked, reliable == 60);
        sb_store_give(&world->sending.chunks, chunk);
        assert_null(sp_stream_send_pop_done(send));
        assert_int_equal(world->sending.chunks.count, 0);
    }
}

static void only_the_smallest_size_counts_and_the_first_error(void **state)
{
    struct world *world = *state;
    world_init(world, 0);
    struct sp_stream_send *send = &world->send;
    queue(world, 300, 1, false);
    while (send_piece(world, 100))
        continue;
    expect_assert_failure(sp_stream_send_cut(send, ERROR, 0));
    expect_assert_failure(sp_stream_send_cut(send, ERROR, 301));
    sp_stream_send_cut(send, ERROR, 250);
    assert_true(sp_stream_send_take_cut_out(send));
    expect_assert_failure(sp_stream_send_cut(send, ERROR, 251));
    assert_true(sp_stream_send_on_lost(send, 200, 100, false));
    assert_int_equal(send->delivery.lost.last->end, 250); /* no byte above is sent again */
    sp_stream_send_cut(send, ERROR + 1, 200);
    assert_int_equal(send->reset_error, ERROR);
    assert_true(sp_ranges_is_empty(&send->delivery.lost));
    assert_true(sp_stream_send_on_acked(send, 0, 200, false));
    sp_stream_send_on_reset_at_acked(send, 250); /* that of the first frame */
    assert_int_equal(send->state, SP_SEND_RESET_AT);
    sp_stream_send_on_reset_at_acked(send, 200);
    assert_int_equal(send->state, SP_SEND_RESET_DONE);
    pop(world);

    /* STOP_SENDING makes it a reset, with the error and the final size of before. */
    world_init(world, 0);
    queue(world, 300, 1, false);
    assert_true(send_piece(world, 120));
    sp_stream_send_cut(send, ERROR, 250);
    assert_true(sp_stream_send_reset(send, ERROR + 1));
    assert_int_equal(send->reset_error, ERROR);
    assert_int_equal(send->delivery.sent_end, 120);
    assert_int_equal(send->state, SP_SEND_RESET);
    pop(world);
    assert_int_equal(world->back_count, 1);
}

/* 0-RTT was rejected: all is sent again, as far as it is reliable. */
static void what_is_reliable_is_sent_again_after_a_rejection(void **state)
{
    struct world *world = *state;
    for (uint64_t sent = 0; sent <= 300; sent += 100) {
        world_init(world, 0);
        struct sp_stream_send *send = &world->send;
        queue(world, 300, 1, true);
        if (sent > 0)
            assert_true(send_piece(world, sent));
        sp_stream_send_cut(send, ERROR, 150);
        (void)sp_stream_send_take_cut_out(send);
        sp_stream_send_rewind(send, 120);
        sp_stream_send_check(send);
        assert_int_equal(send->state, SP_SEND_CUT);
        assert_int_equal(sp_stream_send_want(send, WINDOW), SP_WANT_SEND);
        while (send_piece(world, 50))
            continue;
        assert_int_equal(sp_stream_send_want(send, WINDOW), SP_WANT_CREDIT);
        assert_false(sp_stream_send_take_cut_out(send));
        send->max_data = WINDOW;
        assert_true(send_piece(world, 100));
        assert_int_equal(send->delivery.sent_end, 150);
        assert_true(sp_stream_send_take_cut_out(send));
    }
}

/* ---- Receiving ---- */

static void the_first_bytes_are_read_and_then_the_reset(void **state)
{
    struct world *world = *state;
    static const struct {
        uint64_t before, read, reliable; /* received, of that read; then the frame */
        uint64_t discarded;              /* of 400, at once */
        bool is_over;
    } samples[] = {
        {0, 0, 100, 0, false},   {0, 0, 0, 400, true},       {0, 0, 400, 0, false},
        {50, 0, 100, 0, false},  {50, 50, 100, 0, false},    {100, 100, 100, 300, true},
        {200, 0, 100, 0, false}, {200, 200, 100, 200, true}, {200, 0, 0, 400, true},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        world_init(world, i);
        assert_int_equal(data(world, 0, samples[i].before, false), SP_OK);
        uint64_t from = samples[i].read > 0 ? read_all(world, 0) : 0;
        assert_int_equal(from, samples[i].read);
        assert_int_equal(reset_at(world, ERROR, 400, samples[i].reliable), SP_OK);
        assert_int_equal(world->effect.discarded, samples[i].discarded);
        assert_int_equal(world->recv.state, samples[i].is_over ? SP_RECV_RESET : SP_RECV_RESET_AT);
        assert_int_equal(world->conn_window.received, 400);
        assert_false(sp_stream_recv_wants_credit(&world->recv));
        from += read_all(world, from);
        assert_int_equal(data(world, 0, 400, true), SP_OK);
        from += read_all(world, from);
        assert_int_equal(from, SB_MAX(samples[i].reliable, samples[i].read));
        assert_int_equal(from + world->given_back, 400); /* each byte once */
        assert_int_equal(world->recv.state, SP_RECV_RESET);
        assert_int_equal(data(world, 0, 400, false), SP_OK); /* late ones */
        assert_int_equal(read_all(world, from), 0);
        assert_int_equal(world->recv.reset_error, ERROR);
    }
}

static void frames_that_contradict_each_other_are_errors(void **state)
{
    struct world *world = *state;
    world_init(world, 0);
    assert_int_equal(data(world, 0, 50, false), SP_OK);
    assert_int_equal(reset_at(world, ERROR, 49, 20), SP_ERR_FINAL_SIZE);
    assert_int_equal(reset_at(world, ERROR, WINDOW + 1, 20), SP_ERR_FLOW_CONTROL);
    assert_int_equal(reset_at(world, ERROR, 200, 100), SP_OK);
    assert_int_equal(reset_at(world, ERROR, 201, 90), SP_ERR_FINAL_SIZE);
    assert_int_equal(reset_at(world, ERROR + 1, 200, 90), SP_ERR_STREAM_STATE);
    assert_int_equal(data(world, 200, 1, false), SP_ERR_FINAL_SIZE);
    assert_int_equal(data(world, 100, 1, true), SP_ERR_FINAL_SIZE);
    struct sp_recv_effect effect;
    assert_int_equal(
        sp_stream_recv_reset(&world->recv, ERROR + 1, 200, &world->conn_window, &effect),
        SP_ERR_STREAM_STATE);

    /* [reliable-reset 5.2] A larger reliable size is ignored: the frames were reordered. */
    assert_int_equal(reset_at(world, ERROR, 200, 150), SP_OK);
    assert_int_equal(world->recv.reliable_size, 100);
    assert_int_equal(world->effect.discarded, 0);
    assert_int_equal(reset_at(world, ERROR, 200, 80), SP_OK);
    assert_int_equal(world->recv.reliable_size, 80);
    assert_int_equal(world->effect.discarded, 0); /* what waits stays until 80 bytes are read */

    assert_int_equal(sp_stream_recv_reset(&world->recv, ERROR, 200, &world->conn_window, &effect),
                     SP_OK);
    assert_int_equal(effect.discarded, 200);
    assert_int_equal(world->recv.state, SP_RECV_RESET);
    assert_int_equal(reset_at(world, ERROR, 200, 80), SP_OK);
    assert_int_equal(world->recv.state, SP_RECV_RESET);
    assert_int_equal(reset_at(world, ERROR + 1, 200, 80), SP_ERR_STREAM_STATE);
}

/* [reliable-reset 5.2] Also if nothing is waited for any more.  Between two RESET_STREAM frames,
 * without the extension, nobody compares the errors. */
static void another_error_is_found_whatever_came_first(void **state)
{
    struct world *world = *state;
    enum kind { AT, PLAIN, STOP, READ, FIN };
    static const struct {
        enum kind first[3];
        enum kind then;
        enum sp_err want;
    } samples[] = {
        {{AT, STOP}, AT, SP_ERR_STREAM_STATE},
        {{AT, STOP}, PLAIN, SP_ERR_STREAM_STATE},
        {{AT, READ}, AT, SP_ERR_STREAM_STATE},
        {{AT, READ}, PLAIN, SP_ERR_STREAM_STATE},
        {{AT, PLAIN, READ}, AT, SP_ERR_STREAM_STATE},
        {{AT, PLAIN, READ}, PLAIN, SP_ERR_STREAM_STATE},
        {{PLAIN, AT, READ}, PLAIN, SP_ERR_STREAM_STATE},
        {{PLAIN, READ, READ}, AT, SP_ERR_STREAM_STATE},
        {{PLAIN, READ, READ}, PLAIN, SP_OK},
        {{FIN, AT, READ}, AT, SP_ERR_STREAM_STATE},
        {{FIN, READ, AT}, PLAIN, SP_ERR_STREAM_STATE},
        {{FIN, READ, PLAIN}, AT, SP_OK}, /* all bytes were here before either */
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_recv_effect effect;
        print_message("    sample %d\n", (int)i);
        world_init(world, i);
        assert_int_equal(data(world, 0, 50, false), SP_OK);
        for (int step = 0; step < 3; step++) {
            enum kind kind = samples[i].first[step];
            if (kind == PLAIN)
                assert_int_equal(
                    sp_stream_recv_reset(&world->recv, ERROR, 50, &world->conn_window, &effect),
                    SP_OK);
            else if (kind == STOP)
                (void)sp_stream_recv_stop(&world->recv, 1);
            else if (kind == READ)
                (void)read_all(world, 0);
            else
                assert_int_equal(
                    kind == AT ? reset_at(world, ERROR, 50, 20) : data(world, 0, 50, true), SP_OK);
            if (kind == STOP)
                break;
        }
        enum sp_err err =
            samples[i].then == AT
                ? reset_at(world, ERROR + 1, 50, 20)
                : sp_stream_recv_reset(&world->recv, ERROR + 1, 50, &world->conn_window, &effect);
        assert_int_equal(err, samples[i].want);
    }
}

static void who_has_all_or_stopped_the_stream_has_no_reset(void **state)
{
    struct world *world = *state;
    world_init(world, 0);
    assert_int_equal(data(world, 0, 50, true), SP_OK);
    assert_int_equal(reset_at(world, ERROR, 50, 20), SP_OK);
    assert_int_equal(world->recv.state, SP_RECV_ARRIVED);
    assert_int_equal(read_all(world, 0), 50);
    assert_int_equal(world->recv.state, SP_RECV_DONE);

    world_init(world, 0);
    assert_int_equal(data(world, 0, 50, false), SP_OK);
    world->given_back = sp_stream_recv_stop(&world->recv, 1);
    assert_int_equal(reset_at(world, ERROR, 200, 100), SP_OK);
    assert_int_equal(world->recv.state, SP_RECV_RESET_DONE);
    assert_int_equal(world->given_back, 200);

    world_init(world, 0);
    assert_int_equal(reset_at(world, ERROR, 200, 100), SP_OK);
    world->given_back += sp_stream_recv_stop(&world->recv, 1);
    assert_int_equal(world->recv.state, SP_RECV_RESET_DONE);
    assert_int_equal(world->given_back, 200);
}

/* The event that gives lent memory back follows what was reported of it. */
static void lent_memory_comes_back_with_the_bytes_below_the_boundary(void **state)
{
    struct world *world = *state;
    static uint8_t target[BYTES];
    for (uint64_t size = 50; size <= 250; size += 50) {
        world_init(world, 0);
        uint64_t offset;
        assert_true(sp_stream_recv_lend(&world->recv, target, size, 3, &offset));
        assert_int_equal(data(world, 0, 200, false), SP_OK);
        assert_int_equal(reset_at(world, ERROR, 200, 100), SP_OK);
        struct sp_received received = {.is_returned = false};
        uint64_t got = 0;
        while (sp_stream_recv_next(&world->recv, false, &received)) {
            assert_true(received.is_placed);
            assert_int_equal(received.offset, got);
            got += received.slice.size;
            if (received.is_returned && got < 100) /* .. and the next one is lent */
                assert_true(sp_stream_recv_lend(&world->recv, target + got, 50, 4, &offset));
        }
        assert_int_equal(got, 100);
        assert_int_equal(world->recv.state, SP_RECV_RESET);
        assert_memory_equal(target, world->bytes, 100);
        if (!received.is_returned) {
            assert_true(sp_stream_recv_unlend(&world->recv, false, &received));
            assert_int_equal(received.offset + received.slice.size, 100);
            assert_true(received.is_returned);
        }
    }
}

static void a_batch_ends_at_the_boundary(void **state)
{
    struct world *world = *state;
    world_init(world, 0);
    assert_int_equal(data(world, 0, 300, false), SP_OK);
    assert_int_equal(data(world, 300, 100, false), SP_OK);
    assert_int_equal(reset_at(world, ERROR, 400, 350), SP_OK);
    struct sb_slice slices[8];
    bool fin;
    uint64_t got = 0;
    uint32_t count = sp_stream_recv_more(&world->recv, slices, QT_COUNT(slices), &fin);
    for (uint32_t i = 0; i < count; i++) {
        got += slices[i].size;
        sb_buffer_unref(slices[i].buffer);
    }
    assert_int_equal(got, 350);
    assert_false(fin);
    assert_int_equal(world->recv.state, SP_RECV_RESET);
    assert_int_equal(sp_stream_recv_more(&world->recv, slices, QT_COUNT(slices), &fin), 0);
}

/* ---- Both ---- */

/* A RESET_STREAM_AT frame in flight. */
struct flight {
    uint64_t final_size, reliable_size;
};

static void deliver(struct world *world, const struct sp_send_piece *piece)
{
    assert_int_equal(data(world, piece->offset, piece->size, piece->fin), SP_OK);
    assert_true(sp_stream_send_on_acked(&world->send, piece->offset, piece->size, piece->fin));
}

/* Whatever is lost and however late, the reliable bytes arrive, then the reset, and each write
 * comes back once. */
static void everything_reliable_arrives_whatever_is_lost(void **state)
{
    struct world *world = *state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        world_init(world, seed);
        struct qs_random *random = &world->random;
        struct sp_stream_send *send = &world->send;
        struct flight frame = {0};
        bool frame_is_out = false;
        uint64_t read = 0, reliable = UINT64_MAX, tag = 0;
        while (send->state != SP_SEND_RESET_DONE && send->state != SP_SEND_DATA_DONE) {
            if (sp_stream_send_is_open(send) && send->queued_end < BYTES &&
                qs_random_below(random, 2) == 0) {
                uint64_t size = 1 + qs_random_below(random, 90);
                size = SB_MIN(size, BYTES - send->queued_end);
                queue(world, size, tag++, send->queued_end + size == BYTES);
            }
            bool may_cut =
                send->state < SP_SEND_DATA_DONE && SB_MIN(reliable, send->queued_end) > 1;
            if (may_cut && qs_random_below(random, 60) == 0) {
                reliable = qs_random_between(random, 1, SB_MIN(reliable, send->queued_end));
                sp_stream_send_cut(send, ERROR, reliable);
                frame_is_out = false;
            }
            if (send->state == SP_SEND_RESET_AT || sp_stream_send_take_cut_out(send)) {
                frame = (struct flight){send->delivery.sent_end, reliable};
                frame_is_out = true;
            }
            (void)(world->out_count < PIECES &&
                   send_piece(world, qs_random_between(random, 1, 50)));
            if (frame_is_out && qs_random_below(random, 10) == 0) {
                assert_int_equal(reset_at(world, ERROR, frame.final_size, frame.reliable_size),
                                 SP_OK);
                sp_stream_send_on_reset_at_acked(send, frame.reliable_size);
            }
            if (world->out_count > 0 && qs_random_below(random, 2) == 0) {
                uint32_t i = (uint32_t)qs_random_below(random, world->out_count);
                struct sp_send_piece piece = world->out[i];
                world->out[i] = world->out[--world->out_count];
                if (qs_random_below(random, 3) == 0)
                    assert_true(sp_stream_send_on_lost(send, piece.offset, piece.size, piece.fin));
                else
                    deliver(world, &piece);
            }
            sp_stream_send_check(send);
            pop(world);
            if (qs_random_below(random, 4) == 0)
                read += read_all(world, read);
        }
        read += read_all(world, read);
        pop(world);
        assert_int_equal(world->back_count, tag);
        assert_int_equal(world->sending.chunks.count, 0);
        bool is_done = world->recv.state == SP_RECV_DONE;
        assert_true(is_done || world->recv.state == SP_RECV_RESET);
        assert_true(read >= SB_MIN(reliable, (uint64_t)BYTES));
        if (!is_done)
            assert_int_equal(read + world->given_back, world->conn_window.received);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, bytes_above_the_boundary_come_back_at_once),
        QT_TEST(world, a_group_that_is_cut_comes_back_once),
        QT_TEST(world, only_the_smallest_size_counts_and_the_first_error),
        QT_TEST(world, what_is_reliable_is_sent_again_after_a_rejection),
        QT_TEST(world, the_first_bytes_are_read_and_then_the_reset),
        QT_TEST(world, frames_that_contradict_each_other_are_errors),
        QT_TEST(world, another_error_is_found_whatever_came_first),
        QT_TEST(world, who_has_all_or_stopped_the_stream_has_no_reset),
        QT_TEST(world, lent_memory_comes_back_with_the_bytes_below_the_boundary),
        QT_TEST(world, a_batch_ends_at_the_boundary),
        QT_TEST(world, everything_reliable_arrives_whatever_is_lost),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

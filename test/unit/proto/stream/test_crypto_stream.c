/* SPDX-License-Identifier: MIT */
/* The CRYPTO bytes of a level: RFC 9000, Sections 7.5 and 19.6. */

#include "test/support/qt.h"

#include "proto/stream/crypto_stream.h"
#include "proto/wire/limits.h"
#include "test/support/heap.h"
#include "test/support/piece_store.h"

struct world {
    struct heap heap;
    struct sb_pool ranges;
    struct sb_store range_store;
    struct test_store store;
    struct sp_crypto_stream stream;
};

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    sp_crypto_stream_deinit(&world->stream);
    test_store_deinit(&world->store);
    heap_pool_deinit(&world->ranges);
    heap_deinit(&world->heap);
}

static void world_init(struct world *world, uint32_t ahead_max)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    sb_pool_init(&world->ranges, "ranges", sizeof(struct sp_range), 8, 8, &world->heap.memory);
    test_store_init(&world->store, 3, &world->heap);
    world->range_store = (struct sb_store){.pool = &world->ranges};
    sp_crypto_stream_init(&world->stream, &world->store.store, &world->range_store, ahead_max);
}

QT_FIXTURE(world, world_deinit)

static uint8_t bytes[1000];

static enum sp_err receive(struct world *world, uint64_t offset, uint64_t size, bool *ret_no_memory)
{
    struct sp_frame_crypto frame = {.offset = offset, .data = bytes, .size = size};
    return sp_crypto_stream_receive(&world->stream, &frame, NULL, ret_no_memory);
}

/* [RFC9000 7.5] The bound moves with what TLS has taken. */
static void bytes_too_far_ahead_exceed_the_buffer(void **state)
{
    struct world *world = *state;
    world_init(world, SP_CRYPTO_BUFFER_BYTES_MAX);
    bool no_memory = true;
    const uint64_t end = SP_CRYPTO_BUFFER_BYTES_MAX;
    assert_int_equal(receive(world, end - 10, 10, &no_memory), SP_OK);
    assert_false(no_memory);
    assert_int_equal(receive(world, end - 10, 11, &no_memory), SP_ERR_CRYPTO_BUFFER_EXCEEDED);
    assert_int_equal(receive(world, (UINT64_C(1) << 62) - 1, 0, &no_memory),
                     SP_ERR_CRYPTO_BUFFER_EXCEEDED);
    assert_int_equal(receive(world, 0, 20, &no_memory), SP_OK);
    struct sb_slice slice;
    assert_true(sp_reassembly_next(&world->stream.in, &slice));
    sb_buffer_unref(slice.buffer);
    assert_int_equal(receive(world, end + 10, 10, &no_memory), SP_OK);
    assert_false(no_memory);
    assert_int_equal(receive(world, end + 10, 11, &no_memory), SP_ERR_CRYPTO_BUFFER_EXCEEDED);
    assert_int_equal(receive(world, 1000, 1, &no_memory), SP_OK);
    assert_true(no_memory); /* a fourth piece: one is the page that was read */
}

/* [RFC9000 7.5] What may be dropped must come again in order, and is no error. */
static void bytes_that_are_not_kept_so_far_ahead_come_in_order(void **state)
{
    struct world *world = *state;
    world_init(world, SP_CRYPTO_INITIAL_BYTES_MAX);
    bool no_memory = true;
    const uint64_t end = SP_CRYPTO_INITIAL_BYTES_MAX;
    _Static_assert(SP_CRYPTO_INITIAL_BYTES_MAX >= 4096, "[RFC9000 7.5]");
    assert_int_equal(receive(world, end - 10, 10, &no_memory), SP_OK);
    assert_false(no_memory);
    assert_int_equal(receive(world, end - 10, 11, &no_memory), SP_OK);
    assert_true(no_memory);
    assert_int_equal(world->stream.in.received_bytes, 10);
    static uint8_t much[2 * SP_CRYPTO_INITIAL_BYTES_MAX];
    const struct sp_frame_crypto all = {.data = much, .size = sizeof(much)};
    assert_int_equal(sp_crypto_stream_receive(&world->stream, &all, NULL, &no_memory), SP_OK);
    assert_false(no_memory);
    assert_int_equal(world->stream.in.received_bytes, sizeof(much));
}

/* [RFC9000 13.3] */
static void lost_bytes_go_out_before_new_ones(void **state)
{
    struct world *world = *state;
    world_init(world, SP_CRYPTO_BUFFER_BYTES_MAX);
    struct sp_crypto_stream *s = &world->stream;
    uint64_t offset, size;
    assert_false(sp_crypto_stream_wants_send(s));
    assert_false(sp_crypto_stream_next(s, &offset, &size));
    s->out_end = 300;
    assert_true(sp_crypto_stream_wants_send(s));
    assert_true(sp_crypto_stream_next(s, &offset, &size));
    assert_true(offset == 0 && size == 300);
    assert_true(sp_delivery_on_sent(&s->out, 0, 200));
    assert_true(sp_delivery_on_lost(&s->out, 50, 100));
    assert_true(sp_crypto_stream_next(s, &offset, &size));
    assert_true(offset == 50 && size == 100);
    assert_true(sp_delivery_on_sent(&s->out, 50, 100));
    assert_true(sp_crypto_stream_next(s, &offset, &size));
    assert_true(offset == 200 && size == 100);
    assert_true(sp_delivery_on_sent(&s->out, 200, 100));
    assert_false(sp_crypto_stream_wants_send(s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, bytes_too_far_ahead_exceed_the_buffer),
        QT_TEST(world, bytes_that_are_not_kept_so_far_ahead_come_in_order),
        QT_TEST(world, lost_bytes_go_out_before_new_ones),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

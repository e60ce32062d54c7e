/* SPDX-License-Identifier: MIT */
/* Received bytes put in order, against a map of the bytes that are there. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/stream/reassembly.h"
#include "test/sim/random.h"
#include "test/support/heap.h"

enum { BYTES = 400 };

/* A packet whose bytes tell their offset in the stream, in memory of its own. */
struct packet {
    struct sb_buffer buffer;
    struct sb_slice slice;
    struct heap *heap;
    uint8_t data[];
};

static uint32_t packet_count; /* not released yet */

static void release(struct sb_buffer *buffer)
{
    struct packet *packet = SB_CONTAINER_OF(buffer, struct packet, buffer);
    packet_count--;
    heap_give(packet->heap, packet, 0);
}

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 256);
}

static struct packet *packet_create(struct heap *heap, uint64_t offset, size_t size)
{
    struct packet *packet = heap_take(heap, sizeof(*packet) + size);
    assert_non_null(packet);
    packet->buffer = (struct sb_buffer){.ref_count = 1, .release = release};
    packet->heap = heap;
    packet->slice = (struct sb_slice){packet->data, size, &packet->buffer};
    for (size_t i = 0; i < size; i++)
        packet->data[i] = byte_at(offset + i);
    packet_count++;
    return packet;
}

struct world {
    struct heap heap;
    struct sb_pool pool;
    struct sp_piece_store store;
    struct sp_reassembly reassembly;
};

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    sp_reassembly_clear(&world->reassembly);
    heap_pool_deinit(&world->pool);
    heap_deinit(&world->heap); /* asserts that no piece and no packet is left */
    assert_int_equal(world->store.count, 0);
}

static void world_init(struct world *world, uint32_t count_max)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    sb_pool_init(&world->pool, "pieces", sizeof(struct sp_piece), 8, 1000, &world->heap.memory);
    world->store = (struct sp_piece_store){.pool = &world->pool, .count_max = count_max};
    sp_reassembly_init(&world->reassembly, &world->store);
    packet_count = 0;
}

QT_FIXTURE(world, world_deinit)

static bool insert(struct world *world, uint64_t offset, size_t size)
{
    struct packet *packet = packet_create(&world->heap, offset, size);
    bool ok = sp_reassembly_insert(&world->reassembly, offset, &packet->slice);
    sb_buffer_unref(&packet->buffer);
    sp_reassembly_check(&world->reassembly);
    return ok;
}

/* Takes the next slice, looks at each of its bytes and gives it back.  0: a gap. */
static size_t take(struct world *world)
{
    uint64_t at = world->reassembly.read_end;
    struct sb_slice slice;
    bool is_readable = sp_reassembly_is_readable(&world->reassembly);
    assert_int_equal(sp_reassembly_next(&world->reassembly, &slice), is_readable);
    if (!is_readable)
        return 0;
    assert_true(slice.size > 0);
    for (size_t i = 0; i < slice.size; i++)
        assert_int_equal(slice.data[i], byte_at(at + i));
    assert_int_equal(world->reassembly.read_end, at + slice.size);
    sb_buffer_unref(slice.buffer);
    sp_reassembly_check(&world->reassembly);
    return slice.size;
}

static void assert_as_map(const struct sp_reassembly *reassembly, const bool map[BYTES])
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < BYTES; i++)
        count += map[i];
    assert_int_equal(reassembly->received_bytes, count);
    uint64_t end = reassembly->read_end;
    assert_int_equal(sp_reassembly_is_readable(reassembly), end < BYTES && map[end]);
}

/* [RFC9000 2.2] */
static void bytes_come_out_in_order_once_however_they_came_in(void **state)
{
    struct world *world = *state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        world_init(world, 1000);
        bool map[BYTES] = {false};
        for (int step = 0; step < 300; step++) {
            uint64_t offset = qs_random_below(&random, BYTES);
            size_t size = qs_random_below(&random, seed % 2 == 0 ? 5 : 50);
            size = SB_MIN(size, BYTES - offset);
            assert_true(insert(world, offset, size));
            memset(map + offset, true, size);
            assert_as_map(&world->reassembly, map);
            if (qs_random_below(&random, 4) == 0)
                take(world);
        }
        assert_true(insert(world, 0, BYTES)); /* fills every gap */
        while (take(world) > 0)
            continue;
        assert_int_equal(world->reassembly.read_end, BYTES);
        assert_int_equal(world->store.count, 0);
    }
}

/* The first copy of a byte wins: what was not taken over keeps no packet alive. */
static void a_copy_of_known_bytes_takes_no_reference(void **state)
{
    struct world *world = *state;
    world_init(world, 10);
    assert_true(insert(world, 10, 10));
    assert_true(insert(world, 30, 10));
    assert_int_equal(packet_count, 2);
    assert_true(insert(world, 10, 10));
    assert_true(insert(world, 32, 5));
    assert_true(insert(world, 50, 0));
    assert_int_equal(packet_count, 2);
    assert_int_equal(world->store.count, 2);
    assert_true(insert(world, 5, 40)); /* in front, between and behind */
    assert_int_equal(packet_count, 3);
    assert_int_equal(world->store.count, 5);

    assert_int_equal(take(world), 0); /* nothing at 0 yet */
    assert_true(insert(world, 0, 5));
    size_t sum = 0;
    for (size_t size; (size = take(world)) > 0;)
        sum += size;
    assert_int_equal(sum, 45);
    assert_true(insert(world, 0, 45)); /* all of it was read: nothing happens */
    assert_int_equal(packet_count, 0);
}

/* What a peer that sends tiny pieces can cost is bounded, over all streams. */
static void the_bound_of_pieces_refuses_and_damages_nothing(void **state)
{
    struct world *world = *state;
    world_init(world, 3);
    struct sp_reassembly other;
    sp_reassembly_init(&other, &world->store);
    struct packet *packet = packet_create(&world->heap, 100, 10);
    assert_true(sp_reassembly_insert(&other, 100, &packet->slice));
    sb_buffer_unref(&packet->buffer);

    assert_true(insert(world, 2, 1));
    assert_true(insert(world, 4, 1));
    assert_false(insert(world, 6, 1));
    assert_false(insert(world, 0, 2));
    assert_int_equal(world->reassembly.received_bytes, 2);
    sp_reassembly_clear(&other);
    assert_true(insert(world, 0, 2)); /* one was free again */
    assert_int_equal(take(world), 2);
    assert_int_equal(take(world), 1);
    assert_true(insert(world, 0, 10)); /* 3, and 5 to 9 */
    assert_false(insert(world, 20, 1));
}

static void bytes_that_nobody_owns_need_no_giving_back(void **state)
{
    struct world *world = *state;
    world_init(world, 3);
    static const uint8_t data[] = "abc";
    struct sb_slice slice = {.data = data, .size = 3};
    assert_true(sp_reassembly_insert(&world->reassembly, 0, &slice));
    struct sb_slice got;
    assert_true(sp_reassembly_next(&world->reassembly, &got));
    assert_ptr_equal(got.data, data);
    assert_null(got.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, bytes_come_out_in_order_once_however_they_came_in),
        QT_TEST(world, a_copy_of_known_bytes_takes_no_reference),
        QT_TEST(world, the_bound_of_pieces_refuses_and_damages_nothing),
        QT_TEST(world, bytes_that_nobody_owns_need_no_giving_back),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

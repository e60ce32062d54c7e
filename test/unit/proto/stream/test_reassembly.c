/* SPDX-License-Identifier: MIT */
/* Received bytes put in order, against a map of the bytes that are there. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/stream/reassembly.h"
#include "test/sim/random.h"
#include "test/support/heap.h"
#include "test/support/piece_store.h"

enum { BYTES = 3000, COUNT_MAX = 1000 };

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
    struct test_store all;
    struct sp_reassembly reassembly;
};

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    sp_reassembly_clear(&world->reassembly);
    assert_int_equal(world->all.store.count, 0);
    test_store_deinit(&world->all);
    heap_deinit(&world->heap); /* asserts that no piece and no packet is left */
}

static void world_init(struct world *world, uint32_t count_max)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    test_store_init(&world->all, count_max, &world->heap);
    sp_reassembly_init(&world->reassembly, &world->all.store);
    packet_count = 0;
}

QT_FIXTURE(world, world_deinit)

static bool insert_by(struct world *world, uint64_t offset, size_t size,
                      bool (*by)(struct sp_reassembly *reassembly, uint64_t offset,
                                 const struct sb_slice *slice))
{
    struct packet *packet = packet_create(&world->heap, offset, size);
    world->all.store.steps = 0;
    bool ok = by(&world->reassembly, offset, &packet->slice);
    sb_buffer_unref(&packet->buffer);
    sp_reassembly_check(&world->reassembly);
    return ok;
}

static bool insert(struct world *world, uint64_t offset, size_t size)
{
    return insert_by(world, offset, size, sp_reassembly_insert);
}

static bool insert_last(struct world *world, uint64_t offset, size_t size)
{
    return insert_by(world, offset, size, sp_reassembly_insert_last);
}

/* Takes the next slice and looks at each of its bytes.  Returns its size, 0 for a gap. */
static size_t take_slice(struct world *world, struct sb_slice *ret)
{
    uint64_t at = world->reassembly.read_end;
    bool is_readable = sp_reassembly_is_readable(&world->reassembly);
    assert_int_equal(sp_reassembly_next(&world->reassembly, ret), is_readable);
    if (!is_readable)
        return 0;
    assert_true(ret->size > 0);
    for (size_t i = 0; i < ret->size; i++)
        assert_int_equal(ret->data[i], byte_at(at + i));
    assert_int_equal(world->reassembly.read_end, at + ret->size);
    sp_reassembly_check(&world->reassembly);
    return ret->size;
}

/* .. and gives it back. */
static size_t take(struct world *world)
{
    struct sb_slice slice;
    size_t size = take_slice(world, &slice);
    if (size > 0)
        sb_buffer_unref(slice.buffer);
    return size;
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
    static const size_t sizes[] = {5, 50, 300, 900};
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        world_init(world, COUNT_MAX);
        bool map[BYTES] = {false};
        for (int step = 0; step < 300; step++) {
            uint64_t offset = qs_random_below(&random, BYTES);
            size_t size = qs_random_below(&random, sizes[seed % QT_COUNT(sizes)]);
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
        assert_int_equal(packet_count, 0);
    }
}

/* What was not taken over keeps no packet alive. */
static void a_copy_of_known_bytes_takes_no_reference(void **state)
{
    struct world *world = *state;
    world_init(world, 10);
    assert_true(insert(world, 1000, 1000));
    assert_true(insert(world, 3000, 1000));
    assert_int_equal(packet_count, 2);
    assert_true(insert(world, 1000, 1000));
    assert_true(insert(world, 3200, 500));
    assert_true(insert(world, 5000, 0));
    assert_int_equal(packet_count, 2);
    assert_int_equal(world->all.store.count, 2);
    assert_true(insert(world, 500, 4000)); /* in front, between and behind */
    assert_int_equal(packet_count, 3);
    assert_int_equal(world->all.store.count, 5);

    assert_int_equal(take(world), 0); /* nothing at 0 yet */
    assert_true(insert(world, 0, 500));
    size_t sum = 0;
    for (size_t size; (size = take(world)) > 0;)
        sum += size;
    assert_int_equal(sum, 4500);
    assert_true(insert(world, 0, 4500)); /* all of it was read: nothing happens */
    assert_int_equal(packet_count, 0);
}

/* Each of them would pin the buffer that brought it. */
static void short_runs_keep_no_packet_alive(void **state)
{
    struct world *world = *state;
    world_init(world, 10);
    assert_true(insert(world, 0, SP_PAGE_SIZE - 1)); /* in order */
    assert_true(insert(world, 1000, 1));
    assert_int_equal(packet_count, 0);
    assert_true(insert(world, 2000, SP_PAGE_SIZE));
    assert_int_equal(packet_count, 1);
    assert_true(insert(world, 1990, SP_PAGE_SIZE + 20)); /* what is new of it is short */
    assert_int_equal(packet_count, 1);
}

static void bytes_in_order_fill_one_page_after_the_other(void **state)
{
    struct world *world = *state;
    enum { SIZE = 60, COUNT = 100 };
    struct sb_slice held[COUNT];
    world_init(world, 10);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(insert(world, world->reassembly.read_end, SIZE));
        size_t size = take_slice(world, &held[i]);
        if (size < SIZE) { /* the others came into the next page */
            sb_buffer_unref(held[i].buffer);
            assert_int_equal(take_slice(world, &held[i]), SIZE - size);
        }
    }
    uint64_t page_count = world->all.copies.small.used_count;
    assert_in_range(page_count, SIZE * COUNT / SP_PAGE_SIZE, SIZE * COUNT / SP_PAGE_SIZE + 2);
    for (uint32_t i = 0; i < COUNT; i++)
        sb_buffer_unref(held[i].buffer);
    assert_int_equal(world->all.copies.small.used_count, 1);
}

static void a_page_that_nobody_holds_is_used_again(void **state)
{
    struct world *world = *state;
    world_init(world, 10);
    assert_true(insert(world, 0, 64));
    assert_int_equal(take(world), 64);
    for (uint64_t i = 1; i < 1000; i++) {
        assert_true(insert(world, 64 * i, 64));
        assert_int_equal(take(world), 64); /* in one slice, at any offset */
    }
    assert_int_equal(world->all.copies.small.made_count,
                     world->all.copies.small.block_count); /* one block of the pool */
    assert_int_equal(world->all.copies.small.used_count, 1);
    /* Full datagrams after a message need no copy. */
    uint64_t packed_bytes = world->all.store.packed_bytes;
    assert_true(insert(world, 64000, 1200));
    assert_int_equal(take(world), 1200);
    assert_int_equal(world->all.store.packed_bytes, packed_bytes);
    assert_int_equal(world->all.copies.small.used_count, 0);
    /* .. nor directly behind one. */
    assert_true(insert(world, 65200, 64));
    assert_true(insert(world, 65264, 1200));
    assert_int_equal(take(world), 64);
    assert_int_equal(take(world), 1200);
    assert_int_equal(world->all.store.packed_bytes, packed_bytes + 64);
}

static void the_last_bytes_come_as_all_others(void **state)
{
    struct world *world = *state;
    static const size_t sizes[] = {0, 1, 64, SP_PAGE_SIZE - 1, SP_PAGE_SIZE, 1200};
    for (uint32_t i = 0; i < QT_COUNT(sizes); i++) {
        world_init(world, 10);
        assert_true(insert(world, 0, 300));
        assert_int_equal(take(world), 300);
        assert_true(insert_last(world, 300, sizes[i])); /* in order, and nothing waits */
        assert_true(insert_last(world, 300, sizes[i])); /* again */
        assert_int_equal(take(world), sizes[i]);
        assert_int_equal(take(world), 0);
        assert_int_equal(world->all.store.count, 0); /* no page that waits for more */

        world_init(world, 10);
        assert_true(insert_last(world, 100, sizes[i])); /* after a gap */
        assert_true(insert_last(world, 0, 100 + sizes[i]));
        size_t sum = 0;
        for (size_t size; (size = take(world)) > 0;)
            sum += size;
        assert_int_equal(sum, 100 + sizes[i]);
    }
}

/* What a peer that sends tiny pieces can cost is bounded, over all streams. */
static void the_bound_of_pieces_refuses_and_damages_nothing(void **state)
{
    struct world *world = *state;
    world_init(world, 3);
    struct sp_reassembly other;
    sp_reassembly_init(&other, &world->all.store);
    struct packet *packet = packet_create(&world->heap, 1000, 10);
    assert_true(sp_reassembly_insert(&other, 1000, &packet->slice));
    sb_buffer_unref(&packet->buffer);

    assert_true(insert(world, 300, 1));
    assert_true(insert(world, 600, 1));
    assert_false(insert(world, 900, 1));
    assert_false(insert(world, 0, 2));
    assert_int_equal(world->reassembly.received_bytes, 2);
    sp_reassembly_clear(&other);
    assert_true(insert(world, 0, 2)); /* one was free again */
    assert_int_equal(take(world), 2);
    assert_true(insert(world, 0, 302));
    assert_int_equal(world->reassembly.received_bytes, 303);
    assert_false(insert(world, 900, 1));
}

static void bytes_that_nobody_owns_need_no_giving_back(void **state)
{
    struct world *world = *state;
    world_init(world, 3);
    static const uint8_t data[SP_PAGE_SIZE] = "abc";
    struct sb_slice slice = {.data = data, .size = sizeof(data)};
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
        QT_TEST(world, short_runs_keep_no_packet_alive),
        QT_TEST(world, bytes_in_order_fill_one_page_after_the_other),
        QT_TEST(world, a_page_that_nobody_holds_is_used_again),
        QT_TEST(world, the_last_bytes_come_as_all_others),
        QT_TEST(world, the_bound_of_pieces_refuses_and_damages_nothing),
        QT_TEST(world, bytes_that_nobody_owns_need_no_giving_back),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

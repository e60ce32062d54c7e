/* SPDX-License-Identifier: MIT */
/* What became of the bytes of one direction, against a state for each byte. */

#include "test/support/qt.h"

#include "proto/stream/delivery.h"
#include "test/sim/random.h"
#include "test/support/heap.h"

enum { BYTES = 300 };

struct world {
    struct heap heap;
    struct sb_pool pool;
    struct sb_store store;
    struct sp_delivery delivery;
};

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    sp_delivery_clear(&world->delivery);
    heap_pool_deinit(&world->pool);
    heap_deinit(&world->heap);
}

static void world_init(struct world *world, uint32_t count_max)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    sb_pool_init(&world->pool, "ranges", sizeof(struct sp_range), 8, count_max,
                 &world->heap.memory);
    world->store = (struct sb_store){.pool = &world->pool};
    sp_delivery_init(&world->delivery, &world->store);
}

QT_FIXTURE(world, world_deinit)

enum byte { UNSENT, OUT, LOST, ACKED };

static void assert_as_bytes(const struct sp_delivery *delivery, const enum byte bytes[BYTES])
{
    sp_delivery_check(delivery);
    uint64_t acked_end = 0, sent_end = BYTES;
    while (acked_end < BYTES && bytes[acked_end] == ACKED)
        acked_end++;
    while (sent_end > 0 && bytes[sent_end - 1] == UNSENT)
        sent_end--;
    assert_int_equal(delivery->acked_end, acked_end);
    assert_int_equal(delivery->sent_end, sent_end);
    for (uint64_t i = 0; i < BYTES; i++) {
        assert_int_equal(sp_ranges_contain(&delivery->lost, i), bytes[i] == LOST);
        assert_int_equal(sp_ranges_contain(&delivery->acked, i),
                         bytes[i] == ACKED && i >= acked_end);
    }
}

/* The lowest lost range of the bytes is what is to be repeated. */
static void assert_next_lost(const struct sp_delivery *delivery, const enum byte bytes[BYTES])
{
    uint64_t start = 0;
    while (start < BYTES && bytes[start] != LOST)
        start++;
    uint64_t end = start;
    while (end < BYTES && bytes[end] == LOST)
        end++;
    uint64_t offset, size;
    assert_int_equal(sp_delivery_next_lost(delivery, &offset, &size), start < BYTES);
    if (start < BYTES) {
        assert_int_equal(offset, start);
        assert_int_equal(size, end - start);
    }
}

static void step(struct sp_delivery *delivery, enum byte bytes[BYTES], struct qs_random *random)
{
    uint64_t start = qs_random_below(random, delivery->sent_end + 1);
    uint64_t size = qs_random_below(random, 30);
    switch (qs_random_below(random, 4)) {
    case 0: /* new bytes */
        start = delivery->sent_end;
        size = SB_MIN(size, BYTES - start);
        assert_true(sp_delivery_on_sent(delivery, start, size));
        for (uint64_t i = start; i < start + size; i++)
            bytes[i] = OUT;
        break;
    case 1: /* a repeat of what was lost first, or a part of it */
        if (!sp_delivery_next_lost(delivery, &start, &size))
            break;
        size = qs_random_between(random, 1, size);
        assert_true(sp_delivery_on_sent(delivery, start, size));
        for (uint64_t i = start; i < start + size; i++)
            bytes[i] = OUT;
        break;
    case 2:
        size = SB_MIN(size, delivery->sent_end - start);
        assert_true(sp_delivery_on_acked(delivery, start, size));
        for (uint64_t i = start; i < start + size; i++)
            bytes[i] = ACKED;
        break;
    default:
        size = SB_MIN(size, delivery->sent_end - start);
        assert_true(sp_delivery_on_lost(delivery, start, size));
        for (uint64_t i = start; i < start + size; i++)
            bytes[i] = bytes[i] == ACKED ? ACKED : LOST;
        break;
    }
}

static void any_fate_of_frames_matches_a_state_for_each_byte(void **state)
{
    struct world *world = *state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        world_init(world, 1000);
        enum byte bytes[BYTES] = {UNSENT};
        for (int i = 0; i < 300; i++) {
            step(&world->delivery, bytes, &random);
            assert_as_bytes(&world->delivery, bytes);
            assert_next_lost(&world->delivery, bytes);
        }
    }
}

/* [RFC9000 13.3] */
static void what_was_acknowledged_is_never_sent_again(void **state)
{
    struct world *world = *state;
    world_init(world, 100);
    struct sp_delivery *d = &world->delivery;
    assert_true(sp_delivery_on_sent(d, 0, 100));
    assert_true(sp_delivery_on_acked(d, 40, 20));
    assert_true(sp_delivery_on_lost(d, 0, 100));

    uint64_t offset, size;
    assert_true(sp_delivery_next_lost(d, &offset, &size));
    assert_int_equal(offset, 0);
    assert_int_equal(size, 40);
    assert_true(sp_delivery_on_acked(d, 0, 100)); /* they had only been late */
    assert_false(sp_delivery_next_lost(d, &offset, &size));
    assert_int_equal(d->acked_end, 100);
    assert_int_equal(world->pool.used_count, 0);
}

static void a_delivery_without_memory_says_so(void **state)
{
    struct world *world = *state;
    world_init(world, 1);
    struct sp_delivery *d = &world->delivery;
    assert_true(sp_delivery_on_sent(d, 0, 100));
    assert_true(sp_delivery_on_acked(d, 10, 10));
    assert_false(sp_delivery_on_acked(d, 30, 10));
    assert_false(sp_delivery_on_lost(d, 50, 10));
    sp_delivery_check(d);
    assert_true(sp_delivery_on_acked(d, 0, 10)); /* gives the range back */
    assert_int_equal(d->acked_end, 20);
    assert_true(sp_delivery_on_lost(d, 50, 10));
    assert_false(sp_delivery_on_sent(d, 53, 2)); /* would split it */
    assert_false(sp_delivery_on_acked(d, 53, 2));
    sp_delivery_check(d);
}

static void bytes_that_were_never_sent_have_no_fate(void **state)
{
    struct world *world = *state;
    world_init(world, 1);
    assert_true(sp_delivery_on_sent(&world->delivery, 0, 10));
    expect_assert_failure((void)!sp_delivery_on_sent(&world->delivery, 11, 1));
    expect_assert_failure((void)!sp_delivery_on_acked(&world->delivery, 5, 6));
    expect_assert_failure((void)!sp_delivery_on_lost(&world->delivery, 5, 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, any_fate_of_frames_matches_a_state_for_each_byte),
        QT_TEST(world, what_was_acknowledged_is_never_sent_again),
        QT_TEST(world, a_delivery_without_memory_says_so),
        QT_TEST(world, bytes_that_were_never_sent_have_no_fate),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Pools: objects of one size out of blocks that somebody else gives. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/pool.h"
#include "test/support/heap.h"

/* Memory that gives at most `blocks_max` blocks at a time, and the pool that takes them. */
struct budget {
    struct sb_memory memory;
    struct heap heap;
    uint64_t blocks_max;
    size_t bytes;
    struct sb_pool pool;
};

static void *budget_take(void *context, size_t size)
{
    struct budget *budget = context;
    if (budget->heap.block_count == budget->blocks_max)
        return NULL;
    void *block = heap_take(&budget->heap, size);
    if (block != NULL)
        budget->bytes += size;
    return block;
}

static void budget_give(void *context, void *block, size_t size)
{
    struct budget *budget = context;
    assert_true(budget->bytes >= size);
    budget->bytes -= size;
    heap_give(&budget->heap, block, size);
}

static void budget_init(struct budget *budget, uint64_t blocks_max)
{
    heap_init(&budget->heap);
    budget->blocks_max = blocks_max;
    budget->memory =
        (struct sb_memory){.take = budget_take, .give = budget_give, .context = budget};
}

static void budget_deinit(struct budget *budget)
{
    heap_pool_deinit(&budget->pool);
    heap_deinit(&budget->heap);
}

QT_FIXTURE(budget, budget_deinit)

static void nothing_is_allocated_before_the_first_object(void **state)
{
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 1);
    sb_pool_init(pool, "test", 24, 4, 8, &budget->memory);
    sb_pool_check(pool);
    assert_int_equal(budget->heap.block_count, 0);
}

static void what_is_reserved_is_taken_without_a_block(void **state)
{
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 100);
    sb_pool_init(pool, "test", 24, 4, 10, &budget->memory);

    assert_true(sb_pool_reserve(pool, 5));
    assert_int_equal(budget->heap.block_count, 2);
    assert_true(sb_pool_reserve(pool, 8)); /* they are there */
    assert_int_equal(budget->heap.block_count, 2);
    void *objects[8];
    for (uint32_t i = 0; i < QT_COUNT(objects); i++)
        objects[i] = sb_pool_take(pool);
    assert_int_equal(budget->heap.block_count, 2);

    assert_false(sb_pool_reserve(pool, 3)); /* the limit is 10 */
    assert_true(sb_pool_reserve(pool, 2));
    budget->blocks_max = budget->heap.block_count;
    assert_true(sb_pool_reserve(pool, 0));
    for (uint32_t i = 0; i < QT_COUNT(objects); i++)
        sb_pool_give(pool, objects[i]);
    sb_pool_check(pool);
    sb_pool_deinit(pool);

    sb_pool_init(pool, "test", 24, 4, 10, &budget->memory);
    budget->blocks_max = 1;
    assert_false(sb_pool_reserve(pool, 5)); /* no memory for the second block */
    assert_int_equal(pool->made_count, 4);
}

/* The last block is smaller where the limit is not a multiple of a block. */
static void a_pool_grows_by_blocks_up_to_its_limit(void **state)
{
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 100);
    sb_pool_init(pool, "test", 24, 4, 10, &budget->memory);

    void *objects[10];
    for (uint32_t i = 0; i < 10; i++) {
        objects[i] = sb_pool_take(pool);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % 16, 0);
        memset(objects[i], (int)i, 24);
        assert_int_equal(pool->used_count, i + 1);
        assert_int_equal(budget->heap.block_count, i / 4 + 1);
        sb_pool_check(pool);
    }
    assert_null(sb_pool_take(pool));
    assert_int_equal(pool->made_count, 10);

    for (uint32_t i = 0; i < 10; i++) {
        uint8_t want[24];
        memset(want, (int)i, sizeof(want));
        assert_memory_equal(objects[i], want, sizeof(want)); /* none overlaps another */
        sb_pool_give(pool, objects[i]);
        sb_pool_check(pool);
    }
    assert_int_equal(pool->used_count, 0);
    assert_int_equal(budget->heap.block_count, 3); /* kept until they are asked for */
    sb_pool_release(pool);
    assert_int_equal(budget->heap.block_count, 0);
    assert_int_equal(pool->made_count, 0);
    sb_pool_check(pool);
    sb_pool_deinit(pool);
    assert_int_equal(budget->heap.block_count, 0);
    assert_int_equal(budget->bytes, 0);
}

static void a_pool_without_memory_says_so_and_recovers(void **state)
{
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 0);
    sb_pool_init(pool, "test", 64, 2, 100, &budget->memory);
    assert_null(sb_pool_take(pool));
    sb_pool_check(pool);

    budget->blocks_max = 1;
    void *a = sb_pool_take(pool);
    void *b = sb_pool_take(pool);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(sb_pool_take(pool));
    sb_pool_give(pool, a);
    assert_ptr_equal(sb_pool_take(pool), a);

    sb_pool_give(pool, a);
    sb_pool_give(pool, b);
    sb_pool_give(pool, NULL); /* accepted */
    sb_pool_check(pool);
}

/* Takes and gives in an order of its own for a while: the equations hold all the time, and
 * no object is handed out twice. */
static void any_order_of_takes_and_gives_is_fine(void **state)
{
    enum { LIMIT = 37 };
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 100);
    sb_pool_init(pool, "test", sizeof(uint64_t), 5, LIMIT, &budget->memory);
    uint64_t *held[LIMIT];
    uint32_t count = 0;
    uint32_t seed = 1;
    for (uint32_t step = 0; step < 5000; step++) {
        seed = seed * 1664525 + 1013904223;
        if ((seed >> 16) % 2 == 0) {
            uint64_t *object = sb_pool_take(pool);
            assert_int_equal(object == NULL, count == LIMIT);
            if (object == NULL)
                continue;
            *object = (uintptr_t)object;
            held[count++] = object;
        } else if (count > 0) {
            uint32_t index = (seed >> 20) % count;
            assert_int_equal(*held[index], (uintptr_t)held[index]);
            sb_pool_give(pool, held[index]);
            held[index] = held[--count];
        }
        assert_int_equal(pool->used_count, count);
        sb_pool_check(pool);
        if (seed % 61 == 0)
            sb_pool_trim(pool);
        if (seed % 127 == 0)
            sb_pool_release(pool);
        sb_pool_check(pool);
    }
    while (count > 0)
        sb_pool_give(pool, held[--count]);
    sb_pool_deinit(pool);
    assert_int_equal(budget->bytes, 0);
}

static void blocks_that_are_empty_go_back_when_they_are_asked_for(void **state)
{
    enum { COUNT = 40, PER_BLOCK = 4 };
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 100);
    sb_pool_init(pool, "test", 24, PER_BLOCK, 1000, &budget->memory);
    void *objects[COUNT];
    for (uint32_t i = 0; i < COUNT; i++)
        objects[i] = sb_pool_take(pool);
    assert_int_equal(budget->heap.block_count, COUNT / PER_BLOCK);
    for (uint32_t i = 1; i < COUNT; i++)
        sb_pool_give(pool, objects[i]);
    sb_pool_release(pool);
    sb_pool_check(pool);
    assert_int_equal(budget->heap.block_count, 1); /* of objects[0] */
    sb_pool_give(pool, objects[0]);
    assert_int_equal(budget->heap.block_count, 1);
    sb_pool_release(pool);
    assert_int_equal(budget->heap.block_count, 0);
    sb_pool_release(pool); /* and once more is harmless */
    sb_pool_trim(pool);
    sb_pool_check(pool);
}

/* A load that rises and falls to half as much again takes no block; after a peak the blocks go. */
static void a_trim_keeps_what_the_load_needs_and_half_as_much_again(void **state)
{
    enum { PEAK = 400, LOAD = 40, MORE = 60, PER_BLOCK = 4, KEPT = MORE / PER_BLOCK + 1 };
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 1000);
    sb_pool_init(pool, "test", 24, PER_BLOCK, 1000, &budget->memory);
    void *objects[PEAK];
    for (uint32_t i = 0; i < PEAK; i++)
        objects[i] = sb_pool_take(pool);
    for (uint32_t i = LOAD; i < PEAK; i++)
        sb_pool_give(pool, objects[i]);
    sb_pool_trim(pool); /* the peak was since the last one */
    assert_int_equal(budget->heap.block_count, PEAK / PER_BLOCK);
    sb_pool_trim(pool);
    sb_pool_check(pool);
    assert_int_equal(budget->heap.block_count, KEPT);

    budget->blocks_max = KEPT;
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = LOAD; i < MORE; i++) {
            objects[i] = sb_pool_take(pool);
            assert_non_null(objects[i]);
        }
        for (uint32_t i = LOAD; i < MORE; i++)
            sb_pool_give(pool, objects[i]);
        sb_pool_trim(pool);
        assert_int_equal(budget->heap.block_count, KEPT);
    }
    for (uint32_t i = 0; i < LOAD; i++)
        sb_pool_give(pool, objects[i]);
    for (uint32_t i = 0; i < 10; i++)
        sb_pool_trim(pool);
    assert_int_equal(budget->heap.block_count, 2); /* one open, one to go on with */
}

static bool has_no_room(void *context, size_t size)
{
    const struct budget *budget = context;
    return budget->bytes + size <= SB_BLOCK_SIZE_MIN;
}

static void what_is_ordinary_does_not_grow_into_the_reserve(void **state)
{
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 100);
    budget->memory.has_room = has_no_room;
    sb_pool_init(pool, "test", 24, 2, 1000, &budget->memory);
    void *a = sb_pool_take_ordinary(pool);
    void *b = sb_pool_take_ordinary(pool);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(sb_pool_take_ordinary(pool));
    void *c = sb_pool_take(pool);
    void *d = sb_pool_take_ordinary(pool); /* of the block that is there */
    assert_non_null(c);
    assert_non_null(d);
    sb_pool_give(pool, a);
    sb_pool_give(pool, b);
    sb_pool_give(pool, c);
    sb_pool_give(pool, d);
}

static void large_objects_waste_little_of_their_blocks(void **state)
{
    struct budget *budget = *state;
    budget_init(budget, 100);
    for (uint32_t size = 16; size <= 9000; size += 16) {
        struct sb_pool *pool = &budget->pool;
        sb_pool_init(pool, "test", size, UINT32_MAX, 1000, &budget->memory);
        assert_true(pool->block_size >= SB_BLOCK_SIZE_MIN && pool->block_size <= SB_BLOCK_SIZE_MAX);
        assert_true(size * pool->block_count + 64 <= pool->block_size);
        uint32_t wasted = pool->block_size - size * pool->block_count;
        assert_true(wasted <= pool->block_size / 16 + 64 || pool->block_size == SB_BLOCK_SIZE_MAX);
        sb_pool_deinit(pool);
    }
}

/* A block of many pages of which few objects are needed takes few pages. */
static void objects_are_not_touched_before_they_are_near(void **state)
{
    enum { SIZE = 1000, COUNT = 16, PAGE = 4096 };
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    void *objects[COUNT];
    budget_init(budget, 1);
    sb_pool_init(pool, "test", SIZE, COUNT, COUNT, &budget->memory);
    assert_true(sb_pool_reserve(pool, COUNT));
    for (uint32_t i = 0; i < COUNT; i++) {
        objects[i] = sb_pool_take(pool);
        assert_non_null(objects[i]);
        const struct sb_pool_block *block =
            (const void *)((uintptr_t)objects[i] & pool->block_mask);
        assert_ptr_equal(objects[i], (const char *)block + 64 + i * (uintptr_t)pool->object_size);
        assert_true((block->linked_count - i) * pool->object_size <= PAGE + SIZE);
        sb_pool_check(pool);
    }
    assert_null(sb_pool_take(pool));
    for (uint32_t i = 0; i < COUNT; i++)
        sb_pool_give(pool, objects[i]);
    sb_pool_check(pool);
    sb_pool_deinit(pool);
}

/* An inlined one would have its variables beside a setjmp(). */
static SB_NEVER_INLINE void *take_out_of_line(struct sb_pool *pool)
{
    return sb_pool_take(pool);
}

static void misuse_is_our_bug(void **state)
{
    struct budget *budget = *state;
    struct sb_pool *pool = &budget->pool;
    budget_init(budget, 1);
    expect_assert_failure(sb_pool_init(pool, "test", 4, 1, 1, &budget->memory));
    expect_assert_failure(sb_pool_init(pool, "test", 16, 0, 1, &budget->memory));
    expect_assert_failure(sb_pool_init(pool, "test", 16, 1, 1, NULL));

    sb_pool_init(pool, "test", 16, 1, 1, &budget->memory);
    static _Alignas(SB_BLOCK_SIZE_MIN) char foreign[SB_BLOCK_SIZE_MIN];
    expect_assert_failure(sb_pool_give(pool, foreign + SB_CACHE_LINE)); /* nothing is out */
    void *object = take_out_of_line(pool);
    expect_assert_failure(sb_pool_deinit(pool)); /* one is still out */
    sb_pool_give(pool, object);
    sb_pool_deinit(pool);
    sb_pool_deinit(pool); /* and once more is harmless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(budget, nothing_is_allocated_before_the_first_object),
        QT_TEST(budget, what_is_reserved_is_taken_without_a_block),
        QT_TEST(budget, a_pool_grows_by_blocks_up_to_its_limit),
        QT_TEST(budget, a_pool_without_memory_says_so_and_recovers),
        QT_TEST(budget, any_order_of_takes_and_gives_is_fine),
        QT_TEST(budget, blocks_that_are_empty_go_back_when_they_are_asked_for),
        QT_TEST(budget, a_trim_keeps_what_the_load_needs_and_half_as_much_again),
        QT_TEST(budget, what_is_ordinary_does_not_grow_into_the_reserve),
        QT_TEST(budget, objects_are_not_touched_before_they_are_near),
        QT_TEST(budget, large_objects_waste_little_of_their_blocks),
        QT_TEST(budget, misuse_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
    budget->memory = (struct sb_memory){budget_take, budget_give, budget};
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
    assert_int_equal(budget->heap.block_count, 3); /* kept until the end */
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
    }
    while (count > 0)
        sb_pool_give(pool, held[--count]);
    sb_pool_deinit(pool);
    assert_int_equal(budget->bytes, 0);
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
    uint64_t stranger[2];
    expect_assert_failure(sb_pool_give(pool, stranger)); /* nothing is out */
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
        QT_TEST(budget, misuse_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

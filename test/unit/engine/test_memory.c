/* SPDX-License-Identifier: MIT */
/* A shard's budget: its limit, its reserve, and that the pages of blocks go back to the kernel. */

#include "test/support/qt.h"

#include <string.h>
#include <sys/mman.h>

#include "engine/base/memory.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)

enum { BLOCKS_MAX = 200 };

struct counted {
    struct se_memory memory;
    void *blocks[BLOCKS_MAX]; /* what is out, or NULL */
    size_t sizes[BLOCKS_MAX];
    struct sb_pool pool;
};

static void *counted_take(struct counted *c, uint32_t at, size_t size)
{
    c->blocks[at] = c->memory.interface.take(c->memory.interface.context, size);
    c->sizes[at] = size;
    return c->blocks[at];
}

static void counted_give(struct counted *c, uint32_t at)
{
    if (c->blocks[at] != NULL)
        c->memory.interface.give(c->memory.interface.context, c->blocks[at], c->sizes[at]);
    c->blocks[at] = NULL;
}

static void counted_deinit(struct counted *c)
{
    if (c->memory.limit_bytes == 0)
        return;
    for (uint32_t i = 0; i < BLOCKS_MAX; i++)
        counted_give(c, i);
    sb_pool_abandon(&c->pool);
    se_memory_deinit(&c->memory);
}

QT_FIXTURE(counted, counted_deinit)

static void memory_is_counted_up_to_its_limit(void **state)
{
    struct counted *c = *state;
    struct se_memory *m = &c->memory;
    se_memory_init(m, 10000);
    assert_non_null(counted_take(c, 0, 6000));
    assert_int_equal((uintptr_t)c->blocks[0] % SB_CACHE_LINE, 0);
    uint64_t left = m->limit_bytes - m->now_bytes;
    assert_true(left < 4000 && left > 3800); /* the heap's own part counts */
    assert_null(counted_take(c, 1, left));
    assert_false(se_memory_charge(m, left + 1));
    assert_true(se_memory_charge(m, left));
    assert_int_equal(m->now_bytes, 10000);
    se_memory_refund(m, left);
    counted_give(c, 0);
    assert_int_equal(m->now_bytes, 0);
    assert_int_equal(m->peak_bytes, 10000);
    assert_false(se_memory_charge(m, UINT64_MAX));
}

static void the_reserve_is_for_what_ends_a_shortage(void **state)
{
    static const struct {
        uint64_t limit;
        uint64_t reserve;
    } cases[] = {
        {MIB, 256 * KIB},
        {4 * MIB, 256 * KIB},
        {64 * MIB, 4 * MIB},
        {1024 * MIB, 64 * MIB},
    };
    struct counted *c = *state;
    struct se_memory *m = &c->memory;
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        uint64_t limit = cases[i].limit;
        uint64_t reserve = cases[i].reserve;
        se_memory_init(m, limit);
        assert_int_equal(se_memory_bound(m, SE_NEED_ORDINARY), limit - reserve);
        assert_int_equal(se_memory_bound(m, SE_NEED_CONN), limit - reserve / 4);
        assert_int_equal(se_memory_bound(m, SE_NEED_ESSENTIAL), limit);

        assert_true(se_memory_charge(m, limit - reserve));
        assert_false(m->interface.has_room(m->interface.context, 1));
        assert_true(se_memory_has_room(m, reserve / 4 * 3, SE_NEED_CONN));
        assert_false(se_memory_has_room(m, reserve / 4 * 3 + 1, SE_NEED_CONN));
        assert_int_equal(m->refusals, 1); /* newcomers do not count */
        assert_true(se_memory_charge(m, reserve));
        assert_false(se_memory_has_room(m, 0, SE_NEED_ORDINARY)); /* beyond its bound already */
        assert_false(se_memory_charge(m, 1));
        assert_int_equal(m->refusals, 3);
        se_memory_refund(m, limit);
        se_memory_deinit(m);
    }
}

static void what_is_not_used_goes_back_before_a_request_is_refused(void **state)
{
    struct counted *c = *state;
    struct se_memory *m = &c->memory;
    se_memory_init(m, 4 * SB_BLOCK_SIZE_MIN);
    sb_pool_init(&c->pool, "test", 1024, UINT32_MAX, 1000, &m->interface);
    sb_pool_give(&c->pool, sb_pool_take(&c->pool));
    for (uint32_t i = 0; i < 3; i++)
        assert_non_null(counted_take(c, i, SB_BLOCK_SIZE_MIN));
    assert_int_equal(c->pool.made_count, c->pool.block_count);
    assert_non_null(counted_take(c, 3, SB_BLOCK_SIZE_MIN));
    assert_int_equal(c->pool.made_count, 0);
    assert_int_equal(m->refusals, 0);
    assert_null(counted_take(c, 4, SB_BLOCK_SIZE_MIN));
    assert_int_equal(m->refusals, 1);
}

static uint32_t resident_pages(void *at, size_t size)
{
    unsigned char pages[SB_BLOCK_SIZE_MAX / 4096];
    uint32_t count = 0;
    assert_int_equal(mincore(at, size, pages), 0);
    for (size_t i = 0; i < size / 4096; i++)
        count += pages[i] & 1;
    return count;
}

/* Blocks of all sizes side by side: aligned, apart, and gone from the process when given back. */
static void blocks_come_from_the_kernel_and_go_back_to_it(void **state)
{
    struct counted *c = *state;
    struct se_memory *m = &c->memory;
    se_memory_init(m, 64 * MIB);
    for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
        size_t size = SB_BLOCK_SIZE_MIN << i % 3;
        assert_non_null(counted_take(c, i, size));
        assert_int_equal((uintptr_t)c->blocks[i] % size, 0);
        memset(c->blocks[i], (int)i, size);
    }
    for (uint32_t i = 0; i < BLOCKS_MAX; i++) {
        const uint8_t *bytes = c->blocks[i];
        for (size_t at = 0; at < c->sizes[i]; at += 512)
            assert_int_equal(bytes[at], (uint8_t)i);
    }
    uint32_t region_count = m->blocks.region_count;
    assert_true(region_count * MIB < m->now_bytes + 2 * MIB);

    void *given = c->blocks[1];
    counted_give(c, 1);
    assert_int_equal(resident_pages(given, c->sizes[1]), 0);
    assert_non_null(counted_take(c, 1, c->sizes[1]));
    for (uint32_t i = 0; i < BLOCKS_MAX; i++)
        counted_give(c, BLOCKS_MAX - 1 - i);
    assert_int_equal(m->now_bytes, 0);
    assert_int_equal(m->blocks.region_count, 1); /* kept for the next */
    assert_non_null(counted_take(c, 0, SB_BLOCK_SIZE_MAX));
}

static void large_sizes_are_powers_of_two(void **state)
{
    (void)state;
    for (size_t size = 1; size <= SE_LARGE_SIZE_MAX; size += size / 7 + 1) {
        size_t rounded = se_large_size_for(size);
        assert_true(rounded >= size && rounded >= SE_LARGE_SIZE_MIN);
        assert_true(rounded == SE_LARGE_SIZE_MIN || rounded / 2 < size);
        assert_int_equal(rounded & (rounded - 1), 0);
        assert_int_equal(se_large_size_for(rounded), rounded);
        assert_int_equal(se_large_size_within(rounded), rounded);
        if (rounded < SE_LARGE_SIZE_MAX)
            assert_int_equal(se_large_size_within(2 * rounded - 1), rounded);
    }
    assert_int_equal(se_large_size_within(SIZE_MAX), SE_LARGE_SIZE_MAX);
}

/* A use that goes up and down allocates nothing; what is not needed for a while is freed. */
static void large_pieces_wait_for_their_next_use(void **state)
{
    struct counted *c = *state;
    struct se_memory *m = &c->memory;
    enum { COUNT = 8, NEEDED = 3 };
    void *pieces[COUNT];
    se_memory_init(m, 16 * MIB);
    for (uint32_t i = 0; i < COUNT; i++) {
        pieces[i] = se_memory_take_large(m, MIB);
        assert_non_null(pieces[i]);
        memset(pieces[i], (int)i, MIB);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        se_memory_give_large(m, pieces[i], MIB);
    assert_int_equal(m->allocations, COUNT);
    assert_int_equal(m->now_bytes, COUNT * MIB);
    assert_int_equal(m->interface.empty_bytes, COUNT * MIB);

    assert_true(se_memory_trim(m)); /* all were needed until now */
    assert_int_equal(m->now_bytes, COUNT * MIB);
    for (uint32_t i = 0; i < NEEDED; i++)
        assert_ptr_equal(pieces[i] = se_memory_take_large(m, MIB), pieces[COUNT - 1 - i]);
    assert_int_equal(m->interface.empty_bytes, (COUNT - NEEDED) * MIB);
    assert_int_equal(m->allocations, COUNT);
    for (uint32_t i = 0; i < NEEDED; i++)
        se_memory_give_large(m, pieces[i], MIB);
    assert_true(se_memory_trim(m));
    assert_int_equal(m->now_bytes, NEEDED * MIB);
    assert_false(se_memory_trim(m));
    assert_int_equal(m->now_bytes, 0);
    assert_int_equal(m->interface.empty_bytes, 0);
}

static void large_pieces_that_wait_are_freed_when_memory_is_short(void **state)
{
    struct counted *c = *state;
    struct se_memory *m = &c->memory;
    se_memory_init(m, 4 * MIB);
    uint64_t bound = se_memory_bound(m, SE_NEED_ORDINARY);
    void *pieces[] = {se_memory_take_large(m, MIB), se_memory_take_large(m, MIB),
                      se_memory_take_large(m, MIB)};
    assert_null(se_memory_take_large(m, MIB)); /* the reserve is untouched */
    for (size_t i = 0; i < QT_COUNT(pieces); i++)
        se_memory_give_large(m, pieces[i], MIB);
    assert_true(se_memory_has_room(m, bound, SE_NEED_ORDINARY));
    assert_int_equal(m->now_bytes, 0);
    assert_int_equal(m->interface.empty_bytes, 0);
    se_memory_give_large(m, se_memory_take_large(m, 64 * KIB),
                         64 * KIB); /* freed with the memory */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(counted, memory_is_counted_up_to_its_limit),
        QT_TEST(counted, the_reserve_is_for_what_ends_a_shortage),
        QT_TEST(counted, what_is_not_used_goes_back_before_a_request_is_refused),
        QT_TEST(counted, large_sizes_are_powers_of_two),
        QT_TEST(counted, large_pieces_wait_for_their_next_use),
        QT_TEST(counted, large_pieces_that_wait_are_freed_when_memory_is_short),
        QT_TEST(counted, blocks_come_from_the_kernel_and_go_back_to_it),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The table from CIDs to connections, and the keyed hash under it. */

#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include "engine/base/memory.h"
#include "engine/conn/conn_table.h"

static const struct se_siphash_key key = {
    {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};

QT_FIXTURE(se_table, se_table_deinit)

static void siphash_gives_the_values_of_its_authors(void **state)
{
    (void)state;
    /* The inputs are 0, 1, 2 ...; from the reference implementation's vectors.h. */
    static const struct {
        size_t size;
        uint64_t hash;
    } samples[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)},
    };
    uint8_t data[16];
    for (uint8_t i = 0; i < sizeof(data); i++)
        data[i] = i;
    for (size_t i = 0; i < QT_COUNT(samples); i++)
        assert_true(se_siphash(&key, data, samples[i].size) == samples[i].hash);
}

static void what_was_inserted_is_found_and_nothing_else(void **state)
{
    struct se_table *t = *state;
    assert_int_equal(se_table_init(t, 100, key, NULL), 0);
    static const uint8_t a[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t b[] = {1, 2, 3, 4, 5, 6, 7, 9};
    assert_int_equal(se_table_insert(t, a, sizeof(a), 7), 0);
    assert_int_equal(se_table_find(t, a, sizeof(a)), 7);
    assert_int_equal(se_table_find(t, b, sizeof(b)), SE_TABLE_NONE);
    assert_int_equal(se_table_find(t, a, 7), SE_TABLE_NONE); /* a prefix is another key */
    assert_int_equal(se_table_insert(t, a, 0, 3), 0);        /* and so is the empty one */
    assert_int_equal(se_table_find(t, b, 0), 3);
    se_table_check(t);
}

static void the_key_of_last_time_is_found_until_the_table_changes(void **state)
{
    struct se_table *t = *state;
    assert_int_equal(se_table_init(t, 1000, key, NULL), 0);
    static const uint8_t sizes[] = {0, 1, 7, 8, 9, 16, 20};
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        uint8_t a[SE_TABLE_KEY_SIZE_MAX] = {0}, b[SE_TABLE_KEY_SIZE_MAX] = {0};
        memset(a, 1, sizes[i]);
        assert_int_equal(se_table_find_again(t, a, sizes[i]), SE_TABLE_NONE);
        assert_int_equal(se_table_insert(t, a, sizes[i], 7), 0);
        assert_int_equal(se_table_find_again(t, a, sizes[i]), 7);
        assert_int_equal(se_table_find_again(t, a, sizes[i]), 7);
        for (size_t k = 0; k < sizes[i]; k++) { /* others, which differ in one byte */
            memcpy(b, a, sizeof(b));
            b[k] = 2;
            assert_int_equal(se_table_find_again(t, a, sizes[i]), 7);
            assert_int_equal(se_table_find_again(t, b, sizes[i]), SE_TABLE_NONE);
        }
        assert_int_equal(se_table_find_again(t, a, sizes[i]), 7);
        assert_true(se_table_remove(t, a, sizes[i], 7));
        assert_int_equal(se_table_find_again(t, a, sizes[i]), SE_TABLE_NONE);
        assert_int_equal(se_table_insert(t, a, sizes[i], 8), 0);
        assert_int_equal(se_table_find_again(t, a, sizes[i]), 8);
        assert_true(se_table_remove(t, a, sizes[i], 8));
    }
    uint8_t large[255] = {0};
    assert_int_equal(se_table_find_again(t, large, sizeof(large)), SE_TABLE_NONE);
}

/* The memory of the arrays changes as the table grows and shrinks. */
static void the_key_of_last_time_is_found_while_the_table_grows(void **state)
{
    struct se_table *t = *state;
    assert_int_equal(se_table_init(t, 1000, key, NULL), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(se_table_insert(t, (uint8_t *)&i, sizeof(i), i), 0);
        uint32_t first = i / 2;
        assert_int_equal(se_table_find_again(t, (uint8_t *)&first, sizeof(first)), first);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t last = 999;
        assert_int_equal(se_table_find_again(t, (uint8_t *)&last, sizeof(last)), last);
        assert_int_equal(se_table_find_again(t, (uint8_t *)&i, sizeof(i)), i);
        assert_true(se_table_remove(t, (uint8_t *)&i, sizeof(i), i));
        assert_int_equal(se_table_find_again(t, (uint8_t *)&i, sizeof(i)), SE_TABLE_NONE);
    }
    se_table_shrink(t);
    uint32_t any = 5;
    assert_int_equal(se_table_find_again(t, (uint8_t *)&any, sizeof(any)), SE_TABLE_NONE);
    assert_int_equal(se_table_insert(t, (uint8_t *)&any, sizeof(any), any), 0);
    assert_int_equal(se_table_find_again(t, (uint8_t *)&any, sizeof(any)), any);
    se_table_check(t);
}

static void a_key_over_the_longest_cid_is_in_no_table(void **state)
{
    struct se_table *t = *state;
    assert_int_equal(se_table_init(t, 4, key, NULL), 0);
    uint8_t large[255] = {0};
    assert_int_equal(se_table_find(t, large, sizeof(large)), SE_TABLE_NONE);
}

static void a_key_that_is_taken_is_refused_and_stays(void **state)
{
    struct se_table *t = *state;
    assert_int_equal(se_table_init(t, 4, key, NULL), 0);
    static const uint8_t a[] = {9, 9, 9, 9};
    assert_int_equal(se_table_insert(t, a, sizeof(a), 1), 0);
    assert_int_equal(se_table_insert(t, a, sizeof(a), 2), -EEXIST);
    assert_int_equal(se_table_find(t, a, sizeof(a)), 1);
    assert_false(se_table_remove(t, a, sizeof(a), 2)); /* not 2's to remove */
    assert_true(se_table_remove(t, a, sizeof(a), 1));
    assert_int_equal(se_table_find(t, a, sizeof(a)), SE_TABLE_NONE);
}

static void a_full_table_refuses(void **state)
{
    struct se_table *t = *state;
    assert_int_equal(se_table_init(t, 3, key, NULL), 0);
    for (uint8_t i = 0; i < 3; i++)
        assert_int_equal(se_table_insert(t, &i, 1, i), 0);
    uint8_t more = 3;
    assert_int_equal(se_table_insert(t, &more, 1, 3), -ENOSPC);
    more = 1;
    assert_true(se_table_remove(t, &more, 1, 1));
    assert_int_equal(se_table_insert(t, &more, 1, 9), 0);
}

/* Room that was reserved is there, also while the entries of the old array are moving. */
static void a_table_grows_with_its_keys_and_shrinks_when_it_is_empty(void **state)
{
    enum { MANY = 20000 };
    struct se_table *t = *state;
    static struct se_memory memory;
    se_memory_init(&memory, UINT64_C(1) << 30);
    assert_int_equal(se_table_init(t, MANY, key, &memory), 0);
    uint64_t at_start = memory.now_bytes;
    assert_int_equal(at_start, 64 * sizeof(struct se_table_entry));
    uint64_t bytes_max = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        assert_true(se_table_reserve(t, i + 1));
        memory.limit_bytes = memory.now_bytes; /* the insertion takes no more */
        assert_int_equal(se_table_insert(t, (const uint8_t *)&i, sizeof(i), i), 0);
        memory.limit_bytes = UINT64_C(1) << 30;
        if (i % 3 == 2) { /* one of those that may be on their way */
            uint32_t before = i / 2;
            bool is_there = se_table_find(t, (uint8_t *)&before, sizeof(before)) == before;
            assert_int_equal(se_table_remove(t, (uint8_t *)&before, sizeof(before), before),
                             is_there);
            assert_int_equal(se_table_find(t, (uint8_t *)&before, sizeof(before)), SE_TABLE_NONE);
        }
        if (i % 997 == 0)
            se_table_check(t);
        bytes_max = memory.now_bytes > bytes_max ? memory.now_bytes : bytes_max;
        assert_true(memory.now_bytes <= 4 * sizeof(struct se_table_entry) * (i + 64));
    }
    for (uint32_t i = 0; i < MANY; i++)
        (void)se_table_remove(t, (const uint8_t *)&i, sizeof(i), i);
    assert_int_equal(t->count, 0);
    se_table_shrink(t);
    assert_int_equal(memory.now_bytes, at_start);
    se_table_check(t);
    memory.limit_bytes = memory.now_bytes;
    assert_false(se_table_reserve(t, MANY));
    se_table_deinit(t);
    assert_int_equal(memory.now_bytes, 0);
}

#define KEYS 500

/* Few keys in a small table and many steps: chains grow, merge, and are cut in their middle. */
static void insertions_and_removals_agree_with_a_plain_array(void **state)
{
    struct se_table *t = *state;
    assert_int_equal(se_table_init(t, KEYS, key, NULL), 0);
    uint32_t model[KEYS];
    for (uint32_t i = 0; i < KEYS; i++)
        model[i] = SE_TABLE_NONE;
    uint64_t seed = 42;

    for (uint32_t step = 0; step < 20000; step++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint32_t name = (uint32_t)(seed >> 33) % KEYS;
        uint8_t bytes[8] = {0};
        memcpy(bytes, &name, sizeof(name));
        size_t size = 4 + name % 5;
        if (model[name] == SE_TABLE_NONE) {
            assert_int_equal(se_table_insert(t, bytes, size, step), 0);
            model[name] = step;
        } else {
            assert_int_equal(se_table_find(t, bytes, size), model[name]);
            assert_true(se_table_remove(t, bytes, size, model[name]));
            model[name] = SE_TABLE_NONE;
        }
        if (step % 500 == 0)
            se_table_check(t);
    }
    for (uint32_t name = 0; name < KEYS; name++) {
        uint8_t bytes[8] = {0};
        memcpy(bytes, &name, sizeof(name));
        assert_int_equal(se_table_find(t, bytes, 4 + name % 5), model[name]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_values_of_its_authors),
        QT_TEST(se_table, what_was_inserted_is_found_and_nothing_else),
        QT_TEST(se_table, the_key_of_last_time_is_found_until_the_table_changes),
        QT_TEST(se_table, the_key_of_last_time_is_found_while_the_table_grows),
        QT_TEST(se_table, a_key_over_the_longest_cid_is_in_no_table),
        QT_TEST(se_table, a_key_that_is_taken_is_refused_and_stays),
        QT_TEST(se_table, a_full_table_refuses),
        QT_TEST(se_table, a_table_grows_with_its_keys_and_shrinks_when_it_is_empty),
        QT_TEST(se_table, insertions_and_removals_agree_with_a_plain_array),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

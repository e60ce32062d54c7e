/* SPDX-License-Identifier: MIT */
/* Copies of datagrams: how long they live, and whose memory they take. */

#include "test/support/qt.h"

#include <string.h>

#include "engine/base/buffers.h"
#include "engine/base/memory.h"

enum { DATAGRAM_SIZE_MAX = 65507, BUDGET = 10 << 20 };

struct copies {
    struct se_memory memory;
    struct se_buffers buffers;
    uint8_t data[DATAGRAM_SIZE_MAX];
};

static void begin(struct copies *c, uint32_t small_max, uint64_t budget)
{
    se_memory_init(&c->memory, budget);
    se_buffers_init(&c->buffers, small_max, &c->memory.interface);
    for (size_t i = 0; i < sizeof(c->data); i++)
        c->data[i] = (uint8_t)(i * 7);
}

static void end(struct copies *c)
{
    if (c->memory.limit_bytes > 0)
        se_buffers_deinit(&c->buffers);
    se_memory_deinit(&c->memory); /* asserts that all of it has come back */
}

QT_FIXTURE(copies, end)

static struct sb_buffer *copy(struct copies *c, size_t size, uint8_t **ret_data)
{
    return se_buffers_copy(&c->buffers, c->data, size, ret_data);
}

static void a_copy_has_the_bytes_and_does_not_share_them(void **state)
{
    static const size_t sizes[] = {
        0, 1, SE_SMALL_SIZE - 1, SE_SMALL_SIZE, SE_SMALL_SIZE + 1, DATAGRAM_SIZE_MAX,
    };
    struct copies *c = *state;
    begin(c, 2, BUDGET);
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        uint8_t *data = NULL;
        struct sb_buffer *buffer = copy(c, sizes[i], &data);
        assert_non_null(buffer);
        assert_int_equal(buffer->ref_count, 1);
        assert_memory_equal(data, c->data, sizes[i]);
        assert_true(data + sizes[i] <= c->data || data >= c->data + sizeof(c->data));
        memset(data, 0, sizes[i]); /* decrypted in place */
        sb_buffer_unref(buffer);
    }
}

static void a_copy_lives_until_its_last_reference(void **state)
{
    struct copies *c = *state;
    uint8_t *at;
    begin(c, 2, BUDGET);
    struct sb_buffer *a = copy(c, SE_SMALL_SIZE, &at);
    assert_non_null(a);
    assert_non_null(copy(c, 0, &at));
    assert_null(copy(c, 1, &at)); /* at the limit */
    sb_buffer_ref(a);
    sb_buffer_unref(a);
    assert_null(copy(c, 1, &at));
    sb_buffer_unref(a);
    assert_non_null(copy(c, 1, &at));
    /* .. and with both still held it ends. */
}

static void a_large_copy_is_of_the_memory_budget(void **state)
{
    struct copies *c = *state;
    uint8_t *at;
    begin(c, 2, 200000); /* 150,000 without the reserve */
    struct sb_buffer *a = copy(c, DATAGRAM_SIZE_MAX, &at);
    assert_non_null(a);
    assert_true(c->memory.now_bytes >= DATAGRAM_SIZE_MAX);
    assert_non_null(copy(c, DATAGRAM_SIZE_MAX, &at));
    assert_null(copy(c, DATAGRAM_SIZE_MAX, &at)); /* at the limit */
    uint64_t before = c->memory.now_bytes;
    sb_buffer_unref(a);
    assert_true(c->memory.now_bytes <= before - DATAGRAM_SIZE_MAX);
    assert_non_null(copy(c, SE_SMALL_SIZE + 1, &at));
    /* .. and with two still held it ends. */
}

static void without_memory_there_is_no_copy_and_nothing_is_written(void **state)
{
    struct copies *c = *state;
    uint8_t *at = c->data;
    begin(c, 2, 1000);
    assert_null(copy(c, 1, &at)); /* not even one block of small ones */
    assert_null(copy(c, SE_SMALL_SIZE + 1, &at));
    assert_ptr_equal(at, c->data);
    assert_int_equal(c->memory.now_bytes, 0);
}

static void small_copies_use_their_memory_again(void **state)
{
    struct copies *c = *state;
    uint8_t *at;
    begin(c, 1000, BUDGET);
    sb_buffer_unref(copy(c, 100, &at));
    uint64_t allocations = c->memory.allocations;
    for (uint32_t i = 0; i < 1000; i++)
        sb_buffer_unref(copy(c, 100, &at));
    assert_int_equal(c->memory.allocations, allocations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(copies, a_copy_has_the_bytes_and_does_not_share_them),
        QT_TEST(copies, a_copy_lives_until_its_last_reference),
        QT_TEST(copies, a_large_copy_is_of_the_memory_budget),
        QT_TEST(copies, without_memory_there_is_no_copy_and_nothing_is_written),
        QT_TEST(copies, small_copies_use_their_memory_again),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* 0-RTT that waits for its Initial: how much, for how long, and for whom. */

#include "test/support/qt.h"

#include <string.h>

#include "engine/base/memory.h"
#include "engine/net/early.h"

static struct se_memory memory;
static struct se_buffers buffers;
static struct se_early early;

static int begin(void **state)
{
    (void)state;
    memset(&early, 0, sizeof(early));
    se_memory_init(&memory, 1 << 20);
    se_buffers_init(&buffers, 100, &memory.interface);
    return 0;
}

/* The pool would assert that something is left. */
static int end(void **state)
{
    (void)state;
    se_early_expire(&early, SB_NEVER);
    assert_int_equal(early.count, 0);
    assert_int_equal(buffers.small.used_count, 0);
    se_buffers_deinit(&buffers);
    se_memory_deinit(&memory);
    return 0;
}

static struct sp_path path_of(uint16_t port)
{
    return (struct sp_path){.local = {.family = 4, .port = 443},
                            .remote = {.family = 4, .port = port}};
}

static struct sp_cid cid_of(uint8_t who)
{
    uint8_t bytes[8] = {who};
    return sp_cid_of(bytes, sizeof(bytes));
}

static bool keep(uint8_t who, uint16_t port, uint8_t what, uint32_t size, uint64_t now_ns)
{
    static uint8_t data[SE_SMALL_SIZE + 1];
    memset(data, what, sizeof(data));
    const struct se_early_item item = {.data = data,
                                       .size = size,
                                       .ecn = SP_ECN_ECT0,
                                       .path = path_of(port),
                                       .dcid = cid_of(who),
                                       .since_ns = now_ns};
    return se_early_keep(&early, &buffers, &item);
}

static bool take(uint8_t who, uint16_t port, uint8_t what)
{
    struct se_early_item item;
    struct sp_path path = path_of(port);
    struct sp_cid cid = cid_of(who);
    if (!se_early_take(&early, &path, &cid, &item))
        return false;
    assert_int_equal(item.data[0], what);
    assert_int_equal(item.data[item.size - 1], what);
    assert_int_equal(item.ecn, SP_ECN_ECT0);
    sb_buffer_unref(item.copy);
    return true;
}

static void each_client_gets_its_own_in_order(void **state)
{
    (void)state;
    assert_true(keep(1, 1000, 'a', 1200, 0));
    assert_true(keep(2, 2000, 'x', 40, 0));
    assert_true(keep(1, 1000, 'b', SE_SMALL_SIZE, 1));
    assert_false(take(3, 1000, 0));
    assert_false(take(1, 1001, 0)); /* from elsewhere */
    assert_true(take(1, 1000, 'a'));
    assert_true(take(1, 1000, 'b'));
    assert_false(take(1, 1000, 0));
    assert_true(take(2, 2000, 'x'));
}

static void what_waits_too_long_is_dropped(void **state)
{
    (void)state;
    assert_true(keep(1, 1000, 'a', 100, 0));
    assert_true(keep(2, 1000, 'b', 100, SE_EARLY_AGE_NS / 2));
    se_early_expire(&early, SE_EARLY_AGE_NS - 1);
    assert_int_equal(early.count, 2);
    se_early_expire(&early, SE_EARLY_AGE_NS);
    assert_int_equal(early.count, 1);
    assert_false(take(1, 1000, 0));
    assert_true(keep(3, 1000, 'c', 100, 2 * SE_EARLY_AGE_NS)); /* makes its own room */
    assert_int_equal(early.count, 1);
}

static void a_flood_is_bounded_by_client_and_in_all(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (uint32_t i = 0; i < 2 * SE_EARLY_PER_CLIENT_MAX; i++)
        count += keep(1, 1000, 'a', 1200, 0);
    assert_int_equal(count, SE_EARLY_PER_CLIENT_MAX);
    for (uint8_t who = 2; who < 200; who++)
        count += keep(who, 1000, 'b', 1200, 0);
    assert_int_equal(count, SE_EARLY_MAX);
    assert_int_equal(early.count, SE_EARLY_MAX);
    assert_int_equal(buffers.small.used_count, SE_EARLY_MAX);
    assert_true(take(1, 1000, 'a'));
    assert_true(keep(250, 1000, 'c', 1200, 0));
}

static void what_is_too_large_or_has_no_memory_is_not_kept(void **state)
{
    (void)state;
    assert_false(keep(1, 1000, 'a', SE_SMALL_SIZE + 1, 0));
    struct se_buffers none;
    se_buffers_init(&none, 0, &memory.interface);
    uint8_t data[100] = {0};
    const struct se_early_item item = {.data = data, .size = sizeof(data), .dcid = cid_of(1)};
    assert_false(se_early_keep(&early, &none, &item));
    assert_int_equal(early.count, 0);
    se_buffers_deinit(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_client_gets_its_own_in_order, begin, end),
        cmocka_unit_test_setup_teardown(what_waits_too_long_is_dropped, begin, end),
        cmocka_unit_test_setup_teardown(a_flood_is_bounded_by_client_and_in_all, begin, end),
        cmocka_unit_test_setup_teardown(what_is_too_large_or_has_no_memory_is_not_kept, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The load generator's relay: datagrams leave when they are due, in order. */

#include "test/support/qt.h"

#include "bench/load/relay_queue.h"

enum { CAPACITY = 200 };

static void items_leave_by_time_and_then_in_order(void **state)
{
    (void)state;
    struct relay_queue q;
    assert_true(relay_queue_init(&q, CAPACITY, 16));
    for (uint32_t round = 0; round < 3; round++) {
        uint32_t slot = 0;
        for (uint32_t i = 0; i < CAPACITY; i++) {
            assert_true(relay_queue_take(&q, &slot));
            relay_queue_bytes(&q, slot)[0] = (uint8_t)i;
            relay_queue_add(&q,
                            (struct relay_item){.due_ns = i * 37 % 11, .slot = slot, .size = i});
        }
        assert_false(relay_queue_take(&q, &slot)); /* all are in use */
        struct relay_item before = {.due_ns = 0};
        for (uint32_t i = 0; i < CAPACITY; i++) {
            assert_non_null(relay_queue_first(&q));
            struct relay_item item = relay_queue_remove(&q);
            assert_true(item.due_ns >= before.due_ns);
            if (i > 0 && item.due_ns == before.due_ns)
                assert_true(item.size > before.size);
            assert_int_equal(relay_queue_bytes(&q, item.slot)[0], (uint8_t)item.size);
            relay_queue_give(&q, item.slot);
            before = item;
        }
        assert_null(relay_queue_first(&q));
    }
    relay_queue_deinit(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_leave_by_time_and_then_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

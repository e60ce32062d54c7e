/* SPDX-License-Identifier: MIT */
/* The timer wheel of ip-relay. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "test/relay/wheel.h"

enum { ITEMS = 5000 };

#define TICK_NS (UINT64_C(1) << WHEEL_TICK_BITS)
#define MS      UINT64_C(1000000)
#define S       UINT64_C(1000000000)

struct world {
    struct wheel wheel;
    struct wheel_item items[ITEMS];
    bool is_taken[ITEMS];
    uint64_t random;
};

static void world_deinit(struct world *w)
{
    wheel_deinit(&w->wheel);
}
QT_FIXTURE(world, world_deinit)

static uint64_t below(struct world *w, uint64_t limit)
{
    w->random = w->random * UINT64_C(6364136223846793005) + 1;
    return (w->random >> 20) % limit;
}

static void add(struct world *w, uint32_t index, uint64_t due_ns)
{
    w->items[index].due_ns = due_ns;
    wheel_add(&w->wheel, &w->items[index]);
}

static void items_that_are_due_together_keep_their_order(void **state)
{
    struct world *w = *state;
    assert_true(wheel_init(&w->wheel, 7 * S));
    for (uint32_t i = 0; i < 100; i++)
        add(w, i, 7 * S + 5 * MS);
    assert_null(wheel_take(&w->wheel, 7 * S + 5 * MS - 1));
    for (uint32_t i = 0; i < 100; i++)
        assert_ptr_equal(wheel_take(&w->wheel, 7 * S + 5 * MS), &w->items[i]);
    assert_null(wheel_take(&w->wheel, 7 * S + 5 * MS));
    assert_int_equal(wheel_next_ns(&w->wheel), WHEEL_NEVER);
}

/* Times from now to twice what the wheel has slots for, and time in small and large steps. */
static void items_come_when_they_are_due_and_never_before(void **state)
{
    struct world *w = *state;
    uint64_t now_ns = 3 * S;
    uint32_t added = 0;
    uint32_t taken = 0;
    assert_true(wheel_init(&w->wheel, now_ns));
    while (taken < ITEMS) {
        for (uint64_t i = below(w, 20); i > 0 && added < ITEMS; i--, added++)
            add(w, added, now_ns + below(w, below(w, 10) == 0 ? 5 * S : 20 * MS));
        now_ns += below(w, 100) == 0 ? below(w, 500 * MS) : below(w, MS);
        struct wheel_item *item;
        uint64_t last_ns = 0;
        while ((item = wheel_take(&w->wheel, now_ns)) != NULL) {
            assert_true(item->due_ns <= now_ns);
            assert_true(item->due_ns + TICK_NS > last_ns);
            assert_false(w->is_taken[item - w->items]);
            w->is_taken[item - w->items] = true;
            last_ns = item->due_ns;
            taken++;
        }
        uint64_t first_ns = WHEEL_NEVER;
        for (uint32_t i = 0; i < added; i++) {
            if (!w->is_taken[i] && w->items[i].due_ns < first_ns)
                first_ns = w->items[i].due_ns;
        }
        /* Nobody waits for longer than a tick, and who sleeps until then oversleeps nothing. */
        assert_true(first_ns == WHEEL_NEVER || first_ns + TICK_NS > now_ns);
        assert_true(wheel_next_ns(&w->wheel) > now_ns);
        assert_true(first_ns == WHEEL_NEVER || wheel_next_ns(&w->wheel) < first_ns + TICK_NS);
    }
    assert_int_equal(w->wheel.count, 0);
    assert_int_equal(w->wheel.top, 0);
}

static void what_is_late_already_comes_at_once(void **state)
{
    struct world *w = *state;
    assert_true(wheel_init(&w->wheel, 3 * S));
    add(w, 0, 4 * S);
    assert_null(wheel_take(&w->wheel, 3 * S + 900 * MS));
    add(w, 1, 3 * S);
    assert_ptr_equal(wheel_take(&w->wheel, 3 * S + 900 * MS), &w->items[1]);
    assert_ptr_equal(wheel_take(&w->wheel, 4 * S), &w->items[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, items_that_are_due_together_keep_their_order),
        QT_TEST(world, items_come_when_they_are_due_and_never_before),
        QT_TEST(world, what_is_late_already_comes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

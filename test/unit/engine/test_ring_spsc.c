/* SPDX-License-Identifier: MIT */
/* The queue from one thread to another: order, bounds, batches, wraps, and two threads at once. */

#include "test/support/qt.h"

#include <pthread.h>
#include <sched.h>

#include "engine/base/ring_spsc.h"

#define CELLS_MAX 16

static void push(struct se_spsc *q, uint64_t *cells, uint64_t number)
{
    uint64_t cell = 0;
    assert_true(se_spsc_has_room(q));
    assert_true(se_spsc_claim(q, &cell));
    assert_true(cell <= q->mask);
    cells[cell] = number;
}

/* For each size and each way to fill and empty it in batches: over more than three laps. */
static void numbers_come_out_in_order_at_each_wrap(void **state)
{
    (void)state;
    for (uint32_t size = 2; size <= CELLS_MAX; size *= 2)
        for (uint32_t in = 1; in <= size; in++)
            for (uint32_t out = 1; out <= size; out++) {
                struct se_spsc q;
                uint64_t cells[CELLS_MAX];
                uint64_t next_in = 0;
                uint64_t next_out = 0;
                se_spsc_init(&q, size);
                while (next_out < 3 * size + 1) {
                    for (uint32_t i = 0; i < in && next_in - next_out < size; i++)
                        push(&q, cells, next_in++);
                    se_spsc_publish(&q);
                    uint64_t first = 0;
                    uint32_t count = se_spsc_take(&q, out, &first);
                    assert_in_range(count, 1, out);
                    assert_true(first + count <= size);
                    for (uint32_t i = 0; i < count; i++)
                        assert_int_equal(cells[first + i], next_out++);
                    se_spsc_free(&q);
                }
            }
}

static void a_full_ring_refuses_and_an_empty_one_gives_nothing(void **state)
{
    (void)state;
    struct se_spsc q;
    uint64_t cells[4];
    uint64_t cell = 77;
    se_spsc_init(&q, 4);
    assert_int_equal(se_spsc_take(&q, 4, &cell), 0);
    assert_int_equal(cell, 77);
    for (uint64_t i = 0; i < 4; i++)
        push(&q, cells, i);
    assert_false(se_spsc_claim(&q, &cell));
    assert_false(se_spsc_has_room(&q));
    assert_int_equal(cell, 77);
    assert_false(se_spsc_has(&q)); /* not published */
    assert_int_equal(se_spsc_take(&q, 4, &cell), 0);
    se_spsc_publish(&q);
    assert_true(se_spsc_has(&q));
    assert_int_equal(se_spsc_take(&q, 3, &cell), 3);
    assert_int_equal(cell, 0);
    assert_true(se_spsc_has(&q));
}

static void a_taken_cell_is_not_free_before_it_is_given_back(void **state)
{
    (void)state;
    struct se_spsc q;
    uint64_t cells[2];
    uint64_t cell;
    se_spsc_init(&q, 2);
    push(&q, cells, 0);
    push(&q, cells, 1);
    se_spsc_publish(&q);
    assert_int_equal(se_spsc_take(&q, 2, &cell), 2);
    assert_false(se_spsc_claim(&q, &cell));
    se_spsc_free(&q);
    assert_true(se_spsc_claim(&q, &cell));
    assert_true(se_spsc_claim(&q, &cell));
    assert_false(se_spsc_claim(&q, &cell));
}

#define STRESS_CELLS 64
#define STRESS_COUNT 300000

struct stress {
    struct se_spsc q;
    uint64_t cells[STRESS_CELLS];
};

static void *produce(void *argument)
{
    struct stress *s = argument;
    uint64_t batch = 1;
    for (uint64_t i = 0; i < STRESS_COUNT;) {
        uint64_t cell;
        for (uint64_t n = 0; n < batch && i < STRESS_COUNT && se_spsc_claim(&s->q, &cell); n++)
            s->cells[cell] = i++;
        se_spsc_publish(&s->q);
        batch = batch % 13 + 1;
        if (!se_spsc_has_room(&s->q))
            (void)sched_yield();
    }
    return NULL;
}

static void each_number_crosses_once_and_in_order(void **state)
{
    (void)state;
    static struct stress s;
    pthread_t thread;
    se_spsc_init(&s.q, STRESS_CELLS);
    assert_int_equal(pthread_create(&thread, NULL, produce, &s), 0);
    uint64_t next = 0;
    uint64_t wrong_count = 0;
    for (uint32_t batch = 1; next < STRESS_COUNT; batch = batch % 29 + 1) {
        uint64_t first;
        uint32_t count = se_spsc_take(&s.q, batch, &first);
        for (uint32_t i = 0; i < count; i++)
            wrong_count += s.cells[first + i] != next++;
        se_spsc_free(&s.q);
        if (count == 0)
            (void)sched_yield();
    }
    pthread_join(thread, NULL);
    assert_int_equal(wrong_count, 0);
    assert_false(se_spsc_has(&s.q));
}

static void a_size_that_is_no_power_of_two_is_our_bug(void **state)
{
    (void)state;
    struct se_spsc q;
    sb_assert_handler = qt_on_assert;
    expect_assert_failure(se_spsc_init(&q, 3));
    expect_assert_failure(se_spsc_init(&q, 1));
    expect_assert_failure(se_spsc_init(&q, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_come_out_in_order_at_each_wrap),
        cmocka_unit_test(a_full_ring_refuses_and_an_empty_one_gives_nothing),
        cmocka_unit_test(a_taken_cell_is_not_free_before_it_is_given_back),
        cmocka_unit_test(each_number_crosses_once_and_in_order),
        cmocka_unit_test(a_size_that_is_no_power_of_two_is_our_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

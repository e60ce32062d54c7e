/* SPDX-License-Identifier: MIT */
/* The queue of pointers from one thread to another: order, bounds, batches, and both at once. */

#include "test/support/qt.h"

#include <pthread.h>
#include <sched.h>

#include "engine/ring_spsc.h"

static void *pointer_of(uintptr_t number)
{
    return (void *)number;
}

static bool push_one(struct se_spsc *q, uintptr_t number)
{
    void *item = pointer_of(number);
    return se_spsc_push(q, &item, 1) == 1;
}

static void items_come_out_in_the_order_of_their_going_in(void **state)
{
    (void)state;
    struct se_spsc q;
    void *cells[8];
    se_spsc_init(&q, cells, 8);
    for (uintptr_t lap = 1; lap < 6; lap++) {
        for (uintptr_t i = 0; i < 6; i++)
            assert_true(push_one(&q, lap * 10 + i));
        for (uintptr_t i = 0; i < 6; i++) {
            void *out = NULL;
            assert_true(se_spsc_has(&q));
            assert_int_equal(se_spsc_pop(&q, &out, 1), 1);
            assert_ptr_equal(out, pointer_of(lap * 10 + i));
        }
        assert_false(se_spsc_has(&q));
    }
}

static void a_full_ring_refuses_and_an_empty_one_gives_nothing(void **state)
{
    (void)state;
    struct se_spsc q;
    void *cells[4];
    void *out = pointer_of(77);
    se_spsc_init(&q, cells, 4);
    assert_int_equal(se_spsc_pop(&q, &out, 1), 0);
    assert_ptr_equal(out, pointer_of(77));
    for (uintptr_t i = 1; i <= 4; i++)
        assert_true(push_one(&q, i));
    assert_false(push_one(&q, 5));
    assert_int_equal(se_spsc_pop(&q, &out, 1), 1);
    assert_true(push_one(&q, 5));
    assert_false(push_one(&q, 6));
}

/* A batch is cut where the ring ends, on both sides, at every position of the ring. */
static void a_batch_goes_as_far_as_there_is_room(void **state)
{
    (void)state;
    for (uint32_t shift = 0; shift < 8; shift++) {
        struct se_spsc q;
        void *cells[8];
        void *in[12], *out[12];
        se_spsc_init(&q, cells, 8);
        for (uintptr_t i = 0; i < 12; i++)
            in[i] = pointer_of(100 + i);
        assert_int_equal(se_spsc_push(&q, in, shift), shift);
        assert_int_equal(se_spsc_pop(&q, out, 12), shift);

        assert_int_equal(se_spsc_push(&q, in, 0), 0);
        assert_int_equal(se_spsc_push(&q, in, 5), 5);
        assert_int_equal(se_spsc_push(&q, in + 5, 7), 3);
        assert_int_equal(se_spsc_pop(&q, out, 2), 2);
        assert_int_equal(se_spsc_pop(&q, out + 2, 10), 6);
        assert_memory_equal(out, in, 8 * sizeof(in[0]));
        assert_int_equal(se_spsc_pop(&q, out, 1), 0);
    }
}

#define COUNT 200000

static void *produce(void *argument)
{
    struct se_spsc *q = argument;
    uintptr_t next = 1;
    while (next <= COUNT) {
        void *batch[7];
        uint32_t count = 1 + (uint32_t)(next % 7);
        for (uint32_t i = 0; i < count; i++)
            batch[i] = pointer_of(next + i);
        uint32_t pushed = se_spsc_push(q, batch, count);
        next += pushed;
        if (pushed == 0)
            sched_yield();
    }
    return NULL;
}

static void two_threads_lose_nothing_and_keep_the_order(void **state)
{
    (void)state;
    struct se_spsc q;
    void *cells[16];
    pthread_t thread;
    se_spsc_init(&q, cells, 16);
    assert_int_equal(pthread_create(&thread, NULL, produce, &q), 0);
    for (uintptr_t next = 1; next <= COUNT;) {
        void *batch[5];
        uint32_t count = se_spsc_pop(&q, batch, 1 + (uint32_t)(next % 5));
        for (uint32_t i = 0; i < count; i++)
            assert_ptr_equal(batch[i], pointer_of(next++));
        if (count == 0)
            sched_yield();
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_the_order_of_their_going_in),
        cmocka_unit_test(a_full_ring_refuses_and_an_empty_one_gives_nothing),
        cmocka_unit_test(a_batch_goes_as_far_as_there_is_room),
        cmocka_unit_test(two_threads_lose_nothing_and_keep_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The queue of posts: order, bounds, and several threads at once. */

#include "test/support/qt.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "engine/base/ring_mpsc.h"

static struct se_post post_of(uintptr_t number)
{
    return (struct se_post){.argument = (void *)number};
}

static void posts_come_out_in_the_order_of_their_going_in(void **state)
{
    (void)state;
    struct se_mpsc q;
    struct se_mpsc_cell cells[8];
    se_mpsc_init(&q, cells, 8);
    for (uintptr_t lap = 0; lap < 5; lap++) {
        for (uintptr_t i = 0; i < 6; i++) {
            struct se_post in = post_of(lap * 10 + i);
            assert_int_equal(se_mpsc_push(&q, &in), 0);
        }
        for (uintptr_t i = 0; i < 6; i++) {
            struct se_post out;
            assert_true(se_mpsc_has(&q));
            assert_true(se_mpsc_pop(&q, &out));
            assert_ptr_equal(out.argument, (void *)(lap * 10 + i));
        }
        assert_false(se_mpsc_has(&q));
    }
}

static void a_full_ring_refuses_and_an_empty_one_gives_nothing(void **state)
{
    (void)state;
    struct se_mpsc q;
    struct se_mpsc_cell cells[4];
    se_mpsc_init(&q, cells, 4);
    struct se_post out = post_of(77);
    assert_false(se_mpsc_pop(&q, &out));
    assert_ptr_equal(out.argument, (void *)77);
    struct se_post in = post_of(1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(se_mpsc_push(&q, &in), 0);
    assert_int_equal(se_mpsc_push(&q, &in), -EAGAIN);
    assert_true(se_mpsc_pop(&q, &out));
    assert_int_equal(se_mpsc_push(&q, &in), 0);
    assert_int_equal(se_mpsc_push(&q, &in), -EAGAIN);
}

#define THREADS      3
#define EACH         20000
#define NUMBER_SHIFT 20

struct producer {
    struct se_mpsc *q;
    uintptr_t name;
};

static void *produce(void *argument)
{
    const struct producer *p = argument;
    for (uintptr_t i = 0; i < EACH; i++) {
        struct se_post post = post_of(p->name << NUMBER_SHIFT | i);
        while (se_mpsc_push(p->q, &post) != 0)
            sched_yield();
    }
    return NULL;
}

static void each_threads_posts_arrive_once_and_in_order(void **state)
{
    (void)state;
    struct se_mpsc q;
    struct se_mpsc_cell cells[64];
    se_mpsc_init(&q, cells, 64);

    pthread_t threads[THREADS];
    struct producer producers[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        producers[i] = (struct producer){.q = &q, .name = i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    uintptr_t next[THREADS] = {0};
    for (uint32_t taken = 0; taken < THREADS * EACH;) {
        struct se_post post;
        if (!se_mpsc_pop(&q, &post)) {
            sched_yield();
            continue;
        }
        uintptr_t value = (uintptr_t)post.argument;
        assert_true(value >> NUMBER_SHIFT < THREADS);
        assert_int_equal(value & ((1 << NUMBER_SHIFT) - 1), next[value >> NUMBER_SHIFT]++);
        taken++;
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_false(se_mpsc_has(&q));
}

/* ---- Closing ---- */

static void a_closed_ring_refuses_and_gives_what_it_took(void **state)
{
    (void)state;
    struct se_mpsc q;
    struct se_mpsc_cell cells[4];
    struct se_post in = post_of(1);
    struct se_post out;
    se_mpsc_init(&q, cells, 4);
    assert_int_equal(se_mpsc_push(&q, &in), 0);
    assert_int_equal(se_mpsc_push(&q, &in), 0);
    assert_false(se_mpsc_is_drained(&q)); /* it is not closed */
    se_mpsc_close(&q);
    se_mpsc_close(&q);
    assert_int_equal(se_mpsc_push(&q, &in), -ESHUTDOWN);
    assert_false(se_mpsc_is_drained(&q));
    assert_true(se_mpsc_pop(&q, &out));
    assert_true(se_mpsc_pop(&q, &out));
    assert_false(se_mpsc_pop(&q, &out));
    assert_true(se_mpsc_is_drained(&q));
    assert_int_equal(se_mpsc_push(&q, &in), -ESHUTDOWN);
}

struct closing {
    struct se_mpsc q;
    struct se_mpsc_cell cells[64];
    atomic_uint accepted_count;
};

static void *produce_until_closed(void *argument)
{
    struct closing *c = argument;
    struct se_post post = post_of(1);
    for (int result = 0; result != -ESHUTDOWN; result = se_mpsc_push(&c->q, &post))
        if (result == 0)
            atomic_fetch_add(&c->accepted_count, 1);
    return NULL;
}

static void each_post_is_refused_or_comes_out_whenever_it_is_closed(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        static struct closing c;
        se_mpsc_init(&c.q, c.cells, 64);
        atomic_init(&c.accepted_count, 0);
        pthread_t threads[THREADS];
        for (uint32_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, produce_until_closed, &c), 0);
        struct se_post post;
        uint32_t taken = 0;
        while (!se_mpsc_is_drained(&c.q)) {
            if (se_mpsc_pop(&c.q, &post))
                taken++;
            else
                sched_yield();
            if (taken >= 100 * round)
                se_mpsc_close(&c.q);
        }
        for (uint32_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        /* The first turn of each loop pushed nothing. */
        assert_int_equal(taken, atomic_load(&c.accepted_count) - THREADS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_come_out_in_the_order_of_their_going_in),
        cmocka_unit_test(a_full_ring_refuses_and_an_empty_one_gives_nothing),
        cmocka_unit_test(each_threads_posts_arrive_once_and_in_order),
        cmocka_unit_test(a_closed_ring_refuses_and_gives_what_it_took),
        cmocka_unit_test(each_post_is_refused_or_comes_out_whenever_it_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The queue of posts: order, bounds, and several threads at once. */

#include "test/support/qt.h"

#include <pthread.h>
#include <sched.h>

#include "engine/ring_mpsc.h"

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
            assert_true(se_mpsc_push(&q, &in));
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
        assert_true(se_mpsc_push(&q, &in));
    assert_false(se_mpsc_push(&q, &in));
    assert_true(se_mpsc_pop(&q, &out));
    assert_true(se_mpsc_push(&q, &in));
    assert_false(se_mpsc_push(&q, &in));
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
        while (!se_mpsc_push(p->q, &post))
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_come_out_in_the_order_of_their_going_in),
        cmocka_unit_test(a_full_ring_refuses_and_an_empty_one_gives_nothing),
        cmocka_unit_test(each_threads_posts_arrive_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

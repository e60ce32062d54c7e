/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "uring/wake.h"

/* A sleeper with its ring, and a counter for a queue: what was pushed and not taken. */
struct sleeper {
    struct su_ring ring;
    struct su_wake wake;
    atomic_uint pushed;
    atomic_uint taken;   /* written by the sleeper */
    atomic_bool is_over; /* the test has failed */
    uint32_t sleeps;     /* enters that meant to sleep */
    uint32_t lost;       /* sleeps that ended by their time, with something in the queue */
};

static void sleeper_end(void *object)
{
    struct sleeper *s = object;
    int error = su_ring_stop(&s->ring);
    su_wake_deinit(&s->wake);
    su_ring_deinit(&s->ring);
    assert_int_equal(error, 0);
}

static struct sleeper *sleeper_create(void)
{
    struct sleeper *s = owned_alloc(sizeof(*s) + SB_CACHE_LINE);
    (void)owned_add(s, sleeper_end);
    assert_int_equal(
        sw_ring_init(&s->ring, (struct su_ring_config){.sq_count = 8, .file_count = 1}), 0);
    assert_int_equal(su_wake_init(&s->wake, &s->ring, 5), 0);
    return s;
}

static bool take_all(struct sleeper *s)
{
    uint32_t pushed = atomic_load_explicit(&s->pushed, memory_order_acquire);
    bool is_new = pushed != atomic_load_explicit(&s->taken, memory_order_relaxed);
    atomic_store_explicit(&s->taken, pushed, memory_order_release);
    return is_new;
}

static void turn(struct sleeper *s, uint64_t timeout_ns)
{
    struct su_completion completion;
    su_wake_rearm(&s->wake);
    if (su_ring_enter(&s->ring, timeout_ns) != 0)
        abort();
    while (su_ring_completions(&s->ring, &completion, 1) == 1)
        su_wake_take(&s->wake, &completion);
}

/* S1 to S4. */
static void sleep_once(struct sleeper *s)
{
    su_wake_sleep(&s->wake);
    if (!take_all(s)) {
        uint64_t bells = s->wake.doorbells;
        s->sleeps++;
        turn(s, 2 * SB_S);
        if (s->wake.doorbells == bells && take_all(s))
            s->lost++;
    }
    su_wake_up(&s->wake);
}

struct waker {
    struct sleeper *sleeper;
    uint32_t count;
    uint32_t rung;
    bool is_through_ring;
    bool is_paced; /* pushes only when all is taken: each push meets a sleeper that lies down */
};

/* W1 and W2, again and again. */
static void *waker_main(void *argument)
{
    struct waker *waker = argument;
    struct sleeper *s = waker->sleeper;
    struct su_ring ring = {0};
    struct su_completion completion;
    if (waker->is_through_ring &&
        (sw_ring_init(&ring, (struct su_ring_config){.sq_count = 8}) != 0 ||
         su_ring_enable(&ring) != 0))
        abort();

    for (uint32_t i = 0; i < waker->count; i++) {
        while (waker->is_paced && atomic_load_explicit(&s->taken, memory_order_acquire) != i &&
               !atomic_load_explicit(&s->is_over, memory_order_relaxed))
            ;
        atomic_fetch_add_explicit(&s->pushed, 1, memory_order_release);
        if (!waker->is_through_ring) {
            waker->rung += su_wake_ring(&s->wake);
            continue;
        }
        if (!su_wake_ring_from(&s->wake, &ring))
            continue;
        waker->rung++;
        if (su_ring_enter(&ring, 0) != 0)
            abort();
        while (su_ring_completions(&ring, &completion, 1) == 1) {
            if (completion.op.kind == SU_OP_DOORBELL_LOST)
                su_wake_ring_lost(&s->wake);
        }
    }
    (void)su_ring_stop(&ring);
    su_ring_deinit(&ring);
    return NULL;
}

static void run(struct waker kind, uint32_t thread_count)
{
    struct sleeper *s = sleeper_create();
    struct waker wakers[4];
    pthread_t threads[4];
    assert_int_equal(su_ring_enable(&s->ring), 0);
    turn(s, 0); /* a ring that was just enabled */

    for (uint32_t i = 0; i < thread_count; i++) {
        wakers[i] = kind;
        wakers[i].sleeper = s;
        assert_int_equal(pthread_create(&threads[i], NULL, waker_main, &wakers[i]), 0);
    }
    while (atomic_load(&s->taken) < thread_count * kind.count && s->lost == 0)
        sleep_once(s);
    atomic_store(&s->is_over, true);
    uint32_t rung = 0;
    for (uint32_t i = 0; i < thread_count; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        rung += wakers[i].rung;
    }
    assert_int_equal(s->lost, 0);
    assert_int_equal(atomic_load(&s->taken), thread_count * kind.count);
    /* One bell a sleep at most, and those that found something before they slept. */
    assert_true(rung <= thread_count * kind.count);
    assert_true(s->wake.doorbells <= rung);
}

static void nothing_is_left_in_the_queue_of_a_sleeper(void **state)
{
    (void)state;
    run((struct waker){.count = 20000}, 1);
    run((struct waker){.count = 5000}, 3);
    run((struct waker){.count = 20000, .is_paced = true}, 1);
}

static void a_ring_wakes_a_ring(void **state)
{
    (void)state;
    run((struct waker){.count = 10000, .is_through_ring = true}, 1);
    run((struct waker){.count = 5000, .is_through_ring = true}, 2);
    run((struct waker){.count = 10000, .is_through_ring = true, .is_paced = true}, 1);
}

static void no_bell_rings_for_who_is_awake(void **state)
{
    (void)state;
    struct sleeper *s = sleeper_create();
    assert_int_equal(su_ring_enable(&s->ring), 0);
    turn(s, 0);
    assert_false(su_wake_ring(&s->wake));

    su_wake_sleep(&s->wake);
    assert_true(su_wake_ring(&s->wake));
    assert_false(su_wake_ring(&s->wake)); /* one bell a sleep */
    turn(s, SB_NEVER);                    /* returns */
    assert_int_equal(s->wake.doorbells, 1);
    su_wake_up(&s->wake);
    assert_false(su_wake_ring(&s->wake));

    /* Found something to do after all: then nobody needs to ring. */
    su_wake_sleep(&s->wake);
    su_wake_up(&s->wake);
    assert_false(su_wake_ring(&s->wake));
    turn(s, 0);
    assert_int_equal(s->wake.doorbells, 1);
}

static void a_bell_before_the_read_is_armed_is_heard(void **state)
{
    (void)state;
    struct sleeper *s = sleeper_create();
    assert_int_equal(su_ring_enable(&s->ring), 0);
    su_wake_sleep(&s->wake);
    assert_true(su_wake_ring(&s->wake));
    turn(s, SB_NEVER);
    assert_int_equal(s->wake.doorbells, 1);
}

static void a_full_ring_rings_the_other_bell(void **state)
{
    (void)state;
    struct sleeper *s = sleeper_create();
    static struct su_ring from;
    assert_int_equal(sw_ring_init(&from, (struct su_ring_config){.sq_count = 8}), 0);
    (void)owned_add(&from, sw_ring_end);
    assert_int_equal(su_ring_enable(&from), 0);
    assert_int_equal(su_ring_enable(&s->ring), 0);
    su_wake_sleep(&s->wake);
    from.inject_full_count = 1;
    assert_true(su_wake_ring_from(&s->wake, &from));
    assert_int_equal(su_ring_queued(&from), 0);
    turn(s, SB_NEVER);
    assert_int_equal(s->wake.doorbells, 1);
}

static void a_bell_that_the_kernel_refused_rings_again(void **state)
{
    (void)state;
    struct sleeper *s = sleeper_create(); /* still disabled: MSG_RING fails with EBADFD */
    static struct su_ring from;
    struct su_completion completion;
    assert_int_equal(sw_ring_init(&from, (struct su_ring_config){.sq_count = 8}), 0);
    (void)owned_add(&from, sw_ring_end);
    assert_int_equal(su_ring_enable(&from), 0);
    su_wake_sleep(&s->wake);
    assert_true(su_wake_ring_from(&s->wake, &from));
    assert_int_equal(su_ring_enter(&from, SB_S), 0);
    assert_int_equal(su_ring_completions(&from, &completion, 1), 1);
    assert_int_equal(completion.op.kind, SU_OP_DOORBELL_LOST);
    assert_int_equal(completion.op.index, 5);
    assert_true(completion.result < 0);
    su_wake_ring_lost(&s->wake);

    assert_int_equal(su_ring_enable(&s->ring), 0);
    turn(s, SB_NEVER);
    assert_int_equal(s->wake.doorbells, 1);
}

static void *ring_once(void *argument)
{
    struct sleeper *s = argument;
    while (!su_wake_ring(&s->wake) && !atomic_load_explicit(&s->is_over, memory_order_relaxed))
        ;
    return NULL;
}

/* The bell of who polls is made when it is first asked for: nothing but the flag itself tells the
 * other thread of it.  The thread sanitizer sees whether that is enough. */
static void a_bell_made_while_the_waker_runs_is_rung(void **state)
{
    (void)state;
    struct sleeper *s = sleeper_create();
    pthread_t waker;
    assert_int_equal(pthread_create(&waker, NULL, ring_once, s), 0);
    int error = su_ring_enable(&s->ring);
    struct pollfd polled = {.fd = su_ring_poll_fd(&s->ring), .events = POLLIN};
    su_wake_rearm(&s->wake);
    if (error == 0)
        error = su_ring_enter(&s->ring, 0); /* submits the read of the eventfd */
    su_wake_sleep_in_poll(&s->wake);
    int ready = poll(&polled, 1, 10000);
    atomic_store_explicit(&s->is_over, true, memory_order_relaxed);
    assert_int_equal(pthread_join(waker, NULL), 0);
    assert_int_equal(error, 0);
    assert_int_equal(ready, 1);
    su_wake_up(&s->wake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, nothing_is_left_in_the_queue_of_a_sleeper),
        QT_TEST(owned, a_ring_wakes_a_ring),
        QT_TEST(owned, no_bell_rings_for_who_is_awake),
        QT_TEST(owned, a_bell_before_the_read_is_armed_is_heard),
        QT_TEST(owned, a_bell_made_while_the_waker_runs_is_rung),
        QT_TEST(owned, a_full_ring_rings_the_other_bell),
    };
    const struct CMUnitTest of_io_uring[] = {
        QT_TEST(owned, a_bell_that_the_kernel_refused_rings_again),
    };
    sw_require_ring();
    sb_assert_handler = qt_on_assert;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return sw_is_uring() ? failed + cmocka_run_group_tests(of_io_uring, NULL, NULL) : failed;
}

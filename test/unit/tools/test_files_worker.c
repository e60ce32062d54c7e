/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <spate/spate.h>

#include "tools/spate/files/worker.h"

enum { JOBS = 200 };

/* A job that notes when it was worked on and when it was done. */
struct job {
    struct files_job job;
    uint32_t worked; /* from 1 */
    uint32_t done;
    pthread_t thread;
};

static struct world {
    struct files_worker worker;
    struct files_lane lanes[2];
    struct job jobs[JOBS];
    uint32_t worked;
    uint32_t done;
    _Atomic uint32_t wakes;
    pthread_mutex_t gate; /* held: no job goes on */
} *w;

void spate_shard_wake(struct spate_shard *shard)
{
    assert_ptr_equal(shard, w);
    w->wakes++;
}

static int set_up(void **state)
{
    (void)state;
    w = calloc(1, sizeof(*w));
    assert_non_null(w);
    (void)pthread_mutex_init(&w->gate, NULL);
    files_worker_init(&w->worker);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    files_worker_deinit(&w->worker);
    (void)pthread_mutex_destroy(&w->gate);
    free(w);
    return 0;
}

static void work(struct files_job *job)
{
    struct job *mine = (struct job *)((char *)job - offsetof(struct job, job));
    (void)pthread_mutex_lock(&w->gate);
    mine->worked = ++w->worked;
    mine->thread = pthread_self();
    (void)pthread_mutex_unlock(&w->gate);
}

static void done(struct files_job *job)
{
    struct job *mine = (struct job *)((char *)job - offsetof(struct job, job));
    assert_true(mine->worked > 0);
    mine->done = ++w->done;
}

static void add(uint32_t index, uint32_t lane)
{
    struct job *job = &w->jobs[index];
    job->job.work = work;
    job->job.done = done;
    files_worker_add(&w->worker, (struct spate_shard *)w, &w->lanes[lane], &job->job);
}

static void wait_for_wake(uint32_t before)
{
    while (w->wakes == before)
        (void)sched_yield();
}

static void jobs_are_done_in_order_on_another_thread(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < JOBS; i++)
        add(i, i % 2);
    while (w->done < JOBS)
        files_worker_reap(&w->worker);
    for (uint32_t i = 0; i < JOBS; i++) {
        assert_int_equal(w->jobs[i].worked, i + 1);
        assert_int_equal(w->jobs[i].done, i + 1);
        assert_false(pthread_equal(w->jobs[i].thread, pthread_self()));
    }
    assert_int_equal(w->lanes[0].pending + w->lanes[1].pending, 0);
}

static void the_shard_is_woken_when_something_is_done(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t before = w->wakes;
        add(i, 0);
        wait_for_wake(before);
        files_worker_reap(&w->worker);
        assert_int_equal(w->done, i + 1);
    }
}

static void a_lane_is_drained_and_no_other(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < JOBS; i++)
        add(i, i % 2);
    files_worker_drain(&w->worker, &w->lanes[1]);
    assert_int_equal(w->lanes[1].pending, 0);
    for (uint32_t i = 0; i < JOBS; i++)
        assert_true(i % 2 == 1 ? w->jobs[i].done > 0 : w->jobs[i].done == 0);
    /* The others are done too, and the shard hears of it although it waited then. */
    assert_true(w->wakes > 0);
    while (w->done < JOBS)
        files_worker_reap(&w->worker);
    files_worker_drain(&w->worker, &w->lanes[0]); /* nothing to wait for */
}

static void note_done(struct files_job *job)
{
    struct job *mine = (struct job *)((char *)job - offsetof(struct job, job));
    mine->done = ++w->done;
}

/* A stream that has failed must not make the shard wait for the blocks of others. */
static void a_lane_that_is_given_up_waits_for_no_other(void **state)
{
    (void)state;
    (void)pthread_mutex_lock(&w->gate); /* the thread is at job 0, of the other lane */
    for (uint32_t i = 0; i < JOBS; i++) {
        add(i, i % 2);
        w->jobs[i].job.done = note_done;
    }
    files_worker_give_up(&w->worker, &w->lanes[1]);
    assert_int_equal(w->lanes[1].pending, 0);
    assert_int_equal(w->done, JOBS / 2);
    assert_true(w->wakes > 0); /* it may have been the next job of the thread */
    (void)pthread_mutex_unlock(&w->gate);
    while (w->done < JOBS)
        files_worker_reap(&w->worker);
    for (uint32_t i = 0; i < JOBS; i++)
        assert_true((w->jobs[i].worked > 0) == (i % 2 == 0));
    assert_int_equal(w->lanes[0].pending, 0);
    files_worker_give_up(&w->worker, &w->lanes[0]); /* nothing to give up */
}

/* The job at hand reads and writes what the lane's owner is about to free. */
static void the_job_at_hand_of_a_lane_that_is_given_up_is_waited_for(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < JOBS; i++)
        add(i, 0);
    for (uint32_t i = 0; i < JOBS; i++)
        w->jobs[i].job.done = note_done;
    files_worker_give_up(&w->worker, &w->lanes[0]);
    uint32_t worked = w->worked;
    assert_int_equal(w->lanes[0].pending, 0);
    assert_int_equal(w->done, JOBS);
    files_worker_stop(&w->worker);
    assert_int_equal(w->worked, worked);
    for (uint32_t i = 0; i < JOBS; i++)
        assert_true((w->jobs[i].worked > 0) == (i < worked));
}

/* A job whose done() drains its lane, as that of a block that failed does. */
static void drain_in_done(struct files_job *job)
{
    done(job);
    files_worker_drain(&w->worker, job->lane);
}

static void a_lane_may_be_drained_when_a_job_is_done(void **state)
{
    (void)state;
    (void)pthread_mutex_lock(&w->gate);
    for (uint32_t i = 0; i < 3; i++)
        add(i, 0);
    w->jobs[0].job.done = drain_in_done; /* the gate is between this and the worker */
    (void)pthread_mutex_unlock(&w->gate);
    files_worker_drain(&w->worker, &w->lanes[0]);
    assert_int_equal(w->done, 3);
}

static void a_worker_stops_with_jobs_that_wait(void **state)
{
    (void)state;
    files_worker_stop(&w->worker); /* without a thread */
    (void)pthread_mutex_lock(&w->gate);
    for (uint32_t i = 0; i < JOBS; i++)
        add(i, 0);
    (void)pthread_mutex_unlock(&w->gate);
    files_worker_stop(&w->worker);
    files_worker_stop(&w->worker);
    assert_int_equal(w->done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(jobs_are_done_in_order_on_another_thread, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_shard_is_woken_when_something_is_done, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_lane_is_drained_and_no_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lane_that_is_given_up_waits_for_no_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_job_at_hand_of_a_lane_that_is_given_up_is_waited_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lane_may_be_drained_when_a_job_is_done, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_worker_stops_with_jobs_that_wait, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

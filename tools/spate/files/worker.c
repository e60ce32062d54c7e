/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/worker.h"

#include <signal.h>

#include <spate/spate.h>

static void *run(void *argument)
{
    struct files_worker *worker = argument;
    (void)pthread_mutex_lock(&worker->lock);
    while (!worker->is_ending) {
        struct files_job *job = TAILQ_FIRST(&worker->todo);
        if (job == NULL) {
            (void)pthread_cond_wait(&worker->todo_changed, &worker->lock);
            continue;
        }
        TAILQ_REMOVE(&worker->todo, job, link);
        (void)pthread_mutex_unlock(&worker->lock);
        job->work(job);
        (void)pthread_mutex_lock(&worker->lock);
        bool is_second = !TAILQ_EMPTY(&worker->done);
        TAILQ_INSERT_TAIL(&worker->done, job, link);
        if (worker->is_watched) {
            (void)pthread_cond_signal(&worker->done_changed);
        } else if ((is_second || TAILQ_EMPTY(&worker->todo)) && !worker->is_rung &&
                   !worker->is_ending) {
            worker->is_rung = true; /* the shard takes all that are there */
            spate_shard_wake(worker->shard);
        }
    }
    (void)pthread_mutex_unlock(&worker->lock);
    return NULL;
}

void files_worker_init(struct files_worker *ret)
{
    *ret = (struct files_worker){.shard = NULL};
    (void)pthread_mutex_init(&ret->lock, NULL);
    (void)pthread_cond_init(&ret->todo_changed, NULL);
    (void)pthread_cond_init(&ret->done_changed, NULL);
    TAILQ_INIT(&ret->todo);
    TAILQ_INIT(&ret->done);
}

void files_worker_stop(struct files_worker *worker)
{
    if (!worker->has_thread)
        return;
    (void)pthread_mutex_lock(&worker->lock);
    worker->is_ending = true;
    (void)pthread_cond_signal(&worker->todo_changed);
    (void)pthread_mutex_unlock(&worker->lock);
    (void)pthread_join(worker->thread, NULL);
    worker->has_thread = false;
}

void files_worker_deinit(struct files_worker *worker)
{
    files_worker_stop(worker);
    (void)pthread_cond_destroy(&worker->todo_changed);
    (void)pthread_cond_destroy(&worker->done_changed);
    (void)pthread_mutex_destroy(&worker->lock);
}

static void start(struct files_worker *worker)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGBUS);                     /* of a mapped file that was cut off */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the shard's thread */
    worker->has_thread = pthread_create(&worker->thread, NULL, run, worker) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void files_worker_add(struct files_worker *worker, struct spate_shard *shard,
                      struct files_lane *lane, struct files_job *job)
{
    job->lane = lane;
    lane->pending++;
    if (!worker->has_thread) {
        worker->shard = shard;
        start(worker);
    }
    if (!worker->has_thread) {
        job->work(job);
        TAILQ_INSERT_TAIL(&worker->done, job, link);
        spate_shard_wake(shard);
        return;
    }
    (void)pthread_mutex_lock(&worker->lock);
    if (TAILQ_EMPTY(&worker->todo))
        (void)pthread_cond_signal(&worker->todo_changed);
    TAILQ_INSERT_TAIL(&worker->todo, job, link);
    (void)pthread_mutex_unlock(&worker->lock);
}

/* Takes the first job of one lane or, with NULL, of any.  The lock is held. */
static struct files_job *take_from(struct files_jobs *jobs, const struct files_lane *lane)
{
    struct files_job *job = TAILQ_FIRST(jobs);
    while (job != NULL && lane != NULL && job->lane != lane)
        job = TAILQ_NEXT(job, link);
    if (job != NULL)
        TAILQ_REMOVE(jobs, job, link);
    return job;
}

/* What it calls may hand in jobs, and drain lanes. */
static void finish(struct files_job *job)
{
    job->lane->pending--;
    job->done(job);
}

void files_worker_reap(struct files_worker *worker)
{
    struct files_job *job;
    do {
        (void)pthread_mutex_lock(&worker->lock);
        job = take_from(&worker->done, NULL);
        worker->is_rung = worker->is_rung && job != NULL;
        (void)pthread_mutex_unlock(&worker->lock);
        if (job != NULL)
            finish(job);
    } while (job != NULL);
}

void files_worker_drain(struct files_worker *worker, const struct files_lane *lane)
{
    bool has_waited = lane->pending > 0;
    while (lane->pending > 0) {
        struct files_job *job;
        (void)pthread_mutex_lock(&worker->lock);
        worker->is_watched = true;
        while ((job = take_from(&worker->done, lane)) == NULL)
            (void)pthread_cond_wait(&worker->done_changed, &worker->lock);
        worker->is_watched = false;
        (void)pthread_mutex_unlock(&worker->lock);
        finish(job);
    }
    if (has_waited) /* for others, whose jobs are done and have woken nobody */
        spate_shard_wake(worker->shard);
}

void files_worker_give_up(struct files_worker *worker, const struct files_lane *lane)
{
    struct files_job *job;
    if (lane->pending == 0)
        return;
    (void)pthread_mutex_lock(&worker->lock);
    while ((job = take_from(&worker->todo, lane)) != NULL)
        TAILQ_INSERT_TAIL(&worker->done, job, link);
    (void)pthread_mutex_unlock(&worker->lock);
    files_worker_drain(worker, lane);
}

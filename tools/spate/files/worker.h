/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_WORKER_H
#define SPATE_FILES_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct spate_shard;
struct files_job;

/* The jobs of one stream. */
struct files_lane {
    uint32_t pending; /* that were handed in and are not done; the shard's */
};

/* What a thread other than the shard's does with a block. */
struct files_job {
    TAILQ_ENTRY(files_job) link;
    struct files_lane *lane;
    /* Runs on the worker's thread.  What it reads and writes is the worker's until `done`. */
    void (*work)(struct files_job *job);
    /* Runs on the shard's thread after it.  The lane does not count it any more. */
    void (*done)(struct files_job *job);
};

TAILQ_HEAD(files_jobs, files_job);

/* A thread that reads, hashes and writes blocks of large files, so that the shard's thread has its
 * time for the network, and both cores work.
 *
 * Jobs are done one after the other, in the order in which they were handed in.  A job is part of
 * the buffer that it works on, so their number is limited by the memory that buffers may take, and
 * none is allocated.  The thread starts with the first job: a process that moves small files alone
 * has none.
 *
 * Waking a thread that sleeps takes tens of microseconds, so the shard is woken when two jobs are
 * done, or nothing is left to do.
 *
 * The lock guards what follows it.  A job is in `todo`, then with the thread, then in `done`. */
struct files_worker {
    struct spate_shard *shard; /* woken when a job is done; set before the thread starts */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t todo_changed;
    pthread_cond_t done_changed;
    bool is_ending;
    bool is_rung;    /* the shard was woken and has not taken all */
    bool is_watched; /* the shard's thread waits for `done` to change */
    struct files_jobs todo;
    struct files_jobs done;
};

void files_worker_init(struct files_worker *ret);

/* Ends the thread, with the job that it is at.  Those that are not done are forgotten, and nothing
 * more may be handed in.  To be called before the shard is destroyed. */
void files_worker_stop(struct files_worker *worker);
void files_worker_deinit(struct files_worker *worker);

/* Hands in a job.  `shard` is always the same.  Where no thread can be started, its work is done at
 * once; `done` is called later in any case.  Threads: the shard's, as of all that follow. */
void files_worker_add(struct files_worker *worker, struct spate_shard *shard,
                      struct files_lane *lane, struct files_job *job);

/* Calls done() of the jobs that are.  Call it once per turn. */
void files_worker_reap(struct files_worker *worker);

/* Waits for all jobs of a lane, and for those of others that were handed in before, and calls their
 * done(). */
void files_worker_drain(struct files_worker *worker, const struct files_lane *lane);

/* Gives up the jobs of a lane: those that the thread has not begun are not worked on, and their
 * done() is called all the same.  Waits for no more than the job that the thread is at, if that is
 * one of the lane. */
void files_worker_give_up(struct files_worker *worker, const struct files_lane *lane);

#endif

/* SPDX-License-Identifier: MIT */
#include "tools/spate/swarm/disk.h"

#include <signal.h>
#include <time.h>

#include <spate/spate.h>

#define NS_PER_S UINT64_C(1000000000)

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void *run(void *argument)
{
    struct disk *disk = argument;
    (void)pthread_mutex_lock(&disk->lock);
    while (!disk->is_ending) {
        if (disk->todo_count == 0) {
            (void)pthread_cond_wait(&disk->changed, &disk->lock);
            continue;
        }
        struct disk_job job = disk->todo[disk->todo_first];
        disk->todo_first = (disk->todo_first + 1) % PICKER_SLOTS_MAX;
        disk->todo_count--;
        (void)pthread_mutex_unlock(&disk->lock);
        uint64_t start_ns = now_ns();
        job.error = store_prepare(disk->store, job.piece);
        uint64_t end_ns = now_ns();
        (void)pthread_mutex_lock(&disk->lock);
        disk->busy_ns += end_ns - start_ns;
        disk->done[disk->done_count++] = job;
        spate_shard_wake(disk->shard);
    }
    (void)pthread_mutex_unlock(&disk->lock);
    return NULL;
}

int disk_start(struct disk *ret, const struct store *store, struct spate_shard *shard)
{
    ret->store = store;
    ret->shard = shard;
    (void)pthread_mutex_init(&ret->lock, NULL);
    (void)pthread_cond_init(&ret->changed, NULL);
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGBUS);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the shard's thread */
    int e = pthread_create(&ret->thread, NULL, run, ret);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    ret->has_thread = e == 0;
    return -e;
}

void disk_stop(struct disk *disk)
{
    if (!disk->has_thread)
        return;
    (void)pthread_mutex_lock(&disk->lock);
    disk->is_ending = true;
    (void)pthread_cond_signal(&disk->changed);
    (void)pthread_mutex_unlock(&disk->lock);
    (void)pthread_join(disk->thread, NULL);
    (void)pthread_cond_destroy(&disk->changed);
    (void)pthread_mutex_destroy(&disk->lock);
    disk->has_thread = false;
}

void disk_ask(struct disk *disk, uint32_t slot, uint32_t piece)
{
    (void)pthread_mutex_lock(&disk->lock);
    uint32_t at = (disk->todo_first + disk->todo_count++) % PICKER_SLOTS_MAX;
    disk->todo[at] = (struct disk_job){.slot = slot, .piece = piece};
    (void)pthread_cond_signal(&disk->changed);
    (void)pthread_mutex_unlock(&disk->lock);
}

bool disk_take(struct disk *disk, struct disk_job *ret)
{
    (void)pthread_mutex_lock(&disk->lock);
    bool is_there = disk->done_count > 0;
    if (is_there)
        *ret = disk->done[--disk->done_count];
    (void)pthread_mutex_unlock(&disk->lock);
    return is_there;
}

uint64_t disk_busy_ns(struct disk *disk)
{
    if (!disk->has_thread) /* it has ended, and so has the lock */
        return disk->busy_ns;
    (void)pthread_mutex_lock(&disk->lock);
    uint64_t busy_ns = disk->busy_ns;
    (void)pthread_mutex_unlock(&disk->lock);
    return busy_ns;
}

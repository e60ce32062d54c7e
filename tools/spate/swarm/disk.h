/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SWARM_DISK_H
#define SPATE_SWARM_DISK_H

#include <pthread.h>

#include "tools/spate/swarm/picker.h"
#include "tools/spate/swarm/store.h"

struct spate_shard;

/* A thread that has the disk give space to pieces.  A slow disk holds up that thread and not the
 * shard's: no block is asked for before there is a place for it.
 *
 * The lock guards everything after it.  Invariant: todo_count and done_count together are at most
 * PICKER_SLOTS_MAX, because each slot has one piece on its way at most. */
struct disk_job {
    uint32_t slot;
    uint32_t piece;
    int error; /* 0 or a negative errno */
};

struct disk {
    const struct store *store;
    struct spate_shard *shard; /* woken when a job is done */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_ending;
    uint64_t busy_ns; /* in jobs */
    uint32_t todo_first;
    uint32_t todo_count;
    uint32_t done_count;
    struct disk_job todo[PICKER_SLOTS_MAX]; /* a ring */
    struct disk_job done[PICKER_SLOTS_MAX];
};

/* Starts the thread.  Returns 0 or a negative errno. */
int disk_start(struct disk *ret, const struct store *store, struct spate_shard *shard);

/* Waits for the job that is being done, and ends the thread.  One that was not started is accepted.
 */
void disk_stop(struct disk *disk);

/* Has a piece prepared.  Threads: the shard's. */
void disk_ask(struct disk *disk, uint32_t slot, uint32_t piece);

/* Takes a job that is done.  Returns false if there is none.  Threads: the shard's. */
bool disk_take(struct disk *disk, struct disk_job *ret);

/* Returns how long the thread was busy, in ns.  Threads: any. */
uint64_t disk_busy_ns(struct disk *disk);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SPATE_REPLACE_H
#define SPATE_REPLACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct spate_engine;
struct spate_shard;

/* A server that takes over from the one before it, and waits in a thread for the next one.  They
 * find each other at a path. */
struct replace {
    const char *path;
    struct spate_engine *engine;
    struct spate_shard *shard; /* woken when another process has taken over */
    int channel;               /* to the process before; -1: there is none */
    int listening;             /* for the next one; -1: nobody waits */
    dev_t device;              /* these two: of the file at `path` that `listening` has made */
    ino_t inode;
    pthread_t thread;
    bool has_thread;
    atomic_bool is_given;
    atomic_bool is_ending;
};

/* Takes the sockets of the process that serves at `path`, if there is one: `*ret_is_taken` says so.
 * Returns false after one line on stderr. */
bool replace_take(struct replace *ret, const char *path, struct spate_engine *engine,
                  bool *ret_is_taken);

/* Takes over, after the shards listen, and waits for the next process from now on.  Returns false
 * after one line on stderr. */
bool replace_finish(struct replace *h);

/* Returns whether another process has taken over. */
bool replace_is_given(const struct replace *h);

/* Waits for nobody any more. */
void replace_end(struct replace *h);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SE_QLOG_LOG_IMPL_H
#define SE_QLOG_LOG_IMPL_H

#include <pthread.h>

#include "engine/qlog/log.h"

/* Shared by log.c, which shards call, and writer.c, the thread. */

enum {
    SE_QLOG_PREFIXES_MAX = 16,
};

struct se_qlog_prefix {
    uint8_t ip[16];
    uint16_t family; /* 4, 6 */
    uint8_t bits;
};

struct se_qlog_file; /* writer.c */

struct se_qlog_log {
    /* Constant. */
    struct spate_qlog config; /* without `dir` and `peers` */
    struct se_qlog_prefix prefixes[SE_QLOG_PREFIXES_MAX];
    uint32_t prefix_count; /* 0: all peers */
    int folder;
    uint32_t shard_count;
    struct se_qlog_ring *rings;
    /* Any thread: slots that a connection has, from se_qlog_begin() until its end was read. */
    _Atomic(uint8_t) *slots;
    /* Written by the thread, read by each shard: files of its connections that the system has
     * refused to make or to write.  Then the last error, an errno. */
    _Atomic(uint64_t) *refused_counts;
    _Atomic(int) refused_errno;
    /* The thread's. */
    struct se_qlog_file *files; /* by slot */
    uint64_t bytes;             /* in all files and their buffers, <= config.bytes_max */
    char *text;                 /* SE_QLOG_TEXT_SIZE_MAX */
    pthread_t thread;
    pthread_mutex_t lock; /* guards is_stopping */
    pthread_cond_t stop;
    bool is_stopping;
    bool has_thread;
};

/* Takes a configuration.  Returns 0, or an error with one line in `error`. */
SB_MUST_USE int se_qlog_take(const struct spate_qlog *given, struct se_qlog_log *log,
                             struct spate_error *error);

/* Starts the thread.  Returns 0 or a negative errno. */
SB_MUST_USE int se_qlog_start(struct se_qlog_log *log);
/* Writes what waits, and ends it. */
void se_qlog_stop(struct se_qlog_log *log);

#endif

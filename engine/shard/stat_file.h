/* SPDX-License-Identifier: MIT */
#ifndef SE_STAT_FILE_H
#define SE_STAT_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <spate/conn.h>
#include <spate/stat_file.h>
#include <spate/stats.h>

#include "engine/base/wheel.h"
#include "proto/base/list.h"
#include "proto/conn/stats.h"

struct spate_shard;

enum {
    SE_STAT_CONNS_MAX = 16, /* rows of connections per shard: what a screen has room for */
    /* Connections that a turn looks at, some 200 ns each: 10,000 take 160 turns, and none is late
     * for them. */
    SE_STAT_CONNS_PER_TURN = 64,
};

#define SE_STAT_INTERVAL_NS (100 * UINT64_C(1000000)) /* for people; 1 per mille of CPU time */

/* The mapped file of an engine. */
struct se_stat_file {
    uint8_t *map; /* NULL: there is none */
    size_t size;
    dev_t device; /* these two: of the file, which another may replace */
    ino_t inode;
    char path[PATH_MAX]; /* removed at the end, if the file is still there */
    struct sb_link link; /* with those of the process's other engines */
    pid_t pid;           /* whose it is */
    bool is_forked;      /* a fork() has begun since it was made, and is not over */
    bool is_parents;     /* this is a child of fork(): `map` is memory of its own */
};

/* Makes the file `path`; NULL: in the folder that $SPATE_STAT_DIR names, or none.  Returns 0, or a
 * negative errno with one line in `error`; a folder of the environment that cannot be used is no
 * failure, but a line in `warning`. */
SB_MUST_USE int se_stat_file_open(struct se_stat_file *file, const char *path, uint32_t shard_count,
                                  struct spate_error *warning, struct spate_error *error);
void se_stat_file_close(struct se_stat_file *file);

/* A row as it is in the file. */
struct se_stat_row {
    struct spate_stat_conn conn;
    struct spate_conn_stats stats;
};

/* The shard's side. */
struct se_stat {
    uint8_t *block; /* in the file */
    struct se_timer timer;
    uint64_t next_ns;  /* not before */
    uint64_t activity; /* activity_of() at the last publication */

    /* A walk over the connections, by index, SE_STAT_CONNS_PER_TURN per turn.  Invariant: `sum` has
     * each connection below `cursor`, and each that was freed. */
    bool is_walking;
    uint32_t cursor;
    uint32_t old_cids_count;
    struct sp_stats sum;
    uint32_t row_count;
    struct se_stat_row rows[SE_STAT_CONNS_MAX]; /* the most bytes first */
};

/* Gives the shard its block and its histograms in the file, or without one a place for its
 * histograms.  Returns 0 or -ENOMEM. */
SB_MUST_USE int se_stat_init(struct spate_shard *shard, const struct se_stat_file *file);
void se_stat_deinit(struct spate_shard *shard);

/* Publishes if it is time to.  Once per turn, only if the shard has a block. */
void se_stat_run(struct spate_shard *shard);
/* A connection is freed, with these counters, which counts.conns_closed has from now on. */
void se_stat_on_freed(struct spate_shard *shard, uint32_t index, const struct sp_stats *stats);

/* What takes long to collect: of all connections, open and freed. */
struct se_conns_sum {
    const struct sp_stats *stats;
    uint64_t old_cids_count; /* of connections with CIDs of an earlier configuration */
};

/* Collects the counters and gauges of a shard. */
void se_metrics_gather(const struct spate_shard *shard, const struct se_conns_sum *conns,
                       struct spate_shard_stats *ret);

#endif

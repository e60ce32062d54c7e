/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STAT_FILE_H
#define SPATE_STAT_FILE_H

#include <spate/base.h>
#include <spate/histogram.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The layout of the file in which an engine shows its counters to other processes
 * (spate_config.stat_file): "spate stat" reads it, and any program may.  A reader maps the file and
 * needs nothing of the engine: it stops nobody, and reads what is there also after a crash.
 *
 *     struct spate_stat_head
 *     struct spate_stat_field    field_count of them, from fields_at on
 *     shards                     shard_count blocks of shard_size bytes, from shards_at on:
 *         struct spate_stat_shard
 *         counters and gauges        uint64_t each, where their fields say
 *         connections                conns_max rows of conn_size bytes, from conns_offset on:
 *             struct spate_stat_conn     those with most bytes since the last publication
 *             counters and gauges        where their fields say
 *         histograms                 struct spate_histogram each, where their fields say
 *
 * Numbers have the byte order of the machine.  The fields describe themselves, so that a reader
 * shows those that later versions add.  A reader refuses a file with another magic or version, and
 * checks all offsets against the size of the file.
 *
 * A shard publishes at most every 100 ms, and 100 ms after the last thing that happened.  It makes
 * `sequence` odd, writes counters and connections, and makes it even.  A reader copies the block,
 * and does so again if `sequence` was odd or has changed.  If it stays odd the process has died
 * within that microsecond: the block may be torn.  Histograms are written as values arrive, outside
 * of `sequence`: count them by their buckets. */
#define SPATE_STAT_MAGIC     "SPATSTAT"
#define SPATE_STAT_VERSION   1
#define SPATE_STAT_NAME_SIZE 40
#define SPATE_STAT_UNIT_SIZE 12
#define SPATE_STAT_PEER_SIZE 64

enum spate_stat_state {
    SPATE_STAT_RUNNING = 1,
    SPATE_STAT_ENDED = 2, /* the engine was destroyed, and the file removed */
};

enum spate_stat_flag {
    /* The process holds a write lock on the whole file (F_OFD_SETLK) as long as it has the file
     * mapped.  A reader that finds no lock (F_OFD_GETLK) knows that the process has died, also from
     * another PID namespace.  A child of fork() has neither the lock nor the mapping.  Without this
     * flag the file system has no locks. */
    SPATE_STAT_LOCKED = 1,
};

enum spate_stat_kind {
    SPATE_STAT_COUNTER = 1, /* it only rises */
    SPATE_STAT_GAUGE = 2,   /* a present value */
    SPATE_STAT_HISTOGRAM = 3,
};

/* Where a field is, and what its offset counts from. */
enum spate_stat_part {
    SPATE_STAT_SHARD = 1, /* in each shard's block */
    SPATE_STAT_CONN = 2,  /* in each connection's row */
};

struct spate_stat_head {
    char magic[8]; /* SPATE_STAT_MAGIC, without a zero byte */
    uint32_t version;
    uint32_t state;           /* enum spate_stat_state */
    uint64_t size;            /* of the file */
    uint64_t pid;             /* of the engine's process */
    uint64_t started_wall_ns; /* nanoseconds since 1970 */
    uint64_t started_ns;      /* CLOCK_MONOTONIC at the same time */
    char library[32];         /* spate_version(), ends with a zero byte */
    uint32_t shard_count;
    uint32_t field_count;
    uint64_t fields_at;
    uint64_t shards_at;
    uint64_t shard_size;
    uint32_t conns_offset;
    uint32_t conns_max;
    uint32_t conn_size;
    uint32_t histogram_sub_bits;   /* SPATE_HISTOGRAM_SUB_BITS */
    uint32_t histogram_value_bits; /* SPATE_HISTOGRAM_VALUE_BITS */
    uint32_t flags;                /* enum spate_stat_flag */
};

struct spate_stat_field {
    char name[SPATE_STAT_NAME_SIZE]; /* ends with a zero byte */
    char unit[SPATE_STAT_UNIT_SIZE]; /* "ns", "bytes", "bytes/s" or ""; ends with a zero byte */
    uint32_t kind;                   /* enum spate_stat_kind */
    uint32_t part;                   /* enum spate_stat_part */
    uint32_t offset;
};

struct spate_stat_shard {
    uint64_t sequence;     /* odd while the shard writes */
    uint64_t published_ns; /* CLOCK_MONOTONIC; 0: never yet */
    uint64_t conn_count;   /* rows that are in use */
    uint64_t reserved;
};

struct spate_stat_conn {
    uint64_t id;                     /* spate_conn_id() */
    uint64_t recent_bytes;           /* in and out, since the publication before */
    char peer[SPATE_STAT_PEER_SIZE]; /* its address; ends with a zero byte */
};

#ifdef __cplusplus
}
#endif

#endif

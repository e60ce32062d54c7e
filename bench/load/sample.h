/* SPDX-License-Identifier: MIT */
#ifndef LOAD_SAMPLE_H
#define LOAD_SAMPLE_H

#include <stdint.h>

#include <spate/conn.h>
#include <spate/stats.h>

#include "bench/load/usage.h"

enum {
    SAMPLE_SHARDS_MAX = 64, /* of an engine */
};

/* What one process has used and moved up to a moment; results are differences of two. */
struct sample {
    uint64_t now_ns;
    uint64_t cpu_user_ns;
    uint64_t cpu_sys_ns;
    uint64_t rss_bytes;
    uint64_t rss_peak_bytes;
    struct usage usage;
    uint64_t heap_free_bytes;       /* a part of rss_bytes that the C library keeps for later */
    uint64_t payload_in_bytes;      /* stream data received from the library */
    uint64_t payload_out_bytes;     /* stream data given to it, without the heads of requests */
    struct spate_shard_stats shard; /* the sum of all shards; turn_longest_ns: the longest */
    uint32_t shard_count;
    struct spate_shard_stats shards[SAMPLE_SHARDS_MAX];
    uint32_t conn_count;           /* open connections that are in .. */
    struct spate_conn_stats conns; /* .. the sum of their fields, gauges too */
};

/* Fills in the clock and the CPU time, and clears all other fields. */
void sample_usage(struct sample *ret);

/* Fills in the clock, the process's own usage and the shard's counters; the payload
 * is the caller's to add.  Costs about 50 us: it reads /proc/self/status. */
void sample_take(struct sample *ret, struct spate_shard *shard);

/* Adds what another shard of the process has counted and moved: a sample of sample_shard(). */
void sample_add(struct sample *sample, const struct sample *other);

/* Fills in a shard's counters, and clears all other fields. */
void sample_shard(struct sample *ret, struct spate_shard *shard);

/* Adds what one open connection has counted. */
void sample_add_conn(struct sample *sample, const struct spate_conn *conn);

#endif

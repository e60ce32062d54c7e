/* SPDX-License-Identifier: MIT */
#ifndef SP_STATS_H
#define SP_STATS_H

#include <stdint.h>

/* A list of names and nothing else, so that what a connection counts and what the public API shows
 * of it are one list. */
#include "engine/include/spate/counters.h"

/* The counters of a connection since its start, and its gauges, which sp_conn_stats() fills in. */
struct sp_stats {
    SPATE_CONN_STATS(SPATE_STATS_FIELD)
};

/* The counters alone: what a connection keeps. */
#define SP_COUNTERS_COUNTER(name) uint64_t name;
#define SP_COUNTERS_GAUGE(name)
#define SP_COUNTERS_WAIT(name)  /* the host's, as all of this kind */
#define SP_COUNTERS(kind, name) SP_COUNTERS_##kind(name)

struct sp_counters {
    SPATE_CONN_STATS(SP_COUNTERS)
};

#define SP_STATS_COPY_COUNTER(name) ret->name = counters->name;
#define SP_STATS_COPY_GAUGE(name)
#define SP_STATS_COPY_WAIT(name)
#define SP_STATS_COPY(kind, name) SP_STATS_COPY_##kind(name)

/* Copies the counters, and leaves the gauges as they are. */
static inline void sp_stats_copy(struct sp_stats *ret, const struct sp_counters *counters)
{
    SPATE_CONN_STATS(SP_STATS_COPY)
}

#define SP_STATS_ADD_COUNTER(name) sum->name += stats->name;
#define SP_STATS_ADD_GAUGE(name)
#define SP_STATS_ADD_WAIT(name)
#define SP_STATS_ADD(kind, name) SP_STATS_ADD_##kind(name)

/* Adds the counters of a connection to `sum`.  A sum of gauges has no meaning: they stay as they
 * are. */
static inline void sp_stats_add(struct sp_stats *sum, const struct sp_stats *stats)
{
    SPATE_CONN_STATS(SP_STATS_ADD)
}

struct sp_conn;

/* Returns the counter packets_in alone.  sp_conn_stats() copies all. */
uint64_t sp_conn_packets_in(const struct sp_conn *conn);

#endif

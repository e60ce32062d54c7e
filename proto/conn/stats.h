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

#define SP_STATS_ADD_COUNTER(name) sum->name += stats->name;
#define SP_STATS_ADD_GAUGE(name)
#define SP_STATS_ADD(kind, name) SP_STATS_ADD_##kind(name)

/* Adds the counters of a connection to `sum`.  A sum of gauges has no meaning: they stay as they
 * are. */
static inline void sp_stats_add(struct sp_stats *sum, const struct sp_stats *stats)
{
    SPATE_CONN_STATS(SP_STATS_ADD)
}

#endif

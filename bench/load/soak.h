/* SPDX-License-Identifier: MIT */
#ifndef LOAD_SOAK_H
#define LOAD_SOAK_H

#include <stdint.h>

#include <spate/histogram.h>

#include "bench/load/sample.h"

/* How a load goes over hours: a point for each interval. */

enum {
    SOAK_POINTS = 60, /* if --interval is not given */
    SOAK_POINTS_MAX = 4096,
};

/* An interval, and the state at its end. */
struct soak_point {
    uint64_t at_ns; /* since the first sample */
    uint64_t requests;
    uint64_t bytes; /* that the client has received */
    uint64_t p50_ns;
    uint64_t p99_ns;
    uint64_t max_ns;
    uint64_t client_rss_bytes;
    uint64_t server_rss_bytes;
    uint64_t client_fds;
    uint64_t server_fds;
    uint64_t client_heap_bytes;
    uint64_t server_heap_bytes;
};

struct soak {
    uint32_t count;
    uint64_t begin_ns;
    uint64_t bytes;                /* received before the present interval */
    struct spate_histogram before; /* the latencies up to there */
    struct soak_point points[SOAK_POINTS_MAX];
};

/* What has changed from the first half of the points to the second.  NAN without enough of them. */
struct soak_drift {
    double client_rss_bytes_per_hour; /* the slope of a straight line through the points */
    double server_rss_bytes_per_hour;
    double client_fds; /* the last point minus the first */
    double server_fds;
    double p50_ratio; /* the median of the second half over that of the first */
    double p99_ratio;
};

void soak_begin(struct soak *soak, uint64_t now_ns, uint64_t bytes);

/* Adds a point; what is beyond SOAK_POINTS_MAX is left out.
 *
 *   latency  All latencies so far.
 *   bytes    All that the client has received. */
void soak_add(struct soak *soak, const struct sample *client, const struct sample *server,
              const struct spate_histogram *latency, uint64_t bytes);

struct soak_drift soak_drift_of(const struct soak *soak);

#endif

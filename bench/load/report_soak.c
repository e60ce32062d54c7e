/* SPDX-License-Identifier: MIT */
#include "bench/load/report_soak.h"

#include "bench/load/clock.h"
#include "bench/load/json.h"
#include "bench/load/options.h"
#include "bench/load/soak.h"

void report_write_soak(struct json *j, const struct options *o, const struct soak *soak)
{
    struct soak_drift drift = soak_drift_of(soak);
    json_begin(j, "soak");
    json_number(j, "interval_s", (double)o->interval_ns / (double)NS_PER_S);
    json_number(j, "client_rss_bytes_per_hour", drift.client_rss_bytes_per_hour);
    json_number(j, "server_rss_bytes_per_hour", drift.server_rss_bytes_per_hour);
    json_number(j, "client_fds_growth", drift.client_fds);
    json_number(j, "server_fds_growth", drift.server_fds);
    json_number(j, "p50_drift", drift.p50_ratio);
    json_number(j, "p99_drift", drift.p99_ratio);
    json_begin_list(j, "points");
    for (uint32_t i = 0; i < soak->count; i++) {
        const struct soak_point *p = &soak->points[i];
        json_begin(j, NULL);
        json_number(j, "at_s", (double)p->at_ns / (double)NS_PER_S);
        json_integer(j, "requests", p->requests);
        json_integer(j, "bytes", p->bytes);
        json_number(j, "p50_us", (double)p->p50_ns / 1e3);
        json_number(j, "p99_us", (double)p->p99_ns / 1e3);
        json_number(j, "max_us", (double)p->max_ns / 1e3);
        json_integer(j, "client_rss_bytes", p->client_rss_bytes);
        json_integer(j, "server_rss_bytes", p->server_rss_bytes);
        json_integer(j, "client_heap_bytes", p->client_heap_bytes);
        json_integer(j, "server_heap_bytes", p->server_heap_bytes);
        json_integer(j, "client_fds", p->client_fds);
        json_integer(j, "server_fds", p->server_fds);
        json_end(j);
    }
    json_end_list(j);
    json_end(j);
}

void report_print_soak(const struct soak *soak, FILE *file)
{
    struct soak_drift drift = soak_drift_of(soak);
    fprintf(file,
            "  %u points: rss grows by %.1f MB an hour (client) and %.1f (server), descriptors by "
            "%.0f and %.0f;\n  second half over first: p50 %.3f, p99 %.3f\n",
            soak->count, drift.client_rss_bytes_per_hour / 1e6,
            drift.server_rss_bytes_per_hour / 1e6, drift.client_fds, drift.server_fds,
            drift.p50_ratio, drift.p99_ratio);
}

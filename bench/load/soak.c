/* SPDX-License-Identifier: MIT */
#include "bench/load/soak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/clock.h"

void soak_begin(struct soak *soak, uint64_t now_ns, uint64_t bytes)
{
    memset(soak, 0, sizeof(*soak));
    spate_histogram_init(&soak->before);
    soak->begin_ns = now_ns;
    soak->bytes = bytes;
}

void soak_add(struct soak *soak, const struct sample *client, const struct sample *server,
              const struct spate_histogram *latency, uint64_t bytes)
{
    if (soak->count == SOAK_POINTS_MAX)
        return;
    struct spate_histogram own;
    spate_histogram_since(latency, &soak->before, &own);
    soak->points[soak->count++] = (struct soak_point){
        .at_ns = client->now_ns - soak->begin_ns,
        .requests = own.count,
        .bytes = bytes - soak->bytes,
        .p50_ns = spate_histogram_percentile(&own, 50),
        .p99_ns = spate_histogram_percentile(&own, 99),
        .max_ns = spate_histogram_percentile(&own, 100),
        .client_rss_bytes = client->rss_bytes,
        .server_rss_bytes = server->rss_bytes,
        .client_fds = client->usage.fds,
        .server_fds = server->usage.fds,
        .client_heap_bytes = client->usage.heap_used_bytes,
        .server_heap_bytes = server->usage.heap_used_bytes,
    };
    soak->before = *latency;
    soak->bytes = bytes;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* One number of each point; `at` is its place in struct soak_point. */
static double field(const struct soak *soak, uint32_t index, size_t at)
{
    uint64_t value;
    memcpy(&value, (const char *)&soak->points[index] + at, sizeof(value));
    return (double)value;
}

/* Least squares, per hour. */
static double slope(const struct soak *soak, size_t at)
{
    double n = soak->count;
    double x_sum = 0, y_sum = 0, xx_sum = 0, xy_sum = 0;
    for (uint32_t i = 0; i < soak->count; i++) {
        double x = (double)soak->points[i].at_ns / (3600.0 * (double)NS_PER_S);
        double y = field(soak, i, at);
        x_sum += x;
        y_sum += y;
        xx_sum += x * x;
        xy_sum += x * y;
    }
    double divisor = n * xx_sum - x_sum * x_sum;
    return divisor > 0 ? (n * xy_sum - x_sum * y_sum) / divisor : NAN;
}

static double halves(const struct soak *soak, size_t at)
{
    double first[SOAK_POINTS_MAX / 2];
    double second[SOAK_POINTS_MAX / 2];
    uint32_t half = soak->count / 2;
    for (uint32_t i = 0; i < half; i++) {
        first[i] = field(soak, i, at);
        second[i] = field(soak, soak->count - half + i, at);
    }
    if (half == 0)
        return NAN;
    double before = median(first, half);
    return before > 0 ? median(second, half) / before : NAN;
}

#define AT(name) offsetof(struct soak_point, name)

struct soak_drift soak_drift_of(const struct soak *soak)
{
    struct soak_drift drift = {.client_fds = NAN, .server_fds = NAN};
    drift.client_rss_bytes_per_hour = slope(soak, AT(client_rss_bytes));
    drift.server_rss_bytes_per_hour = slope(soak, AT(server_rss_bytes));
    drift.p50_ratio = halves(soak, AT(p50_ns));
    drift.p99_ratio = halves(soak, AT(p99_ns));
    if (soak->count > 0) {
        uint32_t last = soak->count - 1;
        drift.client_fds = field(soak, last, AT(client_fds)) - field(soak, 0, AT(client_fds));
        drift.server_fds = field(soak, last, AT(server_fds)) - field(soak, 0, AT(server_fds));
    }
    return drift;
}

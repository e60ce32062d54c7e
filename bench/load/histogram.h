/* SPDX-License-Identifier: MIT */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A histogram of durations with a bounded relative error, in the manner of HdrHistogram
 * (Gil Tene): linear buckets inside each power of two.
 *
 * Values below 256 ns are exact; above, a bucket is at most 1/128 (0.8 %) of its values
 * wide.  Values over HISTOGRAM_NS_MAX count as that one.
 *
 * Invariants: sum of counts[] == count; min_ns <= max_ns unless count == 0. */
#define HISTOGRAM_SUB_BITS   7
#define HISTOGRAM_VALUE_BITS 42 /* 73 minutes */
#define HISTOGRAM_NS_MAX     ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)
#define HISTOGRAM_BUCKET_COUNT \
    ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count;
    uint64_t min_ns;
    uint64_t max_ns;
    double sum_ns;
    uint64_t counts[HISTOGRAM_BUCKET_COUNT];
};

void histogram_init(struct histogram *h);

void histogram_record(struct histogram *h, uint64_t value_ns);

/* The smallest recorded value (to the histogram's precision, rounded up, but never over max_ns)
 * that at least `percentile` percent of all values do not exceed.  0 if nothing is
 * recorded.  `percentile` from 0 to 100. */
uint64_t histogram_percentile_ns(const struct histogram *h, double percentile);

/* Writes the percentile distribution in microseconds as HdrHistogram's
 * outputPercentileDistribution() does with 5 ticks a half distance; its plotter
 * (hdrhistogram.github.io/HdrHistogram/plotFiles.html) reads it.  The caller looks for ferror(). */
void histogram_write_percentiles(const struct histogram *h, FILE *file);

#endif

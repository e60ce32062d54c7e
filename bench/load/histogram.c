/* SPDX-License-Identifier: MIT */
/* Log-linear buckets.  A value of `bits` significant bits keeps its top SUB_BITS + 1 bits:
 *
 *     shift = max(bits - (SUB_BITS + 1), 0)
 *     index = (shift << SUB_BITS) + (value >> shift)
 *
 * For shift > 0 the top bit of value >> shift is always set, so that the upper half of each
 * octave's 2^(SUB_BITS + 1) numbers is used and octaves follow each other without a gap. */

#include "bench/load/histogram.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Reported steps on each halving of the distance to 100 %: what HdrHistogram defaults to. */
#define TICKS_PER_HALF_DISTANCE 5

static uint32_t index_of(uint64_t value)
{
    uint32_t bits = value == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(value);
    uint32_t shift = bits > HISTOGRAM_SUB_BITS + 1 ? bits - (HISTOGRAM_SUB_BITS + 1) : 0;
    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

static uint32_t shift_of(uint32_t index)
{
    uint32_t octave = index >> HISTOGRAM_SUB_BITS;
    return octave > 1 ? octave - 1 : 0;
}

/* The largest value that falls into the bucket. */
static uint64_t highest_of(uint32_t index)
{
    uint32_t shift = shift_of(index);
    uint64_t top = index - (shift << HISTOGRAM_SUB_BITS);
    return ((top + 1) << shift) - 1;
}

void histogram_init(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
    h->min_ns = UINT64_MAX;
}

void histogram_record(struct histogram *h, uint64_t value_ns)
{
    uint64_t value = value_ns < HISTOGRAM_NS_MAX ? value_ns : HISTOGRAM_NS_MAX;

    h->counts[index_of(value)]++;
    h->count++;
    h->sum_ns += (double)value;
    if (value < h->min_ns)
        h->min_ns = value;
    if (value > h->max_ns)
        h->max_ns = value;
}

/* How many values make up `percentile` of all: at least one, at most all. */
static uint64_t rank_of(const struct histogram *h, double percentile)
{
    double rank = ceil(percentile / 100.0 * (double)h->count - 1e-9);
    if (rank < 1)
        return 1;
    return rank > (double)h->count ? h->count : (uint64_t)rank;
}

uint64_t histogram_percentile_ns(const struct histogram *h, double percentile)
{
    if (h->count == 0)
        return 0;

    uint64_t rank = rank_of(h, percentile);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        seen += h->counts[i];
        if (seen >= rank) {
            uint64_t value = highest_of(i);
            return value < h->max_ns ? value : h->max_ns;
        }
    }
    return h->max_ns;
}

static double deviation_ns(const struct histogram *h)
{
    if (h->count == 0)
        return 0;

    double mean = h->sum_ns / (double)h->count;
    double squares = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        if (h->counts[i] == 0)
            continue;
        double middle = (double)highest_of(i) - (double)((UINT64_C(1) << shift_of(i)) - 1) / 2;
        squares += (double)h->counts[i] * (middle - mean) * (middle - mean);
    }
    return sqrt(squares / (double)h->count);
}

/* The next level to report: steps halve each time the distance to 100 % has halved. */
static double next_level(double percentile)
{
    double halvings = floor(log2(100.0 / (100.0 - percentile))) + 1;
    return percentile + 100.0 / (TICKS_PER_HALF_DISTANCE * exp2(halvings));
}

static void write_levels(const struct histogram *h, FILE *file)
{
    double level = 0;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT && seen < h->count; i++) {
        seen += h->counts[i];
        uint64_t value = highest_of(i) < h->max_ns ? highest_of(i) : h->max_ns;
        while (seen < h->count && h->counts[i] > 0 && rank_of(h, level) <= seen) {
            fprintf(file, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", (double)value / 1e3,
                    level / 100.0, seen, 100.0 / (100.0 - level));
            level = next_level(level);
        }
    }
    /* The last line has no fourth column: 1/(1 - 1) is no number. */
    if (h->count > 0)
        fprintf(file, "%12.3f %2.12f %10" PRIu64 "\n", (double)h->max_ns / 1e3, 1.0, h->count);
}

void histogram_write_percentiles(const struct histogram *h, FILE *file)
{
    double mean = h->count == 0 ? 0 : h->sum_ns / (double)h->count;

    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    write_levels(h, file);
    fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean / 1e3,
            deviation_ns(h) / 1e3);
    fprintf(file, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)h->max_ns / 1e3,
            h->count);
    fprintf(file, "#[Buckets = %12d, SubBuckets     = %12d]\n",
            HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS, 2 << HISTOGRAM_SUB_BITS);
}

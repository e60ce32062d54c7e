/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HISTOGRAM_H
#define SPATE_HISTOGRAM_H

#include <string.h>

#include <spate/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A histogram of numbers with a bounded relative error, in the layout of HdrHistogram (Gil Tene):
 * linear buckets inside each power of two.
 *
 * Values below 256 are exact.  Above, a bucket is at most 1/128 (0.8 %) of its values wide.  Values
 * over SPATE_HISTOGRAM_VALUE_MAX count as that one.  Histograms of different shards, processes and
 * times can be added.
 *
 * The functions are inline: they are compiled into the program, and need no libspate. */
#define SPATE_HISTOGRAM_SUB_BITS     7
#define SPATE_HISTOGRAM_VALUE_BITS   42 /* of nanoseconds: 73 minutes */
#define SPATE_HISTOGRAM_VALUE_MAX    ((UINT64_C(1) << SPATE_HISTOGRAM_VALUE_BITS) - 1)
#define SPATE_HISTOGRAM_BUCKET_COUNT 4608 /* (VALUE_BITS - SUB_BITS + 1) << SUB_BITS */

/* Invariants: the sum of counts[] == count; min <= max unless count == 0. */
struct spate_histogram {
    uint64_t count;
    uint64_t min; /* UINT64_MAX: nothing is recorded */
    uint64_t max;
    uint64_t sum; /* modulo 2^64 */
    uint64_t counts[SPATE_HISTOGRAM_BUCKET_COUNT];
};

/* Returns the bucket of a value.  A value of `bits` significant bits keeps its top SUB_BITS + 1:
 *
 *     shift = max(bits - (SUB_BITS + 1), 0)
 *     index = (shift << SUB_BITS) + (value >> shift)
 *
 * For shift > 0 the top bit of value >> shift is always set, so that the upper half of the 256
 * numbers of each power of two is used, and powers of two follow each other without a gap.
 *
 *   value  Up to SPATE_HISTOGRAM_VALUE_MAX.
 *
 * Threads: any. */
static inline uint32_t spate_histogram_index(uint64_t value)
{
    uint32_t bits = 64 - (uint32_t)__builtin_clzll(value | 1);
    uint32_t shift =
        bits > SPATE_HISTOGRAM_SUB_BITS + 1 ? bits - (SPATE_HISTOGRAM_SUB_BITS + 1) : 0;
    return (shift << SPATE_HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/* Returns the binary logarithm of a bucket's width.
 *
 *   index  Less than SPATE_HISTOGRAM_BUCKET_COUNT.
 *
 * Threads: any. */
static inline uint32_t spate_histogram_shift(uint32_t index)
{
    uint32_t octave = index >> SPATE_HISTOGRAM_SUB_BITS;
    return octave > 1 ? octave - 1 : 0;
}

/* Returns the largest value that falls into a bucket.
 *
 *   index  Less than SPATE_HISTOGRAM_BUCKET_COUNT.
 *
 * Threads: any. */
static inline uint64_t spate_histogram_highest(uint32_t index)
{
    uint32_t shift = spate_histogram_shift(index);
    uint64_t top = index - (shift << SPATE_HISTOGRAM_SUB_BITS);
    return ((top + 1) << shift) - 1;
}

/* Empties a histogram.
 *
 *   histogram  In any state.
 *
 * Threads: any. */
static inline void spate_histogram_init(struct spate_histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->min = UINT64_MAX;
}

/* Records `count` values that are equal.
 *
 *   value  Above SPATE_HISTOGRAM_VALUE_MAX it counts as that.
 *   count  0 records nothing.
 *
 * Threads: any, one at a time. */
static inline void spate_histogram_record_many(struct spate_histogram *histogram, uint64_t value,
                                               uint64_t count)
{
    if (count == 0)
        return;
    if (value > SPATE_HISTOGRAM_VALUE_MAX)
        value = SPATE_HISTOGRAM_VALUE_MAX;
    histogram->counts[spate_histogram_index(value)] += count;
    histogram->count += count;
    histogram->sum += value * count;
    if (value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
}

/* Records a value.
 *
 *   value  Above SPATE_HISTOGRAM_VALUE_MAX it counts as that.
 *
 * Threads: any, one at a time. */
static inline void spate_histogram_record(struct spate_histogram *histogram, uint64_t value)
{
    spate_histogram_record_many(histogram, value, 1);
}

/* Adds the values of another histogram.
 *
 *   sum    Where they are added.
 *   other  Not changed.
 *
 * Threads: any, one at a time. */
static inline void spate_histogram_add(struct spate_histogram *sum,
                                       const struct spate_histogram *other)
{
    for (uint32_t i = 0; i < SPATE_HISTOGRAM_BUCKET_COUNT; i++)
        sum->counts[i] += other->counts[i];
    sum->count += other->count;
    sum->sum += other->sum;
    if (other->min < sum->min)
        sum->min = other->min;
    if (other->max > sum->max)
        sum->max = other->max;
}

/* Makes a histogram of what was recorded since an earlier state of one.  Its least and greatest
 * values are known to the precision of their buckets; its sum is exact.
 *
 *   histogram  Not changed.
 *   before     A copy of `histogram` as it was.
 *   ret        Where the difference goes; not `histogram` itself.
 *
 * Threads: any. */
static inline void spate_histogram_since(const struct spate_histogram *histogram,
                                         const struct spate_histogram *before,
                                         struct spate_histogram *ret)
{
    spate_histogram_init(ret);
    for (uint32_t i = 0; i < SPATE_HISTOGRAM_BUCKET_COUNT; i++) {
        if (histogram->counts[i] <= before->counts[i])
            continue;
        ret->counts[i] = histogram->counts[i] - before->counts[i];
        uint64_t highest = spate_histogram_highest(i);
        ret->count += ret->counts[i];
        ret->max = highest < histogram->max ? highest : histogram->max;
        if (ret->min == UINT64_MAX)
            ret->min = i == 0 ? 0 : spate_histogram_highest(i - 1) + 1;
    }
    ret->sum = histogram->sum - before->sum;
}

/* Returns how many values make up `percentile` percent of all: at least 1, at most all.
 *
 *   percentile  0 to 100.
 *
 * Threads: any. */
static inline uint64_t spate_histogram_rank(const struct spate_histogram *histogram,
                                            double percentile)
{
    double rank = percentile / 100.0 * (double)histogram->count - 1e-9;
    if (!(rank > 0))
        return 1;
    if (rank >= (double)histogram->count)
        return histogram->count;
    uint64_t floor = (uint64_t)rank;
    return floor + ((double)floor < rank);
}

/* Returns the smallest recorded value that at least `percentile` percent of all values do not
 * exceed: to the histogram's precision, rounded up, but never above `max`.  Returns 0 if nothing is
 * recorded.
 *
 *   percentile  0 to 100.
 *
 * Threads: any. */
static inline uint64_t spate_histogram_percentile(const struct spate_histogram *histogram,
                                                  double percentile)
{
    if (histogram->count == 0)
        return 0;
    uint64_t rank = spate_histogram_rank(histogram, percentile);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < SPATE_HISTOGRAM_BUCKET_COUNT; i++) {
        seen += histogram->counts[i];
        if (seen >= rank) {
            uint64_t value = spate_histogram_highest(i);
            return value < histogram->max ? value : histogram->max;
        }
    }
    return histogram->max;
}

#ifdef __cplusplus
}
#endif

#endif

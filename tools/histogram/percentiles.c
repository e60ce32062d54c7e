/* SPDX-License-Identifier: MIT */
#include "tools/histogram/percentiles.h"

/* The file that HdrHistogram's plotter reads. */

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Reported steps on each halving of the distance to 100 %: what HdrHistogram defaults to. */
#define TICKS_PER_HALF_DISTANCE 5

static double deviation(const struct spate_histogram *h)
{
    if (h->count == 0)
        return 0;

    double mean = (double)h->sum / (double)h->count;
    double squares = 0;
    for (uint32_t i = 0; i < SPATE_HISTOGRAM_BUCKET_COUNT; i++) {
        if (h->counts[i] == 0)
            continue;
        double middle = (double)spate_histogram_highest(i) -
                        (double)((UINT64_C(1) << spate_histogram_shift(i)) - 1) / 2;
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

static void write_levels(const struct spate_histogram *h, double divisor, FILE *file)
{
    double level = 0;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < SPATE_HISTOGRAM_BUCKET_COUNT && seen < h->count; i++) {
        seen += h->counts[i];
        uint64_t value = spate_histogram_highest(i) < h->max ? spate_histogram_highest(i) : h->max;
        while (seen < h->count && h->counts[i] > 0 && spate_histogram_rank(h, level) <= seen) {
            fprintf(file, "%12.3f %2.12f %10" PRIu64 " %14.2f\n", (double)value / divisor,
                    level / 100.0, seen, 100.0 / (100.0 - level));
            level = next_level(level);
        }
    }
    /* The last line has no fourth column: 1/(1 - 1) is no number. */
    if (h->count > 0)
        fprintf(file, "%12.3f %2.12f %10" PRIu64 "\n", (double)h->max / divisor, 1.0, h->count);
}

void histogram_write_percentiles(const struct spate_histogram *h, double divisor, FILE *file)
{
    double mean = h->count == 0 ? 0 : (double)h->sum / (double)h->count;

    fprintf(file, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    write_levels(h, divisor, file);
    fprintf(file, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean / divisor,
            deviation(h) / divisor);
    fprintf(file, "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", (double)h->max / divisor,
            h->count);
    fprintf(file, "#[Buckets = %12d, SubBuckets     = %12d]\n",
            SPATE_HISTOGRAM_VALUE_BITS - SPATE_HISTOGRAM_SUB_BITS, 2 << SPATE_HISTOGRAM_SUB_BITS);
}

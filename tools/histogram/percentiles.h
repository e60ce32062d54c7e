/* SPDX-License-Identifier: MIT */
#ifndef HISTOGRAM_PERCENTILES_H
#define HISTOGRAM_PERCENTILES_H

#include <stdio.h>

#include <spate/histogram.h>

/* Writes the percentile distribution as HdrHistogram's outputPercentileDistribution() does with 5
 * ticks a half distance; its plotter (hdrhistogram.github.io/HdrHistogram/plotFiles.html) reads it.
 * `divisor`: of the values; 1,000 makes microseconds of nanoseconds.  The caller looks for
 * ferror(). */
void histogram_write_percentiles(const struct spate_histogram *h, double divisor, FILE *file);

#endif

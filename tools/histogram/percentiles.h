/* SPDX-License-Identifier: MIT */
#ifndef HISTOGRAM_PERCENTILES_H
#define HISTOGRAM_PERCENTILES_H

#include <stdio.h>

#include <spate/histogram.h>

/* Writes the percentile distribution in microseconds as HdrHistogram's
 * outputPercentileDistribution() does with 5 ticks a half distance; its plotter
 * (hdrhistogram.github.io/HdrHistogram/plotFiles.html) reads it.  The caller looks for ferror(). */
void histogram_write_percentiles(const struct spate_histogram *h, FILE *file);

#endif

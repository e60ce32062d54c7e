/* SPDX-License-Identifier: MIT */
#ifndef HISTOGRAM_SVG_H
#define HISTOGRAM_SVG_H

#include <stdint.h>
#include <stdio.h>

#include <spate/histogram.h>

/* A line of the picture. */
struct histogram_curve {
    const char *name;
    const struct spate_histogram *histogram;
};

/* Draws values over percentiles, both by logarithm, as one SVG without any reference to others: the
 * distance to 100 % halves on each step to the right.  `divisor`: of the values, `unit`: its name.
 * The caller looks for ferror(). */
void histogram_write_svg(const struct histogram_curve *curves, uint32_t count, double divisor,
                         const char *unit, FILE *file);

#endif

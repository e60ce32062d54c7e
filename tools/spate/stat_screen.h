/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STAT_SCREEN_H
#define SPATE_STAT_SCREEN_H

#include <stdio.h>

#include "tools/spate/stat_map.h"

/* A reading for the screen: all counters, and all histograms, of which the screen shows what came
 * between two readings. */
struct stat_reading {
    struct stat_view view;
    struct spate_histogram *histograms; /* sums over all shards, in the order of the fields */
};

/* Returns false without memory. */
bool stat_reading_take(const struct stat_map *map, struct stat_reading *ret);
void stat_reading_free(struct stat_reading *reading);

/* Writes rates between the two, and present values: some 30 lines of 100 columns. */
void stat_write_screen(const struct stat_reading *before, const struct stat_reading *after,
                       FILE *out);

#endif

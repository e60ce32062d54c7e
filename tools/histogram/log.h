/* SPDX-License-Identifier: MIT */
#ifndef HISTOGRAM_LOG_H
#define HISTOGRAM_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include <spate/histogram.h>

/* Logs of HdrHistogram: a line per histogram, with a tag, in the encoding V2, compressed.  Those of
 * other programs may have another precision and unit: their values are recorded as they are. */

enum {
    HISTOGRAM_TAG_SIZE = 48,
    /* Bytes of a line.  Our own have 55,000 at most; 16 times the buckets, of another precision,
     * make 890,000. */
    HISTOGRAM_LINE_MAX = 1 << 20,
};

/* Writes the lines before the first histogram, and one histogram.  The caller looks for ferror().
 */
void histogram_log_begin(FILE *file);
bool histogram_log_write(FILE *file, const char *tag, const struct spate_histogram *histogram);

/* Adds the histogram of a line to `ret`, and gives its tag, "" if it has none.  Returns 1; 0 for a
 * line without a histogram; -1 for a broken one. */
int histogram_log_read(const char *line, char tag[HISTOGRAM_TAG_SIZE], struct spate_histogram *ret);

#endif

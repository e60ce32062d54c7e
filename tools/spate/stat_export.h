/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STAT_EXPORT_H
#define SPATE_STAT_EXPORT_H

#include <stdio.h>

#include "tools/spate/stat_map.h"

/* What an engine shows, for other programs: everything that the file has, under its own names.  The
 * caller looks for ferror(). */

/* One JSON object. */
void stat_write_json(const struct stat_view *view, FILE *out);

/* Prometheus' text exposition format, 0.0.4.  Times are in seconds, as is usual there. */
void stat_write_prometheus(const struct stat_view *view, FILE *out);

/* The part of it that is true of an engine that runs no more: that it does not, and since when. */
void stat_write_prometheus_life(const struct stat_view *view, FILE *out);

#endif

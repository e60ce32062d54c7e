/* SPDX-License-Identifier: MIT */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdbool.h>
#include <stdio.h>

struct options;
struct result;
struct versus;

/* A few lines for a person. */
void report_print(const struct options *o, const struct result *r, FILE *file);

/* One JSON object.  Numbers that the scenario does not have are null, and so is the
 * object of a side that is not ours. */
void report_write_json(const struct options *o, const struct result *r, FILE *file);

/* The same of the limit alone. */
void report_print_limit(const struct options *o, const struct versus *v, FILE *file);
void report_write_limit(const struct options *o, const struct versus *v, FILE *file);

/* Numbers of a run; NaN where it has none. */
double report_gbps(const struct result *r);
double report_cpu_s_per_gb(const struct result *r);                         /* both sides */
double report_cpu_us_per_operation(const struct result *r, bool is_server); /* rr, handshake */
double report_percentile_us(const struct result *r, double percentile);

#endif

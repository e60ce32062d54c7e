/* SPDX-License-Identifier: MIT */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdio.h>

struct options;
struct result;

/* A few lines for a person. */
void report_print(const struct options *o, const struct result *r, FILE *file);

/* One JSON object.  Numbers that the scenario does not have are null, and so is the
 * object of a side that is not ours. */
void report_write_json(const struct options *o, const struct result *r, FILE *file);

#endif

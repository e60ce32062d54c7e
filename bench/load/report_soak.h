/* SPDX-License-Identifier: MIT */
#ifndef LOAD_REPORT_SOAK_H
#define LOAD_REPORT_SOAK_H

#include <stdio.h>

struct json;
struct options;
struct soak;

/* What `soak` adds to the report: its points and how they drift. */
void report_write_soak(struct json *j, const struct options *o, const struct soak *soak);
void report_print_soak(const struct soak *soak, FILE *file);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef LOAD_REPORT_IDLE_H
#define LOAD_REPORT_IDLE_H

#include <stdio.h>

struct json;
struct options;
struct result;

/* What `idle` has measured: as JSON, and as text. */
void report_write_idle(struct json *j, const struct options *o, const struct result *r);
void report_print_idle(const struct options *o, const struct result *r, FILE *file);

#endif

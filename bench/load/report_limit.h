/* SPDX-License-Identifier: MIT */
#ifndef LOAD_REPORT_LIMIT_H
#define LOAD_REPORT_LIMIT_H

#include <stdio.h>

struct json;
struct options;
struct versus;
struct versus_bare;

/* What the comparison with the limit adds to the report of a scenario. */
void report_write_versus(struct json *j, const struct versus *v);
void report_print_versus(const struct options *o, const struct versus *v, FILE *file);

/* Writes the comparison of `handshake` with bare TLS: as JSON, and as text. */
void report_write_bare(struct json *j, const struct versus_bare *v);
void report_print_bare(const struct versus_bare *v, FILE *file);

#endif

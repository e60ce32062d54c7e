/* SPDX-License-Identifier: MIT */
#ifndef LOAD_REPORT_USAGE_H
#define LOAD_REPORT_USAGE_H

#include <stdio.h>

#include "bench/load/sample.h"

struct json;
struct result;

/* Writes what a side has used beside its CPU time, between two samples: members of its object. */
void report_write_usage(struct json *j, const struct result *r, const struct sample samples[2]);

/* A line of a table, and its head. */
void report_print_usage_head(FILE *file);
void report_print_usage(const char *name, const struct result *r, const struct sample samples[2],
                        FILE *file);

/* What the relay between both sides did; nothing where there is none. */
void report_write_relay(struct json *j, const struct result *r);
void report_print_relay(const struct result *r, FILE *file);

#endif

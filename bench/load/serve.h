/* SPDX-License-Identifier: MIT */
#ifndef LOAD_SERVE_H
#define LOAD_SERVE_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

struct failure;
struct options;
struct result;

/* The server alone: says where it listens, serves until `*stop` is set or --seconds
 * are over, and takes leave of its clients.
 *
 *   status  Where to say it: one line.
 *   *ret    What the server has moved and used.
 *
 * Returns false and sets `failure` if it cannot serve. */
bool serve_run(const struct options *o, FILE *status, const volatile sig_atomic_t *stop,
               struct result *ret, struct failure *failure);

#endif

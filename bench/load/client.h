/* SPDX-License-Identifier: MIT */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include <signal.h>
#include <stdbool.h>

#include "bench/load/address.h"

struct failure;
struct options;
struct result;

/* Where the server is and how to trust it. */
struct client_setup {
    const struct options *options;
    const struct address_list *server; /* tried in order until one answers */
    const char *server_name;
    const char *ca_file; /* PEM file to trust, or NULL */
    const char *ca_pem;  /* PEM text to trust, or NULL; both NULL: the system's store */
    int control;         /* to the process of our own server; -1: a foreign one */
    const volatile sig_atomic_t *stop;
};

/* Runs the scenario: connects, warms up, measures, closes.  Returns false and sets
 * `failure` if it could not be run to its end. */
bool client_run(const struct client_setup *setup, struct result *ret, struct failure *failure);

#endif

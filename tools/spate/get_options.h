/* SPDX-License-Identifier: MIT */
#ifndef SPATE_GET_OPTIONS_H
#define SPATE_GET_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/config.h>

#include "tools/spate/hq.h"

/* The command line of "spate get". */
struct get_options {
    struct hq_url *urls; /* freed by get_options_deinit() */
    uint32_t url_count;
    const char *folder;
    const char *ca; /* NULL: the system's certificates */
    bool is_insecure;
    bool is_separate; /* a connection for each file */
    uint32_t parallel;
    uint32_t ciphers; /* SPATE_CIPHER_* bits; 0: all */
    enum spate_versions versions;
    bool updates_keys;
    bool migrates;       /* each connection, to another port */
    const char *tickets; /* a file; NULL: none */
    const char *qlog;    /* a folder; NULL: nothing is recorded */
    bool is_never_early; /* no 0-RTT */
    bool is_verbose;
    uint64_t window_bytes; /* 0: the library's default */
    uint64_t timeout_ns;
};

/* Returns true, or false and the exit status of the program, after one line on stderr or the help
 * text on stdout. */
bool get_options_parse(struct get_options *ret, int argc, char **argv, int *ret_status);

void get_options_deinit(struct get_options *options);

#endif

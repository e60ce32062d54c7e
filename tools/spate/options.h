/* SPDX-License-Identifier: MIT */
#ifndef SPATE_OPTIONS_H
#define SPATE_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/config.h>

#include "tools/spate/net.h"

/* The options of one command. */
struct options_spec {
    const char *command;        /* its name, for messages */
    const char *usage;          /* the help text */
    const char *short_options;  /* as getopt takes them; begins with ':'.  'h' comes by itself */
    const struct option *longs; /* "help" has 'h'; ends with zeros */
    int (*take)(void *context, int option, const char *value);
    void *context;
};

/* Calls take() for each option until it returns something else than 0, which is the exit status
 * after a line on stderr.  Returns true, with the index of the first argument that is no option in
 * `optind`; or false, with the exit status, after one line on stderr or the help text on stdout. */
bool options_parse(const struct options_spec *spec, int argc, char **argv, int *ret_status);

/* An option that stores its value, or sets a flag. */
struct option_simple {
    int option;
    const char **text; /* gets the value, which is not copied; or NULL */
    bool *flag;        /* becomes true */
};

/* Takes an option that is among `count` simple ones.  Returns false if it is not. */
bool options_take_simple(const struct option_simple *simple, size_t count, int option,
                         const char *value);

/* Reads the value of an option that is an ADDR:PORT.  Returns 0, or the exit status after one line
 * on stderr. */
int options_take_address(const char *command, const char *option, const char *value,
                         struct net_address *ret);

/* Reads the value of an option that is a whole number of min to max, as number_parse() does.
 * Returns 0, or the exit status after one line on stderr. */
int options_take_number(const char *command, const char *option, const char *value, uint64_t min,
                        uint64_t max, uint64_t *ret);

/* .. of a time in whole seconds; *ret_ns is in nanoseconds. */
int options_take_seconds(const char *command, const char *option, const char *value, uint64_t min,
                         uint64_t max, uint64_t *ret_ns);

/* Read the values of --quic and --cipher.  Return 0, or the exit status after one line on stderr.
 */
int options_take_versions(const char *command, const char *value, enum spate_versions *ret);
int options_take_ciphers(const char *command, const char *value, uint32_t *ret);

#endif

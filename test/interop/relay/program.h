/* SPDX-License-Identifier: MIT */
#ifndef RELAY_PROGRAM_H
#define RELAY_PROGRAM_H

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "test/interop/relay/link.h"

/* What the programs relay and ip-relay share: their command line, the clock, and their end by a
 * signal. */

#define PROGRAM_NS_PER_S UINT64_C(1000000000)

/* ---- The command line ---- */

/* The options of one program. */
struct program_options {
    const char *name;           /* of the program, for messages */
    const char *usage;          /* the help text */
    const struct option *longs; /* "help" has 'h'; ends with zeros */
    int (*take)(void *context, int option, const char *value);
    void *context;
};

/* Calls take() for each option until it returns something else than 0, which is the exit status
 * after a line on stderr.  There are no arguments but options.  Returns true, or false with the
 * exit status, after a line on stderr or the help text on stdout. */
bool program_parse(const struct program_options *options, int argc, char **argv, int *ret_status);

/* Prints one line on stderr about an option.  Returns the exit status of a wrong command line. */
int program_fail(const char *name, const char *what, const char *value);

/* Reads a whole decimal number.  Returns 0, or what program_fail(name, what, text) returns. */
int program_number(const char *name, const char *what, const char *text, uint64_t *ret);

/* Reads a LINK for one direction or, if `b` is not NULL, for two.  Returns 0 or an exit status. */
int program_link(const char *name, const char *text, struct link_config *a, struct link_config *b);

/* ---- While it runs ---- */

/* Returns the monotonic time in nanoseconds. */
uint64_t program_now_ns(void);

/* Keeps SIGINT and SIGTERM back, except where the program waits with the mask `*ret_unblocked`, so
 * that none comes between the question whether it is over and the wait. */
void program_block_signals(sigset_t *ret_unblocked);

/* Returns whether SIGINT or SIGTERM has come, also if it is kept back: that takes a system call. */
bool program_is_over(void);

/* Returns whether SIGINT or SIGTERM came during a wait. */
bool program_was_ended(void);

#endif

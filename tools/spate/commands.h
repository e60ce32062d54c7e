/* SPDX-License-Identifier: MIT */
#ifndef SPATE_COMMANDS_H
#define SPATE_COMMANDS_H

#include <stdbool.h>

/* The commands of the program.  Each gets its own name as argv[0], and returns the exit status.
 * Output that could not be written to stdout is a failure that main() reports. */

enum {
    EXIT_USAGE = 2,         /* the command line is wrong */
    EXIT_INTERRUPTED = 130, /* SIGINT or SIGTERM, as a shell reports it */
};

int caps_run(int argc, char **argv);
int cert_run(int argc, char **argv);
int serve_run(int argc, char **argv);
int get_run(int argc, char **argv);
int copy_run(int argc, char **argv);
int sync_run(int argc, char **argv);
int relay_run(int argc, char **argv);
int swarm_run(int argc, char **argv);
int stat_run(int argc, char **argv);
int hist_run(int argc, char **argv);

/* Returns whether a word of the command line asks for help. */
bool commands_is_help(const char *word);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SPATE_COMMANDS_H
#define SPATE_COMMANDS_H

/* The commands of the program.  Each gets its own name as argv[0], and returns the exit status. */

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

#endif

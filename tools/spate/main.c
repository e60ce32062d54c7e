/* SPDX-License-Identifier: MIT */
/* The spate command: helpers around the library, on its public API alone.  Each command has a file
 * of its own.  Every failure is one line on stderr and a non-zero exit: 2 for a wrong command line,
 * 130 after SIGINT or SIGTERM, 1 for everything else. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"

static const char usage_text[] =
    "usage: spate COMMAND [OPTIONS]\n"
    "\n"
    "  spate caps        what this kernel and this build can do, and why not; and which\n"
    "                    OpenSSL and liburing are in it\n"
    "  spate cert        makes a self-signed certificate, for trying things\n"
    "  spate serve       serves the files of a folder (HTTP/3, and HTTP/0.9 over QUIC)\n"
    "  spate get         fetches files from such a server\n"
    "  spate cp          copies files and folders to and from a server with --cp\n"
    "  spate sync        makes a folder like another one, here or there\n"
    "  spate relay       passes packets of an interface on from unit to unit\n"
    "  spate swarm       distributes files among many peers, in verified pieces\n"
    "  spate stat        shows the counters of a program that runs, or has crashed\n"
    "  spate hist        prints, adds, compares and draws histograms\n"
    "  spate version     prints the version\n"
    "  spate help        describes a command, or all of them in short\n"
    "\n"
    "\"spate COMMAND --help\" describes the options.  Every failure is one line on stderr.\n"
    "Exits with 0, with 1 after a failure, 2 for a wrong command line, and 130 after SIGINT or\n"
    "SIGTERM.\n";

static int version_run(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        puts("usage: spate version\n\nPrints the version of the library.");
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (argc > 1)
        return message_usage(argv[0], "takes no arguments, got", argv[1]);
    printf("spate %s\n", spate_version());
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int help_run(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"caps", caps_run}, {"cert", cert_run},   {"serve", serve_run},     {"get", get_run},
    {"cp", copy_run},   {"sync", sync_run},   {"relay", relay_run},     {"swarm", swarm_run},
    {"stat", stat_run}, {"hist", hist_run},   {"version", version_run}, {"--version", version_run},
    {"help", help_run}, {"--help", help_run},
};

static int run(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(argc, argv);
    return message_usage("", "unknown command", argv[0]);
}

static int help_run(int argc, char **argv)
{
    char option[] = "--help";
    if (argc > 2)
        return message_usage(argv[0], "describes one command, got", argv[2]);
    if (argc == 2 && strcmp(argv[1], "--help") != 0)
        return run(2, (char *[]){argv[1], option, NULL});
    if (argc == 2) {
        puts("usage: spate help [COMMAND]\n\nDescribes a command, or all of them in short.");
    } else {
        fputs(usage_text, stdout);
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return message_usage("", "a command is missing", NULL);
    return run(argc - 1, argv + 1);
}

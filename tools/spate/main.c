/* SPDX-License-Identifier: MIT */
/* The spate command: helpers around the library, on its public API alone.  Each command has a file
 * of its own.  Every failure is one line on stderr and a non-zero exit: 2 for a wrong command line,
 * 130 after SIGINT or SIGTERM, 1 for everything else. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"

static const char usage_text[] =
    "usage: spate COMMAND [OPTIONS]\n"
    "\n"
    "  spate caps        what this kernel and this build can do, and why not; and\n"
    "                    which OpenSSL and liburing are in it\n"
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
    "\"spate COMMAND --help\" describes the options.  Every failure is one line on\n"
    "stderr.  Exits with 0, 1 after a failure, 2 for a wrong command line, and 130\n"
    "if SIGINT or SIGTERM came before the end.  What runs until then, as a server\n"
    "does, exits with 0.\n";

static int version_run(int argc, char **argv)
{
    if (argc > 1 && commands_is_help(argv[1])) {
        puts("usage: spate version\n\nPrints the version of the library.");
        return EXIT_SUCCESS;
    }
    if (argc > 1)
        return message_usage("version", "takes no arguments, got", argv[1]);
    printf("spate %s\n", spate_version());
    return EXIT_SUCCESS;
}

static int help_run(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"caps", caps_run}, {"cert", cert_run},   {"serve", serve_run},     {"get", get_run},
    {"cp", copy_run},   {"sync", sync_run},   {"relay", relay_run},     {"swarm", swarm_run},
    {"stat", stat_run}, {"hist", hist_run},   {"version", version_run}, {"--version", version_run},
    {"help", help_run}, {"--help", help_run}, {"-h", help_run},
};

bool commands_is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

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
        return message_usage("help", "describes one command, got", argv[2]);
    if (argc == 2 && !commands_is_help(argv[1]))
        return run(2, (char *[]){argv[1], option, NULL});
    if (argc == 2) {
        puts("usage: spate help [COMMAND]\n\nDescribes a command, or all of them in short.");
    } else {
        fputs(usage_text, stdout);
    }
    return EXIT_SUCCESS;
}

/* A file or a socket of ours must not get the number of a standard stream that is closed: what is
 * printed would go there.  Reads and writes of what gets it fail. */
static void occupy_closed_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

/* Returns `status`, or a failure if something that was printed is not on stdout. */
static int finish(const char *command, int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    message(command, "cannot write to stdout%s%s", errno != 0 ? ": " : "",
            errno != 0 ? strerror(errno) : "");
    return status == EXIT_SUCCESS ? EXIT_FAILURE : status;
}

int main(int argc, char **argv)
{
    occupy_closed_streams();
    if (argc < 2)
        return message_usage("", "a command is missing", NULL);
    return finish(argv[1], run(argc - 1, argv + 1));
}

/* SPDX-License-Identifier: MIT */
#include "test/interop/relay/program.h"

/* The parts of main() that relay and ip-relay share. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { EXIT_USAGE = 2 };

static volatile sig_atomic_t was_ended;

int program_fail(const char *name, const char *what, const char *value)
{
    fprintf(stderr, "%s: %s %s (see --help)\n", name, what, value);
    return EXIT_USAGE;
}

int program_number(const char *name, const char *what, const char *text, uint64_t *ret)
{
    char *end;
    *ret = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == 0 ? 0 : program_fail(name, what, text);
}

int program_link(const char *name, const char *text, struct link_config *a, struct link_config *b)
{
    const char *wrong = link_parse(text, a);
    if (wrong == NULL && b != NULL)
        wrong = link_parse(text, b);
    if (wrong == NULL)
        return 0;
    fprintf(stderr, "%s: the link %s %s (see --help)\n", name, text, wrong);
    return EXIT_USAGE;
}

bool program_parse(const struct program_options *options, int argc, char **argv, int *ret_status)
{
    int option;
    *ret_status = 0;
    opterr = 0;
    while (*ret_status == 0 &&
           (option = getopt_long(argc, argv, ":", options->longs, NULL)) != -1) {
        if (option == 'h') {
            fputs(options->usage, stdout);
            return false;
        }
        if (option == '?' || option == ':')
            *ret_status = program_fail(
                options->name, "unknown option, or one without its value:", argv[optind - 1]);
        else
            *ret_status = options->take(options->context, option, optarg);
    }
    if (*ret_status == 0 && optind < argc)
        *ret_status = program_fail(options->name, "unexpected argument", argv[optind]);
    return *ret_status == 0;
}

uint64_t program_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * PROGRAM_NS_PER_S + (uint64_t)now.tv_nsec;
}

static void on_signal(int signal)
{
    (void)signal;
    was_ended = 1;
}

void program_block_signals(sigset_t *ret_unblocked)
{
    sigset_t blocked;
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &blocked, ret_unblocked);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool program_is_over(void)
{
    sigset_t pending;
    if (was_ended)
        return true;
    (void)sigpending(&pending);
    return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1;
}

bool program_was_ended(void)
{
    return was_ended;
}

/* SPDX-License-Identifier: MIT */
/* spate-micro: what the parts of the data path cost, each checked before it is timed. */

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/json.h"
#include "bench/micro/benches.h"
#include "bench/micro/harness.h"
#include "bench/micro/instructions.h"
#include "proto/base/compiler.h"

#define REPETITIONS_DEFAULT 15

static const struct micro_bench *const benches[] = {
    &micro_protect, &micro_fused,  &micro_masks,     &micro_nonce,
    &micro_heads,   &micro_rings,  &micro_split,     &micro_trackers,
    &micro_pacer,   &micro_limits, &micro_packet,    &micro_matrix,
    &micro_channel, &micro_relay,  &micro_handshake, &micro_requests,
};

static const char usage[] =
    "usage: spate-micro [OPTION...] [NAME...]\n"
    "Checks the parts of the data path against plain references, then times them.\n"
    "Without a name: all of them.\n"
    "\n"
    "  --list            names and what they are about\n"
    "  --quick           check only, time nothing\n"
    "  --repetitions N   1 to 101 (default 15); the median, least and most of them are shown\n"
    "  --json            the table as JSON\n"
    "  --instructions    instructions instead of time, by valgrind's callgrind\n"
    "\n"
    "Exit code: 0, or 1 if a check fails.  A missed target is shown, and is no failure.\n";

enum {
    OPTION_LIST = 256,
    OPTION_QUICK,
    OPTION_REPETITIONS,
    OPTION_JSON,
    OPTION_INSTRUCTIONS,
    OPTION_COUNTED,
    OPTION_HELP
};

static const struct option options[] = {
    {"list", no_argument, NULL, OPTION_LIST},
    {"quick", no_argument, NULL, OPTION_QUICK},
    {"repetitions", required_argument, NULL, OPTION_REPETITIONS},
    {"json", no_argument, NULL, OPTION_JSON},
    {"instructions", no_argument, NULL, OPTION_INSTRUCTIONS},
    {"counted", no_argument, NULL, OPTION_COUNTED}, /* what --instructions starts */
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

struct arguments {
    struct micro micro;
    bool is_quick;
    bool is_json;
    bool is_list;
    bool wants_instructions;
    char **names;
};

static bool parse(int argc, char **argv, struct arguments *ret)
{
    *ret = (struct arguments){.micro = {.repetitions = REPETITIONS_DEFAULT}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case OPTION_LIST:
            ret->is_list = true;
            break;
        case OPTION_QUICK:
            ret->is_quick = true;
            break;
        case OPTION_REPETITIONS: {
            char *end = NULL;
            unsigned long count = strtoul(optarg, &end, 10);
            if (*end != 0 || count < 1 || count > MICRO_REPETITIONS_MAX)
                return false;
            ret->micro.repetitions = (uint32_t)count;
            break;
        }
        case OPTION_JSON:
            ret->is_json = true;
            break;
        case OPTION_INSTRUCTIONS:
            ret->wants_instructions = true;
            break;
        case OPTION_COUNTED:
            ret->micro.is_counting = true;
            break;
        case OPTION_HELP:
            (void)fputs(usage, stdout);
            exit(0);
        default:
            return false;
        }
    }
    ret->names = argv + optind;
    return true;
}

static bool is_named(const struct micro_bench *bench, char *const *names)
{
    if (*names == NULL)
        return true;
    for (; *names != NULL; names++) {
        if (strcmp(*names, bench->name) == 0)
            return true;
    }
    return false;
}

static bool all_names_exist(char *const *names)
{
    for (; *names != NULL; names++) {
        bool exists = false;
        for (size_t i = 0; i < SB_COUNT(benches); i++)
            exists |= strcmp(*names, benches[i]->name) == 0;
        if (!exists) {
            (void)fprintf(stderr, "spate-micro: there is no bench '%s'; see --list\n", *names);
            return false;
        }
    }
    return true;
}

static void list(void)
{
    for (size_t i = 0; i < SB_COUNT(benches); i++)
        printf("%-10s %s\n", benches[i]->name, benches[i]->what);
}

static void run_all(struct arguments *arguments)
{
    struct json json = json_of(stdout);
    struct micro *m = &arguments->micro;
    if (arguments->is_json && !arguments->is_quick) {
        m->json = &json;
        json_begin(&json, NULL);
    }
    for (size_t i = 0; i < SB_COUNT(benches); i++) {
        if (is_named(benches[i], arguments->names))
            micro_run_bench(m, benches[i], arguments->is_quick);
    }
    if (m->json != NULL) {
        json_integer(&json, "met", m->met_count);
        json_integer(&json, "missed", m->missed_count);
        json_end(&json);
    } else if (!arguments->is_quick && !m->is_counting) {
        printf("\n%u targets met, %u missed\n", m->met_count, m->missed_count);
    }
}

static int count_all(const struct arguments *arguments)
{
    char program[PATH_MAX] = "";
    if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0) {
        perror("spate-micro: /proc/self/exe");
        return 1;
    }
    return micro_instructions(program, arguments->names);
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    if (!parse(argc, argv, &arguments)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    if (!all_names_exist(arguments.names))
        return 2;
    if (arguments.is_list) {
        list();
        return 0;
    }
    if (arguments.wants_instructions)
        return count_all(&arguments);
    run_all(&arguments);
    return 0;
}

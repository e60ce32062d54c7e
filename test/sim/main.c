/* SPDX-License-Identifier: MIT */
/* The simulator's program: whole connections over an invented network in virtual time. */

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "test/sim/monkey_run.h"
#include "test/sim/paths.h"
#include "test/sim/transfers.h"
#include "test/sim/scenarios.h"
#include "test/sim/world.h"

struct options {
    const char *scenario;
    const char *path;     /* NULL: none; "all" */
    const char *transfer; /* NULL: none; "all" */
    const char *cc;       /* the controller; NULL: that of the scenario, or all over paths */
    const char *qlog;     /* folder for a file of qlog per end; NULL: none */
    const char *series;   /* folder for what was measured over time; NULL: none */
    uint64_t flow_count;  /* over paths; 0: all numbers of flows */
    uint64_t seconds;     /* over paths; 0: as many as each path has */
    uint64_t seed;
    uint64_t swarm_count;
    uint64_t monkey_count;
    uint64_t first_seed;
    bool wants_list;
    bool wants_hash; /* prints it, and runs everything twice to compare */
    bool is_verbose;
    bool lies;
    bool accepts_anything;
    bool forgets_timers;
    bool wants_real_crypto;
    bool is_scarce;
    bool meddles;
    uint64_t tighten;
};

static struct qs_plan running; /* for on_assert() */

static void print_replay(FILE *out, const struct qs_plan *plan)
{
    if (strcmp(plan->name, "swarm") == 0)
        fprintf(out, "  replay: sim --swarm 1 --first-seed %" PRIu64, plan->seed);
    else if (strncmp(plan->name, "monkey", 6) == 0)
        fprintf(out, "  replay: sim --monkey 1 --first-seed %" PRIu64 "%s", plan->seed,
                strcmp(plan->name, "monkey-scarce") == 0 ? " --scarce" : "");
    else
        fprintf(out, "  replay: sim --scenario %s --seed %" PRIu64, plan->name, plan->seed);
    if (plan->monkeys.meddles)
        fprintf(out, " --meddle");
    if (plan->real_crypto)
        fprintf(out, " --real-crypto");
    if (plan->lies_to_the_reader)
        fprintf(out, " --lie");
    if (plan->protect.accepts_anything)
        fprintf(out, " --accept-anything");
    if (plan->forgets_timers)
        fprintf(out, " --forget-timers");
    fprintf(out, " --verbose\n");
}

static void on_assert(const char *expr, const char *file, int line)
{
    fflush(stdout);
    fprintf(stderr, "FAILED %s, seed %" PRIu64 ": assertion %s at %s:%d\n", running.name,
            running.seed, expr, file, line);
    print_replay(stderr, &running);
    abort();
}

static void run_once(const struct qs_plan *plan, struct qs_result *ret)
{
    running = *plan;
    qs_world_run(plan, ret);
}

static void print_failure(const struct qs_plan *plan, const char *text)
{
    fflush(stdout);
    fprintf(stderr, "FAILED %s, seed %" PRIu64 ": %s\n", plan->name, plan->seed, text);
    print_replay(stderr, plan);
}

static bool run(struct qs_plan *plan, const struct options *options)
{
    plan->verbose = options->is_verbose;
    plan->qlog_folder = options->qlog;
    plan->lies_to_the_reader = options->lies;
    plan->forgets_timers = options->forgets_timers;
    plan->real_crypto = options->wants_real_crypto;
    if (options->accepts_anything)
        plan->protect.accepts_anything = true;
    struct qs_result result;
    run_once(plan, &result);
    if (options->wants_hash && !result.has_failed) {
        struct qs_result again;
        run_once(plan, &again);
        if (again.hash != result.hash) {
            result.has_failed = true;
            snprintf(result.failure, sizeof(result.failure),
                     "the same seed gives the traces %016" PRIx64 " and %016" PRIx64, result.hash,
                     again.hash);
        }
    }
    fflush(stdout);
    if (result.has_failed) {
        print_failure(plan, result.failure);
        return false;
    }
    if (options->wants_hash)
        printf("%016" PRIx64 "  %s, seed %" PRIu64 "\n", result.hash, plan->name, plan->seed);
    else if (options->swarm_count == 0)
        printf("%-24s %7" PRIu64 " packets %9" PRIu64 " bytes %5" PRIu64
               " datagrams lost %6.2f s of virtual time\n",
               plan->name, result.packet_count, result.bytes_received, result.lost_count,
               (double)result.ended_ns / 1e9);
    return true;
}

static bool run_swarm(const struct options *options)
{
    uint64_t failed_count = 0;
    printf("first seed %" PRIu64 "\n", options->first_seed);
    for (uint64_t i = 0; i < options->swarm_count; i++) {
        struct qs_plan plan;
        qs_swarm_plan(options->first_seed + i, &plan);
        failed_count += !run(&plan, options);
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " failed\n", options->swarm_count, failed_count);
    return failed_count == 0;
}

static bool run_monkeys(const struct options *options)
{
    return qs_monkey_run(&(struct qs_monkey_options){
        .seed_count = options->monkey_count,
        .first_seed = options->first_seed,
        .is_verbose = options->is_verbose,
        .real_crypto = options->wants_real_crypto,
        .is_scarce = options->is_scarce,
        .meddles = options->meddles,
        .tighten = options->tighten,
        .run = run_once,
        .fail = print_failure,
    });
}

static bool set_controller(struct qs_plan *plan, const char *name)
{
    for (uint32_t kind = 0; kind < SP_CC_KINDS; kind++) {
        if (strcmp(sp_cc_ops_of((enum sp_cc_kind)kind)->name, name) != 0)
            continue;
        for (int role = 0; role < QS_SIDES; role++)
            plan->side[role].config.cc_kind = (enum sp_cc_kind)kind;
        return true;
    }
    fprintf(stderr, "sim: no controller %s\n", name);
    return false;
}

/* Runs what `name` names: a scenario, a family, one of its members, or "all". */
static bool run_named(const char *name, const struct options *options)
{
    bool found = false;
    bool passed = true;
    const struct qs_scenario *scenario;
    for (uint32_t i = 0; (scenario = qs_scenario_at(i)) != NULL; i++) {
        uint32_t count = scenario->member_count > 0 ? scenario->member_count : 1;
        for (uint32_t index = 0; index < count; index++) {
            struct qs_plan plan;
            qs_scenario_plan(scenario, index, options->seed, &plan);
            if (strcmp(name, "all") != 0 && strcmp(name, scenario->name) != 0 &&
                strcmp(name, plan.name) != 0)
                continue;
            found = true;
            if (plan.needs_null && options->wants_real_crypto)
                continue;
            if (options->cc != NULL && !set_controller(&plan, options->cc))
                return false;
            passed = run(&plan, options) && passed;
        }
    }
    if (!found)
        fprintf(stderr, "sim: no scenario %s; see --list\n", name);
    return found && passed;
}

static bool run_paths(const struct options *options)
{
    bool is_all = strcmp(options->path, "all") == 0;
    if (strcmp(options->path, "list") == 0) {
        for (uint32_t i = 0; i < qs_path_kind_count; i++)
            printf("%-14s %s\n", qs_path_kinds[i].name, qs_path_kinds[i].what);
        return true;
    }
    if (!is_all && qs_path_kind_named(options->path) == NULL) {
        fprintf(stderr, "sim: no path %s:", options->path);
        for (uint32_t i = 0; i < qs_path_kind_count; i++)
            fprintf(stderr, " %s", qs_path_kinds[i].name);
        fprintf(stderr, "\n");
        return false;
    }
    return qs_paths_print(&(struct qs_paths_options){
        .name = is_all ? NULL : options->path,
        .cc = options->cc,
        .folder = options->series,
        .flow_count = options->flow_count,
        .seconds = options->seconds,
        .seed = options->seed,
    });
}

static bool run_transfers(const struct options *options)
{
    bool is_all = strcmp(options->transfer, "all") == 0;
    if (is_all || qs_transfer_kind_named(options->transfer) != NULL)
        return qs_transfers_print(is_all ? NULL : options->transfer, options->cc);
    fprintf(stderr, "sim: no transfer %s:", options->transfer);
    for (uint32_t i = 0; i < qs_transfer_kind_count; i++)
        fprintf(stderr, " %s", qs_transfer_kinds[i].name);
    fprintf(stderr, "\n");
    return false;
}

static void print_list(void)
{
    const struct qs_scenario *scenario;
    for (uint32_t i = 0; (scenario = qs_scenario_at(i)) != NULL; i++) {
        printf("%-20s %s", scenario->name, scenario->what);
        for (uint32_t m = 0; m < scenario->member_count; m++)
            printf("%s%u", m == 0 ? ": " : " ", scenario->members ? scenario->members[m] : m + 1);
        printf("\n");
    }
}

static void print_usage(FILE *out)
{
    fprintf(
        out,
        "usage: sim --scenario NAME [--cc NAME] [--seed N] [--hash] [--verbose] [--qlog FOLDER]\n"
        "       sim --swarm COUNT [--first-seed N] [--hash] [--verbose] [--qlog FOLDER]\n"
        "       sim --monkey COUNT [--first-seed N] [--scarce] [--verbose]\n"
        "       sim --paths NAME|all|list [--cc NAME] [--flows N] [--seed N]\n"
        "           [--seconds N] [--series FOLDER]\n"
        "       sim --transfers NAME|all [--cc NAME]\n"
        "       sim --list\n"
        "NAME is a scenario, a family of them, one of its members, or all.\n"
        "--monkey puts hostile clients beside honest ones; with --scarce the server has twice\n"
        "the memory that the honest ones need.  sim_counted also counts the steps in proto/.\n"
        "--paths measures congestion controllers on paths of many kinds and prints a table.\n"
        "--transfers measures how long a number of bytes takes over paths that damage packets.\n"
        "--series also writes a file per run: time, longest wait, rate of each flow.\n"
        "--real-crypto uses OpenSSL instead of the null cipher and handshake.\n"
        "--qlog writes a file per connection and side to a folder that exists.\n"
        "--hash runs each twice, compares and prints the hashes of the packet traces.\n"
        "--first-seed fresh: other seeds in every second; the first one is printed.\n"
        "--lie, --accept-anything and --forget-timers (of scenarios and the swarm), --meddle and\n"
        "--tighten N (of monkeys) break the simulator or its bounds: such runs must fail.\n"
        "An option that has no effect on what is run is refused.\n");
}

static bool parse_number(const char *text, uint64_t *ret)
{
    char *end;
    *ret = strtoull(text, &end, 0);
    return *text != '\0' && *end == '\0';
}

/* What a run is of. */
enum mode {
    MODE_SCENARIO = 1,
    MODE_SWARM = 2,
    MODE_MONKEY = 4,
    MODE_PATHS = 8,
    MODE_TRANSFERS = 16,
};

/* Options that have no effect in some modes.  One that is ignored would let a run pass that proves
 * nothing: it is refused. */
static bool fits(const struct options *options)
{
    const unsigned modes = (options->scenario != NULL ? MODE_SCENARIO : 0u) |
                           (options->swarm_count > 0 ? MODE_SWARM : 0u) |
                           (options->monkey_count > 0 ? MODE_MONKEY : 0u) |
                           (options->path != NULL ? MODE_PATHS : 0u) |
                           (options->transfer != NULL ? MODE_TRANSFERS : 0u);
    const unsigned plans = MODE_SCENARIO | MODE_SWARM;
    const struct {
        const char *name;
        bool is_given;
        unsigned modes; /* in which it has an effect */
    } rows[] = {
        {"--lie", options->lies, plans},
        {"--accept-anything", options->accepts_anything, plans},
        {"--forget-timers", options->forgets_timers, plans},
        {"--hash", options->wants_hash, plans},
        {"--qlog", options->qlog != NULL, plans},
        {"--meddle", options->meddles, MODE_MONKEY},
        {"--tighten", options->tighten > 1, MODE_MONKEY},
        {"--scarce", options->is_scarce, MODE_MONKEY},
        {"--cc", options->cc != NULL, MODE_SCENARIO | MODE_PATHS | MODE_TRANSFERS},
        {"--flows", options->flow_count > 0, MODE_PATHS},
        {"--seconds", options->seconds > 0, MODE_PATHS},
        {"--series", options->series != NULL, MODE_PATHS},
        {"--real-crypto", options->wants_real_crypto, plans | MODE_MONKEY},
    };
    for (size_t i = 0; i < SB_COUNT(rows); i++) {
        if (!rows[i].is_given || (modes & ~rows[i].modes) == 0)
            continue;
        fprintf(stderr, "sim: %s has no effect on all of this\n", rows[i].name);
        return false;
    }
    if (options->seconds > QS_PATH_SECONDS_MAX) {
        fprintf(stderr, "sim: --seconds is at most %u\n", (unsigned)QS_PATH_SECONDS_MAX);
        return false;
    }
    /* Hashes are compared and bounds are checked with memory for all, and without OpenSSL, which
     * draws numbers of its own; what it does not open nobody can accept. */
    bool is_compared = !options->is_scarce && !options->wants_real_crypto;
    if ((options->meddles && !is_compared) || (options->tighten > 1 && options->is_scarce) ||
        (options->accepts_anything && options->wants_real_crypto)) {
        fprintf(stderr, "sim: --meddle needs neither --scarce nor --real-crypto, --tighten no "
                        "--scarce, --accept-anything no --real-crypto\n");
        return false;
    }
    return true;
}

/* "fresh": seeds that no run had before this second. */
static bool parse_first_seed(const char *text, uint64_t *ret)
{
    enum { SEEDS_PER_SECOND = 100000 };
    if (strcmp(text, "fresh") != 0)
        return parse_number(text, ret);
    *ret = (uint64_t)time(NULL) * SEEDS_PER_SECOND;
    return true;
}

enum {
    OPTION_LIE = 256,
    OPTION_ACCEPT,
    OPTION_FORGET,
    OPTION_REAL,
    OPTION_SCARCE,
    OPTION_MEDDLE,
    OPTION_PATHS,
    OPTION_CC,
    OPTION_FLOWS,
    OPTION_SERIES,
    OPTION_TRANSFERS,
    OPTION_SECONDS,
    OPTION_QLOG
};

/* What --paths and --transfers measure.  Returns false for an unknown option. */
static bool parse_measured(int option, struct options *options)
{
    switch (option) {
    case OPTION_PATHS:
        options->path = optarg;
        return true;
    case OPTION_TRANSFERS:
        options->transfer = optarg;
        return true;
    case OPTION_CC:
        options->cc = optarg;
        return true;
    case OPTION_SERIES:
        options->series = optarg;
        return true;
    case OPTION_FLOWS:
        return parse_number(optarg, &options->flow_count);
    case OPTION_SECONDS:
        return parse_number(optarg, &options->seconds);
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"scenario", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'n'},
        {"swarm", required_argument, NULL, 'w'},
        {"first-seed", required_argument, NULL, 'f'},
        {"monkey", required_argument, NULL, 'm'},
        {"meddle", no_argument, NULL, OPTION_MEDDLE},
        {"tighten", required_argument, NULL, 't'},
        {"scarce", no_argument, NULL, OPTION_SCARCE},
        {"paths", required_argument, NULL, OPTION_PATHS},
        {"transfers", required_argument, NULL, OPTION_TRANSFERS},
        {"cc", required_argument, NULL, OPTION_CC},
        {"flows", required_argument, NULL, OPTION_FLOWS},
        {"seconds", required_argument, NULL, OPTION_SECONDS},
        {"series", required_argument, NULL, OPTION_SERIES},
        {"qlog", required_argument, NULL, OPTION_QLOG},
        {"list", no_argument, NULL, 'l'},
        {"hash", no_argument, NULL, 'x'},
        {"verbose", no_argument, NULL, 'v'},
        {"lie", no_argument, NULL, OPTION_LIE},
        {"accept-anything", no_argument, NULL, OPTION_ACCEPT},
        {"forget-timers", no_argument, NULL, OPTION_FORGET},
        {"real-crypto", no_argument, NULL, OPTION_REAL},
        {NULL, 0, NULL, 0},
    };
    int option;
    bool ok = true;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 's':
            options->scenario = optarg;
            break;
        case 'n':
            ok = parse_number(optarg, &options->seed) && ok;
            break;
        case 'w':
            ok = parse_number(optarg, &options->swarm_count) && ok;
            break;
        case 'm':
            ok = parse_number(optarg, &options->monkey_count) && ok;
            break;
        case OPTION_MEDDLE:
            options->meddles = true;
            break;
        case 't':
            ok = parse_number(optarg, &options->tighten) && options->tighten > 0 && ok;
            break;
        case OPTION_QLOG:
            options->qlog = optarg;
            break;
        case OPTION_SCARCE:
            options->is_scarce = true;
            break;
        case 'f':
            ok = parse_first_seed(optarg, &options->first_seed) && ok;
            break;
        case 'l':
            options->wants_list = true;
            break;
        case 'x':
            options->wants_hash = true;
            break;
        case 'v':
            options->is_verbose = true;
            break;
        case OPTION_LIE:
            options->lies = true;
            break;
        case OPTION_ACCEPT:
            options->accepts_anything = true;
            break;
        case OPTION_FORGET:
            options->forgets_timers = true;
            break;
        case OPTION_REAL:
            options->wants_real_crypto = true;
            break;
        default:
            ok = parse_measured(option, options) && ok;
            break;
        }
    }
    return ok && optind == argc;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .first_seed = 1, .tighten = 1};
    sb_assert_handler = on_assert;
    if (!parse(argc, argv, &options) || !fits(&options) ||
        (options.scenario == NULL && options.swarm_count == 0 && options.monkey_count == 0 &&
         !options.wants_list && options.path == NULL && options.transfer == NULL)) {
        print_usage(stderr);
        return 2;
    }
    bool passed = true;
    if (options.wants_list)
        print_list();
    if (options.path != NULL)
        passed = run_paths(&options) && passed;
    if (options.transfer != NULL)
        passed = run_transfers(&options) && passed;
    if (options.scenario != NULL)
        passed = run_named(options.scenario, &options) && passed;
    if (options.swarm_count > 0)
        passed = run_swarm(&options) && passed;
    if (options.monkey_count > 0)
        passed = run_monkeys(&options) && passed;
    qs_crypto_real_deinit();
    return passed ? 0 : 1;
}

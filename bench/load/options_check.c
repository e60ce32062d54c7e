/* SPDX-License-Identifier: MIT */
/* What options demand of each other, and the texts around them. */

#include "bench/load/options_impl.h"

#include <string.h>

#include <spate/config.h>

#include "bench/load/address.h"
#include "bench/load/clock.h"
#include "bench/load/failure.h"
#include "bench/load/scenarios.h"
#include "bench/load/soak.h"

/* Of all connections together: a guard against slips. */
#define STREAMS_MAX 1000000

/* Of connections that are in use. */
#define BUSY_CONNS_MAX 10000

/* What an idle connection gives back goes to the system after a second or two. */
#define SETTLE_NS (4 * NS_PER_S)

/* [RFC9000 10.1.2] What keeps most NATs from forgetting a flow. */
#define KEEP_ALIVE_NS (30 * NS_PER_S)

#define PUBLISH_INFLIGHT 16

enum {
    HELP_COLUMNS = 79, /* of a terminal */
    DATAGRAM_SIZE_MAX = 65000,
    MESSAGE_SIZE = 1000,
    MESSAGE_SIZE_MIN = 32, /* its head is in there */
    SCENARIOS_TEXT_SIZE = 96,
};

/* One of 100,000 handshakes on a busy machine may take long. */
#define IDLE_TIMEOUT_NS (30 * NS_PER_S)

#define IDLE_CONNS 1000 /* if --conns is not given */

/* Options that pairwise exclude each other, with the reason. */
static const struct {
    const char *a;
    const char *b;
    const char *why;
} exclusions[] = {
    {"rate", "inflight", "a fixed rate does not wait for answers"},
    {"bytes", "warmup", "all bytes are measured"},
    {"connect", "listen", "the server is not ours"},
    {"connect", "server-cpu", "the server is not ours"},
    {"connect", "shards", "the server is not ours"},
    {"app-buffers", "app-copies", "bytes are where they shall be already"},
    {"insecure", "ca", "nothing is verified"},
    {"busy-poll", "spin", "it never sleeps"},
    {"epoll", "spin", "the library does not wait"},
    {"epoll", "busy-poll", "the library does not wait"},
    {"own-ring", "spin", "the library does not wait"},
    {"own-ring", "busy-poll", "the library does not wait"},
    {"own-ring", "epoll", "it is another way to wait"},
    {"own-ring", "shards", "a lent ring has one shard"},
    {"own-ring", "zero-copy", "a lent ring has none"},
    {"own-ring", "backend", "it is an io_uring"},
    {"profile", "cc", "it chooses the controller"},
    {"connect", "vs-limit", "the limit needs both sides"},
    {"connect", "vs-bare", "the server is not ours"},
    {"vs-bare", "resume", "the bare handshakes are full ones"},
    {"vs-bare", "early", "the bare handshakes are full ones"},
    {"rate", "vs-limit", "latency then counts from when a request was meant to start"},
    {"cert-out", "cert", "there is no fresh certificate"},
};

static bool is_given(const char *name, const struct options_given *given)
{
    return given->has[option_find(name, strlen(name))];
}

/* "bulk and rr" from a set of scenarios. */
static void scenarios_text(uint32_t scenarios, char ret[SCENARIOS_TEXT_SIZE])
{
    ret[0] = 0;
    for (int s = SCENARIO_BULK; s < SCENARIO_COUNT; s++) {
        if ((scenarios >> s & 1) == 0)
            continue;
        if (ret[0] != 0)
            strcat(ret, scenarios >> (s + 1) == 0 ? " and " : ", ");
        strcat(ret, options_scenario_name((enum scenario)s)); /* at most 69 in all */
    }
}

static bool check_scenario(const struct options *o, const struct options_given *given,
                           struct failure *failure)
{
    for (uint32_t i = 0; i < option_spec_count; i++) {
        const struct option_spec *spec = &option_specs[i];
        uint32_t fits = spec->scenarios >> o->kind | spec->scenarios >> o->scenario;
        if (!given->has[i] || (fits & 1) == 1)
            continue;
        char names[SCENARIOS_TEXT_SIZE];
        scenarios_text(spec->scenarios, names);
        return failure_set(failure, "--%s is for %s, not for %s", spec->name, names,
                           options_scenario_name(o->scenario));
    }
    return true;
}

static bool check_pairs(const struct options *o, const struct options_given *given,
                        struct failure *failure)
{
    for (size_t i = 0; i < sizeof(exclusions) / sizeof(exclusions[0]); i++) {
        if (is_given(exclusions[i].a, given) && is_given(exclusions[i].b, given))
            return failure_set(failure, "--%s and --%s exclude each other: %s", exclusions[i].a,
                               exclusions[i].b, exclusions[i].why);
    }
    if ((o->cert == NULL) != (o->key == NULL))
        return failure_set(failure, "--%s is missing: --cert and --key belong together",
                           o->cert == NULL ? "cert" : "key");
    if (is_given("cc-rate", given) && o->cc != SPATE_CONGESTION_FIXED)
        return failure_set(failure, "--cc-rate needs --cc fixed");
    if (is_given("arrivals", given) && o->rate <= 0)
        return failure_set(failure, "--arrivals needs --rate");
    if (is_given("runs", given) && !o->vs_limit && !o->vs_bare && o->kind != SCENARIO_LIMIT)
        return failure_set(failure, "--runs needs --vs-limit or --vs-bare");
    if (o->direction == DIRECTION_BOTH && o->kind != SCENARIO_BULK)
        return failure_set(failure, "--direction both is for bulk, not for %s",
                           options_scenario_name(o->scenario));
    if (o->vs_limit && (o->direction == DIRECTION_BOTH || options_has_relay(o)))
        return failure_set(failure,
                           "--vs-limit is for one direction, and for no path but loopback");
    if (o->kind == SCENARIO_SERVE && o->listen == NULL)
        return failure_set(failure, "serve wants --listen ADDR:PORT, such as --listen [::]:4433");
    if (o->conns > BUSY_CONNS_MAX && o->kind != SCENARIO_IDLE)
        return failure_set(failure, "--conns is at most %d, but for idle", BUSY_CONNS_MAX);
    if (o->kind == SCENARIO_IDLE)
        return true;
    uint64_t bulk_conns = o->kind == SCENARIO_MIXED ? o->bulk_conns : o->conns;
    if (bulk_conns * o->streams > STREAMS_MAX || o->conns * o->inflight > STREAMS_MAX)
        return failure_set(failure, "--%s times --%s is at most %d",
                           o->kind == SCENARIO_MIXED && o->streams > 1 ? "bulk-conns" : "conns",
                           o->streams > 1 ? "streams" : "inflight", STREAMS_MAX);
    return true;
}

/* Sets the size of a message, or says what is wrong with it. */
static bool check_size(struct options *o, const struct options_given *given,
                       struct failure *failure)
{
    bool is_messages = o->kind == SCENARIO_MESSAGES;
    if (is_messages && !is_given("size", given))
        o->message_bytes = MESSAGE_SIZE;
    if (is_messages && o->message_bytes < MESSAGE_SIZE_MIN)
        return failure_set(failure, "--size is at least %d for messages", MESSAGE_SIZE_MIN);
    if (!is_messages && o->message_bytes > DATAGRAM_SIZE_MAX)
        return failure_set(failure, "--size is at most %d for %s", DATAGRAM_SIZE_MAX,
                           options_scenario_name(o->scenario));
    return true;
}

bool options_check(struct options *o, const struct options_given *given, struct failure *failure)
{
    if (o->kind == SCENARIO_NONE) {
        char names[256];
        scenario_names(names, sizeof(names));
        return failure_set(failure, "the scenario is missing: %s; see spate-bench --help", names);
    }
    if (o->conns == 0)
        o->conns = o->kind == SCENARIO_IDLE ? IDLE_CONNS : 1;
    if (!check_scenario(o, given, failure) || !check_pairs(o, given, failure) ||
        !check_size(o, given, failure))
        return false;

    bool is_in_runs = o->vs_limit || o->vs_bare || o->kind == SCENARIO_LIMIT;
    bool is_by_time = o->kind != SCENARIO_SERVE && o->bytes == 0;
    if (is_by_time && o->duration_ns == 0)
        o->duration_ns = is_in_runs ? NS_PER_S : 5 * NS_PER_S;
    if (is_by_time && !is_given("warmup", given))
        o->warmup_ns = is_in_runs                 ? NS_PER_S / 5
                       : o->kind == SCENARIO_IDLE ? SETTLE_NS
                                                  : NS_PER_S / 2;
    if (o->early) {
        o->resume = true;
        o->first_byte = o->kind == SCENARIO_HANDSHAKE;
    }
    bool has_handshakes = o->kind == SCENARIO_HANDSHAKE || o->kind == SCENARIO_IDLE;
    if (o->inflight == 0)
        o->inflight = has_handshakes ? 16 : o->pattern == PATTERN_PUBLISH ? PUBLISH_INFLIGHT : 1;
    if (o->kind == SCENARIO_IDLE && o->keep_alive_ns == 0)
        o->keep_alive_ns = KEEP_ALIVE_NS;
    if (o->scenario == SCENARIO_SOAK && o->interval_ns == 0)
        o->interval_ns = o->duration_ns / SOAK_POINTS;
    if (o->scenario == SCENARIO_SOAK && o->duration_ns / o->interval_ns > SOAK_POINTS_MAX)
        return failure_set(failure, "--seconds over --interval is at most %d", SOAK_POINTS_MAX);
    if (o->kind == SCENARIO_IDLE && !is_given("timeout", given))
        o->timeout_ns = IDLE_TIMEOUT_NS;
    if (o->listen == NULL && o->connect == NULL)
        o->listen = "127.0.0.1:0";
    return (o->connect == NULL || address_check(o->connect, "--connect", 1, failure)) &&
           (o->listen == NULL || address_check(o->listen, "--listen", 0, failure));
}

/* How many characters must be inserted, deleted or replaced to make `a` of `b`
 * (Levenshtein); names over 31 characters are far from all of ours. */
static uint32_t distance(const char *a, size_t a_size, const char *b)
{
    uint32_t row[32];
    if (a_size >= 32)
        return 32;
    for (uint32_t i = 0; i <= a_size; i++)
        row[i] = i;

    for (uint32_t j = 0; b[j] != 0; j++) {
        uint32_t diagonal = row[0];
        row[0] = j + 1;
        for (uint32_t i = 1; i <= a_size; i++) {
            uint32_t best = diagonal + (a[i - 1] != b[j]);
            diagonal = row[i];
            if (row[i] + 1 < best)
                best = row[i] + 1;
            if (row[i - 1] + 1 < best)
                best = row[i - 1] + 1;
            row[i] = best;
        }
    }
    return row[a_size];
}

bool options_fail_unknown(const char *name, size_t name_size, struct failure *failure)
{
    uint32_t nearest = 0;
    uint32_t nearest_distance = 32;
    for (uint32_t i = 0; i < option_spec_count; i++) {
        uint32_t d = distance(name, name_size, option_specs[i].name);
        if (d < nearest_distance) {
            nearest = i;
            nearest_distance = d;
        }
    }
    if (nearest_distance <= 2 && nearest_distance < name_size)
        return failure_set(failure, "unknown option --%.*s: did you mean --%s?", (int)name_size,
                           name, option_specs[nearest].name);
    return failure_set(failure, "unknown option --%.*s; see spate-bench --help", (int)name_size,
                       name);
}

static void print_wrapped(FILE *file, const char *text, uint32_t indent, uint32_t width)
{
    uint32_t column = indent;
    while (*text != 0) {
        uint32_t word_size = (uint32_t)strcspn(text, " ");
        if (column > indent && column + 1 + word_size > width) {
            fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', file);
            column++;
        }
        fprintf(file, "%.*s", (int)word_size, text);
        column += word_size;
        text += word_size;
        text += strspn(text, " ");
    }
    fputc('\n', file);
}

static void print_options(FILE *file, const char *title, uint32_t scenarios, bool is_exact)
{
    fprintf(file, "\n%s\n", title);
    for (uint32_t i = 0; i < option_spec_count; i++) {
        const struct option_spec *spec = &option_specs[i];
        uint32_t quic = spec->scenarios & ~(uint32_t)FOR_LIMIT; /* decides where it stands */
        if (is_exact != (quic == scenarios))
            continue;
        if (!is_exact && (quic == FOR_ALL || quic == FOR_CLIENTS))
            continue;
        char head[64];
        (void)snprintf(head, sizeof(head), "--%s %s", spec->name,
                       spec->argument == NULL ? "" : spec->argument);
        fprintf(file, "  %-21s ", head);
        char names[SCENARIOS_TEXT_SIZE];
        char text[384];
        scenarios_text(spec->scenarios, names);
        (void)snprintf(text, sizeof(text), "%s%s%s", is_exact ? "" : names, is_exact ? "" : ": ",
                       spec->help);
        print_wrapped(file, text, 24, HELP_COLUMNS);
    }
}

/* The scenarios, each with what it measures. */
static void print_scenarios(FILE *file)
{
    for (int i = SCENARIO_BULK; i < SCENARIO_COUNT; i++) {
        if (i == SCENARIO_SERVE)
            continue;
        fprintf(file, "  %-9s  ", scenario_specs[i].name);
        print_wrapped(file, scenario_specs[i].help, 13, HELP_COLUMNS);
    }
}

void options_print_help(FILE *file)
{
    fputs("spate-bench moves encrypted bytes over QUIC and says how fast.  [ALPN perf]\n"
          "\n"
          "  spate-bench SCENARIO [options]            server and client as two processes\n"
          "  spate-bench SCENARIO --connect ADDR:PORT  the client alone\n"
          "  spate-bench limit [options]               the limit of this machine\n"
          "  spate-bench serve --listen ADDR:PORT      the server alone\n"
          "  spate-bench suite [options]               all of a list; see suite --help\n"
          "  spate-bench compare BEFORE.json AFTER.json\n"
          "                                            what became slower\n"
          "\n",
          file);
    print_scenarios(file);
    print_options(file, "The load:", 0, false);
    print_options(file, "The client:", FOR_CLIENTS, true);
    print_options(file, "Both sides:", FOR_ALL, true);
    fputs("\nSizes may have a unit: K M G T (powers of 1000) or Ki Mi Gi Ti (of 1024).\n"
          "Exit status: 0 done, 1 failed (one line on standard error says why),\n"
          "2 bad command line, 130 after SIGINT or SIGTERM.\n",
          file);
}

/* SPDX-License-Identifier: MIT */
/* spate-bench: the load generator.  `spate-bench --help` says what it does.
 *
 * The usual form forks a server off, so that two processes talk over real sockets; with
 * --connect there is only the client, and `serve` is only the server.  Everything goes through
 * the public API. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <spate/base.h>

#include "bench/load/client.h"
#include "bench/load/clock.h"
#include "bench/load/cpu.h"
#include "bench/load/failure.h"
#include "bench/load/leaks.h"
#include "bench/load/options.h"
#include "bench/load/payload.h"
#include "bench/load/process.h"
#include "bench/load/relay.h"
#include "bench/load/report.h"
#include "bench/load/result.h"
#include "bench/load/serve.h"
#include "bench/load/suite.h"
#include "bench/load/versus.h"
#include "bench/load/versus_bare.h"
#include "tools/histogram/percentiles.h"

#define RELAY_TIMEOUT_NS (5 * NS_PER_S)

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_INTERRUPTED = 130,
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void catch_signals(void)
{
    /* No SA_RESTART: a wait ends.  SA_RESETHAND: the second one kills. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Files are opened before the run: to find out at its end would be a pity. */
static bool open_output(const char *option, const char *path, FILE **ret, struct failure *failure)
{
    if (path == NULL)
        return true;
    *ret = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    return *ret != NULL ||
           failure_set(failure, "cannot write %s %s: %s", option, path, strerror(errno));
}

static bool close_output(const char *option, const char *path, FILE *file, struct failure *failure)
{
    if (file == NULL)
        return true;
    bool is_written = fflush(file) == 0 && ferror(file) == 0;
    if (file != stdout && fclose(file) != 0)
        is_written = false;
    return is_written ||
           failure_set(failure, "cannot write %s %s: %s", option, path, strerror(errno));
}

static bool run_client(const struct options *o, struct client_setup *setup, int cpu,
                       struct result *ret, struct failure *failure)
{
    setup->options = o;
    setup->stop = &stop;
    return cpu_pin(cpu, "--client-cpu", failure) && client_run(setup, ret, failure);
}

/* The relay's counts, and its end. */
static void stop_relay(struct server_process *relay, struct result *ret, struct failure *failure)
{
    struct control_message m = {.kind = CONTROL_SAMPLE};
    bool is_good = control_send(relay->control, &m) == 0 &&
                   control_receive(relay->control, &m, RELAY_TIMEOUT_NS) == 0 &&
                   m.kind == CONTROL_SAMPLE;
    ret->have_relay = is_good;
    if (is_good)
        ret->relay = m.relay;
    server_process_stop(relay, failure);
}

/* The client, with a relay between it and the server if the options ask for one. */
static bool run_path(const struct options *o, struct client_setup *setup, int cpu,
                     struct result *ret, struct failure *failure)
{
    if (!options_has_relay(o))
        return run_client(o, setup, cpu, ret, failure);
    char at[ADDRESS_TEXT_SIZE];
    address_format(&setup->server->items[0], at);
    struct options relay_options = *o;
    relay_options.connect = at;
    struct server_process process;
    struct control_message ready;
    if (!server_process_start(&relay_options, relay_process_serve, CPU_ANY, &process, &ready,
                              failure))
        return false;
    struct address_list relay = {.count = 1};
    relay.items[0].storage = ready.address;
    relay.items[0].size = ready.address_size;
    setup->server = &relay;
    (void)run_client(o, setup, cpu, ret, failure);
    stop_relay(&process, ret, failure);
    return !failure->is_set;
}

/* Both processes. */
static bool run_pair(const struct options *o, struct result *ret, struct failure *failure)
{
    struct server_process process;
    struct control_message ready;
    int server_cpu = cpu_choose(o->server_cpu, o->client_cpu);
    int client_cpu = cpu_choose(o->client_cpu, server_cpu);
    if (!server_process_start(o, server_process_serve, server_cpu, &process, &ready, failure))
        return false;

    struct address_list server = {.count = 1};
    server.items[0].storage = ready.address;
    server.items[0].size = ready.address_size;
    struct client_setup setup = {
        .server = &server,
        .server_name = o->name != NULL ? o->name : "localhost",
        .ca_file = o->ca != NULL ? o->ca : o->cert,
        .ca_pem = o->ca == NULL && o->cert == NULL ? ready.text : NULL,
        .control = process.control,
    };
    (void)run_path(o, &setup, client_cpu, ret, failure);
    server_process_stop(&process, failure);
    cpu_unpin(); /* there may be another run */
    return !failure->is_set;
}

/* The client alone. */
static bool run_against(const struct options *o, struct result *ret, struct failure *failure)
{
    struct address_list server;
    if (!address_resolve(o->connect, "--connect", 1, &server, failure))
        return false;
    struct client_setup setup = {
        .server = &server,
        .server_name = o->name != NULL ? o->name : server.host,
        .ca_file = o->ca,
        .control = -1,
    };
    int cpu = cpu_choose(o->client_cpu, cpu_choose(CPU_DEFAULT, CPU_ANY));
    return run_path(o, &setup, cpu, ret, failure);
}

/* Files that results go to; NULL: not asked for. */
struct outputs {
    FILE *json;
    FILE *hist;
    bool has_table; /* standard output is free for it */
};

static bool run_scenario(const struct options *o, const struct outputs *out, struct result *result,
                         struct failure *failure)
{
    static struct versus versus;
    static struct versus_bare versus_bare;
    bool is_good;
    if (o->kind == SCENARIO_SERVE)
        is_good = serve_run(o, out->has_table ? stdout : stderr, &stop, result, failure);
    else if (o->vs_limit)
        is_good = versus_run(o, run_pair, &stop, result, &versus, failure);
    else if (o->vs_bare)
        is_good = versus_bare_run(o, run_pair, &stop, result, &versus_bare, failure);
    else
        is_good =
            o->connect != NULL ? run_against(o, result, failure) : run_pair(o, result, failure);
    if (!is_good)
        return false;
    if (o->leaks && !leaks_check(result, failure))
        return false;
    result->versus = o->vs_limit ? &versus : NULL;
    result->versus_bare = o->vs_bare ? &versus_bare : NULL;
    if (out->has_table)
        report_print(o, result, stdout);
    if (out->json != NULL)
        report_write_json(o, result, out->json);
    if (out->hist != NULL)
        histogram_write_percentiles(&result->latency, 1e3, out->hist);
    return true;
}

static bool run_limit(const struct options *o, const struct outputs *out, struct failure *failure)
{
    struct versus versus;
    if (!versus_limit_only(o, &stop, &versus, failure))
        return false;
    if (out->has_table)
        report_print_limit(o, &versus, stdout);
    if (out->json != NULL)
        report_write_limit(o, &versus, out->json);
    return true;
}

static bool run(const struct options *o, struct result *result, struct failure *failure)
{
    struct outputs out = {.json = NULL};
    if (!open_output("--json", o->json, &out.json, failure) ||
        !open_output("--hist", o->hist, &out.hist, failure))
        return false;

    out.has_table = out.json != stdout && out.hist != stdout;
    bool is_good = o->kind == SCENARIO_LIMIT ? run_limit(o, &out, failure)
                                             : run_scenario(o, &out, result, failure);
    is_good &= close_output("--json", o->json, out.json, failure);
    is_good &= close_output("--hist", o->hist, out.hist, failure);
    return is_good;
}

/* A file or a socket of ours must not get the number of a standard stream that is closed: what is
 * printed would go there. */
static void occupy_closed_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

/* Returns `status`, or a failure if something that was printed is not on stdout. */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "spate-bench: cannot write to stdout\n");
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct failure failure = {.is_set = false};
    struct options options;
    occupy_closed_streams();
    if (argc > 1 && suite_is_asked(argv[1])) {
        (void)suite_exec(argc, argv, &failure);
        fprintf(stderr, "spate-bench: %s\n", failure.text);
        return EXIT_FAILED;
    }
    if (!options_parse(argc, argv, &options, &failure)) {
        fprintf(stderr, "spate-bench: %s\n", failure.text);
        return EXIT_USAGE;
    }
    if (options.help) {
        options_print_help(stdout);
        return finish(EXIT_SUCCESS);
    }
    if (options.version) {
        printf("spate-bench %s\n", spate_version());
        return finish(EXIT_SUCCESS);
    }

    static struct result result; /* 75 KB of histogram and samples */
    catch_signals();
    payload_init();
    if (!run(&options, &result, &failure)) {
        fprintf(stderr, "spate-bench: %s\n", failure.text);
        return EXIT_FAILED;
    }
    return finish(stop != 0 && options.kind != SCENARIO_SERVE ? EXIT_INTERRUPTED : EXIT_SUCCESS);
}

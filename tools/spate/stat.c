/* SPDX-License-Identifier: MIT */
/* spate stat: what an engine of another process does, from the file in which it shows its counters
 * (<spate/stat_file.h>).  It stops nobody, and reads what a process has left that crashed. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/net.h"
#include "tools/spate/options.h"
#include "tools/spate/stat_export.h"
#include "tools/spate/stat_map.h"
#include "tools/spate/stat_scrape.h"
#include "tools/spate/stat_screen.h"

enum { INTERVAL_MS = 1000 };

static const char usage_text[] =
    "usage: spate stat FILE|FOLDER|PID [OPTIONS]\n"
    "\n"
    "Shows the counters of an engine: rates, queues, stages, connections; anew every\n"
    "second.  A program has such a file if SPATE_STAT_DIR names a folder when it\n"
    "starts, for example \"SPATE_STAT_DIR=/dev/shm spate serve ...\", or if its\n"
    "configuration has stat_file.\n"
    "\n"
    "  --once               one screen, and no more\n"
    "  --interval MS        between two screens, 100 to 60000 (default: 1000)\n"
    "  --json               all counters and histograms since the start, as JSON,\n"
    "                       once\n"
    "  --prometheus         the same in Prometheus' exposition format, once\n"
    "  --listen ADDR:PORT   serves that by HTTP at /metrics, until SIGINT\n"
    "\n"
    "Of a folder the engine that started last is shown.  An engine that starts again\n"
    "with the same stat_file, or in that folder, is followed.  Scrapers of one that\n"
    "has ended or died get spate_up 0 and no counters.\n";

enum what { WHAT_LIVE, WHAT_ONCE, WHAT_JSON, WHAT_PROMETHEUS, WHAT_LISTEN };

struct stat_options {
    enum what what;
    uint64_t interval_ms;
    struct net_address address;
};

static volatile sig_atomic_t is_stopped;

static void on_signal(int number)
{
    (void)number;
    is_stopped = 1;
}

static void watch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

static int take(void *context, int option, const char *value)
{
    struct stat_options *options = context;
    switch (option) {
    case 'o':
        options->what = WHAT_ONCE;
        return 0;
    case 'j':
        options->what = WHAT_JSON;
        return 0;
    case 'p':
        options->what = WHAT_PROMETHEUS;
        return 0;
    case 'i':
        return options_take_number("stat", "--interval", value, 100, 60000, &options->interval_ms);
    default:
        options->what = WHAT_LISTEN;
        return options_take_address("stat", "--listen", value, &options->address);
    }
}

/* ---- Once ---- */

static int export(const struct stat_map *map,
                  void (*write_it)(const struct stat_view *view, FILE *out), FILE *out)
{
    struct stat_view view;
    if (!stat_view_take(map, &view)) {
        message("stat", "%s", strerror(ENOMEM));
        return EXIT_FAILURE;
    }
    write_it(&view, out);
    stat_view_free(&view);
    return EXIT_SUCCESS;
}

/* ---- Live ---- */

static void rest(uint64_t ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                                   .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL); /* a signal ends it */
}

/* Writes what fits on a terminal of so many rows and columns: a line that is broken, or one too
 * many, would move the rest. */
static void write_clipped(const char *text, size_t rows, size_t columns)
{
    fputs("\033[H\033[2J", stdout);
    for (size_t row = 0; row + 1 < rows && *text != '\0'; row++) {
        size_t size = strcspn(text, "\n");
        printf("%.*s\n", (int)(size < columns ? size : columns), text);
        text += size + (text[size] == '\n');
    }
}

static void write_screen(const struct stat_reading *before, const struct stat_reading *after,
                         bool is_terminal)
{
    struct winsize window = {.ws_row = 0};
    char *text = NULL;
    size_t size = 0;
    FILE *out = is_terminal ? open_memstream(&text, &size) : NULL;
    if (out == NULL) {
        stat_write_screen(before, after, stdout);
        return;
    }
    stat_write_screen(before, after, out);
    bool has_size = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0;
    if (fclose(out) == 0)
        write_clipped(text, has_size && window.ws_row > 1 ? window.ws_row : SIZE_MAX,
                      has_size && window.ws_col > 0 ? window.ws_col : SIZE_MAX);
    free(text);
}

static int show(struct stat_map *map, const struct stat_options *options)
{
    struct stat_reading before, after;
    bool is_terminal = isatty(STDOUT_FILENO) == 1 && options->what == WHAT_LIVE;
    if (!stat_reading_take(map, &before)) {
        message("stat", "%s", strerror(ENOMEM));
        return EXIT_FAILURE;
    }
    do {
        rest(options->interval_ms);
        bool is_new = stat_map_renew(map);
        if (is_stopped || !stat_reading_take(map, &after))
            break;
        if (!is_new) /* otherwise there is nothing to compare with yet */
            write_screen(&before, &after, is_terminal);
        if (fflush(stdout) != 0)
            is_stopped = 1;
        stat_reading_free(&before);
        before = after;
    } while (!is_stopped && options->what == WHAT_LIVE);
    stat_reading_free(&before);
    return EXIT_SUCCESS;
}

int stat_run(int argc, char **argv)
{
    static const struct option longs[] = {
        {"once", no_argument, NULL, 'o'},
        {"interval", required_argument, NULL, 'i'},
        {"json", no_argument, NULL, 'j'},
        {"prometheus", no_argument, NULL, 'p'},
        {"listen", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct stat_options options = {.interval_ms = INTERVAL_MS};
    const struct options_spec spec = {.command = "stat",
                                      .usage = usage_text,
                                      .short_options = ":",
                                      .longs = longs,
                                      .take = take,
                                      .context = &options};
    int status;
    if (!options_parse(&spec, argc, argv, &status))
        return status;
    if (optind + 1 != argc)
        return message_usage("stat", "takes one file, folder or process", NULL);
    struct stat_map map;
    const char *why = stat_map_open(argv[optind], &map);
    if (why != NULL) {
        message("stat", "%s: %s", argv[optind], why);
        return EXIT_FAILURE;
    }
    watch_signals();
    if (options.what == WHAT_JSON)
        status = export(&map, stat_write_json, stdout);
    else if (options.what == WHAT_PROMETHEUS)
        status = export(&map, stat_write_prometheus, stdout);
    else if (options.what == WHAT_LISTEN)
        status = stat_scrape_serve(&map, &options.address, &is_stopped);
    else
        status = show(&map, &options);
    stat_map_close(&map);
    return status;
}

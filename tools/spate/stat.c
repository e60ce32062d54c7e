/* SPDX-License-Identifier: MIT */
/* spate stat: what an engine of another process does, from the file in which it shows its counters
 * (<spate/stat_file.h>).  It stops nobody, and reads what a process has left that crashed. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/net.h"
#include "tools/spate/number.h"
#include "tools/spate/options.h"
#include "tools/spate/stat_export.h"
#include "tools/spate/stat_map.h"
#include "tools/spate/stat_screen.h"

enum { INTERVAL_MS = 1000, REQUEST_MAX = 4096, PATIENCE_MS = 2000 };

static const char usage_text[] =
    "usage: spate stat FILE|PID [OPTIONS]\n"
    "\n"
    "Shows the counters of an engine: rates, queues, stages, connections; anew every second.  A\n"
    "program has such a file if SPATE_STAT_DIR names a folder when it starts, for example\n"
    "\"SPATE_STAT_DIR=/dev/shm spate serve ...\", or if its configuration has stat_file.\n"
    "\n"
    "  --once               one screen, and no more\n"
    "  --interval MS        between two screens, 100 to 60000 (default: 1000)\n"
    "  --json               all counters and histograms since the start, as JSON, once\n"
    "  --prometheus         the same in Prometheus' exposition format, once\n"
    "  --listen ADDR:PORT   serves that by HTTP at /metrics, until SIGINT\n";

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
    const char *why;
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
        if (number_parse(value, 100, 60000, &options->interval_ms))
            return 0;
        return message_usage("stat", "--interval takes 100 to 60000, not", value);
    default:
        options->what = WHAT_LISTEN;
        why = net_parse(value, &options->address);
        if (why == NULL)
            return 0;
        message("stat", "--listen %s: %s", value, why);
        return EXIT_USAGE;
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

static int show(const struct stat_map *map, const struct stat_options *options)
{
    struct stat_reading before, after;
    bool is_terminal = isatty(STDOUT_FILENO) == 1 && options->what == WHAT_LIVE;
    if (!stat_reading_take(map, &before)) {
        message("stat", "%s", strerror(ENOMEM));
        return EXIT_FAILURE;
    }
    do {
        rest(options->interval_ms);
        if (is_stopped || !stat_reading_take(map, &after))
            break;
        if (is_terminal)
            fputs("\033[H\033[2J", stdout);
        stat_write_screen(&before, &after, stdout);
        if (fflush(stdout) != 0)
            is_stopped = 1;
        stat_reading_free(&before);
        before = after;
    } while (!is_stopped && options->what == WHAT_LIVE);
    stat_reading_free(&before);
    return ferror(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- For a scraper ---- */

static bool send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* Reads up to the end of the request's head.  Returns false for one that is too long, or slow. */
static bool read_request(int fd, char request[REQUEST_MAX + 1])
{
    size_t used = 0;
    while (used < REQUEST_MAX) {
        ssize_t got = recv(fd, request + used, REQUEST_MAX - used, 0);
        if (got <= 0)
            return false;
        used += (size_t)got;
        request[used] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL)
            return true;
    }
    return false;
}

static void answer(const struct stat_map *map, int fd)
{
    static const char not_found[] =
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    char request[REQUEST_MAX + 1], head[256], *text = NULL;
    size_t size = 0;
    if (!read_request(fd, request))
        return;
    if (strncmp(request, "GET /metrics ", 13) != 0) {
        (void)send_all(fd, not_found, sizeof(not_found) - 1);
        return;
    }
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return;
    int status = export(map, stat_write_prometheus, out);
    if (fclose(out) == 0 && status == EXIT_SUCCESS) {
        int count = snprintf(head, sizeof(head),
                             "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                             "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                             size);
        if (send_all(fd, head, (size_t)count))
            (void)send_all(fd, text, size);
    }
    free(text);
}

/* One scraper after the other; none of them may take longer than PATIENCE_MS for a read or write.
 */
static int serve(const struct stat_map *map, const struct stat_options *options)
{
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    struct net_address bound = {.size = sizeof(bound.storage)};
    char text[NET_TEXT_SIZE];
    int one = 1;
    int fd = socket(options->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 ||
        bind(fd, (const struct sockaddr *)&options->address.storage, options->address.size) != 0 ||
        listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound.storage, &bound.size) != 0) {
        message("stat", "--listen: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    net_format(&bound, text);
    printf("listening at %s\n", text);
    (void)fflush(stdout);
    while (!is_stopped) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int peer = poll(&ready, 1, 1000) == 1 ? accept4(fd, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (peer < 0)
            continue;
        (void)setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void)setsockopt(peer, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        answer(map, peer);
        (void)close(peer);
    }
    (void)close(fd);
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
        return message_usage("stat", "takes one file or process", NULL);
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
        status = serve(&map, &options);
    else
        status = show(&map, &options);
    stat_map_close(&map);
    return fflush(stdout) == 0 ? status : EXIT_FAILURE;
}

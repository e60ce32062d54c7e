/* SPDX-License-Identifier: MIT */
#include "tools/spate/get_options.h"

#include <stdlib.h>
#include <string.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/options.h"

enum { PARALLEL_DEFAULT = 100, PARALLEL_MAX = 1000, TIMEOUT_S_DEFAULT = 30 };

#define NS_PER_S    UINT64_C(1000000000)
#define TIMEOUT_MAX UINT64_C(86400)
#define WINDOW_MIN  UINT64_C(1024)
#define WINDOW_MAX  (UINT64_C(1) << 30)

static const char usage_text[] =
    "usage: spate get [OPTIONS] https://HOST[:PORT]/PATH... -o DIR\n"
    "\n"
    "Fetches files by HTTP/0.9 over QUIC (ALPN hq-interop), all files of a server\n"
    "over one connection.  A file has its final name once it is complete.\n"
    "\n"
    "  -o DIR, --output DIR  where to put the files; it is made if it does not exist\n"
    "  --ca FILE             the CA certificates to trust, PEM (default: the\n"
    "                        system's)\n"
    "  --insecure            does not verify the server\n"
    "  --separate            a connection for each file\n"
    "  --parallel N          files of a connection, or connections, at a time\n"
    "                        (default: 100)\n"
    "  --cipher NAMES        aes-128-gcm, aes-256-gcm, chacha20-poly1305, with\n"
    "                        commas between them (default: all)\n"
    "  --window BYTES        credit for a stream and for a connection at the start,\n"
    "                        such as 64Ki\n"
    "  --quic VERSIONS       versions of QUIC: both, prefer-2, begin-2, only-1 or\n"
    "                        only-2 (default: both, beginning with 1)\n"
    "  --update-keys         makes new keys once the handshake is confirmed\n"
    "  --migrate             moves each connection to another local port while files\n"
    "                        come; if that fails, it prints why and goes on with the\n"
    "                        old one\n"
    "  --tickets FILE        keeps what servers give for later connections in FILE,\n"
    "                        and uses it: resumes sessions, and sends requests as\n"
    "                        0-RTT.  FILE is made if it does not exist; it is secret\n"
    "  --no-early            resumes without 0-RTT\n"
    "  --qlog DIR            records each connection in a file of DIR, for qvis and\n"
    "                        other viewers\n"
    "  --verbose             prints a line for each connection: whether it was\n"
    "                        resumed\n"
    "  --timeout SECONDS     gives up if the handshake takes longer, or if nothing\n"
    "                        comes for so long (default: 30)\n"
    "\n"
    "Exits with 0 if all files are there, 1 if one is missing, 2 for a wrong command\n"
    "line, and 130 after SIGINT or SIGTERM.  If the environment has SSLKEYLOGFILE,\n"
    "the secrets of connections are appended to that file.\n";

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"ca", required_argument, NULL, 'a'},
    {"insecure", no_argument, NULL, 'i'},
    {"separate", no_argument, NULL, 's'},
    {"parallel", required_argument, NULL, 'p'},
    {"cipher", required_argument, NULL, 'C'},
    {"window", required_argument, NULL, 'w'},
    {"timeout", required_argument, NULL, 't'},
    {"quic", required_argument, NULL, 'q'},
    {"update-keys", no_argument, NULL, 'u'},
    {"migrate", no_argument, NULL, 'm'},
    {"tickets", required_argument, NULL, 'T'},
    {"no-early", no_argument, NULL, 'E'},
    {"verbose", no_argument, NULL, 'v'},
    {"qlog", required_argument, NULL, 'Q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* Returns 0, or the exit status after one line on stderr. */
static int take_number(struct get_options *o, int option, const char *value)
{
    uint64_t number = 0;
    int status;
    switch (option) {
    case 'p':
        status = options_take_number("get", "--parallel", value, 1, PARALLEL_MAX, &number);
        o->parallel = (uint32_t)number;
        return status;
    case 'w':
        return options_take_number("get", "--window", value, WINDOW_MIN, WINDOW_MAX,
                                   &o->window_bytes);
    default:
        return options_take_seconds("get", "--timeout", value, 1, TIMEOUT_MAX, &o->timeout_ns);
    }
}

static int take(void *context, int option, const char *value)
{
    struct get_options *o = context;
    const struct option_simple simple[] = {
        {'o', &o->folder, NULL},         {'a', &o->ca, NULL},
        {'T', &o->tickets, NULL},        {'Q', &o->qlog, NULL},
        {'i', NULL, &o->is_insecure},    {'s', NULL, &o->is_separate},
        {'u', NULL, &o->updates_keys},   {'m', NULL, &o->migrates},
        {'E', NULL, &o->is_never_early}, {'v', NULL, &o->is_verbose},
    };
    if (options_take_simple(simple, sizeof(simple) / sizeof(simple[0]), option, value))
        return 0;
    if (option == 'q')
        return options_take_versions("get", value, &o->versions);
    if (option == 'C')
        return options_take_ciphers("get", value, &o->ciphers);
    return take_number(o, option, value);
}

static int compare_names(const void *a, const void *b)
{
    const struct hq_url *const *left = a;
    const struct hq_url *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

/* Two URLs must not become one file. */
static int check_names(const struct get_options *o)
{
    const struct hq_url **sorted = calloc(o->url_count, sizeof(const struct hq_url *));
    int status = 0;
    if (sorted == NULL) {
        message("get", "out of memory");
        return EXIT_FAILURE;
    }
    for (uint32_t i = 0; i < o->url_count; i++)
        sorted[i] = &o->urls[i];
    qsort(sorted, o->url_count, sizeof(const struct hq_url *), compare_names);
    for (uint32_t i = 1; i < o->url_count && status == 0; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            status = message_usage("get", "two URLs have the same file name,", sorted[i]->name);
    }
    free(sorted);
    return status;
}

static int take_urls(struct get_options *o, int count, char **texts)
{
    if (count == 0)
        return message_usage("get", "a URL is missing", NULL);
    if (o->folder == NULL)
        return message_usage("get", "-o is missing", NULL);
    if (o->ca != NULL && o->is_insecure)
        return message_usage("get", "--ca and --insecure exclude each other", NULL);
    o->urls = calloc((size_t)count, sizeof(*o->urls));
    if (o->urls == NULL) {
        message("get", "out of memory");
        return EXIT_FAILURE;
    }
    for (int i = 0; i < count; i++) {
        const char *wrong = hq_url_parse(texts[i], &o->urls[i]);
        if (wrong != NULL) {
            message("get", "the URL %s %s", texts[i], wrong);
            return EXIT_USAGE;
        }
    }
    o->url_count = (uint32_t)count;
    return check_names(o);
}

bool get_options_parse(struct get_options *ret, int argc, char **argv, int *ret_status)
{
    const struct options_spec spec = {"get", usage_text, ":o:", long_options, take, ret};
    *ret = (struct get_options){.parallel = PARALLEL_DEFAULT,
                                .timeout_ns = TIMEOUT_S_DEFAULT * NS_PER_S};
    if (!options_parse(&spec, argc, argv, ret_status))
        return false;
    *ret_status = take_urls(ret, argc - optind, argv + optind);
    if (*ret_status != 0)
        get_options_deinit(ret);
    return *ret_status == 0;
}

void get_options_deinit(struct get_options *options)
{
    free(options->urls);
    options->urls = NULL;
}

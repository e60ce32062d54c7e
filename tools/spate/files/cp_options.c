/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/cp_options.h"

#include <stdlib.h>
#include <string.h>

#include "tools/spate/commands.h"
#include "tools/spate/files/adapt.h"
#include "tools/spate/message.h"
#include "tools/spate/options.h"

enum { PORT_DEFAULT = 4433, TIMEOUT_S_DEFAULT = 30 };

#define NS_PER_S       UINT64_C(1000000000)
#define TIMEOUT_MAX    UINT64_C(86400)
#define MEMORY_DEFAULT (UINT64_C(128) << 20)
#define MEMORY_MIN     (UINT64_C(1) << 20)
#define MEMORY_MAX     (UINT64_C(1) << 40)

#define COMMON_USAGE \
    "  --port N            the server's port (default: 4433)\n" \
    "  --ca FILE           trusts servers with a certificate of these CAs, PEM.\n" \
    "                      Without it the fingerprint of the server is kept at the\n" \
    "                      first use, and must be the same ever after\n" \
    "  --name NAME         the server name in its certificate, with --ca (default:\n" \
    "                      HOST)\n" \
    "  --known FILE        where fingerprints are kept (default: spate/known_servers\n" \
    "                      in XDG_STATE_HOME or ~/.local/state)\n" \
    "  --strict            refuses servers whose fingerprint is not kept yet\n" \
    "  --fingerprint F     the server's, sha256:HEX\n" \
    "  --token FILE        a secret that the server has too, in the first line of\n" \
    "                      FILE: each proves it to the other\n" \
    "  --tickets FILE      keeps what servers give for later connections in FILE,\n" \
    "                      and uses it: resumes sessions, and asks for files by\n" \
    "                      0-RTT.  FILE is secret\n" \
    "  --profile P         lan or wan: how many streams to begin with (default: by\n" \
    "                      the round trip)\n" \
    "  --hash H            gmac or sha256: what shows that files are written as they\n" \
    "                      were read (default: gmac, or sha256 where the server is\n" \
    "                      older)\n" \
    "  --streams N         streams at a time, 1 to 16 (default: as the bandwidth\n" \
    "                      asks for)\n" \
    "  --memory BYTES      for what is read ahead, such as 64Mi (default: 128Mi)\n" \
    "  --timeout SECONDS   gives up if nothing comes for so long (default: 30)\n" \
    "  --json              prints figures of the transfer on stdout\n" \
    "  --quiet             shows no progress; there is none without a terminal\n" \
    "                      either\n" \
    "\n" \
    "HOST is a name, an IPv4 address or an IPv6 address in brackets; PATH is below\n" \
    "the server's folder.  A file has its final name once it is whole.  A large file\n" \
    "that was interrupted is continued by the same command.\n" \
    "\n" \
    "Exits with 0 if all is there, 1 if something is missing, 2 for a wrong command\n" \
    "line, and 130 after SIGINT or SIGTERM.\n"

static const char cp_usage[] =
    "usage: spate cp [OPTIONS] FILE... HOST:PATH\n"
    "       spate cp [OPTIONS] HOST:PATH... DIR\n"
    "\n"
    "Copies files to or from \"spate serve --cp\", with permissions, times, holes and\n"
    "verified digests.  The last argument is a folder, which is made if it does not\n"
    "exist.  Symbolic links are copied as such.\n"
    "\n"
    "  -r, --recursive     copies folders with all that is in them\n" COMMON_USAGE;

static const char sync_usage[] =
    "usage: spate sync [OPTIONS] DIR HOST:PATH\n"
    "       spate sync [OPTIONS] HOST:PATH DIR\n"
    "\n"
    "Makes the second folder like the first one: copies files whose size or time\n"
    "differs.\n"
    "\n"
    "  --delete            removes what the first folder does not have\n" COMMON_USAGE;

static const struct option long_options[] = {
    {"recursive", no_argument, NULL, 'r'},
    {"port", required_argument, NULL, 'p'},
    {"ca", required_argument, NULL, 'a'},
    {"name", required_argument, NULL, 'n'},
    {"known", required_argument, NULL, 'k'},
    {"strict", no_argument, NULL, 's'},
    {"fingerprint", required_argument, NULL, 'f'},
    {"token", required_argument, NULL, 't'},
    {"tickets", required_argument, NULL, 'T'},
    {"profile", required_argument, NULL, 'P'},
    {"hash", required_argument, NULL, 'H'},
    {"streams", required_argument, NULL, 'w'},
    {"memory", required_argument, NULL, 'm'},
    {"timeout", required_argument, NULL, 'i'},
    {"json", no_argument, NULL, 'j'},
    {"quiet", no_argument, NULL, 'q'},
    {"delete", no_argument, NULL, 'd'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int take_number(struct cp_options *o, int option, const char *value)
{
    uint64_t number = 0;
    int status;
    switch (option) {
    case 'p':
        status = options_take_number(o->command, "--port", value, 1, UINT16_MAX, &number);
        o->port = (uint16_t)number;
        return status;
    case 'w':
        status = options_take_number(o->command, "--streams", value, ADAPT_MIN, ADAPT_MAX, &number);
        o->streams = (uint32_t)number;
        return status;
    case 'm':
        return options_take_number(o->command, "--memory", value, MEMORY_MIN, MEMORY_MAX,
                                   &o->memory_bytes);
    default:
        return options_take_seconds(o->command, "--timeout", value, 1, TIMEOUT_MAX, &o->timeout_ns);
    }
}

static int take_profile(struct cp_options *o, const char *value)
{
    bool is_lan = strcmp(value, "lan") == 0;
    if (!is_lan && strcmp(value, "wan") != 0)
        return message_usage(o->command, "--profile must be lan or wan, not", value);
    o->profile = is_lan ? CP_PROFILE_LAN : CP_PROFILE_WAN;
    return 0;
}

static int take_hash(struct cp_options *o, const char *value)
{
    bool is_gmac = strcmp(value, "gmac") == 0;
    if (!is_gmac && strcmp(value, "sha256") != 0)
        return message_usage(o->command, "--hash must be gmac or sha256, not", value);
    o->hash = is_gmac ? CP_HASH_GMAC : CP_HASH_SHA256;
    return 0;
}

static int take(void *context, int option, const char *value)
{
    struct cp_options *o = context;
    const struct option_simple simple[] = {
        {'a', &o->ca, NULL},          {'n', &o->server_name, NULL}, {'k', &o->known, NULL},
        {'f', &o->fingerprint, NULL}, {'t', &o->token, NULL},       {'T', &o->tickets, NULL},
        {'s', NULL, &o->is_strict},   {'j', NULL, &o->is_json},     {'q', NULL, &o->is_quiet},
    };
    if (options_take_simple(simple, sizeof(simple) / sizeof(simple[0]), option, value))
        return 0;
    if (option == 'r' && !o->is_sync)
        o->is_recursive = true;
    else if (option == 'd' && o->is_sync)
        o->deletes = true;
    else if (option == 'r' || option == 'd')
        return message_usage(o->command, "unknown option",
                             option == 'r' ? "--recursive" : "--delete");
    else if (option == 'P')
        return take_profile(o, value);
    else if (option == 'H')
        return take_hash(o, value);
    else
        return take_number(o, option, value);
    return 0;
}

/* Finds the colon after HOST, or NULL: a local path.  A path with a slash before the colon is one.
 */
static const char *find_colon(const char *text)
{
    const char *from = text;
    if (text[0] == '[')
        from = strchr(text, ']');
    const char *colon = from != NULL ? strchr(from, ':') : NULL;
    const char *slash = strchr(text, '/');
    return colon != NULL && colon > text && (slash == NULL || slash > colon) ? colon : NULL;
}

/* Reads HOST:PATH.  All of a command line must name one host. */
static int take_remote(struct cp_options *o, const char *text, const char **ret_path)
{
    const char *colon = find_colon(text);
    const char *host = text;
    size_t size = (size_t)(colon - text);
    if (text[0] == '[' && colon[-1] == ']') {
        host++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof(o->host))
        return message_usage(o->command, "this is not HOST:PATH:", text);
    if (o->host[0] != 0 && (strlen(o->host) != size || memcmp(o->host, host, size) != 0))
        return message_usage(o->command, "all files must be on one server, not also on", text);
    memcpy(o->host, host, size);
    o->host[size] = 0;
    const char *path = colon + 1;
    if (path[0] == '.' && path[1] == 0)
        path++;
    if (path[0] != 0 && !files_path_is_good(path, strlen(path)))
        return message_usage(
            o->command, "the path on the server must be relative, without \".\" or \"..\":", text);
    *ret_path = path;
    return 0;
}

static int take_sources(struct cp_options *o, char **texts)
{
    for (uint32_t i = 0; i < o->source_count; i++) {
        bool is_remote = find_colon(texts[i]) != NULL;
        if (is_remote && o->is_push)
            return message_usage(o->command, "one side must be local, but there is also", texts[i]);
        if (!is_remote && !o->is_push)
            return message_usage(o->command,
                                 "one side must be HOST:PATH, and this is not:", texts[i]);
        o->sources[i] = texts[i];
        int status = is_remote ? take_remote(o, texts[i], &o->sources[i]) : 0;
        if (status != 0)
            return status;
        if (o->sources[i][0] == 0 && !o->is_recursive)
            return message_usage(o->command, "a folder needs -r:", texts[i]);
    }
    return 0;
}

static int take_arguments(struct cp_options *o, int count, char **texts)
{
    if (count < 2)
        return message_usage(o->command, "a source and a target are needed", NULL);
    if (o->is_sync && count > 2)
        return message_usage(o->command, "takes two folders, and not also", texts[2]);
    if (o->ca != NULL && o->fingerprint != NULL)
        return message_usage(o->command, "--ca and --fingerprint exclude each other", NULL);
    o->source_count = (uint32_t)count - 1;
    o->sources = calloc(o->source_count, sizeof(*o->sources));
    if (o->sources == NULL) {
        message(o->command, "out of memory");
        return EXIT_FAILURE;
    }
    o->target = texts[count - 1];
    o->is_push = find_colon(o->target) != NULL;
    int status = o->is_push ? take_remote(o, o->target, &o->target) : 0;
    if (status == 0)
        status = take_sources(o, texts);
    net_format_name(o->host, o->port, o->server);
    return status;
}

bool cp_options_parse(struct cp_options *ret, bool is_sync, int argc, char **argv, int *ret_status)
{
    const struct options_spec spec = {
        is_sync ? "sync" : "cp", is_sync ? sync_usage : cp_usage, ":r", long_options, take, ret};
    *ret = (struct cp_options){.command = spec.command,
                               .is_sync = is_sync,
                               .is_recursive = is_sync,
                               .port = PORT_DEFAULT,
                               .memory_bytes = MEMORY_DEFAULT,
                               .timeout_ns = TIMEOUT_S_DEFAULT * NS_PER_S};
    if (!options_parse(&spec, argc, argv, ret_status))
        return false;
    *ret_status = take_arguments(ret, argc - optind, argv + optind);
    if (*ret_status != 0)
        cp_options_deinit(ret);
    return *ret_status == 0;
}

void cp_options_deinit(struct cp_options *options)
{
    free(options->sources);
    options->sources = NULL;
}

/* SPDX-License-Identifier: MIT */
#include "tools/spate/swarm/options.h"

#include <stdlib.h>
#include <string.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/number.h"
#include "tools/spate/options.h"
#include "tools/spate/swarm/picker.h"

enum { TIMEOUT_S_DEFAULT = 30, UPLOADS_DEFAULT = 16 };

#define NS_PER_S       UINT64_C(1000000000)
#define TIME_MAX       UINT64_C(31536000)
#define MEMORY_DEFAULT (UINT64_C(64) << 20)
#define MEMORY_MIN     (UINT64_C(1) << 20)
#define MEMORY_MAX     (UINT64_C(1) << 34)
#define RATE_MIN       UINT64_C(1000)
#define RATE_MAX       UINT64_C(125000000000)

static const char usage[] =
    "usage: spate swarm make [--piece-size BYTES] PATH META\n"
    "       spate swarm seed [OPTIONS] --listen ADDR:PORT META DIR\n"
    "       spate swarm fetch [OPTIONS] --peer HOST:PORT META DIR\n"
    "\n"
    "Distributes files among many peers, in pieces whose hashes are in the metainfo\n"
    "META.  \"make\" writes it for a file or a folder; \"seed\" gives out what is below\n"
    "DIR; \"fetch\" writes below DIR, and gives out what it has.  The protocol is our\n"
    "own, over QUIC; it is not BitTorrent's.\n"
    "\n"
    "  --listen ADDR:PORT  accepts peers; up to 8 times.  Prints \"listening at\n"
    "                      ADDR:PORT\"\n"
    "  --peer HOST:PORT    connects to a peer; up to 32 times\n"
    "  --identity FILE     the certificate by which peers know us; is made if there\n"
    "                      is none (default: another one at each start)\n"
    "  --known FILE        where fingerprints of peers are kept (default:\n"
    "                      spate/known_servers in XDG_STATE_HOME or ~/.local/state)\n"
    "  --strict            refuses peers whose fingerprint is not kept yet\n"
    "  --token FILE        a secret in the first line of FILE that all peers must\n"
    "                      have\n"
    "  --memory BYTES      for pieces that are not complete (default: 64Mi; two\n"
    "                      pieces at least)\n"
    "  --rate BYTES        sends no more per second (default: no limit)\n"
    "  --uploads N         peers that are served at a time (default: 16)\n"
    "  --linger SECONDS    fetch: goes on to serve so long while peers need\n"
    "                      something (default: 0)\n"
    "  --timeout SECONDS   fetch: gives up if nothing comes for so long (default:\n"
    "                      30)\n"
    "  --piece-size BYTES  make: a power of two from 64Ki to 16Mi (default: by the\n"
    "                      size of PATH)\n"
    "  --profile           prints where the CPU time of a block goes\n"
    "  --qlog DIR          records each connection in a file of DIR, for qvis and\n"
    "                      other viewers\n"
    "  --json              prints figures on stdout at the end\n"
    "  --quiet             shows no progress; there is none without a terminal\n"
    "                      either\n"
    "\n"
    "A file has its own name once it is whole.  What was interrupted is continued by\n"
    "the same command: what is there is verified first.\n"
    "\n"
    "Exits with 0 if all is there, 1 if something is missing, 2 for a wrong command\n"
    "line, and 130 after SIGINT or SIGTERM; seed exits with 0 after these.\n";

static const struct option long_options[] = {
    {"listen", required_argument, NULL, 'l'},   {"peer", required_argument, NULL, 'p'},
    {"identity", required_argument, NULL, 'i'}, {"known", required_argument, NULL, 'k'},
    {"strict", no_argument, NULL, 's'},         {"token", required_argument, NULL, 't'},
    {"memory", required_argument, NULL, 'm'},   {"rate", required_argument, NULL, 'r'},
    {"uploads", required_argument, NULL, 'u'},  {"linger", required_argument, NULL, 'L'},
    {"timeout", required_argument, NULL, 'T'},  {"piece-size", required_argument, NULL, 'P'},
    {"profile", no_argument, NULL, 'f'},        {"qlog", required_argument, NULL, 'Q'},
    {"json", no_argument, NULL, 'j'},           {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0},
};

static int take_number(struct swarm_options *o, int option, const char *value)
{
    uint64_t number = 0;
    int status;
    switch (option) {
    case 'm':
        return options_take_number("swarm", "--memory", value, MEMORY_MIN, MEMORY_MAX,
                                   &o->memory_bytes);
    case 'r':
        return options_take_number("swarm", "--rate", value, RATE_MIN, RATE_MAX,
                                   &o->rate_bytes_per_s);
    case 'u':
        status = options_take_number("swarm", "--uploads", value, 1, PICKER_PEERS_MAX, &number);
        o->uploads = (uint32_t)number;
        return status;
    case 'P':
        if (!number_parse(value, SWARM_PIECE_SIZE_MIN, SWARM_PIECE_SIZE_MAX, &number) ||
            (number & (number - 1)) != 0)
            return message_usage(
                "swarm", "--piece-size must be a power of two from 64Ki to 16Mi, not", value);
        o->piece_size = (uint32_t)number;
        return 0;
    case 'L':
        return options_take_seconds("swarm", "--linger", value, 0, TIME_MAX, &o->linger_ns);
    default:
        return options_take_seconds("swarm", "--timeout", value, 1, TIME_MAX, &o->timeout_ns);
    }
}

static int take_listen(struct swarm_options *o, const char *value)
{
    if (o->listen_count == SWARM_LISTEN_MAX)
        return message_usage("swarm", "--listen is given too often:", value);
    int status = options_take_address("swarm", "--listen", value, &o->listen[o->listen_count]);
    o->listen_count += status == 0;
    return status;
}

static int take_peer(struct swarm_options *o, const char *value)
{
    if (o->peer_count == SWARM_TARGETS_MAX)
        return message_usage("swarm", "--peer is given too often:", value);
    struct swarm_named *named = &o->peers[o->peer_count];
    if (!net_split(value, named->host, &named->port) || named->port == 0)
        return message_usage("swarm", "--peer must be HOST:PORT, not", value);
    net_format_name(named->host, named->port, named->server);
    o->peer_count++;
    return 0;
}

static int take(void *context, int option, const char *value)
{
    struct swarm_options *o = context;
    const struct option_simple simple[] = {
        {'i', &o->identity, NULL}, {'k', &o->known, NULL},     {'t', &o->token, NULL},
        {'Q', &o->qlog, NULL},     {'s', NULL, &o->is_strict}, {'f', NULL, &o->is_profiled},
        {'j', NULL, &o->is_json},  {'q', NULL, &o->is_quiet},
    };
    if (options_take_simple(simple, sizeof(simple) / sizeof(simple[0]), option, value))
        return 0;
    if (option == 'l')
        return take_listen(o, value);
    if (option == 'p')
        return take_peer(o, value);
    return take_number(o, option, value);
}

static int take_arguments(struct swarm_options *o, int count, char **texts)
{
    if (count < 2)
        return message_usage("swarm",
                             o->mode == SWARM_MAKE ? "make needs PATH and META"
                                                   : "the arguments META and DIR are needed",
                             NULL);
    if (count > 2)
        return message_usage("swarm", "takes two arguments, and not also", texts[2]);
    o->meta = texts[o->mode == SWARM_MAKE];
    o->folder = texts[o->mode != SWARM_MAKE];
    if (o->mode == SWARM_SEED && o->listen_count + o->peer_count == 0)
        return message_usage("swarm", "seed needs --listen or --peer", NULL);
    if (o->mode == SWARM_FETCH && o->listen_count + o->peer_count == 0)
        return message_usage("swarm", "fetch needs --peer or --listen", NULL);
    if (o->token != NULL && o->is_strict)
        return message_usage("swarm", "--strict says nothing beside --token", NULL);
    return 0;
}

bool swarm_options_parse(struct swarm_options *ret, int argc, char **argv, int *ret_status)
{
    const struct options_spec spec = {"swarm", usage, ":", long_options, take, ret};
    static const char *const modes[] = {"make", "seed", "fetch"};
    *ret = (struct swarm_options){
        .memory_bytes = MEMORY_DEFAULT,
        .timeout_ns = TIMEOUT_S_DEFAULT * NS_PER_S,
        .uploads = UPLOADS_DEFAULT,
    };
    if (!options_parse(&spec, argc, argv, ret_status))
        return false;
    if (optind == argc) {
        *ret_status = message_usage("swarm", "make, seed or fetch is missing", NULL);
        return false;
    }
    const char *mode = argv[optind++];
    uint32_t index = 0;
    while (index < sizeof(modes) / sizeof(modes[0]) && strcmp(modes[index], mode) != 0)
        index++;
    ret->mode = (enum swarm_mode)index;
    *ret_status = index < sizeof(modes) / sizeof(modes[0])
                      ? take_arguments(ret, argc - optind, argv + optind)
                      : message_usage("swarm", "knows make, seed and fetch, not", mode);
    return *ret_status == 0;
}

/* SPDX-License-Identifier: MIT */
#include "tools/spate/serve_options.h"

#include <string.h>

#include "tools/spate/commands.h"
#include "tools/spate/files/wire.h"
#include "tools/spate/http3/http3.h"
#include "tools/spate/message.h"
#include "tools/spate/options.h"

enum {
    CONNS_DEFAULT = 1000,
    CONNS_MAX = 1000000,
    DRAIN_DEFAULT_S = 60,
    DRAIN_MAX_S = 86400,
    HANDSHAKE_DEFAULT_S = 10,
    HANDSHAKE_MAX_S = 3600,
    DAYS_MAX = 3650
};

static const char usage_text[] =
    "usage: spate serve --listen ADDR:PORT --root DIR [OPTIONS]\n"
    "\n"
    "Serves the files of a folder by HTTP/3, for browsers and curl, and by HTTP/0.9\n"
    "over QUIC (ALPN hq-interop) for spate get.  A request never leaves the folder,\n"
    "and follows no symbolic link.\n"
    "\n"
    "  --listen ADDR:PORT  where to listen; may be repeated.  Port 0: any free port\n"
    "  --prefer ADDR:PORT  asks clients that are connected to move to this address\n"
    "                      of the host; once for IPv4 and once for IPv6.  With one\n"
    "                      --listen\n"
    "  --root DIR          the folder\n"
    "  --cert FILE         the certificate and its chain, PEM.  Without it a\n"
    "                      self-signed one is made\n"
    "  --key FILE          the key of --cert, PEM\n"
    "  --name NAME         a DNS name or IP address that the self-signed certificate\n"
    "                      is for; may be repeated (default: localhost, 127.0.0.1\n"
    "                      and ::1)\n"
    "  --days N            days for which it is valid (default: 30).  Browsers take\n"
    "                      it by its hash if they are at most 14\n"
    "  --cert-out FILE     writes the self-signed certificate: clients need it as\n"
    "                      --ca\n"
    "  --cipher NAMES      aes-128-gcm, aes-256-gcm, chacha20-poly1305, with commas\n"
    "                      between them (default: all)\n"
    "  --conns N           connections at a time (default: 1000)\n"
    "  --handshake-timeout SECONDS\n"
    "                      a handshake that takes longer fails (default: 10).  After\n"
    "                      lost packets over a long path, clients may need more\n"
    "  --quic VERSIONS     versions of QUIC: both, prefer-2 (as is begin-2), only-1\n"
    "                      or only-2 (default: both, as the client prefers)\n"
    "  --retry             makes every client prove its address by a Retry packet\n"
    "  --early             accepts requests as 0-RTT.  They can be replayed: whoever\n"
    "                      has recorded one can make the server read and send the\n"
    "                      file again\n"
    "  --ticket-keys FILE  the keys of tickets: a line of 64 hexadecimal digits\n"
    "                      each, the first one seals.  FILE is made if it does not\n"
    "                      exist.  Servers that share it, or are started again with\n"
    "                      it, resume each other's sessions.  SIGHUP reads it again\n"
    "  --quic-lb FILE      the configuration of connection IDs that load balancers\n"
    "                      can read: one line CONFIG-ID SERVER-ID NONCE-BYTES KEY\n"
    "                      [length], with hexadecimal SERVER-ID and KEY; KEY is -\n"
    "                      for IDs in clear.  SIGHUP reads it again\n"
    "  --qlog DIR          records each connection in a file of DIR, for qvis and\n"
    "                      other viewers\n"
    "  --hand-over PATH    takes over from the server that runs with this path, and\n"
    "                      lets the next one take over: no connection is lost.  With\n"
    "                      the same --listen\n"
    "  --drain SECONDS     with --hand-over: closes connections that last longer\n"
    "                      after that (default: 60)\n"
    "  --inherit NAME      listens on the sockets of this name that systemd has\n"
    "                      bound (ListenDatagram=, FileDescriptorName=); instead of\n"
    "                      --listen\n"
    "  --cp                serves \"spate cp\" and \"spate sync\" too: they may list the\n"
    "                      folder\n"
    "  --writable DIR      with --cp: clients may write to this folder below the\n"
    "                      root; \".\" is the root\n"
    "  --token FILE        with --cp: clients must prove that they have the secret\n"
    "                      in the first line of FILE.  There is no HTTP then\n"
    "  --identity FILE     a self-signed certificate that lasts, with its key:\n"
    "                      clients of --cp know the server by it.  FILE is made if\n"
    "                      it does not exist\n"
    "  --list-folders      HTTP/3: shows what is in a folder that has no index.html\n"
    "  --alt-svc           prints the Alt-Svc field by which an HTTP server at this\n"
    "                      host sends browsers here\n"
    "  --webtransport-echo WebTransport at /echo: sends back each stream and each\n"
    "                      datagram\n"
    "  --verbose           prints a line for each request: status, bytes, path\n"
    "\n"
    "It prints \"listening at ADDR:PORT\" when clients may come.  SIGINT and SIGTERM\n"
    "end it.  If the environment has SSLKEYLOGFILE, the secrets of connections are\n"
    "appended to that file.\n";

static const struct option long_options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"prefer", required_argument, NULL, 'p'},
    {"root", required_argument, NULL, 'r'},
    {"cert", required_argument, NULL, 'c'},
    {"key", required_argument, NULL, 'k'},
    {"cert-out", required_argument, NULL, 'o'},
    {"name", required_argument, NULL, 'n'},
    {"cipher", required_argument, NULL, 'C'},
    {"conns", required_argument, NULL, 'm'},
    {"retry", no_argument, NULL, 'R'},
    {"verbose", no_argument, NULL, 'v'},
    {"list-folders", no_argument, NULL, 'L'},
    {"alt-svc", no_argument, NULL, 'a'},
    {"webtransport-echo", no_argument, NULL, 'W'},
    {"days", required_argument, NULL, 'D'},
    {"quic", required_argument, NULL, 'q'},
    {"hand-over", required_argument, NULL, 'H'},
    {"drain", required_argument, NULL, 'd'},
    {"handshake-timeout", required_argument, NULL, 'S'},
    {"inherit", required_argument, NULL, 'i'},
    {"early", no_argument, NULL, 'e'},
    {"ticket-keys", required_argument, NULL, 't'},
    {"quic-lb", required_argument, NULL, 'b'},
    {"qlog", required_argument, NULL, 'Q'},
    {"cp", no_argument, NULL, 'f'},
    {"writable", required_argument, NULL, 'w'},
    {"token", required_argument, NULL, 'T'},
    {"identity", required_argument, NULL, 'I'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int add_address(const char *option, const char *text, struct net_address *all,
                       uint32_t *count, uint32_t count_max)
{
    if (*count == count_max) {
        message("serve", "%s: at most %u addresses, one too many is %s", option, count_max, text);
        return EXIT_USAGE;
    }
    int status = options_take_address("serve", option, text, &all[*count]);
    *count += status == 0;
    return status;
}

/* Returns 0, or the exit status after one line on stderr. */
static int take(void *context, int option, const char *value)
{
    struct serve_options *o = context;
    const struct option_simple simple[] = {
        {'r', &o->root, NULL},          {'c', &o->cert, NULL},
        {'k', &o->key, NULL},           {'o', &o->cert_out, NULL},
        {'t', &o->ticket_keys, NULL},   {'b', &o->quic_lb, NULL},
        {'Q', &o->qlog, NULL},          {'H', &o->hand_over, NULL},
        {'i', &o->inherit, NULL},       {'T', &o->token, NULL},
        {'I', &o->identity, NULL},      {'e', NULL, &o->accepts_early},
        {'f', NULL, &o->serves_cp},     {'W', NULL, &o->echoes},
        {'L', NULL, &o->lists_folders}, {'a', NULL, &o->prints_alt_svc},
        {'R', NULL, &o->sends_retry},   {'v', NULL, &o->is_verbose},
    };
    uint64_t number = 0;
    int status;
    if (options_take_simple(simple, sizeof(simple) / sizeof(simple[0]), option, value))
        return 0;
    switch (option) {
    case 'l':
        return add_address("--listen", value, o->listen, &o->listen_count, SERVE_LISTEN_MAX);
    case 'p':
        return add_address("--prefer", value, o->prefer, &o->prefer_count, SERVE_PREFER_MAX);
    case 'n':
        if (o->name_count == SERVE_NAMES_MAX)
            return message_usage("serve", "takes at most 64 names, one too many is", value);
        o->names[o->name_count++] = value;
        return 0;
    case 'C':
        return options_take_ciphers("serve", value, &o->ciphers);
    case 'm':
        status = options_take_number("serve", "--conns", value, 1, CONNS_MAX, &number);
        o->conns_max = (uint32_t)number;
        return status;
    case 'q':
        return options_take_versions("serve", value, &o->versions);
    case 'd':
        status = options_take_number("serve", "--drain", value, 0, DRAIN_MAX_S, &number);
        o->drain_s = (uint32_t)number;
        return status;
    case 'S':
        status =
            options_take_number("serve", "--handshake-timeout", value, 1, HANDSHAKE_MAX_S, &number);
        o->handshake_s = (uint32_t)number;
        return status;
    case 'D':
        status = options_take_number("serve", "--days", value, 1, DAYS_MAX, &number);
        o->days = (uint32_t)number;
        return status;
    default: /* 'w' */
        o->writable = strcmp(value, ".") == 0 ? "" : value;
        if (o->writable[0] != 0 && !files_path_is_good(value, strlen(value)))
            return message_usage("serve", "--writable must be a folder below the root, not", value);
        return 0;
    }
}

static int check(const struct serve_options *o)
{
    if (o->listen_count == 0 && o->inherit == NULL)
        return message_usage("serve", "--listen is missing", NULL);
    if (o->listen_count > 0 && o->inherit != NULL)
        return message_usage("serve", "--inherit goes without --listen", NULL);
    if (o->prefer_count > 0 && o->listen_count > 1)
        return message_usage("serve", "--prefer goes with one --listen", NULL);
    if (!HTTP3_IS_BUILT && (o->lists_folders || o->prints_alt_svc || o->echoes))
        return message_usage("serve", "was built without HTTP/3: libnghttp3 was not found", NULL);
    if (o->token != NULL && (o->lists_folders || o->prints_alt_svc || o->echoes))
        return message_usage("serve", "with --token there is no HTTP/3", NULL);
    if (o->root == NULL)
        return message_usage("serve", "--root is missing", NULL);
    if ((o->cert == NULL) != (o->key == NULL))
        return message_usage("serve", "--cert and --key go together", NULL);
    if (o->cert != NULL && (o->cert_out != NULL || o->name_count > 0 || o->days > 0))
        return message_usage(
            "serve", "--cert-out and --name are for a self-signed certificate, as is --days", NULL);
    if (o->cert != NULL && o->identity != NULL)
        return message_usage("serve", "--identity goes without --cert", NULL);
    if (!o->serves_cp && (o->writable != NULL || o->token != NULL))
        return message_usage("serve", "--writable and --token go with --cp", NULL);
    return 0;
}

bool serve_options_parse(struct serve_options *ret, int argc, char **argv, int *ret_status)
{
    const struct options_spec spec = {"serve", usage_text, ":", long_options, take, ret};
    memset(ret, 0, sizeof(*ret));
    ret->conns_max = CONNS_DEFAULT;
    ret->drain_s = DRAIN_DEFAULT_S;
    ret->handshake_s = HANDSHAKE_DEFAULT_S;
    if (!options_parse(&spec, argc, argv, ret_status))
        return false;
    *ret_status =
        optind < argc ? message_usage("serve", "unexpected argument", argv[optind]) : check(ret);
    return *ret_status == 0;
}

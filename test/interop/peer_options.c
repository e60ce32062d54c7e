/* SPDX-License-Identifier: MIT */
/* The command line of the interop peers: each option is a row of a table, which says where its
 * value goes. */

#include "test/interop/peer_options.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARINT_MAX ((UINT64_C(1) << 62) - 1)

enum option_kind { KIND_TEXT, KIND_NUMBER, KIND_FLAG };
enum option_role { ROLE_BOTH, ROLE_CLIENT, ROLE_SERVER };

static const struct option_row {
    const char *name;
    enum option_kind kind;
    enum option_role role;
    size_t offset; /* of the field in struct peer_options */
    uint64_t min;  /* numbers only */
    uint64_t max;
} rows[] = {
#define FIELD(name) offsetof(struct peer_options, name)
    {"alpn", KIND_TEXT, ROLE_BOTH, FIELD(alpn), 0, 0},
    {"ca", KIND_TEXT, ROLE_CLIENT, FIELD(ca_path), 0, 0},
    {"cert", KIND_TEXT, ROLE_SERVER, FIELD(cert_path), 0, 0},
    {"cipher", KIND_TEXT, ROLE_BOTH, FIELD(cipher), 0, 0},
    {"close-code", KIND_NUMBER, ROLE_BOTH, FIELD(close_code), 0, VARINT_MAX},
    {"connect", KIND_TEXT, ROLE_CLIENT, FIELD(connect_text), 0, 0},
    {"conns", KIND_NUMBER, ROLE_SERVER, FIELD(conn_count), 0, 1000},
    {"debug", KIND_FLAG, ROLE_BOTH, FIELD(is_debug), 0, 0},
    {"download", KIND_NUMBER, ROLE_CLIENT, FIELD(download_bytes), 0, VARINT_MAX},
    {"early", KIND_FLAG, ROLE_BOTH, FIELD(is_early), 0, 0},
    {"insecure", KIND_FLAG, ROLE_CLIENT, FIELD(is_insecure), 0, 0},
    {"key", KIND_TEXT, ROLE_SERVER, FIELD(key_path), 0, 0},
    {"keylog", KIND_TEXT, ROLE_BOTH, FIELD(keylog_path), 0, 0},
    {"listen", KIND_TEXT, ROLE_SERVER, FIELD(listen_text), 0, 0},
    {"max-streams", KIND_NUMBER, ROLE_SERVER, FIELD(stream_count_max), 1, 1000},
    {"prefer", KIND_TEXT, ROLE_SERVER, FIELD(prefer_text), 0, 0},
    {"retry", KIND_FLAG, ROLE_SERVER, FIELD(sends_retry), 0, 0},
    {"seconds", KIND_NUMBER, ROLE_BOTH, FIELD(seconds_max), 1, 3600},
    {"session", KIND_TEXT, ROLE_CLIENT, FIELD(session_path), 0, 0},
    {"sni", KIND_TEXT, ROLE_CLIENT, FIELD(sni), 0, 0},
    {"streams", KIND_NUMBER, ROLE_CLIENT, FIELD(stream_count), 1, 1000},
    {"upload", KIND_NUMBER, ROLE_CLIENT, FIELD(upload_bytes), 0, VARINT_MAX - 8},
    {"wait-close", KIND_FLAG, ROLE_CLIENT, FIELD(waits_for_close), 0, 0},
    {"window", KIND_NUMBER, ROLE_BOTH, FIELD(window_bytes), 1024, UINT64_C(1) << 32},
#undef FIELD
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

void peer_error(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

void peer_print_listening(const struct sockaddr_storage *address)
{
    char host[64];
    char port[8];
    bool is_v6 = address->ss_family == AF_INET6;
    socklen_t size = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    getnameinfo((const struct sockaddr *)address, size, host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV | NI_DGRAM);
    printf(is_v6 ? "listening [%s]:%s\n" : "listening %s:%s\n", host, port);
}

/* Reads `ADDR:PORT` or `[ADDR]:PORT`. */
static int parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_size)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    size_t size = colon == NULL ? 0 : (size_t)(colon - text);
    bool is_bracketed = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    if (is_bracketed) {
        text++;
        size -= 2;
    }
    if (size == 0 || size >= sizeof(host)) {
        peer_error("not an ADDR:PORT: %s", text);
        return -1;
    }
    memcpy(host, text, size);
    host[size] = '\0';

    const struct addrinfo hints = {
        .ai_family = is_bracketed ? AF_INET6 : AF_INET,
        .ai_socktype = SOCK_DGRAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
    };
    struct addrinfo *found;
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        peer_error("not a numeric ADDR:PORT: %s", text);
        return -1;
    }
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_size = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int set_option(struct peer_options *o, const struct option_row *row, const char *value)
{
    enum option_role role = o->is_server ? ROLE_SERVER : ROLE_CLIENT;
    if (row->role != ROLE_BOTH && row->role != role) {
        peer_error("--%s is not for this role", row->name);
        return -1;
    }
    void *field = (char *)o + row->offset;
    switch (row->kind) {
    case KIND_FLAG:
        *(bool *)field = true;
        return 0;
    case KIND_TEXT:
        *(const char **)field = value;
        return 0;
    case KIND_NUMBER:
        break;
    }
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || value[0] == '-' || number < row->min ||
        number > row->max) {
        peer_error("--%s: not a number that makes sense here: %s", row->name, value);
        return -1;
    }
    *(uint64_t *)field = number;
    return 0;
}

/* Checks what must be there, and what must fit together. */
static int check(struct peer_options *o)
{
    const char *address = o->is_server ? o->listen_text : o->connect_text;
    if (address == NULL) {
        peer_error("%s is missing", o->is_server ? "--listen" : "--connect");
        return -1;
    }
    if (o->is_server && (o->cert_path == NULL || o->key_path == NULL)) {
        peer_error("--cert and --key are needed");
        return -1;
    }
    if (!o->is_server && !o->is_insecure && (o->ca_path == NULL || o->sni == NULL)) {
        peer_error("--ca and --sni are needed, or --insecure");
        return -1;
    }
    if (o->cipher != NULL && strcmp(o->cipher, "aes-128-gcm") != 0 &&
        strcmp(o->cipher, "aes-256-gcm") != 0 && strcmp(o->cipher, "chacha20-poly1305") != 0) {
        peer_error("--cipher: not known: %s", o->cipher);
        return -1;
    }
    if (o->prefer_text != NULL &&
        parse_address(o->prefer_text, &o->preferred, &o->preferred_size) < 0)
        return -1;
    return parse_address(address, &o->address, &o->address_size);
}

int peer_options_parse(struct peer_options *ret, int argc, char **argv)
{
    struct peer_options o = {
        .alpn = "perf",
        .stream_count = 1,
        .window_bytes = 1024 * 1024,
        .stream_count_max = 100,
        .seconds_max = 60,
    };
    if (argc < 2 || (strcmp(argv[1], "client") != 0 && strcmp(argv[1], "server") != 0)) {
        peer_error("the first argument must be client or server");
        return -1;
    }
    o.is_server = strcmp(argv[1], "server") == 0;

    struct option options[ROW_COUNT + 1] = {0};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        options[i].name = rows[i].name;
        options[i].has_arg = rows[i].kind == KIND_FLAG ? no_argument : required_argument;
    }
    opterr = 0;
    optind = 2;
    int index = 0;
    int result;
    while ((result = getopt_long(argc, argv, "", options, &index)) == 0) {
        if (set_option(&o, &rows[index], optarg) < 0)
            return -1;
        if (strcmp(rows[index].name, "close-code") == 0)
            o.has_close_code = true;
    }
    if (result != -1 || optind != argc) {
        peer_error("not understood: %s", argv[result != -1 ? optind - 1 : optind]);
        return -1;
    }
    if (check(&o) < 0)
        return -1;
    *ret = o;
    return 0;
}

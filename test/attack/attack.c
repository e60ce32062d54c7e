/* SPDX-License-Identifier: MIT */
/* Attacks a server and says in one JSON line what was sent.  test/attack/run.py runs all attacks,
 * with honest clients beside them, and prints a table. */

#include "test/attack/attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "crypto/protect.h"
#include "crypto/tls.h"
#include "proto/base/time.h"

void attack_die(const char *what)
{
    fprintf(stderr, "attack: %s: %s\n", what, strerror(errno));
    exit(1);
}

uint64_t attack_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SB_S + (uint64_t)now.tv_nsec;
}

uint32_t attack_pace_take(struct attack_pace *pace, uint32_t wanted, uint64_t now_ns)
{
    if (pace->rate > 0) {
        uint64_t budget = (now_ns - pace->start_ns) / SB_US * pace->rate / 1000000;
        uint64_t left = budget > pace->sent_count ? budget - pace->sent_count : 0;
        if (wanted > left)
            wanted = (uint32_t)left;
    }
    pace->sent_count += wanted;
    return wanted;
}

int attack_socket(const struct attack_options *options, uint32_t host)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        attack_die("no socket");
    struct sockaddr_in own = {.sin_family = AF_INET};
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host);
    if (bind(fd, (const struct sockaddr *)&own, sizeof(own)) != 0)
        attack_die("cannot bind a socket");
    if (connect(fd, (const struct sockaddr *)&options->server, sizeof(options->server)) != 0)
        attack_die("cannot connect a socket");
    return fd;
}

/* ---- TLS ---- */

static struct sc_tls_config *tls_config;

static struct sp_tls *make_tls(void *context, uint64_t seed)
{
    (void)context;
    (void)seed;
    struct sp_tls *tls;
    struct sc_error error;
    return sc_tls_create(tls_config, "localhost", &tls, &error) == 0 ? tls : NULL;
}

void attack_host_init(struct hostile_host *host)
{
    static const char *const alpn[] = {"perf"};
    struct sc_tls_options tls_options = {
        .role = SP_CLIENT, .insecure = true, .alpn = alpn, .alpn_count = 1};
    struct sc_error error;
    if (tls_config == NULL && sc_tls_config_create(&tls_options, &tls_config, &error) != 0)
        attack_die("no TLS");
    struct sp_protect protect = sc_protect(sc_fused_best());
    hostile_host_init(host, &protect, &sc_tls_ops, make_tls, NULL);
}

/* ---- The command line ---- */

static void print_usage(FILE *out)
{
    fprintf(out,
            "usage: attack NAME --connect ADDR:PORT [--seconds S] [--rate N] [--conns N]\n"
            "              [--seed N]\n"
            "       attack --list\n"
            "Attacks the server for S seconds (1), with N datagrams per second in all and N\n"
            "connections or sockets at a time (both by default what the attack is known for).\n"
            "ADDR is an IPv4 address.  Only for servers of your own.\n");
}

static bool parse_address(const char *text, struct sockaddr_in *ret)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return *end == '\0' && port > 0 && port <= UINT16_MAX &&
           inet_pton(AF_INET, host, &ret->sin_addr) == 1;
}

static bool parse(int argc, char **argv, struct attack_options *options, bool *ret_list)
{
    static const struct option known[] = {
        {"connect", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {"rate", required_argument, NULL, 'r'},
        {"conns", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 'e'},
        {"list", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    int option;
    bool ok = true;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            ok = parse_address(optarg, &options->server) && ok;
            break;
        case 's':
            options->duration_ns = (uint64_t)(strtod(optarg, NULL) * 1e9);
            break;
        case 'r':
            options->rate = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            options->conn_count = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'e':
            options->seed = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            *ret_list = true;
            break;
        default:
            ok = false;
            break;
        }
    }
    return ok;
}

static void print_result(const char *name, uint64_t elapsed_ns, const struct attack_result *r)
{
    printf("{\"attack\": \"%s\", \"seconds\": %.3f, \"datagrams\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"begun\": %" PRIu64 ", \"ready\": %" PRIu64 ", \"closed\": %" PRIu64
           ", \"bytes_in\": %" PRIu64 ", \"found\": %" PRIu64 "}\n",
           name, (double)elapsed_ns / 1e9, r->datagram_count, r->byte_count, r->begun_count,
           r->ready_count, r->closed_count, r->bytes_in, r->found_count);
}

int main(int argc, char **argv)
{
    struct attack_options options = {.duration_ns = SB_S, .seed = 1};
    bool wants_list = false;
    bool ok = parse(argc, argv, &options, &wants_list);
    if (ok && wants_list) {
        attack_list_clients();
        attack_list_strangers();
        return 0;
    }
    if (!ok || optind != argc - 1 || options.server.sin_port == 0) {
        print_usage(stderr);
        return 2;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    const char *name = argv[optind];
    const struct attack_client_plan *plan = attack_client_plan(name);
    enum attack_stranger stranger = attack_stranger_of(name);
    struct attack_result result = {0};
    uint64_t start_ns = attack_now_ns();
    if (plan != NULL) {
        attack_clients(plan, &options, &result);
    } else if (stranger != ATTACK_STRANGERS) {
        attack_strangers(stranger, &options, &result);
    } else {
        fprintf(stderr, "attack: no attack %s; see --list\n", name);
        return 2;
    }
    print_result(name, attack_now_ns() - start_ns, &result);
    sc_tls_config_unref(tls_config);
    return 0;
}

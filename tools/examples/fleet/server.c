/* SPDX-License-Identifier: MIT */
/* A server of a fleet: it answers each stream with its server ID, and has that ID in its connection
 * IDs.
 *
 *     fleet_server ADDRESS PORT SERVER-ID SOCKET-PATH [KEY]
 *
 * SERVER-ID is a byte and KEY are 16, in hexadecimal.  SIGHUP replaces the configuration by one of
 * the other config ID, 1 or 2, as in a rotation; SIGTERM ends the server.  A process that is
 * started with the same SOCKET-PATH takes over: the one before serves its connections to their end.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <spate/spate.h>

#define NS_PER_S    UINT64_C(1000000000)
#define PATIENCE_NS (10 * NS_PER_S)
#define DRAIN_NS    (60 * NS_PER_S)

enum { SHARDS = 2, NONCE_SIZE = 8 };
enum { SIGNALS, SUCCESSORS, CHANNEL, POLLED };

struct server {
    struct sockaddr_in address;
    struct spate_tls *tls;
    struct spate_engine *engine;
    struct spate_quic_lb lb;
    struct sockaddr_un path;
    struct pollfd polled[POLLED]; /* fd -1: not polled */
    char answer[8];               /* the server ID, as text */
};

static void die(const char *what, const struct spate_error *error)
{
    fprintf(stderr, "fleet_server: %s: %s\n", what, error->text);
    exit(1);
}

static bool read_hex(const char *text, uint8_t *ret, size_t size)
{
    if (strlen(text) != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return false;
        ret[i] = (uint8_t)byte;
    }
    return true;
}

/* Every shard listens at the address. */
static int on_start(struct spate_shard *shard, void *user)
{
    struct server *server = user;
    struct spate_listener *listener;
    return spate_shard_listen(shard, (struct sockaddr *)&server->address, sizeof(server->address),
                              server->tls, NULL, &listener, NULL);
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    const struct server *server = user;
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].kind != SPATE_EVENT_STREAM_DATA)
            continue;
        struct spate_slice slice = events[i].u.data.slice;
        spate_slice_release(shard, &slice);
        if (events[i].u.data.fin)
            (void)spate_stream_send(events[i].conn, events[i].stream_id, server->answer,
                                    strlen(server->answer), true, 0);
    }
}

static void make_tls(struct server *server)
{
    static const char *const alpn[] = {"fleet"};
    struct spate_error error = {""};
    struct spate_self_signed_options self;
    struct spate_tls_options options;
    char *cert;
    char *key;
    spate_self_signed_options_init(&self);
    if (spate_self_signed(&self, &cert, &key, &error) != 0)
        die("certificate", &error);
    spate_tls_options_init(&options);
    options.cert_pem = cert;
    options.key_pem = key;
    options.alpn = alpn;
    options.alpn_count = 1;
    if (spate_tls_server_create(&options, &server->tls, &error) != 0)
        die("tls", &error);
    spate_free(cert);
    spate_free(key);
}

static void make_engine(struct server *server)
{
    struct spate_error error = {""};
    struct spate_config config;
    spate_config_init(&config);
    config.shard_count = SHARDS;
    config.receive_slots = 64;
    config.transmit_slots = 64;
    config.idle_timeout_ns = 60 * NS_PER_S;
    config.quic_lb = &server->lb;
    config.hand_over = true;
    if (spate_engine_create(&config, &server->engine, &error) != 0)
        die("engine", &error);
}

/* ---- One process after the other ---- */

static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static void await_successor(struct server *server)
{
    int fd = unix_socket();
    (void)unlink(server->path.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&server->path, sizeof(server->path)) != 0 ||
        listen(fd, 1) != 0) {
        perror(server->path.sun_path);
        exit(1);
    }
    server->polled[SUCCESSORS].fd = fd;
}

/* Listens, after it has taken the sockets of the process that runs, if there is one. */
static void start(struct server *server)
{
    struct spate_error error = {""};
    struct spate_handlers handlers;
    int channel = unix_socket();
    bool is_first = connect(channel, (struct sockaddr *)&server->path, sizeof(server->path)) != 0;
    if (!is_first && spate_engine_take_over(server->engine, channel, PATIENCE_NS, &error) != 0)
        die("take over", &error);
    spate_handlers_init(&handlers);
    handlers.on_start = on_start;
    handlers.on_events = on_events;
    handlers.user = server;
    if (spate_engine_start(server->engine, &handlers, &error) != 0)
        die("start", &error);
    if (!is_first && spate_engine_take_over_finish(server->engine, PATIENCE_NS, &error) != 0)
        die("take over", &error);
    (void)close(channel);
    await_successor(server);
    printf("server %s listens\n", server->answer);
    (void)fflush(stdout);
}

/* Serves the connections that there are to their end.  SIGTERM ends the process at once. */
static void drain(struct server *server)
{
    sigset_t term;
    (void)sigemptyset(&term);
    (void)sigaddset(&term, SIGTERM);
    printf("server %s was replaced\n", server->answer);
    (void)fflush(stdout);
    (void)sigprocmask(SIG_UNBLOCK, &term, NULL);
    (void)spate_engine_shutdown(server->engine, DRAIN_NS, 0, "replaced");
}

/* Takes the steps of a hand-over that are due.  Returns whether this process was replaced. */
static bool hand_over(struct server *server)
{
    struct spate_error error = {""};
    int channel = server->polled[CHANNEL].fd;
    int result = spate_engine_hand_over(server->engine, channel, 0, &error);
    if (result == -EAGAIN)
        return false;
    (void)close(channel);
    server->polled[CHANNEL].fd = -1;
    if (result != 0)
        fprintf(stderr, "fleet_server: hand-over: %s\n", error.text);
    return result == 0;
}

/* Takes another config ID; with a key, another key too.  Balancers must know both before. */
static void rotate(struct server *server)
{
    struct spate_error error = {""};
    struct spate_quic_lb *lb = &server->lb;
    lb->config_id = lb->config_id == 1 ? 2 : 1;
    for (size_t i = 0; i < sizeof(lb->key); i++)
        lb->key[i] = (uint8_t)(lb->key[i] + 1);
    if (spate_engine_set_quic_lb(server->engine, lb, &error) != 0)
        die("rotation", &error);
    printf("config ID %u\n", lb->config_id);
    (void)fflush(stdout);
}

/* Serves until it is told to end, or was replaced. */
static void run(struct server *server)
{
    struct signalfd_siginfo signal;
    bool has_ended = false;
    while (!has_ended) {
        if (poll(server->polled, POLLED, -1) < 0)
            continue;
        if (server->polled[CHANNEL].revents != 0 && hand_over(server)) {
            drain(server);
            return;
        }
        if (server->polled[SUCCESSORS].revents != 0 && server->polled[CHANNEL].fd < 0)
            server->polled[CHANNEL].fd =
                accept4(server->polled[SUCCESSORS].fd, NULL, NULL, SOCK_CLOEXEC);
        if (server->polled[SIGNALS].revents == 0 ||
            read(server->polled[SIGNALS].fd, &signal, sizeof(signal)) != sizeof(signal))
            continue;
        has_ended = signal.ssi_signo != SIGHUP;
        if (!has_ended)
            rotate(server);
    }
    struct spate_shard_stats stats;
    uint64_t accepted = 0;
    spate_engine_stop(server->engine); /* its threads own the counters */
    for (uint32_t i = 0; i < SHARDS; i++) {
        spate_shard_stats(spate_engine_shard(server->engine, i), &stats);
        accepted += stats.conns_accepted;
    }
    printf("server %s has accepted %" PRIu64 " connections\n", server->answer, accepted);
}

static bool read_words(struct server *server, int argc, char **argv)
{
    struct spate_quic_lb *lb = &server->lb;
    spate_quic_lb_init(lb);
    lb->config_id = 1;
    lb->server_id_size = 1;
    lb->nonce_size = NONCE_SIZE;
    lb->is_encrypted = argc == 6;
    if (argc < 5 || argc > 6 || strlen(argv[4]) >= sizeof(server->path.sun_path))
        return false;
    strcpy(server->path.sun_path, argv[4]);
    server->address.sin_port = htons((uint16_t)atoi(argv[2]));
    (void)snprintf(server->answer, sizeof(server->answer), "%s", argv[3]);
    return inet_pton(AF_INET, argv[1], &server->address.sin_addr) == 1 &&
           read_hex(argv[3], lb->server_id, 1) && (argc == 5 || read_hex(argv[5], lb->key, 16));
}

int main(int argc, char **argv)
{
    struct server server = {.address.sin_family = AF_INET, .path.sun_family = AF_UNIX};
    sigset_t signals;
    if (!read_words(&server, argc, argv)) {
        fprintf(stderr, "usage: fleet_server ADDRESS PORT SERVER-ID SOCKET-PATH [KEY]\n");
        return 1;
    }
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    for (int i = 0; i < POLLED; i++)
        server.polled[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    server.polled[SIGNALS].fd = signalfd(-1, &signals, SFD_CLOEXEC);

    make_tls(&server);
    make_engine(&server);
    start(&server);
    run(&server);
    spate_engine_destroy(server.engine);
    spate_tls_destroy(server.tls);
    return 0;
}

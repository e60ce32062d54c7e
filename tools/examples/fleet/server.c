/* SPDX-License-Identifier: MIT */
/* A server of a fleet: it answers each stream with its server ID, and has that ID in its connection
 * IDs.
 *
 *     fleet_server CERT-FILE KEY-FILE ADDRESS PORT SERVER-ID SOCKET-PATH [KEY]
 *
 * SERVER-ID is a byte and KEY are 16, in hexadecimal.  SIGHUP replaces the configuration by one of
 * the other config ID, 1 or 2; SIGTERM ends the server.  A process that is started with the same
 * SOCKET-PATH takes over: the one before serves its connections to their end. */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/examples/server.h"
#include "tools/examples/server_id.h"
#include "tools/examples/signals.h"

#define NS_PER_S UINT64_C(1000000000)

static struct server server;
static struct spate_quic_lb lb;
static const char *server_id; /* as text */
static atomic_uint accepted;

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    (void)user;
    for (uint32_t i = 0; i < count; i++) {
        accepted += events[i].kind == SPATE_EVENT_CONNECTED;
        if (events[i].kind != SPATE_EVENT_STREAM_DATA)
            continue;
        struct spate_slice slice = events[i].u.data.slice;
        spate_slice_release(shard, &slice);
        if (events[i].u.data.fin && spate_stream_send(events[i].conn, events[i].stream_id,
                                                      server_id, strlen(server_id), true, 0) != 0)
            (void)spate_stream_reset(events[i].conn, events[i].stream_id, 1);
    }
}

/* Listens, after it has taken the sockets of the process that runs, if there is one.  Returns a
 * descriptor that is readable when the next process comes, or -1. */
static int start(const struct sockaddr_in *address, const char *path)
{
    struct spate_error error = {""};
    struct spate_engine_listener *listener;
    struct spate_handlers handlers;
    const struct spate_listen_options options = {
        .size = sizeof(options),
        .address = (const struct sockaddr *)address,
        .address_size = sizeof(*address),
        .tls = server.tls,
    };
    int result = server_take_over(&server, path);
    bool is_first = result == -ENOENT;
    if (result != 0 && !is_first)
        return -1;
    spate_handlers_init(&handlers);
    handlers.on_events = on_events;
    result = spate_engine_listen(server.engine, &options, &listener, &error);
    if (result == 0)
        result = spate_engine_start(server.engine, &handlers, &error);
    if (result == 0)
        return server_take_over_finish(&server, path, is_first);
    (void)server_failed("fleet_server", result, &error);
    return -1;
}

/* Takes another config ID; with a key, another key too.  Balancers must know both before. */
static void rotate(void)
{
    struct spate_error error = {""};
    lb.config_id = lb.config_id == 1 ? 2 : 1;
    for (size_t i = 0; i < sizeof(lb.key); i++)
        lb.key[i] = (uint8_t)(lb.key[i] + 1);
    int result = spate_engine_set_quic_lb(server.engine, &lb, &error);
    if (result != 0)
        (void)server_failed("spate_engine_set_quic_lb", result, &error);
    printf("config ID %u\n", lb.config_id);
}

/* Serves until a signal comes; after a hand-over, no longer than the connections last. */
static void run(int signal_fd, int successors)
{
    struct pollfd polled[] = {{signal_fd, POLLIN, 0}, {successors, POLLIN, 0}};
    struct signalfd_siginfo signal = {.ssi_signo = SIGHUP};
    int channel = -1;
    while (signal.ssi_signo == SIGHUP) {
        polled[1].fd = channel >= 0 ? channel : successors;
        if (poll(polled, 2, channel >= 0 ? 1000 : -1) < 0)
            continue;
        if (channel < 0 && polled[1].revents != 0 &&
            (channel = accept4(successors, NULL, NULL, SOCK_CLOEXEC)) < 0)
            (void)poll(polled, 1, 1000); /* perhaps there is a descriptor for it then */
        if (channel >= 0 && server_hand_over(&server, &channel) == 0) {
            printf("server %s was replaced\n", server_id);
            signals_end_process();
            (void)spate_engine_shutdown(server.engine, 60 * NS_PER_S, 0, "replaced");
            return;
        }
        if (polled[0].revents != 0 && read(signal_fd, &signal, sizeof(signal)) == sizeof(signal) &&
            signal.ssi_signo == SIGHUP)
            rotate();
    }
    printf("server %s has accepted %u connections\n", server_id, accepted);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct spate_config config;
    if (argc < 7 || argc > 8 || inet_pton(AF_INET, argv[3], &address.sin_addr) != 1 ||
        !server_id_read(1, argv[5], argv[7], &lb)) {
        fprintf(stderr, "usage: %s CERT-FILE KEY-FILE ADDRESS PORT SERVER-ID SOCKET-PATH [KEY]\n",
                argv[0]);
        return 1;
    }
    int signal_fd = signals_open(SIGHUP);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    address.sin_port = htons((uint16_t)atoi(argv[4]));
    server_id = argv[5];
    lb.nonce_size = 8;
    spate_config_init(&config);
    config.shard_count = 2;
    config.idle_timeout_ns = 60 * NS_PER_S;
    config.quic_lb = &lb;
    config.hand_over = true;
    int result = server_create(&server, &config, "fleet", argv[1], argv[2]);
    int successors = result == 0 ? start(&address, argv[6]) : -1;
    if (successors >= 0) {
        printf("server %s listens\n", server_id);
        run(signal_fd, successors);
    }
    server_destroy(&server);
    return successors >= 0 ? 0 : 1;
}

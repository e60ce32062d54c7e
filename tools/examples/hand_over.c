/* SPDX-License-Identifier: MIT */
/* A server that is replaced while it runs.  Start it again with the same arguments: the new process
 * takes over, and the old one ends when its connections have, after DRAIN-SECONDS at most.
 *
 *     hand_over_echo CERT-FILE KEY-FILE PORT SOCKET-PATH DRAIN-SECONDS [CONFIG-ID SERVER-ID [KEY]]
 *
 * CONFIG-ID and SERVER-ID, a byte: for connection IDs that load balancers read; both processes have
 * them, or none.  KEY: 32 hexadecimal digits. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tools/examples/echo.h"

#define NS_PER_S    UINT64_C(1000000000)
#define PATIENCE_NS (10 * NS_PER_S)

enum { SHARD, SIGNALS, SUCCESSORS, CHANNEL, POLLED };

struct server {
    struct echo echo;
    const char *path;
    uint64_t drain_ns;
    struct pollfd polled[POLLED]; /* fd -1: not polled */
};

static int failed(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    return 1;
}

static int unix_socket(const char *path, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s", path);
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

/* Returns the channel to the process that runs, or -1 if there is none. */
static int find_predecessor(const char *path)
{
    struct sockaddr_un address;
    int fd = unix_socket(path, &address);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* Listens for the next process. */
static int await_successor(struct server *server)
{
    struct sockaddr_un address;
    int fd = unix_socket(server->path, &address);
    (void)unlink(server->path); /* it is the old process's, or of one that was killed */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1) != 0)
        return failed(server->path, strerror(errno));
    server->polled[SUCCESSORS].fd = fd;
    printf("serving\n");
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Listens at the port, after it has taken the sockets of the process that runs. */
static int begin(struct server *server, uint16_t port)
{
    struct spate_error error = {""};
    struct echo *echo = &server->echo;
    int channel = find_predecessor(server->path);
    if (channel >= 0 && spate_engine_take_over(echo->engine, channel, PATIENCE_NS, &error) != 0)
        return failed("spate_engine_take_over", error.text);
    if (echo_listen(echo, port) != 0)
        return 1;
    if (channel >= 0 && spate_engine_take_over_finish(echo->engine, PATIENCE_NS, &error) != 0)
        return failed("spate_engine_take_over_finish", error.text);
    (void)close(channel);
    server->polled[SHARD].fd = spate_shard_fd(echo->shard);
    return await_successor(server);
}

static void stop_polling(struct server *server, int which)
{
    (void)close(server->polled[which].fd);
    server->polled[which].fd = -1;
    server->polled[which].revents = 0;
}

static void end_in_order(struct server *server, const char *reason)
{
    if (server->polled[SUCCESSORS].fd >= 0)
        stop_polling(server, SUCCESSORS);
    (void)spate_shard_shutdown(server->echo.shard, server->drain_ns, 0, reason);
}

/* Takes the steps of a hand-over that are due. */
static void hand_over(struct server *server)
{
    struct spate_error error = {""};
    int channel = server->polled[CHANNEL].fd;
    int result = spate_engine_hand_over(server->echo.engine, channel, 0, &error);
    if (result == -EAGAIN)
        return;
    stop_polling(server, CHANNEL);
    if (result != 0)
        fprintf(stderr, "spate_engine_hand_over: %s\n", error.text);
    else
        end_in_order(server, "replaced");
}

static void wait_for_work(struct server *server)
{
    uint64_t due_ns = spate_shard_deadline_ns(server->echo.shard);
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    const struct timespec wait = {
        .tv_sec = (time_t)(wait_ns / NS_PER_S),
        .tv_nsec = (long)(wait_ns % NS_PER_S),
    };
    if (ppoll(server->polled, POLLED, due_ns == SPATE_FOREVER ? NULL : &wait, NULL) <= 0)
        for (int i = 0; i < POLLED; i++)
            server->polled[i].revents = 0;
}

static int run(struct server *server)
{
    int result = 0;
    while (result == 0 && !server->echo.has_ended) {
        wait_for_work(server);
        if (server->polled[SIGNALS].revents != 0) {
            stop_polling(server, SIGNALS);
            (void)unlink(server->path);
            server->drain_ns = 0;
            end_in_order(server, "the server stops");
        }
        if (server->polled[SUCCESSORS].revents != 0 && server->polled[CHANNEL].fd < 0)
            server->polled[CHANNEL].fd =
                accept4(server->polled[SUCCESSORS].fd, NULL, NULL, SOCK_CLOEXEC);
        else if (server->polled[CHANNEL].revents != 0)
            hand_over(server);
        result = echo_turn(&server->echo);
    }
    return result;
}

static bool read_key(const char *text, struct spate_quic_lb *lb)
{
    lb->is_encrypted = true;
    for (size_t i = 0; i < sizeof(lb->key); i++)
        if (sscanf(text + 2 * i, "%2hhx", &lb->key[i]) != 1)
            return false;
    return strlen(text) == 2 * sizeof(lb->key);
}

/* Of the words after DRAIN-SECONDS. */
static bool read_quic_lb(int count, char **words, struct spate_quic_lb *ret)
{
    spate_quic_lb_init(ret);
    ret->config_id = (uint8_t)atoi(words[0]);
    ret->server_id_size = 1;
    ret->server_id[0] = (uint8_t)atoi(words[1]);
    return count == 2 || read_key(words[2], ret);
}

int main(int argc, char **argv)
{
    struct server server = {.path = argc > 4 ? argv[4] : NULL};
    struct spate_quic_lb lb;
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    if (argc != 6 && argc != 8 && argc != 9)
        return failed(argv[0], "CERT-FILE KEY-FILE PORT SOCKET-PATH DRAIN-SECONDS are missing");
    if (argc > 6 && !read_quic_lb(argc - 6, argv + 6, &lb))
        return failed(argv[8], "is no key of 32 hexadecimal digits");
    for (int i = 0; i < POLLED; i++)
        server.polled[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    server.polled[SIGNALS].fd = signalfd(-1, &ends, SFD_CLOEXEC);
    server.drain_ns = (uint64_t)atoi(argv[5]) * NS_PER_S;

    struct spate_config config;
    spate_config_init(&config);
    config.hand_over = true;
    config.quic_lb = argc > 6 ? &lb : NULL;
    int result = echo_create_with(&server.echo, &config, argv[1], argv[2]);
    if (result == 0)
        result = begin(&server, (uint16_t)atoi(argv[3]));
    if (result == 0)
        result = run(&server);
    echo_close(&server.echo);
    return result;
}

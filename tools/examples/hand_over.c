/* SPDX-License-Identifier: MIT */
/* A server that is replaced while it runs.  Start it again with the same arguments: the new process
 * takes over, and the old one ends when its connections have, after DRAIN-SECONDS at most.
 *
 *     hand_over_echo CERT-FILE KEY-FILE PORT SOCKET-PATH DRAIN-SECONDS [CONFIG-ID SERVER-ID [KEY]]
 *
 * The last three are for load balancers; both processes have them, or none.  SERVER-ID is a byte
 * and KEY are 16, in hexadecimal digits. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/examples/echo.h"
#include "tools/examples/server_id.h"
#include "tools/examples/signals.h"

#define NS_PER_S UINT64_C(1000000000)

enum { SHARD, SIGNALS, SUCCESSORS, CHANNEL, POLLED };

struct hand_over {
    struct echo echo;
    const char *path;
    struct stat made; /* what this process has made at `path` */
    uint64_t drain_ns;
    bool is_short; /* accept4() has failed, perhaps for want of a descriptor: wait a second */
    struct pollfd polled[POLLED]; /* fd -1: not polled */
};

/* Listens at the port, after it has taken the sockets of the process that runs, and then waits for
 * the next process. */
static int begin(struct hand_over *h, uint16_t port)
{
    struct echo *echo = &h->echo;
    int result = server_take_over(&echo->server, h->path);
    bool is_first = result == -ENOENT;
    if ((result != 0 && !is_first) || echo_listen(echo, port) != 0)
        return 1;
    h->polled[SUCCESSORS].fd = server_take_over_finish(&echo->server, h->path, is_first);
    h->polled[SHARD].fd = spate_shard_fd(echo->shard);
    if (h->polled[SUCCESSORS].fd < 0)
        return 1;
    (void)lstat(h->path, &h->made); /* nothing, if it is gone already */
    printf("serving\n");
    return fflush(stdout) == 0 ? 0 : 1;
}

static void stop_polling(struct pollfd *polled)
{
    if (polled->fd >= 0)
        (void)close(polled->fd);
    *polled = (struct pollfd){.fd = -1, .events = POLLIN};
}

static void end_in_order(struct hand_over *h, const char *reason)
{
    stop_polling(&h->polled[SUCCESSORS]);
    (void)spate_shard_shutdown(h->echo.shard, h->drain_ns, 0, reason);
}

/* Waits until a descriptor is readable or the shard is due; during a hand-over for a second at
 * most: the engine gives up a process that says nothing, but only when it is asked.  The next
 * process waits until then. */
static int wait_for_work(struct hand_over *h)
{
    struct timespec wait;
    const struct timespec *timeout = spate_shard_timeout(h->echo.shard, &wait);
    bool is_limited = h->polled[CHANNEL].fd >= 0 || h->is_short;
    if (is_limited && (timeout == NULL || timeout->tv_sec > 0)) {
        wait = (struct timespec){.tv_sec = 1};
        timeout = &wait;
    }
    h->polled[SUCCESSORS].events = is_limited ? 0 : POLLIN;
    h->is_short = false;
    return ppoll(h->polled, POLLED, timeout, NULL);
}

static int run(struct hand_over *h)
{
    struct pollfd *polled = h->polled;
    int result = 0;
    while (result == 0 && !h->echo.has_ended) {
        int count = wait_for_work(h);
        if (count > 0 && polled[SIGNALS].revents != 0) {
            stop_polling(&polled[SIGNALS]);
            struct stat there;
            bool is_own = lstat(h->path, &there) == 0 && there.st_ino == h->made.st_ino;
            if (polled[SUCCESSORS].fd >= 0 && is_own) /* otherwise it is a successor's */
                (void)unlink(h->path);
            h->drain_ns = 0;
            end_in_order(h, "the server stops");
        }
        if (polled[CHANNEL].fd >= 0) {
            if (server_hand_over(&h->echo.server, &polled[CHANNEL].fd) == 0)
                end_in_order(h, "replaced");
        } else if (count > 0 && polled[SUCCESSORS].revents != 0) {
            polled[CHANNEL].fd = accept4(polled[SUCCESSORS].fd, NULL, NULL, SOCK_CLOEXEC);
            h->is_short = polled[CHANNEL].fd < 0;
        }
        result = echo_turn(&h->echo);
    }
    return result;
}

int main(int argc, char **argv)
{
    struct hand_over h = {.path = argc > 4 ? argv[4] : NULL};
    struct spate_config config;
    struct spate_quic_lb lb;
    bool has_lb = argc == 8 || argc == 9;
    if ((argc != 6 && !has_lb) ||
        (has_lb && !server_id_read((uint8_t)atoi(argv[6]), argv[7], argv[8], &lb))) {
        fprintf(stderr,
                "usage: %s CERT-FILE KEY-FILE PORT SOCKET-PATH DRAIN-SECONDS "
                "[CONFIG-ID SERVER-ID [KEY]]\n",
                argv[0]);
        return 1;
    }
    for (int i = 0; i < POLLED; i++)
        h.polled[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    h.polled[SIGNALS].fd = signals_open(0);
    h.drain_ns = (uint64_t)atoi(argv[5]) * NS_PER_S;
    spate_config_init(&config);
    config.hand_over = true;
    config.quic_lb = has_lb ? &lb : NULL;
    int result = echo_create_with(&h.echo, &config, argv[1], argv[2]);
    if (result == 0)
        result = begin(&h, (uint16_t)atoi(argv[3]));
    if (result == 0)
        result = run(&h);
    echo_close(&h.echo);
    return result;
}

/* SPDX-License-Identifier: MIT */
/* A program whose own loop is an epoll: it waits for packets, timers and signals in one place.
 *
 *     host_epoll CERT-FILE KEY-FILE PORT */

#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tools/examples/echo.h"
#include "tools/examples/signals.h"

/* Returns the descriptor of the loop, which polls the shard and `signal_fd`; -1 without one. */
static int make_loop(struct spate_shard *shard, int signal_fd)
{
    const int polled[] = {spate_shard_fd(shard), signal_fd};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < 2 && epoll_fd >= 0; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = polled[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, polled[i], &event) != 0) {
            (void)close(epoll_fd);
            epoll_fd = -1;
        }
    }
    return epoll_fd;
}

/* Waits until a descriptor is readable or the shard is due.  Returns true if `signal_fd` is. */
static bool wait_for_work(int epoll_fd, struct spate_shard *shard, int signal_fd)
{
    struct epoll_event events[2];
    struct timespec wait;
    bool is_signal = false;
    int count = epoll_pwait2(epoll_fd, events, 2, spate_shard_timeout(shard, &wait), NULL);
    for (int i = 0; i < count; i++)
        is_signal = is_signal || events[i].data.fd == signal_fd;
    return is_signal;
}

int main(int argc, char **argv)
{
    struct echo echo;
    int signal_fd = signals_open(0);
    int result = echo_open(&echo, argc, argv);
    int epoll_fd = result == 0 ? make_loop(echo.shard, signal_fd) : -1;
    if (result == 0 && epoll_fd < 0) {
        perror("host_epoll");
        result = 1;
    }
    while (result == 0 && !wait_for_work(epoll_fd, echo.shard, signal_fd))
        result = echo_turn(&echo);

    echo_close(&echo);
    (void)close(epoll_fd);
    (void)close(signal_fd);
    return result;
}

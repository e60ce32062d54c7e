/* SPDX-License-Identifier: MIT */
/* A program whose own loop is an epoll: it waits for packets, timers and signals in one place.
 *
 *     host_epoll CERT-FILE KEY-FILE PORT */

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "tools/examples/echo.h"

#define NS_PER_S UINT64_C(1000000000)

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Returns the descriptor of the loop, which polls the shard and `signal_fd`; -1 without one. */
static int make_loop(struct spate_shard *shard, int signal_fd)
{
    const int polled[] = {spate_shard_fd(shard), signal_fd};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = polled[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, polled[i], &event) != 0)
            return -1;
    }
    return epoll_fd;
}

/* Waits until a descriptor is readable or until `due_ns`.  Returns true if `signal_fd` is. */
static bool wait_until(int epoll_fd, uint64_t due_ns, int signal_fd)
{
    struct epoll_event events[2];
    uint64_t from_ns = due_ns == 0 ? 0 : now_ns();
    uint64_t wait_ns = due_ns > from_ns ? due_ns - from_ns : 0;
    const struct timespec wait = {
        .tv_sec = (time_t)(wait_ns / NS_PER_S),
        .tv_nsec = (long)(wait_ns % NS_PER_S),
    };
    bool is_signal = false;
    int count = epoll_pwait2(epoll_fd, events, 2, due_ns == SPATE_FOREVER ? NULL : &wait, NULL);
    for (int i = 0; i < count; i++)
        is_signal = is_signal || events[i].data.fd == signal_fd;
    return is_signal;
}

int main(int argc, char **argv)
{
    struct echo echo;
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    int signal_fd = signalfd(-1, &ends, SFD_CLOEXEC);

    int result = echo_open(&echo, argc, argv);
    int epoll_fd = result == 0 ? make_loop(echo.shard, signal_fd) : -1;
    if (result == 0 && epoll_fd < 0) {
        perror("host_epoll");
        result = 1;
    }
    while (result == 0 && !wait_until(epoll_fd, spate_shard_deadline_ns(echo.shard), signal_fd))
        result = echo_turn(&echo);

    echo_close(&echo);
    (void)close(epoll_fd);
    (void)close(signal_fd);
    return result;
}

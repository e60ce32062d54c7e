/* SPDX-License-Identifier: MIT */
#include "bench/load/host_loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "bench/load/clock.h"
#include "bench/load/host_ring.h"

int host_loop_open(struct host_loop *loop, bool has_ring)
{
    return has_ring ? host_ring_open(&loop->ring) : 0;
}

const struct spate_lent_ring *host_loop_lent(const struct host_loop *loop)
{
    return loop->ring != NULL ? host_ring_lent(loop->ring) : NULL;
}

/* On the thread that runs the turns: the descriptor binds the shard to it. */
static int open_loop(struct host_loop *loop, struct spate_shard *shard)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd = spate_shard_fd(shard);
    if (fd < 0)
        return fd;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        return -errno;
    loop->is_open = true;
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

void host_loop_close(struct host_loop *loop)
{
    if (loop->is_open)
        (void)close(loop->epoll_fd);
    loop->is_open = false;
    host_ring_close(loop->ring);
    loop->ring = NULL;
}

static void poll_until(const struct host_loop *loop, uint64_t until_ns)
{
    struct epoll_event event;
    uint64_t now_ns = clock_now_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const struct timespec time = {
        .tv_sec = (time_t)(wait_ns / NS_PER_S),
        .tv_nsec = (long)(wait_ns % NS_PER_S),
    };
    /* Whatever it returns, a turn follows. */
    (void)epoll_pwait2(loop->epoll_fd, &event, 1, until_ns == SPATE_FOREVER ? NULL : &time, NULL);
}

int host_loop_turn(struct host_loop *loop, struct spate_shard *shard, uint64_t wait_ns)
{
    if (!loop->is_epoll && loop->ring == NULL)
        return spate_shard_turn(shard, wait_ns);
    int error = loop->is_open || loop->ring != NULL ? 0 : open_loop(loop, shard);
    if (error != 0)
        return error;
    uint64_t due_ns = spate_shard_deadline_ns(shard);
    if (wait_ns != SPATE_FOREVER && due_ns > 0) {
        uint64_t until_ns = clock_now_ns() + wait_ns;
        due_ns = until_ns < due_ns ? until_ns : due_ns;
    }
    if (loop->ring != NULL)
        error = host_ring_wait(loop->ring, shard, due_ns);
    else if (due_ns > 0)
        poll_until(loop, due_ns);
    return error == 0 ? spate_shard_turn(shard, 0) : error;
}

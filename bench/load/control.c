/* SPDX-License-Identifier: MIT */
#include "bench/load/control.h"

#include <errno.h>
#include <poll.h>

#include "bench/load/clock.h"

int control_open(int ret[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret) == 0 ? 0 : -errno;
}

int control_send(int fd, const struct control_message *message)
{
    ssize_t size = send(fd, message, sizeof(*message), MSG_NOSIGNAL);
    if (size < 0)
        return errno == ECONNRESET ? -EPIPE : -errno;
    return size == (ssize_t)sizeof(*message) ? 0 : -EMSGSIZE;
}

int control_receive(int fd, struct control_message *ret, uint64_t timeout_ns)
{
    if (timeout_ns > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, (int)((timeout_ns + NS_PER_MS - 1) / NS_PER_MS));
        if (ready < 0)
            return -errno;
        if (ready == 0)
            return -ETIMEDOUT;
    }

    ssize_t size = recv(fd, ret, sizeof(*ret), MSG_DONTWAIT);
    if (size == (ssize_t)sizeof(*ret))
        return 0;
    if (size == 0 || (size < 0 && errno == ECONNRESET))
        return -EPIPE;
    if (size < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    return -EPROTO;
}

int control_is_asked(int fd)
{
    struct control_message m;
    int status = control_receive(fd, &m, 0);
    if (status == -ETIMEDOUT || status == -EINTR)
        return 0;
    return status == 0 && m.kind == CONTROL_SAMPLE ? 1 : -EPIPE;
}

bool control_is_hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

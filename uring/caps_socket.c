/* SPDX-License-Identifier: MIT */
#include "uring/caps_impl.h"

/* Probes that need more than an option that is set: what the kernel accepts is then used. */

#include <errno.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "uring/steer.h"

enum { STAMP_WAIT_MS = 100 };

int su_caps_try_steering(struct probe *probe)
{
    (void)probe;
    int one = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    int error = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) != 0 ||
                        bind(fd, (const struct sockaddr *)&any, sizeof(any)) != 0
                    ? -errno
                    : 0;
    const struct su_steer_socket socket = {.word = 0, .is_named = true, .takes_unnamed = true};
    const struct su_steer steer = {
        .byte = {.at = 1}, .word_size = 1, .cid_size = 8, .count = 1, .sockets = &socket};
    if (error == 0)
        error = su_steer(fd, &steer);
    (void)close(fd);
    return error;
}

/* A socket that is connected to itself.  Returns it, or a negative errno. */
static int open_loop(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&name, size) == 0 &&
        getsockname(fd, (struct sockaddr *)&name, &size) == 0 &&
        connect(fd, (const struct sockaddr *)&name, size) == 0)
        return fd;
    int error = -errno;
    (void)close(fd);
    return error;
}

/* Sends a byte to itself and returns 0 if what `flags` of recvmsg() bring within a moment has a
 * control message of this type. */
static int try_stamp(int option, int value, int flags, int type)
{
    char byte = 0, control[512];
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    int fd = open_loop();
    if (fd < 0)
        return fd;
    int error = 0;
    if (setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) != 0 ||
        send(fd, &byte, 1, 0) != 1)
        error = -errno;
    struct pollfd ready = {.fd = fd, .events = (flags & MSG_ERRQUEUE) != 0 ? POLLPRI : POLLIN};
    if (error == 0 && poll(&ready, 1, STAMP_WAIT_MS) < 0)
        error = -errno;
    if (error == 0 && recvmsg(fd, &message, flags | MSG_DONTWAIT) < 0)
        error = errno == EAGAIN ? -ENODATA : -errno;
    if (error == 0) {
        error = -ENODATA;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        for (; c != NULL; c = CMSG_NXTHDR(&message, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == type)
                error = 0;
    }
    (void)close(fd);
    return error;
}

int su_caps_try_receive_stamps(struct probe *probe)
{
    (void)probe;
    return try_stamp(SO_TIMESTAMPNS, 1, 0, SCM_TIMESTAMPNS);
}

int su_caps_try_send_stamps(struct probe *probe)
{
    (void)probe;
    return try_stamp(SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE,
                     MSG_ERRQUEUE, SCM_TIMESTAMPING);
}

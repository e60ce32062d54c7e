/* SPDX-License-Identifier: MIT */
/* Plain sendmsg() and recvmsg(), on purpose: nothing here is shared with the engine under test. */

#include "test/interop/peer_udp.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER_BYTES  (4 * 1024 * 1024) /* so that the receive queue is not what is tested */
#define SEND_ATTEMPTS 10
#define SEND_WAIT_MS  10

union control {
    uint8_t bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int configure(int fd, int family)
{
    int e;
    (void)set_option(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
    (void)set_option(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
    if (family == AF_INET6) {
        e = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        e = e < 0 ? e : set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
        return e < 0 ? e : set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
    }
    e = set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    return e < 0 ? e : set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
}

static int open_socket(struct peer_udp *ret, const struct sockaddr_storage *address, socklen_t size,
                       int (*attach)(int, const struct sockaddr *, socklen_t))
{
    struct peer_udp udp = {.local_size = sizeof(udp.local)};
    udp.fd = socket(address->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp.fd < 0)
        return -errno;
    int e = configure(udp.fd, address->ss_family);
    if (e == 0 && attach(udp.fd, (const struct sockaddr *)address, size) < 0)
        e = -errno;
    if (e == 0 && getsockname(udp.fd, (struct sockaddr *)&udp.local, &udp.local_size) < 0)
        e = -errno;
    if (e < 0) {
        close(udp.fd);
        return e;
    }
    *ret = udp;
    return 0;
}

int peer_udp_listen(struct peer_udp *ret, const struct sockaddr_storage *address, socklen_t size)
{
    return open_socket(ret, address, size, bind);
}

int peer_udp_connect(struct peer_udp *ret, const struct sockaddr_storage *address, socklen_t size)
{
    return open_socket(ret, address, size, connect);
}

void peer_udp_close(struct peer_udp *udp)
{
    if (udp->fd >= 0)
        close(udp->fd);
    udp->fd = -1;
}

int peer_udp_receive(struct peer_udp *udp, struct peer_datagram *d)
{
    union control control;
    struct iovec iov = {.iov_base = d->data, .iov_len = d->size};
    struct msghdr msg = {
        .msg_name = &d->remote,
        .msg_namelen = sizeof(d->remote),
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t size;
    do
        size = recvmsg(udp->fd, &msg, 0);
    while (size < 0 && errno == EINTR);
    if (size < 0)
        return -errno;

    d->udp = udp;
    d->size = (size_t)size;
    d->remote_size = msg.msg_namelen;
    d->ecn = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
        bool is_mark = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) ||
                       (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS);
        int mark = 0;
        if (is_mark && c->cmsg_len == CMSG_LEN(1)) /* IPv4 gives a byte, IPv6 an int */
            mark = *CMSG_DATA(c);
        else if (is_mark && c->cmsg_len == CMSG_LEN(sizeof(mark)))
            memcpy(&mark, CMSG_DATA(c), sizeof(mark));
        if (is_mark)
            d->ecn = (uint8_t)(mark & 3);
    }
    return 0;
}

int peer_udp_send(struct peer_udp *udp, const struct peer_datagram *d)
{
    union control control = {0};
    struct iovec iov = {.iov_base = d->data, .iov_len = d->size};
    struct sockaddr_storage remote = d->remote;
    struct msghdr msg = {
        .msg_name = d->remote_size == 0 ? NULL : &remote,
        .msg_namelen = d->remote_size,
        .msg_iov = &iov,
        .msg_iovlen = 1,
    };
    if (d->ecn != 0) {
        bool is_v6 = udp->local.ss_family == AF_INET6;
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = is_v6 ? IPPROTO_IPV6 : IPPROTO_IP;
        c->cmsg_type = is_v6 ? IPV6_TCLASS : IP_TOS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &(int){d->ecn}, sizeof(int));
    }
    for (uint32_t attempt = 0; attempt < SEND_ATTEMPTS; attempt++) {
        if (sendmsg(udp->fd, &msg, 0) >= 0 || errno == EMSGSIZE)
            return 0;
        if (errno == EAGAIN)
            poll(&(struct pollfd){.fd = udp->fd, .events = POLLOUT}, 1, SEND_WAIT_MS);
        else if (errno != EINTR)
            return -errno;
    }
    return -EAGAIN;
}

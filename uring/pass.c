/* SPDX-License-Identifier: MIT */
#include "uring/pass.h"

/* A message that does not fit its room is lost with its descriptors: both ends know the bounds.
 * The kernel installs descriptors before it says that some were lost, so those are closed here. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/assert.h"

#define NS_PER_S UINT64_C(1000000000)

union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int) * SU_PASS_FDS_MAX)];
};

int su_pass_check(int fd)
{
    struct sockaddr_storage peer;
    socklen_t peer_size = sizeof(peer);
    int type = 0;
    socklen_t size = sizeof(type);
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0)
        return errno == EBADF ? -errno : -EPROTOTYPE;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return -errno;
    return peer.ss_family == AF_UNIX && type == SOCK_SEQPACKET ? 0 : -EPROTOTYPE;
}

bool su_pass_is_same(int a, int b)
{
    struct stat of_a, of_b;
    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
           of_a.st_ino == of_b.st_ino;
}

int su_pass_send(int fd, const struct su_pass *message)
{
    SB_ASSERT(message->fd_count <= SU_PASS_FDS_MAX);
    union control control;
    struct iovec data = {.iov_base = message->data, .iov_len = message->size};
    struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
    if (message->fd_count > 0) {
        size_t size = sizeof(int) * message->fd_count;
        memset(&control, 0, sizeof(control));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(size);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        *cmsg = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)};
        memcpy(CMSG_DATA(cmsg), message->fds, size);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

/* Returns 0, or -EAGAIN after `wait_ns`. */
static int wait_for(int fd, short events, uint64_t wait_ns)
{
    struct pollfd one = {.fd = fd, .events = events};
    const struct timespec wait = {
        .tv_sec = (time_t)(wait_ns / NS_PER_S),
        .tv_nsec = (long)(wait_ns % NS_PER_S),
    };
    bool is_endless = wait_ns == UINT64_MAX;
    int count = ppoll(&one, 1, is_endless ? NULL : &wait, NULL);
    if (count < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    return count > 0 ? 0 : -EAGAIN;
}

int su_pass_wait_for_room(int fd, uint64_t wait_ns)
{
    return wait_for(fd, POLLOUT, wait_ns);
}

static void take_fds(struct msghdr *header, struct su_pass *ret)
{
    ret->fd_count = 0;
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg != NULL;
         cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        uint32_t count = (uint32_t)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        SB_ASSERT(count <= SU_PASS_FDS_MAX - ret->fd_count); /* of the room that we gave */
        memcpy(&ret->fds[ret->fd_count], CMSG_DATA(cmsg), count * sizeof(int));
        ret->fd_count += count;
    }
}

int su_pass_receive(int fd, uint64_t wait_ns, struct su_pass *message)
{
    union control control;
    struct iovec data = {.iov_base = message->data, .iov_len = message->size};
    struct msghdr header = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    message->fd_count = 0;
    int error = wait_for(fd, POLLIN, wait_ns);
    if (error != 0)
        return error;
    ssize_t got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    /* The other end was closed over messages that it had not read.  The kernel says so once, before
     * the messages that have come. */
    if (got < 0 && errno == ECONNRESET)
        got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    take_fds(&header, message);
    if (got == 0)
        error = -ECONNRESET;
    else if ((header.msg_flags & MSG_CTRUNC) != 0)
        error = -EMFILE;
    else if ((header.msg_flags & MSG_TRUNC) != 0)
        error = -EMSGSIZE;
    message->size = error == 0 ? (size_t)got : message->size;
    if (error != 0)
        su_pass_close(message);
    return error;
}

void su_pass_close(struct su_pass *message)
{
    for (uint32_t i = 0; i < message->fd_count; i++)
        (void)close(message->fds[i]);
    message->fd_count = 0;
}

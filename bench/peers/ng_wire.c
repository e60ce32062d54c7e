/* SPDX-License-Identifier: MIT */
#include "bench/peers/ng_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define BATCH        8 /* buffers of a recvmmsg(): more are colder than they save calls */
#define BUFFER_BYTES (8 << 20)
#define SEND_WAIT_MS 1000

union control {
    uint8_t bytes[CMSG_SPACE(sizeof(int)) * 3]; /* UDP_GRO, and the ECN mark that peer_udp wants */
    struct cmsghdr align;
};

int ng_wire_open(struct ng_wire *wire, struct in_addr server, uint16_t port, bool is_server)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int on = 1;
    const int bytes = BUFFER_BYTES;

    address.sin_addr = server;
    memcpy(&storage, &address, sizeof(address));
    *wire = (struct ng_wire){.udp = {.fd = -1}};
    int e = is_server ? peer_udp_listen(&wire->udp, &storage, sizeof(address))
                      : peer_udp_connect(&wire->udp, &storage, sizeof(address));
    if (e < 0)
        return e;
    /* More than peer_udp may ask for, where this process is allowed to. */
    (void)setsockopt(wire->udp.fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    (void)setsockopt(wire->udp.fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
    if (setsockopt(wire->udp.fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) < 0) {
        e = -errno;
        ng_wire_close(wire);
    }
    return e;
}

void ng_wire_close(struct ng_wire *wire)
{
    peer_udp_close(&wire->udp);
}

/* The size of the datagrams that one buffer has, or of the only one. */
static size_t segment_of(struct msghdr *message, size_t size)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        int segment = 0;
        if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
            continue;
        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
        if (segment > 0)
            return (size_t)segment;
    }
    return size;
}

int ng_wire_receive(struct ng_wire *wire, ng_wire_on_datagram on_datagram, void *context)
{
    static uint8_t buffers[BATCH][1 << 16];
    union control controls[BATCH];
    struct iovec iovs[BATCH];
    struct mmsghdr messages[BATCH];
    int datagrams = 0;

    for (int i = 0; i < BATCH; i++) {
        iovs[i] = (struct iovec){.iov_base = buffers[i], .iov_len = sizeof(buffers[i])};
        messages[i].msg_hdr = (struct msghdr){
            .msg_iov = &iovs[i],
            .msg_iovlen = 1,
            .msg_control = &controls[i],
            .msg_controllen = sizeof(controls[i]),
        };
    }
    /* One client is all that a server has here: the address of the first message is of all. */
    messages[0].msg_hdr.msg_name = &wire->remote;
    messages[0].msg_hdr.msg_namelen = sizeof(wire->remote);
    int count = recvmmsg(wire->udp.fd, messages, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    wire->remote_size = messages[0].msg_hdr.msg_namelen;
    for (int i = 0; i < count; i++) {
        size_t left = messages[i].msg_len;
        size_t segment = segment_of(&messages[i].msg_hdr, left);
        for (uint8_t *at = buffers[i]; left > 0; datagrams++) {
            size_t size = left < segment ? left : segment;
            on_datagram(context, at, size);
            at += size;
            left -= size;
        }
    }
    return datagrams;
}

int ng_wire_send(struct ng_wire *wire, const uint8_t *data, size_t size, size_t segment)
{
    union control control = {0};
    struct iovec iov = {.iov_len = size};
    memcpy(&iov.iov_base, &data, sizeof(data)); /* the kernel only reads it */
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (wire->remote_size != 0) {
        message.msg_name = &wire->remote;
        message.msg_namelen = wire->remote_size;
    }
    if (size > segment) {
        uint16_t value = (uint16_t)segment;
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(value));
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(value));
        memcpy(CMSG_DATA(c), &value, sizeof(value));
    }
    while (sendmsg(wire->udp.fd, &message, 0) < 0) {
        if (errno == EAGAIN &&
            poll(&(struct pollfd){.fd = wire->udp.fd, .events = POLLOUT}, 1, SEND_WAIT_MS) != 1)
            return -ETIMEDOUT;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return 0;
}

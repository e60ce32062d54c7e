/* SPDX-License-Identifier: MIT */
#include "test/interop/relay/batch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SOCKET_BYTES = 16 << 20,
    SEND_WAIT_MS = 20, /* for a full socket buffer; then the datagrams are lost */
    ECN_MASK = 3,
};

union control {
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

struct batch {
    struct mmsghdr messages[BATCH_SENDS];
    struct iovec pieces[BATCH_SENDS];
    union control controls[BATCH_SENDS];
    struct batch_address from[BATCH_TRAINS];
    uint8_t data[BATCH_TRAINS][BATCH_TRAIN_SIZE];
};

struct batch *batch_create(void)
{
    return calloc(1, sizeof(struct batch));
}

void batch_destroy(struct batch *batch)
{
    free(batch);
}

static bool is_v6(const struct batch_address *address)
{
    return address->storage.ss_family == AF_INET6;
}

int batch_socket(const struct batch_address *bind_to, const struct batch_address *connect_to,
                 bool gro)
{
    const int on = 1;
    const int bytes = SOCKET_BYTES;
    int fd = socket(bind_to->storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* As far as the system allows, with privileges and without. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    bool is_good = setsockopt(fd, is_v6(bind_to) ? IPPROTO_IPV6 : IPPROTO_IP,
                              is_v6(bind_to) ? IPV6_RECVTCLASS : IP_RECVTOS, &on, sizeof(on)) == 0;
    is_good = is_good && (!gro || setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) == 0);
    is_good = is_good && bind(fd, (const struct sockaddr *)&bind_to->storage, bind_to->size) == 0;
    is_good = is_good &&
              (connect_to == NULL ||
               connect(fd, (const struct sockaddr *)&connect_to->storage, connect_to->size) == 0);
    if (is_good)
        return fd;
    int error = errno;
    (void)close(fd);
    return -error;
}

/* ---- Receiving ---- */

static void read_control(struct msghdr *header, struct batch_train *train)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        int value = 0;
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&value, CMSG_DATA(c), sizeof(value));
            train->segment_size = (size_t)value;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            train->ecn = *CMSG_DATA(c) & ECN_MASK;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            memcpy(&value, CMSG_DATA(c), sizeof(value));
            train->ecn = (uint8_t)(value & ECN_MASK);
        }
    }
}

size_t batch_receive(struct batch *batch, int fd, struct batch_train *ret)
{
    for (size_t i = 0; i < BATCH_TRAINS; i++) {
        batch->pieces[i] = (struct iovec){batch->data[i], BATCH_TRAIN_SIZE};
        batch->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->from[i].storage,
            .msg_namelen = sizeof(batch->from[i].storage),
            .msg_iov = &batch->pieces[i],
            .msg_iovlen = 1,
            .msg_control = batch->controls[i].bytes,
            .msg_controllen = sizeof(batch->controls[i].bytes),
        };
    }
    int count = recvmmsg(fd, batch->messages, BATCH_TRAINS, MSG_DONTWAIT, NULL);
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;
        size_t size = batch->messages[i].msg_len;
        if (size == 0)
            continue; /* an empty datagram is nothing for QUIC */
        batch->from[i].size = header->msg_namelen;
        ret[used] = (struct batch_train){
            .from = &batch->from[i], .data = batch->data[i], .size = size, .segment_size = size};
        read_control(header, &ret[used]);
        used++;
    }
    return used;
}

/* ---- Sending ---- */

static void add_control(struct msghdr *header, int level, int type, const void *value, size_t size)
{
    char *at = (char *)header->msg_control + header->msg_controllen;
    struct cmsghdr c = {.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    memcpy(at, &c, sizeof(c));
    memcpy(at + CMSG_LEN(0), value, size);
    header->msg_controllen += CMSG_SPACE(size);
}

static void prepare(struct batch *batch, size_t slot, const struct batch_send *send, bool v6)
{
    struct msghdr *header = &batch->messages[slot].msg_hdr;
    int ecn = send->ecn;
    batch->pieces[slot] = (struct iovec){send->data, send->size};
    memset(&batch->controls[slot], 0, sizeof(batch->controls[slot]));
    *header = (struct msghdr){
        .msg_iov = &batch->pieces[slot],
        .msg_iovlen = 1,
        .msg_control = batch->controls[slot].bytes,
    };
    if (send->to != NULL) {
        batch->messages[slot].msg_hdr.msg_namelen = send->to->size;
        header->msg_name = (void *)(uintptr_t)&send->to->storage;
    }
    add_control(header, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &ecn,
                sizeof(ecn));
    if (send->size > send->segment_size) {
        uint16_t segment = (uint16_t)send->segment_size;
        add_control(header, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment));
    }
}

static uint64_t datagrams_in(const struct batch_send *send)
{
    return (send->size + send->segment_size - 1) / send->segment_size;
}

/* Sends what prepare() has filled in.  Returns how many messages the kernel took; the first that it
 * did not take is to blame. */
static size_t flush(struct batch *batch, int fd, size_t count)
{
    for (int tries = 0; tries < 3; tries++) {
        int sent = sendmmsg(fd, batch->messages, (unsigned)count, MSG_DONTWAIT);
        if (sent > 0)
            return (size_t)sent;
        if (errno == EAGAIN || errno == ENOBUFS) {
            struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
            (void)poll(&poll_fd, 1, SEND_WAIT_MS);
        } /* else an ICMP error of an earlier datagram (ECONNREFUSED): once more */
    }
    return 0;
}

/* A train that the kernel does not take whole, or shall not get whole. */
static uint64_t send_apart(struct batch *batch, int fd, const struct batch_send *train, bool v6)
{
    uint64_t refused = 0;
    size_t at = 0;
    while (at < train->size) {
        size_t count = 0;
        size_t begin = at;
        for (; at < train->size && count < BATCH_SENDS; count++) {
            struct batch_send one = *train;
            one.data = train->data + at;
            one.size =
                train->size - at < train->segment_size ? train->size - at : train->segment_size;
            prepare(batch, count, &one, v6);
            at += one.size;
        }
        size_t sent = flush(batch, fd, count);
        if (sent == count)
            continue;
        at = begin + (sent + 1) * train->segment_size; /* without the one that was refused */
        refused++;
    }
    return refused;
}

uint64_t batch_send(struct batch *batch, int fd, const struct batch_send *sends, size_t count,
                    bool gso)
{
    struct sockaddr_storage own;
    socklen_t own_size = sizeof(own);
    bool v6 = getsockname(fd, (struct sockaddr *)&own, &own_size) == 0 && own.ss_family == AF_INET6;
    uint64_t refused = 0;
    size_t at = 0;
    while (at < count) {
        size_t prepared = 0;
        while (at + prepared < count && prepared < BATCH_SENDS &&
               (gso || datagrams_in(&sends[at + prepared]) == 1)) {
            prepare(batch, prepared, &sends[at + prepared], v6);
            prepared++;
        }
        size_t sent = prepared > 0 ? flush(batch, fd, prepared) : 0;
        at += sent;
        if (sent == prepared && prepared > 0)
            continue;
        if (datagrams_in(&sends[at]) > 1)
            refused += send_apart(batch, fd, &sends[at], v6);
        else
            refused++;
        at++;
    }
    return refused;
}

/* ---- Addresses ---- */

static bool parse_host(const char *host, uint16_t port, struct batch_address *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(&ret->storage, &v4, sizeof(v4));
        ret->size = sizeof(v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(&ret->storage, &v6, sizeof(v6));
        ret->size = sizeof(v6);
        return true;
    }
    return false;
}

bool batch_parse_address(const char *text, struct batch_address *ret)
{
    char host[64];
    const char *begin = text;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (text[0] != '[' && strchr(text, ':') != colon))
        return parse_host(text, 0, ret);
    size_t size = (size_t)(colon - text);
    if (text[0] == '[') {
        if (size < 3 || colon[-1] != ']')
            return false;
        begin++;
        size -= 2;
    }
    size_t digits = strlen(colon + 1);
    if (size >= sizeof(host) || digits < 1 || digits > 5 ||
        strspn(colon + 1, "0123456789") != digits || strtoul(colon + 1, NULL, 10) > 65535)
        return false;
    memcpy(host, begin, size);
    host[size] = 0;
    return parse_host(host, (uint16_t)strtoul(colon + 1, NULL, 10), ret);
}

void batch_format_address(const struct batch_address *address, char ret[64])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (is_v6(address)) {
        struct sockaddr_in6 v6;
        memcpy(&v6, &address->storage, sizeof(v6));
        (void)inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        (void)snprintf(ret, 64, "[%s]:%u", host, ntohs(v6.sin6_port));
    } else {
        struct sockaddr_in v4;
        memcpy(&v4, &address->storage, sizeof(v4));
        (void)inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
        (void)snprintf(ret, 64, "%s:%u", host, ntohs(v4.sin_port));
    }
}

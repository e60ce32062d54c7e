/* SPDX-License-Identifier: MIT */
/* A program that moves the datagrams itself, by recvmmsg() and sendmmsg() on a socket of its own.
 * Whatever else can carry datagrams takes the place of these two calls.
 *
 *     own_io CERT-FILE KEY-FILE PORT */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/examples/echo.h"
#include "tools/examples/signals.h"

enum { BATCH = 32, CONTROL_SIZE = 64 };

/* A socket, and where it is bound to. */
struct wire {
    int fd;
    struct sockaddr_in local;
};

static int wire_open(struct wire *wire, uint16_t port)
{
    socklen_t size = sizeof(wire->local);
    int on = 1;
    wire->local = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    wire->local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    wire->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wire->fd >= 0 && setsockopt(wire->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0 &&
        bind(wire->fd, (struct sockaddr *)&wire->local, size) == 0 &&
        getsockname(wire->fd, (struct sockaddr *)&wire->local, &size) == 0)
        return 0;
    perror("own_io");
    return 1;
}

/* Returns the size of the datagrams of a message that UDP_GRO has put together; 0: it is one. */
static uint16_t segment_size(struct msghdr *message)
{
    int size = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c))
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
            memcpy(&size, CMSG_DATA(c), sizeof(size));
    return (uint16_t)size;
}

static void receive(const struct wire *wire, struct spate_shard *shard)
{
    struct spate_slot slots[BATCH];
    struct spate_given given[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in peers[BATCH];
    _Alignas(struct cmsghdr) char controls[BATCH][CONTROL_SIZE];
    uint32_t slot_count = spate_shard_slots(shard, slots, BATCH);
    for (uint32_t i = 0; i < slot_count; i++) {
        parts[i] = (struct iovec){slots[i].data, slots[i].size};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &peers[i],
            .msg_namelen = sizeof(peers[i]),
            .msg_iov = &parts[i],
            .msg_iovlen = 1,
            .msg_control = controls[i],
            .msg_controllen = CONTROL_SIZE,
        };
    }
    int count = slot_count > 0 ? recvmmsg(wire->fd, messages, slot_count, 0, NULL) : 0;
    for (int i = 0; i < count; i++)
        given[i] = (struct spate_given){
            .size = messages[i].msg_len,
            .segment_size = segment_size(&messages[i].msg_hdr),
            .local = (const struct sockaddr *)&wire->local,
            .peer = (const struct sockaddr *)&peers[i],
        };
    if (count > 0)
        (void)spate_shard_give(shard, given, (uint32_t)count); /* the rest counts as lost */
}

static void describe(const struct spate_train *train, struct iovec *part, char *control,
                     struct msghdr *ret)
{
    uint16_t size = (uint16_t)train->segment_size;
    *part = (struct iovec){(void *)(uintptr_t)train->data, train->size};
    *ret = (struct msghdr){
        .msg_name = (void *)(uintptr_t)&train->peer,
        .msg_namelen = sizeof(struct sockaddr_in),
        .msg_iov = part,
        .msg_iovlen = 1,
    };
    if (train->segment_size == train->size)
        return;
    ret->msg_control = control;
    ret->msg_controllen = CMSG_SPACE(sizeof(size));
    struct cmsghdr *c = CMSG_FIRSTHDR(ret);
    *c = (struct cmsghdr){CMSG_LEN(sizeof(size)), IPPROTO_UDP, UDP_SEGMENT};
    memcpy(CMSG_DATA(c), &size, sizeof(size));
}

/* What a full socket buffer does not take is lost, as anywhere on the way. */
static void send_trains(const struct wire *wire, struct spate_shard *shard)
{
    struct spate_train trains[BATCH];
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    _Alignas(struct cmsghdr) char controls[BATCH][CONTROL_SIZE];
    uint32_t count = spate_shard_trains(shard, trains, BATCH);
    for (uint32_t i = 0; i < count; i++)
        describe(&trains[i], &parts[i], controls[i], &messages[i].msg_hdr);
    for (uint32_t at = 0; at < count;) {
        int sent = sendmmsg(wire->fd, messages + at, count - at, 0);
        int error = sent < 0 ? -errno : 0; /* of the first one */
        for (int i = 0; i < (sent > 0 ? sent : 1); i++)
            (void)spate_shard_train_done(shard, trains[at++].id, error);
    }
}

int main(int argc, char **argv)
{
    struct echo echo;
    struct wire wire = {.fd = -1};
    struct timespec wait;
    struct pollfd polled[] = {{.fd = signals_open(0), .events = POLLIN}, {.events = POLLIN}};
    struct spate_config config;
    spate_config_init(&config);
    config.backend = SPATE_BACKEND_HOST;
    int result = echo_create(&echo, &config, argc, argv);
    if (result == 0)
        result = wire_open(&wire, echo.port);
    if (result == 0)
        result = echo_listen(&echo, ntohs(wire.local.sin_port));
    polled[1].fd = wire.fd;
    while (result == 0 && polled[0].revents == 0) {
        receive(&wire, echo.shard);
        result = echo_turn(&echo);
        send_trains(&wire, echo.shard);
        (void)ppoll(polled, 2, spate_shard_timeout(echo.shard, &wait), NULL);
    }
    echo_close(&echo);
    (void)close(wire.fd);
    (void)close(polled[0].fd);
    return result;
}

/* SPDX-License-Identifier: MIT */
#include "tools/examples/fleet/nat.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, DATAGRAM_MAX = 9000, OUTSIDE = 1 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

void nat_table_init(struct nat_table *ret, struct nat *nats, const struct sockaddr_in *server,
                    char **local_addresses, uint32_t local_count)
{
    *ret = (struct nat_table){
        .nats = nats,
        .server = *server,
        .local_addresses = local_addresses,
        .local_count = local_count,
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
    };
    if (ret->epoll_fd < 0)
        die("epoll_create1");
}

/* Returns a socket that is polled as `tag`. */
static int make_socket(struct nat_table *table, const char *address, uint64_t tag)
{
    struct sockaddr_in local = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &local.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0 ||
        epoll_ctl(table->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die(address);
    return fd;
}

void nat_begin(struct nat_table *table, uint32_t index, struct sockaddr_in *ret)
{
    struct nat *nat = &table->nats[index];
    socklen_t size = sizeof(*ret);
    *nat = (struct nat){
        .inside = make_socket(table, "127.0.0.1", (uint64_t)index << 1),
        .outside = -1,
    };
    if (getsockname(nat->inside, (struct sockaddr *)ret, &size) != 0)
        die("getsockname");
    nat_rebind(table, index, 0);
}

void nat_rebind(struct nat_table *table, uint32_t index, uint32_t round)
{
    struct nat *nat = &table->nats[index];
    const char *address = table->local_addresses[(index + round) % table->local_count];
    if (nat->outside >= 0)
        (void)close(nat->outside);
    nat->outside = make_socket(table, address, (uint64_t)index << 1 | OUTSIDE);
    if (connect(nat->outside, (struct sockaddr *)&table->server, sizeof(table->server)) != 0)
        die("connect");
}

/* What the system does not take is lost, as anywhere on the way. */
static void pass_out(struct nat *nat)
{
    static uint8_t data[DATAGRAM_MAX];
    socklen_t size = sizeof(nat->client);
    ssize_t got;
    while ((got = recvfrom(nat->inside, data, sizeof(data), 0, (struct sockaddr *)&nat->client,
                           &size)) >= 0)
        (void)send(nat->outside, data, (size_t)got, 0);
}

static void pass_in(struct nat *nat)
{
    static uint8_t data[DATAGRAM_MAX];
    ssize_t got;
    while ((got = recv(nat->outside, data, sizeof(data), 0)) >= 0)
        (void)sendto(nat->inside, data, (size_t)got, 0, (struct sockaddr *)&nat->client,
                     sizeof(nat->client));
}

void nat_pass_all(struct nat_table *table)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(table->epoll_fd, events, EVENTS, 0);
    for (int i = 0; i < count; i++) {
        struct nat *nat = &table->nats[events[i].data.u64 >> 1];
        if ((events[i].data.u64 & OUTSIDE) != 0)
            pass_in(nat);
        else
            pass_out(nat);
    }
}

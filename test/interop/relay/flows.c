/* SPDX-License-Identifier: MIT */
#include "test/interop/relay/flows.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int watch(struct flows *flows, int fd, uint32_t key)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = key};
    return epoll_ctl(flows->poll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int flows_open(struct flows *flows)
{
    flows->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (flows->poll_fd < 0)
        return -errno;
    for (uint32_t i = 0; i < flows->door_count; i++) {
        struct flows_door *door = &flows->doors[i];
        door->fd = batch_socket(&door->listen, NULL, flows->gro);
        if (door->fd < 0)
            return door->fd;
        int e = watch(flows, door->fd, i);
        if (e != 0)
            return e;
        door->listen.size = sizeof(door->listen.storage);
        if (getsockname(door->fd, (struct sockaddr *)&door->listen.storage, &door->listen.size) !=
            0)
            return -errno;
    }
    return 0;
}

void flows_close(struct flows *flows)
{
    for (uint32_t i = 0; i < flows->used; i++) {
        if (flows->items[i].fd >= 0)
            (void)close(flows->items[i].fd);
    }
    for (uint32_t i = 0; i < flows->door_count; i++) {
        if (flows->doors[i].fd > 0)
            (void)close(flows->doors[i].fd);
    }
    if (flows->poll_fd > 0)
        (void)close(flows->poll_fd);
}

static bool is_client(const struct flow *flow, uint32_t door, const struct batch_address *client)
{
    return flow->fd >= 0 && flow->door == door && flow->client.size == client->size &&
           memcmp(&flow->client.storage, &client->storage, client->size) == 0;
}

/* A socket from the address that is in use now to the door's server. */
static int open_socket(struct flows *flows, uint32_t door)
{
    const struct batch_address *server = &flows->doors[door].server;
    struct batch_address any = {.size = server->size};
    any.storage.ss_family = server->storage.ss_family;
    for (uint32_t i = 0; i < flows->via_count; i++) {
        const struct batch_address *via = &flows->via[(flows->via_now + i) % flows->via_count];
        if (via->storage.ss_family == any.storage.ss_family) {
            any = *via;
            break;
        }
    }
    return batch_socket(&any, server, flows->gro);
}

static uint32_t choose_place(const struct flows *flows)
{
    uint32_t oldest = 0;
    if (flows->used < FLOWS_MAX)
        return flows->used;
    for (uint32_t i = 1; i < FLOWS_MAX; i++) {
        if (flows->items[i].used_ns < flows->items[oldest].used_ns)
            oldest = i;
    }
    return oldest;
}

int flows_find(struct flows *flows, uint32_t door, const struct batch_address *client,
               uint64_t now_ns)
{
    uint32_t index = flows->last;
    if (index >= flows->used || !is_client(&flows->items[index], door, client)) {
        for (index = 0; index < flows->used; index++) {
            if (is_client(&flows->items[index], door, client))
                break;
        }
    }
    if (index == flows->used) {
        index = choose_place(flows);
        struct flow *flow = &flows->items[index];
        if (index < flows->used)
            (void)close(flow->fd);
        *flow = (struct flow){.client = *client, .door = door};
        flow->fd = open_socket(flows, door);
        flows->used += index == flows->used;
        int e = flow->fd < 0 ? flow->fd : watch(flows, flow->fd, FLOWS_DOORS_MAX + index);
        if (e != 0)
            return e;
    }
    flows->items[index].used_ns = now_ns;
    flows->last = index;
    return (int)index;
}

uint32_t flows_rebind(struct flows *flows, bool with_address)
{
    uint32_t moved = 0;
    flows->via_now += with_address;
    for (uint32_t i = 0; i < flows->used; i++) {
        struct flow *flow = &flows->items[i];
        int fd = flow->fd >= 0 ? open_socket(flows, flow->door) : -1;
        if (fd < 0)
            continue;
        if (watch(flows, fd, FLOWS_DOORS_MAX + i) != 0) {
            (void)close(fd);
            continue;
        }
        (void)close(flow->fd); /* after the new one is open: the port must be another one */
        flow->fd = fd;
        moved++;
    }
    return moved;
}

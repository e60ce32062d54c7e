/* SPDX-License-Identifier: MIT */
#include "engine/net/shared_ports.h"

/* A list: an engine has an address or two that its shards share. */

#include <errno.h>
#include <stdlib.h>

#include "proto/base/assert.h"

/* The sockets stand in the kernel's order: the last one takes the place of one that leaves. */
struct group {
    struct sb_link link;
    struct su_address address;
    uint32_t count;
    uint8_t shards[SU_STEER_SOCKETS_MAX];
    int fds[SU_STEER_SOCKETS_MAX];
};

void se_shared_ports_init(struct se_shared_ports *ports)
{
    (void)pthread_mutex_init(&ports->lock, NULL);
    sb_list_init(&ports->all);
}

void se_shared_ports_deinit(struct se_shared_ports *ports)
{
    SB_ASSERT(sb_list_is_empty(&ports->all));
    (void)pthread_mutex_destroy(&ports->lock);
}

/* Returns whether the engine has sockets at this port of any address. */
static bool has(const struct se_shared_ports *ports, uint16_t number)
{
    for (struct sb_link *link = ports->all.next; link != &ports->all; link = link->next)
        if (su_address_port(&SB_CONTAINER_OF(link, struct group, link)->address) == number)
            return true;
    return false;
}

static struct group *find(const struct se_shared_ports *ports, const struct su_address *address)
{
    for (struct sb_link *link = ports->all.next; link != &ports->all; link = link->next) {
        struct group *group = SB_CONTAINER_OF(link, struct group, link);
        if (su_address_is_equal(&group->address, address))
            return group;
    }
    return NULL;
}

/* Where it is refused the hash chooses, and strays go to their shard. */
static void steer(const struct se_shared_ports *ports, const struct group *group)
{
    (void)!su_steer(group->fds[0], &ports->byte, group->shards, group->count);
}

static int add(struct se_shared_ports *ports, const struct su_address *address, uint32_t shard,
               int fd)
{
    struct group *group = find(ports, address);
    if (group == NULL) {
        group = calloc(1, sizeof(*group));
        if (group == NULL)
            return -ENOMEM;
        group->address = *address;
        sb_list_init(&group->link);
        sb_list_push_back(&ports->all, &group->link);
    }
    if (group->count == SU_STEER_SOCKETS_MAX)
        return -EMFILE;
    group->shards[group->count] = (uint8_t)shard;
    group->fds[group->count++] = fd;
    steer(ports, group);
    return 0;
}

/* Takes a socket out, after it was closed. */
static void take_out(struct se_shared_ports *ports, const struct su_address *address, int fd)
{
    struct group *group = find(ports, address);
    uint32_t at = 0;
    SB_ASSERT(group != NULL);
    while (group->fds[at] != fd) {
        at++;
        SB_ASSERT(at < group->count);
    }
    group->count--;
    group->shards[at] = group->shards[group->count];
    group->fds[at] = group->fds[group->count];
    if (group->count > 0) {
        steer(ports, group);
        return;
    }
    sb_list_remove(&group->link);
    free(group);
}

int se_shared_ports_open(struct se_shared_ports *ports, const struct su_socket_config *config,
                         uint32_t shard, struct su_socket *ret, const char **ret_step)
{
    struct su_socket_config own = *config;
    uint16_t number = su_address_port(&config->local);
    (void)pthread_mutex_lock(&ports->lock);
    own.is_port_shared = number != 0 && has(ports, number);
    int result = su_socket_open(ret, &own, ret_step);
    if (result == 0) {
        *ret_step = "SO_REUSEPORT";
        result = own.is_port_shared ? 0 : su_socket_share(ret);
        if (result == 0)
            result = add(ports, &ret->local, shard, ret->fd);
        if (result != 0)
            su_socket_close(ret);
    }
    (void)pthread_mutex_unlock(&ports->lock);
    return result;
}

void se_shared_ports_close(struct se_shared_ports *ports, struct su_socket *socket)
{
    const struct su_address address = socket->local;
    int fd = socket->fd;
    (void)pthread_mutex_lock(&ports->lock);
    su_socket_close(socket);
    take_out(ports, &address, fd);
    (void)pthread_mutex_unlock(&ports->lock);
}

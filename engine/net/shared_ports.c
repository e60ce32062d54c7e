/* SPDX-License-Identifier: MIT */
#include "engine/net/shared_ports.h"

/* A list: an engine has an address or two that its shards share. */

#include <errno.h>
#include <stdlib.h>

#include "engine/net/stray.h"
#include "proto/base/assert.h"
#include "uring/steer.h"

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

bool se_shared_ports_has(const struct se_shared_ports *ports, uint16_t number)
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
static void steer(const struct group *group)
{
    (void)!su_steer(group->fds[0], SE_STRAY_CID_AT, group->shards, group->count);
}

int se_shared_ports_add(struct se_shared_ports *ports, const struct su_address *address,
                        uint32_t shard, int fd)
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
    steer(group);
    return 0;
}

void se_shared_ports_remove(struct se_shared_ports *ports, const struct su_address *address, int fd)
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
        steer(group);
        return;
    }
    sb_list_remove(&group->link);
    free(group);
}

/* SPDX-License-Identifier: MIT */
#include "engine/net/shared_ports.h"

/* A list: an engine has an address or two that its shards share.
 *
 * Where the kernel refuses the program its hash chooses among all sockets, and strays go to their
 * shard.  There no socket may be idle, because the hash would choose it: one that nobody uses
 * leaves, and the last one takes its place. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "proto/base/assert.h"

/* More than a socket's buffer holds.  Nothing more comes while they are taken out. */
enum { STALE_DATAGRAMS_MAX = 1 << 20 };

void se_shared_ports_init(struct se_shared_ports *ports)
{
    (void)pthread_mutex_init(&ports->lock, NULL);
    sb_list_init(&ports->all);
}

void se_shared_ports_deinit(struct se_shared_ports *ports)
{
    struct sb_link *link;
    while ((link = sb_list_first(&ports->all)) != NULL)
        se_shared_group_end(SB_CONTAINER_OF(link, struct se_shared_group, link));
    (void)pthread_mutex_destroy(&ports->lock);
}

/* Returns whether there are sockets at this port of any address. */
static bool has(const struct se_shared_ports *ports, uint16_t number)
{
    SB_LIST_EACH(link, &ports->all) {
        struct se_shared_group *group = SB_CONTAINER_OF(link, struct se_shared_group, link);
        if (su_address_port(&group->address) == number)
            return true;
    }
    return false;
}

static struct se_shared_group *find(const struct se_shared_ports *ports,
                                    const struct su_address *address)
{
    SB_LIST_EACH(link, &ports->all) {
        struct se_shared_group *group = SB_CONTAINER_OF(link, struct se_shared_group, link);
        if (su_address_is_equal(&group->address, address))
            return group;
    }
    return NULL;
}

/* ---- a group ---- */

struct se_shared_group *se_shared_group_make(struct se_shared_ports *ports,
                                             const struct su_address *address)
{
    struct se_shared_group *group = calloc(1, sizeof(*group));
    if (group == NULL)
        return NULL;
    group->address = *address;
    sb_list_init(&group->link);
    sb_list_push_back(&ports->all, &group->link);
    return group;
}

void se_shared_group_end(struct se_shared_group *group)
{
    for (uint32_t i = 0; i < group->count; i++)
        (void)close(group->sockets[i].fd);
    sb_list_remove(&group->link);
    free(group);
}

static uint16_t word_of(const struct se_shared_ports *ports, const struct se_shared_socket *socket)
{
    uint8_t tag = socket->use == SE_SOCKET_OWN ? ports->tag : socket->tag;
    uint32_t word = (uint32_t)socket->shard << 8 | tag;
    return ports->is_tagged ? (uint16_t)word : socket->shard;
}

int se_shared_group_steer(const struct se_shared_ports *ports, struct se_shared_group *group)
{
    struct su_steer_socket sockets[SU_STEER_SOCKETS_MAX];
    if (group->is_held || group->own_count == 0)
        return 0;
    for (uint32_t i = 0; i < group->count; i++) {
        const struct se_shared_socket *socket = &group->sockets[i];
        sockets[i] = (struct su_steer_socket){
            .word = word_of(ports, socket),
            .is_named = socket->use != SE_SOCKET_IDLE,
            .takes_unnamed = socket->use == SE_SOCKET_OWN,
        };
    }
    const struct su_steer steer = {
        .byte = ports->byte,
        .word_size = ports->is_tagged ? 2 : 1,
        .cid_size = ports->cid_size,
        .count = group->count,
        .sockets = sockets,
    };
    int result = su_steer(group->sockets[0].fd, &steer);
    group->is_steered = result == 0;
    return result;
}

/* Appends a duplicate of a socket.  Returns it, or NULL with the negative errno. */
static struct se_shared_socket *append(struct se_shared_group *group, int fd, int *ret_error)
{
    *ret_error = -EMFILE;
    if (group->count == SU_STEER_SOCKETS_MAX)
        return NULL;
    int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own_fd < 0) {
        *ret_error = -errno;
        return NULL;
    }
    struct se_shared_socket *socket = &group->sockets[group->count++];
    *socket = (struct se_shared_socket){.fd = own_fd, .use = SE_SOCKET_IDLE};
    return socket;
}

/* ---- what shards do ---- */

/* Returns the idle socket at `address` that has been free for longest, or NULL. */
static struct se_shared_socket *find_idle(const struct se_shared_ports *ports,
                                          const struct su_address *address, uint64_t now_ns)
{
    struct se_shared_group *group = find(ports, address);
    struct se_shared_socket *found = NULL;
    for (uint32_t i = 0; group != NULL && i < group->count; i++) {
        struct se_shared_socket *socket = &group->sockets[i];
        if (socket->use == SE_SOCKET_IDLE && socket->free_at_ns <= now_ns &&
            (found == NULL || socket->free_at_ns < found->free_at_ns))
            found = socket;
    }
    return found;
}

/* Gives an idle socket to a shard, which calls its duplicate `fd`. */
static void use(struct se_shared_ports *ports, const struct su_address *address,
                struct se_shared_socket *socket, uint32_t shard, int fd)
{
    struct se_shared_group *group = find(ports, address);
    SB_ASSERT(group != NULL && socket->use == SE_SOCKET_IDLE);
    socket->use = SE_SOCKET_OWN;
    socket->shard = (uint8_t)shard;
    socket->owner_fd = fd;
    group->own_count++;
    (void)!se_shared_group_steer(ports, group);
}

/* Adds a socket of a shard after it was bound.  Returns 0 or a negative errno. */
static int add(struct se_shared_ports *ports, const struct su_address *address, uint32_t shard,
               int fd)
{
    struct se_shared_group *group = find(ports, address);
    if (group == NULL)
        group = se_shared_group_make(ports, address);
    if (group == NULL)
        return -ENOMEM;
    int error;
    struct se_shared_socket *socket = append(group, fd, &error);
    if (socket != NULL) {
        use(ports, address, socket, shard, fd);
        return 0;
    }
    if (group->count == 0)
        se_shared_group_end(group);
    return error;
}

int se_shared_ports_adopt(struct se_shared_ports *ports, const struct su_address *address,
                          const int *fds, uint32_t count)
{
    if (find(ports, address) != NULL)
        return 0;
    struct se_shared_group *group = se_shared_group_make(ports, address);
    if (group == NULL)
        return -ENOMEM;
    int error = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (append(group, fds[i], &error) != NULL)
            continue;
        se_shared_group_end(group);
        return error;
    }
    return 0;
}

/* Takes a socket out; the last one takes its place. */
static void leave(struct se_shared_group *group, struct se_shared_socket *socket)
{
    (void)close(socket->fd);
    group->count--;
    *socket = group->sockets[group->count];
}

/* Makes a socket idle that its shard has closed.  The last one ends the group. */
static void take_out(struct se_shared_ports *ports, const struct su_address *address, int fd)
{
    struct se_shared_group *group = find(ports, address);
    if (group == NULL) {
        SB_ASSERT(ports->state == SE_SHARED_GIVEN);
        return;
    }
    struct se_shared_socket *socket = group->sockets;
    while (socket->use != SE_SOCKET_OWN || socket->owner_fd != fd) {
        socket++;
        SB_ASSERT(socket < group->sockets + group->count);
    }
    socket->use = SE_SOCKET_IDLE;
    socket->is_stale = true;
    socket->free_at_ns = 0;
    group->own_count--;
    if (group->own_count == 0) {
        se_shared_group_end(group);
        return;
    }
    if (!group->is_steered && !group->is_held)
        leave(group, socket);
    (void)!se_shared_group_steer(ports, group);
}

/* Opens a socket of its own, which joins the group, or begins one.
 *
 * The first one is alone for a moment: nobody else listens there.  It can let others join later,
 * but then it gets a program only together with the second one, and a process that takes over must
 * not find a group without a program. */
static int open_joining(const struct se_shared_ports *ports, const struct su_socket_config *config,
                        struct su_socket *ret, const char **ret_step)
{
    struct su_socket_config own = *config;
    uint16_t number = su_address_port(&own.local);
    own.is_port_shared = number != 0 && has(ports, number);
    int result = su_socket_open(ret, &own, ret_step);
    if (result != 0 || own.is_port_shared)
        return result;
    *ret_step = "SO_REUSEPORT";
    if (!ports->is_tagged)
        result = su_socket_share(ret);
    if (result != 0)
        su_socket_close(ret);
    if (result != 0 || !ports->is_tagged)
        return result;
    own.local = ret->local;
    own.is_port_shared = true;
    su_socket_close(ret);
    return su_socket_open(ret, &own, ret_step);
}

/* Opens a socket of the group that nobody uses. */
static int open_idle(const struct se_shared_socket *idle, const struct su_socket_config *config,
                     struct su_socket *ret, const char **ret_step)
{
    struct su_socket_config own = *config;
    own.is_adopted = true;
    own.fd = idle->fd;
    if (idle->is_stale)
        (void)su_socket_discard(idle->fd, STALE_DATAGRAMS_MAX);
    return su_socket_open(ret, &own, ret_step);
}

int se_shared_ports_open(struct se_shared_ports *ports, const struct su_socket_config *config,
                         uint32_t shard, struct su_socket *ret, const char **ret_step)
{
    *ret = SU_SOCKET_CLOSED;
    (void)pthread_mutex_lock(&ports->lock);
    struct se_shared_socket *idle = find_idle(ports, &config->local, se_clock_now_ns());
    *ret_step = "hand-over";
    int result = ports->state == SE_SHARED_OPEN ? 0 : -EBUSY;
    if (result == 0)
        result = idle != NULL ? open_idle(idle, config, ret, ret_step)
                              : open_joining(ports, config, ret, ret_step);
    if (result == 0 && idle != NULL)
        use(ports, &ret->local, idle, shard, ret->fd);
    else if (result == 0)
        result = add(ports, &ret->local, shard, ret->fd);
    if (result != 0)
        su_socket_close(ret);
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

enum se_shared_state se_shared_ports_state(struct se_shared_ports *ports)
{
    (void)pthread_mutex_lock(&ports->lock);
    enum se_shared_state state = ports->state;
    (void)pthread_mutex_unlock(&ports->lock);
    return state;
}

/* ---- other processes ---- */

void se_shared_ports_forget(struct se_shared_ports *ports, uint8_t tag, uint64_t free_at_ns)
{
    SB_LIST_EACH(link, &ports->all) {
        struct se_shared_group *group = SB_CONTAINER_OF(link, struct se_shared_group, link);
        for (uint32_t i = 0; i < group->count; i++) {
            struct se_shared_socket *socket = &group->sockets[i];
            if (socket->use != SE_SOCKET_OTHER || socket->tag != tag)
                continue;
            socket->use = SE_SOCKET_IDLE;
            socket->is_stale = true;
            socket->free_at_ns = free_at_ns;
        }
        (void)!se_shared_group_steer(ports, group);
    }
}

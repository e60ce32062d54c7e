/* SPDX-License-Identifier: MIT */
#ifndef SE_SHARED_PORTS_H
#define SE_SHARED_PORTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "uring/address.h"
#include "uring/socket.h"
#include "uring/steer.h"

/* The addresses at which several sockets listen, with SO_REUSEPORT: those of an engine's shards,
 * and those of a process that this one replaces (engine/net/handover.h).
 *
 * The kernel lets every process of the user join such a port, and gives it a part of the packets:
 * connections of both would break.  So the first socket of an engine at a port is opened as one
 * that nobody shares, and those of the other shards find the port here.
 *
 * Each change gives the kernel a new program that steers packets to the shard that their CID names:
 * see uring/steer.h.  Packets that arrive elsewhere all the same are strays: see
 * engine/net/stray.h.
 *
 * The program counts sockets, and when one leaves, the last one takes its place.  For a moment
 * packets would go to wrong ones.  So none leaves as long as the group lives: the group has a
 * duplicate of each, and one that nobody uses any more is idle.  The program gives it no packets,
 * and the next shard that listens takes it. */

enum se_socket_use {
    SE_SOCKET_OWN,   /* of a shard of this engine */
    SE_SOCKET_OTHER, /* of another process, which still has connections */
    SE_SOCKET_IDLE,  /* nobody's */
};

struct se_shared_socket {
    int fd;       /* a duplicate */
    int owner_fd; /* OWN: what it is called at its port */
    enum se_socket_use use;
    uint8_t shard;       /* OWN and OTHER: that CIDs name */
    uint8_t tag;         /* OTHER: of the process, which CIDs name too */
    bool is_stale;       /* IDLE: what waits in it is for connections that have ended */
    uint64_t free_at_ns; /* IDLE: not taken before, because a ring may still read from it */
};

/* own_count == number of OWN sockets */
struct se_shared_group {
    struct sb_link link;
    struct su_address address;
    bool is_held;    /* another process's program is attached: ours would end that too early */
    bool is_steered; /* the kernel has taken our last program */
    uint32_t own_count;
    uint32_t count;
    struct se_shared_socket sockets[SU_STEER_SOCKETS_MAX]; /* in the kernel's order */
};

/* What may be added. */
enum se_shared_state {
    SE_SHARED_OPEN,    /* anything */
    SE_SHARED_OFFERED, /* nothing: another process is about to take the sockets */
    SE_SHARED_GIVEN,   /* nothing any more: it has, and steers them */
};

/* All functions that do not take `lock`: the caller holds it.  Threads: any. */
struct se_shared_ports {
    pthread_mutex_t lock;
    struct sb_link all;
    struct su_steer_byte byte; /* where a CID names its shard: set before the first socket */
    uint8_t cid_size;          /* set with it */
    bool is_tagged;            /* CIDs have a tag: the byte after it, masked too if it is */
    uint8_t tag;               /* of this engine; constant while shards run */
    enum se_shared_state state;
};

void se_shared_ports_init(struct se_shared_ports *ports);

/* All shards have closed their sockets. */
void se_shared_ports_deinit(struct se_shared_ports *ports);

/* Opens a socket of a shard at an address of the engine's, as su_socket_open() does, or takes one
 * that is idle.  Takes the lock.  Returns what su_socket_open() returns, or -ENOMEM, -EMFILE if
 * there are SU_STEER_SOCKETS_MAX already, or -EBUSY in another state than OPEN. */
SB_MUST_USE int se_shared_ports_open(struct se_shared_ports *ports,
                                     const struct su_socket_config *config, uint32_t shard,
                                     struct su_socket *ret, const char **ret_step);

/* Closes such a socket.  Takes the lock.  The last one of a group ends it, and the port is free.
 * Threads: the owner of the ring that it is attached to, or any. */
void se_shared_ports_close(struct se_shared_ports *ports, struct su_socket *socket);

/* Returns what may be added now.  Takes the lock. */
enum se_shared_state se_shared_ports_state(struct se_shared_ports *ports);

/* Adds a group of sockets that others have bound, in the kernel's order, unless it is there.  All
 * are idle.  The descriptors stay the caller's.  Returns 0, -ENOMEM, or -EMFILE. */
SB_MUST_USE int se_shared_ports_adopt(struct se_shared_ports *ports,
                                      const struct su_address *address, const int *fds,
                                      uint32_t count);

/* Makes the sockets of the process with `tag` idle: it has ended.  They may be taken from
 * `free_at_ns` on. */
void se_shared_ports_forget(struct se_shared_ports *ports, uint8_t tag, uint64_t free_at_ns);

/* Adds an empty group at the end of the list.  Returns NULL without memory. */
struct se_shared_group *se_shared_group_make(struct se_shared_ports *ports,
                                             const struct su_address *address);

/* Closes the duplicates of a group and frees it. */
void se_shared_group_end(struct se_shared_group *group);

/* Attaches the program of a group that is not held.  Returns 0, or the kernel's negative errno. */
SB_MUST_USE int se_shared_group_steer(const struct se_shared_ports *ports,
                                      struct se_shared_group *group);

#endif

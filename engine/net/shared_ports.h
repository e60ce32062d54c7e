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

/* The addresses at which several shards of an engine listen, with SO_REUSEPORT.
 *
 * The kernel lets every process of the user join such a port, and gives it a part of the packets:
 * connections of both would break.  With port 0 it may even choose a port that others share.  So
 * the first socket of an engine at a port is bound alone, and lets others join afterwards; the
 * other shards find the port here.
 *
 * Each change of a group of sockets gives the kernel a new program that steers packets to the shard
 * that their CID names: see uring/steer.h.  Packets that arrive elsewhere all the same, while the
 * group changes for example, are strays: see engine/net/stray.h.
 *
 * Threads: any. */
struct se_shared_ports {
    pthread_mutex_t lock;
    struct su_steer_byte byte; /* where a CID names its shard: set before the first socket */
    struct sb_link all;
};

void se_shared_ports_init(struct se_shared_ports *ports);

/* All sockets were taken out. */
void se_shared_ports_deinit(struct se_shared_ports *ports);

/* Opens a socket of a shard at an address of the engine's, as su_socket_open() does.  Returns what
 * that returns, or -ENOMEM, or -EMFILE if there are SU_STEER_SOCKETS_MAX already. */
SB_MUST_USE int se_shared_ports_open(struct se_shared_ports *ports,
                                     const struct su_socket_config *config, uint32_t shard,
                                     struct su_socket *ret, const char **ret_step);

/* Closes such a socket.  Threads: the owner of the ring that it is attached to, or any. */
void se_shared_ports_close(struct se_shared_ports *ports, struct su_socket *socket);

#endif

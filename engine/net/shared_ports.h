/* SPDX-License-Identifier: MIT */
#ifndef SE_SHARED_PORTS_H
#define SE_SHARED_PORTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "uring/address.h"

/* The addresses at which several shards of an engine listen, with SO_REUSEPORT.
 *
 * The kernel lets every process of the user join such a port, and gives it a part of the packets:
 * connections of both would break.  So the first socket of an engine at a port is opened only after
 * an exclusive one could be opened there; those of the other shards find the port here.
 *
 * Each change of a group of sockets gives the kernel a new program that steers packets to the shard
 * that their CID names: see uring/steer.h.  Packets that arrive elsewhere all the same, while the
 * group changes for example, are strays: see engine/net/stray.h.
 *
 * All functions: the caller holds `lock`. */
struct se_shared_ports {
    pthread_mutex_t lock;
    struct sb_link all;
};

void se_shared_ports_init(struct se_shared_ports *ports);

/* All sockets were taken out. */
void se_shared_ports_deinit(struct se_shared_ports *ports);

/* Returns whether the engine has sockets at this port of any address. */
bool se_shared_ports_has(const struct se_shared_ports *ports, uint16_t number);

/* Adds a socket of a shard after it was bound to `address`.  Returns 0, -ENOMEM, or -EMFILE if
 * there are SU_STEER_SOCKETS_MAX already. */
SB_MUST_USE int se_shared_ports_add(struct se_shared_ports *ports, const struct su_address *address,
                                    uint32_t shard, int fd);

/* Takes a socket out, after it was closed. */
void se_shared_ports_remove(struct se_shared_ports *ports, const struct su_address *address,
                            int fd);

#endif

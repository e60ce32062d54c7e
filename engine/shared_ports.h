/* SPDX-License-Identifier: MIT */
#ifndef SE_SHARED_PORTS_H
#define SE_SHARED_PORTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"

/* The ports at which several shards of an engine listen, with SO_REUSEPORT.
 *
 * The kernel lets every process of the user join such a port, and gives it a part of the packets:
 * connections of both would break.  So the first socket of an engine at a port is opened only after
 * an exclusive one could be opened there; those of the other shards find the port here.
 *
 * All functions: the caller holds `lock`. */
struct se_shared_ports {
    pthread_mutex_t lock;
    struct sb_link all;
};

void se_shared_ports_init(struct se_shared_ports *ports);

/* All sockets were counted out. */
void se_shared_ports_deinit(struct se_shared_ports *ports);

/* Returns whether the engine has sockets at `number`. */
bool se_shared_ports_has(const struct se_shared_ports *ports, uint16_t number);

/* Counts a socket in.  Returns 0 or -ENOMEM. */
SB_MUST_USE int se_shared_ports_add(struct se_shared_ports *ports, uint16_t number);

/* Counts a socket out, after it was closed. */
void se_shared_ports_remove(struct se_shared_ports *ports, uint16_t number);

#endif

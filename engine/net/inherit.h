/* SPDX-License-Identifier: MIT */
#ifndef SE_INHERIT_H
#define SE_INHERIT_H

#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/address.h"

struct spate_error;
struct spate_shard;

/* Where to listen: at an address, and maybe on sockets that the process was started with. */
struct se_listen_at {
    struct su_address address;
    const int *fds; /* borrowed; in the order in which they were bound.  NULL: none */
    uint32_t count;
};

/* Checks inherited sockets, and adds them to the shared ports of the shard's engine if it shares
 * ports: then the shards take them one by one.  Fills in their address.  Returns 0, or with
 * one line in `error`:
 *   -EBADF, -ENOTSOCK  a descriptor is not open, or no socket
 *   -EINVAL            a descriptor cannot be listened on, or not with the others, or there are
 *                      more than this engine can use
 *   -ENOMEM, -EMFILE   there is no memory, or no room for a descriptor */
SB_MUST_USE int se_inherit(struct spate_shard *shard, struct se_listen_at *at,
                           struct spate_error *error);

#endif

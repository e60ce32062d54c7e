/* SPDX-License-Identifier: MIT */
#ifndef SE_STRAY_H
#define SE_STRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/config/config.h"
#include "proto/base/compiler.h"

/* Datagrams that reached another shard than that of their connection.
 *
 * With several shards, the CIDs that we issue name their shard (engine/conn/cids.h), and the kernel
 * steers by that (uring/steer.h).  While a group of sockets changes, and where the kernel cannot
 * steer, a datagram may reach the wrong shard all the same.  So may any but the first of a GRO
 * buffer: the kernel joins what came between two addresses, whatever connections that belongs to,
 * and steers by the first.  That shard copies the strays of a buffer, together for each shard that
 * they belong to, and passes them on by a bounded queue.  It answers nothing: its Stateless Reset
 * would not be that of the connection.
 *
 * An engine that may hand its sockets over (engine/net/handover.h) also puts a tag of its own into
 * CIDs.  A datagram with the tag of another process that lives is dropped, and counted.
 *
 * A datagram that names the shard that it has reached is none.  So each goes one step at most. */

struct se_port;
struct se_stray;
struct se_unmatched;
struct spate_shard;
struct su_received;

enum {
    SE_STRAY_CID_AT = 1, /* place of the shard's index in a CID, if no load balancer reads it */
    SE_STRAYS_MAX = 256, /* buffers that may wait for a shard */
    SE_STRAY_NONE = 0xffff,
    SE_STRAY_OTHER = 0xfffe, /* of another process: nothing can be passed on to it */
};

/* Returns the shard of a datagram that has no connection here: another one, SE_STRAY_OTHER or
 * SE_STRAY_NONE. */
uint32_t se_stray_owner(const struct spate_shard *shard, const struct se_unmatched *unmatched);

/* The strays of one buffer: for each shard that has some, a copy of them.  `{.count = 0}`: none. */
struct se_strays {
    uint32_t count;
    struct se_stray *of[SE_SHARDS_MAX];
};

/* Copies a datagram of a buffer, which is a stray of shard `owner`.  Those of a buffer come in
 * their order. */
void se_strays_add(struct se_strays *strays, struct se_port *port,
                   const struct su_received *received, const uint8_t *data, uint32_t size,
                   uint32_t owner);

/* Passes the copies on to their shards. */
void se_strays_pass(struct se_strays *strays, struct spate_shard *shard);

/* Hands the doorbells of the passed buffers to the kernel, if there are any: with one system call,
 * before the shard works on its own datagrams. */
void se_strays_ring(struct spate_shard *shard);

/* Rings the eventfd of the shard with index `target`, whose doorbell the kernel has refused. */
void se_strays_ring_lost(struct spate_shard *shard, uint32_t target);

/* Takes what other shards have passed on, at most SE_STRAYS_MAX buffers. */
void se_strays_take(struct spate_shard *shard);

/* Drops what waits, and counts it.  From now on what other shards pass on is refused, and counts as
 * dropped there.  Call it on the thread of a shard that has ended. */
void se_strays_close(struct spate_shard *shard);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SE_TOMBSTONE_H
#define SE_TOMBSTONE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/wheel.h"
#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "proto/conn/tombstone.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

struct se_port;
struct spate_conn;
struct spate_shard;

/* The tombstones of a shard: closed connections that are remembered until they are drained, so that
 * their late packets are answered with CONNECTION_CLOSE, or not at all.
 *
 * They count against neither conns_max nor handshakes_max nor memory_bytes_max, because a peer that
 * has lost its connection must not keep others out.  Their number has a bound of its own; at the
 * bound the oldest one goes, and its packets are answered with Stateless Resets.
 *
 *     count == length of all <= made_count <= count_max
 *     made_count - count == length of the free chain */

enum {
    /* CIDs per tombstone: those that a connection issues, and the client's first one. */
    SE_TOMBSTONE_CIDS_MAX = SP_CIDS_MAX + 1,

    /* Tombstones per shard: about 4 MiB.  A server that ends 2,700 connections per second, each for
     * three seconds, just fills them. */
    SE_TOMBSTONES_MAX = 8192,
};

/* Returns the bound for a shard: a shard of few connections ends few. */
static inline uint32_t se_tombstones_max(uint32_t conns_max)
{
    return SB_MIN(conns_max, (SE_TOMBSTONES_MAX - 64) / 4u) * 4 + 64;
}

struct se_tombstone {
    struct sp_tombstone proto;
    struct se_port *port;
    struct sb_link link; /* se_tombstones.all */
    struct se_timer timer;
    uint32_t next_free; /* in the free chain */
    uint32_t cid_count;
    bool has_token; /* proto.token is in the shard's table */
    struct sp_cid cids[SE_TOMBSTONE_CIDS_MAX];
};

struct se_tombstones {
    struct se_tombstone
        *entries; /* an array of count_max; pages that were never used cost nothing */
    uint32_t count_max;
    uint32_t made_count; /* entries from this index on were never used */
    uint32_t count;
    uint32_t free;      /* head of the free chain, or SE_TABLE_NONE */
    struct sb_link all; /* the oldest first */
};

/* The shard's tables name connections by index, and tombstones by index and this bit. */
#define SE_TOMBSTONE_BIT (UINT32_C(1) << 30)

/* Makes room for the bound above.  Returns 0 or -ENOMEM. */
SB_MUST_USE int se_tombstones_init(struct se_tombstones *tombstones, uint32_t conns_max);
void se_tombstones_deinit(struct se_tombstones *tombstones); /* accepts all zero */

/* Replaces a connection by a tombstone, and frees it.  Returns false, and changes nothing but
 * routes, if sp_conn_bury() refuses. */
bool se_conn_bury(struct spate_conn *conn);

/* Returns the tombstone of a value of the shard's tables, or NULL if it names a connection. */
static inline struct se_tombstone *se_tombstone_of(const struct se_tombstones *tombstones,
                                                   uint32_t value)
{
    return (value & SE_TOMBSTONE_BIT) != 0 ? &tombstones->entries[value & ~SE_TOMBSTONE_BIT] : NULL;
}

/* Takes a datagram of `size` bytes that came to `port` by `path`, and answers it if that is due. */
void se_tombstone_receive(struct se_tombstone *tombstone, struct se_port *port,
                          const struct sp_path *path, size_t size);

/* Forgets a tombstone: its time is over. */
void se_tombstone_remove(struct spate_shard *shard, struct se_tombstone *tombstone);

#endif

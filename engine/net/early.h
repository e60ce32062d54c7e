/* SPDX-License-Identifier: MIT */
#ifndef SE_EARLY_H
#define SE_EARLY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/buffers.h"
#include "proto/base/time.h"
#include "proto/wire/types.h"

/* 0-RTT that came before its Initial, because the network has reordered them.  A few such datagrams
 * are kept for a moment: without them the client would send all of that again, a round trip later.
 * [RFC9000 5.2.2]
 *
 * What can be attacked: anybody can send what looks like 0-RTT.  SE_EARLY_MAX datagrams are kept
 * per shard, SE_EARLY_PER_CLIENT_MAX per connection ID, the first that come; engine/net/admit.c
 * keeps none while clients must prove their addresses or receive slots are short.  A full store
 * costs clients nothing but what it could have saved them. */

enum {
    SE_EARLY_MAX = 32, /* 64 KiB per shard */
    /* Of one client: a first window is ten datagrams, of which the Initial is one. */
    SE_EARLY_PER_CLIENT_MAX = 9,
};

/* Reordering moves packets by less. */
#define SE_EARLY_AGE_NS (100 * SB_MS)

struct se_early_item {
    struct sb_buffer *copy; /* holds a reference */
    uint8_t *data;
    uint32_t size;
    enum sp_ecn ecn;
    struct sp_path path;
    struct sp_cid dcid; /* that the client has chosen */
    uint64_t since_ns;
};

/* Zeroed memory is an empty one.  The oldest item is first. */
struct se_early {
    uint32_t count;
    struct se_early_item items[SE_EARLY_MAX];
};

/* Copies `item->data` and keeps it.  Returns false at a limit or without memory. */
bool se_early_keep(struct se_early *early, struct se_buffers *buffers,
                   const struct se_early_item *item);

/* Takes the oldest of a client out.  Its reference is the caller's then.  Returns false if there is
 * none that came from `path` to `dcid`. */
bool se_early_take(struct se_early *early, const struct sp_path *path, const struct sp_cid *dcid,
                   struct se_early_item *ret);

/* Drops those that are too old at `now_ns`; SB_NEVER drops all. */
void se_early_expire(struct se_early *early, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: MIT */
#include "engine/conn/tombstone.h"

/* Closed connections: made from live ones, found by their CIDs, forgotten by their timers. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/config/config.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

_Static_assert(SE_CONNS_MAX < SE_TOMBSTONE_BIT, "the bit is free");
_Static_assert(sizeof(struct se_tombstone) <= 640, "a few hundred bytes");

int se_tombstones_init(struct se_tombstones *tombstones, uint32_t conns_max)
{
    *tombstones = (struct se_tombstones){
        .count_max = se_tombstones_max(conns_max),
        .free = SE_TABLE_NONE,
    };
    sb_list_init(&tombstones->all);
    tombstones->entries = calloc(tombstones->count_max, sizeof(tombstones->entries[0]));
    return tombstones->entries != NULL ? 0 : -ENOMEM;
}

void se_tombstones_deinit(struct se_tombstones *tombstones)
{
    free(tombstones->entries);
    *tombstones = (struct se_tombstones){0};
}

static uint32_t index_of(const struct se_tombstones *tombstones,
                         const struct se_tombstone *tombstone)
{
    return (uint32_t)(tombstone - tombstones->entries);
}

/* Returns a free entry; the oldest tombstone makes room for it if there is none. */
static struct se_tombstone *take(struct spate_shard *shard)
{
    struct se_tombstones *tombstones = &shard->tombstones;
    if (tombstones->count == tombstones->count_max) {
        struct sb_link *oldest = sb_list_first(&tombstones->all);
        se_tombstone_remove(shard, SB_CONTAINER_OF(oldest, struct se_tombstone, link));
        shard->counts.own.draining_evicted++;
    }
    uint32_t index = tombstones->free;
    if (index != SE_TABLE_NONE)
        tombstones->free = tombstones->entries[index].next_free;
    else
        index = tombstones->made_count++;
    SB_ASSERT(index < tombstones->count_max);
    tombstones->count++;
    return &tombstones->entries[index];
}

/* Makes packets to the tombstone's CIDs, and resets with its token, find it. */
static void route(struct spate_shard *shard, struct se_tombstone *tombstone)
{
    uint32_t value = index_of(&shard->tombstones, tombstone) | SE_TOMBSTONE_BIT;
    for (uint32_t i = 0; i < tombstone->cid_count; i++) {
        const struct sp_cid *cid = &tombstone->cids[i];
        int error = se_table_insert(&shard->cids, cid->bytes, cid->size, value);
        SB_ASSERT(error == 0); /* it was the connection's until now */
    }
    /* Another connection may have the token already: se_conn_add_token(). */
    tombstone->has_token =
        tombstone->proto.has_token &&
        se_table_insert(&shard->tokens, tombstone->proto.token, SP_RESET_TOKEN_SIZE, value) == 0;
}

bool se_conn_bury(struct spate_conn *conn)
{
    struct spate_shard *shard = conn->shard;
    struct sp_tombstone proto;
    if (!sp_conn_bury(conn->proto, &proto))
        return false;
    se_conn_route(conn);
    SB_ASSERT(conn->cid_count <= SE_TOMBSTONE_CIDS_MAX);
    struct se_tombstone *tombstone = take(shard);
    *tombstone = (struct se_tombstone){
        .proto = proto,
        .port = conn->port,
        .cid_count = conn->cid_count,
    };
    memcpy(tombstone->cids, conn->cids, conn->cid_count * sizeof(conn->cids[0]));
    tombstone->port->tombstone_count++;
    se_conn_destroy(conn);
    route(shard, tombstone);

    sb_list_init(&tombstone->link);
    sb_list_push_back(&shard->tombstones.all, &tombstone->link);
    se_timer_init(&tombstone->timer);
    tombstone->timer.kind = SE_TIMER_TOMBSTONE;
    se_wheel_set(&shard->wheel, &tombstone->timer, proto.end_at_ns);
    return true;
}

void se_tombstone_remove(struct spate_shard *shard, struct se_tombstone *tombstone)
{
    struct se_tombstones *tombstones = &shard->tombstones;
    uint32_t index = index_of(tombstones, tombstone);
    for (uint32_t i = 0; i < tombstone->cid_count; i++) {
        const struct sp_cid *cid = &tombstone->cids[i];
        bool was_there =
            se_table_remove(&shard->cids, cid->bytes, cid->size, index | SE_TOMBSTONE_BIT);
        SB_ASSERT(was_there);
    }
    if (tombstone->has_token) {
        bool was_there = se_table_remove(&shard->tokens, tombstone->proto.token,
                                         SP_RESET_TOKEN_SIZE, index | SE_TOMBSTONE_BIT);
        SB_ASSERT(was_there);
    }
    se_wheel_remove(&shard->wheel, &tombstone->timer);
    sb_list_remove(&tombstone->link);
    SB_ASSERT(tombstone->port->tombstone_count > 0 && tombstones->count > 0);
    tombstone->port->tombstone_count--;
    tombstone->port->idle_since_ns = shard->now_ns;
    tombstones->count--;
    tombstone->next_free = tombstones->free;
    tombstones->free = index;
}

void se_tombstone_receive(struct se_tombstone *tombstone, struct se_port *port,
                          const struct sp_path *path, size_t size)
{
    struct sp_tombstone *proto = &tombstone->proto;
    if (sp_tombstone_receive(proto, &path->remote, size))
        se_shard_send_stray(port, path, proto->packet, proto->packet_size);
}

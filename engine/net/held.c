/* SPDX-License-Identifier: MIT */
#include "engine/net/held.h"

/* What is kept leaves the arrays of the turn and comes back into those of a later one, so that
 * se_rx_deliver() sees one chain for each connection, whenever its datagrams came.  A move costs
 * some 10 ns, and a copy 50, where the work that waits takes 100 us. */

#include "engine/shard/shard.h"
#include "proto/base/assert.h"

bool se_held_is_handshake(const struct spate_conn *conn)
{
    return conn->state <= SE_CONN_HANDSHAKING;
}

uint32_t se_held_count(const struct se_rx *rx, const struct sb_link *conns)
{
    uint32_t count = 0;
    SB_LIST_EACH(link, conns) {
        const struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, rx_link);
        for (uint32_t at = conn->rx_first; at != SE_RX_NONE; at = rx->items[at].next)
            count++;
    }
    return count;
}

/* Returns false without memory: what was copied before is the turn's, as it was. */
static bool copy_all(struct spate_shard *shard, struct spate_conn *conn)
{
    struct se_rx *rx = &shard->rx;
    for (uint32_t at = conn->rx_first; at != SE_RX_NONE; at = rx->items[at].next) {
        struct se_rx_item *item = &rx->items[at];
        if (item->copy != NULL)
            continue;
        item->copy = se_buffers_copy(&shard->copies, item->data, item->size, &item->data);
        if (item->copy == NULL)
            return false;
        shard->counts.own.copied_in_bytes += item->size;
    }
    return true;
}

bool se_held_keep(struct spate_shard *shard, struct spate_conn *conn)
{
    struct se_rx *rx = &shard->rx;
    if (!copy_all(shard, conn))
        return false;
    for (uint32_t at = conn->rx_first; at != SE_RX_NONE; at = rx->items[at].next) {
        struct se_rx_item *item = &rx->items[at];
        const struct se_rx_source *source = &rx->sources[item->source];
        SB_ASSERT(rx->held_count < SE_RX_HELD_MAX);
        rx->held[rx->held_count++] = (struct se_rx_held){
            .conn = conn,
            .copy = item->copy,
            .data = item->data,
            .size = item->size,
            .ecn = source->ecn,
            .path = source->path,
            .since_ns = sb_time_since(shard->now_ns, source->waited_ns),
        };
        item->copy = NULL; /* its reference has moved */
    }
    conn->rx_first = SE_RX_NONE;
    return true;
}

/* Puts an item before the others of its connection. */
static void prepend(struct spate_shard *shard, const struct se_rx_held *held)
{
    struct se_rx *rx = &shard->rx;
    struct spate_conn *conn = held->conn;
    uint32_t source = rx->source_count++;
    uint32_t at = rx->item_count++;
    rx->sources[source] = (struct se_rx_source){
        .path = held->path,
        .ecn = held->ecn,
        .waited_ns = sb_time_since(shard->now_ns, held->since_ns),
    };
    rx->items[at] = (struct se_rx_item){
        .data = held->data,
        .size = held->size,
        .copy = held->copy,
        .source = (uint16_t)source,
        .next = conn->rx_first,
    };
    if (conn->rx_first == SE_RX_NONE)
        conn->rx_last = (uint16_t)at;
    conn->rx_first = (uint16_t)at;
}

void se_held_give(struct spate_shard *shard, struct sb_link *handshakes)
{
    struct se_rx *rx = &shard->rx;
    while (rx->held_count > 0) {
        struct spate_conn *conn = rx->held[rx->held_count - 1].conn;
        prepend(shard, &rx->held[--rx->held_count]);
        sb_list_remove(&conn->rx_link);
        sb_list_push_front(se_held_is_handshake(conn) ? handshakes : &rx->conns, &conn->rx_link);
    }
}

void se_held_forget(struct se_rx *rx, struct spate_conn *conn)
{
    uint32_t kept = 0;
    sb_list_remove(&conn->rx_link);
    for (uint32_t i = 0; i < rx->held_count; i++) {
        if (rx->held[i].conn == conn)
            sb_buffer_unref(rx->held[i].copy);
        else
            rx->held[kept++] = rx->held[i];
    }
    rx->held_count = kept;
}

/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard.h"

/* A shard's memory between its connections.
 *
 * Blocks that pools do not need any more go back after a second or two: at once would mean that a
 * load which goes up and down allocates all the time.  When memory runs out they go at once.
 *
 * When memory becomes short, the following happens, in this order:
 *
 *     3/4 of the ordinary part are used   Connections above their share, the ordinary part divided
 *                                         by the number of connections, give no more credit.
 *     7/8 of the ordinary part            New connections are refused, unless a connection holds
 *                                         much more than its share.
 *     all of the ordinary part            What is ordinary is refused: the application's bytes,
 *                                         the peer's bytes and streams.  The connection that holds
 *                                         most, if that is much more than its share, is closed with
 *                                         INTERNAL_ERROR, so that the others go on; then the next.
 *     3/4 of the reserve as well          New connections are refused.
 *     all of it                           A connection that needs memory ends with INTERNAL_ERROR.
 *
 * What is closed is the worst holder and not the one that was refused: the one that asks last is
 * rarely the one that took the memory.  But none is closed so that a newcomer gets its place: among
 * connections that hold about equally much, it is the newcomer that takes more than its share.  So
 * the last 8th of the ordinary part is for those that are there already, to grow and to work.  What
 * a handshake needs for itself only does not count against that: it comes back. */

#include "proto/base/assert.h"

/* Between two trims: longer than the ups and downs of a load, which must not allocate. */
#define TRIM_NS SB_S

/* A connection that was closed has so long to give its memory back, before another one is. */
#define RELIEF_NS (200 * SB_MS)

/* What a connection may hold above its share without being the worst holder: about what one that
 * is in use holds more than an idle one, with some streams.  Closing it would gain no more. */
#define TOLERANCE_BYTES (16 * 1024u)

/* The worst holder is looked for among all connections: not for each packet of a newcomer. */
#define LOOK_NS (50 * SB_MS)

/* ---- Shares ---- */

/* Returns the bytes in use, without the blocks that would be given back if they were needed. */
static uint64_t used_bytes(const struct spate_shard *shard)
{
    return shard->memory.now_bytes - shard->memory.interface.empty_bytes;
}

static uint64_t share_bytes(const struct spate_shard *shard)
{
    uint64_t bytes = se_memory_bound(&shard->memory, SE_NEED_ORDINARY);
    return bytes / SB_MAX(shard->conn_count, 1u);
}

/* Memory is short from 3/4 of the ordinary part on, and then down to 5/8, so that credit is not
 * held back and given in turns. */
static void update_share(struct spate_shard *shard)
{
    uint64_t bound = se_memory_bound(&shard->memory, SE_NEED_ORDINARY);
    uint64_t limit = shard->relief.is_short ? bound / 8 * 5 : bound / 4 * 3;
    shard->relief.is_short = used_bytes(shard) > limit;
    shard->pools.share_bytes = shard->relief.is_short ? share_bytes(shard) : UINT64_MAX;
}

/* ---- Relief ---- */

/* Returns the connection that holds most, or NULL if none holds much more than its share. */
static struct spate_conn *worst_owner(struct spate_shard *shard)
{
    uint64_t most = share_bytes(shard) + TOLERANCE_BYTES;
    struct spate_conn *worst = NULL;
    SB_LIST_EACH(link, &shard->all) {
        struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, all_link);
        uint64_t bytes = se_conn_memory_bytes(conn);
        if (bytes <= most || sp_conn_is_closed(conn->proto))
            continue;
        most = bytes;
        worst = conn;
    }
    shard->relief.is_unfair = worst != NULL;
    shard->relief.look_at_ns = sb_time_add(shard->now_ns, LOOK_NS);
    return worst;
}

/* Returns whether a connection holds, or held a moment ago, much more than its share. */
static bool is_unfair(struct spate_shard *shard)
{
    if (shard->now_ns >= shard->relief.look_at_ns)
        (void)worst_owner(shard);
    return shard->relief.is_unfair;
}

/* Closes the worst holder if something was refused since the last call. */
static void relieve(struct spate_shard *shard)
{
    struct se_relief *relief = &shard->relief;
    bool is_waiting = shard->now_ns < relief->next_at_ns;
    if (shard->memory.refusals == relief->refusals ||
        (is_waiting && se_conn_of_id(shard, relief->victim) != NULL) ||
        (shard->now_ns < relief->look_at_ns && !relief->is_unfair))
        return;
    relief->refusals = shard->memory.refusals;
    struct spate_conn *conn = worst_owner(shard);
    if (conn == NULL)
        return;
    relief->victim = conn->id;
    relief->next_at_ns = sb_time_add(shard->now_ns, RELIEF_NS);
    shard->counts.own.conns_shed++;
    sp_conn_close_transport(conn->proto, SP_ERR_INTERNAL,
                            "memory is short, and it holds most of it", shard->now_ns);
    se_conn_touch(conn);
    se_conn_drain(conn);
}

/* ---- New connections ---- */

/* Makes room in the tables for everything by which one connection more can be found. */
static bool reserve_routes(struct spate_shard *shard)
{
    uint32_t count = shard->conn_count + 1;
    uint32_t closed_count = shard->tombstones.count;
    return se_table_reserve(&shard->cids,
                            count * SE_CONN_CIDS_MAX + closed_count * SE_TOMBSTONE_CIDS_MAX) &&
           se_table_reserve(&shard->tokens, count * SE_CONN_TOKENS_USUAL + closed_count);
}

bool se_shard_has_room_for_conn(struct spate_shard *shard)
{
    uint64_t bound = se_memory_bound(&shard->memory, SE_NEED_ORDINARY);
    SB_ASSERT(shard->tls_bytes <= shard->memory.now_bytes);
    return se_memory_has_room(&shard->memory, SE_TLS_BYTES, SE_NEED_CONN) &&
           (used_bytes(shard) - shard->tls_bytes <= bound / 8 * 7 || is_unfair(shard)) &&
           reserve_routes(shard);
}

/* ---- Once per turn ---- */

/* Returns true if there are no connections, and nothing is left of closed ones: with one of them
 * the tables keep the room that it was promised. */
static bool is_unused(const struct spate_shard *shard)
{
    return shard->conn_count == 0 && shard->tombstones.count == 0;
}

void se_shard_on_memory_timer(struct spate_shard *shard)
{
    bool is_more = se_memory_trim(&shard->memory);
    shard->trimmed_empty_bytes = shard->memory.interface.empty_bytes;
    if (is_unused(shard)) {
        se_table_shrink(&shard->cids);
        se_table_shrink(&shard->tokens);
    }
    if (is_more)
        se_wheel_set(&shard->wheel, &shard->memory_timer, sb_time_add(shard->now_ns, TRIM_NS));
}

/* Returns true if there may be memory to give back that is not known to be of use. */
static bool has_spare(const struct spate_shard *shard)
{
    return shard->memory.interface.empty_bytes != shard->trimmed_empty_bytes ||
           (is_unused(shard) &&
            (se_table_can_shrink(&shard->cids) || se_table_can_shrink(&shard->tokens)));
}

void se_shard_maintain_memory(struct spate_shard *shard)
{
    if (has_spare(shard) && !se_timer_is_armed(&shard->memory_timer))
        se_wheel_set(&shard->wheel, &shard->memory_timer, sb_time_add(shard->now_ns, TRIM_NS));
    update_share(shard);
    if (SB_UNLIKELY(shard->memory.refusals != shard->relief.refusals))
        relieve(shard);
}

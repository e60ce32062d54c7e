/* SPDX-License-Identifier: MIT */
#include "proto/conn/memory.h"

/* What a connection holds, and how a lack of memory ends.
 *
 * While memory is short, a connection that holds more than its share gives the peer no more credit,
 * so that what it holds cannot grow.  It looks again once per PTO.  What waits for memory may wait
 * for SP_MEMORY_PATIENCE_NS: then the connection ends with INTERNAL_ERROR.  So nothing waits in
 * silence until the idle timeout:
 *
 *     SP_SHORT_OF_RECORDS  packets cannot be recorded, and so not sent
 *     SP_SHORT_OF_ROOM     packets of the peer are dropped: no room for their frames
 *     SP_SHORT_OF_CREDIT   the peer has used up all its credit and gets none
 *
 * Windows grow with the bandwidth-delay product.  All credit that is given may be used, by many
 * small fragments that hold up to SP_HELD_BYTES_PER_CREDIT_MAX bytes for one.  So what windows have
 * beyond their first size is promised out of one bound for all connections, and a connection gets
 * WIDEN_FACTOR times as much as is left: one alone nearly all, n of them as much each.  That is the
 * dynamic threshold of A. Choudhury and E. Hahne (1998).  The windows of streams need no bound of
 * their own, because the connection's holds for all of them together. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/messages.h"
#include "proto/conn/schedule.h"

uint64_t sp_conn_held_bytes(const struct sp_conn *conn)
{
    return conn->pieces.holding->held_bytes + conn->handed_bytes;
}

uint64_t sp_conn_unused_credit(const struct sp_conn *conn)
{
    return conn->window.limit - conn->window.received;
}

uint64_t sp_conn_stream_window_bytes(const struct sp_conn *conn, uint64_t id)
{
    const struct sp_stream *stream = sp_stream_map_find(&conn->streams, id);
    return stream != NULL ? stream->recv.window.size : 0;
}

uint64_t sp_conn_rtt_ns(const struct sp_conn *conn)
{
    return conn->loss.path->rtt.smoothed_ns;
}

uint64_t sp_conn_packets_in(const struct sp_conn *conn)
{
    return conn->stats.packets_in;
}

uint64_t sp_conn_memory_bytes(const struct sp_conn *conn)
{
    const struct sp_stores *stores = &conn->stores;
    uint64_t own = conn->pools->conns.object_size;
    if (conn->handshake != NULL)
        own += conn->pools->handshakes.object_size;
    if (conn->early != NULL)
        own += conn->pools->earlies.object_size;
    for (uint32_t i = 0; i < SP_PATHS_MAX && conn->path_count > 1; i++) {
        const struct sp_conn_path *path = conn->paths[i];
        if (path != NULL && path != &conn->first_path)
            own += conn->pools->paths.object_size;
        if (path != NULL && path->validation != NULL)
            own += conn->pools->validations.object_size;
    }
    for (uint32_t i = 0; i < SP_PATHS_MAX && conn->config->cc_kind == SP_CC_BBR; i++) {
        const struct sp_conn_path *path = conn->paths[i];
        if (path != NULL && path->loss.cc.ops == &sp_cc_bbr_ops)
            own += conn->pools->models.object_size;
    }
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if (conn->paths[i] != NULL && conn->paths[i]->loss.cc.careful != NULL)
            own += conn->pools->careful.object_size;
    return own + sb_store_bytes(&stores->streams) + sb_store_bytes(&stores->chunks) +
           sb_store_bytes(&stores->ranges) + sb_store_bytes(&stores->packets) +
           sb_store_bytes(&stores->frames) + sb_store_bytes(&stores->acks) +
           sp_stream_map_bytes(&conn->streams) + sp_conn_held_bytes(conn) +
           sp_conn_messages_bytes(conn) + sp_schedule_bytes(conn);
}

void sp_conn_note_shortage(struct sp_conn *conn, enum sp_shortage what, uint64_t now_ns)
{
    uint64_t *since_ns = &conn->short_since_ns[what];
    if (*since_ns == SB_NEVER)
        *since_ns = now_ns;
    else if (sb_time_since(now_ns, *since_ns) >= SP_MEMORY_PATIENCE_NS)
        conn->is_out_of_memory = true;
}

/* ---- Windows ---- */

/* A connection may have so many times the bytes that nobody has: 8/9 of all if it is alone. */
#define WIDEN_FACTOR 8

/* The round trip that windows are sized by.  Queues count up to as much again as the path:
 * beyond that they are rather the window's own work, which more window would only make longer. */
static uint64_t window_rtt_ns(const struct sp_conn *conn)
{
    const struct sp_rtt *rtt = &conn->loss.path->rtt;
    return SB_MIN(rtt->smoothed_ns, 2 * rtt->min_ns);
}

static uint64_t widened_bytes(const struct sp_conn *conn)
{
    return conn->window.size - conn->config->conn_window_bytes;
}

/* Returns the size that the connection's window may have now. */
static uint64_t window_size_max(const struct sp_conn *conn)
{
    const struct sp_config *config = conn->config;
    const struct sp_pools *pools = conn->pools;
    if (SB_LIKELY(pools->widen_bytes_max == UINT64_MAX))
        return config->conn_window_bytes_max;
    uint64_t of_others = pools->widened_bytes - widened_bytes(conn);
    uint64_t left = pools->widen_bytes_max - SB_MIN(pools->widen_bytes_max, of_others);
    uint64_t room = left / (WIDEN_FACTOR + 1) * WIDEN_FACTOR;
    return config->conn_window_bytes +
           SB_MIN(room, config->conn_window_bytes_max - config->conn_window_bytes);
}

uint64_t sp_conn_raise_limit(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_window *window = &conn->window;
    uint64_t before = widened_bytes(conn);
    SB_ASSERT(before <= conn->pools->widened_bytes);
    window->size_max = window_size_max(conn);
    (void)sp_window_update(window, 0, window_rtt_ns(conn), now_ns);
    conn->pools->widened_bytes += widened_bytes(conn) - before;
    return window->limit;
}

/* A stream whose window has room for what waits would have no use of it if the connection's window
 * had none. */
uint64_t sp_conn_raise_stream_limit(struct sp_conn *conn, struct sp_stream_recv *recv,
                                    uint64_t now_ns)
{
    uint64_t held_bytes = sp_stream_recv_held_bytes(recv), size = recv->window.size;
    uint64_t limit = sp_window_update(&recv->window, held_bytes, window_rtt_ns(conn), now_ns);
    if (recv->window.size <= SB_MAX(size, conn->window.size))
        return limit;
    uint64_t before = widened_bytes(conn);
    conn->window.size_max = window_size_max(conn);
    sp_window_widen(&conn->window, recv->window.size);
    conn->pools->widened_bytes += widened_bytes(conn) - before;
    conn->wants_max_data |= sp_window_wants_update(&conn->window);
    return limit;
}

void sp_conn_narrow_window(struct sp_conn *conn)
{
    uint64_t bytes = widened_bytes(conn);
    SB_ASSERT(bytes <= conn->pools->widened_bytes);
    conn->pools->widened_bytes -= bytes;
    conn->window.size -= bytes;
}

/* ---- Credit ---- */

void sp_conn_decide_credit(struct sp_conn *conn)
{
    uint64_t share_bytes = conn->pools->share_bytes;
    bool was_held = conn->holds_credit;
    conn->holds_credit = share_bytes != UINT64_MAX && sp_conn_memory_bytes(conn) > share_bytes;
    if (!was_held || conn->holds_credit)
        return;
    sp_conn_end_shortage(conn, SP_SHORT_OF_CREDIT);
    for (struct sb_link *link; (link = sb_list_pop_front(&conn->held_list)) != NULL;)
        sb_list_push_back(&conn->control_list, link);
}

bool sp_conn_is_credit_held(const struct sp_conn *conn)
{
    return conn->holds_credit &&
           (conn->wants_max_data || conn->limits[false].grant == SP_GRANT_DUE ||
            conn->limits[true].grant == SP_GRANT_DUE || !sb_list_is_empty(&conn->held_list));
}

/* Returns whether the peer may be unable to send for lack of the credit that is held back. */
static bool is_peer_blocked(const struct sp_conn *conn)
{
    if (conn->wants_max_data && conn->window.received == conn->window.limit)
        return true;
    for (uint32_t i = 0; i < 2; i++)
        if (conn->limits[i].grant == SP_GRANT_DUE &&
            conn->limits[i].remote_opened == conn->limits[i].remote_max)
            return true;
    for (struct sb_link *link = conn->held_list.next; link != &conn->held_list; link = link->next) {
        const struct sp_stream_recv *recv =
            &SB_CONTAINER_OF(link, struct sp_stream, control_link)->recv;
        if (recv->state == SP_RECV_OPEN && recv->window.received == recv->window.limit)
            return true;
    }
    return false;
}

void sp_conn_hold_credit(struct sp_conn *conn, uint64_t now_ns)
{
    SB_ASSERT(conn->holds_credit);
    if (is_peer_blocked(conn))
        sp_conn_note_shortage(conn, SP_SHORT_OF_CREDIT, now_ns);
    else
        sp_conn_end_shortage(conn, SP_SHORT_OF_CREDIT);
    conn->retry_at_ns = sb_time_add(now_ns, sp_loss_pto_ns(&conn->loss));
}

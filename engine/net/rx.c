/* SPDX-License-Identifier: MIT */
#include "engine/net/rx.h"

/* Receive: completions -> datagrams -> connections.
 *
 * First all datagrams of a batch of completions are routed and chained by connection, then each
 * connection receives its chain at once.  Datagrams of one buffer come from one peer and mostly
 * belong to one connection, so there is one look-up per run of equal CIDs.
 *
 * A slice pins the receive slot that it points into.  A connection keeps slices that it cannot
 * deliver yet, and the application keeps slices for any time.  Slots of which connections keep
 * little are freed after each batch, by sp_pools_compact(); the application gets no slices of less
 * than SP_PAGE_SIZE bytes in a slot.  When few slots are free all the same, datagrams are copied
 * into buffers of their own size:
 *
 *     fewer than 1/2 of the slots are free   buffers that hold up to 2 KiB are copied, because a
 *                                            few bytes must not pin 64 KiB
 *     fewer than 1/4                         all datagrams are copied; without memory for the copy
 *                                            they are processed, but bytes that would have to wait
 *                                            in the slot are dropped: acknowledgments, credit and
 *                                            closes are what frees the other slots
 *     none                                   packets wait in the socket's buffer
 *
 * A handshake takes a hundred times as long as a request, so the others are served first; and while
 * some of them are no newcomers (SE_RX_NEWCOMER_TICKS), a turn does the work of about one
 * handshake. What is left waits for the next turn, as copies (engine/net/held.h), so it pins no
 * slot.  A turn that has served others does none at all, because their answers leave in the next
 * one; but never two such turns follow each other, and with SE_RX_HELD_MAX datagrams waiting, or
 * without memory for the copies, a turn does as many as it must.  So a flood finds the limits that
 * it would find without this, and the order among handshakes is that of their arrival.  Where there
 * is nobody to protect, a turn does all: in batches a handshake costs 5 to 12 % less. */

#include <string.h>

#include "engine/base/path.h"
#include "engine/config/config.h"
#include "engine/net/held.h"
#include "engine/net/stray.h"
#include "engine/shard/prefetch.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

/* The least that one datagram takes of a socket's buffer, the kernel's own structures included; and
 * the buffer that a system gives without being asked. */
#define KERNEL_BUFFER_BYTES_MIN 512
#define SYSTEM_BUFFER_BYTES     (256 << 10)

/* The CID of the previous datagram, and its connection. */
struct run {
    const uint8_t *cid;
    struct spate_conn *conn;
    uint32_t stray_owner; /* SE_STRAY_NONE: it was no stray */
};

enum copy_rule {
    COPY_NONE,
    COPY_SMALL_BUFFERS,
    COPY_ALL,
};

static enum copy_rule copy_rule_of(const struct su_bufring *bufring)
{
    uint32_t free_count = su_bufring_free_count(bufring);
    if (free_count < bufring->slot_count / 4)
        return COPY_ALL;
    return free_count < bufring->slot_count / 2 ? COPY_SMALL_BUFFERS : COPY_NONE;
}

/* ---- routing ---- */

/* Returns the connection or tombstone that a datagram without a known CID resets, SE_TABLE_NONE if
 * it is no Stateless Reset for any.  [RFC9000 10.3.1] */
static uint32_t find_reset(const struct spate_shard *shard, const uint8_t *data, size_t size)
{
    const uint8_t *token = sp_reset_token_in(data, size);
    if (token == NULL)
        return SE_TABLE_NONE;
    return se_table_find(&shard->tokens, token, SP_RESET_TOKEN_SIZE);
}

static void on_reset(struct spate_shard *shard, uint32_t value)
{
    struct se_tombstone *tombstone = se_tombstone_of(&shard->tombstones, value);
    if (tombstone != NULL) {
        sp_tombstone_on_stateless_reset(&tombstone->proto);
        return;
    }
    struct spate_conn *conn = shard->slots[value].conn;
    sp_conn_on_stateless_reset(conn->proto, shard->now_ns);
    se_conn_touch(conn);
}

/* Routes a datagram by its header: with a connection or a tombstone there is no Stateless Reset
 * [RFC9000 11].  Returns NULL for one that is handled or dropped: by a
 * tombstone, or as a Stateless Reset, which ends its connection here, because no CID leads to that;
 * or for one of another shard, `*ret_owner`. */
static SB_NEVER_INLINE struct spate_conn *route_slow(struct se_unmatched *unmatched,
                                                     uint32_t *ret_owner)
{
    struct spate_shard *shard = unmatched->port->shard;
    uint8_t cid_size = shard->own_cids.form.size;
    if (!sp_peek_read(unmatched->data, unmatched->size, cid_size, &unmatched->peek)) {
        shard->counts.own.unroutable++;
        return NULL;
    }
    const struct sb_bytes *dcid = &unmatched->peek.dcid;
    uint32_t value = se_table_find(&shard->cids, dcid->data, dcid->size);
    if (value != SE_TABLE_NONE) {
        struct se_tombstone *tombstone = se_tombstone_of(&shard->tombstones, value);
        if (tombstone == NULL)
            return shard->slots[value].conn;
        se_tombstone_receive(tombstone, unmatched->port, unmatched->path, unmatched->size);
        return NULL;
    }

    uint32_t reset = SE_TABLE_NONE;
    if (!unmatched->peek.is_long)
        reset = find_reset(shard, unmatched->data, unmatched->size);
    if (reset != SE_TABLE_NONE) {
        on_reset(shard, reset);
        return NULL;
    }
    uint32_t owner = se_stray_owner(shard, unmatched);
    if (SB_UNLIKELY(owner == SE_STRAY_OTHER)) {
        shard->counts.own.strays_of_others++;
        return NULL;
    }
    *ret_owner = owner;
    return owner == SE_STRAY_NONE ? se_admit(shard, unmatched) : NULL;
}

static bool is_short(const uint8_t *data, size_t size, uint32_t cid_size)
{
    return size > cid_size && (data[0] & SP_HEADER_LONG) == 0;
}

/* Routes a datagram as nearly all are: with a short header, and the CID of a connection. */
static struct spate_conn *route_short(struct spate_shard *shard, const uint8_t *data, uint32_t size)
{
    uint32_t cid_size = shard->own_cids.form.size;
    if (SB_UNLIKELY(!is_short(data, size, cid_size)))
        return NULL;
    uint32_t value = se_table_find_again(&shard->cids, data + 1, cid_size);
    bool is_conn = value != SE_TABLE_NONE && se_tombstone_of(&shard->tombstones, value) == NULL;
    return SB_LIKELY(is_conn) ? shard->slots[value].conn : NULL;
}

static bool is_same_cid(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    return SB_LIKELY(size == SE_CID_SIZE) ? memcmp(a, b, SE_CID_SIZE) == 0
                                          : memcmp(a, b, size) == 0;
}

static struct spate_conn *route(struct se_port *port, const struct se_rx_source *source,
                                uint8_t *data, uint32_t size, struct run *run)
{
    uint32_t cid_size = port->shard->own_cids.form.size;
    if (is_short(data, size, cid_size) && run->cid != NULL &&
        is_same_cid(run->cid, data + 1, cid_size))
        return run->conn;

    run->stray_owner = SE_STRAY_NONE;
    struct spate_conn *conn = route_short(port->shard, data, size);
    if (SB_UNLIKELY(conn == NULL)) {
        struct se_unmatched unmatched = {
            .port = port, .path = &source->path, .data = data, .size = size, .ecn = source->ecn};
        conn = route_slow(&unmatched, &run->stray_owner);
    }
    run->cid = conn != NULL && is_short(data, size, cid_size) ? data + 1 : NULL;
    run->conn = conn;
    return conn;
}

/* ---- delivery ---- */

/* Moves up to SP_BATCH_MAX items of a chain into `batch`; returns how many. */
static uint32_t gather(struct se_rx *rx, struct spate_conn *conn, struct sp_datagram *batch)
{
    uint32_t count = 0;
    uint32_t at = conn->rx_first;
    for (; at != SE_RX_NONE && count < SP_BATCH_MAX; at = rx->items[at].next) {
        const struct se_rx_item *item = &rx->items[at];
        const struct se_rx_source *source = &rx->sources[item->source];
        batch[count++] = (struct sp_datagram){
            .data = item->data,
            .size = item->size,
            .buffer = item->copy != NULL ? item->copy : source->buffer,
            .path = source->path,
            .ecn = source->ecn,
            .waited_ns = source->waited_ns,
            .is_transient = item->is_transient,
        };
    }
    conn->rx_first = (uint16_t)at;
    return count;
}

/* Decides on a server's new connection after its first batch.  Returns false if it was destroyed.
 */
static bool begin(struct spate_conn *conn)
{
    struct spate_shard *shard = conn->shard;
    if (!sp_conn_is_authenticated(conn->proto)) {
        struct sp_stats stats;
        sp_conn_stats(conn->proto, &stats);
        if (stats.packets_in > 0)
            shard->counts.own.initials_without_hello++;
        if (conn->token_mark != 0)
            se_retry_forget(&shard->retry, conn->token_mark);
        se_conn_destroy(conn);
        return false;
    }
    if (conn->token_mark != 0)
        se_retry_use(&shard->retry, conn->token_mark);
    se_conn_advance(conn, SE_CONN_HANDSHAKING);
    return true;
}

/* The latest that it knows, if none was recorded of it since. */
static SB_NEVER_INLINE void record_acked(struct spate_shard *shard, struct spate_conn *conn)
{
    uint64_t acked_after_ns = sp_conn_take_acked_after_ns(conn->proto);
    if (acked_after_ns != 0)
        se_stages_record(&shard->stages, SE_HISTOGRAM_acknowledge_ns, acked_after_ns);
}

/* Returns false if the connection was destroyed. */
static bool deliver_to(struct spate_conn *conn)
{
    struct spate_shard *shard = conn->shard;
    struct sp_datagram batch[SP_BATCH_MAX];
    while (conn->rx_first != SE_RX_NONE) {
        uint32_t count = gather(&shard->rx, conn, batch);
        sp_conn_receive(conn->proto, batch, count, shard->now_ns);
        if (SB_UNLIKELY(se_stages_is_recorded(&shard->stages)))
            record_acked(shard, conn);
        /* What came is taken while it is in the cache, and never much waits in reassembly. */
        if (conn->rx_first != SE_RX_NONE && conn->state == SE_CONN_CONNECTED)
            se_conn_drain(conn);
    }
    if (conn->state == SE_CONN_NEW && !begin(conn))
        return false;
    if (conn->state == SE_CONN_HANDSHAKING && se_conn_is_budgeted(conn) &&
        sp_conn_is_address_valid(conn->proto))
        se_budget_prove(&shard->budget, &conn->handshake);
    se_conn_touch(conn);
    se_conn_drain(conn);
    return true;
}

/* ---- the order of service ---- */

/* What the TLS of a turn may cost, in quarters of that of a server's first flight. */
enum { WORK_PER_TURN = 4 };

/* The work that datagrams of a handshake mean: a server has a key share, a secret and a signature
 * to make for a ClientHello, and then only a MAC to check.  A client does it all at once. */
static uint32_t work_of(const struct spate_conn *conn)
{
    return conn->is_server && conn->state == SE_CONN_HANDSHAKING ? 1 : WORK_PER_TURN;
}

static struct spate_conn *conn_of(struct sb_link *link)
{
    return SB_CONTAINER_OF(link, struct spate_conn, rx_link);
}

/* Goes on with handshakes, the first first, and holds those that are beyond the bound. */
static SB_NEVER_INLINE void shake_hands(struct spate_shard *shard, struct sb_link *handshakes)
{
    struct se_rx *rx = &shard->rx;
    uint32_t count = se_held_count(rx, handshakes);
    bool is_bounded = se_rx_tick(shard->now_ns) - rx->guarded_tick <= SE_RX_GUARD_TICKS;
    struct sb_link *link;
    while ((link = sb_list_first(handshakes)) != NULL) {
        struct spate_conn *conn = conn_of(link);
        uint32_t work = work_of(conn);
        bool is_within = !is_bounded || (!rx->is_put_off && rx->work_done + work <= WORK_PER_TURN);
        if (!is_within && count <= SE_RX_HELD_MAX)
            break;
        sb_list_remove(link);
        for (uint32_t at = conn->rx_first; at != SE_RX_NONE; at = rx->items[at].next)
            count--;
        if (deliver_to(conn)) /* what was no handshake has cost little */
            rx->work_done += work;
    }
    while ((link = sb_list_pop_front(handshakes)) != NULL)
        if (!se_held_keep(shard, conn_of(link)))
            (void)deliver_to(conn_of(link));
}

void se_rx_deliver(struct spate_shard *shard)
{
    struct se_rx *rx = &shard->rx;
    struct sb_link handshakes;
    uint32_t tick = se_rx_tick(shard->now_ns);
    bool is_guarded = false;
    sb_list_init(&handshakes);
    if (SB_UNLIKELY(rx->held_count > 0))
        se_held_give(shard, &handshakes);
    struct sb_link *link;
    while ((link = sb_list_pop_front(&rx->conns)) != NULL) {
        se_prefetch_next(shard, &rx->conns, offsetof(struct spate_conn, rx_link));
        struct spate_conn *conn = conn_of(link);
        if (SB_UNLIKELY(se_held_is_handshake(conn))) {
            sb_list_push_back(&handshakes, link);
            continue;
        }
        (void)deliver_to(conn);
        is_guarded |= tick - conn->since_tick > SE_RX_NEWCOMER_TICKS;
    }
    if (is_guarded)
        rx->guarded_tick = tick;
    if (SB_UNLIKELY(!sb_list_is_empty(&handshakes))) {
        if (is_guarded && !rx->was_put_off && rx->work_done == 0)
            rx->is_put_off = true;
        shake_hands(shard, &handshakes);
    }

    sp_pools_compact(&shard->pools, copy_rule_of(&shard->bufring) != COPY_NONE);
    for (uint32_t i = 0; i < rx->item_count; i++)
        sb_buffer_unref(rx->items[i].copy);
    for (uint32_t i = 0; i < rx->source_count; i++)
        sb_buffer_unref(rx->sources[i].buffer);
    rx->item_count = 0;
    rx->source_count = 0;
    if (SB_UNLIKELY(shard->early.count > 0))
        se_early_expire(&shard->early, shard->now_ns);
}

/* ---- gathering ---- */

static void chain(struct se_rx *rx, struct spate_conn *conn, uint32_t at)
{
    rx->items[at].next = SE_RX_NONE;
    if (conn->rx_first == SE_RX_NONE) {
        conn->rx_first = (uint16_t)at;
        sb_list_push_back(&rx->conns, &conn->rx_link);
        __builtin_prefetch(conn); /* for se_prefetch_next() */
    } else {
        rx->items[conn->rx_last].next = (uint16_t)at;
    }
    conn->rx_last = (uint16_t)at;
}

/* Copies a datagram out of its slot.  Returns false without memory. */
static bool copy_out(struct spate_shard *shard, struct se_rx_item *item)
{
    item->copy = se_buffers_copy(&shard->copies, item->data, item->size, &item->data);
    if (item->copy == NULL)
        return false;
    shard->counts.own.datagrams_copied++;
    shard->counts.own.copied_in_bytes += item->size;
    return true;
}

/* Chains the 0-RTT that came before the Initial of a new connection, after it.  Leaves room for
 * `reserved` items. */
static void chain_early(struct spate_shard *shard, struct spate_conn *conn,
                        const struct sp_path *path, struct sb_bytes initial, uint32_t reserved)
{
    struct se_rx *rx = &shard->rx;
    struct se_early_item kept;
    struct sp_peek peek;
    if (!sp_peek_read(initial.data, initial.size, 0, &peek))
        return;
    struct sp_cid dcid = sp_cid_of(peek.dcid.data, peek.dcid.size);
    while (rx->source_count < SE_RX_SOURCES && rx->item_count + reserved < SE_RX_ITEMS &&
           se_early_take(&shard->early, path, &dcid, &kept)) {
        rx->sources[rx->source_count] = (struct se_rx_source){
            .path = kept.path,
            .ecn = kept.ecn,
            .waited_ns = sb_time_since(shard->now_ns, kept.since_ns),
        };
        rx->items[rx->item_count] = (struct se_rx_item){
            .data = kept.data,
            .size = kept.size,
            .copy = kept.copy,
            .source = (uint16_t)rx->source_count++,
        };
        chain(rx, conn, rx->item_count++);
        shard->counts.own.zero_rtt_used++;
    }
}

static void take(struct se_port *port, const struct su_received *received, enum copy_rule rule)
{
    struct spate_shard *shard = port->shard;
    struct se_rx *rx = &shard->rx;
    uint32_t count = SB_MIN(su_received_count(received), (uint32_t)SE_RX_ITEMS);
    if (rx->source_count == SE_RX_SOURCES || rx->item_count + count > SE_RX_ITEMS)
        se_rx_deliver(shard);

    uint32_t at = rx->source_count++;
    struct se_rx_source *source = &rx->sources[at];
    *source = (struct se_rx_source){.buffer = received->buffer, .ecn = (enum sp_ecn)received->ecn};
    se_addr_from(&received->peer, &source->path.remote);
    source->path.local = port->local;
    source->path.socket = port->index;
    if (!port->is_client)
        se_addr_from(&received->local, &source->path.local);

    bool is_copied =
        rule == COPY_ALL || (rule == COPY_SMALL_BUFFERS && received->size <= SE_SMALL_SIZE);
    struct su_segments segments = su_segments_of(received);
    struct run run = {.stray_owner = SE_STRAY_NONE};
    struct se_strays strays;
    strays.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size = 0;
        uint8_t *data = su_segments_next(&segments, &size);
        struct spate_conn *conn = route(port, source, data, size, &run);
        if (conn == NULL && SB_LIKELY(run.stray_owner == SE_STRAY_NONE))
            continue;
        if (SB_UNLIKELY(conn == NULL)) {
            se_strays_add(&strays, port, received, data, size, run.stray_owner);
            continue;
        }
        SB_ASSERT(rx->item_count < SE_RX_ITEMS);
        struct se_rx_item *item = &rx->items[rx->item_count];
        *item = (struct se_rx_item){.data = data, .size = size, .source = (uint16_t)at};
        if (is_copied && !copy_out(shard, item) && rule == COPY_ALL) {
            shard->counts.own.receive_dropped++;
            item->is_transient = true;
        }
        chain(rx, conn, rx->item_count++);
        if (SB_UNLIKELY(shard->early.count > 0) && conn->state == SE_CONN_NEW)
            chain_early(shard, conn, &source->path, (struct sb_bytes){data, size}, count - i - 1);
    }
    if (SB_UNLIKELY(strays.count > 0))
        se_strays_pass(&strays, shard);
    shard->counts.own.datagrams_in += count;
    shard->counts.own.bytes_in += received->size;
}

void se_rx_take(struct se_port *port, const struct su_received *received)
{
    take(port, received, copy_rule_of(&port->shard->bufring));
}

void se_rx_take_copy(struct se_port *port, const struct su_received *received)
{
    take(port, received, COPY_ALL);
}

/* Handles an ICMP error of a client's socket.  Only client connections still in their handshake act
 * on it. */
static void on_socket_error(struct se_port *port, int error)
{
    if (port->peer.family == AF_UNSPEC)
        return;
    SB_LIST_EACH(link, &port->conns)
        se_conn_unreachable(SB_CONTAINER_OF(link, struct spate_conn, port_link), -error);
}

static void on_receive(struct spate_shard *shard, const struct su_completion *completion)
{
    if (completion->op.index >= SE_PORTS_MAX)
        return;
    struct se_port *port = &shard->ports[completion->op.index];
    if (port->state == SE_PORT_FREE) {
        su_bufring_recycle(&shard->bufring, completion);
        return;
    }
    struct su_received received;
    int result = su_recv_take(&port->recv, completion, &received);
    shard->heard.received++;
    shard->heard.is_starved |= port->recv.is_starved;
    if (result == 1)
        se_stages_on_receive(shard, received.stamp_ns);
    if (result == 1 && port->state == SE_PORT_OPEN)
        se_rx_take(port, &received);
    else if (result == 1)
        sb_buffer_unref(received.buffer);
    else if (result < 0)
        on_socket_error(port, result);
}

static void on_completion(struct spate_shard *shard, const struct su_completion *completion)
{
    struct su_sent sent;
    switch (completion->op.kind) {
    case SU_OP_RECEIVE:
        on_receive(shard, completion);
        break;
    case SU_OP_SEND:
        if (su_send_done(&shard->send, completion, &sent))
            se_shard_on_sent(shard, &sent);
        break;
    case SU_OP_WAKE:
    case SU_OP_DOORBELL:
        su_wake_take(&shard->wake, completion);
        break;
    case SU_OP_DOORBELL_LOST:
        se_strays_ring_lost(shard, completion->op.index);
        break;
    case SU_OP_APP:
        se_operations_take(shard, completion);
        break;
    default:
        break; /* its completion is ignored */
    }
}

/* Returns true if a socket has more than there were slots for, and is not read until there are. */
static bool is_starved(const struct spate_shard *shard)
{
    for (uint64_t left = shard->ports_used; left != 0; left &= left - 1)
        if (shard->ports[__builtin_ctzll(left)].recv.is_starved)
            return true;
    return false;
}

/* Buffers that the sockets can hold: the kernel doubles SO_RCVBUF, and counts no datagram as less.
 */
static uint64_t waiting_max(const struct spate_shard *shard)
{
    uint64_t bytes = SB_MAX(2 * (uint64_t)shard->config->socket_buffer_bytes, SYSTEM_BUFFER_BYTES);
    return bytes / KERNEL_BUFFER_BYTES_MIN * (uint64_t)__builtin_popcountll(shard->ports_used);
}

/* Ends the receiving of a turn.  `is_more`: sockets may hold more. */
static void end_receiving(struct spate_shard *shard, bool is_more)
{
    struct se_heard *heard = &shard->heard;
    if (SB_UNLIKELY(heard->is_starved))
        heard->is_starved = is_starved(shard);
    uint64_t left_max = SB_UNLIKELY(is_more || heard->is_starved) ? waiting_max(shard) : 0;
    bool has_moved = se_heard_turn(heard, shard->now_ns, is_more, left_max);
    if (SB_UNLIKELY(se_wheel_is_holding(&shard->wheel)) && has_moved)
        se_wheel_release(&shard->wheel);
}

void se_rx_run(struct spate_shard *shard)
{
    struct su_completion batch[SE_COMPLETIONS_BATCH];
    bool is_more = su_ring_has_more(&shard->ring);
    uint32_t taken = 0;
    uint32_t count;
    shard->rx.was_put_off = shard->rx.is_put_off;
    shard->rx.is_put_off = false;
    shard->rx.work_done = 0;
    do {
        count = su_ring_completions(&shard->ring, batch, SE_COMPLETIONS_BATCH);
        for (uint32_t i = 0; i < count; i++)
            on_completion(shard, &batch[i]);
        taken += count;
    } while (count == SE_COMPLETIONS_BATCH && taken < SE_COMPLETIONS_PER_TURN);
    if (taken > 0 && SB_UNLIKELY(se_stages_is_recorded(&shard->stages)))
        se_stages_record(&shard->stages, SE_HISTOGRAM_batch_completions, taken);
    se_strays_take(shard);
    se_strays_ring(shard);
    se_rx_deliver(shard);
    end_receiving(shard, is_more || count == SE_COMPLETIONS_BATCH);
}

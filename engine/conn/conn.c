/* SPDX-License-Identifier: MIT */
#include "engine/conn/conn.h"

/* The life of a connection in a shard, and the host functions that proto/ calls.
 *
 * A spate_conn lives as long as its sp_conn.  Slices and the application's handles can outlive it:
 * they name it by se_id_pack(), not by pointer. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/protect.h"
#include "crypto/reset.h"
#include "crypto/tls.h"
#include "crypto/tls_config.h"
#include "engine/config/config.h"
#include "engine/config/settings.h"
#include "engine/conn/resume.h"
#include "engine/conn/watch.h"
#include "engine/net/held.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

_Static_assert(SE_CONNS_MAX <= 1 << SE_ID_INDEX_BITS, "an index fits a handle");
_Static_assert(SE_SHARDS_MAX <= 1 << SE_ID_SHARD_BITS, "a shard fits a handle");
_Static_assert(SE_ID_INDEX_BITS + SE_ID_GENERATION_BITS + SE_ID_SHARD_BITS == 64,
               "a handle has 64 bits");
_Static_assert(SP_COARSE_NS == UINT64_C(1) << (SE_WHEEL_TICK_SHIFT + 2 * SE_WHEEL_SLOT_SHIFT),
               "timers of idle connections share a slot of the wheel from the start: see wheel.h");

/* Of se_conn_rearm(). */
#define IDLE_JUMP_NS (SP_REST_AFTER_NS / 10 * 9)

/* ---- the host of proto/ ---- */

static void host_random(void *context, void *out, size_t size)
{
    struct spate_conn *conn = context;
    se_entropy_fill(&conn->shard->entropy, out, size);
}

static void host_reset_token(void *context, const struct sp_cid *cid,
                             uint8_t ret_token[SP_RESET_TOKEN_SIZE])
{
    struct spate_conn *conn = context;
    sc_reset_token(conn->shard->reset, cid, ret_token);
}

static void host_make_cid(void *context, size_t size, struct sp_cid *ret)
{
    struct spate_conn *conn = context;
    SB_ASSERT(size == conn->shard->own_cids.form.size);
    se_cids_make(conn->shard, conn->is_server, ret);
}

static struct sp_tls *host_make_tls(void *context)
{
    struct spate_conn *conn = context;
    struct sp_tls *tls = conn->client_tls;
    conn->client_tls = NULL;
    if (tls == NULL &&
        sc_tls_create_in(&conn->shard->crypto_memory, conn->tls, NULL, &tls, NULL) != 0)
        return NULL;
    sc_tls_set_version(tls, conn->version);
    return tls;
}

static size_t host_new_token(void *context, uint8_t ret_token[SP_NEW_TOKEN_SIZE_MAX])
{
    struct spate_conn *conn = context;
    if (!sc_tls_config_has_tickets(conn->tls))
        return 0;
    return se_retry_new_token(&conn->shard->retry, &conn->shard->entropy, &conn->remote,
                              sp_conn_version(conn->proto), ret_token);
}

/* ---- indices ---- */

static bool index_take(struct spate_shard *shard, struct spate_conn *conn)
{
    uint32_t index = shard->slot_free;
    if (index != SE_CONN_NONE) {
        shard->slot_free = shard->slots[index].next_free;
    } else {
        if (shard->slots_made == shard->config->conns_max)
            return false;
        index = shard->slots_made++;
    }
    struct se_conn_slot *slot = &shard->slots[index];
    SB_ASSERT(slot->conn == NULL);
    slot->conn = conn;
    slot->generation = se_id_next_generation(slot->generation);
    conn->index = index;
    conn->id = se_id_pack(shard->index, slot->generation, index);
    return true;
}

static void index_give(struct spate_shard *shard, uint32_t index)
{
    struct se_conn_slot *slot = &shard->slots[index];
    SB_ASSERT(slot->conn != NULL);
    slot->conn = NULL;
    slot->next_free = shard->slot_free;
    shard->slot_free = index;
}

struct spate_conn *se_conn_of_id(const struct spate_shard *shard, uint64_t id)
{
    uint32_t index = se_id_index(id);
    if (se_id_shard(id) != shard->index || index >= shard->slots_made)
        return NULL;
    const struct se_conn_slot *slot = &shard->slots[index];
    return slot->generation == se_id_generation(id) ? slot->conn : NULL;
}

/* ---- CIDs and tokens ---- */

void se_conn_add_cid(struct spate_conn *conn, const struct sp_cid *cid)
{
    SB_ASSERT(conn->cid_count < SE_CONN_CIDS_MAX);
    /* The CID is not in the table: the client's choice was looked up before the connection was
     * made, and host_make_cid() makes ours unique.  reserve_routes() has made room. */
    int error = se_table_insert(&conn->shard->cids, cid->bytes, cid->size, conn->index);
    SB_ASSERT(error == 0);
    conn->cids[conn->cid_count++] = *cid;
}

void se_conn_remove_cid(struct spate_conn *conn, const struct sp_cid *cid)
{
    for (uint32_t i = 0; i < conn->cid_count; i++) {
        if (!sp_cid_equal(&conn->cids[i], cid))
            continue;
        bool was_there = se_table_remove(&conn->shard->cids, cid->bytes, cid->size, conn->index);
        SB_ASSERT(was_there);
        conn->cids[i] = conn->cids[--conn->cid_count];
        return;
    }
}

void se_conn_add_token(struct spate_conn *conn, const uint8_t token[SP_RESET_TOKEN_SIZE])
{
    SB_ASSERT(conn->token_count < SE_CONN_TOKENS_MAX);
    /* The peer chooses its tokens.  A token that the table has already stays with its first
     * connection, so a peer that repeats the token of another one gains nothing.  Without memory
     * for more than SE_CONN_TOKENS_USUAL the token does not count: its connection times out. */
    if (se_table_insert(&conn->shard->tokens, token, SP_RESET_TOKEN_SIZE, conn->index) == 0)
        memcpy(conn->tokens[conn->token_count++], token, SP_RESET_TOKEN_SIZE);
}

void se_conn_remove_token(struct spate_conn *conn, const uint8_t token[SP_RESET_TOKEN_SIZE])
{
    for (uint32_t i = 0; i < conn->token_count; i++) {
        if (!sc_reset_token_equal(conn->tokens[i], token))
            continue;
        bool was_there =
            se_table_remove(&conn->shard->tokens, token, SP_RESET_TOKEN_SIZE, conn->index);
        SB_ASSERT(was_there);
        conn->token_count--;
        memmove(conn->tokens[i], conn->tokens[conn->token_count], SP_RESET_TOKEN_SIZE);
        return;
    }
}

/* ---- life ---- */

static void links_init(struct spate_conn *conn)
{
    sb_list_init(&conn->all_link);
    sb_list_init(&conn->port_link);
    sb_list_init(&conn->send_pending_link);
    sb_list_init(&conn->limit_link);
    se_group_member_init(&conn->flow);
    sb_list_init(&conn->event_pending_link);
    sb_list_init(&conn->ended_link);
    sb_list_init(&conn->channel_link);
    sb_list_init(&conn->ask_link);
    sb_list_init(&conn->rx_link);
    sb_list_init(&conn->handshake.link);
    se_timer_init(&conn->timer);
}

/* Lowers what is charged for OpenSSL's objects to `bytes`. */
static void lower_tls(struct spate_conn *conn, uint32_t bytes)
{
    uint32_t lower = SB_MIN(bytes, conn->tls_bytes);
    se_memory_refund(&conn->shard->memory, conn->tls_bytes - lower);
    conn->shard->tls_bytes -= conn->tls_bytes - lower;
    conn->tls_bytes = lower;
}

/* Frees everything but `proto` and the index. */
static void conn_free(struct spate_conn *conn)
{
    struct spate_shard *shard = conn->shard;
    sc_tls_config_unref(conn->tls);
    se_settings_unref(conn->settings);
    se_qlog_end(conn->qlog);
    if (conn->client_tls != NULL)
        sc_tls_ops.destroy(conn->client_tls);
    free(conn->token);
    lower_tls(conn, 0);
    sb_pool_give(&shard->conn_pool, conn);
}

/* Reserves objects for rare moments; the last half of the memory is what connections work with. */
static void reserve(struct spate_shard *shard)
{
    if (shard->memory.now_bytes < shard->memory.limit_bytes / 2)
        sp_pools_reserve(&shard->pools);
}

const struct sp_config *se_conn_config(const struct spate_shard *shard,
                                       const struct spate_settings *settings)
{
    return settings != NULL ? &settings->proto : &shard->proto_config;
}

static struct sp_conn *make_proto(struct spate_conn *conn, const struct se_conn_args *args)
{
    struct spate_shard *shard = conn->shard;
    conn->qlog = se_qlog_begin(&shard->qlog, &args->path.remote, &shard->entropy);
    const struct sp_conn_args proto_args = {
        .role = args->role,
        .config = se_conn_config(shard, conn->settings),
        .pools = &shard->pools,
        .protect = sc_protect(shard->fused),
        .tls_ops = &sc_tls_ops,
        .host =
            {
                .random = host_random,
                .reset_token = host_reset_token,
                .make_cid = host_make_cid,
                .make_tls = host_make_tls,
                .context = conn,
                .new_token = host_new_token,
            },
        .path = args->path,
        .version = args->version,
        .client_dcid = args->client_dcid,
        .client_scid = args->client_scid,
        .address_is_valid = args->token_mark != 0,
        .has_retry = args->has_retry,
        .original_dcid = args->original_dcid,
        .early_params =
            conn->client_tls != NULL ? sc_tls_early_params(conn->client_tls) : (struct sb_bytes){0},
        .token = args->token,
        .preferred = args->preferred,
        .cid_count_max = conn->is_server ? se_cids_count_max(&shard->own_cids) : 0,
        .qlog = conn->qlog,
    };
    return sp_conn_create(&proto_args, shard->now_ns);
}

/* Makes the TLS and proto/ parts.  Memory for OpenSSL's part of the handshake is charged at once,
 * so that an admitted connection does not lack it later.  A client's TLS is made now, so that a bad
 * server name has its own error. */
static int make_inside(struct spate_conn *conn, const struct se_conn_args *args)
{
    if (!se_memory_charge(&conn->shard->memory, SE_TLS_BYTES))
        return -ENOMEM;
    conn->tls_bytes = SE_TLS_BYTES;
    conn->shard->tls_bytes += SE_TLS_BYTES;
    if (!conn->is_server) {
        struct sc_error reason = {.text = ""};
        int result = sc_tls_create_in(&conn->shard->crypto_memory, conn->tls, args->server_name,
                                      &conn->client_tls, &reason);
        if (result != 0) {
            se_error_set(args->error, "%s", reason.text);
            return result;
        }
        sc_tls_set_version(conn->client_tls, conn->version);
        if (args->ticket.size > 0) /* without it the handshake is a whole one */
            (void)!sc_tls_resume(conn->client_tls, args->ticket, args->wants_early);
    }
    conn->proto = make_proto(conn, args);
    return conn->proto != NULL ? 0 : -ENOMEM;
}

static void join(struct spate_conn *conn)
{
    struct spate_shard *shard = conn->shard;
    sb_list_push_back(&shard->all, &conn->all_link);
    sb_list_push_back(&conn->port->conns, &conn->port_link);
    conn->port->conn_count++;
    shard->conn_count++;
    if (conn->is_server)
        se_budget_join(&shard->budget, &conn->handshake, &conn->remote, conn->token_mark != 0,
                       shard->now_ns);
}

static int create(struct spate_shard *shard, const struct se_conn_args *args,
                  struct spate_conn **ret)
{
    if (shard->conn_count < shard->config->conns_max && !se_shard_has_room_for_conn(shard))
        return -ENOMEM;
    struct spate_conn *conn = sb_pool_take(&shard->conn_pool);
    if (conn == NULL)
        return shard->conn_count == shard->config->conns_max ? -ENOBUFS : -ENOMEM;
    memset(conn, 0, sizeof(*conn));
    conn->shard = shard;
    links_init(conn);
    se_waits_init(&conn->waits, shard->now_ns);
    if (!index_take(shard, conn)) {
        sb_pool_give(&shard->conn_pool, conn);
        return -ENOBUFS;
    }

    conn->port = args->port;
    conn->remote = args->path.remote;
    conn->tls = sc_tls_config_ref(args->tls);
    conn->settings = se_settings_ref(args->settings);
    conn->user = args->user;
    conn->channel = args->channel;
    conn->token_mark = args->token_mark;
    conn->version = args->role == SP_SERVER
                        ? args->version
                        : se_first_version(se_conn_config(shard, args->settings));
    conn->is_server = args->role == SP_SERVER;
    conn->cid_epoch = shard->own_cids.epoch;
    conn->wants_batches =
        conn->channel == NULL &&
        (args->settings != NULL ? args->settings->event_batches : shard->config->event_batches);
    conn->state = conn->is_server ? SE_CONN_NEW : SE_CONN_HANDSHAKING;
    conn->cipher = "";
    conn->alpn = "";
    conn->rx_first = SE_RX_NONE;
    conn->since_tick = se_rx_tick(shard->now_ns);
    conn->timer_ns = SB_NEVER;
    int result = make_inside(conn, args);
    if (result != 0) {
        index_give(shard, conn->index);
        conn_free(conn);
        return result;
    }

    join(conn);
    reserve(shard);
    se_conn_drain(conn); /* its CIDs must lead here before the next datagram comes */
    se_conn_touch(conn);
    *ret = conn;
    return 0;
}

int se_conn_create(struct spate_shard *shard, const struct se_conn_args *args,
                   struct spate_conn **ret)
{
    uint64_t refusals = shard->memory.refusals;
    int result = create(shard, args, ret);
    if (result != 0) /* which is no reason to close another one: see shard_memory.c */
        shard->memory.refusals = refusals;
    return result;
}

static void leave_port(struct spate_conn *conn)
{
    struct se_port *port = conn->port;
    sb_list_remove(&conn->port_link);
    SB_ASSERT(port->conn_count > 0);
    port->conn_count--;
    port->idle_since_ns = conn->shard->now_ns;
}

static void give_port(struct spate_conn *conn, uint32_t index)
{
    struct se_port *port = &conn->shard->ports[index];
    SB_ASSERT(port->path_count > 0);
    port->path_count--;
    port->idle_since_ns = conn->shard->now_ns;
    conn->other_ports &= ~(UINT64_C(1) << index);
}

void se_conn_keep_port(struct spate_conn *conn, struct se_port *port)
{
    uint64_t bit = UINT64_C(1) << port->index;
    if (port == conn->port || (conn->other_ports & bit) != 0)
        return;
    conn->other_ports |= bit;
    port->path_count++;
}

/* A server's client may have begun another path to any of its sockets. */
static void keep_new_ports(struct spate_conn *conn)
{
    for (uint64_t left = conn->shard->ports_used; left != 0; left &= left - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(left);
        if (sp_conn_uses_socket(conn->proto, index))
            se_conn_keep_port(conn, &conn->shard->ports[index]);
    }
}

void se_conn_ports(struct spate_conn *conn)
{
    if (SB_LIKELY(conn->other_ports == 0 && sp_conn_path_count(conn->proto) == 1))
        return;
    keep_new_ports(conn);
    uint64_t active = sp_conn_path(conn->proto)->socket;
    if (active != conn->port->index) {
        struct se_port *before = conn->port;
        struct se_port *port = &conn->shard->ports[active];
        se_conn_keep_port(conn, port);
        leave_port(conn);
        conn->port = port;
        sb_list_push_back(&port->conns, &conn->port_link);
        port->conn_count++;
        give_port(conn, port->index);
        if (sp_conn_uses_socket(conn->proto, before->index))
            se_conn_keep_port(conn, before);
    }
    for (uint64_t left = conn->other_ports; left != 0; left &= left - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(left);
        if (!sp_conn_uses_socket(conn->proto, index))
            give_port(conn, index);
    }
}

static void leave(struct spate_conn *conn)
{
    struct spate_shard *shard = conn->shard;
    sb_list_remove(&conn->all_link);
    sb_list_remove(&conn->send_pending_link);
    se_limit_leave(&conn->shard->limit, &conn->limit_link);
    se_group_leave(&shard->groups, &conn->flow);
    sb_list_remove(&conn->event_pending_link);
    sb_list_remove(&conn->ended_link);
    sb_list_remove(&conn->ask_link);
    se_held_forget(&shard->rx, conn);
    se_wheel_remove(&shard->wheel, &conn->timer);

    leave_port(conn);
    for (uint64_t left = conn->other_ports; left != 0; left &= left - 1)
        give_port(conn, (uint32_t)__builtin_ctzll(left));
    if (se_conn_is_budgeted(conn))
        shard->counts.own.handshakes_failed++;
    se_budget_leave(&shard->budget, &conn->handshake);
}

/* Frees what is left after `proto`. */
static void conn_end(struct spate_conn *conn)
{
    SB_ASSERT(conn->shard->conn_count > 0);
    conn->shard->conn_count--;
    conn_free(conn);
}

void se_conn_end_watch(struct spate_conn *conn, const struct spate_close *close)
{
    struct se_watch *watch = conn->watch;
    conn->watch = NULL;
    if (SB_UNLIKELY(watch != NULL))
        watch->on_closed(watch, close);
}

void se_conn_destroy(struct spate_conn *conn)
{
    struct spate_shard *shard = conn->shard;
    se_conn_end_watch(conn, NULL);
    se_measured_end(conn);
    leave(conn);
    index_give(shard, conn->index); /* no slice finds it any more */
    while (conn->cid_count > 0)
        se_conn_remove_cid(conn, &conn->cids[0]);
    while (conn->token_count > 0)
        se_conn_remove_token(conn, conn->tokens[0]);
    struct sp_stats stats;
    sp_conn_stats(conn->proto, &stats);
    sp_stats_add(&shard->counts.conns_closed, &stats);
    se_stat_on_freed(shard, conn->index, &stats);
    if (!se_conn_is_announced(conn)) {
        /* It has no streams, and garbage may come faster than turns. */
        sp_conn_destroy(conn->proto);
        conn_end(conn);
        return;
    }
    sb_list_push_back(&shard->unwinding, &conn->ended_link);
    (void)se_conns_unwind(shard); /* in order: after those that wait already */
}

static SB_NEVER_INLINE bool unwind_ended(struct spate_shard *shard)
{
    struct sb_link *link;
    while ((link = sb_list_first(&shard->unwinding)) != NULL) {
        struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, ended_link);
        if (!sp_conn_destroy_some(conn->proto, &shard->unwind_steps))
            return false;
        sb_list_remove(link);
        conn_end(conn);
    }
    return true;
}

bool se_conns_unwind(struct spate_shard *shard)
{
    return SB_LIKELY(sb_list_is_empty(&shard->unwinding)) || unwind_ended(shard);
}

static bool can_advance(const struct spate_conn *conn, enum se_conn_state next)
{
    switch (next) {
    case SE_CONN_NEW:
        return false;
    case SE_CONN_HANDSHAKING:
        return conn->state == SE_CONN_NEW;
    case SE_CONN_FAILED:
        return conn->state <= SE_CONN_HANDSHAKING && conn->is_server;
    case SE_CONN_CONNECTED:
        return conn->state == SE_CONN_HANDSHAKING ||
               (conn->state == SE_CONN_EARLY && conn->is_server);
    case SE_CONN_EARLY:
        return conn->state == SE_CONN_HANDSHAKING && conn->is_server;
    case SE_CONN_CLOSED:
        return conn->state == SE_CONN_CONNECTED ||
               (conn->state == SE_CONN_EARLY && conn->is_server) ||
               (conn->state == SE_CONN_HANDSHAKING && !conn->is_server);
    case SE_CONN_TAKEN:
        return conn->state == SE_CONN_CLOSED;
    }
    return false;
}

void se_conn_on_rest(struct spate_conn *conn)
{
    if (conn->state == SE_CONN_CONNECTED)
        lower_tls(conn, 0);
}

void se_conn_advance(struct spate_conn *conn, enum se_conn_state next)
{
    struct spate_shard *shard = conn->shard;
    SB_ASSERT(can_advance(conn, next));
    enum se_conn_state before = conn->state;
    conn->state = next;
    /* The application knows one in EARLY: it cannot give way to others any more. */
    if (conn->is_server && se_conn_is_budgeted(conn) &&
        (next == SE_CONN_CONNECTED || next == SE_CONN_FAILED || next == SE_CONN_EARLY))
        se_budget_leave(&shard->budget, &conn->handshake);
    if (next == SE_CONN_CONNECTED || next == SE_CONN_FAILED) /* see crypto/tls.h */
        lower_tls(conn, conn->is_server ? 0 : SE_TLS_BYTES_OF_SSL);
    if (next == SE_CONN_HANDSHAKING)
        shard->counts.own.conns_accepted++;
    else if (next == SE_CONN_CONNECTED)
        shard->counts.own.handshakes_done++;
    else if (next == SE_CONN_FAILED || (next == SE_CONN_CLOSED && before < SE_CONN_CONNECTED))
        shard->counts.own.handshakes_failed++;
}

void se_conn_end(struct spate_conn *conn)
{
    if (!sb_link_is_in(&conn->ended_link))
        sb_list_push_back(&conn->shard->ended, &conn->ended_link);
}

void se_conn_join_pending(struct spate_conn *conn)
{
    sb_list_push_back(&conn->shard->send_pending, &conn->send_pending_link);
    se_waits_set(&conn->waits, SPATE_WAIT_SHARD, conn->shard->now_ns);
}

void se_conn_touch(struct spate_conn *conn)
{
    se_conn_want_send(conn);
    se_conn_raise(conn);
}

void se_conn_raise(struct spate_conn *conn)
{
    if (sb_link_is_in(&conn->event_pending_link))
        return;
    if (SB_UNLIKELY(conn->channel != NULL))
        se_channel_raise(conn);
    else
        sb_list_push_back(&conn->shard->event_pending, &conn->event_pending_link);
}

/* A timer that is armed stays as it is when the deadline moves on, as it does with each packet: it
 * will find that, once.  But one of a connection that has become idle moves, or each of those would
 * wake the shard once more by itself: when nothing is in flight any more, the deadline jumps from
 * that of a PTO to SP_REST_AFTER_NS or more.  A busy connection has that deadline for some
 * milliseconds of a second only. */
void se_conn_rearm(struct spate_conn *conn)
{
    uint64_t deadline_ns = sp_conn_deadline_ns(conn->proto);
    bool is_armed = se_timer_is_armed(&conn->timer);
    if (is_armed && conn->timer_ns <= deadline_ns && deadline_ns - conn->timer_ns < IDLE_JUMP_NS)
        return;
    se_conn_set_timer(conn, &conn->shard->wheel, deadline_ns);
}

void se_conn_unreachable(struct spate_conn *conn, int error)
{
    if (conn->is_server || conn->unreachable != 0 || !sp_conn_is_handshaking(conn->proto) ||
        sp_conn_is_closed(conn->proto))
        return;
    conn->unreachable = error;
    sp_conn_abandon(conn->proto, SP_ERR_NO_VIABLE_PATH, strerrordesc_np(error),
                    conn->shard->now_ns);
    se_conn_touch(conn);
}

/* SPDX-License-Identifier: MIT */
#include <spate/pool.h>

/* The pool of the public API: core.c decides, and this file gives it connections of a shard, a
 * timer and memory.
 *
 * It hears of its connections by their watches (engine/conn/watch.h), when their events are queued,
 * so that no dead one is handed out while its event waits.  Attempts are made in the shard's timers
 * alone, never while events are translated. */

#include <errno.h>
#include <stdlib.h>

#include "crypto/tls_config.h"
#include "engine/base/task.h"
#include "engine/config/config.h"
#include "engine/config/sized.h"
#include "engine/config/tls.h"
#include "engine/conn/watch.h"
#include "engine/net/connect.h"
#include "engine/pool/core.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "uring/address.h"

#include <spate/settings.h>

enum {
    PEERS_MAX = 1024, /* spate_pool_acquire() looks at all of them */
    CONNS_PER_PEER_MAX = 64,
    NAME_SIZE_MAX = 255, /* [RFC1035 2.3.4] */
    COUNT_MAX = 1000000,
    STREAMS_MAX = 1 << 20,
    CHECKS_PER_WAIT = 8, /* looks at a connection during hang_ns or ping_ns, the smaller one */
};

#define DURATION_MAX (365 * 86400 * SB_S)

/* A connection of the pool: the handle that core.c has. */
struct handle {
    struct se_watch watch;
    struct se_member *member;
    struct spate_conn *conn; /* NULL: none */
};

struct peer {
    struct se_pool_peer core;
    struct sockaddr_storage address;
    socklen_t address_size;
    size_t bytes; /* charged to the shard's memory */
    bool has_name;
    char name[NAME_SIZE_MAX + 1];
    struct handle *handles;     /* core.member_count of them, each for the member there */
    struct se_member members[]; /* core.member_count of them */
};

struct spate_pool {
    struct se_task task;
    struct se_pool core;
    struct spate_shard *shard;
    struct sc_tls_config *tls;       /* holds a reference */
    struct spate_settings *settings; /* holds a reference */
    void *user;
    uint32_t conns_per_peer;
};

static struct spate_pool *pool_of(const struct se_member *member)
{
    return member->peer->pool->context;
}

static struct peer *peer_of(struct se_pool_peer *core)
{
    return SB_CONTAINER_OF(core, struct peer, core);
}

/* Sets the timer to what is due next. */
static void arm(struct spate_pool *pool)
{
    se_wheel_set(&pool->shard->wheel, &pool->task.timer, pool->core.next_ns);
}

/* ---- what the connections report ---- */

static void on_connected(struct se_watch *watch)
{
    struct handle *handle = SB_CONTAINER_OF(watch, struct handle, watch);
    struct spate_pool *pool = pool_of(handle->member);
    se_pool_on_connected(handle->member, pool->shard->now_ns);
    arm(pool);
}

/* An application that closes, and a peer that closes without an error, are no failures. */
static bool is_fault(const struct spate_close *close)
{
    bool is_orderly = close->kind == SPATE_CLOSE_APP ||
                      (close->kind == SPATE_CLOSE_TRANSPORT && close->error == SP_OK);
    return !is_orderly;
}

static void on_closed(struct se_watch *watch, const struct spate_close *close)
{
    struct handle *handle = SB_CONTAINER_OF(watch, struct handle, watch);
    struct spate_pool *pool = pool_of(handle->member);
    handle->conn = NULL;
    se_pool_on_closed(handle->member, close != NULL && is_fault(close), pool->shard->now_ns);
    if (close != NULL) /* otherwise the shard ends, and no timer runs any more */
        arm(pool);
}

/* Returns the pool's handle of a connection; NULL: it has none. */
static struct handle *handle_of(const struct spate_conn *conn)
{
    bool is_ours = conn->watch != NULL && conn->watch->on_connected == on_connected;
    return is_ours ? SB_CONTAINER_OF(conn->watch, struct handle, watch) : NULL;
}

/* ---- what core.c asks for ---- */

static int op_connect(void *context, struct se_member *member, void **ret_handle)
{
    struct spate_pool *pool = context;
    struct peer *peer = peer_of(member->peer);
    struct handle *handle = &peer->handles[member - peer->members];
    const struct spate_connect_options options = {
        .size = sizeof(options),
        .address = (const struct sockaddr *)&peer->address,
        .address_size = peer->address_size,
        .server_name = peer->has_name ? peer->name : NULL,
        .user = pool->user,
        .settings = pool->settings,
    };
    int result = se_connect(pool->shard, &options, pool->tls, NULL, &handle->conn, NULL);
    if (result != 0)
        return result;
    handle->conn->watch = &handle->watch;
    *ret_handle = handle;
    return 0;
}

static void op_close(void *context, void *handle, bool is_hanging)
{
    (void)context;
    spate_conn_close(((struct handle *)handle)->conn, 0,
                     is_hanging ? "no answer" : "no longer needed");
}

static void op_look(void *context, void *handle, struct se_member_load *ret)
{
    (void)context;
    const struct spate_conn *conn = ((struct handle *)handle)->conn;
    *ret = (struct se_member_load){
        .is_open = !sp_conn_is_closed(conn->proto),
        .streams = sp_conn_stream_count(conn->proto),
        .rtt_ns = sp_conn_rtt_ns(conn->proto),
        .packets_in = sp_conn_packets_in(conn->proto),
        .in_flight_bytes = sp_conn_flight(conn->proto).bytes,
    };
}

static uint64_t op_random(void *context)
{
    struct spate_pool *pool = context;
    uint64_t random;
    se_entropy_fill(&pool->shard->entropy, &random, sizeof(random));
    return random;
}

static const struct se_pool_ops ops = {op_connect, op_close, op_look, op_random};

/* ---- peers ---- */

static void peer_free(struct peer *peer)
{
    struct spate_pool *pool = peer->core.pool->context;
    se_pool_remove(&peer->core);
    se_memory_refund(&pool->shard->memory, peer->bytes);
    free(peer);
}

/* Frees removed peers that have no connection left. */
static void free_gone(struct spate_pool *pool)
{
    SB_LIST_EACH(link, &pool->core.peers) {
        struct se_pool_peer *core = SB_CONTAINER_OF(link, struct se_pool_peer, link);
        if (se_pool_is_gone(core))
            peer_free(peer_of(core));
    }
}

static int peer_check(const struct spate_pool_peer *given, struct spate_error *error)
{
    struct su_address address;
    if (given->address == NULL ||
        su_address_from_kernel(given->address, given->address_size, &address) != 0) {
        se_error_set(error, "the address is neither IPv4 nor IPv6");
        return -EINVAL;
    }
    if (su_address_port(&address) == 0) {
        se_error_set(error, "the port to connect to is 0");
        return -EINVAL;
    }
    if (given->server_name != NULL &&
        strnlen(given->server_name, NAME_SIZE_MAX + 1) > NAME_SIZE_MAX) {
        se_error_set(error, "the server name is longer than %d bytes", NAME_SIZE_MAX);
        return -EINVAL;
    }
    return 0;
}

/* Returns a peer for se_pool_add(), or NULL without memory. */
static struct peer *peer_make(struct spate_pool *pool, const struct spate_pool_peer *given)
{
    uint32_t count = pool->conns_per_peer;
    size_t members_bytes = sizeof(struct peer) + count * sizeof(struct se_member);
    size_t bytes = members_bytes + count * sizeof(struct handle);
    if (!se_memory_has_room(&pool->shard->memory, bytes, SE_NEED_ORDINARY))
        return NULL;
    struct peer *peer = calloc(1, bytes);
    if (peer == NULL)
        return NULL;
    if (!se_memory_charge(&pool->shard->memory, bytes)) {
        free(peer);
        return NULL;
    }
    peer->bytes = bytes;
    memcpy(&peer->address, given->address, given->address_size);
    peer->address_size = given->address_size;
    peer->has_name = given->server_name != NULL;
    if (peer->has_name)
        memcpy(peer->name, given->server_name, strlen(given->server_name));
    peer->handles = (struct handle *)(void *)((char *)peer + members_bytes);
    for (uint32_t i = 0; i < count; i++)
        peer->handles[i] = (struct handle){
            .watch = {on_connected, on_closed},
            .member = &peer->members[i],
        };
    return peer;
}

static bool is_ending(const struct spate_pool *pool)
{
    return pool->core.is_draining || se_shutdown_has_begun(&pool->shard->shutdown);
}

int spate_pool_add(struct spate_pool *pool, const struct spate_pool_peer *given, uint64_t *ret_id,
                   struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_pool_peer",
        SE_SIZE_THROUGH(struct spate_pool_peer, server_name),
        sizeof(struct spate_pool_peer),
    };
    struct spate_pool_peer own = {0};
    int result = se_sized_take(&shape, given, &own, error);
    if (result == 0)
        result = peer_check(&own, error);
    if (result != 0)
        return result;
    if (is_ending(pool)) {
        se_error_set(error, "the pool or its shard is ending");
        return -ESHUTDOWN;
    }
    if (pool->core.peer_count == PEERS_MAX) {
        se_error_set(error, "a pool has at most %d servers", PEERS_MAX);
        return -ENOBUFS;
    }
    struct peer *peer = peer_make(pool, &own);
    if (peer == NULL) {
        se_error_set(error, "no memory for a server within memory_bytes_max");
        return -ENOMEM;
    }
    se_pool_add(&pool->core, &peer->core, peer->members, pool->conns_per_peer, pool->shard->now_ns);
    arm(pool);
    if (ret_id != NULL)
        *ret_id = peer->core.id;
    return 0;
}

/* From now on: the last turn may be long ago. */
static uint64_t end_ns(const struct spate_pool *pool, uint64_t timeout_ns)
{
    return sb_time_add(se_shard_clock_ns(pool->shard), timeout_ns);
}

int spate_pool_remove(struct spate_pool *pool, uint64_t peer_id, uint64_t timeout_ns)
{
    struct se_pool_peer *peer = se_pool_find(&pool->core, peer_id);
    if (peer == NULL)
        return -ENOENT;
    se_pool_drain_peer(peer, end_ns(pool, timeout_ns));
    arm(pool);
    return 0;
}

/* ---- connections ---- */

/* Returns why no connection of `only`, or of all peers if it is NULL, could be chosen. */
static int why_none(const struct spate_pool *pool, const struct se_pool_peer *only)
{
    uint32_t count = 0;
    SB_LIST_EACH(link, &pool->core.peers) {
        const struct se_pool_peer *peer = SB_CONTAINER_OF(link, struct se_pool_peer, link);
        if (peer->is_draining || (only != NULL && peer != only))
            continue;
        count++;
        if (peer->breaker.state != SE_BREAKER_OPEN)
            return -EAGAIN;
    }
    return count > 0 ? -EHOSTUNREACH : -ENOENT;
}

int spate_pool_acquire(struct spate_pool *pool, uint64_t peer_id, struct spate_conn **ret)
{
    struct se_pool_peer *only = NULL;
    if (is_ending(pool))
        return -ESHUTDOWN;
    if (peer_id != SPATE_POOL_ANY && (only = se_pool_find(&pool->core, peer_id)) == NULL)
        return -ENOENT;
    struct se_member *member = se_pool_acquire(&pool->core, only);
    if (member == NULL)
        return why_none(pool, only);
    *ret = ((struct handle *)member->handle)->conn;
    return 0;
}

void spate_pool_report(struct spate_conn *conn, bool is_success)
{
    struct handle *handle = handle_of(conn);
    if (handle == NULL)
        return;
    struct spate_pool *pool = pool_of(handle->member);
    if (!is_success)
        se_shard_catch_up(pool->shard); /* the breaker opens here */
    se_pool_report(handle->member, is_success, pool->shard->now_ns);
    arm(pool);
}

uint64_t spate_pool_peer_id(const struct spate_conn *conn)
{
    const struct handle *handle = handle_of(conn);
    return handle != NULL ? handle->member->peer->id : 0;
}

/* ---- the pool ---- */

void spate_pool_drain(struct spate_pool *pool, uint64_t timeout_ns)
{
    se_pool_drain(&pool->core, end_ns(pool, timeout_ns));
    arm(pool);
}

static void run(struct se_task *task, uint64_t now_ns)
{
    struct spate_pool *pool = SB_CONTAINER_OF(task, struct spate_pool, task);
    if (!pool->core.is_draining && se_shutdown_has_begun(&pool->shard->shutdown))
        se_pool_drain_others(&pool->core); /* the shutdown has a time-out of its own */
    (void)se_pool_run(&pool->core, now_ns);
    free_gone(pool);
    arm(pool);
}

/* Frees the pool, whose connections have ended or do not know it any more. */
static void pool_free(struct spate_pool *pool)
{
    se_pool_drain(&pool->core, 0);
    free_gone(pool);
    SB_ASSERT(pool->core.peer_count == 0);
    sc_tls_config_unref(pool->tls);
    spate_settings_destroy(pool->settings);
    free(pool);
}

static void end(struct se_task *task)
{
    pool_free(SB_CONTAINER_OF(task, struct spate_pool, task));
}

void spate_pool_destroy(struct spate_pool *pool)
{
    if (pool == NULL)
        return;
    SB_LIST_EACH(link, &pool->core.peers) {
        struct peer *peer = peer_of(SB_CONTAINER_OF(link, struct se_pool_peer, link));
        for (uint32_t i = 0; i < peer->core.member_count; i++) {
            struct spate_conn *conn = peer->handles[i].conn;
            if (conn == NULL)
                continue;
            spate_conn_close(conn, 0, "no longer needed");
            se_conn_end_watch(conn, NULL);
        }
    }
    se_task_leave(&pool->shard->wheel, &pool->task);
    pool_free(pool);
}

static bool in_range(uint64_t value, uint64_t min, uint64_t max, const char *name,
                     struct spate_error *error)
{
    if (value >= min && value <= max)
        return true;
    se_error_set(error, "%s is %llu, not in %llu to %llu", name, (unsigned long long)value,
                 (unsigned long long)min, (unsigned long long)max);
    return false;
}

static int options_check(const struct spate_pool_options *options, struct spate_error *error)
{
    const struct {
        const char *name;
        uint64_t value, min, max;
    } fields[] = {
        {"conns_per_peer", options->conns_per_peer, 1, CONNS_PER_PEER_MAX},
        {"streams_max", options->streams_max, 0, STREAMS_MAX},
        {"connect_timeout_ns", options->connect_timeout_ns, SB_MS, DURATION_MAX},
        {"ping_ns", options->ping_ns, SB_MS, DURATION_MAX},
        {"hang_ns", options->hang_ns, SB_MS, DURATION_MAX},
        {"backoff_ns", options->backoff_ns, SB_US, DURATION_MAX},
        {"backoff_ns_max", options->backoff_ns_max, options->backoff_ns, DURATION_MAX},
        {"failures_max", options->failures_max, 1, COUNT_MAX},
        {"trials_max", options->trials_max, 1, COUNT_MAX},
        {"successes_min", options->successes_min, 1, COUNT_MAX},
        {"open_ns", options->open_ns, SB_US, DURATION_MAX},
        {"open_ns_max", options->open_ns_max, options->open_ns, DURATION_MAX},
    };
    for (size_t i = 0; i < SB_COUNT(fields); i++)
        if (!in_range(fields[i].value, fields[i].min, fields[i].max, fields[i].name, error))
            return -EINVAL;
    if (options->tls == NULL || sc_tls_config_role(se_tls_config(options->tls)) != SP_CLIENT) {
        se_error_set(error, "a pool needs the TLS options of a client");
        return -EINVAL;
    }
    return 0;
}

static int make_settings(struct spate_pool *pool, const struct spate_pool_options *options,
                         struct spate_error *error)
{
    struct spate_config config;
    struct spate_engine *engine = pool->shard->engine;
    spate_engine_config(engine, &config);
    if (options->config != NULL) {
        int result = se_config_copy(options->config, &config, error);
        if (result != 0)
            return result;
    }
    config.keep_alive_ns = options->ping_ns;
    config.handshake_timeout_ns = options->connect_timeout_ns;
    return spate_settings_create(engine, &config, &pool->settings, error);
}

static void init_core(struct spate_pool *pool, const struct spate_pool_options *options)
{
    const struct se_pool_config config = {
        .streams_max = options->streams_max,
        .backoff_ns = options->backoff_ns,
        .backoff_ns_max = options->backoff_ns_max,
        .hang_ns = options->hang_ns,
        .check_ns = SB_MAX(SB_MIN(options->hang_ns, options->ping_ns) / CHECKS_PER_WAIT, SB_MS),
        .rtt_ns_max = options->rtt_ns_max,
        .breaker =
            {
                .failures_max = options->failures_max,
                .trials_max = options->trials_max,
                .successes_min = options->successes_min,
                .open_ns = options->open_ns,
                .open_ns_max = options->open_ns_max,
            },
    };
    se_pool_init(&pool->core, &config, &ops, pool);
}

int spate_pool_create(struct spate_shard *shard, const struct spate_pool_options *given,
                      struct spate_pool **ret, struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_pool_options",
        SE_SIZE_THROUGH(struct spate_pool_options, open_ns_max),
        sizeof(struct spate_pool_options),
    };
    struct spate_pool_options options;
    spate_pool_options_init(&options);
    int result = se_sized_take(&shape, given, &options, error);
    if (result == 0)
        result = options_check(&options, error);
    if (result != 0)
        return result;
    struct spate_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        se_error_set(error, "no memory for a pool");
        return -ENOMEM;
    }
    pool->shard = shard;
    result = make_settings(pool, &options, error);
    if (result != 0) {
        free(pool);
        return result;
    }
    pool->tls = sc_tls_config_ref(se_tls_config(options.tls));
    pool->user = options.user;
    pool->conns_per_peer = options.conns_per_peer;
    init_core(pool, &options);
    pool->task.run = run;
    pool->task.end = end;
    se_task_join(&shard->tasks, &pool->task);
    *ret = pool;
    return 0;
}

/* ---- statistics ---- */

static uint32_t conns_of(const struct se_pool_peer *peer)
{
    return peer->member_count - se_pool_peer_count(peer, SE_MEMBER_IDLE);
}

void spate_pool_stats_sized(const struct spate_pool *pool, struct spate_pool_stats *ret,
                            size_t size)
{
    const struct se_pool_counts *counts = &pool->core.counts;
    struct spate_pool_stats own = {
        .peers_now = pool->core.peer_count,
        .connects = counts->connects,
        .connects_failed = counts->connects_failed,
        .conns_lost = counts->conns_lost,
        .hangs = counts->hangs,
        .acquires = counts->acquires,
        .acquires_failed = counts->acquires_failed,
        .breaker_openings = counts->breaker_openings,
    };
    SB_LIST_EACH(link, &pool->core.peers) {
        const struct se_pool_peer *peer = SB_CONTAINER_OF(link, struct se_pool_peer, link);
        own.peers_open_now += peer->breaker.state == SE_BREAKER_OPEN;
        own.conns_now += conns_of(peer);
        own.conns_ready_now += se_pool_peer_count(peer, SE_MEMBER_READY);
    }
    se_sized_give(&own, sizeof(own), ret, size);
}

_Static_assert((int)SPATE_POOL_OPEN == (int)SE_BREAKER_OPEN &&
                   (int)SPATE_POOL_HALF_OPEN == (int)SE_BREAKER_HALF_OPEN,
               "one is cast to the other");

int spate_pool_peer_stats_sized(const struct spate_pool *pool, uint64_t peer_id,
                                struct spate_pool_peer_stats *ret, size_t size)
{
    const struct se_pool_peer *peer = se_pool_find(&pool->core, peer_id);
    if (peer == NULL)
        return -ENOENT;
    const struct se_breaker *breaker = &peer->breaker;
    struct spate_pool_peer_stats own = {
        .breaker = (enum spate_pool_breaker)breaker->state,
        .conns_now = conns_of(peer),
        .conns_ready_now = se_pool_peer_count(peer, SE_MEMBER_READY),
        .is_draining = peer->is_draining,
        .failures = breaker->failures,
        .openings = breaker->openings,
        .next_try_ns = breaker->state == SE_BREAKER_OPEN ? breaker->until_ns : SPATE_FOREVER,
    };
    for (uint32_t i = 0; i < peer->member_count; i++) {
        struct se_member_load load;
        if (peer->members[i].state != SE_MEMBER_READY)
            continue;
        op_look(NULL, peer->members[i].handle, &load);
        own.streams_now += load.streams;
        if (own.rtt_ns == 0 || load.rtt_ns < own.rtt_ns)
            own.rtt_ns = load.rtt_ns;
    }
    se_sized_give(&own, sizeof(own), ret, size);
    return 0;
}

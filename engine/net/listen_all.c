/* SPDX-License-Identifier: MIT */
#include <spate/shards.h>

/* One listener of all shards.
 *
 * The calling thread opens a socket for each shard: they get one port, and if one cannot be opened
 * there is none.  Then each shard adopts its socket on its own thread, by a post, and the caller
 * waits for all of them.  A shard of the caller's, or of nobody yet, does so at once.  What arrives
 * between the two waits in the sockets.
 *
 * Closing must not fail or block: it sets a flag of the listener, and asks each shard to look for
 * it.  The listener's memory is shared by the handle of the application and by one port per shard;
 * the last one frees it. */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <spate/settings.h>

#include "engine/base/clock.h"
#include "engine/base/path.h"
#include "engine/config/config.h"
#include "engine/net/inherit.h"
#include "engine/net/listen_all.h"
#include "engine/shard/engine.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

/* While a shard has too many posts: how long to wait for room, and how often to look. */
#define POST_PATIENCE_NS SB_S
#define POST_PAUSE_NS    (1 * SB_MS)

struct spate_engine_listener {
    struct sb_link link; /* engine->listeners, under engine->lock */
    struct spate_engine *engine;
    struct su_address address;
    atomic_uint ref_count;
    /* P1: set, with release, before the shards are asked; C1: each shard reads it with acquire. */
    atomic_bool is_closed;
    struct spate_listener *parts[SE_SHARDS_MAX]; /* written before the handle is handed out */
};

struct job;

struct part {
    struct job *job;
    struct su_socket socket;
    int result; /* under job->lock */
    struct spate_error error;
};

/* A call of spate_engine_listen(): on the heap because of its size, freed by the caller. */
struct job {
    struct spate_engine_listener *listener;
    struct spate_listen_options options;
    bool is_shared;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t pending_count; /* under lock: parts that have no result yet */
    uint32_t part_count;    /* whose sockets are open */
    struct part parts[SE_SHARDS_MAX];
};

void se_listen_all_unref(struct spate_engine_listener *listener)
{
    if (listener != NULL && atomic_fetch_sub(&listener->ref_count, 1) == 1)
        free(listener);
}

/* ---- On a shard's thread ---- */

static int adopt(struct spate_shard *shard, struct part *part)
{
    struct job *job = part->job;
    bool has_ended = shard->error != 0 || atomic_load(&shard->engine->is_stopping);
    if (has_ended || se_shutdown_has_begun(&shard->shutdown)) {
        se_error_set(&part->error, "shard %u %s", shard->index,
                     has_ended ? "has ended" : "is shutting down");
        return -ESHUTDOWN;
    }
    struct se_port *port;
    int result = se_port_adopt(shard, &part->socket, job->is_shared, &port, &part->error);
    if (result != 0)
        return result;
    part->socket = SU_SOCKET_CLOSED;
    struct spate_listener *listener = se_listen_begin(port, &job->options);
    atomic_fetch_add(&job->listener->ref_count, 1);
    listener->whole = job->listener;
    job->listener->parts[shard->index] = listener;
    return 0;
}

static void finish(struct part *part, int result)
{
    struct job *job = part->job;
    (void)pthread_mutex_lock(&job->lock);
    part->result = result;
    job->pending_count--;
    (void)pthread_cond_signal(&job->changed);
    (void)pthread_mutex_unlock(&job->lock);
}

static void adopt_by_post(struct spate_shard *shard, void *argument)
{
    struct part *part = argument;
    finish(part, adopt(shard, part));
}

void se_listen_all_close(struct spate_shard *shard)
{
    for (uint64_t left = shard->ports_used; left != 0; left &= left - 1) {
        struct se_port *port = &shard->ports[__builtin_ctzll(left)];
        struct spate_engine_listener *whole = port->listener.whole;
        bool is_closed =
            whole != NULL && atomic_load_explicit(&whole->is_closed, memory_order_acquire); /* C1 */
        if (is_closed && port->state == SE_PORT_OPEN)
            se_port_abandon(port);
    }
}

/* ---- On the caller's thread ---- */

/* Returns true if the caller may act for the shard: it runs it, or nobody does yet. */
static bool is_here(const struct spate_shard *shard)
{
    bool is_starting = atomic_load(&shard->owner_tid) == 0 && atomic_load(&shard->is_threaded);
    return !is_starting && se_shard_is_mine(shard);
}

static int open_sockets(struct job *job, const struct se_listen_at *where,
                        struct spate_error *error)
{
    struct spate_engine *engine = job->listener->engine;
    struct se_listen_at at = *where;
    for (uint32_t i = 0; i < engine->config.shard_count; i++) {
        struct part *part = &job->parts[i];
        int result =
            se_listening_open(engine->shards[i], &at, job->is_shared, &part->socket, error);
        if (result != 0)
            return result;
        part->job = job;
        job->part_count++;
        at.address = part->socket.local; /* the others get the port that the first one got */
    }
    job->listener->address = at.address;
    return 0;
}

static int post_patiently(struct spate_shard *shard, struct part *part)
{
    const struct se_post post = {.function = adopt_by_post, .argument = part};
    uint64_t end_ns = se_clock_now_ns() + POST_PATIENCE_NS;
    int result;
    while ((result = se_shard_push_post(shard, &post)) == -EAGAIN && se_clock_now_ns() < end_ns)
        se_clock_sleep(POST_PAUSE_NS);
    if (result != 0)
        se_error_set(&part->error, "shard %u %s", shard->index,
                     result == -EAGAIN ? "has too many posts" : "has ended");
    return result;
}

/* Returns 0, or the error of the first shard that has one. */
static int adopt_all(struct job *job, struct spate_error *error)
{
    struct spate_engine *engine = job->listener->engine;
    job->pending_count = job->part_count;
    for (uint32_t i = 0; i < job->part_count; i++) {
        struct part *part = &job->parts[i];
        struct spate_shard *shard = engine->shards[i];
        bool is_own = is_here(shard);
        int result = is_own ? adopt(shard, part) : post_patiently(shard, part);
        if (is_own || result != 0)
            finish(part, result);
    }
    (void)pthread_mutex_lock(&job->lock);
    while (job->pending_count > 0)
        (void)pthread_cond_wait(&job->changed, &job->lock);
    (void)pthread_mutex_unlock(&job->lock);
    for (uint32_t i = 0; i < job->part_count; i++) {
        if (job->parts[i].result == 0)
            continue;
        se_error_set(error, "%s", job->parts[i].error.text);
        return job->parts[i].result;
    }
    return 0;
}

/* Closes the parts of the shards: here, or in their next turns. */
static void close_parts(struct spate_engine_listener *listener)
{
    struct spate_engine *engine = listener->engine;
    atomic_store_explicit(&listener->is_closed, true, memory_order_release); /* P1 */
    for (uint32_t i = 0; i < engine->config.shard_count; i++) {
        if (is_here(engine->shards[i]))
            se_listen_all_close(engine->shards[i]);
        else
            se_shard_call(engine->shards[i], SE_CALL_LISTENERS);
    }
}

static void close_sockets(struct job *job)
{
    struct spate_engine *engine = job->listener->engine;
    for (uint32_t i = 0; i < job->part_count; i++)
        if (job->parts[i].socket.fd != SU_SOCKET_CLOSED.fd)
            se_listening_close(engine->shards[i], &job->parts[i].socket, job->is_shared);
}

static int listen_at(struct job *job, const struct se_listen_at *at, struct spate_error *error)
{
    struct spate_engine *engine = job->listener->engine;
    int result = open_sockets(job, at, error);
    if (result == 0)
        result = adopt_all(job, error);
    if (result != 0) {
        close_parts(job->listener);
        close_sockets(job);
        return result;
    }
    (void)pthread_mutex_lock(&engine->lock);
    sb_list_push_back(&engine->listeners, &job->listener->link);
    (void)pthread_mutex_unlock(&engine->lock);
    return 0;
}

static int listen_once(struct spate_engine *engine, const struct spate_listen_options *options,
                       struct spate_engine_listener **ret, struct spate_error *error)
{
    struct se_listen_at at;
    int result = se_listen_check(engine->shards[0], options, &at, error);
    if (result != 0)
        return result;
    struct job *job = calloc(1, sizeof(*job));
    struct spate_engine_listener *listener = calloc(1, sizeof(*listener));
    if (job == NULL || listener == NULL) {
        free(job);
        free(listener);
        return -ENOMEM;
    }
    sb_list_init(&listener->link);
    listener->engine = engine;
    atomic_init(&listener->ref_count, 1);
    job->listener = listener;
    job->options = *options;
    job->is_shared = se_port_is_shared(engine->shards[0]);
    (void)pthread_mutex_init(&job->lock, NULL);
    (void)pthread_cond_init(&job->changed, NULL);
    result = listen_at(job, &at, error);
    (void)pthread_cond_destroy(&job->changed);
    (void)pthread_mutex_destroy(&job->lock);
    free(job);
    if (result == 0)
        *ret = listener;
    else
        se_listen_all_unref(listener);
    return result;
}

int spate_engine_listen(struct spate_engine *engine, const struct spate_listen_options *given,
                        struct spate_engine_listener **ret, struct spate_error *error)
{
    struct spate_listen_options options = {0};
    int result = se_listen_take_options(given, &options, error);
    if (result != 0)
        return result;
    if (atomic_exchange(&engine->is_listening, true)) {
        se_error_set(error, "another thread calls spate_engine_listen()");
        return -EBUSY;
    }
    result = listen_once(engine, &options, ret, error);
    atomic_store(&engine->is_listening, false);
    return result;
}

int spate_engine_listener_address(const struct spate_engine_listener *listener,
                                  struct sockaddr_storage *ret, socklen_t *ret_size)
{
    struct sp_addr address;
    se_addr_from(&listener->address, &address);
    return se_address_to_user(&address, ret, ret_size);
}

struct spate_listener *spate_engine_listener_part(const struct spate_engine_listener *listener,
                                                  uint32_t index)
{
    return index < listener->engine->config.shard_count ? listener->parts[index] : NULL;
}

void spate_engine_listener_close(struct spate_engine_listener *listener)
{
    struct spate_engine *engine = listener->engine;
    (void)pthread_mutex_lock(&engine->lock);
    sb_list_remove(&listener->link);
    (void)pthread_mutex_unlock(&engine->lock);
    close_parts(listener);
    se_listen_all_unref(listener);
}

void se_listen_all_deinit(struct spate_engine *engine)
{
    struct sb_link *link;
    while ((link = sb_list_pop_front(&engine->listeners)) != NULL)
        se_listen_all_unref(SB_CONTAINER_OF(link, struct spate_engine_listener, link));
}

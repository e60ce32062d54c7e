/* SPDX-License-Identifier: MIT */
#include <spate/engine.h>

/* The engine: a set of shards, and the threads that run them in the mode with engine threads.
 *
 * A shard is stopped by its own thread, because only that thread may stop its ring.  Without engine
 * threads that is the thread that calls spate_engine_destroy(). */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <spate/conn.h>

#include "crypto/reset.h"
#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "engine/config/cpus.h"
#include "engine/config/crypto.h"
#include "engine/config/lent.h"
#include "engine/config/log.h"
#include "engine/config/settings.h"
#include "engine/config/sized.h"
#include "engine/net/listen_all.h"
#include "engine/net/shared_ports.h"
#include "engine/shard/backend.h"
#include "engine/shard/engine.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

enum {
    /* Batches of events between two turns: handlers raise events too, and must not keep
     * the shard from its network. */
    BATCHES_PER_TURN = 256,
};

const char *spate_version(void)
{
    return SPATE_VERSION;
}

uint32_t spate_version_number(void)
{
    return SPATE_VERSION_NUMBER;
}

/* ---- life ---- */

_Static_assert((int)SC_RESET_KEY_SIZE == SPATE_KEY_SIZE, "one key");

/* A key of zeros means that the engine makes one of its own. */
static void fill_if_unset(uint8_t key[SPATE_KEY_SIZE], struct se_entropy *entropy)
{
    static const uint8_t unset[SPATE_KEY_SIZE];
    if (memcmp(key, unset, sizeof(unset)) == 0)
        se_entropy_fill(entropy, key, SPATE_KEY_SIZE);
}

/* Returns zeroed pages for a shard: no other one, and nothing of the heap, shares a line with it.
 */
static struct spate_shard *make_memory(void)
{
    void *pages = mmap(NULL, sizeof(struct spate_shard), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static int make_shard(struct spate_engine *engine, uint32_t index, struct spate_error *error)
{
    struct spate_shard *shard = make_memory();
    if (shard == NULL)
        return -ENOMEM;
    shard->engine = engine;
    se_limit_init(&shard->limit, &engine->limit);
    shard->shared_ports = &engine->shared_ports;
    shard->handover = &engine->handover;
    shard->config = &engine->config;
    shard->fused = engine->fused;
    shard->index = index;
    shard->qlog = (struct se_qlog_shard){
        .log = engine->qlog,
        .ring = se_qlog_ring_of(engine->qlog, index),
        .record_count = &shard->counts.own.qlog_records,
        .dropped_count = &shard->counts.own.qlog_dropped,
    };
    se_shard_log_init(shard, &engine->log);
    int result = se_lb_keeper_begin(&engine->lb, shard);
    if (result != 0) {
        (void)munmap(shard, sizeof(*shard));
        return result;
    }
    engine->shards[engine->shards_made++] = shard; /* from here on unmake_shards() unmakes it */
    result = se_shard_init(shard, engine->config.reset_key, error);
    return result == 0 ? se_stat_init(shard, &engine->stat_file) : result;
}

/* Makes a shard, and takes its memory from the node of its CPU if it is pinned. */
static int make_shard_at_home(struct spate_engine *engine, uint32_t index,
                              struct spate_error *error)
{
    struct se_memory_policy policy = {.is_changed = false};
    if (engine->config.cpus != NULL)
        se_cpus_begin_node("", engine->config.cpus[index], &policy);
    int result = make_shard(engine, index, error);
    se_cpus_end_node(&policy);
    return result;
}

void se_engine_set_mask(struct spate_engine *engine, const uint8_t *reset_key)
{
    se_lb_keeper_set_mask(&engine->lb, reset_key);
    struct se_cid_form form = se_lb_keeper_form(&engine->lb);
    engine->shared_ports.byte = form.byte;
    engine->shared_ports.cid_size = form.size;
    for (uint32_t i = 0; i < engine->shards_made; i++)
        engine->shards[i]->own_cids.form = form;
}

static int make_shards(struct spate_engine *engine, struct spate_error *error)
{
    struct se_entropy entropy;
    int result = se_entropy_init(&entropy);
    if (result != 0)
        return result;
    fill_if_unset(engine->config.token_key, &entropy);
    fill_if_unset(engine->config.reset_key, &entropy);
    se_entropy_fill(&entropy, &engine->shared_ports.tag, sizeof(engine->shared_ports.tag));
    se_entropy_deinit(&entropy);
    se_engine_set_mask(engine, engine->config.reset_key);

    for (uint32_t i = 0; i < engine->config.shard_count && result == 0; i++)
        result = make_shard_at_home(engine, i, error);
    if (engine->config.hand_over) {
        memcpy(engine->handover.token_key, engine->config.token_key, SPATE_KEY_SIZE);
        memcpy(engine->handover.reset_key, engine->config.reset_key, SPATE_KEY_SIZE);
    }
    return result;
}

static void unmake_shards(struct spate_engine *engine)
{
    for (uint32_t i = 0; i < engine->shards_made; i++) {
        se_shard_deinit(engine->shards[i]);
        (void)munmap(engine->shards[i], sizeof(struct spate_shard));
    }
    engine->shards_made = 0;
}

/* Makes the shards.  If io_uring is refused, or not all of them fit into the limits of this process
 * with it, and the configuration leaves the choice to us, makes all of them with mmsg.  Nothing is
 * tried before: what a ring that is made twice takes is a tenth of a client's life. */
static int choose_and_make_shards(struct spate_engine *engine, struct spate_error *error)
{
    bool is_auto = engine->config.backend == SPATE_BACKEND_AUTO;
    bool may_fall_back = is_auto && engine->config.lent_ring == NULL;
    if (is_auto)
        engine->config.backend = SPATE_BACKEND_IO_URING;
    int result = make_shards(engine, may_fall_back ? NULL : error);
    if (result == 0 || !may_fall_back)
        return result;
    struct spate_error reason = {""};
    se_backend_explain(result, &reason);
    unmake_shards(engine);
    engine->config.backend = SPATE_BACKEND_MMSG;
    result = make_shards(engine, error);
    if (result == 0)
        se_backend_warn(&reason, &engine->warning);
    return result;
}

static void log_start(const struct spate_engine *engine)
{
    if (engine->warning.text[0] != '\0')
        se_log_write(&engine->log, SPATE_LOG_WARNING, "%s", engine->warning.text);
    se_log_write(&engine->log, SPATE_LOG_INFO, "%u shards, %s, %s", engine->config.shard_count,
                 spate_backend_name(engine->config.backend), spate_engine_crypto(engine));
}

int spate_engine_create(const struct spate_config *given, struct spate_engine **ret,
                        struct spate_error *error)
{
    const struct sc_fused *fused = NULL;
    struct spate_config config;
    int result = se_config_take(given, &config, error);
    struct spate_lent_ring lent = {.size = sizeof(lent)};
    if (result == 0)
        result = se_lent_take(&config, &lent, error);
    if (result == 0)
        result = se_crypto_choose(config.crypto, &fused, error);
    if (result != 0)
        return result;

    struct spate_engine *engine = aligned_alloc(alignof(struct spate_engine), sizeof(*engine));
    if (engine == NULL)
        return -ENOMEM;
    memset(engine, 0, sizeof(*engine));
    engine->config = config;
    engine->config.quic_lb = NULL; /* it was copied */
    engine->config.stat_file = NULL;
    engine->config.qlog = NULL;
    engine->config.log = NULL;
    engine->lent = lent;
    engine->config.lent_ring = config.lent_ring != NULL ? &engine->lent : NULL;
    explicit_bzero(config.token_key, sizeof(config.token_key));
    explicit_bzero(config.reset_key, sizeof(config.reset_key));
    engine->given = config;
    engine->given.cpus = NULL;
    engine->given.quic_lb = NULL;
    engine->given.qlog = NULL;
    engine->given.log = NULL;
    engine->given.lent_ring = NULL;
    engine->given.stat_file = NULL;
    engine->fused = fused;
    struct se_cpus cpus = {.count = 0};
    if (se_cpus_matter(&engine->config))
        se_cpus_read(&cpus);
    bool is_pinned = se_cpus_choose(&cpus, &engine->config, engine->cpus);
    engine->config.cpus = is_pinned ? engine->cpus : NULL;
    sb_list_init(&engine->listeners);
    atomic_init(&engine->is_listening, false);
    (void)pthread_mutex_init(&engine->lock, NULL);
    (void)pthread_cond_init(&engine->changed, NULL);
    se_shared_ports_init(&engine->shared_ports);
    engine->shared_ports.is_tagged = config.hand_over;
    se_handover_init(&engine->handover, &engine->shared_ports, config.hand_over);
    atomic_init(&engine->is_stopping, false);
    se_engine_limit_set(&engine->limit, config.engine_rate_bytes_per_s_max, 0);

    engine->lb.has_tag = config.hand_over;
    result = se_lb_keeper_open(&engine->lb, config.quic_lb, engine->config.shard_count, error);
    if (result == 0)
        result = se_log_take(config.log, &engine->log, error);
    if (result == 0 && config.qlog != NULL)
        result = se_qlog_open(config.qlog, engine->config.shard_count, &engine->qlog, error);
    if (result == 0)
        result = se_stat_file_open(&engine->stat_file, config.stat_file, engine->config.shard_count,
                                   &engine->warning, error);
    if (result == 0)
        result = choose_and_make_shards(engine, error);
    explicit_bzero(engine->config.reset_key, SPATE_KEY_SIZE); /* each shard has its own */
    if (result != 0) {
        spate_engine_destroy(engine);
        return result;
    }
    log_start(engine);
    *ret = engine;
    return 0;
}

void spate_engine_destroy(struct spate_engine *engine)
{
    if (engine == NULL)
        return;
    /* Else the kernel would go on to write into memory that is freed here. */
    SB_ASSERT(engine->config.lent_ring == NULL || engine->shards_made == 0 ||
              se_shard_is_mine(engine->shards[0]));
    spate_engine_stop(engine);
    unmake_shards(engine);
    se_stat_file_close(&engine->stat_file);
    se_qlog_close(engine->qlog);
    se_listen_all_deinit(engine);
    explicit_bzero(engine->config.token_key, sizeof(engine->config.token_key));
    (void)pthread_cond_destroy(&engine->changed);
    se_shared_ports_deinit(&engine->shared_ports);
    se_lb_keeper_close(&engine->lb);
    se_handover_deinit(&engine->handover);
    (void)pthread_mutex_destroy(&engine->lock);
    free(engine);
}

void spate_engine_config_sized(const struct spate_engine *engine, struct spate_config *ret,
                               size_t size)
{
    struct spate_config own = engine->given;
    own.size = size;
    se_sized_give(&own, sizeof(own), ret, size);
}

int spate_settings_create(const struct spate_engine *engine, const struct spate_config *given,
                          struct spate_settings **ret, struct spate_error *error)
{
    struct spate_config own = engine->given; /* fields that the program does not know */
    int result = se_config_copy(given, &own, error);
    explicit_bzero(own.token_key, sizeof(own.token_key));
    explicit_bzero(own.reset_key, sizeof(own.reset_key));
    own.cpus = NULL;
    own.quic_lb = NULL;
    own.qlog = NULL;
    own.log = NULL;
    own.lent_ring = NULL;
    own.stat_file = NULL;
    if (result == 0)
        result = se_settings_make(&engine->given, &own, ret, error);
    if (result == 0)
        (*ret)->proto.cid_size = engine->shared_ports.cid_size; /* constant */
    return result;
}

int spate_engine_set_quic_lb(struct spate_engine *engine, const struct spate_quic_lb *lb,
                             struct spate_error *error)
{
    (void)pthread_mutex_lock(&engine->lock);
    int result = se_lb_keeper_change(&engine->lb, engine->shards, lb, error);
    (void)pthread_mutex_unlock(&engine->lock);
    return result;
}

int spate_engine_set_rate_limit(struct spate_engine *engine, uint64_t bytes_per_s)
{
    if (!se_config_is_rate(bytes_per_s))
        return -EINVAL;
    (void)pthread_mutex_lock(&engine->lock); /* against se_engine_begin_host_clock() */
    se_engine_limit_set(&engine->limit, bytes_per_s, se_shard_clock_ns(engine->shards[0]));
    (void)pthread_mutex_unlock(&engine->lock);
    for (uint32_t i = 0; i < engine->config.shard_count; i++) /* who waits may have to wait less */
        spate_shard_wake(engine->shards[i]);
    return 0;
}

void se_engine_begin_host_clock(struct spate_engine *engine, uint64_t now_ns)
{
    (void)pthread_mutex_lock(&engine->lock);
    se_engine_limit_begin(&engine->limit);
    atomic_store_explicit(&engine->shards[0]->hosted.now_ns, now_ns, memory_order_relaxed);
    (void)pthread_mutex_unlock(&engine->lock);
}

enum spate_backend spate_engine_backend(const struct spate_engine *engine)
{
    return engine->config.backend;
}

const char *spate_engine_crypto(const struct spate_engine *engine)
{
    return engine->fused != NULL ? engine->fused->name : "openssl";
}

const char *spate_engine_warning(const struct spate_engine *engine)
{
    return engine->warning.text[0] != '\0' ? engine->warning.text : NULL;
}

uint32_t spate_engine_shard_count(const struct spate_engine *engine)
{
    return engine->config.shard_count;
}

struct spate_shard *spate_engine_shard(struct spate_engine *engine, uint32_t index)
{
    return index < engine->config.shard_count ? engine->shards[index] : NULL;
}

int spate_engine_post_conn(struct spate_engine *engine, uint64_t conn_id,
                           void (*function)(struct spate_shard *shard, struct spate_conn *conn,
                                            void *argument),
                           void *argument)
{
    uint32_t index = se_id_shard(conn_id);
    if (index >= engine->config.shard_count || se_id_generation(conn_id) == 0)
        return -EINVAL;
    const struct se_post post = {.on_conn = function, .argument = argument, .conn_id = conn_id};
    return se_shard_push_post(engine->shards[index], &post);
}

/* ---- threads ---- */

static void report(struct se_thread *thread, enum se_thread_state state, int result)
{
    struct spate_engine *engine = thread->engine;
    (void)pthread_mutex_lock(&engine->lock);
    thread->state = state;
    thread->result = result;
    (void)pthread_cond_signal(&engine->changed);
    (void)pthread_mutex_unlock(&engine->lock);
}

/* Waits until the thread is no longer in `state`, and returns its result. */
static int wait_while(struct se_thread *thread, enum se_thread_state state)
{
    struct spate_engine *engine = thread->engine;
    (void)pthread_mutex_lock(&engine->lock);
    while (thread->state == state)
        (void)pthread_cond_wait(&engine->changed, &engine->lock);
    int result = thread->result;
    (void)pthread_mutex_unlock(&engine->lock);
    return result;
}

static void hand_out_events(struct spate_shard *shard, const struct spate_handlers *handlers)
{
    for (uint32_t i = 0; i < BATCHES_PER_TURN; i++) {
        uint32_t count;
        const struct spate_event *events = se_events_take(shard, SE_EVENTS_MAX, &count);
        if (count == 0)
            return;
        handlers->on_events(shard, events, count, handlers->user);
    }
}

/* Runs turns until the engine is stopped, or the ring fails. */
static void run_turns(struct se_thread *thread)
{
    struct spate_shard *shard = thread->shard;
    const struct spate_handlers *handlers = &thread->engine->handlers;
    bool is_shut_down = false;
    while (!atomic_load(&thread->engine->is_stopping)) {
        int result = se_shard_turn(shard, SPATE_FOREVER);
        if (result < 0) {
            if (handlers->on_error != NULL)
                handlers->on_error(shard, result, handlers->user);
            report(thread, SE_THREAD_FAILED, result);
            return;
        }
        hand_out_events(shard, handlers);
        if (SB_UNLIKELY(shard->shutdown.state == SE_SHUTDOWN_DONE) && !is_shut_down) {
            is_shut_down = true;
            report(thread, SE_THREAD_SHUT_DOWN, 0);
        }
    }
}

/* As "top -H" shows it. */
static void name_thread(const struct spate_shard *shard)
{
    char name[16]; /* the kernel's limit */
    (void)snprintf(name, sizeof(name), "spate/%u", shard->index);
    (void)pthread_setname_np(pthread_self(), name);
}

static void *run(void *argument)
{
    struct se_thread *thread = argument;
    struct spate_shard *shard = thread->shard;
    const struct spate_handlers *handlers = &thread->engine->handlers;

    name_thread(shard);
    int result = se_shard_bind(shard);
    if (result == 0 && handlers->on_start != NULL)
        result = handlers->on_start(shard, handlers->user);
    report(thread, result == 0 ? SE_THREAD_RUNS : SE_THREAD_FAILED, result);

    if (result == 0) {
        run_turns(thread);
        se_shard_close_queues(shard);
        if (handlers->on_stop != NULL)
            handlers->on_stop(shard, handlers->user);
    }
    se_shard_close_queues(shard); /* if it did not start */
    se_shard_stop(shard);
    return NULL;
}

static int start_thread(struct se_thread *thread, const int *cpu)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return -EAGAIN;
    int result = 0;
    if (cpu != NULL) {
        cpu_set_t set;
        CPU_ZERO(&set);
        if (*cpu < CPU_SETSIZE)
            CPU_SET((size_t)*cpu, &set);
        result = pthread_attr_setaffinity_np(&attributes, sizeof(set), &set);
    }
    thread->state = SE_THREAD_STARTING;
    if (result == 0)
        result = pthread_create(&thread->thread, &attributes, run, thread);
    (void)pthread_attr_destroy(&attributes);
    if (result != 0)
        thread->state = SE_THREAD_NONE;
    return -result;
}

/* The threads take no signals: those are the application's. */
static int start_threads(struct spate_engine *engine, struct spate_error *error)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = 0;
    /* All of them before the first thread: its on_start may listen with all shards. */
    for (uint32_t i = 0; i < engine->config.shard_count; i++)
        atomic_store(&engine->shards[i]->is_threaded, true);
    for (uint32_t i = 0; i < engine->config.shard_count && result == 0; i++) {
        struct se_thread *thread = &engine->threads[i];
        const int *cpu = engine->config.cpus != NULL ? &engine->cpus[i] : NULL;
        thread->engine = engine;
        thread->shard = engine->shards[i];
        result = start_thread(thread, cpu);
        /* Another shard's on_start may wait for those that have no thread. */
        for (uint32_t k = i; result != 0 && k < engine->config.shard_count; k++)
            se_shard_close_queues(engine->shards[k]);
        if (result == 0)
            engine->thread_count++;
        else if (cpu != NULL)
            se_error_set(error, "no thread for shard %u on CPU %d: %s", i, *cpu,
                         strerrordesc_np(-result));
        else
            se_error_set(error, "no thread for shard %u: %s", i, strerrordesc_np(-result));
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int spate_engine_start(struct spate_engine *engine, const struct spate_handlers *handlers,
                       struct spate_error *error)
{
    if (engine->was_started) {
        se_error_set(error, "the engine was started before");
        return -EBUSY;
    }
    for (uint32_t i = 0; i < engine->config.shard_count; i++) {
        if (atomic_load(&engine->shards[i]->owner_tid) == 0)
            continue;
        se_error_set(error, "spate_shard_turn() was called on shard %u before", i);
        return -EBUSY;
    }
    static const struct se_sized shape = {
        "spate_handlers",
        SE_SIZE_THROUGH(struct spate_handlers, user),
        sizeof(struct spate_handlers),
    };
    struct spate_handlers own = {.size = sizeof(own)};
    int result = se_sized_take(&shape, handlers, &own, error);
    if (result != 0)
        return result;
    if (engine->config.backend == SPATE_BACKEND_HOST || engine->config.lent_ring != NULL) {
        se_error_set(error, "%s",
                     engine->config.lent_ring != NULL
                         ? "lent_ring: your thread runs the turns, see spate/ring.h"
                         : "SPATE_BACKEND_HOST: your thread runs the turns, see spate/io.h");
        return -EINVAL;
    }
    if (own.on_events == NULL) {
        se_error_set(error, "on_events is NULL");
        return -EINVAL;
    }
    engine->handlers = own;
    engine->was_started = true;
    result = start_threads(engine, error);
    for (uint32_t i = 0; i < engine->thread_count; i++) {
        int started = wait_while(&engine->threads[i], SE_THREAD_STARTING);
        if (started != 0 && result == 0) {
            result = started;
            se_error_set(error, "shard %u did not start: %s", i,
                         started < 0 ? strerrordesc_np(-started) : "its on_start said so");
        }
    }
    if (result != 0)
        spate_engine_stop(engine);
    return result;
}

int spate_engine_shutdown(struct spate_engine *engine, uint64_t timeout_ns, uint64_t error,
                          const char *reason)
{
    struct se_shutdown_args args;
    int result = se_shutdown_args_init(&args, se_clock_now_ns(), timeout_ns, error, reason);
    if (result != 0)
        return result;
    if (engine->thread_count == 0)
        return -EINVAL;
    for (uint32_t i = 0; i < engine->thread_count; i++) {
        struct spate_shard *shard = engine->shards[i];
        shard->shutdown_wanted = args;
        se_shard_call(shard, SE_CALL_SHUTDOWN);
    }
    for (uint32_t i = 0; i < engine->thread_count; i++) {
        int ended = wait_while(&engine->threads[i], SE_THREAD_RUNS);
        result = result == 0 ? ended : result;
    }
    spate_engine_stop(engine);
    return result;
}

void spate_engine_stop(struct spate_engine *engine)
{
    atomic_store(&engine->is_stopping, true);
    for (uint32_t i = 0; i < engine->thread_count; i++)
        spate_shard_wake(engine->shards[i]);
    for (uint32_t i = 0; i < engine->thread_count; i++)
        (void)pthread_join(engine->threads[i].thread, NULL);
    engine->thread_count = 0;
}

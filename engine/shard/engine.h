/* SPDX-License-Identifier: MIT */
#ifndef SE_ENGINE_H
#define SE_ENGINE_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

#include <spate/engine.h>
#include <spate/log.h>
#include <spate/ring.h>

#include "engine/base/limit.h"
#include "engine/config/config.h"
#include "engine/net/handover.h"
#include "engine/net/shared_ports.h"
#include "engine/qlog/log.h"
#include "engine/shard/lb_keeper.h"
#include "engine/shard/stat_file.h"
#include "proto/base/compiler.h"
#include "proto/base/list.h"

struct sc_fused;

/* What the shards of an engine share.
 *
 * Each shard has memory of its own, on pages of its own.  What shards read in each turn does not
 * change after spate_engine_create() and spate_engine_start(); what any thread writes stands on
 * cache lines apart from that: test_layout.c. */

enum se_thread_state {
    SE_THREAD_NONE,
    SE_THREAD_STARTING,
    SE_THREAD_RUNS,
    SE_THREAD_SHUT_DOWN, /* after spate_engine_shutdown(), no connection is left */
    SE_THREAD_FAILED,    /* on_start, or the ring */
};

struct se_thread {
    struct spate_engine *engine;
    struct spate_shard *shard;
    pthread_t thread;
    enum se_thread_state state; /* under engine->lock */
    int result;                 /* under engine->lock */
};

struct spate_engine {
    struct spate_config config;                /* backend and shard_count: those that were chosen */
    struct spate_config given;                 /* as it was given, without keys and CPUs */
    struct spate_lent_ring lent;               /* config.lent_ring points here if there is one */
    const struct sc_fused *fused;              /* what seals packets with AES-GCM; NULL: OpenSSL */
    struct spate_error warning;                /* empty: none */
    struct se_qlog_log *qlog;                  /* NULL: none */
    struct spate_log log;                      /* without `write` if nobody wants it */
    int cpus[SE_SHARDS_MAX];                   /* if config.cpus is set: of the shards' threads */
    struct se_stat_file stat_file;             /* of all shards */
    struct spate_shard *shards[SE_SHARDS_MAX]; /* the first shards_made of them */
    uint32_t shards_made;
    bool was_started;
    struct spate_handlers handlers;

    alignas(SB_CACHE_LINE) atomic_bool is_stopping; /* each turn reads it */
    alignas(SB_CACHE_LINE) struct se_engine_limit limit;
    alignas(SB_CACHE_LINE) struct se_shared_ports shared_ports;
    struct se_handover handover;
    alignas(SB_CACHE_LINE) atomic_bool is_listening; /* in spate_engine_listen() */
    pthread_mutex_t lock; /* guards `listeners`, and the threads' state and result */
    pthread_cond_t changed;
    struct sb_link listeners; /* that were not closed: engine/net/listen_all.c */
    struct se_thread threads[SE_SHARDS_MAX];
    uint32_t thread_count;  /* threads that must be joined */
    struct se_lb_keeper lb; /* `lock` guards it */
};

/* Has the CIDs of all shards masked by what follows from a reset key: the engine's, or that of the
 * process that it takes over from.  No shard runs. */
void se_engine_set_mask(struct spate_engine *engine, const uint8_t *reset_key);

/* Its only shard goes by the host's clock from now on, where the engine's rate limit went by the
 * system's. */
void se_engine_begin_host_clock(struct spate_engine *engine, uint64_t now_ns);

#endif

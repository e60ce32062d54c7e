/* SPDX-License-Identifier: MIT */
#include "engine/qlog/log.h"

/* The shard's side of qlog: which connections are recorded, and their sinks.
 *
 * A sink belongs to its shard.  A slot names its connection in the ring and in the table of files;
 * it is free again when the thread has read the end of the connection.  What can be attacked: each
 * first packet of a client makes a connection, and with it a sink.  They are bounded by the slots,
 * and make no files before a ClientHello was read. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/entropy.h"
#include "engine/config/config.h"
#include "engine/qlog/log_impl.h"

struct sink {
    struct sp_qlog qlog;
    struct se_qlog_shard *shard;
    uint32_t slot;
    uint64_t dropped_count; /* records since the last one that was put into the ring */
};

static bool put(struct sink *sink, const uint8_t *record, size_t size)
{
    bool is_put = se_qlog_ring_put(sink->shard->ring, sink->slot, record, size);
    *sink->shard->record_count += is_put;
    return is_put;
}

/* Tells the file what it lacks, before anything else. */
static bool put_dropped(struct sp_qlog *qlog)
{
    struct sink *sink = SB_CONTAINER_OF(qlog, struct sink, qlog);
    uint8_t bytes[32];
    struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
    sb_writer_u8(&w, SP_QLOG_OMITTED);
    sb_writer_u64(&w, qlog->now_ns);
    sb_writer_u8(&w, 1);
    sb_writer_u8(&w, 0);
    sb_writer_varint(&w, sink->dropped_count);
    if (!put(sink, bytes, sb_writer_used(&w)))
        return false;
    sink->dropped_count = 0;
    return true;
}

static void write_record(struct sp_qlog *qlog, const uint8_t *record, size_t size)
{
    struct sink *sink = SB_CONTAINER_OF(qlog, struct sink, qlog);
    if ((sink->dropped_count == 0 || put_dropped(qlog)) && put(sink, record, size))
        return;
    sink->dropped_count++;
    ++*sink->shard->dropped_count;
}

static bool is_wanted(const struct se_qlog_log *log, const struct sp_addr *peer)
{
    for (uint32_t i = 0; i < log->prefix_count; i++) {
        const struct se_qlog_prefix *prefix = &log->prefixes[i];
        uint32_t bytes = prefix->bits / 8, bits = prefix->bits % 8;
        if (prefix->family == peer->family && memcmp(prefix->ip, peer->ip, bytes) == 0 &&
            (bits == 0 || (prefix->ip[bytes] ^ peer->ip[bytes]) >> (8 - bits) == 0))
            return true;
    }
    return log->prefix_count == 0;
}

/* Returns a free slot, which is the caller's then, or files_max. */
static uint32_t take_slot(struct se_qlog_log *log)
{
    uint32_t slot = 0;
    for (; slot < log->config.files_max; slot++) {
        uint8_t nobody = 0;
        /* Acquire, pairs with the writer's release: its file is closed. */
        if (atomic_load_explicit(&log->slots[slot], memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&log->slots[slot], &nobody, 1,
                                                    memory_order_acquire, memory_order_relaxed))
            break;
    }
    return slot;
}

static struct sp_qlog *begin(struct se_qlog_shard *shard, const struct sp_addr *peer,
                             struct se_entropy *entropy)
{
    struct se_qlog_log *log = shard->log;
    uint32_t drawn;
    se_entropy_fill(entropy, &drawn, sizeof(drawn));
    if (!is_wanted(log, peer) || drawn % log->config.one_in != 0)
        return NULL;
    uint32_t slot = take_slot(log);
    if (slot == log->config.files_max)
        return NULL;
    struct sink *sink = calloc(1, sizeof(*sink));
    if (sink == NULL || !se_qlog_ring_open(shard->ring)) {
        free(sink);
        atomic_store_explicit(&log->slots[slot], 0, memory_order_relaxed);
        return NULL;
    }
    sink->qlog.write = write_record;
    sink->qlog.has_datagrams = log->config.udp_datagrams;
    sink->shard = shard;
    sink->slot = slot;
    return &sink->qlog;
}

struct sp_qlog *se_qlog_begin(struct se_qlog_shard *shard, const struct sp_addr *peer,
                              struct se_entropy *entropy)
{
    return SB_LIKELY(shard->log == NULL) ? NULL : begin(shard, peer, entropy);
}

void se_qlog_end(struct sp_qlog *qlog)
{
    if (SB_LIKELY(qlog == NULL))
        return;
    struct sink *sink = SB_CONTAINER_OF(qlog, struct sink, qlog);
    se_qlog_ring_end(sink->shard->ring, sink->slot);
    free(sink);
}

void se_qlog_alpn(struct sp_qlog *qlog, const char *alpn)
{
    if (SB_LIKELY(qlog == NULL))
        return;
    const struct sp_qlog_record record = {
        .kind = SP_QLOG_ALPN,
        .text_count = 1,
        .texts = {{(const uint8_t *)alpn, strlen(alpn)}},
    };
    sp_qlog_write(qlog, &record);
}

uint64_t se_qlog_errors(const struct se_qlog_shard *shard, int *ret_error)
{
    if (SB_LIKELY(shard->log == NULL))
        return 0;
    uint64_t index = (uint64_t)(shard->ring - shard->log->rings);
    /* Acquire, pairs with the release in refuse() of writer.c: the error was stored before. */
    uint64_t count = atomic_load_explicit(&shard->log->refused_counts[index], memory_order_acquire);
    if (count > 0)
        *ret_error = atomic_load_explicit(&shard->log->refused_errno, memory_order_relaxed);
    return count;
}

struct se_qlog_ring *se_qlog_ring_of(struct se_qlog_log *log, uint32_t shard)
{
    return log != NULL ? &log->rings[shard] : NULL;
}

int se_qlog_open(const struct spate_qlog *given, uint32_t shard_count, struct se_qlog_log **ret,
                 struct spate_error *error)
{
    struct se_qlog_log *log = calloc(1, sizeof(*log));
    if (log == NULL)
        return -ENOMEM;
    log->folder = -1;
    log->shard_count = shard_count;
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_cond_init(&log->stop, NULL);
    int result = se_qlog_take(given, log, error);
    if (result == 0) {
        size_t rings_size = shard_count * sizeof(log->rings[0]);
        log->rings = aligned_alloc(alignof(struct se_qlog_ring), rings_size);
        log->slots = calloc(log->config.files_max, sizeof(log->slots[0]));
        log->refused_counts = calloc(shard_count, sizeof(log->refused_counts[0]));
        if (log->rings != NULL)
            memset(log->rings, 0, rings_size);
        bool has_all = log->rings != NULL && log->slots != NULL && log->refused_counts != NULL;
        result = has_all ? 0 : -ENOMEM;
    }
    for (uint32_t i = 0; i < shard_count && result == 0; i++)
        result = se_qlog_ring_init(&log->rings[i], log->config.ring_bytes) ? 0 : -ENOMEM;
    if (result == 0)
        result = se_qlog_start(log);
    if (result != 0) {
        se_qlog_close(log);
        return result;
    }
    *ret = log;
    return 0;
}

void se_qlog_close(struct se_qlog_log *log)
{
    if (log == NULL)
        return;
    se_qlog_stop(log);
    for (uint32_t i = 0; i < log->shard_count && log->rings != NULL; i++)
        se_qlog_ring_deinit(&log->rings[i]);
    free(log->rings);
    free(log->slots);
    free(log->refused_counts);
    if (log->folder >= 0)
        (void)close(log->folder);
    (void)pthread_cond_destroy(&log->stop);
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}

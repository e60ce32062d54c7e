/* SPDX-License-Identifier: MIT */
#include <spate/stats.h>

/* Collects a shard's statistics from the modules that count them.
 *
 * Each line of SPATE_SHARD_STATS names the kind of its field; the macro GATHER_<kind> reads it.
 * A field that its source does not have is a compile error. */

#include "engine/config/sized.h"
#include "engine/shard/shard.h"

struct sources {
    const struct se_memory *memory;
    const struct su_ring_counts *ring;
    const struct su_send_counts *send;
    struct su_recv_counts receive; /* of all ports, open and closed */
    const struct se_conns_sum *conns;
};

static struct sources sources_of(const struct spate_shard *shard, const struct se_conns_sum *conns)
{
    struct sources sources = {
        .memory = &shard->memory,
        .ring = &shard->ring.counts,
        .send = &shard->send.counts,
        .receive = shard->counts.recv_closed,
        .conns = conns,
    };
    for (uint64_t left = shard->ports_used; left != 0; left &= left - 1)
        su_recv_counts_add(&sources.receive,
                           &shard->ports[(uint32_t)__builtin_ctzll(left)].recv.counts);
    return sources;
}

static uint64_t conns_now(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return shard->conn_count;
}

static uint64_t handshakes_now(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return shard->budget.count;
}

static uint64_t draining_now(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return shard->tombstones.count;
}

static uint64_t memory_bytes_now(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return shard->memory.now_bytes;
}

static uint64_t memory_bytes_peak(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return shard->memory.peak_bytes;
}

static uint64_t turn_longest_ns(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return shard->turn_longest_ns;
}

static uint64_t quic_lb_nonces_left(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return se_cids_nonces_left(&shard->own_cids);
}

static uint64_t conns_with_old_cids(const struct spate_shard *shard, const struct sources *sources)
{
    (void)shard;
    return sources->conns->old_cids_count;
}

static uint64_t receive_slots_free(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return su_bufring_free_count(&shard->bufring);
}

static uint64_t transmit_slots_free(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return su_send_free_count(&shard->send);
}

static uint64_t events_now(const struct spate_shard *shard, const struct sources *sources)
{
    (void)sources;
    return se_events_count(&shard->events);
}

static uint64_t qlog_errors(const struct spate_shard *shard, const struct sources *sources)
{
    int error;
    (void)sources;
    return se_qlog_errors(&shard->qlog, &error);
}

/* All but GAUGE add, because a field may have two sources: the shard and its connections both count
 * copied_in_bytes. */
#define GATHER_SHARD(name)
#define GATHER_RING(name)    own.name += sources.ring->name;
#define GATHER_RECEIVE(name) own.name += sources.receive.name;
#define GATHER_SEND(name)    own.name += sources.send->name;
#define GATHER_CONNS(name)   own.name += sources.conns->stats->name;
#define GATHER_WAKE(name)    own.name += shard->wake.name;
#define GATHER_MEMORY(name)  own.name += sources.memory->name;
#define GATHER_GAUGE(name)   own.name = name(shard, &sources);
#define GATHER(kind, name)   GATHER_##kind(name)

const struct spate_histogram *spate_shard_histogram(const struct spate_shard *shard, uint32_t index)
{
    bool is_there = index < SE_HISTOGRAM_COUNT && shard->stages.histograms != NULL;
    return is_there ? &shard->stages.histograms[index] : NULL;
}

void se_metrics_gather(const struct spate_shard *shard, const struct se_conns_sum *conns,
                       struct spate_shard_stats *ret)
{
    struct sources sources = sources_of(shard, conns);
    struct spate_shard_stats own = shard->counts.own;
    SPATE_SHARD_STATS(GATHER)
    *ret = own;
}

void spate_shard_stats_sized(struct spate_shard *shard, struct spate_shard_stats *ret, size_t size)
{
    struct sp_stats sum = shard->counts.conns_closed;
    struct se_conns_sum conns = {.stats = &sum};
    struct spate_shard_stats own;
    SB_LIST_EACH(link, &shard->all) {
        const struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, all_link);
        struct sp_stats stats;
        sp_conn_stats(conn->proto, &stats);
        sp_stats_add(&sum, &stats);
        conns.old_cids_count += se_conn_has_old_cids(conn);
    }
    se_metrics_gather(shard, &conns, &own);
    se_sized_give(&own, sizeof(own), ret, size);
}

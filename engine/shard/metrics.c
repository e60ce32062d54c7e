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
    struct sp_stats conns;         /* of all connections, open and freed */
};

static struct sources sources_of(const struct spate_shard *shard)
{
    struct sources sources = {
        .memory = &shard->memory,
        .ring = &shard->ring.counts,
        .send = &shard->send.counts,
        .receive = shard->counts.recv_closed,
        .conns = shard->counts.conns_closed,
    };
    for (uint32_t i = 0; i < SE_PORTS_MAX; i++)
        if (shard->ports[i].state != SE_PORT_FREE)
            su_recv_counts_add(&sources.receive, &shard->ports[i].recv.counts);
    SB_LIST_EACH(link, &shard->all) {
        struct sp_stats stats;
        sp_conn_stats(SB_CONTAINER_OF(link, struct spate_conn, all_link)->proto, &stats);
        sp_stats_add(&sources.conns, &stats);
    }
    return sources;
}

static uint64_t conns_now(const struct spate_shard *shard)
{
    return shard->conn_count;
}

static uint64_t handshakes_now(const struct spate_shard *shard)
{
    return shard->budget.count;
}

static uint64_t draining_now(const struct spate_shard *shard)
{
    return shard->tombstones.count;
}

static uint64_t memory_bytes_now(const struct spate_shard *shard)
{
    return shard->memory.now_bytes;
}

static uint64_t memory_bytes_peak(const struct spate_shard *shard)
{
    return shard->memory.peak_bytes;
}

static uint64_t turn_longest_ns(const struct spate_shard *shard)
{
    return shard->turn_longest_ns;
}

static uint64_t quic_lb_nonces_left(const struct spate_shard *shard)
{
    return se_cids_nonces_left(&shard->own_cids);
}

static uint64_t conns_with_old_cids(const struct spate_shard *shard)
{
    uint64_t count = 0;
    SB_LIST_EACH(link, &shard->all)
        count += se_conn_has_old_cids(SB_CONTAINER_OF(link, struct spate_conn, all_link));
    return count;
}

/* All but GAUGE add, because a field may have two sources: the shard and its connections both count
 * copied_in_bytes. */
#define GATHER_SHARD(name)
#define GATHER_RING(name)    own.name += sources.ring->name;
#define GATHER_RECEIVE(name) own.name += sources.receive.name;
#define GATHER_SEND(name)    own.name += sources.send->name;
#define GATHER_CONNS(name)   own.name += sources.conns.name;
#define GATHER_MEMORY(name)  own.name += sources.memory->name;
#define GATHER_GAUGE(name)   own.name = name(shard);
#define GATHER(kind, name)   GATHER_##kind(name)

const struct spate_histogram *spate_shard_histogram(const struct spate_shard *shard, uint32_t index)
{
    return index < SE_HISTOGRAM_COUNT ? &shard->stages.histograms[index] : NULL;
}

void spate_shard_stats_sized(struct spate_shard *shard, struct spate_shard_stats *ret, size_t size)
{
    struct sources sources = sources_of(shard);
    struct spate_shard_stats own = shard->counts.own;
    SPATE_SHARD_STATS(GATHER)
    se_sized_give(&own, sizeof(own), ret, size);
}

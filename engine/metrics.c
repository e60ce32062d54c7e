/* SPDX-License-Identifier: MIT */
#include <spate/stats.h>

/* What a shard has counted, gathered from those who counted it. */

#include "engine/shard.h"
#include "engine/sized.h"
#include "proto/base/assert.h"

static void add_port(struct su_recv_counts *sum, const struct se_port *port)
{
    const struct su_recv_counts *counts = &port->recv.counts;
    sum->buffers += counts->buffers;
    sum->arms += counts->arms;
    sum->no_buffers += counts->no_buffers;
    sum->truncated += counts->truncated;
    sum->kernel_dropped += counts->kernel_dropped;
}

static void fill_receive(const struct spate_shard *shard, struct spate_shard_stats *ret)
{
    struct su_recv_counts sum = shard->counts.recv_closed;
    uint64_t first_arms = shard->counts.ports_closed;
    for (uint32_t i = 0; i < SE_PORTS_MAX; i++) {
        if (shard->ports[i].state == SE_PORT_FREE)
            continue;
        add_port(&sum, &shard->ports[i]);
        first_arms += shard->ports[i].recv.counts.arms > 0;
    }
    ret->datagrams_in = shard->counts.datagrams_in;
    ret->bytes_in = shard->counts.bytes_in;
    ret->receives = sum.buffers;
    ret->receive_enobufs = sum.no_buffers;
    ret->receive_rearms = sum.arms - SB_MIN(sum.arms, first_arms);
    ret->receive_truncated = sum.truncated;
    ret->kernel_drops = sum.kernel_dropped;
    ret->datagrams_copied = shard->counts.datagrams_copied;
    ret->copied_in_bytes = shard->counts.copied_bytes;
    ret->receive_dropped = shard->counts.receive_dropped;
    ret->unroutable = shard->counts.unroutable;
}

static void fill_send(const struct spate_shard *shard, struct spate_shard_stats *ret)
{
    const struct su_send_counts *counts = &shard->send.counts;
    ret->datagrams_out = counts->datagrams;
    ret->bytes_out = counts->bytes;
    ret->sends = counts->sends;
    ret->send_errors = counts->too_large + counts->queue_full + counts->refused +
                       counts->unreachable + counts->forbidden + counts->other_errors;
    ret->zero_copies = counts->zero_copies;
    ret->zero_copies_copied = counts->zero_copies_copied;
    ret->gso_fallbacks = counts->gso_refused;
}

static void fill_conns(const struct spate_shard *shard, struct spate_shard_stats *ret)
{
    const struct se_counts *counts = &shard->counts;
    ret->conns_accepted = counts->conns_accepted;
    ret->conns_refused = counts->conns_refused;
    ret->handshakes_dropped = counts->handshakes_dropped;
    ret->handshakes_done = counts->handshakes_done;
    ret->handshakes_failed = counts->handshakes_failed;
    ret->conns_now = shard->conn_count;
    ret->handshakes_now = shard->handshake_count;

    struct sp_stats sum = counts->conns_closed;
    SB_LIST_EACH(link, &shard->all)
        se_stats_add(&sum, SB_CONTAINER_OF(link, struct spate_conn, all_link)->proto);
    ret->packets_in = sum.packets_in;
    ret->packets_out = sum.packets_out;
    ret->packets_lost = sum.packets_lost;
    ret->placed_in_bytes = sum.placed_bytes;
    ret->copied_in_bytes += sum.placed_copied_bytes;
    ret->copied_out_bytes = sum.copied_bytes;
    ret->acks_in = sum.acks_in;
    ret->acks_out = sum.acks_out;
}

void spate_shard_stats_sized(struct spate_shard *shard, struct spate_shard_stats *ret, size_t size)
{
    struct spate_shard_stats own = {
        .turns = shard->counts.turns,
        .syscalls = shard->ring.counts.calls,
        .version_negotiations = shard->counts.version_negotiations,
        .stateless_resets = shard->counts.stateless_resets,
        .memory_bytes_now = shard->memory.now_bytes,
        .memory_bytes_peak = shard->memory.peak_bytes,
        .memory_blocks = shard->memory.taken_count,
        .sleeps = shard->counts.sleeps,
        .spun_ns = shard->counts.spun_ns,
    };
    fill_receive(shard, &own);
    fill_send(shard, &own);
    fill_conns(shard, &own);
    se_sized_give(&own, sizeof(own), ret, size);
}

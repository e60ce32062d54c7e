/* SPDX-License-Identifier: MIT */
#ifndef SP_STATS_H
#define SP_STATS_H

#include <stdint.h>

/* What a connection counts.  Monotonic since its start unless said otherwise. */
struct sp_stats {
    uint64_t datagrams_in;
    uint64_t bytes_in;          /* UDP payload */
    uint64_t packets_in;        /* opened and processed */
    uint64_t packets_dropped;   /* duplicates, undecryptable, malformed */
    uint64_t packets_duplicate; /* .. of which seen before */
    uint64_t datagrams_out;
    uint64_t bytes_out;
    uint64_t packets_out;
    uint64_t copied_bytes;     /* of packets before they were sealed: see sp_protect_ops.seal */
    uint64_t packets_lost;     /* declared lost by us */
    uint64_t packets_spurious; /* declared lost, acknowledged later */
    uint64_t acks_in;
    uint64_t acks_out;
    uint64_t ptos;
    uint64_t persistent_congestions;
    uint64_t key_updates;
    uint64_t stream_bytes_in;     /* first receipt only */
    uint64_t placed_bytes;        /* .. and told in lent memory */
    uint64_t placed_copied_bytes; /* copied to lent memory; the cipher wrote the others there */
    uint64_t stream_bytes_out;    /* repeats included */
    uint64_t stream_bytes_acked;
    uint64_t streams_opened; /* by either side */
    /* Now. */
    uint64_t rtt_smoothed_ns;
    uint64_t rtt_min_ns;
    uint64_t rtt_variance_ns;
    uint64_t cwnd_bytes;
    uint64_t in_flight_bytes;
};

#endif

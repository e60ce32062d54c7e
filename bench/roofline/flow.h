/* SPDX-License-Identifier: MIT */
#ifndef ROOFLINE_FLOW_H
#define ROOFLINE_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/limit.h"

struct control_message;
struct failure;
struct options;

/* Trains in one direction through the kernel path, as fast as it takes them, with just enough
 * protocol that the receiver's socket buffer does not overflow:
 *
 *     train    its first 8 bytes number its first datagram
 *     report   8 bytes: one more than the highest datagram that has been seen
 *
 *     sent_end - acked_end <= window, in datagrams
 *
 * A report comes for each quarter of the window.  If none comes for a while, the datagrams in
 * flight count as lost and the flow continues. */

/* How the bytes are cut. */
struct flow_shape {
    uint32_t segment_size;  /* of a datagram */
    uint32_t segment_count; /* of a full train, 1 to SU_SEGMENT_COUNT_MAX */
};

/* What one end did in the measured part. */
struct flow_end {
    double seconds;
    double cpu_ns; /* of the turns that moved something */
    double datagrams;
    double kernel_drops;
};

struct flow_result {
    struct flow_end sender;
    struct flow_end receiver;
};

/* As many datagrams of `mtu` bytes as the engine puts into a train at most. */
struct flow_shape flow_shape_of(uint32_t mtu);

/* The server's process; see process.h. */
bool flow_serve(const struct options *o, int control, struct failure *failure);

/* The client's part against it: a warm-up, then `duration_ns`. */
bool flow_run(const struct limit_setup *setup, const struct control_message *server, int control,
              struct flow_result *ret, struct failure *failure);

#endif

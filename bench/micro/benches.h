/* SPDX-License-Identifier: MIT */
#ifndef MICRO_BENCHES_H
#define MICRO_BENCHES_H

#include "bench/micro/harness.h"

/* Each in a file of its own name. */
extern const struct micro_bench micro_channel;
extern const struct micro_bench micro_fused;
extern const struct micro_bench micro_handshake;
extern const struct micro_bench micro_heads;
extern const struct micro_bench micro_limits;
extern const struct micro_bench micro_masks;
extern const struct micro_bench micro_matrix;
extern const struct micro_bench micro_nonce;
extern const struct micro_bench micro_pacer;
extern const struct micro_bench micro_packet;
extern const struct micro_bench micro_protect;
extern const struct micro_bench micro_relay;
extern const struct micro_bench micro_requests;
extern const struct micro_bench micro_rings;
extern const struct micro_bench micro_split;
extern const struct micro_bench micro_trackers;

#endif

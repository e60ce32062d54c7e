/* SPDX-License-Identifier: MIT */
#ifndef ROOFLINE_CIPHER_H
#define ROOFLINE_CIPHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/engine.h>

#include "bench/roofline/flow.h"
#include "proto/packet/protect.h"

struct failure;

/* What the cipher alone costs: the packets of one full train, sealed from the application's memory
 * into a transmit slot, and opened in place in a receive slot, through the interface
 * that connections use.  Everything is warm. */

/* The parts of a packet, in bytes; they and the tag make up a datagram. */
struct cipher_shape {
    size_t header;  /* short header with its packet number */
    size_t head;    /* of the STREAM frame */
    size_t payload; /* of the stream */
};

struct cipher_shape cipher_shape_of(uint32_t mtu);

struct cipher_setup {
    enum sp_suite suite;
    enum spate_crypto crypto;
    uint64_t duration_ns;
};

/* CPU time of a packet in nanoseconds, each the mean over `duration_ns` / 2. */
bool cipher_run(const struct cipher_setup *setup, const struct flow_shape *flow,
                double *ret_seal_ns, double *ret_open_ns, struct failure *failure);

#endif

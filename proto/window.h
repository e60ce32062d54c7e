/* SPDX-License-Identifier: MIT */
#ifndef SP_WINDOW_H
#define SP_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* A receive window: of one stream, or of all streams of a connection.  [RFC9000 4]
 *
 *     consumed <= received <= limit <= consumed + size_max
 *
 * The window doubles, up to its maximum, when half of it is used up within two round
 * trips: then it, and not the sender or the reader, is what limits the flow. */
struct sp_window {
    uint64_t limit;    /* what the peer was told it may send, in all */
    uint64_t received; /* highest offset, or the sum of them */
    uint64_t consumed; /* given back by the application, in all */
    uint64_t size;
    uint64_t size_max;
    uint64_t updated_ns; /* when the limit was raised last */
};

void sp_window_init(struct sp_window *window, uint64_t size, uint64_t size_max);

/* Counts `bytes` more.  False, and nothing counted, if that would pass the limit. */
SB_MUST_USE bool sp_window_receive(struct sp_window *window, uint64_t bytes);

void sp_window_consume(struct sp_window *window, uint64_t bytes);

/* At least half the window could be given again. */
bool sp_window_wants_update(const struct sp_window *window);

/* Raises the limit and returns it; doubles the window if it was used up fast. */
uint64_t sp_window_update(struct sp_window *window, uint64_t rtt_ns, uint64_t now_ns);

#endif

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
 * The window follows the consumed bytes: it has, up to its maximum, at least twice the bytes that
 * are consumed per round trip, and four times as many when it has grown.  So neither it nor the
 * reader limits a sender that still doubles its own window.  Bytes that wait for earlier ones count
 * as consumed and have room in addition.  Credit is given in quarters, so at least 3/4 of the
 * window is always available.  A flow that is slow, or that pauses, keeps the
 * window that it has.  A window whose maximum has fallen meanwhile shrinks while its bytes are
 * consumed: credit that was given stays.  No limit is beyond SB_VARINT_MAX. */
struct sp_window {
    uint64_t limit;    /* announced to the peer: the bytes that it may send in total */
    uint64_t received; /* highest offset, or the sum of them */
    uint64_t consumed; /* given back by the application, in all */
    uint64_t size;
    uint64_t size_max;      /* whoever owns it may change it, but not below the first size */
    uint64_t round_ns;      /* when the round trip that is being measured began; 0: never */
    uint64_t round_arrived; /* at round_ns: `consumed`, and what waited for earlier bytes */
};

void sp_window_init(struct sp_window *window, uint64_t size, uint64_t size_max);

/* Counts `bytes` more.  False, and nothing counted, if that would pass the limit. */
SB_MUST_USE bool sp_window_receive(struct sp_window *window, uint64_t bytes);

void sp_window_consume(struct sp_window *window, uint64_t bytes);

/* Returns whether at least a quarter of the window could be given again. */
bool sp_window_wants_update(const struct sp_window *window);

/* Raises the limit and returns it; widens the window if the flow has become faster.  Does not raise
 * the limit while the window shrinks.  `held_bytes`: received ones that the application cannot
 * have yet, because earlier ones are missing.  `rtt_ns` is the path's round trip, without the
 * queues that the window itself makes; the work of both ends is added to it here. */
uint64_t sp_window_update(struct sp_window *window, uint64_t held_bytes, uint64_t rtt_ns,
                          uint64_t now_ns);

/* Widens the window to `size`, if it is smaller and its maximum allows that.  The limit stays. */
void sp_window_widen(struct sp_window *window, uint64_t size);

#endif

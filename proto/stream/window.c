/* SPDX-License-Identifier: MIT */
#include "proto/stream/window.h"

/* When a receive window is offered again, and how large it is.
 *
 * The limit is raised when a quarter of the window is consumed.  The window grows when more than
 * half of it was consumed in a round trip: Dynamic Right-Sizing (M. Fisk, W. Feng, 2001), which
 * receivers of TCP follow.  It does not wait for the end of a round trip if it has consumed enough
 * before.  A peer need not say that it is blocked.  [RFC9000 4.2]
 *
 * It grows to four times what was consumed: a sender in slow start has twice as much in flight as
 * was acknowledged in the last round trip, and doubles that before this one is over.
 *
 * Bytes that wait for earlier ones use credit and cannot be consumed.  On a path that reorders
 * there always are some, so they count as consumed, and the window has room in addition for twice
 * as many: they double like what is in flight.  What the application could consume, and does not,
 * counts for nothing.
 *
 * What can be attacked: a peer can make a round trip look long, and so a window larger than it
 * needs.  The owner bounds `size_max` by the memory that there is. */

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/base/time.h"

/* The delay of both ends in addition to the path's: a turn of a busy shard, a timer. */
#define ENDS_NS (SB_MS / 2)

/* How much of the window is used up before it is offered again: a fourth. */
#define STEPS 4

/* Round trips of the flow that a window has at least, and when it has grown. */
#define ROUNDS_MIN   2
#define ROUNDS_GROWN 4

void sp_window_init(struct sp_window *window, uint64_t size, uint64_t size_max)
{
    SB_ASSERT(size <= size_max);
    *window = (struct sp_window){.limit = size, .size = size, .size_max = size_max};
}

bool sp_window_receive(struct sp_window *window, uint64_t bytes)
{
    SB_ASSERT(window->received <= window->limit);
    if (bytes > window->limit - window->received)
        return false;
    window->received += bytes;
    return true;
}

void sp_window_consume(struct sp_window *window, uint64_t bytes)
{
    SB_ASSERT(bytes <= window->received - window->consumed);
    window->consumed += bytes;
}

/* Returns the limit of a window of `size`.  [RFC9000 16]  It goes on the wire: what is beyond the
 * largest number there is not given.  A peer comes that far without sending as much, where windows
 * are large: it resets streams at their limits. */
static uint64_t limit_of(const struct sp_window *window, uint64_t size)
{
    return SB_MIN(window->consumed + size, SB_VARINT_MAX);
}

bool sp_window_wants_update(const struct sp_window *window)
{
    uint64_t limit = limit_of(window, window->size);
    if (SB_UNLIKELY(limit == SB_VARINT_MAX))
        return window->limit < limit; /* the rest, less than a quarter perhaps */
    return limit - window->limit >= SB_MAX(window->size / STEPS, 1);
}

/* Returns what has come, as far as the application could take it.  It falls when it could and has
 * not. */
static uint64_t arrived_bytes(const struct sp_window *window, uint64_t held_bytes)
{
    return window->consumed + held_bytes;
}

/* Returns the size for the rate of this round trip.  One that is not over counts as if nothing more
 * came in it. */
static uint64_t need(const struct sp_window *window, uint64_t held_bytes, uint64_t round_ns,
                     uint64_t elapsed_ns)
{
    uint64_t arrived = arrived_bytes(window, held_bytes);
    unsigned __int128 bytes = arrived - SB_MIN(arrived, window->round_arrived);
    bytes = bytes * round_ns / SB_MAX(elapsed_ns, round_ns);
    if (ROUNDS_MIN * (bytes + held_bytes) <= window->size)
        return window->size;
    bytes = ROUNDS_GROWN * bytes + ROUNDS_MIN * held_bytes;
    return bytes < window->size_max ? (uint64_t)bytes : window->size_max;
}

uint64_t sp_window_update(struct sp_window *window, uint64_t held_bytes, uint64_t rtt_ns,
                          uint64_t now_ns)
{
    SB_ASSERT(held_bytes <= window->received - window->consumed);
    uint64_t round_ns = sb_time_add(rtt_ns, ENDS_NS);
    uint64_t elapsed_ns = sb_time_since(now_ns, window->round_ns);
    if (window->round_ns != 0)
        window->size = SB_MAX(window->size, need(window, held_bytes, round_ns, elapsed_ns));
    if (window->round_ns == 0 || elapsed_ns >= round_ns) {
        window->round_ns = SB_MAX(now_ns, 1);
        window->round_arrived = arrived_bytes(window, held_bytes);
    }

    uint64_t size = SB_MIN(window->size, window->size_max);
    SB_ASSERT(window->consumed + window->size >= window->limit);
    window->limit = SB_MAX(window->limit, limit_of(window, size));
    window->size = SB_MAX(size, window->limit - window->consumed);
    return window->limit;
}

void sp_window_widen(struct sp_window *window, uint64_t size)
{
    window->size = SB_MAX(window->size, SB_MIN(size, window->size_max));
}

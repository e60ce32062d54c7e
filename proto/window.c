/* SPDX-License-Identifier: MIT */
#include "proto/window.h"

#include "proto/base/assert.h"
#include "proto/base/time.h"

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

bool sp_window_wants_update(const struct sp_window *window)
{
    return window->consumed + window->size - window->limit >= SB_MAX(window->size / 2, 1);
}

uint64_t sp_window_update(struct sp_window *window, uint64_t rtt_ns, uint64_t now_ns)
{
    if (window->updated_ns != 0 && sb_time_since(now_ns, window->updated_ns) < 2 * rtt_ns)
        window->size = SB_MIN(window->size * 2, window->size_max);
    window->updated_ns = SB_MAX(now_ns, 1);

    uint64_t limit = window->consumed + window->size;
    SB_ASSERT(limit >= window->limit);
    window->limit = limit;
    return limit;
}

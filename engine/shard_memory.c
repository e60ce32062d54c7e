/* SPDX-License-Identifier: MIT */
#include "engine/shard.h"

/* A shard's memory between its connections.
 *
 * Blocks that pools do not need any more go back after a second or two: at once would mean that a
 * load which goes up and down allocates all the time.  When memory runs out they go at once. */

#include "proto/base/assert.h"

/* Between two trims: longer than the ups and downs of a load, which must not allocate. */
#define TRIM_NS SB_S

void se_shard_on_memory_timer(struct spate_shard *shard)
{
    bool is_more = sb_memory_trim(&shard->memory.interface);
    shard->trimmed_empty_count = shard->memory.interface.empty_count;
    if (is_more)
        se_wheel_set(&shard->wheel, &shard->memory_timer, sb_time_add(shard->now_ns, TRIM_NS));
}

void se_shard_maintain_memory(struct spate_shard *shard)
{
    if (shard->memory.interface.empty_count != shard->trimmed_empty_count &&
        !se_timer_is_armed(&shard->memory_timer))
        se_wheel_set(&shard->wheel, &shard->memory_timer, sb_time_add(shard->now_ns, TRIM_NS));
}

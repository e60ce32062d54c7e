/* SPDX-License-Identifier: MIT */
#include "bench/load/hold.h"

#include <stdlib.h>

struct held {
    struct spate_slice slice;
    uint64_t until_ns;
};

/* A ring.  Invariant: count <= HOLD_SLICES_MAX. */
struct hold {
    uint64_t time_ns;
    uint32_t first;
    uint32_t count;
    struct held items[HOLD_SLICES_MAX];
};

struct hold *hold_create(uint64_t time_ns)
{
    struct hold *hold = calloc(1, sizeof(*hold));
    if (hold != NULL)
        hold->time_ns = time_ns;
    return hold;
}

static void release_first(struct hold *hold, struct spate_shard *shard)
{
    spate_slice_release(shard, &hold->items[hold->first].slice);
    hold->first = (hold->first + 1) % HOLD_SLICES_MAX;
    hold->count--;
}

void hold_add(struct hold *hold, struct spate_shard *shard, struct spate_slice slice,
              uint64_t now_ns)
{
    if (hold->count == HOLD_SLICES_MAX)
        release_first(hold, shard);
    uint32_t at = (hold->first + hold->count++) % HOLD_SLICES_MAX;
    hold->items[at] = (struct held){.slice = slice, .until_ns = now_ns + hold->time_ns};
}

uint64_t hold_release(struct hold *hold, struct spate_shard *shard, uint64_t now_ns)
{
    while (hold->count > 0 && hold->items[hold->first].until_ns <= now_ns)
        release_first(hold, shard);
    return hold->count > 0 ? hold->items[hold->first].until_ns : SPATE_FOREVER;
}

void hold_release_all(struct hold *hold, struct spate_shard *shard)
{
    while (hold->count > 0)
        release_first(hold, shard);
}

void hold_destroy(struct hold *hold)
{
    free(hold);
}

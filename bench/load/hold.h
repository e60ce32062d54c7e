/* SPDX-License-Identifier: MIT */
#ifndef LOAD_HOLD_H
#define LOAD_HOLD_H

#include <stdint.h>

#include <spate/spate.h>

/* Slices that an application holds for a while, as one does that hands them on: in the order in
 * which they came. */
struct hold;

/* Returns NULL if there is no memory.
 *
 *   time_ns  How long each is held.  One that finds HOLD_SLICES_MAX others releases the oldest. */
struct hold *hold_create(uint64_t time_ns);

/* Takes a slice over. */
void hold_add(struct hold *hold, struct spate_shard *shard, struct spate_slice slice,
              uint64_t now_ns);

/* Releases what was held for long enough.  Returns when it should be called again. */
uint64_t hold_release(struct hold *hold, struct spate_shard *shard, uint64_t now_ns);

/* Releases all. */
void hold_release_all(struct hold *hold, struct spate_shard *shard);

/* What is still held goes with the engine.  NULL is accepted. */
void hold_destroy(struct hold *hold);

enum { HOLD_SLICES_MAX = 65536 };

#endif

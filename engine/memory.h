/* SPDX-License-Identifier: MIT */
#ifndef SE_MEMORY_H
#define SE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/pool.h"

/* The memory budget of a shard: the heap with a limit.
 *
 *     now_bytes <= peak_bytes, now_bytes <= limit_bytes
 *
 * Pools take blocks from it.  Memory that OpenSSL allocates for a connection is charged by an
 * estimate. */
struct se_memory {
    struct sb_memory interface; /* for pools */
    uint64_t limit_bytes;
    uint64_t now_bytes;
    uint64_t peak_bytes;
    uint64_t allocations; /* blocks that were taken from the heap so far */
};

void se_memory_init(struct se_memory *memory, uint64_t limit_bytes);

/* Everything must have come back. */
void se_memory_deinit(struct se_memory *memory);

/* Counts memory that is allocated elsewhere.  False, and nothing counted, beyond the limit. */
SB_MUST_USE bool se_memory_charge(struct se_memory *memory, uint64_t size);
void se_memory_refund(struct se_memory *memory, uint64_t size);

#endif

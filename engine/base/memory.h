/* SPDX-License-Identifier: MIT */
#ifndef SE_MEMORY_H
#define SE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/blocks.h"
#include "engine/base/large.h"
#include "proto/base/pool.h"

/* The memory budget of a shard.
 *
 *     now_bytes <= peak_bytes, now_bytes <= limit_bytes
 *
 * Pools take blocks from it, which come from the kernel and go back to it.  Other memory comes from
 * the heap.  Memory that OpenSSL allocates for a connection is charged by a measured estimate.
 *
 * The last part of the budget is the reserve.  What brings more data into the shard may not use it,
 * new connections may use 3/4 of it, and what frees memory or ends connections all of it:
 *
 *     0 ............ limit - reserve ............ limit - reserve/4 ............ limit
 *     |--- SE_NEED_ORDINARY ---|
 *     |---------------- SE_NEED_CONN ---------------------|
 *     |--------------------------- SE_NEED_ESSENTIAL ----------------------------|
 *
 * Before a request is refused, the pools give back their empty blocks, and large pieces that wait
 * are freed.  Both count in interface.empty_bytes. */

enum se_need {
    SE_NEED_ORDINARY,  /* streams, bytes to send, received bytes, copies of datagrams */
    SE_NEED_CONN,      /* a new connection and its handshake */
    SE_NEED_ESSENTIAL, /* acknowledgments, closes, and what connections have been promised */
};

struct se_memory {
    struct sb_memory interface; /* for pools */
    struct se_blocks blocks;
    struct se_large large;
    uint64_t limit_bytes;
    uint64_t reserve_bytes;
    uint64_t now_bytes;
    uint64_t peak_bytes;
    uint64_t allocations; /* blocks that were taken from the kernel or the heap so far */
    uint64_t refusals;    /* requests of ordinary and essential memory that were refused */
};

void se_memory_init(struct se_memory *memory, uint64_t limit_bytes);

/* Everything must have come back. */
void se_memory_deinit(struct se_memory *memory);

/* Returns the bytes up to which `need` may fill the budget. */
uint64_t se_memory_bound(const struct se_memory *memory, enum se_need need);

/* Returns whether `size` bytes more are within the bound of `need`. */
bool se_memory_has_room(struct se_memory *memory, uint64_t size, enum se_need need);

/* Counts memory that is allocated elsewhere.  False, and nothing counted, beyond the limit. */
SB_MUST_USE bool se_memory_charge(struct se_memory *memory, uint64_t size);
void se_memory_refund(struct se_memory *memory, uint64_t size);

/* Memory of the heap, charged.  NULL without memory, and without touching the reserve. */
SB_MUST_USE void *se_memory_take_heap(struct se_memory *memory, size_t size);
void se_memory_give_heap(struct se_memory *memory, void *taken, size_t size);

/* Takes a large piece, charged, with its content undefined.  `size`: see large.h.  NULL without
 * memory, and without touching the reserve. */
SB_MUST_USE void *se_memory_take_large(struct se_memory *memory, size_t size);
void se_memory_give_large(struct se_memory *memory, void *piece, size_t size);

/* Gives back what was not needed since the last call.  Call it now and then, seconds apart. Returns
 * true if the next call will give back more unless that is needed until then. */
bool se_memory_trim(struct se_memory *memory);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_COPIES_H
#define SP_COPIES_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "proto/base/pool.h"
#include "proto/base/slice.h"

/* Memory for received bytes that are copied, because they would pin much more than themselves.
 *
 * A copy is a buffer like a receive slot: slices refer to it and keep it alive, also beyond the end
 * of its connection.  Copies have two sizes, which are chosen so that the memory stays below four
 * times the bytes in it. */

enum {
    SP_PAGE_SIZE = 256,       /* bytes in a small copy */
    SP_COPY_SIZE_MAX = 2008,  /* bytes in a large copy: an Ethernet datagram with room to spare */
    SP_COPY_LARGE_FROM = 640, /* a large copy for that many bytes or more; else small ones */
};

/* What one connection holds.  It lives as long as the connection or one of its copies. */
struct sp_holding {
    uint64_t held_bytes;
    struct sb_pool *pool;
    uint32_t ref_count; /* the connection, and each copy */
};

/* A shard's copies, and the pieces of all its connections that pin receive buffers. */
struct sp_copies {
    struct sb_pool small;
    struct sb_pool large;
    struct sb_pool holdings;
    struct sb_link pinned; /* struct sp_piece.pin_link, the oldest first; and `mark` */
    struct sb_link mark;   /* sp_compact_fresh() has seen all pieces before it */
};

/* `memory` is borrowed until sp_copies_deinit(). */
void sp_copies_init(struct sp_copies *copies, struct sb_memory *memory);

/* Allocates a few free copies of each size, as far as there is memory. */
void sp_copies_reserve(struct sp_copies *copies);

/* Frees all memory.  Every copy and holding must have come back. */
void sp_copies_deinit(struct sp_copies *copies);

/* Takes back the copies that the application still holds: slices of them become invalid.  For the
 * end of a shard, after that of all connections. */
void sp_copies_reclaim(struct sp_copies *copies);

/* Returns the objects in use. */
uint64_t sp_copies_used(const struct sp_copies *copies);

/* Opens an holding with one reference, the caller's.  Returns NULL without memory. */
SB_MUST_USE struct sp_holding *sp_holding_open(struct sp_copies *copies);

/* Drops one reference.  NULL is accepted. */
void sp_holding_unref(struct sp_holding *holding);

/* Returns the size of the copy that suits `size` bytes: SP_PAGE_SIZE, or SP_COPY_SIZE_MAX.  It may
 * be less than `size`: several copies are needed then. */
static inline uint64_t sp_copy_size_for(uint64_t size)
{
    return size >= SP_COPY_LARGE_FROM ? SP_COPY_SIZE_MAX : SP_PAGE_SIZE;
}

/* Takes a copy of undefined content for `size` bytes, a value of sp_copy_size_for(), and charges it
 * to `holding` until its last reference is dropped.  Returns it with one reference, the caller's,
 * or NULL without memory.  `is_ordinary`: not out of the reserve. */
SB_MUST_USE struct sb_buffer *sp_copies_take(struct sp_copies *copies, struct sp_holding *holding,
                                             uint64_t size, bool is_ordinary);

/* Returns whether `buffer` is a large copy.  NULL and other buffers are none. */
bool sp_copy_is_large(struct sb_buffer *buffer);

/* Returns the first byte of a copy. */
uint8_t *sp_copy_data(struct sb_buffer *buffer);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SEND_STORE_H
#define SEND_STORE_H

#include "proto/stream/stream_send.h"
#include "test/support/heap.h"

/* What a connection gives the sending parts of its streams, on a heap. */
struct send_store {
    struct sb_pool chunk_pool;
    struct sb_pool range_pool;
    struct sb_store chunks;
    struct sb_store ranges;
};

static inline void send_store_init(struct send_store *all, struct heap *heap)
{
    sb_pool_init(&all->chunk_pool, "chunks", sizeof(struct sp_chunk), 8, 100, &heap->memory);
    sb_pool_init(&all->range_pool, "ranges", sizeof(struct sp_range), 8, 500, &heap->memory);
    all->chunks = (struct sb_store){.pool = &all->chunk_pool};
    all->ranges = (struct sb_store){.pool = &all->range_pool};
}

/* What is still out is found by heap_deinit(). */
static inline void send_store_deinit(struct send_store *all)
{
    heap_pool_deinit(&all->chunk_pool);
    heap_pool_deinit(&all->range_pool);
}

#endif

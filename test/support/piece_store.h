/* SPDX-License-Identifier: MIT */
#ifndef PIECE_STORE_H
#define PIECE_STORE_H

#include "proto/stream/lent.h"
#include "proto/stream/pieces.h"
#include "test/support/heap.h"

/* What a connection gives its reassembly queues, on a heap. */
struct test_store {
    struct sb_pool pieces;
    struct sb_pool lent; /* not lent from, but where a test sets store.lent_pool */
    struct sp_copies copies;
    struct sp_piece_store store;
};

static inline void test_store_init(struct test_store *all, uint32_t count_max, struct heap *heap)
{
    sb_pool_init(&all->pieces, "pieces", sizeof(struct sp_piece), 8, UINT32_MAX, &heap->memory);
    sb_pool_init(&all->lent, "lent", sizeof(struct sp_lent), 8, UINT32_MAX, &heap->memory);
    sp_copies_init(&all->copies, &heap->memory);
    all->store = (struct sp_piece_store){
        .pool = &all->pieces,
        .copies = &all->copies,
        .holding = sp_holding_open(&all->copies),
        .count_max = count_max,
    };
    SB_ASSERT(all->store.holding != NULL);
}

/* What is still out is found by heap_deinit(). */
static inline void test_store_deinit(struct test_store *all)
{
    if (all->store.holding->held_bytes == 0)
        sp_holding_unref(all->store.holding);
    heap_pool_deinit(&all->pieces);
    heap_pool_deinit(&all->lent);
    heap_pool_deinit(&all->copies.small);
    heap_pool_deinit(&all->copies.large);
    heap_pool_deinit(&all->copies.holdings);
}

#endif

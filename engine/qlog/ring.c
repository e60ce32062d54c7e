/* SPDX-License-Identifier: MIT */
#include "engine/qlog/ring.h"

/* The queue of records of one shard: see ring.h.
 *
 * P1, P2 and C1, C2 in the comments name the releases and acquires that pair up. */

#include <string.h>
#include <sys/mman.h>

#include "proto/base/assert.h"

struct cell_head {
    uint32_t size;
    uint32_t slot;
};

#define SKIPPED UINT32_MAX /* as slot */

static uint64_t rounded(uint64_t size)
{
    return (size + 7) & ~UINT64_C(7);
}

bool se_qlog_ring_init(struct se_qlog_ring *ring, uint64_t size)
{
    SB_ASSERT((size & (size - 1)) == 0 && size >= 1 << 16);
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return false;
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    ring->head_seen = 0;
    ring->open_count = 0;
    ring->mask = size - 1;
    ring->bytes = bytes;
    return true;
}

void se_qlog_ring_deinit(struct se_qlog_ring *ring)
{
    if (ring->bytes != NULL)
        (void)munmap(ring->bytes, ring->mask + 1);
    ring->bytes = NULL;
}

/* Returns whether `size` bytes are free beside those that are kept. */
static bool has_room(struct se_qlog_ring *ring, uint64_t tail, uint64_t size)
{
    uint64_t wanted = size + ring->open_count * sizeof(struct cell_head);
    if (ring->mask + 1 - (tail - ring->head_seen) >= wanted)
        return true;
    /* P1 acquire, pairs with C2: the record was read before it is overwritten. */
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    return ring->mask + 1 - (tail - ring->head_seen) >= wanted;
}

static void write_head(struct se_qlog_ring *ring, uint64_t at, uint64_t size, uint32_t slot)
{
    const struct cell_head head = {.size = (uint32_t)size, .slot = slot};
    memcpy(ring->bytes + (at & ring->mask), &head, sizeof(head));
}

bool se_qlog_ring_open(struct se_qlog_ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (!has_room(ring, tail, sizeof(struct cell_head)))
        return false;
    ring->open_count++;
    return true;
}

bool se_qlog_ring_put(struct se_qlog_ring *ring, uint32_t slot, const uint8_t *record, size_t size)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t cell_size = sizeof(struct cell_head) + rounded(size);
    uint64_t to_end = ring->mask + 1 - (tail & ring->mask);
    uint64_t skipped = cell_size > to_end ? to_end : 0;
    SB_ASSERT(size > 0 && cell_size <= ring->mask / 2 && ring->open_count > 0);
    if (!has_room(ring, tail, skipped + cell_size))
        return false;
    if (skipped > 0)
        write_head(ring, tail, skipped - sizeof(struct cell_head), SKIPPED);
    tail += skipped;
    write_head(ring, tail, size, slot);
    memcpy(ring->bytes + (tail & ring->mask) + sizeof(struct cell_head), record, size);
    /* P2 release, pairs with C1: the record is complete before it can be seen. */
    atomic_store_explicit(&ring->tail, tail + cell_size, memory_order_release);
    return true;
}

void se_qlog_ring_end(struct se_qlog_ring *ring, uint32_t slot)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    SB_ASSERT(ring->open_count > 0);
    bool has = has_room(ring, tail, 0);
    SB_ASSERT(has);
    ring->open_count--;
    write_head(ring, tail, 0, slot); /* 8 bytes never cross the end */
    atomic_store_explicit(&ring->tail, tail + sizeof(struct cell_head),
                          memory_order_release); /* P2 */
}

bool se_qlog_ring_take(const struct se_qlog_ring *ring, struct se_qlog_cell *ret)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire); /* C1 */
    if (head == tail)
        return false;
    struct cell_head cell;
    memcpy(&cell, ring->bytes + (head & ring->mask), sizeof(cell));
    *ret = (struct se_qlog_cell){
        .slot = cell.slot,
        .size = cell.size,
        .record = ring->bytes + (head & ring->mask) + sizeof(cell),
    };
    return true;
}

void se_qlog_ring_free(struct se_qlog_ring *ring, const struct se_qlog_cell *cell)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    /* C2 release, pairs with P1. */
    atomic_store_explicit(&ring->head, head + sizeof(struct cell_head) + rounded(cell->size),
                          memory_order_release);
}

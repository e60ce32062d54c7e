/* SPDX-License-Identifier: MIT */
/* Input: operations of three bytes on a reassembly and on a set of ranges, which must both
 * agree with a map of the same bytes.
 *
 *     byte 0      bits 0 and 1: insert (0, 1), read (2), remove from the ranges (3);
 *                 the others: the size, ten times it at odd offsets
 *     byte 1, 2   offset; with the two highest bits set the bytes to insert are written to lent
 *                 memory, if they may be, and memory is lent instead of the removal */

#include "proto/recovery/ranges.h"
#include "proto/stream/compact.h"
#include "proto/stream/reassembly.h"
#include "test/support/fuzz.h"
#include "test/support/heap.h"
#include "test/support/piece_store.h"

enum { BYTES = 3000, PIECES_MAX = 12, RANGES_MAX = 12, LENT_MAX = 4, LENT_SIZE_MAX = 640 };
enum { HELD_MAX = 4, BUFFER_SIZE = 1 << 13 };

#define UNIT(offset) ((offset) % 2 == 0 ? 1 : 10)

struct packet {
    struct sb_buffer buffer;
    uint8_t data[];
};

static uint32_t packet_count;

static void release(struct sb_buffer *buffer)
{
    packet_count--;
    free(SB_CONTAINER_OF(buffer, struct packet, buffer));
}

struct held {
    struct sb_slice slice;
    uint64_t offset;
};

struct world {
    struct heap heap;
    struct test_store pieces;
    struct sb_pool range_pool;
    struct sb_store range_store;
    struct sb_pool lent_pool;
    struct sp_reassembly reassembly;
    struct sp_ranges ranges;
    bool is_received[BYTES];
    bool is_in_ranges[BYTES];
    uint8_t memory[BYTES + LENT_SIZE_MAX]; /* the place of the byte at `offset` is memory[offset] */
    uint64_t lent_end;
    struct held held[HELD_MAX];
};

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 256);
}

/* Marks what has been taken since received_bytes was `before`.  At the bound of pieces those may be
 * some of the bytes only: how many, tells the sum; which, the order: from the lowest on. */
static void mark(struct world *world, uint64_t offset, size_t size, uint64_t before, bool ok)
{
    uint64_t taken = world->reassembly.received_bytes - before;
    for (uint64_t i = offset; i < offset + size && taken > 0; i++) {
        taken -= !world->is_received[i];
        world->is_received[i] = true;
    }
    SB_ASSERT(taken == 0);
    SB_ASSERT(ok || world->pieces.store.count >= PIECES_MAX);
    for (uint64_t i = offset; ok && i < offset + size; i++)
        SB_ASSERT(world->is_received[i]);
}

static void insert(struct world *world, uint64_t offset, size_t size)
{
    struct packet *packet = malloc(sizeof(*packet) + size);
    SB_ASSERT(packet != NULL);
    packet->buffer = (struct sb_buffer){.ref_count = 1, .release = release};
    if (offset % 3 == 0)
        packet->buffer.size = BUFFER_SIZE; /* its bytes may be moved */
    packet_count++;
    for (size_t i = 0; i < size; i++)
        packet->data[i] = byte_at(offset + i);
    struct sb_slice slice = {.data = packet->data, .size = size, .buffer = &packet->buffer};
    uint64_t before = world->reassembly.received_bytes;
    world->pieces.store.steps = 0;
    bool ok = sp_reassembly_insert(&world->reassembly, offset, &slice);
    sb_buffer_unref(&packet->buffer);
    if (offset % 2 == 0)
        sp_compact_fresh(&world->pieces.copies);
    else
        sp_compact_old(&world->pieces.copies, 2);
    mark(world, offset, size, before, ok);
}

/* As the cipher does: bytes of a packet that is not authentic stay where it wrote them. */
static void place(struct world *world, uint64_t offset, size_t size, bool is_authentic)
{
    uint8_t *to = size > 0 ? sp_reassembly_gap(&world->reassembly, offset, size) : NULL;
    if (to == NULL)
        return;
    SB_ASSERT(to == world->memory + offset && offset + size <= world->lent_end);
    SB_ASSERT(offset >= world->reassembly.read_end);
    for (uint64_t i = offset; i < offset + size; i++) {
        SB_ASSERT(!world->is_received[i]);
        world->memory[i] = (uint8_t)(byte_at(i) + !is_authentic);
    }
    struct sb_slice slice = {.data = to, .size = size};
    uint64_t copied_bytes = world->pieces.store.copied_bytes;
    world->pieces.store.steps = 0;
    uint64_t before = world->reassembly.received_bytes;
    if (is_authentic)
        mark(world, offset, size, before, sp_reassembly_insert(&world->reassembly, offset, &slice));
    SB_ASSERT(world->pieces.store.copied_bytes == copied_bytes);
}

static void lend(struct world *world, size_t size)
{
    uint64_t at = SB_MAX(world->lent_end, world->reassembly.read_end);
    uint64_t offset;
    if (at >= BYTES || size == 0 ||
        !sp_reassembly_lend(&world->reassembly, world->memory + at, size, at, &offset))
        return;
    SB_ASSERT(offset == at);
    world->lent_end = at + size;
}

static void check_slice(const struct sb_slice *slice, uint64_t offset)
{
    for (size_t i = 0; i < slice->size; i++)
        SB_ASSERT(slice->data[i] == byte_at(offset + i));
}

/* The application keeps the last few slices that it got at offsets of one kind: nothing that comes
 * later may change their bytes. */
static void hold(struct world *world, const struct sb_slice *slice, uint64_t offset)
{
    struct held *held = &world->held[offset / 5 % HELD_MAX];
    check_slice(slice, offset);
    if (offset % 5 > 2) {
        sb_buffer_unref(slice->buffer);
        return;
    }
    check_slice(&held->slice, held->offset);
    sb_buffer_unref(held->slice.buffer);
    *held = (struct held){*slice, offset};
}

static void read_placed(struct world *world)
{
    uint64_t at = world->reassembly.read_end;
    struct sp_placed placed;
    bool ok = sp_reassembly_next_placed(&world->reassembly, &placed);
    SB_ASSERT(ok == (at < SB_MIN(world->lent_end, BYTES) && world->is_received[at]));
    if (!ok)
        return;
    SB_ASSERT(placed.size > 0 && placed.offset == at && placed.data == world->memory + at);
    for (uint64_t i = at; i < at + placed.size; i++)
        SB_ASSERT(world->is_received[i] && world->memory[i] == byte_at(i));
    SB_ASSERT(world->reassembly.read_end == at + placed.size);
}

static void read_next(struct world *world)
{
    uint64_t at = world->reassembly.read_end;
    if (at < world->lent_end) {
        read_placed(world);
        return;
    }
    struct sb_slice slice;
    bool ok = sp_reassembly_next(&world->reassembly, &slice);
    SB_ASSERT(ok == (at < BYTES && world->is_received[at]));
    if (!ok)
        return;
    SB_ASSERT(slice.size > 0);
    for (size_t i = 0; i < slice.size; i++)
        SB_ASSERT(world->is_received[at + i]);
    hold(world, &slice, at);
}

static void change_ranges(struct world *world, uint64_t offset, size_t size, bool is_add)
{
    bool ok = is_add ? sp_ranges_add(&world->ranges, offset, offset + size)
                     : sp_ranges_remove(&world->ranges, offset, offset + size);
    SB_ASSERT(ok || world->range_pool.used_count == RANGES_MAX);
    if (ok)
        memset(world->is_in_ranges + offset, is_add, size);
}

static void check(const struct world *world)
{
    sp_reassembly_check(&world->reassembly);
    sp_ranges_check(&world->ranges);
    uint64_t received = 0;
    const struct sp_range *range = world->ranges.first;
    for (uint64_t i = 0; i < BYTES; i++) {
        received += world->is_received[i];
        if (range != NULL && i == range->end)
            range = range->next;
        SB_ASSERT(world->is_in_ranges[i] == (range != NULL && i >= range->start));
    }
    SB_ASSERT(received == world->reassembly.received_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {0};
    packet_count = 0;
    heap_init(&world.heap);
    test_store_init(&world.pieces, PIECES_MAX, &world.heap);
    world.pieces.store.lent_pool = &world.lent_pool;
    sb_pool_init(&world.lent_pool, "lent", sizeof(struct sp_lent), 8, LENT_MAX, &world.heap.memory);
    sb_pool_init(&world.range_pool, "ranges", sizeof(struct sp_range), 8, RANGES_MAX,
                 &world.heap.memory);
    sp_reassembly_init(&world.reassembly, &world.pieces.store);
    world.range_store = (struct sb_store){.pool = &world.range_pool};
    sp_ranges_init(&world.ranges, &world.range_store);

    for (; size >= 3; data += 3, size -= 3) {
        uint64_t offset = (uint64_t)(data[1] << 8 | data[2]) % BYTES;
        size_t span = SB_MIN((uint64_t)(data[0] >> 2) * UNIT(offset), BYTES - offset);
        bool is_lent = (data[1] & 0xc0) == 0xc0;
        switch (data[0] & 3) {
        case 0:
        case 1:
            if (is_lent)
                place(&world, offset, span, (data[0] & 1) == 0);
            else
                insert(&world, offset, span);
            change_ranges(&world, offset, span, true);
            break;
        case 2:
            read_next(&world);
            break;
        default:
            if (is_lent)
                lend(&world, (size_t)(data[0] >> 2) * UNIT(offset));
            else
                change_ranges(&world, offset, span, false);
            break;
        }
        check(&world);
    }
    sp_reassembly_clear(&world.reassembly);
    struct sp_placed placed;
    while (sp_reassembly_unlend(&world.reassembly, &placed))
        SB_ASSERT(placed.size == 0 && placed.is_returned);
    SB_ASSERT(world.pieces.store.lent_count == 0);
    sp_ranges_clear(&world.ranges);
    for (uint32_t i = 0; i < HELD_MAX; i++) {
        check_slice(&world.held[i].slice, world.held[i].offset);
        sb_buffer_unref(world.held[i].slice.buffer);
    }
    SB_ASSERT(packet_count == 0 && world.pieces.store.count == 0);
    test_store_deinit(&world.pieces);
    sb_pool_deinit(&world.range_pool);
    sb_pool_deinit(&world.lent_pool);
    heap_deinit(&world.heap);
    return 0;
}

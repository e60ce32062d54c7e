/* SPDX-License-Identifier: MIT */
#include "test/support/fragments.h"

#include "test/support/qt.h"

#include <string.h>

#include "proto/stream/compact.h"
#include "proto/wire/limits.h"

struct fragments fragments;

static void end_world(struct fragments *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    struct sp_placed placed;
    uint32_t steps = UINT32_MAX;
    while (sp_reassembly_unlend(&world->reassembly, &placed))
        continue;
    while (sp_reassembly_discard_some(&world->all.store, &steps) != NULL)
        continue;
    sp_reassembly_clear(&world->reassembly);
    assert_int_equal(world->all.store.count, 0);
    test_store_deinit(&world->all);
    heap_deinit(&world->heap); /* asserts that no piece, copy or slot is left */
}

int fragments_tear_down(void **state)
{
    (void)state;
    end_world(&fragments);
    return 0;
}

void fragments_begin(void)
{
    end_world(&fragments); /* of the sample before */
    memset(&fragments, 0, sizeof(fragments));
    heap_init(&fragments.heap);
    test_store_init(&fragments.all, UINT32_MAX, &fragments.heap);
    fragments.all.store.random = 12345;
    sp_reassembly_init(&fragments.reassembly, &fragments.all.store);
}

void fragments_release(struct sb_buffer *buffer)
{
    heap_give(&fragments.heap, SB_CONTAINER_OF(buffer, struct fragment_slot, buffer), 0);
    fragments.slot_count--;
}

uint8_t fragments_byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 256 + offset / 65536);
}

bool fragments_try(struct sp_reassembly *reassembly, uint64_t offset, uint64_t size)
{
    assert_true(size <= FRAGMENT_SIZE_MAX);
    struct fragment_slot *slot = heap_take(&fragments.heap, sizeof(*slot));
    assert_non_null(slot);
    fragments.slot_count++;
    slot->buffer = (struct sb_buffer){
        .ref_count = 1, .release = fragments_release, .size = FRAGMENT_SLOT_SIZE};
    slot->slice = (struct sb_slice){slot->data, size, &slot->buffer};
    for (uint64_t i = 0; i < size; i++)
        slot->data[i] = fragments_byte_at(offset + i);
    fragments.all.store.steps = 0;
    bool ok = sp_reassembly_insert(reassembly, offset, &slot->slice);
    fragments.steps_max = SB_MAX(fragments.steps_max, fragments.all.store.steps);
    sp_compact_fresh(&fragments.all.copies);
    sb_buffer_unref(&slot->buffer);
    fragments.highest = SB_MAX(fragments.highest, offset + size);
    return ok;
}

uint64_t fragments_used_bytes(void)
{
    return (uint64_t)fragments.all.pieces.used_count * fragments.all.pieces.object_size +
           (uint64_t)fragments.all.copies.small.used_count *
               fragments.all.copies.small.object_size +
           (uint64_t)fragments.all.copies.large.used_count *
               fragments.all.copies.large.object_size +
           fragments.slot_count * FRAGMENT_SLOT_SIZE;
}

void fragments_assert_bound(void)
{
    uint64_t credit = fragments.highest - fragments.reassembly.read_end;
    uint64_t most = SP_HELD_BYTES_PER_CREDIT_MAX * credit + SP_HELD_BYTES_PER_STREAM_MAX;
    assert_true(fragments_used_bytes() <= most);
    assert_true(fragments.all.store.holding->held_bytes <= most);
}

void fragments_insert(uint64_t offset, uint64_t size)
{
    assert_true(fragments_try(&fragments.reassembly, offset, size));
    fragments_assert_bound();
}

void fragments_read_all(void)
{
    struct sb_slice slice;
    uint64_t at = fragments.reassembly.read_end;
    while (sp_reassembly_next(&fragments.reassembly, &slice)) {
        for (uint64_t i = 0; i < slice.size; i++)
            assert_int_equal(slice.data[i], fragments_byte_at(at + i));
        sb_buffer_unref(slice.buffer);
        at += slice.size;
    }
    assert_int_equal(fragments.reassembly.read_end, at);
}

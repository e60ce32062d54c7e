/* SPDX-License-Identifier: MIT */
/* What a peer can make a receiver hold, and do, by cutting a stream in fragments. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/stream/compact.h"
#include "proto/stream/reassembly.h"
#include "proto/wire/limits.h"
#include "test/sim/random.h"
#include "test/support/heap.h"
#include "test/support/piece_store.h"

enum {
    CREDIT = 1 << 18,        /* the window that a pattern uses up */
    SLOT_SIZE = 65536 + 320, /* what a receive buffer pins */
    FULL_SIZE = 1400,        /* bytes of a full datagram */
    /* The bound of sp_conn_held_bytes(). */
    BYTES_PER_CREDIT_MAX = SP_HELD_BYTES_PER_CREDIT_MAX,
    BYTES_PER_STREAM_MAX = SP_HELD_BYTES_PER_STREAM_MAX,
    NEW_PAGE_MAX = 20, /* steps that count for a page, its making included */
    DESCENT_MAX = 64,  /* visits to find a place in a treap of some thousand pieces */
};

/* A receive buffer.  Its bytes tell their offset in the stream. */
struct slot {
    struct sb_buffer buffer;
    struct sb_slice slice;
    uint8_t data[FULL_SIZE];
};

struct world {
    struct heap heap;
    struct test_store all;
    struct sp_reassembly reassembly;
    uint64_t slot_count; /* not released yet */
    uint64_t highest;    /* offset that a frame has reached */
    uint32_t steps_max;  /* most steps of one frame */
};

static struct world w;

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    sp_reassembly_clear(&world->reassembly);
    assert_int_equal(world->all.store.count, 0);
    test_store_deinit(&world->all);
    heap_deinit(&world->heap); /* asserts that no piece, copy or slot is left */
}

static int end(void **state)
{
    (void)state;
    world_deinit(&w);
    return 0;
}

static void begin(void)
{
    world_deinit(&w); /* of the sample before */
    memset(&w, 0, sizeof(w));
    heap_init(&w.heap);
    test_store_init(&w.all, UINT32_MAX, &w.heap);
    w.all.store.random = 12345;
    sp_reassembly_init(&w.reassembly, &w.all.store);
}

static void on_release(struct sb_buffer *buffer)
{
    heap_give(&w.heap, SB_CONTAINER_OF(buffer, struct slot, buffer), 0);
    w.slot_count--;
}

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 256 + offset / 65536);
}

/* A frame comes alone in its buffer, and the batch ends. */
static bool insert_into(struct sp_reassembly *reassembly, uint64_t offset, uint64_t size)
{
    assert_true(size <= FULL_SIZE);
    struct slot *slot = heap_take(&w.heap, sizeof(*slot));
    assert_non_null(slot);
    w.slot_count++;
    slot->buffer = (struct sb_buffer){.ref_count = 1, .release = on_release, .size = SLOT_SIZE};
    slot->slice = (struct sb_slice){slot->data, size, &slot->buffer};
    for (uint64_t i = 0; i < size; i++)
        slot->data[i] = byte_at(offset + i);
    w.all.store.steps = 0;
    bool ok = sp_reassembly_insert(reassembly, offset, &slot->slice);
    w.steps_max = SB_MAX(w.steps_max, w.all.store.steps);
    sp_compact_fresh(&w.all.copies);
    sb_buffer_unref(&slot->buffer);
    w.highest = SB_MAX(w.highest, offset + size);
    return ok;
}

/* What is really in use, whatever the account says. */
static uint64_t used_bytes(void)
{
    return (uint64_t)w.all.pieces.used_count * w.all.pieces.object_size +
           (uint64_t)w.all.copies.small.used_count * w.all.copies.small.object_size +
           (uint64_t)w.all.copies.large.used_count * w.all.copies.large.object_size +
           w.slot_count * SLOT_SIZE;
}

static void assert_bound(void)
{
    uint64_t credit = w.highest - w.reassembly.read_end;
    uint64_t most = BYTES_PER_CREDIT_MAX * credit + BYTES_PER_STREAM_MAX;
    assert_true(used_bytes() <= most);
    assert_true(w.all.store.holding->held_bytes <= most);
}

static void insert(uint64_t offset, uint64_t size)
{
    assert_true(insert_into(&w.reassembly, offset, size));
    assert_bound();
}

/* ---- Memory ---- */

static void every_second_byte(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT; at += 2)
        insert(at, 1);
}

static void every_second_byte_backwards(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = CREDIT; at >= 2; at -= 2)
        insert(at - 1, 1);
}

static void single_bytes_anywhere(struct qs_random *random)
{
    for (uint32_t i = 0; i < CREDIT / 8; i++)
        insert(1 + qs_random_below(random, CREDIT - 1), 1);
}

static void a_byte_per_page(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = SP_PAGE_SIZE - 1; at < CREDIT; at += SP_PAGE_SIZE)
        insert(at, 1);
}

/* Slices leave a gap of one byte, in which a page has to lie. */
static void a_byte_between_slices(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT - 600; at += SP_PAGE_SIZE + 2)
        insert(at, SP_PAGE_SIZE);
    for (uint64_t at = 1 + SP_PAGE_SIZE; at < CREDIT - 600; at += SP_PAGE_SIZE + 2)
        insert(at, 1);
}

static void the_least_that_is_a_slice(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT - 600; at += SP_PAGE_SIZE + 1)
        insert(at, SP_PAGE_SIZE);
}

static void a_little_more_than_two_copies(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT - 1300; at += 2 * SP_PAGE_SIZE + 2)
        insert(at, 2 * SP_PAGE_SIZE + 1);
}

static void full_datagrams_after_a_gap(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT - FULL_SIZE; at += FULL_SIZE)
        insert(at, FULL_SIZE);
}

static void any_fragments_anywhere(struct qs_random *random)
{
    for (uint32_t i = 0; i < 3000; i++) {
        uint64_t size = 1 + qs_random_below(random, i % 3 == 0 ? 10 : 700);
        insert(1 + qs_random_below(random, CREDIT - size - 1), size);
    }
}

static void fragments_in_a_dense_place(struct qs_random *random)
{
    for (uint32_t i = 0; i < 3000; i++) {
        uint64_t size = 1 + qs_random_below(random, i % 2 == 0 ? 4 : 520);
        insert(1 + qs_random_below(random, 4000), size);
    }
}

/* Nothing is read: byte 0 is missing. */
static const struct {
    const char *what;
    void (*send)(struct qs_random *random);
} patterns[] = {
    {"every second byte", every_second_byte},
    {"every second byte, backwards", every_second_byte_backwards},
    {"single bytes anywhere", single_bytes_anywhere},
    {"a byte per page", a_byte_per_page},
    {"a byte between slices", a_byte_between_slices},
    {"the least that is a slice", the_least_that_is_a_slice},
    {"a little more than two copies", a_little_more_than_two_copies},
    {"full datagrams", full_datagrams_after_a_gap},
    {"any fragments anywhere", any_fragments_anywhere},
    {"fragments in a dense place", fragments_in_a_dense_place},
};

/* Reads what is there and compares each byte. */
static void read_all(void)
{
    struct sb_slice slice;
    uint64_t at = w.reassembly.read_end;
    while (sp_reassembly_next(&w.reassembly, &slice)) {
        for (uint64_t i = 0; i < slice.size; i++)
            assert_int_equal(slice.data[i], byte_at(at + i));
        sb_buffer_unref(slice.buffer);
        at += slice.size;
    }
    assert_int_equal(w.reassembly.read_end, at);
}

/* The bound holds after each frame, for what pools and slots really use, and no byte is lost. */
static void memory_follows_credit_for_any_fragments(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(patterns); i++) {
        struct qs_random random;
        qs_random_init(&random, i);
        begin();
        patterns[i].send(&random);
        sp_reassembly_check(&w.reassembly);
        print_message("    %s: %.2f bytes per byte of credit, %u steps\n", patterns[i].what,
                      (double)used_bytes() / (double)w.highest, w.steps_max);
        assert_true(w.steps_max <= DESCENT_MAX + (FULL_SIZE / SP_PAGE_SIZE + 2) * NEW_PAGE_MAX);
        while (w.reassembly.read_end < w.highest) {
            insert(w.reassembly.read_end, SB_MIN(FULL_SIZE, w.highest - w.reassembly.read_end));
            read_all();
            assert_bound();
        }
        sp_reassembly_check(&w.reassembly);
        assert_int_equal(w.reassembly.received_bytes, w.highest);
        assert_true(w.all.store.count <= 1); /* a page for what comes next */
    }
}

enum { STREAMS = 20000, MESSAGE_SIZE = 50, HELD_BYTES_MAX = 8 << 20 };

static struct sb_slice held[2 * STREAMS];

static uint32_t hold(struct sp_reassembly *reassembly, uint32_t count)
{
    while (sp_reassembly_next(reassembly, &held[count]))
        count++;
    return count;
}

/* A large copy that is read through memory of the application does not stay for its last byte. */
static void the_rest_of_a_large_copy_moves_into_a_page(void **state)
{
    (void)state;
    static uint8_t memory[FULL_SIZE];
    struct sp_placed placed;
    uint64_t offset;
    begin();
    w.all.store.lent_pool = &w.all.lent;
    insert(1, FULL_SIZE);
    assert_int_equal(w.all.copies.large.used_count, 1);
    assert_true(sp_reassembly_lend(&w.reassembly, memory, FULL_SIZE, 0, &offset));
    assert_bound();
    insert(0, 1);
    assert_true(sp_reassembly_next_placed(&w.reassembly, &placed));
    assert_int_equal(placed.size, FULL_SIZE);
    assert_bound();
    assert_int_equal(w.all.copies.large.used_count, 0);
    sp_reassembly_check(&w.reassembly);

    struct sb_slice slice;
    assert_true(sp_reassembly_next(&w.reassembly, &slice));
    assert_int_equal(slice.size, 1);
    assert_int_equal(slice.data[0], byte_at(FULL_SIZE));
    sb_buffer_unref(slice.buffer);
}

static void messages_that_the_application_holds_are_dense(void **state)
{
    (void)state;
    begin();
    uint32_t count = 0;
    for (uint32_t i = 0; i < STREAMS; i++) {
        assert_true(insert_into(&w.reassembly, (uint64_t)i * MESSAGE_SIZE, MESSAGE_SIZE));
        count = hold(&w.reassembly, count);
    }
    assert_int_equal(w.reassembly.read_end, STREAMS * MESSAGE_SIZE);
    assert_true(used_bytes() <= 2 * STREAMS * MESSAGE_SIZE);
    while (count > 0)
        sb_buffer_unref(held[--count].buffer);
}

/* Each message in a stream of its own, which has ended. */
static void one_message_per_stream_is_dense_too(void **state)
{
    (void)state;
    begin();
    uint32_t count = 0;
    for (uint32_t i = 0; i < STREAMS; i++) {
        struct sp_reassembly stream;
        sp_reassembly_init(&stream, &w.all.store);
        assert_true(insert_into(&stream, 0, MESSAGE_SIZE));
        count = hold(&stream, count);
        sp_reassembly_clear(&stream);
    }
    assert_int_equal(count, STREAMS);
    print_message("    %.1f MB\n", (double)used_bytes() / 1e6);
    assert_true(used_bytes() <= HELD_BYTES_MAX);
    while (count > 0)
        sb_buffer_unref(held[--count].buffer);
}

static void a_byte_per_stream_costs_a_page_each(void **state)
{
    (void)state;
    static struct sp_reassembly streams[1000];
    begin();
    for (uint64_t i = 0; i < QT_COUNT(streams); i++) {
        sp_reassembly_init(&streams[i], &w.all.store);
        assert_true(insert_into(&streams[i], i % 3, 1));
    }
    assert_true(used_bytes() <= QT_COUNT(streams) * BYTES_PER_STREAM_MAX);
    for (size_t i = 0; i < QT_COUNT(streams); i++)
        sp_reassembly_clear(&streams[i]);
}

/* ---- Buffers ---- */

/* A buffer of which so many full datagrams wait for a gap. */
static void deliver_together(uint32_t count)
{
    uint64_t at = w.highest + 1;
    struct slot *slot = heap_take(&w.heap, sizeof(*slot));
    assert_non_null(slot);
    w.slot_count++;
    struct sb_buffer *buffer = &slot->buffer;
    *buffer = (struct sb_buffer){.ref_count = 1, .release = on_release, .size = SLOT_SIZE};
    for (uint64_t i = 0; i < FULL_SIZE; i++)
        slot->data[i] = byte_at(at + i);
    struct sb_slice slice = {slot->data, FULL_SIZE, buffer};
    for (uint32_t i = 0; i < count; i++)
        assert_true(sp_reassembly_insert(&w.reassembly, at + i * (uint64_t)FULL_SIZE, &slice));
    w.highest = at + (uint64_t)count * FULL_SIZE;
    sp_compact_fresh(&w.all.copies);
    sb_buffer_unref(buffer);
}

static void a_buffer_that_is_well_used_is_kept_without_a_copy(void **state)
{
    (void)state;
    begin();
    insert(0, 1);
    read_all();
    uint64_t packed_bytes = w.all.store.packed_bytes;
    deliver_together(45);
    deliver_together(6);
    assert_int_equal(w.slot_count, 2);
    assert_int_equal(w.all.store.packed_bytes, packed_bytes);
    deliver_together(5); /* less than an eighth */
    assert_int_equal(w.slot_count, 2);
    assert_int_equal(w.all.store.packed_bytes, packed_bytes + 5 * FULL_SIZE);
    sp_reassembly_check(&w.reassembly);
}

/* Well used at first, a buffer may be pinned by a rest. */
static void old_buffers_are_freed_when_they_are_needed(void **state)
{
    (void)state;
    begin();
    struct sp_reassembly other;
    sp_reassembly_init(&other, &w.all.store);
    struct slot *slot = heap_take(&w.heap, sizeof(*slot));
    assert_non_null(slot);
    w.slot_count++;
    slot->buffer = (struct sb_buffer){.ref_count = 1, .release = on_release, .size = SLOT_SIZE};
    struct sb_slice slice = {slot->data, FULL_SIZE, &slot->buffer};
    memset(slot->data, 'x', sizeof(slot->data));
    for (uint64_t i = 0; i < 40; i++)
        assert_true(sp_reassembly_insert(&w.reassembly, 1 + i * FULL_SIZE, &slice));
    assert_true(sp_reassembly_insert(&other, 1000, &slice));
    sp_compact_fresh(&w.all.copies);
    sb_buffer_unref(&slot->buffer);
    sp_compact_old(&w.all.copies, 100); /* looks at all, and changes nothing */
    assert_int_equal(w.slot_count, 1);
    sp_reassembly_clear(&w.reassembly);
    sp_compact_fresh(&w.all.copies);
    assert_int_equal(w.slot_count, 1);
    sp_compact_old(&w.all.copies, 1);
    assert_int_equal(w.slot_count, 0);
    sp_reassembly_check(&other);
    assert_int_equal(other.received_bytes, FULL_SIZE);
    sp_reassembly_clear(&other);
}

static void *take_nothing(void *context, size_t size)
{
    (void)context;
    (void)size;
    return NULL;
}

static void without_memory_for_copies_bytes_stay_where_they_are(void **state)
{
    (void)state;
    begin();
    insert(1, 1); /* a piece of each kind is there, the rest of its block too */
    void *(*take)(void *, size_t) = w.heap.memory.take;
    struct sb_buffer *taken[100];
    uint32_t count = 0;
    w.heap.memory.take = take_nothing;
    while ((taken[count] =
                sp_copies_take(&w.all.copies, w.all.store.holding, SP_PAGE_SIZE, false)) != NULL)
        count++;
    w.heap.memory.take = take;
    deliver_together(1);
    w.heap.memory.take = take_nothing;
    sp_compact_old(&w.all.copies, 10);
    assert_false(insert_into(&w.reassembly, 100000, 1));
    w.heap.memory.take = take;
    sp_reassembly_check(&w.reassembly);
    while (count > 0)
        sb_buffer_unref(taken[--count]);
}

/* ---- Time ---- */

/* Frames of all sizes among as many pieces as a connection may have. */
static void a_frame_visits_few_pieces_however_many_there_are(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 0; i < SP_REASSEMBLY_PIECES_MAX; i++) {
        uint64_t page = i * 7919 % SP_REASSEMBLY_PIECES_MAX; /* in an order without order */
        assert_true(insert_into(&w.reassembly, 1 + page * SP_PAGE_SIZE, 1));
    }
    sp_reassembly_check(&w.reassembly);
    assert_int_equal(w.all.store.count, SP_REASSEMBLY_PIECES_MAX);
    static const uint64_t sizes[] = {1, 100, 256, 1000, FULL_SIZE};
    struct qs_random random;
    qs_random_init(&random, 1);
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        w.steps_max = 0;
        for (uint32_t k = 0; k < 1000; k++) {
            uint64_t at = 1 + qs_random_below(&random, w.highest - FULL_SIZE);
            assert_true(insert_into(&w.reassembly, at, sizes[i]));
        }
        assert_true(w.steps_max <= DESCENT_MAX + 2 * sizes[i] / SP_PAGE_SIZE + 4);
    }
    sp_reassembly_check(&w.reassembly);
}

/* Orders that degrade a tree which is not balanced. */
static void order_of_arrival_does_not_make_the_tree_deep(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    for (uint32_t order = 0; order < 3; order++) {
        begin();
        for (uint64_t i = 0; i < COUNT; i++) {
            uint64_t page = order == 0   ? i
                            : order == 1 ? COUNT - 1 - i
                            : i % 2 == 0 ? i / 2
                                         : COUNT - 1 - i / 2;
            assert_true(insert_into(&w.reassembly, 1 + page * SP_PAGE_SIZE, 1));
        }
        w.steps_max = 0;
        for (uint64_t i = 0; i < COUNT; i++)
            assert_true(insert_into(&w.reassembly, 3 + i * SP_PAGE_SIZE, 1));
        print_message("    order %u: %u steps\n", order, w.steps_max);
        assert_true(w.steps_max <= DESCENT_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(memory_follows_credit_for_any_fragments, end),
        cmocka_unit_test_teardown(messages_that_the_application_holds_are_dense, end),
        cmocka_unit_test_teardown(the_rest_of_a_large_copy_moves_into_a_page, end),
        cmocka_unit_test_teardown(one_message_per_stream_is_dense_too, end),
        cmocka_unit_test_teardown(a_byte_per_stream_costs_a_page_each, end),
        cmocka_unit_test_teardown(a_buffer_that_is_well_used_is_kept_without_a_copy, end),
        cmocka_unit_test_teardown(old_buffers_are_freed_when_they_are_needed, end),
        cmocka_unit_test_teardown(without_memory_for_copies_bytes_stay_where_they_are, end),
        cmocka_unit_test_teardown(a_frame_visits_few_pieces_however_many_there_are, end),
        cmocka_unit_test_teardown(order_of_arrival_does_not_make_the_tree_deep, end),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

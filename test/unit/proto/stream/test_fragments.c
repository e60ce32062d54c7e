/* SPDX-License-Identifier: MIT */
/* What a peer can make a receiver hold, and do, by cutting a stream in fragments. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/stream/compact.h"
#include "proto/wire/limits.h"
#include "test/sim/random.h"
#include "test/support/fragments.h"

enum {
    CREDIT = 1 << 18,  /* the window that a pattern uses up */
    NEW_PAGE_MAX = 20, /* steps that count for a page, its making included */
    DESCENT_MAX = 64,  /* visits to find a place in a treap of some thousand pieces */
};

/* ---- Memory ---- */

static void every_second_byte(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT; at += 2)
        fragments_insert(at, 1);
}

static void every_second_byte_backwards(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = CREDIT; at >= 2; at -= 2)
        fragments_insert(at - 1, 1);
}

static void single_bytes_anywhere(struct qs_random *random)
{
    for (uint32_t i = 0; i < CREDIT / 8; i++)
        fragments_insert(1 + qs_random_below(random, CREDIT - 1), 1);
}

static void a_byte_per_page(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = SP_PAGE_SIZE - 1; at < CREDIT; at += SP_PAGE_SIZE)
        fragments_insert(at, 1);
}

/* Slices leave a gap of one byte, in which a page has to lie. */
static void a_byte_between_slices(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT - 600; at += SP_PAGE_SIZE + 2)
        fragments_insert(at, SP_PAGE_SIZE);
    for (uint64_t at = 1 + SP_PAGE_SIZE; at < CREDIT - 600; at += SP_PAGE_SIZE + 2)
        fragments_insert(at, 1);
}

static void the_least_that_is_a_slice(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT - 600; at += SP_PAGE_SIZE + 1)
        fragments_insert(at, SP_PAGE_SIZE);
}

static void a_little_more_than_two_copies(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT - 1300; at += 2 * SP_PAGE_SIZE + 2)
        fragments_insert(at, 2 * SP_PAGE_SIZE + 1);
}

static void full_datagrams_after_a_gap(struct qs_random *random)
{
    (void)random;
    for (uint64_t at = 1; at < CREDIT - FRAGMENT_SIZE_MAX; at += FRAGMENT_SIZE_MAX)
        fragments_insert(at, FRAGMENT_SIZE_MAX);
}

static void any_fragments_anywhere(struct qs_random *random)
{
    for (uint32_t i = 0; i < 3000; i++) {
        uint64_t size = 1 + qs_random_below(random, i % 3 == 0 ? 10 : 700);
        fragments_insert(1 + qs_random_below(random, CREDIT - size - 1), size);
    }
}

static void fragments_in_a_dense_place(struct qs_random *random)
{
    for (uint32_t i = 0; i < 3000; i++) {
        uint64_t size = 1 + qs_random_below(random, i % 2 == 0 ? 4 : 520);
        fragments_insert(1 + qs_random_below(random, 4000), size);
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

/* The bound holds after each frame, for what pools and slots really use, and no byte is lost. */
static void memory_follows_credit_for_any_fragments(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(patterns); i++) {
        struct qs_random random;
        qs_random_init(&random, i);
        fragments_begin();
        patterns[i].send(&random);
        sp_reassembly_check(&fragments.reassembly);
        print_message("    %s: %.2f bytes per byte of credit, %u steps\n", patterns[i].what,
                      (double)fragments_used_bytes() / (double)fragments.highest,
                      fragments.steps_max);
        assert_true(fragments.steps_max <=
                    DESCENT_MAX + (FRAGMENT_SIZE_MAX / SP_PAGE_SIZE + 2) * NEW_PAGE_MAX);
        while (fragments.reassembly.read_end < fragments.highest) {
            fragments_insert(
                fragments.reassembly.read_end,
                SB_MIN(FRAGMENT_SIZE_MAX, fragments.highest - fragments.reassembly.read_end));
            fragments_read_all();
            fragments_assert_bound();
        }
        sp_reassembly_check(&fragments.reassembly);
        assert_int_equal(fragments.reassembly.received_bytes, fragments.highest);
        assert_true(fragments.all.store.count <= 1); /* a page for what comes next */
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
    static uint8_t memory[FRAGMENT_SIZE_MAX];
    struct sp_placed placed;
    uint64_t offset;
    fragments_begin();
    fragments.all.store.lent_pool = &fragments.all.lent;
    fragments_insert(1, FRAGMENT_SIZE_MAX);
    assert_int_equal(fragments.all.copies.large.used_count, 1);
    assert_true(sp_reassembly_lend(&fragments.reassembly, memory, FRAGMENT_SIZE_MAX, 0, &offset));
    fragments_assert_bound();
    fragments_insert(0, 1);
    assert_true(sp_reassembly_next_placed(&fragments.reassembly, &placed));
    assert_int_equal(placed.size, FRAGMENT_SIZE_MAX);
    fragments_assert_bound();
    assert_int_equal(fragments.all.copies.large.used_count, 0);
    sp_reassembly_check(&fragments.reassembly);

    struct sb_slice slice;
    assert_true(sp_reassembly_next(&fragments.reassembly, &slice));
    assert_int_equal(slice.size, 1);
    assert_int_equal(slice.data[0], fragments_byte_at(FRAGMENT_SIZE_MAX));
    sb_buffer_unref(slice.buffer);
}

/* A packet that waited for its keys is a large copy: what is left of its slice does not pin it. */
static void the_rest_of_a_packet_that_waited_moves_into_a_page(void **state)
{
    (void)state;
    enum { SIZE = 600, REST = 100 };
    static uint8_t memory[SIZE];
    struct test_store *all = &fragments.all;
    struct sb_slice slice;
    uint64_t offset;
    fragments_begin();
    all->store.lent_pool = &all->lent;
    slice.buffer = sp_copies_take(&all->copies, all->store.holding, SP_COPY_SIZE_MAX, true);
    assert_non_null(slice.buffer);
    uint8_t *data = sp_copy_data(slice.buffer);
    for (uint32_t i = 0; i < SIZE; i++)
        data[i] = fragments_byte_at(i);
    slice.data = data;
    slice.size = SIZE;
    assert_true(sp_reassembly_insert(&fragments.reassembly, 0, &slice));
    sb_buffer_unref(slice.buffer);
    fragments.highest = SIZE;
    fragments_assert_bound();
    assert_true(sp_reassembly_lend(&fragments.reassembly, memory, SIZE - REST, 0, &offset));
    assert_int_equal(all->copies.large.used_count, 0);
    assert_int_equal(all->copies.small.used_count, 1);
    struct sp_placed placed;
    assert_true(sp_reassembly_next_placed(&fragments.reassembly, &placed));
    assert_int_equal(placed.size, SIZE - REST);
    fragments_assert_bound();
    sp_reassembly_check(&fragments.reassembly);
    fragments_read_all();
    assert_int_equal(fragments.reassembly.read_end, SIZE);
}

static void messages_that_the_application_holds_are_dense(void **state)
{
    (void)state;
    fragments_begin();
    uint32_t count = 0;
    for (uint32_t i = 0; i < STREAMS; i++) {
        assert_true(fragments_try(&fragments.reassembly, (uint64_t)i * MESSAGE_SIZE, MESSAGE_SIZE));
        count = hold(&fragments.reassembly, count);
    }
    assert_int_equal(fragments.reassembly.read_end, STREAMS * MESSAGE_SIZE);
    assert_true(fragments_used_bytes() <= 2 * STREAMS * MESSAGE_SIZE);
    while (count > 0)
        sb_buffer_unref(held[--count].buffer);
}

/* Each message in a stream of its own, which has ended. */
static void one_message_per_stream_is_dense_too(void **state)
{
    (void)state;
    fragments_begin();
    uint32_t count = 0;
    for (uint32_t i = 0; i < STREAMS; i++) {
        struct sp_reassembly stream;
        sp_reassembly_init(&stream, &fragments.all.store);
        assert_true(fragments_try(&stream, 0, MESSAGE_SIZE));
        count = hold(&stream, count);
        sp_reassembly_clear(&stream);
    }
    assert_int_equal(count, STREAMS);
    print_message("    %.1f MB\n", (double)fragments_used_bytes() / 1e6);
    assert_true(fragments_used_bytes() <= HELD_BYTES_MAX);
    while (count > 0)
        sb_buffer_unref(held[--count].buffer);
}

static void a_byte_per_stream_costs_a_page_each(void **state)
{
    (void)state;
    static struct sp_reassembly streams[1000];
    fragments_begin();
    for (uint64_t i = 0; i < QT_COUNT(streams); i++) {
        sp_reassembly_init(&streams[i], &fragments.all.store);
        assert_true(fragments_try(&streams[i], i % 3, 1));
    }
    assert_true(fragments_used_bytes() <= QT_COUNT(streams) * SP_HELD_BYTES_PER_STREAM_MAX);
    for (size_t i = 0; i < QT_COUNT(streams); i++)
        sp_reassembly_clear(&streams[i]);
}

/* ---- Buffers ---- */

/* A buffer of which so many full datagrams wait for a gap. */
static void deliver_together(uint32_t count)
{
    uint64_t at = fragments.highest + 1;
    struct fragment_slot *slot = heap_take(&fragments.heap, sizeof(*slot));
    assert_non_null(slot);
    fragments.slot_count++;
    struct sb_buffer *buffer = &slot->buffer;
    *buffer = (struct sb_buffer){
        .ref_count = 1, .release = fragments_release, .size = FRAGMENT_SLOT_SIZE};
    for (uint64_t i = 0; i < FRAGMENT_SIZE_MAX; i++)
        slot->data[i] = fragments_byte_at(at + i);
    struct sb_slice slice = {slot->data, FRAGMENT_SIZE_MAX, buffer};
    for (uint32_t i = 0; i < count; i++)
        assert_true(sp_reassembly_insert(&fragments.reassembly,
                                         at + i * (uint64_t)FRAGMENT_SIZE_MAX, &slice));
    fragments.highest = at + (uint64_t)count * FRAGMENT_SIZE_MAX;
    sp_compact_fresh(&fragments.all.copies);
    sb_buffer_unref(buffer);
}

static void a_buffer_that_is_well_used_is_kept_without_a_copy(void **state)
{
    (void)state;
    fragments_begin();
    fragments_insert(0, 1);
    fragments_read_all();
    uint64_t packed_bytes = fragments.all.store.packed_bytes;
    deliver_together(45);
    deliver_together(6);
    assert_int_equal(fragments.slot_count, 2);
    assert_int_equal(fragments.all.store.packed_bytes, packed_bytes);
    deliver_together(5); /* less than an eighth */
    assert_int_equal(fragments.slot_count, 2);
    assert_int_equal(fragments.all.store.packed_bytes, packed_bytes + 5 * FRAGMENT_SIZE_MAX);
    sp_reassembly_check(&fragments.reassembly);
}

/* Well used at first, a buffer may be pinned by a rest. */
static void old_buffers_are_freed_when_they_are_needed(void **state)
{
    (void)state;
    fragments_begin();
    struct sp_reassembly other;
    sp_reassembly_init(&other, &fragments.all.store);
    struct fragment_slot *slot = heap_take(&fragments.heap, sizeof(*slot));
    assert_non_null(slot);
    fragments.slot_count++;
    slot->buffer = (struct sb_buffer){
        .ref_count = 1, .release = fragments_release, .size = FRAGMENT_SLOT_SIZE};
    struct sb_slice slice = {slot->data, FRAGMENT_SIZE_MAX, &slot->buffer};
    memset(slot->data, 'x', sizeof(slot->data));
    for (uint64_t i = 0; i < 40; i++)
        assert_true(sp_reassembly_insert(&fragments.reassembly, 1 + i * FRAGMENT_SIZE_MAX, &slice));
    assert_true(sp_reassembly_insert(&other, 1000, &slice));
    sp_compact_fresh(&fragments.all.copies);
    sb_buffer_unref(&slot->buffer);
    sp_compact_old(&fragments.all.copies, 100); /* looks at all, and changes nothing */
    assert_int_equal(fragments.slot_count, 1);
    sp_reassembly_clear(&fragments.reassembly);
    sp_compact_fresh(&fragments.all.copies);
    assert_int_equal(fragments.slot_count, 1);
    sp_compact_old(&fragments.all.copies, 1);
    assert_int_equal(fragments.slot_count, 0);
    sp_reassembly_check(&other);
    assert_int_equal(other.received_bytes, FRAGMENT_SIZE_MAX);
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
    fragments_begin();
    fragments_insert(1, 1); /* a piece of each kind is there, the rest of its block too */
    void *(*take)(void *, size_t) = fragments.heap.memory.take;
    struct sb_buffer *taken[100];
    uint32_t count = 0;
    fragments.heap.memory.take = take_nothing;
    while ((taken[count] = sp_copies_take(&fragments.all.copies, fragments.all.store.holding,
                                          SP_PAGE_SIZE, false)) != NULL)
        count++;
    fragments.heap.memory.take = take;
    deliver_together(1);
    fragments.heap.memory.take = take_nothing;
    sp_compact_old(&fragments.all.copies, 10);
    assert_false(fragments_try(&fragments.reassembly, 100000, 1));
    fragments.heap.memory.take = take;
    sp_reassembly_check(&fragments.reassembly);
    while (count > 0)
        sb_buffer_unref(taken[--count]);
}

/* The end of a slice is copied later than its start, of which some has been read meanwhile: then
 * both fit into one page. */
static void what_is_copied_late_joins_the_page_before_it(void **state)
{
    (void)state;
    enum { SIZE = SP_PAGE_SIZE + 9, READ = 78 };
    static uint8_t memory[READ];
    struct sb_buffer *taken[100];
    struct sp_placed placed;
    uint64_t offset;
    uint32_t count = 0;
    fragments_begin();
    fragments.all.store.lent_pool = &fragments.all.lent;
    assert_true(fragments_try(&fragments.reassembly, 4 * SIZE, 1)); /* makes a block of copies */
    void *(*take)(void *, size_t) = fragments.heap.memory.take;
    fragments.heap.memory.take = take_nothing;
    while ((taken[count] = sp_copies_take(&fragments.all.copies, fragments.all.store.holding,
                                          SP_PAGE_SIZE, true)) != NULL)
        count++;
    assert_true(count >= 2);
    sb_buffer_unref(taken[--count]);
    assert_true(fragments_try(&fragments.reassembly, 0, SIZE));
    assert_int_equal(fragments.slot_count, 1); /* for the end of the slice */
    fragments.heap.memory.take = take;
    assert_true(sp_reassembly_lend(&fragments.reassembly, memory, READ, 0, &offset));
    assert_true(sp_reassembly_next_placed(&fragments.reassembly, &placed));
    assert_int_equal(placed.size, READ);
    while (count > 0)
        sb_buffer_unref(taken[--count]);
    sp_compact_old(&fragments.all.copies, 10);
    assert_int_equal(fragments.slot_count, 0);
    sp_reassembly_check(&fragments.reassembly);
    fragments_read_all();
    assert_int_equal(fragments.reassembly.read_end, SIZE);
}

/* ---- Time ---- */

/* Frames of all sizes among as many pieces as any connection may have. */
static void a_frame_visits_few_pieces_however_many_there_are(void **state)
{
    (void)state;
    fragments_begin();
    for (uint64_t i = 0; i < SP_REASSEMBLY_PIECES_MIN; i++) {
        uint64_t page = i * 7919 % SP_REASSEMBLY_PIECES_MIN; /* in an order without order */
        assert_true(fragments_try(&fragments.reassembly, 1 + page * SP_PAGE_SIZE, 1));
    }
    sp_reassembly_check(&fragments.reassembly);
    assert_int_equal(fragments.all.store.count, SP_REASSEMBLY_PIECES_MIN);
    static const uint64_t sizes[] = {1, 100, 256, 1000, FRAGMENT_SIZE_MAX};
    struct qs_random random;
    qs_random_init(&random, 1);
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        fragments.steps_max = 0;
        for (uint32_t k = 0; k < 1000; k++) {
            uint64_t at = 1 + qs_random_below(&random, fragments.highest - FRAGMENT_SIZE_MAX);
            assert_true(fragments_try(&fragments.reassembly, at, sizes[i]));
        }
        assert_true(fragments.steps_max <= DESCENT_MAX + 2 * sizes[i] / SP_PAGE_SIZE + 4);
    }
    sp_reassembly_check(&fragments.reassembly);
}

/* Orders that degrade a tree which is not balanced. */
static void order_of_arrival_does_not_make_the_tree_deep(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    for (uint32_t order = 0; order < 3; order++) {
        fragments_begin();
        for (uint64_t i = 0; i < COUNT; i++) {
            uint64_t page = order == 0   ? i
                            : order == 1 ? COUNT - 1 - i
                            : i % 2 == 0 ? i / 2
                                         : COUNT - 1 - i / 2;
            assert_true(fragments_try(&fragments.reassembly, 1 + page * SP_PAGE_SIZE, 1));
        }
        fragments.steps_max = 0;
        for (uint64_t i = 0; i < COUNT; i++)
            assert_true(fragments_try(&fragments.reassembly, 3 + i * SP_PAGE_SIZE, 1));
        print_message("    order %u: %u steps\n", order, fragments.steps_max);
        assert_true(fragments.steps_max <= DESCENT_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(memory_follows_credit_for_any_fragments, fragments_tear_down),
        cmocka_unit_test_teardown(messages_that_the_application_holds_are_dense,
                                  fragments_tear_down),
        cmocka_unit_test_teardown(the_rest_of_a_large_copy_moves_into_a_page, fragments_tear_down),
        cmocka_unit_test_teardown(the_rest_of_a_packet_that_waited_moves_into_a_page,
                                  fragments_tear_down),
        cmocka_unit_test_teardown(one_message_per_stream_is_dense_too, fragments_tear_down),
        cmocka_unit_test_teardown(a_byte_per_stream_costs_a_page_each, fragments_tear_down),
        cmocka_unit_test_teardown(a_buffer_that_is_well_used_is_kept_without_a_copy,
                                  fragments_tear_down),
        cmocka_unit_test_teardown(old_buffers_are_freed_when_they_are_needed, fragments_tear_down),
        cmocka_unit_test_teardown(what_is_copied_late_joins_the_page_before_it,
                                  fragments_tear_down),
        cmocka_unit_test_teardown(without_memory_for_copies_bytes_stay_where_they_are,
                                  fragments_tear_down),
        cmocka_unit_test_teardown(a_frame_visits_few_pieces_however_many_there_are,
                                  fragments_tear_down),
        cmocka_unit_test_teardown(order_of_arrival_does_not_make_the_tree_deep,
                                  fragments_tear_down),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

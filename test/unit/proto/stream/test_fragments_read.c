/* SPDX-License-Identifier: MIT */
/* What a receiver holds of a stream in fragments while it is read, also into lent memory. */

#include "test/support/qt.h"

#include "proto/wire/limits.h"
#include "test/sim/random.h"
#include "test/support/fragments.h"

enum { CRUMBS = SP_LENT_BUFFERS_MAX, CRUMB_SIZE = 600 };

static uint8_t crumbs[CRUMBS][CRUMB_SIZE];

/* Lends memory for the next `size` bytes, if that is allowed. */
static void lend(uint64_t size)
{
    static uint32_t next;
    uint64_t offset;
    assert_true(size <= CRUMB_SIZE);
    fragments.all.store.lent_pool = &fragments.all.lent;
    if (sp_reassembly_lend(&fragments.reassembly, crumbs[next % CRUMBS], size, 0, &offset))
        next++;
    sp_reassembly_check(&fragments.reassembly);
    fragments_assert_bound();
}

/* Reads what is there in lent memory, and compares each byte. */
static void read_placed(void)
{
    struct sp_placed placed;
    while (sp_reassembly_next_placed(&fragments.reassembly, &placed)) {
        for (uint64_t i = 0; i < placed.size; i++)
            assert_int_equal(placed.data[i], fragments_byte_at(placed.offset + i));
        sp_reassembly_check(&fragments.reassembly);
        fragments_assert_bound();
    }
}

/* Reads the stream up to `end` through lent memory, a few bytes at a time. */
static void read_crumbs(uint64_t end)
{
    for (uint64_t at; (at = fragments.reassembly.read_end) < end;) {
        lend(SB_MIN(1 + at % 7, end - at));
        read_placed();
        assert_true(fragments.reassembly.read_end > at);
    }
}

#define READ UINT32_MAX /* in place of a size: reads what is there */

/* Fragments of which few bytes are left in each page when the first ones have been read. */
static void short_pages_side_by_side_become_one(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct {
            uint32_t offset;
            uint32_t size;
        } parts[8];
        uint64_t read_to; /* through lent memory */
    } samples[] = {
        {"two copies of a slice", {{0, 186}, {0, READ}, {186, 284}, {470, 44}}, 438},
        {"three copies of a slice", {{0, 253}, {0, READ}, {253, 513}, {766, 3}}, 764},
        {"after a page in order", {{0, 255}, {0, READ}, {255, 255}, {0, READ}, {511, 2}}, 0},
        {"before a page",
         {{0, 255}, {0, READ}, {255, 1}, {512, 1}, {511, 1}, {0, READ}, {256, 254}, {0, READ}},
         0},
        {"between two pages",
         {{0, 255}, {0, READ}, {255, 1}, {513, 1}, {0, READ}, {256, 253}, {0, READ}, {511, 1}},
         0},
        {"a large copy", {{1, 1400}, {1401, 7}, {1408, 1}, {0, 1}}, 1144},
        {"a large copy, page by page", {{1, 1400}, {1401, 7}, {1408, 1}, {0, 1}}, 1400},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        fragments_begin();
        print_message("    %s\n", samples[i].what);
        for (size_t k = 0; k < QT_COUNT(samples[i].parts); k++) {
            uint32_t size = samples[i].parts[k].size;
            if (size == READ)
                fragments_read_all();
            else if (size > 0)
                fragments_insert(samples[i].parts[k].offset, size);
            sp_reassembly_check(&fragments.reassembly);
            fragments_assert_bound();
        }
        read_crumbs(samples[i].read_to);
    }
}

/* The second byte of each buffer has arrived, and little behind them. */
static void bytes_in_many_small_buffers_share_a_page(void **state)
{
    (void)state;
    fragments_begin();
    for (uint64_t i = 0; i < CRUMBS; i++) {
        lend(2);
        fragments_insert(2 * i + 1, 1);
        sp_reassembly_check(&fragments.reassembly);
    }
    fragments_insert(2 * (uint64_t)CRUMBS, 1);
    fragments_insert(SP_PAGE_SIZE, 1);
    for (uint64_t i = 0; i < CRUMBS; i++) {
        fragments_insert(2 * i, 1);
        read_placed();
        assert_int_equal(fragments.reassembly.read_end, 2 * i + 2);
    }
}

/* The bytes came before the buffers did. */
static void bytes_that_move_to_small_buffers_share_a_page(void **state)
{
    (void)state;
    fragments_begin();
    for (uint64_t at = 1; at < SP_PAGE_SIZE; at += 2)
        fragments_insert(at, 1);
    fragments_insert(SP_PAGE_SIZE, 1);
    for (uint64_t i = 0; i < CRUMBS; i++)
        lend(2);
    for (uint64_t i = 0; i < CRUMBS; i++) {
        fragments_insert(2 * i, 1);
        read_placed();
    }
    assert_int_equal(fragments.reassembly.read_end, 2 * (uint64_t)CRUMBS);
}

static void the_bound_holds_while_a_stream_is_read(void **state)
{
    (void)state;
    enum { SEEDS = 300, STEPS = 300, SPAN = 1800 };
    static const uint32_t sizes[] = {2, 12, 300, 700, FRAGMENT_SIZE_MAX};
    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        struct qs_random random;
        qs_random_init(&random, seed);
        fragments_begin();
        uint64_t size_max = sizes[seed % QT_COUNT(sizes)];
        uint64_t lent_max = seed % 3 == 0 ? 4 : CRUMB_SIZE;
        uint64_t span = seed % 2 == 0 ? 600 : SPAN;
        for (uint32_t i = 0; i < STEPS; i++) {
            uint64_t end = fragments.reassembly.read_end;
            uint64_t whim = qs_random_below(&random, 16);
            if (whim == 0 && seed % 4 != 3)
                lend(1 + qs_random_below(&random, lent_max));
            else if (whim == 1)
                fragments_insert(end, 1 + qs_random_below(&random, size_max));
            else
                fragments_insert(
                    end + 1 + qs_random_below(&random, span),
                    1 + qs_random_below(&random, whim == 2 ? FRAGMENT_SIZE_MAX : size_max));
            sp_reassembly_check(&fragments.reassembly);
            if (whim < 4)
                read_placed();
            if (whim == 4)
                fragments_read_all();
            fragments_assert_bound();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(short_pages_side_by_side_become_one, fragments_tear_down),
        cmocka_unit_test_teardown(bytes_in_many_small_buffers_share_a_page, fragments_tear_down),
        cmocka_unit_test_teardown(bytes_that_move_to_small_buffers_share_a_page,
                                  fragments_tear_down),
        cmocka_unit_test_teardown(the_bound_holds_while_a_stream_is_read, fragments_tear_down),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

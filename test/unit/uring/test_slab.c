/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include "uring/op.h"
#include "uring/slab.h"

/* Slots that a failed test holds do not keep the memory. */
static void slab_deinit(struct su_slab *slab)
{
    uint32_t out_count = slab->slot_count - slab->free_count;
    slab->free_count = slab->slot_count;
    su_slab_deinit(slab);
    assert_int_equal(out_count, 0);
}

QT_FIXTURE(su_slab, slab_deinit)

static void a_slot_that_came_back_last_goes_out_first(void **state)
{
    struct su_slab *slab = *state;
    assert_int_equal(su_slab_init(slab, 1000, 4, false), 0);
    assert_int_equal(slab->slot_size, 1024);

    uint32_t a = su_slab_take(slab);
    uint32_t b = su_slab_take(slab);
    assert_int_equal(a, 0);
    assert_int_equal(b, 1);
    su_slab_give(slab, a);
    su_slab_give(slab, b);
    assert_int_equal(su_slab_take(slab), b);
    assert_int_equal(su_slab_take(slab), a);
    su_slab_check(slab);
    su_slab_give(slab, a);
    su_slab_give(slab, b);
}

static void every_slot_is_its_own_memory(void **state)
{
    struct su_slab *slab = *state;
    const uint32_t count = 17;
    assert_int_equal(su_slab_init(slab, 4096, count, true), 0);

    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(su_slab_take(slab), i);
        memset(su_slab_slot(slab, i), (int)(i + 1), slab->slot_size);
    }
    assert_int_equal(su_slab_take(slab), SU_SLAB_NONE);
    assert_int_equal(slab->free_count, 0);
    su_slab_check(slab); /* the stack behind the slots was not written over */

    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *slot = su_slab_slot(slab, i);
        assert_int_equal((uintptr_t)slot % SB_CACHE_LINE, 0);
        assert_int_equal(slot[0], i + 1);
        assert_int_equal(slot[slab->slot_size - 1], i + 1);
        su_slab_give(slab, i);
    }
    assert_int_equal(slab->free_count, count);
    su_slab_check(slab);
}

/* What was not taken between two trims loses its memory, and its content with it. */
static void trimming_takes_the_memory_of_slots_that_nobody_needed(void **state)
{
    struct su_slab *slab = *state;
    const size_t size = 65536 + 320;
    assert_int_equal(su_slab_init(slab, size, 8, false), 0);
    uint32_t taken[4];
    for (uint32_t i = 0; i < 4; i++) {
        taken[i] = su_slab_take(slab);
        memset(su_slab_slot(slab, taken[i]), 7, size);
    }
    for (uint32_t i = 0; i < 4; i++)
        su_slab_give(slab, taken[i]);
    assert_int_equal(slab->clean_count, 4);
    su_slab_trim(slab); /* all four were in use since the start */
    su_slab_check(slab);
    assert_int_equal(slab->clean_count, 4);

    uint32_t warm = su_slab_take(slab);
    assert_int_equal(su_slab_slot(slab, warm)[size / 2], 7);
    su_slab_give(slab, warm);
    su_slab_trim(slab); /* one was */
    su_slab_check(slab);
    assert_int_equal(slab->clean_count, 7);

    for (uint32_t i = 0; i < 4; i++) {
        taken[i] = su_slab_take(slab);
        assert_int_equal(su_slab_slot(slab, taken[i])[size / 2], i == 0 ? 7 : 0);
    }
    su_slab_check(slab);
    for (uint32_t i = 0; i < 4; i++)
        su_slab_give(slab, taken[i]);
}

static void sizes_that_make_no_sense_are_refused(void **state)
{
    struct su_slab *slab = *state;
    assert_int_equal(su_slab_init(slab, 0, 1, false), -EINVAL);
    assert_int_equal(su_slab_init(slab, 64, 0, false), -EINVAL);
    assert_int_equal(su_slab_init(slab, SIZE_MAX - 1, 1, false), -EINVAL);
    assert_int_equal(su_slab_init(slab, SIZE_MAX / 8, 100, false), -EINVAL);
    su_slab_deinit(slab); /* a failed one */
}

static void a_slot_given_back_twice_is_our_bug(void **state)
{
    struct su_slab *slab = *state;
    assert_int_equal(su_slab_init(slab, 64, 2, false), 0);
    uint32_t index = su_slab_take(slab);
    expect_assert_failure(su_slab_deinit(slab)); /* one is still out */
    su_slab_give(slab, index);
    expect_assert_failure(su_slab_give(slab, index));
    expect_assert_failure(su_slab_give(slab, 2));
}

static void an_operation_survives_its_packing(void **state)
{
    (void)state;
    static const struct su_op ops[] = {
        {0, 0, SU_OP_NONE},
        {UINT32_MAX, SU_GENERATION_MASK, 254},
        {7, 1, SU_OP_RECEIVE},
        {0x80000000u, 0x800000u, SU_OP_APP},
    };
    for (size_t i = 0; i < QT_COUNT(ops); i++) {
        struct su_op back = su_op_unpack(su_op_pack(ops[i]));
        assert_int_equal(back.index, ops[i].index);
        assert_int_equal(back.generation, ops[i].generation);
        assert_int_equal(back.kind, ops[i].kind);
    }
    assert_int_equal(su_generation_next(SU_GENERATION_MASK), 0);
    expect_assert_failure(su_op_pack((struct su_op){.generation = SU_GENERATION_MASK + 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(su_slab, a_slot_that_came_back_last_goes_out_first),
        QT_TEST(su_slab, every_slot_is_its_own_memory),
        QT_TEST(su_slab, trimming_takes_the_memory_of_slots_that_nobody_needed),
        QT_TEST(su_slab, sizes_that_make_no_sense_are_refused),
        QT_TEST(su_slab, a_slot_given_back_twice_is_our_bug),
        cmocka_unit_test(an_operation_survives_its_packing),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

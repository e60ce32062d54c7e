/* SPDX-License-Identifier: MIT */
/* Packets under construction, sealed with the null cipher. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/packet/build.h"
#include "test/sim/null_protect.h"
#include "test/support/owned.h"

enum { HEADER_SIZE = 13, PN_SIZE = 4, ROOM = 200 };

static const uint8_t data[SP_CONTROL_BYTES_MAX] = "the application's bytes";

static void begin_with(struct sp_build *build, uint8_t *packet, size_t room)
{
    memset(packet, 0, room);
    packet[0] = 0x40;
    sp_build_begin(build, packet, HEADER_SIZE, room);
    build->pn = 7;
    build->pn_size = PN_SIZE;
    build->pn_at = packet + HEADER_SIZE - PN_SIZE;
    build->length_at = NULL;
}

static void begin(struct sp_build *build, uint8_t packet[ROOM])
{
    begin_with(build, packet, ROOM);
}

static bool add_control(struct sp_build *build, const void *bytes, size_t size)
{
    struct sb_writer w = sp_build_writer(build);
    sb_writer_bytes(&w, bytes, size);
    return sp_build_commit(build, &w);
}

static void key_end(void *key)
{
    qs_null_protect_ops.destroy(key);
}

/* Control bytes, data, control bytes, padding: one plaintext in that order. */
static void parts_are_sealed_in_the_order_in_which_they_came(void **state)
{
    (void)state;
    struct qs_null_plan plan;
    qs_null_plan_init(&plan);
    struct sp_protect protect = {.ops = &qs_null_protect_ops, .context = &plan};
    static const uint8_t secret[4] = {1, 2, 3, 4};
    struct sp_key *key =
        qs_null_protect_ops.key(&plan, SP_VERSION_1, SP_SUITE_AES_128_GCM, secret, sizeof(secret));
    assert_non_null(key);
    (void)owned_add(key, key_end);

    uint8_t packet[ROOM];
    struct sp_build build;
    begin(&build, packet);
    build.key = key;
    assert_true(add_control(&build, "AB", 2));
    assert_true(add_control(&build, "C", 1));
    sp_build_data(&build, data, 5);
    sp_build_data(&build, data, 0); /* an empty STREAM frame is all head */
    assert_true(add_control(&build, "DE", 2));
    sp_build_pad(&build, 3);
    assert_true(build.is_in_flight);
    assert_int_equal(build.data_count, 2);
    size_t size = sp_build_size(&build);
    assert_int_equal(size, HEADER_SIZE + 13 + SP_TAG_SIZE);

    sp_build_seal(&build, &protect);
    struct sp_mask_batch batch = {0};
    const struct sp_masked masked = {build.packet, build.pn_at, build.pn_size};
    sp_mask_batch_add(&batch, build.key, &masked, &protect);
    assert_int_equal(packet[0], 0x40); /* masks are applied together */
    sp_mask_batch_apply(&batch, &protect);
    assert_int_equal(batch.count, 0);

    const uint8_t *sample = build.pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    qs_null_protect_ops.masks(key, &sample, 1, mask);
    sp_header_mask(packet, build.pn_at, PN_SIZE, mask[0]); /* once more takes it off */
    assert_int_equal(packet[0], 0x40);
    assert_true(sp_open_in_place(&qs_null_protect_ops, key, 7,
                                 (struct sb_bytes){packet, HEADER_SIZE}, packet + HEADER_SIZE,
                                 size - HEADER_SIZE));
    assert_memory_equal(packet + HEADER_SIZE, "ABCthe aDE\0\0\0", 13);
}

static void a_frame_that_does_not_fit_changes_nothing(void **state)
{
    (void)state;
    uint8_t packet[ROOM];
    struct sp_build build;
    begin(&build, packet);
    size_t room = ROOM - HEADER_SIZE - SP_TAG_SIZE;
    assert_int_equal(sp_build_left(&build), room);
    assert_false(add_control(&build, data, room + 1));
    assert_int_equal(sp_build_left(&build), room);
    assert_true(add_control(&build, data, room - 4));
    assert_false(add_control(&build, data, 5));
    assert_false(sp_build_has_data_room(&build, 4, 9)); /* a head and not one byte */
    assert_true(sp_build_has_data_room(&build, 3, 9));
    assert_true(sp_build_has_data_room(&build, 4, 0)); /* a FIN alone */
    assert_false(sp_build_has_data_room(&build, 5, 0));
    assert_true(add_control(&build, data, 4));
    assert_int_equal(sp_build_left(&build), 0);
    assert_int_equal(sp_build_size(&build), ROOM);
    expect_assert_failure(sp_build_data(&build, data, 1));
    expect_assert_failure(sp_build_pad(&build, 1));
}

static void data_frames_are_bounded_by_the_list_of_parts(void **state)
{
    (void)state;
    uint8_t packet[ROOM];
    struct sp_build build;
    begin(&build, packet);
    for (int i = 0; i < SP_DATA_FRAMES_MAX; i++) {
        assert_true(sp_build_has_data_room(&build, 2, 1));
        assert_true(add_control(&build, "h", 1));
        sp_build_data(&build, data, 1);
    }
    assert_false(sp_build_has_data_room(&build, 2, 1));
    assert_true(add_control(&build, "h", 1));
    sp_build_pad(&build, 1); /* control and padding still have their parts */
    assert_true(build.part_count <= SP_BUILD_PARTS_MAX);
}

/* Messages that are copied and heads of many frames fill the scratch buffer before the packet: what
 * then fits into the packet alone fits not. */
static void frames_are_bounded_by_the_scratch_buffer(void **state)
{
    (void)state;
    static uint8_t packet[2 * SP_CONTROL_BYTES_MAX];
    struct sp_build build;
    begin_with(&build, packet, sizeof(packet));
    assert_true(add_control(&build, data, SP_CONTROL_BYTES_MAX - 5));
    assert_true(sp_build_left(&build) > 100);
    for (uint64_t size = 0; size < 3; size++) {
        assert_true(sp_build_has_data_room(&build, 5, size));
        assert_false(sp_build_has_data_room(&build, 6, size));
    }
    assert_false(add_control(&build, data, 6));
    assert_true(add_control(&build, data, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, parts_are_sealed_in_the_order_in_which_they_came),
        cmocka_unit_test(a_frame_that_does_not_fit_changes_nothing),
        cmocka_unit_test(data_frames_are_bounded_by_the_list_of_parts),
        cmocka_unit_test(frames_are_bounded_by_the_scratch_buffer),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

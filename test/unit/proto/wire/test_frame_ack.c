/* SPDX-License-Identifier: MIT */
/* ACK frames: RFC 9000, Section 19.3. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/wire/frame.h"
#include "proto/wire/header.h"

#define MAX_TEXT "\xff\xff\xff\xff\xff\xff\xff\xff"

static enum sp_err read_ack(const void *bytes, size_t size, struct sp_frame *ret)
{
    struct sb_reader r = sb_reader_of(bytes, size);
    return sp_frame_read(&r, SP_PACKET_ONE_RTT, ret);
}

/* [RFC9000 19.3.1] */
static void ranges_are_walked_downwards(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {
        0x02, 0x40, 100, 0, 3, /* largest 100, three ranges behind the first */
        10,                    /* 90 to 100 */
        0,    0,               /* one is missing (89): 88 */
        3,    5,               /* 84 to 87 are missing: 78 to 83 */
        0x40, 75,   1,         /* 76 are missing, 2 to 77: 0 to 1 */
    };
    static const struct sp_ack_range want[] = {{90, 100}, {88, 88}, {78, 83}, {0, 1}};
    struct sp_frame frame;
    assert_int_equal(read_ack(bytes, sizeof(bytes), &frame), SP_OK);

    struct sp_ack_walk walk = sp_ack_walk_of(&frame.ack);
    struct sp_ack_range got;
    for (size_t i = 0; i < QT_COUNT(want); i++) {
        assert_true(sp_ack_next(&walk, &got));
        assert_int_equal(got.smallest, want[i].smallest);
        assert_int_equal(got.largest, want[i].largest);
    }
    got = (struct sp_ack_range){77, 78};
    assert_false(sp_ack_next(&walk, &got));
    assert_false(sp_ack_next(&walk, &got)); /* and it stays at the end */
    assert_int_equal(got.smallest, 77);
}

/* [RFC9000 19.3.1] "If any computed packet number is negative" */
static void forbidden_acks_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *bytes;
        size_t size;
    } samples[] = {
#define BAD(why, text) {why, text, sizeof(text) - 1}
        BAD("[RFC9000 19.3.1] first range below 0", "\x02\x05\0\0\x06"),
        BAD("[RFC9000 19.3.1] the largest first range", "\x02\x05\0\0" MAX_TEXT),
        BAD("[RFC9000 19.3.1] no number left for a gap, at 0", "\x02\x05\0\x01\x05\0\0"),
        BAD("[RFC9000 19.3.1] no number left for a gap, at 1", "\x02\x05\0\x01\x04\0\0"),
        BAD("[RFC9000 19.3.1] gap below 0", "\x02\x05\0\x01\x01\x03\0"),
        BAD("[RFC9000 19.3.1] the largest gap", "\x02\x05\0\x01\0" MAX_TEXT "\0"),
        BAD("[RFC9000 19.3.1] range below 0", "\x02\x05\0\x01\0\0\x04"),
        BAD("[RFC9000 19.3.1] the largest range", "\x02\x05\0\x01\0\0" MAX_TEXT),
        BAD("[RFC9000 19.3.1] the second range below 0", "\x02\x0a\0\x02\0\0\0\0\x07"),
        BAD("more ranges than bytes", "\x02\x05\0\x02\0\0\0\0"),
        BAD("the largest count of ranges", "\x02\x05\0" MAX_TEXT "\0\0\0\0\0\0\0"),
        BAD("ecn counts missing", "\x03\x05\0\0\0\x01\x01"),
#undef BAD
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_frame got;
        memset(&got, 0x5a, sizeof(got));
        struct sp_frame before = got;
        print_message("    %s\n", samples[i].why);
        assert_int_equal(read_ack(samples[i].bytes, samples[i].size, &got), SP_ERR_FRAME_ENCODING);
        assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
    }
}

/* Ranges whose borders need all sizes of varints. */
static const struct sp_ack_range ladder[] = {
    {SB_VARINT_MAX - 70, SB_VARINT_MAX},
    {UINT64_C(1) << 40, UINT64_C(1) << 41},
    {UINT64_C(1) << 33, UINT64_C(1) << 33},
    {1000000, 2000000},
    {20000, 20001},
    {5000, 6000},
    {100, 163},
    {98, 98},
    {50, 96},
    {2, 3},
    {0, 0},
};

static void read_back(const uint8_t *bytes, size_t size, uint32_t count,
                      const struct sp_ecn_counts *ecn)
{
    struct sp_frame frame;
    assert_int_equal(read_ack(bytes, size, &frame), SP_OK);
    assert_int_equal(frame.ack.largest, ladder[0].largest);
    assert_int_equal(frame.ack.delay, 777);
    assert_int_equal(frame.ack.range_count, count - 1);
    assert_int_equal(frame.ack.has_ecn, ecn != NULL);
    if (ecn != NULL) {
        assert_int_equal(frame.ack.ect0, ecn->ect0);
        assert_int_equal(frame.ack.ect1, ecn->ect1);
        assert_int_equal(frame.ack.ce, ecn->ce);
    }
    struct sp_ack_walk walk = sp_ack_walk_of(&frame.ack);
    struct sp_ack_range range;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(sp_ack_next(&walk, &range));
        assert_int_equal(range.smallest, ladder[i].smallest);
        assert_int_equal(range.largest, ladder[i].largest);
    }
    assert_false(sp_ack_next(&walk, &range));
}

/* In any room: the largest ranges, as many as fit, and nothing at all if not one does. */
static void as_many_ranges_as_fit_are_written(void **state)
{
    (void)state;
    static const struct sp_ecn_counts counts = {.ect0 = 100000, .ect1 = 1, .ce = 64};
    for (unsigned has_ecn = 0; has_ecn < 2; has_ecn++) {
        const struct sp_ecn_counts *ecn = has_ecn ? &counts : NULL;
        size_t used_before = 0;
        uint32_t count_before = 0;
        uint8_t out[128];
        for (size_t room = 0; room <= 100; room++) {
            memset(out, 0x5a, sizeof(out));
            struct sb_writer w = sb_writer_of(out, room);
            uint32_t count = sp_frame_write_ack(&w, ladder, QT_COUNT(ladder), 777, ecn);
            size_t used = sb_writer_used(&w);
            assert_false(w.failed);
            assert_true(used <= room);
            for (size_t i = used; i < sizeof(out); i++)
                assert_int_equal(out[i], 0x5a);
            if (count > 0)
                read_back(out, used, count, ecn);
            else
                assert_int_equal(used, 0);

            /* One more range comes as soon as there is room for it, not later. */
            assert_true(count == count_before || count == count_before + 1);
            if (count != count_before)
                assert_int_equal(used, room);
            else
                assert_int_equal(used, used_before);
            used_before = used;
            count_before = count;
        }
        assert_int_equal(count_before, QT_COUNT(ladder));
    }
}

/* The field that counts the ranges grows to two bytes with the 64th behind the first. */
static void many_ranges_are_counted_in_two_bytes(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    struct sp_ack_range ranges[COUNT];
    for (uint64_t i = 0; i < COUNT; i++)
        ranges[i] = (struct sp_ack_range){2 * (COUNT - i), 2 * (COUNT - i)};
    uint8_t out[5 + 2 * COUNT + 2];
    uint32_t count_before = 0;
    for (size_t room = 6; room <= sizeof(out); room++) {
        struct sb_writer w = sb_writer_of(out, room);
        uint32_t count = sp_frame_write_ack(&w, ranges, COUNT, 0, NULL);
        struct sp_frame frame;
        assert_int_equal(read_ack(out, sb_writer_used(&w), &frame), SP_OK);
        assert_int_equal(frame.ack.range_count, count - 1);
        /* Six bytes with the first range, two for each further one, one for the longer count. */
        size_t want = (room - 6) / 2 + 1;
        if (want > 64)
            want = SB_MAX((room - 7) / 2 + 1, (size_t)64);
        assert_int_equal(count, SB_MIN(want, (size_t)COUNT));
        assert_true(count >= count_before);
        count_before = count;
    }
    assert_int_equal(count_before, COUNT);
}

static void ranges_out_of_order_are_our_bug(void **state)
{
    (void)state;
    uint8_t out[64];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    static const struct sp_ack_range upwards[] = {{1, 2}, {5, 6}};
    static const struct sp_ack_range adjacent[] = {{5, 6}, {3, 4}};
    static const struct sp_ack_range overlapping[] = {{5, 6}, {4, 5}};
    static const struct sp_ack_range inverted[] = {{6, 5}};
    expect_assert_failure((void)sp_frame_write_ack(&w, upwards, 2, 0, NULL));
    expect_assert_failure((void)sp_frame_write_ack(&w, adjacent, 2, 0, NULL));
    expect_assert_failure((void)sp_frame_write_ack(&w, overlapping, 2, 0, NULL));
    expect_assert_failure((void)sp_frame_write_ack(&w, inverted, 1, 0, NULL));
    expect_assert_failure((void)sp_frame_write_ack(&w, upwards, 0, 0, NULL));
}

static void a_failed_writer_takes_no_ack(void **state)
{
    (void)state;
    uint8_t out[64];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    w.failed = true;
    assert_int_equal(sp_frame_write_ack(&w, ladder, 1, 0, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_walked_downwards),
        cmocka_unit_test(forbidden_acks_are_refused),
        cmocka_unit_test(as_many_ranges_as_fit_are_written),
        cmocka_unit_test(many_ranges_are_counted_in_two_bytes),
        cmocka_unit_test(ranges_out_of_order_are_our_bug),
        cmocka_unit_test(a_failed_writer_takes_no_ack),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Byte cursors: RFC 9000, Section 16 and appendix A.1 for the varints. */

#include "test/support/qt.h"

#include "proto/base/bytes.h"

static const struct varint_sample {
    uint64_t value;
    const char *bytes;
    uint32_t size;
} varints[] = {
    {151288809941952652, "\xc2\x19\x7c\x5e\xff\x14\xe8\x8c", 8}, /* the samples of A.1 */
    {494878333, "\x9d\x7f\x3e\x7d", 4},
    {15293, "\x7b\xbd", 2},
    {37, "\x25", 1},
    {0, "\x00", 1}, /* the borders */
    {63, "\x3f", 1},
    {64, "\x40\x40", 2},
    {16383, "\x7f\xff", 2},
    {16384, "\x80\x00\x40\x00", 4},
    {1073741823, "\xbf\xff\xff\xff", 4},
    {1073741824, "\xc0\x00\x00\x00\x40\x00\x00\x00", 8},
    {SB_VARINT_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff", 8},
};

static void varints_are_read_and_written_as_the_rfc_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(varints); i++) {
        const struct varint_sample *s = &varints[i];
        struct sb_reader r = sb_reader_of((const uint8_t *)s->bytes, s->size);
        assert_int_equal(sb_reader_varint(&r), s->value);
        assert_false(r.failed);
        assert_int_equal(sb_reader_left(&r), 0);

        uint8_t out[8];
        struct sb_writer w = sb_writer_of(out, sizeof(out));
        sb_writer_varint(&w, s->value);
        assert_int_equal(sb_writer_used(&w), s->size);
        assert_int_equal(sb_varint_size(s->value), s->size);
        assert_memory_equal(out, s->bytes, s->size);
    }
}

static void a_long_form_of_a_small_varint_is_read(void **state)
{
    (void)state;
    static const uint8_t two[] = {0x40, 0x25};
    struct sb_reader r = sb_reader_of(two, sizeof(two));
    assert_int_equal(sb_reader_varint(&r), 37);

    uint8_t out[8];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sb_writer_varint_sized(&w, 37, 2);
    assert_int_equal(sb_writer_used(&w), 2);
    assert_memory_equal(out, two, 2);
}

static void truncated_varints_fail_the_reader(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(varints); i++) {
        for (uint32_t size = 0; size < varints[i].size; size++) {
            struct sb_reader r = sb_reader_of((const uint8_t *)varints[i].bytes, size);
            assert_int_equal(sb_reader_varint(&r), 0);
            assert_true(r.failed);
            assert_int_equal(sb_reader_u8(&r), 0); /* and it stays failed */
            assert_true(r.failed);
        }
    }
}

/* Near the end of the bytes, and far from it: as one read after the other. */
static void varints_in_a_row_are_read_as_single_ones(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    uint8_t bytes[SB_VARINT_SIZE_MAX * (COUNT + 1)] = {0};
    for (size_t i = 0; i + COUNT <= QT_COUNT(varints); i++) {
        struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
        for (size_t k = 0; k < COUNT; k++)
            sb_writer_bytes(&w, varints[i + k].bytes, varints[i + k].size);
        for (size_t size = 0; size <= sizeof(bytes); size++) {
            struct sb_reader one = sb_reader_of(bytes, size), row = one;
            uint64_t single[COUNT], all[COUNT];
            for (size_t k = 0; k < COUNT; k++)
                single[k] = sb_reader_varint(&one);
            sb_reader_varints(&row, all, COUNT);
            assert_int_equal(row.failed, size < sb_writer_used(&w));
            assert_int_equal(row.failed, one.failed);
            assert_ptr_equal(row.at, one.at);
            assert_memory_equal(all, single, sizeof(all));
        }
    }
    struct sb_reader failed = sb_reader_of(bytes, sizeof(bytes));
    failed.failed = true;
    uint64_t none[COUNT] = {1, 2, 3};
    sb_reader_varints(&failed, none, COUNT);
    for (size_t k = 0; k < COUNT; k++)
        assert_int_equal(none[k], 0);
    assert_ptr_equal(failed.at, bytes);
}

static void fixed_width_integers_are_big_endian(void **state)
{
    (void)state;
    uint8_t out[14];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sb_writer_u16(&w, 0x0102);
    sb_writer_u32(&w, 0x03040506);
    sb_writer_u64(&w, 0x0708090a0b0c0d0e);
    assert_false(w.failed);
    for (size_t i = 0; i < sizeof(out); i++)
        assert_int_equal(out[i], i + 1);

    struct sb_reader r = sb_reader_of(out, sizeof(out));
    assert_int_equal(sb_reader_u16(&r), 0x0102);
    assert_int_equal(sb_reader_u32(&r), 0x03040506);
    assert_int_equal(sb_reader_u64(&r), 0x0708090a0b0c0d0e);
    assert_int_equal(sb_reader_u16(&r), 0);
    assert_true(r.failed);
}

static void a_writer_never_passes_its_end(void **state)
{
    (void)state;
    uint8_t out[4] = {0, 0, 0, 0x5a};
    struct sb_writer w = sb_writer_of(out, 3);
    sb_writer_u16(&w, 0xffff);
    sb_writer_u16(&w, 0xffff);
    assert_true(w.failed);
    assert_int_equal(sb_writer_used(&w), 2);
    sb_writer_u8(&w, 1); /* would fit, but failed stays failed */
    assert_int_equal(sb_writer_used(&w), 2);
    assert_int_equal(out[3], 0x5a);
}

static void a_value_over_the_largest_varint_is_our_bug(void **state)
{
    (void)state;
    uint8_t out[8];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    expect_assert_failure(sb_writer_varint(&w, SB_VARINT_MAX + 1));
    expect_assert_failure(sb_writer_varint_sized(&w, 64, 1));
}

/* At every distance from the end of the range, and with a byte behind it that does not count. */
static void zeros_are_skipped_up_to_the_first_other_byte(void **state)
{
    (void)state;
    for (size_t size = 0; size < 40; size++) {
        for (size_t zeros = 0; zeros <= size; zeros++) {
            uint8_t bytes[41] = {0};
            if (zeros < size)
                bytes[zeros] = 1;
            struct sb_reader r = sb_reader_of(bytes, size);
            assert_int_equal(sb_reader_skip_zeros(&r), zeros);
            assert_int_equal(sb_reader_left(&r), size - zeros);
            assert_false(r.failed);
        }
    }
    static const uint8_t bytes[2];
    struct sb_reader r = sb_reader_of(bytes, sizeof(bytes));
    (void)sb_reader_take(&r, 3);
    assert_int_equal(sb_reader_skip_zeros(&r), 0); /* a failed reader has none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_are_read_and_written_as_the_rfc_says),
        cmocka_unit_test(a_long_form_of_a_small_varint_is_read),
        cmocka_unit_test(truncated_varints_fail_the_reader),
        cmocka_unit_test(varints_in_a_row_are_read_as_single_ones),
        cmocka_unit_test(fixed_width_integers_are_big_endian),
        cmocka_unit_test(a_writer_never_passes_its_end),
        cmocka_unit_test(zeros_are_skipped_up_to_the_first_other_byte),
        cmocka_unit_test(a_value_over_the_largest_varint_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

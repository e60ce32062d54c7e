/* SPDX-License-Identifier: MIT */
/* STREAM and CRYPTO frames: RFC 9000, Sections 19.6 and 19.8. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/wire/frame.h"
#include "proto/wire/header.h"

#define MAX_TEXT       "\xff\xff\xff\xff\xff\xff\xff\xff"
#define ONE_BELOW_TEXT "\xff\xff\xff\xff\xff\xff\xff\xfe"

static enum sp_err read_frame(const void *bytes, size_t size, struct sp_frame *ret)
{
    struct sb_reader r = sb_reader_of(bytes, size);
    return sp_frame_read(&r, SP_PACKET_ONE_RTT, ret);
}

static void data_past_the_largest_offset_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *bytes;
        size_t size;
        enum sp_err want;
    } samples[] = {
#define SAMPLE(why, text, want) {why, text, sizeof(text) - 1, want}
        SAMPLE("[RFC9000 19.8] the last byte there is",
               "\x0e\0" ONE_BELOW_TEXT "\x01"
               "a",
               SP_OK),
        SAMPLE("[RFC9000 19.8] the same without a length", "\x0c\0" ONE_BELOW_TEXT "a", SP_OK),
        SAMPLE("[RFC9000 19.8] one too many",
               "\x0e\0" ONE_BELOW_TEXT "\x02"
               "ab",
               SP_ERR_FRAME_ENCODING),
        SAMPLE("[RFC9000 19.8] one too many, no length", "\x0c\0" ONE_BELOW_TEXT "ab",
               SP_ERR_FRAME_ENCODING),
        SAMPLE("[RFC9000 19.8] behind the end",
               "\x0f\0" MAX_TEXT "\x01"
               "a",
               SP_ERR_FRAME_ENCODING),
        SAMPLE("the largest length", "\x0e\0" MAX_TEXT MAX_TEXT "a", SP_ERR_FRAME_ENCODING),
        SAMPLE("[RFC9000 19.6] the last byte of crypto",
               "\x06" ONE_BELOW_TEXT "\x01"
               "a",
               SP_OK),
        SAMPLE("[RFC9000 19.6] one too many",
               "\x06" ONE_BELOW_TEXT "\x02"
               "ab",
               SP_ERR_FRAME_ENCODING),
        SAMPLE("the largest length of crypto", "\x06" MAX_TEXT MAX_TEXT "a", SP_ERR_FRAME_ENCODING),
#undef SAMPLE
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_frame got;
        memset(&got, 0x5a, sizeof(got));
        struct sp_frame before = got;
        print_message("    %s\n", samples[i].why);
        assert_int_equal(read_frame(samples[i].bytes, samples[i].size, &got), samples[i].want);
        if (samples[i].want != SP_OK)
            assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
    }
}

/* [RFC9000 19.8] The data is the packet's own bytes, not a copy. */
static void the_data_is_borrowed(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x0a, 4, 2, 'a', 'b', 0x01};
    struct sp_frame got;
    assert_int_equal(read_frame(bytes, sizeof(bytes), &got), SP_OK);
    assert_ptr_equal(got.stream.data, bytes + 3);
}

/* Into room for exactly the head, and for one byte less. */
static void check_tight_write(const struct sp_stream_head *head, const uint8_t *want)
{
    uint8_t out[32];
    size_t size = sp_frame_stream_head_size(head);
    struct sb_writer w = sb_writer_of(out, size);
    sp_frame_write_stream_head(&w, head);
    assert_false(w.failed);
    assert_int_equal(sb_writer_used(&w), size);
    assert_memory_equal(out, want, size);

    w = sb_writer_of(out, size - 1);
    sp_frame_write_stream_head(&w, head);
    assert_true(w.failed);
}

/* `bytes` is the frame of `head` with its data, and if it has a length one byte more. */
static void check_read(const struct sp_stream_head *head, uint32_t packet_type,
                       const uint8_t *bytes, size_t size)
{
    struct sb_reader r = sb_reader_of(bytes, size);
    struct sp_frame got;
    assert_int_equal(sp_frame_read(&r, packet_type, &got), SP_OK);
    assert_int_equal(got.type & ~(uint64_t)SP_STREAM_FLAGS, SP_FRAME_STREAM);
    assert_int_equal(got.stream.id, head->id);
    assert_int_equal(got.stream.offset, head->offset);
    assert_int_equal(got.stream.size, head->size);
    assert_int_equal(got.stream.fin, head->fin);
    assert_ptr_equal(got.stream.data, bytes + sp_frame_stream_head_size(head));
    assert_int_equal(sb_reader_left(&r), head->has_length ? 1 : 0);

    size_t needed = size - (head->has_length ? 1 : head->size);
    for (size_t cut = 1; cut < needed; cut++) {
        r = sb_reader_of(bytes, cut);
        assert_int_equal(sp_frame_read(&r, packet_type, &got), SP_ERR_FRAME_ENCODING);
    }
}

static void every_head_is_read_back_and_has_its_size(void **state)
{
    (void)state;
    static const uint64_t ids[] = {0, 63, 64, 16384, SB_VARINT_MAX};
    static const uint64_t offsets[] = {0, 1, 64, 16384, UINT64_C(1) << 30, SB_VARINT_MAX - 100};
    static const uint64_t sizes[] = {0, 1, 63, 64, 100};
    static const uint8_t data[100] = "data";
    for (unsigned n = 0; n < 5 * 6 * 5 * 4; n++) {
        struct sp_stream_head head = {
            .id = ids[n % 5],
            .offset = offsets[n / 5 % 6],
            .size = sizes[n / 30 % 5],
            .has_length = n / 150 % 2 != 0,
            .fin = n / 300 != 0,
        };
        uint8_t out[200];
        struct sb_writer w = sb_writer_of(out, sizeof(out));
        sp_frame_write_stream_head(&w, &head);
        assert_int_equal(sb_writer_used(&w), sp_frame_stream_head_size(&head));
        check_tight_write(&head, out);
        sb_writer_bytes(&w, data, head.size);
        if (head.has_length)
            sp_frame_write_ping(&w); /* the length ends it, not the packet */
        assert_false(w.failed);

        /* Both ways: the one for all frames, and the one for STREAM frames of 1-RTT packets. */
        check_read(&head, SP_PACKET_ZERO_RTT, out, sb_writer_used(&w));
        check_read(&head, SP_PACKET_ONE_RTT, out, sb_writer_used(&w));
    }
}

static void every_crypto_head_has_its_size(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {0, 63, 64, 16384, UINT64_C(1) << 30, SB_VARINT_MAX - 100};
    static const uint64_t sizes[] = {0, 1, 63, 64, 100};
    for (size_t i = 0; i < QT_COUNT(offsets) * QT_COUNT(sizes); i++) {
        uint8_t out[32];
        struct sb_writer w = sb_writer_of(out, sizeof(out));
        sp_frame_write_crypto_head(&w, offsets[i % 6], sizes[i / 6]);
        assert_int_equal(sb_writer_used(&w),
                         sp_frame_crypto_head_size(offsets[i % 6], sizes[i / 6]));
    }
}

static void impossible_heads_are_our_bugs(void **state)
{
    (void)state;
    uint8_t out[32];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    struct sp_stream_head head = {.offset = SB_VARINT_MAX, .size = 1};
    expect_assert_failure(sp_frame_write_stream_head(&w, &head));
    expect_assert_failure(sp_frame_write_crypto_head(&w, SB_VARINT_MAX, 1));
    struct sb_reader r = sb_reader_of(out, sizeof(out));
    struct sp_frame_stream got;
    expect_assert_failure(assert_int_equal(sp_frame_read_stream(&r, SP_FRAME_CRYPTO, &got), SP_OK));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_past_the_largest_offset_is_refused),
        cmocka_unit_test(the_data_is_borrowed),
        cmocka_unit_test(every_head_is_read_back_and_has_its_size),
        cmocka_unit_test(every_crypto_head_has_its_size),
        cmocka_unit_test(impossible_heads_are_our_bugs),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

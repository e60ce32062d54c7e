/* SPDX-License-Identifier: MIT */
/* Values that RFC 9000, Sections 12.4 and 19, forbids in a frame; those of ACK, STREAM and
 * CRYPTO are in tests of their own. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/wire/frame.h"
#include "proto/wire/header.h"

#define MAX_TEXT        "\xff\xff\xff\xff\xff\xff\xff\xff"
#define TWO_TO_60_AND_1 "\xd0\0\0\0\0\0\0\x01"
#define TOKEN           "TTTTTTTTTTTTTTTT"

static const struct {
    const char *why;
    const char *bytes;
    size_t size;
    enum sp_err want;
} samples[] = {
#define BAD(why, text, want) {why, text, sizeof(text) - 1, SP_ERR_##want}
    BAD("[RFC9000 12.4] unknown type", "\x20", FRAME_ENCODING),
    BAD("[RFC9000 12.4] unknown type, the largest of one byte", "\x3f", FRAME_ENCODING),
    BAD("[RFC9000 12.4] unknown type of two bytes", "\x40\x40", FRAME_ENCODING),
    BAD("[RFC9000 12.4] unknown type of two bytes, and more", "\x40\x40\x01\x01", FRAME_ENCODING),
    BAD("[RFC9000 12.4] unknown type of eight bytes", MAX_TEXT, FRAME_ENCODING),
    BAD("type cut in two", "\x40", FRAME_ENCODING),
    BAD("type of eight bytes cut", "\xff\xff\xff\xff\xff\xff\xff", FRAME_ENCODING),
    BAD("[RFC9000 12.4] PING in two bytes", "\x40\x01", PROTOCOL_VIOLATION),
    BAD("[RFC9000 12.4] PING in two bytes, and more", "\x40\x01\x01\x01", PROTOCOL_VIOLATION),
    BAD("[RFC9000 12.4] PING in four bytes", "\x80\0\0\x01", PROTOCOL_VIOLATION),
    BAD("[RFC9000 12.4] PADDING in eight bytes", "\xc0\0\0\0\0\0\0\0", PROTOCOL_VIOLATION),
    BAD("[RFC9000 12.4] unknown type, longer than necessary", "\x40\x3f", PROTOCOL_VIOLATION),

    BAD("[RFC9000 19.7] empty token", "\x07\0", FRAME_ENCODING),
    BAD("[reliable-reset 4] RESET_STREAM_AT, more is reliable than there is", "\x24\0\0\x05\x06",
        FRAME_ENCODING),
    BAD("[reliable-reset 4] RESET_STREAM_AT, all of nothing", "\x24\0\0\0" MAX_TEXT,
        FRAME_ENCODING),
    BAD("[RFC9221 4] DATAGRAM without its length", "\x31", FRAME_ENCODING),
    BAD("[RFC9221 4] DATAGRAM longer than its packet", "\x31\x02x", FRAME_ENCODING),
    BAD("the largest DATAGRAM", "\x31" MAX_TEXT "x", FRAME_ENCODING),
    BAD("the largest token", "\x07" MAX_TEXT "t", FRAME_ENCODING),
    BAD("[RFC9000 19.11] MAX_STREAMS, bidirectional", "\x12" TWO_TO_60_AND_1, FRAME_ENCODING),
    BAD("[RFC9000 19.11] MAX_STREAMS, unidirectional", "\x13" TWO_TO_60_AND_1, FRAME_ENCODING),
    BAD("[RFC9000 19.14] STREAMS_BLOCKED, bidirectional", "\x16" TWO_TO_60_AND_1, FRAME_ENCODING),
    BAD("[RFC9000 19.14] STREAMS_BLOCKED, unidirectional", "\x17" MAX_TEXT, FRAME_ENCODING),
    BAD("[RFC9000 19.15] CID of 0", "\x18\x01\0\0" TOKEN, FRAME_ENCODING),
    BAD("[RFC9000 19.15] CID of 21",
        "\x18\x01\0\x15"
        "123456789012345678901" TOKEN,
        FRAME_ENCODING),
    BAD("[RFC9000 19.15] CID of 255",
        "\x18\x01\0\xff"
        "123456789012345678901" TOKEN,
        FRAME_ENCODING),
    BAD("[RFC9000 19.15] retires itself",
        "\x18\x01\x02\x04"
        "1234" TOKEN,
        FRAME_ENCODING),
    BAD("[RFC9000 19.15] retires all there can be",
        "\x18\x01" MAX_TEXT "\x04"
        "1234" TOKEN,
        FRAME_ENCODING),
    BAD("the largest reason", "\x1c\0\0" MAX_TEXT "r", FRAME_ENCODING),
    BAD("the largest reason of an application", "\x1d\0" MAX_TEXT "r", FRAME_ENCODING),
#undef BAD
};

static void forbidden_frames_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sb_reader r = sb_reader_of((const uint8_t *)samples[i].bytes, samples[i].size);
        struct sp_frame got;
        memset(&got, 0x5a, sizeof(got));
        struct sp_frame before = got;
        print_message("    %s\n", samples[i].why);
        assert_int_equal(sp_frame_read(&r, SP_PACKET_ONE_RTT, &got), samples[i].want);
        assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
    }
}

/* [RFC9000 16] Only the type must be in its shortest form. */
static void fields_may_be_longer_than_necessary(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x11, 0x40, 0x04, 0xc0, 0, 0, 0, 0, 0, 0, 0x07};
    struct sb_reader r = sb_reader_of(bytes, sizeof(bytes));
    struct sp_frame got;
    assert_int_equal(sp_frame_read(&r, SP_PACKET_ONE_RTT, &got), SP_OK);
    assert_int_equal(got.on_stream.id, 4);
    assert_int_equal(got.on_stream.limit, 7);
}

/* [RFC9000 12.4] Every first byte that there is, followed by nothing. */
static void every_first_byte_has_an_answer(void **state)
{
    (void)state;
    for (unsigned first = 0; first <= 0xff; first++) {
        uint8_t byte = (uint8_t)first;
        struct sb_reader r = sb_reader_of(&byte, 1);
        struct sp_frame got;
        enum sp_err err = sp_frame_read(&r, SP_PACKET_ONE_RTT, &got);
        bool is_whole = first == SP_FRAME_PADDING || first == SP_FRAME_PING ||
                        first == SP_FRAME_HANDSHAKE_DONE || first == SP_FRAME_IMMEDIATE_ACK ||
                        first == SP_FRAME_DATAGRAM;
        assert_int_equal(err, is_whole ? SP_OK : SP_ERR_FRAME_ENCODING);
    }
}

static void a_packet_without_frames_is_our_bug(void **state)
{
    (void)state;
    static const uint8_t ping = SP_FRAME_PING;
    struct sp_frame got;
    struct sb_reader r = sb_reader_of(NULL, 0);
    expect_assert_failure(assert_int_equal(sp_frame_read(&r, SP_PACKET_ONE_RTT, &got), SP_OK));
    r = sb_reader_of(&ping, 1);
    expect_assert_failure(assert_int_equal(sp_frame_read(&r, SP_PACKET_RETRY, &got), SP_OK));
}

static void forbidden_frames_of_ours_are_our_bugs(void **state)
{
    (void)state;
    uint8_t out[64];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    struct sp_frame_new_cid cid = {.sequence = 1, .retire_prior_to = 1};
    expect_assert_failure(sp_frame_write_new_cid(&w, &cid));
    cid.cid.size = 4;
    cid.retire_prior_to = 2;
    expect_assert_failure(sp_frame_write_new_cid(&w, &cid));
    expect_assert_failure(sp_frame_write_new_token(&w, (struct sb_bytes){0}));
    expect_assert_failure(
        sp_frame_write_number(&w, SP_FRAME_MAX_STREAMS_UNI, SP_STREAM_COUNT_MAX + 1));
    expect_assert_failure(sp_frame_write_number(&w, SP_FRAME_MAX_STREAM_DATA, 1));
    expect_assert_failure(sp_frame_write_stream_limit(&w, SP_FRAME_MAX_DATA, 1, 1));
    expect_assert_failure(sp_frame_write_path(&w, SP_FRAME_PING, out));
    struct sp_frame_close close = {.is_app = true, .frame_type = 1};
    expect_assert_failure(sp_frame_write_close(&w, &close));
}

/* The reason gives way, never the code. */
static void a_reason_is_cut_to_the_room(void **state)
{
    (void)state;
    static const uint8_t reason[200] = "because";
    for (unsigned is_app = 0; is_app < 2; is_app++) {
        struct sp_frame_close close = {
            .is_app = is_app != 0,
            .error = 0x1234,
            .frame_type = is_app ? 0 : 6,
            .reason = {.data = reason, .size = sizeof(reason)},
        };
        size_t least = 1 + 2 + (is_app ? 0 : 1) + 1;
        for (size_t room = 0; room < 300; room++) {
            uint8_t out[300];
            struct sb_writer w = sb_writer_of(out, room);
            sp_frame_write_close(&w, &close);
            assert_int_equal(w.failed, room < least);
            if (w.failed)
                continue;
            struct sb_reader r = sb_reader_of(out, sb_writer_used(&w));
            struct sp_frame got;
            assert_int_equal(sp_frame_read(&r, SP_PACKET_ONE_RTT, &got), SP_OK);
            assert_int_equal(got.close.is_app, close.is_app);
            assert_int_equal(got.close.error, close.error);
            assert_int_equal(got.close.frame_type, close.frame_type);
            assert_memory_equal(got.close.reason.data, reason, got.close.reason.size);
            /* No byte is wasted, but where the length must grow by one. */
            if (got.close.reason.size < sizeof(reason))
                assert_true(room - sb_writer_used(&w) <= 1);
            else
                assert_int_equal(sb_writer_used(&w), least + 1 + sizeof(reason));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forbidden_frames_are_refused),
        cmocka_unit_test(fields_may_be_longer_than_necessary),
        cmocka_unit_test(every_first_byte_has_an_answer),
        cmocka_unit_test(a_packet_without_frames_is_our_bug),
        cmocka_unit_test(forbidden_frames_of_ours_are_our_bugs),
        cmocka_unit_test(a_reason_is_cut_to_the_room),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

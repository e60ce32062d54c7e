/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/wire/frame.h"
#include "proto/wire/qlog.h"

struct sink {
    struct sp_qlog qlog;
    uint8_t record[SP_QLOG_RECORD_SIZE_MAX];
    size_t size;
    uint32_t count;
};

static void keep(struct sp_qlog *qlog, const uint8_t *record, size_t size)
{
    struct sink *sink = SB_CONTAINER_OF(qlog, struct sink, qlog);
    assert_true(size <= sizeof(sink->record));
    memcpy(sink->record, record, size);
    sink->size = size;
    sink->count++;
}

static struct sink sink_at(uint64_t now_ns)
{
    return (struct sink){.qlog = {.write = keep, .now_ns = now_ns}};
}

static void a_record_is_read_back(void **state)
{
    (void)state;
    struct sink sink = sink_at(UINT64_MAX - 1);
    const struct sp_qlog_record record = {
        .kind = SP_QLOG_CID,
        .number_count = 3,
        .numbers = {0, UINT64_MAX, 70000},
        .text_count = 2,
        .texts = {{(const uint8_t *)"", 0}, {(const uint8_t *)"abc", 3}},
    };
    struct sp_qlog_record ret;
    sp_qlog_write(&sink.qlog, &record);
    assert_true(sp_qlog_read(sink.record, sink.size, &ret));
    assert_int_equal(ret.kind, SP_QLOG_CID);
    assert_int_equal(ret.time_ns, UINT64_MAX - 1);
    assert_int_equal(ret.number_count, 3);
    assert_int_equal(ret.numbers[1], SP_QLOG_NONE); /* above all that a varint can be */
    assert_int_equal(ret.numbers[2], 70000);
    assert_int_equal(ret.texts[0].size, 0);
    assert_int_equal(ret.texts[1].size, 3);
    assert_memory_equal(ret.texts[1].data, "abc", 3);
    for (size_t size = 0; size < sink.size; size++)
        assert_false(sp_qlog_read(sink.record, size, &ret));
}

static void a_text_that_does_not_fit_is_not_recorded(void **state)
{
    (void)state;
    struct sink sink = sink_at(0);
    static const uint8_t large[SP_QLOG_RECORD_SIZE_MAX];
    sp_qlog_write(&sink.qlog, &(struct sp_qlog_record){.kind = SP_QLOG_PARAMETERS,
                                                       .text_count = 1,
                                                       .texts = {{large, sizeof(large)}}});
    assert_int_equal(sink.count, 0);
}

/* A packet as it is built: control frames, and data elsewhere. */
static void frames_are_found_between_their_data(void **state)
{
    (void)state;
    uint8_t head[64], tail[64], data[500] = {SP_FRAME_PING}, frames[SP_QLOG_FRAMES_SIZE_MAX];
    struct sb_writer w = sb_writer_of(head, sizeof(head));
    sp_frame_write_number(&w, SP_FRAME_MAX_DATA, 12345);
    const struct sp_stream_head first = {.id = 4, .offset = 7, .size = 500, .has_length = true};
    sp_frame_write_stream_head(&w, &first);
    size_t head_size = sb_writer_used(&w);
    w = sb_writer_of(tail, sizeof(tail));
    sp_frame_write_ping(&w);
    const struct sp_stream_head last = {.id = 8, .size = 300, .fin = true};
    sp_frame_write_stream_head(&w, &last);
    const struct sb_bytes parts[] = {
        {head, head_size}, {data, 500}, {tail, sb_writer_used(&w)}, {data, 300}};
    struct sb_reader r = sb_reader_of(frames, sp_qlog_frames(parts, 4, frames));

    struct sp_qlog_frame frame;
    assert_true(sp_qlog_next_frame(&r, &frame));
    assert_int_equal(frame.kind, SP_QLOG_FRAME_OTHER);
    assert_int_equal(frame.bytes.data[0], SP_FRAME_MAX_DATA);
    assert_true(sp_qlog_next_frame(&r, &frame));
    assert_int_equal(frame.kind, SP_QLOG_FRAME_STREAM);
    assert_memory_equal(frame.numbers, ((uint64_t[]){4, 7, 500, 0}), sizeof(frame.numbers));
    assert_true(sp_qlog_next_frame(&r, &frame));
    assert_int_equal(frame.bytes.data[0], SP_FRAME_PING);
    assert_true(sp_qlog_next_frame(&r, &frame));
    assert_memory_equal(frame.numbers, ((uint64_t[]){8, 0, 300, 1}), sizeof(frame.numbers));
    assert_false(sp_qlog_next_frame(&r, &frame));
}

/* A peer may put more frames into a packet than are recorded. */
static void frames_beyond_the_room_are_counted(void **state)
{
    (void)state;
    static uint8_t pings[3000];
    uint8_t frames[SP_QLOG_FRAMES_SIZE_MAX];
    memset(pings, SP_FRAME_PING, sizeof(pings));
    const struct sb_bytes part = {pings, sizeof(pings)};
    size_t size = sp_qlog_frames(&part, 1, frames);
    assert_true(size <= sizeof(frames));
    struct sb_reader r = sb_reader_of(frames, size);
    struct sp_qlog_frame frame;
    uint64_t count = 0, omitted_count = 0;
    while (sp_qlog_next_frame(&r, &frame)) {
        assert_int_equal(omitted_count, 0); /* nothing follows it */
        if (frame.kind == SP_QLOG_FRAME_OMITTED)
            omitted_count = frame.numbers[0];
        else
            count++;
    }
    assert_true(count > 500);
    assert_int_equal(count + omitted_count, sizeof(pings));
}

/* Whatever the bytes are, nothing is read beyond them: the sanitizer would see it. */
static void what_is_no_frame_ends_the_list(void **state)
{
    (void)state;
    uint8_t frames[SP_QLOG_FRAMES_SIZE_MAX];
    for (uint32_t type = 0; type < 256; type++)
        for (size_t size = 1; size < 24; size++) {
            uint8_t bytes[24];
            memset(bytes, 0xff, sizeof(bytes));
            bytes[0] = (uint8_t)type;
            const struct sb_bytes part = {bytes + sizeof(bytes) - size, size};
            bytes[sizeof(bytes) - size] = (uint8_t)type;
            assert_true(sp_qlog_frames(&part, 1, frames) <= sizeof(frames));
        }
    assert_int_equal(sp_qlog_frames(NULL, 0, frames), 0);
}

static void an_address_is_read_back(void **state)
{
    (void)state;
    uint8_t text[SP_QLOG_ADDR_SIZE];
    const struct sp_addr addr = {.family = 6, .ip = {0x20, 1, [15] = 9}, .port = 50000};
    struct sp_addr ret;
    sp_qlog_addr(&addr, text);
    assert_true(sp_qlog_addr_read((struct sb_bytes){text, sizeof(text)}, &ret));
    assert_true(sp_addr_equal(&addr, &ret));
    assert_false(sp_qlog_addr_read((struct sb_bytes){text, sizeof(text) - 1}, &ret));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_read_back),
        cmocka_unit_test(a_text_that_does_not_fit_is_not_recorded),
        cmocka_unit_test(frames_are_found_between_their_data),
        cmocka_unit_test(frames_beyond_the_room_are_counted),
        cmocka_unit_test(what_is_no_frame_ends_the_list),
        cmocka_unit_test(an_address_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

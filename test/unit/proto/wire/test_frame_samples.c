/* SPDX-License-Identifier: MIT */
/* Frames of every type: RFC 9000, Sections 12.4 and 19.
 *
 * Method: one table of good frames.  Every test below runs over the whole table, so that a
 * frame that is added to it is also tried written, truncated and in the wrong packet. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "proto/wire/frame.h"
#include "proto/wire/frame_table.h"
#include "proto/wire/header.h"
#include "test/support/frame_samples.h"

static const uint32_t packet_types[] = {
    SP_PACKET_INITIAL,
    SP_PACKET_ZERO_RTT,
    SP_PACKET_HANDSHAKE,
    SP_PACKET_ONE_RTT,
};

/* Reads from a heap block of exactly that size, so that a sanitizer sees any step past it. */
static enum sp_err read_exactly(const uint8_t *bytes, size_t size, uint32_t packet_type,
                                struct sp_frame *ret, size_t *ret_left)
{
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct sb_reader r = sb_reader_of(copy, size);
    struct sp_frame frame;
    enum sp_err err = sp_frame_read(&r, packet_type, &frame);
    free(copy);
    if (err != SP_OK)
        return err;

    r = sb_reader_of(bytes, size); /* again, with pointers that last */
    assert_int_equal(sp_frame_read(&r, packet_type, ret), SP_OK);
    *ret_left = sb_reader_left(&r);
    return SP_OK;
}

static void assert_sampled(uint64_t type, const struct sp_frame_rule *rule)
{
    bool is_sampled = false;
    for (size_t i = 0; i < frame_sample_count; i++)
        is_sampled |= frame_samples[i].want.type == type;
    assert_int_equal(is_sampled, rule->flags != 0);
}

static void every_type_has_a_sample(void **state)
{
    (void)state;
    for (uint64_t type = 0; type < SP_FRAME_SHORT_TYPES; type++)
        assert_sampled(type, sp_frame_rule_of(type));
    for (const struct sp_frame_long_rule *row = sp_frame_long_rules; row->rule.flags != 0; row++)
        assert_sampled(row->type, &row->rule);
}

/* Whatever stands behind a type that the table knows, it has a reader. */
static void assert_has_reader(uint64_t type)
{
    uint8_t bytes[64];
    for (unsigned fill = 0; fill < 2; fill++) {
        struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
        memset(bytes, fill == 0 ? 0 : 0xff, sizeof(bytes));
        sb_writer_varint(&w, type);
        struct sb_reader r = sb_reader_of(bytes, sizeof(bytes));
        struct sp_frame got;
        assert_int_not_equal(sp_frame_read_any(&r, SP_PACKET_ONE_RTT, &got), SP_ERR_INTERNAL);
    }
}

static void every_type_has_a_reader(void **state)
{
    (void)state;
    for (uint64_t type = 0; type < SP_FRAME_SHORT_TYPES; type++)
        assert_has_reader(type);
    for (const struct sp_frame_long_rule *row = sp_frame_long_rules; row->rule.flags != 0; row++)
        assert_has_reader(row->type);
}

static void good_frames_are_read_in_full(void **state)
{
    (void)state;
    for (size_t i = 0; i < frame_sample_count; i++) {
        const struct frame_sample *s = &frame_samples[i];
        struct sp_frame got;
        size_t left;
        print_message("    %s\n", s->name);
        assert_int_equal(read_exactly(s->bytes, s->size, SP_PACKET_ONE_RTT, &got, &left), SP_OK);
        assert_int_equal(left, 0);
        assert_true(frame_equal(&got, &s->want));
    }
}

static void written_frames_are_the_samples(void **state)
{
    (void)state;
    for (size_t i = 0; i < frame_sample_count; i++) {
        const struct frame_sample *s = &frame_samples[i];
        uint8_t out[128];
        struct sb_writer w = sb_writer_of(out, sizeof(out));
        frame_write(&w, &s->want);
        print_message("    %s\n", s->name);
        assert_false(w.failed);
        assert_int_equal(sb_writer_used(&w), s->size);
        assert_memory_equal(out, s->bytes, s->size);
    }
}

static void a_writer_without_room_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < frame_sample_count; i++) {
        const struct frame_sample *s = &frame_samples[i];
        if (s->want.type == SP_FRAME_ACK || s->want.type == SP_FRAME_ACK_ECN ||
            s->want.type == SP_FRAME_CONNECTION_CLOSE ||
            s->want.type == SP_FRAME_CONNECTION_CLOSE_APP)
            continue; /* these adapt to the room: see test_frame_ack, test_frame_write */
        for (size_t size = 0; size < s->size; size++) {
            uint8_t out[128];
            memset(out, 0x5a, sizeof(out));
            struct sb_writer w = sb_writer_of(out, size);
            frame_write(&w, &s->want);
            assert_true(w.failed);
            for (size_t at = size; at < sizeof(out); at++)
                assert_int_equal(out[at], 0x5a);
        }
    }
}

static void truncated_frames_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < frame_sample_count; i++) {
        const struct frame_sample *s = &frame_samples[i];
        if (s->has_no_end)
            continue;
        for (size_t size = 1; size < s->size; size++) {
            struct sp_frame got;
            memset(&got, 0x5a, sizeof(got));
            struct sp_frame before = got;
            size_t left;
            assert_int_equal(read_exactly(s->bytes, size, SP_PACKET_ONE_RTT, &got, &left),
                             SP_ERR_FRAME_ENCODING);
            assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
        }
    }
}

/* [RFC9000 12.4] */
static void a_frame_in_the_wrong_packet_is_a_violation(void **state)
{
    (void)state;
    for (size_t i = 0; i < frame_sample_count; i++) {
        const struct frame_sample *s = &frame_samples[i];
        for (size_t p = 0; p < QT_COUNT(packet_types); p++) {
            uint32_t type = packet_types[p];
            bool is_allowed = (sp_frame_rule_of(s->want.type)->flags &
                               (type == SP_PACKET_ONE_RTT ? SP_IN_ONE_RTT : 1 << type)) != 0;
            struct sp_frame got;
            size_t left;
            enum sp_err err = read_exactly(s->bytes, s->size, type, &got, &left);
            assert_int_equal(err, is_allowed ? SP_OK : SP_ERR_PROTOCOL_VIOLATION);
        }
    }
}

/* Returns whether the frame runs to the end of its packet, even if its data is empty. */
static bool is_last(const struct frame_sample *sample)
{
    return sample->has_no_end || sample->want.type == SP_FRAME_STREAM ||
           sample->want.type == SP_FRAME_DATAGRAM;
}

static void frames_in_a_row_are_read_one_by_one(void **state)
{
    (void)state;
    uint8_t packet[2048];
    struct sb_writer w = sb_writer_of(packet, sizeof(packet));
    for (size_t i = 0; i < frame_sample_count; i++) {
        if (!is_last(&frame_samples[i]))
            sb_writer_bytes(&w, frame_samples[i].bytes, frame_samples[i].size);
    }
    assert_false(w.failed);
    struct sb_reader r = sb_reader_of(packet, sb_writer_used(&w));
    for (size_t i = 0; i < frame_sample_count; i++) {
        if (is_last(&frame_samples[i]))
            continue;
        struct sp_frame got;
        assert_int_equal(sp_frame_read(&r, SP_PACKET_ONE_RTT, &got), SP_OK);
        assert_true(frame_equal(&got, &frame_samples[i].want));
    }
    assert_int_equal(sb_reader_left(&r), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_sample),
        cmocka_unit_test(every_type_has_a_reader),
        cmocka_unit_test(good_frames_are_read_in_full),
        cmocka_unit_test(written_frames_are_the_samples),
        cmocka_unit_test(a_writer_without_room_fails),
        cmocka_unit_test(truncated_frames_are_refused),
        cmocka_unit_test(a_frame_in_the_wrong_packet_is_a_violation),
        cmocka_unit_test(frames_in_a_row_are_read_one_by_one),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

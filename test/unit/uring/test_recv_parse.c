/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uring/recv.h"

#define NAME_SIZE    28
#define CONTROL_SIZE 64
#define HEAD_SIZE    (16 + NAME_SIZE + CONTROL_SIZE)
#define PAYLOAD_SIZE 40

static const struct msghdr asked = {.msg_namelen = NAME_SIZE, .msg_controllen = CONTROL_SIZE};

/* Parses `out` in a block of exactly `size` bytes, so that ASan sees a touch past it. */
static int parse(struct io_uring_recvmsg_out out, uint32_t size, struct su_recv_layout *ret)
{
    uint8_t *slot = malloc(size != 0 ? size : 1);
    assert_non_null(slot);
    memset(slot, 0, size);
    memcpy(slot, &out, SB_MIN(size, sizeof(out)));
    struct su_recv_layout layout = {.flags = 12345};
    int error = su_recv_parse(slot, size, &asked, &layout);
    if (error == 0) {
        assert_ptr_equal(layout.name, slot + 16);
        assert_ptr_equal(layout.control, slot + 16 + NAME_SIZE);
        assert_ptr_equal(layout.payload, slot + HEAD_SIZE);
        assert_true(layout.payload_size <= size - HEAD_SIZE);
        memset(layout.name, 1, layout.name_size);
        memset(layout.control, 1, layout.control_size);
        memset(layout.payload, 1, layout.payload_size);
    } else {
        assert_int_equal(layout.flags, 12345);
    }
    free(slot);
    *ret = layout;
    return error;
}

static void a_whole_slot_is_taken_apart(void **state)
{
    (void)state;
    struct su_recv_layout layout;
    struct io_uring_recvmsg_out out = {.namelen = 16, .controllen = 24, .payloadlen = PAYLOAD_SIZE};
    assert_int_equal(parse(out, HEAD_SIZE + PAYLOAD_SIZE, &layout), 0);
    assert_int_equal(layout.name_size, 16);
    assert_int_equal(layout.control_size, 24);
    assert_int_equal(layout.payload_size, PAYLOAD_SIZE);
    assert_int_equal(layout.flags, 0);

    out = (struct io_uring_recvmsg_out){0};
    assert_int_equal(parse(out, HEAD_SIZE, &layout), 0); /* an empty datagram without a name */
    assert_int_equal(layout.payload_size, 0);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct su_recv_layout layout;
    struct io_uring_recvmsg_out out = {.namelen = 16, .controllen = 24, .payloadlen = PAYLOAD_SIZE};
    for (uint32_t size = 0; size < HEAD_SIZE + PAYLOAD_SIZE; size++)
        assert_int_equal(parse(out, size, &layout), -EBADMSG);
}

static void each_length_is_checked_by_itself(void **state)
{
    (void)state;
    static const uint32_t lies[] = {
        1u << 16,       1u << 31, UINT32_MAX, UINT32_MAX - HEAD_SIZE, UINT32_MAX - HEAD_SIZE + 1,
        UINT32_MAX - 15};
    struct su_recv_layout layout;
    const uint32_t size = HEAD_SIZE + PAYLOAD_SIZE;
    for (size_t i = 0; i < QT_COUNT(lies); i++) {
        struct io_uring_recvmsg_out out = {.namelen = lies[i], .payloadlen = PAYLOAD_SIZE};
        assert_int_equal(parse(out, size, &layout), -EBADMSG);
        out = (struct io_uring_recvmsg_out){.controllen = lies[i], .payloadlen = PAYLOAD_SIZE};
        assert_int_equal(parse(out, size, &layout), -EBADMSG);
        out = (struct io_uring_recvmsg_out){.payloadlen = lies[i]};
        assert_int_equal(parse(out, size, &layout), -EBADMSG);
    }
    /* One more than there is room for, of each. */
    assert_int_equal(parse((struct io_uring_recvmsg_out){.namelen = NAME_SIZE + 1}, size, &layout),
                     -EBADMSG);
    assert_int_equal(
        parse((struct io_uring_recvmsg_out){.controllen = CONTROL_SIZE + 1}, size, &layout),
        -EBADMSG);
    assert_int_equal(
        parse((struct io_uring_recvmsg_out){.payloadlen = PAYLOAD_SIZE + 1}, size, &layout),
        -EBADMSG);
}

static void a_truncated_datagram_is_no_larger_than_its_slot(void **state)
{
    (void)state;
    struct su_recv_layout layout;
    struct io_uring_recvmsg_out out = {.payloadlen = UINT32_MAX, .flags = MSG_TRUNC};
    assert_int_equal(parse(out, HEAD_SIZE + PAYLOAD_SIZE, &layout), 0);
    assert_int_equal(layout.payload_size, PAYLOAD_SIZE);
    assert_int_equal(layout.flags, MSG_TRUNC);
}

static void a_buffer_is_cut_into_its_datagrams(void **state)
{
    (void)state;
    static const struct {
        uint32_t size;
        uint32_t segment_size;
        uint32_t count;
        uint32_t last_size;
    } cases[] = {
        {0, 0, 0, 0},           {1, 1, 1, 1},
        {1200, 1200, 1, 1200},  {2400, 1200, 2, 1200},
        {2401, 1200, 3, 1},     {2399, 1200, 2, 1199},
        {65507, 1, 65507, 1},   {65507, 65507, 1, 65507},
        {65507, 1024, 64, 995},
    };
    uint8_t *payload = malloc(65507);
    assert_non_null(payload);
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct su_received received = {
            .payload = payload, .size = cases[i].size, .segment_size = cases[i].segment_size};
        struct su_segments segments = su_segments_of(&received);
        uint8_t *at = payload;
        uint8_t *datagram;
        uint32_t size = 0;
        uint32_t count = 0;
        while ((datagram = su_segments_next(&segments, &size)) != NULL) {
            assert_ptr_equal(datagram, at);
            at += size;
            count++;
            assert_true(size == cases[i].segment_size || count == cases[i].count);
        }
        assert_int_equal(count, cases[i].count);
        assert_int_equal(count, su_received_count(&received));
        assert_int_equal(size, cases[i].last_size);
        assert_int_equal(at - payload, cases[i].size);
    }
    free(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_slot_is_taken_apart),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(each_length_is_checked_by_itself),
        cmocka_unit_test(a_truncated_datagram_is_no_larger_than_its_slot),
        cmocka_unit_test(a_buffer_is_cut_into_its_datagrams),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

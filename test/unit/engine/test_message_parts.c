/* SPDX-License-Identifier: MIT */
/* The header of a message, and the order of a channel. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "engine/message/header.h"
#include "engine/message/order.h"

static void headers_are_read_as_written_and_every_truncation_asks_for_more(void **state)
{
    (void)state;
    static const struct {
        struct se_message_header header;
        size_t size;
    } samples[] = {
        {{0, 0}, 1},
        {{1, 0}, 2},
        {{63, 64}, 3},
        {{64, 16384}, 6},
        {{UINT64_C(1) << 30, (UINT64_C(1) << 62) - 1}, 16},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        uint8_t bytes[SE_MESSAGE_HEADER_SIZE_MAX + 1] = {0};
        struct se_message_header read = {99, 99};
        assert_int_equal(se_message_header_write(&samples[i].header, bytes), samples[i].size);
        for (size_t size = 0; size < samples[i].size; size++) {
            assert_int_equal(se_message_header_read(bytes, size, &read), 0);
            assert_int_equal(read.channel, 99);
        }
        assert_int_equal(se_message_header_read(bytes, sizeof(bytes), &read), samples[i].size);
        assert_int_equal(read.channel, samples[i].header.channel);
        assert_int_equal(read.sequence, samples[i].header.sequence);
    }
}

static void longer_varints_than_needed_are_read_too(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x40, 0x05, 0x80, 0, 0, 0x07}; /* [RFC9000 16] allows them */
    struct se_message_header read;
    assert_int_equal(se_message_header_read(bytes, sizeof(bytes), &read), 6);
    assert_int_equal(read.channel, 5);
    assert_int_equal(read.sequence, 7);
}

static int items[8192]; /* item n is the n-th int */

static void anything_comes_out_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct se_order channel = {0};
        uint64_t random = seed;
        uint32_t order[300];
        for (uint32_t i = 0; i < QT_COUNT(order); i++)
            order[i] = i;
        for (uint32_t i = QT_COUNT(order) - 1; i > 0; i--) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            uint32_t k = (uint32_t)((random >> 33) % (i + 1));
            uint32_t swapped = order[i];
            order[i] = order[k];
            order[k] = swapped;
        }
        uint32_t next = 0;
        for (uint32_t i = 0; i < QT_COUNT(order); i++) {
            void *item =
                order[i] % 7 == seed % 7 ? (void *)se_order_skip : (void *)&items[order[i]];
            assert_int_equal(se_order_put(&channel, order[i], item), SE_ORDER_DONE);
            int *taken;
            while ((taken = se_order_take(&channel)) != NULL) {
                next += next % 7 == seed % 7;
                assert_ptr_equal(taken, &items[next]);
                next++;
            }
        }
        assert_int_equal(channel.receive_next, QT_COUNT(order));
        assert_int_equal(channel.held_count, 0);
        se_order_deinit(&channel);
    }
}

static void wrong_numbers_are_bad(void **state)
{
    (void)state;
    struct se_order channel = {0};
    assert_int_equal(se_order_put(&channel, 0, &items[0]), SE_ORDER_DONE);
    assert_int_equal(se_order_put(&channel, 0, &items[0]), SE_ORDER_BAD); /* it is there */
    assert_non_null(se_order_take(&channel));
    assert_int_equal(se_order_put(&channel, 0, &items[0]), SE_ORDER_BAD); /* it was */
    uint64_t last = channel.receive_next + SE_ORDER_AHEAD_MAX - 1;
    assert_int_equal(se_order_put(&channel, last, &items[1]), SE_ORDER_DONE);
    assert_int_equal(se_order_put(&channel, last, &items[1]), SE_ORDER_BAD);
    assert_int_equal(se_order_put(&channel, last + 1, &items[1]), SE_ORDER_BAD);
    assert_int_equal(se_order_put(&channel, UINT64_MAX, &items[1]), SE_ORDER_BAD);
    assert_null(se_order_take(&channel));
    assert_ptr_equal(se_order_take_any(&channel), &items[1]);
    assert_null(se_order_take_any(&channel));
    se_order_deinit(&channel);
}

static void the_end_takes_all_that_wait_in_their_order(void **state)
{
    (void)state;
    struct se_order channel = {0};
    for (uint32_t i = 0; i < 100; i++) { /* the places begin anywhere */
        assert_int_equal(se_order_put(&channel, i, &items[i]), SE_ORDER_DONE);
        assert_ptr_equal(se_order_take(&channel), &items[i]);
    }
    uint32_t first = 101, end = 100 + SE_ORDER_AHEAD_MAX;
    for (uint32_t i = end - 1; i >= first; i--)
        assert_int_equal(
            se_order_put(&channel, i, i % 5 == 0 ? (void *)se_order_skip : (void *)&items[i]),
            SE_ORDER_DONE);
    assert_null(se_order_take(&channel));
    for (uint32_t i = first; i < end; i++)
        if (i % 5 != 0)
            assert_ptr_equal(se_order_take_any(&channel), &items[i]);
    assert_null(se_order_take_any(&channel));
    assert_int_equal(channel.held_count, 0);
    assert_true(channel.receive_next <= end); /* a step per place, not per place and item */
    se_order_deinit(&channel);
}

static void a_sender_stays_within_the_window_of_the_oldest(void **state)
{
    (void)state;
    struct se_order channel = {0};
    for (uint64_t round = 0; round < 3; round++) {
        uint64_t first = channel.send_next;
        while (se_order_may_send(&channel))
            se_order_send(&channel);
        assert_int_equal(channel.send_next - first, SE_ORDER_WINDOW);
        for (uint64_t n = first + SE_ORDER_WINDOW - 1; n > first; n--) {
            se_order_sent(&channel, n);
            assert_false(se_order_may_send(&channel)); /* the oldest may be missing */
        }
        se_order_sent(&channel, first);
        assert_true(se_order_may_send(&channel));
        assert_int_equal(channel.send_oldest, channel.send_next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_read_as_written_and_every_truncation_asks_for_more),
        cmocka_unit_test(longer_varints_than_needed_are_read_too),
        cmocka_unit_test(anything_comes_out_in_order),
        cmocka_unit_test(wrong_numbers_are_bad),
        cmocka_unit_test(the_end_takes_all_that_wait_in_their_order),
        cmocka_unit_test(a_sender_stays_within_the_window_of_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

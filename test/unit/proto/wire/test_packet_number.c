/* SPDX-License-Identifier: MIT */
/* Packet numbers on the wire: RFC 9000, Section 17.1, with the samples of A.2 and A.3. */

#include "test/support/qt.h"

#include "proto/wire/header.h"

/* [RFC9000 17.1] At least those of A.2, which leave no room for packets that come late: 16 times
 * the numbers that are open. */
static void sizes_have_room_for_late_packets(void **state)
{
    (void)state;
    static const struct {
        uint64_t pn;
        uint64_t largest_acked;
        uint32_t size;
    } samples[] = {
        {0xac5c02, 0xabe8b3, 3}, /* the samples of A.2, where 2 and 3 are the least */
        {0xace8fe, 0xabe8b3, 3},
        {0, UINT64_MAX, 1}, /* nothing acknowledged: the whole number */
        {14, UINT64_MAX, 1},
        {15, UINT64_MAX, 2},
        {255, UINT64_MAX, 2},
        {256, UINT64_MAX, 2},
        {4094, UINT64_MAX, 2},
        {4095, UINT64_MAX, 3},
        {1, 0, 1}, /* the borders */
        {15, 0, 1},
        {16, 0, 2},
        {4095, 0, 2},
        {4096, 0, 3},
        {1048575, 0, 3},
        {1048576, 0, 4},
        {SP_PN_MAX, SP_PN_MAX - 1, 1},
        {SP_PN_MAX, SP_PN_MAX - INT32_MAX, 4},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++)
        assert_int_equal(sp_pn_size(samples[i].pn, samples[i].largest_acked), samples[i].size);

    expect_assert_failure((void)sp_pn_size(5, 5));
    expect_assert_failure((void)sp_pn_size(SP_PN_MAX + 1, SP_PN_MAX));
    expect_assert_failure((void)sp_pn_size(UINT64_C(1) << 31, 0));
}

/* [RFC9000 17.1, A.3] */
static void the_closest_number_is_found(void **state)
{
    (void)state;
    static const struct {
        uint64_t next;
        uint32_t truncated;
        uint32_t size;
        uint64_t pn;
    } samples[] = {
        {0xa82f30eb, 0x9b32, 2, 0xa82f9b32}, /* the sample of A.3 */
        {0, 0, 1, 0},
        {0, 0xff, 1, 0xff}, /* none below 0 */
        {1, 0xff, 1, 0xff},
        {0x80, 0x00, 1, 0x100}, /* half a window on: up, half a window back is not in it */
        {0x7f, 0xff, 1, 0xff},
        {0x100, 0x80, 1, 0x180},
        {0x101, 0x80, 1, 0x180},
        {0x101, 0x82, 1, 0x82},
        {0x100, 0x81, 1, 0x81},
        {0x17f, 0x00, 1, 0x100},
        {0x180, 0x00, 1, 0x200},
        {0xffff, 0x0001, 2, 0x10001},
        {0x10001, 0xfffe, 2, 0xfffe},
        {0x01000000, 0xffffff, 3, 0xffffff},
        {UINT64_C(0x100000000), 0xffffffff, 4, 0xffffffff},
        {UINT64_C(0xffffffff), 0, 4, UINT64_C(0x100000000)},
        {SP_PN_MAX, 0xff, 1, SP_PN_MAX}, /* none above the largest */
        {SP_PN_MAX, 0x00, 1, SP_PN_MAX - 0xff},
        {SP_PN_MAX + 1, 0x00, 1, SP_PN_MAX - 0xff},
        {SP_PN_MAX + 1, 0xffffffff, 4, SP_PN_MAX},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++)
        assert_int_equal(sp_pn_expand(samples[i].next, samples[i].truncated, samples[i].size),
                         samples[i].pn);

    expect_assert_failure((void)sp_pn_expand(SP_PN_MAX + 2, 0, 1));
    expect_assert_failure((void)sp_pn_expand(0, 0x100, 1));
    expect_assert_failure((void)sp_pn_expand(0, 0, 5));
}

/* The guarantee of 17.1, around powers of two: whatever was received of the numbers that are
 * open, the number that we truncate is the one that the peer expands. */
static void what_is_truncated_is_expanded_again(void **state)
{
    (void)state;
    for (unsigned base_shift = 0; base_shift < 62; base_shift++) {
        for (unsigned open_shift = 0; open_shift < 31; open_shift++) {
            for (uint64_t off = 0; off < 6; off++) {
                uint64_t acked = (UINT64_C(1) << base_shift) - (off < 3 ? 1 : 0);
                uint64_t pn = acked + (UINT64_C(1) << open_shift) + off % 3 - 1;
                if (pn <= acked || pn > SP_PN_MAX || pn - acked > INT32_MAX)
                    continue;
                uint32_t size = sp_pn_size(pn, acked);
                uint8_t bytes[SP_PN_SIZE_MAX];
                sp_pn_write(bytes, pn, size);
                uint32_t truncated = sp_pn_read(bytes, size);
                /* The least that the peer has received, the most, and the last before it. */
                assert_int_equal(sp_pn_expand(acked + 1, truncated, size), pn);
                assert_int_equal(sp_pn_expand(pn + 1, truncated, size), pn);
                assert_int_equal(sp_pn_expand(pn, truncated, size), pn);
            }
        }
    }
}

/* A window that doubles, and a packet that comes a round trip late: the peer has received all that
 * was sent in two round trips after it, which is six times what was open. */
static void a_packet_that_comes_a_round_trip_late_is_expanded(void **state)
{
    (void)state;
    for (uint64_t open_count = 1; open_count < UINT64_C(1) << 28;
         open_count += open_count / 7 + 1) {
        uint64_t pn = 1000000 + open_count;
        uint32_t size = sp_pn_size(pn, 1000000);
        uint8_t bytes[SP_PN_SIZE_MAX];
        sp_pn_write(bytes, pn, size);
        assert_int_equal(sp_pn_expand(pn + 6 * open_count, sp_pn_read(bytes, size), size), pn);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_have_room_for_late_packets),
        cmocka_unit_test(the_closest_number_is_found),
        cmocka_unit_test(what_is_truncated_is_expanded_again),
        cmocka_unit_test(a_packet_that_comes_a_round_trip_late_is_expanded),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

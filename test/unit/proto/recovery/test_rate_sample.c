/* SPDX-License-Identifier: MIT */
/* Delivery rate samples: draft-ietf-ccwg-bbr, Section 4.1. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/recovery/rate_sample.h"

enum { SIZE = 1000 };

static struct sp_rate_sampler sampler;

static void begin(void)
{
    sp_rate_init(&sampler, 0);
}

static void sent(uint64_t in_flight, uint64_t at_ms)
{
    sp_rate_on_sent(&sampler, SIZE, in_flight * SIZE, 32 * SB_MS, at_ms * SB_MS);
}

static struct sp_rate_sample acked(uint64_t count, uint64_t sent_ms, uint64_t at_ms)
{
    struct sp_rate_sample sample = {0};
    sp_rate_on_acked(&sampler, count * SIZE, at_ms * SB_MS);
    assert_true(sp_rate_sample(&sampler, sent_ms * SB_MS, 1 * SB_MS, &sample));
    return sample;
}

/* One datagram per millisecond in both directions: 1,000,000 bytes per second. */
static void a_steady_flow_has_its_rate(void **state)
{
    (void)state;
    begin();
    for (uint64_t ms = 100; ms < 400; ms++) {
        sent(ms < 150 ? ms - 100 : 50, ms);
        if (ms < 150)
            continue;
        struct sp_rate_sample sample = acked(1, ms - 50, ms);
        assert_int_equal(sample.bytes_per_s, ms == 150 ? 20000 : 1000000);
        assert_false(sample.is_app_limited);
        assert_int_equal(sample.lost_bytes, 0);
        if (ms >= 200)
            assert_int_equal(sample.delivered_bytes, 50 * SIZE);
        if (ms == 150)
            break;
    }
}

/* What was sent within 50 ms and comes back within 10 was not delivered in 10: the send rate
 * counts.
 */
static void compressed_acks_do_not_raise_the_rate(void **state)
{
    (void)state;
    begin();
    for (uint64_t ms = 0; ms <= 50; ms++)
        sent(ms, 1000 + ms);
    (void)acked(1, 1000, 1100);
    for (uint64_t i = 1; i <= 50; i++)
        assert_true(acked(1, 1000 + i, 1100 + i / 10).bytes_per_s <= 1020000);
}

static void the_end_of_silence_is_no_part_of_a_sample(void **state)
{
    (void)state;
    begin();
    sent(0, 1000);
    (void)acked(1, 1000, 1050);
    sent(0, 9000); /* 8 s later */
    struct sp_rate_sample sample = acked(1, 9000, 9050);
    assert_int_equal(sample.bytes_per_s, 20000);
}

/* [4.1.1.4] A bubble marks samples until it has left the path. */
static void samples_are_app_limited_until_the_bubble_is_acked(void **state)
{
    (void)state;
    begin();
    sent(0, 1000);
    sp_rate_on_app_limited(&sampler, SIZE);
    sent(1, 1010);
    sent(2, 1020);
    assert_false(acked(1, 1000, 1050).is_app_limited); /* it left before */
    assert_true(acked(1, 1010, 1060).is_app_limited);
    assert_int_equal(sampler.app_limited_bytes, 0);
    sent(1, 1070);
    assert_true(acked(1, 1020, 1080).is_app_limited);
    assert_false(acked(1, 1070, 1120).is_app_limited);
}

static void losses_since_the_packet_left_are_counted(void **state)
{
    (void)state;
    begin();
    sp_rate_on_lost(&sampler, 7 * SIZE);
    sent(0, 1000);
    sent(1, 1002);
    sp_rate_on_lost(&sampler, SIZE);
    struct sp_rate_sample sample = acked(1, 1002, 1050);
    assert_int_equal(sample.lost_bytes, SIZE);
    assert_int_equal(sample.in_flight_bytes, 2 * SIZE);
}

static void a_sample_shorter_than_a_round_trip_has_no_rate(void **state)
{
    (void)state;
    begin();
    struct sp_rate_sample sample;
    sent(0, 1000);
    sp_rate_on_acked(&sampler, SIZE, 1010 * SB_MS);
    assert_true(sp_rate_sample(&sampler, 1000 * SB_MS, 11 * SB_MS, &sample));
    assert_int_equal(sample.bytes_per_s, 0);
    assert_true(sp_rate_sample(&sampler, 1000 * SB_MS, 10 * SB_MS, &sample));
    assert_int_equal(sample.bytes_per_s, 100000);
}

/* Packets that leave within 1/32 of a round trip share a record; the ring forgets the oldest. */
static void records_are_few_and_the_newest(void **state)
{
    (void)state;
    begin();
    for (uint64_t us = 0; us < 1000; us++)
        sp_rate_on_sent(&sampler, SIZE, us == 0 ? 0 : SIZE, 32 * SB_MS, SB_S + us * SB_US);
    assert_int_equal(sampler.count, 1);
    assert_int_equal(sampler.sends[0].in_flight_bytes, 2 * SIZE);
    assert_null(sp_rate_find(&sampler, SB_S - 1));
    assert_non_null(sp_rate_find(&sampler, SB_S));
    for (uint64_t i = 1; i <= 3 * SP_RATE_SENDS_MAX; i++) {
        sent(1, 1000 + i);
        assert_true(sampler.count <= SP_RATE_SENDS_MAX);
        for (uint64_t back = 0; back < i && back < SP_RATE_SENDS_MAX; back++) {
            uint64_t at_ns = (1000 + i - back) * SB_MS;
            assert_int_equal(sp_rate_find(&sampler, at_ns)->sent_ns, at_ns);
            assert_int_equal(sp_rate_find(&sampler, at_ns + 5)->sent_ns, at_ns);
        }
    }
    struct sp_rate_sample sample;
    assert_false(sp_rate_sample(&sampler, SB_S, 1, &sample)); /* long ago */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_flow_has_its_rate),
        cmocka_unit_test(compressed_acks_do_not_raise_the_rate),
        cmocka_unit_test(the_end_of_silence_is_no_part_of_a_sample),
        cmocka_unit_test(samples_are_app_limited_until_the_bubble_is_acked),
        cmocka_unit_test(losses_since_the_packet_left_are_counted),
        cmocka_unit_test(a_sample_shorter_than_a_round_trip_has_no_rate),
        cmocka_unit_test(records_are_few_and_the_newest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

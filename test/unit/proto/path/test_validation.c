/* SPDX-License-Identifier: MIT */
/* The validation of a path: RFC 9000, Section 8.2. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"
#include "proto/path/validation.h"

#define PTO_NS   (50 * SB_MS)
#define LATER_NS (999 * SB_MS) /* the PTO of a path whose round trip is not known */

static void challenge_of(uint8_t number, uint8_t data[SP_PATH_DATA_SIZE])
{
    memset(data, number, SP_PATH_DATA_SIZE);
}

static void send_one(struct sp_validation *validation, uint8_t number, size_t size, uint64_t now_ns)
{
    uint8_t data[SP_PATH_DATA_SIZE];
    challenge_of(number, data);
    sp_validation_on_sent(validation, data, size, now_ns);
}

static enum sp_validation_result answer(struct sp_validation *validation, uint8_t number,
                                        uint64_t now_ns, uint64_t *ret_delay_ns)
{
    uint8_t data[SP_PATH_DATA_SIZE];
    challenge_of(number, data);
    return sp_validation_on_response(validation, data, now_ns, ret_delay_ns);
}

/* [RFC9000 8.2.1] "An endpoint SHOULD NOT probe a new path [..] more frequently than it would send
 * an Initial packet."  [RFC9000 8.2.4] It fails after three PTOs. */
static void challenges_are_repeated_at_growing_distances_until_time_is_up(void **state)
{
    (void)state;
    static const uint64_t want_ns[] = {0, PTO_NS, 3 * PTO_NS, 7 * PTO_NS, 15 * PTO_NS, 31 * PTO_NS};
    struct sp_validation v;
    sp_validation_begin(&v, PTO_NS, SB_S);
    for (size_t i = 0; i < QT_COUNT(want_ns); i++) {
        assert_int_equal(v.state, SP_VALIDATION_DUE);
        send_one(&v, (uint8_t)i, 1200, SB_S + want_ns[i]);
        assert_int_equal(v.state, SP_VALIDATION_SENT);
        uint64_t at_ns = sp_validation_deadline_ns(&v);
        assert_true(sp_validation_on_time(&v, at_ns - 1));
        assert_int_equal(v.state, SP_VALIDATION_SENT);
        bool is_last = i + 1 == QT_COUNT(want_ns);
        assert_int_equal(at_ns, is_last ? SB_S + 3 * LATER_NS : SB_S + want_ns[i + 1]);
        assert_int_equal(sp_validation_on_time(&v, at_ns), !is_last);
    }
}

/* [RFC9000 9.4] "MUST NOT [..] shorter": a PTO that is longer than that of a new path counts. */
static void the_longer_pto_decides_when_it_fails(void **state)
{
    (void)state;
    struct sp_validation v;
    sp_validation_begin(&v, 2 * LATER_NS, SB_S);
    assert_int_equal(v.end_at_ns, SB_S + 6 * LATER_NS);
    assert_true(sp_validation_on_time(&v, SB_S + 6 * LATER_NS - 1));
    assert_false(sp_validation_on_time(&v, SB_S + 6 * LATER_NS));
}

/* [RFC9000 8.2.3] */
static void any_of_the_last_challenges_may_be_answered(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < 8; i++) {
        struct sp_validation v;
        uint64_t delay_ns = 7;
        sp_validation_begin(&v, PTO_NS, 0);
        for (uint8_t n = 0; n < 6; n++) {
            v.state = SP_VALIDATION_DUE;
            send_one(&v, n, 1200, n * SB_MS);
        }
        bool is_known = i >= 2 && i < 6; /* the last four */
        assert_int_equal(answer(&v, i, 10 * SB_MS, &delay_ns),
                         is_known ? SP_VALIDATED_PATH : SP_VALIDATED_NONE);
        assert_int_equal(delay_ns, is_known ? (10 - i) * SB_MS : 7);
    }
}

static void nothing_is_answered_before_it_was_sent(void **state)
{
    (void)state;
    struct sp_validation v;
    uint64_t delay_ns;
    sp_validation_begin(&v, PTO_NS, 0);
    assert_int_equal(answer(&v, 0, 0, &delay_ns), SP_VALIDATED_NONE); /* its bytes are zero */
}

/* [RFC9000 8.2.1] "the endpoint MUST perform a second path validation by sending a PATH_CHALLENGE
 * frame in a datagram of at least 1200 bytes." */
static void a_small_challenge_proves_the_address_and_a_full_one_follows(void **state)
{
    (void)state;
    struct sp_validation v;
    uint64_t delay_ns;
    sp_validation_begin(&v, PTO_NS, 0);
    send_one(&v, 1, 1199, 0);
    assert_false(v.wants_full);
    assert_int_equal(answer(&v, 1, 30 * SB_MS, &delay_ns), SP_VALIDATED_ADDRESS);
    assert_int_equal(delay_ns, 30 * SB_MS);
    assert_true(v.wants_full);
    assert_int_equal(v.state, SP_VALIDATION_DUE);
    assert_int_equal(v.end_at_ns, 30 * SB_MS + 3 * LATER_NS);
    send_one(&v, 2, 1200, 31 * SB_MS);
    assert_int_equal(answer(&v, 1, 32 * SB_MS, &delay_ns), SP_VALIDATED_ADDRESS); /* a repeat */
    assert_int_equal(v.state, SP_VALIDATION_SENT);
    assert_int_equal(answer(&v, 2, 61 * SB_MS, &delay_ns), SP_VALIDATED_PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenges_are_repeated_at_growing_distances_until_time_is_up),
        cmocka_unit_test(the_longer_pto_decides_when_it_fails),
        cmocka_unit_test(any_of_the_last_challenges_may_be_answered),
        cmocka_unit_test(nothing_is_answered_before_it_was_sent),
        cmocka_unit_test(a_small_challenge_proves_the_address_and_a_full_one_follows),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

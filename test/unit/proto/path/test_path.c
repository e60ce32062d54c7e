/* SPDX-License-Identifier: MIT */
/* The path of a connection: RFC 9000, Sections 8.1 and 8.2. */

#include "test/support/qt.h"

#include "proto/path/path.h"

/* [RFC9000 8.1] "an endpoint MUST limit the amount of data it sends [..] to three times" */
static void an_address_that_is_not_proven_gets_three_times_its_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t in, out, want;
        bool is_valid;
    } samples[] = {
        {0, 0, 0, false},       {1200, 0, 3600, false}, {1200, 3599, 1, false},
        {1200, 3600, 0, false}, {1200, 3700, 0, false}, {0, 0, UINT64_MAX, true},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_conn_path path = {.is_valid = samples[i].is_valid,
                                    .bytes_in = samples[i].in,
                                    .bytes_out = samples[i].out};
        assert_int_equal(sp_path_budget(&path), samples[i].want);
    }
}

/* [RFC9000 8.2.2] */
static void beyond_the_bound_the_newest_challenges_are_answered(void **state)
{
    (void)state;
    struct sp_conn_path path = {0};
    for (uint8_t i = 0; i < 2 * SP_PATH_RESPONSES_MAX; i++) {
        uint8_t data[SP_PATH_DATA_SIZE] = {i, 1, 2, 3, 4, 5, 6, 7};
        sp_path_on_challenge(&path, data);
    }
    assert_int_equal(path.response_count, SP_PATH_RESPONSES_MAX);
    for (uint8_t i = 0; i < SP_PATH_RESPONSES_MAX; i++) {
        assert_int_equal(path.responses[i][0], SP_PATH_RESPONSES_MAX + i);
        assert_int_equal(path.responses[i][7], 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_that_is_not_proven_gets_three_times_its_bytes),
        cmocka_unit_test(beyond_the_bound_the_newest_challenges_are_answered),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

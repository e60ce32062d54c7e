/* SPDX-License-Identifier: MIT */
/* Whether a path passes ECN marks on: RFC 9000, Section 13.4.2 and appendix A.4. */

#include "test/support/qt.h"

#include "proto/recovery/ecn.h"

enum { TEST_PACKETS = 10 };

static struct sp_ecn_space space; /* of the test that runs */

static struct sp_ecn_path path_with_sent(uint32_t count)
{
    struct sp_ecn_path path;
    space = (struct sp_ecn_space){0};
    sp_ecn_init(&path, SP_ECN_ECT0);
    for (uint32_t i = 0; i < count; i++)
        sp_ecn_on_sent(&path, &space, sp_ecn_mark(&path), 1);
    return path;
}

static struct sp_frame_ack ack_of(uint64_t ect0, uint64_t ect1, uint64_t ce)
{
    return (struct sp_frame_ack){.has_ecn = true, .ect0 = ect0, .ect1 = ect1, .ce = ce};
}

static void a_path_that_is_not_asked_marks_nothing(void **state)
{
    (void)state;
    struct sp_ecn_path path;
    space = (struct sp_ecn_space){0};
    sp_ecn_init(&path, SP_ECN_NOT);
    assert_int_equal(sp_ecn_mark(&path), SP_ECN_NOT);
    sp_ecn_on_sent(&path, &space, SP_ECN_NOT, 1);
    struct sp_frame_ack ack = ack_of(5, 5, 5);
    assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 0));
    assert_int_equal(path.state, SP_ECN_OFF);
}

/* [RFC9000 A.4] */
static void only_the_first_packets_are_marked_until_there_is_a_verdict(void **state)
{
    (void)state;
    struct sp_ecn_path path = path_with_sent(TEST_PACKETS - 1);
    assert_int_equal(sp_ecn_mark(&path), SP_ECN_ECT0);
    sp_ecn_on_sent(&path, &space, SP_ECN_ECT0, 1);
    assert_int_equal(sp_ecn_mark(&path), SP_ECN_NOT);
    assert_int_equal(path.state, SP_ECN_UNKNOWN);

    struct sp_frame_ack ack = ack_of(3, 0, 0);
    assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 3));
    assert_int_equal(path.state, SP_ECN_CAPABLE);
    assert_int_equal(sp_ecn_mark(&path), SP_ECN_ECT0);
}

static void the_test_ends_within_a_run_of_packets(void **state)
{
    (void)state;
    struct sp_ecn_path path = path_with_sent(TEST_PACKETS - 1);
    sp_ecn_on_sent(&path, &space, SP_ECN_ECT0, 3);
    assert_int_equal(path.state, SP_ECN_UNKNOWN);
    assert_int_equal(space.marked_count, TEST_PACKETS + 2);
}

/* [RFC9000 13.4.2.1] Ten marked packets were sent; two acknowledged, both as ECT(0). */
static void counts_that_cannot_be_true_end_the_marking(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct sp_frame_ack ack;
        uint32_t marked_count;
        enum sp_ecn_state want;
        uint64_t want_marks;
    } samples[] = {
#define COUNTS(...) {.has_ecn = true, __VA_ARGS__}
        {"all arrive", COUNTS(.ect0 = 5), 3, SP_ECN_CAPABLE, 0},
        {"one was marked", COUNTS(.ect0 = 4, .ce = 1), 3, SP_ECN_CAPABLE, 1},
        {"all were marked", COUNTS(.ect0 = 2, .ce = 3), 3, SP_ECN_CAPABLE, 3},
        {"more than is new here", COUNTS(.ect0 = 9), 3, SP_ECN_CAPABLE, 0},
        {"no counts", {.has_ecn = false}, 3, SP_ECN_FAILED, 0},
        {"no counts, none marked", {.has_ecn = false}, 0, SP_ECN_CAPABLE, 0},
        {"too few", COUNTS(.ect0 = 4), 3, SP_ECN_FAILED, 0},
        {"none", COUNTS(.ect0 = 2), 1, SP_ECN_FAILED, 0},
        {"fewer than before", COUNTS(.ect0 = 1, .ce = 9), 3, SP_ECN_FAILED, 0},
        {"more than were sent", COUNTS(.ect0 = 11), 3, SP_ECN_FAILED, 0},
        {"more CE than were sent", COUNTS(.ect0 = 2, .ce = 11), 3, SP_ECN_FAILED, 0},
        {"remarked to ECT(1)", COUNTS(.ect0 = 5, .ect1 = 1), 3, SP_ECN_FAILED, 0},
        {"absurd", COUNTS(.ect0 = 2, .ce = UINT64_MAX), 3, SP_ECN_FAILED, 0},
#undef COUNTS
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_ecn_path path = path_with_sent(TEST_PACKETS);
        struct sp_frame_ack ack = ack_of(2, 0, 0);
        assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 2));
        print_message("    %s\n", samples[i].what);
        assert_int_equal(sp_ecn_on_ack(&path, &space, &samples[i].ack, samples[i].marked_count),
                         samples[i].want_marks);
        assert_int_equal(path.state, samples[i].want);
        if (path.state == SP_ECN_FAILED) {
            assert_int_equal(sp_ecn_mark(&path), SP_ECN_NOT);
            ack = ack_of(9, 0, 9);
            assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 3)); /* for good */
            assert_int_equal(path.state, SP_ECN_FAILED);
        }
    }
}

/* [RFC9000 A.4] */
static void losing_all_test_packets_ends_the_marking(void **state)
{
    (void)state;
    struct sp_ecn_path path = path_with_sent(TEST_PACKETS);
    for (int i = 0; i < TEST_PACKETS - 1; i++) {
        sp_ecn_on_lost(&path, true);
        sp_ecn_on_lost(&path, false); /* says nothing */
    }
    assert_int_equal(path.state, SP_ECN_UNKNOWN);
    sp_ecn_on_lost(&path, true);
    assert_int_equal(path.state, SP_ECN_FAILED);
}

static void losses_on_a_capable_path_say_nothing_of_marks(void **state)
{
    (void)state;
    struct sp_ecn_path path = path_with_sent(TEST_PACKETS);
    struct sp_frame_ack ack = ack_of(1, 0, 0);
    assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 1));
    for (int i = 0; i < 2 * TEST_PACKETS; i++)
        sp_ecn_on_lost(&path, true);
    assert_int_equal(path.state, SP_ECN_CAPABLE);
}

/* A handshake whose first packets get lost goes on without marks, and the test after it. */
static void a_pto_of_the_handshake_pauses_the_test(void **state)
{
    (void)state;
    struct sp_ecn_path path = path_with_sent(2);
    sp_ecn_pause(&path);
    assert_int_equal(sp_ecn_mark(&path), SP_ECN_NOT);
    sp_ecn_on_lost(&path, true);
    sp_ecn_on_lost(&path, true);
    assert_int_equal(path.state, SP_ECN_UNKNOWN);
    sp_ecn_resume(&path);
    assert_int_equal(sp_ecn_mark(&path), SP_ECN_ECT0);
    sp_ecn_on_sent(&path, &space, SP_ECN_ECT0, TEST_PACKETS - 2);
    assert_int_equal(path.state, SP_ECN_UNKNOWN);
    sp_ecn_resume(&path); /* it is over */
    assert_int_equal(path.state, SP_ECN_UNKNOWN);
    for (int i = 0; i < TEST_PACKETS - 2; i++)
        sp_ecn_on_lost(&path, true);
    assert_int_equal(path.state, SP_ECN_FAILED);
    sp_ecn_pause(&path);
    sp_ecn_resume(&path);
    assert_int_equal(path.state, SP_ECN_FAILED);

    path = path_with_sent(2); /* an ACK shows that they arrived */
    sp_ecn_pause(&path);
    struct sp_frame_ack ack = ack_of(2, 0, 0);
    assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 2));
    assert_int_equal(sp_ecn_mark(&path), SP_ECN_ECT0);
}

/* [RFC9000 13.4.1] Each space has counts of its own. */
static void spaces_are_counted_apart(void **state)
{
    (void)state;
    struct sp_ecn_space other = {.marked_count = 0};
    struct sp_ecn_path path = path_with_sent(3);
    struct sp_frame_ack ack = ack_of(3, 0, 0);
    assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 3));
    sp_ecn_on_sent(&path, &other, SP_ECN_ECT0, 1);
    ack = ack_of(1, 0, 0);
    assert_int_equal(0, sp_ecn_on_ack(&path, &other, &ack, 1));
    assert_int_equal(path.state, SP_ECN_CAPABLE);
    ack = ack_of(2, 0, 0); /* more than were sent there */
    assert_int_equal(0, sp_ecn_on_ack(&path, &other, &ack, 0));
    assert_int_equal(path.state, SP_ECN_FAILED);
}

/* [RFC9331 4.1] */
static void a_scalable_controller_marks_the_other_codepoint(void **state)
{
    (void)state;
    struct sp_ecn_path path;
    space = (struct sp_ecn_space){0};
    sp_ecn_init(&path, SP_ECN_ECT1);
    assert_int_equal(sp_ecn_mark(&path), SP_ECN_ECT1);
    sp_ecn_on_sent(&path, &space, SP_ECN_ECT1, TEST_PACKETS);
    struct sp_frame_ack ack = ack_of(0, 4, 1);
    assert_int_equal(1, sp_ecn_on_ack(&path, &space, &ack, 5));
    assert_int_equal(path.state, SP_ECN_CAPABLE);
    ack = ack_of(1, 5, 1); /* remarked to ECT(0) */
    assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 1));
    assert_int_equal(path.state, SP_ECN_FAILED);
}

/* [RFC9331 4.3] What is in flight with the other mark counts as before.  [RFC9000 13.4.2.1] */
static void a_controller_that_is_scalable_no_longer_changes_its_mark(void **state)
{
    (void)state;
    static const struct {
        struct sp_frame_ack ack;
        uint32_t marked_count;
        enum sp_ecn_state want;
    } samples[] = {
        {{.has_ecn = true, .ect1 = 10, .ect0 = 3}, 8, SP_ECN_CAPABLE},
        {{.has_ecn = true, .ect1 = 8, .ect0 = 2, .ce = 3}, 8, SP_ECN_CAPABLE},
        {{.has_ecn = true, .ect1 = 10, .ect0 = 2}, 8, SP_ECN_FAILED}, /* one is not counted */
        {{.has_ecn = true, .ect1 = 14, .ect0 = 0}, 8, SP_ECN_FAILED}, /* more than were sent */
        {{.has_ecn = true, .ect1 = 4, .ect0 = 3}, 1, SP_ECN_FAILED},  /* fewer than before */
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_ecn_path path;
        space = (struct sp_ecn_space){0};
        sp_ecn_init(&path, SP_ECN_ECT1);
        sp_ecn_on_sent(&path, &space, SP_ECN_ECT1, TEST_PACKETS);
        struct sp_frame_ack ack = ack_of(0, 5, 0);
        assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 5));
        sp_ecn_leave_l4s(&path);
        assert_int_equal(sp_ecn_mark(&path), SP_ECN_ECT0);
        sp_ecn_on_sent(&path, &space, SP_ECN_ECT0, 3);
        assert_int_equal(samples[i].ack.ce * (samples[i].want == SP_ECN_CAPABLE),
                         sp_ecn_on_ack(&path, &space, &samples[i].ack, samples[i].marked_count));
        assert_int_equal(path.state, samples[i].want);
        sp_ecn_leave_l4s(&path);
        assert_int_equal(path.mark, SP_ECN_ECT0);
    }
    struct sp_ecn_path path;
    sp_ecn_init(&path, SP_ECN_NOT); /* was not asked for, and is not now */
    sp_ecn_leave_l4s(&path);
    assert_int_equal(path.mark, SP_ECN_NOT);
}

/* [RFC9000 13.4.2] Each path is validated, and the peer's counts go on. */
static void a_new_path_is_tested_from_the_counts_of_the_one_before(void **state)
{
    (void)state;
    struct sp_ecn_path old = path_with_sent(TEST_PACKETS), path;
    struct sp_frame_ack ack = ack_of(5, 0, 1);
    assert_int_equal(1, sp_ecn_on_ack(&old, &space, &ack, 6));
    sp_ecn_init(&path, old.mark);
    assert_int_equal(path.state, SP_ECN_TESTING);
    sp_ecn_on_sent(&path, &space, sp_ecn_mark(&path), TEST_PACKETS);
    assert_int_equal(space.marked_count, 2 * TEST_PACKETS);
    ack = ack_of(8, 0, 2); /* of both paths: no verdict, no congestion here */
    sp_ecn_on_mixed_ack(&space, &ack);
    assert_int_equal(path.state, SP_ECN_UNKNOWN);
    ack = ack_of(8, 0, 2); /* the new path clears the marks */
    assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 3));
    assert_int_equal(path.state, SP_ECN_FAILED);
    ack = ack_of(9, 0, 4);
    assert_int_equal(0, sp_ecn_on_ack(&path, &space, &ack, 0));
    assert_int_equal(space.reported.ce, 4); /* for the next path */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_that_is_not_asked_marks_nothing),
        cmocka_unit_test(only_the_first_packets_are_marked_until_there_is_a_verdict),
        cmocka_unit_test(the_test_ends_within_a_run_of_packets),
        cmocka_unit_test(counts_that_cannot_be_true_end_the_marking),
        cmocka_unit_test(losing_all_test_packets_ends_the_marking),
        cmocka_unit_test(losses_on_a_capable_path_say_nothing_of_marks),
        cmocka_unit_test(a_pto_of_the_handshake_pauses_the_test),
        cmocka_unit_test(spaces_are_counted_apart),
        cmocka_unit_test(a_scalable_controller_marks_the_other_codepoint),
        cmocka_unit_test(a_controller_that_is_scalable_no_longer_changes_its_mark),
        cmocka_unit_test(a_new_path_is_tested_from_the_counts_of_the_one_before),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* How many streams each side may open: the machines, all pairs, and what they add up to. */

#include "test/support/qt.h"

#include "proto/stream/stream_limits.h"

/* ---- The machines ---- */

enum { NO = -1 }; /* a pair that our own code must not raise */

static void check_blocked(enum sp_blocked from, enum sp_blocked_event on, int want)
{
    if (want != NO) {
        assert_int_equal(sp_blocked_next(from, on), want);
        return;
    }
    expect_assert_failure(sp_blocked_next(from, on));
}

static void check_open_wait(enum sp_open_wait from, enum sp_open_wait_event on, int want)
{
    if (want != NO) {
        assert_int_equal(sp_open_wait_next(from, on), want);
        return;
    }
    expect_assert_failure(sp_open_wait_next(from, on));
}

static void check_grant(enum sp_grant from, enum sp_grant_event on, int want)
{
    if (want != NO) {
        assert_int_equal(sp_grant_next(from, on), want);
        return;
    }
    expect_assert_failure(sp_grant_next(from, on));
}

static void an_end_that_is_blocked_says_so_once_per_limit(void **state)
{
    (void)state;
    static const int want[SP_BLOCKED_STATES][SP_BLOCKED_EVENTS] = {
        [SP_BLOCKED_NOT] = {SP_BLOCKED_DUE, NO, SP_BLOCKED_NOT, SP_BLOCKED_NOT},
        [SP_BLOCKED_DUE] = {SP_BLOCKED_DUE, SP_BLOCKED_SENT, SP_BLOCKED_DUE, SP_BLOCKED_NOT},
        [SP_BLOCKED_SENT] = {SP_BLOCKED_SENT, NO, SP_BLOCKED_NOT, SP_BLOCKED_NOT},
    };
    for (enum sp_blocked from = 0; from < SP_BLOCKED_STATES; from++)
        for (enum sp_blocked_event on = 0; on < SP_BLOCKED_EVENTS; on++)
            check_blocked(from, on, want[from][on]);
}

static void a_refused_open_waits_for_room_and_hears_of_it_once(void **state)
{
    (void)state;
    static const int want[SP_OPEN_WAIT_STATES][SP_OPEN_WAIT_EVENTS] = {
        [SP_OPEN_WAIT_NONE] = {SP_OPEN_WAIT_REFUSED, SP_OPEN_WAIT_NONE, NO},
        [SP_OPEN_WAIT_REFUSED] = {SP_OPEN_WAIT_REFUSED, SP_OPEN_WAIT_AVAILABLE, NO},
        [SP_OPEN_WAIT_AVAILABLE] = {SP_OPEN_WAIT_REFUSED, SP_OPEN_WAIT_AVAILABLE,
                                    SP_OPEN_WAIT_NONE},
    };
    for (enum sp_open_wait from = 0; from < SP_OPEN_WAIT_STATES; from++)
        for (enum sp_open_wait_event on = 0; on < SP_OPEN_WAIT_EVENTS; on++)
            check_open_wait(from, on, want[from][on]);
}

static void a_grant_is_sent_until_it_has_arrived(void **state)
{
    (void)state;
    static const int want[SP_GRANT_STATES][SP_GRANT_EVENTS] = {
        [SP_GRANT_NONE] = {SP_GRANT_WANTED, SP_GRANT_DUE, NO, SP_GRANT_DUE},
        [SP_GRANT_WANTED] = {SP_GRANT_WANTED, SP_GRANT_DUE, NO, SP_GRANT_DUE},
        [SP_GRANT_DUE] = {SP_GRANT_DUE, SP_GRANT_DUE, SP_GRANT_NONE, SP_GRANT_DUE},
    };
    for (enum sp_grant from = 0; from < SP_GRANT_STATES; from++)
        for (enum sp_grant_event on = 0; on < SP_GRANT_EVENTS; on++)
            check_grant(from, on, want[from][on]);
}

/* ---- What we give ---- */

static void open_remote(struct sp_stream_limits *limits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sp_stream_limits_on_remote_opened(limits, limits->remote_opened + 1);
    sp_stream_limits_check(limits);
}

static void close_remote(struct sp_stream_limits *limits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sp_stream_limits_on_remote_closed(limits);
    sp_stream_limits_check(limits);
}

/* Sends the MAX_STREAMS that is due, and returns its limit. */
static uint64_t send_grant(struct sp_stream_limits *limits)
{
    uint64_t max = sp_stream_limits_grant(limits);
    limits->grant = sp_grant_next(limits->grant, SP_GRANT_ON_SENT);
    sp_stream_limits_check(limits);
    return max;
}

static void a_peer_with_credit_gets_quarters(void **state)
{
    (void)state;
    struct sp_stream_limits limits;
    sp_stream_limits_init(&limits, 100);
    open_remote(&limits, 50);
    close_remote(&limits, 24);
    assert_int_equal(limits.grant, SP_GRANT_NONE);
    close_remote(&limits, 1);
    assert_int_equal(limits.grant, SP_GRANT_DUE);
    close_remote(&limits, 5);
    assert_int_equal(send_grant(&limits), 130);
}

/* The 80 others may stay open for ever.  [RFC9000 4.6] STREAMS_BLOCKED need not come. */
static void a_peer_that_has_used_all_gets_what_there_is(void **state)
{
    (void)state;
    struct sp_stream_limits limits;
    sp_stream_limits_init(&limits, 100);
    open_remote(&limits, 100);
    assert_int_equal(limits.grant, SP_GRANT_NONE); /* there is nothing */
    close_remote(&limits, 1);
    assert_int_equal(limits.grant, SP_GRANT_DUE);
    close_remote(&limits, 19);
    assert_int_equal(send_grant(&limits), 120);

    /* The other order: it closes some, and then uses all that it has. */
    open_remote(&limits, 10);
    close_remote(&limits, 7);
    assert_int_equal(limits.grant, SP_GRANT_NONE);
    open_remote(&limits, 9);
    assert_int_equal(limits.grant, SP_GRANT_NONE);
    open_remote(&limits, 1);
    assert_int_equal(limits.grant, SP_GRANT_DUE);
    assert_int_equal(send_grant(&limits), 127);
}

/* It has opened streams that we have not heard of yet. */
static void a_peer_that_says_it_is_blocked_gets_what_there_is(void **state)
{
    (void)state;
    struct sp_stream_limits limits;
    sp_stream_limits_init(&limits, 100);
    open_remote(&limits, 30);
    close_remote(&limits, 20);
    assert_int_equal(limits.grant, SP_GRANT_NONE);
    sp_stream_limits_on_remote_blocked(&limits, 99); /* it will get a higher limit */
    assert_int_equal(limits.grant, SP_GRANT_NONE);
    sp_stream_limits_on_remote_blocked(&limits, 100);
    assert_int_equal(limits.grant, SP_GRANT_DUE);
    assert_int_equal(send_grant(&limits), 120);

    /* There is nothing now: the next that closes is its. */
    sp_stream_limits_on_remote_blocked(&limits, 120);
    assert_int_equal(limits.grant, SP_GRANT_WANTED);
    close_remote(&limits, 1);
    assert_int_equal(limits.grant, SP_GRANT_DUE);
    assert_int_equal(send_grant(&limits), 121);
    close_remote(&limits, 1);
    assert_int_equal(limits.grant, SP_GRANT_NONE); /* quarters again */
}

static void a_lost_grant_is_repeated_unless_there_is_a_newer_one(void **state)
{
    (void)state;
    struct sp_stream_limits limits;
    sp_stream_limits_init(&limits, 4);
    open_remote(&limits, 4);
    close_remote(&limits, 1);
    assert_int_equal(send_grant(&limits), 5);
    close_remote(&limits, 1);
    assert_int_equal(send_grant(&limits), 6);
    sp_stream_limits_on_grant_lost(&limits, 5);
    assert_int_equal(limits.grant, SP_GRANT_NONE);
    sp_stream_limits_on_grant_lost(&limits, 6);
    assert_int_equal(limits.grant, SP_GRANT_DUE);
    assert_int_equal(send_grant(&limits), 6);
}

static void nothing_is_given_where_nothing_is_allowed(void **state)
{
    (void)state;
    struct sp_stream_limits limits;
    sp_stream_limits_init(&limits, 0);
    sp_stream_limits_on_remote_blocked(&limits, 0);
    sp_stream_limits_on_remote_blocked(&limits, 1000);
    assert_int_equal(limits.grant, SP_GRANT_WANTED);
    sp_stream_limits_check(&limits);
}

/* ---- What we get ---- */

static void a_blocked_frame_is_about_the_present_limit(void **state)
{
    (void)state;
    struct sp_stream_limits limits;
    sp_stream_limits_init(&limits, 0);
    sp_stream_limits_on_refused(&limits, false); /* the handshake is not complete */
    assert_int_equal(limits.blocked, SP_BLOCKED_NOT);
    sp_stream_limits_on_raise(&limits, 1);
    assert_int_equal(limits.open_wait, SP_OPEN_WAIT_AVAILABLE);
    limits.open_wait = sp_open_wait_next(limits.open_wait, SP_OPEN_WAIT_ON_TAKE);

    sp_stream_limits_on_refused(&limits, true); /* by streams_local_max */
    assert_int_equal(limits.blocked, SP_BLOCKED_NOT);
    limits.local_opened = 1;
    sp_stream_limits_on_refused(&limits, true);
    assert_int_equal(limits.blocked, SP_BLOCKED_DUE);
    limits.blocked = sp_blocked_next(limits.blocked, SP_BLOCKED_ON_SENT);
    sp_stream_limits_on_refused(&limits, true);
    assert_int_equal(limits.blocked, SP_BLOCKED_SENT);
    sp_stream_limits_on_blocked_lost(&limits, 1);
    assert_int_equal(limits.blocked, SP_BLOCKED_DUE);

    sp_stream_limits_on_room(&limits); /* one of ours closed: the peer's limit stands */
    assert_int_equal(limits.open_wait, SP_OPEN_WAIT_REFUSED);
    sp_stream_limits_on_raise(&limits, 1);
    assert_int_equal(limits.blocked, SP_BLOCKED_DUE);
    sp_stream_limits_on_raise(&limits, 2);
    assert_int_equal(limits.blocked, SP_BLOCKED_NOT);
    assert_int_equal(limits.open_wait, SP_OPEN_WAIT_AVAILABLE);
    sp_stream_limits_on_blocked_lost(&limits, 1);
    assert_int_equal(limits.blocked, SP_BLOCKED_NOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_that_is_blocked_says_so_once_per_limit),
        cmocka_unit_test(a_refused_open_waits_for_room_and_hears_of_it_once),
        cmocka_unit_test(a_grant_is_sent_until_it_has_arrived),
        cmocka_unit_test(a_peer_with_credit_gets_quarters),
        cmocka_unit_test(a_peer_that_has_used_all_gets_what_there_is),
        cmocka_unit_test(a_peer_that_says_it_is_blocked_gets_what_there_is),
        cmocka_unit_test(a_lost_grant_is_repeated_unless_there_is_a_newer_one),
        cmocka_unit_test(nothing_is_given_where_nothing_is_allowed),
        cmocka_unit_test(a_blocked_frame_is_about_the_present_limit),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

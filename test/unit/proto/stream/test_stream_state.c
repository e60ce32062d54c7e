/* SPDX-License-Identifier: MIT */
/* The two state machines of a stream, all pairs: RFC 9000, Section 3. */

#include "test/support/qt.h"

#include "proto/stream/stream_state.h"

/* NONE stands for a pair that our own code must not raise. */

static void assert_send_next(enum sp_send_state from, enum sp_send_event event,
                             enum sp_send_state want)
{
    if (want != SP_SEND_NONE) {
        assert_int_equal(sp_send_next(from, event), want);
        return;
    }
    expect_assert_failure(sp_send_next(from, event));
}

static void assert_recv_next(enum sp_recv_state from, enum sp_recv_event event,
                             enum sp_recv_state want)
{
    if (want != SP_RECV_NONE) {
        assert_int_equal(sp_recv_next(from, event), want);
        return;
    }
    expect_assert_failure(sp_recv_next(from, event));
}

/* [RFC9000 3.1] */
static void the_sending_part_moves_as_figure_2_says(void **state)
{
    (void)state;
    static const enum sp_send_state want[SP_SEND_STATES][SP_SEND_EVENTS] = {
        [SP_SEND_READY] =
            {
                [SP_SEND_ON_DATA] = SP_SEND_OPEN,
                [SP_SEND_ON_FIN] = SP_SEND_DATA_SENT,
                [SP_SEND_ON_RESET] = SP_SEND_RESET,
                [SP_SEND_ON_CUT] = SP_SEND_CUT,
            },
        [SP_SEND_OPEN] =
            {
                [SP_SEND_ON_DATA] = SP_SEND_OPEN,
                [SP_SEND_ON_FIN] = SP_SEND_DATA_SENT,
                [SP_SEND_ON_RESET] = SP_SEND_RESET,
                [SP_SEND_ON_CUT] = SP_SEND_CUT,
            },
        /* Only repeats of lost frames, with or without the FIN, go out. */
        [SP_SEND_DATA_SENT] =
            {
                [SP_SEND_ON_DATA] = SP_SEND_DATA_SENT,
                [SP_SEND_ON_FIN] = SP_SEND_DATA_SENT,
                [SP_SEND_ON_ALL_ACKED] = SP_SEND_DATA_DONE,
                [SP_SEND_ON_RESET] = SP_SEND_RESET,
                [SP_SEND_ON_CUT] = SP_SEND_CUT,
            },
        /* [reliable-reset 5] No FIN any more: RESET_STREAM_AT says where the end is. */
        [SP_SEND_CUT] =
            {
                [SP_SEND_ON_DATA] = SP_SEND_CUT,
                [SP_SEND_ON_RESET] = SP_SEND_RESET,
                [SP_SEND_ON_CUT] = SP_SEND_CUT,
                [SP_SEND_ON_CUT_OUT] = SP_SEND_RESET_AT,
            },
        [SP_SEND_RESET_AT] =
            {
                [SP_SEND_ON_DATA] = SP_SEND_RESET_AT,
                [SP_SEND_ON_ALL_ACKED] = SP_SEND_RESET_DONE,
                [SP_SEND_ON_RESET] = SP_SEND_RESET,
                [SP_SEND_ON_CUT] = SP_SEND_RESET_AT,
            },
        /* A STOP_SENDING that comes late asks for nothing any more. */
        [SP_SEND_DATA_DONE] = {[SP_SEND_ON_RESET] = SP_SEND_DATA_DONE},
        [SP_SEND_RESET] =
            {
                [SP_SEND_ON_RESET] = SP_SEND_RESET,
                [SP_SEND_ON_RESET_ACKED] = SP_SEND_RESET_DONE,
            },
        /* RESET_STREAM may have gone out more than once. */
        [SP_SEND_RESET_DONE] =
            {
                [SP_SEND_ON_RESET] = SP_SEND_RESET_DONE,
                [SP_SEND_ON_RESET_ACKED] = SP_SEND_RESET_DONE,
            },
    };
    for (enum sp_send_state from = 0; from <= SP_SEND_STATES; from++) {
        for (enum sp_send_event event = 0; event <= SP_SEND_EVENTS; event++) {
            bool exists = from < SP_SEND_STATES && event < SP_SEND_EVENTS;
            assert_send_next(from, event, exists ? want[from][event] : SP_SEND_NONE);
        }
    }
}

/* [RFC9000 3.2] */
static void the_receiving_part_moves_as_figure_3_says(void **state)
{
    (void)state;
    static const enum sp_recv_state want[SP_RECV_STATES][SP_RECV_EVENTS] = {
        [SP_RECV_OPEN] =
            {
                [SP_RECV_ON_FIN] = SP_RECV_SIZE_KNOWN,
                [SP_RECV_ON_RESET] = SP_RECV_RESET,
                [SP_RECV_ON_RESET_AT] = SP_RECV_RESET_AT,
            },
        [SP_RECV_SIZE_KNOWN] =
            {
                [SP_RECV_ON_FIN] = SP_RECV_SIZE_KNOWN,
                [SP_RECV_ON_ALL_BYTES] = SP_RECV_ARRIVED,
                [SP_RECV_ON_RESET] = SP_RECV_RESET,
                [SP_RECV_ON_RESET_AT] = SP_RECV_RESET_AT,
            },
        [SP_RECV_RESET_AT] =
            {
                [SP_RECV_ON_FIN] = SP_RECV_RESET_AT,
                [SP_RECV_ON_RESET] = SP_RECV_RESET,
                [SP_RECV_ON_RESET_AT] = SP_RECV_RESET_AT,
            },
        /* The RFC leaves it open whether a reset interrupts what has arrived: it does not. */
        [SP_RECV_ARRIVED] =
            {
                [SP_RECV_ON_FIN] = SP_RECV_ARRIVED,
                [SP_RECV_ON_READ_ALL] = SP_RECV_DONE,
                [SP_RECV_ON_RESET] = SP_RECV_ARRIVED,
                [SP_RECV_ON_RESET_AT] = SP_RECV_ARRIVED,
            },
        [SP_RECV_DONE] =
            {
                [SP_RECV_ON_FIN] = SP_RECV_DONE,
                [SP_RECV_ON_RESET] = SP_RECV_DONE,
                [SP_RECV_ON_RESET_AT] = SP_RECV_DONE,
            },
        [SP_RECV_RESET] =
            {
                [SP_RECV_ON_FIN] = SP_RECV_RESET,
                [SP_RECV_ON_RESET] = SP_RECV_RESET,
                [SP_RECV_ON_RESET_AT] = SP_RECV_RESET,
                [SP_RECV_ON_READ_RESET] = SP_RECV_RESET_DONE,
            },
        [SP_RECV_RESET_DONE] =
            {
                [SP_RECV_ON_FIN] = SP_RECV_RESET_DONE,
                [SP_RECV_ON_RESET] = SP_RECV_RESET_DONE,
                [SP_RECV_ON_RESET_AT] = SP_RECV_RESET_DONE,
            },
    };
    for (enum sp_recv_state from = 0; from <= SP_RECV_STATES; from++) {
        for (enum sp_recv_event event = 0; event <= SP_RECV_EVENTS; event++) {
            bool exists = from < SP_RECV_STATES && event < SP_RECV_EVENTS;
            assert_recv_next(from, event, exists ? want[from][event] : SP_RECV_NONE);
        }
    }
}

/* What the peer repeats may come in any state that a stream can be in. */
static void frames_of_the_peer_never_hit_an_impossible_pair(void **state)
{
    (void)state;
    for (enum sp_recv_state from = SP_RECV_OPEN; from < SP_RECV_STATES; from++) {
        (void)sp_recv_next(from, SP_RECV_ON_FIN);
        (void)sp_recv_next(from, SP_RECV_ON_RESET);
        (void)sp_recv_next(from, SP_RECV_ON_RESET_AT);
    }
    for (enum sp_send_state from = SP_SEND_READY; from < SP_SEND_STATES; from++)
        (void)sp_send_next(from, SP_SEND_ON_RESET); /* STOP_SENDING. [RFC9000 3.5] */
}

/* [RFC9000 3.1, 3.2] */
static void terminal_states_are_never_left(void **state)
{
    (void)state;
    static const bool send_done[SP_SEND_STATES] = {
        [SP_SEND_DATA_DONE] = true, [SP_SEND_RESET_DONE] = true};
    static const bool recv_done[SP_RECV_STATES] = {
        [SP_RECV_DONE] = true, [SP_RECV_RESET_DONE] = true};
    for (enum sp_send_state s = SP_SEND_READY; s < SP_SEND_STATES; s++) {
        assert_int_equal(sp_send_is_done(s), send_done[s]);
        if (send_done[s])
            assert_int_equal(sp_send_next(s, SP_SEND_ON_RESET), s);
    }
    for (enum sp_recv_state s = SP_RECV_OPEN; s < SP_RECV_STATES; s++) {
        assert_int_equal(sp_recv_is_done(s), recv_done[s]);
        if (recv_done[s])
            assert_int_equal(sp_recv_next(s, SP_RECV_ON_RESET), s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sending_part_moves_as_figure_2_says),
        cmocka_unit_test(the_receiving_part_moves_as_figure_3_says),
        cmocka_unit_test(frames_of_the_peer_never_hit_an_impossible_pair),
        cmocka_unit_test(terminal_states_are_never_left),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

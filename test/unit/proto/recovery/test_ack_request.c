/* SPDX-License-Identifier: MIT */
/* Which ACKs we ask the peer for, and when: draft-ietf-quic-ack-frequency. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/recovery/ack_request.h"
#include "test/support/loss_world.h"

QT_FIXTURE(loss_world, loss_world_deinit)

enum { NO = -1 }; /* a pair that our own code must not raise */

#define PEER_DELAY_US 25000

/* A path with a window of `packets` and a round trip, and a peer that grants 1 to 25 ms. */
static struct sp_loss_path *begin(struct loss_world *world, struct sp_ack_request *request,
                                  uint64_t packets, uint64_t rtt_ns)
{
    loss_world_init(world);
    sp_ack_request_init(request);
    sp_ack_request_enable(request, 1000, PEER_DELAY_US);
    struct sp_loss_path *path = world->loss.path;
    path->cc.cwnd_bytes = packets * path->cc.datagram_bytes;
    path->cc.ssthresh_bytes = 0; /* slow start is over */
    path->rtt.smoothed_ns = rtt_ns;
    path->rtt.first_sample_at_ns = 1;
    return path;
}

static void set_window(struct sp_loss_path *path, uint64_t packets)
{
    path->cc.cwnd_bytes = packets * path->cc.datagram_bytes;
}

/* Updates; if a frame is due, makes and sends it.  Returns whether there was one. */
static bool send_one(struct loss_world *world, struct sp_ack_request *request,
                     struct sp_frame_ack_frequency *ret)
{
    sp_ack_request_update(request, world->loss.path);
    if (!sp_ack_request_is_due(request))
        return false;
    sp_ack_request_write(request, world->loss.path, ret);
    sp_ack_request_on_sent(request, ret, &world->loss);
    assert_false(sp_ack_request_is_due(request));
    return true;
}

static void check_next(enum sp_ack_request_state from, enum sp_ack_request_event on, int want)
{
    if (want != NO) {
        assert_int_equal(sp_ack_request_next(from, on), want);
        return;
    }
    expect_assert_failure(sp_ack_request_next(from, on));
}

static void one_frame_is_in_flight_at_a_time(void **state)
{
    (void)state;
    enum {
        SETTLED = SP_ACK_REQUEST_SETTLED,
        DUE = SP_ACK_REQUEST_DUE,
        SENT = SP_ACK_REQUEST_SENT,
    };
    static const int want[SP_ACK_REQUEST_STATES][SP_ACK_REQUEST_EVENTS] = {
        [SP_ACK_REQUEST_OFF] = {SETTLED, NO, NO, NO, NO},
        [SP_ACK_REQUEST_SETTLED] = {NO, DUE, NO, NO, NO},
        [SP_ACK_REQUEST_DUE] = {NO, DUE, SENT, SETTLED, DUE},
        [SP_ACK_REQUEST_SENT] = {NO, SENT, NO, SETTLED, DUE},
    };
    for (enum sp_ack_request_state from = 0; from < SP_ACK_REQUEST_STATES; from++)
        for (enum sp_ack_request_event on = 0; on < SP_ACK_REQUEST_EVENTS; on++)
            check_next(from, on, want[from][on]);
}

static void the_frame_follows_the_window_and_the_round_trip(void **state)
{
    struct loss_world *world = *state;
    static const struct {
        uint64_t packets;
        uint64_t rtt_ns;
        enum { STEADY, WIDE, SLOW_START } kind;
        uint64_t eliciting_max; /* UINT64_MAX: no frame */
        uint64_t delay_us;
        uint64_t reorder_threshold;
    } samples[] = {
        {10, 40 * SB_MS, STEADY, UINT64_MAX, 0, 0}, /* the first window */
        {31, 40 * SB_MS, STEADY, UINT64_MAX, 0, 0},
        {32, 40 * SB_MS, STEADY, 3, 10000, 3},
        {80, 40 * SB_MS, STEADY, 9, 10000, 3},
        {80, 40 * SB_MS, WIDE, 5, 5000, 0},
        {47, 40 * SB_MS, SLOW_START, UINT64_MAX, 0, 0},
        {48, 40 * SB_MS, SLOW_START, 3, 10000, 3},
        {8000, 40 * SB_MS, SLOW_START, 255, 10000, 3},
        {2047, 40 * SB_MS, STEADY, 254, 10000, 3},
        {2048, 40 * SB_MS, STEADY, 255, 10000, 3},
        {1000000, 40 * SB_MS, STEADY, 255, 10000, 3},
        {80, 3999 * SB_US, STEADY, 9, 1000, 3}, /* no shorter than the peer grants */
        {80, 4004 * SB_US, STEADY, 9, 1001, 3},
        {80, 60 * SB_US, STEADY, 9, 1000, 3},
        {80, 99 * SB_MS, STEADY, 9, 24750, 3},
        {80, 101 * SB_MS, STEADY, 9, PEER_DELAY_US, 3}, /* no longer than it would wait anyway */
        {80, 60 * SB_S, STEADY, 9, PEER_DELAY_US, 3},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_ack_request request;
        struct sp_frame_ack_frequency frame;
        struct sp_loss_path *path = begin(world, &request, samples[i].packets, samples[i].rtt_ns);
        path->reorder.is_wide[0] = samples[i].kind == WIDE;
        if (samples[i].kind == SLOW_START)
            path->cc.ssthresh_bytes = UINT64_MAX;
        print_message("    %d packets, %d us\n", (int)samples[i].packets,
                      (int)(samples[i].rtt_ns / SB_US));
        bool is_wanted = samples[i].eliciting_max != UINT64_MAX;
        assert_int_equal(send_one(world, &request, &frame), is_wanted);
        if (!is_wanted)
            continue;
        assert_int_equal(frame.sequence, 0);
        assert_int_equal(frame.eliciting_max, samples[i].eliciting_max);
        assert_int_equal(frame.delay_us, samples[i].delay_us);
        assert_int_equal(frame.reorder_threshold, samples[i].reorder_threshold);
    }
}

/* A sender that its window and a smooth pace limit waits for no ACK if they come often. */
static void a_controller_for_l4s_wants_twice_as_many(void **state)
{
    struct loss_world *world = *state;
    struct sp_ack_request request;
    struct sp_frame_ack_frequency frame;
    for (int is_l4s = 0; is_l4s < 2; is_l4s++) {
        struct sp_loss_path *path = begin(world, &request, 640, 40 * SB_MS);
        if (is_l4s)
            path->cc.ops = &sp_cc_prague_ops;
        assert_true(send_one(world, &request, &frame));
        assert_int_equal(frame.eliciting_max + 1, is_l4s ? 40 : 80);
    }
}

static void a_peer_without_the_extension_gets_no_frame(void **state)
{
    struct loss_world *world = *state;
    struct sp_ack_request request;
    struct sp_frame_ack_frequency frame;
    (void)begin(world, &request, 1000, 40 * SB_MS);
    sp_ack_request_init(&request);
    assert_false(sp_ack_request_is_enabled(&request));
    assert_false(send_one(world, &request, &frame));
}

static void without_a_round_trip_there_is_no_frame(void **state)
{
    struct loss_world *world = *state;
    struct sp_ack_request request;
    struct sp_frame_ack_frequency frame;
    struct sp_loss_path *path = begin(world, &request, 1000, 40 * SB_MS);
    path->rtt.first_sample_at_ns = SB_NEVER;
    assert_false(send_one(world, &request, &frame));
}

/* A peer that delays nothing, or grants exactly one delay: the numbers stay in its bounds. */
static void the_bounds_of_the_peer_may_be_equal(void **state)
{
    struct loss_world *world = *state;
    static const uint64_t delays_us[] = {0, 1, 25000, 16383000};
    for (size_t i = 0; i < QT_COUNT(delays_us); i++) {
        struct sp_ack_request request;
        struct sp_frame_ack_frequency frame;
        (void)begin(world, &request, 80, 40 * SB_MS);
        sp_ack_request_init(&request);
        sp_ack_request_enable(&request, delays_us[i], delays_us[i]);
        assert_true(send_one(world, &request, &frame));
        assert_int_equal(frame.delay_us, delays_us[i]);
        sp_ack_request_on_acked(&request, 0, &world->loss);
        assert_false(send_one(world, &request, &frame));
    }
}

/* [ack-frequency 8.1] */
static void a_new_frame_follows_a_relevant_change_only(void **state)
{
    struct loss_world *world = *state;
    struct sp_ack_request request;
    struct sp_frame_ack_frequency frame;
    struct sp_loss_path *path = begin(world, &request, 160, 40 * SB_MS);
    assert_true(send_one(world, &request, &frame)); /* 20 packets per ACK */
    set_window(path, 8000);
    assert_false(send_one(world, &request, &frame)); /* it is in flight */
    sp_ack_request_on_acked(&request, 0, &world->loss);
    set_window(path, 320);
    assert_false(send_one(world, &request, &frame));
    set_window(path, 336);
    assert_true(send_one(world, &request, &frame));
    assert_int_equal(frame.sequence, 1);
    assert_int_equal(frame.eliciting_max, 41);
    sp_ack_request_on_acked(&request, 1, &world->loss);
    set_window(path, 176);
    assert_false(send_one(world, &request, &frame));
    set_window(path, 160);
    assert_true(send_one(world, &request, &frame));
    sp_ack_request_on_acked(&request, 2, &world->loss);
    set_window(path, 2); /* a collapse: it returns to what RFC 9000 recommends */
    assert_true(send_one(world, &request, &frame));
    assert_int_equal(frame.eliciting_max, 1);
    sp_ack_request_on_acked(&request, 3, &world->loss);

    path->rtt.smoothed_ns = 75 * SB_MS;
    assert_false(send_one(world, &request, &frame));
    path->rtt.smoothed_ns = 81 * SB_MS;
    assert_true(send_one(world, &request, &frame));
    assert_int_equal(frame.delay_us, 20250);
    sp_ack_request_on_acked(&request, 4, &world->loss);
    path->reorder.is_wide[1] = true;
    assert_true(send_one(world, &request, &frame));
    assert_int_equal(frame.reorder_threshold, 0);
    assert_int_equal(frame.sequence, 5);
}

/* [ack-frequency 4] With a new number, and with what is wanted by then. */
static void a_lost_frame_is_sent_again_with_new_values(void **state)
{
    struct loss_world *world = *state;
    struct sp_ack_request request;
    struct sp_frame_ack_frequency frame;
    struct sp_loss_path *path = begin(world, &request, 80, 40 * SB_MS);
    assert_true(send_one(world, &request, &frame));
    sp_ack_request_on_lost(&request, 0);
    assert_true(sp_ack_request_is_due(&request));
    set_window(path, 160);
    assert_true(send_one(world, &request, &frame));
    assert_int_equal(frame.sequence, 1);
    assert_int_equal(frame.eliciting_max, 19);
    sp_ack_request_on_lost(&request, 0); /* it is obsolete */
    assert_false(sp_ack_request_is_due(&request));
    sp_ack_request_on_lost(&request, 1);
    sp_ack_request_on_acked(&request, 1, &world->loss); /* it was not lost */
    assert_false(sp_ack_request_is_due(&request));
}

/* [ack-frequency 7] */
static void the_pto_allows_for_every_delay_that_may_be_in_force(void **state)
{
    struct loss_world *world = *state;
    struct sp_ack_request request;
    struct sp_frame_ack_frequency frame;
    struct sp_loss_path *path = begin(world, &request, 80, 8 * SB_MS);
    uint64_t *delay_ns = &world->loss.peer_ack_delay_ns_max;
    *delay_ns = PEER_DELAY_US * SB_US;
    uint64_t before_ns = sp_loss_pto_ns(&world->loss);
    assert_true(send_one(world, &request, &frame)); /* 2 ms */
    assert_int_equal(*delay_ns, PEER_DELAY_US * SB_US);
    sp_ack_request_on_acked(&request, 0, &world->loss);
    assert_int_equal(*delay_ns, 2 * SB_MS);
    assert_int_equal(before_ns - sp_loss_pto_ns(&world->loss), 23 * SB_MS);

    path->rtt.smoothed_ns = 40 * SB_MS;
    assert_true(send_one(world, &request, &frame));
    assert_int_equal(*delay_ns, 10 * SB_MS);
    sp_ack_request_on_lost(&request, 1); /* or it has arrived nevertheless */
    path->rtt.smoothed_ns = 8 * SB_MS;
    assert_true(send_one(world, &request, &frame));
    assert_int_equal(frame.delay_us, 2000);
    assert_int_equal(*delay_ns, 10 * SB_MS);
    sp_ack_request_on_acked(&request, 1, &world->loss); /* the peer may have got the newer one */
    assert_int_equal(*delay_ns, 10 * SB_MS);
    sp_ack_request_on_acked(&request, 2, &world->loss);
    assert_int_equal(*delay_ns, 2 * SB_MS);
}

/* [ack-frequency 6.2] Loss detection waits for the ACKs of late packets as long as the peer may. */
static void late_packets_may_be_acknowledged_late_when_that_was_asked_for(void **state)
{
    struct loss_world *world = *state;
    struct sp_ack_request request;
    struct sp_frame_ack_frequency frame;
    struct sp_loss_path *path = begin(world, &request, 80, 40 * SB_MS);
    assert_true(send_one(world, &request, &frame));
    sp_ack_request_on_acked(&request, 0, &world->loss);
    assert_false(world->loss.peer_delays_late);
    path->reorder.is_wide[0] = true;
    assert_true(send_one(world, &request, &frame));
    assert_true(world->loss.peer_delays_late); /* it may have arrived */
    sp_ack_request_on_acked(&request, 1, &world->loss);
    path->reorder.is_wide[0] = false;
    assert_true(send_one(world, &request, &frame));
    assert_true(world->loss.peer_delays_late); /* it may not have arrived yet */
    sp_ack_request_on_acked(&request, 2, &world->loss);
    assert_false(world->loss.peer_delays_late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(loss_world, one_frame_is_in_flight_at_a_time),
        QT_TEST(loss_world, the_frame_follows_the_window_and_the_round_trip),
        QT_TEST(loss_world, a_controller_for_l4s_wants_twice_as_many),
        QT_TEST(loss_world, a_peer_without_the_extension_gets_no_frame),
        QT_TEST(loss_world, without_a_round_trip_there_is_no_frame),
        QT_TEST(loss_world, the_bounds_of_the_peer_may_be_equal),
        QT_TEST(loss_world, a_new_frame_follows_a_relevant_change_only),
        QT_TEST(loss_world, a_lost_frame_is_sent_again_with_new_values),
        QT_TEST(loss_world, the_pto_allows_for_every_delay_that_may_be_in_force),
        QT_TEST(loss_world, late_packets_may_be_acknowledged_late_when_that_was_asked_for),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

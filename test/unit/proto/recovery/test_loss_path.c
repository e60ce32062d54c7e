/* SPDX-License-Identifier: MIT */
/* Paths in loss recovery: RFC 9000, Section 9.4. */

#include "test/support/qt.h"

#include "test/support/loss_world.h"

QT_FIXTURE(loss_world, loss_world_deinit)

/* [RFC9000 9.4] "Packets sent on the old path MUST NOT contribute to congestion control or RTT
 * estimation for the new path." */
static void what_went_another_path_says_nothing_about_this_one(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    struct sp_loss_path next;
    sp_loss_path_init(&next, 1, &loss_world_cc);
    for (uint64_t i = 0; i < 6; i++)
        loss_world_send(world, SP_SPACE_APP, SB_S, true);
    sp_loss_use(&world->loss, &next);
    assert_int_equal(next.cc.in_flight_bytes, 0);
    uint64_t cwnd = next.cc.cwnd_bytes, old_cwnd = world->path.cc.cwnd_bytes;

    /* 0 and 5 arrive, 1 and 2 are lost. */
    (void)loss_world_ack(world, 5, 5, SB_S + LOSS_RTT_NS);
    assert_int_equal(world->loss.lost_count, 3);
    assert_int_equal(world->path.lost_count + next.lost_count, 0);
    assert_false(sp_rtt_has_sample(&next.rtt));
    assert_int_equal(next.cc.cwnd_bytes, cwnd);
    assert_int_equal(world->path.cc.cwnd_bytes, old_cwnd);
    assert_int_equal(world->path.cc.in_flight_bytes, 2 * 1200);

    /* What goes the new path counts there. */
    for (uint64_t i = 0; i < 6; i++) {
        struct sp_sent_packet packet = {.sent_ns = 2 * SB_S,
                                        .size = 1200,
                                        .state = SP_SENT_OUT,
                                        .is_eliciting = true,
                                        .path = next.index};
        assert_true(sp_sent_reserve(&world->loss.app.sent));
        sp_loss_on_sent(&world->loss, SP_SPACE_APP, &packet);
    }
    (void)loss_world_ack(world, 6, 10, 2 * SB_S + LOSS_RTT_NS / 2);
    assert_int_equal(next.rtt.latest_ns, LOSS_RTT_NS / 2);
    assert_int_equal(next.cc.in_flight_bytes, 1200);
    assert_int_equal(world->path.cc.in_flight_bytes, 0);
    sp_loss_remove(&world->loss, &world->path);
    (void)loss_world_ack(world, 11, 11, 2 * SB_S + LOSS_RTT_NS);
    sp_loss_use(&world->loss, &world->path);
    sp_loss_remove(&world->loss, &next);
}

/* A path that is out of use keeps what it has overdrawn, in bytes: a limit that was raised
 * meanwhile does not hold it back for the time of the old one. */
static void a_limit_reaches_the_paths_that_are_out_of_use(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    struct sp_loss_path next;
    sp_loss_path_init(&next, 1, &loss_world_cc);
    sp_loss_set_limit(&world->loss, 1000, true, SB_S);
    sp_pacer_on_sent(&world->path.pacer, 72000, SB_S);
    assert_true(sp_pacer_open_at_ns(&world->path.pacer) > 50 * SB_S);
    sp_loss_use(&world->loss, &next);
    assert_int_equal(next.pacer.rate_bytes_per_s, 1000);
    assert_true(sp_pacer_is_open(&next.pacer, SB_S));
    sp_loss_set_limit(&world->loss, 100000000, true, SB_S);
    sp_loss_use(&world->loss, &world->path);
    assert_true(sp_pacer_open_at_ns(&world->path.pacer) <= SB_S + 1 * SB_MS);
}

/* The datagrams to the old port of the peer were lost for another reason. */
static void losses_before_a_change_of_the_port_are_no_congestion(void **state)
{
    struct loss_world *world = *state;
    for (int has_moved = 0; has_moved < 2; has_moved++) {
        loss_world_init(world);
        for (uint64_t i = 0; i < 4; i++)
            loss_world_send(world, SP_SPACE_APP, SB_S, true);
        uint64_t cwnd = world->path.cc.cwnd_bytes;
        if (has_moved)
            sp_loss_on_moved(&world->loss);
        loss_world_send(world, SP_SPACE_APP, SB_S, true);
        (void)loss_world_ack(world, 4, 4, SB_S + LOSS_RTT_NS);
        assert_int_equal(world->loss.lost_count, 2);
        assert_int_equal(world->path.lost_count, has_moved ? 0 : 2);
        assert_int_equal(world->path.cc.cwnd_bytes < cwnd, !has_moved);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(loss_world, what_went_another_path_says_nothing_about_this_one),
        QT_TEST(loss_world, a_limit_reaches_the_paths_that_are_out_of_use),
        QT_TEST(loss_world, losses_before_a_change_of_the_port_are_no_congestion),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

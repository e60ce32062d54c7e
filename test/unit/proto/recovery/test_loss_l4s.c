/* SPDX-License-Identifier: MIT */
/* What loss recovery and an L4S controller tell each other: RFC 9331, Sections 4.1 and 4.3. */

#include "test/support/qt.h"

#include "test/support/loss_world.h"

QT_FIXTURE(loss_world, loss_world_deinit)

static const struct sp_cc_args prague = {.ops = &sp_cc_prague_ops, .datagram_bytes = 1200};

static void begin(struct loss_world *world)
{
    loss_world_init(world);
    sp_cc_init(&world->path.cc, &prague);
    sp_ecn_init(&world->path.ecn, sp_cc_mark(&world->path.cc));
}

/* Sends `count` packets as the path marks them. */
static void send(struct loss_world *world, uint32_t count)
{
    struct sp_loss_path *path = world->loss.path;
    for (uint32_t i = 0; i < count; i++) {
        enum sp_ecn mark = sp_ecn_mark(&path->ecn);
        struct sp_sent_packet packet = {
            .sent_ns = SB_S,
            .size = 1200,
            .state = SP_SENT_OUT,
            .is_eliciting = true,
            .is_ect = mark != SP_ECN_NOT,
            .path = path->index,
        };
        assert_true(sp_sent_reserve(&world->loss.app.sent));
        sp_ecn_on_sent(&path->ecn, &world->loss.app.ecn, mark, 1);
        sp_loss_on_sent(&world->loss, SP_SPACE_APP, &packet);
    }
}

static void acked(struct loss_world *world, uint64_t smallest, uint64_t largest,
                  const struct sp_ecn_counts *counts)
{
    struct sp_frame_ack ack = {.largest = largest, .first = {smallest, largest}};
    if (counts != NULL) {
        ack.has_ecn = true;
        ack.ect0 = counts->ect0;
        ack.ect1 = counts->ect1;
        ack.ce = counts->ce;
    }
    struct sp_loss_outcome outcome;
    assert_int_equal(
        sp_loss_on_ack(&world->loss, SP_SPACE_APP, &ack, 0, SB_S + LOSS_RTT_NS, &outcome), SP_OK);
    sp_loss_check(&world->loss);
}

/* Three of five, then two of two, then none. */
static void the_controller_learns_how_many_were_marked(void **state)
{
    struct loss_world *world = *state;
    begin(world);
    send(world, 8);
    acked(world, 0, 4, &(struct sp_ecn_counts){.ect1 = 2, .ce = 3});
    const struct sp_cc_prague *cc = &world->path.cc.prague;
    assert_int_equal(cc->state, SP_PRAGUE_L4S);
    assert_int_equal(cc->round_count, 5);
    assert_int_equal(cc->round_ce_count, 3);
    acked(world, 5, 6, &(struct sp_ecn_counts){.ect1 = 2, .ce = 5});
    assert_int_equal(cc->round_count, 7);
    assert_int_equal(cc->round_ce_count, 5);
    acked(world, 7, 7, &(struct sp_ecn_counts){.ect1 = 3, .ce = 5});
    assert_int_equal(cc->round_count, 8);
    assert_int_equal(cc->round_ce_count, 5);
    assert_ptr_equal(world->path.cc.ops, &sp_cc_prague_ops);
    assert_int_equal(sp_ecn_mark(&world->path.ecn), SP_ECN_ECT1);
}

/* The path clears the marks, or the peer does not report them. */
static void without_marks_the_path_gets_cubic(void **state)
{
    struct loss_world *world = *state;
    const struct sp_ecn_counts none = {0};
    for (int is_reported = 0; is_reported < 2; is_reported++) {
        begin(world);
        send(world, 4);
        uint64_t cwnd = world->path.cc.cwnd_bytes;
        acked(world, 0, 3, is_reported ? &none : NULL);
        assert_int_equal(world->path.ecn.state, SP_ECN_FAILED);
        assert_ptr_equal(world->path.cc.ops, &sp_cc_cubic_ops);
        assert_int_equal(sp_ecn_mark(&world->path.ecn), SP_ECN_NOT);
        assert_true(world->path.cc.cwnd_bytes >= cwnd);
        send(world, 1);
        acked(world, 4, 4, NULL);
        assert_ptr_equal(world->path.cc.ops, &sp_cc_cubic_ops);
    }
}

/* All test packets are lost: the next ACK that gets through finds it out. */
static void lost_marks_give_the_path_cubic(void **state)
{
    struct loss_world *world = *state;
    begin(world);
    send(world, 16); /* ten of them are marked */
    assert_int_equal(world->path.ecn.state, SP_ECN_UNKNOWN);
    acked(world, 14, 15, NULL);
    assert_int_equal(world->path.ecn.state, SP_ECN_FAILED);
    send(world, 1);
    acked(world, 16, 16, NULL);
    assert_ptr_equal(world->path.cc.ops, &sp_cc_cubic_ops);
}

/* [RFC9331 4.3] A classic queue: CUBIC, and ECT(0) from then on.  Marks are losses there. */
static void cubic_marks_its_packets_as_classic_ones(void **state)
{
    struct loss_world *world = *state;
    begin(world);
    send(world, 4);
    acked(world, 0, 1, &(struct sp_ecn_counts){.ect1 = 2});
    assert_int_equal(sp_ecn_mark(&world->path.ecn), SP_ECN_ECT1);
    sp_cc_leave_l4s(&world->path.cc); /* as the controller does */
    acked(world, 2, 2, &(struct sp_ecn_counts){.ect1 = 3});
    assert_int_equal(sp_ecn_mark(&world->path.ecn), SP_ECN_ECT0);
    send(world, 2);
    uint64_t cwnd = world->path.cc.cwnd_bytes;
    acked(world, 3, 5, &(struct sp_ecn_counts){.ect1 = 4, .ect0 = 1, .ce = 1});
    assert_int_equal(world->path.ecn.state, SP_ECN_CAPABLE);
    assert_true(world->path.cc.cwnd_bytes < cwnd);

    /* Another path is another chance. */
    struct sp_loss_path next;
    sp_loss_path_init(&next, 1, &prague);
    sp_loss_use(&world->loss, &next);
    assert_int_equal(next.ecn.state, SP_ECN_TESTING);
    assert_int_equal(sp_ecn_mark(&next.ecn), SP_ECN_ECT1);
    sp_loss_use(&world->loss, &world->path);
    assert_int_equal(sp_ecn_mark(&world->path.ecn), SP_ECN_ECT0);
    sp_loss_remove(&world->loss, &next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(loss_world, the_controller_learns_how_many_were_marked),
        QT_TEST(loss_world, without_marks_the_path_gets_cubic),
        QT_TEST(loss_world, lost_marks_give_the_path_cubic),
        QT_TEST(loss_world, cubic_marks_its_packets_as_classic_ones),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

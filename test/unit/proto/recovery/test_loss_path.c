/* SPDX-License-Identifier: MIT */
/* Paths in loss recovery: RFC 9000, Section 9.4. */

#include "test/support/qt.h"

#include "proto/base/time.h"
#include "proto/recovery/loss.h"
#include "test/support/heap.h"

#define RTT_NS (100 * SB_MS)

struct world {
    struct heap heap;
    struct sb_pool pool;
    struct sb_store store;
    struct sp_loss loss;
    struct sp_loss_path path;
    struct sp_loss_space handshake_spaces[SP_SPACE_APP];
    struct sp_sent_frame frames[SP_SPACES][100];
};

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    for (uint32_t i = 0; i < SP_SPACES; i++)
        (void)sp_loss_discard(&world->loss, (enum sp_space)i);
    heap_pool_deinit(&world->pool);
    heap_deinit(&world->heap);
    assert_int_equal(world->path.cc.in_flight_bytes, 0);
}

static void world_init(struct world *world)
{
    world_deinit(world); /* of the sample before */
    *world = (struct world){0};
    heap_init(&world->heap);
    sb_pool_init(&world->pool, "blocks", sizeof(struct sp_sent_block), 2, 100, &world->heap.memory);
    world->store = (struct sb_store){.pool = &world->pool};
    sp_loss_path_init(&world->path, 0, sp_cc_ops_of(SP_CC_NEWRENO), 1200);
    sp_loss_init(&world->loss, world->handshake_spaces, &world->store, &world->path, false);
    world->loss.is_confirmed = true;
    world->loss.peer_ack_delay_ns_max = 25 * SB_MS;
}

QT_FIXTURE(world, world_deinit)

static void send_one(struct world *world, enum sp_space space, uint64_t now_ns, bool is_eliciting)
{
    struct sp_sent *sent = &world->loss.spaces[space]->sent;
    assert_true(sp_sent_reserve(sent));
    struct sp_sent_frame *frame = &world->frames[space][sent->next_pn];
    *frame = (struct sp_sent_frame){.offset = sent->next_pn};
    struct sp_sent_packet packet = {
        .frames = frame,
        .sent_ns = now_ns,
        .size = is_eliciting ? 1200 : 0,
        .state = SP_SENT_OUT,
        .is_eliciting = is_eliciting,
    };
    sp_loss_on_sent(&world->loss, space, &packet);
    sp_loss_check(&world->loss);
}

static struct sp_loss_outcome ack_in(struct world *world, enum sp_space space, uint64_t smallest,
                                     uint64_t largest, uint64_t now_ns)
{
    struct sp_frame_ack ack = {.largest = largest, .first = {smallest, largest}};
    struct sp_loss_outcome outcome;
    assert_int_equal(sp_loss_on_ack(&world->loss, space, &ack, 0, now_ns, &outcome), SP_OK);
    sp_loss_check(&world->loss);
    return outcome;
}

static struct sp_loss_outcome ack(struct world *world, uint64_t smallest, uint64_t largest,
                                  uint64_t now_ns)
{
    return ack_in(world, SP_SPACE_APP, smallest, largest, now_ns);
}

/* [RFC9000 9.4] "Packets sent on the old path MUST NOT contribute to congestion control or RTT
 * estimation for the new path." */
static void what_went_another_path_says_nothing_about_this_one(void **state)
{
    struct world *world = *state;
    world_init(world);
    struct sp_loss_path next;
    sp_loss_path_init(&next, 1, sp_cc_ops_of(SP_CC_NEWRENO), 1200);
    for (uint64_t i = 0; i < 6; i++)
        send_one(world, SP_SPACE_APP, SB_S, true);
    sp_loss_use(&world->loss, &next);
    assert_int_equal(next.cc.in_flight_bytes, 0);
    uint64_t cwnd = next.cc.cwnd_bytes, old_cwnd = world->path.cc.cwnd_bytes;

    /* 0 and 5 arrive, 1 and 2 are lost. */
    (void)ack(world, 5, 5, SB_S + RTT_NS);
    assert_int_equal(world->loss.lost_count, 3);
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
    (void)ack(world, 6, 10, 2 * SB_S + RTT_NS / 2);
    assert_int_equal(next.rtt.latest_ns, RTT_NS / 2);
    assert_int_equal(next.cc.in_flight_bytes, 1200);
    assert_int_equal(world->path.cc.in_flight_bytes, 0);
    sp_loss_remove(&world->loss, &world->path);
    (void)ack(world, 11, 11, 2 * SB_S + RTT_NS);
    sp_loss_use(&world->loss, &world->path);
    sp_loss_remove(&world->loss, &next);
}

/* The datagrams to the old port of the peer were lost for another reason. */
static void losses_before_a_change_of_the_port_are_no_congestion(void **state)
{
    struct world *world = *state;
    for (int has_moved = 0; has_moved < 2; has_moved++) {
        world_init(world);
        for (uint64_t i = 0; i < 4; i++)
            send_one(world, SP_SPACE_APP, SB_S, true);
        uint64_t cwnd = world->path.cc.cwnd_bytes;
        if (has_moved)
            sp_loss_on_moved(&world->loss);
        send_one(world, SP_SPACE_APP, SB_S, true);
        (void)ack(world, 4, 4, SB_S + RTT_NS);
        assert_int_equal(world->loss.lost_count, 2);
        assert_int_equal(world->path.cc.cwnd_bytes < cwnd, !has_moved);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, what_went_another_path_says_nothing_about_this_one),
        QT_TEST(world, losses_before_a_change_of_the_port_are_no_congestion),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

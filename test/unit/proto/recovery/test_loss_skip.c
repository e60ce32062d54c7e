/* SPDX-License-Identifier: MIT */
/* A packet number that was skipped: nobody may acknowledge it, and it counts as no packet.
 * RFC 9000, Section 21.4. */

#include "test/support/qt.h"

#include "test/support/loss_world.h"

QT_FIXTURE(loss_world, loss_world_deinit)

/* Packet 0 is sent and acknowledged. */
static void begin(struct loss_world *world)
{
    loss_world_init(world);
    loss_world_send(world, SP_SPACE_APP, 0, true);
    (void)loss_world_ack(world, 0, 0, LOSS_RTT_NS);
}

static void send_many(struct loss_world *world, uint32_t count, uint64_t now_ns)
{
    for (uint32_t i = 0; i < count; i++)
        loss_world_send(world, SP_SPACE_APP, now_ns, true);
}

static void skip_number(struct loss_world *world, uint64_t pn)
{
    assert_true(sp_loss_skip(&world->loss));
    assert_int_equal(world->loss.app.skipped_pn, pn);
    sp_loss_check(&world->loss);
}

/* [RFC9000 13.1] Whatever range of the ACK has it. */
static void an_acknowledgment_of_a_skipped_number_is_a_violation(void **state)
{
    struct loss_world *world = *state;
    static const struct {
        uint64_t smallest, largest;
        enum sp_err want;
    } samples[] = {
        {1, 2, SP_OK},
        {4, 6, SP_OK},
        {3, 3, SP_ERR_PROTOCOL_VIOLATION},
        {1, 3, SP_ERR_PROTOCOL_VIOLATION},
        {3, 6, SP_ERR_PROTOCOL_VIOLATION},
        {0, 6, SP_ERR_PROTOCOL_VIOLATION},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        begin(world);
        send_many(world, 2, SB_S);
        skip_number(world, 3);
        send_many(world, 3, SB_S);
        const struct sp_frame_ack ack = {
            .largest = samples[i].largest,
            .first = {samples[i].smallest, samples[i].largest},
        };
        struct sp_loss_outcome outcome;
        assert_int_equal(
            sp_loss_on_ack(&world->loss, SP_SPACE_APP, &ack, 0, SB_S + LOSS_RTT_NS, &outcome),
            samples[i].want);
        sp_loss_check(&world->loss);
    }
}

/* The last number of a block, the first one, and the one that is to come. */
static void a_skipped_number_leaves_the_blocks_intact(void **state)
{
    struct loss_world *world = *state;
    static const uint32_t before[] = {SP_SENT_BLOCK_PACKETS - 2, SP_SENT_BLOCK_PACKETS - 1,
                                      SP_SENT_BLOCK_PACKETS};
    for (size_t i = 0; i < QT_COUNT(before); i++) {
        begin(world);
        send_many(world, before[i], SB_S);
        skip_number(world, before[i] + 1);
        send_many(world, 2, SB_S);
        uint64_t last = world->loss.app.sent.next_pn - 1;
        assert_int_equal(last, before[i] + 3);
        assert_int_equal(world->loss.app.sent.out_count, before[i] + 2);
        (void)loss_world_ack(world, 1, before[i], SB_S + LOSS_RTT_NS);
        (void)loss_world_ack(world, last - 1, last, SB_S + LOSS_RTT_NS);
        assert_int_equal(world->loss.app.sent.out_count, 0);
        assert_int_equal(world->loss.lost_count, 0);
    }
}

/* [RFC9002 6.1.1] Two packets have overtaken the first one, although the numbers differ by 3. */
static void a_skipped_number_counts_for_no_packet_that_overtakes(void **state)
{
    struct loss_world *world = *state;
    begin(world);
    send_many(world, 1, SB_S);
    skip_number(world, 2);
    send_many(world, 3, SB_S);
    assert_null(loss_world_ack(world, 3, 4, SB_S + 1).lost);
    assert_non_null(loss_world_ack(world, 5, 5, SB_S + 2).lost);
    assert_int_equal(world->loss.lost_count, 1);

    begin(world); /* and it is not late by three packets either: [RFC8985 6.2] */
    send_many(world, 1, SB_S);
    skip_number(world, 2);
    send_many(world, 2, SB_S);
    (void)loss_world_ack(world, 3, 4, SB_S + 1);
    (void)loss_world_ack(world, 1, 1, SB_S + 2);
    assert_false(sp_reorder_is_wide(&world->path.reorder));
    assert_int_equal(world->loss.lost_count, 0);
}

/* [RFC9002 7.6.2] Nothing was acknowledged between packets 2 and 4. */
static void a_skipped_number_does_not_interrupt_a_run_of_losses(void **state)
{
    struct loss_world *world = *state;
    for (int is_skipping = 0; is_skipping < 2; is_skipping++) {
        begin(world);
        uint64_t at_ns = SB_S;
        for (int i = 0; i < 5; i++, at_ns += 250 * SB_MS) {
            if (i == 2 && is_skipping != 0)
                skip_number(world, 3);
            send_many(world, 1, at_ns);
        }
        send_many(world, 3, at_ns);
        uint64_t last = world->loss.app.sent.next_pn - 1;
        assert_non_null(loss_world_ack(world, last - 2, last, at_ns + LOSS_RTT_NS).lost);
        assert_int_equal(world->loss.lost_count, 5);
        assert_int_equal(world->loss.persistent_count, 1);
    }
}

/* One number is remembered: the next one is skipped when no packet before that can count as
 * overtaken by those around it. */
static void one_number_at_a_time_is_skipped(void **state)
{
    struct loss_world *world = *state;
    begin(world);
    skip_number(world, 1);
    send_many(world, 5, SB_S);
    assert_false(sp_loss_skip(&world->loss));
    (void)loss_world_ack(world, 2, 4, SB_S + 1);
    assert_false(sp_loss_skip(&world->loss));
    assert_int_equal(world->loss.app.skipped_pn, 1);
    (void)loss_world_ack(world, 5, 5, SB_S + 1);
    skip_number(world, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(loss_world, an_acknowledgment_of_a_skipped_number_is_a_violation),
        QT_TEST(loss_world, a_skipped_number_leaves_the_blocks_intact),
        QT_TEST(loss_world, a_skipped_number_counts_for_no_packet_that_overtakes),
        QT_TEST(loss_world, a_skipped_number_does_not_interrupt_a_run_of_losses),
        QT_TEST(loss_world, one_number_at_a_time_is_skipped),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

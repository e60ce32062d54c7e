/* SPDX-License-Identifier: MIT */
/* The probe timeout after a long silence. */

#include "test/support/loss_world.h"

QT_FIXTURE(loss_world, loss_world_deinit)

static void take_a_sample(struct loss_world *world)
{
    loss_world_send(world, SP_SPACE_APP, 0, true);
    (void)loss_world_ack(world, 0, 0, LOSS_RTT_NS);
    assert_int_equal(sp_rtt_pto_ns(&world->loss.path->rtt), 300 * SB_MS);
}

static void expire(struct loss_world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at_ns = sp_loss_deadline_ns(&world->loss);
        struct sp_loss_outcome outcome;
        sp_loss_on_deadline(&world->loss, at_ns, at_ns, &outcome);
        assert_true(outcome.probe);
        loss_world_send(world, SP_SPACE_APP, at_ns, true);
    }
}

/* 325 ms, 650 ms, 1.3 s, and then the bound.  A path that is slower than the bound doubles its PTO
 * once. */
static void the_pto_is_bounded_once_the_handshake_is_confirmed(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    loss_world_send(world, SP_SPACE_APP, SB_S, true);
    expire(world, 3);
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t at_ns = sp_loss_deadline_ns(&world->loss);
        expire(world, 1);
        assert_int_equal(sp_loss_deadline_ns(&world->loss), at_ns + SP_PTO_NS_MAX);
    }
    assert_int_equal(world->loss.pto_count, 23);

    loss_world_init(world);
    world->loss.is_confirmed = false; /* a server that does not answer may be overloaded */
    loss_world_send(world, SP_SPACE_HANDSHAKE, SB_S, true);
    for (uint32_t i = 0; i < 6; i++) {
        uint64_t at_ns = sp_loss_deadline_ns(&world->loss);
        struct sp_loss_outcome outcome;
        sp_loss_on_deadline(&world->loss, at_ns, at_ns, &outcome);
        assert_int_equal(sp_loss_deadline_ns(&world->loss) - at_ns,
                         sp_rtt_pto_ns(&world->loss.path->rtt) << (i + 1));
    }

    loss_world_init(world);
    loss_world_send(world, SP_SPACE_APP, SB_S, true);
    loss_world_ack(world, 0, 0, 4 * SB_S); /* a round trip of 3 s */
    loss_world_send(world, SP_SPACE_APP, 5 * SB_S, true);
    uint64_t pto_ns = sp_loss_pto_ns(&world->loss);
    assert_true(pto_ns > SP_PTO_NS_MAX);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), 5 * SB_S + pto_ns);
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t at_ns = sp_loss_deadline_ns(&world->loss);
        expire(world, 1);
        assert_int_equal(sp_loss_deadline_ns(&world->loss), at_ns + 2 * pto_ns);
    }
}

/* The path may be back: what waits for a long PTO is tried now.  Without silence before it, or
 * before there was a second PTO, a packet says nothing. */
static void a_packet_after_silence_ends_a_long_pto(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    loss_world_send(world, SP_SPACE_APP, SB_S, true);
    expire(world, 1);
    uint64_t at_ns = sp_loss_deadline_ns(&world->loss);
    sp_loss_on_heard(&world->loss, SB_S, at_ns - 1);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), at_ns);

    expire(world, 4);
    at_ns = sp_loss_deadline_ns(&world->loss);
    uint64_t now_ns = at_ns - SB_S;
    sp_loss_on_heard(&world->loss, now_ns - 325 * SB_MS + 1, now_ns);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), at_ns);
    sp_loss_on_heard(&world->loss, now_ns - 325 * SB_MS, now_ns);
    assert_true(sp_loss_deadline_ns(&world->loss) <= now_ns);
    /* One probe at once; if that gets no answer, the PTO grows as before. */
    struct sp_loss_outcome outcome;
    sp_loss_on_deadline(&world->loss, now_ns, now_ns, &outcome);
    assert_true(outcome.probe);
    loss_world_send(world, SP_SPACE_APP, now_ns, true);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), now_ns + 4 * 325 * SB_MS);
}

/* A shard that is behind judges what is late by what it has heard, and reacts now: what left before
 * that is of the same event.  [RFC9002 7.3.2] */
static void a_late_deadline_reduces_the_window_once(void **state)
{
    struct loss_world *world = *state;
    struct sp_loss_outcome outcome;
    loss_world_init(world);
    take_a_sample(world);
    loss_world_send(world, SP_SPACE_APP, SB_S, true);
    loss_world_send(world, SP_SPACE_APP, SB_S + SB_MS, true);
    (void)loss_world_ack(world, 2, 2, SB_S + 101 * SB_MS);
    uint64_t heard_ns = sp_loss_deadline_ns(&world->loss);
    uint64_t now_ns = heard_ns + 20 * SB_MS;
    const uint64_t *reduced_at_ns = &world->path.cc.newreno.recovery_start_ns;
    for (uint32_t i = 0; i < 2; i++)
        loss_world_send(world, SP_SPACE_APP, heard_ns + 10 * SB_MS, true);

    sp_loss_on_deadline(&world->loss, now_ns, heard_ns - 1, &outcome);
    assert_null(outcome.lost);
    sp_loss_on_deadline(&world->loss, now_ns, heard_ns, &outcome);
    assert_int_equal(world->loss.lost_count, 1);
    assert_int_equal(*reduced_at_ns, now_ns);
    assert_int_equal(world->path.reorder.reduced_at_ns, now_ns);

    /* One of those that left before `now_ns` is lost as well. */
    (void)loss_world_ack(world, 4, 4, heard_ns + 110 * SB_MS);
    uint64_t lost_at_ns = sp_loss_deadline_ns(&world->loss);
    sp_loss_on_deadline(&world->loss, lost_at_ns, lost_at_ns, &outcome);
    assert_int_equal(world->loss.lost_count, 2);
    assert_int_equal(*reduced_at_ns, now_ns);
    assert_int_equal(world->path.reorder.reduced_at_ns, now_ns);

    /* What leaves later, and is lost, is news. */
    for (uint32_t i = 0; i < 2; i++)
        loss_world_send(world, SP_SPACE_APP, lost_at_ns + SB_MS, true);
    (void)loss_world_ack(world, 6, 6, lost_at_ns + 101 * SB_MS);
    lost_at_ns = sp_loss_deadline_ns(&world->loss);
    sp_loss_on_deadline(&world->loss, lost_at_ns, lost_at_ns, &outcome);
    assert_int_equal(world->loss.lost_count, 3);
    assert_int_equal(*reduced_at_ns, lost_at_ns);
}

/* Two probes leave at once, and the path is back between them: the loss of the first one is
 * declared after the persistent congestion, and is the same event.  [RFC9002 7.6.2] */
static void a_probe_lost_in_an_outage_leaves_slow_start(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    const struct sp_cc *cc = &world->path.cc;
    uint64_t cwnd_bytes = cc->cwnd_bytes;
    for (uint32_t i = 0; i < 10; i++)
        loss_world_send(world, SP_SPACE_APP, SB_S, true);
    expire(world, 3);
    uint64_t at_ns = sp_loss_deadline_ns(&world->loss);
    expire(world, 1);
    loss_world_send(world, SP_SPACE_APP, at_ns, true);
    uint64_t last = world->loss.app.sent.next_pn - 1;
    (void)loss_world_ack(world, last, last, at_ns + LOSS_RTT_NS);
    assert_int_equal(world->loss.persistent_count, 1);
    assert_int_equal(world->loss.app.sent.out_count, 1);
    uint64_t lost_at_ns = sp_loss_deadline_ns(&world->loss);
    struct sp_loss_outcome outcome;
    sp_loss_on_deadline(&world->loss, lost_at_ns, lost_at_ns, &outcome);
    assert_int_equal(world->loss.app.sent.out_count, 0);
    assert_true(sp_cc_is_in_slow_start(cc));
    assert_int_equal(cc->ssthresh_bytes, (cwnd_bytes + 1200) / 2); /* the ACK grew it first */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(loss_world, the_pto_is_bounded_once_the_handshake_is_confirmed),
        QT_TEST(loss_world, a_packet_after_silence_ends_a_long_pto),
        QT_TEST(loss_world, a_late_deadline_reduces_the_window_once),
        QT_TEST(loss_world, a_probe_lost_in_an_outage_leaves_slow_start),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

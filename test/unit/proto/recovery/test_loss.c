/* SPDX-License-Identifier: MIT */
/* Loss detection, probes and persistent congestion: RFC 9002, Sections 6 and 7.6. */

#include "test/support/qt.h"

#include "test/support/loss_world.h"

QT_FIXTURE(loss_world, loss_world_deinit)

/* The list holds the frames of packets `first` to `last`, in order. */
static void assert_frames(const struct sp_sent_frame *frame, uint64_t first, uint64_t last)
{
    for (uint64_t pn = first; pn <= last; pn++, frame = frame->next) {
        assert_non_null(frame);
        assert_int_equal(frame->offset, pn);
    }
    assert_null(frame);
}

/* Packet 0 is sent and acknowledged: the RTT is 100 ms, its variance 50. */
static void take_a_sample(struct loss_world *world)
{
    loss_world_send(world, SP_SPACE_APP, 0, true);
    assert_frames(loss_world_ack(world, 0, 0, LOSS_RTT_NS).acked, 0, 0);
    assert_int_equal(sp_rtt_pto_ns(&world->loss.path->rtt), 300 * SB_MS);
}

/* [RFC9002 6.1.1] */
static void a_packet_three_numbers_behind_is_lost(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    for (int i = 1; i <= 5; i++)
        loss_world_send(world, SP_SPACE_APP, SB_S, true);
    struct sp_loss_outcome outcome = loss_world_ack(world, 3, 3, SB_S + 1);
    assert_frames(outcome.acked, 3, 3);
    assert_null(outcome.lost); /* 1 and 2 are fewer than three behind */
    outcome = loss_world_ack(world, 4, 4, SB_S + 2);
    assert_frames(outcome.lost, 1, 1);
    outcome = loss_world_ack(world, 5, 5, SB_S + 3);
    assert_frames(outcome.lost, 2, 2);
    assert_int_equal(world->loss.lost_count, 2);
    assert_int_equal(world->loss.path->cc.in_flight_bytes, 0);
}

/* [RFC9002 6.1.2] */
static void a_packet_is_lost_by_time_after_nine_eighths_of_a_round_trip(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    loss_world_send(world, SP_SPACE_APP, SB_S, true);
    loss_world_send(world, SP_SPACE_APP, SB_S + 5 * SB_MS, true);
    assert_null(loss_world_ack(world, 2, 2, SB_S + 105 * SB_MS).lost);
    uint64_t at_ns = SB_S + LOSS_RTT_NS * 9 / 8;
    assert_int_equal(sp_loss_deadline_ns(&world->loss), at_ns);

    struct sp_loss_outcome outcome;
    sp_loss_on_deadline(&world->loss, at_ns - 1, at_ns - 1, &outcome);
    assert_true(outcome.lost == NULL && !outcome.probe);
    sp_loss_on_deadline(&world->loss, at_ns, at_ns, &outcome);
    assert_frames(outcome.lost, 1, 1);
    assert_int_equal(outcome.lost_space, SP_SPACE_APP);
    assert_false(outcome.probe);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), SB_NEVER);
}

/* [RFC9002 6.2] Its frames are gone already: it is counted, no more. */
static void a_late_acknowledgment_of_a_lost_packet_is_counted(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    for (int i = 1; i <= 4; i++)
        loss_world_send(world, SP_SPACE_APP, SB_S, true);
    assert_frames(loss_world_ack(world, 4, 4, SB_S + 1).lost, 1, 1);
    struct sp_loss_outcome outcome = loss_world_ack(world, 1, 4, SB_S + 2);
    assert_frames(outcome.acked, 2, 3);
    assert_int_equal(world->loss.spurious_count, 1);
    assert_false(loss_world_ack(world, 1, 4, SB_S + 3).acked_any); /* a repeat says nothing */
    assert_int_equal(world->loss.spurious_count, 1);
}

/* Sends packets 1 to `count`, 1 ms apart, of which the first comes `late_ns` later than the others:
 * each has a round trip of 100 ms, and an ACK of its own.  Returns the losses. */
static uint64_t send_with_the_first_late(struct loss_world *world, uint64_t count, uint64_t late_ns)
{
    uint64_t first = world->loss.app.sent.next_pn;
    uint64_t begin_ns = SB_S + first * 10 * SB_MS;
    uint64_t lost_before = world->loss.lost_count;
    for (uint64_t i = 0; i < count; i++)
        loss_world_send(world, SP_SPACE_APP, begin_ns + i * SB_MS, true);
    uint64_t late_at_ns = begin_ns + LOSS_RTT_NS + late_ns;
    for (uint64_t i = 1; i < count; i++) {
        uint64_t at_ns = begin_ns + i * SB_MS + LOSS_RTT_NS;
        if (late_at_ns < at_ns && late_at_ns + SB_MS >= at_ns)
            (void)loss_world_ack(world, first, first, late_at_ns);
        struct sp_loss_outcome outcome;
        if (sp_loss_deadline_ns(&world->loss) < at_ns)
            sp_loss_on_deadline(&world->loss, at_ns, at_ns, &outcome);
        (void)loss_world_ack(world, first + i, first + i, at_ns);
    }
    if (late_at_ns > begin_ns + (count - 1) * SB_MS + LOSS_RTT_NS)
        (void)loss_world_ack(world, first, first, late_at_ns);
    return world->loss.lost_count - lost_before;
}

/* [RFC9002 6.1, RFC8985 6.2] */
static void a_path_that_reorders_has_one_spurious_loss(void **state)
{
    struct loss_world *world = *state;
    static const uint64_t late_ms[] = {5, 12, 30, 60, 100, 130};
    for (uint32_t i = 0; i < QT_COUNT(late_ms); i++) {
        loss_world_init(world);
        take_a_sample(world);
        assert_int_equal(send_with_the_first_late(world, 80, late_ms[i] * SB_MS), 1);
        assert_int_equal(world->loss.spurious_count, 1);
        assert_int_equal(send_with_the_first_late(world, 10, late_ms[i] * SB_MS), 0);
    }
}

static void later_than_three_round_trips_is_lost_on_any_path(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    assert_int_equal(send_with_the_first_late(world, 80, 400 * SB_MS), 1);
    assert_int_equal(world->loss.spurious_count, 1);
    assert_true(sp_reorder_delay_ns(&world->path.reorder, &world->path.rtt, SB_S) <=
                3 * LOSS_RTT_NS);
}

/* The peer was asked not to acknowledge late packets at once: [ack-frequency 6.2] */
static void the_delay_of_an_ack_is_no_loss_on_a_path_that_reorders(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    assert_int_equal(send_with_the_first_late(world, 80, 5 * SB_MS), 1);
    world->loss.peer_ack_delay_ns_max = 20 * SB_MS;
    world->loss.peer_delays_late = true;
    assert_int_equal(send_with_the_first_late(world, 10, (5 + 19) * SB_MS), 0);
}

/* What was learned is forgotten when nothing is late for a while. */
static void a_path_that_no_longer_reorders_is_as_before(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    (void)send_with_the_first_late(world, 20, 12 * SB_MS);
    assert_true(sp_reorder_is_wide(&world->path.reorder));
    for (int i = 1; i <= 5; i++) {
        uint64_t now_ns = 40 * SB_S + (uint64_t)i * 3 * SB_S;
        loss_world_send(world, SP_SPACE_APP, now_ns, true);
        uint64_t pn = world->loss.app.sent.next_pn - 1;
        (void)loss_world_ack(world, pn, pn, now_ns + LOSS_RTT_NS);
    }
    assert_false(sp_reorder_is_wide(&world->path.reorder));
    assert_int_equal(sp_reorder_delay_ns(&world->path.reorder, &world->path.rtt, SB_S),
                     sp_rtt_loss_delay_ns(&world->path.rtt));
}

static void the_window_is_restored_when_all_losses_prove_spurious(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    uint64_t cwnd_bytes = world->path.cc.cwnd_bytes;
    for (int i = 1; i <= 8; i++)
        loss_world_send(world, SP_SPACE_APP, SB_S, true);
    assert_frames(loss_world_ack(world, 6, 6, SB_S + 1).lost, 1, 3);
    assert_true(world->path.cc.cwnd_bytes < cwnd_bytes);
    (void)loss_world_ack(world, 1, 2, SB_S + 2);
    assert_true(world->path.cc.cwnd_bytes < cwnd_bytes); /* one may be lost */
    (void)loss_world_ack(world, 3, 3, SB_S + 3);
    assert_true(world->path.cc.cwnd_bytes >= cwnd_bytes);
    assert_int_equal(world->loss.spurious_count, 3);
}

/* [RFC9000 13.1] */
static void an_acknowledgment_of_what_was_never_sent_is_a_violation(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    loss_world_send(world, SP_SPACE_APP, 0, true);
    struct sp_frame_ack bad = {.largest = 1, .first = {0, 1}};
    struct sp_loss_outcome outcome;
    assert_int_equal(sp_loss_on_ack(&world->loss, SP_SPACE_APP, &bad, 0, 5, &outcome),
                     SP_ERR_PROTOCOL_VIOLATION);
    assert_true(outcome.acked == NULL && outcome.lost == NULL);
    bad.largest = bad.first.largest = UINT64_MAX >> 2;
    assert_int_equal(sp_loss_on_ack(&world->loss, SP_SPACE_APP, &bad, 0, 5, &outcome),
                     SP_ERR_PROTOCOL_VIOLATION);
    assert_int_equal(world->loss.app.sent.out_count, 1);
}

/* [RFC9002 5.1, 5.3] */
static void a_sample_is_taken_from_the_largest_if_any_elicits(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    loss_world_send(world, SP_SPACE_APP, 0, false);
    loss_world_ack(world, 0, 0, 40 * SB_MS);
    assert_false(sp_rtt_has_sample(&world->loss.path->rtt)); /* nothing elicited it */
    loss_world_send(world, SP_SPACE_APP, SB_S, true);
    loss_world_send(world, SP_SPACE_APP, SB_S + 10 * SB_MS, false);
    loss_world_ack(world, 1, 2, SB_S + 60 * SB_MS);
    assert_int_equal(world->loss.path->rtt.latest_ns, 50 * SB_MS);

    loss_world_send(world, SP_SPACE_APP, 2 * SB_S, true);
    struct sp_frame_ack delayed = {.largest = 3, .first = {3, 3}};
    struct sp_loss_outcome outcome;
    /* 30 ms are said, 25 were promised: 75 - 25 = 50. */
    assert_int_equal(sp_loss_on_ack(&world->loss, SP_SPACE_APP, &delayed, 30 * SB_MS,
                                    2 * SB_S + 75 * SB_MS, &outcome),
                     SP_OK);
    assert_int_equal(world->loss.path->rtt.smoothed_ns, 50 * SB_MS);
}

/* [RFC9002 6.2.1] smoothed + 4 * variance + max_ack_delay, doubled each time. */
static void the_pto_backs_off_and_an_ack_resets_it(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    take_a_sample(world);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), SB_NEVER);
    loss_world_send(world, SP_SPACE_APP, SB_S, true);
    uint64_t at_ns = SB_S;
    for (uint32_t i = 0; i < 3; i++) {
        at_ns += 325 * SB_MS << i;
        assert_int_equal(sp_loss_deadline_ns(&world->loss), at_ns);
        struct sp_loss_outcome outcome;
        sp_loss_on_deadline(&world->loss, at_ns - 1, at_ns - 1, &outcome);
        assert_false(outcome.probe);
        sp_loss_on_deadline(&world->loss, at_ns, at_ns, &outcome);
        assert_true(outcome.probe && outcome.probe_space == SP_SPACE_APP);
        assert_null(outcome.lost); /* a PTO declares nothing lost. [RFC9002 6.2] */
        loss_world_send(world, SP_SPACE_APP, at_ns, true);
    }
    assert_int_equal(world->loss.pto_count, 3);
    loss_world_ack(world, 4, 4, at_ns + 10);
    assert_int_equal(world->loss.pto_count, 0);
}

/* [RFC9002 6.2.1] "MUST NOT set its PTO timer for the Application Data packet number space until
 * the handshake is confirmed."  The Initial and Handshake spaces have no ack delay. */
static void the_earliest_space_gets_the_probe(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    world->loss.is_confirmed = false;
    loss_world_send(world, SP_SPACE_APP, 1, true);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), SB_NEVER);
    loss_world_send(world, SP_SPACE_HANDSHAKE, 3, true);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), 3 + 999 * SB_MS);
    loss_world_send(world, SP_SPACE_INITIAL, 2, true);
    assert_int_equal(sp_loss_deadline_ns(&world->loss), 2 + 999 * SB_MS);
    world->loss.is_amplification_blocked = true; /* [RFC9002 6.2.2.1] */
    assert_int_equal(sp_loss_deadline_ns(&world->loss), SB_NEVER);
    world->loss.is_amplification_blocked = false;

    struct sp_loss_outcome outcome;
    sp_loss_on_deadline(&world->loss, SB_S, SB_S, &outcome);
    assert_true(outcome.probe);
    assert_int_equal(outcome.probe_space, SP_SPACE_INITIAL);
}

/* [RFC9002 6.2.2.1] "the client MUST set the PTO timer if the client has not received an
 * acknowledgment for any of its Handshake packets and the handshake is not confirmed, even if
 * there are no packets in flight": the server may be stuck. */
static void a_client_keeps_a_pto_while_the_server_may_be_stuck(void **state)
{
    struct loss_world *world = *state;
    static const struct {
        const char *what;
        bool has_handshake_keys, has_early_data;
        enum sp_space want;
    } samples[] = {
        {"nothing in flight", false, false, SP_SPACE_INITIAL},
        {"with Handshake keys", true, false, SP_SPACE_HANDSHAKE},
        {"only 0-RTT in flight", false, true, SP_SPACE_INITIAL},
        {"only 0-RTT in flight, with keys", true, true, SP_SPACE_HANDSHAKE},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        loss_world_init(world);
        world->loss.is_confirmed = false;
        world->loss.peer_is_validating = true;
        world->loss.has_handshake_keys = samples[i].has_handshake_keys;
        print_message("    %s\n", samples[i].what);
        loss_world_send(world, SP_SPACE_INITIAL, 0, true);
        if (samples[i].has_early_data)
            loss_world_send(world, SP_SPACE_APP, 0, true);
        loss_world_ack_in(world, SP_SPACE_INITIAL, 0, 0, LOSS_RTT_NS);
        uint64_t at_ns = LOSS_RTT_NS + 300 * SB_MS;
        assert_int_equal(sp_loss_deadline_ns(&world->loss), at_ns);
        struct sp_loss_outcome outcome;
        sp_loss_on_deadline(&world->loss, at_ns, at_ns, &outcome);
        assert_true(outcome.probe);
        assert_int_equal(outcome.probe_space, samples[i].want);
        assert_int_equal(sp_loss_deadline_ns(&world->loss), at_ns + 600 * SB_MS);
    }
}

/* [RFC9002 7.6.1, 7.6.2] With a second sample of 100 ms the duration is (100 + 4 * 37.5 + 25) ms
 * times 3: 825 ms.  What counts is the time between the first and the last lost packet of a
 * run. */
static void persistent_congestion_takes_a_long_run_of_losses(void **state)
{
    struct loss_world *world = *state;
    static const struct {
        const char *what;
        uint64_t step_ms; /* between packets 1 to 5; 6 to 8 follow at once */
        uint64_t acked;   /* of 1 to 5, with 6 to 8; 0: none */
        bool is_sampled;
        bool want;
    } samples[] = {
        {"long enough", 291, 0, true, true},
        {"just too short", 290, 0, true, false},
        {"interrupted by an acknowledgment", 300, 3, true, false},
        {"long enough behind an acknowledgment", 400, 1, true, true},
        {"sent before the first sample", 2000, 0, false, false},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        loss_world_init(world);
        if (samples[i].is_sampled)
            take_a_sample(world);
        else
            loss_world_send(world, SP_SPACE_APP, 0, true);
        uint64_t at_ns = SB_S;
        for (int k = 1; k <= 5; k++, at_ns += samples[i].step_ms * SB_MS)
            loss_world_send(world, SP_SPACE_APP, at_ns, true);
        for (int k = 6; k <= 8; k++)
            loss_world_send(world, SP_SPACE_APP, at_ns, true);
        if (samples[i].acked != 0) {
            /* Marks it without any loss: nothing larger is known yet but 0. */
            struct sp_loss_space *space = &world->loss.app;
            struct sp_sent_packet *packet = sp_sent_find(&space->sent, samples[i].acked);
            sp_cc_on_removed(&world->loss.path->cc, packet->size);
            (void)sp_sent_settle(&space->sent, samples[i].acked, SP_SENT_SKIPPED);
        }
        print_message("    %s\n", samples[i].what);
        assert_non_null(loss_world_ack(world, 6, 8, at_ns + 2 * LOSS_RTT_NS).lost);
        assert_int_equal(world->loss.persistent_count, samples[i].want);
        if (samples[i].is_sampled) /* [RFC9002 5.2] the newest sample counts after it */
            assert_int_equal(world->loss.path->rtt.min_ns,
                             samples[i].want ? 2 * LOSS_RTT_NS : LOSS_RTT_NS);
        assert_int_equal(world->loss.path->cc.cwnd_bytes == 2400, samples[i].want);
    }
}

/* [RFC9002 6.4] */
static void a_discarded_space_leaves_nothing_in_flight(void **state)
{
    struct loss_world *world = *state;
    loss_world_init(world);
    uint64_t window_bytes = world->loss.path->cc.cwnd_bytes;
    for (int i = 0; i < 5; i++)
        loss_world_send(world, SP_SPACE_INITIAL, 1, true);
    world->loss.pto_count = 3;
    assert_frames(sp_loss_discard(&world->loss, SP_SPACE_INITIAL), 0, 4);
    assert_null(sp_loss_discard(&world->loss, SP_SPACE_INITIAL));
    assert_int_equal(world->loss.path->cc.in_flight_bytes, 0);
    assert_int_equal(world->loss.path->cc.cwnd_bytes, window_bytes);
    assert_int_equal(world->loss.pto_count, 0); /* [RFC9002 6.2.2] */
    assert_int_equal(sp_loss_deadline_ns(&world->loss), SB_NEVER);

    loss_world_send(world, SP_SPACE_HANDSHAKE, 1, true);
    assert_frames(sp_loss_forget(&world->loss, SP_SPACE_HANDSHAKE), 0, 0);
    loss_world_send(world, SP_SPACE_HANDSHAKE, 2, true); /* the space lives on */
    assert_int_equal(world->loss.path->cc.in_flight_bytes, 1200);
}

/* ---- What a controller gets ---- */

/* Writes down its calls. */
static struct calls {
    char order[32]; /* a: on_acked, l: on_lost, e: on_ack_end */
    struct sp_cc_ack acks[8];
    struct sp_cc_loss losses[4];
    struct sp_cc_ack end;
    uint64_t end_rtt_ns; /* the latest sample at on_ack_end() */
    uint64_t bytes_per_s;
    uint32_t count;
    uint32_t ack_count;
    uint32_t loss_count;
} calls;

static void log_init(struct sp_cc *cc, const struct sp_cc_args *args)
{
    (void)args;
    cc->cwnd_bytes = sp_cc_cwnd_initial(cc);
    cc->rate_bytes_per_s = calls.bytes_per_s;
}

static void log_acked(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    (void)cc;
    calls.order[calls.count++] = 'a';
    calls.acks[calls.ack_count++] = *ack;
}

static void log_lost(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    (void)cc;
    calls.order[calls.count++] = 'l';
    calls.losses[calls.loss_count++] = *loss;
}

static void log_ack_end(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    (void)cc;
    calls.order[calls.count++] = 'e';
    calls.end = *ack;
    calls.end_rtt_ns = ack->rtt->latest_ns;
}

static const struct sp_cc_ops log_ops = {
    .name = "log",
    .init = log_init,
    .on_acked = log_acked,
    .on_lost = log_lost,
    .on_ack_end = log_ack_end,
};

static void calls_begin(struct loss_world *world, uint64_t bytes_per_s, bool is_pacing)
{
    loss_world_init(world);
    calls = (struct calls){.bytes_per_s = bytes_per_s};
    const struct sp_cc_args cc = {.ops = &log_ops, .datagram_bytes = 1200};
    sp_loss_path_init(&world->path, 0, &cc);
    sp_loss_init(&world->loss, world->handshake_spaces, &world->store, &world->path, is_pacing);
    world->loss.is_confirmed = true;
}

/* Two trains of which the second is acknowledged, and the first lost but for its end. */
static void a_controller_gets_trains_then_losses_then_the_sums(void **state)
{
    struct loss_world *world = *state;
    calls_begin(world, 0, false);
    for (int i = 0; i < 4; i++)
        loss_world_send(world, SP_SPACE_APP, 10 * SB_MS, true);
    for (int i = 4; i < 8; i++)
        loss_world_send(world, SP_SPACE_APP, 20 * SB_MS, true);
    assert_frames(loss_world_ack(world, 3, 7, 110 * SB_MS).lost, 0, 2);
    assert_string_equal(calls.order, "aale");
    assert_int_equal(calls.acks[0].bytes, 1200);
    assert_int_equal(calls.acks[0].sent_ns, 10 * SB_MS);
    assert_int_equal(calls.acks[1].bytes, 4800);
    assert_int_equal(calls.acks[1].sent_ns, 20 * SB_MS);
    assert_int_equal(calls.acks[1].now_ns, 110 * SB_MS);
    assert_false(calls.acks[1].is_app_limited); /* 8 of 10 datagrams were in flight */
    assert_int_equal(calls.losses[0].bytes, 3600);
    assert_int_equal(calls.losses[0].sent_ns, 10 * SB_MS);
    assert_int_equal(calls.losses[0].now_ns, 110 * SB_MS);
    assert_false(calls.losses[0].is_ecn || calls.losses[0].is_persistent);
    assert_int_equal(calls.end.bytes, 6000);
    assert_int_equal(calls.end.sent_ns, 20 * SB_MS);
    assert_int_equal(calls.end_rtt_ns, 90 * SB_MS); /* of this ACK */

    loss_world_send(world, SP_SPACE_APP, SB_S, true);
    assert_frames(loss_world_ack(world, 8, 8, 2 * SB_S).acked, 8, 8);
    assert_string_equal(calls.order, "aaleae");
    assert_true(calls.acks[2].is_app_limited);
}

static void a_controller_may_set_the_rate(void **state)
{
    struct loss_world *world = *state;
    static const uint64_t rates[] = {0, 1, 123456, UINT64_MAX};
    for (size_t i = 0; i < QT_COUNT(rates); i++) {
        calls_begin(world, rates[i], true);
        take_a_sample(world);
        uint64_t got = world->loss.path->pacer.rate_bytes_per_s;
        if (rates[i] == 0) /* of ten datagrams in 100 ms: twice that in slow start */
            assert_int_equal(got, 240000);
        else
            assert_int_equal(got, SB_MIN(rates[i], UINT64_C(1) << 38));
    }
}

/* [RFC9002 7.7] Only with pacing does the window alone decide. */
static void a_burst_without_pacing_is_bounded(void **state)
{
    struct loss_world *world = *state;
    for (uint32_t is_pacing = 0; is_pacing < 2; is_pacing++) {
        loss_world_init(world);
        struct sp_loss *loss = &world->loss;
        loss->is_pacing = is_pacing;
        loss->path->cc.cwnd_bytes = 1000000;
        assert_int_equal(sp_loss_room(loss, SB_S), is_pacing ? 1000000 : 12000);
        for (uint64_t i = 0; i < 10; i++)
            loss_world_send(world, SP_SPACE_APP, SB_S, true);
        assert_int_equal(sp_loss_room(loss, SB_S), is_pacing ? 988000 : 0);
        if (is_pacing)
            continue;
        uint64_t now_ns = SB_S + LOSS_RTT_NS;
        (void)loss_world_ack(world, 0, 1, now_ns); /* at least the initial window again */
        assert_int_equal(sp_loss_room(loss, now_ns), 12000);
        (void)loss_world_ack(world, 2, 6, now_ns); /* two ACKs of one time add up */
        assert_int_equal(sp_loss_room(loss, now_ns), 24000);
        loss_world_send(world, SP_SPACE_APP, now_ns, true);
        assert_int_equal(sp_loss_room(loss, now_ns), 22800);
        now_ns += LOSS_RTT_NS;
        (void)loss_world_ack(world, 7, 7, now_ns); /* what was left of them is forgotten */
        assert_int_equal(sp_loss_room(loss, now_ns), 12000);
        for (uint64_t i = 0; i < 10; i++)
            loss_world_send(world, SP_SPACE_APP, now_ns, true);
        now_ns += LOSS_RTT_NS;
        (void)loss_world_ack(world, 8, 20, now_ns);
        assert_int_equal(loss->path->cc.in_flight_bytes, 0);
        assert_int_equal(sp_loss_room(loss, now_ns), 2 * 13 * 1200);
        assert_int_equal(sp_loss_room(loss, now_ns + 1), 12000); /* after silence */
        loss_world_send(world, SP_SPACE_APP, now_ns + 1, true);
        assert_int_equal(sp_loss_room(loss, now_ns + 1), 10800);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(loss_world, a_packet_three_numbers_behind_is_lost),
        QT_TEST(loss_world, a_packet_is_lost_by_time_after_nine_eighths_of_a_round_trip),
        QT_TEST(loss_world, a_late_acknowledgment_of_a_lost_packet_is_counted),
        QT_TEST(loss_world, a_path_that_reorders_has_one_spurious_loss),
        QT_TEST(loss_world, later_than_three_round_trips_is_lost_on_any_path),
        QT_TEST(loss_world, the_delay_of_an_ack_is_no_loss_on_a_path_that_reorders),
        QT_TEST(loss_world, a_path_that_no_longer_reorders_is_as_before),
        QT_TEST(loss_world, the_window_is_restored_when_all_losses_prove_spurious),
        QT_TEST(loss_world, an_acknowledgment_of_what_was_never_sent_is_a_violation),
        QT_TEST(loss_world, a_sample_is_taken_from_the_largest_if_any_elicits),
        QT_TEST(loss_world, the_pto_backs_off_and_an_ack_resets_it),
        QT_TEST(loss_world, the_earliest_space_gets_the_probe),
        QT_TEST(loss_world, a_client_keeps_a_pto_while_the_server_may_be_stuck),
        QT_TEST(loss_world, persistent_congestion_takes_a_long_run_of_losses),
        QT_TEST(loss_world, a_discarded_space_leaves_nothing_in_flight),
        QT_TEST(loss_world, a_controller_gets_trains_then_losses_then_the_sums),
        QT_TEST(loss_world, a_controller_may_set_the_rate),
        QT_TEST(loss_world, a_burst_without_pacing_is_bounded),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

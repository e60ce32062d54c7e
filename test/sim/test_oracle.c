/* SPDX-License-Identifier: MIT */
/* Tests that every oracle can fail: it reports a packet that breaks one rule, and does not report
 * the packet before, which keeps the rule. */

#include <string.h>

#include "test/sim/oracle_bench.h"

QT_FIXTURE(bench, bench_end)

static void packet_numbers_must_grow(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    bench->next_pn = 5;
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench_is_content(bench);
    bench->next_pn = 5;
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench_has_found(bench, "after 5");
}

static void packets_must_be_well_formed(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    bench_sends(bench);
    bench_has_found(bench, "without a frame");
    sb_writer_u8(&bench->w, SP_FRAME_MAX_DATA);
    bench_sends(bench);
    bench_has_found(bench, "malformed");
    sp_frame_write_handshake_done(&bench->w);
    bench_sees(bench, SP_PACKET_INITIAL, true);
    bench_has_found(bench, "malformed"); /* not in this packet type */
}

static void flow_control_limits_bind_until_they_are_raised(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    bench_write_stream(bench, 0, 0, 1000, false);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_stream(bench, 0, 1000, 1, false);
    bench_sends(bench);
    bench_has_found(bench, "its limit is 1000");

    sp_frame_write_stream_limit(&bench->w, SP_FRAME_MAX_STREAM_DATA, 0, 1100);
    bench_receives(bench);
    bench_write_stream(bench, 0, 1001, 99, false);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_stream(bench, 4, 0, 500, false);
    bench_sends(bench);
    bench_has_found(bench, "1600 bytes in all");
}

static void stream_limits_bind(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    bench_write_stream(bench, 4, 0, 1, false);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_stream(bench, 8, 0, 1, false);
    bench_sends(bench);
    bench_has_found(bench, "the peer's limit is 2");
    sp_frame_write_number(&bench->w, SP_FRAME_MAX_STREAMS_BIDI, 3);
    bench_receives(bench);
    bench_write_stream(bench, 8, 0, 1, false);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_stream(bench, 3, 0, 1, false);
    bench_sends(bench);
    bench_has_found(bench, "the peer's own");
}

static void credit_beyond_the_configured_window_is_too_much(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    bench_write_stream(bench, 0, 0, 300, false);
    bench_receives(bench);
    sp_frame_write_number(&bench->w, SP_FRAME_MAX_DATA, 1800);
    sp_frame_write_stream_limit(&bench->w, SP_FRAME_MAX_STREAM_DATA, 0, 1300);
    bench_sends(bench);
    bench_is_content(bench);
    sp_frame_write_number(&bench->w, SP_FRAME_MAX_DATA, 1801);
    bench_sends(bench);
    bench_has_found(bench, "gives credit up to 1801");
    sp_frame_write_stream_limit(&bench->w, SP_FRAME_MAX_STREAM_DATA, 0, 1301);
    bench_sends(bench);
    bench_has_found(bench, "credit up to 1301");
    sp_frame_write_number(&bench->w, SP_FRAME_MAX_STREAMS_BIDI, 3);
    bench_sends(bench);
    bench_has_found(bench, "allows 3 streams");
}

static void a_final_size_and_a_reset_are_final(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    bench_write_stream(bench, 0, 0, 10, true);
    bench_write_stream(bench, 0, 0, 10, false);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_stream(bench, 0, 5, 10, false);
    bench_sends(bench);
    bench_has_found(bench, "beyond its final size");
    bench_write_stream(bench, 0, 5, 10, true);
    bench_sends(bench);
    bench_has_found(bench, "changes the final size");

    sp_frame_write_reset_stream(&bench->w, 4, 1, 0);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_stream(bench, 4, 0, 0, false);
    bench_sends(bench);
    bench_has_found(bench, "after its reset");
}

static void send_reset_at(struct bench *bench, uint64_t error, uint64_t reliable_size)
{
    const struct sp_frame_reset_at frame = {
        .id = 4, .error = error, .final_size = 10, .reliable_size = reliable_size};
    sp_frame_write_reset_stream_at(&bench->w, &frame);
    bench_sends(bench);
}

/* [reliable-reset 5] */
static void bytes_below_the_reliable_size_may_follow_a_reset(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    bench_write_stream(bench, 4, 0, 10, false);
    bench_sends(bench);
    send_reset_at(bench, 1, 7);
    bench_has_found(bench, "does not know");
    bench->plan.side[SP_SERVER].config.reset_stream_at = true;
    send_reset_at(bench, 1, 6);
    bench_write_stream(bench, 4, 0, 6, false);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_stream(bench, 4, 3, 4, false);
    bench_sends(bench);
    bench_has_found(bench, "after its reset");
    send_reset_at(bench, 1, 4);
    send_reset_at(bench, 1, 4);
    bench_is_content(bench);
    send_reset_at(bench, 1, 5);
    bench_has_found(bench, "otherwise than before");
    send_reset_at(bench, 2, 4);
    bench_has_found(bench, "otherwise than before");
}

static void wrong_bytes_are_seen_when_they_are_sealed(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_SERVER);
    bench_write_stream(bench, 0, 7, 100, false);
    bench_sends(bench);
    bench_is_content(bench);
    bench_write_stream(bench, 0, 7, 100, false);
    bench->payload[50] ^= 1;
    bench_sends(bench);
    bench_has_found(bench, "wrong bytes on stream 0");
}

static void nothing_but_the_close_follows_the_close(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_SERVER);
    for (int i = 0; i < 2; i++) {
        sp_frame_write_close(&bench->w, &(struct sp_frame_close){.is_app = true, .error = 3});
        bench_sends(bench);
        bench_is_content(bench);
    }
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench_has_found(bench, "after the close");
}

/* [RFC9000 19.7] */
static void only_a_server_issues_tokens(void **state)
{
    static const uint8_t token[] = {SP_FRAME_NEW_TOKEN, 1, 'x'};
    struct bench *bench = *state;
    for (uint32_t role = 0; role < 2; role++) {
        bench_begin(bench, (enum sp_role)role);
        sb_writer_bytes(&bench->w, token, sizeof(token));
        bench_sends(bench);
        if (role == SP_CLIENT)
            bench_has_found(bench, "sends a token");
        else
            bench_is_content(bench);
    }
}

static void a_key_phase_must_be_acked_before_the_next(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_SERVER);
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench->first |= SP_HEADER_KEY_PHASE;
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench_has_found(bench, "updates its key");

    bench_write_ack(bench, 0, 1);
    bench_receives(bench); /* with the new phase, and acks a packet of it */
    bench->first = 3;
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench_is_content(bench);
    bench->first |= SP_HEADER_KEY_PHASE; /* the peer's phase at hand */
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
}

static void packet_numbers_are_written_long_enough(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_SERVER);
    bench->first = 0;
    bench->next_pn = 127;
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench_is_content(bench);
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
    bench_has_found(bench, "in 8 bits");
    bench_write_ack(bench, 1, 1);
    bench_receives(bench);
    sp_frame_write_ping(&bench->w);
    bench_sends(bench); /* 130, and 1 was acked */
    bench_has_found(bench, "in 8 bits");
    bench_write_ack(bench, 2, 130);
    bench_receives(bench);
    sp_frame_write_ping(&bench->w);
    bench_sends(bench);
}

static uint64_t ten_unread(void *context, uint64_t id)
{
    (void)context;
    (void)id;
    return 10;
}

static void what_the_application_sits_on_gives_no_credit(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    bench->oracle.unread = ten_unread;
    bench_write_stream(bench, 0, 0, 300, false);
    bench_receives(bench);
    sp_frame_write_number(&bench->w, SP_FRAME_MAX_DATA, 1790);
    sp_frame_write_stream_limit(&bench->w, SP_FRAME_MAX_STREAM_DATA, 0, 1290);
    bench_sends(bench);
    bench_is_content(bench);
    sp_frame_write_number(&bench->w, SP_FRAME_MAX_DATA, 1791);
    bench_sends(bench);
    bench_has_found(bench, "not read 10");
    sp_frame_write_stream_limit(&bench->w, SP_FRAME_MAX_STREAM_DATA, 0, 1291);
    bench_sends(bench);
    bench_has_found(bench, "credit up to 1291");
}

/* The steps of one time: a message that is late when it is sent may be the reason for one. */
static void a_deadline_is_not_wanted_again_and_again(void **state)
{
    (void)state;
    struct qs_spins spins = {0};
    for (uint64_t i = 1; i <= 1000; i++)
        assert_true(qs_spins_note(&spins, true, i));
    for (uint32_t i = 0; i < 100; i++)
        assert_true(qs_spins_note(&spins, true, 1000));
    assert_false(qs_spins_note(&spins, true, 1000));
    assert_true(qs_spins_note(&spins, false, 1000));
    assert_true(qs_spins_note(&spins, true, 1000));
}

/* Trains.  The packets' bytes do not matter, only where they stand. */

static uint8_t slot[8000];

static void note_sealed(struct bench *bench, enum sp_packet_type type, size_t at, size_t size)
{
    bench->oracle.sealed[bench->oracle.sealed_count++] =
        (struct qs_sealed){.at = slot + at, .size = size, .type = type, .is_eliciting = true};
}

static void send_train(struct bench *bench, size_t size, size_t segment_size, uint32_t count)
{
    struct sp_train train = {
        .data = slot,
        .capacity = 5000,
        .count_max = 3,
        .size = size,
        .segment_size = segment_size,
        .count = count,
    };
    qs_oracle_check_train(&bench->oracle, &train);
    bench->oracle.sealed_count = 0;
}

static void trains_have_the_shape_that_gso_asks_for(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    note_sealed(bench, SP_PACKET_ONE_RTT, 20, 80);
    note_sealed(bench, SP_PACKET_ONE_RTT, 120, 30);
    send_train(bench, 150, 100, 2);
    bench_is_content(bench);

    note_sealed(bench, SP_PACKET_ONE_RTT, 20, 80);
    send_train(bench, 150, 100, 2);
    bench_has_found(bench, "without a packet");
    note_sealed(bench, SP_PACKET_ONE_RTT, 20, 90);
    send_train(bench, 100, 100, 1);
    bench_has_found(bench, "cut by its datagram");
    note_sealed(bench, SP_PACKET_ONE_RTT, 20, 30);
    note_sealed(bench, SP_PACKET_HANDSHAKE, 70, 30);
    send_train(bench, 100, 100, 1);
    bench_has_found(bench, "behind a short header");
    send_train(bench, 150, 100, 1);
    bench_has_found(bench, "makes a train");
    send_train(bench, 400, 100, 4);
    bench_has_found(bench, "into a train of 3");
    send_train(bench, 1401, 1401, 1);
    bench_has_found(bench, "1400 are allowed");
}

static void initials_fill_their_datagram(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_CLIENT);
    note_sealed(bench, SP_PACKET_INITIAL, 20, 1180);
    send_train(bench, 1200, 1200, 1);
    bench_is_content(bench);
    note_sealed(bench, SP_PACKET_INITIAL, 20, 1179);
    send_train(bench, 1199, 1199, 1);
    bench_has_found(bench, "an Initial in 1199 bytes");
}

static void an_unproven_address_gets_three_times_what_it_sent(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_SERVER);
    qs_oracle_batch(&bench->oracle, 1200);
    for (int i = 0; i < 3; i++) {
        note_sealed(bench, SP_PACKET_HANDSHAKE, 20, 1180);
        send_train(bench, 1200, 1200, 1);
    }
    bench_is_content(bench);
    note_sealed(bench, SP_PACKET_HANDSHAKE, 20, 10);
    send_train(bench, 30, 30, 1);
    bench_has_found(bench, "unproven address");

    sp_frame_write_ping(&bench->w);
    bench_sees(bench, SP_PACKET_HANDSHAKE, false);
    note_sealed(bench, SP_PACKET_HANDSHAKE, 20, 10);
    send_train(bench, 30, 30, 1);
}

static void the_congestion_window_binds_but_for_probes(void **state)
{
    struct bench *bench = *state;
    bench_begin(bench, SP_SERVER);
    struct sp_stats stats = {.cwnd_bytes = 10000, .in_flight_bytes = 9000};
    qs_oracle_note_stats(&bench->oracle, &stats);
    stats.in_flight_bytes = 10000;
    qs_oracle_check_window(&bench->oracle, &stats);
    bench_is_content(bench);

    stats.in_flight_bytes = 10001;
    qs_oracle_check_window(&bench->oracle, &stats);
    bench_has_found(bench, "bytes in flight");
    stats.ptos++; /* now there are probes to send */
    qs_oracle_note_stats(&bench->oracle, &stats);
    stats.in_flight_bytes += 2 * 1400;
    qs_oracle_check_window(&bench->oracle, &stats);
    bench_is_content(bench);
    stats.in_flight_bytes += 5 * 1400; /* more than two probes */
    qs_oracle_check_window(&bench->oracle, &stats);
    bench_has_found(bench, "bytes in flight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(bench, packet_numbers_must_grow),
        QT_TEST(bench, packets_must_be_well_formed),
        QT_TEST(bench, flow_control_limits_bind_until_they_are_raised),
        QT_TEST(bench, stream_limits_bind),
        QT_TEST(bench, credit_beyond_the_configured_window_is_too_much),
        QT_TEST(bench, a_final_size_and_a_reset_are_final),
        QT_TEST(bench, bytes_below_the_reliable_size_may_follow_a_reset),
        QT_TEST(bench, wrong_bytes_are_seen_when_they_are_sealed),
        QT_TEST(bench, nothing_but_the_close_follows_the_close),
        QT_TEST(bench, only_a_server_issues_tokens),
        QT_TEST(bench, a_key_phase_must_be_acked_before_the_next),
        QT_TEST(bench, packet_numbers_are_written_long_enough),
        QT_TEST(bench, what_the_application_sits_on_gives_no_credit),
        QT_TEST(bench, a_deadline_is_not_wanted_again_and_again),
        QT_TEST(bench, trains_have_the_shape_that_gso_asks_for),
        QT_TEST(bench, initials_fill_their_datagram),
        QT_TEST(bench, an_unproven_address_gets_three_times_what_it_sent),
        QT_TEST(bench, the_congestion_window_binds_but_for_probes),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

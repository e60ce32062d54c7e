/* SPDX-License-Identifier: MIT */
/* No packet of an authenticated peer costs much more than an ordinary one, whatever is in it: each
 * kind of frame fills a packet, in the form that costs most, and the steps are counted.
 *
 * A step is a frame, a stream that is made or walked over, or a block of sent packets that a lookup
 * passes over: 2 to 20 ns.  An ordinary packet costs about 5 us with its share of system calls, so
 * STEPS_MAX steps stay within four times that. */

#include "test/support/qt.h"

#include "proto/base/steps.h"
#include "proto/conn/recovery.h"
#include "proto/conn/streams.h"
#include "test/support/conn_pair.h"

enum { STEPS_MAX = 1500, PAYLOAD_SIZE = 1380, STREAMS = 1000, FLIGHT_BYTES = 8000000 };
enum { PIECES = 16000, PIECES_BYTES = 16384 * SP_PAGE_SIZE };

QT_FIXTURE(conn_pair, pair_deinit)

static uint64_t number; /* counts up, over the frames of all packets */
static const struct sp_conn *server;

static void ping(struct sb_writer *w)
{
    sp_frame_write_ping(w);
}

static void max_data(struct sb_writer *w)
{
    sp_frame_write_number(w, SP_FRAME_MAX_DATA, (UINT64_C(1) << 40) + number++);
}

static void max_streams(struct sb_writer *w)
{
    sp_frame_write_number(w, SP_FRAME_MAX_STREAMS_BIDI, 100000 + number++);
}

static void max_stream_data(struct sb_writer *w)
{
    sp_frame_write_stream_limit(w, SP_FRAME_MAX_STREAM_DATA, 0, (UINT64_C(1) << 40) + number++);
}

static void data_blocked(struct sb_writer *w)
{
    sp_frame_write_number(w, SP_FRAME_DATA_BLOCKED, 5);
}

static void stream_data_blocked(struct sb_writer *w)
{
    sp_frame_write_stream_limit(w, SP_FRAME_STREAM_DATA_BLOCKED, number++ % STREAMS << 2, 5);
}

static void streams_blocked(struct sb_writer *w)
{
    sp_frame_write_number(w, SP_FRAME_STREAMS_BLOCKED_UNI, 5);
}

static void path_challenge(struct sb_writer *w)
{
    sp_frame_write_path(w, SP_FRAME_PATH_CHALLENGE, (const uint8_t *)"12345678");
}

static void path_response(struct sb_writer *w)
{
    sp_frame_write_path(w, SP_FRAME_PATH_RESPONSE, (const uint8_t *)"12345678");
}

static void new_cid_again(struct sb_writer *w)
{
    const struct sp_cid_remote_entry *entry = &server->remote_ids.entries[SP_CIDS_MAX - 1];
    struct sp_frame_new_cid frame = {.sequence = entry->sequence, .cid = entry->cid};
    memcpy(frame.reset_token, entry->reset_token, SP_RESET_TOKEN_SIZE);
    sp_frame_write_new_cid(w, &frame);
}

static void retire_cid_again(struct sb_writer *w)
{
    sp_frame_write_number(w, SP_FRAME_RETIRE_CONNECTION_ID, 1);
}

static void reset_streams(struct sb_writer *w)
{
    sp_frame_write_reset_stream(w, number++ % STREAMS << 2, 1, 0);
}

static void stop_streams(struct sb_writer *w)
{
    sp_frame_write_stop_sending(w, number++ % STREAMS << 2, 1);
}

static void empty_stream(struct sb_writer *w)
{
    struct sp_stream_head head = {.id = number++ % STREAMS << 2, .has_length = true};
    sp_frame_write_stream_head(w, &head);
}

static void last_streams(struct sb_writer *w)
{
    struct sp_stream_head head = {.id = (STREAMS - 1 - number++ % 10) << 2 | SP_STREAM_IS_UNI,
                                  .has_length = true,
                                  .fin = true};
    sp_frame_write_stream_head(w, &head);
}

/* Packets of no frames that count: nothing is acknowledged, and each lookup begins elsewhere. */
static void ack_far_apart(struct sb_writer *w)
{
    uint64_t half = server->loss.app.sent.next_pn / 2;
    sb_writer_u8(w, SP_FRAME_ACK);
    sb_writer_varint(w, number++ % 2 == 0 ? 1 : half);
    for (int i = 0; i < 3; i++)
        sb_writer_varint(w, 0);
}

static const struct {
    const char *name;
    void (*write)(struct sb_writer *w);
    bool is_dropped; /* the packet is above a bound */
} floods[] = {
    {"PING", ping, false},
    {"MAX_DATA", max_data, false},
    {"MAX_STREAMS", max_streams, false},
    {"MAX_STREAM_DATA", max_stream_data, false},
    {"DATA_BLOCKED", data_blocked, false},
    {"STREAM_DATA_BLOCKED", stream_data_blocked, false},
    {"STREAMS_BLOCKED", streams_blocked, false},
    {"PATH_CHALLENGE", path_challenge, false},
    {"PATH_RESPONSE", path_response, false},
    {"NEW_CONNECTION_ID", new_cid_again, false},
    {"RETIRE_CONNECTION_ID", retire_cid_again, false},
    {"RESET_STREAM", reset_streams, false},
    {"STOP_SENDING", stop_streams, false},
    {"STREAM without bytes", empty_stream, false},
    {"STREAM that opens all", last_streams, false},
    {"ACK", ack_far_apart, true},
};

/* The server has STREAMS streams of the client, and much in flight. */
static struct sp_conn *prepare(struct conn_pair *pair)
{
    static const uint8_t bytes[FLIGHT_BYTES];
    size_t size;
    uint64_t id;
    pair_init(pair);
    pair->config.streams_bidi_max = pair->config.streams_uni_max = STREAMS;
    pair_connect(pair);
    pair_settle(pair);
    struct sp_conn *conn = pair_conn(pair, SP_SERVER);
    struct sp_stream *stream;
    assert_int_equal(sp_conn_stream_of_frame(conn, (STREAMS - 1) << 2, false, &stream), SP_OK);
    pair_pull(pair, SP_SERVER);
    assert_int_equal(conn->streams.count, STREAMS);

    assert_int_equal(sp_conn_open(conn, true, &id), SP_DONE);
    stream = sp_stream_map_find(&conn->streams, id);
    conn->max_data = stream->send.max_data = conn->loss.path->cc.cwnd_bytes = 2 * FLIGHT_BYTES;
    conn->loss.path->pacer.rate_bytes_per_s = 0;
    const struct sp_write write = {.data = bytes, .size = sizeof(bytes)};
    assert_int_equal(sp_conn_write(conn, id, &write), SP_DONE);
    (void)pair_flush(pair, SP_SERVER, &size);
    /* One in the middle is settled, so that an ACK of it brings nothing new. */
    struct sp_sent *sent = &conn->loss.app.sent;
    uint64_t pn = sent->next_pn / 2;
    conn->loss.path->cc.in_flight_bytes -= sp_sent_find(sent, pn)->size;
    sp_conn_free_frames(conn, sp_sent_settle(sent, pn, SP_SENT_SKIPPED));
    server = conn;
    return conn;
}

static void no_packet_takes_many_steps(void **state)
{
    struct conn_pair *pair = *state;
    for (size_t i = 0; i < QT_COUNT(floods); i++) {
        struct sp_conn *conn = prepare(pair);
        number = 0;
        for (uint32_t k = 0; k < 3; k++) {
            uint8_t payload[PAYLOAD_SIZE];
            struct pair_packet packet;
            const struct pair_packet *const packets[] = {&packet};
            struct sb_writer w = sb_writer_of(payload, sizeof(payload));
            size_t used = 0;
            for (; !w.failed; floods[i].write(&w))
                used = sb_writer_used(&w);
            pair_make(pair, SP_SERVER, SP_SPACE_APP, payload, used, PAIR_FAULT_NONE, &packet);
            uint64_t dropped = conn->stats.packets_dropped;
            uint64_t before = SB_STEPS_COUNT();
            pair_give(pair, SP_SERVER, packets, 1);
            uint64_t steps = SB_STEPS_COUNT() - before;
            if (k == 2)
                print_message("    %-22s %4u steps\n", floods[i].name, (unsigned)steps);
            assert_int_equal(conn->state, SP_CONN_OPEN);
            assert_int_equal(conn->stats.packets_dropped - dropped, floods[i].is_dropped);
            assert_in_range(steps, SB_STEPS_ARE_COUNTED, STEPS_MAX);
        }
    }
}

/* All streams wait for credit, and the connection gets it byte by byte. */
static void credit_costs_no_more_steps_than_it_has_bytes(void **state)
{
    struct conn_pair *pair = *state;
    static const uint64_t credits[] = {1, 10, 100};
    size_t size;
    struct sp_conn *conn = prepare(pair);
    conn->max_data = conn->data_sent;
    const struct sp_write write = {.data = "0123456789", .size = 10};
    for (uint64_t i = 0; i < STREAMS; i++)
        assert_int_equal(sp_conn_write(conn, i << 2, &write), SP_DONE);
    for (size_t i = 0; i < QT_COUNT(credits); i++) {
        uint8_t payload[16];
        uint64_t sent = conn->data_sent;
        struct sb_writer w = sb_writer_of(payload, sizeof(payload));
        sp_frame_write_number(&w, SP_FRAME_MAX_DATA, conn->max_data + credits[i]);
        uint64_t before = SB_STEPS_COUNT();
        pair_inject(pair, SP_SERVER, SP_SPACE_APP, payload, sb_writer_used(&w), PAIR_FAULT_NONE);
        (void)pair_flush(pair, SP_SERVER, &size);
        assert_int_equal(conn->data_sent - sent, credits[i]);  /* all of it was used */
        assert_int_equal(conn->data_blocked, SP_BLOCKED_SENT); /* and the peer hears of it */
        assert_in_range(SB_STEPS_COUNT() - before, SB_STEPS_ARE_COUNTED, credits[i] + 10);
    }
}

/* What got credit and does not need it any more leaves it to the others. */
static void credit_that_a_reset_stream_leaves_is_used(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    struct sp_conn *conn = prepare(pair);
    conn->max_data = conn->data_sent;
    const struct sp_write write = {.data = "0123456789", .size = 10};
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(sp_conn_write(conn, i << 2, &write), SP_DONE);
    uint64_t sent = conn->data_sent;
    sp_conn_on_max_data(conn, conn->max_data + 3); /* four wake up */
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(sp_conn_reset(conn, i << 2, 1), SP_DONE);
    assert_true(sb_list_is_empty(&conn->send_list));
    (void)pair_flush(pair, SP_SERVER, &size);
    assert_int_equal(conn->data_sent - sent, 3);
}

/* A stream of the client with PIECES pieces at the server. */
static struct sp_conn *prepare_pieces(struct conn_pair *pair)
{
    uint8_t payload[PAYLOAD_SIZE];
    pair_init(pair);
    pair->config.stream_window_bytes = pair->config.stream_window_bytes_max = PIECES_BYTES;
    pair->config.conn_window_bytes = pair->config.conn_window_bytes_max = PIECES_BYTES;
    pair_connect(pair);
    struct sp_conn *conn = pair_conn(pair, SP_SERVER);
    for (uint64_t at = 1; conn->pieces.count < PIECES;) {
        struct sb_writer w = sb_writer_of(payload, sizeof(payload));
        for (uint32_t i = 0; i < 16; i++, at += SP_PAGE_SIZE) {
            struct sp_stream_head head = {.offset = at, .size = 1, .has_length = true};
            sp_frame_write_stream_head(&w, &head);
            sb_writer_u8(&w, 'x');
        }
        pair_inject(pair, SP_SERVER, SP_SPACE_APP, payload, sb_writer_used(&w), PAIR_FAULT_NONE);
        pair_pull(pair, SP_SERVER);
        assert_int_equal(conn->state, SP_CONN_OPEN);
    }
    return conn;
}

/* Injects a packet, and returns its steps. */
static uint64_t steps_of(struct conn_pair *pair, const struct sb_writer *w, const uint8_t *payload)
{
    uint64_t before = SB_STEPS_COUNT();
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, payload, sb_writer_used(w), PAIR_FAULT_NONE);
    pair_pull(pair, SP_SERVER);
    return SB_STEPS_COUNT() - before;
}

/* On a path that reorders a gap of numbers is no loss, so that most packets in flight are late: an
 * ACK of one of them has nothing to do with the others. */
static void an_ack_costs_no_more_where_many_packets_are_late(void **state)
{
    enum { FRAMES = SP_ACK_FRAMES_PER_PACKET_MAX };
    struct conn_pair *pair = *state;
    struct sp_conn *conn = prepare(pair);
    struct sp_reorder *reorder = &conn->loss.path->reorder;
    uint64_t pn = conn->loss.app.sent.next_pn, first = pn / 2, lost = conn->loss.lost_count;
    reorder->is_wide[0] = true;
    reorder->period_end_ns = SB_NEVER;
    while (pn > first + 2 * FRAMES) {
        uint8_t payload[PAYLOAD_SIZE];
        struct sb_writer w = sb_writer_of(payload, sizeof(payload));
        for (uint32_t i = 0; i < FRAMES; i++, pn -= 2) {
            const struct sp_ack_range range = {pn - 1, pn - 1};
            assert_int_equal(sp_frame_write_ack(&w, &range, 1, 0, NULL), 1);
        }
        uint64_t in_flight = conn->loss.app.sent.out_count;
        assert_in_range(steps_of(pair, &w, payload), SB_STEPS_ARE_COUNTED, 64);
        assert_in_range(in_flight - conn->loss.app.sent.out_count, FRAMES, FRAMES + 1);
    }
    assert_int_equal(conn->loss.lost_count, lost);
    assert_int_equal(conn->state, SP_CONN_OPEN);
}

static void reset_of_a_stream_with_many_pieces_frees_them_packet_by_packet(void **state)
{
    struct conn_pair *pair = *state;
    uint8_t payload[16];
    struct sp_conn *conn = prepare_pieces(pair);
    struct sb_writer w = sb_writer_of(payload, sizeof(payload));
    sp_frame_write_reset_stream(&w, 0, 1, PIECES_BYTES);
    sp_frame_write_stop_sending(&w, 0, 1);
    assert_in_range(steps_of(pair, &w, payload), SB_STEPS_ARE_COUNTED, 64);
    uint32_t count = conn->pieces.count;
    assert_in_range(count, PIECES - 16, PIECES);
    w = sb_writer_of(payload, sizeof(payload));
    sp_frame_write_ping(&w);
    while (conn->pieces.count > 0) {
        assert_in_range(steps_of(pair, &w, payload), SB_STEPS_ARE_COUNTED, 128);
        assert_true(conn->pieces.count == 0 ||
                    count - conn->pieces.count == SP_DISCARDS_PER_PACKET);
        count = conn->pieces.count;
        sp_conn_check(conn);
    }
    assert_int_equal(conn->pieces.holding->held_bytes, 0);
    assert_int_equal(conn->state, SP_CONN_OPEN);
}

/* The peer stays silent: the timer frees them. */
static void timer_frees_the_pieces_of_a_stopped_stream(void **state)
{
    struct conn_pair *pair = *state;
    struct sp_conn *conn = prepare_pieces(pair);
    uint64_t before = SB_STEPS_COUNT();
    assert_int_equal(sp_conn_stop(conn, 0, 1), SP_DONE);
    assert_in_range(SB_STEPS_COUNT() - before, 0, 8);
    uint64_t end_ns = pair->now_ns + SB_S;
    while (conn->pieces.count > 0) {
        uint32_t count = conn->pieces.count;
        pair->now_ns += SB_MS;
        assert_true(sp_conn_deadline_ns(conn) <= pair->now_ns && pair->now_ns < end_ns);
        sp_conn_on_deadline(conn, pair->now_ns);
        assert_in_range(count - conn->pieces.count, 0, SP_DISCARDS_PER_TIMER);
    }
    assert_int_equal(conn->pieces.holding->held_bytes, 0);
}

/* Also the end of a connection counts them, and destroying one that is open. */
static void pieces_count_when_a_connection_is_released(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t i = 0; i < 3; i++) {
        struct sp_conn *conn = prepare_pieces(pair);
        if (i == 0)
            sp_conn_close(conn, 1, NULL, 0, pair->now_ns);
        else if (i == 1)
            assert_int_equal(sp_conn_stop(conn, 0, 1), SP_DONE);
        bool is_unwinding = i == 0;
        for (bool is_done = false; !is_done;) {
            uint32_t steps = 100;
            uint64_t used = pair->pools.pieces.used_count;
            is_done =
                is_unwinding ? sp_conn_unwind(conn, &steps) : sp_conn_destroy_some(conn, &steps);
            assert_in_range(used - pair->pools.pieces.used_count, 0, 100);
            if (is_done && is_unwinding) {
                assert_int_equal(conn->pieces.count, 0);
                is_unwinding = is_done = false;
            }
        }
        pair->ends[SP_SERVER].conn = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, no_packet_takes_many_steps),
        QT_TEST(conn_pair, credit_costs_no_more_steps_than_it_has_bytes),
        QT_TEST(conn_pair, credit_that_a_reset_stream_leaves_is_used),
        QT_TEST(conn_pair, an_ack_costs_no_more_where_many_packets_are_late),
        QT_TEST(conn_pair, reset_of_a_stream_with_many_pieces_frees_them_packet_by_packet),
        QT_TEST(conn_pair, timer_frees_the_pieces_of_a_stopped_stream),
        QT_TEST(conn_pair, pieces_count_when_a_connection_is_released),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

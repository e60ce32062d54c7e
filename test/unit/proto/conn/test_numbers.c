/* SPDX-License-Identifier: MIT */
/* Packet numbers that run out, run away from a peer that acknowledges nothing, or are skipped. */

#include "test/support/qt.h"

#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

/* Gives `to` a PING and a PATH_CHALLENGE: it has something to send. */
static void ask(struct conn_pair *pair, enum sp_role to)
{
    static const uint8_t frames[] = "\x01\x1a"
                                    "12345678";
    pair_inject(pair, to, SP_SPACE_APP, frames, sizeof(frames) - 1, PAIR_FAULT_NONE);
}

/* [RFC9000 17.1] A number that far ahead could not be told apart any more. */
static void silence_over_two_to_the_31_packets_ends_the_connection(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->loss.app.sent.next_pn += UINT64_C(1) << 31;
    ask(pair, SP_SERVER);
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 0);
    sp_conn_on_deadline(server, pair->now_ns);
    assert_true(sp_conn_is_closed(server));
}

/* [RFC9000 12.3] Not even a CONNECTION_CLOSE has a number left. */
static void the_last_packet_number_ends_the_connection_in_silence(void **state)
{
    struct conn_pair *pair = *state;
    size_t size;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    server->loss.app.sent.next_pn = SP_PN_MAX - SP_TRAIN_COUNT_MAX;
    server->loss.app.largest_acked = server->loss.app.sent.next_pn - 1;
    ask(pair, SP_SERVER);
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 0);
    sp_conn_on_deadline(server, pair->now_ns);
    assert_true(sp_conn_is_closed(server));
    assert_int_equal(pair_flush(pair, SP_SERVER, &size), 0);
}

/* ---- Numbers that are skipped ---- */

/* The server sends `size` bytes to the client, and all of them are acknowledged. */
static struct sp_conn *send_from_server(struct conn_pair *pair, size_t size)
{
    static const uint8_t data[1 << 20];
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    while (size > 0) {
        struct sp_write write = {.data = data, .size = SB_MIN(size, sizeof(data)), .fin = true};
        uint64_t id;
        assert_int_equal(sp_conn_open(server, true, &id), SP_DONE);
        assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
        pair_shuttle(pair);
        assert_int_equal(server->loss.app.sent.eliciting_count, 0);
        size -= write.size;
    }
    return server;
}

/* [RFC9000 21.4] At random, ever more rarely, and nobody takes it for a loss. */
static void numbers_are_skipped_ever_more_rarely(void **state)
{
    enum { SIZE_MB = 40 };
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_true(server->loss.app.skipped_pn == SB_VARINT_NONE);
    uint64_t skipped = SB_VARINT_NONE;
    uint32_t count = 0;
    for (int i = 0; i < SIZE_MB; i++) {
        (void)send_from_server(pair, 1 << 20);
        if (i == 0)
            assert_in_range(server->loss.app.skipped_pn, SP_SKIP_FIRST, 1 << 10);
        count += server->loss.app.skipped_pn != skipped;
        skipped = server->loss.app.skipped_pn;
    }
    print_message("%u of %d MB with a skipped number, the last is %llu of %llu\n", count, SIZE_MB,
                  (unsigned long long)skipped, (unsigned long long)server->loss.app.sent.next_pn);
    assert_in_range(count, 3, SIZE_MB / 3);
    assert_int_equal(server->loss.lost_count, 0);
    assert_false(sp_conn_is_closed(server));
    assert_false(sp_conn_is_closed(pair_conn(pair, SP_CLIENT)));
}

/* Gives the server an ACK frame of the client with all numbers from `largest` to `smallest`, and
 * one more range of the one number that is two below that, unless `is_alone`. */
static void acknowledge(struct conn_pair *pair, uint64_t largest, uint64_t smallest, bool is_alone)
{
    uint8_t frame[32];
    struct sb_writer w = sb_writer_of(frame, sizeof(frame));
    sb_writer_u8(&w, SP_FRAME_ACK);
    sb_writer_varint(&w, largest);
    sb_writer_varint(&w, 0); /* delay */
    sb_writer_varint(&w, !is_alone);
    sb_writer_varint(&w, largest - smallest);
    if (!is_alone) {
        sb_writer_varint(&w, 0); /* gap */
        sb_writer_varint(&w, 0);
    }
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frame, sb_writer_used(&w), PAIR_FAULT_NONE);
}

/* [RFC9000 13.1, 21.4] A client that acknowledges what it has not got.  What it may acknowledge is
 * freed all the same. */
static void an_optimistic_ack_closes_the_connection(void **state)
{
    struct conn_pair *pair = *state;
    for (int i = 0; i < 3; i++) {
        size_t size;
        pair_init(pair);
        pair_connect(pair);
        struct sp_conn *server = send_from_server(pair, 1 << 20);
        uint64_t skipped = server->loss.app.skipped_pn;
        static const uint8_t data[5000];
        struct sp_write write = {.data = data, .size = sizeof(data)};
        uint64_t id;
        assert_int_equal(sp_conn_open(server, true, &id), SP_DONE);
        assert_int_equal(sp_conn_write(server, id, &write), SP_DONE);
        assert_true(pair_flush(pair, SP_SERVER, &size) > 0); /* they are lost */
        uint64_t largest = server->loss.app.sent.next_pn - 1;
        if (server->loss.app.skipped_pn != skipped || largest < skipped + 3)
            fail_msg("the next number was skipped too early");
        acknowledge(pair, largest, i == 0 ? skipped : i == 1 ? skipped + 2 : skipped + 1, i != 1);
        assert_int_equal(server->state, i == 2 ? SP_CONN_OPEN : SP_CONN_CLOSING);
        if (i < 2)
            assert_int_equal(server->close.error, SP_ERR_PROTOCOL_VIOLATION);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, silence_over_two_to_the_31_packets_ends_the_connection),
        QT_TEST(conn_pair, the_last_packet_number_ends_the_connection_in_silence),
        QT_TEST(conn_pair, numbers_are_skipped_ever_more_rarely),
        QT_TEST(conn_pair, an_optimistic_ack_closes_the_connection),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

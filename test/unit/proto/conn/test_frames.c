/* SPDX-License-Identifier: MIT */
/* What a peer may do wrong on a live connection, frame by frame, and the error with which
 * the connection ends. */

#include "test/support/qt.h"

#include <string.h>

#include "test/support/conn_pair.h"
#include "test/support/frame_samples.h"

#define TOKEN  "TTTTTTTTTTTTTTTT"
#define CID    "CCCCCCCC"
#define TO_62  "\xff\xff\xff\xff\xff\xff\xff\xff" /* 2^62 - 1 */
#define OVER   "\xd0\0\0\0\0\0\0\x01"             /* 2^60 + 1 */
#define ONWARD 0x20000                            /* instead of an error: the connection goes on */

QT_FIXTURE(conn_pair, pair_deinit)

/* Both sides have opened streams 0 to 3, their first of each kind, and may open 10 of a kind.
 * The window of a stream is 1,000 bytes, that of the connection 1,500. */
static void connect_with_streams(struct conn_pair *pair)
{
    pair_init(pair);
    pair->config.streams_bidi_max = 10;
    pair->config.streams_uni_max = 10;
    pair->config.stream_window_bytes = 1000;
    pair->config.conn_window_bytes = 1500;
    pair_connect(pair);
    for (uint32_t i = 0; i < 4; i++) {
        struct sp_conn *conn = pair_conn(pair, i % 2 == 0 ? SP_CLIENT : SP_SERVER);
        struct sp_write write = {.data = "x", .size = 1};
        uint64_t id;
        assert_int_equal(sp_conn_open(conn, i >= 2, &id), SP_DONE);
        assert_int_equal(id, i);
        assert_int_equal(sp_conn_write(conn, id, &write), SP_DONE);
    }
    pair_shuttle(pair);
}

struct sample {
    const char *why;
    const char *bytes;
    size_t size;
    enum sp_role to;
    uint64_t want;
};

#define S(why, text, want) {why, text, sizeof(text) - 1, SP_SERVER, SP_ERR_##want}
#define C(why, text, want) {why, text, sizeof(text) - 1, SP_CLIENT, SP_ERR_##want}
#define SP_ERR_NONE        ONWARD

static const struct sample samples[] = {
    /* The part of the stream does not exist. */
    S("[RFC9000 19.8] STREAM on our unidirectional one", "\x08\x03x", STREAM_STATE),
    C("[RFC9000 19.8] STREAM on our unidirectional one", "\x08\x02x", STREAM_STATE),
    S("[RFC9000 19.4] RESET_STREAM on ours", "\x04\x03\0\x01", STREAM_STATE),
    C("[RFC9000 19.4] RESET_STREAM on ours", "\x04\x02\0\x01", STREAM_STATE),
    S("[RFC9000 19.13] STREAM_DATA_BLOCKED on ours", "\x15\x03\0", STREAM_STATE),
    S("[RFC9000 19.5] STOP_SONWARD on the peer's", "\x05\x02\0", STREAM_STATE),
    C("[RFC9000 19.5] STOP_SONWARD on the peer's", "\x05\x03\0", STREAM_STATE),
    S("[RFC9000 19.5] .. that is not open", "\x05\x06\0", STREAM_STATE),
    S("[RFC9000 19.10] MAX_STREAM_DATA on the peer's", "\x11\x02\x01", STREAM_STATE),
    C("[RFC9000 19.10] MAX_STREAM_DATA on the peer's", "\x11\x03\x01", STREAM_STATE),

    /* We would have had to open it. */
    S("[RFC9000 19.8] STREAM before we opened it", "\x08\x05x", STREAM_STATE),
    C("[RFC9000 19.8] STREAM before we opened it", "\x08\x04x", STREAM_STATE),
    S("[RFC9000 19.4] RESET_STREAM before", "\x04\x05\0\x01", STREAM_STATE),
    S("[RFC9000 19.5] STOP_SONWARD before", "\x05\x05\0", STREAM_STATE),
    S("[RFC9000 19.5] STOP_SONWARD before, unidirectional", "\x05\x07\0", STREAM_STATE),
    S("[RFC9000 19.10] MAX_STREAM_DATA before", "\x11\x05\x01", STREAM_STATE),
    S("[RFC9000 19.10] MAX_STREAM_DATA before, unidirectional", "\x11\x07\x01", STREAM_STATE),
    S("[RFC9000 19.13] STREAM_DATA_BLOCKED before", "\x15\x05\0", STREAM_STATE),

    /* [RFC9000 4.6] */
    S("the last allowed stream", "\x08\x24x", NONE),
    S("STREAM beyond the limit", "\x08\x28x", STREAM_LIMIT),
    S("STREAM beyond the unidirectional limit", "\x08\x2ax", STREAM_LIMIT),
    C("STREAM beyond the limit", "\x08\x29x", STREAM_LIMIT),
    S("STREAM with the largest ID", "\x08\xff\xff\xff\xff\xff\xff\xff\xfcx", STREAM_LIMIT),
    S("RESET_STREAM beyond the limit", "\x04\x28\0\0", STREAM_LIMIT),
    S("STOP_SONWARD beyond the limit", "\x05\x28\0", STREAM_LIMIT),
    S("MAX_STREAM_DATA beyond the limit", "\x11\x28\0", STREAM_LIMIT),
    S("STREAM_DATA_BLOCKED beyond the limit", "\x15\x28\0", STREAM_LIMIT),

    /* [RFC9000 4.1] */
    S("up to the stream's limit", "\x0c\x04\x43\xe7x", NONE),
    S("beyond the stream's limit", "\x0c\x04\x43\xe8x", FLOW_CONTROL),
    S("RESET_STREAM up to the stream's limit", "\x04\x04\0\x43\xe8", NONE),
    S("RESET_STREAM beyond the stream's limit", "\x04\x04\0\x43\xe9", FLOW_CONTROL),
    S("RESET_STREAM with the largest size", "\x04\x04\0" TO_62, FLOW_CONTROL),
    S("beyond the connection's limit", "\x0e\x04\x43\x20\x01x\x0c\x08\x43\x20x", FLOW_CONTROL),
    S("RESET_STREAMs beyond the connection's limit", "\x04\x04\0\x43\x20\x04\x08\0\x43\x20",
      FLOW_CONTROL),

    /* [RFC9000 4.5] */
    S("data beyond the FIN", "\x0b\x04\x01x\x0c\x04\x01x", FINAL_SIZE),
    S("another FIN, smaller", "\x0b\x04\x02xx\x0b\x04\x01x", FINAL_SIZE),
    S("another FIN, larger", "\x0b\x04\x01x\x0b\x04\x02xx", FINAL_SIZE),
    S("a FIN below the data", "\x0a\x04\x02xx\x0b\x04\x01x", FINAL_SIZE),
    S("the same FIN again", "\x0b\x04\x01x\x0b\x04\x01x", NONE),
    S("a RESET_STREAM below the data", "\x0a\x04\x02xx\x04\x04\0\x01", FINAL_SIZE),
    S("a RESET_STREAM of another size than the FIN", "\x0b\x04\x01x\x04\x04\0\x02", FINAL_SIZE),
    S("another RESET_STREAM", "\x04\x04\0\x01\x04\x04\0\x02", FINAL_SIZE),
    S("[reliable-reset 4] RESET_STREAM_AT on ours", "\x24\x03\0\x01\x01", STREAM_STATE),
    S("RESET_STREAM_AT beyond the limit", "\x24\x28\0\0\0", STREAM_LIMIT),
    S("RESET_STREAM_AT up to the stream's limit", "\x24\x04\0\x43\xe8\x43\xe8", NONE),
    S("RESET_STREAM_AT beyond the stream's limit", "\x24\x04\0\x43\xe9\0", FLOW_CONTROL),
    S("a RESET_STREAM_AT below the data", "\x0a\x04\x02xx\x24\x04\0\x01\x01", FINAL_SIZE),
    S("another RESET_STREAM_AT", "\x24\x04\0\x02\x02\x24\x04\0\x03\x01", FINAL_SIZE),
    S("[reliable-reset 5.2] RESET_STREAM_AT, other error", "\x24\x04\0\x02\x02\x24\x04\x01\x02\x01",
      STREAM_STATE),
    S("[reliable-reset 5.2] RESET_STREAM after it, another error",
      "\x24\x04\0\x02\x02\x04\x04\x01\x02", STREAM_STATE),
    S("[reliable-reset 5.2] RESET_STREAM after that, another error",
      "\x24\x04\0\x02\0\x04\x04\x01\x02", STREAM_STATE),
    S("RESET_STREAM_AT of a larger size is ignored", "\x24\x04\0\x02\x01\x24\x04\0\x02\x02", NONE),
    S("data beyond a RESET_STREAM_AT", "\x24\x04\0\x01\x01\x0c\x04\x01x", FINAL_SIZE),
    S("data below a RESET_STREAM_AT", "\x24\x04\0\x01\x01\x0a\x04\x01x", NONE),
    S("data beyond a RESET_STREAM", "\x04\x04\0\x01\x0c\x04\x01x", FINAL_SIZE),
    S("data below a RESET_STREAM", "\x04\x04\0\x01\x0a\x04\x01x", NONE),

    S("[RFC9221 3] DATAGRAM, which we did not announce", "\x30x", PROTOCOL_VIOLATION),
    C("[RFC9221 3] DATAGRAM, which we did not announce", "\x31\x01x", PROTOCOL_VIOLATION),
    S("[RFC9221 3] an empty one", "\x31\0", PROTOCOL_VIOLATION),

    /* What only a server says. */
    S("[RFC9000 19.7] NEW_TOKEN to a server", "\x07\x01t", PROTOCOL_VIOLATION),
    C("[RFC9000 19.7] NEW_TOKEN to a client", "\x07\x01t", NONE),
    S("[RFC9000 19.20] HANDSHAKE_DONE to a server", "\x1e", PROTOCOL_VIOLATION),
    C("[RFC9000 19.20] HANDSHAKE_DONE again", "\x1e\x1e", NONE),

    S("[RFC9000 13.1] ACK of a packet not sent", "\x02\x7f\xff\0\0\0", PROTOCOL_VIOLATION),
    S("[RFC9000 19.3] ACK below zero", "\x02\x01\0\0\x02", FRAME_ENCODING),

    /* CIDs: each side has given out 0 to 3; packets go to 0. */
    S("[RFC9000 19.16] RETIRE of an unissued one", "\x19\x04", PROTOCOL_VIOLATION),
    S("[RFC9000 19.16] RETIRE of the one in use", "\x19\0", PROTOCOL_VIOLATION),
    S("[RFC9000 19.16] RETIRE", "\x19\x01", NONE),
    S("[RFC9000 19.16] RETIRE of one that was issued, but not sent yet", "\x19\x01\x19\x04",
      PROTOCOL_VIOLATION),
    S("[RFC9000 19.15] another CID for a number", "\x18\x01\0\x08" CID TOKEN, PROTOCOL_VIOLATION),
    S("[RFC9000 19.15] another number for a CID",
      "\x18\x05\x04\x08" CID TOKEN "\x18\x06\x04\x08" CID TOKEN, PROTOCOL_VIOLATION),
    S("[RFC9000 19.15] another token for a CID",
      "\x18\x05\x04\x08" CID TOKEN "\x18\x05\x04\x08" CID "tTTTTTTTTTTTTTTT", PROTOCOL_VIOLATION),
    S("[RFC9000 19.15] the same again", "\x18\x05\x04\x08" CID TOKEN "\x18\x05\x04\x08" CID TOKEN,
      NONE),
    S("[RFC9000 5.1.1] one more than we hold", "\x18\x04\0\x08" CID TOKEN, CONNECTION_ID_LIMIT),
    S("[RFC9000 5.1.1] .. instead of another", "\x18\x04\x01\x08" CID TOKEN, NONE),
    S("[RFC9000 19.15] retires itself", "\x18\x04\x05\x08" CID TOKEN, FRAME_ENCODING),
    S("[RFC9000 19.15] an empty CID", "\x18\x04\x04\0" TOKEN, FRAME_ENCODING),
    S("[RFC9000 19.15] a long CID", "\x18\x04\x04\x15" CID CID "CCCCC" TOKEN, FRAME_ENCODING),

    /* [RFC9000 12.4] */
    S("a packet without a frame", "", PROTOCOL_VIOLATION),
    C("a packet without a frame", "", PROTOCOL_VIOLATION),
    S("a packet of PADDING", "\0\0\0", NONE),
    S("an unknown frame", "\x20", FRAME_ENCODING),
    S("an unknown frame behind a known one", "\x01\x40\xff", FRAME_ENCODING),
    S("a type that is too long", "\x40\x01", PROTOCOL_VIOLATION),
    S("a frame that is cut", "\x04\x04", FRAME_ENCODING),
    S("[RFC9000 19.11] MAX_STREAMS too large", "\x12" OVER, FRAME_ENCODING),
    S("[RFC9000 19.14] STREAMS_BLOCKED too large", "\x16" OVER, FRAME_ENCODING),
    S("[RFC9000 19.8] STREAM too long", "\x0c\x04" TO_62 "x", FRAME_ENCODING),
    S("[RFC9000 19.6] CRYPTO too long", "\x06" TO_62 "\x01x", FRAME_ENCODING),

    /* [RFC9000 7.5]  The largest offset that still fits, and the next. */
    C("CRYPTO far ahead", "\x06\x80\0\xff\0\x01x", NONE),
    S("CRYPTO too far ahead", "\x06\x80\x01\0\0\x01x", CRYPTO_BUFFER_EXCEEDED),
    C("CRYPTO too far ahead", "\x06\x80\x02\0\0\x01x", CRYPTO_BUFFER_EXCEEDED),

    /* What is no fault. */
    S("[RFC9000 8.2.3] PATH_RESPONSE unasked", "\x1b" CID, NONE),
    S("limits below the ones that hold", "\x10\0\x11\x01\0\x12\0\x13\0", NONE),
    S("all that can block", "\x14\0\x15\0\0\x16\0\x17\0", NONE),
    S("the largest limits", "\x10" TO_62 "\x11\x01" TO_62, NONE),
};

static void inject_sample(struct conn_pair *pair, const struct sample *sample)
{
    pair_inject(pair, sample->to, SP_SPACE_APP, (const uint8_t *)sample->bytes, sample->size,
                PAIR_FAULT_NONE);
}

static void each_fault_ends_the_connection_with_its_error(void **state)
{
    struct conn_pair *pair = *state;
    uint32_t fault_count = 0;
    for (size_t i = 0; i < SB_COUNT(samples); i++) {
        const struct sample *sample = &samples[i];
        size_t size;
        connect_with_streams(pair);
        inject_sample(pair, sample);
        struct sp_conn *conn = pair_conn(pair, sample->to);
        uint64_t got = conn->state == SP_CONN_OPEN ? ONWARD : conn->close.error;
        if (got != sample->want) {
            print_error("%s: 0x%llx instead of 0x%llx\n", sample->why, (unsigned long long)got,
                        (unsigned long long)sample->want);
            fault_count++;
        }
        pair_pull(pair, sample->to);
        bool has_sent = pair_flush(pair, sample->to, &size) > 0;
        if (got != ONWARD) {
            assert_int_equal(conn->state, SP_CONN_CLOSING);
            assert_int_equal(conn->close.kind, SP_CLOSE_TRANSPORT);
            assert_true(conn->close.is_local && has_sent);
        }
    }
    assert_int_equal(fault_count, 0);
}

/* Every type has a sample (test_frame_samples), and each sample a handler. */
static void every_type_has_a_handler(void **state)
{
    struct conn_pair *pair = *state;
    for (size_t i = 0; i < 2 * frame_sample_count; i++) {
        const struct frame_sample *sample = &frame_samples[i / 2];
        enum sp_role to = i % 2 == 0 ? SP_SERVER : SP_CLIENT;
        connect_with_streams(pair);
        pair_inject(pair, to, SP_SPACE_APP, sample->bytes, sample->size, PAIR_FAULT_NONE);
        const struct sp_conn *conn = pair_conn(pair, to);
        if (conn->state != SP_CONN_OPEN)
            assert_int_not_equal(conn->close.error, SP_ERR_INTERNAL);
    }
}

/* What the first wrong frame did counts, whatever stands behind it. */
static void nothing_behind_a_fault_is_worked_off(void **state)
{
    struct conn_pair *pair = *state;
    connect_with_streams(pair);
    const uint8_t frames[] = "\x1e\x08\x28x";
    pair_inject(pair, SP_SERVER, SP_SPACE_APP, frames, sizeof(frames) - 1, PAIR_FAULT_NONE);
    assert_int_equal(pair_conn(pair, SP_SERVER)->close.error, SP_ERR_PROTOCOL_VIOLATION);
    assert_int_equal(pair_conn(pair, SP_SERVER)->close.frame_type, SP_FRAME_HANDSHAKE_DONE);
}

/* ---- Packets that are wrong as a whole ---- */

/* Brings the handshake to where `to` reads `space` and the peer can seal in it. */
static void begin(struct conn_pair *pair, enum sp_role to, enum sp_space space)
{
    pair_init(pair);
    pair->tls_plan.certificate_size = 6000; /* so that a flight is not all of it */
    if (space == SP_SPACE_APP) {
        pair_connect(pair);
        return;
    }
    pair_start(pair);
    pair_carry(pair, SP_CLIENT);
    if (space == SP_SPACE_HANDSHAKE)
        pair_carry(pair, SP_SERVER);
    assert_int_equal(pair_conn(pair, to)->state, SP_CONN_OPEN);
    assert_false(pair_conn(pair, to)->handshake_state >= SP_HANDSHAKE_COMPLETE && to == SP_SERVER);
}

static void reserved_bits_are_refused_in_every_space(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t i = 0; i < 2 * SP_SPACES; i++) {
        enum sp_role to = i % 2 == 0 ? SP_SERVER : SP_CLIENT;
        enum sp_space space = (enum sp_space)(i / 2);
        begin(pair, to, space);
        pair_inject(pair, to, space, (const uint8_t *)"\x01", 1, PAIR_FAULT_RESERVED);
        assert_int_equal(pair_conn(pair, to)->state, SP_CONN_CLOSING);
        assert_int_equal(pair_conn(pair, to)->close.error, SP_ERR_PROTOCOL_VIOLATION);
    }
}

/* [RFC9000 12.4] Table 3, column "Pkts": all without an I and an H. */
static const struct {
    const char *bytes;
    size_t size;
} one_rtt_frames[] = {
#define F(text) {text, sizeof(text) - 1}
    F("\x04\0\0\0"),    F("\x05\0\0"),
    F("\x07\x01t"),     F("\x08\0x"),
    F("\x0f\0\0\x01x"), F("\x10\0"),
    F("\x11\0\0"),      F("\x12\0"),
    F("\x13\0"),        F("\x14\0"),
    F("\x15\0\0"),      F("\x16\0"),
    F("\x17\0"),        F("\x18\x01\0\x08" CID TOKEN),
    F("\x19\0"),        F("\x1a" CID),
    F("\x1b" CID),      F("\x1d\0\0"),
    F("\x1e"),
};

static void application_frames_are_refused_in_handshake_packets(void **state)
{
    struct conn_pair *pair = *state;
    for (uint32_t i = 0; i < 4 * SB_COUNT(one_rtt_frames); i++) {
        enum sp_role to = i % 2 == 0 ? SP_SERVER : SP_CLIENT;
        enum sp_space space = i / 2 % 2 == 0 ? SP_SPACE_INITIAL : SP_SPACE_HANDSHAKE;
        begin(pair, to, space);
        pair_inject(pair, to, space, (const uint8_t *)one_rtt_frames[i / 4].bytes,
                    one_rtt_frames[i / 4].size, PAIR_FAULT_NONE);
        assert_int_equal(pair_conn(pair, to)->state, SP_CONN_CLOSING);
        assert_int_equal(pair_conn(pair, to)->close.error, SP_ERR_PROTOCOL_VIOLATION);
    }
}

static void faults_in_handshake_packets_end_the_connection(void **state)
{
    struct conn_pair *pair = *state;
    static const struct {
        const char *bytes;
        size_t size;
        enum sp_err want;
    } faults[] = {
        {"", 0, SP_ERR_PROTOCOL_VIOLATION},
        {"\x20", 1, SP_ERR_FRAME_ENCODING},
        {"\x02\x3f\0\0\0", 5, SP_ERR_PROTOCOL_VIOLATION},
        {"\x06\x80\x02\0\0\x01x", 7, SP_ERR_CRYPTO_BUFFER_EXCEEDED},
    };
    for (uint32_t i = 0; i < 4 * SB_COUNT(faults); i++) {
        enum sp_role to = i % 2 == 0 ? SP_SERVER : SP_CLIENT;
        enum sp_space space = i / 2 % 2 == 0 ? SP_SPACE_INITIAL : SP_SPACE_HANDSHAKE;
        begin(pair, to, space);
        pair_inject(pair, to, space, (const uint8_t *)faults[i / 4].bytes, faults[i / 4].size,
                    PAIR_FAULT_NONE);
        assert_int_equal(pair_conn(pair, to)->state, SP_CONN_CLOSING);
        enum sp_err want = faults[i / 4].want;
        /* [RFC9001 4.1.3] The server has the ClientHello: nothing may follow. */
        if (want == SP_ERR_CRYPTO_BUFFER_EXCEEDED && to == SP_SERVER && space == SP_SPACE_INITIAL)
            want = SP_ERR_PROTOCOL_VIOLATION;
        assert_int_equal(pair_conn(pair, to)->close.error, want);
    }
}

/* [RFC9000 5.1.2] Each new CID retires the one before, and we never hear of it. */
static void retirements_that_nobody_acknowledges_are_bounded(void **state)
{
    struct conn_pair *pair = *state;
    connect_with_streams(pair);
    uint8_t frame[] = "\x18\x04\x04\x08" CID TOKEN;
    struct sp_conn *conn = pair_conn(pair, SP_SERVER);
    uint32_t count = 0;
    for (; conn->state == SP_CONN_OPEN && count < 100; count++) {
        frame[1] = frame[2] = (uint8_t)(4 + count);
        frame[4] = (uint8_t)count;
        pair_inject(pair, SP_SERVER, SP_SPACE_APP, frame, sizeof(frame) - 1, PAIR_FAULT_NONE);
    }
    assert_int_equal(conn->close.error, SP_ERR_CONNECTION_ID_LIMIT);
    assert_in_range(count, SP_CIDS_MAX + 1, SP_RETIRED_CIDS_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, each_fault_ends_the_connection_with_its_error),
        QT_TEST(conn_pair, every_type_has_a_handler),
        QT_TEST(conn_pair, nothing_behind_a_fault_is_worked_off),
        QT_TEST(conn_pair, reserved_bits_are_refused_in_every_space),
        QT_TEST(conn_pair, application_frames_are_refused_in_handshake_packets),
        QT_TEST(conn_pair, faults_in_handshake_packets_end_the_connection),
        QT_TEST(conn_pair, retirements_that_nobody_acknowledges_are_bounded),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "test/support/frame_samples.h"

#include <string.h>

/* clang-format off */
#define BYTES(text) .bytes = (const uint8_t *)(text), .size = sizeof(text) - 1
#define DATA(text) .data = (const uint8_t *)(text), .size = sizeof(text) - 1
#define CID8 {.size = 8, .bytes = {1, 2, 3, 4, 5, 6, 7, 8}}
#define CID20 \
    {.size = 20, .bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}}
#define CID20_TEXT "\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14"
#define TOKEN_TEXT "TTTTTTTTTTTTTTTT"
#define TOKEN {'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T', 'T'}
#define MAX_TEXT "\xff\xff\xff\xff\xff\xff\xff\xff" /* 2^62 - 1 */
#define TWO_TO_60_TEXT "\xd0\0\0\0\0\0\0\0"

const struct frame_sample frame_samples[] = {
    {"padding, one", BYTES("\0"), .want = {.type = 0x00, .padding_size = 1}},
    {"padding, a run", BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), .has_no_end = true,
     .want = {.type = 0x00, .padding_size = 19}},
    {"ping", BYTES("\x01"), .want = {.type = 0x01}},

    {"ack of 0", BYTES("\x02\0\0\0\0"), .want = {.type = 0x02, .ack = {0}}},
    {"ack of 0 to 9", BYTES("\x02\x09\x05\0\x09"),
     .want = {.type = 0x02, .ack = {.largest = 9, .delay = 5, .first = {0, 9}}}},
    {"ack with gaps", BYTES("\x02\x40\x64\x44\0\x02\x0a\0\0\x03\x05"),
     .want = {.type = 0x02, .ack = {.largest = 100, .delay = 1024, .range_count = 2,
              .first = {90, 100}, .ranges = {DATA("\0\0\x03\x05")}}}},
    {"ack of the largest number", BYTES("\x02" MAX_TEXT MAX_TEXT "\0" MAX_TEXT),
     .want = {.type = 0x02, .ack = {.largest = SB_VARINT_MAX, .delay = SB_VARINT_MAX,
              .first = {0, SB_VARINT_MAX}}}},
    {"ack down to 0", BYTES("\x02\x05\0\x01\x01\x01\x01"),
     .want = {.type = 0x02, .ack = {.largest = 5, .range_count = 1, .first = {4, 5},
              .ranges = {DATA("\x01\x01")}}}},
    {"ack of 0 behind the largest gap", BYTES("\x02\x05\0\x01\x01\x02\0"),
     .want = {.type = 0x02, .ack = {.largest = 5, .range_count = 1, .first = {4, 5},
              .ranges = {DATA("\x02\0")}}}},
    {"ack with ecn", BYTES("\x03\x07\0\x01\0\0\x01\x01\x40\x80\x03"),
     .want = {.type = 0x03, .ack = {.largest = 7, .range_count = 1, .first = {7, 7},
              .ranges = {DATA("\0\x01")}, .has_ecn = true, .ect0 = 1, .ect1 = 128, .ce = 3}}},

    {"reset_stream", BYTES("\x04\x04\x40\x99\x80\x01\0\0"),
     .want = {.type = 0x04, .on_stream = {.id = 4, .error = 0x99, .final_size = 65536}}},
    {"stop_sending", BYTES("\x05\x03\x7f\xff"),
     .want = {.type = 0x05, .on_stream = {.id = 3, .error = 16383}}},
    {"crypto", BYTES("\x06\x41\0\x03" "abc"),
     .want = {.type = 0x06, .crypto = {.offset = 256, DATA("abc")}}},
    {"crypto, empty at the largest offset", BYTES("\x06" MAX_TEXT "\0"),
     .want = {.type = 0x06, .crypto = {.offset = SB_VARINT_MAX}}},
    {"new_token", BYTES("\x07\x05token"), .want = {.type = 0x07, .token = {DATA("token")}}},

    {"stream, empty", BYTES("\x08\x04"), .want = {.type = 0x08, .stream = {.id = 4}}},
    {"stream to the end", BYTES("\x08\x04" "abc"), .has_no_end = true,
     .want = {.type = 0x08, .stream = {.id = 4, DATA("abc")}}},
    {"stream to the end, fin", BYTES("\x09\x04" "abc"), .has_no_end = true,
     .want = {.type = 0x09, .stream = {.id = 4, DATA("abc"), .fin = true}}},
    {"stream with length", BYTES("\x0a\x40\x40\x02" "ab"),
     .want = {.type = 0x0a, .stream = {.id = 64, DATA("ab")}}},
    {"stream with length, fin", BYTES("\x0b\0\x02" "ab"),
     .want = {.type = 0x0b, .stream = {DATA("ab"), .fin = true}}},
    {"stream with offset", BYTES("\x0c\0\x7f\xff" "a"), .has_no_end = true,
     .want = {.type = 0x0c, .stream = {.offset = 0x3fff, DATA("a")}}},
    {"stream with offset, fin", BYTES("\x0d\0\x7f\xff" "a"), .has_no_end = true,
     .want = {.type = 0x0d, .stream = {.offset = 0x3fff, DATA("a"), .fin = true}}},
    {"stream with offset and length", BYTES("\x0e\x02\xbf\xff\xff\xff\x04" "abcd"),
     .want = {.type = 0x0e, .stream = {.id = 2, .offset = 0x3fffffff, DATA("abcd")}}},
    {"stream, fin alone at the largest offset", BYTES("\x0f" MAX_TEXT MAX_TEXT "\0"),
     .want = {.type = 0x0f,
              .stream = {.id = SB_VARINT_MAX, .offset = SB_VARINT_MAX, .fin = true}}},

    {"max_data", BYTES("\x10\x80\x10\0\0"), .want = {.type = 0x10, .limit = 1048576}},
    {"max_data, the largest", BYTES("\x10" MAX_TEXT),
     .want = {.type = 0x10, .limit = SB_VARINT_MAX}},
    {"max_stream_data", BYTES("\x11\x08\x7f\xff"),
     .want = {.type = 0x11, .on_stream = {.id = 8, .limit = 16383}}},
    {"max_streams, bidirectional", BYTES("\x12\x40\x64"), .want = {.type = 0x12, .limit = 100}},
    {"max_streams, bidirectional, the largest", BYTES("\x12" TWO_TO_60_TEXT),
     .want = {.type = 0x12, .limit = SP_STREAM_COUNT_MAX}},
    {"max_streams, unidirectional", BYTES("\x13" TWO_TO_60_TEXT),
     .want = {.type = 0x13, .limit = SP_STREAM_COUNT_MAX}},
    {"data_blocked", BYTES("\x14\x3f"), .want = {.type = 0x14, .limit = 63}},
    {"stream_data_blocked", BYTES("\x15\x01\0"),
     .want = {.type = 0x15, .on_stream = {.id = 1, .limit = 0}}},
    {"streams_blocked, bidirectional", BYTES("\x16" TWO_TO_60_TEXT),
     .want = {.type = 0x16, .limit = SP_STREAM_COUNT_MAX}},
    {"streams_blocked, unidirectional", BYTES("\x17\0"), .want = {.type = 0x17, .limit = 0}},

    {"new_connection_id", BYTES("\x18\x02\x01\x08\1\2\3\4\5\6\7\x08" TOKEN_TEXT),
     .want = {.type = 0x18, .new_cid = {2, 1, CID8, TOKEN}}},
    {"new_connection_id of 20, retires all before it",
     BYTES("\x18\x40\x80\x40\x80\x14" CID20_TEXT TOKEN_TEXT),
     .want = {.type = 0x18, .new_cid = {128, 128, CID20, TOKEN}}},
    {"new_connection_id of 1", BYTES("\x18\x01\0\x01\x63" TOKEN_TEXT),
     .want = {.type = 0x18, .new_cid = {1, 0, {.size = 1, .bytes = {'c'}}, TOKEN}}},
    {"retire_connection_id", BYTES("\x19\x06"), .want = {.type = 0x19, .sequence = 6}},
    {"path_challenge", BYTES("\x1a\1\2\3\4\5\6\7\x08"),
     .want = {.type = 0x1a, .path_data = {1, 2, 3, 4, 5, 6, 7, 8}}},
    {"path_response", BYTES("\x1b\x08\7\6\5\4\3\2\1"),
     .want = {.type = 0x1b, .path_data = {8, 7, 6, 5, 4, 3, 2, 1}}},

    {"connection_close", BYTES("\x1c\x0a\x06\x02no"),
     .want = {.type = 0x1c, .close = {.error = 10, .frame_type = 6, .reason = {DATA("no")}}}},
    {"connection_close with an alert, no reason", BYTES("\x1c\x41\x28\0\0"),
     .want = {.type = 0x1c, .close = {.error = 0x128}}},
    {"connection_close by the application", BYTES("\x1d" MAX_TEXT "\x03" "bye"),
     .want = {.type = 0x1d,
              .close = {.is_app = true, .error = SB_VARINT_MAX, .reason = {DATA("bye")}}}},
    {"handshake_done", BYTES("\x1e"), .want = {.type = 0x1e}},

    {"datagram, empty", BYTES("\x30"), .want = {.type = 0x30, .datagram = {.frame_size = 1}}},
    {"datagram to the end", BYTES("\x30" "abc"), .has_no_end = true,
     .want = {.type = 0x30, .datagram = {DATA("abc"), .frame_size = 4}}},
    {"datagram with length, empty", BYTES("\x31\0"),
     .want = {.type = 0x31, .datagram = {.frame_size = 2}}},
    {"datagram with length", BYTES("\x31\x03" "abc"),
     .want = {.type = 0x31, .datagram = {DATA("abc"), .frame_size = 5}}},

    {"immediate_ack", BYTES("\x1f"), .want = {.type = 0x1f}},
    {"ack_frequency", BYTES("\x40\xaf\x01\x0a\x67\x10\x03"),
     .want = {.type = 0xaf, .ack_frequency = {1, 10, 10000, 3}}},

    {"reset_stream_at", BYTES("\x24\x04\x40\x99\x80\x01\0\0\x41\0"),
     .want = {.type = 0x24, .on_stream = {.id = 4, .error = 0x99, .final_size = 65536,
              .reliable_size = 256}}},
    {"reset_stream_at, all of it reliable", BYTES("\x24\x03\0\x05\x05"),
     .want = {.type = 0x24, .on_stream = {.id = 3, .final_size = 5, .reliable_size = 5}}},
};
/* clang-format on */
const size_t frame_sample_count = sizeof(frame_samples) / sizeof(frame_samples[0]);

static bool bytes_equal(const uint8_t *a, uint64_t a_size, const uint8_t *b, uint64_t b_size)
{
    return a_size == b_size && (a_size == 0 || memcmp(a, b, a_size) == 0);
}

static bool ack_equal(const struct sp_frame_ack *a, const struct sp_frame_ack *b)
{
    if (a->largest != b->largest || a->delay != b->delay || a->range_count != b->range_count ||
        a->has_ecn != b->has_ecn || a->ect0 != b->ect0 || a->ect1 != b->ect1 || a->ce != b->ce)
        return false;

    /* By their values: a range may be encoded in more than one way. */
    struct sp_ack_walk walks[] = {sp_ack_walk_of(a), sp_ack_walk_of(b)};
    struct sp_ack_range x, y;
    while (sp_ack_next(&walks[0], &x)) {
        if (!sp_ack_next(&walks[1], &y) || x.smallest != y.smallest || x.largest != y.largest)
            return false;
    }
    return !sp_ack_next(&walks[1], &y);
}

bool frame_equal(const struct sp_frame *a, const struct sp_frame *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case SP_FRAME_PADDING:
        return a->padding_size == b->padding_size;
    case SP_FRAME_PING:
    case SP_FRAME_HANDSHAKE_DONE:
    case SP_FRAME_IMMEDIATE_ACK:
        return true;
    case SP_FRAME_ACK_FREQUENCY:
        return a->ack_frequency.sequence == b->ack_frequency.sequence &&
               a->ack_frequency.eliciting_max == b->ack_frequency.eliciting_max &&
               a->ack_frequency.delay_us == b->ack_frequency.delay_us &&
               a->ack_frequency.reorder_threshold == b->ack_frequency.reorder_threshold;
    case SP_FRAME_ACK:
    case SP_FRAME_ACK_ECN:
        return ack_equal(&a->ack, &b->ack);
    case SP_FRAME_RESET_STREAM:
    case SP_FRAME_RESET_STREAM_AT:
    case SP_FRAME_STOP_SENDING:
    case SP_FRAME_MAX_STREAM_DATA:
    case SP_FRAME_STREAM_DATA_BLOCKED:
        return a->on_stream.id == b->on_stream.id && a->on_stream.error == b->on_stream.error &&
               a->on_stream.limit == b->on_stream.limit &&
               a->on_stream.final_size == b->on_stream.final_size &&
               a->on_stream.reliable_size == b->on_stream.reliable_size;
    case SP_FRAME_CRYPTO:
        return a->crypto.offset == b->crypto.offset &&
               bytes_equal(a->crypto.data, a->crypto.size, b->crypto.data, b->crypto.size);
    case SP_FRAME_DATAGRAM:
    case SP_FRAME_DATAGRAM_LEN:
        return a->datagram.frame_size == b->datagram.frame_size &&
               bytes_equal(a->datagram.data, a->datagram.size, b->datagram.data, b->datagram.size);
    case SP_FRAME_NEW_TOKEN:
        return bytes_equal(a->token.data, a->token.size, b->token.data, b->token.size);
    case SP_FRAME_RETIRE_CONNECTION_ID:
        return a->sequence == b->sequence;
    case SP_FRAME_NEW_CONNECTION_ID:
        return a->new_cid.sequence == b->new_cid.sequence &&
               a->new_cid.retire_prior_to == b->new_cid.retire_prior_to &&
               sp_cid_equal(&a->new_cid.cid, &b->new_cid.cid) &&
               memcmp(a->new_cid.reset_token, b->new_cid.reset_token, SP_RESET_TOKEN_SIZE) == 0;
    case SP_FRAME_PATH_CHALLENGE:
    case SP_FRAME_PATH_RESPONSE:
        return memcmp(a->path_data, b->path_data, SP_PATH_DATA_SIZE) == 0;
    case SP_FRAME_CONNECTION_CLOSE:
    case SP_FRAME_CONNECTION_CLOSE_APP:
        return a->close.is_app == b->close.is_app && a->close.error == b->close.error &&
               a->close.frame_type == b->close.frame_type &&
               bytes_equal(a->close.reason.data, a->close.reason.size, b->close.reason.data,
                           b->close.reason.size);
    default:
        if ((a->type & ~(uint64_t)SP_STREAM_FLAGS) != SP_FRAME_STREAM)
            return a->limit == b->limit;
        return a->stream.id == b->stream.id && a->stream.offset == b->stream.offset &&
               a->stream.fin == b->stream.fin &&
               bytes_equal(a->stream.data, a->stream.size, b->stream.data, b->stream.size);
    }
}

/* More than a packet of 4,096 bytes can hold. */
enum { ACK_RANGES_MAX = 2048 };

static void write_ack(struct sb_writer *w, const struct sp_frame_ack *ack)
{
    struct sp_ack_range ranges[ACK_RANGES_MAX];
    uint32_t count = 0;
    struct sp_ack_walk walk = sp_ack_walk_of(ack);
    while (count < ACK_RANGES_MAX && sp_ack_next(&walk, &ranges[count]))
        count++;
    struct sp_ecn_counts ecn = {.ect0 = ack->ect0, .ect1 = ack->ect1, .ce = ack->ce};
    (void)sp_frame_write_ack(w, ranges, count, ack->delay, ack->has_ecn ? &ecn : NULL);
}

static void write_stream(struct sb_writer *w, const struct sp_frame *frame)
{
    struct sp_stream_head head = {
        .id = frame->stream.id,
        .offset = frame->stream.offset,
        .size = frame->stream.size,
        .has_length = (frame->type & SP_STREAM_LEN) != 0,
        .fin = frame->stream.fin,
    };
    sp_frame_write_stream_head(w, &head);
    sb_writer_bytes(w, frame->stream.data, frame->stream.size);
}

static void write_reset_at(struct sb_writer *w, const struct sp_frame *frame)
{
    const struct sp_frame_reset_at at = {
        .id = frame->on_stream.id,
        .error = frame->on_stream.error,
        .final_size = frame->on_stream.final_size,
        .reliable_size = frame->on_stream.reliable_size,
    };
    sp_frame_write_reset_stream_at(w, &at);
}

void frame_write(struct sb_writer *w, const struct sp_frame *frame)
{
    switch (frame->type) {
    case SP_FRAME_PADDING:
        sp_frame_write_padding(w, frame->padding_size);
        break;
    case SP_FRAME_PING:
        sp_frame_write_ping(w);
        break;
    case SP_FRAME_ACK:
    case SP_FRAME_ACK_ECN:
        write_ack(w, &frame->ack);
        break;
    case SP_FRAME_RESET_STREAM:
        sp_frame_write_reset_stream(w, frame->on_stream.id, frame->on_stream.error,
                                    frame->on_stream.final_size);
        break;
    case SP_FRAME_RESET_STREAM_AT:
        write_reset_at(w, frame);
        break;
    case SP_FRAME_STOP_SENDING:
        sp_frame_write_stop_sending(w, frame->on_stream.id, frame->on_stream.error);
        break;
    case SP_FRAME_MAX_STREAM_DATA:
    case SP_FRAME_STREAM_DATA_BLOCKED:
        sp_frame_write_stream_limit(w, (enum sp_frame_type)frame->type, frame->on_stream.id,
                                    frame->on_stream.limit);
        break;
    case SP_FRAME_CRYPTO:
        sp_frame_write_crypto_head(w, frame->crypto.offset, frame->crypto.size);
        sb_writer_bytes(w, frame->crypto.data, frame->crypto.size);
        break;
    case SP_FRAME_DATAGRAM:
    case SP_FRAME_DATAGRAM_LEN:
        sp_frame_write_datagram_head(w, frame->datagram.size, frame->type == SP_FRAME_DATAGRAM_LEN);
        sb_writer_bytes(w, frame->datagram.data, frame->datagram.size);
        break;
    case SP_FRAME_NEW_TOKEN:
        sp_frame_write_new_token(w, frame->token);
        break;
    case SP_FRAME_RETIRE_CONNECTION_ID:
        sp_frame_write_number(w, SP_FRAME_RETIRE_CONNECTION_ID, frame->sequence);
        break;
    case SP_FRAME_NEW_CONNECTION_ID:
        sp_frame_write_new_cid(w, &frame->new_cid);
        break;
    case SP_FRAME_PATH_CHALLENGE:
    case SP_FRAME_PATH_RESPONSE:
        sp_frame_write_path(w, (enum sp_frame_type)frame->type, frame->path_data);
        break;
    case SP_FRAME_CONNECTION_CLOSE:
    case SP_FRAME_CONNECTION_CLOSE_APP:
        sp_frame_write_close(w, &frame->close);
        break;
    case SP_FRAME_HANDSHAKE_DONE:
        sp_frame_write_handshake_done(w);
        break;
    case SP_FRAME_IMMEDIATE_ACK:
        sp_frame_write_immediate_ack(w);
        break;
    case SP_FRAME_ACK_FREQUENCY:
        sp_frame_write_ack_frequency(w, &frame->ack_frequency);
        break;
    default:
        if ((frame->type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM)
            write_stream(w, frame);
        else
            sp_frame_write_number(w, (enum sp_frame_type)frame->type, frame->limit);
    }
}

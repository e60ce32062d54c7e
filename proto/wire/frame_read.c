/* SPDX-License-Identifier: MIT */
#include "proto/wire/frame.h"

/* Bytes to frames.
 *
 * One function for each form of frame, all of one shape: read every field, look at `failed`
 * once, check the limits that the RFC sets for that frame alone, then hand the result out.
 * What a frame means for the connection is decided in conn/frames.c.
 *
 * The bytes have been authenticated, but the peer may be hostile: the work per frame must be
 * bounded by the size of its packet.  So the number of ACK ranges is compared with the bytes that
 * are left before the first range is read. */

#include "proto/wire/frame_table.h"
#include "proto/wire/header.h"

_Static_assert(SP_IN_INITIAL == 1 << SP_PACKET_INITIAL &&
                   SP_IN_ZERO_RTT == 1 << SP_PACKET_ZERO_RTT &&
                   SP_IN_HANDSHAKE == 1 << SP_PACKET_HANDSHAKE,
               "long packet types are bit numbers");

static uint8_t in_flag_of(uint32_t packet_type)
{
    SB_ASSERT(packet_type <= SP_PACKET_HANDSHAKE || packet_type == SP_PACKET_ONE_RTT);
    return (uint8_t)(packet_type == SP_PACKET_ONE_RTT ? SP_IN_ONE_RTT : 1u << packet_type);
}

/* Steps down one range.  False where a packet number would be below zero.
 * [RFC9000 19.3.1] */
static bool next_range(struct sb_reader *r, struct sp_ack_range *range)
{
    uint64_t gap = sb_reader_varint(r);
    uint64_t length = sb_reader_varint(r);
    if (range->smallest < 2 || gap > range->smallest - 2)
        return false;
    range->largest = range->smallest - 2 - gap;
    if (length > range->largest)
        return false;
    range->smallest = range->largest - length;
    return true;
}

/* [RFC9000 19.3] */
static enum sp_err read_ack(struct sb_reader *r, uint64_t type, struct sp_frame_ack *ret)
{
    struct sp_frame_ack f = {.has_ecn = type == SP_FRAME_ACK_ECN};
    uint64_t head[4];
    sb_reader_varints(r, head, SB_COUNT(head));
    f.largest = head[0];
    f.delay = head[1];
    f.range_count = head[2];
    uint64_t first_length = head[3];
    /* A range takes two bytes at least. */
    if (r->failed || first_length > f.largest || f.range_count > sb_reader_left(r) / 2)
        return SP_ERR_FRAME_ENCODING;
    f.first = (struct sp_ack_range){.smallest = f.largest - first_length, .largest = f.largest};

    const uint8_t *start = r->at;
    struct sp_ack_range range = f.first;
    for (uint64_t i = 0; i < f.range_count; i++) {
        if (!next_range(r, &range))
            return SP_ERR_FRAME_ENCODING;
    }
    f.ranges = (struct sb_bytes){.data = start, .size = (size_t)(r->at - start)};
    if (f.has_ecn) {
        uint64_t counts[3];
        sb_reader_varints(r, counts, SB_COUNT(counts));
        f.ect0 = counts[0];
        f.ect1 = counts[1];
        f.ce = counts[2];
    }
    if (r->failed)
        return SP_ERR_FRAME_ENCODING;
    *ret = f;
    return SP_OK;
}

struct sp_ack_walk sp_ack_walk_of(const struct sp_frame_ack *ack)
{
    return (struct sp_ack_walk){
        .reader = sb_reader_of(ack->ranges.data, ack->ranges.size),
        .left = ack->range_count,
        .range = ack->first,
        .has_range = true,
    };
}

bool sp_ack_next(struct sp_ack_walk *walk, struct sp_ack_range *ret)
{
    if (!walk->has_range)
        return false;
    *ret = walk->range;
    walk->has_range = walk->left > 0;
    if (walk->has_range) {
        walk->left--;
        bool was_checked = next_range(&walk->reader, &walk->range);
        SB_ASSERT(was_checked && !walk->reader.failed); /* by read_ack() */
    }
    return true;
}

/* [RFC9000 19.6] */
static enum sp_err read_crypto(struct sb_reader *r, struct sp_frame_crypto *ret)
{
    struct sp_frame_crypto f = {.offset = sb_reader_varint(r)};
    f.size = sb_reader_varint(r);
    f.data = sb_reader_take(r, f.size);
    if (r->failed)
        return SP_ERR_FRAME_ENCODING;
    /* [RFC9000 19.6] Both terms are below 2^62, so that the sum cannot wrap. */
    if (f.offset + f.size > SB_VARINT_MAX)
        return SP_ERR_FRAME_ENCODING;
    *ret = f;
    return SP_OK;
}

/* [RFC9221 4] Without a length the data runs to the end of the packet.  It may be empty. */
static enum sp_err read_datagram(struct sb_reader *r, uint64_t type, struct sp_frame_datagram *ret)
{
    size_t left = sb_reader_left(r);
    struct sp_frame_datagram f = {.size =
                                      type == SP_FRAME_DATAGRAM_LEN ? sb_reader_varint(r) : left};
    f.data = sb_reader_take(r, f.size);
    if (r->failed)
        return SP_ERR_FRAME_ENCODING;
    f.frame_size = 1 + (left - sb_reader_left(r));
    *ret = f;
    return SP_OK;
}

/* [RFC9000 19.7] */
static enum sp_err read_new_token(struct sb_reader *r, struct sb_bytes *ret)
{
    uint64_t size = sb_reader_varint(r);
    const uint8_t *data = sb_reader_take(r, size);
    if (r->failed || size == 0)
        return SP_ERR_FRAME_ENCODING;
    *ret = (struct sb_bytes){.data = data, .size = size};
    return SP_OK;
}

enum sp_err sp_frame_read_stream_tight(struct sb_reader *r, uint64_t type,
                                       struct sp_frame_stream *ret)
{
    SB_ASSERT((type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM);

    struct sp_frame_stream f = {.id = sb_reader_varint(r), .fin = (type & SP_STREAM_FIN) != 0};
    if (type & SP_STREAM_OFF)
        f.offset = sb_reader_varint(r);
    /* Without a length the data runs to the end of the packet. */
    f.size = (type & SP_STREAM_LEN) != 0 ? sb_reader_varint(r) : sb_reader_left(r);
    f.data = sb_reader_take(r, f.size);
    if (r->failed)
        return SP_ERR_FRAME_ENCODING;
    /* [RFC9000 19.8] Both terms are below 2^62, so that the sum cannot wrap. */
    if (f.offset + f.size > SB_VARINT_MAX)
        return SP_ERR_FRAME_ENCODING;
    *ret = f;
    return SP_OK;
}

/* [RFC9000 19.4, 19.5, 19.10, 19.13, reliable-reset 4] */
static enum sp_err read_on_stream(struct sb_reader *r, uint64_t type, struct sp_frame *ret)
{
    uint64_t id = sb_reader_varint(r);
    uint64_t second = sb_reader_varint(r);
    bool is_at = type == SP_FRAME_RESET_STREAM_AT;
    uint64_t final_size = type == SP_FRAME_RESET_STREAM || is_at ? sb_reader_varint(r) : 0;
    uint64_t reliable_size = is_at ? sb_reader_varint(r) : 0;
    if (r->failed || reliable_size > final_size) /* [reliable-reset 4] */
        return SP_ERR_FRAME_ENCODING;
    bool is_limit = type == SP_FRAME_MAX_STREAM_DATA || type == SP_FRAME_STREAM_DATA_BLOCKED;
    ret->on_stream.id = id;
    ret->on_stream.error = is_limit ? 0 : second;
    ret->on_stream.limit = is_limit ? second : 0;
    ret->on_stream.final_size = final_size;
    ret->on_stream.reliable_size = reliable_size;
    return SP_OK;
}

static enum sp_err read_number(struct sb_reader *r, uint64_t number_max, uint64_t *ret)
{
    uint64_t number = sb_reader_varint(r);
    if (r->failed || number > number_max)
        return SP_ERR_FRAME_ENCODING;
    *ret = number;
    return SP_OK;
}

/* [RFC9000 19.15] */
static enum sp_err read_new_cid(struct sb_reader *r, struct sp_frame_new_cid *ret)
{
    uint64_t sequence = sb_reader_varint(r);
    uint64_t retire_prior_to = sb_reader_varint(r);
    uint8_t size = sb_reader_u8(r);
    const uint8_t *cid = sb_reader_take(r, size);
    const uint8_t *token = sb_reader_take(r, SP_RESET_TOKEN_SIZE);
    if (r->failed || size < 1 || size > SP_CID_SIZE_MAX)
        return SP_ERR_FRAME_ENCODING;
    if (retire_prior_to > sequence)
        return SP_ERR_FRAME_ENCODING;

    ret->sequence = sequence;
    ret->retire_prior_to = retire_prior_to;
    ret->cid = sp_cid_of(cid, size);
    memcpy(ret->reset_token, token, SP_RESET_TOKEN_SIZE);
    return SP_OK;
}

/* [RFC9000 19.17, 19.18] */
static enum sp_err read_path(struct sb_reader *r, uint8_t ret[SP_PATH_DATA_SIZE])
{
    const uint8_t *data = sb_reader_take(r, SP_PATH_DATA_SIZE);
    if (data == NULL)
        return SP_ERR_FRAME_ENCODING;
    memcpy(ret, data, SP_PATH_DATA_SIZE);
    return SP_OK;
}

/* [RFC9000 19.19] */
static enum sp_err read_close(struct sb_reader *r, uint64_t type, struct sp_frame_close *ret)
{
    struct sp_frame_close f = {.is_app = type == SP_FRAME_CONNECTION_CLOSE_APP};
    f.error = sb_reader_varint(r);
    f.frame_type = f.is_app ? 0 : sb_reader_varint(r);
    f.reason.size = sb_reader_varint(r);
    f.reason.data = sb_reader_take(r, f.reason.size);
    if (r->failed)
        return SP_ERR_FRAME_ENCODING;
    *ret = f;
    return SP_OK;
}

static enum sp_err read_ack_frequency(struct sb_reader *r, struct sp_frame_ack_frequency *ret)
{
    struct sp_frame_ack_frequency f;
    f.sequence = sb_reader_varint(r);
    f.eliciting_max = sb_reader_varint(r);
    f.delay_us = sb_reader_varint(r);
    f.reorder_threshold = sb_reader_varint(r);
    if (r->failed)
        return SP_ERR_FRAME_ENCODING;
    *ret = f;
    return SP_OK;
}

/* Reads the fields after the type, which is known and allowed in this packet. */
static enum sp_err read_body(struct sb_reader *r, uint64_t type, struct sp_frame *ret)
{
    switch (type) {
    case SP_FRAME_PADDING:
        ret->padding_size = 1 + sb_reader_skip_zeros(r);
        return SP_OK;
    case SP_FRAME_PING:
    case SP_FRAME_HANDSHAKE_DONE:
    case SP_FRAME_IMMEDIATE_ACK:
        return SP_OK;
    case SP_FRAME_ACK_FREQUENCY:
        return read_ack_frequency(r, &ret->ack_frequency);
    case SP_FRAME_ACK:
    case SP_FRAME_ACK_ECN:
        return read_ack(r, type, &ret->ack);
    case SP_FRAME_RESET_STREAM:
    case SP_FRAME_RESET_STREAM_AT:
    case SP_FRAME_STOP_SENDING:
    case SP_FRAME_MAX_STREAM_DATA:
    case SP_FRAME_STREAM_DATA_BLOCKED:
        return read_on_stream(r, type, ret);
    case SP_FRAME_CRYPTO:
        return read_crypto(r, &ret->crypto);
    case SP_FRAME_DATAGRAM:
    case SP_FRAME_DATAGRAM_LEN:
        return read_datagram(r, type, &ret->datagram);
    case SP_FRAME_NEW_TOKEN:
        return read_new_token(r, &ret->token);
    case SP_FRAME_STREAM:
    case SP_FRAME_STREAM_FIN:
    case SP_FRAME_STREAM_LEN:
    case SP_FRAME_STREAM_LEN_FIN:
    case SP_FRAME_STREAM_OFF:
    case SP_FRAME_STREAM_OFF_FIN:
    case SP_FRAME_STREAM_OFF_LEN:
    case SP_FRAME_STREAM_OFF_LEN_FIN:
        return sp_frame_read_stream_tight(r, type, &ret->stream);
    case SP_FRAME_MAX_DATA:
    case SP_FRAME_DATA_BLOCKED:
        return read_number(r, SB_VARINT_MAX, &ret->limit);
    case SP_FRAME_MAX_STREAMS_BIDI:
    case SP_FRAME_MAX_STREAMS_UNI:
    case SP_FRAME_STREAMS_BLOCKED_BIDI:
    case SP_FRAME_STREAMS_BLOCKED_UNI:
        /* [RFC9000 4.6, 19.11, 19.14] */
        return read_number(r, SP_STREAM_COUNT_MAX, &ret->limit);
    case SP_FRAME_NEW_CONNECTION_ID:
        return read_new_cid(r, &ret->new_cid);
    case SP_FRAME_RETIRE_CONNECTION_ID:
        return read_number(r, SB_VARINT_MAX, &ret->sequence);
    case SP_FRAME_PATH_CHALLENGE:
    case SP_FRAME_PATH_RESPONSE:
        return read_path(r, ret->path_data);
    case SP_FRAME_CONNECTION_CLOSE:
    case SP_FRAME_CONNECTION_CLOSE_APP:
        return read_close(r, type, &ret->close);
    default:
        /* Our bug: the table has a row for it.  The peer chooses when: no assertion in release. */
        SB_DEBUG_ASSERT(false);
        return SP_ERR_INTERNAL;
    }
}

/* Reads a type of two bytes or more. */
static enum sp_err read_long_type(struct sb_reader *r, uint64_t *ret)
{
    size_t left = sb_reader_left(r);
    uint64_t type = sb_reader_varint(r);
    if (r->failed)
        return SP_ERR_FRAME_ENCODING;
    /* [RFC9000 12.4] A type must be in its shortest form. */
    if (left - sb_reader_left(r) != sb_varint_size(type))
        return SP_ERR_PROTOCOL_VIOLATION;
    *ret = type;
    return SP_OK;
}

enum sp_err sp_frame_read_any(struct sb_reader *reader, uint32_t packet_type, struct sp_frame *ret)
{
    SB_ASSERT(!reader->failed && sb_reader_left(reader) > 0);

    /* [RFC9000 12.4] */
    uint64_t type = *reader->at;
    enum sp_err err = SP_OK;
    if (SB_LIKELY(type < SP_FRAME_SHORT_TYPES))
        (void)sb_reader_u8(reader);
    else if ((err = read_long_type(reader, &type)) != SP_OK)
        return err;
    uint8_t flags = sp_frame_rule_of(type)->flags;
    if (SB_UNLIKELY(flags == 0))
        return SP_ERR_FRAME_ENCODING;
    if (SB_UNLIKELY((flags & in_flag_of(packet_type)) == 0))
        return SP_ERR_PROTOCOL_VIOLATION;

    err = read_body(reader, type, ret);
    if (err == SP_OK)
        ret->type = type;
    return err;
}

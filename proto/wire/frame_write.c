/* SPDX-License-Identifier: MIT */
#include "proto/wire/frame.h"

/* Frames to bytes.
 *
 * A writer that is too small fails and stays failed.  Callers compare the sizes first, so that this
 * does not happen.  The values are our own: values that the RFC forbids fail an assertion. */

void sp_frame_write_ping(struct sb_writer *w)
{
    sb_writer_u8(w, SP_FRAME_PING);
}

void sp_frame_write_padding(struct sb_writer *w, size_t size)
{
    _Static_assert(SP_FRAME_PADDING == 0, "padding is zeros");
    sb_writer_zeros(w, size);
}

/* [RFC9000 19.3.1] The gap before `range`, one less than the packets that are missing. */
static uint64_t gap_of(const struct sp_ack_range *previous, const struct sp_ack_range *range)
{
    SB_ASSERT(range->smallest <= range->largest);
    SB_ASSERT(previous->smallest >= 2 && range->largest <= previous->smallest - 2);
    return previous->smallest - 2 - range->largest;
}

/* An ACK frame with one range, and a further range, in the longest form. */
enum {
    ACK_HEAD_SIZE_MAX = 1 + 7 * SB_VARINT_SIZE_MAX,
    ACK_RANGE_SIZE_MAX = 2 * SB_VARINT_SIZE_MAX,
};

/* Returns how many ranges fit into `room`, 0 if not even one does. */
static uint32_t count_fitting(size_t room, const struct sp_ack_range *ranges, uint32_t range_count,
                              uint64_t delay, const struct sp_ecn_counts *ecn)
{
    /* The size without the field of the count, whose size depends on the count. */
    size_t size = 1 + (size_t)sb_varint_size(ranges[0].largest) + sb_varint_size(delay) +
                  sb_varint_size(ranges[0].largest - ranges[0].smallest);
    if (ecn != NULL)
        size +=
            (size_t)sb_varint_size(ecn->ect0) + sb_varint_size(ecn->ect1) + sb_varint_size(ecn->ce);
    if (size + sb_varint_size(0) > room)
        return 0;

    uint32_t count = 1;
    for (; count < range_count; count++) {
        const struct sp_ack_range *range = &ranges[count];
        size += (size_t)sb_varint_size(gap_of(&ranges[count - 1], range)) +
                sb_varint_size(range->largest - range->smallest);
        if (size + sb_varint_size(count) > room)
            break;
    }
    return count;
}

uint32_t sp_frame_write_ack(struct sb_writer *w, const struct sp_ack_range *ranges,
                            uint32_t range_count, uint64_t delay, const struct sp_ecn_counts *ecn)
{
    SB_ASSERT(range_count > 0);
    SB_ASSERT(ranges[0].smallest <= ranges[0].largest);
    if (w->failed)
        return 0;
    size_t left = sb_writer_left(w);
    uint32_t count = range_count;
    if (SB_UNLIKELY(left < ACK_HEAD_SIZE_MAX + (size_t)range_count * ACK_RANGE_SIZE_MAX))
        count = count_fitting(left, ranges, range_count, delay, ecn);
    if (count == 0)
        return 0;

    uint8_t *at = w->at;
    *at++ = ecn == NULL ? SP_FRAME_ACK : SP_FRAME_ACK_ECN;
    at = sb_store_varint(at, ranges[0].largest);
    at = sb_store_varint(at, delay);
    at = sb_store_varint(at, count - 1);
    at = sb_store_varint(at, ranges[0].largest - ranges[0].smallest);
    for (uint32_t i = 1; i < count; i++) {
        at = sb_store_varint(at, gap_of(&ranges[i - 1], &ranges[i]));
        at = sb_store_varint(at, ranges[i].largest - ranges[i].smallest);
    }
    if (ecn != NULL) {
        at = sb_store_varint(at, ecn->ect0);
        at = sb_store_varint(at, ecn->ect1);
        at = sb_store_varint(at, ecn->ce);
    }
    SB_ASSERT(at <= w->end); /* `count` ranges fit */
    w->at = at;
    return count;
}

void sp_frame_write_reset_stream(struct sb_writer *w, uint64_t id, uint64_t error,
                                 uint64_t final_size)
{
    sb_writer_u8(w, SP_FRAME_RESET_STREAM);
    sb_writer_varint(w, id);
    sb_writer_varint(w, error);
    sb_writer_varint(w, final_size);
}

void sp_frame_write_reset_stream_at(struct sb_writer *w, const struct sp_frame_reset_at *frame)
{
    SB_ASSERT(frame->reliable_size <= frame->final_size);
    sb_writer_u8(w, SP_FRAME_RESET_STREAM_AT);
    sb_writer_varint(w, frame->id);
    sb_writer_varint(w, frame->error);
    sb_writer_varint(w, frame->final_size);
    sb_writer_varint(w, frame->reliable_size);
}

void sp_frame_write_stop_sending(struct sb_writer *w, uint64_t id, uint64_t error)
{
    sb_writer_u8(w, SP_FRAME_STOP_SENDING);
    sb_writer_varint(w, id);
    sb_writer_varint(w, error);
}

void sp_frame_write_crypto_head(struct sb_writer *w, uint64_t offset, uint64_t size)
{
    SB_ASSERT(size <= SB_VARINT_MAX && offset <= SB_VARINT_MAX - size); /* [RFC9000 19.6] */
    sb_writer_u8(w, SP_FRAME_CRYPTO);
    sb_writer_varint(w, offset);
    sb_writer_varint(w, size);
}

size_t sp_frame_crypto_head_size(uint64_t offset, uint64_t size)
{
    return 1 + (size_t)sb_varint_size(offset) + sb_varint_size(size);
}

void sp_frame_write_datagram_head(struct sb_writer *w, uint64_t size, bool has_length)
{
    SB_ASSERT(size <= SB_VARINT_MAX);
    sb_writer_u8(w, has_length ? SP_FRAME_DATAGRAM_LEN : SP_FRAME_DATAGRAM);
    if (has_length)
        sb_writer_varint(w, size);
}

size_t sp_frame_datagram_head_size(uint64_t size, bool has_length)
{
    return 1 + (has_length ? (size_t)sb_varint_size(size) : 0);
}

void sp_frame_write_new_token(struct sb_writer *w, struct sb_bytes token)
{
    SB_ASSERT(token.size > 0); /* [RFC9000 19.7] */
    sb_writer_u8(w, SP_FRAME_NEW_TOKEN);
    sb_writer_varint(w, token.size);
    sb_writer_bytes(w, token.data, token.size);
}

void sp_frame_write_stream_head_tight(struct sb_writer *w, const struct sp_stream_head *head)
{
    sb_writer_u8(w, sp_stream_head_type(head));
    sb_writer_varint(w, head->id);
    if (head->offset > 0)
        sb_writer_varint(w, head->offset);
    if (head->has_length)
        sb_writer_varint(w, head->size);
}

size_t sp_frame_stream_head_size(const struct sp_stream_head *head)
{
    return 1 + (size_t)sb_varint_size(head->id) +
           (head->offset > 0 ? sb_varint_size(head->offset) : 0) +
           (head->has_length ? sb_varint_size(head->size) : 0);
}

static bool is_number(enum sp_frame_type type)
{
    switch (type) {
    case SP_FRAME_MAX_DATA:
    case SP_FRAME_MAX_STREAMS_BIDI:
    case SP_FRAME_MAX_STREAMS_UNI:
    case SP_FRAME_DATA_BLOCKED:
    case SP_FRAME_STREAMS_BLOCKED_BIDI:
    case SP_FRAME_STREAMS_BLOCKED_UNI:
    case SP_FRAME_RETIRE_CONNECTION_ID:
        return true;
    default:
        return false;
    }
}

void sp_frame_write_number(struct sb_writer *w, enum sp_frame_type type, uint64_t number)
{
    SB_ASSERT(is_number(type));
    /* [RFC9000 19.11, 19.14] */
    bool is_stream_count = type == SP_FRAME_MAX_STREAMS_BIDI || type == SP_FRAME_MAX_STREAMS_UNI ||
                           type == SP_FRAME_STREAMS_BLOCKED_BIDI ||
                           type == SP_FRAME_STREAMS_BLOCKED_UNI;
    SB_ASSERT(!is_stream_count || number <= SP_STREAM_COUNT_MAX);
    sb_writer_varint(w, type);
    sb_writer_varint(w, number);
}

void sp_frame_write_stream_limit(struct sb_writer *w, enum sp_frame_type type, uint64_t id,
                                 uint64_t limit)
{
    SB_ASSERT(type == SP_FRAME_MAX_STREAM_DATA || type == SP_FRAME_STREAM_DATA_BLOCKED);
    sb_writer_u8(w, (uint8_t)type);
    sb_writer_varint(w, id);
    sb_writer_varint(w, limit);
}

void sp_frame_write_new_cid(struct sb_writer *w, const struct sp_frame_new_cid *frame)
{
    /* [RFC9000 19.15] */
    SB_ASSERT(frame->cid.size >= 1 && frame->cid.size <= SP_CID_SIZE_MAX);
    SB_ASSERT(frame->retire_prior_to <= frame->sequence);
    sb_writer_u8(w, SP_FRAME_NEW_CONNECTION_ID);
    sb_writer_varint(w, frame->sequence);
    sb_writer_varint(w, frame->retire_prior_to);
    sb_writer_u8(w, frame->cid.size);
    sb_writer_bytes(w, frame->cid.bytes, frame->cid.size);
    sb_writer_bytes(w, frame->reset_token, SP_RESET_TOKEN_SIZE);
}

void sp_frame_write_path(struct sb_writer *w, enum sp_frame_type type,
                         const uint8_t data[SP_PATH_DATA_SIZE])
{
    SB_ASSERT(type == SP_FRAME_PATH_CHALLENGE || type == SP_FRAME_PATH_RESPONSE);
    sb_writer_u8(w, (uint8_t)type);
    sb_writer_bytes(w, data, SP_PATH_DATA_SIZE);
}

void sp_frame_write_close(struct sb_writer *w, const struct sp_frame_close *frame)
{
    SB_ASSERT(!frame->is_app || frame->frame_type == 0);
    sb_writer_u8(w, frame->is_app ? SP_FRAME_CONNECTION_CLOSE_APP : SP_FRAME_CONNECTION_CLOSE);
    sb_writer_varint(w, frame->error);
    if (!frame->is_app)
        sb_writer_varint(w, frame->frame_type);

    /* The reason and its length get the remaining bytes.  A length field that could encode all of
     * them is large enough. */
    size_t left = w->failed ? 0 : sb_writer_left(w);
    size_t length_size = sb_varint_size(SB_MIN(frame->reason.size, left));
    size_t size = left > length_size ? SB_MIN(frame->reason.size, left - length_size) : 0;
    sb_writer_varint(w, size);
    sb_writer_bytes(w, frame->reason.data, size);
}

void sp_frame_write_handshake_done(struct sb_writer *w)
{
    sb_writer_u8(w, SP_FRAME_HANDSHAKE_DONE);
}

void sp_frame_write_immediate_ack(struct sb_writer *w)
{
    sb_writer_u8(w, SP_FRAME_IMMEDIATE_ACK);
}

void sp_frame_write_ack_frequency(struct sb_writer *w, const struct sp_frame_ack_frequency *frame)
{
    sb_writer_varint(w, SP_FRAME_ACK_FREQUENCY);
    sb_writer_varint(w, frame->sequence);
    sb_writer_varint(w, frame->eliciting_max);
    sb_writer_varint(w, frame->delay_us);
    sb_writer_varint(w, frame->reorder_threshold);
}

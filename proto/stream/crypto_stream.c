/* SPDX-License-Identifier: MIT */
#include "proto/stream/crypto_stream.h"

#include "proto/base/assert.h"
#include "proto/wire/limits.h"

void sp_crypto_stream_init(struct sp_crypto_stream *stream, struct sp_piece_store *store,
                           struct sb_store *ranges, uint32_t ahead_max)
{
    SB_ASSERT(ahead_max <= SP_CRYPTO_BUFFER_BYTES_MAX);
    *stream = (struct sp_crypto_stream){.ahead_max = ahead_max};
    sp_delivery_init(&stream->out, ranges);
    sp_reassembly_init(&stream->in, store);
}

void sp_crypto_stream_deinit(struct sp_crypto_stream *stream)
{
    sp_delivery_clear(&stream->out);
    sp_reassembly_clear(&stream->in);
}

enum sp_err sp_crypto_stream_receive(struct sp_crypto_stream *stream,
                                     const struct sp_frame_crypto *frame, struct sb_buffer *buffer,
                                     bool *ret_is_out_of_memory)
{
    /* [RFC9000 7.5] */
    uint64_t end = frame->offset + frame->size;
    if (end > stream->in.read_end + SP_CRYPTO_BUFFER_BYTES_MAX)
        return SP_ERR_CRYPTO_BUFFER_EXCEEDED;
    if (frame->offset > stream->in.read_end && end > stream->in.read_end + stream->ahead_max) {
        *ret_is_out_of_memory = true;
        return SP_OK;
    }

    struct sb_slice slice = {.data = frame->data, .size = frame->size, .buffer = buffer};
    *ret_is_out_of_memory = !sp_reassembly_insert(&stream->in, frame->offset, &slice);
    return SP_OK;
}

bool sp_crypto_stream_next(const struct sp_crypto_stream *stream, uint64_t *ret_offset,
                           uint64_t *ret_size)
{
    if (sp_delivery_next_lost(&stream->out, ret_offset, ret_size))
        return true;
    *ret_offset = stream->out.sent_end;
    *ret_size = stream->out_end - stream->out.sent_end;
    return *ret_size > 0;
}

bool sp_crypto_stream_retransmit(struct sp_crypto_stream *stream, uint64_t size_max)
{
    struct sp_delivery *out = &stream->out;
    uint64_t size = SB_MIN(size_max, out->sent_end - out->acked_end);
    return sp_delivery_on_lost(out, out->acked_end, size);
}

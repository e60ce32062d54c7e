/* SPDX-License-Identifier: MIT */
#ifndef SP_CRYPTO_STREAM_H
#define SP_CRYPTO_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/stream/delivery.h"
#include "proto/wire/frame.h"
#include "proto/stream/reassembly.h"

/* The CRYPTO bytes of one encryption level, both ways.  [RFC9000 19.6]
 *
 * The bytes to send stay in the TLS object; only offsets are kept here. */
struct sp_crypto_stream {
    struct sp_delivery out;
    uint64_t out_end; /* bytes that TLS has given */
    struct sp_reassembly in;
    uint32_t ahead_max; /* bytes beyond those that TLS has got that are kept */
};

/* `ahead_max`: SP_CRYPTO_BUFFER_BYTES_MAX, or less; what lies beyond it finds no memory. */
void sp_crypto_stream_init(struct sp_crypto_stream *stream, struct sp_piece_store *store,
                           struct sb_store *ranges, uint32_t ahead_max);
void sp_crypto_stream_deinit(struct sp_crypto_stream *stream);

/* Takes a CRYPTO frame whose bytes `buffer` owns.  Returns SP_OK or CRYPTO_BUFFER_EXCEEDED.
 * `*ret_is_out_of_memory`: the packet must be dropped. */
SB_MUST_USE enum sp_err sp_crypto_stream_receive(struct sp_crypto_stream *stream,
                                                 const struct sp_frame_crypto *frame,
                                                 struct sb_buffer *buffer,
                                                 bool *ret_is_out_of_memory);

static inline bool sp_crypto_stream_wants_send(const struct sp_crypto_stream *stream)
{
    return !sp_ranges_is_empty(&stream->out.lost) || stream->out.sent_end < stream->out_end;
}

/* Returns whether received bytes wait for others before them. */
static inline bool sp_crypto_stream_has_gap(const struct sp_crypto_stream *stream)
{
    return stream->in.received_bytes > stream->in.read_end;
}

/* Queues bytes in flight once more, the oldest first, at most `size_max` of them.  Returns false
 * without memory: fewer are queued then. */
SB_MUST_USE bool sp_crypto_stream_retransmit(struct sp_crypto_stream *stream, uint64_t size_max);

/* The next range to send, lost ones first.  False if there is none. */
bool sp_crypto_stream_next(const struct sp_crypto_stream *stream, uint64_t *ret_offset,
                           uint64_t *ret_size);

#endif

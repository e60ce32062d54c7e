/* SPDX-License-Identifier: MIT */
#ifndef SP_FRAME_H
#define SP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/wire/header.h"
#include "proto/wire/types.h"

/* Frames.  [RFC9000 12.4, 19]
 *
 *     frame_table.h   the rules of each type: allowed packets, ack-eliciting or not
 *     frame_read.c    bytes to struct sp_frame
 *     frame_write.c   values to bytes
 */

enum sp_frame_type {
    SP_FRAME_PADDING = 0x00,
    SP_FRAME_PING = 0x01,
    SP_FRAME_ACK = 0x02,
    SP_FRAME_ACK_ECN = 0x03,
    SP_FRAME_RESET_STREAM = 0x04,
    SP_FRAME_STOP_SENDING = 0x05,
    SP_FRAME_CRYPTO = 0x06,
    SP_FRAME_NEW_TOKEN = 0x07,
    SP_FRAME_STREAM = 0x08, /* to 0x0f: each set of flags (SP_STREAM_FLAGS) is a type */
    SP_FRAME_STREAM_FIN = 0x09,
    SP_FRAME_STREAM_LEN = 0x0a,
    SP_FRAME_STREAM_LEN_FIN = 0x0b,
    SP_FRAME_STREAM_OFF = 0x0c,
    SP_FRAME_STREAM_OFF_FIN = 0x0d,
    SP_FRAME_STREAM_OFF_LEN = 0x0e,
    SP_FRAME_STREAM_OFF_LEN_FIN = 0x0f,
    SP_FRAME_MAX_DATA = 0x10,
    SP_FRAME_MAX_STREAM_DATA = 0x11,
    SP_FRAME_MAX_STREAMS_BIDI = 0x12,
    SP_FRAME_MAX_STREAMS_UNI = 0x13,
    SP_FRAME_DATA_BLOCKED = 0x14,
    SP_FRAME_STREAM_DATA_BLOCKED = 0x15,
    SP_FRAME_STREAMS_BLOCKED_BIDI = 0x16,
    SP_FRAME_STREAMS_BLOCKED_UNI = 0x17,
    SP_FRAME_NEW_CONNECTION_ID = 0x18,
    SP_FRAME_RETIRE_CONNECTION_ID = 0x19,
    SP_FRAME_PATH_CHALLENGE = 0x1a,
    SP_FRAME_PATH_RESPONSE = 0x1b,
    SP_FRAME_CONNECTION_CLOSE = 0x1c,
    SP_FRAME_CONNECTION_CLOSE_APP = 0x1d,
    SP_FRAME_HANDSHAKE_DONE = 0x1e,
    SP_FRAME_IMMEDIATE_ACK = 0x1f,   /* [ack-frequency 5] */
    SP_FRAME_RESET_STREAM_AT = 0x24, /* [reliable-reset 4] */
    SP_FRAME_DATAGRAM = 0x30,        /* to the end of the packet.  [RFC9221 4] */
    SP_FRAME_DATAGRAM_LEN = 0x31,    /* with a length */
    SP_FRAME_ACK_FREQUENCY = 0xaf,   /* [ack-frequency 4] */
};

enum {
    SP_STREAM_FIN = 0x01,
    SP_STREAM_LEN = 0x02,
    SP_STREAM_OFF = 0x04,
    SP_STREAM_FLAGS = 0x07,
};

/* One range of acknowledged packet numbers, both ends included. */
struct sp_ack_range {
    uint64_t smallest;
    uint64_t largest;
};

/* A wish of the peer's about our ACKs. */
struct sp_frame_ack_frequency {
    uint64_t sequence;
    uint64_t eliciting_max; /* ack-eliciting packets that need no ACK yet */
    uint64_t delay_us;
    uint64_t reorder_threshold; /* 0: reordering asks for no ACK */
};

/* What a RESET_STREAM_AT frame says.  [reliable-reset 4] */
struct sp_frame_reset_at {
    uint64_t id;
    uint64_t error;
    uint64_t final_size;
    uint64_t reliable_size;
};

struct sp_frame_ack {
    uint64_t largest;
    uint64_t delay;       /* as on the wire: scaled by the peer's ack_delay_exponent */
    uint64_t range_count; /* ranges after the first one */
    struct sp_ack_range first;
    struct sb_bytes ranges; /* the encoded rest, checked: see sp_ack_next() */
    bool has_ecn;
    uint64_t ect0;
    uint64_t ect1;
    uint64_t ce;
};

struct sp_frame_stream {
    uint64_t id;
    uint64_t offset;     /* of data[0] in the stream, in bytes */
    const uint8_t *data; /* borrowed from the packet */
    uint64_t size;
    bool fin;
};

struct sp_frame_crypto {
    uint64_t offset;
    const uint8_t *data; /* borrowed from the packet */
    uint64_t size;
};

struct sp_frame_datagram {
    const uint8_t *data; /* borrowed from the packet */
    uint64_t size;
    uint64_t frame_size; /* with type and length: what max_datagram_frame_size limits */
};

struct sp_frame_new_cid {
    uint64_t sequence;
    uint64_t retire_prior_to;
    struct sp_cid cid;
    uint8_t reset_token[SP_RESET_TOKEN_SIZE];
};

struct sp_frame_close {
    bool is_app;
    uint64_t error;
    uint64_t frame_type; /* 0 for is_app */
    struct sb_bytes reason;
};

/* A frame as read.  Borrows from the packet. */
struct sp_frame {
    uint64_t type; /* as on the wire: STREAM with its flags */
    union {
        struct sp_frame_ack ack;
        struct sp_frame_ack_frequency ack_frequency;
        struct sp_frame_stream stream;
        struct sp_frame_crypto crypto;
        struct sp_frame_datagram datagram;
        struct sp_frame_new_cid new_cid;
        struct sp_frame_close close;
        struct sb_bytes token; /* NEW_TOKEN */
        struct {
            uint64_t id;
            uint64_t error;         /* RESET_STREAM, RESET_STREAM_AT, STOP_SENDING */
            uint64_t final_size;    /* RESET_STREAM, RESET_STREAM_AT */
            uint64_t reliable_size; /* RESET_STREAM_AT, at most the final size */
            uint64_t limit;         /* MAX_STREAM_DATA, STREAM_DATA_BLOCKED */
        } on_stream;
        uint64_t limit;    /* MAX_DATA, MAX_STREAMS_*, DATA_BLOCKED, STREAMS_BLOCKED_* */
        uint64_t sequence; /* RETIRE_CONNECTION_ID */
        uint8_t path_data[SP_PATH_DATA_SIZE];
        size_t padding_size; /* a run of PADDING bytes, this one included */
    };
};

/* Reads a STREAM frame whose type byte has been taken already.  Bounds-checked slow path; yields
 * the exact error.  [RFC9000 19.8] */
SB_MUST_USE enum sp_err sp_frame_read_stream_tight(struct sb_reader *reader, uint64_t type,
                                                   struct sp_frame_stream *ret);

/* Reads a STREAM frame whose type byte has been taken already.  Checks once that ample bytes are
 * left, as in nearly all packets; otherwise calls sp_frame_read_stream_tight(). */
SB_MUST_USE static inline enum sp_err sp_frame_read_stream(struct sb_reader *reader, uint64_t type,
                                                           struct sp_frame_stream *ret)
{
    enum { NUMBERS_SIZE_MAX = 3 * SB_VARINT_SIZE_MAX };
    /* The dispatch sent us here: a wrong type is our bug, not the peer's. */
    SB_ASSERT((type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM);
    if (SB_UNLIKELY(reader->failed || sb_reader_left(reader) < NUMBERS_SIZE_MAX))
        return sp_frame_read_stream_tight(reader, type, ret);
    uint64_t id, offset = 0;
    const uint8_t *at = sb_load_varint(reader->at, &id);
    if (type & SP_STREAM_OFF)
        at = sb_load_varint(at, &offset);
    uint64_t size = (size_t)(reader->end - at);
    if (type & SP_STREAM_LEN)
        at = sb_load_varint(at, &size);
    if (SB_UNLIKELY(size > (size_t)(reader->end - at) || offset + size > SB_VARINT_MAX))
        return sp_frame_read_stream_tight(reader, type, ret);
    ret->id = id;
    ret->offset = offset;
    ret->data = at;
    ret->size = size;
    ret->fin = (type & SP_STREAM_FIN) != 0;
    reader->at = at + size;
    return SP_OK;
}

/* Reads one frame of a packet of type `packet_type` (an enum sp_packet_type), steps over
 * it and fills `*ret` on SP_OK.  Returns the wire's error code otherwise:
 *
 *   SP_ERR_FRAME_ENCODING      unknown type, truncated, or a value that the RFC forbids
 *   SP_ERR_PROTOCOL_VIOLATION  not allowed in this packet type (or a type that
 *                              is not in its shortest form). [RFC9000 12.4]
 *   SP_ERR_...                 what section 19 names for that frame
 *
 * `reader` must not be empty. */
SB_MUST_USE enum sp_err sp_frame_read_any(struct sb_reader *reader, uint32_t packet_type,
                                          struct sp_frame *ret);

/* Reads a frame as sp_frame_read_any() does, with a fast path for STREAM frames of 1-RTT packets.
 */
SB_MUST_USE static inline enum sp_err sp_frame_read(struct sb_reader *reader, uint32_t packet_type,
                                                    struct sp_frame *ret)
{
    SB_ASSERT(!reader->failed && sb_reader_left(reader) > 0);
    uint64_t type = *reader->at;
    if (SB_UNLIKELY((type & ~(uint64_t)SP_STREAM_FLAGS) != SP_FRAME_STREAM ||
                    packet_type != SP_PACKET_ONE_RTT))
        return sp_frame_read_any(reader, packet_type, ret);
    (void)sb_reader_u8(reader);
    enum sp_err err = sp_frame_read_stream(reader, type, &ret->stream);
    if (SB_LIKELY(err == SP_OK))
        ret->type = type;
    return err;
}

/* Type, stream, offset and length of a STREAM frame. */
#define SP_STREAM_HEAD_SIZE_MAX (1 + 3 * SB_VARINT_SIZE_MAX)

/* Reads the head of a STREAM frame that fills `size` bytes exactly, more than
 * SP_STREAM_HEAD_SIZE_MAX: only so many are looked at.  Returns the head's size, 0 if this is
 * something else or a frame that sp_frame_read() refuses.  `ret->data` is not set. */
static inline size_t sp_frame_read_lone_stream(const uint8_t *bytes, uint64_t size,
                                               struct sp_frame_stream *ret)
{
    uint8_t type = bytes[0];
    if ((type & ~SP_STREAM_FLAGS) != SP_FRAME_STREAM)
        return 0;
    SB_DEBUG_ASSERT(size > SP_STREAM_HEAD_SIZE_MAX);
    uint64_t id;
    uint64_t offset = 0;
    const uint8_t *at = sb_load_varint(bytes + 1, &id);
    if (type & SP_STREAM_OFF)
        at = sb_load_varint(at, &offset);
    uint64_t wire_size = 0;
    if (type & SP_STREAM_LEN)
        at = sb_load_varint(at, &wire_size);
    size_t head_size = (size_t)(at - bytes);
    uint64_t data_size = size - head_size;
    if (((type & SP_STREAM_LEN) && wire_size != data_size) || data_size > SB_VARINT_MAX - offset)
        return 0;
    ret->id = id; /* field by field: all at once would be cleared in a loop before */
    ret->offset = offset;
    ret->size = data_size;
    ret->fin = (type & SP_STREAM_FIN) != 0;
    return head_size;
}

/* Walks the ranges of an ACK frame that sp_frame_read() accepted, largest first:
 *
 *     struct sp_ack_walk walk = sp_ack_walk_of(&frame.ack);
 *     while (sp_ack_next(&walk, &range)) ...
 */
struct sp_ack_walk {
    struct sb_reader reader;
    uint64_t left;
    struct sp_ack_range range; /* the next one */
    bool has_range;
};

struct sp_ack_walk sp_ack_walk_of(const struct sp_frame_ack *ack);
bool sp_ack_next(struct sp_ack_walk *walk, struct sp_ack_range *ret);

/* Writers.  Each writes the whole frame, type included, or fails the writer. */

void sp_frame_write_ping(struct sb_writer *w);
void sp_frame_write_padding(struct sb_writer *w, size_t size);

struct sp_ecn_counts {
    uint64_t ect0;
    uint64_t ect1;
    uint64_t ce;
};

/* Writes as many of `ranges` (largest first, disjoint, not adjacent) as fit, and returns how many.
 * Returns 0, and writes nothing, if not even the first fits.
 * `ecn` may be NULL.  `delay` is already scaled.  [RFC9000 19.3] */
uint32_t sp_frame_write_ack(struct sb_writer *w, const struct sp_ack_range *ranges,
                            uint32_t range_count, uint64_t delay, const struct sp_ecn_counts *ecn);

void sp_frame_write_reset_stream(struct sb_writer *w, uint64_t id, uint64_t error,
                                 uint64_t final_size);
void sp_frame_write_reset_stream_at(struct sb_writer *w, const struct sp_frame_reset_at *frame);
void sp_frame_write_stop_sending(struct sb_writer *w, uint64_t id, uint64_t error);

/* Writes the head of a CRYPTO frame; the caller writes `size` bytes after it. */
void sp_frame_write_crypto_head(struct sb_writer *w, uint64_t offset, uint64_t size);
size_t sp_frame_crypto_head_size(uint64_t offset, uint64_t size);

/* Writes the head of a DATAGRAM frame; the caller writes `size` bytes after it.  Without a length
 * the data runs to the end of the packet.  [RFC9221 4] */
void sp_frame_write_datagram_head(struct sb_writer *w, uint64_t size, bool has_length);
size_t sp_frame_datagram_head_size(uint64_t size, bool has_length);

void sp_frame_write_new_token(struct sb_writer *w, struct sb_bytes token);

/* Writes the head of a STREAM frame; the caller writes `size` bytes after it.  Without a length the
 * data runs to the end of the packet. */
struct sp_stream_head {
    uint64_t id;
    uint64_t offset;
    uint64_t size;
    bool has_length;
    bool fin;
};

static inline uint8_t sp_stream_head_type(const struct sp_stream_head *head)
{
    /* [RFC9000 19.8] */
    SB_ASSERT(head->size <= SB_VARINT_MAX && head->offset <= SB_VARINT_MAX - head->size);
    return (uint8_t)(SP_FRAME_STREAM | (head->offset > 0 ? SP_STREAM_OFF : 0) |
                     (head->has_length ? SP_STREAM_LEN : 0) | (head->fin ? SP_STREAM_FIN : 0));
}

/* Writes the head of a STREAM frame where the room may be too small. */
void sp_frame_write_stream_head_tight(struct sb_writer *w, const struct sp_stream_head *head);

/* Writes the head of a STREAM frame.  Checks once that the room is ample, as in nearly all packets;
 * otherwise calls sp_frame_write_stream_head_tight(). */
static inline void sp_frame_write_stream_head(struct sb_writer *w,
                                              const struct sp_stream_head *head)
{
    enum { SIZE_MAX_OF_ALL = 1 + 3 * SB_VARINT_SIZE_MAX };
    if (SB_UNLIKELY(w->failed || sb_writer_left(w) < SIZE_MAX_OF_ALL)) {
        struct sb_writer copy = *w; /* so that the writer itself can stay in registers */
        sp_frame_write_stream_head_tight(&copy, head);
        *w = copy;
        return;
    }
    const struct sp_stream_head h = *head; /* no byte that is written changes it */
    uint8_t *at = w->at;
    *at++ = sp_stream_head_type(&h);
    at = sb_store_varint(at, h.id);
    if (h.offset > 0)
        at = sb_store_varint(at, h.offset);
    if (h.has_length)
        at = sb_store_varint(at, h.size);
    w->at = at;
}

size_t sp_frame_stream_head_size(const struct sp_stream_head *head);

/* MAX_DATA, MAX_STREAMS_*, DATA_BLOCKED, STREAMS_BLOCKED_*, RETIRE_CONNECTION_ID: a
 * type and one number. */
void sp_frame_write_number(struct sb_writer *w, enum sp_frame_type type, uint64_t number);

/* MAX_STREAM_DATA and STREAM_DATA_BLOCKED. */
void sp_frame_write_stream_limit(struct sb_writer *w, enum sp_frame_type type, uint64_t id,
                                 uint64_t limit);

void sp_frame_write_new_cid(struct sb_writer *w, const struct sp_frame_new_cid *frame);

/* PATH_CHALLENGE and PATH_RESPONSE. */
void sp_frame_write_path(struct sb_writer *w, enum sp_frame_type type,
                         const uint8_t data[SP_PATH_DATA_SIZE]);

/* Cuts the reason where it does not fit. */
void sp_frame_write_close(struct sb_writer *w, const struct sp_frame_close *frame);
void sp_frame_write_handshake_done(struct sb_writer *w);
void sp_frame_write_immediate_ack(struct sb_writer *w);
void sp_frame_write_ack_frequency(struct sb_writer *w, const struct sp_frame_ack_frequency *frame);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_STREAM_SEND_H
#define SP_STREAM_SEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/base/pool.h"
#include "proto/stream/delivery.h"
#include "proto/stream/stream_state.h"

/* The sending part of a stream.  [RFC9000 3.1]
 *
 * The bytes stay the application's: a chunk is one lent range with its tag, and
 * comes back in `done` when all of it is acknowledged, or given up.  Ranges that were queued
 * together come back together: only the last has the tag, and stands for all of them. */
struct sp_chunk {
    struct sp_chunk *next;
    const uint8_t *data;
    uint64_t size;
    uint64_t offset; /* of data[0] in the stream */
    uint64_t tag;
    uint64_t before_bytes : 48; /* that come back with it: of ranges before it, or dropped */
    bool fin : 1;
    bool is_acked : 1;
    bool is_part : 1; /* comes back with the range after it */
    bool is_cut : 1;  /* bytes of it, or of ranges after it that come back with it, were dropped */
};

/* delivery.acked_end <= delivery.sent_end <= queued_end;  sent_end <= max_data */
struct sp_stream_send {
    struct sb_store *chunks; /* borrowed */
    struct sp_delivery delivery;
    struct sp_chunk *first; /* lent, the oldest first */
    struct sp_chunk *last;
    struct sp_chunk *cursor; /* the one that holds delivery.sent_end; NULL: all sent */
    struct sp_chunk
        *retransmit; /* of the last lost bytes that went out again; NULL: none is left */
    struct sp_chunk *done_first; /* to be given back */
    struct sp_chunk *done_last;
    uint64_t queued_end;
    uint64_t max_data; /* the peer's limit */
    uint64_t
        blocked_at; /* the limit that was reported by STREAM_DATA_BLOCKED; SB_VARINT_NONE: none */
    uint64_t reset_error;
    uint64_t reliable_size;   /* with SP_SEND_CUT and SP_SEND_RESET_AT: no byte above is needed */
    enum sp_send_state state; /* SP_SEND_NONE: the stream has no such part */
    bool fin_queued;
    bool fin_is_out; /* sent, and not known to be lost */
    bool fin_acked;  /* .. or with SP_SEND_RESET_AT: the newest RESET_STREAM_AT */
};

/* The content of one STREAM frame. */
struct sp_send_piece {
    struct sp_chunk *chunk; /* that holds the bytes; NULL for a FIN without bytes */
    const uint8_t *data;
    uint64_t offset;
    uint64_t size;
    uint64_t fresh; /* how many of the bytes go out for the first time: all or none */
    bool fin;
};

void sp_stream_send_init(struct sp_stream_send *send, struct sb_store *chunks,
                         struct sb_store *ranges, uint64_t max_data);
/* Gives everything up; lent bytes are forgotten. */
void sp_stream_send_deinit(struct sp_stream_send *send);

/* Queues lent bytes.  False without memory: nothing is lent then. */
SB_MUST_USE bool sp_stream_send_queue(struct sp_stream_send *send, const void *data, uint64_t size,
                                      uint64_t tag, bool fin);

/* Queues ranges that come back together, without those of size 0.  Their sum is below 2^48, and at
 * least one has bytes.  False without memory: nothing is lent then. */
SB_MUST_USE bool sp_stream_send_queue_all(struct sp_stream_send *send,
                                          const struct sb_bytes *ranges, size_t count, uint64_t tag,
                                          bool fin);

/* Returns whether it was reset with a reliable size, and not without one since. */
static inline bool sp_stream_send_is_cut(const struct sp_stream_send *send)
{
    return send->state == SP_SEND_CUT || send->state == SP_SEND_RESET_AT;
}

/* Returns where the bytes end that the peer has to get. */
static inline uint64_t sp_stream_send_needed_end(const struct sp_stream_send *send)
{
    return sp_stream_send_is_cut(send) ? send->reliable_size : send->queued_end;
}

/* True if new bytes or a FIN may still be queued. */
static inline bool sp_stream_send_is_open(const struct sp_stream_send *send)
{
    return (send->state == SP_SEND_READY || send->state == SP_SEND_OPEN) && !send->fin_queued;
}

enum sp_send_want {
    SP_WANT_NOTHING,
    SP_WANT_CREDIT,      /* has bytes, but the peer's stream limit holds them back */
    SP_WANT_CONN_CREDIT, /* has bytes, but there is no connection credit */
    SP_WANT_SEND,
};
enum sp_send_want sp_stream_send_want(const struct sp_stream_send *send, uint64_t conn_credit);

/* Bytes that could go out for the first time now; 0 if lost ones come first. */
static inline uint64_t sp_stream_send_fresh(const struct sp_stream_send *send, uint64_t conn_credit)
{
    if (send->state >= SP_SEND_DATA_DONE || !sp_ranges_is_empty(&send->delivery.lost))
        return 0;
    uint64_t end = SB_MIN(send->queued_end, send->max_data);
    return SB_MIN(end - send->delivery.sent_end, conn_credit);
}

/* The next piece of at most `room` bytes, lost ones first.  False if there is none. */
bool sp_stream_send_next(const struct sp_stream_send *send, uint64_t room, uint64_t conn_credit,
                         struct sp_send_piece *ret);

/* That piece went out.  False without memory. */
SB_MUST_USE bool sp_stream_send_on_sent(struct sp_stream_send *send,
                                        const struct sp_send_piece *piece);

/* A frame was acknowledged or lost.  False without memory. */
SB_MUST_USE bool sp_stream_send_on_acked(struct sp_stream_send *send, uint64_t offset,
                                         uint64_t size, bool fin);
SB_MUST_USE bool sp_stream_send_on_lost(struct sp_stream_send *send, uint64_t offset, uint64_t size,
                                        bool fin);

/* Abandons: all lent chunks move to `done`.  Returns whether a RESET_STREAM is to be sent.  The
 * error of an earlier sp_stream_send_cut() stays. */
bool sp_stream_send_reset(struct sp_stream_send *send, uint64_t error);

/* Abandons what follows the first `reliable_size` bytes: 1 to queued_end, and to the reliable size
 * of an earlier call, whose error stays.  Chunks above move to `done`; the one that holds the
 * boundary comes back when the bytes below it are acknowledged.  [reliable-reset 5] */
void sp_stream_send_cut(struct sp_stream_send *send, uint64_t error, uint64_t reliable_size);

/* Returns true once after sp_stream_send_cut(), when all bytes below the reliable size were sent:
 * RESET_STREAM_AT is due. */
bool sp_stream_send_take_cut_out(struct sp_stream_send *send);

/* A RESET_STREAM_AT frame was acknowledged.  Only the one with the least reliable size counts. */
void sp_stream_send_on_reset_at_acked(struct sp_stream_send *send, uint64_t reliable_size);

/* Makes all that was sent unsent, under the limit `max_data`: the peer has rejected 0-RTT, and kept
 * nothing of it.  No packet in flight may refer to the stream.  [RFC9001 4.6.2] */
void sp_stream_send_rewind(struct sp_stream_send *send, uint64_t max_data);

/* Takes the next chunk to give back, or NULL.  The caller returns it to the pool. */
struct sp_chunk *sp_stream_send_pop_done(struct sp_stream_send *send);

void sp_stream_send_check(const struct sp_stream_send *send);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_STREAM_RECV_H
#define SP_STREAM_RECV_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/wire/frame.h"
#include "proto/stream/reassembly.h"
#include "proto/stream/stream_state.h"
#include "proto/stream/window.h"

/* The receiving part of a stream.  [RFC9000 3.2] */
struct sp_stream_recv {
    struct sp_reassembly reassembly;
    struct sp_window window;
    uint64_t final_size; /* SB_VARINT_NONE: unknown */
    uint64_t reset_error;
    uint64_t stop_error;
    uint64_t reliable_size;   /* with SP_RECV_RESET_AT: bytes from here on are not handed out */
    enum sp_recv_state state; /* SP_RECV_NONE: the stream has no such part */
    bool is_stopped;          /* STOP_SENDING was asked for: bytes are discarded */
    bool is_placing;          /* memory has been lent: bytes are delivered there only */
    bool has_reset_at;        /* there was a RESET_STREAM_AT: `reset_error` cannot change */
};

/* What a frame did. */
struct sp_recv_effect {
    uint64_t discarded;    /* bytes to be given back to the connection's window at once */
    bool has_event;        /* there is an event for the application */
    bool is_out_of_memory; /* the packet must be dropped */
};

void sp_stream_recv_init(struct sp_stream_recv *recv, struct sp_piece_store *store,
                         uint64_t window_bytes, uint64_t window_bytes_max);
void sp_stream_recv_deinit(struct sp_stream_recv *recv);

/* Takes a STREAM frame; `buffer` owns its bytes, `conn_window` is charged.  Returns SP_OK,
 * FLOW_CONTROL_ERROR or FINAL_SIZE_ERROR.  [RFC9000 4.5, 19.8] */
SB_MUST_USE enum sp_err sp_stream_recv_data(struct sp_stream_recv *recv,
                                            const struct sp_frame_stream *frame,
                                            struct sb_buffer *buffer, struct sp_window *conn_window,
                                            struct sp_recv_effect *ret);

/* Takes a RESET_STREAM frame.  Errors as above, and STREAM_STATE_ERROR for another error than in a
 * RESET_STREAM_AT frame before.  [RFC9000 19.4, reliable-reset 5.2] */
SB_MUST_USE enum sp_err sp_stream_recv_reset(struct sp_stream_recv *recv, uint64_t error,
                                             uint64_t final_size, struct sp_window *conn_window,
                                             struct sp_recv_effect *ret);

/* Takes a RESET_STREAM_AT frame: bytes below its reliable size are still handed out, then the state
 * is SP_RECV_RESET.  A larger reliable size than before is ignored.  Errors as above, and
 * STREAM_STATE_ERROR for another error than in a reset before.  [reliable-reset 4, 5.2] */
SB_MUST_USE enum sp_err sp_stream_recv_reset_at(struct sp_stream_recv *recv,
                                                const struct sp_frame_reset_at *frame,
                                                struct sp_window *conn_window,
                                                struct sp_recv_effect *ret);

/* sp_stream_recv_data() for the ordinary frame of a train: all of its bytes are new, follow the
 * last ones, and stand behind them in `buffer`.  They cause no event that those have not caused.
 * Returns false, and changes nothing, if anything is otherwise: sp_stream_recv_data() decides then.
 */
SB_MUST_USE bool sp_stream_recv_extend(struct sp_stream_recv *recv,
                                       const struct sp_frame_stream *frame,
                                       struct sb_buffer *buffer, struct sp_window *conn_window);

/* Discards what waits and what will come.  Returns the bytes discarded. */
uint64_t sp_stream_recv_stop(struct sp_stream_recv *recv, uint64_t error);

/* Lends memory for what comes next: see sp_reassembly_lend().  From then on no slices are handed
 * out: bytes for which no memory is lent wait, until the connection is over. */
SB_MUST_USE bool sp_stream_recv_lend(struct sp_stream_recv *recv, uint8_t *data, uint64_t size,
                                     uint64_t tag, uint64_t *ret_offset);

/* Returns where the cipher may write the bytes of a frame that is not authenticated yet: lent
 * memory for which nothing has been received, if the frame would be accepted; otherwise NULL.
 * Changes nothing.  Later sp_stream_recv_data() takes the frame with that place as its data. */
uint8_t *sp_stream_recv_gap(const struct sp_stream_recv *recv, const struct sp_frame_stream *frame,
                            const struct sp_window *conn_window);

/* Returns whether no byte is handed out any more. */
static inline bool sp_stream_recv_is_read(const struct sp_stream_recv *recv)
{
    return recv->is_stopped || recv->state == SP_RECV_NONE || recv->state > SP_RECV_ARRIVED;
}

/* The next bytes for the application. */
struct sp_received {
    struct sb_slice slice; /* may be empty with fin; in lent memory without a buffer */
    uint64_t offset;
    bool fin;         /* these bytes are the last */
    bool is_placed;   /* the bytes, if any, are in lent memory */
    bool is_returned; /* that memory is no longer lent */
    uint64_t tag;     /* the tag of that memory */
};

/* False, and `*ret` untouched, if there are none.  With `is_over` no more memory can be lent: bytes
 * for which none is lent are handed out as slices then, so that none is lost. */
bool sp_stream_recv_next(struct sp_stream_recv *recv, bool is_over, struct sp_received *ret);

/* Takes up to `count_max` further slices, which follow what sp_stream_recv_next() has handed out.
 * Returns their number, and whether the stream ends after them; that may be known without a slice
 * more.  Takes nothing from a stream for which memory was lent. */
uint32_t sp_stream_recv_more(struct sp_stream_recv *recv, struct sb_slice *ret, uint32_t count_max,
                             bool *ret_fin);

/* Returns, after the two functions above have handed out bytes, how many above a reliable size were
 * discarded with that: they are to be given back to the connection's window. */
static inline uint64_t sp_stream_recv_cut_bytes(const struct sp_stream_recv *recv)
{
    return SB_LIKELY(recv->state != SP_RECV_RESET) ? 0
                                                   : recv->window.received - recv->reliable_size;
}

/* Gives lent memory back that nothing will be written to any more; all of it with `is_over`.
 * False: there is none. */
bool sp_stream_recv_unlend(struct sp_stream_recv *recv, bool is_over, struct sp_received *ret);

/* True while more bytes may come for which the peer needs credit. */
static inline bool sp_stream_recv_wants_credit(const struct sp_stream_recv *recv)
{
    return recv->state == SP_RECV_OPEN && !recv->is_stopped &&
           sp_window_wants_update(&recv->window);
}

/* Returns the received bytes that wait for earlier ones; 0 while the application can have some. */
static inline uint64_t sp_stream_recv_held_bytes(const struct sp_stream_recv *recv)
{
    const struct sp_reassembly *reassembly = &recv->reassembly;
    return sp_reassembly_is_readable(reassembly) ? 0 : recv->window.received - reassembly->read_end;
}

void sp_stream_recv_check(const struct sp_stream_recv *recv);

#endif

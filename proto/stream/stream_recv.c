/* SPDX-License-Identifier: MIT */
#include "proto/stream/stream_recv.h"

/* One stream's received bytes: limits first, then reassembly, then the state machine.
 *
 * Each frame is checked against the final size and charged to both windows before anything is
 * kept, so a peer that exceeds a limit costs no memory.  A stopped or reset stream keeps
 * nothing; what it discards is given back to the connection's window at once.
 *
 * After RESET_STREAM_AT nothing from the reliable size on is kept.  What waits in the queue already
 * stays there until all below was handed out, so that much is given back only then: otherwise a
 * peer could fill memory beyond the connection's window.  What is to come below needs no credit. */

#include "proto/base/assert.h"

void sp_stream_recv_init(struct sp_stream_recv *recv, struct sp_piece_store *store,
                         uint64_t window_bytes, uint64_t window_bytes_max)
{
    *recv = (struct sp_stream_recv){.state = SP_RECV_OPEN, .final_size = SB_VARINT_NONE};
    sp_reassembly_init(&recv->reassembly, store);
    sp_window_init(&recv->window, window_bytes, window_bytes_max);
}

void sp_stream_recv_deinit(struct sp_stream_recv *recv)
{
    struct sp_received received;
    if (recv->state == SP_RECV_NONE)
        return;
    sp_reassembly_clear(&recv->reassembly);
    while (recv->reassembly.lent != NULL && sp_stream_recv_unlend(recv, true, &received))
        continue;
    SB_ASSERT(!sp_reassembly_is_discarding(&recv->reassembly));
}

/* Charges both windows for a stream that reaches to `end` now.  Nothing is charged on
 * failure.  [RFC9000 4.1, 19.9, 19.10] */
static enum sp_err charge(struct sp_stream_recv *recv, uint64_t end, struct sp_window *conn_window)
{
    if (end <= recv->window.received)
        return SP_OK;
    uint64_t more = end - recv->window.received;
    if (end > recv->window.limit || !sp_window_receive(conn_window, more))
        return SP_ERR_FLOW_CONTROL;
    bool fits = sp_window_receive(&recv->window, more);
    SB_ASSERT(fits);
    return SP_OK;
}

/* [RFC9000 4.5] The final size cannot change, nor can data lie beyond it. */
static enum sp_err check_size(const struct sp_stream_recv *recv, uint64_t end, bool is_final)
{
    bool is_known = recv->final_size != SB_VARINT_NONE;
    if (is_known && (end > recv->final_size || (is_final && end != recv->final_size)))
        return SP_ERR_FINAL_SIZE;
    if (!is_known && is_final && end < recv->window.received)
        return SP_ERR_FINAL_SIZE;
    return SP_OK;
}

/* Everything not handed out yet counts as used by the application from here on. */
static uint64_t discard_rest(struct sp_stream_recv *recv)
{
    sp_reassembly_discard(&recv->reassembly);
    /* What was handed out is consumed by the application itself. */
    uint64_t discarded = recv->window.received - recv->reassembly.read_end;
    recv->reassembly.read_end = recv->window.received;
    recv->reassembly.received_bytes = recv->window.received;
    return discarded;
}

/* Discards bytes of a stopped stream: it still counts them, but keeps and reports none. */
static void discard_stopped(struct sp_stream_recv *recv, struct sp_recv_effect *ret)
{
    ret->discarded += discard_rest(recv);
    if (recv->final_size == SB_VARINT_NONE || recv->state != SP_RECV_SIZE_KNOWN)
        return;
    /* All that could be missing is not wanted: the part is finished. */
    recv->state = sp_recv_next(recv->state, SP_RECV_ON_ALL_BYTES);
    recv->state = sp_recv_next(recv->state, SP_RECV_ON_READ_ALL);
    ret->has_event = true;
}

/* Takes what a frame has below the reliable size. */
static enum sp_err insert_kept(struct sp_stream_recv *recv, const struct sp_frame_stream *frame,
                               struct sb_buffer *buffer, struct sp_recv_effect *ret)
{
    if (frame->offset >= recv->reliable_size)
        return SP_OK;
    struct sb_slice slice = {
        .data = frame->data,
        .size = (size_t)SB_MIN((uint64_t)frame->size, recv->reliable_size - frame->offset),
        .buffer = buffer,
    };
    ret->is_out_of_memory = !sp_reassembly_insert(&recv->reassembly, frame->offset, &slice);
    ret->has_event = sp_reassembly_is_readable(&recv->reassembly);
    return SP_OK;
}

enum sp_err sp_stream_recv_data(struct sp_stream_recv *recv, const struct sp_frame_stream *frame,
                                struct sb_buffer *buffer, struct sp_window *conn_window,
                                struct sp_recv_effect *ret)
{
    SB_ASSERT(recv->state != SP_RECV_NONE);
    *ret = (struct sp_recv_effect){0};

    uint64_t end = frame->offset + frame->size;
    enum sp_err err = check_size(recv, end, frame->fin);
    if (err == SP_OK)
        err = charge(recv, end, conn_window);
    if (err != SP_OK)
        return err;

    if (recv->state != SP_RECV_OPEN && recv->state != SP_RECV_SIZE_KNOWN)
        return recv->state == SP_RECV_RESET_AT ? insert_kept(recv, frame, buffer, ret)
                                               : SP_OK; /* nothing can be new */
    if (frame->fin) {
        recv->final_size = end;
        recv->state = sp_recv_next(recv->state, SP_RECV_ON_FIN);
    }
    if (recv->is_stopped) {
        discard_stopped(recv, ret);
        return SP_OK;
    }

    struct sb_slice slice = {.data = frame->data, .size = frame->size, .buffer = buffer};
    bool is_taken = frame->fin ? sp_reassembly_insert_last(&recv->reassembly, frame->offset, &slice)
                               : sp_reassembly_insert(&recv->reassembly, frame->offset, &slice);
    if (!is_taken) {
        ret->is_out_of_memory = true;
        return SP_OK;
    }
    if (recv->state == SP_RECV_SIZE_KNOWN && recv->reassembly.received_bytes == recv->final_size) {
        recv->state = sp_recv_next(recv->state, SP_RECV_ON_ALL_BYTES);
        ret->has_event = true;
    }
    ret->has_event |= sp_reassembly_is_readable(&recv->reassembly);
    return SP_OK;
}

bool sp_stream_recv_extend(struct sp_stream_recv *recv, const struct sp_frame_stream *frame,
                           struct sb_buffer *buffer, struct sp_window *conn_window)
{
    struct sp_window *window = &recv->window;
    if (recv->state != SP_RECV_OPEN || recv->is_stopped || frame->fin ||
        frame->offset != window->received || frame->size > window->limit - window->received ||
        frame->size > conn_window->limit - conn_window->received)
        return false;
    const struct sb_slice slice = {.data = frame->data, .size = frame->size, .buffer = buffer};
    if (!sp_reassembly_extend(&recv->reassembly, frame->offset, &slice))
        return false;
    window->received += frame->size;
    conn_window->received += frame->size;
    return true;
}

/* No byte is handed out any more, but the reset, unless the application has stopped the stream.
 * Returns the bytes discarded. */
static uint64_t end_by_reset(struct sp_stream_recv *recv)
{
    uint64_t discarded = discard_rest(recv);
    recv->state = sp_recv_next(recv->state, SP_RECV_ON_RESET);
    if (recv->is_stopped)
        recv->state = sp_recv_next(recv->state, SP_RECV_ON_READ_RESET);
    return discarded;
}

/* Takes the final size of a reset, which no other size may contradict, out of the credit. */
static enum sp_err take_final_size(struct sp_stream_recv *recv, uint64_t final_size,
                                   struct sp_window *conn_window)
{
    SB_ASSERT(recv->state != SP_RECV_NONE);
    enum sp_err err = check_size(recv, final_size, true);
    return err == SP_OK ? charge(recv, final_size, conn_window) : err;
}

enum sp_err sp_stream_recv_reset(struct sp_stream_recv *recv, uint64_t error, uint64_t final_size,
                                 struct sp_window *conn_window, struct sp_recv_effect *ret)
{
    *ret = (struct sp_recv_effect){0};
    enum sp_err err = take_final_size(recv, final_size, conn_window);
    if (err != SP_OK)
        return err;

    if (recv->has_reset_at && error != recv->reset_error)
        return SP_ERR_STREAM_STATE; /* [reliable-reset 5.2] */
    if (sp_recv_next(recv->state, SP_RECV_ON_RESET) != SP_RECV_RESET ||
        recv->state == SP_RECV_RESET)
        return SP_OK; /* all had arrived already, or it is a retransmission */

    recv->final_size = final_size;
    recv->reset_error = error;
    ret->discarded = end_by_reset(recv);
    ret->has_event = true;
    return SP_OK;
}

enum sp_err sp_stream_recv_reset_at(struct sp_stream_recv *recv,
                                    const struct sp_frame_reset_at *frame,
                                    struct sp_window *conn_window, struct sp_recv_effect *ret)
{
    *ret = (struct sp_recv_effect){0};
    enum sp_err err = take_final_size(recv, frame->final_size, conn_window);
    if (err != SP_OK)
        return err;

    bool was_reset = recv->has_reset_at || recv->state >= SP_RECV_RESET;
    if (was_reset && frame->error != recv->reset_error)
        return SP_ERR_STREAM_STATE;
    recv->has_reset_at = true; /* also if all bytes are here, which makes it pointless */
    recv->reset_error = frame->error;
    if (sp_recv_next(recv->state, SP_RECV_ON_RESET_AT) != SP_RECV_RESET_AT ||
        (was_reset && frame->reliable_size >= recv->reliable_size))
        return SP_OK;

    recv->final_size = frame->final_size;
    recv->reliable_size = frame->reliable_size;
    recv->state = sp_recv_next(recv->state, SP_RECV_ON_RESET_AT);
    if (recv->is_stopped || recv->reassembly.read_end >= recv->reliable_size)
        ret->discarded = end_by_reset(recv);
    ret->has_event = true;
    return SP_OK;
}

uint64_t sp_stream_recv_stop(struct sp_stream_recv *recv, uint64_t error)
{
    struct sp_recv_effect effect = {0};
    recv->is_stopped = true;
    recv->stop_error = error;
    if (recv->state == SP_RECV_RESET_AT) {
        effect.discarded = end_by_reset(recv);
    } else if (recv->state == SP_RECV_ARRIVED) {
        effect.discarded = discard_rest(recv);
        recv->state = sp_recv_next(recv->state, SP_RECV_ON_READ_ALL);
    } else {
        discard_stopped(recv, &effect);
    }
    return effect.discarded;
}

bool sp_stream_recv_lend(struct sp_stream_recv *recv, uint8_t *data, uint64_t size, uint64_t tag,
                         uint64_t *ret_offset)
{
    SB_ASSERT(recv->state != SP_RECV_NONE && recv->state <= SP_RECV_ARRIVED && !recv->is_stopped);
    if (!sp_reassembly_lend(&recv->reassembly, data, size, tag, ret_offset))
        return false;
    recv->is_placing = true;
    return true;
}

uint8_t *sp_stream_recv_gap(const struct sp_stream_recv *recv, const struct sp_frame_stream *frame,
                            const struct sp_window *conn_window)
{
    if (recv->state != SP_RECV_OPEN && recv->state != SP_RECV_SIZE_KNOWN)
        return NULL;
    if (recv->reassembly.lent == NULL || recv->is_stopped)
        return NULL;
    uint64_t end = frame->offset + frame->size;
    if (check_size(recv, end, frame->fin) != SP_OK || end > recv->window.limit)
        return NULL;
    if (end > recv->window.received &&
        end - recv->window.received > conn_window->limit - conn_window->received)
        return NULL;
    return sp_reassembly_gap(&recv->reassembly, frame->offset, frame->size);
}

static struct sp_received received_of(const struct sp_placed *placed)
{
    return (struct sp_received){
        .slice = {.data = placed->data, .size = placed->size},
        .offset = placed->offset,
        .is_placed = true,
        .is_returned = placed->is_returned,
        .tag = placed->tag,
    };
}

/* Cuts bytes that are handed out at the reliable size.  Those that reach it are the last. */
static void cut_read(struct sp_stream_recv *recv, struct sp_received *received)
{
    uint64_t read_end = recv->reassembly.read_end;
    if (read_end < recv->reliable_size)
        return;
    received->slice.size -= (size_t)(read_end - recv->reliable_size);
    if (received->is_placed && !received->is_returned) /* it will be, without the bytes above */
        recv->reassembly.lent->delivered_bytes -= read_end - recv->reliable_size;
    (void)end_by_reset(recv); /* see sp_stream_recv_cut_bytes() */
}

/* Whether all bytes up to the final size have been handed out.  Then nothing is kept. */
static bool end_by_reading(struct sp_stream_recv *recv)
{
    if (recv->state != SP_RECV_ARRIVED || recv->reassembly.read_end != recv->final_size)
        return false;
    recv->state = sp_recv_next(recv->state, SP_RECV_ON_READ_ALL);
    sp_reassembly_clear(&recv->reassembly); /* a page that was to take more */
    return true;
}

/* sp_stream_recv_next() of a stream without lent memory and without a reliable size. */
static bool next_slice(struct sp_stream_recv *recv, struct sp_received *ret)
{
    uint64_t offset = recv->reassembly.read_end;
    struct sb_slice slice = {0};
    bool has_bytes = sp_reassembly_next(&recv->reassembly, &slice);
    bool is_end = end_by_reading(recv);
    if (!has_bytes && !is_end)
        return false;
    *ret = (struct sp_received){.slice = slice, .offset = offset, .fin = is_end};
    return true;
}

bool sp_stream_recv_next(struct sp_stream_recv *recv, bool is_over, struct sp_received *ret)
{
    if (sp_stream_recv_is_read(recv))
        return false;
    if (SB_LIKELY(!recv->is_placing && recv->state != SP_RECV_RESET_AT))
        return next_slice(recv, ret);

    struct sp_received received = {
        .offset = recv->reassembly.read_end,
        .is_placed = recv->is_placing,
    };
    struct sp_placed placed;
    bool has_bytes;
    if (recv->is_placing && (recv->reassembly.lent != NULL || !is_over)) {
        has_bytes = sp_reassembly_next_placed(&recv->reassembly, &placed);
        if (has_bytes)
            received = received_of(&placed);
    } else {
        has_bytes = sp_reassembly_next(&recv->reassembly, &received.slice);
        received.is_placed = recv->is_placing && !has_bytes;
    }
    if (SB_UNLIKELY(recv->state == SP_RECV_RESET_AT) && has_bytes)
        cut_read(recv, &received);
    bool is_end = recv->state == SP_RECV_ARRIVED && recv->reassembly.read_end == recv->final_size;
    if (!has_bytes && !is_end)
        return false;

    if (is_end)
        recv->state = sp_recv_next(recv->state, SP_RECV_ON_READ_ALL);
    received.fin = is_end;
    /* What is not full is given back with the end. */
    if (is_end && !received.is_returned && sp_reassembly_unlend(&recv->reassembly, &placed)) {
        if (!has_bytes)
            received = received_of(&placed);
        received.fin = true;
        received.is_returned = true;
    }
    *ret = received;
    return true;
}

uint32_t sp_stream_recv_more(struct sp_stream_recv *recv, struct sb_slice *ret, uint32_t count_max,
                             bool *ret_fin)
{
    uint32_t count = 0;
    *ret_fin = false;
    if (sp_stream_recv_is_read(recv) || recv->is_placing)
        return 0;
    while (count < count_max && recv->state <= SP_RECV_ARRIVED &&
           sp_reassembly_next(&recv->reassembly, &ret[count])) {
        struct sp_received received = {.slice = ret[count]};
        if (SB_UNLIKELY(recv->state == SP_RECV_RESET_AT))
            cut_read(recv, &received);
        ret[count++].size = received.slice.size;
    }
    *ret_fin = end_by_reading(recv);
    return count;
}

bool sp_stream_recv_unlend(struct sp_stream_recv *recv, bool is_over, struct sp_received *ret)
{
    struct sp_placed placed;
    if (recv->state == SP_RECV_NONE)
        return false;
    bool is_read = recv->is_stopped || recv->state > SP_RECV_ARRIVED;
    if ((!is_over && !is_read) || !sp_reassembly_unlend(&recv->reassembly, &placed))
        return false;
    *ret = received_of(&placed);
    return true;
}

void sp_stream_recv_check(const struct sp_stream_recv *recv)
{
    if (recv->state == SP_RECV_NONE)
        return;
    sp_reassembly_check(&recv->reassembly);
    SB_ASSERT(recv->window.received <= recv->window.limit);
    SB_ASSERT(recv->window.consumed <= recv->reassembly.read_end);
    SB_ASSERT(recv->reassembly.received_bytes <= recv->window.received);
    SB_ASSERT(recv->state != SP_RECV_RESET_AT ||
              (recv->reassembly.read_end < recv->reliable_size && !recv->is_stopped));
    SB_ASSERT(recv->final_size == SB_VARINT_NONE || recv->window.received <= recv->final_size);
}

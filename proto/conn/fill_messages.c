/* SPDX-License-Identifier: MIT */
#include "proto/conn/fill_messages.h"

/* The DATAGRAM frames of one packet.  [RFC9221 4, 5]  Messages wait until conn/gate.h allows the
 * packet, or until their deadlines.  [RFC9221 5.4, RFC9000 19.21]
 *
 * As many messages are packed into a packet as fit, in their order.  One that does not fit any more
 * begins the next packet: a message cannot be cut.  All of a packet share one record, which owns
 * them, because they are acknowledged or lost together.
 *
 * Bytes of a message are read by the cipher where they lie, like those of streams.  A few bytes are
 * copied behind their frame's head instead: an entry of the scatter list would cost more.  So is
 * the head of a message of two parts. */

#include "proto/base/assert.h"
#include "proto/conn/memory.h"
#include "proto/conn/messages.h"
#include "proto/conn/schedule.h"

/* Messages of at most so many bytes are copied. */
#define COPY_SIZE_MAX 64

/* Returns whether a frame with `size` bytes fits, and whether it has a length.  It has none if it
 * fits exactly, or but for a few bytes, which then are PADDING before it. */
static bool fits(const struct sp_build *build, size_t size, bool *ret_has_length)
{
    size_t left = sp_build_left(build);
    *ret_has_length = sp_frame_datagram_head_size(size, true) + size <= left;
    return *ret_has_length || sp_frame_datagram_head_size(size, false) + size <= left;
}

/* Adds one frame.  Returns false, and adds nothing, if it does not fit. */
static bool add_frame(struct sp_conn *conn, struct sp_build *build,
                      const struct sp_message *message)
{
    bool has_length;
    if (!fits(build, message->size, &has_length))
        return false;
    size_t data_size = message->size - message->head_size;
    bool is_copied = data_size <= COPY_SIZE_MAX;
    if (!is_copied && build->data_count == SP_DATA_FRAMES_MAX)
        return false;
    struct sb_writer w = sp_build_writer(build);
    if (!has_length)
        sp_frame_write_padding(&w, sp_build_left(build) - message->size -
                                       sp_frame_datagram_head_size(message->size, false));
    sp_frame_write_datagram_head(&w, message->size, has_length);
    if (message->head_size > 0)
        sb_writer_bytes(&w, message->head, message->head_size);
    if (is_copied)
        sb_writer_bytes(&w, message->data, data_size);
    if (!sp_build_commit(build, &w))
        return false; /* no room for control bytes */
    if (is_copied)
        conn->stats.copied_out_bytes += data_size;
    else
        sp_build_data(build, message->data, data_size);
    return true;
}

static struct sp_sent_frame *take_record(struct sp_conn *conn)
{
    struct sp_sent_frame *record = sb_store_take_ordinary(&conn->stores.frames);
    if (record == NULL) {
        conn->lacks_records = true;
        return NULL;
    }
    sp_conn_end_shortage(conn, SP_SHORT_OF_RECORDS);
    *record = (struct sp_sent_frame){.type = SP_FRAME_DATAGRAM};
    return record;
}

size_t sp_conn_fill_messages(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns)
{
    size_t before = build->payload_size;
    struct sp_message *message = sp_conn_first_message(conn, now_ns);
    bool has_length;
    if (message == NULL || !fits(build, message->size, &has_length))
        return 0;
    struct sp_sent_frame *record = take_record(conn);
    if (record == NULL)
        return 0;
    struct sp_message **tail = &record->messages;
    while (message != NULL && add_frame(conn, build, message)) {
        sp_conn_take_message(conn);
        *tail = message;
        tail = &message->next;
        record->size++;
        message = sp_conn_first_message(conn, now_ns);
    }
    if (record->size == 0) {
        sb_store_give(&conn->stores.frames, record);
        return 0;
    }
    *build->frames_tail = record;
    build->frames_tail = &record->next;
    build->is_eliciting = true;
    build->is_in_flight = true;
    return build->payload_size - before;
}

/* The lead counts only while both wait: who has nothing to send saves nothing up for later. */
void sp_conn_share_with_messages(struct sp_conn *conn, size_t message_bytes, size_t stream_bytes)
{
    struct sp_messages *state = conn->messages;
    int64_t max = 2 * (int64_t)conn->datagram_size;
    bool has_streams = sp_schedule_first(conn) != NULL;
    if (!has_streams || state->out.first == NULL) {
        state->lead_bytes = 0;
        return;
    }
    int64_t lead = state->lead_bytes + (int64_t)message_bytes - (int64_t)stream_bytes;
    state->lead_bytes = lead > max ? max : SB_MAX(lead, -max);
}

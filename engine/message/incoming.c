/* SPDX-License-Identifier: MIT */
#include "engine/message/segments.h"

/* What streams bring.
 *
 * A message that arrives within a millisecond is delivered as the slices that it came in.  One that
 * takes longer, or is large, gets memory lent for the rest, into which packets are decrypted.  Each
 * lent buffer is as large as all before it together, so that a peer which begins messages and sends
 * little costs little, whatever it claims; there is no length on the wire to believe.
 *
 * What has come until then, or is on its way in events of the same turn, is slices.  They hold the
 * shard's receive buffers and the peer's credit, perhaps all of it, so that the rest could not
 * come: they are copied, once, if they are many or the message is not whole within a millisecond.
 *
 * Without room under receive_bytes_max nothing is lent and no more than a first buffer is copied,
 * so the stream stands still.  That must not become a deadlock: if all memory belongs to messages
 * that are not whole, may_grow() lets one of them go on until it is whole, one that waits for no
 * other.  Bytes of those that stand still may fill the window of the connection, so that not even
 * this one moves: then the youngest is refused.  [stall.c]
 *
 * A whole message that waits for an earlier one of its channel is copied, so that its slices do not
 * take the credit that the earlier one needs.  Beyond receive_bytes_max it keeps them until there
 * is room: so the window of the connection holds the peer back.  The earlier one is on its way
 * again if its packets were lost.  If it was never sent, and all credit is used, it cannot come:
 * then the connection is closed, because a whole message cannot be refused.
 *
 * Where there is no memory for a message at all, its first bytes still say which one of its channel
 * it is: it is refused when they come, and those after it do not wait for it. */

#include <errno.h>
#include <stdlib.h>

#include "engine/shard/shard.h"
#include "proto/base/assert.h"

/* ---- memory ---- */

static void charge(struct se_exchange *exchange, uint64_t bytes)
{
    exchange->in_charged += bytes;
    exchange->messenger->receive_bytes += bytes;
}

void se_incoming_free(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    se_segments_free(exchange);
    if (exchange->is_over) { /* until then lent memory is the connection's */
        se_message_buffer_free(messenger, exchange->lent);
        exchange->lent = NULL;
    }
    if (exchange->pieces != exchange->inline_pieces)
        free(exchange->pieces);
    exchange->pieces = NULL;
    if (exchange->in == SE_IN_READY || exchange->in == SE_IN_TAKEN)
        messenger->held_bytes -= exchange->in_charged;
    messenger->receive_bytes -= exchange->in_charged;
    exchange->in_charged = 0;
    messenger->has_made_room = true;
    if (exchange == messenger->exempt)
        messenger->exempt = NULL;
}

/* ---- the header ---- */

/* Reads the header from the first bytes, if they have it.  False: the peer has broken the rules,
 * and the connection is closed. */
static bool read_header_from(struct se_exchange *exchange, const uint8_t *data, size_t size)
{
    struct spate_messenger *messenger = exchange->messenger;
    struct se_message_header header;
    exchange->in_header_size = se_message_header_read(data, size, &header);
    if (exchange->in_header_size == 0)
        return true; /* more must come */
    if (header.channel > messenger->options.channels_max) {
        se_messenger_fail(messenger, "a message of an unknown channel");
        return false;
    }
    exchange->has_header = true;
    exchange->channel = (uint32_t)header.channel;
    exchange->sequence = header.sequence;
    return true;
}

/* As read_header_from(), of the bytes in segments. */
static bool read_header(struct se_exchange *exchange)
{
    uint8_t bytes[SE_MESSAGE_HEADER_SIZE_MAX];
    size_t size = 0;
    if (exchange->has_header || exchange->is_ours) /* a reply has none */
        return true;
    for (const struct se_segment *segment = exchange->first; segment != NULL;
         segment = segment->next) {
        size_t part = SB_MIN(segment->size, sizeof(bytes) - size);
        if (part > 0)
            memcpy(bytes + size, segment->data, part);
        size += part;
    }
    return read_header_from(exchange, bytes, size);
}

static struct se_order *channel_of(const struct se_exchange *exchange)
{
    return exchange->has_header && exchange->channel != 0 && !exchange->is_ours
               ? se_messenger_channel(exchange->messenger, exchange->channel)
               : NULL;
}

/* ---- whole messages ---- */

static bool make_pieces(struct se_exchange *exchange)
{
    size_t count = SB_MAX(exchange->segment_count, 1u);
    exchange->pieces = count <= SE_MESSAGE_INLINE_PIECES
                           ? exchange->inline_pieces
                           : calloc(count, sizeof(exchange->pieces[0]));
    return exchange->pieces != NULL;
}

static void deliver(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    sb_list_remove(&exchange->in_link); /* of `holding` */
    messenger->moved_ns = messenger->shard->now_ns;
    exchange->in = SE_IN_READY;
    messenger->held_bytes += exchange->in_charged;
    messenger->counts.received++;
    messenger->has_made_room = true; /* perhaps for the next one of its channel */
    if (exchange == messenger->exempt)
        messenger->exempt = NULL;
    sb_list_push_back(&messenger->ready, &exchange->in_link);
}

static void deliver_next(struct se_order *channel)
{
    struct se_exchange *exchange;
    while ((exchange = se_order_take(channel)) != NULL)
        deliver(exchange);
}

/* The order of a channel cannot be kept: there is no place for a message, or what is refused has
 * not said where it belongs. */
static void close_channel_lost(const struct spate_messenger *messenger)
{
    spate_conn_close(messenger->conn, SPATE_MESSAGE_ERROR_BUSY, "no memory for a channel");
}

/* The others of the channel need not wait for this one. */
static void leave_out(struct spate_messenger *messenger, struct se_order *channel,
                      uint64_t sequence)
{
    enum se_order_result result = se_messenger_put(messenger, channel, sequence, se_order_skip);
    if (result == SE_ORDER_DONE) {
        messenger->has_made_room = true; /* the next one may pass the limit */
        deliver_next(channel);
    } else if (result == SE_ORDER_NO_MEMORY) {
        close_channel_lost(messenger);
    }
}

/* What is not whole is given up: nothing of it is delivered.  Others of its channel need not wait
 * for it. */
static void give_up(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    sb_list_remove(&exchange->in_link);
    (void)read_header(exchange);
    struct se_order *channel = channel_of(exchange);
    se_incoming_free(exchange);
    exchange->in = SE_IN_DONE;
    if (exchange->is_ours) {
        exchange->in = SE_IN_FAILED;
        sb_list_push_back(&messenger->ready, &exchange->in_link);
    }
    if (channel != NULL)
        leave_out(messenger, channel, exchange->sequence);
}

void se_incoming_refuse(struct se_exchange *exchange, enum spate_message_error error)
{
    struct spate_conn *conn = exchange->messenger->conn;
    exchange->messenger->counts.refused++;
    (void)spate_stream_stop(conn, exchange->stream_id, error);
    if (exchange->is_request && !exchange->is_ours && exchange->out == SE_OUT_NONE) {
        (void)spate_stream_reset(conn, exchange->stream_id, error);
        exchange->out = SE_OUT_DONE;
    }
    if (exchange->is_ours) {
        exchange->fate = SPATE_MESSAGE_REFUSED;
        exchange->peer_error = error;
    }
    give_up(exchange);
    if (!exchange->is_ours && !exchange->has_header)
        close_channel_lost(exchange->messenger);
}

/* Copies the slices of a whole message that waits, so that the peer gets their credit back.  False:
 * there is no room. */
static bool unhold(struct se_exchange *exchange)
{
    const struct spate_messenger *messenger = exchange->messenger;
    return exchange->slice_count == 0 ||
           (messenger->receive_bytes <= messenger->options.receive_bytes_max &&
            se_segments_compact(exchange));
}

/* A whole message has to wait for earlier ones of its channel.  The peer knows that it has arrived,
 * so that it cannot be refused any more. */
static void hold(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    exchange->in = SE_IN_HELD;
    if (unhold(exchange))
        return;
    sb_list_push_back(&messenger->holding, &exchange->in_link);
    messenger->has_waiting = true;
    se_stall_arm(messenger);
}

static void whole(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    if (!read_header(exchange))
        return;
    if (!exchange->is_ours && !exchange->has_header) {
        se_messenger_fail(messenger, "a message without a header");
        return;
    }
    if (exchange->in_size - exchange->in_header_size > messenger->options.message_size_max) {
        se_incoming_refuse(exchange, SPATE_MESSAGE_ERROR_TOO_LARGE);
        return;
    }
    if (!make_pieces(exchange)) {
        se_incoming_refuse(exchange, SPATE_MESSAGE_ERROR_BUSY);
        return;
    }
    struct se_order *channel = channel_of(exchange);
    if (channel == NULL) {
        sb_list_remove(&exchange->in_link);
        deliver(exchange);
        return;
    }
    bool is_early = exchange->sequence != channel->receive_next;
    switch (se_messenger_put(messenger, channel, exchange->sequence, exchange)) {
    case SE_ORDER_DONE:
        sb_list_remove(&exchange->in_link);
        exchange->in = SE_IN_HELD;
        if (is_early)
            hold(exchange);
        deliver_next(channel);
        return;
    case SE_ORDER_BAD:
        se_messenger_fail(messenger, "a message with a wrong number");
        return;
    case SE_ORDER_NO_MEMORY:
        close_channel_lost(messenger);
        return;
    }
}

/* ---- lent memory ---- */

/* Returns whether the message waits for no other one: it can be delivered once it is whole. */
static bool is_next(const struct se_exchange *exchange)
{
    const struct se_order *channel = channel_of(exchange);
    return channel == NULL || exchange->sequence == channel->receive_next;
}

/* Returns whether the message may have `bytes` more: there is room, or nothing else can make room.
 */
static bool may_grow(struct se_exchange *exchange, uint64_t bytes)
{
    struct spate_messenger *messenger = exchange->messenger;
    if (messenger->receive_bytes + bytes <= messenger->options.receive_bytes_max)
        return true;
    if (messenger->held_bytes > 0 || messenger->exempt != NULL)
        return exchange == messenger->exempt;
    if (!is_next(exchange))
        return false;
    messenger->exempt = exchange;
    return true;
}

/* Lends memory for the next bytes, or lets the message wait, or refuses it. */
static void lend(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    uint64_t size_max = messenger->options.message_size_max + SE_MESSAGE_HEADER_SIZE_MAX + 1;
    if (exchange->in_size >= size_max) {
        se_incoming_refuse(exchange, SPATE_MESSAGE_ERROR_TOO_LARGE);
        return;
    }
    uint64_t size = SE_MESSAGE_BUFFER_MIN;
    if (exchange->was_lent)
        size = se_large_size_within((size_t)SB_MAX(exchange->in_size, size));
    size -= sizeof(struct se_message_buffer);
    size = SB_MIN(size, size_max - exchange->in_size);
    exchange->in = SE_IN_WAITING;
    messenger->has_waiting = true;
    if (exchange->was_lent && !may_grow(exchange, size)) { /* the first buffer is everybody's */
        se_stall_arm(messenger);
        return;
    }
    struct se_message_buffer *buffer = se_message_buffer_make(messenger, (size_t)size);
    if (buffer == NULL) {
        se_incoming_refuse(exchange, SPATE_MESSAGE_ERROR_BUSY);
        return;
    }
    int result = spate_stream_receive_into(messenger->conn, exchange->stream_id, buffer->data, size,
                                           0, NULL);
    if (result != 0) {
        se_message_buffer_free(messenger, buffer);
        /* -EPIPE: the end or a reset is on its way, in an event. */
        if (result != -EPIPE && result != -ENOTCONN)
            se_incoming_refuse(exchange, SPATE_MESSAGE_ERROR_BUSY);
        return;
    }
    exchange->in = SE_IN_LENT;
    exchange->lent = buffer;
    exchange->lent_has_segment = false;
    exchange->was_lent = true;
    charge(exchange, size);
    if (messenger->receive_bytes > messenger->options.receive_bytes_max)
        se_stall_arm(messenger);
}

/* The message takes longer: its slices become memory of its own, and the peer gets credit for more.
 * Few bytes may do so always; many wait for room, because whoever sends them has credit for as many
 * in each of its streams. */
static void settle(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    if (exchange->slice_bytes > SE_MESSAGE_BUFFER_MIN && !may_grow(exchange, 0)) {
        messenger->has_waiting = true;
        se_stall_arm(messenger);
    } else if (!se_segments_compact(exchange)) {
        se_incoming_refuse(exchange, SPATE_MESSAGE_ERROR_BUSY);
        return;
    }
    if (exchange->in == SE_IN_FRESH)
        lend(exchange);
}

/* Returns whether slices of a message hold more of the peer's credit than they may. */
static bool holds_much(const struct se_exchange *exchange)
{
    uint64_t bytes = exchange->slice_bytes;
    return bytes >= SE_MESSAGE_SLICE_BYTES_MAX &&
           bytes >
               sp_conn_stream_window_bytes(exchange->messenger->conn->proto, exchange->stream_id) /
                   SE_MESSAGE_KEPT_PART;
}

/* Keeps the slices of a message that is not whole, for a while and as far as it may. */
static void keep_slices(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    if (exchange->slice_count >= SE_MESSAGE_SLICES_MAX || holds_much(exchange))
        settle(exchange);
    else if (exchange->in == SE_IN_FRESH && exchange->slice_bytes >= SE_MESSAGE_SLICE_BYTES_MAX)
        lend(exchange);
    if (messenger->fresh_ns == SB_NEVER)
        messenger->fresh_ns = sb_time_add(messenger->shard->now_ns, SE_MESSAGE_FRESH_NS);
}

void se_incoming_run(struct spate_messenger *messenger, uint64_t now_ns)
{
    se_stall_run(messenger, now_ns);
    if (now_ns < messenger->fresh_ns)
        return;
    messenger->fresh_ns = SB_NEVER;
    SB_LIST_EACH(link, &messenger->incoming) {
        struct se_exchange *exchange = SB_CONTAINER_OF(link, struct se_exchange, in_link);
        if (exchange->slice_count > 0 && messenger->conn != NULL)
            settle(exchange);
    }
}

void se_incoming_feed(struct spate_messenger *messenger)
{
    if (SB_LIKELY(!messenger->has_waiting || !messenger->has_made_room) || messenger->conn == NULL)
        return;
    messenger->has_waiting = false;
    messenger->has_made_room = false;
    SB_LIST_EACH(link, &messenger->holding) {
        if (unhold(SB_CONTAINER_OF(link, struct se_exchange, in_link)))
            sb_list_remove(link);
        else
            messenger->has_waiting = true;
    }
    SB_LIST_EACH(link, &messenger->incoming) {
        struct se_exchange *exchange = SB_CONTAINER_OF(link, struct se_exchange, in_link);
        if (exchange->was_lent && exchange->slice_count > 0)
            settle(exchange);
        if (exchange->in == SE_IN_WAITING)
            lend(exchange);
    }
}

/* ---- events ---- */

static bool is_incomplete(const struct se_exchange *exchange)
{
    return exchange->in == SE_IN_FRESH || exchange->in == SE_IN_LENT ||
           exchange->in == SE_IN_WAITING;
}

void se_incoming_opened(struct spate_messenger *messenger, uint64_t stream_id)
{
    struct spate_conn *conn = messenger->conn;
    struct se_exchange *exchange = se_exchange_make(messenger, stream_id);
    bool is_bidi = (stream_id & 2) == 0; /* [RFC9000 2.1] */
    if (exchange == NULL || spate_stream_set_user(conn, stream_id, exchange) != 0) {
        messenger->counts.refused++; /* se_incoming_unplaced() stops the stream */
        if (is_bidi)
            (void)spate_stream_reset(conn, stream_id, SPATE_MESSAGE_ERROR_BUSY);
        if (exchange != NULL) {
            exchange->is_over = true;
            se_exchange_settle(exchange);
        }
        return;
    }
    exchange->is_request = is_bidi;
    exchange->in = SE_IN_FRESH;
    sb_list_push_back(&messenger->incoming, &exchange->in_link);
}

void se_incoming_unplaced(struct spate_messenger *messenger, uint64_t stream_id,
                          struct sb_bytes first)
{
    struct se_message_header header;
    (void)spate_stream_stop(messenger->conn, stream_id, SPATE_MESSAGE_ERROR_BUSY);
    if (se_message_header_read(first.data, first.size, &header) == 0)
        close_channel_lost(messenger);
    else if (header.channel > messenger->options.channels_max)
        se_messenger_fail(messenger, "a message of an unknown channel");
    else if (header.channel != 0)
        leave_out(messenger, se_messenger_channel(messenger, (uint32_t)header.channel),
                  header.sequence);
}

/* There is no memory for the slice. */
static void refuse_slice(struct se_exchange *exchange, const struct spate_slice *slice)
{
    if (!exchange->is_ours && !exchange->has_header && exchange->first == NULL)
        (void)read_header_from(exchange, slice->data, slice->size);
    se_incoming_refuse(exchange, SPATE_MESSAGE_ERROR_BUSY);
}

void se_incoming_slice(struct spate_messenger *messenger, struct se_exchange *exchange,
                       struct spate_slice slice, bool fin)
{
    if (exchange == NULL || !is_incomplete(exchange)) {
        spate_slice_release(messenger->shard, &slice);
        return;
    }
    if (slice.size == 0) {
        spate_slice_release(messenger->shard, &slice);
    } else if (se_segment_append_slice(exchange, &slice)) {
        charge(exchange, slice.size);
    } else {
        refuse_slice(exchange, &slice);
        spate_slice_release(messenger->shard, &slice);
        return;
    }
    if (fin)
        whole(exchange);
    else if (read_header(exchange))
        keep_slices(exchange);
}

/* Adds bytes of the lent buffer: to its segment, if it has one. */
static bool extend(struct se_exchange *exchange, const uint8_t *data, size_t size)
{
    if (size == 0)
        return true;
    if (exchange->lent_has_segment) {
        exchange->last->size += size;
        exchange->in_size += size;
        return true;
    }
    struct se_segment *segment = se_segment_append(exchange, data, size);
    if (segment == NULL)
        return false;
    segment->buffer = exchange->lent;
    exchange->lent_has_segment = true;
    return true;
}

void se_incoming_placed(struct se_exchange *exchange, const struct spate_event *event)
{
    if (exchange == NULL)
        return;
    if (is_incomplete(exchange) && exchange->lent != NULL &&
        !extend(exchange, event->u.placed.data, event->u.placed.size))
        se_incoming_refuse(exchange, SPATE_MESSAGE_ERROR_BUSY);
    if (event->u.placed.size > 0)
        exchange->messenger->moved_ns = exchange->messenger->shard->now_ns;
    if (event->u.placed.is_returned) {
        if (!exchange->lent_has_segment)
            se_message_buffer_free(exchange->messenger, exchange->lent);
        exchange->lent = NULL;
        exchange->lent_has_segment = false;
    }
    if (!is_incomplete(exchange))
        return;
    if (event->u.placed.fin)
        whole(exchange);
    else if (event->u.placed.is_returned && read_header(exchange))
        lend(exchange);
}

void se_incoming_reset(struct se_exchange *exchange, uint64_t error)
{
    if (exchange == NULL || !is_incomplete(exchange))
        return;
    exchange->messenger->counts.abandoned++;
    if (exchange->fate == 0) {
        exchange->fate = SPATE_MESSAGE_REFUSED;
        exchange->peer_error = error;
    }
    give_up(exchange);
}

void se_incoming_datagram(struct spate_messenger *messenger, struct spate_slice slice)
{
    bool has_room = slice.size <= messenger->options.message_size_max &&
                    messenger->receive_bytes + slice.size <= messenger->options.receive_bytes_max;
    struct se_exchange *exchange = has_room ? se_exchange_make(messenger, SE_MESSAGE_NO_ID) : NULL;
    bool is_kept = exchange != NULL && make_pieces(exchange);
    if (!is_kept || !se_segment_append_slice(exchange, &slice)) {
        messenger->counts.refused++;
        spate_slice_release(messenger->shard, &slice);
        if (exchange != NULL) {
            exchange->is_over = true;
            se_incoming_free(exchange);
            se_exchange_settle(exchange);
        }
        return;
    }
    exchange->is_over = true;
    charge(exchange, slice.size);
    deliver(exchange);
}

void se_incoming_closed(struct spate_messenger *messenger)
{
    for (uint32_t i = 0; i < messenger->options.channels_max; i++) {
        struct se_exchange *exchange;
        while ((exchange = se_order_take_any(&messenger->channels[i])) != NULL)
            deliver(exchange);
    }
}

void se_incoming_end(struct se_exchange *exchange)
{
    if (!is_incomplete(exchange))
        return;
    exchange->messenger->counts.abandoned++;
    if (exchange->fate == 0)
        exchange->fate = SPATE_MESSAGE_LOST;
    give_up(exchange);
}

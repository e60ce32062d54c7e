/* SPDX-License-Identifier: MIT */
#include "engine/message/messenger.h"

/* What is sent, and what becomes of it.
 *
 * The header lies in the exchange and goes along as the first piece of one write, so that one event
 * returns everything.  A message of a channel that is given up must still say which one it was:
 * otherwise the peer waits for it.  So its stream is reset behind the header, with
 * RESET_STREAM_AT. */

#include <errno.h>

#include "engine/config/sized.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

enum {
    PRIORITY_MAX = SPATE_URGENCY_MAX + 1,
    USE_STREAM = 1, /* no DATAGRAM frame can carry the message */
};

/* Returns whether the pieces are sound, and their size. */
static bool sum_pieces(const struct iovec *pieces, size_t count, uint64_t *ret_size)
{
    uint64_t size = 0;
    if (count > SPATE_MESSAGE_PIECES_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > SPATE_SEND_SIZE_MAX - size ||
            (pieces[i].iov_len > 0 && pieces[i].iov_base == NULL))
            return false;
        size += pieces[i].iov_len;
    }
    *ret_size = size;
    return true;
}

/* Queues the header and the pieces on the stream of the exchange. */
static int write_all(struct se_exchange *exchange, const struct iovec *pieces, size_t count)
{
    struct iovec all[1 + SPATE_MESSAGE_PIECES_MAX];
    all[0] = (struct iovec){exchange->header, exchange->header_size};
    for (size_t i = 0; i < count; i++)
        all[1 + i] = pieces[i];
    return spate_stream_sendv(exchange->messenger->conn, exchange->stream_id, all, count + 1, true,
                              (uintptr_t)exchange);
}

static void count_sent(struct se_exchange *exchange, uint64_t size)
{
    exchange->out = SE_OUT_SENDING;
    exchange->out_bytes = size;
    exchange->messenger->send_bytes += size;
    exchange->messenger->counts.sent++;
}

static bool is_full(const struct spate_messenger *messenger, uint64_t size)
{
    return messenger->send_bytes > 0 &&
           messenger->send_bytes + size > messenger->options.send_bytes_max;
}

static int want_room(struct spate_messenger *messenger)
{
    messenger->wants_room = true;
    return -EAGAIN;
}

void se_outgoing_room(struct spate_messenger *messenger, bool is_certain)
{
    if (!messenger->wants_room ||
        (!is_certain && messenger->send_bytes > messenger->options.send_bytes_max / 2))
        return;
    messenger->wants_room = false;
    messenger->has_room = true;
}

/* ---- unreliable messages ---- */

/* Sends a message in a DATAGRAM frame.  Returns 0, an error, or USE_STREAM. */
static int send_datagram(struct spate_messenger *messenger, const struct iovec *pieces,
                         size_t count, uint64_t size, const struct spate_message_options *options)
{
    uint8_t bytes[SPATE_DATAGRAM_COPY_SIZE_MAX];
    bool is_copied = size <= sizeof(bytes);
    const void *data = count > 0 ? pieces[0].iov_base : NULL;
    size_t size_max = spate_conn_datagram_size_max(messenger->conn);
    if (size_max == 0 || size > size_max || (!is_copied && count != 1))
        return USE_STREAM;
    size_t at = 0;
    for (size_t i = 0; i < count && is_copied; i++) {
        if (pieces[i].iov_len > 0)
            memcpy(bytes + at, pieces[i].iov_base, pieces[i].iov_len);
        at += pieces[i].iov_len;
    }
    struct se_exchange *exchange = se_exchange_make(messenger, SE_MESSAGE_NO_ID);
    if (exchange == NULL)
        return -ENOBUFS;
    exchange->is_ours = true;
    exchange->is_over = true;
    exchange->tag = options->tag;
    int result = spate_conn_datagram_send(
        messenger->conn, is_copied ? bytes : data, (size_t)size, (uintptr_t)exchange,
        options->deadline_ns == 0 ? SPATE_FOREVER : options->deadline_ns,
        is_copied ? SPATE_DATAGRAM_COPY : 0);
    if (result == 0) {
        count_sent(exchange, size);
        return 0;
    }
    se_exchange_settle(exchange);
    return result == -EAGAIN ? want_room(messenger) : result;
}

/* ---- messages on streams ---- */

static void set_deadline(struct se_exchange *exchange, uint64_t deadline_ns)
{
    struct spate_messenger *messenger = exchange->messenger;
    if (deadline_ns == 0 || deadline_ns == SPATE_FOREVER)
        return;
    exchange->deadline_ns = deadline_ns;
    struct sb_link *at = &messenger->deadlines; /* sorted; most deadlines are the latest so far */
    while (at->prev != &messenger->deadlines &&
           SB_CONTAINER_OF(at->prev, struct se_exchange, deadline_link)->deadline_ns > deadline_ns)
        at = at->prev;
    sb_list_insert_before(at, &exchange->deadline_link);
    se_messenger_arm(messenger);
}

static void write_header(struct se_exchange *exchange, uint32_t channel)
{
    struct se_message_header header = {.channel = channel};
    if (channel != 0)
        header.sequence = se_messenger_channel(exchange->messenger, channel)->send_next;
    exchange->channel = channel;
    exchange->sequence = header.sequence;
    exchange->header_size = se_message_header_write(&header, exchange->header);
}

/* Messages of one priority are sent one after the other: half of a message is worth nothing, and
 * the fewer are under way, the less memory the peer needs.  Without memory they take turns. */
static void set_priority(const struct se_exchange *exchange, uint8_t priority)
{
    uint32_t urgency = priority != 0 ? priority - 1u : SPATE_URGENCY_DEFAULT;
    (void)spate_stream_set_priority(exchange->messenger->conn, exchange->stream_id, urgency, false);
}

static int send_stream(struct spate_messenger *messenger, const struct iovec *pieces, size_t count,
                       uint64_t size, const struct spate_message_options *options, uint64_t *ret_id)
{
    struct spate_conn *conn = messenger->conn;
    uint64_t id;
    struct se_exchange *exchange = se_exchange_make(messenger, SE_MESSAGE_NO_ID);
    if (exchange == NULL)
        return -ENOBUFS;
    exchange->is_ours = true;
    exchange->is_over = true; /* until it has a stream */
    int result = spate_stream_open(conn, !options->wants_reply, &id);
    if (result != 0) {
        se_exchange_settle(exchange);
        return result == -EAGAIN ? want_room(messenger) : result;
    }
    exchange->stream_id = id;
    exchange->is_over = false;
    exchange->is_request = options->wants_reply;
    exchange->tag = options->tag;
    (void)spate_stream_set_user(conn, id, exchange); /* the stream was just made */
    write_header(exchange, options->channel);
    result = write_all(exchange, pieces, count);
    if (result != 0) { /* STREAM_CLOSED frees the exchange */
        (void)spate_stream_reset(conn, id, SPATE_MESSAGE_ERROR_CANCELLED);
        if (options->wants_reply)
            (void)spate_stream_stop(conn, id, SPATE_MESSAGE_ERROR_CANCELLED);
        return result;
    }
    if (options->channel != 0)
        se_order_send(se_messenger_channel(messenger, options->channel));
    set_priority(exchange, options->priority);
    count_sent(exchange, size);
    if (options->wants_reply) {
        exchange->in = SE_IN_FRESH;
        sb_list_push_back(&messenger->incoming, &exchange->in_link);
    }
    set_deadline(exchange, options->deadline_ns);
    if (ret_id != NULL)
        *ret_id = id;
    return 0;
}

static bool is_sound(const struct spate_messenger *messenger,
                     const struct spate_message_options *options)
{
    return options->channel <= messenger->options.channels_max &&
           options->priority <= PRIORITY_MAX &&
           !(options->is_unreliable && (options->wants_reply || options->channel != 0));
}

int spate_message_send(struct spate_messenger *messenger, const struct iovec *pieces, size_t count,
                       const struct spate_message_options *given, uint64_t *ret_id)
{
    static const struct se_sized shape = {
        "spate_message_options",
        SE_SIZE_THROUGH(struct spate_message_options, reserved),
        sizeof(struct spate_message_options),
    };
    struct spate_message_options options = {0};
    uint64_t size;
    int result = given != NULL ? se_sized_take(&shape, given, &options, NULL) : 0;
    if (result != 0)
        return result;
    if (!is_sound(messenger, &options) || !sum_pieces(pieces, count, &size))
        return -EINVAL;
    if (messenger->conn == NULL)
        return -ENOTCONN;
    if (is_full(messenger, size) ||
        (options.channel != 0 &&
         !se_order_may_send(se_messenger_channel(messenger, options.channel))))
        return want_room(messenger);
    if (options.is_unreliable) {
        result = send_datagram(messenger, pieces, count, size, &options);
        if (result != USE_STREAM) {
            if (result == 0 && ret_id != NULL)
                *ret_id = SE_MESSAGE_NO_ID;
            return result;
        }
    }
    return send_stream(messenger, pieces, count, size, &options, ret_id);
}

/* Returns the exchange of a stream, or NULL. */
static struct se_exchange *exchange_of(const struct spate_messenger *messenger, uint64_t id)
{
    return messenger->conn != NULL ? sp_conn_stream_user(messenger->conn->proto, id) : NULL;
}

int spate_message_reply(struct spate_messenger *messenger, uint64_t id, const struct iovec *pieces,
                        size_t count, uint64_t tag)
{
    uint64_t size;
    if (!sum_pieces(pieces, count, &size))
        return -EINVAL;
    if (messenger->conn == NULL)
        return -ENOTCONN;
    struct se_exchange *exchange = exchange_of(messenger, id);
    if (exchange == NULL || exchange->is_ours || !exchange->is_request ||
        exchange->out != SE_OUT_NONE)
        return -EPIPE;
    int result = write_all(exchange, pieces, count);
    if (result != 0)
        return result;
    exchange->tag = tag;
    count_sent(exchange, size);
    return 0;
}

/* ---- giving up ---- */

/* Ends what is left of the exchange at our side.  Returns 0, -EPIPE or -EOPNOTSUPP. */
static int abandon(struct se_exchange *exchange, enum spate_message_fate fate,
                   enum spate_message_error error)
{
    struct spate_conn *conn = exchange->messenger->conn;
    bool is_sending = exchange->out == SE_OUT_SENDING;
    bool is_waiting = exchange->is_ours && exchange->is_request && exchange->in >= SE_IN_FRESH &&
                      exchange->in <= SE_IN_WAITING;
    bool is_unanswered = !exchange->is_ours && exchange->is_request && exchange->out == SE_OUT_NONE;
    if (!is_sending && !is_waiting && !is_unanswered)
        return -EPIPE;
    int result = 0;
    if (is_sending && exchange->is_ours && exchange->channel != 0)
        result = spate_stream_reset_at(conn, exchange->stream_id, error, exchange->header_size);
    else if (is_sending || is_unanswered)
        result = spate_stream_reset(conn, exchange->stream_id, error);
    if (result == -EOPNOTSUPP)
        return result;
    if (exchange->fate == 0)
        exchange->fate = fate;
    if (is_unanswered)
        exchange->out = SE_OUT_DONE;
    if (is_waiting) {
        (void)spate_stream_stop(conn, exchange->stream_id, error);
        se_incoming_end(exchange);
    }
    return is_waiting || result == 0 ? 0 : -EPIPE;
}

int spate_message_cancel(struct spate_messenger *messenger, uint64_t id)
{
    if (messenger->conn == NULL)
        return -ENOTCONN;
    struct se_exchange *exchange = exchange_of(messenger, id);
    if (exchange == NULL)
        return -EPIPE;
    return abandon(exchange, SPATE_MESSAGE_CANCELLED, SPATE_MESSAGE_ERROR_CANCELLED);
}

void se_outgoing_run(struct spate_messenger *messenger, uint64_t now_ns)
{
    struct sb_link *link;
    while (messenger->conn != NULL && (link = sb_list_first(&messenger->deadlines)) != NULL) {
        struct se_exchange *exchange = SB_CONTAINER_OF(link, struct se_exchange, deadline_link);
        if (exchange->deadline_ns > now_ns)
            return;
        sb_list_remove(link);
        (void)abandon(exchange, SPATE_MESSAGE_EXPIRED, SPATE_MESSAGE_ERROR_EXPIRED);
    }
}

/* ---- results ---- */

static void came_back(struct se_exchange *exchange, enum spate_message_fate fate)
{
    struct spate_messenger *messenger = exchange->messenger;
    SB_ASSERT(exchange->out == SE_OUT_SENDING);
    exchange->out = SE_OUT_READY;
    exchange->out_fate = fate;
    messenger->send_bytes -= exchange->out_bytes;
    sb_list_push_back(&messenger->results, &exchange->out_link);
    if (exchange->is_ours && exchange->channel != 0)
        se_order_sent(se_messenger_channel(messenger, exchange->channel), exchange->sequence);
    if (!exchange->is_request || !exchange->is_ours)
        sb_list_remove(&exchange->deadline_link); /* nothing else can expire */
    se_outgoing_room(messenger, false);
}

void se_outgoing_sent(struct se_exchange *exchange, bool is_acked)
{
    if (exchange->out != SE_OUT_SENDING)
        return;
    if (is_acked)
        came_back(exchange, SPATE_MESSAGE_ACKED);
    else if (exchange->fate != 0)
        came_back(exchange, exchange->fate);
    /* Otherwise the reason follows: STREAM_STOPPED, or the stream's end. */
}

void se_outgoing_end(struct se_exchange *exchange)
{
    if (exchange->out == SE_OUT_SENDING)
        came_back(exchange, exchange->fate != 0 ? exchange->fate : SPATE_MESSAGE_LOST);
    else if (exchange->out == SE_OUT_NONE)
        exchange->out = SE_OUT_DONE; /* nobody can answer any more */
}

void se_outgoing_stopped(struct se_exchange *exchange, uint64_t error)
{
    if (exchange == NULL || exchange->fate != 0)
        return;
    exchange->fate = SPATE_MESSAGE_REFUSED;
    exchange->peer_error = error;
}

static enum spate_message_fate fate_of(enum spate_datagram_fate fate)
{
    switch (fate) {
    case SPATE_DATAGRAM_ACKED:
        return SPATE_MESSAGE_ACKED;
    case SPATE_DATAGRAM_EXPIRED:
        return SPATE_MESSAGE_EXPIRED;
    case SPATE_DATAGRAM_LOST:
    case SPATE_DATAGRAM_DROPPED:
        break;
    }
    return SPATE_MESSAGE_LOST;
}

void se_outgoing_datagrams(struct spate_messenger *messenger,
                           const struct spate_datagram_result *results, size_t count)
{
    (void)messenger;
    for (size_t i = 0; i < count; i++)
        came_back((struct se_exchange *)(uintptr_t)results[i].tag, fate_of(results[i].fate));
}

/* SPDX-License-Identifier: MIT */
#include "engine/message/messenger.h"

/* The public functions around incoming.c and outgoing.c: events go in, messages and results come
 * out of two lists. */

#include <errno.h>
#include <stdlib.h>

#include "engine/config/config.h"
#include "engine/config/sized.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

enum { CHANNELS_MAX = 1024 };

#define SIZE_MAX_MAX      (UINT64_C(1) << 40)
#define RECEIVE_BYTES_MIN (UINT64_C(64) * 1024)
#define DESTROYED_POLL_NS (10 * SB_MS)

_Static_assert(offsetof(struct spate_message, private_handle) % 8 == 0, "no padding");

/* ---- exchanges ---- */

void se_messenger_count(const struct spate_messenger *messenger, int64_t bytes)
{
    struct spate_conn *conn = se_conn_of_id(messenger->shard, messenger->conn_id);
    if (conn != NULL)
        conn->messenger_bytes += (uint64_t)bytes;
}

struct se_exchange *se_exchange_make(struct spate_messenger *messenger, uint64_t stream_id)
{
    struct se_exchange *exchange = sb_pool_take(&messenger->shard->exchange_pool);
    if (exchange == NULL)
        return NULL;
    se_messenger_count(messenger, sizeof(*exchange));
    *exchange = (struct se_exchange){
        .messenger = messenger,
        .stream_id = stream_id,
        .deadline_ns = SB_NEVER,
    };
    sb_list_init(&exchange->all_link);
    sb_list_init(&exchange->in_link);
    sb_list_init(&exchange->out_link);
    sb_list_init(&exchange->deadline_link);
    sb_list_push_back(&messenger->all, &exchange->all_link);
    return exchange;
}

static void exchange_free(struct se_exchange *exchange)
{
    struct spate_messenger *messenger = exchange->messenger;
    exchange->is_over = true;
    se_incoming_free(exchange);
    if (exchange->out == SE_OUT_SENDING)
        messenger->send_bytes -= exchange->out_bytes;
    sb_list_remove(&exchange->all_link);
    sb_list_remove(&exchange->in_link);
    sb_list_remove(&exchange->out_link);
    sb_list_remove(&exchange->deadline_link);
    se_messenger_count(messenger, -(int64_t)sizeof(*exchange));
    sb_pool_give(&messenger->shard->exchange_pool, exchange);
}

void se_exchange_settle(struct se_exchange *exchange)
{
    bool is_received = exchange->in == SE_IN_NONE || exchange->in == SE_IN_DONE;
    bool is_sent = exchange->out == SE_OUT_NONE || exchange->out == SE_OUT_DONE;
    if (exchange->is_over && is_received && is_sent)
        exchange_free(exchange);
}

struct se_order *se_messenger_channel(struct spate_messenger *messenger, uint32_t channel)
{
    SB_ASSERT(channel > 0 && channel <= messenger->options.channels_max);
    return &messenger->channels[channel - 1];
}

enum se_order_result se_messenger_put(struct spate_messenger *messenger, struct se_order *channel,
                                      uint64_t sequence, void *item)
{
    struct se_memory *memory = &messenger->shard->memory;
    bool had_places = channel->held != NULL;
    if (!had_places && sequence != channel->receive_next &&
        !se_memory_has_room(memory, SE_ORDER_HELD_BYTES, SE_NEED_ORDINARY))
        return SE_ORDER_NO_MEMORY;
    enum se_order_result result = se_order_put(channel, sequence, item);
    if (had_places || channel->held == NULL)
        return result;
    bool is_charged = se_memory_charge(memory, SE_ORDER_HELD_BYTES);
    SB_ASSERT(is_charged); /* there was room */
    messenger->bytes += SE_ORDER_HELD_BYTES;
    se_messenger_count(messenger, SE_ORDER_HELD_BYTES);
    return result;
}

void se_messenger_fail(struct spate_messenger *messenger, const char *reason)
{
    spate_conn_close(messenger->conn, SPATE_MESSAGE_ERROR_PROTOCOL, reason);
}

/* ---- the timer ---- */

void se_messenger_arm(struct spate_messenger *messenger)
{
    uint64_t next_ns = sb_time_min(messenger->fresh_ns, messenger->stall_ns);
    struct sb_link *first = sb_list_first(&messenger->deadlines);
    if (first != NULL)
        next_ns = sb_time_min(
            next_ns, SB_CONTAINER_OF(first, struct se_exchange, deadline_link)->deadline_ns);
    if (next_ns != messenger->armed_ns || !se_timer_is_armed(&messenger->task.timer))
        se_wheel_set(&messenger->shard->wheel, &messenger->task.timer, next_ns);
    messenger->armed_ns = next_ns;
}

static void messenger_free(struct spate_messenger *messenger)
{
    struct sb_link *link;
    for (uint32_t i = 0; i < messenger->options.channels_max; i++) {
        while (se_order_take_any(&messenger->channels[i]) != NULL)
            continue;
        se_order_deinit(&messenger->channels[i]);
    }
    while ((link = sb_list_first(&messenger->all)) != NULL)
        exchange_free(SB_CONTAINER_OF(link, struct se_exchange, all_link));
    se_messenger_count(messenger, -(int64_t)messenger->bytes);
    se_memory_refund(&messenger->shard->memory, messenger->bytes);
    free(messenger->channels);
    free(messenger);
}

/* Frees a destroyed messenger when its connection reads and writes its memory no more. */
static void run_destroyed(struct spate_messenger *messenger, uint64_t now_ns)
{
    struct spate_shard *shard = messenger->shard;
    const struct spate_conn *conn = se_conn_of_id(shard, messenger->conn_id);
    if (conn != NULL && conn->state < SE_CONN_CLOSED) {
        se_wheel_set(&shard->wheel, &messenger->task.timer, sb_time_add(now_ns, DESTROYED_POLL_NS));
        return;
    }
    se_task_leave(&shard->wheel, &messenger->task);
    messenger_free(messenger);
}

static void run(struct se_task *task, uint64_t now_ns)
{
    struct spate_messenger *messenger = SB_CONTAINER_OF(task, struct spate_messenger, task);
    if (messenger->is_destroyed) {
        run_destroyed(messenger, now_ns);
        return;
    }
    se_incoming_run(messenger, now_ns);
    se_outgoing_run(messenger, now_ns);
    se_incoming_feed(messenger);
    messenger->armed_ns = SB_NEVER;
    se_messenger_arm(messenger);
}

static void end(struct se_task *task)
{
    messenger_free(SB_CONTAINER_OF(task, struct spate_messenger, task));
}

/* ---- making and ending ---- */

static int options_check(const struct spate_messenger_options *options, struct spate_error *error)
{
    const struct {
        const char *name;
        uint64_t value, min, max;
    } fields[] = {
        {"message_size_max", options->message_size_max, 1, SIZE_MAX_MAX},
        {"receive_bytes_max", options->receive_bytes_max, RECEIVE_BYTES_MIN, SIZE_MAX_MAX},
        {"send_bytes_max", options->send_bytes_max, 1, SIZE_MAX_MAX},
        {"channels_max", options->channels_max, 0, CHANNELS_MAX},
    };
    for (size_t i = 0; i < SB_COUNT(fields); i++) {
        if (fields[i].value >= fields[i].min && fields[i].value <= fields[i].max)
            continue;
        se_error_set(error, "%s is %llu, not in %llu to %llu", fields[i].name,
                     (unsigned long long)fields[i].value, (unsigned long long)fields[i].min,
                     (unsigned long long)fields[i].max);
        return -EINVAL;
    }
    return 0;
}

static struct spate_messenger *messenger_make(struct spate_conn *conn,
                                              const struct spate_messenger_options *options)
{
    struct se_memory *memory = &conn->shard->memory;
    size_t bytes = sizeof(struct spate_messenger) + options->channels_max * sizeof(struct se_order);
    if (!se_memory_has_room(memory, bytes, SE_NEED_ORDINARY))
        return NULL;
    struct spate_messenger *messenger = calloc(1, sizeof(*messenger));
    struct se_order *channels = calloc(options->channels_max + 1u, sizeof(*channels));
    if (messenger == NULL || channels == NULL || !se_memory_charge(memory, bytes)) {
        free(messenger);
        free(channels);
        return NULL;
    }
    messenger->bytes = bytes;
    messenger->channels = channels;
    return messenger;
}

int spate_messenger_create(struct spate_conn *conn, const struct spate_messenger_options *given,
                           struct spate_messenger **ret, struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_messenger_options",
        SE_SIZE_THROUGH(struct spate_messenger_options, reserved),
        sizeof(struct spate_messenger_options),
    };
    struct spate_messenger_options options;
    spate_messenger_options_init(&options);
    int result = given != NULL ? se_sized_take(&shape, given, &options, error) : 0;
    if (result == 0)
        result = options_check(&options, error);
    if (result != 0)
        return result;
    struct spate_messenger *messenger = messenger_make(conn, &options);
    if (messenger == NULL) {
        se_error_set(error, "no memory for a messenger within memory_bytes_max");
        return -ENOMEM;
    }
    messenger->shard = conn->shard;
    messenger->conn = conn;
    messenger->conn_id = conn->id;
    se_messenger_count(messenger, (int64_t)messenger->bytes);
    messenger->options = options;
    messenger->fresh_ns = SB_NEVER;
    messenger->stall_ns = SB_NEVER;
    messenger->armed_ns = SB_NEVER;
    sb_list_init(&messenger->all);
    sb_list_init(&messenger->incoming);
    sb_list_init(&messenger->holding);
    sb_list_init(&messenger->ready);
    sb_list_init(&messenger->results);
    sb_list_init(&messenger->deadlines);
    messenger->task.run = run;
    messenger->task.end = end;
    se_task_join(&conn->shard->tasks, &messenger->task);
    *ret = messenger;
    return 0;
}

void spate_messenger_destroy(struct spate_messenger *messenger)
{
    if (messenger == NULL)
        return;
    if (messenger->conn != NULL) { /* it still reads and writes memory of the messenger */
        spate_conn_close(messenger->conn, 0, NULL);
        messenger->is_destroyed = true;
        se_wheel_set(&messenger->shard->wheel, &messenger->task.timer, messenger->shard->now_ns);
        return;
    }
    se_task_leave(&messenger->shard->wheel, &messenger->task);
    messenger_free(messenger);
}

/* ---- events ---- */

/* A message without an exchange is refused by its first bytes.  What follows may be among the
 * events that the program has taken already. */
static void look_at_first(struct spate_messenger *messenger, const struct spate_event *event,
                          uint64_t offset, const struct spate_slice *slice)
{
    if (SB_LIKELY(event->stream_user != NULL) || offset != 0)
        return;
    const struct sb_bytes first = {slice != NULL ? slice->data : NULL,
                                   slice != NULL ? slice->size : 0};
    se_incoming_unplaced(messenger, event->stream_id, first);
}

static void on_data(struct spate_messenger *messenger, const struct spate_event *event)
{
    look_at_first(messenger, event, event->u.data.offset, &event->u.data.slice);
    se_incoming_slice(messenger, event->stream_user, event->u.data.slice, event->u.data.fin);
}

static void on_batch(struct spate_messenger *messenger, const struct spate_event *event)
{
    struct se_exchange *exchange = event->stream_user;
    size_t count = event->u.batch.count;
    look_at_first(messenger, event, event->u.batch.offset,
                  count > 0 ? &event->u.batch.slices[0] : NULL);
    for (size_t i = 0; i < count; i++)
        se_incoming_slice(messenger, exchange, event->u.batch.slices[i],
                          event->u.batch.fin && i + 1 == count);
    if (count == 0 && event->u.batch.fin)
        se_incoming_slice(messenger, exchange, (struct spate_slice){0}, true);
}

static void on_stream_closed(struct spate_messenger *messenger, struct se_exchange *exchange)
{
    if (exchange == NULL)
        return;
    exchange->is_over = true;
    se_outgoing_end(exchange);
    se_incoming_end(exchange);
    se_exchange_settle(exchange);
    se_outgoing_room(messenger, true);
}

static void on_closed(struct spate_messenger *messenger)
{
    struct sb_link *link;
    messenger->conn = NULL;
    se_incoming_closed(messenger);
    while ((link = sb_list_first(&messenger->deadlines)) != NULL)
        sb_list_remove(link); /* all has failed by now */
    messenger->fresh_ns = SB_NEVER;
    messenger->stall_ns = SB_NEVER;
    messenger->wants_room = false;
    messenger->has_room = false;
}

/* Handles an event about streams.  Returns false if it is about something else. */
static bool on_stream_event(struct spate_messenger *messenger, const struct spate_event *event)
{
    struct se_exchange *exchange = event->stream_user;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_OPENED:
        se_incoming_opened(messenger, event->stream_id);
        return true;
    case SPATE_EVENT_STREAM_DATA:
        on_data(messenger, event);
        return true;
    case SPATE_EVENT_STREAM_BATCH:
        on_batch(messenger, event);
        return true;
    case SPATE_EVENT_STREAM_PLACED:
        se_incoming_placed(exchange, event);
        return true;
    case SPATE_EVENT_STREAM_RESET:
        se_incoming_reset(exchange, event->u.error);
        return true;
    case SPATE_EVENT_STREAM_STOPPED:
        se_outgoing_stopped(exchange, event->u.error);
        return true;
    case SPATE_EVENT_SENT:
        se_outgoing_sent((struct se_exchange *)(uintptr_t)event->u.sent.tag,
                         event->u.sent.is_acked);
        return true;
    case SPATE_EVENT_STREAM_CLOSED:
        on_stream_closed(messenger, exchange);
        return true;
    case SPATE_EVENT_STREAMS_AVAILABLE:
        se_outgoing_room(messenger, true);
        return true;
    default:
        return false;
    }
}

static bool on_datagram_event(struct spate_messenger *messenger, const struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_DATAGRAM:
        se_incoming_datagram(messenger, event->u.datagram.slice);
        return true;
    case SPATE_EVENT_DATAGRAM_BATCH:
        for (size_t i = 0; i < event->u.batch.count; i++)
            se_incoming_datagram(messenger, event->u.batch.slices[i]);
        return true;
    case SPATE_EVENT_DATAGRAMS_SENT:
        se_outgoing_datagrams(messenger, event->u.datagrams_sent.results,
                              event->u.datagrams_sent.count);
        return true;
    case SPATE_EVENT_DATAGRAM_ROOM:
        se_outgoing_room(messenger, true);
        return true;
    default:
        return false;
    }
}

bool spate_messenger_event(struct spate_messenger *messenger, const struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CLOSED) {
        on_closed(messenger);
        return false;
    }
    bool is_ours = on_stream_event(messenger, event) || on_datagram_event(messenger, event);
    if (is_ours) {
        se_incoming_feed(messenger);
        se_messenger_arm(messenger);
    }
    return is_ours;
}

/* ---- messages ---- */

/* Fills in the pieces, which leave out the header. */
static void fill_pieces(struct se_exchange *exchange, struct spate_message *ret)
{
    size_t skip = exchange->in_header_size;
    size_t count = 0;
    for (const struct se_segment *segment = exchange->first; segment != NULL;
         segment = segment->next) {
        size_t left_out = SB_MIN(skip, segment->size);
        skip -= left_out;
        if (segment->size > left_out)
            exchange->pieces[count++] = (struct iovec){
                .iov_base = (void *)(uintptr_t)(segment->data + left_out),
                .iov_len = segment->size - left_out,
            };
    }
    ret->pieces = exchange->pieces;
    ret->piece_count = count;
    ret->size_bytes = (size_t)exchange->in_size - exchange->in_header_size;
}

static void describe(const struct se_exchange *exchange, struct spate_message *ret)
{
    *ret = (struct spate_message){
        .id = exchange->stream_id,
        .tag = exchange->is_ours ? exchange->tag : 0,
        .channel = exchange->channel,
        .is_unreliable = exchange->stream_id == SE_MESSAGE_NO_ID,
    };
}

static void take_ready(struct se_exchange *exchange, struct spate_message *ret)
{
    describe(exchange, ret);
    if (exchange->in == SE_IN_FAILED) {
        ret->kind = SPATE_MESSAGE_FAILED;
        ret->fate = exchange->fate;
        ret->error = exchange->peer_error;
        exchange->in = SE_IN_DONE;
        se_exchange_settle(exchange);
        return;
    }
    ret->kind = exchange->is_ours      ? SPATE_MESSAGE_REPLY
                : exchange->is_request ? SPATE_MESSAGE_REQUEST
                                       : SPATE_MESSAGE_RECEIVED;
    ret->private_handle = exchange;
    exchange->in = SE_IN_TAKEN;
    sb_list_remove(&exchange->deadline_link);
    fill_pieces(exchange, ret);
}

static void take_result(struct se_exchange *exchange, struct spate_message *ret)
{
    describe(exchange, ret);
    ret->kind = SPATE_MESSAGE_SENT;
    ret->tag = exchange->tag;
    ret->fate = exchange->out_fate;
    ret->error = ret->fate == SPATE_MESSAGE_REFUSED ? exchange->peer_error : 0;
    exchange->out = SE_OUT_DONE;
    se_exchange_settle(exchange);
}

bool spate_messenger_next(struct spate_messenger *messenger, struct spate_message *ret)
{
    struct sb_link *link = sb_list_pop_front(&messenger->results);
    if (link != NULL) {
        take_result(SB_CONTAINER_OF(link, struct se_exchange, out_link), ret);
        return true;
    }
    link = sb_list_pop_front(&messenger->ready);
    if (link != NULL) {
        take_ready(SB_CONTAINER_OF(link, struct se_exchange, in_link), ret);
        return true;
    }
    if (messenger->has_room) {
        messenger->has_room = false;
        *ret = (struct spate_message){.kind = SPATE_MESSAGE_ROOM, .id = SE_MESSAGE_NO_ID};
        return true;
    }
    return false;
}

void spate_message_release(struct spate_messenger *messenger, struct spate_message *message)
{
    struct se_exchange *exchange = message->private_handle;
    if (exchange == NULL)
        return;
    SB_ASSERT(exchange->messenger == messenger);
    se_incoming_free(exchange);
    exchange->in = SE_IN_DONE;
    se_exchange_settle(exchange);
    message->private_handle = NULL;
    message->pieces = NULL;
    message->piece_count = 0;
    se_incoming_feed(messenger);
}

void spate_messenger_stats_sized(const struct spate_messenger *messenger,
                                 struct spate_messenger_stats *ret, size_t size)
{
    struct spate_messenger_stats own = messenger->counts;
    own.receive_bytes_now = messenger->receive_bytes;
    own.send_bytes_now = messenger->send_bytes;
    SB_LIST_EACH(link, &messenger->incoming) {
        const struct se_exchange *exchange = SB_CONTAINER_OF(link, struct se_exchange, in_link);
        own.incomplete_now += exchange->in_size > 0;
        own.waiting_now += exchange->in == SE_IN_WAITING;
    }
    se_sized_give(&own, sizeof(own), ret, size);
}

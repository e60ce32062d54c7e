/* SPDX-License-Identifier: MIT */
#include "engine/shard/channel.h"

/* Answers to commands, and events of connections, on their way to the thread of a channel.
 *
 * Events are made when there is room for them, like those of the application: until then they are
 * state of their connections, which is bounded.  What a peer has sent and nobody has taken is not
 * credited to it.  The translation is that of events.c: it queues the event in a place that is kept
 * for this, from where it is moved at once.
 *
 * An answer needs no test for room.  The channel's thread has reserved it with the slot. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <spate/stream.h>

#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/conn/event.h"

_Static_assert((int)SE_RESULTS_SPARE >= (int)SP_MESSAGE_RESULTS_MAX, "results of one event");

struct spate_channel se_channel_none;

/* ---- Results ---- */

static struct spate_result *claim(struct spate_channel *channel)
{
    uint64_t cell = 0;
    bool has_room = se_spsc_claim(&channel->results, &cell);
    SB_ASSERT(has_room);
    channel->shard->channels.unpublished |= channel->bit;
    return &channel->cells[cell];
}

struct spate_result *se_channel_answer(struct spate_channel *channel, enum spate_command command,
                                       uint64_t slot, int result)
{
    if (slot == SE_CHANNEL_NO_SLOT)
        return &channel->nowhere;
    struct spate_result *ret = claim(channel);
    *ret = (struct spate_result){.command = command, .result = result, .tag = slot};
    return ret;
}

static bool has_room_now(struct spate_channel *channel)
{
    uint64_t freed = atomic_load_explicit(&channel->events_freed, memory_order_acquire);
    return channel->events_pushed - freed < channel->events_max;
}

/* Returns whether there is room for an event.  If not, the channel's thread says when there is. */
static bool has_room(struct spate_channel *channel)
{
    if (SB_LIKELY(has_room_now(channel)))
        return true;
    atomic_store_explicit(&channel->is_shard_waiting, true, memory_order_relaxed); /* S5 */
    atomic_thread_fence(memory_order_seq_cst);
    if (!has_room_now(channel)) { /* S6 */
        channel->shard->counts.own.channel_waits++;
        return false;
    }
    atomic_store_explicit(&channel->is_shard_waiting, false, memory_order_relaxed);
    return true;
}

/* Copies what is not valid longer than the connection or its next event.  Returns NULL if there is
 * no memory. */
static void *copy_of(const void *data, size_t size)
{
    void *copy = malloc(size);
    if (copy != NULL)
        memcpy(copy, data, size);
    return copy;
}

void se_channel_free_result(const struct spate_result *result)
{
    const struct spate_event *event = &result->event;
    if (event->kind == SPATE_EVENT_TICKET || event->kind == SPATE_EVENT_NEW_TOKEN)
        free((void *)(uintptr_t)event->u.bytes.data);
    else if (event->kind == SPATE_EVENT_CLOSED && event->u.close.reason[0] != '\0')
        free((void *)(uintptr_t)event->u.close.reason);
}

/* Makes `event` own what it points to.  Returns false if it is not worth delivering without. */
static bool own(struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_TICKET || event->kind == SPATE_EVENT_NEW_TOKEN) {
        event->u.bytes.data = copy_of(event->u.bytes.data, event->u.bytes.size);
        return event->u.bytes.data != NULL;
    }
    if (event->kind == SPATE_EVENT_CLOSED) {
        const char *reason = event->u.close.reason;
        char *copy = reason[0] != '\0' ? copy_of(reason, strlen(reason) + 1) : NULL;
        event->u.close.reason = copy != NULL ? copy : "";
    }
    return true;
}

const struct spate_slice *se_channel_slice_of(const struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA)
        return &event->u.data.slice;
    return event->kind == SPATE_EVENT_DATAGRAM ? &event->u.datagram.slice : NULL;
}

static void push_event(struct spate_channel *channel, const struct spate_conn *conn,
                       const struct spate_event *event)
{
    struct spate_event mine = *event;
    if (!own(&mine))
        return;
    mine.conn = NULL;
    const struct spate_slice *slice = se_channel_slice_of(event);
    channel->slices_out += slice != NULL && slice->buffer != NULL;
    channel->events_pushed++;
    *claim(channel) = (struct spate_result){.conn_id = conn->id, .event = mine};
}

static void push_fates(struct spate_channel *channel, const struct spate_conn *conn,
                       const struct spate_event *event)
{
    for (size_t i = 0; i < event->u.datagrams_sent.count; i++) {
        const struct spate_datagram_result *from = &event->u.datagrams_sent.results[i];
        struct spate_result *ret = se_channel_answer(channel, SPATE_COMMAND_DATAGRAM, from->tag, 0);
        ret->conn_id = conn->id;
        ret->fate = from->fate;
    }
}

static void push_sent(struct spate_channel *channel, const struct spate_conn *conn,
                      const struct spate_event *event)
{
    struct spate_result *ret = se_channel_answer(channel, SPATE_COMMAND_SEND, event->u.sent.tag, 0);
    ret->conn_id = conn->id;
    ret->event = *event;
    ret->event.conn = NULL;
}

/* ---- Connections ---- */

void se_channel_leave(struct spate_conn *conn)
{
    struct spate_channel *channel = conn->channel;
    SB_ASSERT(!se_channel_is_gone(channel) && channel->conn_count > 0);
    channel->conn_count--;
    conn->channel = &se_channel_none;
    sb_list_remove(&conn->channel_link);
    sb_list_remove(&conn->event_pending_link);
}

void se_channel_join(struct spate_channel *channel, struct spate_conn *conn)
{
    sb_list_push_back(&channel->conns, &conn->channel_link);
    channel->conn_count++;
}

static void on_closed(struct spate_conn *conn)
{
    se_conn_advance(conn, SE_CONN_TAKEN);
    se_conn_end(conn);
    if (!se_channel_is_gone(conn->channel))
        se_channel_leave(conn);
}

static void move_event(struct spate_conn *conn, const struct spate_event *event)
{
    struct spate_channel *channel = conn->channel;
    struct spate_slice slice;
    if (!se_channel_is_gone(channel)) {
        if (event->kind == SPATE_EVENT_SENT)
            push_sent(channel, conn, event);
        else if (event->kind == SPATE_EVENT_DATAGRAMS_SENT)
            push_fates(channel, conn, event);
        else
            push_event(channel, conn, event);
    } else if (se_channel_slice_of(event) != NULL) {
        slice = *se_channel_slice_of(event);
        spate_slice_release(conn->shard, &slice);
    }
    if (event->kind == SPATE_EVENT_CLOSED)
        on_closed(conn);
}

/* Translates an event, and takes it back from the queue of the application. */
static void take(struct spate_conn *conn, const struct sp_event *reported)
{
    struct se_events *events = &conn->shard->events;
    uint32_t tail = events->tail;
    uint32_t results_count = events->results_count;
    uint64_t pushed_count = events->pushed_count;
    se_conn_translate(conn, reported);
    if (events->tail == tail)
        return;
    SB_ASSERT(events->tail == tail + 1);
    struct spate_event event = events->ring[tail];
    events->tail = tail;
    events->results_count = results_count;
    events->pushed_count = pushed_count;
    conn->intro_number = 0; /* nothing waits for the application */
    conn->stream_intro_number = 0;
    move_event(conn, &event);
}

void se_channel_raise(struct spate_conn *conn)
{
    struct spate_channel *channel = conn->channel;
    struct spate_shard *shard = conn->shard;
    if (se_channel_is_gone(channel)) {
        sb_list_push_back(&shard->event_pending, &conn->event_pending_link);
        return;
    }
    sb_list_push_back(&channel->event_pending, &conn->event_pending_link);
    shard->channels.raised |= channel->bit;
}

void se_channel_drain(struct spate_conn *conn, bool may_take)
{
    struct sp_event reported;
    bool has_place = true;
    if (!se_channel_is_gone(conn->channel) && conn->channel->is_connecting)
        may_take = false;
    while (may_take && (has_place = se_channel_is_gone(conn->channel) || has_room(conn->channel))) {
        if (!sp_conn_next_event(conn->proto, &reported)) {
            sb_list_remove(&conn->event_pending_link);
            return;
        }
        take(conn, &reported);
    }
    if (!sb_link_is_in(&conn->event_pending_link))
        se_channel_raise(conn);
    if (se_channel_is_gone(conn->channel))
        return;
    if (has_place)
        conn->shard->channels.raised |= conn->channel->bit;
    else
        conn->shard->channels.raised &= ~conn->channel->bit;
}

int spate_conn_hand_over(struct spate_conn *conn, struct spate_channel *channel)
{
    struct spate_shard *shard = conn->shard;
    if (channel->shard != shard)
        return -EINVAL;
    if (atomic_load_explicit(&channel->state, memory_order_relaxed) != SE_CHANNEL_OPEN)
        return -ESHUTDOWN;
    if (conn->state != SE_CONN_CONNECTED)
        return -ENOTCONN;
    /* Nothing of the connection follows its CONNECTED before the application has called again. */
    if (conn->channel != NULL || conn->intro_number <= shard->events.processed_count ||
        conn->watch != NULL || sp_conn_has_begun(conn->proto))
        return -EBUSY;
    if (!has_room_now(channel))
        return -EAGAIN;
    const struct spate_event event = {.kind = SPATE_EVENT_CONNECTED, .conn_user = conn->user};
    conn->channel = channel;
    conn->wants_batches = false;
    conn->intro_number = 0;
    sb_list_remove(&conn->event_pending_link);
    se_channel_join(channel, conn);
    push_event(channel, conn, &event);
    se_conn_raise(conn);
    return 0;
}

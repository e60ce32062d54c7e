/* SPDX-License-Identifier: MIT */
#include "engine/conn/received.h"

/* Received bytes on their way to the application: an event per slice, or batches of slices. */

#include "engine/conn/events_push.h"
#include "engine/conn/waits.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/conn/message.h"

enum {
    BATCH_STEP = 32, /* slices that are taken of a connection at once */
};

/* Queues one slice of the stream of `reported`, which begins at `offset`. */
static struct spate_event *push_slice(struct spate_conn *conn, const struct sp_event *reported,
                                      const struct sb_slice *slice, uint64_t offset)
{
    struct se_events *events = &conn->shard->events;
    struct spate_event *event =
        se_events_push_of_stream(events, conn, SPATE_EVENT_STREAM_DATA, reported);
    event->u.data.slice = (struct spate_slice){
        .data = slice->data,
        .size = slice->size,
        .buffer = slice->buffer,
        .conn_ref = conn->id,
        .stream_id = reported->stream_id,
    };
    se_waits_hold(&conn->waits, slice->size);
    event->u.data.offset = offset;
    event->u.data.early = reported->data.is_early;
    return event;
}

/* Queues what follows the event before, which is of `reported`, as far as there is room. */
static SB_NEVER_INLINE void push_run(struct spate_conn *conn, const struct sp_event *reported,
                                     struct spate_event *event)
{
    struct sb_slice more[BATCH_STEP];
    const struct se_events *events = &conn->shard->events;
    uint64_t offset = reported->data.offset + reported->data.slice.size;
    bool fin = false;
    uint32_t count, room;
    do {
        room = fin || se_events_is_full(events)
                   ? 0
                   : SB_MIN(SE_EVENTS_MAX - events->tail, (uint32_t)BATCH_STEP);
        count =
            room == 0 ? 0 : sp_conn_more_data(conn->proto, reported->stream_id, more, room, &fin);
        for (uint32_t i = 0; i < count; i++) {
            event = push_slice(conn, reported, &more[i], offset);
            offset += more[i].size;
        }
    } while (count > 0 && count == room);
    event->u.data.fin = fin;
}

void se_received_push_data(struct spate_conn *conn, const struct sp_event *reported)
{
    struct spate_event *event =
        push_slice(conn, reported, &reported->data.slice, reported->data.offset);
    event->u.data.fin = reported->data.fin;
    /* Where a datagram is full, more of them mostly follow: one walk takes them all, instead of a
     * look for the next event of the connection for each.  A channel counts single events. */
    bool may_follow = !reported->data.fin && reported->data.slice.size >= SP_PAGE_SIZE;
    if (may_follow && conn->channel == NULL)
        push_run(conn, reported, event);
}

void se_received_push_message(struct spate_conn *conn, const struct sp_event *reported)
{
    struct se_events *events = &conn->shard->events;
    struct spate_event *event = se_events_push(events, conn, SPATE_EVENT_DATAGRAM);
    se_waits_hold(&conn->waits, reported->message.size);
    event->u.datagram.slice = (struct spate_slice){
        .data = reported->message.data,
        .size = reported->message.size,
        .buffer = reported->message.buffer,
        .conn_ref = conn->id,
        .stream_id = SE_NO_STREAM,
    };
}

/* Appends slices to a batch, which is the last event. */
static void extend_batch(struct spate_event *event, const struct sb_slice *slices, uint32_t count)
{
    struct se_events *events = &event->conn->shard->events;
    SB_ASSERT(count <= SE_SLICES_MAX - events->slices_count);
    struct spate_slice *to = &events->slices[events->slices_count];
    bool is_of_stream = event->kind == SPATE_EVENT_STREAM_BATCH;
    uint64_t stream_id = is_of_stream ? event->stream_id : SE_NO_STREAM;
    for (uint32_t i = 0; i < count; i++) {
        to[i] = (struct spate_slice){
            .data = slices[i].data,
            .size = slices[i].size,
            .buffer = slices[i].buffer,
            .conn_ref = event->conn->id,
            .stream_id = stream_id,
        };
        event->u.batch.size_bytes += slices[i].size;
        se_waits_hold(&event->conn->waits, slices[i].size);
    }
    event->u.batch.count += count;
    events->slices_count += count;
}

/* How many slices can be added to a batch at once. */
static uint32_t batch_room(const struct se_events *events)
{
    return SB_MIN(SE_SLICES_MAX - events->slices_count, (uint32_t)BATCH_STEP);
}

void se_received_push_data_batch(struct spate_conn *conn, const struct sp_event *reported)
{
    struct sb_slice more[BATCH_STEP];
    struct se_events *events = &conn->shard->events;
    struct spate_event *event =
        se_events_push_of_stream(events, conn, SPATE_EVENT_STREAM_BATCH, reported);
    event->u.batch.offset = reported->data.offset;
    event->u.batch.early = reported->data.is_early;
    event->u.batch.slices = &events->slices[events->slices_count];
    extend_batch(event, &reported->data.slice, reported->data.slice.size > 0);
    bool fin = reported->data.fin;
    uint32_t count, room;
    do {
        room = fin ? 0 : batch_room(events);
        count =
            room == 0 ? 0 : sp_conn_more_data(conn->proto, reported->stream_id, more, room, &fin);
        extend_batch(event, more, count);
    } while (count > 0 && count == room);
    event->u.batch.fin = fin;
}

void se_received_push_message_batch(struct spate_conn *conn, const struct sp_event *reported)
{
    struct sb_slice more[BATCH_STEP];
    struct se_events *events = &conn->shard->events;
    struct spate_event *event = se_events_push(events, conn, SPATE_EVENT_DATAGRAM_BATCH);
    event->u.batch.slices = &events->slices[events->slices_count];
    extend_batch(event, &reported->message, 1);
    extend_batch(event, more, sp_conn_more_messages(conn->proto, more, batch_room(events)));
}

/* SPDX-License-Identifier: MIT */
#ifndef SE_EVENTS_PUSH_H
#define SE_EVENTS_PUSH_H

#include "engine/conn/conn.h"
#include "engine/conn/events.h"
#include "proto/base/assert.h"
#include "proto/conn/event.h"
#include "proto/conn/message.h"

/* How an event gets its place in the queue: for events.c and received.c alone.  Inline, because a
 * stream has four of them. */

static inline bool se_events_is_full(const struct se_events *events)
{
    return events->tail == SE_EVENTS_MAX ||
           events->results_count > SE_RESULTS_MAX - SP_MESSAGE_RESULTS_MAX ||
           events->slices_count == SE_SLICES_MAX;
}

/* Begins an event; the caller fills the rest of it in its place. */
static inline struct spate_event *se_events_push(struct se_events *events, struct spate_conn *conn,
                                                 enum spate_event_kind kind)
{
    /* The event of a channel is moved on at once: see se_channel_drain(). */
    SB_DEBUG_ASSERT(!se_events_is_full(events) || conn->channel != NULL);
    SB_ASSERT(events->tail < SB_COUNT(events->ring));
    struct spate_event *event = &events->ring[events->tail++];
    events->pushed_count++;
    *event = (struct spate_event){.kind = kind, .conn = conn, .conn_user = conn->user};
    return event;
}

/* Begins an event of the stream of `reported`. */
static inline struct spate_event *se_events_push_of_stream(struct se_events *events,
                                                           struct spate_conn *conn,
                                                           enum spate_event_kind kind,
                                                           const struct sp_event *reported)
{
    struct spate_event *event = se_events_push(events, conn, kind);
    event->stream_id = reported->stream_id;
    event->stream_user = reported->stream_user;
    return event;
}

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SE_EVENTS_H
#define SE_EVENTS_H

#include <spate/event.h>

#include "proto/base/compiler.h"

/* The application's events, pulled from connections in batches.
 *
 * Events stay in the connections until there is room here.  After CONNECTED no event of that
 * connection is queued until the application has processed it.  After STREAM_OPENED only further
 * STREAM_OPENED events are queued until then.  So the user pointers that the application sets while
 * handling them are in all later events, and queued events never change.
 *
 * An event that became untrue while it was queued becomes SPATE_EVENT_NONE, and is skipped when it
 * is its turn.  It keeps its place, because events are known by their number.
 *
 *     0 <= head <= tail <= SE_EVENTS_MAX
 *     pushed_count - (tail - head) == taken_count >= processed_count
 *     dropped_count == events of kind NONE between head and tail
 *     results_count == results of all events up to tail
 *     slices_count == slices of the batches up to tail, dropped ones included */

struct sp_event;
struct spate_shard;

enum {
    SE_EVENTS_MAX = 256,
    SE_RESULTS_MAX = 1024, /* of messages, in all queued events: 16 KiB */
    SE_SLICES_MAX = 512,   /* of batches, in all queued events: 20 KiB */
    SE_RESULTS_SPARE = 32, /* of one event that goes to a channel */
};

/* The stream_id of a slice that belongs to a message. */
#define SE_NO_STREAM UINT64_MAX

struct se_events {
    uint32_t head; /* the next to be taken */
    uint32_t tail;
    uint32_t dropped_count;
    uint32_t results_count;
    uint64_t pushed_count;    /* events queued since the start */
    uint64_t processed_count; /* events taken before the last call: the application has processed
                                 them */
    struct spate_event ring[SE_EVENTS_MAX + 1]; /* the last one is for events of channels alone */
    struct spate_datagram_result results[SE_RESULTS_MAX + SE_RESULTS_SPARE]; /* DATAGRAMS_SENT */
    uint32_t slices_count;
    struct spate_slice slices[SE_SLICES_MAX]; /* of STREAM_BATCH and DATAGRAM_BATCH */
};

/* Returns the number of events that can be taken. */
static inline uint32_t se_events_count(const struct se_events *events)
{
    return events->tail - events->head - events->dropped_count;
}

/* Records that the application has called again: the events that it has taken are processed. */
void se_events_processed(struct se_events *events);

/* Applies all changes to the routes of one connection. */
void se_conn_route(struct spate_conn *conn);

/* Calls se_conn_route(), and queues the connection's events while there is room. */
void se_conn_drain(struct spate_conn *conn);

/* Does what an event of the connection asks for, and queues that of the application. */
void se_conn_translate(struct spate_conn *conn, const struct sp_event *reported);

/* Queues SPATE_EVENT_SHUTDOWN.  Returns false if there is no room. */
SB_MUST_USE bool se_events_push_shutdown(struct se_events *events);

/* Queues the events of all connections while there is room. */
void se_shard_drain(struct spate_shard *shard);

/* Takes up to `count_max` events and returns a pointer to the first of `*ret_count`.  They stay
 * valid until the next call of a function of this header. */
const struct spate_event *se_events_take(struct spate_shard *shard, uint32_t count_max,
                                         uint32_t *ret_count);

/* Drops the queued events with received bytes of one stream, and releases their slices.  Memory
 * that was lent for it still comes back.  Returns true if there were any. */
bool se_events_drop_received(struct spate_conn *conn, uint64_t stream_id);

/* Discards events that were never taken, and releases their slices. */
void se_events_discard(struct spate_shard *shard);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SE_EVENTS_H
#define SE_EVENTS_H

#include <spate/event.h>

#include "proto/base/compiler.h"

/* The application's events, pulled out of connections a batch at a time.
 *
 * The facts stay in the connections until there is room here.  An event that introduces a
 * connection is the last of it until it has been taken and the application has come back; behind
 * one that introduces a stream come such ones only: so the user pointers that it sets in answer
 * are in all events that follow, and events need not be looked at again.
 *
 *     0 <= head <= tail <= SE_EVENTS_MAX
 *     pushed_count - (tail - head) == taken_count >= processed_count */

struct spate_shard;

enum { SE_EVENTS_MAX = 256 };

struct se_events {
    uint32_t head; /* the next to be taken */
    uint32_t tail;
    uint64_t pushed_count;    /* since the start */
    uint64_t processed_count; /* taken before the last call, so the application is done with them */
    struct spate_event ring[SE_EVENTS_MAX];
};

static inline uint32_t se_events_count(const struct se_events *events)
{
    return events->tail - events->head;
}

/* The application is back: what was taken has been processed. */
void se_events_processed(struct se_events *events);

/* Pulls what one connection has to say: all of its routes, and its news as far as there is room. */
void se_conn_drain(struct spate_conn *conn);

/* .. and all of them. */
void se_shard_drain(struct spate_shard *shard);

/* Takes the next events in place: up to `count_max`, `*ret_count` of them, which stay where
 * they are until the next call of anything here. */
const struct spate_event *se_events_take(struct spate_shard *shard, uint32_t count_max,
                                         uint32_t *ret_count);

/* Gives back what was never taken. */
void se_events_discard(struct spate_shard *shard);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_STREAM_H
#define SP_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/wire/quic.h"
#include "proto/stream/stream_recv.h"
#include "proto/stream/stream_send.h"

/* Control frames that a stream has to send: bits of `control`. */
enum {
    SP_CONTROL_RESET = 1 << 0,
    SP_CONTROL_STOP = 1 << 1,
    SP_CONTROL_MAX_DATA = 1 << 2,
    SP_CONTROL_BLOCKED = 1 << 3,
};

/* Facts that the application has not been told: bits of `pending_events`. */
enum {
    SP_PENDING_RESET = 1 << 0,
    SP_PENDING_STOPPED = 1 << 1,
};

/* One stream, both parts.  It dies when both are done, the application was told of
 * everything, and no packet in flight names it any more (sent_refs == 0). */
struct sp_stream {
    uint64_t id;
    void *user;
    struct sp_stream *hash_next;
    struct sb_link send_link;    /* in the schedule, if it has bytes to send */
    struct sb_link control_link; /* in the list of those with `control` set */
    struct sb_link event_link;   /* in the list of those with something to tell */
    struct sp_stream_send send;
    struct sp_stream_recv recv;
    uint64_t stop_code; /* of a STOP_SENDING received */
    uint32_t sent_refs; /* frames in flight that point here */
    uint8_t control;
    uint8_t pending_events;
    bool is_closed; /* the application was told: out of the map, waits for sent_refs */
};

static inline bool sp_stream_is_uni(uint64_t id)
{
    return (id & SP_STREAM_IS_UNI) != 0;
}

static inline bool sp_stream_is_local(uint64_t id, bool is_server)
{
    return ((id & SP_STREAM_BY_SERVER) != 0) == is_server;
}

/* A part that does not exist counts as done. */
static inline bool sp_stream_is_done(const struct sp_stream *stream)
{
    return (stream->send.state == SP_SEND_NONE || sp_send_is_done(stream->send.state)) &&
           (stream->recv.state == SP_RECV_NONE || sp_recv_is_done(stream->recv.state));
}

#endif

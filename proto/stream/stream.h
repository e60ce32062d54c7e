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

/* Events that have not been reported to the application: bits of `pending_events`. */
enum {
    SP_PENDING_RESET = 1 << 0,
    SP_PENDING_STOPPED = 1 << 1,
};

/* One stream, both parts.  It is freed when both are done, every event has been reported, and no
 * packet in flight refers to it any more (sent_refs == 0). */
struct sp_stream {
    uint64_t id;
    void *user;
    struct sp_stream *hash_next;
    struct sb_link send_link;    /* in the schedule, if it has bytes to send or waits for credit */
    struct sb_link control_link; /* in the list of those with `control` set */
    struct sb_link event_link;   /* in the list of those with pending events */
    uint64_t stop_code;          /* of a STOP_SENDING received */
    uint32_t sent_refs;          /* frames in flight that point here */
    uint8_t control;
    uint8_t pending_events;
    uint8_t priority; /* see conn/schedule.h */
    bool is_early;    /* bytes or a reset of it came in 0-RTT packets */
    bool is_held;     /* opened in 0-RTT that was rejected, above the limit that counts now: in no
                         list of what is to be sent until MAX_STREAMS allows it */
    bool is_closed;   /* STREAM_CLOSED was reported: out of the map, waits for sent_refs */
    uint8_t traced_wait; /* enum sp_qlog_wait: what was recorded last that it waits for */
    /* Last, because each is initialised by itself. */
    struct sp_stream_send send;
    struct sp_stream_recv recv;
};

static inline bool sp_stream_is_uni(uint64_t id)
{
    return (id & SP_STREAM_IS_UNI) != 0;
}

static inline bool sp_stream_is_local(uint64_t id, bool is_server)
{
    return ((id & SP_STREAM_BY_SERVER) != 0) == is_server;
}

/* A part that does not exist counts as done.  One that is not done keeps the stream, and with it
 * the state of flow control.  [RFC9000 4.4] */
static inline bool sp_stream_is_done(const struct sp_stream *stream)
{
    return (stream->send.state == SP_SEND_NONE || sp_send_is_done(stream->send.state)) &&
           (stream->recv.state == SP_RECV_NONE || sp_recv_is_done(stream->recv.state));
}

#endif

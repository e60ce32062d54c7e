/* SPDX-License-Identifier: MIT */
#ifndef SP_STREAM_LIMITS_H
#define SP_STREAM_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* How many streams of one kind (bidirectional or unidirectional) each side may open.
 * [RFC9000 4.6] */

/* Whether the peer knows that its limit holds us back: one *_BLOCKED frame per limit. */
enum sp_blocked {
    SP_BLOCKED_NOT,  /* the limit has held nothing back */
    SP_BLOCKED_DUE,  /* a frame that says so is to be sent */
    SP_BLOCKED_SENT, /* it was sent */
    SP_BLOCKED_STATES,
};

enum sp_blocked_event {
    SP_BLOCKED_ON_BLOCK, /* something is held back */
    SP_BLOCKED_ON_SENT,
    SP_BLOCKED_ON_LOST,  /* the frame about this limit was lost */
    SP_BLOCKED_ON_RAISE, /* the limit is higher now */
    SP_BLOCKED_EVENTS,
};

/* An application that could not open a stream. */
enum sp_open_wait {
    SP_OPEN_WAIT_NONE,
    SP_OPEN_WAIT_REFUSED,   /* sp_conn_open() returned SP_AGAIN */
    SP_OPEN_WAIT_AVAILABLE, /* it may succeed now: SP_EVENT_STREAMS_AVAILABLE is due */
    SP_OPEN_WAIT_STATES,
};

enum sp_open_wait_event {
    SP_OPEN_WAIT_ON_REFUSE,
    SP_OPEN_WAIT_ON_ROOM, /* a stream can be opened */
    SP_OPEN_WAIT_ON_TAKE, /* the event was taken */
    SP_OPEN_WAIT_EVENTS,
};

/* The limit that we give to the peer: MAX_STREAMS. */
enum sp_grant {
    SP_GRANT_NONE,   /* the peer has what it needs, or there is nothing to give */
    SP_GRANT_WANTED, /* the peer is blocked: any credit is worth a frame */
    SP_GRANT_DUE,    /* MAX_STREAMS is to be sent */
    SP_GRANT_STATES,
};

enum sp_grant_event {
    SP_GRANT_ON_BLOCKED, /* STREAMS_BLOCKED at our limit */
    SP_GRANT_ON_WORTH,   /* there is credit, and it is worth a frame */
    SP_GRANT_ON_SENT,
    SP_GRANT_ON_LOST, /* the frame with the newest limit was lost */
    SP_GRANT_EVENTS,
};

enum sp_blocked sp_blocked_next(enum sp_blocked state, enum sp_blocked_event event);
enum sp_open_wait sp_open_wait_next(enum sp_open_wait state, enum sp_open_wait_event event);
enum sp_grant sp_grant_next(enum sp_grant state, enum sp_grant_event event);

/* Streams of one kind.
 *
 *     local_opened <= max(local_max, early_max)
 *     remote_closed <= remote_opened <= remote_max <= remote_closed + remote_window */
struct sp_stream_limits {
    uint64_t local_opened;
    uint64_t local_max;          /* what the peer allows */
    uint64_t early_max;          /* what a rejected 0-RTT had allowed; 0: nothing */
    enum sp_blocked blocked;     /* STREAMS_BLOCKED about local_max */
    enum sp_open_wait open_wait; /* what our application waits for */
    /* Opened by the peer.  A frame opens all lower streams of its kind too; an object is made for a
     * stream by its own first frame, or when it is announced.
     *
     *     remote_announced <= remote_opened
     *     remote_made >= remote_announced; all below remote_announced were made */
    uint64_t remote_opened;
    uint64_t remote_announced; /* STREAM_OPENED was taken */
    uint64_t remote_made;
    uint64_t remote_closed;
    uint64_t remote_max;    /* what we have allowed */
    uint64_t remote_window; /* streams that the peer may have open at a time */
    enum sp_grant grant;    /* MAX_STREAMS */
};

void sp_stream_limits_init(struct sp_stream_limits *limits, uint64_t remote_window);

/* Returns true if the peer's limit allows one more stream of ours. */
static inline bool sp_stream_limits_has_room(const struct sp_stream_limits *limits)
{
    return limits->local_opened < limits->local_max;
}

/* ---- Our streams ---- */

/* Our application could not open a stream.  `may_say`: the peer can be told that its limit is the
 * reason. */
void sp_stream_limits_on_refused(struct sp_stream_limits *limits, bool may_say);
/* MAX_STREAMS, or the peer's transport parameter.  A lower limit changes nothing. */
void sp_stream_limits_on_raise(struct sp_stream_limits *limits, uint64_t max);
/* The peer has rejected 0-RTT: its limit is not known, and it knows no stream of ours. */
void sp_stream_limits_rewind(struct sp_stream_limits *limits);
/* A stream of ours has closed, or the handshake is complete. */
void sp_stream_limits_on_room(struct sp_stream_limits *limits);
/* A STREAMS_BLOCKED with this limit was lost. */
void sp_stream_limits_on_blocked_lost(struct sp_stream_limits *limits, uint64_t max);

/* ---- The peer's streams ---- */

void sp_stream_limits_on_remote_opened(struct sp_stream_limits *limits, uint64_t opened);
void sp_stream_limits_on_remote_closed(struct sp_stream_limits *limits);
/* STREAMS_BLOCKED with this limit. */
void sp_stream_limits_on_remote_blocked(struct sp_stream_limits *limits, uint64_t max);
/* Raises the limit as far as it goes, and returns it: what MAX_STREAMS says. */
uint64_t sp_stream_limits_grant(struct sp_stream_limits *limits);
/* A MAX_STREAMS with this limit was lost. */
void sp_stream_limits_on_grant_lost(struct sp_stream_limits *limits, uint64_t max);

void sp_stream_limits_check(const struct sp_stream_limits *limits);

#endif

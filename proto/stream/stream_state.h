/* SPDX-License-Identifier: MIT */
#ifndef SP_STREAM_STATE_H
#define SP_STREAM_STATE_H

#include <stdbool.h>

/* The sending part of a stream.  [RFC9000 3.1]  CUT and RESET_AT are the beginning of "Reset Sent"
 * of a reset with a reliable size: bytes below that are still delivered.  [reliable-reset 5] */
enum sp_send_state {
    SP_SEND_NONE, /* not a state: marks an event that must not happen here */
    SP_SEND_READY,
    SP_SEND_OPEN,
    SP_SEND_DATA_SENT,
    SP_SEND_CUT,       /* not all of those bytes were sent: RESET_STREAM_AT follows them */
    SP_SEND_RESET_AT,  /* RESET_STREAM_AT is sent until it is acknowledged, and so are the bytes */
    SP_SEND_DATA_DONE, /* all acknowledged */
    SP_SEND_RESET,
    SP_SEND_RESET_DONE, /* the reset is acknowledged */
    SP_SEND_STATES,
};

enum sp_send_event {
    SP_SEND_ON_DATA,      /* a STREAM frame went out */
    SP_SEND_ON_FIN,       /* a STREAM frame with the last byte and FIN was sent */
    SP_SEND_ON_ALL_ACKED, /* all bytes and FIN are acknowledged, or RESET_STREAM_AT instead of it */
    SP_SEND_ON_RESET,     /* the application gave up, or the peer asked us to */
    SP_SEND_ON_RESET_ACKED,
    SP_SEND_ON_CUT,     /* the application gave up what follows the reliable size */
    SP_SEND_ON_CUT_OUT, /* all bytes below the reliable size were sent */
    SP_SEND_EVENTS,
};

/* The receiving part of a stream.  [RFC9000 3.2] */
enum sp_recv_state {
    SP_RECV_NONE,
    SP_RECV_OPEN,
    SP_RECV_SIZE_KNOWN,
    SP_RECV_RESET_AT, /* RESET_STREAM_AT came, bytes below its reliable size are still to be read */
    SP_RECV_ARRIVED,  /* all bytes are here, the application has some to read */
    SP_RECV_DONE,     /* the application has read all */
    SP_RECV_RESET,    /* RESET_STREAM came, the application has not seen it */
    SP_RECV_RESET_DONE,
    SP_RECV_STATES,
};

enum sp_recv_event {
    SP_RECV_ON_FIN,        /* the final size became known */
    SP_RECV_ON_ALL_BYTES,  /* no gap is left below the final size */
    SP_RECV_ON_READ_ALL,   /* the application took the last byte */
    SP_RECV_ON_RESET,      /* a RESET_STREAM frame, or all below the reliable size was read */
    SP_RECV_ON_READ_RESET, /* the reset was reported to the application */
    SP_RECV_ON_RESET_AT,   /* a RESET_STREAM_AT frame */
    SP_RECV_EVENTS,
};

enum sp_send_state sp_send_next(enum sp_send_state state, enum sp_send_event event);
enum sp_recv_state sp_recv_next(enum sp_recv_state state, enum sp_recv_event event);

/* Terminal states: nothing will happen in that part any more. */
static inline bool sp_send_is_done(enum sp_send_state state)
{
    return state == SP_SEND_DATA_DONE || state == SP_SEND_RESET_DONE;
}

static inline bool sp_recv_is_done(enum sp_recv_state state)
{
    return state == SP_RECV_DONE || state == SP_RECV_RESET_DONE;
}

#endif

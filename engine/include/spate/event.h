/* SPDX-License-Identifier: MIT */
#ifndef SPATE_EVENT_H
#define SPATE_EVENT_H

#include <spate/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct spate_conn;

/* What a shard tells, in the order in which it happened on each stream.
 *
 * An event that introduces a connection (CONNECTED) is the last of its connection until the
 * application comes back: by its next spate_shard_events() or spate_shard_turn(), or by returning
 * from its handler.  Behind one that introduces a stream (STREAM_OPENED) come others of the
 * kind at most.  So the user pointers that it sets in answer are in all events that follow.
 * What happened on one stream may be told before what happened earlier on another. */
enum spate_event_kind {
    SPATE_EVENT_NONE,
    SPATE_EVENT_CONNECTED,         /* the handshake is complete; a server sees the connection
                                      here for the first time */
    SPATE_EVENT_STREAM_OPENED,     /* by the peer */
    SPATE_EVENT_STREAM_DATA,       /* the next bytes in order, as a slice to give back */
    SPATE_EVENT_STREAM_PLACED,     /* the next bytes in order are in the memory that was lent by
                                      spate_stream_receive_into(); or that memory comes back */
    SPATE_EVENT_STREAM_RESET,      /* the peer abandoned what it was sending; no more data */
    SPATE_EVENT_STREAM_STOPPED,    /* the peer does not want what we send */
    SPATE_EVENT_SENT,              /* lent bytes come back */
    SPATE_EVENT_STREAM_CLOSED,     /* both directions are done; the ID is dead */
    SPATE_EVENT_STREAMS_AVAILABLE, /* spate_stream_open() said -EAGAIN and may work now */
    SPATE_EVENT_CLOSED,            /* the connection is over; the last event of it */
};

/* Received bytes, lent to the application until spate_slice_release().  The layout is frozen: 40
 * bytes on a 64-bit system. */
struct spate_slice {
    const uint8_t *data;
    size_t size;
    /* Private: */
    void *buffer;
    uint64_t conn_ref;
    uint64_t stream_id;
};

enum spate_close_kind {
    SPATE_CLOSE_TRANSPORT = 1, /* `error` is of RFC 9000 section 20.1 */
    SPATE_CLOSE_APP,           /* `error` is the application's */
    SPATE_CLOSE_IDLE,          /* nothing was heard for the idle timeout */
    SPATE_CLOSE_HANDSHAKE_TIMEOUT,
    SPATE_CLOSE_STATELESS_RESET, /* the peer has forgotten the connection */
    SPATE_CLOSE_VERSION,         /* no QUIC version in common */
    SPATE_CLOSE_UNREACHABLE,     /* the network says that nobody is there: `error` is an errno */
};

struct spate_close {
    enum spate_close_kind kind;
    bool is_local; /* we began it */
    uint64_t error;
    const char *reason; /* for a person; may be empty; the peer's text is not to be trusted.
                           Valid until the next spate_shard_turn() */
};

/* The layout is frozen, because events are handed out in arrays: 96 bytes on a 64-bit system, 56 of
 * them for the union.  Later versions may add kinds, and members of the union that fit into it;
 * what does not fit is reached through a pointer.  Ignore kinds that you do not know: a kind that
 * has to be answered is only delivered to a program that has asked for it. */
struct spate_event {
    enum spate_event_kind kind;
    struct spate_conn *conn; /* after CLOSED: not to be used any more */
    void *conn_user;         /* as set by spate_conn_set_user(); a listener's until then */
    uint64_t stream_id;      /* STREAM_*, SENT */
    void *stream_user;       /* STREAM_*, SENT: as set by spate_stream_set_user() */
    union {
        struct {
            struct spate_slice slice; /* may be empty, with fin; must be given back all the same */
            uint64_t offset;          /* of its first byte in the stream */
            bool fin;                 /* the peer sends nothing behind these bytes */
        } data;
        struct {
            const uint8_t *data; /* in the application's memory: nothing to give back.  NULL for an
                                    end that comes when no memory is lent */
            size_t size;         /* may be 0, with fin or is_returned */
            uint64_t offset;     /* of the first byte in the stream */
            uint64_t tag;        /* of spate_stream_receive_into(); 0 without memory */
            bool fin;            /* the peer sends nothing behind these bytes */
            bool is_returned;    /* the memory is full, or nothing more will come to it: it is not
                                    lent any more */
        } placed;
        struct {
            uint64_t tag; /* of spate_stream_send() */
            size_t size;
            bool is_acked; /* false: given up by a reset or the connection's end */
        } sent;
        uint64_t error;           /* STREAM_RESET, STREAM_STOPPED: the peer's application code */
        bool is_uni;              /* STREAMS_AVAILABLE */
        struct spate_close close; /* CLOSED */
    } u;
};

#ifdef __cplusplus
}
#endif

#endif

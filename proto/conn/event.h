/* SPDX-License-Identifier: MIT */
#ifndef SP_EVENT_H
#define SP_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/slice.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* Events of a connection, taken by sp_conn_next_event(). */

enum sp_event_kind {
    SP_EVENT_NONE,
    SP_EVENT_CID_ADDED,   /* packets to `cid` are this connection's from now on */
    SP_EVENT_CID_REMOVED, /* packets to `cid` are no longer this connection's */
    SP_EVENT_TOKEN_ADDED, /* a datagram that ends in `token` is this connection's Stateless Reset */
    SP_EVENT_TOKEN_REMOVED,
    SP_EVENT_EARLY,          /* 0-RTT: streams may be used from now on, before CONNECTED.  Client:
                                what is sent may be rejected.  Server: what comes before
                                CONNECTED may be a replay.  [RFC9001 4.6, 9.2] */
    SP_EVENT_EARLY_REJECTED, /* client: the server kept nothing of 0-RTT; all of it is sent again
                                after the handshake */
    SP_EVENT_CONNECTED,      /* the handshake is complete: streams may be used */
    SP_EVENT_CONFIRMED,      /* the handshake is confirmed. [RFC9001 4.1.2] */
    SP_EVENT_TICKET,         /* client: for a later connection; `ticket` is valid until the next
                                SP_EVENT_TICKET is taken, or the connection destroyed */
    SP_EVENT_NEW_TOKEN,      /* client: proves our address to the server in a later connection.
                                [RFC9000 8.1.3] */
    SP_EVENT_MESSAGE,        /* a message was received: see conn/message.h */
    SP_EVENT_MESSAGES_DONE,  /* what became of messages that were sent */
    SP_EVENT_MESSAGE_ROOM,   /* after SP_AGAIN: messages can be queued again */
    SP_EVENT_TLS_WAIT,       /* TLS waits for an answer that only the caller has: give it, then
                                call sp_conn_resume_tls() */
    SP_EVENT_PREFERRED,      /* client: the server prefers another address: call
                                sp_conn_move_to_preferred(), or stay */
    SP_EVENT_PATH,           /* the path in use changed, or a move failed: see `path` */
    SP_EVENT_STREAMS_AVAILABLE, /* the peer raised its limit after an AGAIN */
    SP_EVENT_STREAM_OPENED,     /* by the peer */
    SP_EVENT_STREAM_DATA,       /* the next bytes in order */
    SP_EVENT_STREAM_PLACED,     /* the next bytes in order, in lent memory; or its return */
    SP_EVENT_STREAM_RESET,      /* the peer abandoned its sending part */
    SP_EVENT_STREAM_STOPPED,    /* the peer does not want our bytes (STOP_SENDING) */
    SP_EVENT_STREAM_SENT,       /* lent bytes are returned */
    SP_EVENT_STREAM_CLOSED,     /* both parts are finished, or the connection ends: the ID is no
                                   longer valid */
    SP_EVENT_CLOSED,            /* no more events of streams; `close` has the reason.  Unless
                                   we closed, received bytes have been delivered.  If we closed,
                                   the CONNECTION_CLOSE has been handed out by sp_conn_send() */
    SP_EVENT_DRAINED,           /* nothing is left to send or to wait for: destroy the connection */
};

enum sp_close_kind {
    SP_CLOSE_NONE,
    SP_CLOSE_TRANSPORT, /* a CONNECTION_CLOSE of type 0x1c */
    SP_CLOSE_APP,       /* a CONNECTION_CLOSE of type 0x1d */
    SP_CLOSE_IDLE,      /* silence for the idle timeout */
    SP_CLOSE_HANDSHAKE_TIMEOUT,
    SP_CLOSE_STATELESS_RESET,
    SP_CLOSE_VERSION, /* the server supports no version that we support */
};

struct sp_close {
    enum sp_close_kind kind;
    bool is_local;       /* we began it */
    uint64_t error;      /* TRANSPORT: enum sp_err; APP: the application's */
    uint64_t frame_type; /* TRANSPORT: of the frame that caused it, or 0 */
    uint32_t reason_size;
    char reason[SP_REASON_SIZE_MAX];
};

/* What became of a message: exactly one, after which its memory is no longer lent. */
enum sp_message_fate {
    SP_MESSAGE_ACKED,   /* the peer has it */
    SP_MESSAGE_LOST,    /* sent, and declared lost or not acknowledged at the end of the connection.
                           It may have arrived all the same */
    SP_MESSAGE_EXPIRED, /* not sent before its deadline */
    SP_MESSAGE_DROPPED, /* not sent: the connection has ended, or the path ceased to take datagrams
                           of that size */
};

enum { SP_MESSAGE_RESULTS_MAX = 32 }; /* in one event */

struct sp_message_result {
    uint64_t tag;
    uint32_t size;
    enum sp_message_fate fate;
};

enum sp_path_change {
    SP_PATH_PEER_MOVED, /* the peer has another address, which it has proved */
    SP_PATH_MIGRATED,   /* sp_conn_migrate() has succeeded */
    SP_PATH_FAILED,     /* a move has failed: the path in use did not change */
    SP_PATH_PREFERRED,  /* sp_conn_move_to_preferred() has succeeded */
};

struct sp_event {
    enum sp_event_kind kind;
    uint64_t stream_id; /* STREAM_* */
    void *stream_user;  /* STREAM_*: as set by sp_conn_stream_set_user() */
    union {
        struct sp_cid cid;                  /* CID_* */
        uint8_t token[SP_RESET_TOKEN_SIZE]; /* TOKEN_* */
        bool is_uni;                        /* STREAMS_AVAILABLE */
        struct sb_bytes ticket;             /* TICKET */
        struct sb_slice new_token;          /* NEW_TOKEN: the reference becomes the caller's */
        enum sp_path_change path;           /* PATH */
        struct sp_preferred preferred;      /* PREFERRED: one family may be missing */
        struct {
            struct sb_slice slice; /* the reference becomes the caller's; may be empty with fin */
            uint64_t offset;
            bool fin;
            bool is_early; /* bytes of the stream came in 0-RTT packets */
        } data;
        struct {
            const uint8_t *data; /* in the memory of sp_conn_receive_into(); may be NULL with fin */
            uint64_t size;       /* may be 0 with fin or is_returned */
            uint64_t offset;     /* of data[0] in the stream */
            uint64_t tag;
            bool fin;
            bool is_returned; /* full, or nothing more will come: the memory is no longer lent */
            bool is_early;    /* bytes of the stream came in 0-RTT packets */
        } placed;
        struct sb_slice message; /* MESSAGE: the reference becomes the caller's; may be empty */
        struct {
            const struct sp_message_result *results; /* valid until the next sp_conn_next_event() */
            uint32_t count;
        } messages_done;
        uint64_t error; /* STREAM_RESET, STREAM_STOPPED: the application's code */
        struct {
            uint64_t tag;
            uint64_t size;
            bool is_acked; /* false: given up by a reset or the connection's end */
        } sent;
        const struct sp_close *close; /* CLOSED: valid until the connection is destroyed */
    };
};

#endif

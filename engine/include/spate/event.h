/* SPDX-License-Identifier: MIT */
#ifndef SPATE_EVENT_H
#define SPATE_EVENT_H

#include <spate/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct spate_conn;

/* Kinds of events.  The events of one stream come in the order in which they happened.  Events of
 * different streams may come in another order.
 *
 * After CONNECTED, no event of that connection follows until the application calls
 * spate_shard_events() or spate_shard_turn() again, or returns from its handler.  After
 * STREAM_OPENED, only further STREAM_OPENED events of that connection follow until then.  So a user
 * pointer that is set while handling one of these two is in all later events. */
enum spate_event_kind {
    SPATE_EVENT_NONE,
    SPATE_EVENT_CONNECTED,         /* the handshake is complete.  For a server this is the first
                                      event of the connection, unless EARLY came before */
    SPATE_EVENT_STREAM_OPENED,     /* the peer opened a stream */
    SPATE_EVENT_STREAM_DATA,       /* the next bytes in order, as a slice that must be released */
    SPATE_EVENT_STREAM_PLACED,     /* the next bytes in order are in the memory that
                                      spate_stream_receive_into() lent, or that memory comes back */
    SPATE_EVENT_STREAM_RESET,      /* the peer abandoned its sending side; no more data comes.  The
                                      bytes that it made reliable have come before.
                                      [RFC9000 19.4, draft-ietf-quic-reliable-stream-reset] */
    SPATE_EVENT_STREAM_STOPPED,    /* the peer asked us to stop sending; the stream is reset.
                                      [RFC9000 19.5] */
    SPATE_EVENT_SENT,              /* bytes that spate_stream_send() lent come back */
    SPATE_EVENT_STREAM_CLOSED,     /* both directions are finished, or the connection ends; the last
                                      event of the stream.  Every stream that the application has
                                      opened, or heard of by STREAM_OPENED, gets it */
    SPATE_EVENT_STREAMS_AVAILABLE, /* spate_stream_open() returned -EAGAIN before and may succeed
                                      now */
    SPATE_EVENT_CLOSED,            /* the connection has ended; its last event */
    SPATE_EVENT_SHUTDOWN,          /* spate_shard_shutdown() is complete: no connection is left.
                                      `conn` is NULL, and the union is not used */
    SPATE_EVENT_DATAGRAM,          /* a message was received, as a slice that must be released.
                                      Only with message_frame_size_max of struct spate_config */
    SPATE_EVENT_DATAGRAMS_SENT,    /* what became of messages of spate_conn_datagram_send() */
    SPATE_EVENT_DATAGRAM_ROOM,     /* spate_conn_datagram_send() returned -EAGAIN before and may
                                      succeed now */
    SPATE_EVENT_PATH,              /* the path of the connection changed, or a move failed: see
                                      u.path */
    SPATE_EVENT_EARLY,             /* 0-RTT: streams may be used before CONNECTED.  Of a server's
                                      connection it is the first event, and what comes before
                                      CONNECTED may be a replay.  Only with early_data of struct
                                      spate_tls_options, or `early` of struct
                                      spate_connect_options */
    SPATE_EVENT_TICKET,            /* client: bytes that resume the session in a later connection;
                                      none comes after the connection was idle for a second */
    SPATE_EVENT_NEW_TOKEN,         /* client: bytes that prove the address in a later connection */
    SPATE_EVENT_STREAM_BATCH,      /* the next bytes in order, as many slices that must be released.
                                      Only with event_batches of struct spate_config, and in the
                                      place of STREAM_DATA */
    SPATE_EVENT_DATAGRAM_BATCH,    /* messages were received, each as a slice that must be released.
                                      Only with event_batches, and in the place of DATAGRAM */
};

/* Received bytes, lent to the application until it calls spate_slice_release().  The layout is
 * frozen: 40 bytes on a 64-bit system. */
struct spate_slice {
    const uint8_t *data; /* valid and unchanged until spate_slice_release() */
    size_t size;         /* bytes at `data`; may be 0 */
    /* Private: */
    void *buffer;
    uint64_t conn_ref;
    uint64_t stream_id;
};

/* What became of a message.  Each message that was queued without SPATE_DATAGRAM_SILENT gets one
 * result, before SPATE_EVENT_CLOSED at the latest. */
enum spate_datagram_fate {
    SPATE_DATAGRAM_ACKED = 1, /* the peer's QUIC has it; its application may not have seen it */
    SPATE_DATAGRAM_LOST,      /* sent and declared lost, or not acknowledged when the connection
                                 ended.  It may have arrived all the same */
    SPATE_DATAGRAM_EXPIRED,   /* not sent: its deadline has passed */
    SPATE_DATAGRAM_DROPPED,   /* not sent: the connection has ended, or the path has ceased to take
                                 datagrams of that size */
};

/* The layout is frozen: 16 bytes. */
struct spate_datagram_result {
    uint64_t tag;  /* from spate_conn_datagram_send() */
    uint32_t size; /* from spate_conn_datagram_send() */
    enum spate_datagram_fate fate;
};

/* What happened to the path of a connection.  [RFC9000 9] */
enum spate_path_change {
    SPATE_PATH_PEER_MOVED = 1, /* server: the client has another address, which it has proved:
                                  spate_conn_peer_address() returns it */
    SPATE_PATH_MIGRATED,       /* client: spate_conn_migrate() has succeeded */
    SPATE_PATH_FAILED,         /* client: a move has failed; the connection stays where it was */
    SPATE_PATH_PREFERRED,      /* client: the connection has moved to the address that the server
                                  prefers, which spate_conn_peer_address() returns now */
};

/* Why a connection ended. */
enum spate_close_kind {
    SPATE_CLOSE_TRANSPORT = 1,     /* a QUIC error; `error` is a code of RFC 9000 section 20.1 */
    SPATE_CLOSE_APP,               /* an application closed it; `error` is the application's code */
    SPATE_CLOSE_IDLE,              /* nothing was received for the idle timeout */
    SPATE_CLOSE_HANDSHAKE_TIMEOUT, /* the handshake took longer than handshake_timeout_ns */
    SPATE_CLOSE_STATELESS_RESET,   /* the peer has lost the connection's state.
                                      [RFC9000 10.3] */
    SPATE_CLOSE_VERSION,           /* the server supports no QUIC version that we do */
    SPATE_CLOSE_UNREACHABLE,       /* the network reports that nothing listens at the address;
                                      `error` is a positive errno */
};

/* The end of a connection. */
struct spate_close {
    enum spate_close_kind kind;
    bool is_local;      /* this side closed it */
    uint64_t error;     /* see `kind` */
    const char *reason; /* text for a person; may be empty.  It may be the peer's: do not trust it.
                           Valid until the next spate_shard_turn() */
};

/* An event.  The layout is frozen, because events are handed out in arrays: 96 bytes on a 64-bit
 * system, 56 of them for the union.  Later versions may add kinds, and members of the union that
 * fit into it; larger ones are reached through a pointer.  Ignore kinds that you do not know: a
 * kind that needs an answer is only delivered to a program that has asked for it. */
struct spate_event {
    enum spate_event_kind kind;
    struct spate_conn *conn; /* not to be used after CLOSED */
    void *conn_user;         /* from spate_conn_set_user(); before that, the `user` of
                                spate_shard_listen() or spate_shard_connect() */
    uint64_t stream_id;      /* STREAM_*, SENT */
    void *stream_user;       /* STREAM_*, SENT: from spate_stream_set_user(); before that, NULL */
    union {
        /* STREAM_DATA */
        struct {
            struct spate_slice slice; /* must be released; may be empty if `fin` is set */
            uint64_t offset;          /* offset in the stream of the slice's first byte */
            bool fin;                 /* the stream ends after these bytes */
            bool early;               /* bytes of the stream came in 0-RTT packets */
        } data;
        /* STREAM_PLACED */
        struct {
            const uint8_t *data; /* in memory that the application lent: nothing to release.  NULL
                                    if the stream ends while no memory is lent */
            size_t size;         /* bytes at `data`; may be 0 if `fin` or `is_returned` is set */
            uint64_t offset;     /* offset in the stream of the byte at `data` */
            uint64_t tag;        /* from spate_stream_receive_into(); 0 if no memory is lent */
            bool fin;            /* the stream ends after these bytes */
            bool is_returned;    /* the memory is full or no more bytes come: it is no longer
                                    lent */
            bool early;          /* bytes of the stream came in 0-RTT packets */
        } placed;
        /* SENT */
        struct {
            uint64_t tag;  /* from spate_stream_send() */
            size_t size;   /* from spate_stream_send() */
            bool is_acked; /* the peer has all bytes; false: a reset or the connection's end came
                              first */
        } sent;
        /* DATAGRAM */
        struct {
            struct spate_slice slice; /* must be released; empty for an empty message */
        } datagram;
        /* STREAM_BATCH, DATAGRAM_BATCH */
        struct {
            /* Each must be released: all by one spate_slices_release(), or each on its own.  The
             * array is valid as long as the event is: copy the slices that you keep. */
            const struct spate_slice *slices;
            size_t count;      /* may be 0 if `fin` is set; otherwise at least 1 */
            size_t size_bytes; /* sum of all slices */
            uint64_t offset;   /* STREAM_BATCH: offset in the stream of the first byte; each slice
                                  continues the one before */
            bool fin;          /* STREAM_BATCH: the stream ends after these bytes */
            bool early;        /* STREAM_BATCH: bytes of the stream came in 0-RTT packets */
        } batch;
        /* DATAGRAMS_SENT */
        struct {
            const struct spate_datagram_result *results; /* valid as long as the event is */
            size_t count;                                /* at least 1 */
        } datagrams_sent;
        /* TICKET, NEW_TOKEN */
        struct {
            const uint8_t *data; /* valid as long as the event is: copy it */
            size_t size;         /* at least 1 */
        } bytes;
        uint64_t error;              /* STREAM_RESET, STREAM_STOPPED: the peer's application code */
        bool is_uni;                 /* STREAMS_AVAILABLE: of unidirectional streams */
        enum spate_path_change path; /* PATH */
        struct spate_close close;    /* CLOSED */
    } u;
};

#ifdef __cplusplus
}
#endif

#endif

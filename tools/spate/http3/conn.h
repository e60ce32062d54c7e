/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_CONN_H
#define SPATE_HTTP3_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <nghttp3/nghttp3.h>
#include <spate/spate.h>

#include "tools/spate/body.h"
#include "tools/spate/http3/answer.h"
#include "tools/spate/http3/control.h"
#include "tools/spate/http3/http3.h"
#include "tools/spate/http3/request.h"
#include "tools/spate/http3/webtransport.h"

struct http3 {
    struct http3_options options;
    struct body_memory memory;
    LIST_HEAD(http3_conns, http3_conn) conns;
    TAILQ_HEAD(http3_unsent, http3_conn) unsent;     /* that may have something to send */
    TAILQ_HEAD(http3_starved, http3_stream) starved; /* that no event of their own will wake */
};

/* A connection.  nghttp3 makes and reads all frames; what it wants to send is lent to the engine as
 * it is, and both agree on when it comes back. */
struct http3_conn {
    struct http3 *http3;
    struct spate_conn *conn;
    nghttp3_conn *h3;
    struct http3_stream *reading; /* whose bytes nghttp3 reads just now */
    uint64_t control_id;          /* of our control stream */
    uint64_t stream_count_max;    /* requests that the client may make, of all times */
    struct body_share share;      /* what its bodies have of the memory */
    struct wt_conn *wt;           /* NULL: no WebTransport */
    uint8_t settings[256];        /* the beginning of our control stream, with WebTransport */
    size_t settings_added;        /* bytes of it that nghttp3 does not know of */
    bool has_settings;            /* they were sent */
    bool has_blocked; /* a body had nothing for nghttp3, which has not asked others yet */
    bool is_unsent;
    bool is_going_away;                /* a GOAWAY was queued */
    bool is_closing;                   /* nothing more is read or sent */
    LIST_HEAD(, http3_stream) streams; /* of the client */
    LIST_ENTRY(http3_conn) link;
    TAILQ_ENTRY(http3_conn) unsent_link;
};

/* A stream of the client. */
struct http3_stream {
    struct http3_conn *conn;
    LIST_ENTRY(http3_stream) link;
    uint64_t id;
    struct control *control; /* of a unidirectional one; NULL for a request */
    struct request request;
    struct body body;
    char *path; /* of a request, for the line that is printed; NULL: none */
    int status; /* of the answer; 0: there is none yet */
    uint64_t sent_bytes;
    uint64_t returned_bytes; /* of those that were lent to the engine */
    bool is_stopped;         /* the client wants no more of the answer */
    struct wt_stream *wt;    /* it belongs to a session of WebTransport, nghttp3 does not know it */
    uint8_t head[WT_HEAD_MAX];
    size_t head_size; /* bytes that were kept until they tell whose the stream is */
    bool has_kind;    /* they have told, or every stream is nghttp3's */
    bool is_session;  /* of WebTransport */
    bool is_refused;  /* nothing more of it is read */
    bool is_blocked;  /* nghttp3 waits for more of the body */
    bool is_starved;
    TAILQ_ENTRY(http3_stream) starved_link;
};

/* Closes the connection with a code of HTTP/3, if it is not closing. */
void http3_conn_close(struct http3_conn *c, uint64_t error, const char *reason);

/* .. for an error of nghttp3. */
void http3_conn_fail(struct http3_conn *c, int64_t error);

/* It may have something to send. */
void http3_conn_touch(struct http3_conn *c);

/* Returns 0, or a negative error of nghttp3. */
int http3_conn_create_h3(struct http3_conn *c);

/* Takes bytes that the client has sent.  Returns whether the slice of the event was taken, too.
 * `stream` may be NULL. */
bool http3_stream_read(struct http3_conn *c, struct http3_stream *stream,
                       struct spate_event *event);

/* Sends nothing more, and says so. */
void http3_stream_reset(struct http3_stream *stream, uint64_t error);

/* Sends what is queued for a request's stream in the order that the client wants.  Does nothing if
 * there is no such stream yet, or any more.  [RFC9218] */
void http3_conn_prioritize(struct http3_conn *c, uint64_t stream_id);

/* Ends a session of WebTransport, if the stream is one. */
void http3_session_end(struct http3_stream *stream);

/* nghttp3 asks for more of the body again. */
void http3_stream_resume(struct http3_stream *stream);

#endif

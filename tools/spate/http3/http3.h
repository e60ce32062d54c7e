/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_H
#define SPATE_HTTP3_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

/* HTTP/3 for "spate serve": the files of a folder for browsers and curl.  [RFC9114]  Built with
 * libnghttp3; otherwise HTTP3_IS_BUILT is 0 and nothing of this is there. */

#ifndef HTTP3_IS_BUILT
#define HTTP3_IS_BUILT 0
#endif

#define HTTP3_ALPN "h3"

struct http3;

struct http3_options {
    int root;           /* from root_open(); not closed */
    uint32_t streams;   /* requests of a connection at a time: streams_bidi_max of the engine */
    bool lists_folders; /* that have no index.html */
    bool echoes;        /* WebTransport at /echo */
    bool is_verbose;    /* prints a line for each request */
};

/* Returns NULL if there is no memory. */
struct http3 *http3_create(const struct http3_options *options);

/* After the engine: it has lent memory. */
void http3_destroy(struct http3 *http3);

/* Begins to speak HTTP/3 on a connection, at its SPATE_EVENT_EARLY or SPATE_EVENT_CONNECTED.  Its
 * further events, and only these, go to http3_event(). */
void http3_begin(struct http3 *http3, struct spate_conn *conn);

/* Handles an event of a connection that http3_begin() has got.  Releases its slices. */
void http3_event(struct spate_event *event);

/* Sends what the events have left to be sent.  Call it once after each batch of them, before the
 * next turn.  Returns how long that turn may wait: 0, some time, or SPATE_FOREVER. */
uint64_t http3_flush(struct http3 *http3);

/* Tells all clients to ask for nothing more here.  [RFC9114 5.2]  `http3` may be NULL. */
void http3_go_away(struct http3 *http3);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_WEBTRANSPORT_H
#define SPATE_HTTP3_WEBTRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nghttp3/nghttp3.h>
#include <spate/spate.h>

/* WebTransport over HTTP/3, as far as an echo server speaks it.
 * [draft-ietf-webtrans-http3-02; RFC9220; RFC9297]
 *
 * A session is the stream of an extended CONNECT request, which is nghttp3's like all requests.
 * What nghttp3 does not know is here: the settings, the streams of a session, the prefix of
 * datagrams, and the capsule that ends a session. */

#define WT_PROTOCOL "webtransport"

/* Error codes of HTTP/3. */
#define WT_BUFFERED_STREAM_REJECTED 0x3994bd84
#define WT_SESSION_GONE             0x170d7b68

struct wt_conn;
struct wt_stream;

/* What the first bytes of a stream of the client say. */
enum wt_kind {
    WT_KIND_UNKNOWN, /* there are too few of them */
    WT_KIND_HTTP,    /* the stream is nghttp3's */
    WT_KIND_STREAM,  /* it belongs to a session */
};

enum { WT_HEAD_MAX = 16 }; /* two numbers of up to 8 bytes */

/* Reads the beginning of a stream, whose bytes may come one by one.
 *
 *   head, *head_size  WT_HEAD_MAX bytes, and how many are kept in them.
 *   *data, *size      Its next bytes.  None is taken that decides nothing.
 *   *ret_session      For WT_KIND_STREAM. */
enum wt_kind wt_head_read(uint8_t *head, size_t *head_size, bool is_uni, const uint8_t **data,
                          size_t *size, uint64_t *ret_session);

/* Copies the first bytes of our control stream, which nghttp3 has made: its type and a SETTINGS
 * frame, and adds the settings of WebTransport to the frame.  Returns the size of the result, at
 * most size + WT_SETTINGS_MAX bytes, or 0 if the bytes are something else. */
size_t wt_settings_add(const uint8_t *made, size_t size, uint8_t *ret);
enum { WT_SETTINGS_MAX = 64 };

/* The sessions of a connection.  NULL: there is no memory. */
struct wt_conn *wt_conn_create(struct spate_conn *conn);

/* Frees all, also what is lent. */
void wt_conn_destroy(struct wt_conn *wt);

/* A session begins: false if there are too many. */
bool wt_session_begin(struct wt_conn *wt, uint64_t session);

bool wt_session_is_open(struct wt_conn *wt, uint64_t session);

/* Resets the streams of a session.  Returns false if it has ended before. */
bool wt_session_end(struct wt_conn *wt, uint64_t session);

/* Bytes of the stream of a session: capsules.  Returns true when one of them closes it. */
bool wt_session_read(struct wt_conn *wt, uint64_t session, const uint8_t *data, size_t size);

/* A stream of the client that belongs to a session begins.  Returns NULL, after it has been
 * refused, if there is no such session or no memory. */
struct wt_stream *wt_stream_create(struct wt_conn *wt, uint64_t id, uint64_t session);

/* Handles an event of the stream, or of the stream that answers it.  Takes its slice.  `skipped`
 * bytes of it were the beginning. */
void wt_stream_event(struct wt_stream *stream, struct spate_event *event, size_t skipped);

/* Echoes a datagram.  Takes its slice. */
void wt_datagram(struct wt_conn *wt, struct spate_event *event);

#endif

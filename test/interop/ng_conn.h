/* SPDX-License-Identifier: MIT */
#ifndef INTEROP_NG_CONN_H
#define INTEROP_NG_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "test/interop/ng_compat.h"
#include "test/interop/ng_tls.h"
#include "test/interop/pattern.h"
#include "test/interop/peer_options.h"
#include "test/interop/peer_udp.h"
#include "test/interop/perf_stream.h"

#define NG_CID_SIZE   8
#define NG_CID_MAX    32   /* ids that the other side may use at once; ngtcp2 hands out 8 */
#define NG_PACKET_MAX 1500 /* what we send; ngtcp2's probes for the MTU stay below it */

/* One process: its sockets, and the connections on them. */
struct ng_endpoint {
    const struct peer_options *options;
    struct pattern pattern;
    struct peer_udp udp;
    struct peer_udp preferred; /* bound to the server's preferred address, or connected to it; fd
                                  -1: there is none */
    struct ng_tls tls;
    struct sb_link conns; /* struct ng_conn.link */
    uint64_t ended_count; /* connections that came and went */
    bool has_failed;      /* set by ng_endpoint_fail() only */
};

/* OPEN -> CLOSING -> ENDED after a close of ours, OPEN -> ENDED after one of the other side.  */
enum ng_conn_state { NG_CONN_OPEN, NG_CONN_CLOSING, NG_CONN_ENDED };

struct ng_conn {
    struct sb_link link; /* in ng_endpoint.conns */
    struct ng_endpoint *endpoint;
    ngtcp2_conn *quic;
    struct ng_tls_session tls;
    enum ng_conn_state state;

    ngtcp2_cid cids[NG_CID_MAX]; /* what the other side may address this connection by */
    uint32_t cid_count;

    struct sb_link streams; /* struct ng_stream.link; the order is the turn to send */
    uint64_t opened_count;  /* client: streams opened so far */
    uint64_t finished_count;
    bool was_reset; /* by a stateless reset */

    /* While CLOSING: the packet with CONNECTION_CLOSE, sent again for each that arrives. */
    uint8_t close_packet[NG_PACKET_MAX];
    struct peer_datagram close_datagram;
    ngtcp2_path_storage close_path;
    uint64_t closing_until_ns;
};

struct ng_stream {
    struct sb_link link; /* in ng_conn.streams */
    struct perf_stream perf;
    bool is_blocked; /* by flow control, in this turn */
};

/* Prints the first reason as one line on standard error and remembers that there was one. */
__attribute__((format(printf, 2, 3))) void ng_endpoint_fail(struct ng_endpoint *endpoint,
                                                            const char *format, ...);

/* Make a connection and put it in the endpoint's list; NULL after ng_endpoint_fail().  The server's
 * is made for the first datagram `d`, with the header `hd`, which is yet to be given to
 * ng_conn_receive(). */
struct ng_conn *ng_conn_connect(struct ng_endpoint *endpoint, uint64_t now_ns);
struct ng_conn *ng_conn_accept(struct ng_endpoint *endpoint, const ngtcp2_pkt_hd *hd,
                               const struct peer_datagram *d, uint64_t now_ns);
void ng_conn_destroy(struct ng_conn *conn);

bool ng_conn_has_cid(const struct ng_conn *conn, const uint8_t *data, size_t size);
void ng_conn_receive(struct ng_conn *conn, const struct peer_datagram *d, uint64_t now_ns);

/* The port of the other side is closed, which matters only while nobody has answered: a server that
 * went after its close is no news. */
void ng_conn_on_refused(struct ng_conn *conn);

/* Sends all that may be sent now, and closes when the work is done. */
void ng_conn_flush(struct ng_conn *conn, uint64_t now_ns);

uint64_t ng_conn_deadline_ns(const struct ng_conn *conn);
void ng_conn_on_deadline(struct ng_conn *conn, uint64_t now_ns);

/* Sends `d` from the socket whose address `path` has. */
int ng_endpoint_send(struct ng_endpoint *endpoint, const ngtcp2_path *path,
                     const struct peer_datagram *d);

/* Adds an id that the other side may use.  Returns false if there is no room. */
bool ng_conn_add_cid(struct ng_conn *conn, const ngtcp2_cid *cid);

/* A stream of this connection, in the list of its streams; NULL after ng_endpoint_fail(). */
struct ng_stream *ng_stream_create(struct ng_conn *conn, int64_t id);
void ng_stream_destroy(struct ng_stream *stream);

/* What ngtcp2 calls, of a client or a server. */
ngtcp2_callbacks ng_callbacks(bool is_server);

#endif

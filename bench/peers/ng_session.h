/* SPDX-License-Identifier: MIT */
#ifndef PEERS_NG_SESSION_H
#define PEERS_NG_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/peers/ng_wire.h"
#include "bench/peers/run.h"
#include "proto/base/list.h"
#include "test/interop/ng_compat.h"
#include "test/interop/ng_tls.h"

/* The one connection of a process, on ngtcp2.  The server has a `shared`, the client a `run`. */
struct ng_session {
    const struct plan *plan;
    struct run *run;
    struct run_shared *shared;
    struct failure *failure;
    struct ng_wire wire;
    struct peer_options options;
    struct ng_tls tls;
    struct ng_tls_session tls_session;
    ngtcp2_conn *quic; /* NULL: the server waits for a client */
    bool has_ended;

    struct sb_link sending; /* struct ng_stream.link, those with bytes to send, in turn */
    struct sb_link spare;   /* struct ng_stream.link, for reuse */
    struct ng_stream *made; /* all that there are */
    uint64_t running_count; /* client: requests on their way */
    uint64_t received_bytes;
    uint64_t now_ns;                          /* read once a turn */
    uint8_t request[PLAN_INFLIGHT_BYTES_MAX]; /* client: what each stream sends */
};

/* Opens socket and TLS; the client also begins to connect.  Return false with the failure set. */
bool ng_session_listen(struct ng_session *s, const struct plan *plan, struct run_shared *shared,
                       struct failure *failure);
bool ng_session_connect(struct ng_session *s, struct run *run);

/* Receives what is there, lets timers fire, sends what may be sent, and sleeps where nothing of it
 * was any use.  Returns false with the failure set if the connection is broken; sets `has_ended`
 * when the other side has closed. */
bool ng_session_turn(struct ng_session *s);

void ng_session_close(struct ng_session *s);

/* ---- Between the files of the session ---- */

struct ng_stream {
    struct sb_link link;
    struct ng_stream *made_next;
    int64_t id;
    uint64_t start_ns;
    uint64_t received; /* bytes, with the header */
    uint64_t sent;
    uint64_t send_total; /* payload, or the request; what stands at x is lent from `source` */
    const uint8_t *source;
    uint64_t source_size;             /* which repeats after so many bytes */
    uint8_t header[PLAN_HEADER_SIZE]; /* server: of the request */
    bool has_fin;    /* it ends behind send_total; uploads and downloads of bulk never do */
    bool is_blocked; /* by flow control, in this turn */
};

/* ngtcp2's view of the streams. */
ngtcp2_callbacks ng_streams_callbacks(bool is_server);

/* Client: opens as many streams as the plan has in flight and the server allows. */
bool ng_streams_start(struct ng_session *s);

/* What this stream sends next, and whether the FIN is behind it; the first of `s->sending`. */
size_t ng_streams_next(const struct ng_stream *stream, const uint8_t **ret, bool *ret_fin);

#endif

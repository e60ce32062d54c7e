/* SPDX-License-Identifier: MIT */
#ifndef SE_CONN_H
#define SE_CONN_H

#include <spate/conn.h>

#include "engine/wheel.h"
#include "proto/base/list.h"
#include "proto/conn/conn.h"

struct sc_tls_config;
struct se_port;

enum {
    /* CIDs that lead to a connection at a time: what it may issue, the client's first
     * one, and those that are being retired. */
    SE_CONN_CIDS_MAX = SP_CIDS_MAX + 4,
    /* Reset tokens of the peer, likewise. */
    SE_CONN_TOKENS_MAX = SP_CIDS_MAX + 4,

    SE_ALPN_SIZE_MAX = 255, /* [RFC7301 3.1] */

    /* What the TLS part of a handshake is charged with: OpenSSL allocates it by itself. */
    SE_TLS_BYTES = 48 * 1024,
};

/* The life of a connection, in order.  se_conn_advance() is the only one that changes it.
 *
 *     server:  NEW -> HANDSHAKING -> CONNECTED -> CLOSED -> TAKEN
 *     client:         HANDSHAKING -> CONNECTED -> CLOSED -> TAKEN
 *                     HANDSHAKING --------------> CLOSED
 *
 * The application knows a client's connection from the start and a server's from CONNECTED on.  A
 * server's that ends before stays where it is, as there is nobody to report to; se_conn_destroy()
 * ends it from any state. */
enum se_conn_state {
    SE_CONN_NEW,         /* its first datagram was not processed yet, and may be garbage */
    SE_CONN_HANDSHAKING, /* the peer is real; the handshake is not complete */
    SE_CONN_CONNECTED,   /* SPATE_EVENT_CONNECTED was queued */
    SE_CONN_CLOSED,      /* SPATE_EVENT_CLOSED was queued: no event follows */
    SE_CONN_TAKEN,       /* the application has taken SPATE_EVENT_CLOSED and may not use it */
};

/* A connection as the engine sees it: what proto/ does not know. */
struct spate_conn {
    struct spate_shard *shard;
    struct sp_conn *proto;
    struct se_port *port;
    struct sp_addr remote;     /* where it was first heard from, or connects to */
    struct sc_tls_config *tls; /* a reference */
    void *user;
    struct sp_tls *client_tls; /* until proto takes it over */

    struct sb_link all_link;
    struct sb_link port_link;
    struct sb_link send_pending_link;  /* may have something to send */
    struct sb_link event_pending_link; /* may have something to say */
    struct sb_link drained_link;       /* to be freed */

    struct se_timer timer;
    uint64_t timer_ns; /* what the timer was set to: at or before proto's deadline */

    /* The datagrams of this turn: a chain in the shard's se_rx. */
    struct sb_link rx_link;
    uint32_t rx_first;
    uint32_t rx_last;

    /* Of the events that introduced it, and the last of its streams: see events.h. */
    uint64_t intro_number;
    uint64_t stream_intro_number;

    uint32_t index;
    uint32_t generation;
    int unreachable; /* errno that ended it, or 0 */
    enum se_conn_state state;
    bool is_server;
    bool is_tls_charged; /* SE_TLS_BYTES are charged to the shard's memory */

    uint8_t cid_count;
    uint8_t token_count;
    struct sp_cid cids[SE_CONN_CIDS_MAX];
    uint8_t tokens[SE_CONN_TOKENS_MAX][SP_RESET_TOKEN_SIZE];
    const char *cipher;                  /* its TLS name, once connected; "" before */
    char alpn[SE_ALPN_SIZE_MAX + 1];     /* as text, once connected */
    char reason[SP_REASON_SIZE_MAX + 1]; /* why it was closed, as text */
};

/* Who lives at an index, and how many have lived there.  A slice names its connection by
 * both, so that giving it back after the connection's end is seen as that. */
struct se_conn_slot {
    struct spate_conn *conn; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

#define SE_CONN_NONE UINT32_MAX

static inline uint64_t se_conn_ref(const struct spate_conn *conn)
{
    return (uint64_t)conn->generation << 32 | conn->index;
}

/* NULL if that connection is gone. */
struct spate_conn *se_conn_of_ref(const struct spate_shard *shard, uint64_t ref);

struct se_conn_args {
    struct se_port *port;
    struct sc_tls_config *tls; /* a reference is taken */
    void *user;
    const char *server_name; /* client */
    enum sp_role role;
    struct sp_path path;
    struct sp_cid client_dcid; /* server */
    struct sp_cid client_scid;
    struct spate_error *error; /* may be NULL */
};

/* 0, -ENOBUFS (conns_max), -ENOMEM, or -EINVAL (server_name). */
SB_MUST_USE int se_conn_create(struct spate_shard *shard, const struct se_conn_args *args,
                               struct spate_conn **ret);

/* Forgets the connection at once. */
void se_conn_destroy(struct spate_conn *conn);

/* It may have something to send and to say. */
void se_conn_touch(struct spate_conn *conn);

/* Sets the timer to proto's deadline, if that is earlier than what it is set to: a deadline
 * that moved away is found out when the timer pops, which is rarer. */
void se_conn_rearm(struct spate_conn *conn);

/* The network says that nobody is there: ends a client's handshake.  Later reports are ignored:
 * anyone could have forged them. */
void se_conn_unreachable(struct spate_conn *conn, int error);

/* CIDs and tokens that lead to it. */
void se_conn_add_cid(struct spate_conn *conn, const struct sp_cid *cid);
void se_conn_remove_cid(struct spate_conn *conn, const struct sp_cid *cid);
void se_conn_add_token(struct spate_conn *conn, const uint8_t token[SP_RESET_TOKEN_SIZE]);
void se_conn_remove_token(struct spate_conn *conn, const uint8_t token[SP_RESET_TOKEN_SIZE]);

/* Moves on to `next`, which must be possible from here. */
void se_conn_advance(struct spate_conn *conn, enum se_conn_state next);

/* Returns whether the application knows the connection, and SPATE_EVENT_CLOSED is owed to it. */
static inline bool se_conn_is_announced(const struct spate_conn *conn)
{
    return !conn->is_server || conn->state >= SE_CONN_CONNECTED;
}

/* Returns whether the connection counts against handshakes_max: a server's whose handshake is not
 * complete. */
static inline bool se_conn_is_budgeted(const struct spate_conn *conn)
{
    return conn->is_server && conn->state < SE_CONN_CONNECTED;
}

#endif

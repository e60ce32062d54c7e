/* SPDX-License-Identifier: MIT */
#ifndef SE_CONN_H
#define SE_CONN_H

#include <spate/conn.h>

#include "engine/base/group.h"
#include "engine/base/wheel.h"
#include "engine/conn/depart.h"
#include "engine/conn/waits.h"
#include "engine/net/budget.h"
#include "proto/base/list.h"
#include "proto/conn/conn.h"

struct sc_tls_config;
struct se_port;
struct se_watch;
struct spate_channel;

enum {
    /* CIDs per connection in the table: those that it may issue, the client's first one, and those
     * that are being retired. */
    SE_CONN_CIDS_MAX = SP_CIDS_MAX + 4,
    /* Reset tokens of the peer per connection in the table. */
    SE_CONN_TOKENS_MAX = SP_CIDS_MAX + 4,
    /* Those that there is always room for: a connection that keeps its path uses one, and one that
     * changes it a second.  The table grows for more, or a reset with them is not recognised. */
    SE_CONN_TOKENS_USUAL = 2,

    SE_ALPN_SIZE_MAX = 255, /* [RFC7301 3.1] */

    /* Charged to the memory budget for what OpenSSL allocates: during the handshake, and for a
     * client's SSL until it rests.  Keys and what stays of TLS are charged by crypto/memory.h.
     * test_spate_rss.c compares them with the process. */
    SE_TLS_BYTES = 48 * 1024,
    SE_TLS_BYTES_OF_SSL = 16 * 1024,
};

/* The connection is idle and has given back a part of its memory. */
void se_conn_on_rest(struct spate_conn *conn);

/* The life of a connection, in order.  Only se_conn_advance() changes it.
 *
 *     server:  NEW -> HANDSHAKING -> CONNECTED -> CLOSED -> TAKEN
 *                     HANDSHAKING -> EARLY -> CONNECTED, or EARLY -> CLOSED
 *                     HANDSHAKING -> FAILED, or NEW -> FAILED
 *     client:         HANDSHAKING -> CONNECTED -> CLOSED -> TAKEN
 *                     HANDSHAKING --------------> CLOSED
 *
 * The application knows a client's connection from the start, and a server's from EARLY or
 * CONNECTED on.  A server's connection that ends before that becomes FAILED: no event reports its
 * end, and it gives its handshake place and its TLS back at once.  One that stays NEW, because
 * there was no memory for a copy of its first datagram, does so when its handshake times out.
 * se_conn_destroy() frees a connection in any state. */
enum se_conn_state {
    SE_CONN_NEW,         /* no packet has authenticated yet: the first one may be garbage */
    SE_CONN_HANDSHAKING, /* sp_conn_is_authenticated(); the handshake is not complete */
    SE_CONN_FAILED,      /* server: closed before it was connected; it only answers now */
    SE_CONN_EARLY,       /* server: SPATE_EVENT_EARLY was queued, the handshake is not complete */
    SE_CONN_CONNECTED,   /* SPATE_EVENT_CONNECTED was queued */
    SE_CONN_CLOSED,      /* SPATE_EVENT_CLOSED was queued: no event follows */
    SE_CONN_TAKEN,       /* the application has taken SPATE_EVENT_CLOSED and may not use it */
};

/* The engine's part of a connection.  proto/ does not know it. */
struct spate_conn {
    struct spate_shard *shard;
    struct sp_conn *proto;
    struct se_port *port;
    uint64_t other_ports;            /* bit i: ports[i] is used by another path; counted there */
    struct sp_addr remote;           /* the client's first address, or the server's */
    struct sc_tls_config *tls;       /* holds a reference */
    struct spate_settings *settings; /* holds a reference; NULL: those of the shard */
    void *user;
    struct se_watch *watch;        /* engine/conn/watch.h; NULL: none */
    struct spate_channel *channel; /* that it belongs to; NULL: to the application */
    struct sp_qlog *qlog;          /* what `proto` is recorded by; NULL: it is not */
    struct se_conn_depart depart;
    struct se_waits waits;
    uint64_t stat_bytes; /* in and out when its row was last made: see se_stat_run() */
    uint32_t version;    /* of QUIC, of the client's first packet */
    uint8_t *token;      /* client: of the last SPATE_EVENT_NEW_TOKEN; NULL: none */
    size_t token_size;
    struct sp_tls *client_tls; /* owned until `proto` takes it over */

    struct sb_link all_link;
    struct sb_link port_link;
    struct sb_link send_pending_link;  /* may have something to send */
    struct sb_link limit_link;         /* waits for the rate limit of the shard */
    struct se_group_member flow;       /* of a group, while it sends much to a peer nearby */
    struct sb_link event_pending_link; /* may have events */
    struct sb_link ended_link;         /* has to be freed or buried, or is being freed */
    struct sb_link channel_link;       /* among the connections of its channel */
    struct sb_link ask_link;           /* its handshake has a question: engine/conn/ask.h */

    struct se_timer timer;
    uint64_t timer_ns; /* the time that the timer is set to: at or before proto's deadline */

    /* The datagrams of this turn, as a chain in the shard's se_rx. */
    struct sb_link rx_link;
    uint16_t rx_first;
    uint16_t rx_last;
    uint32_t since_tick; /* when it was made, by se_rx_tick() */

    /* Positions among the shard's events (se_events.pushed_count), 0 before: see events.h. */
    uint64_t intro_number;        /* of CONNECTED */
    uint64_t stream_intro_number; /* of the last STREAM_OPENED */
    uint64_t messenger_bytes;     /* of the shard's memory, that its messenger holds */

    uint64_t id; /* se_id_pack(): what spate_conn_id() returns and slices name */
    uint32_t index;
    int unreachable; /* errno of the ICMP error that ended it, or 0 */
    enum se_conn_state state;
    bool is_server;
    bool wants_batches; /* event_batches of its configuration */
    uint32_t tls_bytes; /* charged to the shard's memory for OpenSSL's objects */

    uint8_t cid_count;
    uint8_t token_count;
    uint16_t cid_epoch; /* of the configuration that its CIDs follow: see engine/conn/cids.h */
    struct sp_cid cids[SE_CONN_CIDS_MAX];
    uint8_t tokens[SE_CONN_TOKENS_MAX][SP_RESET_TOKEN_SIZE];
    /* Server: in the budget from its making to CONNECTED or FAILED. */
    struct se_budget_entry handshake;
    uint64_t token_mark; /* se_retry_mark_of() the token that it came with; 0: none */
    const char *cipher;  /* its TLS name, once connected; "" before */
    const char *alpn;    /* as text in `tls`, once connected; "" before */
    char reason[SP_REASON_SIZE_MAX + 1]; /* why it was closed, as text */
};

/* The handle of a connection, which any thread may keep: what it names is never mistaken for a
 * later connection at the same index.
 *
 *      63    58 57                  20 19        0
 *     +--------+----------------------+-----------+
 *     | shard  |      generation      |   index   |
 *     +--------+----------------------+-----------+
 *
 * A generation comes back after 2^38 connections at one index: a month of 100,000 a second.  It is
 * not 0, so no handle is 0. */
enum {
    SE_ID_INDEX_BITS = 20,
    SE_ID_GENERATION_BITS = 38,
    SE_ID_SHARD_BITS = 6,
};

#define SE_ID_GENERATION_MASK ((UINT64_C(1) << SE_ID_GENERATION_BITS) - 1)

static inline uint64_t se_id_pack(uint32_t shard, uint64_t generation, uint32_t index)
{
    return (uint64_t)shard << (SE_ID_INDEX_BITS + SE_ID_GENERATION_BITS) |
           generation << SE_ID_INDEX_BITS | index;
}

static inline uint32_t se_id_index(uint64_t id)
{
    return (uint32_t)id & ((1u << SE_ID_INDEX_BITS) - 1);
}

static inline uint64_t se_id_generation(uint64_t id)
{
    return id >> SE_ID_INDEX_BITS & SE_ID_GENERATION_MASK;
}

static inline uint32_t se_id_shard(uint64_t id)
{
    return (uint32_t)(id >> (SE_ID_INDEX_BITS + SE_ID_GENERATION_BITS));
}

/* Returns the generation that follows at an index. */
static inline uint64_t se_id_next_generation(uint64_t generation)
{
    return generation == SE_ID_GENERATION_MASK ? 1 : generation + 1;
}

/* One index of a shard. */
struct se_conn_slot {
    struct spate_conn *conn; /* NULL: free */
    uint64_t generation;     /* changes whenever the index is reused */
    uint32_t next_free;
};

#define SE_CONN_NONE UINT32_MAX

/* Returns the connection of a handle, or NULL if it was freed or belongs to another shard. */
struct spate_conn *se_conn_of_id(const struct spate_shard *shard, uint64_t id);

struct se_conn_args {
    struct se_port *port;
    struct sc_tls_config *tls;       /* a reference is taken */
    struct spate_settings *settings; /* a reference is taken; NULL: those of the shard */
    void *user;
    struct spate_channel *channel; /* client: that it belongs to; NULL: the application */
    const char *server_name;       /* client */
    enum sp_role role;
    uint32_t version; /* of QUIC: see struct sp_conn_args */
    struct sp_path path;
    struct sp_cid client_dcid; /* server */
    struct sp_cid client_scid;
    const struct sp_preferred *preferred; /* server: of its listener */
    struct sp_cid original_dcid;          /* server, with `token_mark`: see struct sp_conn_args */
    uint64_t token_mark;       /* server: of the token that proved the address; 0: none */
    bool has_retry;            /* server: that token was of a Retry */
    struct sb_bytes ticket;    /* client: to resume with; empty: none */
    struct sb_bytes token;     /* client: se_token_of() */
    bool wants_early;          /* client: 0-RTT */
    struct spate_error *error; /* may be NULL */
};

/* Returns the configuration of connections with these settings, which may be NULL. */
const struct sp_config *se_conn_config(const struct spate_shard *shard,
                                       const struct spate_settings *settings);

/* Makes a connection.  Returns 0, -ENOBUFS at conns_max, -ENOMEM, or -EINVAL for a bad
 * `server_name`. */
SB_MUST_USE int se_conn_create(struct spate_shard *shard, const struct se_conn_args *args,
                               struct spate_conn **ret);

/* Ends the connection without a packet to the peer: nothing leads to it any more.  Its memory stays
 * accounted, and it counts as a connection, until the steps of this turn or of later ones have
 * freed all of it. */
void se_conn_destroy(struct spate_conn *conn);

/* Tells the connection's watch, if it has one, that the connection has ended; `close` is NULL if no
 * event says so.  The connection has none afterwards. */
void se_conn_end_watch(struct spate_conn *conn, const struct spate_close *close);

/* Marks a closed connection: the turn looks whether it is to be freed or buried. */
void se_conn_end(struct spate_conn *conn);

/* Frees destroyed connections as long as steps of this turn are left.  Returns true if none is
 * left.
 */
bool se_conns_unwind(struct spate_shard *shard);

/* Returns what it holds of the shard's memory: see sp_conn_memory_bytes(). */
static inline uint64_t se_conn_memory_bytes(const struct spate_conn *conn)
{
    return sp_conn_memory_bytes(conn->proto) + conn->messenger_bytes;
}

/* Sets the time of what is recorded of the connection to that of the turn. */
SB_NEVER_INLINE void se_conn_record_now(struct spate_conn *conn);
/* Returns the protocol's part for an operation of the application, which has no time of its own. */
static inline struct sp_conn *se_conn_proto(struct spate_conn *conn)
{
    if (SB_UNLIKELY(conn->qlog != NULL))
        se_conn_record_now(conn);
    return conn->proto;
}

/* Marks the connection: it may have something to send.  Operations of a request do so several
 * times, and mostly it is marked already. */
void se_conn_join_pending(struct spate_conn *conn);
static inline void se_conn_want_send(struct spate_conn *conn)
{
    if (!sb_link_is_in(&conn->send_pending_link))
        se_conn_join_pending(conn);
}
/* Marks the connection if the peer gets credit for streams: nothing else may be sent for long. */
static inline void se_conn_send_credit(struct spate_conn *conn)
{
    if (sp_conn_owes_streams(conn->proto))
        se_conn_want_send(conn);
}
/* Marks the connection: it may have something to send, and events. */
void se_conn_touch(struct spate_conn *conn);
/* Marks the connection: it may have events. */
void se_conn_raise(struct spate_conn *conn);

/* Arms the timer, in the shard's wheel; SB_NEVER disarms it. */
static inline void se_conn_set_timer(struct spate_conn *conn, struct se_wheel *wheel,
                                     uint64_t deadline_ns)
{
    se_wheel_set(wheel, &conn->timer, deadline_ns);
    conn->timer_ns = deadline_ns;
}

/* Moves the timer to proto's deadline if that is earlier.  A later deadline is not followed: the
 * timer pops early then and is armed again, or is moved before a sleep (se_shard_sleep_ns()), which
 * is cheaper than moving it each time. */
void se_conn_rearm(struct spate_conn *conn);

/* Lets go of ports that no path of the connection uses any more, and moves to the one of the path
 * in use.  Call it after events about routes. */
void se_conn_ports(struct spate_conn *conn);
/* Keeps `port` for another path, until se_conn_ports() finds that none uses it. */
void se_conn_keep_port(struct spate_conn *conn, struct se_port *port);

/* Ends a client's handshake because of an ICMP error.  After the handshake such reports are
 * ignored, because they are not authenticated. */
void se_conn_unreachable(struct spate_conn *conn, int error);

/* Add and remove CIDs and reset tokens by which the shard finds the connection. */
void se_conn_add_cid(struct spate_conn *conn, const struct sp_cid *cid);
void se_conn_remove_cid(struct spate_conn *conn, const struct sp_cid *cid);
void se_conn_add_token(struct spate_conn *conn, const uint8_t token[SP_RESET_TOKEN_SIZE]);
void se_conn_remove_token(struct spate_conn *conn, const uint8_t token[SP_RESET_TOKEN_SIZE]);

/* Moves to state `next`, which must be allowed after the present one. */
void se_conn_advance(struct spate_conn *conn, enum se_conn_state next);

/* Returns whether the application knows the connection, so that its end must be reported by
 * SPATE_EVENT_CLOSED. */
static inline bool se_conn_is_announced(const struct spate_conn *conn)
{
    return !conn->is_server || conn->state >= SE_CONN_EARLY;
}

/* Returns whether the application may use streams: the handshake is complete, or there is 0-RTT. */
static inline bool se_conn_has_streams(const struct spate_conn *conn)
{
    return conn->state >= SE_CONN_EARLY ||
           (!conn->is_server && sp_conn_early(conn->proto) != SP_EARLY_NONE);
}

/* Returns whether the connection counts against handshakes_max: it is a server's, and its handshake
 * is neither complete nor over. */
static inline bool se_conn_is_budgeted(const struct spate_conn *conn)
{
    return sb_link_is_in(&conn->handshake.link);
}

#endif

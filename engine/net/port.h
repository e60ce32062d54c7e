/* SPDX-License-Identifier: MIT */
#ifndef SE_PORT_H
#define SE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "proto/wire/types.h"
#include "uring/recv.h"
#include "uring/socket.h"

struct sc_tls_config;
struct se_listen_at;
struct spate_engine_listener;
struct spate_error;
struct spate_shard;

/* A UDP socket of a shard, its receiver, and its connections.
 *
 * A listener owns one.  Clients share: all connections of a shard to one address use one socket
 * that is connected to it.  Then the kernel looks up the route once and not per send, and an ICMP
 * "port unreachable" is reported as ECONNREFUSED on a socket that has only connections to that
 * address. The file table has room for a few dozen such sockets.  Further connections share one
 * unconnected socket per address family, and detect an absent server only by their timeout.
 *
 *     FREE --open--> OPEN --close--> CLOSING --nothing in flight--> FREE
 *
 * conn_count == length of conns.  A port with connections or tombstones is not closed. */

enum se_port_state {
    SE_PORT_FREE,
    SE_PORT_OPEN,
    SE_PORT_CLOSING, /* no longer used; waits for operations in flight */
};

enum {
    /* Sockets per shard: the ring's file table without the entry of the eventfd. */
    SE_PORTS_MAX = SU_RING_FILE_COUNT_MAX - 1,
    /* The last two are reserved for unconnected clients, so that a client always gets a port. */
    SE_PORT_SHARED_V4 = SE_PORTS_MAX - 1,
    SE_PORT_SHARED_V6 = SE_PORTS_MAX - 2,
    SE_PORTS_ORDINARY = SE_PORTS_MAX - 2,
};

_Static_assert(SE_PORTS_MAX <= 64, "a bit each in spate_shard.ports_used");

/* A client's socket without connections is kept for this time, for the next connection to that
 * address.  Not longer, because the route may have changed. */
#define SE_PORT_KEEP_NS (2 * SB_S)

struct spate_listener {
    struct se_port *port;
    struct sc_tls_config *tls;       /* holds a reference */
    struct spate_settings *settings; /* holds a reference; NULL: those of the shard */
    void *user;
    struct spate_engine_listener *whole; /* of all shards; holds a reference; NULL: there is none */
    bool is_open;                        /* false: new connections are refused */
    struct sp_preferred preferred; /* where clients are asked to move: see engine/conn/prefer.c */
};

struct se_port {
    struct spate_shard *shard;
    struct su_socket socket;
    struct su_recv recv;
    struct sp_addr local;
    struct su_address peer; /* AF_UNSPEC: not connected */
    struct sb_link conns;   /* spate_conn.port_link */
    uint32_t conn_count;
    uint32_t tombstone_count;
    uint32_t path_count; /* of connections whose other paths use the socket: see se_conn_ports() */
    uint32_t send_count; /* trains in flight */
    uint32_t index;
    uint32_t group; /* of clients: spate_connect_options.socket_group */
    enum se_port_state state;
    bool is_client;
    bool is_shared;           /* with other shards: counted in shard->shared_ports */
    uint64_t preferred_ports; /* bit i: ports[i] is at an address that the listener prefers */
    bool is_preferred;        /* a bit of another port's preferred_ports is set for it */
    uint64_t idle_since_ns;   /* when the last connection or tombstone left */
    struct spate_listener listener;
};

void se_ports_init(struct spate_shard *shard);

/* Opens a listener's port, or takes an inherited socket.  Blocks for up to a second if the address
 * is in use.  Returns 0, -EMFILE without a free port, or the negative errno of the kernel, with one
 * line in `error`. */
SB_MUST_USE int se_port_listen(struct spate_shard *shard, const struct se_listen_at *at,
                               struct se_port **ret, struct spate_error *error);

/* Opens a socket to listen at an address with.  Blocks for up to a second if the address is in use.
 *
 *   is_shared  The other shards of the engine may listen there.
 *
 * Returns 0 or the negative errno of the kernel, with one line in `error`.  Threads: any. */
SB_MUST_USE int se_listening_open(const struct spate_shard *shard, const struct se_listen_at *at,
                                  bool is_shared, struct su_socket *ret, struct spate_error *error);

/* Returns whether the shard's listening sockets are in groups: see engine/net/shared_ports.h. */
bool se_port_is_shared(const struct spate_shard *shard);

/* Closes such a socket.  Threads: any before it was adopted, then the shard's. */
void se_listening_close(struct spate_shard *shard, struct su_socket *socket, bool is_shared);

/* Gives such a socket to a free port.  Returns 0, -EMFILE without a free port, or a negative errno
 * of the ring, with one line in `error`: then it stays the caller's. */
SB_MUST_USE int se_port_adopt(struct spate_shard *shard, const struct su_socket *socket,
                              bool is_shared, struct se_port **ret, struct spate_error *error);

/* Ends a listener that has just begun: closes its socket at once if it was in no turn yet. */
void se_port_abandon(struct se_port *port);

/* Opens a port at an address that the listener of `listening` prefers.  It accepts no connections,
 * and stays open as long as `listening`.  Returns what se_port_listen() does. */
SB_MUST_USE int se_port_prefer(struct se_port *listening, const struct su_address *address,
                               struct se_port **ret, struct spate_error *error);

/* Finds a port of a group for a client's connection to `peer`, or opens one.  Returns 0 or the
 * negative errno of the kernel, with one line in `error`. */
SB_MUST_USE int se_port_for_client(struct spate_shard *shard, const struct su_address *peer,
                                   uint32_t group, struct se_port **ret, struct spate_error *error);

/* Opens a port for a path of a client's connection to `peer`: from address `local`, or from one
 * that the kernel chooses if its family is AF_UNSPEC.  Returns 0, -EMFILE without a free port, or
 * the negative errno of the kernel, with one line in `error`. */
SB_MUST_USE int se_port_for_path(struct spate_shard *shard, const struct su_address *local,
                                 const struct su_address *peer, struct se_port **ret,
                                 struct spate_error *error);

/* Arms receivers, closes ports without connections that are no longer open to new ones or have been
 * kept for long enough, and frees ports that have nothing in flight.  Call once per turn, before
 * the wait. */
void se_ports_maintain(struct spate_shard *shard);

/* Begins to close a port.  It must have no connections and no tombstones. */
void se_port_close(struct se_port *port);

/* Closes all sockets.  The ring must have been stopped. */
void se_ports_deinit(struct spate_shard *shard);

#endif

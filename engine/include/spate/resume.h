/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RESUME_H
#define SPATE_RESUME_H

#include <sys/socket.h>

#include <spate/base.h>
#include <spate/conn.h>
#include <spate/engine.h>
#include <spate/settings.h>
#include <spate/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Resumption: a client that has been there before needs no certificate, and with 0-RTT no round
 * trip before its first bytes are used.  [RFC9001 4.5, 4.6]
 *
 *     server:  ticket_count of struct spate_tls_options, and early_data for 0-RTT
 *     client:  SPATE_EVENT_TICKET, SPATE_EVENT_NEW_TOKEN: keep the bytes
 *              spate_shard_connect_with() with the bytes, later or in another process
 *              SPATE_EVENT_EARLY: streams may be used; SPATE_EVENT_CONNECTED as always
 *
 * Use a ticket and a token once: whoever watches the network can tell that two connections which
 * use the same are of one client.  [RFC9001 4.5, RFC9000 8.1.3]  Keep them secret: whoever has a
 * ticket can resume in the client's name, and read the 0-RTT that is sent with it.
 *
 * 0-RTT can be replayed.  [RFC9001 9.2, RFC8446 8]  Somebody who has recorded the first datagrams
 * of a client can send them again, and the server may act on them again.  What is promised:
 *
 *   - One struct spate_tls accepts a ClientHello once, whichever shards it serves: it remembers
 *     those of the last 12 s, and TLS refuses older ones.  Without room to remember, 0-RTT is
 *     rejected.  A process that was started with given ticket keys rejects the 0-RTT of tickets
 *     that others have made before, for its first 12 s.
 *   - Processes and machines that share ticket keys do not know what others have accepted.  A
 *     ClientHello may be accepted once by each of them.
 *   - SPATE_EVENT_CONNECTED at the server means that this connection is no replay.
 *
 * `early` of SPATE_EVENT_STREAM_DATA and SPATE_EVENT_STREAM_PLACED marks streams of 0-RTT, also
 * after that.  So between SPATE_EVENT_EARLY and SPATE_EVENT_CONNECTED a server does only what may
 * be done twice. It can keep the bytes until SPATE_EVENT_CONNECTED, or refuse 0-RTT by on_early.
 *
 * If the server rejects 0-RTT, everything that was sent is sent again after the handshake, once,
 * and spate_conn_early() returns SPATE_EARLY_REJECTED from SPATE_EVENT_CONNECTED on. */

/* What became of 0-RTT. */
enum spate_early {
    SPATE_EARLY_NONE,     /* none was offered, or it is not known yet */
    SPATE_EARLY_OFFERED,  /* client: sent, and not answered yet */
    SPATE_EARLY_ACCEPTED, /* the server uses it */
    SPATE_EARLY_REJECTED, /* the server has kept nothing of it */
};

/* Returns what became of the 0-RTT of this connection.  [RFC9001 4.6.2]  Threads: shard. */
SPATE_API enum spate_early spate_conn_early(const struct spate_conn *conn);

/* Returns true if the handshake used a ticket.  False before SPATE_EVENT_CONNECTED.  [RFC8446 2.2]
 * Threads: shard. */
SPATE_API bool spate_conn_is_resumed(const struct spate_conn *conn);

/* How to connect, and what to resume.  Zero, set `size` to the size of the struct, then what is
 * needed.  Nothing is kept beyond the call. */
struct spate_connect_options {
    size_t size;
    const struct sockaddr *address; /* these five: see spate_shard_connect() */
    socklen_t address_size;
    bool early; /* offer 0-RTT, if the ticket allows it.  Only the application protocol of the
                   ticket is offered then */
    uint8_t reserved[3]; /* ignored */
    const char *server_name;
    struct spate_tls *tls;
    void *user;
    /* Of SPATE_EVENT_TICKET.  One that has expired, or is of another server name, application
     * protocol or QUIC version, or cannot be read, is ignored: the handshake is a whole one. */
    const void *ticket;
    size_t ticket_size; /* bytes at `ticket`; 0: none */
    /* Of SPATE_EVENT_NEW_TOKEN.  One of another QUIC version is ignored.  [RFC9000 8.1.3] */
    const void *token;
    size_t token_size; /* bytes at `token`; 0: none */
    /* From spate_settings_create(); the connection keeps a reference.  NULL: those of the engine.
     */
    struct spate_settings *settings;
    /* Connections of a shard to one address share a socket with those of their group alone, while
     * there are free sockets (61 per shard).  Some servers distribute packets among their threads
     * by the addresses; a client of such a server needs some groups to use them all.  Any number;
     * 0: the group of all connections that name none. */
    uint32_t socket_group;
    uint8_t reserved_2[4]; /* ignored */
};

/* Starts to connect to a server, as spate_shard_connect() does, with what an earlier connection has
 * given.  With 0-RTT SPATE_EVENT_EARLY comes in the next turn.
 *
 *   options  Copied.
 *   *ret     Owned by the engine; valid until the connection's SPATE_EVENT_CLOSED has been taken.
 *            Untouched on failure.
 *   error    Names the address or the argument on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL        `options` is NULL or its size is wrong, or a reason of spate_shard_connect().
 *   -E2BIG         The program set a field that this library does not know.
 *   -ENOBUFS       The shard is at conns_max or at memory_bytes_max.
 *   -ENETUNREACH   The host has no route to the address.
 *   -EAFNOSUPPORT  The system does not support this address family.
 *   -EMFILE        The process has no file descriptor left.
 *   -ENOMEM        The kernel has no memory for a socket.
 *   -ESHUTDOWN     The shard is shutting down.
 * Other negative errnos of the kernel are passed on; `error` names the step that failed.
 *
 * Threads: shard. */
SPATE_API int spate_shard_connect_with(struct spate_shard *shard,
                                       const struct spate_connect_options *options,
                                       struct spate_conn **ret, struct spate_error *error);

/* Replaces the keys of a server's tickets while it runs: tickets of keys that are gone lead to
 * whole handshakes.  To rotate shared keys without that, first give all processes the next key as
 * the second one, then make it the first.  [RFC5077 5.5]
 *
 *   keys   `count` times SPATE_KEY_SIZE secret random bytes.  The first key seals, all open.
 *          Copied.
 *   count  1 to 4.
 *
 * Returns 0, or:
 *   -EINVAL   `count` is out of range.
 *   -ENOTSUP  `tls` is a client's, or its ticket_count is 0.
 *
 * Threads: any. */
SPATE_API int spate_tls_set_ticket_keys(struct spate_tls *tls, const void *keys, size_t count);

#ifdef __cplusplus
}
#endif

#endif

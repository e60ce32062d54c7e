/* SPDX-License-Identifier: MIT */
#ifndef SPATE_CONN_H
#define SPATE_CONN_H

#include <sys/socket.h>

#include <spate/base.h>
#include <spate/counters.h>
#include <spate/event.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A connection belongs to the engine.  Do not use its pointer after SPATE_EVENT_CLOSED has been
 * taken: it may belong to another connection then.  Where that cannot be known, keep the ID.  A
 * thread that works for a connection keeps its ID too, and answers with spate_engine_post_conn().
 */

/* Returns the ID of the connection: a number that no other connection of the engine has, before or
 * after it.  It is not 0.  Any thread may keep it, also beyond the connection's end.
 *
 * An ID is used again after 2^38 connections at one place of a shard: a month of 100,000
 * connections a second that all close before the next one comes.
 *
 * Threads: shard. */
SPATE_API uint64_t spate_conn_id(const struct spate_conn *conn);

/* Returns the connection that has the ID, or NULL if its SPATE_EVENT_CLOSED has been taken, if it
 * belongs to another shard or to a channel, or if there was none.
 *
 *   conn_id  From spate_conn_id(); any other number is accepted.
 *
 * Threads: shard. */
SPATE_API struct spate_conn *spate_shard_conn(struct spate_shard *shard, uint64_t conn_id);

/* Queues a call of `function` on the thread of the shard that owns a connection, as
 * spate_shard_post() does.  For worker threads: what they hold cannot become another client's.
 *
 *   conn_id   From spate_conn_id().
 *   function  Gets what spate_shard_conn() returns for `conn_id` at the time of the call: `conn` is
 *             NULL if the connection has gone.
 *   argument  Passed to `function`; the library does not use it.  On failure `function` is not
 *             called, so `argument` stays the caller's.
 *
 * Returns 0, or:
 *   -EINVAL     `conn_id` is not the ID of a connection of this engine.
 *   -EAGAIN     1,024 posts are waiting already.
 *   -ESHUTDOWN  The shard has ended: the engine was stopped, or the shard's ring has failed.
 *
 * Threads: any. */
SPATE_API int spate_engine_post_conn(struct spate_engine *engine, uint64_t conn_id,
                                     void (*function)(struct spate_shard *shard,
                                                      struct spate_conn *conn, void *argument),
                                     void *argument);

/* Limits what the connection sends from now on, as conn_rate_bytes_per_s_max of its configuration
 * does.  Any number of changes costs nothing later.
 *
 *   bytes_per_s  Bytes of UDP payload per second: 1,000 to 125,000,000,000.  0: no limit.
 *
 * Returns 0, or:
 *   -EINVAL  `bytes_per_s` is out of range.
 *
 * Threads: shard. */
SPATE_API int spate_conn_set_rate_limit(struct spate_conn *conn, uint64_t bytes_per_s);

/* Sets the pointer that events of this connection carry as conn_user.
 *
 *   user  The library does not use it; may be NULL.
 *
 * Threads: shard. */
SPATE_API void spate_conn_set_user(struct spate_conn *conn, void *user);

/* Returns the pointer that spate_conn_set_user() has set.  Before that, returns the `user` of
 * spate_shard_listen() or spate_shard_connect().  Threads: shard. */
SPATE_API void *spate_conn_user(const struct spate_conn *conn);

/* Returns the shard that owns the connection.  It never changes.  Threads: shard. */
SPATE_API struct spate_shard *spate_conn_shard(const struct spate_conn *conn);

/* Returns true for a connection that a listener accepted, and false for one that
 * spate_shard_connect() made.  Threads: shard. */
SPATE_API bool spate_conn_is_server(const struct spate_conn *conn);

/* Starts to close the connection with an application error code.  [RFC9000 10.2]  Lent bytes come
 * back with SPATE_EVENT_SENT and SPATE_EVENT_STREAM_PLACED, each open stream gets its
 * SPATE_EVENT_STREAM_CLOSED, then SPATE_EVENT_CLOSED follows.  Data that the peer has not
 * acknowledged may be lost, and received bytes that no event has delivered are dropped.  Calls
 * after the first are ignored.
 *
 * SPATE_EVENT_CLOSED comes in one of the next turns, after the CONNECTION_CLOSE was handed to the
 * kernel: the engine may be destroyed then.  If no CONNECTION_CLOSE can be sent for three probe
 * timeouts, the event comes without it.
 *
 *   error   Below 2^62; higher bits are cut off.
 *   reason  Text for a person.  Copied, at most 128 bytes of it; may be NULL.
 *
 * Threads: shard. */
SPATE_API void spate_conn_close(struct spate_conn *conn, uint64_t error, const char *reason);

/* Returns the application protocol that was negotiated (ALPN), or "" before SPATE_EVENT_CONNECTED;
 * a server has it from SPATE_EVENT_EARLY on.  [RFC9001 8.1]  The string is valid as long as the
 * connection.  Threads: shard. */
SPATE_API const char *spate_conn_alpn(const struct spate_conn *conn);

/* Returns the cipher suite that was negotiated, like "TLS_AES_128_GCM_SHA256", or "" before
 * SPATE_EVENT_CONNECTED.  [RFC9001 5.3]  The string is static.  Threads: shard. */
SPATE_API const char *spate_conn_cipher(const struct spate_conn *conn);

/* Returns the version of QUIC that was negotiated: 1, or 0x6b3343cf for version 2.  Returns 0
 * before SPATE_EVENT_CONNECTED.  [RFC9368]  Threads: shard. */
SPATE_API uint32_t spate_conn_version(const struct spate_conn *conn);

/* Updates the keys of the connection: the next packet that is sent has new ones, and the peer
 * follows.  If the protocol does not allow that yet, it happens as soon as it does: when the
 * handshake is confirmed and the peer has acknowledged a packet of the update before.  Further
 * calls until then change nothing.  Key updates also happen by themselves: see key_update_packets
 * of spate_config.  [RFC9001 6]
 *
 * Returns 0, or:
 *   -ENOTCONN  The connection is closed.
 *
 * Threads: shard. */
SPATE_API int spate_conn_update_keys(struct spate_conn *conn);

/* Returns the server name that the client requested (SNI), or "" if it requested none and before
 * SPATE_EVENT_CONNECTED.  [RFC6066 3]  The string is valid as long as the connection.
 * Threads: shard. */
SPATE_API const char *spate_conn_server_name(const struct spate_conn *conn);

/* Returns a certificate of the peer in the encoding DER, or NULL if there is none at `index`.
 * [RFC8446 4.4.2]  The bytes are valid as long as the connection.
 *
 *   index      0: the peer's own certificate.  Above: the others of its chain, in its order, if
 *              keep_peer_chain of the TLS options is set.
 *   *ret_size  Set to the size in bytes; untouched if there is none.
 *
 * Threads: shard. */
SPATE_API const uint8_t *spate_conn_peer_certificate(const struct spate_conn *conn, size_t index,
                                                     size_t *ret_size);

/* Derives bytes from the secrets of the handshake, which only the peer can derive too: keys for
 * another protocol, or a proof that something belongs to this connection.  [RFC8446 7.5]
 *
 *   label         Text that nobody else uses for another purpose, of 1 to 249 bytes, like
 *                 "EXPORTER-example".
 *   context       Bytes that the result depends on; may be NULL if context_size is 0.
 *   context_size  Bytes at `context`.
 *   *ret          Room for `size` bytes.
 *   size          1 to 8,160.
 *
 * Returns 0, or:
 *   -EINVAL    The label or `size` is out of range.
 *   -ENOTCONN  SPATE_EVENT_CONNECTED has not come yet.
 *   -ENOMEM    There is not enough memory.
 *
 * Threads: shard. */
SPATE_API int spate_conn_export(const struct spate_conn *conn, const char *label,
                                const void *context, size_t context_size, void *ret, size_t size);

/* Writes the peer's address.
 *
 *   *ret       All bytes are written; those after the address are zero.
 *   *ret_size  Set to the size of the address in bytes.  The value before the call is ignored.
 *
 * Returns 0, or:
 *   -EINVAL  The address is neither IPv4 nor IPv6; both outputs are untouched.
 *
 * Threads: shard. */
SPATE_API int spate_conn_peer_address(const struct spate_conn *conn, struct sockaddr_storage *ret,
                                      socklen_t *ret_size);

/* Moves a client's connection to another local address or interface, while it is used.
 * [RFC9000 9.2]  A new socket is opened, and the path from there is validated; until then the
 * connection stays where it is.  SPATE_EVENT_PATH reports the outcome: at once after a round trip,
 * or after three probe timeouts, at least 3 s, if nothing comes back.  Congestion control and the
 * round-trip time begin anew on the new path, and its packets carry another connection ID [9.5].
 *
 *   local       The address to send from; its port may be 0.  NULL: the kernel chooses the address,
 *               by its present routes, and a port.
 *   local_size  Bytes at `local`.
 *   error       Filled in with one line if the system refuses the socket; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL     A server's connection, or an address of another family than the peer's.
 *   -EPERM      The server forbids it (disable_active_migration).
 *   -EAGAIN     The handshake is not confirmed, another move goes on, or the server has issued no
 *               connection ID for another path.  Try again later.
 *   -ENOTCONN   The connection is closed.
 *   -ENOBUFS    There is no memory within memory_bytes_max.
 *   -EMFILE     The shard has no socket left.
 *   -EADDRNOTAVAIL  The host does not have the address `local`.
 *
 * Other negative errnos of the kernel for the socket are passed on.
 *
 * Threads: shard. */
SPATE_API int spate_conn_migrate(struct spate_conn *conn, const struct sockaddr *local,
                                 socklen_t local_size, struct spate_error *error);

/* What a connection waits for before it can send: the gauge `waits_for`, and what the counters
 * waited_*_ns add up.  Each moment of a connection's life belongs to one of them. */
enum spate_wait {
    SPATE_WAIT_SHARD,       /* its turn: it may have something to send now */
    SPATE_WAIT_IDLE,        /* the application or the peer: there is nothing to send */
    SPATE_WAIT_APPLICATION, /* nothing to send, and the application holds slices of it */
    SPATE_WAIT_ACK_DELAY,   /* time: an ACK alone, which may wait [RFC9000 13.2.1] */
    SPATE_WAIT_CWND,        /* an ACK: the congestion window is full, or nearly [RFC9002 7] */
    SPATE_WAIT_PACER,       /* time: it paces its packets [RFC9002 7.7] */
    SPATE_WAIT_LIMIT,       /* a rate limit of the shard or the engine, or room in flight to a peer
                               nearby, which all that send to it share (flow group) */
    SPATE_WAIT_AMPLIFICATION, /* proof of the peer's address [RFC9000 8] */
    SPATE_WAIT_CONN_CREDIT,   /* the peer: MAX_DATA [RFC9000 4.1] */
    SPATE_WAIT_STREAM_CREDIT, /* the peer: MAX_STREAM_DATA [RFC9000 4.1] */
    SPATE_WAIT_KEY,           /* a step of the handshake */
    SPATE_WAIT_MEMORY,        /* memory_bytes_max: memory that others give back */
    SPATE_WAIT_SLOT,          /* a free transmit slot (spate_config.transmit_slots) */
    SPATE_WAIT_CLOSED,        /* nothing more: it is closed */
};

/* Returns what is waited for in a few words, such as "congestion window", for people.  A value that
 * this library does not know: "unknown".
 *
 *   wait  Any value; the gauge `waits_for` of spate_conn_stats() is one.
 *
 * The text is static.
 *
 * Threads: any. */
SPATE_API const char *spate_wait_name(enum spate_wait wait);

/* What a connection counts since its start, and its gauges: counters.h explains each field. */
struct spate_conn_stats {
    SPATE_CONN_STATS(SPATE_STATS_FIELD)
};

/* Writes the first `size` bytes of the counters that spate_conn_stats() describes, and zeroes for
 * fields that this library does not have.  For languages other than C and C++, whose programs call
 * spate_conn_stats().
 *
 *   *ret  Room for `size` bytes.
 *   size  Bytes that the program knows: its sizeof(struct spate_conn_stats).
 *
 * Threads: shard. */
SPATE_API void spate_conn_stats_sized(const struct spate_conn *conn, struct spate_conn_stats *ret,
                                      size_t size);

/* Writes the connection's counters.  It is inline, so that a program gets the fields that it was
 * compiled with.  A counter that the library does not have is 0.  Threads: shard. */
static inline void spate_conn_stats(const struct spate_conn *conn, struct spate_conn_stats *ret)
{
    spate_conn_stats_sized(conn, ret, sizeof(*ret));
}

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SPATE_CONN_H
#define SPATE_CONN_H

#include <sys/socket.h>

#include <spate/base.h>
#include <spate/event.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sets the pointer that comes as conn_user in the events of this connection.  It is never followed
 * and may be NULL.  Threads: shard. */
SPATE_API void spate_conn_set_user(struct spate_conn *conn, void *user);
/* Returns that pointer; before it is set, the `user` of spate_shard_listen() or
 * spate_shard_connect().  Threads: shard. */
SPATE_API void *spate_conn_user(const struct spate_conn *conn);
/* Returns the shard that owns the connection, always the same one.  Threads: shard. */
SPATE_API struct spate_shard *spate_conn_shard(const struct spate_conn *conn);
/* Returns whether the connection came in through a listener; false: spate_shard_connect() made it.
 * Threads: shard. */
SPATE_API bool spate_conn_is_server(const struct spate_conn *conn);

/* Starts to close with an application's error code.  [RFC9000 10.2]  Lent bytes come
 * back as SPATE_EVENT_SENT, then SPATE_EVENT_CLOSED.  Data that has not been acknowledged may be
 * lost.
 *
 *   error   Below 2^62.
 *   reason  For a person; cut at 128 bytes; may be NULL.
 *
 * Repeats are ignored.  Threads: shard. */
SPATE_API void spate_conn_close(struct spate_conn *conn, uint64_t error, const char *reason);

/* The negotiated application protocol and cipher suite ("TLS_AES_128_GCM_SHA256"), "" before
 * the handshake has settled them.  Valid as long as the connection.  Threads: shard. */
SPATE_API const char *spate_conn_alpn(const struct spate_conn *conn);
SPATE_API const char *spate_conn_cipher(const struct spate_conn *conn);
/* The name that a client asked for (SNI), or "".  Threads: shard. */
SPATE_API const char *spate_conn_server_name(const struct spate_conn *conn);

/* Writes the peer's address.
 *
 *   *ret       Written in full; zeroes after the address.
 *   *ret_size  Output only: the size of the address in it.  Its value before does not matter.
 *
 * Returns 0, or -EINVAL (the address is neither IPv4 nor IPv6; both outputs are untouched).
 * Threads: shard. */
SPATE_API int spate_conn_peer_address(const struct spate_conn *conn, struct sockaddr_storage *ret,
                                      socklen_t *ret_size);

struct spate_conn_stats {
    uint64_t datagrams_in;
    uint64_t bytes_in; /* UDP payload */
    uint64_t packets_in;
    uint64_t packets_dropped;
    uint64_t datagrams_out;
    uint64_t bytes_out;
    uint64_t packets_out;
    uint64_t packets_lost;
    uint64_t packets_spurious; /* declared lost too early */
    uint64_t acks_in;
    uint64_t acks_out;
    uint64_t ptos;
    uint64_t stream_bytes_in;
    uint64_t stream_bytes_placed; /* .. in memory of spate_stream_receive_into(), all told .. */
    uint64_t stream_bytes_copied; /* .. and copied to such memory, told or not */
    uint64_t stream_bytes_out;
    uint64_t stream_bytes_acked;
    uint64_t rtt_smoothed_ns;
    uint64_t rtt_min_ns;
    uint64_t cwnd_bytes;
    uint64_t in_flight_bytes;
};

/* Writes the first `size` bytes of what spate_conn_stats() writes, and zeroes for what this library
 * does not count.  Programs in C and C++ call that one; this is for other languages.
 * Threads: shard. */
SPATE_API void spate_conn_stats_sized(const struct spate_conn *conn, struct spate_conn_stats *ret,
                                      size_t size);

/* Writes what the connection has counted so far.  It is compiled into the program, so that an
 * older program gets the fields that it knows; a counter that the library does not have is 0.
 * Threads: shard. */
static inline void spate_conn_stats(const struct spate_conn *conn, struct spate_conn_stats *ret)
{
    spate_conn_stats_sized(conn, ret, sizeof(*ret));
}

#ifdef __cplusplus
}
#endif

#endif

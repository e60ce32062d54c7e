/* SPDX-License-Identifier: MIT */
#ifndef SPATE_POOL_H
#define SPATE_POOL_H

#include <string.h>
#include <sys/socket.h>

#include <spate/base.h>
#include <spate/config.h>
#include <spate/conn.h>
#include <spate/engine.h>
#include <spate/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A pool keeps client connections to a set of servers open, so that a request finds one that is
 * ready, and that works:
 *
 *     spate_pool_create(shard, ...)
 *     spate_pool_add()        once for each server, or for each address of one
 *     spate_pool_acquire()    for each request: a connection, on which to open a stream
 *     spate_pool_report()     if the answer was an error, or late: optional
 *     spate_pool_drain()      before the end
 *
 * The pool lives on one shard, and its work is done in the shard's turns: there is nothing else to
 * call and no other descriptor to poll.  Its connections raise ordinary events.  conn_user is the
 * `user` of the pool until spate_conn_set_user().  After SPATE_EVENT_CLOSED the pool connects again
 * by itself.  Nothing has to be given back: a connection is as busy as it has streams.
 *
 * Pauses between attempts double with each failure, and have a random length up to that, so that
 * many clients do not come back at the same moment.  A circuit breaker stops using a server that
 * fails again and again, and tries it later with little work.  Failures are: an attempt that fails
 * in any way; a connection that hangs, that ends without being closed by an application, or that
 * ends within a second; a spate_pool_report().  Successes are: a connection that has lived for a
 * second, one that a half-open breaker has tried, and a spate_pool_report(). */
struct spate_pool;

/* What spate_pool_acquire() takes in the place of a server's ID: choose among all servers. */
#define SPATE_POOL_ANY 0

/* How a pool works.  Each comment ends with the default and the range. */
struct spate_pool_options {
    size_t size; /* sizeof(struct spate_pool_options): spate_pool_options_init() sets it */
    /* From spate_tls_client_create(); the pool keeps a reference.  Required. */
    struct spate_tls *tls;
    /* Settings of the connections, as spate_settings_create() takes them; copied.  Its
     * keep_alive_ns and handshake_timeout_ns are ignored.  NULL: the configuration of the engine.
     * Default NULL. */
    const struct spate_config *config;
    void *user; /* conn_user of the connections.  Default NULL */
    /* Connections to each server.  Default 2; 1 to 64. */
    uint32_t conns_per_peer;
    /* Streams that exist on a connection, of both sides, from which on it gets no more work.
     * Default 0; 1 to 1,048,576, or 0 for no limit. */
    uint32_t streams_max;
    /* Nanoseconds after which an attempt has failed.  Default 3 s; 1 ms to 365 days. */
    uint64_t connect_timeout_ns;
    /* Nanoseconds of silence after which a connection is asked by a PING.  [RFC9000 10.1.2]
     * Default 5 s; 1 ms to 365 days. */
    uint64_t ping_ns;
    /* Nanoseconds that a connection may owe an acknowledgment, while nothing comes from the server,
     * before it is closed.  After a quarter of that it gets no more work if another one can.
     * Default 3 s; 1 ms to 365 days. */
    uint64_t hang_ns;
    /* Smoothed round-trip time in nanoseconds above which a connection gets no more work if another
     * one can.  Default 0; 1 to SPATE_FOREVER, or 0 for no limit. */
    uint64_t rtt_ns_max;
    /* The pause after the first failure, at most, in nanoseconds: it is of random length.
     * Default 50 ms; 1 us to 365 days. */
    uint64_t backoff_ns;
    /* The pause after many failures, at most.  Default 10 s; backoff_ns to 365 days. */
    uint64_t backoff_ns_max;
    /* Failures in a row that open the breaker of a server.  Default 5; 1 to 1,000,000. */
    uint32_t failures_max;
    /* Half-open: attempts and spate_pool_acquire() without a result yet, at most.
     * Default 1; 1 to 1,000,000. */
    uint32_t trials_max;
    /* Half-open: successes that close the breaker.  Default 1; 1 to 1,000,000. */
    uint32_t successes_min;
    uint8_t reserved[4]; /* no padding; ignored */
    /* Nanoseconds that an open breaker waits before it is half-open; up to half of that is added at
     * random.  It doubles each time, until there is a success while the breaker is closed.
     * Default 1 s; 1 us to 365 days. */
    uint64_t open_ns;
    /* What it doubles up to.  Default 30 s; open_ns to 365 days. */
    uint64_t open_ns_max;
};

/* Sets `size` and the defaults.
 *
 *   options  In any state.
 *
 * Threads: any. */
static inline void spate_pool_options_init(struct spate_pool_options *options)
{
    const uint64_t ms = 1000000;
    memset(options, 0, sizeof(*options));
    options->size = sizeof(*options);
    options->conns_per_peer = 2;
    options->connect_timeout_ns = 3000 * ms;
    options->ping_ns = 5000 * ms;
    options->hang_ns = 3000 * ms;
    options->backoff_ns = 50 * ms;
    options->backoff_ns_max = 10000 * ms;
    options->failures_max = 5;
    options->trials_max = 1;
    options->successes_min = 1;
    options->open_ns = 1000 * ms;
    options->open_ns_max = 30000 * ms;
}

/* Makes a pool without servers.
 *
 *   options  Copied.
 *   *ret     Owned by the caller until spate_pool_destroy().  spate_engine_destroy() frees it too:
 *            do not use it afterwards.  Untouched on failure.
 *   error    Names the field on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL  A value is out of range, or spate_pool_options_init() was not called.  Or `tls` is
 *            NULL or a server's.  Or `config` differs from the engine's in a field of the engine.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOMEM  There is not enough memory.
 *
 * Threads: shard. */
SPATE_API int spate_pool_create(struct spate_shard *shard, const struct spate_pool_options *options,
                                struct spate_pool **ret, struct spate_error *error);

/* A server of a pool.  Zero, set `size` to the size of the struct, then the rest.  A name with
 * several addresses is as many servers: the program resolves it. */
struct spate_pool_peer {
    size_t size;
    const struct sockaddr *address; /* these three: see spate_shard_connect(); copied */
    socklen_t address_size;
    uint8_t reserved[4]; /* ignored */
    const char *server_name;
};

/* Adds a server.  The pool begins to connect to it in the shard's next turn, and
 * SPATE_EVENT_CONNECTED reports each connection that is ready.
 *
 *   peer     Copied.
 *   *ret_id  The ID of the server in this pool; never 0, and never used again.  Untouched on
 *            failure; may be NULL.
 *   error    Names the mistake on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL     `peer` is NULL or its size is wrong.  Or the address is neither IPv4 nor IPv6, or
 *               its port is 0.  Or the name is longer than 255 bytes.
 *   -E2BIG      The program set a field that this library does not know.
 *   -ENOBUFS    The pool has 1,024 servers.
 *   -ENOMEM     There is not enough memory within memory_bytes_max.
 *   -ESHUTDOWN  spate_pool_drain() was called, or the shard is shutting down.
 *
 * Threads: shard. */
SPATE_API int spate_pool_add(struct spate_pool *pool, const struct spate_pool_peer *peer,
                             uint64_t *ret_id, struct spate_error *error);

/* Removes a server: its connections get no more work from spate_pool_acquire().  Each is closed
 * with the application error 0 when it has no streams, or after `timeout_ns`.  No attempt follows.
 *
 *   peer_id     From spate_pool_add().
 *   timeout_ns  Nanoseconds that streams may take to finish.  0: close the connections in the next
 *               turn.  SPATE_FOREVER: no limit.
 *
 * Returns 0, or:
 *   -ENOENT  The pool has no such server, or it was removed before and has no connection left.
 *
 * Threads: shard. */
SPATE_API int spate_pool_remove(struct spate_pool *pool, uint64_t peer_id, uint64_t timeout_ns);

/* Returns the least loaded connection that is ready: the one with the fewest streams, and among
 * those the one with the smallest round-trip time.  One that has been silent or slow (hang_ns,
 * rtt_ns_max) is chosen only if there is no other.  Looks at each connection of the pool, which
 * takes some ten nanoseconds per connection.
 *
 * Open a stream at once: that is what makes the connection busier.  spate_stream_open() may return
 * -EAGAIN all the same, if the server allows fewer streams: see streams_max.
 *
 *   peer_id  From spate_pool_add(), or SPATE_POOL_ANY.
 *   *ret     Owned by the engine; valid until the connection's SPATE_EVENT_CLOSED has been taken.
 *            Untouched on failure.
 *
 * Returns 0, or:
 *   -EAGAIN        No connection is ready, or all have streams_max streams.  Try again after
 *                  SPATE_EVENT_CONNECTED or SPATE_EVENT_STREAM_CLOSED.
 *   -EHOSTUNREACH  The breakers of all servers that could be chosen are open: do not wait.
 *   -ENOENT        There is no such server, or none at all.
 *   -ESHUTDOWN     spate_pool_drain() was called, or the shard is shutting down.
 *
 * Threads: shard. */
SPATE_API int spate_pool_acquire(struct spate_pool *pool, uint64_t peer_id,
                                 struct spate_conn **ret);

/* Reports how work on a connection has ended, for the breaker of its server.  The pool sees by
 * itself whether connections work, but not whether their answers are right or in time.
 *
 *   conn        A connection of a pool; any other one is ignored.
 *   is_success  False: a failure of the server.
 *
 * Threads: shard. */
SPATE_API void spate_pool_report(struct spate_conn *conn, bool is_success);

/* Returns the ID of the server that a connection of a pool leads to, or 0 if it belongs to no pool
 * or has ended.  Threads: shard. */
SPATE_API uint64_t spate_pool_peer_id(const struct spate_conn *conn);

/* Ends the work of a pool in order: spate_pool_acquire() and spate_pool_add() return -ESHUTDOWN
 * from now on, and all servers are removed as by spate_pool_remove().  When conns_now of
 * spate_pool_stats() is 0, nothing is left to wait for.  A later call changes `timeout_ns`.
 *
 *   timeout_ns  Nanoseconds that streams may take to finish.  0: close the connections in the next
 *               turn.  SPATE_FOREVER: no limit.
 *
 * Threads: shard. */
SPATE_API void spate_pool_drain(struct spate_pool *pool, uint64_t timeout_ns);

/* Frees the pool.  Connections that are left are closed with the application error 0; their events
 * follow.
 *
 *   pool  NULL is accepted.
 *
 * Threads: shard. */
SPATE_API void spate_pool_destroy(struct spate_pool *pool);

/* What a pool counts, and how it is now. */
struct spate_pool_stats {
    uint64_t peers_now;        /* servers; a removed one counts until its connections have ended */
    uint64_t peers_open_now;   /* of peers_now: the breaker is open */
    uint64_t conns_now;        /* connections, from the attempt to the end */
    uint64_t conns_ready_now;  /* of conns_now: the handshake is complete */
    uint64_t connects;         /* attempts */
    uint64_t connects_failed;  /* of connects: ended before the handshake was complete */
    uint64_t conns_lost;       /* ended after the handshake, by a failure of the server or path */
    uint64_t hangs;            /* of conns_lost: did not answer for hang_ns */
    uint64_t acquires;         /* spate_pool_acquire() returned a connection */
    uint64_t acquires_failed;  /* spate_pool_acquire() found none */
    uint64_t breaker_openings; /* times that a breaker opened */
};

/* Writes the first `size` bytes of the counters that spate_pool_stats() describes, and zeroes for
 * fields that this library does not have.  For languages other than C and C++, whose programs call
 * spate_pool_stats().
 *
 *   *ret  Room for `size` bytes.
 *   size  Bytes that the program knows: its sizeof(struct spate_pool_stats).
 *
 * Threads: shard. */
SPATE_API void spate_pool_stats_sized(const struct spate_pool *pool, struct spate_pool_stats *ret,
                                      size_t size);

/* Writes the pool's counters and gauges.  It is inline, so that a program gets the fields that it
 * was compiled with.  Threads: shard. */
static inline void spate_pool_stats(const struct spate_pool *pool, struct spate_pool_stats *ret)
{
    spate_pool_stats_sized(pool, ret, sizeof(*ret));
}

/* The circuit breaker of a server. */
enum spate_pool_breaker {
    SPATE_POOL_CLOSED,    /* it gets work */
    SPATE_POOL_OPEN,      /* it gets none */
    SPATE_POOL_HALF_OPEN, /* it gets trials_max pieces of work at a time */
};

/* How a server of a pool is now. */
struct spate_pool_peer_stats {
    enum spate_pool_breaker breaker;
    uint32_t conns_now;       /* connections, from the attempt to the end */
    uint32_t conns_ready_now; /* of conns_now: the handshake is complete */
    uint32_t is_draining;     /* 1: it was removed, or the pool drains; 0: it gets work */
    uint64_t streams_now;     /* streams on these connections */
    uint64_t rtt_ns;          /* the smallest smoothed round-trip time; 0: none is ready */
    uint64_t failures;        /* failures in a row; 0 while the breaker is not closed */
    uint64_t openings;        /* times that the breaker opened */
    uint64_t next_try_ns;     /* time of spate_shard_now_ns() at which an open breaker becomes
                                 half-open; otherwise SPATE_FOREVER */
};

/* Writes the first `size` bytes of what spate_pool_peer_stats() describes, and zeroes for fields
 * that this library does not have.  For languages other than C and C++, whose programs call
 * spate_pool_peer_stats().
 *
 *   peer_id  From spate_pool_add().
 *   *ret     Room for `size` bytes; untouched on failure.
 *   size     Bytes that the program knows: its sizeof(struct spate_pool_peer_stats).
 *
 * Returns 0, or:
 *   -ENOENT  The pool has no such server.
 *
 * Threads: shard. */
SPATE_API int spate_pool_peer_stats_sized(const struct spate_pool *pool, uint64_t peer_id,
                                          struct spate_pool_peer_stats *ret, size_t size);

/* Writes how a server of the pool is now.  It is inline, so that a program gets the fields that it
 * was compiled with.  Returns the result of spate_pool_peer_stats_sized(); `*ret` is untouched on
 * failure.  Threads: shard. */
static inline int spate_pool_peer_stats(const struct spate_pool *pool, uint64_t peer_id,
                                        struct spate_pool_peer_stats *ret)
{
    return spate_pool_peer_stats_sized(pool, peer_id, ret, sizeof(*ret));
}

#ifdef __cplusplus
}
#endif

#endif

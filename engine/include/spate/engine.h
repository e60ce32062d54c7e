/* SPDX-License-Identifier: MIT */
#ifndef SPATE_ENGINE_H
#define SPATE_ENGINE_H

#include <string.h>
#include <sys/socket.h>

#include <spate/base.h>
#include <spate/event.h>
#include <spate/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An engine is a set of shards.  A shard owns one io_uring ring (or the mmsg backend in its place),
 * its sockets and its connections.  One thread runs a shard.  There are two modes:
 *
 *   Your own thread    Your loop calls spate_shard_turn() and spate_shard_events().  The library
 *                      starts no thread.
 *   Engine threads     spate_engine_start() starts one thread per shard, pinned to a CPU if
 *                      `cpus` is set.  Each thread passes batches of events to your handler.
 */
struct spate_engine;
struct spate_shard;
struct spate_listener;

/* How shards talk to the kernel. */
enum spate_backend {
    SPATE_BACKEND_AUTO,     /* io_uring; mmsg where the system or a limit refuses io_uring */
    SPATE_BACKEND_IO_URING, /* io_uring only */
    SPATE_BACKEND_MMSG,     /* epoll, recvmmsg and sendmmsg */
};

/* Which AES-GCM code encrypts and decrypts packets.  ChaCha20-Poly1305 and TLS always use OpenSSL.
 * The choice changes nothing on the wire. */
enum spate_crypto {
    SPATE_CRYPTO_AUTO,    /* fused where the CPU supports it, otherwise OpenSSL */
    SPATE_CRYPTO_OPENSSL, /* OpenSSL only */
    SPATE_CRYPTO_FUSED,   /* Spate's own code; needs x86-64 with VAES and AVX2 or AVX-512 */
};

/* When a server makes a client prove its address by a Retry packet, before it keeps anything for it
 * or sends it more than 3 times what it got [RFC9000 8.1].  A Retry costs the client a round trip.
 */
enum spate_retry {
    SPATE_RETRY_AUTO,   /* while unproven handshakes take more than a share: see handshakes_max */
    SPATE_RETRY_ALWAYS, /* every client */
    SPATE_RETRY_NEVER,  /* no client */
};

#define SPATE_KEY_SIZE 32 /* bytes of token_key and reset_key */

/* Every setting and every limit of an engine, and what happens at the limit.  Each comment ends
 * with the default and the range.  Limits are per shard. */
struct spate_config {
    size_t size; /* sizeof(struct spate_config): spate_config_init() sets it */

    /* Shards, and threads of spate_engine_start().  Default 1; 1 to 64. */
    uint32_t shard_count;
    /* CPUs that spate_engine_start() pins its threads to, shard_count of them.  Default NULL: the
     * threads are not pinned. */
    const int *cpus;

    /* Default SPATE_BACKEND_AUTO. */
    enum spate_backend backend;
    /* Default SPATE_CRYPTO_AUTO. */
    enum spate_crypto crypto;

    /* Connections at a time.  At the limit a client's first packet is answered with
     * CONNECTION_REFUSED, and spate_shard_connect() returns -ENOBUFS.  A closed connection whose
     * SPATE_EVENT_CLOSED was taken does not count: about 550 bytes of it answer late packets for
     * three probe timeouts, at most 9 s.  Up to 64 + 4 * conns_max of those are kept, but no more
     * than 8,192; then the oldest one goes, and its packets are answered with Stateless Resets.
     * Only a client that closes before the server has answered counts for those probe timeouts.
     * An idle connection takes about 14 KiB of memory_bytes_max as a server and 30 KiB as a client.
     * Default 10,000; 1 to 1,000,000. */
    uint32_t conns_max;
    /* Unfinished handshakes of clients that connect to us.  One is unproven until a Retry token or
     * the client's second flight has proved its address.  At the limit the oldest unproven one
     * gives way to a newcomer, and after those the oldest of an address prefix (IPv4 /24, IPv6 /56)
     * that has more than a quarter of them; but none within its first 250 ms.  Otherwise the
     * newcomer's packet is dropped, and it tries again.  A prefix holds at most an eighth with
     * unproven ones. SPATE_RETRY_AUTO sends Retry beyond that eighth, and to all prefixes from a
     * quarter of this limit on (or of conns_max, or of half the memory) until unproven ones are
     * half as many. Default 1,000; 1 to 1,000,000. */
    uint32_t handshakes_max;
    /* Memory for the state of connections, TLS and routing included.  The slots below, the rings
     * and what is kept of closed connections (see conns_max) are not part of it.  See
     * "memory_bytes_max" below for what happens on the way to the limit.
     * Default 1 GiB; 1 MiB to 64 TiB. */
    uint64_t memory_bytes_max;
    /* Receive buffers of 64 KiB, rounded up to a power of two.  As many as the L2 cache holds
     * circulate, more when they are needed.  A slice of 256 bytes or more keeps its whole buffer
     * until it is released; fewer bytes are copied out, and so are bytes out of order that are less
     * than 1/8 of their buffer.  When fewer than half are free, datagrams are copied out of buffers
     * that hold up to 2 KiB.  When fewer than a quarter are free, they are copied out of all
     * buffers.  The copies count against memory_bytes_max.  When none is free, packets wait in the
     * socket's buffer, and the kernel drops those that do not fit.
     * Default 256; 2 to 32,768. */
    uint32_t receive_slots;
    /* Transmit buffers of 64 KiB: one for each train that the kernel has not taken.  When none is
     * free, all connections of the shard wait to send.  Default 256; 1 to 16,384. */
    uint32_t transmit_slots;
    /* Size that is asked of the kernel for each socket's receive buffer and for its send buffer.
     * Default 4 MiB; 64 KiB to 1 GiB. */
    uint32_t socket_buffer_bytes;

    /* A connection that is idle for so long is closed; the smaller value of both ends counts
     * [RFC9000 10.1].  Default 30 s; 1 ms to 365 days, or 0 for none. */
    uint64_t idle_timeout_ns;
    /* A handshake that takes longer fails.  Default 10 s; 1 ms to 365 days, or 0 for none. */
    uint64_t handshake_timeout_ns;
    /* The most that an ACK is delayed: max_ack_delay [RFC9000 18.2].
     * Default 25 ms; 0 to 16,383 ms. */
    uint64_t ack_delay_ns_max;
    /* UDP payload bytes of the largest datagrams that we send.  A connection begins with 1,200.  It
     * sends larger ones once a probe of this size, or of 1,452, was acknowledged.  It falls back to
     * 1,200 where the path takes no more, or the interface (EMSGSIZE), and tries again from time to
     * time [RFC9000 14].  Default 1,452; 1,200 to 65,507. */
    uint32_t datagram_size_max;
    /* Flow control credit that the peer gets for each stream at the start.  A peer that has used it
     * up waits; one that sends more is closed with FLOW_CONTROL_ERROR [RFC9000 4.1].
     * Default 1 MiB; 1 KiB to 1 EiB, and at most stream_window_bytes_max. */
    uint64_t stream_window_bytes;
    /* The most that this credit grows to, for a peer that would otherwise wait for it.  At the
     * limit the peer gets one window per round trip.  Default 16 MiB; 1 KiB to 1 EiB. */
    uint64_t stream_window_bytes_max;
    /* Flow control credit that the peer gets for a whole connection at the start: for the bytes of
     * all streams together that have not been released.  At the limit as for stream_window_bytes.
     * Default 1 MiB; 1 KiB to 1 EiB, and at most conn_window_bytes_max. */
    uint64_t conn_window_bytes;
    /* The most that this credit grows to.  At the limit as for stream_window_bytes_max.
     * Default 16 MiB; 1 KiB to 1 EiB. */
    uint64_t conn_window_bytes_max;
    /* Bidirectional streams that a peer may have open per connection.  At the limit it waits until
     * one is closed; a peer that opens more is closed with STREAM_LIMIT_ERROR [RFC9000 4.6].
     * Default 100; 0 to 1,048,576. */
    uint32_t streams_bidi_max;
    /* Unidirectional streams that a peer may have open per connection.  At the limit as for
     * streams_bidi_max.  Default 100; 0 to 1,048,576. */
    uint32_t streams_uni_max;
    /* Streams of both kinds that we may have open per connection.  The peer may allow fewer.  At
     * the limit spate_stream_open() returns -EAGAIN, and SPATE_EVENT_STREAMS_AVAILABLE follows when
     * one is closed.  Default 1,000; 0 to 1,048,576. */
    uint32_t streams_local_max;
    /* The most that a waiting turn spins before it sleeps: see below.
     * Default 500 us; 0 to SPATE_FOREVER. */
    uint64_t spin_ns;
    /* Spread what is sent over the round trip.  Without it bytes leave in bursts, as ACKs arrive:
     * at most the initial window (10 datagrams) at once, or twice what the last ACKs acknowledged
     * if that is more [RFC9002 7.7].  Default true. */
    bool pacing;
    /* Mark packets ECT(0), so that routers can report congestion without dropping them
     * [RFC9000 13.4].  Default true. */
    bool ecn;
    /* Let the network card read the transmit slots: see below.  Default false. */
    bool zero_copy;
    /* Send many datagrams in one operation (UDP_SEGMENT).  Without it, a capture shows each
     * datagram by itself.  Default true. */
    bool gso;
    uint8_t reserved[4]; /* no padding; ignored */

    /* When clients must prove their address first.  Default SPATE_RETRY_AUTO. */
    enum spate_retry retry;
    /* Seals the tokens of Retry packets.  Give processes that share an address, and a restarted
     * one, the same secret random bytes, so that they accept each other's tokens.  Their clocks may
     * differ by 10 s.  Keys that follow from it rotate every hour.  Default all zero: random for
     * each engine. */
    uint8_t token_key[SPATE_KEY_SIZE];
    uint8_t reserved_2[4]; /* no padding; ignored */

    /* Silence after which a PING is sent, so that the connection is not closed as idle: nothing was
     * received, and nothing that asks for an answer was sent.  It is sent earlier if necessary:
     * after a third of the smaller idle timeout of both ends [RFC9000 10.1.2].  A connection whose
     * bytes wait for the peer's flow control stays alive without it.  Default 0; 1 ms to 365 days,
     * or 0 for none. */
    uint64_t keep_alive_ns;

    /* Key of Stateless Resets: secret random bytes, see below.  Default all zero: random for each
     * engine. */
    uint8_t reset_key[SPATE_KEY_SIZE];
};

/* memory_bytes_max is shared by the connections of a shard.  The last 16th of it, or 256 KiB of
 * less than 4 MiB, is a reserve from which handshakes, acknowledgments and closes are served.
 *
 *   - 3/4 used: connections that hold more than an equal share of the memory give their peers no
 *     more credit until they hold less: release slices.  [RFC9000 4]
 *   - The reserve is reached: spate_stream_send(), spate_stream_receive_into() and
 *     spate_stream_open() return -ENOBUFS, and packets that would need memory for their bytes are
 *     dropped.  The connection that holds most is closed with INTERNAL_ERROR, if it holds more than
 *     an equal share, so that the others go on.
 *   - The reserve is used too: new connections are refused as by conns_max.
 *
 * A connection that waits for memory, or whose peer waits for credit that is held back, is closed
 * with INTERNAL_ERROR after 3 seconds.  SPATE_EVENT_CLOSED reports these closes as local ones.
 * Memory that is no longer needed goes back to the system after a few seconds, and memory_bytes_now
 * follows it.  What OpenSSL frees after a burst of handshakes may stay with the C library, which
 * uses it for the next ones; memory_bytes_now does not count that. */

/* reset_key lets a server that was restarted end the connections of its former process
 * [RFC9000 10.3].  Their clients' next packet is answered with a Stateless Reset that they
 * recognise, so they get SPATE_CLOSE_STATELESS_RESET at once instead of waiting for their idle
 * timeout.  Keep the key in a file that only the server can read: whoever has it can end
 * connections.  Processes that use one port at the same time must not share it, because each would
 * end the connections of the others.  Each shard derives a key of its own.  So with shard_count
 * above 1 a former client is only told if its packets reach the shard with the former index; the
 * others wait for their timeouts. */

/* spin_ns trades CPU time for latency.  Putting a CPU to sleep and waking it takes microseconds, on
 * a virtual CPU tens of them: longer than a request takes.  A spinning thread sees a packet
 * immediately.
 *
 *   0              A waiting turn sleeps at once.
 *   SPATE_FOREVER  A waiting turn never sleeps.  Use it for a CPU that has no other work.
 *   between        Adaptive: the shard spins where that is cheaper than sleeping, for at most this
 *                  many nanoseconds.  The default is 500,000.
 *
 * An adaptive shard measures the cost of a sleep on this machine.  It does so in the first turn or
 * in spate_engine_start(), which take about a millisecond longer.  It also records the lengths of
 * its waits.  It spins for short waits and sleeps for long ones: busy connections get the latency
 * of SPATE_FOREVER, and an idle shard uses no CPU.  A sleep counts as six times its cost, because a
 * peer may be waiting for the answer.  So a shard whose waits are some tens of microseconds long
 * may use a whole CPU.  Choose a smaller spin_ns where CPU time matters more than latency.  A shard
 * whose CPU is wanted by other threads (pinned to it, or in a container with less than one CPU)
 * detects that and sleeps.
 *
 * The setting applies to spate_shard_turn() and to engine threads.  With io_uring a spinning turn
 * makes no system call to look for packets; with mmsg it makes one per look.  A spinning turn ends
 * like a sleeping one: on completions, when its time is up, by spate_shard_wake() and by
 * spate_shard_post(). */

/* zero_copy sends large trains with SENDMSG_ZC from slots that are registered with the ring.  That
 * saves one copy per byte where the network card can gather and compute checksums.  It costs a
 * second completion per train, and a slot stays busy until the card has read it: configure more
 * transmit_slots.  Where the kernel reports that it copies anyway, as on loopback, the socket
 * returns to ordinary sends after some trains.  It also does so on a kernel without SENDMSG_ZC.
 * The slots count against RLIMIT_MEMLOCK; where that limit is too small, the kernel pins the memory
 * of each train instead. */

/* Fills in the first `size` bytes of the defaults that spate_config_init() describes.  For
 * languages other than C and C++, whose programs call spate_config_init().
 *
 *   config  At least `size` bytes, in any state.
 *   size    Bytes that the program knows: its sizeof(struct spate_config).
 *
 * Threads: any. */
SPATE_API void spate_config_init_sized(struct spate_config *config, size_t size);

/* Fills in the defaults.  It is inline, so that the size is the one that the program was compiled
 * with.
 *
 *   config  In any state; every field is overwritten.
 *
 * Threads: any. */
static inline void spate_config_init(struct spate_config *config)
{
    spate_config_init_sized(config, sizeof(*config));
}

/* Creates an engine with its shards: rings, slots and pools.  Starts no thread and opens no UDP
 * socket.  With SPATE_BACKEND_AUTO, call spate_engine_warning() afterwards to detect a fallback.
 *
 *   config  From spate_config_init(); copied, `cpus` too.
 *   *ret    Owned by the caller until spate_engine_destroy().  Untouched on failure.
 *   error   Filled in on most failures; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL   A value is out of range, or spate_config_init() was not called: `error` names the
 *             field.  Or the kernel's io_uring is too old.
 *   -E2BIG    A field is set that this library is too old to know.
 *   -ENOSYS   SPATE_BACKEND_IO_URING was requested, and the kernel or a filter has no io_uring.
 *   -EPERM    SPATE_BACKEND_IO_URING was requested, and a sysctl or a filter forbids it.
 *   -EACCES   SPATE_BACKEND_IO_URING was requested, and a security policy forbids it.
 *   -ENOTSUP  SPATE_CRYPTO_FUSED was requested, and this CPU or this build does not support it.
 *   -EMFILE   The process has no file descriptor left for a ring.
 *   -ENFILE   The system has no file descriptor left for a ring.
 *   -ENOMEM   There is not enough memory for shards, slots or rings.
 * Other negative errnos of the kernel are passed on; `error` names the step that failed.
 *
 * Threads: any. */
SPATE_API int spate_engine_create(const struct spate_config *config, struct spate_engine **ret,
                                  struct spate_error *error);

/* Destroys an engine: stops its threads if it has any, drops its connections without notifying
 * their peers, and frees all memory.  Bytes that were lent by spate_stream_send() or
 * spate_stream_receive_into() belong to the caller again.  Slices that are still held become
 * invalid.  Posts that have not run are discarded.
 *
 *   engine  NULL is accepted.
 *
 * If your thread runs the turns, call this on that thread; from another one the kernel may release
 * the ports shortly after the call returns.
 *
 * Threads: any but the engine's own; see above. */
SPATE_API void spate_engine_destroy(struct spate_engine *engine);

/* Returns the backend in use: SPATE_BACKEND_IO_URING or SPATE_BACKEND_MMSG, never
 * SPATE_BACKEND_AUTO.  Threads: any. */
SPATE_API enum spate_backend spate_engine_backend(const struct spate_engine *engine);

/* Returns one line of text if SPATE_BACKEND_AUTO could not use io_uring: the reason, and the
 * backend in use instead.  Otherwise returns NULL.  The text is valid until
 * spate_engine_destroy().  Threads: any. */
SPATE_API const char *spate_engine_warning(const struct spate_engine *engine);

/* Returns the backend that SPATE_BACKEND_AUTO would choose here for an engine of one shard with the
 * default configuration.  Creates that shard's ring and slots to find out, and frees them.
 *
 *   reason  Filled in with the reason if io_uring cannot be used, for example the limit of the
 *           process that is too small (RLIMIT_MEMLOCK, RLIMIT_NOFILE); otherwise untouched.  May be
 *           NULL.
 *
 * Threads: any. */
SPATE_API enum spate_backend spate_backend_probe(struct spate_error *reason);

/* Returns "auto", "io_uring" or "mmsg", and "unknown" for any other value.  The string is static.
 * Threads: any. */
SPATE_API const char *spate_backend_name(enum spate_backend backend);

/* Returns the AES-GCM code that the engine uses: "fused-avx2", "fused-avx512" or "openssl".
 * Connections that negotiate ChaCha20-Poly1305 use OpenSSL in any case.  The string is static.
 * Threads: any. */
SPATE_API const char *spate_engine_crypto(const struct spate_engine *engine);

/* Returns the AES-GCM code that SPATE_CRYPTO_AUTO would choose here: "fused-avx2", "fused-avx512"
 * or "openssl".  The string is static.
 *
 *   reason  Filled in with the reason if the result is "openssl", otherwise untouched; may be NULL.
 *
 * Threads: any. */
SPATE_API const char *spate_crypto_probe(struct spate_error *reason);

/* Returns the number of shards: shard_count of the configuration.  Threads: any. */
SPATE_API uint32_t spate_engine_shard_count(const struct spate_engine *engine);

/* Returns a shard of the engine.  It is valid until spate_engine_destroy().
 *
 *   index  0 to shard_count - 1.  Returns NULL for a larger one.
 *
 * Threads: any. */
SPATE_API struct spate_shard *spate_engine_shard(struct spate_engine *engine, uint32_t index);

/* ---- Mode 2: the engine's threads ---- */

/* The functions that an engine thread calls.  Initialise it with spate_handlers_init(), or with
 * `.size` in an initialiser. */
struct spate_handlers {
    size_t size; /* sizeof(struct spate_handlers) */
    /* Called on the shard's thread before its first turn: listen and connect here.  Returns 0;
     * any other value makes spate_engine_start() fail with that value.  May be NULL. */
    int (*on_start)(struct spate_shard *shard, void *user);
    /* Called on the shard's thread with 1 to 256 events.  Required. */
    void (*on_events)(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user);
    /* Called on the shard's thread after its last turn.  May be NULL. */
    void (*on_stop)(struct spate_shard *shard, void *user);
    void *user; /* passed to these functions; the library does not use it */
    /* Called on the shard's thread when its ring has failed, before on_stop: no further turn runs,
     * and the shard's connections are dropped.  `error` is the negative errno that
     * spate_shard_turn() would return.  May be NULL. */
    void (*on_error)(struct spate_shard *shard, int error, void *user);
};

/* Sets `size`, and every other field to zero.
 *
 *   handlers  In any state.
 *
 * Threads: any. */
static inline void spate_handlers_init(struct spate_handlers *handlers)
{
    memset(handlers, 0, sizeof(*handlers));
    handlers->size = sizeof(*handlers);
}

/* Starts one thread per shard, and returns when on_start has returned on all of them.  An engine
 * can be started once.
 *
 *   handlers  Copied.
 *   error     Filled in on failure; may be NULL.
 *
 * Returns 0, or a non-zero value of on_start, or:
 *   -EBUSY   The engine was started before.  Or spate_shard_turn() has bound a shard to a thread.
 *   -EINVAL  on_events is NULL, or spate_handlers_init() was not called.  Or a CPU of `cpus` does
 *            not exist or is not available to this process.
 *   -E2BIG   A field of `handlers` is set that this library is too old to know.
 *   -EAGAIN  The system refused to create a thread.
 * Negative errnos of the ring are passed on.  After a failure caused by `handlers` the function may
 * be called again.  After any other failure the threads have been stopped, and the engine can only
 * be destroyed.
 *
 * Threads: any but the engine's own; one at a time. */
SPATE_API int spate_engine_start(struct spate_engine *engine, const struct spate_handlers *handlers,
                                 struct spate_error *error);

/* Ends the engine's threads in order.  New connections are refused at once with CONNECTION_REFUSED,
 * and so are those whose handshake with us as a server is not complete.  Other connections may
 * finish.  After `timeout_ns` the rest is closed with `error` [RFC9000 10.2].  When all connections
 * have drained, spate_engine_stop() is called.  The handlers run as before until then.
 *
 *   timeout_ns  Nanoseconds that connections may take to finish.  0: close them at once.
 *               SPATE_FOREVER: never close them.
 *   error       An application error code below 2^62.
 *   reason      Text for a person.  Copied, at most 128 bytes of it; may be NULL.
 *
 * Returns when that is done.  Draining a connection takes three probe timeouts: some milliseconds
 * in a data centre, some seconds where the round trip is not known yet.
 *
 * Returns 0, or:
 *   -EINVAL  `error` is 2^62 or more.  Or no engine threads run: use spate_shard_shutdown().
 * If the ring of a shard fails meanwhile, its negative errno is returned after the other shards
 * have ended.
 *
 * Threads: any but the engine's own; one at a time. */
SPATE_API int spate_engine_shutdown(struct spate_engine *engine, uint64_t timeout_ns,
                                    uint64_t error, const char *reason);

/* Stops the engine's threads: drops the connections without notifying their peers, closes the
 * sockets, and joins the threads.  Further calls have no effect.  spate_engine_shutdown() lets
 * connections finish and notifies their peers.
 *
 * Threads: any but the engine's own; one at a time. */
SPATE_API void spate_engine_stop(struct spate_engine *engine);

/* Queues a call of `function` on the shard's thread.  It runs in one of the next turns; functions
 * run in the order in which they were posted.  It also ends the wait of the turn, as
 * spate_shard_wake() does.  Does not block.
 *
 * When an engine thread ends, because of spate_engine_stop() or because its ring has failed, the
 * posts that wait run before on_stop.  When the ring of a shard of your own thread fails, they run
 * in the turn that fails.  Posts that wait in spate_engine_destroy() of an engine without threads
 * are discarded.
 *
 *   argument  Passed to `function`; the library does not use it.  On failure `function` is not
 *             called, so `argument` stays the caller's.
 *
 * Returns 0, or:
 *   -EAGAIN     1,024 posts are waiting already.
 *   -ESHUTDOWN  The shard has ended: the engine was stopped, or the shard's ring has failed.
 *
 * Threads: any. */
SPATE_API int spate_shard_post(struct spate_shard *shard,
                               void (*function)(struct spate_shard *shard, void *argument),
                               void *argument);

/* ---- Mode 1: your own thread ---- */

/* Runs one turn: sends pending data, waits for packets or timers, and processes what has arrived.
 * Does not wait when events are pending already.
 *
 *   wait_ns  The longest wait in nanoseconds.  0: do not wait.  SPATE_FOREVER: no limit.
 *
 * A signal whose handler runs while the turn sleeps ends the turn.  A turn that spins does not see
 * signals, but ends soon:
 *
 *   - within 10 ms if spin_ns is SPATE_FOREVER;
 *   - before it goes to sleep if spinning is adaptive and `wait_ns` is SPATE_FOREVER;
 *   - after `wait_ns` if that is finite.
 *
 * So a handler may set a flag that the program reads between two turns.  A signal that arrives
 * after the program has read the flag and before the turn waits ends nothing.  To cover that case
 * the handler must also call spate_shard_wake().
 *
 * Returns the number of events that can be taken with spate_shard_events().  It may be 0 before
 * `wait_ns` is over, for example after a signal.  Or returns a negative errno of the ring: the
 * shard cannot be used any more, and every later call returns the same errno.
 *
 * The first call binds the shard to the calling thread.  Two errors leave the shard as it is:
 *
 *   -EPERM  Another thread runs the shard: the one that ran the first turn, or an engine thread.
 *   -EBUSY  A turn is in progress: the caller is a function that was posted.
 *
 * Threads: shard. */
SPATE_API int spate_shard_turn(struct spate_shard *shard, uint64_t wait_ns);

/* Moves events to `ret`, the oldest first, and returns their number.  Each event documents how long
 * its memory stays valid.  Returns 0 where spate_shard_turn() returns -EPERM.
 *
 *   *ret       Room for `count_max` events.
 *   count_max  The most events to move.
 *
 * Threads: shard. */
SPATE_API uint32_t spate_shard_events(struct spate_shard *shard, struct spate_event *ret,
                                      uint32_t count_max);

/* Begins to end a shard in order.  From now on new connections are refused with CONNECTION_REFUSED,
 * and so are those whose handshake with us as a server is not complete.  spate_shard_listen() and
 * spate_shard_connect() return -ESHUTDOWN.  Other connections may finish.  After `timeout_ns` the
 * rest is closed with `error` [RFC9000 10.2].  SPATE_EVENT_SHUTDOWN follows when all connections
 * have drained and each SPATE_EVENT_CLOSED was taken.  Continue to run turns until then, and
 * destroy the engine afterwards.
 *
 *   timeout_ns  Nanoseconds from now that connections may take to finish.  0: close them in the
 * next turn.  SPATE_FOREVER: never close them. error       An application error code below 2^62.
 *   reason      Text for a person.  Copied, at most 128 bytes of it; may be NULL.
 *
 * A later call replaces the three arguments for connections that are still open.  After
 * SPATE_EVENT_SHUTDOWN a call causes one more of them.
 *
 * Returns 0, or:
 *   -EINVAL  `error` is 2^62 or more.
 *
 * Threads: shard. */
SPATE_API int spate_shard_shutdown(struct spate_shard *shard, uint64_t timeout_ns, uint64_t error,
                                   const char *reason);

/* Ends the wait of the turn in progress.  If no turn is in progress, the next turn does not wait.
 * Does not change errno and is async-signal-safe.
 *
 * Threads: any, and signal handlers. */
SPATE_API void spate_shard_wake(struct spate_shard *shard);

/* Returns the shard's clock in nanoseconds (CLOCK_MONOTONIC): the time at which the last turn began
 * to process what it received, or the last spate_shard_connect() was called.  Threads: shard. */
SPATE_API uint64_t spate_shard_now_ns(const struct spate_shard *shard);

/* ---- Servers and clients ---- */

/* Listens on a UDP address and accepts connections.  SPATE_EVENT_CONNECTED reports each connection
 * whose handshake is complete.
 *
 * If another socket uses the address, tries again for up to a second, and blocks the thread that
 * long: with io_uring the kernel releases the port of a process that was killed some tens of
 * milliseconds after its end, and later on a busy machine.
 *
 *   address       IPv4 or IPv6.  Port 0 selects a free port.  "::" accepts IPv4 too.
 *   address_size  Bytes in `address`.
 *   tls           From spate_tls_server_create().  The listener keeps a reference: the caller may
 *                 destroy its own.
 *   user          conn_user of a connection's events until spate_conn_set_user().
 *   *ret          Owned by the engine; valid until spate_listener_close() or
 *                 spate_engine_destroy().  Untouched on failure.
 *   error         Names the address or the argument on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL         `address` is neither IPv4 nor IPv6, or `tls` is NULL or a client's.
 *   -EADDRINUSE     Another socket still used the address after a second.
 *   -EACCES         The process may not bind to this port.
 *   -EADDRNOTAVAIL  The host does not have this address.
 *   -EAFNOSUPPORT   The system does not support this address family.
 *   -EMFILE         The shard has no free socket (61 per shard), or the process has no file
 *                   descriptor left.
 *   -ENOMEM         The kernel has no memory for a socket.
 *   -ESHUTDOWN      The shard is shutting down.
 * Other negative errnos of the kernel are passed on; `error` names the step that failed.
 *
 * Threads: shard. */
SPATE_API int spate_shard_listen(struct spate_shard *shard, const struct sockaddr *address,
                                 socklen_t address_size, struct spate_tls *tls, void *user,
                                 struct spate_listener **ret, struct spate_error *error);

/* Writes the address that the listener is bound to, with the port that the system chose.
 *
 *   *ret       All bytes are written; those after the address are zero.
 *   *ret_size  Set to the size of the address in bytes.  The value before the call is ignored.
 *
 * Returns 0, or:
 *   -EINVAL  The address is neither IPv4 nor IPv6; both outputs are untouched.
 *
 * Threads: shard. */
SPATE_API int spate_listener_address(const struct spate_listener *listener,
                                     struct sockaddr_storage *ret, socklen_t *ret_size);

/* Stops accepting connections.  The first packets of new ones are answered with CONNECTION_REFUSED,
 * so that clients do not wait for their timeout.  Existing connections continue.  The port is
 * released after the last of them has ended and its late packets need no answer any more, which
 * takes at most 9 s.
 *
 *   listener  Must not be used after this call.
 *
 * Threads: shard. */
SPATE_API void spate_listener_close(struct spate_listener *listener);

/* Starts to connect to a server.  SPATE_EVENT_CONNECTED reports success, SPATE_EVENT_CLOSED reports
 * failure.
 *
 * All connections of a shard to one address share a socket that is connected to that address.  So
 * an ICMP "port unreachable" ends their handshakes at once, with SPATE_CLOSE_UNREACHABLE.  Such
 * reports are ignored after the handshake, because anyone can forge them.  With more than about 60
 * different addresses at a time, further connections share one unconnected socket.  They do not
 * receive ICMP errors, and fail after handshake_timeout_ns instead.
 *
 *   address       The server's IPv4 or IPv6 address; its port is not 0.
 *   address_size  Bytes in `address`.
 *   server_name   A DNS name or an IP address as text, for SNI and for verifying the certificate.
 *                 Copied.  May be NULL if `tls` is insecure.
 *   tls           From spate_tls_client_create().  The connection keeps a reference: the caller may
 *                 destroy its own.
 *   user          conn_user of the connection's events until spate_conn_set_user().
 *   *ret          Owned by the engine; valid until the connection's SPATE_EVENT_CLOSED has been
 *                 taken.  Untouched on failure.
 *   error         Names the address or the argument on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL        `address` is neither IPv4 nor IPv6, or its port is 0.  Or `tls` is NULL or a
 *                  server's.  Or `server_name` is not a valid name, or is NULL although the
 *                  certificate is to be verified.
 *   -ENOBUFS       The shard is at conns_max or at memory_bytes_max.
 *   -ENETUNREACH   The host has no route to the address.
 *   -EAFNOSUPPORT  The system does not support this address family.
 *   -EMFILE        The process has no file descriptor left.
 *   -ENOMEM        The kernel has no memory for a socket.
 *   -ESHUTDOWN     The shard is shutting down.
 * Other negative errnos of the kernel are passed on; `error` names the step that failed.
 *
 * Threads: shard. */
SPATE_API int spate_shard_connect(struct spate_shard *shard, const struct sockaddr *address,
                                  socklen_t address_size, const char *server_name,
                                  struct spate_tls *tls, void *user, struct spate_conn **ret,
                                  struct spate_error *error);

#ifdef __cplusplus
}
#endif

#endif

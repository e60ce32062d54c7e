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

/* An engine is a set of shards.  A shard owns one io_uring ring (or its stand-in), its sockets and
 * its connections, and is run by one thread at a time.  There are two ways:
 *
 *   Your own thread    spate_shard_turn() and spate_shard_events() in your loop;
 *                      nothing runs behind your back.
 *   The engine's       spate_engine_start(): one pinned thread a shard hands batches
 *                      of events to your handler.
 */
struct spate_engine;
struct spate_shard;
struct spate_listener;

/* How shards talk to the kernel. */
enum spate_backend {
    SPATE_BACKEND_AUTO, /* io_uring, or mmsg where it is refused */
    SPATE_BACKEND_IO_URING,
    SPATE_BACKEND_MMSG, /* epoll, recvmmsg, sendmmsg */
};

/* What seals and opens packets with AES-GCM; ChaCha20-Poly1305 and TLS are always OpenSSL's.  On
 * the wire there is no difference. */
enum spate_crypto {
    SPATE_CRYPTO_AUTO, /* fused, where the CPU has what it takes */
    SPATE_CRYPTO_OPENSSL,
    SPATE_CRYPTO_FUSED, /* ours, made for packets: x86-64 with VAES and AVX2 or AVX-512 */
};

/* Everything that is bounded, and what happens at each bound.  Sizes are per shard. */
struct spate_config {
    size_t size; /* sizeof(struct spate_config): set by spate_config_init() */

    uint32_t shard_count; /* 1 to 64 */
    const int *cpus;      /* shard_count of them, for spate_engine_start(); NULL: not pinned */

    enum spate_backend backend;
    enum spate_crypto crypto;

    uint32_t conns_max;           /* beyond: a client's first packet is answered with
                                     CONNECTION_REFUSED, spate_shard_connect() says -ENOBUFS */
    uint32_t handshakes_max;      /* unfinished handshakes of strangers; beyond: their first
                                     packet is dropped, and they try again */
    uint64_t memory_bytes_max;    /* of connection state, without the slots below; beyond: like
                                     conns_max for new connections; existing ones close with
                                     INTERNAL_ERROR */
    uint32_t receive_slots;       /* at most, 64 KiB each; as many as the L2 cache holds circulate,
                                     more as they are needed; when they run low, small datagrams are
                                     copied out, when none is left packets wait in the socket's
                                     buffer */
    uint32_t transmit_slots;      /* 64 KiB each; when none is free, sending waits */
    uint32_t socket_buffer_bytes; /* asked of the kernel, each way */

    uint64_t idle_timeout_ns; /* 0: none */
    uint64_t handshake_timeout_ns;
    uint64_t ack_delay_ns_max;
    uint32_t datagram_size_max;   /* UDP payload bytes that we send, 1200 to 65507; the path must
                                     take it: there is no discovery in this version */
    uint64_t stream_window_bytes; /* flow control credit given to the peer at the start .. */
    uint64_t stream_window_bytes_max; /* .. and what it may grow to; beyond: the peer waits */
    uint64_t conn_window_bytes;
    uint64_t conn_window_bytes_max;
    uint32_t streams_bidi_max; /* that a peer may have open a connection; beyond: it waits */
    uint32_t streams_uni_max;
    uint32_t streams_local_max; /* that we may have open a connection; beyond: -EAGAIN */
    uint64_t spin_ns;           /* the most that a waiting turn spins before it sleeps: see below */
    bool pacing;
    bool ecn;
    bool zero_copy; /* let the network card read the transmit slots: see below */
    bool gso; /* many datagrams a send (UDP_SEGMENT); without, a capture shows each by itself */
    uint8_t reserved[4]; /* no padding at the end; ignored */
};

/* spin_ns, for latency.  To put a CPU to sleep and to wake it up takes microseconds, and on a
 * virtual CPU tens of them: more than a request takes.  A thread that spins sees a packet at once.
 *
 *   0              A turn that waits sleeps at once.
 *   SPATE_FOREVER  It never sleeps: for a CPU that has nothing else to do.
 *   between        It is adaptive: it spins where that is cheaper than to sleep, for at most so
 *                  many nanoseconds.  The default is 500,000.
 *
 * An adaptive shard measures what a sleep costs on this machine (for the first time in the first
 * turn or in spate_engine_start(), which take about a millisecond longer for it) and remembers how
 * long its waits have been.  It spins for short waits and sleeps for long ones: busy connections
 * get the latency of SPATE_FOREVER, and an idle shard takes no CPU.  As a peer may wait for the
 * answer, a sleep counts as six times what it costs: a shard whose waits are some tens of
 * microseconds long may take a whole CPU.  Where CPU matters more than latency, choose a smaller
 * spin_ns.  Where other threads want its CPU, because they
 * are pinned to it or because the container has less than a CPU, it notices that and sleeps.
 *
 * The setting holds for spate_shard_turn() and for the engine's threads.  A spinning turn makes no
 * system call for each look with io_uring; with mmsg each look is one.  It ends as a sleeping turn
 * ends: with completions, at its time, by spate_shard_wake() and by spate_shard_post(). */

/* zero_copy: large trains are sent with SENDMSG_ZC out of slots that are registered with the ring.
 * Saves a copy of each byte where the card can gather and compute checksums, and costs a second
 * completion a train and slots that are busy until the card has read them: give it more of
 * them.  A kernel that copies all the same, as on loopback, says so, and after some trains
 * the socket sends as usual; a kernel that does not know it, likewise.  The slots count against
 * RLIMIT_MEMLOCK; where that is too small, memory is pinned for each train instead. */

/* Fills in the first `size` bytes of what spate_config_init() fills in.  Programs in C and C++ call
 * that one; this is for other languages.  Threads: any. */
SPATE_API void spate_config_init_sized(struct spate_config *config, size_t size);

/* Fills in values that work: 1 shard, 10,000 connections, 1,000 handshakes, 1 GiB, windows
 * of 1 MiB that grow to 16 MiB, 30 s idle, 10 s handshake, adaptive spinning.  It is compiled
 * into the program, so that the size is the one that the program knows.  Threads: any. */
static inline void spate_config_init(struct spate_config *config)
{
    spate_config_init_sized(config, sizeof(*config));
}

/* Makes the engine and its shards: rings, slots, pools.  No thread, no socket yet.  With
 * SPATE_BACKEND_AUTO ask spate_engine_warning() behind it.
 *
 *   config  Copied.
 *   *ret    The caller's until spate_engine_destroy(); untouched on failure.
 *
 * Returns 0, or:
 *   -EINVAL  A value is out of range, or `config` was not initialised; `error` says which.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOSYS, -EPERM, -EACCES  io_uring was asked for, and is not there or not allowed; `error`
 *            says why.
 *   -ENOTSUP SPATE_CRYPTO_FUSED was asked for, and cannot run here; `error` says why.
 *   -ENOMEM
 *
 * Threads: any. */
SPATE_API int spate_engine_create(const struct spate_config *config, struct spate_engine **ret,
                                  struct spate_error *error);

/* Stops the threads if there are any, closes connections without a word to their peers, gives
 * all memory back.  Bytes that were lent for sending are the caller's again.  Slices that are
 * still held become invalid; posts that have not run are forgotten.  NULL is accepted.
 * Threads: not the engine's own.  In the first way the one that ran the turns: from another one
 * the kernel lets go of the ports a moment later only. */
SPATE_API void spate_engine_destroy(struct spate_engine *engine);

/* What the engine runs on: never SPATE_BACKEND_AUTO.  Threads: any. */
SPATE_API enum spate_backend spate_engine_backend(const struct spate_engine *engine);

/* One line for a person if SPATE_BACKEND_AUTO had to do without io_uring: why, and what it runs on
 * instead.  NULL if not.  Lives as long as the engine.  Threads: any. */
SPATE_API const char *spate_engine_warning(const struct spate_engine *engine);

/* What SPATE_BACKEND_AUTO would choose here, tried out; if that is not io_uring, `reason` (or NULL)
 * says why.  Threads: any. */
SPATE_API enum spate_backend spate_backend_probe(struct spate_error *reason);

/* Returns "auto", "io_uring" or "mmsg", or "unknown" for another value.  Threads: any. */
SPATE_API const char *spate_backend_name(enum spate_backend backend);

/* What the engine's packets are sealed with, if their cipher is AES-GCM: "fused-avx2",
 * "fused-avx512" or "openssl".  Threads: any. */
SPATE_API const char *spate_engine_crypto(const struct spate_engine *engine);

/* The same for SPATE_CRYPTO_AUTO here; if that is "openssl", `reason` (or NULL) says why.
 * Threads: any. */
SPATE_API const char *spate_crypto_probe(struct spate_error *reason);

/* Returns shard_count of the configuration.  Threads: any. */
SPATE_API uint32_t spate_engine_shard_count(const struct spate_engine *engine);
/* `index` from 0.  Threads: any. */
SPATE_API struct spate_shard *spate_engine_shard(struct spate_engine *engine, uint32_t index);

/* ---- The second way: the engine's threads ---- */

/* Initialise it with spate_handlers_init(), or with `.size` in an initialiser. */
struct spate_handlers {
    size_t size; /* sizeof(struct spate_handlers) */
    /* On the shard's thread before its first turn: listen and connect here.  Non-zero
     * makes spate_engine_start() fail with it.  May be NULL. */
    int (*on_start)(struct spate_shard *shard, void *user);
    /* On the shard's thread, with 1 to 256 events.  Required. */
    void (*on_events)(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user);
    /* On the shard's thread behind its last turn.  May be NULL. */
    void (*on_stop)(struct spate_shard *shard, void *user);
    void *user;
};

/* Sets the size, and everything else to zero.  Threads: any. */
static inline void spate_handlers_init(struct spate_handlers *handlers)
{
    memset(handlers, 0, sizeof(*handlers));
    handlers->size = sizeof(*handlers);
}

/* Starts one thread a shard and returns when all have run on_start.  Once in an engine's life.
 * Returns 0, what on_start returned, or -EBUSY (it was started before), -EAGAIN (no thread to
 * be had), -EINVAL (a CPU that cannot be used, on_events is NULL, or `handlers` was not
 * initialised), -E2BIG (a field is set that this library is too old to know).  After -EINVAL or
 * -E2BIG for `handlers` it may be called again.  Threads: one that is not the engine's. */
SPATE_API int spate_engine_start(struct spate_engine *engine, const struct spate_handlers *handlers,
                                 struct spate_error *error);

/* Ends the connections without a word to their peers, closes the sockets, joins the threads.
 * Repeats are harmless.  Threads: as for start. */
SPATE_API void spate_engine_stop(struct spate_engine *engine);

/* Runs `function` on the shard's thread, in one of its next turns, in the order of posting; and
 * ends the wait of the turn, as spate_shard_wake() does.
 * Returns 0, or -EAGAIN if too many wait (1,024).  Threads: any; does not block. */
SPATE_API int spate_shard_post(struct spate_shard *shard,
                               void (*function)(struct spate_shard *shard, void *argument),
                               void *argument);

/* ---- The first way: your own thread ---- */

/* One turn: sends what there is to send, waits for packets or timers for at most
 * `wait_ns` (0: not at all; SPATE_FOREVER), and takes in what has arrived.  Does not wait
 * when events are pending already.
 *
 * A signal whose handler runs while the turn sleeps ends the turn.  While the turn spins nothing
 * tells it of a signal, but it ends soon: within 10 ms if it never sleeps (spin_ns); before it goes
 * to sleep if it is adaptive and `wait_ns` is SPATE_FOREVER; at its time if `wait_ns` is finite.
 * So a handler may set a flag that the program looks at between two turns.  A signal that comes
 * after that look and before the turn waits ends nothing: for that the handler must also call
 * spate_shard_wake().
 *
 * Returns the number of events that wait (0 after a signal, and possibly before `wait_ns` is
 * over), or a negative errno of the ring, after which the shard is dead.  The first call binds the
 * shard to the calling thread.  Threads: shard. */
SPATE_API int spate_shard_turn(struct spate_shard *shard, uint64_t wait_ns);

/* Moves up to `count_max` events to `ret`, in order, and returns how many.  What they
 * lend stays valid as they say.  Threads: shard. */
SPATE_API uint32_t spate_shard_events(struct spate_shard *shard, struct spate_event *ret,
                                      uint32_t count_max);

/* Ends the wait of the turn in progress, or else that of the next turn, even if that one would not
 * have waited.  It is async-signal-safe and leaves errno alone.
 * Threads: any, and signal handlers. */
SPATE_API void spate_shard_wake(struct spate_shard *shard);

/* The shard's clock: what `now` was at the start of the turn's receive.  Threads: shard. */
SPATE_API uint64_t spate_shard_now_ns(const struct spate_shard *shard);

/* ---- Servers and clients ---- */

/* Accepts connections at a UDP address.
 *
 *   address  IPv4 or IPv6, port 0 for any.  "::" takes IPv4 too.
 *   tls      A server's; referenced until the listener is gone.
 *   user     conn_user of connections until they set their own.
 *
 * Returns 0, or -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -EAFNOSUPPORT, -EINVAL, -ENOMEM, -EMFILE;
 * `error` names the address.  Threads: shard. */
SPATE_API int spate_shard_listen(struct spate_shard *shard, const struct sockaddr *address,
                                 socklen_t address_size, struct spate_tls *tls, void *user,
                                 struct spate_listener **ret, struct spate_error *error);

/* Writes the address that the listener is bound to, with the real port.
 *
 *   *ret       Written in full; zeroes after the address.
 *   *ret_size  Output only: the size of the address in it.  Its value before does not matter.
 *
 * Returns 0, or -EINVAL (the address is neither IPv4 nor IPv6; both outputs are untouched).
 * Threads: shard. */
SPATE_API int spate_listener_address(const struct spate_listener *listener,
                                     struct sockaddr_storage *ret, socklen_t *ret_size);

/* Takes no new connections from now on: their first packets are dropped.  The existing ones live
 * on, and the port is given up behind the last one.  The listener is not to be used any
 * more.  Threads: shard. */
SPATE_API void spate_listener_close(struct spate_listener *listener);

/* Begins a connection; SPATE_EVENT_CONNECTED or SPATE_EVENT_CLOSED will tell.
 *
 * All connections of a shard to one address leave from one socket that is connected to it, so
 * that an ICMP "port unreachable" ends their handshakes at once, with SPATE_CLOSE_UNREACHABLE.
 * Behind the handshake such reports are ignored: anyone could forge them.  With more than
 * some dozens of different addresses at a time the later ones share one unconnected
 * socket, and learn that nobody is there by handshake_timeout_ns.
 *
 *   address      Where to.
 *   server_name  For SNI and for verifying the certificate: a DNS name or an IP address in text.
 *   tls          A client's; referenced.
 *   *ret         Valid until its SPATE_EVENT_CLOSED has been taken.
 *
 * Returns 0, or -ENOBUFS (a limit), -EINVAL, -ENETUNREACH, -EAFNOSUPPORT, -ENOMEM, -EMFILE.
 * Threads: shard. */
SPATE_API int spate_shard_connect(struct spate_shard *shard, const struct sockaddr *address,
                                  socklen_t address_size, const char *server_name,
                                  struct spate_tls *tls, void *user, struct spate_conn **ret,
                                  struct spate_error *error);

#ifdef __cplusplus
}
#endif

#endif

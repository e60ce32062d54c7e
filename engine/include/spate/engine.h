/* SPDX-License-Identifier: MIT */
#ifndef SPATE_ENGINE_H
#define SPATE_ENGINE_H

#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <spate/base.h>
#include <spate/config.h>
#include <spate/event.h>
#include <spate/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An engine is a set of shards.  A shard owns one io_uring ring (or the mmsg backend in its place),
 * its sockets and its connections.  One thread runs a shard.  There are two modes:
 *
 *   Your own thread    Your loop calls spate_shard_turn() and spate_shard_events().  The library
 *                      starts no thread.  The turn waits, or your loop polls spate_shard_fd().
 *   Engine threads     spate_engine_start() starts one thread per shard, named "spate/0" and so
 *                      on, and pinned to a CPU as `pinning` says.  Each thread passes batches of
 *                      events to your handler.
 */
struct spate_engine;
struct spate_shard;
struct spate_listener;

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
 * the ports shortly after the call returns.  With a lent ring (spate/ring.h) the process is aborted
 * if another thread calls this.
 *
 * Threads: any but the engine's own; see above. */
SPATE_API void spate_engine_destroy(struct spate_engine *engine);

/* Returns the backend in use: that of the configuration, and SPATE_BACKEND_IO_URING or
 * SPATE_BACKEND_MMSG instead of SPATE_BACKEND_AUTO.  Threads: any. */
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

/* Returns "auto", "io_uring", "mmsg" or "host", and "unknown" for any other value.  The string is
 * static.  Threads: any. */
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

/* Returns the number of shards: shard_count of the configuration, or what SPATE_SHARDS_AUTO has
 * chosen.  Threads: any. */
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
 *   -EINVAL  on_events is NULL, or spate_handlers_init() was not called.  Or the backend is
 *            SPATE_BACKEND_HOST, or the ring is lent.  Or a CPU of `cpus` does
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
 *   -EBUSY  A turn is in progress: the caller is a function that was posted, or a handler of
 *           <spate/ring.h>.
 *
 * Threads: shard. */
SPATE_API int spate_shard_turn(struct spate_shard *shard, uint64_t wait_ns);

/* Returns a descriptor by which another event loop sees that the shard has something to do: epoll,
 * libuv, GLib or poll() waits until it is readable, together with the program's other descriptors.
 * The program's loop then is:
 *
 *     repeat:
 *       1  due_ns = spate_shard_deadline_ns(shard)
 *       2  poll the descriptor, and others, until `due_ns` at the latest
 *       3  spate_shard_turn(shard, 0), and spate_shard_events() for each batch of events
 *
 * A turn that does not wait never sleeps and never spins.  What functions of this library were
 * called for, in any part of the loop, happens in step 3.
 *
 * The first call binds the shard to the calling thread, as the first turn does.  The descriptor
 * belongs to the engine and is valid until spate_engine_destroy(): do not read from it, close it,
 * or poll it edge-triggered.
 *
 * Returns the descriptor, or:
 *   -EPERM   Another thread runs the shard.
 *   -EMFILE  The process has no file descriptor left.
 *   -ENFILE  The system has no file descriptor left.
 * Negative errnos of the ring are passed on, as spate_shard_turn() does.
 *
 * Threads: shard. */
SPATE_API int spate_shard_fd(struct spate_shard *shard);

/* Prepares the shard for a wait of the program's own loop, and returns until when it may last.
 * Hands over to the kernel what must not wait for the next turn.  From this call until the next
 * turn, posts and spate_shard_wake() make the descriptor readable.  Call it again before each poll:
 * after a turn, and after any other function of this library.
 *
 * Returns a time of CLOCK_MONOTONIC in nanoseconds: run a turn then, or earlier if the descriptor
 * is readable.  A turn that comes later sends later: a loop whose time-outs are whole milliseconds
 * delays paced trains and acknowledgments by up to one, so use epoll_pwait2() or a timerfd.
 * Returns 0 if a turn is due at once, also when that turn would fail.  Returns SPATE_FOREVER if the
 * shard waits for packets and calls alone.
 *
 * Threads: shard. */
SPATE_API uint64_t spate_shard_deadline_ns(struct spate_shard *shard);

/* Prepares the shard for a wait of the program's own loop, as spate_shard_deadline_ns() does, and
 * returns how long it may last, in the form that ppoll() and epoll_pwait2() take:
 *
 *     struct timespec wait;
 *     epoll_pwait2(epoll_fd, events, count, spate_shard_timeout(shard, &wait), NULL);
 *
 * Call it again before each poll.  It counts from CLOCK_MONOTONIC; after spate_shard_turn_at() from
 * the time of the last turn.
 *
 *   *ret  Set to the time until spate_shard_deadline_ns(); to 0 if a turn is due.
 *
 * Returns `ret`; or NULL, with `*ret` untouched, if the shard waits for packets and calls alone.
 *
 * Threads: shard. */
SPATE_API const struct timespec *spate_shard_timeout(struct spate_shard *shard,
                                                     struct timespec *ret);

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
 *               next turn.  SPATE_FOREVER: never close them.
 *   error       An application error code below 2^62.
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

/* Limits what the connections of the shard send together from now on, as shard_rate_bytes_per_s_max
 * of the configuration does.  They share it evenly.
 *
 *   bytes_per_s  Bytes of UDP payload per second: 1,000 to 125,000,000,000.  0: no limit.
 *
 * Returns 0, or:
 *   -EINVAL  `bytes_per_s` is out of range.
 *
 * Threads: shard. */
SPATE_API int spate_shard_set_rate_limit(struct spate_shard *shard, uint64_t bytes_per_s);

/* Limits what all connections of the engine send together from now on, as
 * engine_rate_bytes_per_s_max of the configuration does.
 *
 *   bytes_per_s  Bytes of UDP payload per second: 1,000 to 125,000,000,000.  0: no limit.
 *
 * Returns 0, or:
 *   -EINVAL  `bytes_per_s` is out of range.
 *
 * Threads: any. */
SPATE_API int spate_engine_set_rate_limit(struct spate_engine *engine, uint64_t bytes_per_s);

/* Changes the configuration of connection IDs that load balancers read, while connections go on
 * [draft-ietf-quic-load-balancers 3.1].  New connection IDs have the new one from each shard's next
 * turn on.  Connections that there are get new ones, and their clients are asked to retire the
 * others; those lead to their shards until they are retired.  When the gauge conns_with_old_cids of
 * all shards is 0, balancers may forget the old configuration.  A client that does not follow keeps
 * its connection.
 *
 * Give a configuration to the balancers first, then to the servers.
 *
 *   lb     The configuration; copied.  With SPATE_QUIC_LB_UNROUTABLE there is none from now on.
 *   error  One line that describes the failure; may be NULL.
 *
 * Returns 0, or with nothing changed:
 *   -EINVAL  A value is out of range, `lb` is NULL, or spate_quic_lb_init() was not called.  Or the
 *            engine was created without quic_lb, or with another size of server ID and nonce
 *            together.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -EEXIST  The engine has this config_id now, or has used the key before.  It remembers 64 keys.
 *   -ENOMEM  There is not enough memory.
 *   Another negative errno of getrandom().
 *
 * Threads: any. */
SPATE_API int spate_engine_set_quic_lb(struct spate_engine *engine, const struct spate_quic_lb *lb,
                                       struct spate_error *error);

/* Ends the wait of the turn in progress.  If no turn is in progress, the next turn does not wait.
 * Does not change errno and is async-signal-safe.
 *
 * Threads: any, and signal handlers. */
SPATE_API void spate_shard_wake(struct spate_shard *shard);

/* Returns the shard's clock in nanoseconds (CLOCK_MONOTONIC): the time at which the last turn began
 * to process what it received, or the last spate_shard_connect() was called.  Threads: shard. */
SPATE_API uint64_t spate_shard_now_ns(const struct spate_shard *shard);

/* Returns for how many nanoseconds the shard has not looked at its network: since its last wait
 * ended, because it works, or because the application's code that runs on its thread does.  Returns
 * 0 while the shard waits, before its first turn, after its end, and with SPATE_BACKEND_HOST.
 * Another thread finds a shard by it whose application blocks; the other shards go on meanwhile.
 *
 * The gauge turn_longest_ns of spate_shard_stats() is the highest value so far.  It leaves out what
 * a turn sends at its end, which is about 1 MiB at most.  A program that polls spate_shard_fd()
 * waits from spate_shard_deadline_ns() to the next turn; one that calls spate_shard_turn() with 0
 * and waits elsewhere appears busy.
 *
 * Threads: any. */
SPATE_API uint64_t spate_shard_busy_ns(const struct spate_shard *shard);

/* ---- Servers and clients ---- */

/* Listens on a UDP address and accepts connections.  SPATE_EVENT_CONNECTED reports each connection
 * whose handshake is complete.
 *
 * If another socket uses the address, tries again for up to a second, and blocks the thread that
 * long: with io_uring the kernel releases the port of a process that was killed some tens of
 * milliseconds after its end, and later on a busy machine.
 *
 * The shards of an engine can listen at one address: spate_engine_listen() does that in one call.
 * The kernel distributes new connections among them by the connection IDs that clients choose, and
 * gives each shard the packets of its own connections, also after a client's address has changed:
 * our connection IDs name the shard, in clear.  Other engines and other processes cannot join, but
 * one that takes over can: <spate/hand_over.h>.
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

/* Asks the clients of a listener to move to another address of this host, once their handshake is
 * confirmed: from one that many servers share to this one's own, for example.  [RFC9000 9.6]  It
 * may be called once for IPv4 and once for IPv6; a client chooses, and may stay where it is.  Only
 * connections that begin after the call are asked.  Nobody can begin a connection there.
 *
 * SPATE_EVENT_PATH with SPATE_PATH_PEER_MOVED reports each client that has moved.  The socket stays
 * open as long as the listener, and as it has connections.
 *
 * With several shards, each needs a port of its own: port 0 selects one.
 *
 *   listener      From spate_shard_listen().
 *   address       IPv4 or IPv6, not "0.0.0.0" or "::".  Port 0 selects a free port.
 *   address_size  Bytes in `address`.
 *   error         Names the address or the argument on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL         `address` is neither IPv4 nor IPv6, or is "0.0.0.0" or "::".
 *   -EALREADY       The listener has a preferred address of this family.
 *   -EADDRINUSE     Another socket still used the address after a second.
 *   -EACCES         The process may not bind to this port.
 *   -EADDRNOTAVAIL  The host does not have this address.
 *   -EAFNOSUPPORT   The system does not support this address family.
 *   -EMFILE         The shard or the process has no socket left.
 *   -ENOMEM         The kernel has no memory for a socket.
 *   -ESHUTDOWN      The shard is shutting down.
 * Other negative errnos of the kernel are passed on; `error` names the step that failed.
 *
 * Threads: shard. */
SPATE_API int spate_listener_prefer(struct spate_listener *listener, const struct sockaddr *address,
                                    socklen_t address_size, struct spate_error *error);

/* Writes the address to which the listener asks its clients to move, with the port that the system
 * chose.
 *
 *   family     AF_INET or AF_INET6.
 *   *ret       All bytes are written; those after the address are zero.
 *   *ret_size  Set to the size of the address in bytes.  The value before the call is ignored.
 *
 * Returns 0, or:
 *   -EINVAL  spate_listener_prefer() was not called for this family; both outputs are untouched.
 *
 * Threads: shard. */
SPATE_API int spate_listener_preferred_address(const struct spate_listener *listener, int family,
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

/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SHARDS_H
#define SPATE_SHARDS_H

#include <sys/socket.h>

#include <spate/base.h>
#include <spate/engine.h>
#include <spate/settings.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One server of many shards.
 *
 *     struct spate_config config;
 *     spate_config_init(&config);
 *     config.shard_count = SPATE_SHARDS_AUTO;
 *     spate_engine_create(&config, &engine, &error);
 *     spate_engine_listen(engine, &options, &listener, &error);
 *     spate_engine_start(engine, &handlers, &error);
 *
 * The kernel distributes new connections among the shards by the connection IDs that clients choose
 * (where it refuses a program: by a hash of the addresses).  It gives each shard the packets of its
 * own connections, also after a client's address has changed: our connection IDs name the shard, in
 * clear, or masked with `quic_lb`.  A packet that reaches another shard all the same is passed on.
 * A connection stays with its shard. */
struct spate_engine_listener;

/* Returns the number of shards that SPATE_SHARDS_AUTO means for the calling thread: its CPUs, by
 * the affinity mask, but no more than its control group allows at a time (cgroups v1 and v2,
 * rounded up), and 64.
 *
 *   reason  Set to one line of text that says where the number comes from; may be NULL.
 *
 * Threads: any. */
SPATE_API uint32_t spate_shards_probe(struct spate_error *reason);

/* Listens on a UDP address with all shards of an engine, as spate_shard_listen() does with one: all
 * have the same port, or none listens.
 *
 * Call it before spate_engine_start() and before the first turn of any shard, or while all shards
 * run.  In the second case each shard takes its socket in one of its next turns, and the call
 * returns when all have done so: it waits for a shard whose application blocks.  Shards that the
 * calling thread runs itself take theirs during the call.  A thread of the engine may call it too.
 *
 *   options  How to listen: see struct spate_listen_options.  Copied.
 *   *ret     Owned by the engine; valid until spate_engine_listener_close() or
 *            spate_engine_destroy().  Untouched on failure.
 *   error    Names the address, the argument or the shard on failure; may be NULL.
 *
 * If another socket uses the address, tries again for up to a second, and blocks the calling thread
 * that long; the shards go on.
 *
 * Returns 0, or:
 *   -EINVAL         `options` is NULL or its size is wrong.  Or the address is neither IPv4 nor
 *                   IPv6, or `tls` is NULL or a client's.  Or a socket of `fds` cannot be listened
 *                   on: see spate_shard_listen_with().
 *   -EBADF          A descriptor of `fds` is not open.
 *   -ENOTSOCK       A descriptor of `fds` is no socket.
 *   -E2BIG          The program set a field that this library does not know.
 *   -EADDRINUSE     Another socket still used the address after a second.
 *   -EACCES         The process may not bind to this port.
 *   -EADDRNOTAVAIL  The host does not have this address.
 *   -EAFNOSUPPORT   The system does not support this address family.
 *   -EMFILE         A shard has no free socket (61 per shard), or the process has no file
 *                   descriptor left.
 *   -ENOMEM         There is not enough memory, here or in the kernel.
 *   -ESHUTDOWN      A shard is shutting down or has ended, or another process has taken over the
 *                   sockets.
 *   -EAGAIN         A shard had 1,024 posts waiting for a second.
 *   -EBUSY          Another thread calls this function for the engine.  Or another process is
 *                   taking over the sockets.
 * Other negative errnos of the kernel are passed on; `error` names the step that failed.  After a
 * failure shards that run close their sockets in their next turns.
 *
 * Threads: any; see above. */
SPATE_API int spate_engine_listen(struct spate_engine *engine,
                                  const struct spate_listen_options *options,
                                  struct spate_engine_listener **ret, struct spate_error *error);

/* Writes the address that the shards are bound to, with the port that the system chose.
 *
 *   *ret       All bytes are written; those after the address are zero.
 *   *ret_size  Set to the size of the address in bytes.  The value before the call is ignored.
 *
 * Returns 0, or:
 *   -EINVAL  The address is neither IPv4 nor IPv6; both outputs are untouched.
 *
 * Threads: any. */
SPATE_API int spate_engine_listener_address(const struct spate_engine_listener *listener,
                                            struct sockaddr_storage *ret, socklen_t *ret_size);

/* Returns the part of one shard: for spate_listener_set_settings(), spate_listener_prefer() and the
 * other functions of a listener, on that shard's thread.  spate_listener_close() ends that part
 * alone: the kernel gives its share of new connections to the others.  It is valid until it is
 * closed, alone or with the others.
 *
 *   index  0 to shard_count - 1.  Returns NULL for a larger one.
 *
 * Threads: any. */
SPATE_API struct spate_listener *
spate_engine_listener_part(const struct spate_engine_listener *listener, uint32_t index);

/* Stops accepting connections, on all shards, as spate_listener_close() does on one.  Does not
 * block: each shard stops in its next turn; one that the calling thread runs does so at once.
 *
 *   listener  Must not be used after this call.
 *
 * Threads: any. */
SPATE_API void spate_engine_listener_close(struct spate_engine_listener *listener);

#ifdef __cplusplus
}
#endif

#endif

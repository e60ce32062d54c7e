/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SETTINGS_H
#define SPATE_SETTINGS_H

#include <sys/socket.h>

#include <spate/base.h>
#include <spate/config.h>
#include <spate/engine.h>
#include <spate/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Settings of single connections, where they differ from those of the engine: versions, timeouts,
 * windows, limits of streams and messages.
 *
 *     struct spate_config config;
 *     struct spate_settings *bulk;
 *     spate_engine_config(engine, &config);
 *     config.stream_window_bytes_max = 256 << 20;
 *     spate_settings_create(engine, &config, &bulk, &error);
 *
 *     client:  options.settings = bulk;  spate_shard_connect_with(...)
 *     server:  options.settings = bulk;  spate_shard_listen_with(...)
 *              spate_listener_set_settings(), for connections that are accepted later
 *
 * Settings do not change.  Any number of connections and listeners of all shards share one object,
 * at no cost of their own; connections keep those that they began with.
 *
 * A listener may have smaller limits than one that shares its ticket keys: a 0-RTT that relies on
 * larger ones is rejected, and sent again after the handshake.  [RFC9000 7.4.1] */
struct spate_settings;

/* Makes settings from a configuration.
 *
 *   engine  The engine of the connections; used during the call only.
 *   config  From spate_engine_config(), with changes; copied.  These fields concern the engine and
 *           must have its values: shard_count, backend, crypto, conns_max, handshakes_max,
 *           memory_bytes_max, receive_slots, transmit_slots, socket_buffer_bytes, spin_ns,
 *           zero_copy, gso, retry, shard_rate_bytes_per_s_max, engine_rate_bytes_per_s_max,
 *           resume_path_ns, pinning and hand_over.
 *           All others are settings of connections, but for `cpus`, `quic_lb` and the keys: those
 *           are ignored.
 *   *ret    Owned by the caller until spate_settings_destroy().  Untouched on failure.
 *   error   Names the field on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL  A value is out of range, or a field of the engine differs.  Or spate_engine_config()
 *            was not called.
 *   -E2BIG   A field is set that this library is too old to know.
 *   -ENOMEM  There is not enough memory.
 *
 * Threads: any. */
SPATE_API int spate_settings_create(const struct spate_engine *engine,
                                    const struct spate_config *config, struct spate_settings **ret,
                                    struct spate_error *error);

/* Releases the caller's reference.  Connections and listeners that use the settings keep them.
 *
 *   settings  NULL is accepted.
 *
 * Threads: any. */
SPATE_API void spate_settings_destroy(struct spate_settings *settings);

/* Writes the first `size` bytes of the configuration that spate_engine_config() describes.  For
 * languages other than C and C++, whose programs call spate_engine_config().
 *
 *   *ret  Room for `size` bytes.
 *   size  Bytes that the program knows: its sizeof(struct spate_config).
 *
 * Threads: any. */
SPATE_API void spate_engine_config_sized(const struct spate_engine *engine,
                                         struct spate_config *ret, size_t size);

/* Writes the configuration that the engine was created with, as it was given.  The keys are zero
 * and `cpus` is NULL.  It is inline, so that a program gets the fields that it was compiled with.
 * Threads: any. */
static inline void spate_engine_config(const struct spate_engine *engine, struct spate_config *ret)
{
    spate_engine_config_sized(engine, ret, sizeof(*ret));
}

/* How to listen.  Zero, set `size` to the size of the struct, then what is needed.  Nothing is kept
 * beyond the call but references to `tls` and `settings`. */
struct spate_listen_options {
    size_t size;
    const struct sockaddr *address; /* these four: see spate_shard_listen() */
    socklen_t address_size;
    uint8_t reserved[4]; /* ignored */
    struct spate_tls *tls;
    void *user;
    struct spate_settings *settings; /* of the connections; NULL: those of the engine */
    /* Sockets that the process was started with, instead of `address`, which is ignored then: see
     * spate_inherited_sockets().  All are bound to one address.  The shards of an engine that
     * listen there get the whole list each, and each takes one; further shards open their own.
     * The DSCP that a socket has by then (IP_TOS, IPV6_TCLASS) stays that of its datagrams.
     * NULL: none. */
    const int *fds;        /* copied; the descriptors stay the program's, which may close them */
    uint32_t fd_count;     /* entries in `fds`: 1 to 192 */
    uint8_t reserved_2[4]; /* ignored */
};

/* Listens on a UDP address and accepts connections, as spate_shard_listen() does, with settings of
 * their own, or on sockets that somebody else has bound.
 *
 *   options  Copied.
 *   *ret     Owned by the engine; valid until spate_listener_close() or spate_engine_destroy().
 *            Untouched on failure.
 *   error    Names the address or the argument on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL         `options` is NULL or its size is wrong, or a reason of spate_shard_listen(). Or
 *                   a socket of `fds` is no UDP socket, is not bound, is connected, or is bound to
 *                   another address than the first one.  Or it has no SO_REUSEPORT although there
 *                   are several shards or `hand_over` is set.  Or there are several, and one shard.
 *   -EBADF          A descriptor of `fds` is not open.
 *   -ENOTSOCK       A descriptor of `fds` is no socket.
 *   -EBUSY          Another process is taking over the sockets: spate_engine_hand_over().
 *   -E2BIG          The program set a field that this library does not know.
 *   -EADDRINUSE     Another socket still used the address after a second.
 *   -EACCES         The process may not bind to this port.
 *   -EADDRNOTAVAIL  The host does not have this address.
 *   -EAFNOSUPPORT   The system does not support this address family.
 *   -EMFILE         The shard has no free socket (61 per shard), or the process has no file
 *                   descriptor left.
 *   -ENOMEM         The kernel has no memory for a socket.
 *   -ESHUTDOWN      The shard is shutting down, or another process has taken over the sockets.
 * Other negative errnos of the kernel are passed on; `error` names the step that failed.
 *
 * Threads: shard. */
SPATE_API int spate_shard_listen_with(struct spate_shard *shard,
                                      const struct spate_listen_options *options,
                                      struct spate_listener **ret, struct spate_error *error);

/* Replaces the settings of a listener.  Connections that it accepts from now on have the new ones;
 * the others keep theirs.
 *
 *   settings  The listener keeps a reference: the caller may release its own.  NULL: those of the
 *             engine.
 *
 * Threads: shard. */
SPATE_API void spate_listener_set_settings(struct spate_listener *listener,
                                           struct spate_settings *settings);

#ifdef __cplusplus
}
#endif

#endif

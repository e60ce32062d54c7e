/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HAND_OVER_H
#define SPATE_HAND_OVER_H

#include <spate/base.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Replacing a server's process without losing a packet: a new process takes over the listening
 * sockets, and all that is new.  The old one serves its connections to their end.
 *
 * Both engines are created with `hand_over` in their configuration, and run as the same user.  They
 * talk over a connected socket of AF_UNIX and SOCK_SEQPACKET, which the programs make: socketpair()
 * before the new process is started, or a path that the old one listens at, by
 * spate_hand_over_listen() and spate_hand_over_connect().
 *
 *     old                                        new
 *     --------------------------------------------------------------------------------------
 *                                                spate_engine_create()
 *     spate_engine_hand_over()  <-- channel -->  spate_engine_take_over()
 *       -EAGAIN: again when the                  spate_shard_listen() of each shard, or
 *       channel is readable                        spate_engine_start()
 *       0: it is done           <-- channel -->  spate_engine_take_over_finish()
 *     spate_shard_shutdown()
 *     spate_engine_destroy()
 *
 * What begins after spate_engine_take_over_finish() comes to the new process.  The kernel gives the
 * old one what belongs to its connections, also if a client's address changes.  If a step fails or
 * a process dies, the other one goes on alone: the old one with all ports before that, the new one
 * with all ports after it.
 *
 *   - Connection IDs name the shard and the process, in clear, or masked with `quic_lb`.  So 1 of
 *     65,536 first packets per old shard, whose connection ID the client has chosen, goes to the
 *     old process.  It accepts that connection, also while it shuts down, up to its timeout.
 *   - The new process gets the keys of address tokens and of Stateless Resets: `token_key` and
 *     `reset_key` of its own configuration are not used.  Packets of connections whose process
 *     has died are answered with Stateless Resets.  [RFC9000 8.1.3, 10.3]
 *   - Ticket keys are the program's: pass `ticket_keys` to both.  Otherwise sessions of the old
 *     process are not resumed in the new one.
 *   - The channel is the program's until these functions are called, for messages of its own.
 *   - The new process may be replaced while the old one still ends, up to seven of them.
 *   - Sockets of an old process stay open in the new one, idle; the next process that takes over
 *     uses them.
 *   - With `quic_lb`, all processes have it, and as many bytes of server ID and nonce together: the
 *     kernel finds the process by an octet after them, without the key.  Configurations, keys and
 *     server IDs may differ between the processes, and change in each of them.  A server ID that
 *     both have leads balancers to both; then give nonces 8 bytes at least, as the new process does
 *     not know which ones the old one has used.
 *   - Listen at the same addresses as the old process, also with spate_listener_prefer(). */

/* Connects to the process that listens at a path: the channel for spate_engine_take_over().
 *
 *   path   Where spate_hand_over_listen() was called; at most 107 bytes.
 *   error  Names the path on failure; may be NULL.
 *
 * The descriptor is the caller's, and closes when the process executes another program.
 *
 * Returns the descriptor, or:
 *   -ENOENT        Nobody listens there: this process is the first, or the last one has died.
 *   -EINVAL        `path` is NULL or empty.
 *   -ENAMETOOLONG  `path` is longer than 107 bytes.
 *   -EACCES        The process that listens is another user's.
 *   -ETIMEDOUT     The process that listens has accepted nobody for a second, and others wait.
 * Other negative errnos of the kernel are passed on.
 *
 * Threads: any. */
SPATE_API int spate_hand_over_connect(const char *path, struct spate_error *error);

/* Listens at a path for the process that comes next: accept4() with SOCK_CLOEXEC returns the
 * channel for spate_engine_hand_over().  Call it when this process serves, which is after
 * spate_engine_take_over_finish() if it has taken over: it takes the path from the process before.
 *
 * Only processes of the same user, and of root, can connect: whoever does gets the keys.
 *
 *   path   At most 107 bytes.  A socket that is there is replaced: at each moment one of the two
 *          listens.  It is made beside it, under another name, and renamed.
 *   error  Names the path on failure; may be NULL.
 *
 * The descriptor is the caller's, blocks, and closes when the process executes another program.
 * The path stays when it is closed.  Unlink it when the server ends without a successor; do not
 * after a hand-over, when it is the successor's.
 *
 * Returns the descriptor, or:
 *   -EEXIST        There is something at `path` that is no socket.
 *   -EADDRINUSE    Each name that was tried beside `path` is taken.
 *   -ENOENT        The folder of `path` does not exist.
 *   -EINVAL        `path` is NULL or empty.
 *   -ENAMETOOLONG  `path` is longer than 107 bytes.
 * Other negative errnos of the kernel are passed on.
 *
 * Threads: any. */
SPATE_API int spate_hand_over_listen(const char *path, struct spate_error *error);

/* Gives the listening sockets of an engine to another process, step by step.  Sends what is due and
 * reads what has come, and waits for at most `wait_ns`.
 *
 * While it returns -EAGAIN, call it again with the same arguments when `fd` is readable: a loop
 * polls it, and may serve connections meanwhile.  An attempt that has taken 30 s fails with the
 * next call.  After GO was sent, the other process has 30 s more.  A call with a different channel
 * ends the attempt before it.
 *
 * After 0 the other process has taken over.  Keep the engine running, and end it with
 * spate_shard_shutdown() or spate_engine_shutdown().  Those accept what still begins here, until
 * their timeout, and last at least 100 ms.  What begins later, while they close connections, is
 * dropped: the other process gets it when the client sends it again.  Do not close listeners: that
 * would refuse it.  Listening is over.
 *
 *   fd       The channel.  It is duplicated: close yours after the function has returned 0 or
 *            failed, because the new process sees the end of this one by its end.  No child of this
 *            process may have it open.
 *   wait_ns  Nanoseconds.  0: do not wait.
 *   error    One line on failure, but for -EAGAIN; may be NULL.
 *
 * Returns 0, or:
 *   -EAGAIN           The other process has not taken over yet.
 *   -EINVAL           `hand_over` is not set in the engine's configuration, or nothing listens.
 *   -EALREADY         A process has taken over before.
 *   -EBUSY            The engine has not finished taking over itself.  Or GO was sent for
 *                     an earlier call and has no answer yet: call with that channel again.
 *   -EBADF            `fd` is not open.
 *   -EPROTOTYPE       `fd` is no connected socket of AF_UNIX and SOCK_SEQPACKET.
 *   -EPROTO           The other process sent something else.
 *   -EPROTONOSUPPORT  The other process has another version of the hand-over.
 *   -ECONNRESET       The other process has gone.
 *   -ECONNREFUSED     The other process has given up; `error` has its reason.
 *   -ETIMEDOUT        The attempt has taken 30 s.  Or the channel was full for a second, because
 *                     the other process did not read.
 *   -EMFILE           There are too many processes, addresses or descriptors.
 *   -ENOMEM           There is no memory for the list of sockets.
 * Other negative errnos of the kernel are passed on.  After any but -EAGAIN the engine goes on as
 * before, and the function may be called for another process.
 *
 * Threads: any; one at a time. */
SPATE_API int spate_engine_hand_over(struct spate_engine *engine, int fd, uint64_t wait_ns,
                                     struct spate_error *error);

/* Takes the listening sockets and the keys of another process, which calls
 * spate_engine_hand_over().  Afterwards the shards listen, at its addresses; nothing comes to them
 * before spate_engine_take_over_finish().
 *
 * Call it before spate_engine_start(), the first turn, and the first connection or listener.
 *
 *   fd       The channel.  It is duplicated: the caller may close its own at any time.
 *   wait_ns  The longest wait for the other process, in nanoseconds.
 *   error    One line on failure; may be NULL.
 *
 * Returns 0, or:
 *   -EINVAL           `hand_over` is not set in the engine's configuration.  Or the connection IDs
 *                     of the processes differ in their form: only one has `quic_lb`, or another
 *                     size of server ID and nonce together.
 *   -EALREADY         The engine has taken over before.
 *   -EBUSY            A shard runs already, or listens.
 *   -EBADF            `fd` is not open.
 *   -EPROTOTYPE       `fd` is no connected socket of AF_UNIX and SOCK_SEQPACKET.
 *   -EPROTO           The other process sent something else, or a descriptor that is no listening
 *                     socket.
 *   -EPROTONOSUPPORT  The other process has another version of the hand-over.
 *   -ECONNRESET       The other process has gone.
 *   -ECONNREFUSED     The other process has refused; `error` has its reason.
 *   -ETIMEDOUT        Nothing came in time.
 *   -EMFILE           This process has no room for the descriptors (RLIMIT_NOFILE).
 *   -ENOMEM           There is not enough memory.
 * Other negative errnos of the kernel are passed on.  After a failure the other process goes on as
 * before, and this engine can listen as if nothing had been tried; after -ENOMEM it can only be
 * destroyed.
 *
 * Threads: any; one at a time. */
SPATE_API int spate_engine_take_over(struct spate_engine *engine, int fd, uint64_t wait_ns,
                                     struct spate_error *error);

/* Takes over, after all shards listen: from now on what begins comes to this process.
 *
 *   wait_ns  The longest wait for the other process, in nanoseconds.
 *   error    One line on failure; may be NULL.
 *
 * Succeeds as well if the other process has died meanwhile; not if it lives and has given up.
 *
 * Returns 0, or:
 *   -EINVAL        spate_engine_take_over() was not called, or no shard listens at an address of
 *                  the other process.
 *   -EPROTO        The other process sent something else.
 *   -ECONNREFUSED  The other process has given up; `error` has its reason.
 *   -ETIMEDOUT     No answer came in time.
 * Or the negative errno with which the kernel refused the program that steers packets.  After a
 * failure destroy the engine: the other process goes on as before.
 *
 * Threads: any; one at a time. */
SPATE_API int spate_engine_take_over_finish(struct spate_engine *engine, uint64_t wait_ns,
                                            struct spate_error *error);

/* Returns the sockets that a supervisor such as systemd has bound and passed to this process, by
 * its protocol: the environment has LISTEN_PID, LISTEN_FDS and, for names, LISTEN_FDNAMES.  Leaves
 * the environment alone, and makes the descriptors close when the process executes another program.
 *
 *   name       Of the sockets that are wanted: FileDescriptorName= of systemd.  NULL: all.
 *   *ret_fds   Written in the order in which they came; they are the caller's.  `fds` of
 *              spate_listen_options wants them in this order.
 *   count_max  Entries that fit `ret_fds`.
 *   error      Names the variable on failure; may be NULL.
 *
 * There are none if the process was started without any, or with those of another process
 * (LISTEN_PID).
 *
 * Returns how many were taken, or:
 *   -EINVAL  A variable has no meaning, or there are fewer names than sockets.
 *   -EBADF   A descriptor is not open.
 *   -E2BIG   There are more than count_max.
 *
 * Threads: any, while no other one changes the environment. */
SPATE_API int spate_inherited_sockets(const char *name, int *ret_fds, uint32_t count_max,
                                      struct spate_error *error);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RING_H
#define SPATE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/base.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Operations of the program in the ring of a shard: files, timers, TCP and whatever else has a
 * descriptor are served by the shard's turns, with the same system call and the same wait as its
 * packets.
 *
 *     spate_ring_watch()    reports when a descriptor is readable or writable; all backends
 *     spate_ring_submit()   any operation of io_uring, prepared with liburing; io_uring only
 *     spate_ring_cancel()   ends one
 *
 * What completes is reported to the operation's handler, in the turn that finds it and after that
 * turn has taken its packets.  Handlers run on the shard's thread and may call every function of
 * this library that functions posted with spate_shard_post() may call; what they send leaves with
 * the next turn.
 *
 * An operation is over when its handler was called without SPATE_RING_MORE.  Until then the memory
 * that it names and its descriptor belong to it.  Each operation ends exactly once, also if it is
 * cancelled or the engine is destroyed:
 *
 *   - spate_shard_shutdown() is about connections: operations go on.
 *   - spate_engine_destroy() and spate_engine_stop() cancel all operations, wait for them, and call
 *     the handlers before they return: with the operation's result if it has one, else with
 *     -ECANCELED.  Handlers of engine threads are called after on_stop.  The shard has ended then:
 *     the handler may call the functions of this file, which return -ESHUTDOWN, and no others of
 *     the shard.
 *   - With -ETIME they could not wait: the kernel did not end the operation within a second, or the
 *     engine is destroyed on another thread than the shard's.  It may still use the memory.
 *   - When the ring fails (spate_shard_turn() returns an error), the handlers are called when the
 *     engine is destroyed.
 *
 * Programs that do not use this pay nothing for it. */

struct io_uring;
struct io_uring_sqe;
struct io_uring_cqe;

/* In `flags` of a handler: the operation is not over.  It is IORING_CQE_F_MORE. */
#define SPATE_RING_MORE 2u

/* The most operations of one spate_ring_submit(). */
#define SPATE_RING_OPS_MAX 64

/* Reports a completion.
 *
 *   user    That of the operation.
 *   result  0 or more, or a negative errno: what io_uring reports.
 *   flags   IORING_CQE_F_* of the completion; SPATE_RING_MORE: more completions follow.
 *
 * Threads: shard. */
typedef void spate_ring_handler(struct spate_shard *shard, void *user, int32_t result,
                                uint32_t flags);

/* An operation of spate_ring_submit(). */
struct spate_ring_op {
    /* Zeroed, and then prepared by a function of liburing such as io_uring_prep_read(), which does
     * not set every field; copied.  Its user_data is ignored.  See spate_ring_submit() for what is
     * not allowed. */
    const struct io_uring_sqe *sqe;
    spate_ring_handler *handler; /* NULL: nobody needs the result */
    void *user;                  /* passed to the handler; the library does not use it */
    uint64_t id;                 /* set by spate_ring_submit(): never 0 */
};

/* Queues operations in the shard's ring.  They are handed to the kernel with the next turn or
 * spate_shard_deadline_ns().
 *
 *   ops    The operations; the array itself is not kept.  Operations with IOSQE_IO_LINK or
 *          IOSQE_IO_HARDLINK are linked to the next of the array.
 *   count  1 to SPATE_RING_OPS_MAX.
 *
 * Descriptors are the program's own: an sqe may name neither registered files nor registered
 * buffers, and no buffer group 0, which are the shard's.  The id of an operation is its user_data
 * in the ring: operations such as io_uring_prep_timeout_update() name others by it.
 *
 * Returns 0, or queues none of them and returns:
 *   -EINVAL     `count` is out of range.  Or an sqe has IOSQE_FIXED_FILE, IOSQE_IO_DRAIN or
 *               IOSQE_CQE_SKIP_SUCCESS, or makes or changes a registered file, or takes buffers
 *               from group 0, or cancels any operation (IORING_ASYNC_CANCEL_ANY), or passes on a
 *               registered file (IORING_MSG_SEND_FD).  Or the last one is linked.
 *   -ENOTSUP    The backend is not io_uring: it has spate_ring_watch() alone.  Or the ring was lent
 *               by the program, which submits to it itself.
 *   -ENOBUFS    operations_max of the configuration are in flight.
 *   -EAGAIN     The kernel takes no submissions now: try again after the next turn.
 *   -ENOMEM     There is not enough memory for the table of operations.
 *   -EPERM      Another thread runs the shard.
 *   -ESHUTDOWN  The shard has ended: the engine is stopped, or the shard's ring has failed.
 * What is wrong with an operation itself is reported to its handler.
 *
 * Threads: shard. */
SPATE_API int spate_ring_submit(struct spate_shard *shard, struct spate_ring_op *ops,
                                uint32_t count);

/* Watches a descriptor: reports to `handler` when it is ready.  `result` of the handler then has
 * the bits of poll(): those of `events`, and POLLERR and POLLHUP.
 *
 *   fd       A descriptor that can be polled.  If it is closed before the watch is over, its file
 *            stays open, and the watch goes on: cancel it.  Where the backend is not io_uring, a
 *            watch takes a descriptor more of the process (-EMFILE to the handler if there is
 *            none), and a regular file ends with -EPERM.
 *   events   POLLIN, POLLOUT, POLLPRI, POLLRDHUP, or some of them.
 *   repeats  false: it reports once.  true: it reports that the descriptor is ready, and again
 *            whenever more comes, until it is cancelled or fails: read or write until -EAGAIN
 *            before you expect the next report.
 *   *ret_id  Set on success, for spate_ring_cancel().  May be NULL.
 *
 * Returns 0, or:
 *   -EINVAL     `events` is 0 or has other bits, or `handler` is NULL, or `fd` is negative.
 *   -ENOTSUP    The ring was lent by the program, which submits to it itself.
 *   -ENOBUFS    operations_max of the configuration are in flight.
 *   -EAGAIN     The kernel takes no submissions now: try again after the next turn.
 *   -ENOMEM     There is not enough memory for the table of operations.
 *   -EPERM      Another thread runs the shard.
 *   -ESHUTDOWN  The shard has ended: the engine is stopped, or the shard's ring has failed.
 *
 * Threads: shard. */
SPATE_API int spate_ring_watch(struct spate_shard *shard, int fd, uint32_t events, bool repeats,
                               spate_ring_handler *handler, void *user, uint64_t *ret_id);

/* Cancels an operation or a watch.  It ends as all do, with a call of its handler: with -ECANCELED,
 * or with its own result if that was earlier.
 *
 *   id  From spate_ring_submit() or spate_ring_watch().
 *
 * Returns 0, or:
 *   -ENOENT     There is no such operation, or it is over.
 *   -EAGAIN     The kernel takes no submissions now: try again after the next turn.
 *   -EPERM      Another thread runs the shard.
 *   -ESHUTDOWN  The shard has ended: the engine is stopped, or the shard's ring has failed.
 *
 * Threads: shard. */
SPATE_API int spate_ring_cancel(struct spate_shard *shard, uint64_t id);

/* ---- A ring of the program, lent to a shard ---- */

/* The other way around: the program has a ring and a loop, and the shard lives in it.  The shard
 * queues its operations in the program's ring; the program submits and waits.
 *
 *     config.lent_ring = &lent;                       struct spate_config
 *     spate_engine_create(...)                        on the thread that submits
 *     repeat:
 *       1  due_ns = spate_shard_deadline_ns(shard)    0: do not wait
 *       2  io_uring_submit_and_wait_timeout() until `due_ns` at the latest; or any other calls that
 *          submit, and wait for completions
 *       3  for each completion on the ring: spate_ring_complete(shard, cqe); if that is 0, it is
 *          the program's own
 *       4  spate_shard_turn(shard, 0), and spate_shard_events() for each batch of events
 *
 * Turns never wait, whatever their argument.  The shard enters the kernel in spate_engine_create()
 * and spate_engine_destroy(), and when sockets are opened and closed, but in no turn.
 *
 * The ring may have any flags but IORING_SETUP_IOPOLL and IORING_SETUP_SQPOLL.  IORING_SETUP_
 * SINGLE_ISSUER, DEFER_TASKRUN, COOP_TASKRUN, SUBMIT_ALL and a CQSIZE of some thousands are good
 * for it.  The submission queue may be of any size: while it is full, the shard keeps what it has
 * to send, and spate_shard_deadline_ns() returns 0.  256 are enough for one submission per turn.
 *
 * What such a shard does not have: adaptive spinning (spin_ns), zero_copy, doorbells by MSG_RING,
 * spate_shard_fd(), spate_engine_start(), and the other functions of this file, because the
 * program submits its operations itself.  Without `file_first` the kernel looks up the socket for
 * each operation. */

/* The shard registers no files. */
#define SPATE_LENT_NO_FILES UINT32_MAX

/* lent_ring of struct spate_config. */
struct spate_lent_ring {
    size_t size; /* sizeof(struct spate_lent_ring) */
    /* Made by liburing 2.2 or later; the program's.  It must not move, and outlives the engine. */
    struct io_uring *ring;
    /* user_data with these bits, all at the top or all at the bottom, 1 to 8 of them ... */
    uint64_t tag_mask;
    /* ... equal to this belongs to the shard: the program uses other values.  With addresses as
     * user_data: mask 0xff << 56 and tag 0xff << 56, for example. */
    uint64_t tag;
    /* The first of 64 places in the program's table of registered files, which the program keeps
     * empty (io_uring_register_files_sparse()).  SPATE_LENT_NO_FILES: none. */
    uint32_t file_first;
    uint16_t buffer_group; /* of provided buffers, which the program does not use */
    uint8_t reserved[2];   /* no padding; ignored */
};

/* Hands a completion of a lent ring to its shard, which copies it and handles it in the next turn.
 *
 *   cqe  Of the ring.  The caller takes it off the ring afterwards, by io_uring_cqe_seen() or
 *        io_uring_cq_advance().  Without the shard's tag it is the program's: 0 are taken.
 *
 * Completions with the tag that come after spate_engine_destroy() have no shard any more: ignore
 * them.
 *
 * Returns how many were taken, or:
 *   -EAGAIN   As many completions wait already as the ring has places: leave it on the ring, and
 *             run a turn first.
 *   -ENOTSUP  The shard has no lent ring.
 *   -EPERM    Another thread runs the shard.
 * Negative errnos of the ring that have ended the shard are passed on.
 *
 * Threads: shard. */
SPATE_API int spate_ring_complete(struct spate_shard *shard, const struct io_uring_cqe *cqe);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SU_RING_H
#define SU_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "uring/lent.h"
#include "uring/op.h"

/* One io_uring, owned by one thread; or, where the system refuses io_uring, a replacement made of
 * epoll, recvmmsg and sendmmsg (mmsg.h), which behaves in the same way.
 *
 * Order of life:
 *
 *     su_ring_init      any thread; the ring exists, disabled
 *     su_ring_enable    the thread that will own it from here on
 *       sqe ... enter ... completions ... sqe ... enter ...
 *     su_ring_stop      the owner: cancels everything, releases every file
 *     (close the sockets, free buffer rings and slabs)
 *     su_ring_deinit    the owner, or anyone if it was never enabled
 *
 * Only the owner may call anything after su_ring_enable (the kernel refuses
 * others with EEXIST).  Nothing is submitted before su_ring_enter or
 * su_ring_submit, so everything that a turn queues goes down in one system call. */

struct su_mmsg;

enum su_backend {
    SU_BACKEND_IO_URING,
    SU_BACKEND_MMSG,
    SU_BACKEND_HOST, /* the host moves the datagrams: see hosted.h */
};

struct su_ring_config {
    enum su_backend backend;
    uint32_t sq_count;   /* submissions queued between two enters: 1 .. 32768 */
    uint32_t cq_count;   /* completions the ring holds: >= sq_count; 0 means 4 * sq_count */
    uint32_t file_count; /* size of the registered file table: 0 .. SU_RING_FILE_COUNT_MAX */
    /* The ring of a program, which submits and reaps; the two counts above are its own.  NULL: one
     * of our own.  See lent.h. */
    const struct su_lent_config *lent;
};

/* In the order of a ring's life: it only moves forward, until su_ring_deinit. */
enum su_ring_state {
    SU_RING_NONE,     /* all zero: never initialised, or deinitialised */
    SU_RING_DISABLED, /* made, without an owner */
    SU_RING_ENABLED,  /* its owner submits and takes completions */
    SU_RING_STOPPED,  /* nothing in flight, no file; only su_ring_deinit is left */
};

#define SU_RING_FILE_COUNT_MAX 64 /* sockets and an eventfd; a shard has a handful */

struct su_ring_counts {
    uint64_t enters;    /* of the ring: io_uring_enter calls */
    uint64_t syscalls;  /* system calls: = enters, but for the mmsg back-end */
    uint64_t sqes;      /* operations handed to the kernel */
    uint64_t cqes;      /* completions taken */
    uint64_t overflows; /* times the kernel reported that completions did not fit the ring */
};

struct su_ring {
    struct io_uring uring;
    struct io_uring *kernel; /* where submissions and registrations go: &uring, or what was lent */
    struct su_mmsg *mmsg;    /* the mmsg back-end, or the host's; NULL: io_uring */
    struct su_lent *lent;    /* NULL: the ring is our own */
    enum su_backend backend;
    uint32_t setup_flags; /* what the kernel accepted: IORING_SETUP_* */
    enum su_ring_state state;
    bool has_registered_fd; /* the ring's own descriptor is registered */
    bool has_poll_fd;
    int poll_fd; /* an eventfd that the kernel signals; with mmsg that of epoll */
    uint32_t file_count;
    uint64_t files_used; /* bit i: the registered file i is taken */

    uint32_t expected_queued; /* operations of su_ring_expect that are queued */
    uint32_t expected_count;  /* those handed to the kernel since the last su_ring_completions */
    struct su_ring_counts counts;

    /* Sees the completions that su_ring_stop() discards.  NULL: nobody does. */
    void (*on_discard)(void *context, const struct su_completion *completion);
    void *discard_context;

    /* For tests: sees each completion before its owner and may change it.  NULL otherwise. */
    void (*inject)(void *context, struct su_completion *completion);
    void *inject_context;
    uint32_t inject_full_count; /* for tests: this many su_ring_sqe find the queue full */
};

/* Makes a disabled ring; if it is an io_uring, with as many of SINGLE_ISSUER, DEFER_TASKRUN,
 * COOP_TASKRUN, TASKRUN_FLAG, SUBMIT_ALL, CQSIZE and NO_SQARRAY as the kernel knows.  0, or
 *   -ENOSYS    the kernel has no io_uring, or a filter hides it
 *   -EPERM, -EACCES  sysctl kernel.io_uring_disabled, or seccomp
 *   -ENOMEM    memory, or RLIMIT_MEMLOCK
 *   -EMFILE, -ENFILE  descriptors
 *   -EINVAL    counts out of range, or a kernel older than 5.19
 * su_caps_probe reports more.  After a failure su_ring_deinit may be called, but need not be.
 * A ring must not be moved.  Threads: any. */
SB_MUST_USE int su_ring_init(struct su_ring *ring, const struct su_ring_config *config);

/* Makes the calling thread the owner.  0 or -errno.  Threads: the one that will own it. */
SB_MUST_USE int su_ring_enable(struct su_ring *ring);

/* Puts `fd` into the table of registered files.  io_uring's table holds a reference of its own: the
 * file lives until it is taken out again, even if `fd` is closed before.  mmsg's does not: take it
 * out before you close it.  The index (>= 0), or
 * -ENFILE if the table is full, or -errno.  Threads: any before su_ring_enable, then the owner. */
SB_MUST_USE int su_ring_file_add(struct su_ring *ring, int fd);

/* Takes file `index` out.  No operation may be in flight on it, else the kernel keeps the file
 * until those are over.  Threads: as su_ring_file_add. */
void su_ring_file_remove(struct su_ring *ring, uint32_t index);

/* Returns the next free submission, zeroed.  If the queue is full it is submitted first, which is a
 * system call: choose sq_count so that a turn fits.  Returns NULL if the kernel takes none at the
 * moment, because its completions must be taken first, or if the queue of a lent ring is full:
 * its lender must submit first.  The caller fills it in, with its user_data,
 * before it calls another function of this file.  Threads: the owner. */
struct io_uring_sqe *su_ring_sqe(struct su_ring *ring);

/* Returns false if the queue of a lent ring is full: what is made now could not be submitted.  A
 * ring of our own submits instead.  Threads: the owner. */
bool su_ring_lent_has_room(struct su_ring *ring);
static inline bool su_ring_has_room(struct su_ring *ring)
{
    return SB_LIKELY(ring->lent == NULL) || su_ring_lent_has_room(ring);
}

/* Makes room for `count` submissions in a row, for operations that are linked: the next `count`
 * calls of su_ring_sqe return one each, and nothing is submitted between them.  If there is no room
 * the queue is submitted first.  Returns false if there is none then, or if the queue is smaller
 * than that.  Threads: the owner. */
SB_MUST_USE bool su_ring_reserve(struct su_ring *ring, uint32_t count);

static inline enum su_backend su_ring_backend(const struct su_ring *ring)
{
    return ring->backend;
}

/* Returns true if the ring was lent: it never submits, and never waits. */
static inline bool su_ring_is_lent(const struct su_ring *ring)
{
    return ring->lent != NULL;
}

/* Finishes a prepared submission whose descriptor is an index of the file table: it uses that file,
 * and completes as `op`. */
static inline void su_ring_finish(const struct su_ring *ring, struct io_uring_sqe *sqe,
                                  struct su_op op)
{
    if (SB_UNLIKELY(ring->lent != NULL)) {
        su_lent_use_file(ring->lent, sqe);
        sqe->user_data = su_lent_user_data(ring->lent, op);
        return;
    }
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = su_op_pack(op);
}

/* Returns the user data of `op`. */
static inline uint64_t su_ring_user_data(const struct su_ring *ring, struct su_op op)
{
    return SB_UNLIKELY(ring->lent != NULL) ? su_lent_user_data(ring->lent, op) : su_op_pack(op);
}

/* Begins a turn on a lent ring: forgets that its queue was full. */
void su_ring_begin_lent(struct su_ring *ring);

/* How many operations are queued and not yet submitted. */
static inline uint32_t su_ring_queued(const struct su_ring *ring)
{
    return io_uring_sq_ready(&ring->uring);
}

/* Hands the queue to the kernel and does not look for completions; no call if it is empty.
 * 0, or as su_ring_enter.  Threads: the owner. */
SB_MUST_USE int su_ring_submit(struct su_ring *ring);

/* Makes the one system call of a turn: hands the queue to the kernel, runs the work that the kernel
 * has deferred (with DEFER_TASKRUN nothing completes outside of this call), and waits until there
 * is one completion or `timeout_ns` nanoseconds have passed.
 *   timeout_ns 0         does not sleep: for a loop that spins
 *   timeout_ns SB_NEVER  sleeps until there is a completion
 * It does not sleep if there are completions on the ring already.  Returns:
 *   0        take the completions; there may be none: the time is up or a signal came
 *   -EBUSY   the kernel holds back completions that did not fit: take some, call again
 *   -EAGAIN  the kernel is out of memory for requests; the queue stays, call again later
 *   -errno   any other error is our bug, or the ring cannot be used any more
 * Threads: the owner. */
SB_MUST_USE int su_ring_enter(struct su_ring *ring, uint64_t timeout_ns);

/* Marks the operation that su_ring_sqe returned last as expected: it normally completes while it is
 * submitted, as a sendmsg on a UDP socket does.  Its completion does not end su_ring_wait.
 * Threads: the owner. */
static inline void su_ring_expect(struct su_ring *ring)
{
    ring->expected_queued++;
}

/* Works like su_ring_enter, but sleeps until there is an unexpected completion.  Completions of
 * expected operations would end every wait at once.  So a request and its response cost one system
 * call per side instead of two.
 *
 * Completions are only counted.  If an expected one is delayed (the socket's buffer is full), an
 * unexpected one is taken for it and does not end the wait.  The next completion then ends it.  A
 * delayed expected completion can hide an unexpected one, so such waits are capped at
 * SU_RING_LATE_NS.  Threads: the owner. */
SB_MUST_USE int su_ring_wait(struct su_ring *ring, uint64_t timeout_ns);

#define SU_RING_LATE_NS (5 * SB_MS)

/* Returns true if there is an unexpected completion on the ring. */
static inline bool su_ring_is_ready(const struct su_ring *ring)
{
    return io_uring_cq_ready(&ring->uring) > ring->expected_count;
}

/* Returns true if the kernel says that entering it would complete something. */
static inline bool su_ring_wants_enter(const struct su_ring *ring)
{
    return (IO_URING_READ_ONCE(*ring->uring.sq.kflags) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* Returns true if there is an unexpected completion on the ring, or if entering the kernel would
 * complete something.  With DEFER_TASKRUN nothing appears on the ring without entering.  Makes no
 * system call: a loop may spin on this, and call su_ring_enter with 0 when it becomes true.  Always
 * true where the kernel does not report that.  Threads: the owner. */
static inline bool su_ring_needs_enter(const struct su_ring *ring)
{
    if ((ring->setup_flags & IORING_SETUP_TASKRUN_FLAG) == 0 || su_ring_is_ready(ring))
        return true;
    return su_ring_wants_enter(ring);
}

/* Returns true if the kernel had more than the last enter has brought: sockets may hold datagrams.
 * Where the kernel does not report that, returns false.  Threads: the owner. */
bool su_ring_has_more(const struct su_ring *ring);

/* ---- the owner waits in a loop of its own, not in the ring ---- */

/* Returns a descriptor for poll() and epoll, level-triggered; the same one in each call.  The ring
 * owns it.  Or returns -errno (-EMFILE, -ENFILE, -ENOMEM; -ENOTSUP for a lent ring).  Threads: the
 * owner. */
SB_MUST_USE int su_ring_poll_fd(struct su_ring *ring);

/* Begins a wait that is not the ring's: from now on the descriptor becomes readable when entering
 * the kernel would bring a completion.  Returns false if there is one already, or if there was no
 * su_ring_poll_fd(): then do not wait.  On a lent ring, where the lender waits, returns false if
 * completions that it has handed in are still to be taken, or if its queue was full.  Threads: the
 * owner. */
bool su_ring_poll_begin(struct su_ring *ring);

/* Ends that wait: the descriptor is not readable any more.  Threads: the owner. */
void su_ring_poll_end(struct su_ring *ring);

/* Takes up to `count` completions off the ring, in order.  Returns how many; 0 if there are none.
 * No system call.  Threads: the owner. */
uint32_t su_ring_completions(struct su_ring *ring, struct su_completion *ret, uint32_t count);

/* Cancels every operation and waits until they are over, then empties the file table: after this
 * the ring holds no socket, so that close() frees the port.  Completions that are still on the ring
 * are discarded: on_discard sees them.  An enabled ring needs this before su_ring_deinit.  A second
 * call is harmless.  0 or -ETIME if something did not end within a second.  Threads: the owner. */
int su_ring_stop(struct su_ring *ring);

/* Accepts a ring that was never initialised (all zero) or failed to. */
void su_ring_deinit(struct su_ring *ring);

#endif

/* SPDX-License-Identifier: MIT */
#include "uring/ring.h"

/* The ring's life and its one system call.
 *
 * liburing makes and maps the ring and fills submissions; this file enters the kernel.  liburing's
 * waiting helpers may enter twice in one call, and lose the number of submissions on a time-out.  A
 * turn of a shard must cost exactly one system call, and `enters` must count exactly those.
 *
 * Stopping is the delicate part.  The kernel destroys a ring some time after the process has ended.
 * Until then all files of the ring stay open: a UDP socket stays bound.  So su_ring_stop ends every
 * operation and empties the file table while the owner can still wait for it. */

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "uring/mmsg.h"

/* Sets of flags to request, the best first; the first one that the kernel supports is used.
 * liburing adds NO_SQARRAY where it exists.  Kernel 6.1, the oldest that we support, has the first
 * set.  The others cost little, and are for backports that lack a flag. */
static const uint32_t setup_flags[] = {
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER,
    IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
};

#define SQ_COUNT_MAX 32768
#define CQ_COUNT_MAX 65536

/* su_ring_stop gives up after this many waits of STOP_WAIT_NS: a second. */
#define STOP_ROUND_COUNT 100
#define STOP_WAIT_NS     (10 * SB_MS)

static void advance(struct su_ring *ring, enum su_ring_state next)
{
    SB_ASSERT(next > ring->state);
    SB_ASSERT(next != SU_RING_ENABLED || ring->state == SU_RING_DISABLED);
    ring->state = next;
}

/* Some filters allow io_uring_setup and not io_uring_enter.  The ring is disabled, so this call
 * does nothing, and the kernel's answer to it is EBADFD. */
static int check_enter(const struct su_ring *ring)
{
    int error = io_uring_enter2((unsigned)ring->uring.ring_fd, 0, 0, 0, NULL, 0);
    return error == -EBADFD ? 0 : error;
}

static int init_uring(struct su_ring *ring, const struct su_ring_config *config, uint32_t cq_count)
{
    int error = -EINVAL;
    for (uint32_t i = 0; i < SB_COUNT(setup_flags) && error == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = setup_flags[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE,
            .cq_entries = cq_count,
        };
        error = io_uring_queue_init_params(config->sq_count, &ring->uring, &params);
        ring->setup_flags = params.flags;
    }
    if (error != 0)
        return error;

    error = check_enter(ring);
    if (error == 0 && config->file_count != 0)
        error = io_uring_register_files_sparse(&ring->uring, config->file_count);
    if (error != 0)
        io_uring_queue_exit(&ring->uring);
    return error;
}

static int init_lent(struct su_ring *ring, const struct su_ring_config *config)
{
    if (su_lent_check(config->lent) != NULL)
        return -EINVAL;
    int error = su_lent_create(config->lent, &ring->uring, config->file_count, &ring->lent);
    if (error == 0)
        ring->kernel = config->lent->uring;
    return error;
}

int su_ring_init(struct su_ring *ring, const struct su_ring_config *config)
{
    SB_ASSERT(ring != NULL && config != NULL);
    *ring = (struct su_ring){0};

    uint32_t cq_count = config->cq_count != 0 ? config->cq_count : 4 * config->sq_count;
    if (config->sq_count == 0 || config->sq_count > SQ_COUNT_MAX || cq_count < config->sq_count ||
        config->file_count > SU_RING_FILE_COUNT_MAX)
        return -EINVAL;
    cq_count = SB_MIN(cq_count, CQ_COUNT_MAX);

    int error;
    ring->kernel = &ring->uring;
    if (config->backend != SU_BACKEND_IO_URING)
        error = su_mmsg_create(&ring->uring, config->sq_count, cq_count, &ring->mmsg);
    else if (config->lent != NULL)
        error = init_lent(ring, config);
    else
        error = init_uring(ring, config, cq_count);
    if (error != 0) {
        *ring = (struct su_ring){0};
        return error;
    }
    advance(ring, SU_RING_DISABLED);
    ring->backend = config->backend;
    ring->file_count = config->file_count;
    return 0;
}

int su_ring_enable(struct su_ring *ring)
{
    SB_ASSERT(ring->state == SU_RING_DISABLED);

    if (ring->mmsg == NULL && ring->lent == NULL) {
        int error = io_uring_enable_rings(&ring->uring);
        if (error != 0)
            return error;
        /* Saves the look-up of the descriptor at each enter; works without. */
        ring->has_registered_fd = io_uring_register_ring_fd(&ring->uring) == 1;
    }
    advance(ring, SU_RING_ENABLED);
    return 0;
}

/* Puts `fd` at `index` of the file table. */
static int file_set(struct su_ring *ring, uint32_t index, int fd)
{
    if (ring->mmsg != NULL)
        return su_mmsg_file_set(ring->mmsg, index, fd);
    if (ring->lent != NULL)
        return su_lent_file_set(ring->lent, index, fd);
    int updated = io_uring_register_files_update(&ring->uring, index, &fd, 1);
    SB_ASSERT(updated < 0 || updated == 1);
    return updated < 0 ? updated : 0;
}

int su_ring_file_add(struct su_ring *ring, int fd)
{
    SB_ASSERT(ring->state == SU_RING_DISABLED || ring->state == SU_RING_ENABLED);
    for (uint32_t i = 0; i < ring->file_count; i++) {
        if ((ring->files_used >> i & 1) != 0)
            continue;
        int error = file_set(ring, i, fd);
        if (error != 0)
            return error;
        ring->files_used |= UINT64_C(1) << i;
        return (int)i;
    }
    return -ENFILE;
}

void su_ring_file_remove(struct su_ring *ring, uint32_t index)
{
    if (ring->state == SU_RING_STOPPED)
        return; /* the whole table is gone */
    SB_ASSERT(index < ring->file_count && (ring->files_used >> index & 1) != 0);

    if (ring->mmsg != NULL) {
        su_mmsg_file_clear(ring->mmsg, index);
    } else {
        int error = file_set(ring, index, -1);
        SB_ASSERT(error == 0);
    }
    ring->files_used &= ~(UINT64_C(1) << index);
}

/* Shows the kernel what was queued and returns how much it has not taken.  Plain stores: it looks
 * in this very thread, inside of io_uring_enter (no SQPOLL). */
static uint32_t publish(struct io_uring *uring)
{
    struct io_uring_sq *sq = &uring->sq;
    if (sq->sqe_head != sq->sqe_tail) {
        sq->sqe_head = sq->sqe_tail;
        *sq->ktail = sq->sqe_tail;
    }
    return sq->sqe_tail - *sq->khead;
}

/* One io_uring_enter.  How many submissions were taken, or -errno. */
static int enter_uring(struct su_ring *ring, uint32_t wait_count, uint32_t flags,
                       uint64_t timeout_ns)
{
    struct __kernel_timespec time;
    struct io_uring_getevents_arg argument = {0};
    if (timeout_ns != SB_NEVER) {
        time.tv_sec = (long long)(timeout_ns / SB_S);
        time.tv_nsec = (long long)(timeout_ns % SB_S);
        argument.ts = (uint64_t)(uintptr_t)&time;
    }
    if (ring->has_registered_fd)
        flags |= IORING_ENTER_REGISTERED_RING;

    uint32_t queued = publish(&ring->uring);
    if (io_uring_cq_has_overflow(&ring->uring))
        ring->counts.overflows++;
    ring->counts.syscalls++;
    return io_uring_enter2((unsigned)ring->uring.enter_ring_fd, queued, wait_count,
                           flags | IORING_ENTER_EXT_ARG, (void *)&argument, sizeof(argument));
}

static int enter_mmsg(struct su_ring *ring, uint32_t wait_count, uint32_t flags,
                      uint64_t timeout_ns)
{
    (void)publish(&ring->uring);
    return su_mmsg_enter(ring->mmsg, wait_count, (flags & IORING_ENTER_GETEVENTS) != 0, timeout_ns,
                         &ring->counts.syscalls);
}

/* 0 or -errno; a time-out and a signal are no errors. */
static int enter(struct su_ring *ring, uint32_t wait_count, uint32_t flags, uint64_t timeout_ns)
{
    if (SB_UNLIKELY(ring->lent != NULL))
        return 0; /* the lender does it */
    ring->expected_count += ring->expected_queued;
    ring->expected_queued = 0;
    ring->counts.enters++;
    int taken = ring->mmsg == NULL ? enter_uring(ring, wait_count, flags, timeout_ns)
                                   : enter_mmsg(ring, wait_count, flags, timeout_ns);
    if (taken >= 0) {
        ring->counts.sqes += (uint32_t)taken;
        return 0;
    }
    return taken == -ETIME || taken == -EINTR ? 0 : taken;
}

int su_ring_submit(struct su_ring *ring)
{
    SB_ASSERT(ring->state == SU_RING_ENABLED);
    if (su_ring_queued(ring) == 0)
        return 0;
    return enter(ring, 0, 0, SB_NEVER);
}

int su_ring_enter(struct su_ring *ring, uint64_t timeout_ns)
{
    SB_ASSERT(ring->state == SU_RING_ENABLED);
    uint32_t wait_count = timeout_ns == 0 ? 0 : 1;
    return enter(ring, wait_count, IORING_ENTER_GETEVENTS, timeout_ns);
}

int su_ring_wait(struct su_ring *ring, uint64_t timeout_ns)
{
    uint32_t expected_count = ring->expected_count + ring->expected_queued;
    if (timeout_ns == 0 || expected_count == 0)
        return su_ring_enter(ring, timeout_ns);
    SB_ASSERT(ring->state == SU_RING_ENABLED);
    return enter(ring, expected_count + 1, IORING_ENTER_GETEVENTS,
                 sb_time_min(timeout_ns, SU_RING_LATE_NS));
}

static struct io_uring_sqe *sqe_after_submit(struct su_ring *ring)
{
    return su_ring_submit(ring) == 0 ? io_uring_get_sqe(ring->kernel) : NULL;
}

static void note_short(struct su_ring *ring)
{
    if (ring->lent != NULL)
        ring->lent->is_short = true;
}

void su_ring_begin_lent(struct su_ring *ring)
{
    ring->lent->is_short = false;
    ring->expected_queued = 0;
}

struct io_uring_sqe *su_ring_sqe(struct su_ring *ring)
{
    if (SB_UNLIKELY(ring->inject_full_count != 0)) {
        ring->inject_full_count--;
        note_short(ring);
        return NULL;
    }
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring->kernel);
    if (SB_UNLIKELY(sqe == NULL)) {
        sqe = ring->lent == NULL ? sqe_after_submit(ring) : NULL;
        if (sqe == NULL) {
            note_short(ring);
            return NULL;
        }
    }
    memset(sqe, 0, sizeof(*sqe));
    return sqe;
}

bool su_ring_lent_has_room(struct su_ring *ring)
{
    bool has_room = io_uring_sq_space_left(ring->kernel) > 0;
    if (!has_room)
        note_short(ring);
    return has_room;
}

bool su_ring_reserve(struct su_ring *ring, uint32_t count)
{
    if (io_uring_sq_space_left(&ring->uring) >= count)
        return true;
    return su_ring_submit(ring) == 0 && io_uring_sq_space_left(&ring->uring) >= count;
}

static struct su_completion copy_of(const struct io_uring_cqe *cqe)
{
    return (struct su_completion){
        .op = su_op_unpack(cqe->user_data),
        .result = cqe->res,
        .flags = cqe->flags,
    };
}

uint32_t su_ring_completions(struct su_ring *ring, struct su_completion *ret, uint32_t count)
{
    uint32_t taken = 0;
    uint32_t head;
    struct io_uring_cqe *cqe;
    ring->expected_count = 0; /* those that are still to come end a wait when they come */

    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (taken == count)
            break;
        ret[taken] = copy_of(cqe);
        if (SB_UNLIKELY(ring->inject != NULL))
            ring->inject(ring->inject_context, &ret[taken]);
        taken++;
    }
    io_uring_cq_advance(&ring->uring, taken);
    ring->counts.cqes += taken;
    return taken;
}

bool su_ring_has_more(const struct su_ring *ring)
{
    if (ring->mmsg != NULL)
        return su_mmsg_has_more(ring->mmsg);
    return (ring->setup_flags & IORING_SETUP_TASKRUN_FLAG) != 0 && su_ring_wants_enter(ring);
}

/* ---- a wait elsewhere ---- */

/* The kernel signals an eventfd for each completion, and for work that it has deferred.  The
 * descriptor of the ring itself would not do: with DEFER_TASKRUN deferred work wakes nobody who
 * polls that (seen with kernel 6.18).  During a turn the ring's flag keeps the kernel from
 * signalling what the turn takes anyway. */
static int make_poll_fd(struct su_ring *ring)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    int error = io_uring_register_eventfd(&ring->uring, fd);
    if (error == 0)
        error = io_uring_cq_eventfd_toggle(&ring->uring, false);
    if (error != 0) {
        (void)close(fd);
        return error;
    }
    return fd;
}

int su_ring_poll_fd(struct su_ring *ring)
{
    SB_ASSERT(ring->state == SU_RING_ENABLED);
    if (ring->has_poll_fd)
        return ring->poll_fd;
    if (ring->lent != NULL)
        return -ENOTSUP;
    int fd = ring->mmsg != NULL ? su_mmsg_fd(ring->mmsg) : make_poll_fd(ring);
    if (fd < 0)
        return fd;
    ring->poll_fd = fd;
    ring->has_poll_fd = true;
    return fd;
}

bool su_ring_poll_begin(struct su_ring *ring)
{
    if (ring->lent != NULL)
        return !su_ring_is_ready(ring) && !ring->lent->is_short;
    if (!ring->has_poll_fd)
        return false;
    if (ring->mmsg != NULL)
        return !su_ring_is_ready(ring); /* epoll's descriptor is always right */
    (void)io_uring_cq_eventfd_toggle(&ring->uring, true);
    /* The flag is seen before this look, or what completes meanwhile is seen by it. */
    atomic_thread_fence(memory_order_seq_cst);
    return !su_ring_needs_enter(ring);
}

void su_ring_poll_end(struct su_ring *ring)
{
    uint64_t count;
    if (!ring->has_poll_fd || ring->mmsg != NULL)
        return;
    (void)io_uring_cq_eventfd_toggle(&ring->uring, false);
    ring->counts.syscalls++;
    (void)!read(ring->poll_fd, &count, sizeof(count)); /* -EAGAIN: it was not signalled */
}

/* Throws away what has completed; returns how many those were. */
static uint32_t discard(struct su_ring *ring)
{
    uint32_t count = 0;
    uint32_t head;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        struct su_completion completion = copy_of(cqe);
        if (ring->on_discard != NULL)
            ring->on_discard(ring->discard_context, &completion);
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
    ring->counts.cqes += count;
    return count;
}

static int cancel_everything(struct su_ring *ring)
{
    for (uint32_t round = 0; round < STOP_ROUND_COUNT; round++) {
        struct io_uring_sync_cancel_reg cancel = {
            .fd = -1,
            .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
            .timeout = {.tv_nsec = (long long)STOP_WAIT_NS},
        };
        int found = io_uring_register_sync_cancel(&ring->uring, &cancel);
        uint32_t completed = discard(ring);
        (void)enter(ring, 0, IORING_ENTER_GETEVENTS, 0);
        completed += discard(ring);
        /* Kernels differ in whether "nothing to cancel" is ENOENT or 0, which also means "done":
         * it is over when a whole round saw no end of anything. */
        bool is_quiet = completed == 0 && !io_uring_cq_has_overflow(&ring->uring);
        if (is_quiet && (found == 0 || found == -ENOENT))
            return 0;
        if (is_quiet)
            (void)enter(ring, 1, IORING_ENTER_GETEVENTS, STOP_WAIT_NS);
    }
    return -ETIME;
}

static int stop_uring(struct su_ring *ring)
{
    int error = 0;
    if (ring->state == SU_RING_ENABLED)
        error = cancel_everything(ring);
    if (ring->file_count != 0)
        (void)io_uring_unregister_files(&ring->uring);
    /* The registration belongs to this thread; su_ring_deinit may run on another. */
    if (ring->has_registered_fd)
        (void)io_uring_unregister_ring_fd(&ring->uring);
    ring->has_registered_fd = false;
    return error;
}

int su_ring_stop(struct su_ring *ring)
{
    if (ring->state == SU_RING_NONE || ring->state == SU_RING_STOPPED)
        return 0;

    int error = 0;
    if (ring->mmsg != NULL)
        su_mmsg_stop(ring->mmsg);
    else if (ring->lent != NULL)
        error = su_lent_stop(ring->lent);
    else
        error = stop_uring(ring);
    ring->files_used = 0;
    advance(ring, SU_RING_STOPPED);
    return error;
}

void su_ring_deinit(struct su_ring *ring)
{
    if (ring->state == SU_RING_NONE)
        return;
    SB_ASSERT(ring->state != SU_RING_ENABLED);

    if (ring->mmsg != NULL)
        su_mmsg_destroy(ring->mmsg);
    else if (ring->lent != NULL)
        su_lent_destroy(ring->lent, &ring->uring);
    else
        io_uring_queue_exit(&ring->uring);
    if (ring->has_poll_fd && ring->mmsg == NULL)
        (void)close(ring->poll_fd);
    *ring = (struct su_ring){0};
}

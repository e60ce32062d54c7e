/* SPDX-License-Identifier: MIT */
#include "uring/wake.h"

/* The doorbell.  Why nothing is lost is in the header; W and S are its steps. */

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/base/assert.h"

int su_wake_init(struct su_wake *wake, struct su_ring *ring, uint32_t index)
{
    SB_ASSERT(wake != NULL && ring != NULL && ring->state != SU_RING_NONE);
    *wake = (struct su_wake){.ring = ring, .event_fd = -1, .file = -1, .index = index};
    atomic_init(&wake->bell_fd, SU_WAKE_NONE);

    int event_fd = eventfd(0, EFD_CLOEXEC);
    if (event_fd < 0)
        return -errno;
    int file = su_ring_file_add(ring, event_fd);
    if (file < 0) {
        (void)close(event_fd);
        return file;
    }
    wake->event_fd = event_fd;
    wake->file = file;
    return 0;
}

void su_wake_deinit(struct su_wake *wake)
{
    if (wake->ring == NULL)
        return;
    if (wake->file >= 0)
        su_ring_file_remove(wake->ring, (uint32_t)wake->file);
    if (wake->event_fd >= 0)
        (void)close(wake->event_fd);
    wake->ring = NULL;
    wake->event_fd = -1;
    wake->file = -1;
}

void su_wake_rearm(struct su_wake *wake)
{
    if (wake->is_armed)
        return;
    struct io_uring_sqe *sqe = su_ring_sqe(wake->ring);
    if (sqe == NULL)
        return; /* in the next turn; a bell until then stays in the eventfd */
    wake->generation = su_generation_next(wake->generation);
    io_uring_prep_read(sqe, wake->file, &wake->event_value, sizeof(wake->event_value), 0);
    const struct su_op op = {
        .index = wake->index,
        .generation = wake->generation,
        .kind = SU_OP_WAKE,
    };
    su_ring_finish(wake->ring, sqe, op);
    wake->is_armed = true;
}

void su_wake_take(struct su_wake *wake, const struct su_completion *completion)
{
    if (completion->op.kind == SU_OP_DOORBELL) {
        wake->doorbells++;
        return;
    }
    SB_ASSERT(completion->op.kind == SU_OP_WAKE);
    if (!wake->is_armed || completion->op.generation != wake->generation)
        return;
    wake->is_armed = false;
    if (completion->result == (int32_t)sizeof(wake->event_value))
        wake->doorbells++;
}

static void sleep_at(struct su_wake *wake, int fd)
{
    /* Release, pairs with claim(): the descriptor may just have been made, and who rings must find
     * it in the table of descriptors. */
    atomic_store_explicit(&wake->bell_fd, fd, memory_order_release);
    /* S1 before S2; pairs with the fence in claim(): of two threads that each store and then load
     * what the other stores, at least one sees the other's store. */
    atomic_thread_fence(memory_order_seq_cst);
}

void su_wake_sleep(struct su_wake *wake)
{
    sleep_at(wake, wake->event_fd);
}

void su_wake_sleep_in_poll(struct su_wake *wake)
{
    bool has_eventfd_in_ring = wake->ring->mmsg != NULL || su_ring_is_lent(wake->ring);
    SB_ASSERT(has_eventfd_in_ring || wake->ring->has_poll_fd);
    sleep_at(wake, has_eventfd_in_ring ? wake->event_fd : wake->ring->poll_fd);
}

void su_wake_up(struct su_wake *wake)
{
    /* Relaxed: what the waker pushed is seen through the queue's own release and acquire. */
    atomic_store_explicit(&wake->bell_fd, SU_WAKE_NONE, memory_order_relaxed);
}

/* W2: returns where to ring, for the one waker that has to; SU_WAKE_NONE for all others. */
static int claim(struct su_wake *wake)
{
    atomic_thread_fence(memory_order_seq_cst); /* W1 before W2; pairs with sleep_at() */
    if (atomic_load_explicit(&wake->bell_fd, memory_order_relaxed) == SU_WAKE_NONE)
        return SU_WAKE_NONE; /* the common case: one load, no write to the line */
    return atomic_exchange_explicit(&wake->bell_fd, SU_WAKE_NONE, memory_order_acquire);
}

static void ring_event(int fd)
{
    uint64_t one = 1;
    ssize_t written;
    do
        written = write(fd, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
    /* Anything else would mean 2^64 bells at once, or a descriptor that is not ours. */
    SB_ASSERT(written == (ssize_t)sizeof(one));
}

bool su_wake_ring(struct su_wake *wake)
{
    int fd = claim(wake);
    if (fd == SU_WAKE_NONE)
        return false;
    ring_event(fd);
    return true;
}

bool su_wake_ring_from(struct su_wake *wake, struct su_ring *from)
{
    SB_ASSERT(wake->ring != from);
    int fd = claim(wake);
    if (fd == SU_WAKE_NONE)
        return false;

    bool has_msg_ring = fd == wake->event_fd && wake->ring->mmsg == NULL && from->mmsg == NULL &&
                        !su_ring_is_lent(wake->ring) && !su_ring_is_lent(from);
    struct io_uring_sqe *sqe = has_msg_ring ? su_ring_sqe(from) : NULL;
    if (sqe == NULL) {
        ring_event(fd);
        return true;
    }
    uint64_t there = su_op_pack((struct su_op){.index = wake->index, .kind = SU_OP_DOORBELL});
    io_uring_prep_msg_ring(sqe, wake->ring->uring.ring_fd, 0, there, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = su_op_pack((struct su_op){.index = wake->index, .kind = SU_OP_DOORBELL_LOST});
    return true;
}

void su_wake_ring_lost(struct su_wake *wake)
{
    ring_event(wake->event_fd);
}

/* SPDX-License-Identifier: MIT */
/* Linked into own_ring with --wrap: fills the completion queue of its ring once, so that the kernel
 * ends what completes again and again. */

#include <liburing.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#define NOTHING \
    (UINT64_C(1) << 40) /* for own_ring: a TCP client of a descriptor that is not open */

enum { FULL_US = 1500000 }; /* until the timer has fired meanwhile */

int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **ret,
                                            unsigned count, struct __kernel_timespec *timeout,
                                            sigset_t *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **ret,
                                            unsigned count, struct __kernel_timespec *timeout,
                                            sigset_t *mask);

static void flood(struct io_uring *ring)
{
    for (unsigned i = 0; i < 2 * ring->cq.ring_entries; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
        if (sqe == NULL) {
            if (io_uring_submit(ring) < 0 || (sqe = io_uring_get_sqe(ring)) == NULL)
                abort();
        }
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data64(sqe, NOTHING);
    }
    (void)io_uring_submit(ring);
    (void)usleep(FULL_US);
    (void)io_uring_get_events(ring); /* the timer finds the queue full */
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **ret,
                                            unsigned count, struct __kernel_timespec *timeout,
                                            sigset_t *mask)
{
    static bool is_flooded;
    if (!is_flooded)
        flood(ring);
    is_flooded = true;
    return __real_io_uring_submit_and_wait_timeout(ring, ret, count, timeout, mask);
}

/* SPDX-License-Identifier: MIT */
#include "bench/load/host_ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "bench/load/clock.h"

#define TAG (UINT64_C(0xff) << 56)

enum { SUBMISSIONS = 1024, COMPLETIONS = 8192 };

struct host_ring {
    struct io_uring uring;
    struct spate_lent_ring lent;
};

int host_ring_open(struct host_ring **ret)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    struct host_ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL)
        return -ENOMEM;
    int error = io_uring_queue_init_params(SUBMISSIONS, &ring->uring, &params);
    if (error != 0) {
        free(ring);
        return error;
    }
    (void)io_uring_register_ring_fd(&ring->uring);
    ring->lent = (struct spate_lent_ring){
        .size = sizeof(ring->lent),
        .ring = &ring->uring,
        .tag_mask = TAG,
        .tag = TAG,
        .file_first = SPATE_LENT_NO_FILES,
    };
    if (io_uring_register_files_sparse(&ring->uring, 64) == 0)
        ring->lent.file_first = 0;
    *ret = ring;
    return 0;
}

const struct spate_lent_ring *host_ring_lent(const struct host_ring *ring)
{
    return &ring->lent;
}

static int wait_until(struct host_ring *ring, uint64_t due_ns)
{
    struct io_uring_cqe *cqe;
    uint64_t now_ns = due_ns == 0 ? 0 : clock_now_ns();
    if (due_ns <= now_ns)
        return io_uring_submit_and_get_events(&ring->uring);
    struct __kernel_timespec time = {
        .tv_sec = (long long)((due_ns - now_ns) / NS_PER_S),
        .tv_nsec = (long long)((due_ns - now_ns) % NS_PER_S),
    };
    return io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1,
                                            due_ns == SPATE_FOREVER ? NULL : &time, NULL);
}

int host_ring_wait(struct host_ring *ring, struct spate_shard *shard, uint64_t due_ns)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned count = 0;
    int result = wait_until(ring, due_ns);
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY)
        return result;
    result = 1;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        result = spate_ring_complete(shard, cqe);
        if (result < 0)
            break; /* -EAGAIN: after the next turn */
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
    return result >= 0 || result == -EAGAIN ? 0 : result;
}

void host_ring_close(struct host_ring *ring)
{
    if (ring == NULL)
        return;
    io_uring_queue_exit(&ring->uring);
    free(ring);
}

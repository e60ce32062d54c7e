/* SPDX-License-Identifier: MIT */
#include "uring/lent.h"

/* The queue of completions has as many places as the lender's, so that a lender that hands in what
 * its ring holds, and runs a turn, never finds it full.
 *
 * su_lent_stop() looks into the lender's submission queue: entries that the kernel has not taken
 * lie between the kernel's head and the tail of liburing's side.  There is no SQPOLL thread that
 * could take them meanwhile, because such rings are refused. */

#include <errno.h>
#include <stdlib.h>

#include "proto/base/assert.h"
#include "uring/ring.h"

enum {
    KIND_BITS = 4,
    GENERATION_BITS = 24,
    INDEX_BITS = 28,
    TAG_BITS_MAX = 8,
    COMPLETIONS_MIN = 256,
    STOP_ROUNDS = 100,
    STOP_WAIT_NS = 10000000, /* a second for all rounds */
    LENT_APP = 15,           /* SU_OP_APP is larger than 4 bits */
};

_Static_assert(KIND_BITS + GENERATION_BITS + INDEX_BITS + TAG_BITS_MAX == 64, "all bits");
_Static_assert((int)SU_OP_DOORBELL_LOST < (int)LENT_APP, "kinds fit");

/* ---- what can be lent ---- */

static bool is_low(uint64_t mask)
{
    return (mask & (mask + 1)) == 0;
}

static bool is_tag(const struct su_lent_config *config)
{
    uint64_t mask = config->tag_mask;
    uint32_t count = (uint32_t)__builtin_popcountll(mask);
    return count >= 1 && count <= TAG_BITS_MAX && (is_low(mask) || is_low(~mask)) &&
           (config->tag & ~mask) == 0;
}

const char *su_lent_check(const struct su_lent_config *config)
{
    if (config->uring == NULL)
        return "ring is NULL";
    if (!is_tag(config))
        return "tag_mask must have 1 to 8 bits, all at the top or all at the bottom, and tag only "
               "bits of it";
    if ((config->uring->flags & IORING_SETUP_IOPOLL) != 0)
        return "the ring has IORING_SETUP_IOPOLL, with which sockets cannot be used";
    if ((config->uring->flags & IORING_SETUP_SQPOLL) != 0)
        return "the ring has IORING_SETUP_SQPOLL, whose thread takes submissions at any time";
    if ((config->uring->features & IORING_FEAT_NODROP) == 0)
        return "the ring drops completions that do not fit (no IORING_FEAT_NODROP)";
    return NULL;
}

/* ---- life ---- */

int su_lent_create(const struct su_lent_config *config, struct io_uring *own, uint32_t file_count,
                   struct su_lent **ret)
{
    uint32_t count = COMPLETIONS_MIN;
    while (count < config->uring->cq.ring_entries)
        count *= 2;
    struct su_lent *lent = calloc(1, sizeof(*lent));
    int *fds = calloc(SB_MAX(file_count, 1u), sizeof(*fds));
    struct io_uring_cqe *cqes = calloc(count, sizeof(*cqes));
    if (lent == NULL || fds == NULL || cqes == NULL) {
        free(lent);
        free(fds);
        free(cqes);
        return -ENOMEM;
    }
    *lent = (struct su_lent){
        .uring = config->uring,
        .tag = config->tag,
        .tag_mask = config->tag_mask,
        .shift = is_low(config->tag_mask) ? TAG_BITS_MAX : 0,
        .file_first = config->file_first,
        .fds = fds,
        .fd_count = file_count,
    };
    for (uint32_t i = 0; i < file_count; i++)
        fds[i] = -1;
    *own = (struct io_uring){.ring_fd = -1, .enter_ring_fd = -1};
    own->sq.khead = &lent->sq_none;
    own->sq.ktail = &lent->sq_none;
    own->sq.kflags = &lent->flags;
    own->cq.khead = &lent->cq_head;
    own->cq.ktail = &lent->cq_tail;
    own->cq.cqes = cqes;
    own->cq.ring_entries = count;
    own->cq.ring_mask = count - 1;
    *ret = lent;
    return 0;
}

void su_lent_destroy(struct su_lent *lent, struct io_uring *own)
{
    if (lent == NULL)
        return;
    free(own->cq.cqes);
    free(lent->fds);
    free(lent);
}

/* ---- files ---- */

int su_lent_file_set(struct su_lent *lent, uint32_t index, int fd)
{
    SB_ASSERT(index < lent->fd_count);
    if (lent->file_first != SU_LENT_NO_FILES) {
        int updated = io_uring_register_files_update(lent->uring, lent->file_first + index, &fd, 1);
        if (updated != 1)
            return updated < 0 ? updated : -ENXIO;
    }
    lent->fds[index] = fd;
    return 0;
}

void su_lent_use_file(const struct su_lent *lent, struct io_uring_sqe *sqe)
{
    SB_ASSERT((uint32_t)sqe->fd < lent->fd_count);
    if (lent->file_first == SU_LENT_NO_FILES) {
        sqe->fd = lent->fds[sqe->fd];
    } else {
        sqe->fd += (int)lent->file_first;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
}

/* ---- user data ---- */

uint64_t su_lent_user_data(const struct su_lent *lent, struct su_op op)
{
    uint64_t kind = op.kind == SU_OP_APP ? LENT_APP : op.kind;
    SB_ASSERT(kind < 1 << KIND_BITS && op.index < 1u << INDEX_BITS);
    SB_ASSERT(op.generation <= SU_GENERATION_MASK);
    uint64_t packed =
        kind << (GENERATION_BITS + INDEX_BITS) | (uint64_t)op.generation << INDEX_BITS | op.index;
    return packed << lent->shift | lent->tag;
}

static struct su_op unpack(const struct su_lent *lent, uint64_t user_data)
{
    uint64_t packed = (user_data & ~lent->tag_mask) >> lent->shift;
    uint8_t kind = (uint8_t)(packed >> (GENERATION_BITS + INDEX_BITS));
    return (struct su_op){
        .index = (uint32_t)packed & ((1u << INDEX_BITS) - 1),
        .generation = (uint32_t)(packed >> INDEX_BITS) & SU_GENERATION_MASK,
        .kind = kind == LENT_APP ? SU_OP_APP : kind,
    };
}

static bool is_ours(const struct su_lent *lent, uint64_t user_data)
{
    return (user_data & lent->tag_mask) == lent->tag;
}

/* ---- completions ---- */

int su_lent_take(struct su_ring *ring, const struct io_uring_cqe *cqe)
{
    struct su_lent *lent = ring->lent;
    struct io_uring_cq *cq = &ring->uring.cq;
    if (!is_ours(lent, cqe->user_data))
        return 0;
    if (lent->cq_tail - lent->cq_head == cq->ring_entries)
        return -EAGAIN;
    struct io_uring_cqe *place = &cq->cqes[lent->cq_tail & cq->ring_mask];
    place->user_data = su_op_pack(unpack(lent, cqe->user_data));
    place->res = cqe->res;
    place->flags = cqe->flags;
    lent->cq_tail++;
    return 1;
}

/* ---- the end ---- */

/* Makes NOPs of our submissions that the kernel has not taken: they point into our memory. */
static void withdraw(const struct su_lent *lent)
{
    const struct io_uring_sq *sq = &lent->uring->sq;
    uint32_t shift = (lent->uring->flags & IORING_SETUP_SQE128) != 0;
    for (uint32_t at = *sq->khead; at != sq->sqe_tail; at++) {
        struct io_uring_sqe *sqe = &sq->sqes[(size_t)(at & sq->ring_mask) << shift];
        uint64_t user_data = sqe->user_data;
        if (!is_ours(lent, user_data))
            continue;
        *sqe = (struct io_uring_sqe){.opcode = IORING_OP_NOP, .fd = -1, .user_data = user_data};
    }
}

static int cancel_by_file(const struct su_lent *lent, uint32_t index)
{
    struct io_uring_sync_cancel_reg cancel = {
        .fd = lent->fds[index],
        .flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL,
        .timeout = {.tv_nsec = STOP_WAIT_NS},
    };
    if (lent->file_first != SU_LENT_NO_FILES) {
        cancel.fd = (int)(lent->file_first + index);
        cancel.flags |= IORING_ASYNC_CANCEL_FD_FIXED;
    }
    return io_uring_register_sync_cancel(lent->uring, &cancel);
}

/* One round for all files.  Returns true if there was nothing to cancel any more. */
static bool cancel_round(const struct su_lent *lent)
{
    bool is_over = true;
    for (uint32_t i = 0; i < lent->fd_count; i++)
        if (lent->fds[i] >= 0 && cancel_by_file(lent, i) != -ENOENT)
            is_over = false;
    /* With DEFER_TASKRUN the cancelled ones end in here.  Takes nothing off the ring. */
    (void)io_uring_get_events(lent->uring);
    return is_over;
}

int su_lent_stop(struct su_lent *lent)
{
    bool is_over = false;
    withdraw(lent);
    for (uint32_t round = 0; round < STOP_ROUNDS && !is_over; round++)
        is_over = cancel_round(lent);
    for (uint32_t i = 0; i < lent->fd_count; i++)
        if (lent->fds[i] >= 0)
            (void)!su_lent_file_set(lent, i, -1);
    return is_over ? 0 : -ETIME;
}

/* SPDX-License-Identifier: MIT */
#include "uring/zero_copy.h"

/* Finds out by sending what the kernel can do, and which sockets gain by it.
 *
 * A refusal before the first success lowers the mode by one step.  Afterwards it is about one
 * send only.  Copies are counted per socket; a socket that reaches SU_ZERO_COPY_PATIENCE of
 * them in a row sends normally, until it is closed. */

#include <errno.h>
#include <sys/uio.h>

#include "proto/base/assert.h"

void su_zero_copy_begin(struct su_zero_copy *zero_copy, struct su_ring *ring, struct su_slab *slab)
{
    if (su_ring_backend(ring) != SU_BACKEND_IO_URING || su_ring_is_lent(ring))
        return; /* a lender may have registered buffers */
    const struct iovec all = {
        .iov_base = slab->base,
        .iov_len = slab->slot_size * slab->slot_count,
    };
    *zero_copy = (struct su_zero_copy){.mode = SU_ZERO_COPY_PINNED};
    if (io_uring_register_buffers(&ring->uring, &all, 1) != 0)
        return;
    slab->is_registered = true;
    zero_copy->mode = SU_ZERO_COPY_FIXED;
}

void su_zero_copy_prepare(const struct su_zero_copy *zero_copy, struct io_uring_sqe *sqe,
                          const struct su_socket *socket, const struct msghdr *message)
{
    SB_ASSERT(zero_copy->mode != SU_ZERO_COPY_OFF);
    io_uring_prep_sendmsg_zc(sqe, socket->file, message, 0);
    sqe->ioprio |= IORING_SEND_ZC_REPORT_USAGE;
    if (zero_copy->mode == SU_ZERO_COPY_FIXED) {
        sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
        sqe->buf_index = 0;
    }
}

static void count_copy(struct su_zero_copy *zero_copy, const struct su_socket *socket)
{
    uint8_t *run = &zero_copy->copied_run[socket->file];
    if (*run < SU_ZERO_COPY_PATIENCE)
        (*run)++;
}

bool su_zero_copy_on_result(struct su_zero_copy *zero_copy, const struct su_socket *socket,
                            int32_t result)
{
    switch (-result) {
    case EINVAL:
    case EOPNOTSUPP:
        if (zero_copy->is_proven) /* then it is about something else: segmentation */
            return false;
        if (zero_copy->mode > SU_ZERO_COPY_OFF)
            zero_copy->mode--;
        return true;
    case ENOMEM:
    case ENOBUFS: /* memory could not be pinned: as good as a copy */
        count_copy(zero_copy, socket);
        return true;
    default:
        zero_copy->is_proven = zero_copy->is_proven || result >= 0;
        return false;
    }
}

bool su_zero_copy_on_notification(struct su_zero_copy *zero_copy, const struct su_socket *socket,
                                  int32_t report)
{
    bool was_copied = ((uint32_t)report & IORING_NOTIF_USAGE_ZC_COPIED) != 0;
    if (was_copied)
        count_copy(zero_copy, socket);
    else if (zero_copy->copied_run[socket->file] < SU_ZERO_COPY_PATIENCE)
        zero_copy->copied_run[socket->file] = 0;
    return was_copied;
}

void su_zero_copy_forget(struct su_zero_copy *zero_copy, const struct su_socket *socket)
{
    zero_copy->copied_run[socket->file] = 0;
}

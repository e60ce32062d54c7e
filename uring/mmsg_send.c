/* SPDX-License-Identifier: MIT */
#include "uring/mmsg_impl.h"

/* Sends: one chain per file, in order; one sendmmsg takes up to SU_MMSG_SENDS_MAX of it.
 *
 * The call stops at the first message that fails, and reports the error only if that was its first
 * message.  So the next call starts with the failed message.  It either gets the error again or
 * succeeds: the kernel reports an ICMP error of an earlier datagram once.
 *
 * The calls do not block although the sockets do.  A send that would block is kept, with those
 * after it, until epoll reports room, as in io_uring. */

#include <errno.h>
#include <sys/epoll.h>

#include "proto/base/assert.h"
#include "uring/hosted.h"

bool su_mmsg_send(struct su_mmsg *mmsg, uint32_t index, const struct io_uring_sqe *sqe)
{
    struct su_mmsg_file *file = &mmsg->files[index];
    uint32_t at = mmsg->send_free;
    if (at == SU_MMSG_NONE)
        return false;

    struct su_mmsg_send *send = &mmsg->sends[at];
    mmsg->send_free = send->next;
    *send = (struct su_mmsg_send){
        .message = (const struct msghdr *)(uintptr_t)sqe->addr,
        .user_data = sqe->user_data,
        .next = SU_MMSG_NONE,
        .is_quiet = (sqe->flags & IOSQE_CQE_SKIP_SUCCESS) != 0,
        .take_count = send->take_count,
    };
    if (file->send_first == SU_MMSG_NONE)
        file->send_first = at;
    else
        mmsg->sends[file->send_last].next = at;
    file->send_last = at;
    if ((file->wanted & EPOLLOUT) == 0)
        mmsg->sending |= UINT64_C(1) << index;
    return true;
}

static void pop(struct su_mmsg *mmsg, struct su_mmsg_file *file)
{
    uint32_t at = file->send_first;
    file->send_first = mmsg->sends[at].next;
    mmsg->sends[at].next = mmsg->send_free;
    mmsg->send_free = at;
}

/* The first of the file's sends is over. */
static void finish(struct su_mmsg *mmsg, struct su_mmsg_file *file, int32_t result)
{
    const struct su_mmsg_send *send = &mmsg->sends[file->send_first];
    if (result < 0 || !send->is_quiet)
        su_mmsg_complete(mmsg, send->user_data, result, 0);
    pop(mmsg, file);
}

static void block(struct su_mmsg *mmsg, struct su_mmsg_file *file)
{
    file->wanted |= EPOLLOUT;
    int error = su_mmsg_watch(mmsg, file);
    if (error == 0)
        return;
    /* It could not be waited for: the local queue is full, and this one is lost in it. */
    file->wanted &= ~(uint32_t)EPOLLOUT;
    finish(mmsg, file, -EAGAIN);
}

/* One sendmmsg.  False: there is nothing more to do now. */
static bool send_batch(struct su_mmsg *mmsg, struct su_mmsg_file *file)
{
    struct mmsghdr headers[SU_MMSG_SENDS_MAX];
    uint32_t count_max = SB_MIN((uint32_t)SU_MMSG_SENDS_MAX, su_mmsg_room(mmsg));
    uint32_t count = 0;
    for (uint32_t at = file->send_first; at != SU_MMSG_NONE && count < count_max;
         at = mmsg->sends[at].next)
        headers[count++].msg_hdr = *mmsg->sends[at].message;
    if (count == 0)
        return false;

    mmsg->calls++;
    int sent = sendmmsg(file->fd, headers, count, MSG_DONTWAIT);
    if (sent < 0) {
        int error = errno;
        if (error == EAGAIN)
            block(mmsg, file);
        else if (error != EINTR)
            finish(mmsg, file, -error);
        return (file->wanted & EPOLLOUT) == 0;
    }
    for (int i = 0; i < sent; i++)
        finish(mmsg, file, (int32_t)headers[i].msg_len);
    return true;
}

void su_mmsg_send_flush(struct su_mmsg *mmsg, uint32_t index)
{
    struct su_mmsg_file *file = &mmsg->files[index];
    if (file->fd == SU_HOSTED_FD)
        return; /* the host takes them */
    if ((file->wanted & EPOLLOUT) != 0) {
        file->wanted &= ~(uint32_t)EPOLLOUT;
        (void)su_mmsg_watch(mmsg, file); /* to watch less cannot fail */
    }
    while (send_batch(mmsg, file))
        ;
    bool is_waiting = file->send_first != SU_MMSG_NONE && (file->wanted & EPOLLOUT) == 0;
    if (is_waiting) /* for room among the completions */
        mmsg->sending |= UINT64_C(1) << index;
    else
        mmsg->sending &= ~(UINT64_C(1) << index);
}

void su_mmsg_send_done(struct su_mmsg *mmsg)
{
    while (mmsg->done_first != SU_MMSG_NONE && su_mmsg_room(mmsg) > 0) {
        uint32_t at = mmsg->done_first;
        struct su_mmsg_send *send = &mmsg->sends[at];
        mmsg->done_first = send->next;
        if (send->result < 0 || !send->is_quiet)
            su_mmsg_complete(mmsg, send->user_data, send->result, 0);
        send->next = mmsg->send_free;
        mmsg->send_free = at;
    }
}

void su_mmsg_send_forget(struct su_mmsg *mmsg, uint32_t index)
{
    struct su_mmsg_file *file = &mmsg->files[index];
    while (file->send_first != SU_MMSG_NONE)
        pop(mmsg, file);
    mmsg->sending &= ~(UINT64_C(1) << index);
}

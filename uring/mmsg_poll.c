/* SPDX-License-Identifier: MIT */
#include "uring/mmsg_impl.h"

/* POLL_ADD by epoll, for descriptors of the program.
 *
 * In epoll's data a descriptor is known by SU_RING_FILE_COUNT_MAX + its place; below that are the
 * registered files.  One that is polled once is level-triggered and taken out with its completion;
 * a multishot one is edge-triggered and reports again when more comes, as io_uring does.
 *
 * What epoll watches is a duplicate of the descriptor.  epoll forgets a file when the last
 * descriptor of it is closed, and can be asked to forget one only by a descriptor that it was
 * given.  So if the program closed its own while another duplicate lives, epoll would report the
 * file for ever.  The duplicate keeps the file open until the watch is over, as io_uring does, and
 * several of them can watch one file. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proto/base/assert.h"

_Static_assert(EPOLLIN == 1 && EPOLLPRI == 2 && EPOLLOUT == 4 && EPOLLERR == 8 && EPOLLHUP == 16,
               "the bits of poll()");

static int control(struct su_mmsg *mmsg, int operation, uint32_t index)
{
    struct su_mmsg_poll *poll = &mmsg->polls[index];
    struct epoll_event event = {
        .events = poll->events | (poll->is_multishot ? (uint32_t)EPOLLET : 0),
        .data.u32 = SU_RING_FILE_COUNT_MAX + index,
    };
    mmsg->calls++;
    return epoll_ctl(mmsg->epoll_fd, operation, poll->fd, &event) == 0 ? 0 : -errno;
}

/* Begins to watch a duplicate of `fd`.  Returns 0 or -errno. */
static int begin(struct su_mmsg *mmsg, uint32_t index, int fd)
{
    struct su_mmsg_poll *poll = &mmsg->polls[index];
    mmsg->calls++;
    poll->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (poll->fd < 0)
        return -errno;
    int error = control(mmsg, EPOLL_CTL_ADD, index);
    if (error != 0)
        (void)close(poll->fd);
    return error;
}

static void forget(struct su_mmsg *mmsg, uint32_t index)
{
    (void)control(mmsg, EPOLL_CTL_DEL, index); /* close() is not enough: the file lives on */
    mmsg->calls++;
    (void)close(mmsg->polls[index].fd);
}

static void put_free(struct su_mmsg *mmsg, uint32_t index)
{
    mmsg->polls[index] = (struct su_mmsg_poll){.next = mmsg->poll_free};
    mmsg->poll_free = index;
}

/* Returns a free place, or SU_MMSG_NONE without memory. */
static uint32_t take_free(struct su_mmsg *mmsg)
{
    if (mmsg->poll_count == 0)
        mmsg->poll_free = SU_MMSG_NONE;
    if (mmsg->poll_free == SU_MMSG_NONE && mmsg->poll_count < SU_MMSG_POLLS_MAX) {
        uint32_t count = SB_MAX(2 * mmsg->poll_count, (uint32_t)SU_MMSG_POLLS_MIN);
        struct su_mmsg_poll *more = calloc(count, sizeof(*more));
        if (more == NULL)
            return SU_MMSG_NONE;
        if (mmsg->poll_count > 0)
            memcpy(more, mmsg->polls, mmsg->poll_count * sizeof(*more));
        free(mmsg->polls);
        mmsg->polls = more;
        for (uint32_t i = count; i > mmsg->poll_count; i--)
            put_free(mmsg, i - 1);
        mmsg->poll_count = count;
    }
    uint32_t index = mmsg->poll_free;
    if (index != SU_MMSG_NONE)
        mmsg->poll_free = mmsg->polls[index].next;
    return index;
}

void su_mmsg_poll_add(struct su_mmsg *mmsg, const struct io_uring_sqe *sqe)
{
    uint32_t index = take_free(mmsg);
    if (index == SU_MMSG_NONE) {
        su_mmsg_complete(mmsg, sqe->user_data, -ENOMEM, 0);
        return;
    }
    mmsg->polls[index] = (struct su_mmsg_poll){
        .user_data = sqe->user_data,
        .events = sqe->poll32_events,
        .is_armed = true,
        .is_multishot = (sqe->len & IORING_POLL_ADD_MULTI) != 0,
    };
    int error = begin(mmsg, index, sqe->fd);
    if (error == 0)
        return;
    put_free(mmsg, index);
    su_mmsg_complete(mmsg, sqe->user_data, error, 0);
}

static void end(struct su_mmsg *mmsg, uint32_t index, int32_t result)
{
    struct su_mmsg_poll *poll = &mmsg->polls[index];
    forget(mmsg, index);
    su_mmsg_complete(mmsg, poll->user_data, result, 0);
    put_free(mmsg, index);
}

bool su_mmsg_poll_cancel(struct su_mmsg *mmsg, uint64_t user_data)
{
    for (uint32_t i = 0; i < mmsg->poll_count; i++) {
        if (!mmsg->polls[i].is_armed || mmsg->polls[i].user_data != user_data)
            continue;
        end(mmsg, i, -ECANCELED);
        return true;
    }
    return false;
}

void su_mmsg_poll_ready(struct su_mmsg *mmsg, uint32_t index, uint32_t events)
{
    SB_ASSERT(index < mmsg->poll_count);
    struct su_mmsg_poll *poll = &mmsg->polls[index];
    if (!poll->is_armed)
        return;
    if (su_mmsg_room(mmsg) == 0) {
        if (poll->is_multishot) /* else the edge would be lost */
            (void)control(mmsg, EPOLL_CTL_MOD, index);
        return; /* epoll reports it again */
    }
    if (poll->is_multishot)
        su_mmsg_complete(mmsg, poll->user_data, (int32_t)events, IORING_CQE_F_MORE);
    else
        end(mmsg, index, (int32_t)events);
}

void su_mmsg_polls_forget(struct su_mmsg *mmsg)
{
    for (uint32_t i = 0; i < mmsg->poll_count; i++) {
        if (!mmsg->polls[i].is_armed)
            continue;
        forget(mmsg, i);
        put_free(mmsg, i);
    }
}

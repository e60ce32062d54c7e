/* SPDX-License-Identifier: MIT */
#include "uring/mmsg_impl.h"

/* The ring's other half without the kernel: its life, its queues and its wait.
 *
 *     enter:  take submissions -> one sendmmsg a file -> epoll -> one recvmmsg a file
 *
 * epoll watches a file only while an operation waits for it, because epoll reports a socket's
 * errors even if no event was requested.  Adding and removing cost a system call each.  So a file
 * is removed lazily: when epoll reports an event that no operation waits for.
 *
 * A submission is taken only if there is room for its completion.  Otherwise it stays in the
 * submission queue, so nothing can overflow, and the owner gets -EBUSY. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "uring/hosted.h"

#define COMPLETIONS_MIN 4 /* more than one submission makes */

/* ---- life ---- */

static uint32_t power_of_two_from(uint32_t value)
{
    uint32_t power = 1;
    while (power < value)
        power *= 2;
    return power;
}

/* Points liburing's view of the queues at ours. */
static void describe_queues(struct su_mmsg *mmsg, struct io_uring *uring)
{
    uring->ring_fd = -1;
    uring->enter_ring_fd = -1;
    uring->sq.khead = &mmsg->sq_head;
    uring->sq.ktail = &mmsg->sq_tail;
    uring->sq.kflags = &mmsg->flags;
    uring->sq.ring_mask = uring->sq.ring_entries - 1;
    uring->cq.khead = &mmsg->cq_head;
    uring->cq.ktail = &mmsg->cq_tail;
    uring->cq.ring_mask = uring->cq.ring_entries - 1;
}

static int init_memory(struct su_mmsg *mmsg, struct io_uring *uring, uint32_t sq_count,
                       uint32_t cq_count)
{
    sq_count = power_of_two_from(sq_count);
    cq_count = power_of_two_from(SB_MAX(cq_count, (uint32_t)COMPLETIONS_MIN));
    uring->sq.sqes = calloc(sq_count, sizeof(uring->sq.sqes[0]));
    uring->cq.cqes = calloc(cq_count, sizeof(uring->cq.cqes[0]));
    mmsg->sends = calloc(cq_count, sizeof(mmsg->sends[0]));
    if (uring->sq.sqes == NULL || uring->cq.cqes == NULL || mmsg->sends == NULL)
        return -ENOMEM;
    uring->sq.ring_entries = sq_count;
    uring->cq.ring_entries = cq_count;
    describe_queues(mmsg, uring);

    mmsg->send_free = SU_MMSG_NONE;
    mmsg->done_first = SU_MMSG_NONE;
    for (uint32_t i = cq_count; i > 0; i--) {
        mmsg->sends[i - 1].next = mmsg->send_free;
        mmsg->send_free = i - 1;
    }
    return 0;
}

int su_mmsg_create(struct io_uring *uring, uint32_t sq_count, uint32_t cq_count,
                   struct su_mmsg **ret)
{
    SB_ASSERT(uring != NULL && sq_count > 0 && cq_count > 0);
    struct su_mmsg *mmsg = calloc(1, sizeof(*mmsg));
    if (mmsg == NULL)
        return -ENOMEM;
    *uring = (struct io_uring){0};
    mmsg->uring = uring;
    for (uint32_t i = 0; i < SU_RING_FILE_COUNT_MAX; i++)
        mmsg->files[i] = (struct su_mmsg_file){.fd = -1, .send_first = SU_MMSG_NONE};
    mmsg->epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    int error = mmsg->epoll_fd >= 0 ? init_memory(mmsg, uring, sq_count, cq_count) : -errno;
    if (error != 0) {
        su_mmsg_destroy(mmsg);
        return error;
    }
    *ret = mmsg;
    return 0;
}

void su_mmsg_destroy(struct su_mmsg *mmsg)
{
    if (mmsg == NULL)
        return;
    for (uint32_t i = 0; i < SU_MMSG_GROUPS_MAX; i++)
        free(mmsg->groups[i].shared);
    su_mmsg_polls_forget(mmsg);
    if (mmsg->epoll_fd >= 0)
        (void)close(mmsg->epoll_fd);
    free(mmsg->uring->sq.sqes);
    free(mmsg->uring->cq.cqes);
    free(mmsg->sends);
    free(mmsg->polls);
    *mmsg->uring = (struct io_uring){0};
    free(mmsg);
}

int su_mmsg_fd(const struct su_mmsg *mmsg)
{
    return mmsg->epoll_fd;
}

/* ---- files and buffers ---- */

int su_mmsg_watch(struct su_mmsg *mmsg, struct su_mmsg_file *file)
{
    if (file->watched == file->wanted || file->fd == SU_HOSTED_FD)
        return 0;
    struct epoll_event event = {
        .events = file->wanted,
        .data.u32 = (uint32_t)(file - mmsg->files),
    };
    int operation = file->watched == 0  ? EPOLL_CTL_ADD
                    : file->wanted == 0 ? EPOLL_CTL_DEL
                                        : EPOLL_CTL_MOD;
    mmsg->calls++;
    if (epoll_ctl(mmsg->epoll_fd, operation, file->fd, &event) != 0)
        return -errno;
    file->watched = file->wanted;
    return 0;
}

int su_mmsg_file_set(struct su_mmsg *mmsg, uint32_t index, int fd)
{
    SB_ASSERT(mmsg->files[index].fd == -1);
    if (fd != SU_HOSTED_FD && (fd < 0 || fcntl(fd, F_GETFD) < 0))
        return -EBADF;
    mmsg->files[index].fd = fd;
    return 0;
}

static void clear(struct su_mmsg *mmsg, struct su_mmsg_file *file)
{
    file->wanted = 0;
    if (file->fd != -1)
        (void)su_mmsg_watch(mmsg, file);
    *file = (struct su_mmsg_file){.fd = -1, .send_first = SU_MMSG_NONE};
}

void su_mmsg_file_clear(struct su_mmsg *mmsg, uint32_t index)
{
    SB_ASSERT(mmsg->files[index].send_first == SU_MMSG_NONE);
    clear(mmsg, &mmsg->files[index]);
}

static struct su_mmsg_group *group_free(struct su_mmsg *mmsg, uint16_t name, int *ret_error)
{
    struct su_mmsg_group *found = NULL;
    *ret_error = -ENOSPC;
    for (uint32_t i = 0; i < SU_MMSG_GROUPS_MAX; i++) {
        struct su_mmsg_group *group = &mmsg->groups[i];
        if (group->shared == NULL) {
            found = group;
        } else if (group->name == name) {
            *ret_error = -EEXIST;
            return NULL;
        }
    }
    return found;
}

struct io_uring_buf_ring *su_mmsg_group_add(struct su_mmsg *mmsg, uint16_t group,
                                            uint32_t slot_count, int *ret_error)
{
    struct su_mmsg_group *place = group_free(mmsg, group, ret_error);
    if (place == NULL)
        return NULL;
    struct io_uring_buf_ring *shared = calloc(slot_count, sizeof(struct io_uring_buf));
    if (shared == NULL) {
        *ret_error = -ENOMEM;
        return NULL;
    }
    *place = (struct su_mmsg_group){.shared = shared, .mask = slot_count - 1, .name = group};
    *ret_error = 0;
    return shared;
}

void su_mmsg_group_remove(struct su_mmsg *mmsg, uint16_t group)
{
    for (uint32_t i = 0; i < SU_MMSG_GROUPS_MAX; i++) {
        struct su_mmsg_group *place = &mmsg->groups[i];
        if (place->shared == NULL || place->name != group)
            continue;
        free(place->shared);
        *place = (struct su_mmsg_group){0};
        return;
    }
}

void su_mmsg_stop(struct su_mmsg *mmsg)
{
    for (uint32_t i = 0; i < SU_RING_FILE_COUNT_MAX; i++) {
        su_mmsg_send_forget(mmsg, i);
        clear(mmsg, &mmsg->files[i]);
    }
    su_mmsg_polls_forget(mmsg);
    mmsg->done_first = SU_MMSG_NONE;
    mmsg->sq_head = mmsg->sq_tail;
    mmsg->uring->sq.sqe_head = mmsg->sq_tail;
    mmsg->uring->sq.sqe_tail = mmsg->sq_tail;
    mmsg->cq_head = mmsg->cq_tail;
}

/* ---- submissions ---- */

static void cancel(struct su_mmsg *mmsg, const struct io_uring_sqe *sqe)
{
    for (uint32_t i = 0; i < SU_RING_FILE_COUNT_MAX; i++) {
        struct su_mmsg_file *file = &mmsg->files[i];
        if (!file->input.is_armed || file->input.user_data != sqe->addr)
            continue;
        su_mmsg_input_end(mmsg, file, -ECANCELED);
        su_mmsg_complete(mmsg, sqe->user_data, 0, 0);
        return;
    }
    bool is_found = su_mmsg_poll_cancel(mmsg, sqe->addr);
    su_mmsg_complete(mmsg, sqe->user_data, is_found ? 0 : -ENOENT, 0);
}

static bool take_for_file(struct su_mmsg *mmsg, const struct io_uring_sqe *sqe)
{
    bool is_there = (sqe->flags & IOSQE_FIXED_FILE) != 0 && sqe->fd >= 0 &&
                    sqe->fd < SU_RING_FILE_COUNT_MAX && mmsg->files[sqe->fd].fd != -1;
    if (!is_there) {
        su_mmsg_complete(mmsg, sqe->user_data, -EBADF, 0);
        return true;
    }
    struct su_mmsg_file *file = &mmsg->files[sqe->fd];
    if (sqe->opcode == IORING_OP_SENDMSG)
        return su_mmsg_send(mmsg, (uint32_t)sqe->fd, sqe);
    if (sqe->opcode == IORING_OP_RECVMSG)
        su_mmsg_receive_arm(mmsg, file, sqe);
    else
        su_mmsg_read_arm(mmsg, file, sqe);
    return true;
}

/* False: not now. */
static bool take(struct su_mmsg *mmsg, const struct io_uring_sqe *sqe)
{
    if (su_mmsg_room(mmsg) < 2) /* a cancellation's own and that of what it cancels */
        return false;
    switch (sqe->opcode) {
    case IORING_OP_SENDMSG:
    case IORING_OP_RECVMSG:
    case IORING_OP_READ:
        return take_for_file(mmsg, sqe);
    case IORING_OP_ASYNC_CANCEL:
        cancel(mmsg, sqe);
        return true;
    case IORING_OP_POLL_ADD:
        su_mmsg_poll_add(mmsg, sqe);
        return true;
    default:
        su_mmsg_complete(mmsg, sqe->user_data, sqe->opcode == IORING_OP_NOP ? 0 : -EINVAL, 0);
        return true;
    }
}

static uint32_t take_all(struct su_mmsg *mmsg)
{
    const struct io_uring_sq *sq = &mmsg->uring->sq;
    uint32_t taken = 0;
    while (mmsg->sq_head != mmsg->sq_tail && take(mmsg, &sq->sqes[mmsg->sq_head & sq->ring_mask])) {
        mmsg->sq_head++;
        taken++;
    }
    return taken;
}

static void flush_all(struct su_mmsg *mmsg)
{
    for (uint64_t left = mmsg->sending; left != 0; left &= left - 1)
        su_mmsg_send_flush(mmsg, (uint32_t)__builtin_ctzll(left));
}

/* ---- the wait ---- */

/* Returns how many events there are, or -errno. */
static int wait_fine(struct su_mmsg *mmsg, struct epoll_event *events, uint64_t timeout_ns)
{
    struct timespec time = {
        .tv_sec = (time_t)(timeout_ns / SB_S),
        .tv_nsec = (long)(timeout_ns % SB_S),
    };
    int count = epoll_pwait2(mmsg->epoll_fd, events, SU_RING_FILE_COUNT_MAX,
                             timeout_ns != SB_NEVER ? &time : NULL, NULL);
    return count >= 0 ? count : -errno;
}

/* For filters that are older than epoll_pwait2: rounds up to a millisecond. */
static int wait_coarse(struct su_mmsg *mmsg, struct epoll_event *events, uint64_t timeout_ns)
{
    int timeout_ms = -1;
    if (timeout_ns != SB_NEVER)
        timeout_ms = (int)(SB_MIN(timeout_ns, (uint64_t)INT32_MAX * SB_MS - SB_MS) / SB_MS +
                           (timeout_ns % SB_MS != 0));
    int count = epoll_wait(mmsg->epoll_fd, events, SU_RING_FILE_COUNT_MAX, timeout_ms);
    return count >= 0 ? count : -errno;
}

static int wait_for_events(struct su_mmsg *mmsg, struct epoll_event *events, uint64_t timeout_ns)
{
    mmsg->calls++;
    if (!mmsg->is_coarse) {
        int count = wait_fine(mmsg, events, timeout_ns);
        if (count != -ENOSYS && count != -EPERM)
            return count;
        mmsg->is_coarse = true;
        mmsg->calls++;
    }
    return wait_coarse(mmsg, events, timeout_ns);
}

static void on_event(struct su_mmsg *mmsg, const struct epoll_event *event)
{
    if (event->data.u32 >= SU_RING_FILE_COUNT_MAX) {
        su_mmsg_poll_ready(mmsg, event->data.u32 - SU_RING_FILE_COUNT_MAX, event->events);
        return;
    }
    struct su_mmsg_file *file = &mmsg->files[event->data.u32];
    uint32_t trouble = event->events & (uint32_t)(EPOLLERR | EPOLLHUP);
    bool is_wanted = false;
    if ((file->wanted & EPOLLOUT) != 0 && (event->events & (trouble | EPOLLOUT)) != 0) {
        su_mmsg_send_flush(mmsg, event->data.u32);
        is_wanted = true;
    }
    if ((file->wanted & EPOLLIN) != 0 && (event->events & (trouble | EPOLLIN)) != 0) {
        su_mmsg_input_ready(mmsg, file);
        is_wanted = true;
    }
    if (!is_wanted)
        (void)su_mmsg_watch(mmsg, file); /* to watch less cannot fail */
}

bool su_mmsg_has_more(const struct su_mmsg *mmsg)
{
    return mmsg->has_more;
}

int su_mmsg_enter(struct su_mmsg *mmsg, uint32_t wait_count, bool is_getting, uint64_t timeout_ns,
                  uint64_t *calls)
{
    mmsg->calls = 0;
    su_mmsg_send_done(mmsg);
    uint32_t taken = take_all(mmsg);
    flush_all(mmsg);
    if (is_getting) {
        struct epoll_event events[SU_RING_FILE_COUNT_MAX];
        if (mmsg->cq_tail - mmsg->cq_head >= wait_count)
            timeout_ns = 0;
        mmsg->has_more = false;
        int count = wait_for_events(mmsg, events, timeout_ns);
        for (int i = 0; i < count; i++)
            on_event(mmsg, &events[i]);
        if (count < 0 && count != -EINTR) {
            *calls += mmsg->calls;
            return count;
        }
    }
    *calls += mmsg->calls;
    return mmsg->sq_head == mmsg->sq_tail ? (int)taken : -EBUSY;
}

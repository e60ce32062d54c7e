/* SPDX-License-Identifier: MIT */
#include "uring/mmsg_impl.h"

/* Receiving: recvmmsg writes into slots of the buffer ring what the kernel's multishot would
 * write, and where; see recv.c for the layout.
 *
 * The multishot ends, as the kernel's does, with an error of the socket, and with -ENOBUFS if
 * there is something to receive and no slot for it.  Its owner must arm it again.  Until then the
 * socket is not read.
 *
 * Describing a message to the kernel costs some ten nanoseconds, so a call asks for twice as many
 * messages as the last call received.  It asks for at most SU_MMSG_RECEIVE_BYTES, if messages are
 * as large as the last ones: a whole ring of GRO buffers at once would not fit the cache, and would
 * use up the ring. */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "proto/base/poison.h"

static void arm(struct su_mmsg *mmsg, struct su_mmsg_file *file, struct su_mmsg_input input)
{
    if (file->input.is_armed) {
        su_mmsg_complete(mmsg, input.user_data, -EBUSY, 0);
        return;
    }
    file->input = input;
    file->input.is_armed = true;
    file->wanted |= EPOLLIN;
    int error = su_mmsg_watch(mmsg, file);
    if (error != 0)
        su_mmsg_input_end(mmsg, file, error);
}

static struct su_mmsg_group *group_named(struct su_mmsg *mmsg, uint16_t name)
{
    for (uint32_t i = 0; i < SU_MMSG_GROUPS_MAX; i++)
        if (mmsg->groups[i].shared != NULL && mmsg->groups[i].name == name)
            return &mmsg->groups[i];
    return NULL;
}

void su_mmsg_receive_arm(struct su_mmsg *mmsg, struct su_mmsg_file *file,
                         const struct io_uring_sqe *sqe)
{
    struct su_mmsg_group *group = group_named(mmsg, sqe->buf_group);
    bool is_multishot = (sqe->ioprio & IORING_RECV_MULTISHOT) != 0;
    if (group == NULL || !is_multishot || (sqe->flags & IOSQE_BUFFER_SELECT) == 0) {
        su_mmsg_complete(mmsg, sqe->user_data, -EINVAL, 0);
        return;
    }
    arm(mmsg, file,
        (struct su_mmsg_input){
            .asked = (const struct msghdr *)(uintptr_t)sqe->addr,
            .group = group,
            .batch = SU_MMSG_RECEIVES_MIN,
            .user_data = sqe->user_data,
        });
}

void su_mmsg_read_arm(struct su_mmsg *mmsg, struct su_mmsg_file *file,
                      const struct io_uring_sqe *sqe)
{
    arm(mmsg, file,
        (struct su_mmsg_input){
            .read_data = (void *)(uintptr_t)sqe->addr,
            .read_size = sqe->len,
            .user_data = sqe->user_data,
        });
}

void su_mmsg_input_end(struct su_mmsg *mmsg, struct su_mmsg_file *file, int32_t result)
{
    SB_ASSERT(file->input.is_armed);
    file->input.is_armed = false;
    file->wanted &= ~(uint32_t)EPOLLIN; /* still watched: mostly it is armed again at once */
    su_mmsg_complete(mmsg, file->input.user_data, result, 0);
}

static const struct io_uring_buf *buffer_at(const struct su_mmsg_group *group, uint32_t offset)
{
    return &group->shared->bufs[(group->head + offset) & group->mask];
}

/* Prepares free slot `offset` for one message. */
static void describe(const struct su_mmsg_input *input, uint32_t offset, struct mmsghdr *header,
                     struct iovec *part)
{
    const struct io_uring_buf *buffer = buffer_at(input->group, offset);
    uint8_t *slot = (uint8_t *)(uintptr_t)buffer->addr;
    size_t name_size = input->asked->msg_namelen;
    size_t control_size = input->asked->msg_controllen;
    size_t head_size = sizeof(struct io_uring_recvmsg_out) + name_size + control_size;
    SB_ASSERT(buffer->len >= head_size);

    SB_UNPOISON(slot, buffer->len);
    uint8_t *name = slot + sizeof(struct io_uring_recvmsg_out);
    *part = (struct iovec){.iov_base = slot + head_size, .iov_len = buffer->len - head_size};
    header->msg_hdr = (struct msghdr){
        .msg_name = name,
        .msg_namelen = (socklen_t)name_size,
        .msg_iov = part,
        .msg_iovlen = 1,
        .msg_control = name + name_size,
        .msg_controllen = control_size,
    };
}

/* A message is in slot `offset`: writes the head that says what is where, and completes. */
static void deliver(struct su_mmsg *mmsg, const struct su_mmsg_input *input, uint32_t offset,
                    const struct mmsghdr *header)
{
    const struct io_uring_buf *buffer = buffer_at(input->group, offset);
    const struct io_uring_recvmsg_out out = {
        .namelen = header->msg_hdr.msg_namelen,
        .controllen = (uint32_t)header->msg_hdr.msg_controllen,
        .payloadlen = header->msg_len,
        .flags = (uint32_t)header->msg_hdr.msg_flags,
    };
    memcpy((void *)(uintptr_t)buffer->addr, &out, sizeof(out));
    uint32_t head_size = buffer->len - (uint32_t)header->msg_hdr.msg_iov->iov_len;
    su_mmsg_complete(mmsg, input->user_data, (int32_t)(head_size + header->msg_len),
                     IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
                         (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
}

/* How many messages to ask for next, when `count` of `bytes` in all have come. */
static uint32_t batch_after(uint32_t count, uint64_t bytes)
{
    uint64_t limit = SU_MMSG_RECEIVES_MAX;
    if (bytes != 0)
        limit = SB_MIN(limit, (uint64_t)SU_MMSG_RECEIVE_BYTES * count / bytes);
    return SB_MAX((uint32_t)SB_MIN(limit, 2 * (uint64_t)count), (uint32_t)SU_MMSG_RECEIVES_MIN);
}

/* The slots are full: is that a lack of them? */
static bool is_readable(struct su_mmsg *mmsg, const struct su_mmsg_file *file)
{
    int size = 0;
    mmsg->calls++;
    return ioctl(file->fd, FIONREAD, &size) == 0 && size > 0;
}

static void receive(struct su_mmsg *mmsg, struct su_mmsg_file *file)
{
    struct su_mmsg_input *input = &file->input;
    struct su_mmsg_group *group = input->group;
    struct mmsghdr headers[SU_MMSG_RECEIVES_MAX];
    struct iovec parts[SU_MMSG_RECEIVES_MAX];
    uint32_t home_count = (uint16_t)(group->shared->tail - group->head);
    if (home_count == 0) {
        su_mmsg_input_end(mmsg, file, -ENOBUFS);
        return;
    }
    uint32_t count = SB_MIN(SB_MIN(home_count, input->batch), su_mmsg_room(mmsg) - 1);
    for (uint32_t i = 0; i < count; i++)
        describe(input, i, &headers[i], &parts[i]);

    mmsg->calls++;
    int received = recvmmsg(file->fd, headers, count, MSG_DONTWAIT, NULL);
    int error = received < 0 ? errno : 0;
    uint32_t filled = received > 0 ? (uint32_t)received : 0;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < filled; i++) {
        deliver(mmsg, input, i, &headers[i]);
        bytes += headers[i].msg_len;
    }
    for (uint32_t i = filled; i < count; i++)
        SB_POISON((void *)(uintptr_t)buffer_at(group, i)->addr, buffer_at(group, i)->len);
    group->head = (uint16_t)(group->head + filled);
    mmsg->has_more |= filled == count;
    input->batch = batch_after(filled, bytes);
    if (error != 0 && error != EAGAIN && error != EINTR)
        su_mmsg_input_end(mmsg, file, -error);
    else if (filled == home_count && is_readable(mmsg, file))
        su_mmsg_input_end(mmsg, file, -ENOBUFS);
}

void su_mmsg_input_ready(struct su_mmsg *mmsg, struct su_mmsg_file *file)
{
    if (su_mmsg_room(mmsg) < 2) { /* for a message and for the end */
        mmsg->has_more = true;    /* epoll reports it again */
        return;
    }
    struct su_mmsg_input *input = &file->input;
    if (input->asked != NULL) {
        receive(mmsg, file);
        return;
    }
    mmsg->calls++;
    ssize_t size = read(file->fd, input->read_data, input->read_size);
    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    su_mmsg_input_end(mmsg, file, size < 0 ? -errno : (int32_t)size);
}

/* SPDX-License-Identifier: MIT */
#include "uring/hosted.h"

/* A train that the host has is marked as taken, and its id carries how often its place was taken:
 * so an id that comes back twice is found out.  Its completion may find the queue full; then it
 * waits in a chain for su_mmsg_enter(), which is why the host's word is never lost. */

#include <errno.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/poison.h"
#include "uring/cmsg.h"
#include "uring/mmsg_impl.h"

/* Completions that are left to trains: a receive only takes a place beyond them. */
static uint32_t receive_room(const struct su_mmsg *mmsg)
{
    uint32_t kept = mmsg->uring->cq.ring_entries / 2;
    uint32_t room = su_mmsg_room(mmsg);
    return room > kept ? room - kept : 0;
}

static struct su_mmsg_file *receiving_file(struct su_mmsg *mmsg)
{
    for (uint32_t i = 0; i < SU_RING_FILE_COUNT_MAX; i++) {
        struct su_mmsg_file *file = &mmsg->files[i];
        if (file->fd == SU_HOSTED_FD && file->input.is_armed)
            return file;
    }
    return NULL;
}

static struct io_uring_buf *buffer_at(const struct su_mmsg_group *group, uint32_t offset)
{
    return &group->shared->bufs[(group->head + offset) & group->mask];
}

static uint32_t head_size(const struct su_mmsg_input *input)
{
    return (uint32_t)(sizeof(struct io_uring_recvmsg_out) + input->asked->msg_namelen +
                      input->asked->msg_controllen);
}

uint32_t su_hosted_slots(struct su_ring *ring, struct iovec *ret, uint32_t count)
{
    struct su_mmsg *mmsg = ring->mmsg;
    struct su_mmsg_file *file = receiving_file(mmsg);
    if (file == NULL || count == 0)
        return 0;
    const struct su_mmsg_group *group = file->input.group;
    uint32_t free_count = (uint16_t)(group->shared->tail - group->head);
    if (free_count == 0) {
        if (su_mmsg_room(mmsg) > 0)
            su_mmsg_input_end(mmsg, file, -ENOBUFS);
        return 0;
    }
    count = SB_MIN(SB_MIN(count, free_count), receive_room(mmsg));
    for (uint32_t i = 0; i < count; i++) {
        const struct io_uring_buf *buffer = buffer_at(group, i);
        uint8_t *slot = (uint8_t *)(uintptr_t)buffer->addr;
        SB_UNPOISON(slot, buffer->len);
        ret[i] = (struct iovec){
            .iov_base = slot + head_size(&file->input),
            .iov_len = buffer->len - head_size(&file->input),
        };
    }
    return count;
}

/* Writes in front of the payload what the kernel would write there, and completes. */
static void deliver(struct su_mmsg *mmsg, const struct su_mmsg_input *input,
                    const struct io_uring_buf *buffer, const struct su_hosted_in *in)
{
    uint8_t *slot = (uint8_t *)(uintptr_t)buffer->addr;
    uint8_t *name = slot + sizeof(struct io_uring_recvmsg_out);
    uint8_t *control = name + input->asked->msg_namelen;
    SB_UNPOISON(slot, buffer->len);
    struct io_uring_recvmsg_out out = {
        .namelen = su_address_size(&in->peer),
        .payloadlen = in->size,
        .flags = in->size > buffer->len - head_size(input) ? MSG_TRUNC : 0,
    };
    memcpy(name, &in->peer, out.namelen);
    out.controllen = su_cmsg_write_received(control, &(struct su_control){
                                                         .local = in->local,
                                                         .segment_size = in->segment_size,
                                                         .ecn = in->ecn,
                                                     });
    memcpy(slot, &out, sizeof(out));
    uint32_t used = SB_MIN(in->size, (uint32_t)buffer->len - head_size(input));
    su_mmsg_complete(mmsg, input->user_data, (int32_t)(head_size(input) + used),
                     IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
                         (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
}

static struct su_mmsg_file *file_of(struct su_mmsg *mmsg, const struct su_recv *recv)
{
    if (recv == NULL || recv->socket->file < 0)
        return NULL;
    struct su_mmsg_file *file = &mmsg->files[recv->socket->file];
    return file->fd == SU_HOSTED_FD && file->input.is_armed ? file : NULL;
}

static void swap(struct io_uring_buf *a, struct io_uring_buf *b)
{
    /* Not as wholes: the group's tail lies in the last bytes of the first buffer. */
    struct io_uring_buf kept = *a;
    a->addr = b->addr, a->len = b->len, a->bid = b->bid;
    b->addr = kept.addr, b->len = kept.len, b->bid = kept.bid;
}

uint32_t su_hosted_give(struct su_ring *ring, const struct su_hosted_in *in, uint32_t count,
                        uint64_t *ret_unread)
{
    struct su_mmsg *mmsg = ring->mmsg;
    struct su_mmsg_group *group = NULL;
    uint32_t used = 0, seen = 0;
    for (; seen < count && receive_room(mmsg) > 0; seen++) {
        struct su_mmsg_file *file = file_of(mmsg, in[seen].recv);
        if (file == NULL) {
            ++*ret_unread;
            continue;
        }
        group = file->input.group;
        SB_ASSERT(seen < (uint16_t)(group->shared->tail - group->head));
        struct io_uring_buf *buffer = buffer_at(group, used);
        if (used != seen)
            swap(buffer, buffer_at(group, seen));
        deliver(mmsg, &file->input, buffer, &in[seen]);
        used++;
    }
    if (group != NULL)
        group->head = (uint16_t)(group->head + used);
    return seen;
}

bool su_hosted_take(struct su_ring *ring, struct su_hosted_out *ret)
{
    struct su_mmsg *mmsg = ring->mmsg;
    for (uint64_t left = mmsg->sending; left != 0; left &= left - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(left);
        struct su_mmsg_file *file = &mmsg->files[index];
        if (file->fd != SU_HOSTED_FD)
            continue;
        uint32_t at = file->send_first;
        struct su_mmsg_send *send = &mmsg->sends[at];
        file->send_first = send->next;
        if (file->send_first == SU_MMSG_NONE)
            mmsg->sending &= ~(UINT64_C(1) << index);
        send->is_taken = true;
        send->take_count++;
        *ret = (struct su_hosted_out){
            .id = (uint64_t)send->take_count << 32 | at,
            .message = send->message,
            .op = su_op_unpack(send->user_data),
        };
        return true;
    }
    return false;
}

int su_hosted_done(struct su_ring *ring, uint64_t id, int error)
{
    struct su_mmsg *mmsg = ring->mmsg;
    uint32_t at = (uint32_t)id;
    if (at >= mmsg->uring->cq.ring_entries)
        return -EINVAL;
    struct su_mmsg_send *send = &mmsg->sends[at];
    if (!send->is_taken || send->take_count != id >> 32)
        return -EINVAL;
    send->is_taken = false;
    send->result = error != 0 ? error : (int32_t)send->message->msg_iov->iov_len;
    send->next = SU_MMSG_NONE;
    if (mmsg->done_first == SU_MMSG_NONE)
        mmsg->done_first = at;
    else
        mmsg->sends[mmsg->done_last].next = at;
    mmsg->done_last = at;
    su_mmsg_send_done(mmsg);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "uring/recv.h"

/* Multishot recvmsg into provided buffers.
 *
 * The kernel lays a slot out as
 *
 *     | io_uring_recvmsg_out | name (asked size) | control (asked size) | payload ... |
 *
 * where the two in the middle have the sizes that were asked for, whatever is
 * really in them.  The asked sizes are chosen so that the payload starts on a
 * cache line.
 *
 * Slots are memory shared with the kernel, and liburing's own check of them can
 * overflow: all lengths are checked here, in su_recv_parse, which is a function
 * of bytes alone and is tested with every truncation. */

#include <errno.h>
#include <string.h>

#include "proto/base/assert.h"
#include "uring/cmsg.h"

#define NAME_SIZE 32 /* a sockaddr_in6 and 4 bytes for the alignment of the payload */

_Static_assert(NAME_SIZE >= sizeof(struct sockaddr_in6), "every name fits");
_Static_assert((sizeof(struct io_uring_recvmsg_out) + NAME_SIZE + SU_CONTROL_RECEIVE_SIZE) %
                       SB_CACHE_LINE ==
                   0,
               "the payload starts on a cache line");
_Static_assert(SU_BUFRING_SLOT_SIZE_DEFAULT - sizeof(struct io_uring_recvmsg_out) - NAME_SIZE -
                       SU_CONTROL_RECEIVE_SIZE >=
                   65535,
               "no datagram is larger than a default slot");

void su_recv_init(struct su_recv *recv, struct su_ring *ring, struct su_bufring *bufring,
                  const struct su_socket *socket, uint32_t index)
{
    SB_ASSERT(bufring->ring == ring && socket->ring == ring && socket->file >= 0);
    *recv = (struct su_recv){
        .ring = ring,
        .bufring = bufring,
        .socket = socket,
        .message = {.msg_namelen = NAME_SIZE, .msg_controllen = SU_CONTROL_RECEIVE_SIZE},
        .index = index,
        .generation = recv->generation & SU_GENERATION_MASK,
    };
}

static struct su_op op_of(const struct su_recv *recv)
{
    return (struct su_op){
        .index = recv->index,
        .generation = recv->generation,
        .kind = SU_OP_RECEIVE,
    };
}

static int arm(struct su_recv *recv)
{
    SB_ASSERT(!recv->is_armed && recv->is_wanted);
    struct io_uring_sqe *sqe = su_ring_sqe(recv->ring);
    if (sqe == NULL)
        return -EAGAIN;

    recv->generation = su_generation_next(recv->generation);
    io_uring_prep_recvmsg_multishot(sqe, recv->socket->file, &recv->message, 0);
    su_ring_finish(recv->ring, sqe, op_of(recv));
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = recv->bufring->group;
    recv->is_armed = true;
    recv->is_starved = false;
    recv->counts.receive_rearms += recv->counts.arms > 0;
    recv->counts.arms++;
    return 0;
}

int su_recv_start(struct su_recv *recv)
{
    SB_ASSERT(!recv->is_wanted);
    recv->is_wanted = true;
    recv->is_cancelled = false;
    return recv->is_armed ? 0 : arm(recv);
}

static void cancel(struct su_recv *recv)
{
    struct io_uring_sqe *sqe = su_ring_sqe(recv->ring);
    if (sqe == NULL)
        return; /* su_recv_rearm tries again */
    io_uring_prep_cancel64(sqe, su_ring_user_data(recv->ring, op_of(recv)), 0);
    sqe->user_data = su_ring_user_data(recv->ring, (struct su_op){.kind = SU_OP_NONE});
    recv->is_cancelled = true;
}

void su_recv_stop(struct su_recv *recv)
{
    recv->is_wanted = false;
    if (recv->is_armed && !recv->is_cancelled)
        cancel(recv);
}

void su_recv_rearm(struct su_recv *recv)
{
    su_bufring_flush(recv->bufring);
    if (!recv->is_wanted) {
        if (recv->is_armed && !recv->is_cancelled)
            cancel(recv);
    } else if (!recv->is_armed && su_bufring_free_count(recv->bufring) != 0) {
        (void)arm(recv); /* or in the next turn */
    }
}

int su_recv_parse(uint8_t *slot, uint32_t size, const struct msghdr *asked,
                  struct su_recv_layout *ret)
{
    SB_ASSERT(slot != NULL && asked->msg_controllen <= UINT16_MAX);
    struct io_uring_recvmsg_out out;
    uint64_t head_size = sizeof(out) + (uint64_t)asked->msg_namelen + asked->msg_controllen;
    if (size < head_size)
        return -EBADMSG;
    memcpy(&out, slot, sizeof(out)); /* once: what is checked is what is used */

    uint32_t there = size - (uint32_t)head_size;
    if (out.namelen > asked->msg_namelen || out.controllen > asked->msg_controllen)
        return -EBADMSG;
    if (out.payloadlen > there && (out.flags & MSG_TRUNC) == 0)
        return -EBADMSG;

    uint8_t *name = slot + sizeof(out);
    uint8_t *control = name + asked->msg_namelen;
    *ret = (struct su_recv_layout){
        .name = name,
        .control = control,
        .payload = control + asked->msg_controllen,
        .name_size = out.namelen,
        .control_size = out.controllen,
        .payload_size = SB_MIN(out.payloadlen, there),
        .flags = out.flags,
    };
    return 0;
}

/* The multishot is over: why? */
static int on_end(struct su_recv *recv, int32_t result)
{
    recv->is_armed = false;
    if (result == -ENOBUFS) {
        recv->is_starved = true;
        su_bufring_starved(recv->bufring);
        recv->counts.receive_enobufs++;
        return 0;
    }
    if (result == -ECANCELED && recv->is_cancelled)
        return 0;
    recv->counts.ends++;
    if (result >= 0 || result == -ECANCELED)
        return 0; /* for example, its completion would not have fitted the ring */
    recv->counts.socket_errors++;
    return result;
}

static void count_dropped(struct su_recv *recv, uint32_t dropped_count)
{
    uint32_t more = dropped_count - recv->dropped_count_seen;
    recv->counts.kernel_drops += more;
    recv->counts.drops_unclear += recv->has_met_empty ? more : 0;
    recv->dropped_count_seen = dropped_count;
}

/* Reads what is in the slot.  False: counted, and to be dropped. */
static bool fill(struct su_recv *recv, uint8_t *data, uint32_t size, struct su_received *ret)
{
    struct su_recv_layout layout;
    struct su_control control;
    if (size > recv->bufring->slot_size ||
        su_recv_parse(data, size, &recv->message, &layout) != 0) {
        recv->counts.malformed++;
        return false;
    }
    if ((layout.flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        recv->counts.receive_truncated++;
        return false;
    }
    struct su_received received = {.payload = layout.payload, .size = layout.payload_size};
    if (su_cmsg_parse(layout.control, layout.control_size, &control) != 0 ||
        su_address_from_kernel(layout.name, layout.name_size, &received.peer) != 0) {
        recv->counts.malformed++;
        return false;
    }
    if (control.has_dropped_count)
        count_dropped(recv, control.dropped_count);

    received.ecn = control.ecn;
    received.stamp_ns = control.stamp_ns;
    received.segment_size = control.segment_size != 0 && control.segment_size < received.size
                                ? control.segment_size
                                : received.size;
    received.local = recv->socket->local;
    if (control.local.family != AF_UNSPEC) {
        received.local = control.local;
        su_address_set_port(&received.local, su_address_port(&recv->socket->local));
    }
    *ret = received;
    return true;
}

int su_recv_take(struct su_recv *recv, const struct su_completion *completion,
                 struct su_received *ret)
{
    SB_ASSERT(completion->op.kind == SU_OP_RECEIVE && completion->op.index == recv->index);
    if (completion->op.generation != recv->generation || !recv->is_armed) {
        recv->counts.stale++;
        su_bufring_recycle(recv->bufring, completion);
        return 0;
    }

    int error = 0;
    if ((completion->flags & IORING_CQE_F_MORE) == 0)
        error = on_end(recv, completion->result);
    struct su_bufring_slot *slot = su_bufring_hold(recv->bufring, completion);
    if (completion->result < 0) {
        if (slot != NULL)
            sb_buffer_unref(&slot->buffer);
        return error;
    }
    if (slot == NULL) {
        recv->counts.malformed++;
        return 0;
    }

    if (!fill(recv, su_bufring_data(recv->bufring, slot), (uint32_t)completion->result, ret)) {
        sb_buffer_unref(&slot->buffer);
        return 0;
    }
    bool was_ended = (completion->flags & IORING_CQE_F_MORE) == 0;
    if (SB_UNLIKELY(was_ended && ret->size == 0 && !recv->has_met_empty)) {
        recv->has_met_empty = true;
        su_socket_refuse_empty(recv->socket);
    }
    ret->buffer = &slot->buffer;
    recv->counts.receives++;
    recv->counts.bytes += ret->size;
    return 1;
}

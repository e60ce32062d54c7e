/* SPDX-License-Identifier: MIT */
#include "uring/send.h"

/* Transmit slots and the sendmsg operations on them.
 *
 * A slot of the slab is
 *
 *     | 64 KB: the train's bytes | 64 headers, for the case that it is split |
 *
 * The second part is touched only when a train is split, so it normally costs
 * address space and no memory.  What every send needs (message header, control,
 * address) lies in an array of its own, dense and warm.
 *
 * The states of a slot:
 *
 *     FREE --take--> TAKEN --commit--> WHOLE --done--> FREE
 *                      |                 | EIO, EINVAL
 *                      | GSO is off      v
 *                      +-------------> SPLIT --the last one done--> FREE
 *
 * Sent without a copy, a slot is not FREE before the last notification, which may come long after
 * the result, or before it: both are counted, in either order.
 *
 * In SPLIT, single_next of the datagrams were queued and pending_count of those
 * are in flight; if the submission queue was full, su_send_maintain goes on. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"

enum slot_state {
    SLOT_FREE = 0,
    SLOT_TAKEN,
    SLOT_WHOLE,
    SLOT_SPLIT,
};

/* A header of its own for each datagram: all of them are queued at once, and the kernel reads a
 * header when it takes the submission. */
struct single {
    struct msghdr message;
    struct iovec part;
};

#define DATA_SIZE 65536
#define SLOT_SIZE (DATA_SIZE + SU_SEGMENT_COUNT_MAX * sizeof(struct single))
_Static_assert(DATA_SIZE >= SU_TRAIN_SIZE_MAX, "the largest train fits");
_Static_assert(DATA_SIZE % _Alignof(struct single) == 0, "the headers behind it are aligned");

int su_send_init(struct su_send *send, struct su_ring *ring, uint32_t slot_count, bool huge_pages)
{
    SB_ASSERT(send != NULL && ring != NULL);
    *send = (struct su_send){.ring = ring};
    if (slot_count == 0)
        slot_count = SU_SEND_SLOT_COUNT_DEFAULT;
    if (slot_count > SU_SEND_SLOT_COUNT_MAX)
        return -EINVAL;

    int error = su_slab_init(&send->slab, SLOT_SIZE, slot_count, huge_pages);
    if (error != 0)
        return error;
    send->slots = calloc(slot_count, sizeof(send->slots[0]));
    if (send->slots == NULL) {
        su_send_deinit(send);
        return -ENOMEM;
    }
    send->slot_count = slot_count;
    return 0;
}

void su_send_begin_zero_copy(struct su_send *send)
{
    su_zero_copy_begin(&send->zero_copy, send->ring, &send->slab);
}

void su_send_on_attach(struct su_send *send, const struct su_socket *socket)
{
    su_zero_copy_forget(&send->zero_copy, socket);
}

void su_send_deinit(struct su_send *send)
{
    for (uint32_t i = 0; send->slab.free_count < send->slot_count; i++) {
        SB_ASSERT(i < send->slot_count);
        if (send->slots[i].state != SLOT_FREE)
            su_slab_give(&send->slab, i);
    }
    su_slab_deinit(&send->slab);
    free(send->slots);
    *send = (struct su_send){0};
}

struct su_send_slot *su_send_take(struct su_send *send)
{
    uint32_t index = su_slab_take(&send->slab);
    if (index == SU_SLAB_NONE) {
        send->counts.no_slots++;
        return NULL;
    }
    struct su_send_slot *slot = &send->slots[index];
    SB_ASSERT(slot->state == SLOT_FREE);
    if (SB_UNLIKELY(slot->data == NULL)) { /* the first time: pages of others stay untouched */
        slot->index = index;
        slot->data = su_slab_slot(&send->slab, index);
    }
    slot->state = SLOT_TAKEN;
    slot->generation = su_generation_next(slot->generation);
    return slot;
}

static void give(struct su_send *send, struct su_send_slot *slot)
{
    slot->state = SLOT_FREE;
    su_slab_give(&send->slab, slot->index);
}

void su_send_abandon(struct su_send *send, struct su_send_slot *slot)
{
    SB_ASSERT(slot->state == SLOT_TAKEN);
    give(send, slot);
}

/* ---- addresses that do not take GSO ---- */

/* Routes go by address, so the port does not count. */
static struct su_address gso_key(const struct su_address *peer)
{
    struct su_address key = *peer;
    su_address_set_port(&key, 0);
    return key;
}

static uint32_t gso_place(const struct su_address *key)
{
    uint64_t word[2] = {key->v4.sin_addr.s_addr, 0};
    if (key->family == AF_INET6)
        memcpy(word, &key->v6.sin6_addr, sizeof(word));
    uint64_t mixed = (word[0] ^ word[1] * 3) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32) % SU_SEND_GSO_OFF_COUNT;
}

static bool gso_is_off(const struct su_send *send, const struct su_address *peer)
{
    if (send->gso_off_count == 0)
        return false;
    struct su_address key = gso_key(peer);
    return su_address_is_equal(&send->gso_off[gso_place(&key)], &key);
}

static void gso_turn_off(struct su_send *send, const struct su_address *peer)
{
    struct su_address key = gso_key(peer);
    struct su_address *place = &send->gso_off[gso_place(&key)];
    if (place->family == AF_UNSPEC)
        send->gso_off_count++;
    *place = key;
}

/* ---- queueing ---- */

static uint32_t datagram_count(const struct su_send_slot *slot)
{
    return (slot->size + slot->segment_size - 1) / slot->segment_size;
}

/* Fills message, destination and control for the whole train or, with `segment_size` 0, for
 * its datagrams one by one. */
static void describe(struct su_send_slot *slot, uint32_t segment_size)
{
    const struct su_socket *socket = slot->socket;
    bool is_v4 = slot->peer.family == AF_INET;
    struct su_control_request request = {
        .source = &slot->source,
        .socket_family = socket->family,
        .is_v4 = is_v4,
        .ecn = slot->ecn,
        .socket_tos = is_v4 ? socket->tos_v4 : socket->tos_v6,
        .segment_size = (uint16_t)segment_size,
        .depart_ns = slot->depart_ns,
    };
    uint32_t control_size = su_cmsg_build(slot->control, &request);

    slot->part = (struct iovec){.iov_base = slot->data, .iov_len = slot->size};
    slot->message = (struct msghdr){
        .msg_iov = &slot->part,
        .msg_iovlen = 1,
        .msg_control = control_size != 0 ? slot->control : NULL,
        .msg_controllen = control_size,
    };
    if (!socket->is_connected) {
        slot->destination = su_address_for_socket(&slot->peer, socket->family);
        slot->message.msg_name = &slot->destination.any;
        slot->message.msg_namelen = su_address_size(&slot->destination);
    }
}

static int queue(struct su_send *send, struct su_send_slot *slot, const struct msghdr *message)
{
    struct io_uring_sqe *sqe = su_ring_sqe(send->ring);
    if (SB_UNLIKELY(sqe == NULL))
        return -EAGAIN;
    if (SB_UNLIKELY(slot->is_zero_copy))
        su_zero_copy_prepare(&send->zero_copy, sqe, slot->socket, message);
    else
        io_uring_prep_sendmsg(sqe, slot->socket->file, message, 0);
    const struct su_op op = {
        .index = slot->index,
        .generation = slot->generation,
        .kind = SU_OP_SEND,
    };
    su_ring_finish(send->ring, sqe, op);
    su_ring_expect(send->ring);
    slot->pending_count++;
    return 0;
}

/* Queues as many datagrams of a split train as there is room for. */
static void queue_singles(struct su_send *send, struct su_send_slot *slot)
{
    struct single *singles = (struct single *)(void *)(slot->data + DATA_SIZE);
    uint32_t count = datagram_count(slot);

    while (slot->single_next < count) {
        struct single *single = &singles[slot->single_next];
        uint32_t offset = slot->single_next * slot->segment_size;
        single->part = (struct iovec){
            .iov_base = slot->data + offset,
            .iov_len = SB_MIN(slot->segment_size, slot->size - offset),
        };
        single->message = slot->message;
        single->message.msg_iov = &single->part;
        if (queue(send, slot, &single->message) != 0)
            return;
        slot->single_next++;
    }
}

/* Starts, or after a full queue goes on with, what the slot has to send. */
static void push(struct su_send *send, struct su_send_slot *slot)
{
    if (slot->is_stalled) {
        slot->is_stalled = false;
        send->stalled_count--;
    }
    bool is_done;
    if (slot->state == SLOT_SPLIT) {
        queue_singles(send, slot);
        is_done = slot->single_next == datagram_count(slot);
    } else {
        is_done = queue(send, slot, &slot->message) == 0;
    }
    if (!is_done) {
        slot->is_stalled = true;
        send->stalled_count++;
    }
}

static void split(struct su_send_slot *slot)
{
    slot->state = SLOT_SPLIT;
    slot->single_next = 0;
    slot->is_zero_copy = false;
    describe(slot, 0);
}

int su_send_commit(struct su_send *send, struct su_send_slot *slot, const struct su_train *train)
{
    SB_ASSERT(slot->state == SLOT_TAKEN);
    SB_ASSERT(train->size != 0 && train->size <= SU_TRAIN_SIZE_MAX);
    SB_ASSERT(train->segment_size != 0 && train->segment_size <= train->size);
    SB_ASSERT(train->socket->ring == send->ring && train->socket->file >= 0);

    slot->socket = train->socket;
    slot->peer = train->socket->is_connected ? train->socket->peer : train->destination;
    slot->source = train->source;
    slot->size = train->size;
    slot->segment_size = train->segment_size;
    slot->ecn = train->ecn;
    slot->tag = train->tag;
    slot->depart_ns = train->socket->is_timed ? train->depart_ns : 0;
    slot->pending_count = 0;
    slot->failed_count = 0;
    slot->error = 0;
    slot->is_gso_refused = false;
    slot->is_retried = false;
    slot->is_stalled = false;
    slot->notice_count = 0;
    slot->is_zero_copy = su_zero_copy_wants(&send->zero_copy, train->socket, train->size);
    uint32_t count = datagram_count(slot);
    SB_ASSERT(count <= SU_SEGMENT_COUNT_MAX);

    bool is_split = count > 1 && (!train->socket->has_gso || gso_is_off(send, &slot->peer));
    if (SB_UNLIKELY(is_split)) {
        split(slot);
        queue_singles(send, slot);
        if (slot->single_next == 0) {
            slot->state = SLOT_TAKEN;
            return -EAGAIN;
        }
        send->counts.split++;
        if (slot->single_next < count) {
            slot->is_stalled = true;
            send->stalled_count++;
        }
    } else {
        describe(slot, count > 1 ? slot->segment_size : 0);
        if (queue(send, slot, &slot->message) != 0)
            return -EAGAIN;
        slot->state = SLOT_WHOLE;
    }
    send->counts.trains++;
    send->counts.trains_timed += slot->depart_ns != 0;
    send->busy_count++;
    return 0;
}

void su_send_maintain(struct su_send *send)
{
    for (uint32_t i = 0; i < send->slot_count && SB_UNLIKELY(send->stalled_count != 0); i++) {
        if (!send->slots[i].is_stalled)
            continue;
        push(send, &send->slots[i]);
        if (send->slots[i].is_stalled)
            return; /* the queue is full again */
    }
}

/* ---- completions ---- */

static void count_error(struct su_send_counts *counts, int error, uint32_t count)
{
    counts->send_errors += count;
    switch (-error) {
    case EMSGSIZE:
        counts->too_large += count;
        break;
    case EAGAIN:
    case ENOBUFS:
        counts->queue_full += count;
        break;
    case ECONNREFUSED:
        counts->refused += count;
        break;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
        counts->unreachable += count;
        break;
    case EPERM:
    case EACCES:
        counts->forbidden += count;
        break;
    default:
        counts->other_errors += count;
        break;
    }
}

/* One operation of the slot is over, for good. */
static void on_result(struct su_send *send, struct su_send_slot *slot, int32_t result)
{
    uint32_t count = slot->state == SLOT_WHOLE ? datagram_count(slot) : 1;
    if (result >= 0) {
        send->counts.sends++;
        send->counts.datagrams_out += count;
        send->counts.bytes_out += (uint32_t)result;
        return;
    }
    slot->error = result;
    slot->failed_count += count;
    count_error(&send->counts, result, count);
}

/* True if the train starts over instead of ending with this error. */
static bool on_whole_error(struct su_send *send, struct su_send_slot *slot, int32_t result)
{
    if (slot->is_zero_copy && su_zero_copy_on_result(&send->zero_copy, slot->socket, result)) {
        send->counts.zero_copies_refused++;
        slot->is_zero_copy = false;
        push(send, slot);
        return true;
    }
    if ((result == -EIO || result == -EINVAL) && slot->segment_size < slot->size) {
        send->counts.gso_fallbacks++;
        slot->is_gso_refused = true;
        split(slot);
        push(send, slot);
        return true;
    }
    if (result == -ECONNREFUSED && slot->socket->is_connected && !slot->is_retried) {
        slot->is_retried = true;
        push(send, slot);
        return true;
    }
    return false;
}

static void on_notification(struct su_send *send, struct su_send_slot *slot, int32_t report)
{
    slot->notice_count--;
    send->counts.zero_copies++;
    if (su_zero_copy_on_notification(&send->zero_copy, slot->socket, report))
        send->counts.zero_copies_copied++;
}

/* False if the train goes on, or the completion is not its. */
static bool take_completion(struct su_send *send, struct su_send_slot *slot,
                            const struct su_completion *completion)
{
    if (SB_UNLIKELY((completion->flags & IORING_CQE_F_NOTIF) != 0)) {
        on_notification(send, slot, completion->result);
        return true;
    }
    if (slot->pending_count == 0) {
        send->counts.stale++;
        return false;
    }
    slot->pending_count--;
    if (SB_UNLIKELY((completion->flags & IORING_CQE_F_MORE) != 0))
        slot->notice_count++;
    if (SB_UNLIKELY(completion->result < 0)) {
        if (slot->state == SLOT_WHOLE && on_whole_error(send, slot, completion->result))
            return false;
    } else if (slot->is_zero_copy) {
        (void)su_zero_copy_on_result(&send->zero_copy, slot->socket, completion->result);
    }
    on_result(send, slot, completion->result);
    return true;
}

bool su_send_done(struct su_send *send, const struct su_completion *completion, struct su_sent *ret)
{
    SB_ASSERT(completion->op.kind == SU_OP_SEND);
    struct su_send_slot *slot =
        completion->op.index < send->slot_count ? &send->slots[completion->op.index] : NULL;
    if (slot == NULL || completion->op.generation != slot->generation || slot->state < SLOT_WHOLE) {
        send->counts.stale++;
        return false;
    }
    if (!take_completion(send, slot, completion) || slot->pending_count != 0 ||
        slot->notice_count != 0 || slot->is_stalled)
        return false;

    uint32_t count = datagram_count(slot);
    /* Where datagrams are too large, only a short last one gets through: smaller ones will be
     * segmented again. */
    if (slot->is_gso_refused && slot->failed_count < count && slot->error != -EMSGSIZE)
        gso_turn_off(send, &slot->peer);
    *ret = (struct su_sent){
        .tag = slot->tag,
        .datagram_count = count,
        .failed_count = slot->failed_count,
        .segment_size = slot->segment_size,
        .error = slot->error,
        .is_gso_refused = slot->is_gso_refused,
    };
    SB_ASSERT(send->busy_count > 0);
    send->busy_count--;
    give(send, slot);
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "uring/bufring.h"

/* Provided buffers over a slab.  The kernel takes them in the order in which
 * they came home; a whole slot a completion (never IOU_PBUF_RING_INC, which
 * fails with EFAULT for recvmsg on the kernels that we run on).
 *
 * What the kernel says about buffers is checked, not believed: a number that is
 * out of range or names a slot that is held yields no slot. */

#include <errno.h>
#include <stdlib.h>

#include "proto/base/assert.h"
#include "proto/base/poison.h"

#define SLOT_SIZE_MIN 512

/* Queues the slot for the kernel, which sees it after the next flush. */
static void add(struct su_bufring *bufring, uint32_t index)
{
    uint8_t *data = su_slab_slot(&bufring->slab, index);
    SB_POISON(data, bufring->slab.slot_size);
    io_uring_buf_ring_add(bufring->shared, data, bufring->slot_size, (unsigned short)index,
                          io_uring_buf_ring_mask(bufring->slot_count), (int)bufring->pending_count);
    bufring->pending_count++;
    SB_ASSERT(bufring->pending_count <= bufring->slot_count);
}

static void on_release(struct sb_buffer *buffer)
{
    struct su_bufring_slot *slot = SB_CONTAINER_OF(buffer, struct su_bufring_slot, buffer);
    struct su_bufring *bufring = slot->bufring;
    SB_ASSERT(bufring->held_count > 0);

    bufring->held_count--;
    add(bufring, slot->index);
}

static int init_memory(struct su_bufring *bufring, bool huge_pages)
{
    int error = su_slab_init(&bufring->slab, bufring->slot_size, bufring->slot_count, huge_pages);
    if (error != 0)
        return error;
    bufring->slots = calloc(bufring->slot_count, sizeof(bufring->slots[0]));
    if (bufring->slots == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < bufring->slot_count; i++)
        bufring->slots[i] = (struct su_bufring_slot){
            .buffer = {.release = on_release},
            .bufring = bufring,
            .index = i,
        };
    return 0;
}

int su_bufring_init(struct su_bufring *bufring, struct su_ring *ring,
                    const struct su_bufring_config *config)
{
    SB_ASSERT(bufring != NULL && ring != NULL && ring->is_open && config != NULL);
    uint32_t slot_count =
        config->slot_count != 0 ? config->slot_count : SU_BUFRING_SLOT_COUNT_DEFAULT;
    uint32_t slot_size = config->slot_size != 0 ? config->slot_size : SU_BUFRING_SLOT_SIZE_DEFAULT;

    *bufring = (struct su_bufring){
        .ring = ring,
        .slot_count = slot_count,
        .slot_size = slot_size,
        .group = config->group,
    };
    if ((slot_count & (slot_count - 1)) != 0 || slot_count > SU_BUFRING_SLOT_COUNT_MAX ||
        slot_size < SLOT_SIZE_MIN)
        return -EINVAL;

    int error = init_memory(bufring, config->huge_pages);
    if (error == 0)
        bufring->shared =
            io_uring_setup_buf_ring(&ring->uring, slot_count, config->group, 0, &error);
    if (error != 0) {
        su_bufring_deinit(bufring);
        return error;
    }

    for (uint32_t i = 0; i < slot_count; i++) {
        uint32_t index = su_slab_take(&bufring->slab);
        SB_ASSERT(index != SU_SLAB_NONE);
        add(bufring, index);
    }
    su_bufring_flush(bufring);
    return 0;
}

void su_bufring_deinit(struct su_bufring *bufring)
{
    SB_ASSERT(bufring->held_count == 0);
    if (bufring->shared != NULL) {
        (void)io_uring_free_buf_ring(&bufring->ring->uring, bufring->shared, bufring->slot_count,
                                     bufring->group);
        for (uint32_t i = 0; i < bufring->slot_count; i++)
            su_slab_give(&bufring->slab, i);
    }
    su_slab_deinit(&bufring->slab);
    free(bufring->slots);
    *bufring = (struct su_bufring){0};
}

struct su_bufring_slot *su_bufring_hold(struct su_bufring *bufring,
                                        const struct su_completion *completion)
{
    if ((completion->flags & IORING_CQE_F_BUFFER) == 0)
        return NULL;
    uint32_t index = completion->flags >> IORING_CQE_BUFFER_SHIFT;
    if (index >= bufring->slot_count || bufring->slots[index].buffer.ref_count != 0)
        return NULL;

    struct su_bufring_slot *slot = &bufring->slots[index];
    slot->buffer.ref_count = 1;
    bufring->held_count++;
    SB_ASSERT(bufring->held_count <= bufring->slot_count);
    bufring->held_count_max = SB_MAX(bufring->held_count_max, bufring->held_count);
    SB_UNPOISON(su_bufring_data(bufring, slot), bufring->slab.slot_size);
    return slot;
}

void su_bufring_recycle(struct su_bufring *bufring, const struct su_completion *completion)
{
    struct su_bufring_slot *slot = su_bufring_hold(bufring, completion);
    if (slot != NULL)
        sb_buffer_unref(&slot->buffer);
}

void su_bufring_reclaim(struct su_bufring *bufring)
{
    for (uint32_t i = 0; i < bufring->slot_count && bufring->held_count > 0; i++) {
        struct sb_buffer *buffer = &bufring->slots[i].buffer;
        if (buffer->ref_count == 0)
            continue;
        buffer->ref_count = 1;
        sb_buffer_unref(buffer);
    }
    SB_ASSERT(bufring->held_count == 0);
}

void su_bufring_flush(struct su_bufring *bufring)
{
    if (bufring->pending_count == 0)
        return;
    io_uring_buf_ring_advance(bufring->shared, (int)bufring->pending_count);
    bufring->pending_count = 0;
}

/* SPDX-License-Identifier: MIT */
#include "uring/bufring.h"

/* Provided buffers over a slab.  The kernel takes them in the order in which they were provided,
 * one whole slot per completion.  IOU_PBUF_RING_INC is never used: recvmsg fails with EFAULT with
 * it on the kernels that we run on.
 *
 * That order is first in, first out, and would cycle through all slots.  So only `depth` slots are
 * provided at a time.  The other free slots wait in the slab, which is a stack: the slot that was
 * freed last is provided next, while it is in the cache.
 *
 * The depth doubles when the kernel ran out of provided slots and these held few bytes: then there
 * are many small datagrams, and more slots save system calls.  When full slots run out, the depth
 * does not grow: the bytes can wait in the socket, and here they would push each other out of the
 * cache.  The depth is halved when more was filled than the least depth holds, and after a period
 * in which a quarter of the depth would have been enough.
 *
 * Buffer numbers from the kernel are checked: a number that is out of range, or of a slot that is
 * not provided, yields no slot. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "proto/base/poison.h"
#include "uring/mmsg.h"

#define SLOT_SIZE_MIN 512

/* A cache smaller than this many slots is not worth the system calls that it would cost, a
 * larger one is shared with everything else. */
#define DEPTH_MIN 16
#define DEPTH_MAX 64

/* Flushes per period; the depth is reviewed after each.  About a second of a busy ring. */
#define PERIOD_FLUSHES 16384

/* As many slots as the L2 cache holds. */
static uint32_t depth_of_cache(uint32_t slot_size)
{
    long cache_size = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    cache_size = sysconf(_SC_LEVEL2_CACHE_SIZE); /* 0 or -1: not known */
#endif
    uint64_t fitting = cache_size > 0 ? (uint64_t)cache_size / slot_size : 0;
    uint32_t depth = DEPTH_MIN;
    while (depth < DEPTH_MAX && 2 * depth <= fitting)
        depth *= 2;
    return depth;
}

static void on_release(struct sb_buffer *buffer)
{
    struct su_bufring_slot *slot = SB_CONTAINER_OF(buffer, struct su_bufring_slot, buffer);
    struct su_bufring *bufring = slot->bufring;
    SB_ASSERT(bufring->held_count > 0);

    bufring->held_count--;
    su_slab_give(&bufring->slab, slot->index);
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
            .buffer = {.release = on_release, .size = bufring->slot_size},
            .bufring = bufring,
            .index = i,
        };
    return 0;
}

/* NULL and `*ret_error` on failure. */
static struct io_uring_buf_ring *register_group(const struct su_bufring *bufring, int *ret_error)
{
    struct su_ring *ring = bufring->ring;
    if (ring->mmsg != NULL)
        return su_mmsg_group_add(ring->mmsg, bufring->group, bufring->slot_count, ret_error);
    return io_uring_setup_buf_ring(ring->kernel, bufring->slot_count, bufring->group, 0, ret_error);
}

static void unregister_group(const struct su_bufring *bufring)
{
    struct su_ring *ring = bufring->ring;
    if (ring->mmsg != NULL)
        su_mmsg_group_remove(ring->mmsg, bufring->group);
    else
        (void)io_uring_free_buf_ring(ring->kernel, bufring->shared, bufring->slot_count,
                                     bufring->group);
}

int su_bufring_init(struct su_bufring *bufring, struct su_ring *ring,
                    const struct su_bufring_config *config)
{
    SB_ASSERT(bufring != NULL && ring != NULL && ring->state != SU_RING_NONE && config != NULL);
    uint32_t slot_count =
        config->slot_count != 0 ? config->slot_count : SU_BUFRING_SLOT_COUNT_DEFAULT;
    uint32_t slot_size = config->slot_size != 0 ? config->slot_size : SU_BUFRING_SLOT_SIZE_DEFAULT;

    uint32_t depth = config->depth != 0 ? config->depth : depth_of_cache(slot_size);
    depth = SB_MIN(depth, slot_count);
    *bufring = (struct su_bufring){
        .ring = ring,
        .slot_count = slot_count,
        .slot_size = slot_size,
        .depth = depth,
        .depth_min = depth,
        .group = config->group,
    };
    if ((slot_count & (slot_count - 1)) != 0 || slot_count > SU_BUFRING_SLOT_COUNT_MAX ||
        slot_size < SLOT_SIZE_MIN)
        return -EINVAL;

    int error = init_memory(bufring, config->huge_pages);
    if (error == 0)
        bufring->shared = register_group(bufring, &error);
    if (error != 0) {
        su_bufring_deinit(bufring);
        return error;
    }

    su_bufring_flush(bufring);
    return 0;
}

void su_bufring_deinit(struct su_bufring *bufring)
{
    SB_ASSERT(bufring->held_count == 0);
    if (bufring->shared != NULL) {
        unregister_group(bufring);
        for (uint32_t i = 0; i < bufring->slot_count; i++)
            if (bufring->slots[i].is_provided)
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
    if (index >= bufring->slot_count || !bufring->slots[index].is_provided)
        return NULL;

    struct su_bufring_slot *slot = &bufring->slots[index];
    SB_ASSERT(slot->buffer.ref_count == 0 && bufring->provided_count > 0);
    slot->is_provided = false;
    bufring->provided_count--;
    slot->buffer.ref_count = 1;
    bufring->held_count++;
    bufring->filled_bytes += completion->result > 0 ? (uint32_t)completion->result : 0;
    SB_ASSERT(bufring->held_count + bufring->provided_count <= bufring->slot_count);
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

void su_bufring_starved(struct su_bufring *bufring)
{
    bufring->is_starved = true;
}

/* Looks at what was used since the last flush, and decides how many slots to show now. */
static void adapt(struct su_bufring *bufring)
{
    uint32_t used_count = bufring->flushed_count - bufring->provided_count;
    bufring->used_count_max = SB_MAX(bufring->used_count_max, used_count);
    uint64_t cache_bytes = (uint64_t)bufring->depth_min * bufring->slot_size;
    if (bufring->filled_bytes > cache_bytes)
        bufring->depth = SB_MAX(bufring->depth / 2, bufring->depth_min);
    else if (bufring->is_starved && bufring->filled_bytes < cache_bytes / 2)
        bufring->depth = SB_MIN(2 * bufring->depth, bufring->slot_count);
    bufring->is_starved = false;
    bufring->filled_bytes = 0;

    if (++bufring->flush_count < PERIOD_FLUSHES)
        return;
    if (bufring->used_count_max <= bufring->depth / 4)
        bufring->depth = SB_MAX(bufring->depth / 2, bufring->depth_min);
    bufring->used_count_max = 0;
    bufring->flush_count = 0;
    su_slab_trim(&bufring->slab);
}

void su_bufring_flush(struct su_bufring *bufring)
{
    int mask = io_uring_buf_ring_mask(bufring->slot_count);
    int added_count = 0;
    adapt(bufring);
    while (bufring->provided_count < bufring->depth) {
        uint32_t index = su_slab_take(&bufring->slab);
        if (index == SU_SLAB_NONE)
            break;
        uint8_t *data = su_slab_slot(&bufring->slab, index);
        SB_POISON(data, bufring->slab.slot_size); /* until a completion brings it */
        io_uring_buf_ring_add(bufring->shared, data, bufring->slot_size, (unsigned short)index,
                              mask, added_count++);
        bufring->slots[index].is_provided = true;
        bufring->provided_count++;
    }
    if (added_count > 0)
        io_uring_buf_ring_advance(bufring->shared, added_count);
    bufring->flushed_count = bufring->provided_count;
    SB_ASSERT(bufring->provided_count + bufring->held_count + bufring->slab.free_count ==
              bufring->slot_count);
}

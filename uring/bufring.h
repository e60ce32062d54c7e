/* SPDX-License-Identifier: MIT */
#ifndef SU_BUFRING_H
#define SU_BUFRING_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/slice.h"
#include "uring/ring.h"
#include "uring/slab.h"

/* Receive buffers that the kernel picks from: a provided-buffer ring over a slab.
 *
 * A slot is at home (the kernel may fill it) or held (a completion brought it
 * up, and slices keep it).  It goes home by the last unref of its sb_buffer:
 *
 *      at home --completion--> held, ref_count 1 --refs/unrefs--> 0 --> at home
 *
 *     home_count + held_count == slot_count
 *     0 <= pending_count <= home_count
 *
 * Slots that came home are shown to the kernel in one go by su_bufring_flush:
 * one store for a batch.  All of it, including every ref and unref, belongs to
 * the ring's thread.
 *
 * Cost: a ring that does not fit the L2 cache costs (1,024 slots of 64 KB took
 * 15 % more CPU than 16 to 64), hence the default. */

#define SU_BUFRING_SLOT_COUNT_DEFAULT 64
#define SU_BUFRING_SLOT_COUNT_MAX     32768
/* 64 KB of payload, the kernel's header, a name and control messages.  Not a power of two: the
 * heads of neighbouring slots fall into different cache sets. */
#define SU_BUFRING_SLOT_SIZE_DEFAULT (65536 + 320)

struct su_bufring_slot {
    struct sb_buffer buffer;
    struct su_bufring *bufring;
    uint32_t index;
};

struct su_bufring_config {
    uint32_t slot_count; /* a power of two up to SU_BUFRING_SLOT_COUNT_MAX; 0 means the default */
    uint32_t slot_size;  /* bytes, at least 512; 0 means the default */
    uint16_t group;      /* the kernel's name for it: unique within the ring */
    bool huge_pages;
};

struct su_bufring {
    struct su_ring *ring;
    struct io_uring_buf_ring *shared; /* with the kernel */
    struct su_slab slab;
    struct su_bufring_slot *slots;
    uint32_t slot_count;
    uint32_t slot_size;
    uint32_t held_count;
    uint32_t pending_count;  /* at home, and not yet shown to the kernel */
    uint32_t held_count_max; /* high-water mark since init */
    uint16_t group;
};

/* Registers the ring with the kernel, all slots at home.  `ring` must outlive it.
 * 0, -ENOMEM, -EINVAL (counts, or a kernel before 5.19), -EEXIST (group taken), -errno.
 * Threads: any before su_ring_enable, then the owner of `ring`. */
SB_MUST_USE int su_bufring_init(struct su_bufring *bufring, struct su_ring *ring,
                                const struct su_bufring_config *config);

/* No receive may be armed on it (su_ring_stop, or each one's end was seen) and no slot may be
 * held: the memory goes.  Accepts all zero.  Threads: the owner of the ring. */
void su_bufring_deinit(struct su_bufring *bufring);

/* The slot that a completion brought (IORING_CQE_F_BUFFER), now held with one reference, or NULL
 * if the completion brought none or its number is not one of a slot at home. */
struct su_bufring_slot *su_bufring_hold(struct su_bufring *bufring,
                                        const struct su_completion *completion);

/* Sends home what a completion brought that nobody knows any more. */
void su_bufring_recycle(struct su_bufring *bufring, const struct su_completion *completion);

/* Sends home every slot that is still held, whoever holds it: their slices are dead from here on.
 * Before su_bufring_deinit. */
void su_bufring_reclaim(struct su_bufring *bufring);

/* Shows the kernel what came home since the last call.  Once a turn, before su_ring_enter;
 * su_recv_tend does it. */
void su_bufring_flush(struct su_bufring *bufring);

/* Slots that the kernel can fill.  A completion that was not taken yet counts as at home. */
static inline uint32_t su_bufring_home_count(const struct su_bufring *bufring)
{
    return bufring->slot_count - bufring->held_count;
}

static inline uint8_t *su_bufring_data(const struct su_bufring *bufring,
                                       const struct su_bufring_slot *slot)
{
    return su_slab_slot(&bufring->slab, slot->index);
}

#endif

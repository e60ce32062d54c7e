/* SPDX-License-Identifier: MIT */
#ifndef SU_BUFRING_H
#define SU_BUFRING_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/slice.h"
#include "uring/ring.h"
#include "uring/slab.h"

/* Receive buffers that the kernel chooses from: a provided-buffer ring over a slab.
 *
 * A slot is free (spare, or provided to the kernel, which may fill it) or held (a completion named
 * it, and slices refer to it).  The last unref of its sb_buffer frees it:
 *
 *      spare --flush--> provided --completion--> held, ref_count 1 --refs/unrefs--> 0 --> spare
 *
 *     spare (in the slab) + provided_count + held_count == slot_count
 *     depth_min <= depth <= slot_count
 *
 * su_bufring_flush provides slots until the kernel has `depth` of them, those that were freed last
 * first, with one store per batch.  So the memory in use stays as small as the load allows:
 *
 *   - `depth` fits the L2 cache at first, grows when many small datagrams use it up, and shrinks
 *     again;
 *   - held slots are replaced by spare ones while there are any;
 *   - the pages of spare slots that were not needed for a while are returned to the kernel.
 *
 * All functions, and every ref and unref, belong to the ring's thread. */

#define SU_BUFRING_SLOT_COUNT_DEFAULT 256
#define SU_BUFRING_SLOT_COUNT_MAX     32768
/* 64 KB of payload, the kernel's header, a name and control messages.  Not a power of two: the
 * heads of neighbouring slots fall into different cache sets. */
#define SU_BUFRING_SLOT_SIZE_DEFAULT (65536 + 320)

struct su_bufring_slot {
    struct sb_buffer buffer;
    struct su_bufring *bufring;
    uint32_t index;
    bool is_provided;
};

struct su_bufring_config {
    uint32_t slot_count; /* a power of two up to SU_BUFRING_SLOT_COUNT_MAX; 0 means the default */
    uint32_t slot_size;  /* bytes, at least 512; 0 means the default */
    uint32_t depth;      /* the least that the kernel has; 0: what the L2 cache holds, 16 to 64 */
    uint16_t group;      /* the buffer group's ID: unique within the ring */
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
    uint32_t held_count_max; /* high-water mark since init */
    uint32_t provided_count;
    uint32_t depth; /* slots that a flush provides the kernel with */
    uint32_t depth_min;
    uint32_t flushed_count;  /* provided_count after the last flush */
    uint32_t used_count_max; /* most slots used between two flushes of this period */
    uint32_t flush_count;    /* flushes in this period */
    uint64_t filled_bytes;   /* bytes that completions brought since the last flush */
    bool is_starved;         /* the kernel found no slot since the last flush */
    uint16_t group;
};

/* Registers the ring with the kernel; all slots are free.  `ring` must outlive it.  Returns 0,
 * -ENOMEM, -EINVAL (counts, or a kernel before 5.19), -EEXIST (the group is taken), or -errno.
 * Threads: any before su_ring_enable, then the owner of `ring`. */
SB_MUST_USE int su_bufring_init(struct su_bufring *bufring, struct su_ring *ring,
                                const struct su_bufring_config *config);

/* No receive may be armed on it (su_ring_stop, or each one's end was seen) and no slot may be
 * held: the memory goes.  Accepts all zero.  Threads: the owner of the ring. */
void su_bufring_deinit(struct su_bufring *bufring);

/* Returns the slot that a completion names (IORING_CQE_F_BUFFER), now held with one reference.
 * Returns NULL if the completion names none, or one that is not provided. */
struct su_bufring_slot *su_bufring_hold(struct su_bufring *bufring,
                                        const struct su_completion *completion);

/* Frees the slot of a completion whose receiver does not exist any more. */
void su_bufring_recycle(struct su_bufring *bufring, const struct su_completion *completion);

/* Frees every slot that is still held: slices that refer to it are invalid from here on.  Call it
 * before su_bufring_deinit. */
void su_bufring_reclaim(struct su_bufring *bufring);

/* Records that the kernel had no slot for a datagram (-ENOBUFS).  su_recv_take calls it. */
void su_bufring_starved(struct su_bufring *bufring);

/* Provides slots until the kernel has `depth` of them.  Once per turn, before su_ring_enter;
 * su_recv_rearm calls it. */
void su_bufring_flush(struct su_bufring *bufring);

/* Returns the number of slots that are not held: if it is not 0, the kernel has a slot after a
 * flush.  A slot whose completion was not taken yet counts as free. */
static inline uint32_t su_bufring_free_count(const struct su_bufring *bufring)
{
    return bufring->slot_count - bufring->held_count;
}

static inline uint8_t *su_bufring_data(const struct su_bufring *bufring,
                                       const struct su_bufring_slot *slot)
{
    return su_slab_slot(&bufring->slab, slot->index);
}

#endif

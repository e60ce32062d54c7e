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
 * A slot is at home (spare, or shown to the kernel, which may fill it) or held (a
 * completion brought it up, and slices keep it).  It goes home by the last unref of its
 * sb_buffer:
 *
 *      spare --flush--> shown --completion--> held, ref_count 1 --refs/unrefs--> 0 --> spare
 *
 *     spare (in the slab) + provided_count + held_count == slot_count
 *     depth_min <= depth <= slot_count
 *
 * su_bufring_flush shows the kernel so many that it has `depth`, those that came home last
 * first: one store for a batch.  So the memory that is in use stays as small as the load
 * allows: `depth` fits the L2 cache at first, grows when many small datagrams empty it, and
 * shrinks again; slots that are held are replaced by spare ones while there are any; and
 * the pages of spare slots that nobody needed for a while go back to the kernel.
 *
 * All of it, including every ref and unref, belongs to the ring's thread. */

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
    uint32_t held_count_max; /* high-water mark since init */
    uint32_t provided_count;
    uint32_t depth; /* of slots that the kernel is to have */
    uint32_t depth_min;
    uint32_t flushed_count;  /* provided_count after the last flush */
    uint32_t used_count_max; /* .. from there to the next one, of this period */
    uint32_t flush_count;    /* of this period */
    uint64_t filled_bytes;   /* what completions brought since the last flush */
    bool is_starved;         /* the kernel found none since then */
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
 * if the completion brought none or its number is not one of a slot that was shown. */
struct su_bufring_slot *su_bufring_hold(struct su_bufring *bufring,
                                        const struct su_completion *completion);

/* Sends home what a completion brought that nobody knows any more. */
void su_bufring_recycle(struct su_bufring *bufring, const struct su_completion *completion);

/* Sends home every slot that is still held, whoever holds it: their slices are dead from here on.
 * Before su_bufring_deinit. */
void su_bufring_reclaim(struct su_bufring *bufring);

/* The kernel had no slot for what arrived (-ENOBUFS); su_recv_take tells. */
void su_bufring_starved(struct su_bufring *bufring);

/* Brings what the kernel has to `depth`.  Once a turn, before su_ring_enter; su_recv_rearm does
 * it. */
void su_bufring_flush(struct su_bufring *bufring);

/* Slots that are not held: if this is not 0, the kernel has one after a flush.  A completion that
 * was not taken yet counts as at home. */
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

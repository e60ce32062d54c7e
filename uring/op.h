/* SPDX-License-Identifier: MIT */
#ifndef SU_OP_H
#define SU_OP_H

#include <stdint.h>

#include "proto/base/assert.h"

/* What an operation on the ring is, packed into its 64 bits of user_data.
 *
 *      63      56 55                    32 31                               0
 *     +----------+------------------------+----------------------------------+
 *     |   kind   |       generation       |              index               |
 *     +----------+------------------------+----------------------------------+
 *
 * The index names the thing that the operation belongs to (a socket, a transmit
 * slot), the generation says which of the things that have lived at that index:
 * it changes whenever the index is given to another one, so that a completion
 * which comes late finds a different number and is known as stale. */

#define SU_GENERATION_MASK 0xffffffu

enum su_op_kind {
    SU_OP_NONE = 0,      /* its completion is ignored: cancellations, doorbells to other rings */
    SU_OP_RECEIVE,       /* multishot recvmsg; index: the receiver's own (su_recv) */
    SU_OP_SEND,          /* sendmsg; index: the transmit slot (su_send) */
    SU_OP_WAKE,          /* eventfd read (su_wake) */
    SU_OP_DOORBELL,      /* MSG_RING that came from another ring (su_wake) */
    SU_OP_DOORBELL_LOST, /* our own MSG_RING to another ring failed; index: its su_wake's */
    SU_OP_APP = 128,     /* from here on: free for the owner of the ring */
};

struct su_op {
    uint32_t index;
    uint32_t generation; /* 24 bits */
    uint8_t kind;        /* enum su_op_kind, or the owner's own from SU_OP_APP up to 254 */
};

/* One completion, copied off the ring. */
struct su_completion {
    struct su_op op;
    int32_t result; /* >= 0, or negative errno */
    uint32_t flags; /* IORING_CQE_F_* */
};

static inline uint64_t su_op_pack(struct su_op op)
{
    SB_ASSERT(op.generation <= SU_GENERATION_MASK);
    return (uint64_t)op.kind << 56 | (uint64_t)op.generation << 32 | op.index;
}

static inline struct su_op su_op_unpack(uint64_t user_data)
{
    return (struct su_op){
        .index = (uint32_t)user_data,
        .generation = (uint32_t)(user_data >> 32) & SU_GENERATION_MASK,
        .kind = (uint8_t)(user_data >> 56),
    };
}

static inline uint32_t su_generation_next(uint32_t generation)
{
    return (generation + 1) & SU_GENERATION_MASK;
}

#endif

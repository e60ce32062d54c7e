/* SPDX-License-Identifier: MIT */
#ifndef SP_DELIVERY_H
#define SP_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/recovery/ranges.h"

/* The state of delivery of one direction of a stream (or CRYPTO level).
 *
 *     0 <= acked_end <= sent_end
 *     [0, acked_end)           acknowledged, nothing is kept of it
 *     acked                    acknowledged out of order; all of it above acked_end
 *     lost                     sent, declared lost, to be sent again
 *     acked and lost are disjoint and lie in [acked_end, sent_end)
 *
 * It keeps offsets only; the bytes belong to the caller. */
struct sp_delivery {
    uint64_t sent_end;
    uint64_t acked_end;
    struct sp_ranges acked;
    struct sp_ranges lost;
};

void sp_delivery_init(struct sp_delivery *delivery, struct sb_store *ranges);
void sp_delivery_clear(struct sp_delivery *delivery);

/* Records that [offset, offset + size) was sent, for the first time or again.  Returns false
 * without memory. */
SB_MUST_USE bool sp_delivery_on_sent(struct sp_delivery *delivery, uint64_t offset, uint64_t size);

/* Records that the range was acknowledged, and advances acked_end.  Returns false without memory.
 * */
SB_MUST_USE bool sp_delivery_on_acked(struct sp_delivery *delivery, uint64_t offset, uint64_t size);

/* Records that the range was declared lost; bytes of it that have been acknowledged stay so.
 * Returns false without memory. */
SB_MUST_USE bool sp_delivery_on_lost(struct sp_delivery *delivery, uint64_t offset, uint64_t size);

/* Finds the lowest range to retransmit.  Returns false if there is none. */
bool sp_delivery_next_lost(const struct sp_delivery *delivery, uint64_t *ret_offset,
                           uint64_t *ret_size);

void sp_delivery_check(const struct sp_delivery *delivery);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_DELIVERY_H
#define SP_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/recovery/ranges.h"

/* How far the bytes of one direction of a stream (or CRYPTO level) have got.
 *
 *     0 <= acked_end <= sent_end
 *     [0, acked_end)           acknowledged, nothing is kept of it
 *     acked                    acknowledged out of order; all of it above acked_end
 *     lost                     sent, declared lost, to be sent again
 *     acked and lost are disjoint and lie in [acked_end, sent_end)
 *
 * It knows of offsets only; the bytes belong to somebody else. */
struct sp_delivery {
    uint64_t sent_end;
    uint64_t acked_end;
    struct sp_ranges acked;
    struct sp_ranges lost;
};

void sp_delivery_init(struct sp_delivery *delivery, struct sb_pool *ranges);
void sp_delivery_clear(struct sp_delivery *delivery);

/* [offset, offset + size) went out, for the first time or again.  False without memory. */
SB_MUST_USE bool sp_delivery_on_sent(struct sp_delivery *delivery, uint64_t offset, uint64_t size);

/* It was acknowledged.  Moves acked_end as far as it goes.  False without memory. */
SB_MUST_USE bool sp_delivery_on_acked(struct sp_delivery *delivery, uint64_t offset, uint64_t size);

/* It was declared lost.  What was acknowledged meanwhile stays so.  False without memory. */
SB_MUST_USE bool sp_delivery_on_lost(struct sp_delivery *delivery, uint64_t offset, uint64_t size);

/* The lowest range to repeat.  False if there is none. */
bool sp_delivery_next_lost(const struct sp_delivery *delivery, uint64_t *ret_offset,
                           uint64_t *ret_size);

void sp_delivery_check(const struct sp_delivery *delivery);

#endif

/* SPDX-License-Identifier: MIT */
#include "proto/stream/delivery.h"

/* Sent bytes between acked_end and sent_end, as two sets of ranges.
 *
 * A loss adds to `lost` what is not acknowledged yet; sending those bytes again removes them.
 * An acknowledgment removes from `lost`, and moves acked_end over whatever has become
 * continuous. */

#include "proto/base/assert.h"

void sp_delivery_init(struct sp_delivery *delivery, struct sb_store *ranges)
{
    *delivery = (struct sp_delivery){0};
    sp_ranges_init(&delivery->acked, ranges);
    sp_ranges_init(&delivery->lost, ranges);
}

void sp_delivery_clear(struct sp_delivery *delivery)
{
    sp_ranges_clear(&delivery->acked);
    sp_ranges_clear(&delivery->lost);
}

bool sp_delivery_on_sent(struct sp_delivery *delivery, uint64_t offset, uint64_t size)
{
    SB_ASSERT(offset <= delivery->sent_end);

    uint64_t end = offset + size;
    if (!sp_ranges_is_empty(&delivery->lost) && !sp_ranges_remove(&delivery->lost, offset, end))
        return false;
    delivery->sent_end = SB_MAX(delivery->sent_end, end);
    return true;
}

bool sp_delivery_on_acked(struct sp_delivery *delivery, uint64_t offset, uint64_t size)
{
    uint64_t end = offset + size;
    SB_ASSERT(end <= delivery->sent_end);

    if (!sp_ranges_is_empty(&delivery->lost) && !sp_ranges_remove(&delivery->lost, offset, end))
        return false;
    if (end <= delivery->acked_end)
        return true;
    if (offset > delivery->acked_end)
        return sp_ranges_add(&delivery->acked, offset, end);

    delivery->acked_end = end;
    struct sp_range *first;
    while ((first = delivery->acked.first) != NULL && first->start <= delivery->acked_end) {
        uint64_t first_end = first->end;
        delivery->acked_end = SB_MAX(delivery->acked_end, first_end);
        /* Takes a whole range away: that needs no memory. */
        bool removed = sp_ranges_remove(&delivery->acked, 0, first_end);
        SB_ASSERT(removed);
    }
    return true;
}

bool sp_delivery_on_lost(struct sp_delivery *delivery, uint64_t offset, uint64_t size)
{
    uint64_t end = offset + size;
    SB_ASSERT(end <= delivery->sent_end);

    uint64_t at = SB_MAX(offset, delivery->acked_end);
    const struct sp_range *r = sp_ranges_beyond(&delivery->acked, at);
    for (; r != NULL && at < end; r = r->next) {
        if (r->start >= end)
            break;
        if (r->start > at && !sp_ranges_add(&delivery->lost, at, r->start))
            return false;
        at = r->end;
    }
    return at >= end || sp_ranges_add(&delivery->lost, at, end);
}

bool sp_delivery_next_lost(const struct sp_delivery *delivery, uint64_t *ret_offset,
                           uint64_t *ret_size)
{
    const struct sp_range *first = delivery->lost.first;
    if (first == NULL)
        return false;
    *ret_offset = first->start;
    *ret_size = first->end - first->start;
    return true;
}

void sp_delivery_check(const struct sp_delivery *delivery)
{
    sp_ranges_check(&delivery->acked);
    sp_ranges_check(&delivery->lost);
    SB_ASSERT(delivery->acked_end <= delivery->sent_end);
    for (const struct sp_range *r = delivery->acked.first; r != NULL; r = r->next) {
        SB_ASSERT(r->start > delivery->acked_end);
        SB_ASSERT(r->end <= delivery->sent_end);
    }
    for (const struct sp_range *r = delivery->lost.first; r != NULL; r = r->next) {
        SB_ASSERT(r->start >= delivery->acked_end);
        SB_ASSERT(r->end <= delivery->sent_end);
        for (const struct sp_range *a = delivery->acked.first; a != NULL; a = a->next)
            SB_ASSERT(r->end <= a->start || r->start >= a->end);
    }
}

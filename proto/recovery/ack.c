/* SPDX-License-Identifier: MIT */
#include "proto/recovery/ack.h"

/* Received packet numbers and the decision to acknowledge.
 *
 * There is one decision per batch: the packets of a batch came from the socket together, so one
 * ACK after them carries the same information as several between them.
 *
 * An ACK leaves at once when a batch shows a gap, reordering or a CE mark, because the sender must
 * react to it.  A single packet is acknowledged after the promised delay, or with the next packet
 * that leaves.  [RFC9000 13.2.1]  Two waiting packets are acknowledged at once [13.2.2] as long as
 * the sender may be starting or recovering: at the start, and again after each gap.
 *
 * A flow that is in order and loss-free needs fewer, and each ACK costs both sides as much as ten
 * packets: 13.2.2 lets such a receiver send fewer.  A sender needs them for its clock, for round
 * trips and for signs of loss, all per round trip.  So such a flow gets ACKS_PER_ROUND_TRIP per
 * round trip, and at least one per IN_ORDER_COUNT_MAX packets, which bounds the burst that an ACK
 * releases.  (The reasoning is that of Li et al., TACK, SIGCOMM 2020, which shows that four per
 * round trip are enough.)
 *
 * A sender that asks for other ACKs by an ACK_FREQUENCY frame gets those instead, but never fewer
 * than one per IN_ORDER_COUNT_MAX packets.  [ack-frequency 6]  Its ACKs after silence wait no less:
 * a sender that wants them at once asks for it, and others would get an ACK per request and answer.
 *
 * The peer's acknowledgment of an ACK ends the ranges in it, and the gaps between them.  What comes
 * after that counts as a duplicate, so a packet may be late by one round trip.  On a path that
 * reorders it may be late by two: the ranges are kept for another round trip.  [RFC9000 13.2.3]
 *
 * What can be attacked: gaps make ranges.  They are bounded; the oldest is forgotten, and
 * forgotten numbers count as received, so no packet is ever processed twice.  [RFC9000 13.2.3]
 * Without memory for more than a few ranges the oldest is forgotten sooner. */

#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

/* [RFC9000 13.2.2] So many ack-eliciting packets ask for an ACK. */
#define ELICITING_THRESHOLD 2

/* A flow counts as in order and loss-free after this many ack-eliciting packets without a gap.  It
 * gets an ACK per IN_ORDER_COUNT_MAX packets, and ACKS_PER_ROUND_TRIP per round trip. */
#define IN_ORDER_AFTER_COUNT 128
#define IN_ORDER_COUNT_MAX   256
#define ACKS_PER_ROUND_TRIP  8

void sp_ack_init(struct sp_ack *ack, struct sb_store *store)
{
    *ack = (struct sp_ack){.deadline_ns = SB_NEVER, .store = store};
    ack->ranges = ack->few;
}

/* Moves from the few ranges to many.  False without memory. */
static bool widen(struct sp_ack *ack)
{
    if (ack->many != NULL || ack->store == NULL)
        return false;
    ack->many = sb_store_take_ordinary(ack->store);
    if (ack->many == NULL)
        return false;
    memcpy(ack->many->ranges, ack->few, sizeof(ack->few));
    ack->ranges = ack->many->ranges;
    return true;
}

/* Moves back to the few. */
static void narrow(struct sp_ack *ack)
{
    if (ack->many == NULL)
        return;
    SB_ASSERT(ack->range_count <= SP_ACK_RANGES_FEW);
    memcpy(ack->few, ack->many->ranges, sizeof(ack->few));
    ack->ranges = ack->few;
    sb_store_give(ack->store, ack->many);
    ack->many = NULL;
}

/* Forgets the oldest ranges beyond `count`. */
static void forget_beyond(struct sp_ack *ack, uint32_t count)
{
    if (ack->range_count <= count)
        return;
    ack->floor = ack->ranges[count].largest + 1;
    ack->range_count = count;
}

void sp_ack_deinit(struct sp_ack *ack)
{
    forget_beyond(ack, SP_ACK_RANGES_FEW);
    narrow(ack);
    ack->store = NULL;
}

/* Returns the index of the first range whose smallest is <= pn + 1: pn is in it, just
 * above it, or in the gap before it.  Returns range_count if there is none. */
static uint32_t find(const struct sp_ack *ack, uint64_t pn)
{
    uint32_t i = 0;
    while (i < ack->range_count && ack->ranges[i].smallest > pn + 1)
        i++;
    return i;
}

bool sp_ack_is_known(const struct sp_ack *ack, uint64_t pn)
{
    if (pn < ack->floor)
        return true;
    for (uint32_t i = 0; i < ack->range_count; i++) {
        if (pn > ack->ranges[i].largest)
            return false;
        if (pn >= ack->ranges[i].smallest)
            return true;
    }
    return false;
}

static void insert_at(struct sp_ack *ack, uint32_t index, uint64_t pn)
{
    uint32_t count_max = ack->many != NULL ? SP_ACK_RANGES_MAX : SP_ACK_RANGES_FEW;
    if (ack->range_count == count_max && !widen(ack)) {
        /* Forget the oldest; if the new one is the oldest, it is the one. */
        if (index == ack->range_count) {
            ack->floor = pn + 1;
            return;
        }
        forget_beyond(ack, count_max - 1);
    }
    memmove(&ack->ranges[index + 1], &ack->ranges[index],
            (ack->range_count - index) * sizeof(ack->ranges[0]));
    ack->ranges[index] = (struct sp_ack_range){.smallest = pn, .largest = pn};
    ack->range_count++;
}

static void insert(struct sp_ack *ack, uint64_t pn)
{
    uint32_t i = find(ack, pn);
    if (i == ack->range_count || pn > ack->ranges[i].largest + 1) {
        insert_at(ack, i, pn);
        return;
    }

    struct sp_ack_range *range = &ack->ranges[i];
    if (pn + 1 == range->smallest) {
        range->smallest = pn;
        if (i + 1 < ack->range_count && range[1].largest + 1 == pn) {
            range->smallest = range[1].smallest;
            ack->range_count--;
            memmove(&range[1], &range[2], (ack->range_count - i - 1) * sizeof(*range));
        }
        return;
    }
    SB_ASSERT(pn == range->largest + 1);
    range->largest = pn; /* the range above begins at pn + 2 or later, or find() had taken it */
}

/* Returns whether a new packet lets the sender declare another one lost, or was declared lost
 * itself, by the threshold that the sender has asked for.  Call it after insert().
 * [ack-frequency 6.2] */
static bool is_reordered(const struct sp_ack *ack, uint64_t pn)
{
    uint64_t threshold = ack->wish->reorder_threshold;
    if (threshold == 0)
        return false;
    /* Up to here the sender could declare packets lost already. */
    uint64_t from = ack->reported_end > threshold ? ack->reported_end - threshold : 0;
    if (pn < from)
        return true;
    for (uint32_t i = ack->range_count; i-- > 0;) {
        uint64_t low = i + 1 < ack->range_count ? ack->ranges[i + 1].largest + 1 : ack->floor;
        uint64_t missing = SB_MAX(low, from);
        if (missing < ack->ranges[i].smallest)
            return ack->largest_eliciting >= missing &&
                   ack->largest_eliciting - missing >= threshold;
    }
    return false;
}

/* Returns true if a packet must be acknowledged at once.  [RFC9000 13.2.1]  Many marks in a row
 * need no ACK each if the peer wants few.  [ack-frequency 6.3] */
static bool is_urgent(const struct sp_ack *ack, bool is_out_of_order, uint64_t pn, bool is_ce)
{
    bool has_wish = ack->wish != NULL;
    if (has_wish && ack->wish->count > ELICITING_THRESHOLD)
        is_ce = is_ce && !ack->last_was_ce;
    if (is_ce)
        return true;
    if (has_wish && ack->wish->reorder_threshold != 1)
        return is_reordered(ack, pn);
    return is_out_of_order; /* below an ack-eliciting one, or above a gap */
}

enum sp_err sp_ack_on_frequency(struct sp_ack *ack, struct sp_ack_wish *wish,
                                const struct sp_frame_ack_frequency *frame, uint64_t delay_us_min)
{
    enum { DELAY_MS_END = 1 << 14 };
    if (frame->delay_us < delay_us_min || frame->delay_us >= DELAY_MS_END * (SB_MS / SB_US))
        return SP_ERR_PROTOCOL_VIOLATION;
    if (frame->sequence < wish->next_sequence)
        return SP_OK;
    ack->wish = wish;
    *wish = (struct sp_ack_wish){
        .next_sequence = frame->sequence + 1,
        .count = (uint32_t)SB_MIN(frame->eliciting_max, (uint64_t)IN_ORDER_COUNT_MAX - 1) + 1,
        .delay_us = (uint32_t)frame->delay_us,
        .reorder_threshold = (uint32_t)SB_MIN(frame->reorder_threshold, (uint64_t)UINT32_MAX),
    };
    return SP_OK;
}

void sp_ack_on_packet(struct sp_ack *ack, uint64_t pn, bool is_eliciting, enum sp_ecn ecn,
                      uint64_t now_ns)
{
    SB_DEBUG_ASSERT(!sp_ack_is_known(ack, pn));

    uint64_t next = sp_ack_next_pn(ack);
    if (pn >= next)
        ack->largest_at_ns = now_ns;
    else
        ack->has_late = true;
    insert(ack, pn);
    ack->is_pending = true;

    ack->ecn.ect0 += ecn == SP_ECN_ECT0;
    ack->ecn.ect1 += ecn == SP_ECN_ECT1;
    ack->ecn.ce += ecn == SP_ECN_CE;

    if (!is_eliciting)
        return;
    ack->eliciting_count++;
    ack->batch_eliciting++;
    bool was_ahead = ack->has_eliciting && pn < ack->largest_eliciting;
    if (!ack->has_eliciting || pn > ack->largest_eliciting) {
        ack->largest_eliciting = pn;
        ack->has_eliciting = true;
    }
    if (is_urgent(ack, was_ahead || pn > next, pn, ecn == SP_ECN_CE))
        ack->batch_is_urgent = true;
    ack->last_was_ce = ecn == SP_ECN_CE;
}

/* When the packets that wait are to be acknowledged. */
static uint64_t due_at(const struct sp_ack *ack, uint64_t delay_ns_max, uint64_t rtt_ns,
                       uint64_t now_ns)
{
    if (delay_ns_max == 0 || ack->batch_is_urgent || ack->batch_is_immediate ||
        ack->eliciting_count >= IN_ORDER_COUNT_MAX)
        return now_ns;
    if (ack->wish != NULL) /* [ack-frequency 6] */
        return ack->eliciting_count >= ack->wish->count
                   ? now_ns
                   : sb_time_add(now_ns, ack->wish->delay_us * SB_US);
    uint64_t delayed_ns = sb_time_add(now_ns, delay_ns_max);
    if (ack->eliciting_count < ELICITING_THRESHOLD)
        return delayed_ns;
    if (ack->in_order_count < IN_ORDER_AFTER_COUNT)
        return now_ns;
    return SB_MIN(delayed_ns, ack->sent_at_ns + rtt_ns / ACKS_PER_ROUND_TRIP);
}

/* Forgets the ranges below `end`. */
static void forget_below(struct sp_ack *ack, uint64_t end)
{
    /* The newest range is kept: the next number is expanded with it. */
    while (ack->range_count > 1 && ack->ranges[ack->range_count - 1].largest < end) {
        ack->range_count--;
        ack->floor = SB_MAX(ack->floor, ack->ranges[ack->range_count].largest + 1);
    }
    if (SB_UNLIKELY(ack->many != NULL) && ack->range_count <= 1)
        narrow(ack);
}

void sp_ack_decide(struct sp_ack *ack, uint64_t delay_ns_max, uint64_t rtt_ns, uint64_t now_ns)
{
    if (ack->batch_eliciting > 0) {
        uint32_t in_order_count =
            SB_MIN(ack->in_order_count + ack->batch_eliciting, IN_ORDER_AFTER_COUNT);
        ack->in_order_count = ack->batch_is_urgent ? 0 : in_order_count;
        uint64_t due_ns = due_at(ack, delay_ns_max, rtt_ns, now_ns);
        ack->is_wanted |= due_ns <= now_ns;
        ack->deadline_ns = SB_MIN(ack->deadline_ns, due_ns);
    }
    ack->batch_eliciting = 0;
    ack->batch_is_urgent = false;
    ack->batch_is_immediate = false;
    if (ack->confirmed_end != 0)
        forget_below(ack, ack->confirmed_end);
    ack->confirmed_end = 0;
}

void sp_ack_on_sent(struct sp_ack *ack, uint64_t now_ns)
{
    ack->sent_at_ns = now_ns;
    ack->reported_end = sp_ack_next_pn(ack);
    ack->is_wanted = false;
    ack->is_pending = false;
    ack->eliciting_count = 0;
    ack->deadline_ns = SB_NEVER;
}

bool sp_ack_lag_take(struct sp_ack_lag *lag, uint64_t rtt_ns, uint64_t now_ns, uint64_t *largest)
{
    if (sb_time_since(now_ns, lag->at_ns) < rtt_ns)
        return false;
    uint64_t settled = lag->largest;
    *lag = (struct sp_ack_lag){.largest = SB_MAX(*largest, settled), .at_ns = now_ns};
    *largest = settled;
    return true;
}

void sp_ack_on_confirmed(struct sp_ack *ack, uint64_t largest)
{
    ack->confirmed_end = SB_MAX(ack->confirmed_end, largest + 1);
}

void sp_ack_check(const struct sp_ack *ack)
{
    SB_ASSERT(ack->range_count <= (ack->many != NULL ? SP_ACK_RANGES_MAX : SP_ACK_RANGES_FEW));
    SB_ASSERT(ack->ranges == (ack->many != NULL ? ack->many->ranges : ack->few));
    for (uint32_t i = 0; i < ack->range_count; i++) {
        SB_ASSERT(ack->ranges[i].smallest <= ack->ranges[i].largest);
        SB_ASSERT(ack->ranges[i].smallest >= ack->floor);
        SB_ASSERT(i == 0 || ack->ranges[i].largest + 1 < ack->ranges[i - 1].smallest);
    }
    SB_ASSERT(!ack->has_eliciting || ack->largest_eliciting < sp_ack_next_pn(ack));
}

/* SPDX-License-Identifier: MIT */
#include "proto/recovery/reorder.h"

/* Packets that come late, in two ways.
 *
 * The window: the most that a packet was late in this period and in the one before.  So it grows
 * at once and shrinks after one or two periods.  As long as packets come late by more numbers than
 * the packet threshold has, that threshold is off: how many packets overtake one depends on the
 * rate, which grows, and the time does not.  [RFC8985 6.2]
 *
 * The undo: lost packets since the last reduction, as runs of up to 64 numbers.  When there are too
 * many runs, or after a few round trips, there is nothing to undo: then losses are real.
 *
 * What can be attacked: a peer acknowledges late what it has.  Then its packets are retransmitted
 * later; nobody else is affected.  The runs are few: the cost of an ACK range is bounded. */

#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/wire/limits.h"

#define RUN_BITS      64
#define RUN_NS        (1 * SB_MS) /* packets of a run left within that time */
#define PERIOD_RTTS   16
#define PERIOD_NS_MIN (1 * SB_S)
#define EXTRA_RTTS    2 /* a packet that is one round trip late, and the quarter, have room */
#define UNDO_RTTS     4 /* a packet that comes later than that was retransmitted for a reason */

uint64_t sp_reorder_delay_ns(const struct sp_reorder *reorder, const struct sp_rtt *rtt,
                             uint64_t ack_delay_ns)
{
    uint64_t delay_ns = sp_rtt_loss_delay_ns(rtt);
    uint64_t late_ns = SB_MAX(reorder->late_ns[0], reorder->late_ns[1]);
    if (SB_LIKELY(late_ns == 0))
        return delay_ns;
    /* More than the latest so far: the next may be later by a quarter, or its ACK may wait. */
    uint64_t margin_ns = SB_MAX(late_ns / 4, ack_delay_ns);
    uint64_t extra_ns = SB_MIN(late_ns + margin_ns, EXTRA_RTTS * rtt->smoothed_ns);
    return SB_MAX(delay_ns, SB_MAX(rtt->latest_ns, rtt->smoothed_ns) + extra_ns);
}

void sp_reorder_update(struct sp_reorder *reorder, const struct sp_rtt *rtt, uint64_t now_ns)
{
    if (reorder->run_count > 0 &&
        sb_time_since(now_ns, reorder->reduced_at_ns) > UNDO_RTTS * rtt->smoothed_ns) {
        reorder->run_count = 0;
        reorder->can_undo = false;
    }
    if (SB_LIKELY(now_ns < reorder->period_end_ns))
        return;
    uint64_t length_ns = SB_MAX(PERIOD_RTTS * rtt->smoothed_ns, PERIOD_NS_MIN);
    bool is_next = now_ns < sb_time_add(reorder->period_end_ns, length_ns);
    reorder->late_ns[1] = is_next ? reorder->late_ns[0] : 0;
    reorder->is_wide[1] = is_next && reorder->is_wide[0];
    reorder->late_ns[0] = 0;
    reorder->is_wide[0] = false;
    reorder->period_end_ns = sb_time_add(now_ns, length_ns);
}

void sp_reorder_on_late(struct sp_reorder *reorder, uint64_t sent_ns, uint64_t distance,
                        const struct sp_rtt *rtt, uint64_t now_ns)
{
    sp_reorder_update(reorder, rtt, now_ns);
    uint64_t age_ns = sb_time_since(now_ns, sent_ns);
    /* The newest round trip is that of the packets that overtook it.  The smoothed one of a young
     * connection may be that of a packet that came late: it falls, and the next packet would not be
     * waited for long enough. */
    if (age_ns > rtt->latest_ns)
        reorder->late_ns[0] = SB_MAX(reorder->late_ns[0], age_ns - rtt->latest_ns);
    reorder->is_wide[0] |= distance >= SP_LOSS_PACKET_THRESHOLD;
}

static void begin(struct sp_reorder *reorder, uint64_t now_ns)
{
    reorder->reduced_at_ns = now_ns;
    reorder->run_count = 0;
    reorder->can_undo = true;
}

void sp_reorder_on_lost(struct sp_reorder *reorder, uint64_t pn, uint64_t sent_ns, uint64_t now_ns)
{
    if (sent_ns > reorder->reduced_at_ns)
        begin(reorder, now_ns);
    struct sp_reorder_run *run =
        reorder->run_count > 0 ? &reorder->runs[reorder->run_count - 1] : NULL;
    bool continues = run != NULL && pn > run->first_pn && pn - run->first_pn < RUN_BITS &&
                     sb_time_since(sent_ns, run->sent_ns) <= RUN_NS;
    if (!continues) {
        if (reorder->run_count == SP_REORDER_RUNS) {
            reorder->can_undo = false;
            memmove(&reorder->runs[0], &reorder->runs[1],
                    sizeof(reorder->runs) - sizeof(reorder->runs[0]));
            reorder->run_count--;
        }
        run = &reorder->runs[reorder->run_count++];
        *run = (struct sp_reorder_run){.first_pn = pn, .sent_ns = sent_ns};
    }
    run->bits |= UINT64_C(1) << (pn - run->first_pn);
}

void sp_reorder_on_final(struct sp_reorder *reorder, uint64_t now_ns)
{
    begin(reorder, now_ns);
    reorder->can_undo = false;
}

/* Returns the bits of a run that are in the range of numbers. */
static uint64_t bits_in(const struct sp_reorder_run *run, uint64_t smallest, uint64_t largest)
{
    if (largest < run->first_pn || smallest >= run->first_pn + RUN_BITS)
        return 0;
    uint64_t from = SB_MAX(smallest, run->first_pn) - run->first_pn;
    uint64_t to = SB_MIN(largest - run->first_pn, (uint64_t)RUN_BITS - 1);
    return run->bits & UINT64_MAX << from & UINT64_MAX >> (RUN_BITS - 1 - to);
}

uint32_t sp_reorder_on_acked(struct sp_reorder *reorder, uint64_t smallest, uint64_t largest,
                             uint64_t *ret_pn, uint64_t *ret_sent_ns)
{
    uint32_t count = 0;
    for (uint32_t i = reorder->run_count; i-- > 0;) {
        struct sp_reorder_run *run = &reorder->runs[i];
        uint64_t bits = bits_in(run, smallest, largest);
        if (bits == 0)
            continue;
        *ret_pn = run->first_pn + (uint32_t)__builtin_ctzll(bits);
        *ret_sent_ns = run->sent_ns;
        run->bits &= ~bits;
        for (; bits != 0; bits &= bits - 1)
            count++;
        if (run->bits == 0) {
            reorder->run_count--;
            memmove(run, run + 1, (reorder->run_count - i) * sizeof(*run));
        }
    }
    return count;
}

bool sp_reorder_take_undo(struct sp_reorder *reorder)
{
    if (!reorder->can_undo || reorder->run_count > 0)
        return false;
    reorder->can_undo = false;
    reorder->reduced_at_ns = 0; /* what is in flight may reduce again */
    return true;
}

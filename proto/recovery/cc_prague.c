/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cc.h"

/* Prague: a scalable controller for L4S.  [RFC9330, RFC9331,
 * draft-briscoe-iccrg-prague-congestion-control]
 *
 * An L4S queue marks packets that wait for about a millisecond, so it marks often and early.  The
 * size of the reaction is the share of marked packets, and not their presence:
 *
 *     alpha += (share of the round - alpha) / 16     once per round
 *     cwnd  -= cwnd * alpha / 2                      at the first mark of a round
 *     cwnd  += datagram per round                    for packets without a mark, all the time
 *
 * Two marks per round trip keep the window where it is, at any rate.  Rounds are round trips, or
 * 25 ms where those are shorter, and the increase is lower there in proportion to the square: so
 * a flow takes the capacity that a flow of 25 ms would take.  A short flow need not be fair: this
 * begins after ROUNDS_ALIKE rounds.
 *
 * Where there are no marks this is CUBIC, with its state and operations: before the first mark,
 * after a loss, which is reduced as CUBIC reduces it, and after QUIET_ROUNDS rounds without a mark,
 * because capacity has become free.  The first mark of all halves the window: it ends slow start,
 * which has doubled the window once too often.
 *
 * A classic ECN queue marks few packets, after a long wait, and expects a halved window.  Flows
 * that do less starve the others in such a queue.  [RFC9331 4.3]  It is recognised by marks in
 * rounds whose shortest round trip is more than CLASSIC_NS above the path's: CLASSIC_SIGNS such
 * rounds more than others make the path one of CUBIC and ECT(0), for good.  What is not recognised:
 *
 *     a classic queue that marks below that wait, or while the window has reached its floor;
 *     a wait that was there from the connection's first round trip on.
 *
 * It is wrong, on the safe side, where an L4S queue marks and another one, which does not, delays
 * for that long, or when the path has become longer.
 *
 * What can be attacked: a peer that reports fewer marks than it got takes more than its share, as
 * one that acknowledges what it never got. */

#include "proto/base/compiler.h"
#include "proto/base/time.h"

#define ALPHA_SHIFT     20
#define ALPHA_ONE       (UINT32_C(1) << ALPHA_SHIFT)
#define GAIN_SHIFT      4 /* 1/16 */
#define GROWTH_SHIFT    20
#define ROUND_NS_MIN    (25 * SB_MS)
#define ROUNDS_ALIKE    500
#define ACKS_PER_WINDOW 16 /* that ack_request.c asks for */
#define QUIET_ROUNDS    32
#define CLASSIC_NS      (3 * SB_MS)
#define CLASSIC_PACKETS 4 /* .. and the time of so many, on a slow path */
#define CLASSIC_SIGNS   16

typedef unsigned __int128 wide;

_Static_assert(offsetof(struct sp_cc_prague, classic) == 0, "it is the state of CUBIC");

static void init(struct sp_cc *cc, const struct sp_cc_args *args)
{
    sp_cc_cubic_ops.init(cc, args);
    cc->prague.alpha = ALPHA_ONE;
    cc->prague.round_rtt_min_us = UINT32_MAX;
}

static void on_acked(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    sp_cc_cubic_ops.on_acked(cc, ack);
}

/* Returns the least time of a round: 0 where a round trip is all. */
static uint64_t round_ns_min(const struct sp_cc_prague *prague)
{
    return prague->rounds >= ROUNDS_ALIKE ? ROUND_NS_MIN : 0;
}

static void begin_round(struct sp_cc_prague *prague, uint64_t now_ns)
{
    prague->round_at_ns = now_ns;
    prague->round_rtt_min_us = UINT32_MAX;
    prague->round_count = prague->round_ce_count = 0;
    prague->is_reduced = false;
}

/* ---- Marks ---- */

/* Returns whether the window was reduced for this round already.  The ACK that ends a round still
 * belongs to it: its marks may be those of packets that left before the reduction. */
static bool is_reduced(const struct sp_cc_prague *prague, const struct sp_cc_loss *mark)
{
    const struct sp_cc_cubic *classic = &prague->classic;
    bool is_lost = classic->recovery_start_ns != 0 && mark->sent_ns <= classic->recovery_start_ns;
    return is_lost || prague->is_reduced;
}

/* A round begins with the reduction, but keeps what it has counted. */
static void on_marks(struct sp_cc *cc, const struct sp_cc_loss *mark)
{
    struct sp_cc_prague *prague = &cc->prague;
    bool reduces = !is_reduced(prague, mark);
    if (reduces && prague->state == SP_PRAGUE_UNMARKED)
        begin_round(prague, mark->now_ns);
    prague->round_ce_count += mark->ce_count;
    /* Packets with marks do not grow the window. */
    uint64_t marked_bytes = (uint64_t)mark->ce_count * cc->datagram_bytes;
    prague->classic.acked_bytes -= SB_MIN(marked_bytes, prague->classic.acked_bytes);
    if (!reduces)
        return;
    if (prague->state != SP_PRAGUE_L4S)
        cc->cwnd_bytes = sp_cc_used_bytes(cc, mark);
    uint64_t less_bytes = (uint64_t)((wide)cc->cwnd_bytes * prague->alpha >> (ALPHA_SHIFT + 1));
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes - less_bytes, sp_cc_cwnd_min(cc));
    cc->ssthresh_bytes = cc->cwnd_bytes;
    if (prague->state != SP_PRAGUE_L4S) {
        /* The stage of CUBIC is over, and so is what its undo() would go back to. */
        prague->classic.stage = (struct sp_cubic_stage){0};
        prague->classic.est_rest = 0;
        prague->quiet_rounds = 0;
    }
    prague->state = SP_PRAGUE_L4S;
    prague->round_at_ns = mark->now_ns;
    prague->is_reduced = true;
}

/* ---- Rounds ---- */

/* Returns whether the packets of a round with marks have waited for longer than an L4S queue lets
 * them wait.  A window at its floor proves nothing: it cannot become smaller. */
static bool is_classic(const struct sp_cc *cc, const struct sp_rtt *rtt)
{
    const struct sp_cc_prague *prague = &cc->prague;
    if (prague->round_rtt_min_us == UINT32_MAX || cc->cwnd_bytes < 2 * sp_cc_cwnd_min(cc))
        return false;
    uint64_t packets_ns = CLASSIC_PACKETS * cc->datagram_bytes * rtt->smoothed_ns / cc->cwnd_bytes;
    return prague->round_rtt_min_us * SB_US > rtt->min_ns + CLASSIC_NS + packets_ns;
}

static void end_round(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    struct sp_cc_prague *prague = &cc->prague;
    uint32_t ce_count = SB_MIN(prague->round_ce_count, prague->round_count);
    if (prague->round_count > 0) {
        uint32_t share = (uint32_t)(((uint64_t)ce_count << ALPHA_SHIFT) / prague->round_count);
        prague->alpha += (share >> GAIN_SHIFT) - (prague->alpha >> GAIN_SHIFT);
    }
    if (prague->rounds < ROUNDS_ALIKE)
        prague->rounds++;
    if (ce_count > 0) {
        prague->quiet_rounds = 0;
        if (is_classic(cc, ack->rtt))
            prague->classic_signs++;
        else if (prague->classic_signs > 0)
            prague->classic_signs--;
    } else if (!ack->is_app_limited && ++prague->quiet_rounds >= QUIET_ROUNDS) {
        prague->state = SP_PRAGUE_CLASSIC;
    }
    begin_round(prague, ack->now_ns);
}

/* ---- Growth ---- */

/* Returns by how much slower a flow of a short round trip grows, to be alike to one of
 * ROUND_NS_MIN: a share in 2^-GROWTH_SHIFT, never 0. */
static uint64_t growth_share(const struct sp_cc_prague *prague, const struct sp_rtt *rtt)
{
    uint64_t round_us = round_ns_min(prague) / SB_US, rtt_us = rtt->smoothed_ns / SB_US;
    if (rtt_us >= round_us)
        return UINT64_C(1) << GROWTH_SHIFT;
    return SB_MAX((rtt_us * rtt_us << GROWTH_SHIFT) / (round_us * round_us), 1);
}

/* A datagram per round trip, or growth_share() of that. */
static void grow(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    struct sp_cc_prague *prague = &cc->prague;
    uint64_t bytes = prague->classic.acked_bytes;
    prague->classic.acked_bytes = 0;
    wide amount = (wide)bytes * cc->datagram_bytes * growth_share(prague, ack->rtt);
    uint64_t divisor = cc->cwnd_bytes << GROWTH_SHIFT;
    amount += prague->classic.est_rest;
    cc->cwnd_bytes += (uint64_t)(amount / divisor);
    prague->classic.est_rest = (uint64_t)(amount % divisor);
}

/* A window per round trip and ACKS_PER_WINDOW-th of one, which is how late an ACK comes: a faster
 * sender would use up its window, and wait, and the queue would see bursts.  A quarter more than a
 * window per round trip where the window grows as CUBIC's.  In slow start that is less than what
 * others do: with twice the window the queue is marked when the window has only half the size that
 * the path takes. */
static void set_rate(struct sp_cc *cc, const struct sp_rtt *rtt)
{
    wide rate = (wide)cc->cwnd_bytes * SB_S / SB_MAX(rtt->smoothed_ns, 1);
    if (cc->prague.state == SP_PRAGUE_L4S)
        rate -= rate / (ACKS_PER_WINDOW + 1);
    else
        rate += rate / 4;
    cc->rate_bytes_per_s = (uint64_t)SB_MIN(rate, (wide)UINT64_MAX);
}

static void on_ack_end(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    struct sp_cc_prague *prague = &cc->prague;
    if (prague->state == SP_PRAGUE_L4S && !sp_cc_is_in_slow_start(cc))
        grow(cc, ack);
    else
        sp_cc_cubic_ops.on_ack_end(cc, ack);
    prague->round_count += ack->marked_count;
    if (ack->rtt_ns > 0)
        prague->round_rtt_min_us =
            (uint32_t)SB_MIN((uint64_t)prague->round_rtt_min_us, ack->rtt_ns / SB_US);
    bool is_over = ack->sent_ns > prague->round_at_ns &&
                   sb_time_since(ack->now_ns, prague->round_at_ns) >= round_ns_min(prague);
    if (is_over && prague->state != SP_PRAGUE_UNMARKED)
        end_round(cc, ack);
    if (prague->classic_signs >= CLASSIC_SIGNS)
        sp_cc_leave_l4s(cc);
    else
        set_rate(cc, ack->rtt);
}

/* ---- Losses ---- */

/* Returns the window before a reduction by a mark in this round, which is a part of the one for a
 * loss.  `alpha` may have changed a little since then. */
static uint64_t before_mark(const struct sp_cc *cc)
{
    if (!cc->prague.is_reduced)
        return cc->cwnd_bytes;
    return (uint64_t)(((wide)cc->cwnd_bytes << (ALPHA_SHIFT + 1)) /
                      (2 * ALPHA_ONE - cc->prague.alpha));
}

static void on_losses(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    struct sp_cc_prague *prague = &cc->prague;
    uint64_t cwnd_bytes = cc->cwnd_bytes;
    cc->cwnd_bytes = before_mark(cc);
    sp_cc_cubic_ops.on_lost(cc, loss);
    if (cc->cwnd_bytes > cwnd_bytes) { /* the mark has taken more, or this loss nothing */
        cc->cwnd_bytes = cwnd_bytes;
        cc->ssthresh_bytes = SB_MIN(cc->ssthresh_bytes, cwnd_bytes);
    }
    prague->classic.undo.cwnd_bytes = SB_MIN(prague->classic.undo.cwnd_bytes, cwnd_bytes);
    if (prague->state == SP_PRAGUE_L4S)
        prague->state = SP_PRAGUE_CLASSIC;
    set_rate(cc, loss->rtt);
}

static void on_lost(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    if (loss->is_ecn)
        on_marks(cc, loss);
    else
        on_losses(cc, loss);
}

static void undo(struct sp_cc *cc)
{
    sp_cc_cubic_ops.undo(cc);
}

/* The pacer derives the rate from the window until the next ACK. */
static void on_unused(struct sp_cc *cc)
{
    sp_cc_cubic_ops.on_unused(cc);
    cc->rate_bytes_per_s = 0;
}

const struct sp_cc_ops sp_cc_prague_ops = {
    .name = "prague",
    .init = init,
    .on_acked = on_acked,
    .on_lost = on_lost,
    .on_ack_end = on_ack_end,
    .undo = undo,
    .on_unused = on_unused,
    .is_l4s = true,
    .needs_pacing = true,
};

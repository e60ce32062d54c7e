/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cc.h"

/* CUBIC.  [RFC9438]
 *
 * After a reduction to 0.7 the window follows a cubic function of time, whose plateau is the window
 * before the reduction:
 *
 *     W(t) = C * (t - K)^3 + W_max,  C = 0.4 datagrams/s^3,  K = cbrt((W_max - cwnd) / C)
 *
 * So growth depends on time and not on the round trip, and a long path is filled again quickly.
 * Where NewReno would be faster, which is on short paths, the window follows an estimate of
 * NewReno's.  Slow start is that of HyStart++.
 *
 * All is in integers: bytes, and microseconds for K and t - K, whose cubes take 128 bits.  What a
 * division leaves over counts next time, so that rounding does not starve large windows. */

#include "proto/base/compiler.h"
#include "proto/base/time.h"

/* As fractions: beta = 7/10, C = 2/5, alpha = 3 * (1 - beta) / (1 + beta) = 9/17.
 * [RFC9438 4.3, 4.6, 5] */
#define BETA_NUM  7
#define BETA_DEN  10
#define ALPHA_NUM 9
#define ALPHA_DEN 17
#define C_NUM     2
#define C_DEN     5

/* 10^18: cubic microseconds per cubic second. */
#define CUBIC_US_PER_S (UINT64_C(1000000) * 1000000 * 1000000)
/* 18 minutes: K of a window of 2^38 bytes is less, and the cube times a datagram fits. */
#define OFFSET_US_BITS 30
#define OFFSET_US_MAX  ((UINT64_C(1) << OFFSET_US_BITS) - 1)

typedef unsigned __int128 wide;

static void init(struct sp_cc *cc, const struct sp_cc_args *args)
{
    (void)args;
    cc->cwnd_bytes = sp_cc_cwnd_initial(cc);
    sp_hystart_init(&cc->cubic.hystart);
}

static bool is_reduced(const struct sp_cc_cubic *cubic, uint64_t sent_ns)
{
    return cubic->recovery_start_ns != 0 && sent_ns <= cubic->recovery_start_ns;
}

/* Returns C * offset^3 in bytes. */
static uint64_t cubic_bytes(const struct sp_cc *cc, uint64_t offset_us)
{
    wide offset = SB_MIN(offset_us, OFFSET_US_MAX);
    wide product = offset * offset * offset * C_NUM * cc->datagram_bytes;
    return (uint64_t)(product / ((wide)C_DEN * CUBIC_US_PER_S));
}

/* Returns the offset whose cubic_bytes() are `bytes`: a root, one bit after the other. */
static uint64_t offset_us_of(const struct sp_cc *cc, uint64_t bytes)
{
    wide cube = (wide)bytes * C_DEN * CUBIC_US_PER_S / (C_NUM * cc->datagram_bytes);
    uint64_t root = 0;
    for (uint32_t bit = OFFSET_US_BITS; bit-- > 0;) {
        wide tried = root | UINT64_C(1) << bit;
        if (tried * tried * tried <= cube)
            root = (uint64_t)tried;
    }
    return root;
}

/* Returns W(t).  [RFC9438 4.2] */
static uint64_t w_cubic(const struct sp_cc *cc, uint64_t t_ns)
{
    const struct sp_cubic_stage *stage = &cc->cubic.stage;
    uint64_t t_us = t_ns / SB_US;
    if (t_us >= stage->k_us)
        return stage->w_max_bytes + cubic_bytes(cc, t_us - stage->k_us);
    uint64_t below = cubic_bytes(cc, stage->k_us - t_us);
    return stage->w_max_bytes - SB_MIN(below, stage->w_max_bytes);
}

/* [RFC9438 4.2, 4.8, 4.10] */
static void begin_stage(struct sp_cc *cc, uint64_t now_ns)
{
    struct sp_cc_cubic *cubic = &cc->cubic;
    struct sp_cubic_stage *stage = &cubic->stage;
    stage->w_max_bytes = SB_MAX(stage->w_max_bytes, cc->cwnd_bytes);
    if (stage->prior_bytes == 0)
        stage->prior_bytes = cc->cwnd_bytes;
    stage->k_us = offset_us_of(cc, stage->w_max_bytes - cc->cwnd_bytes);
    stage->elapsed_ns = 0;
    stage->w_est_bytes = cc->cwnd_bytes;
    cubic->updated_ns = now_ns;
    cubic->cubic_rest = cubic->est_rest = 0;
}

/* Returns amount * factor / divisor; `*rest` takes what is left over to the next call. */
static uint64_t scale(wide product, uint64_t divisor, uint64_t *rest)
{
    product += *rest;
    *rest = (uint64_t)(product % divisor);
    return (uint64_t)(product / divisor);
}

static void grow_in_avoidance(struct sp_cc *cc, uint64_t bytes, const struct sp_cc_ack *ack)
{
    struct sp_cc_cubic *cubic = &cc->cubic;
    struct sp_cubic_stage *stage = &cubic->stage;
    if (stage->w_est_bytes == 0)
        begin_stage(cc, ack->now_ns);
    /* After silence no more than a round trip: [RFC9438 5.8] */
    stage->elapsed_ns += SB_MIN(sb_time_since(ack->now_ns, cubic->updated_ns),
                                sb_time_since(ack->now_ns, ack->sent_ns));
    cubic->updated_ns = ack->now_ns;

    /* [RFC9438 4.3] */
    bool is_as_reno = stage->w_est_bytes >= stage->prior_bytes;
    uint64_t alpha = is_as_reno ? ALPHA_DEN : ALPHA_NUM;
    stage->w_est_bytes += scale((wide)bytes * cc->datagram_bytes * alpha,
                                cc->cwnd_bytes * ALPHA_DEN, &cubic->est_rest);
    if (w_cubic(cc, stage->elapsed_ns) < stage->w_est_bytes) {
        cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, stage->w_est_bytes);
        return;
    }
    /* [RFC9438 4.2, 4.4, 4.5] */
    uint64_t target = w_cubic(cc, stage->elapsed_ns + ack->rtt->smoothed_ns);
    target = SB_MIN(target, cc->cwnd_bytes + cc->cwnd_bytes / 2);
    if (target > cc->cwnd_bytes)
        cc->cwnd_bytes +=
            scale((wide)bytes * (target - cc->cwnd_bytes), cc->cwnd_bytes, &cubic->cubic_rest);
}

/* Collects the bytes: what grows the window is one step per ACK. */
static void on_acked(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    /* [RFC9002 7.3.2, 7.8] No growth in recovery, nor when the window was not used. */
    if (ack->is_app_limited)
        cc->cubic.updated_ns = ack->now_ns;
    else if (!is_reduced(&cc->cubic, ack->sent_ns) || cc->cubic.has_collapsed)
        cc->cubic.acked_bytes += ack->bytes;
    else if (cc->cubic.undo.ssthresh_bytes == UINT64_MAX)
        cc->cubic.undo.acked_bytes += ack->bytes;
}

static void on_ack_end(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    struct sp_cc_cubic *cubic = &cc->cubic;
    uint64_t bytes = cubic->acked_bytes;
    cubic->acked_bytes = 0;
    if (bytes == 0)
        return;
    if (sp_cc_is_in_first_slow_start(cc)) {
        cc->cwnd_bytes += sp_hystart_growth(&cubic->hystart, bytes);
        if (sp_hystart_on_ack(&cubic->hystart, ack->rtt_ns, ack->sent_ns, ack->now_ns))
            cc->ssthresh_bytes = cc->cwnd_bytes;
        return;
    }
    if (sp_cc_is_in_slow_start(cc)) {
        uint64_t grown = SB_MIN(bytes, cc->ssthresh_bytes - cc->cwnd_bytes);
        cc->cwnd_bytes += grown;
        bytes -= grown;
    }
    if (bytes > 0)
        grow_in_avoidance(cc, bytes, ack);
}

/* [RFC9438 4.6, 4.7] */
static void reduce(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    struct sp_cc_cubic *cubic = &cc->cubic;
    struct sp_cubic_stage *stage = &cubic->stage;
    cubic->undo.cwnd_bytes = cc->cwnd_bytes;
    cubic->undo.ssthresh_bytes = cc->ssthresh_bytes;
    if (sp_cc_is_in_first_slow_start(cc))
        cubic->undo.acked_bytes = cubic->acked_bytes; /* of the ACK that shows the loss */
    else
        cubic->undo.stage = *stage;
    cubic->recovery_start_ns = SB_MAX(loss->now_ns, 1);
    cubic->has_collapsed = false;
    cc->cwnd_bytes = sp_cc_used_bytes(cc, loss);

    bool is_lower = cc->cwnd_bytes < stage->w_max_bytes; /* fast convergence: 17/20 */
    stage->w_max_bytes =
        is_lower ? cc->cwnd_bytes * (BETA_DEN + BETA_NUM) / (2 * BETA_DEN) : cc->cwnd_bytes;
    stage->prior_bytes = cc->cwnd_bytes;
    stage->w_est_bytes = 0;
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes * BETA_NUM / BETA_DEN, sp_cc_cwnd_min(cc));
    cc->ssthresh_bytes = cc->cwnd_bytes;
}

static void on_lost(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    struct sp_cc_cubic *cubic = &cc->cubic;
    if (!is_reduced(cubic, loss->sent_ns))
        reduce(cc, loss);
    /* [RFC9002 7.6.2, RFC9438 4.8] What is acknowledged grows the window at once.  The loss of a
     * packet that left before this, as one of two probes, says nothing new. */
    if (loss->is_persistent) {
        cc->cwnd_bytes = sp_cc_cwnd_min(cc);
        cubic->recovery_start_ns = SB_MAX(loss->now_ns, 1);
        cubic->has_collapsed = true;
        cubic->stage.w_max_bytes = 0;
        cubic->stage.w_est_bytes = 0;
    }
}

/* [RFC9438 4.9.2] */
static void undo(struct sp_cc *cc)
{
    struct sp_cc_cubic *cubic = &cc->cubic;
    bool can_undo = cubic->recovery_start_ns != 0 && !cubic->has_collapsed;
    cubic->recovery_start_ns = 0; /* what is in flight may grow the window again */
    if (!can_undo || cc->cwnd_bytes >= cubic->stage.prior_bytes)
        return;
    cc->cwnd_bytes = SB_MAX(cubic->undo.cwnd_bytes, sp_cc_cwnd_min(cc));
    cc->ssthresh_bytes = cubic->undo.ssthresh_bytes;
    if (!sp_cc_is_in_first_slow_start(cc)) {
        cubic->stage = cubic->undo.stage;
        return;
    }
    cubic->stage = (struct sp_cubic_stage){0};
    /* Slow start would have grown by what was acknowledged meanwhile: a path that reorders would
     * cost a round trip otherwise. */
    cc->cwnd_bytes += cubic->undo.acked_bytes;
    sp_hystart_init(&cubic->hystart);
}

/* The stage begins anew at the smaller window, towards the same plateau. */
static void on_unused(struct sp_cc *cc)
{
    cc->cubic.stage.w_est_bytes = 0;
    cc->cubic.recovery_start_ns = 0; /* nothing to undo */
}

const struct sp_cc_ops sp_cc_cubic_ops = {
    .name = "cubic",
    .init = init,
    .on_acked = on_acked,
    .on_lost = on_lost,
    .on_ack_end = on_ack_end,
    .undo = undo,
    .on_unused = on_unused,
};

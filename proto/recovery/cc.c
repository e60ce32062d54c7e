/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cc.h"

/* What all controllers share: how one is chosen, where it starts, and what happens to a window that
 * is not used. */

#include "proto/base/compiler.h"
#include "proto/recovery/bbr.h"

/* Per datagram of the first window: 14,720 bytes for ten.  [RFC9002 7.2] */
#define INITIAL_BYTES (14720 / SP_CC_DATAGRAMS_INITIAL)

static const struct sp_cc_ops *const all_ops[SP_CC_KINDS] = {
#define SP_CC_ROW(kind, name) [SP_CC_##kind] = &sp_cc_##name##_ops,
    SP_CC_LIST(SP_CC_ROW)
#undef SP_CC_ROW
};

const struct sp_cc_ops *sp_cc_ops_of(enum sp_cc_kind kind)
{
    SB_ASSERT((unsigned)kind < SP_CC_KINDS);
    return all_ops[kind];
}

enum sp_cc_kind sp_cc_kind_of(const struct sp_cc *cc)
{
    uint32_t kind = 0;
    while (kind < SP_CC_KINDS && all_ops[kind] != cc->ops)
        kind++;
    return (enum sp_cc_kind)kind;
}

enum sp_cc_phase sp_cc_phase(const struct sp_cc *cc)
{
    if (cc->ops == &sp_cc_bbr_ops)
        return (enum sp_cc_phase)(SP_CC_PHASE_BBR + cc->bbr.model->state);
    if (cc->ops == &sp_cc_fixed_ops)
        return SP_CC_PHASE_NONE;
    return sp_cc_is_in_slow_start(cc) ? SP_CC_PHASE_SLOW_START : SP_CC_PHASE_AVOIDANCE;
}

/* Also from SP_PRAGUE_L4S, whose window is no point of CUBIC's curve: a new stage begins. */
void sp_cc_leave_l4s(struct sp_cc *cc)
{
    SB_ASSERT(cc->ops == &sp_cc_prague_ops);
    cc->prague.classic.stage = (struct sp_cubic_stage){0};
    cc->ops = &sp_cc_cubic_ops;
    cc->rate_bytes_per_s = 0;
}

uint64_t sp_cc_cwnd_initial(const struct sp_cc *cc)
{
    uint64_t datagrams = cc->initial_datagrams;
    return SB_MIN(datagrams * cc->datagram_bytes,
                  SB_MAX(datagrams * INITIAL_BYTES, sp_cc_cwnd_min(cc)));
}

void sp_cc_init(struct sp_cc *cc, const struct sp_cc_args *args)
{
    SB_ASSERT(args->datagram_bytes > 0);
    *cc = (struct sp_cc){
        .ops = args->ops,
        .ssthresh_bytes = UINT64_MAX,
        .datagram_bytes = (uint32_t)args->datagram_bytes,
        .initial_datagrams =
            args->initial_datagrams > 0 ? args->initial_datagrams : SP_CC_DATAGRAMS_INITIAL,
    };
    sp_cwv_restart(&cc->cwv, 0);
    args->ops->init(cc, args);
    SB_ASSERT(cc->cwnd_bytes >= sp_cc_cwnd_min(cc));
}

void sp_cc_set_datagram_bytes(struct sp_cc *cc, uint64_t datagram_bytes)
{
    SB_ASSERT(datagram_bytes > 0);
    cc->datagram_bytes = (uint32_t)datagram_bytes;
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, sp_cc_cwnd_min(cc));
}

/* ---- Windows that are not used ---- */

/* [RFC7661 4.4.3] */
static bool halve_unused(struct sp_cc *cc, uint64_t now_ns)
{
    uint64_t periods = sp_cwv_take_periods(&cc->cwv, now_ns);
    if (SB_LIKELY(periods == 0))
        return false;
    uint64_t floor_bytes = sp_cc_cwnd_initial(cc), before_bytes = cc->cwnd_bytes;
    for (; periods > 0 && cc->cwnd_bytes > floor_bytes; periods--) {
        cc->ssthresh_bytes = SB_MAX(cc->ssthresh_bytes, cc->cwnd_bytes / 4 * 3);
        cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes / 2, floor_bytes);
    }
    if (cc->cwnd_bytes == before_bytes)
        return false;
    cc->ops->on_unused(cc);
    return true;
}

bool sp_cc_on_restart(struct sp_cc *cc, uint64_t now_ns)
{
    return cc->ops->on_unused != NULL && halve_unused(cc, now_ns);
}

/* Returns what is used of the window: what was in flight before the ACK at hand, or pipeACK. */
static uint64_t used_bytes(const struct sp_cc *cc, uint64_t lost_bytes)
{
    uint64_t flight_bytes = cc->in_flight_bytes + cc->cwv.ack_bytes + lost_bytes;
    return SB_MAX(flight_bytes, sp_cwv_pipe_bytes(&cc->cwv));
}

void sp_cc_validate(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    uint64_t used = used_bytes(cc, 0);
    sp_cwv_on_ack(&cc->cwv, ack->rtt->smoothed_ns, ack->now_ns);
    used = SB_MAX(used, sp_cwv_pipe_bytes(&cc->cwv));
    if (!sp_cwv_validate(&cc->cwv, used, cc->cwnd_bytes, ack->now_ns))
        (void)halve_unused(cc, ack->now_ns);
}

uint64_t sp_cc_used_bytes(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    uint64_t used = used_bytes(cc, loss->bytes);
    sp_cwv_restart(&cc->cwv, loss->now_ns);
    if (used >= cc->cwnd_bytes / 2)
        return cc->cwnd_bytes;
    return SB_MAX(used - loss->bytes, sp_cc_cwnd_min(cc));
}

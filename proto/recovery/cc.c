/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cc.h"

/* What all controllers share: how one is chosen, and where it starts. */

#include "proto/base/compiler.h"

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
    args->ops->init(cc, args);
    SB_ASSERT(cc->cwnd_bytes >= sp_cc_cwnd_min(cc));
}

void sp_cc_set_datagram_bytes(struct sp_cc *cc, uint64_t datagram_bytes)
{
    SB_ASSERT(datagram_bytes > 0);
    cc->datagram_bytes = (uint32_t)datagram_bytes;
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, sp_cc_cwnd_min(cc));
}

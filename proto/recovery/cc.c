/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cc.h"

/* What all controllers share: how one is chosen, and where it starts. */

#include "proto/base/compiler.h"

/* [RFC9002 7.2] 10 datagrams, but at most the larger of 14,720 bytes and two. */
#define INITIAL_DATAGRAMS 10
#define INITIAL_BYTES     14720

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
    return SB_MIN(INITIAL_DATAGRAMS * cc->datagram_bytes,
                  SB_MAX(INITIAL_BYTES, sp_cc_cwnd_min(cc)));
}

void sp_cc_init(struct sp_cc *cc, const struct sp_cc_args *args)
{
    SB_ASSERT(args->datagram_bytes > 0);
    *cc = (struct sp_cc){
        .ops = args->ops,
        .ssthresh_bytes = UINT64_MAX,
        .datagram_bytes = args->datagram_bytes,
    };
    args->ops->init(cc, args);
    SB_ASSERT(cc->cwnd_bytes >= sp_cc_cwnd_min(cc));
}

void sp_cc_set_datagram_bytes(struct sp_cc *cc, uint64_t datagram_bytes)
{
    SB_ASSERT(datagram_bytes > 0);
    cc->datagram_bytes = datagram_bytes;
    cc->cwnd_bytes = SB_MAX(cc->cwnd_bytes, sp_cc_cwnd_min(cc));
}

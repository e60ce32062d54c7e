/* SPDX-License-Identifier: MIT */
#include "engine/limit.h"

/* The bucket is a pacer of proto/: 128-bit products, no rounding to 0, and one number of state.  It
 * opens for half a burst, so that one wake of the shard serves many connections. */

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/limits.h"
#include "proto/wire/quic.h"

#define TRAIN_COUNT_MIN 2

void se_limit_init(struct se_limit *limit)
{
    sp_pacer_init(&limit->bucket);
    sb_list_init(&limit->line);
}

void se_limit_set(struct se_limit *limit, uint64_t bytes_per_s, uint64_t now_ns)
{
    struct sp_pace pace = {0};
    if (bytes_per_s != 0)
        sp_pace_limit(&pace, bytes_per_s, SP_DATAGRAM_SIZE_MIN);
    sp_pacer_set(&limit->bucket, pace, now_ns);
}

bool se_limit_is_open(const struct se_limit *limit, uint64_t now_ns)
{
    return sp_pacer_is_open(&limit->bucket, now_ns);
}

uint32_t se_limit_train_count(const struct se_limit *limit)
{
    uint64_t count = limit->bucket.rate_bytes_per_s / (SB_S / SB_MS) / SP_DATAGRAM_SIZE_MIN;
    return (uint32_t)SB_MIN(SB_MAX(count, TRAIN_COUNT_MIN), (uint64_t)SP_TRAIN_COUNT_MAX);
}

void se_limit_on_sent(struct se_limit *limit, uint64_t bytes, uint64_t now_ns)
{
    sp_pacer_on_sent(&limit->bucket, bytes, now_ns);
}

uint64_t se_limit_wake_ns(const struct se_limit *limit)
{
    return sb_list_is_empty(&limit->line) ? SB_NEVER : sp_pacer_wake_at_ns(&limit->bucket);
}

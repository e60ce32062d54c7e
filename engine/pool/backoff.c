/* SPDX-License-Identifier: MIT */
#include "engine/pool/backoff.h"

#include "proto/base/assert.h"

void se_backoff_init(struct se_backoff *backoff, uint64_t base_ns, uint64_t max_ns)
{
    SB_ASSERT(base_ns <= max_ns);
    *backoff = (struct se_backoff){.base_ns = base_ns, .max_ns = max_ns};
}

uint64_t se_backoff_bound_ns(const struct se_backoff *backoff)
{
    uint32_t shift = backoff->failures;
    if (shift >= 64 || backoff->base_ns > backoff->max_ns >> shift)
        return backoff->max_ns;
    return backoff->base_ns << shift;
}

uint64_t se_backoff_scale(uint64_t random, uint64_t bound)
{
    if (bound == UINT64_MAX)
        return random;
    return (uint64_t)((unsigned __int128)random * (bound + 1) >> 64);
}

uint64_t se_backoff_fail(struct se_backoff *backoff, uint64_t random)
{
    uint64_t pause_ns = se_backoff_scale(random, se_backoff_bound_ns(backoff));
    if (backoff->failures < UINT32_MAX)
        backoff->failures++;
    return pause_ns;
}

void se_backoff_reset(struct se_backoff *backoff)
{
    backoff->failures = 0;
}

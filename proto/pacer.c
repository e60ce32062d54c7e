/* SPDX-License-Identifier: MIT */
#include "proto/pacer.h"

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/limits.h"

/* What may leave at once: at least the initial window's ten datagrams, at most one
 * train, and between them what the rate gives in a millisecond, which is about how
 * late a timer may be without slowing the flow. */
#define BURST_DATAGRAMS_MIN 10
#define BURST_DATAGRAMS_MAX SP_TRAIN_COUNT_MAX
#define BURST_NS (1 * SB_MS)

/* Rates above this are as good as none: 2^38 bytes/s keep products in 64 bits. */
#define RATE_MAX (UINT64_C(1) << 38)

void sp_pacer_init(struct sp_pacer *pacer)
{
    *pacer = (struct sp_pacer){0};
}

void sp_pacer_update(struct sp_pacer *pacer, uint64_t window_bytes, uint64_t rtt_ns,
                     uint64_t datagram_bytes, bool is_slow_start)
{
    /* window <= 2^34 and the factor 10^9 need 128 bits between them. */
    unsigned __int128 per_s = (unsigned __int128)window_bytes * SB_S / SB_MAX(rtt_ns, 1);
    uint64_t rate = per_s > RATE_MAX / 2 ? RATE_MAX / 2 : (uint64_t)per_s;
    rate = is_slow_start ? rate * 2 : rate + rate / 4;

    pacer->rate_bytes_per_s = SB_MAX(rate, 1);
    uint64_t burst = rate / (SB_S / BURST_NS);
    burst = SB_MAX(burst, BURST_DATAGRAMS_MIN * datagram_bytes);
    pacer->burst_bytes = SB_MIN(burst, BURST_DATAGRAMS_MAX * datagram_bytes);
}

static uint64_t time_for(const struct sp_pacer *pacer, uint64_t bytes)
{
    return (uint64_t)((unsigned __int128)bytes * SB_S / pacer->rate_bytes_per_s);
}

uint64_t sp_pacer_open_at_ns(const struct sp_pacer *pacer)
{
    if (pacer->rate_bytes_per_s == 0)
        return 0;
    /* Open while the credit is positive: a datagram may overdraw it by its size. */
    return sb_time_since(pacer->full_at_ns, time_for(pacer, pacer->burst_bytes));
}

uint64_t sp_pacer_wake_at_ns(const struct sp_pacer *pacer)
{
    if (pacer->rate_bytes_per_s == 0)
        return 0;
    return sp_pacer_open_at_ns(pacer) + time_for(pacer, pacer->burst_bytes / 2);
}

uint64_t sp_pacer_credit_bytes(const struct sp_pacer *pacer, uint64_t now_ns)
{
    if (pacer->rate_bytes_per_s == 0)
        return UINT64_MAX;
    uint64_t missing_ns = sb_time_since(pacer->full_at_ns, now_ns);
    unsigned __int128 missing = (unsigned __int128)missing_ns * pacer->rate_bytes_per_s / SB_S;
    return missing < pacer->burst_bytes ? pacer->burst_bytes - (uint64_t)missing : 0;
}

bool sp_pacer_is_open(const struct sp_pacer *pacer, uint64_t now_ns)
{
    return sp_pacer_open_at_ns(pacer) <= now_ns;
}

void sp_pacer_on_sent(struct sp_pacer *pacer, uint64_t bytes, uint64_t now_ns)
{
    if (pacer->rate_bytes_per_s == 0)
        return;
    pacer->full_at_ns = SB_MAX(pacer->full_at_ns, now_ns) + time_for(pacer, bytes);
}

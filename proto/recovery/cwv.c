/* SPDX-License-Identifier: MIT */
#include "proto/recovery/cwv.h"

/* Congestion window validation.  [RFC7661]
 *
 * The largest sample of each half of pipeACK's period is kept, so that forgetting old samples takes
 * no list.  The first ACK after a pause ends the round before the pause: its sample is of that
 * time.
 *
 * What can be attacked: a peer that acknowledges late makes its own window look unused. */

#include "proto/base/compiler.h"

#define PERIOD_RTTS   3
#define PERIOD_NS_MIN SB_S

void sp_cwv_restart(struct sp_cwv *cwv, uint64_t now_ns)
{
    for (uint32_t i = 0; i < SP_CWV_HALVES; i++)
        cwv->highest_bytes[i] = 0;
    cwv->round_bytes = 0;
    cwv->round_at_ns = now_ns;
    cwv->half_at_ns = now_ns;
    cwv->is_known = false;
    cwv->skips_round = true;
}

uint64_t sp_cwv_pipe_bytes(const struct sp_cwv *cwv)
{
    if (!cwv->is_known)
        return UINT64_MAX;
    uint64_t bytes = cwv->round_bytes;
    for (uint32_t i = 0; i < SP_CWV_HALVES; i++)
        bytes = SB_MAX(bytes, (uint64_t)cwv->highest_bytes[i]);
    return bytes;
}

/* Forgets samples that are older than a period. */
static void age(struct sp_cwv *cwv, uint64_t rtt_ns, uint64_t now_ns)
{
    uint64_t half_ns = SB_MAX(PERIOD_RTTS * rtt_ns, PERIOD_NS_MIN) / 2;
    uint64_t passed_ns = sb_time_since(now_ns, cwv->half_at_ns);
    if (SB_LIKELY(passed_ns < half_ns))
        return;
    bool is_long = passed_ns >= SP_CWV_HALVES * half_ns;
    uint64_t count = is_long ? SP_CWV_HALVES : passed_ns / half_ns;
    for (uint64_t i = SP_CWV_HALVES; i-- > 0;)
        cwv->highest_bytes[i] = i >= count ? cwv->highest_bytes[i - count] : 0;
    cwv->half_at_ns = is_long ? now_ns : cwv->half_at_ns + count * half_ns;
}

static void end_round(struct sp_cwv *cwv, uint64_t now_ns)
{
    if (!cwv->skips_round) {
        uint32_t bytes = (uint32_t)SB_MIN(cwv->round_bytes, (uint64_t)UINT32_MAX);
        cwv->highest_bytes[0] = SB_MAX(cwv->highest_bytes[0], bytes);
        cwv->is_known = true;
    }
    cwv->skips_round = false;
    cwv->round_bytes = 0;
    cwv->round_at_ns = now_ns;
}

void sp_cwv_on_ack(struct sp_cwv *cwv, uint64_t rtt_ns, uint64_t now_ns)
{
    if (sb_time_since(now_ns, cwv->round_at_ns) >= rtt_ns)
        end_round(cwv, now_ns);
    age(cwv, rtt_ns, now_ns);
    cwv->round_bytes += cwv->ack_bytes;
    cwv->ack_bytes = 0;
}

bool sp_cwv_validate(struct sp_cwv *cwv, uint64_t used_bytes, uint64_t cwnd_bytes, uint64_t now_ns)
{
    bool is_validated = used_bytes >= cwnd_bytes / 2; /* [RFC7661 4.3] */
    if (is_validated && used_bytes != UINT64_MAX)
        cwv->validated_bytes = SB_MIN(used_bytes, cwnd_bytes);
    if (is_validated || cwv->validated_ns == 0)
        cwv->validated_ns = SB_MAX(now_ns, 1);
    return is_validated;
}

uint64_t sp_cwv_take_periods(struct sp_cwv *cwv, uint64_t now_ns)
{
    uint64_t since_ns = sb_time_since(now_ns, cwv->validated_ns);
    if (SB_LIKELY(since_ns < SP_CWV_PERIOD_NS) || cwv->validated_ns == 0)
        return 0;
    uint64_t count = since_ns / SP_CWV_PERIOD_NS;
    cwv->validated_ns += count * SP_CWV_PERIOD_NS;
    return count;
}

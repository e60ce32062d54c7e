/* SPDX-License-Identifier: MIT */
#include "proto/recovery/rate_sample.h"

/* Delivery rate samples.  [draft-ietf-ccwg-bbr 4.1.2]
 *
 * The draft records the state of delivery with each packet and recommends one record per aggregate.
 * A record here serves all packets that leave within 1/32 of a round trip: their samples begin
 * where that of the first begins, and so are up to 1/32 longer. */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"

_Static_assert((SP_RATE_SENDS_MAX & (SP_RATE_SENDS_MAX - 1)) == 0, "a power of two");

void sp_rate_init(struct sp_rate_sampler *sampler, uint64_t now_ns)
{
    *sampler = (struct sp_rate_sampler){.delivered_ns = now_ns, .first_sent_ns = now_ns};
}

/* Returns record `index` of those that are kept, the oldest first. */
static uint32_t place_of(const struct sp_rate_sampler *sampler, uint32_t index)
{
    return (sampler->next - sampler->count + index) & (SP_RATE_SENDS_MAX - 1);
}

void sp_rate_on_sent(struct sp_rate_sampler *sampler, uint64_t bytes, uint64_t in_flight_bytes,
                     uint64_t rtt_ns, uint64_t now_ns)
{
    bool is_app_limited = sampler->app_limited_bytes != 0;
    if (in_flight_bytes == 0) {
        sampler->first_sent_ns = now_ns;
        sampler->delivered_ns = now_ns;
    } else if (sampler->count > 0) {
        struct sp_rate_send *last = &sampler->sends[place_of(sampler, sampler->count - 1)];
        if (sb_time_since(now_ns, last->sent_ns) < rtt_ns / SP_RATE_SENDS_PER_RTT &&
            last->is_app_limited == is_app_limited) {
            last->in_flight_bytes = in_flight_bytes + bytes;
            return;
        }
    }
    sampler->sends[sampler->next] = (struct sp_rate_send){
        .sent_ns = now_ns,
        .delivered_bytes = sampler->delivered_bytes,
        .delivered_ns = sampler->delivered_ns,
        .first_sent_ns = sampler->first_sent_ns,
        .lost_bytes = sampler->lost_bytes,
        .in_flight_bytes = in_flight_bytes + bytes,
        .is_app_limited = is_app_limited,
    };
    sampler->next = (sampler->next + 1) & (SP_RATE_SENDS_MAX - 1);
    sampler->count = SB_MIN(sampler->count + 1, (uint32_t)SP_RATE_SENDS_MAX);
}

void sp_rate_on_app_limited(struct sp_rate_sampler *sampler, uint64_t in_flight_bytes)
{
    sampler->app_limited_bytes = SB_MAX(sampler->delivered_bytes + in_flight_bytes, 1);
}

void sp_rate_on_acked(struct sp_rate_sampler *sampler, uint64_t bytes, uint64_t now_ns)
{
    sampler->delivered_bytes += bytes;
    sampler->delivered_ns = now_ns;
}

void sp_rate_on_lost(struct sp_rate_sampler *sampler, uint64_t bytes)
{
    sampler->lost_bytes += bytes;
}

const struct sp_rate_send *sp_rate_find(const struct sp_rate_sampler *sampler, uint64_t sent_ns)
{
    /* The first `low` records are not later than `sent_ns`; from `high` on they are. */
    uint32_t low = 0, high = sampler->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (sampler->sends[place_of(sampler, middle)].sent_ns <= sent_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &sampler->sends[place_of(sampler, low - 1)];
}

bool sp_rate_sample(struct sp_rate_sampler *sampler, uint64_t sent_ns, uint64_t rtt_ns_min,
                    struct sp_rate_sample *ret)
{
    if (sampler->delivered_bytes > sampler->app_limited_bytes)
        sampler->app_limited_bytes = 0;
    const struct sp_rate_send *send = sp_rate_find(sampler, sent_ns);
    if (send == NULL)
        return false;
    uint64_t send_ns = sb_time_since(sent_ns, send->first_sent_ns);
    uint64_t ack_ns = sb_time_since(sampler->delivered_ns, send->delivered_ns);
    uint64_t interval_ns = SB_MAX(send_ns, ack_ns);
    uint64_t delivered = sampler->delivered_bytes - send->delivered_bytes;
    bool is_long_enough = interval_ns > 0 && interval_ns >= rtt_ns_min;
    sampler->first_sent_ns = sent_ns;
    *ret = (struct sp_rate_sample){
        .bytes_per_s =
            is_long_enough ? (uint64_t)((unsigned __int128)delivered * SB_S / interval_ns) : 0,
        .delivered_bytes = delivered,
        .prior_delivered_bytes = send->delivered_bytes,
        .lost_bytes = sampler->lost_bytes - send->lost_bytes,
        .in_flight_bytes = send->in_flight_bytes,
        .is_app_limited = send->is_app_limited,
    };
    return true;
}

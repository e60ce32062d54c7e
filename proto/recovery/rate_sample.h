/* SPDX-License-Identifier: MIT */
#ifndef SP_RATE_SAMPLE_H
#define SP_RATE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

/* How fast a path delivers: one sample per ACK.  [draft-ietf-ccwg-bbr 4.1]
 *
 *     rate = bytes delivered since a packet left / max(time to send them, time to acknowledge them)
 *
 * That needs what was known when the packet left.  It is recorded for each train, or less often
 * where many trains leave in a round trip, and found by the packet's send time.  So packets need no
 * space for it, and controllers that take no samples do not pay for it.
 *
 *     sp_rate_init()
 *     sp_rate_on_sent()          for each train
 *     sp_rate_on_app_limited()   when the application has nothing more to send
 *     sp_rate_on_acked()         for parts of an ACK
 *     sp_rate_on_lost()
 *     sp_rate_sample()           at the end of an ACK */

/* Records of sent trains.  SP_RATE_SENDS_PER_RTT of them per round trip: so what left four round
 * trips ago still has one; what is acknowledged or lost later gives no sample. */
enum { SP_RATE_SENDS_MAX = 128, SP_RATE_SENDS_PER_RTT = 32 };

/* What was known when packets left. */
struct sp_rate_send {
    uint64_t sent_ns;
    uint64_t delivered_bytes;
    uint64_t delivered_ns;
    uint64_t first_sent_ns;
    uint64_t lost_bytes;
    uint64_t in_flight_bytes; /* with these packets */
    bool is_app_limited;
};

struct sp_rate_sampler {
    uint64_t delivered_bytes;
    uint64_t delivered_ns;  /* when `delivered_bytes` grew last */
    uint64_t first_sent_ns; /* when the packet left that was delivered last */
    uint64_t lost_bytes;
    uint64_t app_limited_bytes; /* application-limited until so much is delivered; 0: is not */
    uint32_t next;              /* place of the next record */
    uint32_t count;             /* records */
    struct sp_rate_send sends[SP_RATE_SENDS_MAX]; /* a ring, by rising sent_ns */
};

struct sp_rate_sample {
    uint64_t bytes_per_s;     /* 0: too short a time to tell */
    uint64_t delivered_bytes; /* in the time of the sample */
    uint64_t prior_delivered_bytes;
    uint64_t lost_bytes;      /* since the packet left */
    uint64_t in_flight_bytes; /* when it left */
    bool is_app_limited;
};

void sp_rate_init(struct sp_rate_sampler *sampler, uint64_t now_ns);

/* `bytes` leave now.  `in_flight_bytes`: before.  `rtt_ns`: the smoothed round trip. */
void sp_rate_on_sent(struct sp_rate_sampler *sampler, uint64_t bytes, uint64_t in_flight_bytes,
                     uint64_t rtt_ns, uint64_t now_ns);

/* What is in flight now is not followed by more for a while. */
void sp_rate_on_app_limited(struct sp_rate_sampler *sampler, uint64_t in_flight_bytes);

void sp_rate_on_acked(struct sp_rate_sampler *sampler, uint64_t bytes, uint64_t now_ns);

void sp_rate_on_lost(struct sp_rate_sampler *sampler, uint64_t bytes);

/* Returns the record of the packet that left at `sent_ns`; NULL if it is too old. */
const struct sp_rate_send *sp_rate_find(const struct sp_rate_sampler *sampler, uint64_t sent_ns);

/* Makes the sample of an ACK, of which the newest packet left at `sent_ns`.  False: there is none;
 * `*ret` is untouched. */
bool sp_rate_sample(struct sp_rate_sampler *sampler, uint64_t sent_ns, uint64_t rtt_ns_min,
                    struct sp_rate_sample *ret);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CC_H
#define SP_CC_H

#include <stdbool.h>
#include <stdint.h>

/* Congestion control: how many bytes may be in flight.  [RFC9002 7]
 *
 * The interface is events in, a window out; the algorithm is NewReno. */
struct sp_cc {
    uint64_t cwnd_bytes;
    uint64_t in_flight_bytes;
    uint64_t ssthresh_bytes;    /* slow start ends here; UINT64_MAX at first */
    uint64_t acked_bytes;       /* in congestion avoidance, towards the next increase */
    uint64_t recovery_start_ns; /* packets sent up to here do not reduce again; 0: never */
    uint64_t datagram_bytes;    /* max_datagram_size */
};

/* [RFC9002 7.2] */
void sp_cc_init(struct sp_cc *cc, uint64_t datagram_bytes);

/* The size of datagrams changed: the window keeps its bytes, but not fewer than two. */
void sp_cc_set_datagram_bytes(struct sp_cc *cc, uint64_t datagram_bytes);

void sp_cc_on_sent(struct sp_cc *cc, uint64_t bytes);

/* Packets in flight that left at `sent_ns` were acknowledged, `bytes` of them together: how they
 * are divided into calls makes no difference.  `is_limited`: the window, not the application, was
 * what held the sender back.  [RFC9002 7.8] */
void sp_cc_on_acked(struct sp_cc *cc, uint64_t bytes, uint64_t sent_ns, bool is_limited);

/* Bytes left the network without an acknowledgment: lost, or their keys were dropped. */
void sp_cc_on_removed(struct sp_cc *cc, uint64_t bytes);

/* Loss or a CE mark; `sent_ns` is of the newest packet concerned. */
void sp_cc_on_congestion(struct sp_cc *cc, uint64_t sent_ns, uint64_t now_ns);

/* [RFC9002 7.6.2] */
void sp_cc_on_persistent_congestion(struct sp_cc *cc);

static inline bool sp_cc_is_in_slow_start(const struct sp_cc *cc)
{
    return cc->cwnd_bytes < cc->ssthresh_bytes;
}

/* Bytes that may still be sent. */
static inline uint64_t sp_cc_room(const struct sp_cc *cc)
{
    return cc->cwnd_bytes > cc->in_flight_bytes ? cc->cwnd_bytes - cc->in_flight_bytes : 0;
}

#endif

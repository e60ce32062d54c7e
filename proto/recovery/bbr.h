/* SPDX-License-Identifier: MIT */
#ifndef SP_BBR_H
#define SP_BBR_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/recovery/cc.h"
#include "proto/recovery/rate_sample.h"

/* BBR, version 3: a model of the path instead of a reaction to each loss.  [draft-ietf-ccwg-bbr]
 *
 * The model is the most that the path has delivered lately (max_bw), and the shortest round trip
 * (min_rtt).  The rate is that of delivery, times a gain; the window bounds what may be in flight
 * to about twice rate * round trip.  Every few seconds the rate is raised by a quarter for some
 * round trips, to see whether the path has more, and every five seconds the window is halved for
 * 200 ms, to see the round trip without a queue; on a short path more often, for a shorter time.
 * Loss counts when it exceeds 2 %.
 *
 *     bbr.h, rate_sample.h   the state
 *     cc_bbr.c               the controller: its operations, rate and window
 *     bbr_model.c            what the path can do: max_bw, min_rtt, bounds, aggregation
 *     bbr_state.c            the machine: Startup, Drain, ProbeBW, ProbeRTT
 *
 * Names are those of the draft. */

enum sp_bbr_state {
    SP_BBR_STARTUP,
    SP_BBR_DRAIN,
    SP_BBR_PROBE_DOWN, /* ProbeBW from here .. */
    SP_BBR_PROBE_CRUISE,
    SP_BBR_PROBE_REFILL,
    SP_BBR_PROBE_UP, /* .. to here */
    SP_BBR_PROBE_RTT,
    SP_BBR_STATES, /* none */
};

/* What the ACKs that arrive now say about the last probe for bandwidth. */
enum sp_bbr_acks {
    SP_BBR_ACKS_INIT,
    SP_BBR_ACKS_REFILLING,
    SP_BBR_ACKS_PROBE_STARTING,
    SP_BBR_ACKS_PROBE_FEEDBACK,
    SP_BBR_ACKS_PROBE_STOPPING,
};

#define SP_BBR_INFINITE UINT64_MAX

/* Probes that follow soon, after the rate of the path has changed. */
enum { SP_BBR_EARLY_PROBES = 4 };

/* All rates in bytes per second, all volumes in bytes. */
struct sp_bbr {
    struct sp_rate_sampler sampler;
    struct sp_rate_sample rs; /* of this ACK; zero if it brought none */
    uint64_t random;          /* of the last draw */
    uint64_t initial_cwnd;

    /* Round trips, counted in packets. */
    uint64_t next_round_delivered;
    uint64_t round_count;
    uint64_t loss_round_delivered;

    /* The model. */
    uint64_t bw_cycles[2]; /* the most in the cycle before and in this one */
    uint64_t max_bw;
    uint64_t bw_shortterm;
    uint64_t bw_queued; /* delivered while a queue stands; SP_BBR_INFINITE: there is none */
    uint64_t bw;
    uint64_t min_rtt_ns; /* SP_BBR_INFINITE: no sample yet */
    uint64_t min_rtt_at_ns;
    uint64_t inflight_longterm;
    uint64_t inflight_shortterm;
    uint64_t bw_latest;    /* the most in this round trip */
    uint64_t rtt_least_ns; /* in this round trip; SP_BBR_INFINITE: no sample yet */
    uint64_t inflight_latest;

    /* Aggregation: what was acknowledged beyond bw * time. */
    uint64_t extra_acked_at_ns;
    uint64_t extra_acked_delivered;
    uint64_t extra_acked[2];    /* the most in the window's half before, and in this one */
    uint64_t extra_acked_round; /* that this half began with */

    /* The full pipe. */
    uint64_t full_bw;
    uint32_t full_bw_count;
    uint64_t lost_in_round;
    uint32_t loss_ranges; /* runs of lost packets in this round trip */

    /* ProbeBW. */
    uint64_t inflight_unprobed; /* inflight_longterm when this probe began */
    uint64_t bw_unprobed;       /* max_bw then */
    uint64_t probe_up_acked;
    uint64_t probe_up_acked_per_inc;
    uint32_t probe_up_rounds;
    uint32_t rounds_since_probe_up;
    uint64_t probe_wait_ns;
    uint32_t early_probes; /* that the path's rate is varying enough for: see probe_if_time() */
    uint64_t cycle_at_ns;
    uint64_t drain_start_round;

    /* ProbeRTT. */
    uint64_t probe_rtt_min_ns;
    uint64_t probe_rtt_min_at_ns;
    uint64_t probe_rtt_done_at_ns; /* 0: not yet down to that volume */
    uint64_t probe_rtt_before_ns;  /* min_rtt when it began */
    uint32_t probe_rtt_doublings;  /* of the time between two */

    /* Recovery from losses. */
    uint64_t recovery_start_ns; /* packets sent up to here do not end it; 0: there is none */
    uint64_t prior_cwnd;
    uint64_t undo_bw_shortterm;
    uint64_t undo_inflight_shortterm;
    uint64_t undo_inflight_longterm;
    uint32_t clean_rounds; /* of late: without a loss, a mark or a queue */

    uint16_t pacing_gain; /* percent */
    uint16_t cwnd_gain;
    uint8_t state;      /* enum sp_bbr_state */
    uint8_t undo_state; /* to return to; SP_BBR_STATES: none */
    uint8_t acks;       /* enum sp_bbr_acks */
    bool round_start;
    bool loss_round_start;
    bool is_loss_in_round;
    bool is_mark_in_round; /* CE */
    bool full_bw_now;
    bool full_bw_reached;
    bool is_bw_probe_sample;
    bool prev_probe_too_high;
    bool prev_probe_precautionary;
    bool probe_rtt_expired;
    bool probe_rtt_round_done;
    bool idle_restart;
    bool has_queue;          /* the last round trip was clearly longer than min_rtt */
    bool can_undo;           /* the undo_ fields are of the last reaction */
    bool is_cwnd_limited[2]; /* in the round trip before, and in this one */
};

/* One step: what happens to the controller now. */
struct sp_bbr_step {
    struct sp_cc *cc;
    struct sp_bbr *bbr;
    uint64_t now_ns;
    uint64_t acked_bytes; /* 0 for other events */
    uint64_t rtt_ns;      /* sample of the round trip; 0: none */
};

static inline bool sp_bbr_is_in_probe_bw(const struct sp_bbr *bbr)
{
    return bbr->state >= SP_BBR_PROBE_DOWN && bbr->state <= SP_BBR_PROBE_UP;
}

/* Four datagrams: the receiver may acknowledge every second one.  [2.7] */
static inline uint64_t sp_bbr_cwnd_min(const struct sp_cc *cc)
{
    return 4 * cc->datagram_bytes;
}

/* ---- bbr_model.c ---- */

void sp_bbr_model_init(struct sp_bbr *bbr);

/* Returns gain * bandwidth * round trip, or the initial window without a round trip. */
uint64_t sp_bbr_bdp(const struct sp_bbr *bbr, uint64_t bw, uint32_t gain_percent);
/* Returns how much in flight keeps the path busy at `gain_percent` of `bw`. */
uint64_t sp_bbr_inflight(const struct sp_bbr *bbr, const struct sp_cc *cc, uint64_t bw,
                         uint32_t gain_percent);
/* Returns the upper bound of the window. */
uint64_t sp_bbr_inflight_max(const struct sp_bbr *bbr, const struct sp_cc *cc);
/* Returns what leaves room in the path for others. */
uint64_t sp_bbr_inflight_with_headroom(const struct sp_bbr *bbr, const struct sp_cc *cc);

/* Returns how long a ProbeRTT takes. */
uint64_t sp_bbr_probe_rtt_ns(const struct sp_bbr *bbr);

void sp_bbr_start_round(struct sp_bbr *bbr);
void sp_bbr_reset_congestion_signals(struct sp_bbr *bbr);
void sp_bbr_reset_shortterm(struct sp_bbr *bbr);
void sp_bbr_reset_full_bw(struct sp_bbr *bbr);
void sp_bbr_advance_max_bw(struct sp_bbr *bbr);

/* The sample of this ACK exceeds the loss that the path may have.  [5.5.10.2] */
bool sp_bbr_is_inflight_too_high(const struct sp_bbr *bbr, const struct sp_cc *cc);

/* Parts of one ACK's step, in this order; bbr_state.c has its part between them. */
void sp_bbr_update_signals(const struct sp_bbr_step *step);
void sp_bbr_update_min_rtt(const struct sp_bbr_step *step);
void sp_bbr_finish_signals(const struct sp_bbr_step *step);

/* ---- bbr_state.c ---- */

void sp_bbr_enter_startup(struct sp_bbr *bbr);
void sp_bbr_start_refill(struct sp_bbr *bbr);
/* ProbeBW's and Startup's part of one ACK's step, before the round trip is updated. */
void sp_bbr_update_state(const struct sp_bbr_step *step);
/* ProbeRTT's part, after it. */
void sp_bbr_check_probe_rtt(const struct sp_bbr_step *step);
/* Ends ProbeRTT if its time is over. */
void sp_bbr_check_probe_rtt_done(const struct sp_bbr_step *step);
/* Losses, or a mark, in the packets of the sample bbr->rs: reacts while it probes. */
void sp_bbr_on_congestion_while_probing(const struct sp_bbr_step *step, uint64_t lost_bytes,
                                        bool is_mark);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SP_CC_H
#define SP_CC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/probe.h"
#include "proto/recovery/careful.h"
#include "proto/recovery/cwv.h"
#include "proto/recovery/hystart.h"
#include "proto/recovery/rtt.h"
#include "proto/wire/types.h"

/* Congestion control: how many bytes may be in flight.  [RFC9002 7]
 *
 * A controller is a table of operations and a struct of state.  It receives ACKs, losses and
 * marks as structs with the time and the round trip, and sets `cwnd_bytes`.  It never sees the
 * connection, the packets or the frames.  What happens for each packet is inline and does not
 * depend on the controller: bytes in flight, and the room that is left.
 *
 * A train that leaves is sp_cc_on_sent(), and where the controller has it on_sent(): there a model
 * records what it knows now, to compare with it when the train is acknowledged.
 *
 * An ACK becomes these calls, in this order:
 *
 *     undo          if it proves the losses of the last reduction spurious
 *     on_acked      for the packets that left at one time; so once for a train or a part of it
 *     on_lost       for a CE mark, and then for all packets that the ACK declares lost
 *     on_ack_end    once, when the round-trip time has the sample of this ACK
 *
 * Losses that a timer finds come as on_lost() alone.
 *
 * An operation that only some controllers have is optional (NULL), so that the others stay as
 * they are.  The pacer is separate: see pacer.h.
 *
 * A sender that is idle or limited by its application, for controllers with on_unused (NewReno,
 * CUBIC and Prague; BBR measures a rate instead):  [RFC9002 7.8, RFC7661]
 *
 *     a pause                  the window stays what it was.  The pacer spreads it over a round
 *                              trip; without pacing, silence is followed by an initial window
 *     growth                   none while less than half the window is in flight
 *     a loss or a mark         reduces what was used, not the window: sp_cc_used_bytes()
 *     five minutes of that     halve the window, down to the initial one: sp_cc_on_restart() when
 *                              something is sent after silence, and each ACK */

struct sp_bbr;
struct sp_cc;
struct sp_cc_args;

/* Packets in flight that were acknowledged. */
struct sp_cc_ack {
    uint64_t bytes;           /* of all of them together */
    uint64_t sent_ns;         /* when they left; on_ack_end(): when the newest left */
    uint64_t now_ns;          /* when the ACK arrived */
    const struct sp_rtt *rtt; /* on_acked(): as it was before this ACK */
    bool is_app_limited;      /* the application, not the window, held the sender back */
    uint32_t marked_count;    /* on_ack_end(): packets of these that left with an ECN mark */
    uint64_t rtt_ns;          /* on_ack_end(): the sample that this ACK has brought; 0: none */
};

/* Packets in flight that were lost, or that were acknowledged with a CE mark.  [RFC9002 7.1] */
struct sp_cc_loss {
    uint64_t bytes;   /* that were lost; 0 for a CE mark */
    uint64_t sent_ns; /* when the newest of the packets left */
    uint64_t now_ns;
    const struct sp_rtt *rtt;
    uint32_t range_count; /* runs of consecutive packets among them */
    uint32_t ce_count;    /* of a CE mark: packets that the network has marked */
    bool is_ecn;          /* a CE mark: nothing was lost */
    bool is_persistent;   /* nothing came through for long: persistent congestion.  [RFC9002 7.6] */
};

/* No operation may leave `cwnd_bytes` below sp_cc_cwnd_min(). */
struct sp_cc_ops {
    const char *name;
    /* Sets the first window and the state; all else is set already, the state is zero. */
    void (*init)(struct sp_cc *cc, const struct sp_cc_args *args);
    /* `bytes`, which are in flight now, left: a train or a part of it.  NULL: not needed. */
    void (*on_sent)(struct sp_cc *cc, uint64_t bytes, const struct sp_rtt *rtt, uint64_t now_ns);
    /* The window and the pacer would allow more, and there is nothing to send.  NULL: not needed.
     */
    void (*on_app_limited)(struct sp_cc *cc);
    /* The result must not depend on how packets that left at one time are divided into calls. */
    void (*on_acked)(struct sp_cc *cc, const struct sp_cc_ack *ack);
    void (*on_lost)(struct sp_cc *cc, const struct sp_cc_loss *loss);
    /* The sums of one ACK.  NULL: not needed. */
    void (*on_ack_end)(struct sp_cc *cc, const struct sp_cc_ack *ack);
    /* All losses since the last reduction have proved spurious: takes the reduction back.  NULL:
     * there is nothing to take back. */
    void (*undo)(struct sp_cc *cc);
    /* The window has been halved because it was not used for long: forgets what was about the
     * larger one.  NULL: the window is not validated.  [RFC7661 4.4.3] */
    void (*on_unused)(struct sp_cc *cc);
    /* The controller is scalable: its packets are marked ECT(1), so that L4S queues give it short
     * delays and many marks.  Others mark ECT(0).  [RFC9331 4.1, 4.3] */
    bool is_l4s;
    bool needs_pacing; /* its rate is what limits the sender: paced whatever the configuration says
                        */
};

/* The state of NewReno: cc_newreno.c. */
struct sp_cc_newreno {
    uint64_t acked_bytes;       /* in congestion avoidance, towards the next increase */
    uint64_t recovery_start_ns; /* packets sent up to here do not reduce again; 0: never */
    uint64_t cwnd_before_bytes; /* the last reduction */
    uint64_t ssthresh_before_bytes;
    uint64_t acked_since_bytes; /* .. of packets that were in flight then */
    struct sp_hystart hystart;
    bool has_collapsed; /* by persistent congestion: the recovery is over but for losses */
};

/* A stage of congestion avoidance of CUBIC.  [RFC9438 4.1.2] */
struct sp_cubic_stage {
    uint64_t
        w_max_bytes; /* where the window was reduced, or less by fast convergence; 0: unknown */
    uint64_t prior_bytes; /* the window before ssthresh was set; 0: not yet */
    uint64_t k_us;        /* K: when the window reaches W_max */
    uint64_t elapsed_ns;  /* t: time in this stage, periods left out that the application limits */
    uint64_t w_est_bytes; /* the window that Reno would have; 0: the stage has not begun */
};

/* The state of CUBIC: cc_cubic.c. */
struct sp_cc_cubic {
    uint64_t acked_bytes;       /* of this ACK, so far */
    uint64_t recovery_start_ns; /* packets sent up to here do not reduce again; 0: none */
    bool has_collapsed;         /* by persistent congestion: the recovery is over but for losses */
    uint64_t updated_ns;        /* when `elapsed_ns` was counted up last */
    uint64_t cubic_rest;        /* what divisions have left over */
    uint64_t est_rest;
    struct sp_cubic_stage stage;
    union {
        struct sp_hystart hystart; /* in the first slow start */
        struct {                   /* later: before the last reduction */
            uint64_t cwnd_bytes;
            uint64_t ssthresh_bytes;
            union {
                struct sp_cubic_stage stage;
                /* If that was the first slow start, which has no stage: since then, of packets that
                 * were in flight then. */
                uint64_t acked_bytes;
            };
        } undo;
    };
};

/* Which marks Prague has met. */
enum sp_prague_state {
    SP_PRAGUE_UNMARKED, /* none yet: as CUBIC, and the first one halves the window */
    SP_PRAGUE_L4S,      /* many: as a scalable controller */
    SP_PRAGUE_CLASSIC,  /* none lately, or a loss: as CUBIC, until the next one */
};

/* The state of Prague: cc_prague.c. */
struct sp_cc_prague {
    struct sp_cc_cubic classic; /* first, so that the operations of CUBIC work on it */
    uint64_t round_at_ns;       /* the round ends with the ACK of a packet that left after this */
    uint32_t round_rtt_min_us;  /* shortest round trip of this round; UINT32_MAX: none */
    uint32_t round_count;    /* packets with ECN marks that were acknowledged in this round, .. */
    uint32_t round_ce_count; /* .. and those of them that the network has marked */
    uint32_t alpha;          /* average share of marked packets, in 2^-20: 0 to 2^20 */
    uint16_t rounds;         /* since the first mark; no more than decides anything */
    uint8_t quiet_rounds;    /* without a mark, one after the other */
    uint8_t classic_signs;   /* rounds with marks behind a long queue, less those without it */
    uint8_t state;           /* enum sp_prague_state */
    bool is_reduced;         /* by a mark, in this round, which begins with that */
};

/* The state of the fixed rate: cc_fixed.c. */
struct sp_cc_fixed {
    uint64_t rate_bytes_per_s;
};

/* The state of BBR: bbr.h.  It is large, and so an object of its own. */
struct sp_cc_bbr {
    struct sp_bbr *model;
};

/* All controllers.  ROW(NEWRENO, newreno) stands for SP_CC_NEWRENO, struct sp_cc_newreno and
 * sp_cc_newreno_ops. */
#define SP_CC_LIST(ROW) \
    ROW(CUBIC, cubic) ROW(NEWRENO, newreno) ROW(FIXED, fixed) ROW(BBR, bbr) ROW(PRAGUE, prague)

enum sp_cc_kind {
#define SP_CC_ROW(kind, name) SP_CC_##kind,
    SP_CC_LIST(SP_CC_ROW)
#undef SP_CC_ROW
        SP_CC_KINDS,
};

struct sp_cc {
    const struct sp_cc_ops *ops;
    uint64_t cwnd_bytes;
    uint64_t in_flight_bytes;
    uint64_t ssthresh_bytes; /* slow start ends here; UINT64_MAX at first */
    uint32_t datagram_bytes; /* max_datagram_size */
    uint32_t initial_datagrams;
    uint64_t rate_bytes_per_s;  /* to pace with; 0: the pacer derives it from the window */
    struct sp_cwv cwv;          /* with on_unused: how much of the window was used lately */
    struct sp_careful *careful; /* borrowed; NULL: nothing was known about the path */
    union {
#define SP_CC_ROW(kind, name) struct sp_cc_##name name;
        SP_CC_LIST(SP_CC_ROW)
#undef SP_CC_ROW
    };
};

#define SP_CC_ROW(kind, name) extern const struct sp_cc_ops sp_cc_##name##_ops;
SP_CC_LIST(SP_CC_ROW)
#undef SP_CC_ROW

/* In which part of its work a controller is: for those who look at it. */
enum sp_cc_phase {
    SP_CC_PHASE_NONE, /* a fixed rate */
    SP_CC_PHASE_SLOW_START,
    SP_CC_PHASE_AVOIDANCE, /* congestion avoidance */
    SP_CC_PHASE_BBR,       /* and so on, plus enum sp_bbr_state */
};
enum sp_cc_phase sp_cc_phase(const struct sp_cc *cc);

/* The operations of `kind`, which is below SP_CC_KINDS. */
const struct sp_cc_ops *sp_cc_ops_of(enum sp_cc_kind kind);

/* Returns the kind; SP_CC_KINDS for operations that are not in the list. */
enum sp_cc_kind sp_cc_kind_of(const struct sp_cc *cc);

struct sp_cc_args {
    const struct sp_cc_ops *ops; /* borrowed for as long as the controller is used */
    uint64_t datagram_bytes;
    uint64_t rate_bytes_per_s;  /* FIXED: the rate; at least 1 */
    void *model;                /* BBR: memory for a struct sp_bbr, borrowed */
    uint32_t initial_datagrams; /* of the first window; 0: SP_CC_DATAGRAMS_INITIAL */
};

/* [RFC9002 7.2] */
void sp_cc_init(struct sp_cc *cc, const struct sp_cc_args *args);

/* The size of datagrams changed: the window keeps its bytes, but not fewer than two. */
void sp_cc_set_datagram_bytes(struct sp_cc *cc, uint64_t datagram_bytes);

/* Datagrams of the first window that RFC 9002 recommends.  [RFC9002 7.2] */
enum { SP_CC_DATAGRAMS_INITIAL = 10 };

/* Returns the first window: 10 datagrams, but at most the larger of 14,720 bytes and two; for
 * another number of datagrams in proportion.  [RFC9002 7.2] */
uint64_t sp_cc_cwnd_initial(const struct sp_cc *cc);

/* The floor of every window: two datagrams.  [RFC9002 7.2] */
static inline uint64_t sp_cc_cwnd_min(const struct sp_cc *cc)
{
    return 2 * cc->datagram_bytes;
}

/* Returns what a loss or a mark reduces: the window; or, of one of which less than half was used
 * lately, that part, without what was lost.  Call it from on_lost() of a controller with on_unused,
 * once per reduction: pipeACK is measured anew then.  [RFC7661 4.4.1] */
uint64_t sp_cc_used_bytes(struct sp_cc *cc, const struct sp_cc_loss *loss);

/* Something is about to be sent after silence, while nothing is in flight.  Returns whether the
 * window was halved because it was not used for long.  [RFC7661 4.4.3] */
bool sp_cc_on_restart(struct sp_cc *cc, uint64_t now_ns);

/* Validates the window: the part of sp_cc_on_ack_end() for controllers with on_unused. */
void sp_cc_validate(struct sp_cc *cc, const struct sp_cc_ack *ack);

static inline void sp_cc_on_sent(struct sp_cc *cc, uint64_t bytes)
{
    cc->in_flight_bytes += bytes;
}

/* Call it after sp_cc_on_sent() for a train or each part of it. */
static inline void sp_cc_after_sent(struct sp_cc *cc, uint64_t bytes, const struct sp_rtt *rtt,
                                    uint64_t now_ns)
{
    if (SB_UNLIKELY(cc->ops->on_sent != NULL))
        cc->ops->on_sent(cc, bytes, rtt, now_ns);
}

static inline void sp_cc_on_app_limited(struct sp_cc *cc)
{
    if (SB_UNLIKELY(cc->ops->on_app_limited != NULL))
        cc->ops->on_app_limited(cc);
}

/* Bytes left the network without an acknowledgment: lost, or their keys were dropped. */
static inline void sp_cc_on_removed(struct sp_cc *cc, uint64_t bytes)
{
    SB_ASSERT(cc->in_flight_bytes >= bytes);
    cc->in_flight_bytes -= bytes;
}

/* Takes the acknowledged bytes out of flight. */
static inline void sp_cc_on_acked(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    sp_cc_on_removed(cc, ack->bytes);
    cc->cwv.ack_bytes += ack->bytes;
    cc->ops->on_acked(cc, ack);
    SB_ASSERT(cc->cwnd_bytes >= sp_cc_cwnd_min(cc));
}

/* The lost bytes have been removed by sp_cc_on_removed().  The window may stay as it is: it is
 * reduced once a round trip. */
static inline void sp_cc_on_lost(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    uint64_t before_bytes = cc->cwnd_bytes;
    if (SB_UNLIKELY(cc->careful != NULL))
        sp_careful_on_lost(cc, loss);
    else
        cc->ops->on_lost(cc, loss);
    SB_PROBE5(congestion, cc, cc->cwnd_bytes, loss->bytes, loss->is_ecn, before_bytes);
    SB_ASSERT(cc->cwnd_bytes >= sp_cc_cwnd_min(cc));
}

static inline void sp_cc_undo(struct sp_cc *cc)
{
    if (cc->ops->undo != NULL)
        cc->ops->undo(cc);
    SB_ASSERT(cc->cwnd_bytes >= sp_cc_cwnd_min(cc));
}

static inline void sp_cc_on_ack_end(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    if (cc->ops->on_unused != NULL)
        sp_cc_validate(cc, ack);
    if (cc->ops->on_ack_end == NULL)
        return;
    cc->ops->on_ack_end(cc, ack);
    if (SB_UNLIKELY(cc->careful != NULL))
        sp_careful_on_ack(cc, ack);
    SB_ASSERT(cc->cwnd_bytes >= sp_cc_cwnd_min(cc));
}

static inline bool sp_cc_is_in_slow_start(const struct sp_cc *cc)
{
    return cc->cwnd_bytes < cc->ssthresh_bytes;
}

/* Returns whether nothing has limited the window yet. */
static inline bool sp_cc_is_in_first_slow_start(const struct sp_cc *cc)
{
    return cc->ssthresh_bytes == UINT64_MAX;
}

/* Returns the mark that the controller's packets carry, where marks are wanted. */
static inline enum sp_ecn sp_cc_mark(const struct sp_cc *cc)
{
    return cc->ops->is_l4s ? SP_ECN_ECT1 : SP_ECN_ECT0;
}

/* The path does not pass ECN marks on, so an L4S controller cannot work there: the path goes on
 * with CUBIC, from the window that it has.  Not for controllers without is_l4s. */
void sp_cc_leave_l4s(struct sp_cc *cc);

/* Bytes that may still be sent. */
static inline uint64_t sp_cc_room(const struct sp_cc *cc)
{
    return cc->cwnd_bytes > cc->in_flight_bytes ? cc->cwnd_bytes - cc->in_flight_bytes : 0;
}

#endif

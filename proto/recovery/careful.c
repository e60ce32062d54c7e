/* SPDX-License-Identifier: MIT */
#include "proto/recovery/careful.h"

/* Careful resume.  [RFC9959]
 *
 * All is done to the window from outside the controller: it sees a window that is larger, and in a
 * retreat one that is as large as what got through, of which it takes its part.  So whatever a
 * controller does about losses, undone ones too, holds here.
 *
 * Packets of the jump are known by the time when they left, because a congestion controller knows
 * no packet numbers.
 *
 * What can be attacked: a peer that acknowledges what it never got makes the sender believe in a
 * window, as it can without this.  Whoever makes a path narrow while a connection begins costs it a
 * queue of half the old window, once: the retreat follows within a round trip, and what was saved
 * is gone. */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/recovery/cc.h"

#define RTT_LESS_DIVISOR 2  /* a round trip of less than half, .. */
#define RTT_MORE_FACTOR  10 /* .. or more than ten times means another path */
#define JUMP_DIVISOR     2
#define RETREAT_DIVISOR  2

enum sp_careful_phase sp_careful_next(enum sp_careful_phase phase, enum sp_careful_event event)
{
    enum { NONE = SP_CAREFUL_PHASES };
    static const uint8_t next[SP_CAREFUL_PHASES][SP_CAREFUL_EVENTS] = {
        [SP_CAREFUL_RECONNAISSANCE] = {SP_CAREFUL_UNVALIDATED, SP_CAREFUL_DECLINED, NONE, NONE,
                                       NONE, SP_CAREFUL_DECLINED},
        [SP_CAREFUL_UNVALIDATED] = {NONE, NONE, SP_CAREFUL_VALIDATING, SP_CAREFUL_VALIDATED, NONE,
                                    SP_CAREFUL_RETREAT},
        [SP_CAREFUL_VALIDATING] = {NONE, NONE, NONE, NONE, SP_CAREFUL_VALIDATED,
                                   SP_CAREFUL_RETREAT},
        [SP_CAREFUL_RETREAT] = {NONE, NONE, NONE, NONE, SP_CAREFUL_RETREATED, SP_CAREFUL_RETREATED},
        [SP_CAREFUL_DECLINED] = {NONE, NONE, NONE, NONE, NONE, NONE},
        [SP_CAREFUL_VALIDATED] = {NONE, NONE, NONE, NONE, NONE, NONE},
        [SP_CAREFUL_RETREATED] = {NONE, NONE, NONE, NONE, NONE, NONE},
    };
    return (enum sp_careful_phase)next[phase][event];
}

static void move(struct sp_careful *careful, enum sp_careful_event event)
{
    enum sp_careful_phase next = sp_careful_next(careful->phase, event);
    SB_ASSERT(next != SP_CAREFUL_PHASES);
    careful->phase = next;
}

void sp_careful_begin(struct sp_careful *careful, struct sp_cc *cc,
                      const struct sp_careful_saved *saved)
{
    SB_ASSERT(cc->ops->on_unused != NULL && cc->careful == NULL);
    *careful = (struct sp_careful){.saved = *saved, .phase = SP_CAREFUL_RECONNAISSANCE};
    cc->careful = careful;
}

/* ---- Acknowledgments ---- */

static bool is_same_path(const struct sp_careful *careful, const struct sp_cc_ack *ack)
{
    uint64_t rtt_ns = ack->rtt->min_ns, saved_ns = careful->saved.rtt_ns;
    return ack->now_ns < careful->saved.until_ns && rtt_ns >= saved_ns / RTT_LESS_DIVISOR &&
           rtt_ns / RTT_MORE_FACTOR <= saved_ns;
}

/* [RFC9959]  An application that does not fill its window needs no larger one yet. */
static void reconnoitre(struct sp_careful *careful, struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    careful->pipe_bytes += ack->bytes;
    if (careful->pipe_bytes < sp_cc_cwnd_initial(cc) || ack->is_app_limited ||
        !sp_rtt_has_sample(ack->rtt))
        return;
    uint64_t jump_bytes = careful->saved.cwnd_bytes / JUMP_DIVISOR;
    if (!is_same_path(careful, ack) || jump_bytes <= cc->cwnd_bytes) {
        move(careful, SP_CAREFUL_REFUSE);
        return;
    }
    move(careful, SP_CAREFUL_JUMP);
    careful->pipe_bytes = cc->in_flight_bytes;
    careful->jump_bytes = cc->cwnd_bytes = jump_bytes;
    careful->jump_ns = ack->now_ns;
    unsigned __int128 rate =
        (unsigned __int128)jump_bytes * SB_S / SB_MAX(ack->rtt->smoothed_ns, 1);
    cc->rate_bytes_per_s = (uint64_t)SB_MIN(rate, (unsigned __int128)UINT64_MAX);
}

/* [RFC9959]  The window does not grow; the end of the phase makes it what is in flight. */
static void watch_jump(struct sp_careful *careful, struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    uint64_t flight_bytes = cc->in_flight_bytes + ack->bytes;
    careful->pipe_bytes += ack->bytes;
    cc->cwnd_bytes = careful->jump_bytes;
    bool is_first = ack->sent_ns >= careful->jump_ns;
    bool is_full = flight_bytes + cc->datagram_bytes > careful->jump_bytes;
    bool is_late = sb_time_since(ack->now_ns, careful->jump_ns) >= ack->rtt->smoothed_ns;
    if (!is_first && !is_full && !is_late)
        return;
    bool is_unused = flight_bytes <= careful->pipe_bytes;
    uint64_t cwnd_bytes = is_unused ? careful->pipe_bytes : flight_bytes;
    cc->cwnd_bytes = SB_MAX(SB_MIN(cwnd_bytes, careful->jump_bytes), sp_cc_cwnd_initial(cc));
    cc->rate_bytes_per_s = 0;
    careful->last_ns = ack->now_ns;
    move(careful, is_unused ? SP_CAREFUL_UNUSED : SP_CAREFUL_SENT);
}

static bool has_passed(const struct sp_careful *careful, const struct sp_cc *cc,
                       const struct sp_cc_ack *ack)
{
    return ack->sent_ns > careful->last_ns || cc->in_flight_bytes == 0;
}

void sp_careful_on_ack(struct sp_cc *cc, const struct sp_cc_ack *ack)
{
    struct sp_careful *careful = cc->careful;
    switch (careful->phase) {
    case SP_CAREFUL_RECONNAISSANCE:
        reconnoitre(careful, cc, ack);
        break;
    case SP_CAREFUL_UNVALIDATED:
        watch_jump(careful, cc, ack);
        break;
    case SP_CAREFUL_VALIDATING: /* [RFC9959] */
        careful->pipe_bytes += ack->bytes;
        if (has_passed(careful, cc, ack))
            move(careful, SP_CAREFUL_ACKED);
        break;
    case SP_CAREFUL_RETREAT: /* [RFC9959] slow start goes on below what got through */
        careful->pipe_bytes += ack->bytes;
        if (has_passed(careful, cc, ack)) {
            cc->ssthresh_bytes = SB_MAX(cc->ssthresh_bytes, careful->pipe_bytes / RETREAT_DIVISOR);
            move(careful, SP_CAREFUL_ACKED);
        }
        break;
    case SP_CAREFUL_DECLINED:
    case SP_CAREFUL_VALIDATED:
    case SP_CAREFUL_RETREATED:
    case SP_CAREFUL_PHASES:
        break;
    }
}

/* ---- Congestion ---- */

/* The controller takes its part of what got through; that must be half at least.  [RFC9959] */
static void retreat(struct sp_careful *careful, struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    uint64_t pipe_bytes = SB_MAX(careful->pipe_bytes, sp_cc_cwnd_min(cc));
    if (careful->phase == SP_CAREFUL_UNVALIDATED)
        careful->last_ns = loss->now_ns;
    move(careful, SP_CAREFUL_CONGESTED);
    cc->rate_bytes_per_s = 0;
    cc->cwnd_bytes = SB_MIN(cc->cwnd_bytes, pipe_bytes);
    cc->ops->on_lost(cc, loss);
    uint64_t most_bytes = SB_MAX(pipe_bytes / RETREAT_DIVISOR, sp_cc_cwnd_min(cc));
    cc->cwnd_bytes = SB_MIN(cc->cwnd_bytes, most_bytes);
    cc->ssthresh_bytes = SB_MIN(cc->ssthresh_bytes, most_bytes);
}

void sp_careful_on_lost(struct sp_cc *cc, const struct sp_cc_loss *loss)
{
    struct sp_careful *careful = cc->careful;
    bool is_jump =
        careful->phase == SP_CAREFUL_UNVALIDATED || careful->phase == SP_CAREFUL_VALIDATING;
    if (is_jump) {
        retreat(careful, cc, loss);
        return;
    }
    bool is_later = careful->phase == SP_CAREFUL_RETREAT && loss->sent_ns > careful->last_ns;
    if (careful->phase == SP_CAREFUL_RECONNAISSANCE || is_later)
        move(careful, SP_CAREFUL_CONGESTED);
    cc->ops->on_lost(cc, loss);
}

/* ---- What to save ---- */

/* What a round trip has carried, without what waited in queues: those are empty when the next
 * connection begins. */
static uint64_t carried_bytes(const struct sp_cc *cc, const struct sp_rtt *rtt, uint64_t now_ns)
{
    if (sb_time_since(now_ns, cc->cwv.validated_ns) >= SP_CWV_PERIOD_NS)
        return 0;
    uint64_t smoothed_ns = SB_MAX(SB_MAX(rtt->smoothed_ns, rtt->min_ns), 1);
    return (uint64_t)((unsigned __int128)cc->cwv.validated_bytes * rtt->min_ns / smoothed_ns);
}

bool sp_careful_observe(const struct sp_cc *cc, const struct sp_rtt *rtt, uint64_t now_ns,
                        uint64_t until_ns, struct sp_careful_saved *ret)
{
    const struct sp_careful *careful = cc->careful;
    if (cc->ops->on_unused == NULL || !sp_rtt_has_sample(rtt))
        return false;
    struct sp_careful_saved found = {
        .cwnd_bytes = carried_bytes(cc, rtt, now_ns),
        .rtt_ns = rtt->min_ns,
        .until_ns = until_ns,
    };
    bool is_refuted = careful != NULL &&
                      (!sp_cc_is_in_first_slow_start(cc) || careful->phase == SP_CAREFUL_DECLINED);
    if (careful != NULL && !is_refuted && found.cwnd_bytes < careful->saved.cwnd_bytes)
        found = careful->saved;
    if (found.cwnd_bytes / JUMP_DIVISOR <= sp_cc_cwnd_initial(cc) || found.until_ns <= now_ns)
        return false;
    *ret = found;
    return true;
}

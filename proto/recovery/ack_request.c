/* SPDX-License-Identifier: MIT */
#include "proto/recovery/ack_request.h"

/* Which ACKs we ask the peer for.  [ack-frequency 8]
 *
 * Each ACK costs both sides as much as ten packets.  What a sender needs of them (its clock, round
 * trips, signs of loss) is a few per round trip, however many packets that are.  So it asks for
 *
 *     count        ACKS_PER_WINDOW per window, and one per COUNT_MAX packets, which bounds the
 *                  burst that an ACK releases.  ACKS_PER_UNSURE_WINDOW where the sender knows
 *                  little: in slow start, whose end is found by eight round trips of a round
 *                  [RFC9406 4.3], and on a path that reorders
 *                  ACKS_PER_L4S_WINDOW for a controller that paces by the window alone, and
 *                  reacts to each mark
 *     delay        1 / DELAYS_PER_ROUND_TRIP of the round trip, which matters where the window is
 *                  not used up.  Never more than the peer's max_ack_delay, so PTOs, which add it,
 *                  do not become longer; mostly they become shorter
 *     reordering   the packet threshold of loss detection: an earlier ACK would declare nothing
 *                  lost, a later one would delay that.  [ack-frequency 9]  On a path that reorders,
 *                  where time alone declares packets lost (reorder.h), no ACK at once
 *
 * `count` is far below the window, so ACKs come while the window is being used, in slow start too.
 * An IMMEDIATE_ACK at the end of a round of slow start or of the data would gain nothing but what
 * `delay` bounds already.  Only probes have one, because nothing has come for long.
 *
 * A frame is sent when a wish has changed by a factor of CHANGE, and none while one is in flight:
 * at most one per round trip, and about one per doubling of the window.  After a change of the path
 * the first round trip on it makes a new frame.  Small windows are content with what RFC 9000
 * recommends, so short connections send none.
 *
 * What can be attacked: the peer may ignore all of it. */

#include "proto/base/assert.h"
#include "proto/base/time.h"

#define ACKS_PER_WINDOW            8
#define ACKS_PER_UNSURE_WINDOW     12
#define ACKS_PER_L4S_WINDOW        16
#define DELAYS_PER_ROUND_TRIP      4
#define DELAYS_PER_WIDE_ROUND_TRIP 8
#define COUNT_MAX                  256
#define CHANGE                     2

/* [RFC9000 13.2.2] What a peer does that was asked for nothing. */
#define COUNT_DEFAULT 2
/* The first frame asks for an ACK per so many packets at least. */
#define COUNT_FIRST_MIN 4

enum sp_ack_request_state sp_ack_request_next(enum sp_ack_request_state state,
                                              enum sp_ack_request_event event)
{
    enum { IMPOSSIBLE = SP_ACK_REQUEST_STATES };
    enum {
        OFF = SP_ACK_REQUEST_OFF,
        SETTLED = SP_ACK_REQUEST_SETTLED,
        DUE = SP_ACK_REQUEST_DUE,
        SENT = SP_ACK_REQUEST_SENT,
    };
    static const uint8_t next[SP_ACK_REQUEST_STATES][SP_ACK_REQUEST_EVENTS] = {
        /*           ENABLE      CHANGE      SENT        ACKED       LOST */
        [OFF] = {SETTLED, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE},
        [SETTLED] = {IMPOSSIBLE, DUE, IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE},
        [DUE] = {IMPOSSIBLE, DUE, SENT, SETTLED, DUE},
        [SENT] = {IMPOSSIBLE, SENT, IMPOSSIBLE, SETTLED, DUE},
    };
    SB_ASSERT(next[state][event] != IMPOSSIBLE);
    return (enum sp_ack_request_state)next[state][event];
}

void sp_ack_request_init(struct sp_ack_request *request)
{
    *request = (struct sp_ack_request){.state = SP_ACK_REQUEST_OFF};
}

void sp_ack_request_enable(struct sp_ack_request *request, uint64_t delay_us_min,
                           uint64_t delay_us_max)
{
    SB_ASSERT(delay_us_min <= delay_us_max);
    request->state = sp_ack_request_next(request->state, SP_ACK_REQUEST_ON_ENABLE);
    request->delay_us_min = (uint32_t)delay_us_min;
    request->delay_us_max = (uint32_t)delay_us_max;
    request->count = COUNT_DEFAULT;
    request->delay_us = (uint32_t)delay_us_max;
    request->reorder_threshold = SP_LOSS_PACKET_THRESHOLD;
}

static uint32_t wanted_count(const struct sp_loss_path *path)
{
    bool is_unsure = sp_cc_is_in_slow_start(&path->cc) || sp_reorder_is_wide(&path->reorder);
    uint64_t ack_count = is_unsure ? ACKS_PER_UNSURE_WINDOW : ACKS_PER_WINDOW;
    if (path->cc.ops->is_l4s)
        ack_count = ACKS_PER_L4S_WINDOW;
    uint64_t count = path->cc.cwnd_bytes / (ack_count * path->cc.datagram_bytes);
    return (uint32_t)SB_MIN(SB_MAX(count, COUNT_DEFAULT), COUNT_MAX);
}

static uint32_t wanted_delay_us(const struct sp_ack_request *request,
                                const struct sp_loss_path *path)
{
    bool is_wide = sp_reorder_is_wide(&path->reorder);
    uint64_t per_round_trip = is_wide ? DELAYS_PER_WIDE_ROUND_TRIP : DELAYS_PER_ROUND_TRIP;
    uint64_t delay_us = path->rtt.smoothed_ns / (per_round_trip * SB_US);
    delay_us = SB_MAX(delay_us, (uint64_t)request->delay_us_min);
    return (uint32_t)SB_MIN(delay_us, (uint64_t)request->delay_us_max);
}

static uint32_t wanted_threshold(const struct sp_loss_path *path)
{
    return sp_reorder_is_wide(&path->reorder) ? 0 : SP_LOSS_PACKET_THRESHOLD;
}

/* Returns whether one of two numbers is so much larger; both may be 0. */
static bool has_changed(uint64_t a, uint64_t b)
{
    return a + 1 >= CHANGE * (b + 1) || b + 1 >= CHANGE * (a + 1);
}

void sp_ack_request_update(struct sp_ack_request *request, const struct sp_loss_path *path)
{
    if (request->state != SP_ACK_REQUEST_SETTLED || !sp_rtt_has_sample(&path->rtt))
        return;
    uint32_t count = wanted_count(path);
    if (request->next_sequence == 0 && count < COUNT_FIRST_MIN)
        return;
    if (request->next_sequence == 0 || has_changed(count, request->count) ||
        has_changed(wanted_delay_us(request, path), request->delay_us) ||
        wanted_threshold(path) != request->reorder_threshold)
        request->state = sp_ack_request_next(request->state, SP_ACK_REQUEST_ON_CHANGE);
}

void sp_ack_request_write(const struct sp_ack_request *request, const struct sp_loss_path *path,
                          struct sp_frame_ack_frequency *ret)
{
    *ret = (struct sp_frame_ack_frequency){
        .sequence = request->next_sequence,
        .eliciting_max = wanted_count(path) - 1,
        .delay_us = wanted_delay_us(request, path),
        .reorder_threshold = wanted_threshold(path),
    };
}

void sp_ack_request_on_sent(struct sp_ack_request *request,
                            const struct sp_frame_ack_frequency *frame, struct sp_loss *loss)
{
    SB_ASSERT(frame->sequence == request->next_sequence);
    request->state = sp_ack_request_next(request->state, SP_ACK_REQUEST_ON_SENT);
    request->next_sequence++;
    request->count = (uint32_t)frame->eliciting_max + 1;
    request->delay_us = (uint32_t)frame->delay_us;
    request->reorder_threshold = (uint32_t)frame->reorder_threshold;
    /* Earlier frames that seem lost may have arrived: the largest of all since the last one that
     * was acknowledged. */
    loss->peer_ack_delay_ns_max = SB_MAX(loss->peer_ack_delay_ns_max, frame->delay_us * SB_US);
    loss->peer_delays_late |= request->reorder_threshold == 0;
}

void sp_ack_request_on_acked(struct sp_ack_request *request, uint64_t sequence,
                             struct sp_loss *loss)
{
    if (sequence + 1 != request->next_sequence)
        return;
    request->state = sp_ack_request_next(request->state, SP_ACK_REQUEST_ON_ACKED);
    loss->peer_ack_delay_ns_max = request->delay_us * SB_US;
    loss->peer_delays_late = request->reorder_threshold == 0;
}

void sp_ack_request_on_lost(struct sp_ack_request *request, uint64_t sequence)
{
    if (sequence + 1 == request->next_sequence)
        request->state = sp_ack_request_next(request->state, SP_ACK_REQUEST_ON_LOST);
}

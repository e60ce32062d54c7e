/* SPDX-License-Identifier: MIT */
#include "proto/recovery/loss.h"

/* Loss detection, the probe timeout and persistent congestion.  [RFC9002 6, 7.6, appendix A]
 *
 * A packet is lost when one sent at least three numbers or 9/8 of a round trip later has
 * been acknowledged; on a path that reorders more than that, later: see reorder.h.  When nothing is
 * acknowledged at all, the PTO asks for probes; it declares nothing lost.
 *
 * What can be attacked: a peer acknowledges packets that it never got (optimistic ACK).  An ACK of
 * what was never sent is an error, and now and then a number is skipped.  [RFC9000 21.4] */

#include "proto/base/assert.h"
#include "proto/base/steps.h"
#include "proto/base/time.h"
#include "proto/wire/limits.h"

#define PERSISTENT_CONGESTION_PTOS 3 /* [RFC9002 7.6.1] */

void sp_loss_init(struct sp_loss *loss, struct sp_loss_space handshake_spaces[SP_SPACE_APP],
                  struct sb_store *blocks, struct sp_loss_path *path, bool is_pacing)
{
    *loss = (struct sp_loss){.is_pacing = is_pacing, .path = path};
    loss->paths[path->index] = path;
    for (uint32_t i = 0; i < SP_SPACES; i++) {
        struct sp_loss_space *space = i == SP_SPACE_APP ? &loss->app : &handshake_spaces[i];
        *space = (struct sp_loss_space){0};
        loss->spaces[i] = space;
        sp_sent_init(&space->sent, blocks);
        space->largest_acked = space->skipped_pn = SB_VARINT_NONE;
        space->loss_at_ns = SB_NEVER;
    }
}

/* Grants a burst after `acked_bytes` were acknowledged.  What several ACKs of one time acknowledge
 * adds up; what an earlier burst has left does not. */
static void grant_burst(struct sp_loss *loss, uint64_t acked_bytes, uint64_t now_ns)
{
    uint64_t left = loss->path->burst_at_ns == now_ns ? loss->path->burst_bytes : 0;
    loss->path->burst_bytes = SB_MAX(left + 2 * acked_bytes, sp_cc_cwnd_initial(&loss->path->cc));
    loss->path->burst_at_ns = now_ns;
}

static void take_burst(struct sp_loss *loss, uint64_t bytes, uint64_t now_ns)
{
    uint64_t left = sp_loss_burst(loss, now_ns);
    loss->path->burst_bytes = left - SB_MIN(bytes, left);
}

/* The first bytes after silence. */
static SB_NEVER_INLINE void restart(struct sp_loss *loss, uint64_t now_ns)
{
    if (sp_cc_on_restart(&loss->path->cc, now_ns))
        sp_loss_pace(loss, now_ns);
}

static void put_in_flight(struct sp_loss *loss, uint64_t bytes, uint64_t now_ns)
{
    if (SB_UNLIKELY(loss->path->cc.in_flight_bytes == 0))
        restart(loss, now_ns);
    if (!loss->is_pacing)
        take_burst(loss, bytes, now_ns);
    sp_cc_on_sent(&loss->path->cc, bytes);
    sp_cc_after_sent(&loss->path->cc, bytes, &loss->path->rtt, now_ns);
    if (loss->is_pacing)
        sp_pacer_on_sent(&loss->path->pacer, bytes, now_ns);
}

void sp_loss_on_sent_bytes(struct sp_loss *loss, enum sp_space space, uint64_t bytes,
                           uint64_t now_ns)
{
    put_in_flight(loss, bytes, now_ns);
    loss->spaces[space]->last_eliciting_ns = now_ns;
}

void sp_loss_on_sent(struct sp_loss *loss, enum sp_space space, struct sp_sent_packet *packet)
{
    struct sp_loss_space *s = loss->spaces[space];
    SB_ASSERT(s != NULL);

    if (packet->size > 0)
        put_in_flight(loss, packet->size, packet->sent_ns);
    if (packet->is_eliciting)
        s->last_eliciting_ns = packet->sent_ns;
    sp_sent_add(&s->sent, packet);
}

/* ---- Acknowledgments ---- */

struct ack_work {
    struct sp_loss_space *space;
    struct sp_sent_frame **tail;
    uint64_t now_ns;
    bool is_app_limited, any_eliciting;
    uint32_t marked_count;
    uint64_t late_end;        /* packets of lower numbers come late; 0: not looked at */
    uint64_t largest_pn;      /* largest of the newly acknowledged numbers */
    uint64_t largest_sent_ns; /* when largest_pn was sent */
    bool is_own_path;         /* largest_pn went the path in use */
    bool is_mixed;            /* some of them went another path */
    bool any;
};

/* Acknowledged bytes that were sent at one time.  Packets of a train have one send time, and
 * congestion control needs no more than that, so it gets their bytes together. */
struct ack_bytes {
    uint64_t bytes;
    uint64_t sent_ns;
    uint32_t path; /* index */
};

static struct sp_cc_ack cc_ack_of(const struct sp_loss *loss, const struct ack_work *work,
                                  uint64_t bytes, uint64_t sent_ns)
{
    return (struct sp_cc_ack){
        .bytes = bytes,
        .sent_ns = sent_ns,
        .now_ns = work->now_ns,
        .rtt = &loss->path->rtt,
        .is_app_limited = work->is_app_limited,
    };
}

static void ack_bytes_flush(struct sp_loss *loss, const struct ack_work *work,
                            const struct ack_bytes *acked)
{
    if (acked->bytes == 0)
        return;
    if (SB_UNLIKELY(acked->path != loss->path->index)) {
        sp_cc_on_removed(&sp_loss_path_of(loss, acked->path)->cc, acked->bytes); /* [RFC9000 9.4] */
        return;
    }
    struct sp_cc_ack ack = cc_ack_of(loss, work, acked->bytes, acked->sent_ns);
    sp_cc_on_acked(&loss->path->cc, &ack);
}

/* A packet of more than 1,200 bytes got through: the newest has the number `end` - 1.  Those of the
 * handshake have no more than that. */
static void large_acked(struct sp_loss *loss, uint64_t end)
{
    if (end <= loss->path->large_acked_end)
        return;
    loss->path->large_acked_end = end;
    loss->path->large_lost_count = 0;
    loss->path->is_suspected = false;
}

/* Packets that were declared lost came late. */
static void ack_lost(struct sp_loss *loss, struct sp_sent_block *block, uint32_t bits)
{
    for (uint32_t left = bits; left != 0; left &= left - 1) {
        SB_STEP();
        uint32_t i = (uint32_t)__builtin_ctz(left);
        struct sp_sent_packet *packet = &block->packets[i];
        if (packet->size > SP_DATAGRAM_SIZE_MIN)
            large_acked(loss, block->first_pn + i + 1);
        packet->state = SP_SENT_SKIPPED;
    }
    block->lost_bits &= ~bits;
}

/* The oldest of `bits`, which are not empty, was overtaken by later ones if its number is below
 * work->late_end. */
static void look_for_late(struct sp_loss *loss, const struct ack_work *work,
                          const struct sp_sent_block *block, uint32_t bits)
{
    uint32_t i = (uint32_t)__builtin_ctz(bits);
    const struct sp_sent_packet *packet = &block->packets[i];
    if (SB_UNLIKELY(block->first_pn + i < work->late_end) && packet->path == loss->path->index)
        sp_reorder_on_late(&loss->path->reorder, packet->sent_ns,
                           sp_loss_distance(work->space, block->first_pn + i, work->late_end - 1),
                           &loss->path->rtt, work->now_ns);
}

/* Works off packets of a block that were in flight: `bits`, which are not empty.  Returns the next
 * block. */
static struct sp_sent_block *ack_block(struct sp_loss *loss, struct ack_work *work,
                                       struct sp_sent_block *block, uint32_t bits)
{
    const struct sp_sent_packet *oldest = &block->packets[__builtin_ctz(bits)];
    struct ack_bytes acked = {.sent_ns = oldest->sent_ns, .path = oldest->path};
    struct sp_sent_frame **tail = work->tail; /* a register: what it points to is stored to */
    uint32_t count = 0, eliciting_count = 0, marked_count = 0;
    uint32_t newest = 0, large_end = 0;
    uint32_t own_path = loss->path->index;
    work->is_mixed |= oldest->path != own_path;
    look_for_late(loss, work, block, bits);
    for (uint32_t left = bits; left != 0; left &= left - 1) {
        newest = (uint32_t)__builtin_ctz(left);
        struct sp_sent_packet *packet = &block->packets[newest];
        if (packet->size > SP_DATAGRAM_SIZE_MIN && packet->path == own_path)
            large_end = newest + 1;
        count++;
        eliciting_count += packet->is_eliciting;
        marked_count += packet->is_ect;
        if (packet->sent_ns != acked.sent_ns || packet->path != acked.path) {
            ack_bytes_flush(loss, work, &acked);
            work->is_mixed |= packet->path != own_path;
            acked = (struct ack_bytes){.sent_ns = packet->sent_ns, .path = packet->path};
        }
        acked.bytes += packet->size;
        sp_sent_append(&tail, packet->frames);
        packet->frames = NULL;
        packet->state = SP_SENT_SKIPPED;
    }
    ack_bytes_flush(loss, work, &acked);
    work->tail = tail;
    work->marked_count += marked_count;
    work->any_eliciting |= eliciting_count > 0;
    if (large_end > 0)
        large_acked(loss, block->first_pn + large_end);
    /* Ranges come in falling order: the first packet that is found is not always the largest. */
    uint64_t newest_pn = block->first_pn + newest;
    if (!work->any || newest_pn > work->largest_pn) {
        work->largest_pn = newest_pn;
        work->largest_sent_ns = block->packets[newest].sent_ns;
        work->is_own_path = block->packets[newest].path == own_path;
        work->any = true;
    }
    return sp_sent_block_settled(&work->space->sent, block, bits, count, eliciting_count);
}

static void ack_range(struct sp_loss *loss, struct ack_work *work, struct sp_ack_range range)
{
    struct sp_sent_block *block = sp_sent_block_from(&work->space->sent, range.smallest);
    while (block != NULL && block->first_pn <= range.largest) {
        uint64_t from = SB_MAX(range.smallest, block->first_pn) - block->first_pn;
        uint64_t to = SB_MIN(range.largest - block->first_pn, SP_SENT_BLOCK_PACKETS - 1u);
        uint32_t range_bits = sp_sent_bits(from, to);
        uint32_t lost_bits = block->lost_bits & range_bits, out_bits = block->out_bits & range_bits;
        sp_loss_trace_acked(loss, work->space, block->first_pn, lost_bits | out_bits);
        if (SB_UNLIKELY(lost_bits != 0))
            ack_lost(loss, block, lost_bits);
        block = out_bits != 0 ? ack_block(loss, work, block, out_bits) : block->next;
    }
}

/* Takes losses back that this ACK proves spurious: before new ones are detected, and before the
 * controller learns of what is acknowledged. */
static SB_NEVER_INLINE void take_losses_back(struct sp_loss *loss, const struct sp_frame_ack *ack,
                                             const struct ack_work *work)
{
    struct sp_loss_path *path = loss->path;
    struct sp_ack_range range;
    uint64_t pn, sent_ns;
    for (struct sp_ack_walk walk = sp_ack_walk_of(ack); sp_ack_next(&walk, &range);) {
        uint32_t count =
            sp_reorder_on_acked(&path->reorder, range.smallest, range.largest, &pn, &sent_ns);
        if (count == 0)
            continue;
        loss->spurious_count += count;
        sp_reorder_on_late(&path->reorder, sent_ns,
                           sp_loss_distance(&loss->app, pn, loss->app.largest_acked), &path->rtt,
                           work->now_ns);
    }
    if (sp_reorder_take_undo(&path->reorder))
        sp_cc_undo(&path->cc);
}

/* ---- Losses ---- */

struct loss_work {
    const struct sp_loss_space *space;
    struct sp_sent_frame **tail;
    uint64_t now_ns;
    uint64_t newest_sent_ns; /* of the lost packets in flight; 0: none */
    uint64_t bytes;          /* of the lost packets in flight */
    uint64_t range_next_pn;  /* the number after the last of them */
    uint32_t range_count;    /* runs of consecutive numbers */
    /* The run of consecutive lost packets at hand.  [RFC9002 7.6.2] */
    uint64_t run_next_pn;
    uint64_t run_first_ns; /* SB_NEVER: no ack-eliciting one yet */
    uint64_t run_longest_ns;
};

static void extend_run(struct sp_loss *loss, struct loss_work *work, uint64_t pn,
                       const struct sp_sent_packet *packet)
{
    if (pn != work->run_next_pn)
        work->run_first_ns = SB_NEVER;
    work->run_next_pn = sp_loss_number_after(work->space, pn);

    /* Only what was sent after the first RTT sample counts. */
    if (!packet->is_eliciting || packet->path != loss->path->index ||
        !sp_rtt_has_sample(&loss->path->rtt) ||
        packet->sent_ns <= loss->path->rtt.first_sample_at_ns)
        return;
    if (work->run_first_ns == SB_NEVER)
        work->run_first_ns = packet->sent_ns;
    work->run_longest_ns =
        SB_MAX(work->run_longest_ns, sb_time_since(packet->sent_ns, work->run_first_ns));
}

/* The loss of what went another path is no sign of congestion on this one.  [RFC9000 9.4] */
static void lose_bytes(struct sp_loss *loss, struct loss_work *work, uint64_t pn,
                       const struct sp_sent_packet *packet)
{
    struct sp_loss_path *path = sp_loss_path_of(loss, packet->path);
    sp_cc_on_removed(&path->cc, packet->size);
    if (path != loss->path || pn < path->first_pn)
        return;
    if (packet->size > SP_DATAGRAM_SIZE_MIN && pn >= path->large_acked_end)
        path->large_lost_count++;
    path->lost_count++;
    work->bytes += packet->size;
    work->range_count += pn != work->range_next_pn || work->range_count == 0;
    work->range_next_pn = sp_loss_number_after(work->space, pn);
    work->newest_sent_ns = SB_MAX(work->newest_sent_ns, packet->sent_ns);
}

static void lose_packet(struct sp_loss *loss, struct sp_loss_space *space, struct loss_work *work,
                        uint64_t pn, const struct sp_sent_packet *packet)
{
    loss->lost_count++;
    if (packet->path == loss->path->index)
        sp_ecn_on_lost(&loss->path->ecn, packet->is_ect);
    if (packet->path == loss->path->index && packet->size > 0 && space == &loss->app)
        sp_reorder_on_lost(&loss->path->reorder, pn, packet->sent_ns, work->now_ns);
    extend_run(loss, work, pn, packet);
    if (packet->size > 0)
        lose_bytes(loss, work, pn, packet);
    sp_sent_append(&work->tail, sp_sent_settle(&space->sent, pn, SP_SENT_LOST));
}

/* Returns how long a packet may be overtaken, at least `delay_ns`: packets of one path overtake
 * those of another by the difference of their delays. */
static uint64_t loss_delay_ns(const struct sp_loss *loss, uint64_t delay_ns)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        const struct sp_loss_path *path = loss->paths[i];
        if (path != NULL && path != loss->path && path->cc.in_flight_bytes > 0)
            delay_ns = SB_MAX(delay_ns, sp_rtt_loss_delay_ns(&path->rtt));
    }
    return delay_ns;
}

/* Declares packets lost that later ones have overtaken: from `pn` on, which is one, to the first
 * that is not lost, as they left in this order.  What is late is judged by `heard_ns`, the reaction
 * is of `now_ns`.  [RFC9002 7.4, A.10] What was sent after the earliest acknowledged one counts. */
static SB_NEVER_INLINE void detect_from(struct sp_loss *loss, struct sp_loss_space *space,
                                        uint64_t pn, uint64_t now_ns, uint64_t heard_ns,
                                        struct sp_loss_outcome *ret)
{
    struct loss_work work = {
        .space = space, .tail = &ret->lost, .now_ns = now_ns, .run_first_ns = SB_NEVER};
    struct sp_reorder *reorder = &loss->path->reorder;
    uint64_t ack_delay_ns = loss->peer_delays_late ? loss->peer_ack_delay_ns_max : 0;
    uint64_t delay_ns =
        loss_delay_ns(loss, sp_reorder_delay_ns(reorder, &loss->path->rtt, ack_delay_ns));
    uint64_t distance = sp_reorder_is_wide(reorder) ? UINT64_MAX : SP_LOSS_PACKET_THRESHOLD;

    struct sp_sent_packet *packet = sp_sent_next(&space->sent, pn, false, &pn);
    for (; packet != NULL && pn < space->largest_acked;
         packet = sp_sent_next(&space->sent, pn + 1, false, &pn)) {
        SB_STEP();
        uint64_t lost_at_ns = sb_time_add(packet->sent_ns, delay_ns);
        bool is_distant = sp_loss_distance(space, pn, space->largest_acked) >= distance;
        if (lost_at_ns > heard_ns && !is_distant) {
            space->loss_at_ns = lost_at_ns;
            break;
        }
        sp_loss_trace(loss, space, pn, is_distant ? SP_QLOG_LOSS_REORDERING : SP_QLOG_LOSS_TIME);
        lose_packet(loss, space, &work, pn, packet);
    }

    if (work.bytes == 0)
        return;
    uint64_t persistent_ns = (sp_rtt_pto_ns(&loss->path->rtt) + loss->peer_ack_delay_ns_max) *
                             PERSISTENT_CONGESTION_PTOS;
    struct sp_cc_loss lost = {
        .bytes = work.bytes,
        .sent_ns = work.newest_sent_ns,
        .now_ns = now_ns,
        .rtt = &loss->path->rtt,
        .range_count = work.range_count,
        .is_persistent = work.run_longest_ns > persistent_ns,
    };
    sp_cc_on_lost(&loss->path->cc, &lost); /* [RFC9000 13.3] */
    loss->persistent_count += lost.is_persistent;
    if (lost.is_persistent) {
        sp_rtt_forget_min(&loss->path->rtt);
        sp_reorder_on_final(reorder, now_ns);
    }
}

static void detect(struct sp_loss *loss, struct sp_loss_space *space, uint64_t now_ns,
                   uint64_t heard_ns, struct sp_loss_outcome *ret)
{
    uint64_t pn;
    sp_reorder_update(&loss->path->reorder, &loss->path->rtt, now_ns);
    space->loss_at_ns = SB_NEVER;
    if (space->largest_acked != SB_VARINT_NONE &&
        sp_sent_next(&space->sent, 0, false, &pn) != NULL && pn < space->largest_acked)
        detect_from(loss, space, pn, now_ns, heard_ns, ret);
}

/* Returns the number of new CE marks that the ACK reports for the path in use. */
static uint64_t on_ecn_counts(struct sp_loss *loss, const struct ack_work *work,
                              const struct sp_frame_ack *ack)
{
    if (SB_UNLIKELY(work->is_mixed)) {
        sp_ecn_on_mixed_ack(&work->space->ecn, ack);
        return 0;
    }
    uint64_t count = sp_ecn_on_ack(&loss->path->ecn, &work->space->ecn, ack, work->marked_count);
    if (SB_UNLIKELY(loss->path->ecn.mark == SP_ECN_ECT1))
        sp_loss_path_watch_l4s(loss->path);
    return count;
}

static void on_marks(struct sp_loss *loss, const struct ack_work *work, uint64_t count)
{
    struct sp_cc_loss mark = {
        .sent_ns = work->largest_sent_ns,
        .now_ns = work->now_ns,
        .rtt = &loss->path->rtt,
        .ce_count = (uint32_t)SB_MIN(count, (uint64_t)UINT32_MAX),
        .is_ecn = true,
    };
    sp_cc_on_lost(&loss->path->cc, &mark);
    sp_reorder_on_final(&loss->path->reorder, work->now_ns);
}

enum sp_err sp_loss_on_ack(struct sp_loss *loss, enum sp_space space,
                           const struct sp_frame_ack *ack, uint64_t ack_delay_ns,
                           uint64_t arrived_ns, struct sp_loss_outcome *ret)
{
    struct sp_loss_space *s = loss->spaces[space];
    SB_ASSERT(s != NULL);

    *ret = (struct sp_loss_outcome){0};
    /* [RFC9000 13.1] */
    if (ack->largest >= s->sent.next_pn)
        return SP_ERR_PROTOCOL_VIOLATION;

    uint64_t largest_before = s->largest_acked;
    bool has_moved = largest_before == SB_VARINT_NONE || ack->largest > largest_before;
    if (has_moved)
        s->largest_acked = ack->largest;

    /* [RFC9002 7.8] A window that is not half used is not what limits the sender. */
    struct ack_work work = {
        .space = s,
        .tail = &ret->acked,
        .now_ns = arrived_ns,
        .is_app_limited = loss->path->cc.in_flight_bytes * 2 < loss->path->cc.cwnd_bytes,
    };
    if (space == SP_SPACE_APP && largest_before != SB_VARINT_NONE)
        work.late_end = largest_before;
    if (space == SP_SPACE_APP && sp_reorder_has_runs(&loss->path->reorder))
        take_losses_back(loss, ack, &work);
    uint64_t in_flight_bytes = loss->path->cc.in_flight_bytes;
    struct sp_ack_range range;
    for (struct sp_ack_walk walk = sp_ack_walk_of(ack); sp_ack_next(&walk, &range);) {
        if (SB_UNLIKELY(s->skipped_pn - range.smallest <= range.largest - range.smallest))
            return SP_ERR_PROTOCOL_VIOLATION;
        ack_range(loss, &work, range);
    }
    if (!work.any)
        return SP_OK;
    ret->acked_any = true;
    struct sp_cc_ack sums = cc_ack_of(loss, &work, in_flight_bytes - loss->path->cc.in_flight_bytes,
                                      work.largest_sent_ns);
    sums.marked_count = work.is_mixed ? 0 : work.marked_count;

    /* [RFC9002 5.1, 5.3] */
    if (work.largest_pn == ack->largest && work.any_eliciting && work.is_own_path) {
        uint64_t delay_ns = space == SP_SPACE_INITIAL ? 0 : ack_delay_ns;
        /* What was sent before that may have waited for the peer's keys.  [RFC9000 13.2.5] */
        if (loss->is_confirmed && work.largest_sent_ns > loss->confirmed_at_ns)
            delay_ns = sb_time_min(delay_ns, loss->peer_ack_delay_ns_max);
        uint64_t after_ns = sb_time_since(arrived_ns, work.largest_sent_ns);
        loss->acked_after_ns = sums.rtt_ns = SB_MAX(after_ns, 1);
        sp_rtt_on_sample(&loss->path->rtt, after_ns, delay_ns, arrived_ns);
    }
    /* [RFC9000 13.4.2.1] The counts of an older ACK may be lower. */
    uint64_t ce_count = has_moved ? on_ecn_counts(loss, &work, ack) : 0;
    if (ce_count > 0)
        on_marks(loss, &work, ce_count);

    if (!loss->is_pacing)
        grant_burst(loss, sums.bytes, arrived_ns);
    detect(loss, s, arrived_ns, arrived_ns, ret);
    sp_cc_on_ack_end(&loss->path->cc, &sums);
    sp_loss_pace(loss, arrived_ns);

    /* [RFC9002 6.2.1] */
    if (!loss->peer_is_validating)
        loss->pto_count = 0;
    loss->idle_since_ns = SB_MAX(loss->idle_since_ns, arrived_ns);
    return SP_OK;
}

/* ---- Timers ---- */

/* [RFC9002 6.2.1] Doubled by each PTO.  The bound is ours: two datagrams in SP_PTO_NS_MAX load no
 * path, and after an outage nobody waits for as long as it was.  Before the handshake is confirmed
 * there is none, because a server that does not answer may be overloaded. */
static uint64_t backoff(const struct sp_loss *loss, uint64_t duration_ns)
{
    uint64_t doubled_ns = duration_ns << SB_MIN(loss->pto_count, SP_PTO_BACKOFF_MAX);
    if (!loss->is_confirmed)
        return doubled_ns;
    return SB_MIN(doubled_ns, SB_MAX(2 * duration_ns, SP_PTO_NS_MAX));
}

/* [RFC9002 A.8] When the next PTO fires and in which space. */
static uint64_t pto_deadline(const struct sp_loss *loss, enum sp_space *ret_space)
{
    uint64_t pto_ns = sp_rtt_pto_ns(&loss->path->rtt);
    uint64_t deadline_ns = SB_NEVER;

    *ret_space = SP_SPACE_INITIAL;
    if (loss->is_amplification_blocked)
        return SB_NEVER;

    for (uint32_t i = 0; i < SP_SPACES; i++) {
        const struct sp_loss_space *s = loss->spaces[i];
        if (s == NULL || s->sent.eliciting_count == 0)
            continue;
        if (i == SP_SPACE_APP && !loss->is_confirmed)
            continue;
        uint64_t delay_ns = i == SP_SPACE_APP ? loss->peer_ack_delay_ns_max : 0;
        uint64_t at_ns = s->last_eliciting_ns + backoff(loss, pto_ns + delay_ns);
        if (at_ns < deadline_ns) {
            deadline_ns = at_ns;
            *ret_space = (enum sp_space)i;
        }
    }
    if (deadline_ns != SB_NEVER || !loss->peer_is_validating)
        return deadline_ns;

    /* [RFC9000 8.1, RFC9002 6.2.2.1] The server may be waiting for us to prove our address.  0-RTT
     * packets in flight do not help it: they have no PTO of their own yet. */
    *ret_space = loss->has_handshake_keys ? SP_SPACE_HANDSHAKE : SP_SPACE_INITIAL;
    return loss->idle_since_ns + backoff(loss, pto_ns);
}

static uint64_t loss_deadline(const struct sp_loss *loss, enum sp_space *ret_space)
{
    uint64_t deadline_ns = SB_NEVER;
    *ret_space = SP_SPACE_INITIAL;
    for (uint32_t i = 0; i < SP_SPACES; i++) {
        const struct sp_loss_space *s = loss->spaces[i];
        if (s != NULL && s->loss_at_ns < deadline_ns) {
            deadline_ns = s->loss_at_ns;
            *ret_space = (enum sp_space)i;
        }
    }
    return deadline_ns;
}

uint64_t sp_loss_deadline_ns(const struct sp_loss *loss)
{
    enum sp_space space;
    uint64_t loss_at_ns = loss_deadline(loss, &space);
    return loss_at_ns != SB_NEVER ? loss_at_ns : pto_deadline(loss, &space);
}

void sp_loss_on_deadline(struct sp_loss *loss, uint64_t now_ns, uint64_t heard_ns,
                         struct sp_loss_outcome *ret)
{
    *ret = (struct sp_loss_outcome){0};
    enum sp_space space;
    uint64_t loss_at_ns = loss_deadline(loss, &space);
    if (loss_at_ns != SB_NEVER) {
        ret->lost_space = space;
        if (loss_at_ns <= heard_ns) {
            detect(loss, loss->spaces[space], now_ns, heard_ns, ret);
            sp_loss_pace(loss, now_ns);
        }
        return;
    }

    if (pto_deadline(loss, &space) > heard_ns)
        return;
    /* [RFC9002 6.2] No packet counts as lost because of it. */
    ret->probe = true;
    ret->probe_space = space;
    loss->pto_count++;
    loss->idle_since_ns = now_ns;
    /* The probe leaves now, or cannot: either way the next one waits from here on. */
    loss->spaces[space]->last_eliciting_ns = now_ns;
}

void sp_loss_on_heard(struct sp_loss *loss, uint64_t before_ns, uint64_t now_ns)
{
    if (loss->is_confirmed && loss->pto_count > 1 &&
        sb_time_since(now_ns, before_ns) >= sp_loss_pto_ns(loss))
        loss->pto_count = 1;
}

uint64_t sp_loss_pto_ns(const struct sp_loss *loss)
{
    return sp_rtt_pto_ns(&loss->path->rtt) + loss->peer_ack_delay_ns_max;
}

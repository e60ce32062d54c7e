/* SPDX-License-Identifier: MIT */
#ifndef SP_LOSS_H
#define SP_LOSS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/probe.h"
#include "proto/recovery/cc.h"
#include "proto/recovery/ecn.h"
#include "proto/wire/frame.h"
#include "proto/recovery/pacer.h"
#include "proto/recovery/reorder.h"
#include "proto/recovery/rtt.h"
#include "proto/recovery/sent.h"
#include "proto/wire/qlog.h"
#include "proto/wire/types.h"

/* Loss detection and recovery of one connection: all spaces, and one path at a time.  [RFC9002]
 *
 * Packets go in as they are sent; ACK frames and time go in; what became of the
 * frames in those packets comes out as two lists, to be worked off by the caller. */
struct sp_loss_space {
    struct sp_sent sent;
    uint64_t largest_acked; /* SB_VARINT_NONE: none yet */
    uint64_t skipped_pn;    /* no packet had that number, see sp_loss_skip(); or SB_VARINT_NONE */
    uint64_t last_eliciting_ns; /* when the last ack-eliciting packet left */
    struct sp_ecn_space ecn;
    uint64_t loss_at_ns; /* SB_NEVER, or when the next packet counts as lost */
};

/* What recovery knows about one path: packets that went another way say nothing about it.
 * [RFC9000 9.4] */
struct sp_loss_path {
    struct sp_rtt rtt;
    struct sp_cc cc;
    struct sp_pacer pacer;
    struct sp_ecn_path ecn;
    struct sp_reorder reorder; /* packets of the application space */
    /* Packets of more than 1,200 bytes in the application space: see conn/mtu.h. */
    uint64_t large_acked_end;  /* one more than the newest that was acknowledged; 0: none */
    uint32_t large_lost_count; /* lost ones that were sent after that one */
    bool is_suspected;         /* of taking no large ones any more: none was acknowledged since */
    /* Without pacing: bytes that may leave before the next ACK, and when they were granted. */
    uint64_t burst_bytes;
    uint64_t burst_at_ns;
    uint64_t first_pn;   /* packets before it went another path, or to another port of the peer */
    uint64_t lost_count; /* of those since then that were declared lost on it */
    uint32_t number;     /* no other path of the connection has it, before or after */
    uint8_t index;       /* in sp_loss.paths, and sp_sent_packet.path of what was sent on it */
};

/* The application space is here; those of the handshake are memory of the owner, who needs it
 * until they are discarded only. */
struct sp_loss {
    struct sp_loss_space *spaces[SP_SPACES];  /* NULL: discarded */
    struct sp_loss_space app;                 /* spaces[SP_SPACE_APP] */
    struct sp_loss_path *path;                /* in use: packets leave on it */
    struct sp_loss_path *paths[SP_PATHS_MAX]; /* all that packets in flight name; or NULL */
    uint32_t pto_count;
    bool is_pacing;
    uint8_t turn_trains;        /* of a host that has queues in its care: bursts are as long; 0: it
                                   has not */
    bool peer_delays_late;      /* its ACKs of packets that come late may wait, too */
    uint64_t limit_bytes_per_s; /* that the pacer may not exceed; 0: none */
    bool is_confirmed;          /* the handshake: the application space gets a PTO */
    bool peer_is_validating;    /* the server may be stuck at its amplification limit: a client
                                   keeps a PTO armed without anything in flight */
    bool has_handshake_keys;
    bool is_amplification_blocked; /* a server that may not send: no PTO until it may */
    uint64_t idle_since_ns;        /* the last ACK, PTO or discarded space: what the PTO of a client
                                      without anything in flight counts from */
    uint64_t confirmed_at_ns;      /* with is_confirmed */
    uint64_t peer_ack_delay_ns_max;
    uint64_t acked_after_ns; /* of the last sample of the round trip; 0:
                                sp_conn_take_acked_after_ns() has taken it */
    struct sp_qlog *qlog;    /* borrowed; NULL: nothing is recorded */
    /* Counted for statistics. */
    uint64_t lost_count;
    uint64_t spurious_count;
    uint64_t persistent_count;
};

/* Returns the path of packets in flight: it is kept as long as there are any. */
static inline struct sp_loss_path *sp_loss_path_of(const struct sp_loss *loss, uint32_t index)
{
    SB_ASSERT(index < SP_PATHS_MAX && loss->paths[index] != NULL);
    return loss->paths[index];
}

/* Returns which space it is. */
static inline uint32_t sp_loss_space_index(const struct sp_loss *loss,
                                           const struct sp_loss_space *space)
{
    uint32_t i = 0;
    while (i < SP_SPACE_APP && loss->spaces[i] != space)
        i++;
    return i;
}

/* Returns how many packets have left after `pn`, up to `later_pn`. */
static inline uint64_t sp_loss_distance(const struct sp_loss_space *space, uint64_t pn,
                                        uint64_t later_pn)
{
    uint64_t numbers = later_pn - pn;
    return numbers - (space->skipped_pn - pn < numbers);
}

/* Returns the number of the packet that left, or will leave, after `pn`. */
static inline uint64_t sp_loss_number_after(const struct sp_loss_space *space, uint64_t pn)
{
    return pn + 1 + (pn + 1 == space->skipped_pn);
}

/* Records that a packet was declared lost, if anybody wants to know. */
static inline void sp_loss_trace(const struct sp_loss *loss, const struct sp_loss_space *space,
                                 uint64_t pn, enum sp_qlog_loss cause)
{
    SB_PROBE3(packet_lost, loss, pn, cause);
    if (SB_UNLIKELY(loss->qlog != NULL))
        sp_qlog_numbers(loss->qlog, SP_QLOG_LOST,
                        (uint64_t[]){sp_loss_space_index(loss, space), pn, cause}, 3);
}

/* Records packets that were acknowledged for the first time: bit n of `bits` is `first_pn` + n. */
static inline void sp_loss_trace_acked(const struct sp_loss *loss,
                                       const struct sp_loss_space *space, uint64_t first_pn,
                                       uint32_t bits)
{
    if (SB_UNLIKELY(loss->qlog != NULL) && bits != 0)
        sp_qlog_numbers(loss->qlog, SP_QLOG_ACKED,
                        (uint64_t[]){sp_loss_space_index(loss, space), first_pn, bits}, 3);
}

/* What an event settled.  Frames are the receiver's. */
struct sp_loss_outcome {
    struct sp_sent_frame *acked; /* in the order of acknowledgment */
    struct sp_sent_frame *lost;
    enum sp_space lost_space; /* on a deadline: of `lost` */
    bool acked_any;
    bool probe; /* a PTO: send one or two ack-eliciting packets in `probe_space` */
    enum sp_space probe_space;
};

/* Makes a path of which nothing is known.  `index` is below SP_PATHS_MAX. */
void sp_loss_path_init(struct sp_loss_path *path, uint32_t index, const struct sp_cc_args *cc);

/* Ends the use of ECT(1) where the marks fail, or the controller is not scalable: a scalable one
 * needs them, and only such a one may send it.  [RFC9331 4.3] */
void sp_loss_path_watch_l4s(struct sp_loss_path *path);

/* `blocks` and `path`, which is the first path in use, are borrowed.  `handshake_spaces`: memory
 * for the Initial and the Handshake space, borrowed until these are discarded.  The loss must not
 * be moved. */
void sp_loss_init(struct sp_loss *loss, struct sp_loss_space handshake_spaces[SP_SPACE_APP],
                  struct sb_store *blocks, struct sp_loss_path *path, bool is_pacing);

/* Limits the rate of the pacer to `bytes_per_s`, on every path; 0: no more.  `is_pacing`: whether
 * there is pacing without a limit; with one there always is. */
void sp_loss_set_limit(struct sp_loss *loss, uint64_t bytes_per_s, bool is_pacing, uint64_t now_ns);

/* Adapts the pacer of the path in use to the congestion controller and the limit, at `now_ns`. */
void sp_loss_pace(struct sp_loss *loss, uint64_t now_ns);

/* Records that the next packet of `space` left.  sp_sent_reserve() has been called. */
void sp_loss_on_sent(struct sp_loss *loss, enum sp_space space, struct sp_sent_packet *packet);

/* Uses up the next packet number of the application space without a packet, so that a peer that
 * acknowledges what it has not received is found out.  [RFC9000 21.4]  Returns false, and skips
 * none, until what was sent after the number that was skipped before has been acknowledged: so one
 * number at a time has to be remembered. */
bool sp_loss_skip(struct sp_loss *loss);

/* Does the work of sp_loss_on_sent() that is left for ack-eliciting packets which are recorded in
 * `sent` already: `bytes` of them together. */
void sp_loss_on_sent_bytes(struct sp_loss *loss, enum sp_space space, uint64_t bytes,
                           uint64_t now_ns);

/* Processes an ACK frame.  Returns SP_OK, or PROTOCOL_VIOLATION for a packet that was never sent:
 * one of a number that is to come, or that was skipped last.  [RFC9000 13.1]  `ack_delay_ns`: the
 * delay that the peer reported.  `arrived_ns`: when the packet with the frame arrived.  Fills
 * `*ret` in either case. */
SB_MUST_USE enum sp_err sp_loss_on_ack(struct sp_loss *loss, enum sp_space space,
                                       const struct sp_frame_ack *ack, uint64_t ack_delay_ns,
                                       uint64_t arrived_ns, struct sp_loss_outcome *ret);

/* Returns what is left of the burst without pacing. */
uint64_t sp_loss_burst(const struct sp_loss *loss, uint64_t now_ns);

/* Returns the bytes that may be sent now: those that the congestion window has room for, and
 * without pacing no more than one burst.  [RFC9002 7.7]
 *
 *     burst = max(initial window, 2 * bytes that the last ACKs have acknowledged)
 *
 * The path has taken as much as they acknowledge a round trip ago, and slow start sends twice that.
 * After silence a burst is the initial window. */
static inline uint64_t sp_loss_room(const struct sp_loss *loss, uint64_t now_ns)
{
    uint64_t room = sp_cc_room(&loss->path->cc);
    if (loss->is_pacing)
        return room;
    return SB_MIN(room, sp_loss_burst(loss, now_ns));
}

/* [RFC9002 6.2.1, A.8]  SB_NEVER without anything to wait for. */
uint64_t sp_loss_deadline_ns(const struct sp_loss *loss);
/* `heard_ns`: until when the ACKs that arrived have been received; now_ns at the latest.  What is
 * late by then is lost, and congestion control reacts to that at `now_ns`. */
void sp_loss_on_deadline(struct sp_loss *loss, uint64_t now_ns, uint64_t heard_ns,
                         struct sp_loss_outcome *ret);

/* A packet has come at `now_ns`, the first one since `before_ns`.  After a silence of a PTO or more
 * the path may be back: the back-off begins again, so that a probe leaves now if its time was long.
 * A peer whose packets come all the time, while ours get lost, changes nothing. */
void sp_loss_on_heard(struct sp_loss *loss, uint64_t before_ns, uint64_t now_ns);

/* Returns the PTO of the application space, for timeouts that are multiples of it. */
uint64_t sp_loss_pto_ns(const struct sp_loss *loss);

/* Makes `path` the one in use.  What is in flight on the one before goes on to count there. */
void sp_loss_use(struct sp_loss *loss, struct sp_loss_path *path);
/* The path in use leads to another port of the peer from now on.  Losses of earlier packets are no
 * sign of congestion: they went to the old one. */
void sp_loss_on_moved(struct sp_loss *loss);
/* Declares all packets in flight on a path lost, without telling congestion control: one that was
 * left and leads nowhere, so that nothing will ever be acknowledged.  Returns their frames. */
struct sp_sent_frame *sp_loss_forget_path(struct sp_loss *loss, uint32_t index);
/* Forgets a path on which nothing is in flight any more. */
void sp_loss_remove(struct sp_loss *loss, const struct sp_loss_path *path);

/* Forgets a space: its keys are gone.  The frames come out as neither acked nor
 * lost; the caller only frees them.  [RFC9002 6.4] */
struct sp_sent_frame *sp_loss_discard(struct sp_loss *loss, enum sp_space space);

/* Declares all packets of `space` lost without telling congestion control: after a Retry
 * or Version Negotiation, which say that the server has kept nothing. */
struct sp_sent_frame *sp_loss_forget(struct sp_loss *loss, enum sp_space space);

/* Does a part of sp_loss_forget(): at most `count_max` packets, the oldest.  Returns their frames,
 * and their number in `*ret_count`: less than `count_max` if there are no more. */
struct sp_sent_frame *sp_loss_forget_some(struct sp_loss *loss, enum sp_space space,
                                          uint32_t count_max, uint32_t *ret_count);

void sp_loss_check(const struct sp_loss *loss);

#endif

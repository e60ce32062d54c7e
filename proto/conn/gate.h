/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_GATE_H
#define SP_CONN_GATE_H

#include "proto/conn/fill.h"
#include "proto/conn/impl.h"
#include "proto/conn/messages.h"
#include "proto/conn/paths.h"

/* The conditions of sending, each written once.
 *
 * conn/send.c and conn/run.c decide by them what to send.  conn/send_wait.c explains by them why
 * nothing is sent.  No function here changes the connection. */

/* Packets in a row without an acknowledgment: a quarter of the numbers that four bytes can encode.
 */
#define SP_GATE_PN_OPEN_MAX (UINT64_C(1) << 30)

/* A host holds trains for no longer than this: ACKs wait with them. */
#define SP_GATE_AHEAD_NS_MAX (4 * SB_MS)

/* Returns whether the keys of `space` may seal no more packets.  Keys of the handshake are never
 * updated, so the next packet number counts their packets.  [RFC9001 6.6] */
static inline bool sp_gate_is_exhausted(const struct sp_conn *conn, enum sp_space space)
{
    const struct sp_loss_space *s = conn->loss.spaces[space];
    if (SB_UNLIKELY(s->sent.next_pn >= SP_GATE_PN_OPEN_MAX)) {
        /* [RFC9000 12.3] The last numbers are not used: a train must not pass their end. */
        if (s->sent.next_pn >= SP_PN_MAX - SP_TRAIN_COUNT_MAX)
            return true;
        /* [RFC9000 17.1] A peer that acknowledges nothing could not decode the numbers. */
        uint64_t known = s->largest_acked == SB_VARINT_NONE ? 0 : s->largest_acked;
        if (s->sent.next_pn - known >= SP_GATE_PN_OPEN_MAX)
            return true;
    }
    if (space == SP_SPACE_APP && !sp_conn_sends_early(conn))
        return sp_keyphase_is_exhausted(&conn->keys);
    struct sp_key_limits limits = conn->protect.ops->limits(sp_conn_write_key(conn, space));
    return s->sent.next_pn >= limits.seal_count_max;
}

/* Returns whether an open connection cannot go on: memory has run out, or its key may seal no more
 * packets and cannot be updated yet.  [RFC9001 6.6]  sp_conn_on_deadline() ends it. */
static inline bool sp_gate_is_ending(const struct sp_conn *conn)
{
    if (conn->is_out_of_memory)
        return true;
    return conn->keys.write != NULL && sp_gate_is_exhausted(conn, SP_SPACE_APP) &&
           !sp_keyphase_wants_update(&conn->keys, conn->handshake_state >= SP_HANDSHAKE_CONFIRMED);
}

static inline bool sp_gate_has_key(const struct sp_conn *conn, enum sp_space space)
{
    return sp_conn_write_key(conn, space) != NULL;
}

/* Returns whether a packet of `space` can be sealed. */
static inline bool sp_gate_can_seal(const struct sp_conn *conn, enum sp_space space)
{
    return sp_gate_has_key(conn, space) && !sp_gate_is_exhausted(conn, space);
}

/* Returns whether an ACK or a probe is due: these ignore the congestion window and the pacer.
 * [RFC9002 7.5] */
static inline bool sp_gate_is_due(const struct sp_conn *conn, enum sp_space space, uint64_t now_ns)
{
    const struct sp_conn_space *s = conn->spaces[space];
    return sp_ack_is_due(&s->ack, now_ns) || s->probe_count > 0;
}

/* Returns whether a datagram of `size` bytes would exceed the amplification limit of an address
 * that is not validated.  [RFC9000 8, 8.1] */
static inline bool sp_gate_is_amplifying(const struct sp_conn *conn, size_t size)
{
    return sp_path_budget(conn->path) < size;
}

/* Returns the size of the datagram with a CONNECTION_CLOSE, at most.  After the handshake it may be
 * small, for an address to which little may be sent. */
static inline size_t sp_gate_close_size(const struct sp_conn *conn)
{
    if (conn->handshake_state < SP_HANDSHAKE_COMPLETE)
        return conn->datagram_size; /* more than 1,200 bytes only for a long Retry token */
    uint64_t budget = SB_MAX(sp_path_budget(conn->path), (uint64_t)SP_BUILD_PACKET_SIZE_MIN);
    return (size_t)SB_MIN(budget, (uint64_t)SP_DATAGRAM_SIZE_MIN);
}

/* Returns what holds back frames other than ACKs: SP_WAIT_CWND, SP_WAIT_PACER, SP_WAIT_HELD or
 * SP_WAIT_NONE. */
static inline enum sp_wait sp_gate_congestion(const struct sp_conn *conn, uint64_t now_ns)
{
    if (sp_loss_room(&conn->loss, now_ns) < conn->datagram_size)
        return SP_WAIT_CWND;
    if (!sp_pacer_is_open(&conn->loss.path->pacer, now_ns))
        return SP_WAIT_PACER;
    return SB_UNLIKELY(conn->is_held) ? SP_WAIT_HELD : SP_WAIT_NONE;
}

/* One packet of the handshake may always be in flight: the window may be full of packets of
 * later spaces, which the peer cannot open, and so acknowledge, without it.  More than
 * one would not be needed: this one's acknowledgment or PTO brings the next. */
static inline bool sp_gate_is_first_of_handshake(const struct sp_conn *conn, enum sp_space space)
{
    return space != SP_SPACE_APP && conn->loss.spaces[space]->sent.eliciting_count == 0;
}

/* Returns whether frames of `space` may be sent.  `congestion`: the result of
 * sp_gate_congestion(). */
static inline bool sp_gate_may_fill(const struct sp_conn *conn, enum sp_space space,
                                    enum sp_wait congestion)
{
    return congestion == SP_WAIT_NONE || sp_gate_is_first_of_handshake(conn, space);
}

/* Returns whether `space` has a packet to send now, apart from the amplification limit. */
static inline bool sp_gate_wants_packet(const struct sp_conn *conn, enum sp_space space,
                                        bool may_fill, uint64_t now_ns)
{
    return sp_gate_can_seal(conn, space) &&
           (sp_gate_is_due(conn, space, now_ns) || (may_fill && sp_conn_has_frames(conn, space)));
}

/* Returns whether some space has frames to send. */
static inline bool sp_gate_has_frames(const struct sp_conn *conn)
{
    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++)
        if (sp_conn_has_frames(conn, (enum sp_space)i))
            return true;
    return false;
}

/* Returns whether the next packets have more than ACKs. */
static inline bool sp_gate_elicits(const struct sp_conn *conn, uint64_t now_ns)
{
    enum sp_wait congestion = sp_gate_congestion(conn, now_ns);
    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++) {
        enum sp_space space = (enum sp_space)i;
        if (sp_gate_can_seal(conn, space) &&
            (conn->spaces[i]->probe_count > 0 ||
             (sp_gate_may_fill(conn, space, congestion) && sp_conn_has_frames(conn, space))))
            return true;
    }
    return false;
}

/* Returns how a train is to be marked: from the first packet on.  [RFC9000 13.4.2]  But until the
 * path is known to pass marks on, ACKs alone go without.  If they got lost, nobody would notice,
 * and their peer might wait for them for ever. */
static inline enum sp_ecn sp_gate_mark(const struct sp_conn *conn, uint64_t now_ns)
{
    const struct sp_ecn_path *ecn = &conn->loss.path->ecn;
    bool is_test = ecn->state == SP_ECN_TESTING;
    return SB_UNLIKELY(is_test) && !sp_gate_elicits(conn, now_ns) ? SP_ECN_NOT : sp_ecn_mark(ecn);
}

/* Returns whether a PMTU probe is to be sent.  It ignores the congestion window and the pacer: it
 * is one datagram, and its loss says nothing about congestion.  [RFC9000 14.4] */
static inline bool sp_gate_wants_mtu_probe(const struct sp_conn *conn)
{
    const struct sp_sent *sent = &conn->loss.app.sent;
    return sp_pmtu_is_due(&conn->path->pmtu) && conn->handshake_state >= SP_HANDSHAKE_COMPLETE &&
           conn->path->is_valid && sp_gate_can_seal(conn, SP_SPACE_APP) &&
           sent->out_count - sent->eliciting_count < SP_ACKS_SENT_MAX; /* its record is kept */
}

/* Returns whether a datagram that validates a path is to be sent.  It ignores the congestion window
 * and the pacer, which are of another path mostly, but no address gets more than it may. */
static inline bool sp_gate_wants_path_probe(const struct sp_conn *conn)
{
    return conn->wants_path_probe && sp_gate_can_seal(conn, SP_SPACE_APP) &&
           !sp_gate_is_ending(conn) && sp_conn_path_to_probe(conn) != NULL;
}

/* Returns the size of the next datagram.  After the first PTO, or once large datagrams are
 * suspected to get lost, the last probe is small: the path may have ceased to take large ones, and
 * its acknowledgment shows that.  [RFC9000 14.3]  The one before it is large, so that an outage is
 * no such sign: both get through after that. */
static inline size_t sp_gate_datagram_size(const struct sp_conn *conn)
{
    bool is_probing =
        conn->app.probe_count == 1 && (conn->loss.pto_count > 1 || conn->loss.path->is_suspected);
    /* A PATH_RESPONSE that is lost for its datagram's size would be lost each time: its peer sends
     * nothing by this path before it has come. */
    bool is_response = conn->path->response_count > 0;
    return is_probing || is_response ? SP_DATAGRAM_SIZE_MIN : conn->datagram_size;
}

/* Returns whether only bytes of streams are to be sent. */
static inline bool sp_gate_is_plain(const struct sp_conn *conn)
{
    const struct sp_conn_space *s = &conn->app;
    return conn->handshake_state >= SP_HANDSHAKE_CONFIRMED && conn->path->is_valid &&
           !conn->is_out_of_memory && s->probe_count == 0 && !sp_ack_is_pending(&s->ack) &&
           !sp_crypto_stream_wants_send(&s->crypto) && !sp_conn_wants_message(conn) &&
           !sp_conn_wants_control(conn);
}

/* Returns how many full datagrams of 1-RTT packets the congestion window, the pacer and the key
 * allow. */
static inline uint64_t sp_gate_run_count(const struct sp_conn *conn, uint64_t now_ns)
{
    size_t size = conn->datagram_size;
    uint64_t count = sp_loss_room(&conn->loss, now_ns) / size;
    if (SB_UNLIKELY(conn->is_held))
        return 0;
    uint64_t credit = sp_pacer_credit_bytes(&conn->loss.path->pacer, now_ns);
    /* The last datagram may exceed the credit. */
    count = SB_MIN(count, credit / size + (credit % size != 0));
    return SB_MIN(count, conn->keys.limits.seal_count_max - conn->keys.write_count);
}

/* Returns whether `space` can carry a CONNECTION_CLOSE that the peer may be able to read. */
static inline bool sp_gate_may_close(const struct sp_conn *conn, enum sp_space space)
{
    if (!sp_gate_can_seal(conn, space))
        return false;
    /* A server whose Handshake packets we read has Handshake keys. */
    if (space == SP_SPACE_INITIAL && !sp_conn_is_server(conn))
        return sp_conn_write_key(conn, SP_SPACE_HANDSHAKE) == NULL;
    return space != SP_SPACE_APP || conn->handshake_state >= SP_HANDSHAKE_COMPLETE;
}

/* Returns for how long the host may hold a train of the path in use.  It is at most half a round
 * trip, so that samples of it stay usable if the host does not hold trains after all. */
static inline uint32_t sp_gate_ahead_ns(const struct sp_conn *conn, const struct sp_train *train)
{
    const struct sp_rtt *rtt = &conn->loss.path->rtt;
    uint64_t half_ns = sp_rtt_has_sample(rtt) ? rtt->min_ns / 2 : 0;
    return (uint32_t)SB_MIN(SB_MIN(train->ahead_ns, half_ns), SP_GATE_AHEAD_NS_MAX);
}

/* Returns when to try again if the pacer prevents sending.  Where the host holds trains until they
 * are due that is a while before: half of what it may hold them is left then. */
static inline uint64_t sp_gate_pacer_wake_ns(const struct sp_conn *conn)
{
    const struct sp_pacer *pacer = &conn->loss.path->pacer;
    if (SB_LIKELY(conn->ahead_ns == 0))
        return sp_pacer_wake_at_ns(pacer);
    uint32_t count = sp_pacer_ahead_count(pacer, conn->datagram_size);
    uint64_t at_ns = sp_pacer_credit_at_ns(pacer, count * conn->datagram_size);
    return sb_time_since(at_ns, conn->ahead_ns / 2);
}

/* Returns how many datagrams of full size still fit into `train`. */
static inline uint32_t sp_gate_room_count(const struct sp_conn *conn, const struct sp_train *train)
{
    uint32_t count_max = SB_MIN(train->count_max, (uint32_t)SP_TRAIN_COUNT_MAX);
    return (uint32_t)SB_MIN((train->capacity - train->size) / conn->datagram_size,
                            (size_t)(count_max - train->count));
}

#endif

/* SPDX-License-Identifier: MIT */
#include "proto/conn/impl.h"

/* Deadlines: sp_conn_deadline_ns() returns the next, sp_conn_on_deadline() acts on those that have
 * passed. */

#include "proto/base/time.h"
#include "proto/conn/alive.h"
#include "proto/conn/close.h"
#include "proto/conn/early.h"
#include "proto/conn/gate.h"
#include "proto/conn/memory.h"
#include "proto/conn/messages.h"
#include "proto/conn/mtu.h"
#include "proto/conn/paths.h"
#include "proto/conn/recovery.h"
#include "proto/conn/rest.h"
#include "proto/conn/space.h"
#include "proto/conn/streams.h"
#include "proto/conn/trace.h"

/* [RFC9002 6.2.4] */
#define PROBES_PER_PTO 2
#define ECN_TEST_PTOS  3 /* [RFC9000 A.4] */

#define DISCARD_INTERVAL_NS SB_MS

#define UNPROVEN_NS (10 * SB_S) /* as long as a handshake takes by default */

static uint64_t idle_deadline(const struct sp_conn *conn)
{
    if (conn->idle_timeout_ns == 0)
        return SB_NEVER;
    /* [RFC9000 10.1] Not before three PTOs have had their chance. */
    uint64_t timeout_ns = SB_MAX(conn->idle_timeout_ns, 3 * sp_loss_pto_ns(&conn->loss));
    return sb_time_add(conn->idle_from_ns, timeout_ns);
}

/* Anybody can begin a handshake in anybody's name: without a time-out of the configuration it ends
 * as well, unless the client's address is proven. */
static uint64_t handshake_deadline(const struct sp_conn *conn)
{
    uint64_t timeout_ns = conn->config->handshake_timeout_ns;
    if (conn->handshake_state >= SP_HANDSHAKE_COMPLETE)
        return SB_NEVER;
    if (timeout_ns == 0 && sp_conn_is_server(conn) && !conn->path->is_valid)
        timeout_ns = UNPROVEN_NS;
    return timeout_ns == 0 ? SB_NEVER : sb_time_add(conn->handshake->start_ns, timeout_ns);
}

/* An ACK that is due but lacks memory for its record, or may not be sent to an address that is not
 * proven, has a deadline that has passed.  [RFC9000 8.1] */
static uint64_t ack_deadline(const struct sp_conn *conn)
{
    bool is_blocked = conn->loss.is_amplification_blocked ||
                      (!conn->path->is_valid && sp_gate_is_amplifying(conn, conn->datagram_size));
    return is_blocked || conn->lacks_records ? SB_NEVER : conn->app.ack.deadline_ns;
}

/* When the peer has been silent for too long. */
static uint64_t silence_deadline(const struct sp_conn *conn)
{
    uint64_t deadline_ns = sp_loss_deadline_ns(&conn->loss);
    deadline_ns = sb_time_min(deadline_ns, handshake_deadline(conn));
    deadline_ns = sb_time_min(deadline_ns, idle_deadline(conn));
    return sb_time_min(deadline_ns, sp_conn_alive_deadline_ns(conn));
}

uint64_t sp_conn_own_deadline_ns(const struct sp_conn *conn)
{
    if (conn->state == SP_CONN_DRAINED)
        return SB_NEVER;
    if (conn->state != SP_CONN_OPEN)
        return conn->lacks_records ? sb_time_min(conn->end_at_ns, conn->retry_at_ns)
                                   : conn->end_at_ns;
    if (sp_gate_is_ending(conn))
        return 0;

    uint64_t deadline_ns = ack_deadline(conn);
    deadline_ns = sb_time_min(deadline_ns, conn->keys.prev_until_ns);
    deadline_ns = sb_time_min(deadline_ns, sp_conn_early_deadline_ns(conn));
    deadline_ns = sb_time_min(deadline_ns, sp_conn_messages_expire_ns(conn));
    deadline_ns = sb_time_min(deadline_ns, conn->paths_at_ns);
    deadline_ns = sb_time_min(deadline_ns, conn->rest_at_ns);
    if (conn->is_pacer_blocked)
        deadline_ns = sb_time_min(deadline_ns, sp_gate_pacer_wake_ns(conn));
    if (SB_UNLIKELY(conn->pieces.discarded != NULL))
        deadline_ns = sb_time_min(deadline_ns, conn->discard_at_ns);
    if (SB_UNLIKELY(conn->lacks_records) || sp_conn_is_credit_held(conn))
        deadline_ns = sb_time_min(deadline_ns, conn->retry_at_ns);
    return deadline_ns;
}

uint64_t sp_conn_deadline_ns(const struct sp_conn *conn)
{
    uint64_t deadline_ns = sp_conn_own_deadline_ns(conn);
    return conn->state == SP_CONN_OPEN ? sb_time_min(deadline_ns, silence_deadline(conn))
                                       : deadline_ns;
}

bool sp_conn_must_listen(const struct sp_conn *conn, uint64_t now_ns, uint64_t heard_ns)
{
    return conn->state == SP_CONN_OPEN && silence_deadline(conn) > heard_ns &&
           sp_conn_own_deadline_ns(conn) > now_ns;
}

static void probe(struct sp_conn *conn, enum sp_space space)
{
    conn->spaces[space]->probe_count = PROBES_PER_PTO;
    sp_conn_retransmit_probed(conn, space, PROBES_PER_PTO);
}

static void on_probe(struct sp_conn *conn, enum sp_space space)
{
    conn->stats.ptos++;
    if (conn->handshake_state < SP_HANDSHAKE_CONFIRMED || conn->loss.pto_count >= ECN_TEST_PTOS)
        sp_ecn_pause(&conn->loss.path->ecn);
    probe(conn, space);
    /* [RFC9002 6.2.4] The peer may lack the keys of one of the two, or have lost a datagram with
     * packets of both.  1-RTT packets go along once only: the peer cannot use them alone, and until
     * the handshake is confirmed no key replaces the one that they use up. */
    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES && space != SP_SPACE_APP; i++)
        if (i != (uint32_t)space && conn->loss.spaces[i]->sent.eliciting_count > 0 &&
            (i != SP_SPACE_APP || conn->loss.pto_count == 1))
            probe(conn, (enum sp_space)i);
}

static void on_loss_deadline(struct sp_conn *conn, uint64_t now_ns, uint64_t heard_ns)
{
    struct sp_loss_outcome outcome;
    sp_loss_on_deadline(&conn->loss, now_ns, heard_ns, &outcome);
    if (outcome.probe)
        on_probe(conn, outcome.probe_space);
    else
        sp_conn_on_outcome(conn, outcome.lost_space, &outcome, now_ns);
}

/* Ends a connection that cannot go on.  An exhausted key cannot even seal a CONNECTION_CLOSE. */
static void end_now(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_close close = {
        .kind = SP_CLOSE_TRANSPORT, .is_local = true, .error = SP_ERR_AEAD_LIMIT_REACHED};
    sp_conn_check_memory(conn, now_ns);
    sp_conn_end(conn, &close, SP_CONN_DRAINING, now_ns);
}

/* Frees some discarded pieces, also if the peer sends nothing more. */
static void discard_some(struct sp_conn *conn, uint64_t now_ns)
{
    uint32_t steps = SP_DISCARDS_PER_TIMER;
    if (conn->pieces.discarded == NULL || conn->discard_at_ns > now_ns)
        return;
    sp_conn_discard_some(conn, &steps);
    conn->discard_at_ns = sb_time_add(now_ns, DISCARD_INTERVAL_NS);
}

/* Paths that were left do not wait for acknowledgments any more: what was sent there is sent again,
 * and their places are for others. */
static void give_up_left_paths(struct sp_conn *conn)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++) {
        const struct sp_conn_path *path = conn->paths[i];
        if (path != NULL && path->state == SP_PATH_LEFT && path->left_until_ns == 0 &&
            path->loss.cc.in_flight_bytes > 0)
            sp_conn_retransmit_all(conn, SP_SPACE_APP, sp_loss_forget_path(&conn->loss, i));
    }
    sp_conn_paths_sweep(conn);
}

/* Acts on deadlines of paths.  Returns false if the connection has ended. */
static bool on_paths_deadline(struct sp_conn *conn, uint64_t now_ns)
{
    struct sp_close close = {
        .kind = SP_CLOSE_TRANSPORT, .is_local = true, .error = SP_ERR_NO_VIABLE_PATH};
    if (conn->paths_at_ns > now_ns)
        return true;
    if (!sp_conn_paths_on_time(conn, now_ns)) {
        /* [RFC9000 9.3.2] There is nobody to send a CONNECTION_CLOSE to. */
        sp_conn_end(conn, &close, SP_CONN_DRAINED, now_ns);
        return false;
    }
    give_up_left_paths(conn);
    return true;
}

/* Returns until when the first CONNECTION_CLOSE may leave, after the time to close: as long as the
 * peer may wait for it, if only the host keeps it back; 0: not at all. */
static uint64_t close_deadline(const struct sp_conn *conn)
{
    bool is_unsent = conn->state == SP_CONN_CLOSING && conn->close_packet == SP_CLOSE_PACKET_FIRST;
    bool is_blocked = conn->lacks_records || sp_gate_is_amplifying(conn, sp_gate_close_size(conn));
    return is_unsent && !is_blocked ? idle_deadline(conn) : 0;
}

static void on_deadline(struct sp_conn *conn, uint64_t now_ns, uint64_t heard_ns)
{
    if (conn->state == SP_CONN_DRAINED)
        return;
    if (conn->state != SP_CONN_OPEN) {
        if (conn->end_at_ns <= now_ns)
            sp_conn_on_end_time(conn, close_deadline(conn), now_ns);
        else if (conn->retry_at_ns <= now_ns)
            conn->lacks_records = false;
        return;
    }

    struct sp_close close = {.is_local = true};
    if (idle_deadline(conn) <= heard_ns) {
        close.kind = SP_CLOSE_IDLE;
        sp_conn_end(conn, &close, SP_CONN_DRAINED, now_ns);
        return;
    }
    if (handshake_deadline(conn) <= heard_ns) {
        close.kind = SP_CLOSE_HANDSHAKE_TIMEOUT;
        sp_conn_end(conn, &close, SP_CONN_DRAINED, now_ns);
        return;
    }
    if (conn->keys.prev_until_ns <= now_ns)
        sp_keyphase_drop_prev(&conn->keys);
    sp_conn_early_on_deadline(conn, now_ns);
    if (conn->is_pacer_blocked && (sp_pacer_is_open(&conn->loss.path->pacer, now_ns) ||
                                   sp_gate_pacer_wake_ns(conn) <= now_ns))
        conn->is_pacer_blocked = false;
    if (conn->retry_at_ns <= now_ns) {
        conn->lacks_records = false;
        sp_conn_decide_credit(conn);
        if (conn->holds_credit)
            sp_conn_hold_credit(conn, now_ns);
    }
    discard_some(conn, now_ns);
    sp_conn_expire_messages(conn, now_ns);
    if (!on_paths_deadline(conn, now_ns))
        return;
    if (sp_conn_alive_deadline_ns(conn) <= heard_ns)
        sp_conn_stay_alive(conn, now_ns);
    if (sp_loss_deadline_ns(&conn->loss) <= heard_ns)
        on_loss_deadline(conn, now_ns, heard_ns);
    if (sp_gate_is_ending(conn))
        end_now(conn, now_ns);
    else
        sp_conn_rest_on_deadline(conn, now_ns);
}

void sp_conn_on_deadline(struct sp_conn *conn, uint64_t now_ns)
{
    sp_conn_on_deadline_heard(conn, now_ns, now_ns);
}

void sp_conn_on_deadline_heard(struct sp_conn *conn, uint64_t now_ns, uint64_t heard_ns)
{
    sp_conn_trace_begin(conn, now_ns);
    on_deadline(conn, now_ns, heard_ns);
    if (SB_UNLIKELY(conn->path_count > 1))
        sp_conn_paths_sweep(conn);
    sp_conn_trace_end(conn);
    if (sp_conn_handshake_is_over(conn))
        sp_conn_end_handshake(conn);
}

/* What the system has refused got lost for certain: probes show how much of it at once. */
void sp_conn_on_too_large(struct sp_conn *conn, size_t size, uint64_t now_ns)
{
    if (conn->state != SP_CONN_OPEN || !sp_conn_mtu_refused(conn, size, now_ns))
        return;
    if (conn->loss.app.sent.eliciting_count > 0)
        probe(conn, SP_SPACE_APP);
    sp_conn_check_memory(conn, now_ns);
}

/* SPDX-License-Identifier: MIT */
#include "proto/conn/send_wait.h"

/* Why a connection sends nothing, and what ends that.
 *
 * The conditions are in conn/gate.h, and the sender uses them too, so that the reason and the sent
 * packets cannot differ.  conn/send.c asserts in debug builds that there is a reason whenever it
 * stops, and that the connection's deadline covers its timer.  test/sim/oracle_wait.c checks that
 * the event that a reason waits for can still come. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/alive.h"
#include "proto/conn/gate.h"
#include "proto/conn/memory.h"
#include "proto/conn/rest.h"
#include "proto/conn/schedule.h"
#include "proto/conn/trace.h"

/* A train that the window cuts short costs as much as a full one, and the next ACK frees room for
 * more.  So if only bytes of streams are to be sent, and most of the window is in flight, waiting
 * for that ACK pays.  Waiting for credit of the pacer pays too, because it grows by itself.  TCP
 * does this for its segmentation offload. */
enum sp_wait sp_gate_train(const struct sp_conn *conn, uint32_t room_count, uint64_t now_ns)
{
    const struct sp_cc *cc = &conn->loss.path->cc;
    struct sb_link *link = sp_schedule_first(conn);
    if (link == NULL || !sp_gate_is_plain(conn))
        return SP_WAIT_NONE;
    const struct sp_stream *stream = SB_CONTAINER_OF(link, struct sp_stream, send_link);
    uint64_t fresh = sp_stream_send_fresh(&stream->send, conn->max_data - conn->data_sent);
    uint64_t full = SB_MIN((uint64_t)room_count * conn->datagram_size, fresh);

    if (sp_cc_room(cc) < SB_MIN(full, cc->cwnd_bytes / 4))
        return SP_WAIT_TRAIN;
    bool is_paced = sp_pacer_credit_bytes(&conn->loss.path->pacer, now_ns) < full &&
                    sp_pacer_wake_at_ns(&conn->loss.path->pacer) > now_ns;
    return is_paced ? SP_WAIT_PACER : SP_WAIT_NONE;
}

/* Returns the reason why no packet of `space` is sent.  SP_WAIT_IDLE: there is none to send. */
static enum sp_wait space_wait(const struct sp_conn *conn, enum sp_space space, uint64_t now_ns)
{
    if (!sp_gate_is_due(conn, space, now_ns) && !sp_conn_has_frames(conn, space))
        return SP_WAIT_IDLE;
    if (!sp_gate_has_key(conn, space))
        return SP_WAIT_KEY;
    if (sp_gate_is_exhausted(conn, space)) /* the next sp_conn_send() updates a 1-RTT key */
        return space == SP_SPACE_APP && !sp_conn_sends_early(conn) ? SP_WAIT_NONE
                                                                   : SP_WAIT_EXHAUSTED;
    if (sp_gate_is_amplifying(conn, conn->datagram_size))
        return SP_WAIT_AMPLIFICATION;
    enum sp_wait congestion = sp_gate_congestion(conn, now_ns);
    if (!sp_gate_wants_packet(conn, space, sp_gate_may_fill(conn, space, congestion), now_ns))
        return congestion;
    /* Nothing else prevents sending: if a packet was not sent, it lacked memory for its record. */
    return conn->lacks_records ? SP_WAIT_MEMORY : SP_WAIT_NONE;
}

/* Returns which flow control limit holds back bytes of streams, or SP_WAIT_IDLE. */
static enum sp_wait credit_wait(const struct sp_conn *conn)
{
    if (!sb_list_is_empty(&conn->credit_list))
        return SP_WAIT_CONN_CREDIT;
    return sb_list_is_empty(&conn->blocked_list) ? SP_WAIT_IDLE : SP_WAIT_STREAM_CREDIT;
}

/* Returns the reason why a connection has nothing to send. */
static enum sp_wait quiet_wait(const struct sp_conn *conn)
{
    if (sp_ack_is_pending(&conn->app.ack) && conn->app.ack.deadline_ns != SB_NEVER)
        return conn->loss.is_amplification_blocked ? SP_WAIT_AMPLIFICATION : SP_WAIT_ACK_DELAY;
    return sp_conn_is_credit_held(conn) ? SP_WAIT_MEMORY : credit_wait(conn);
}

static enum sp_wait closing_wait(const struct sp_conn *conn)
{
    if (conn->state != SP_CONN_CLOSING || conn->close_packet == SP_CLOSE_PACKET_NONE)
        return SP_WAIT_CLOSED;
    if (sp_gate_is_amplifying(conn, sp_gate_close_size(conn)))
        return SP_WAIT_AMPLIFICATION;
    return conn->lacks_records ? SP_WAIT_MEMORY : SP_WAIT_NONE;
}

static enum sp_wait open_wait(const struct sp_conn *conn, uint32_t train_count, uint64_t now_ns)
{
    if (sp_gate_is_ending(conn))
        return SP_WAIT_ENDING;
    if (sp_gate_wants_path_probe(conn))
        return conn->lacks_records ? SP_WAIT_MEMORY : SP_WAIT_NONE;
    if (sp_gate_wants_mtu_probe(conn))
        return conn->lacks_records ? SP_WAIT_MEMORY : SP_WAIT_NONE;
    enum sp_wait reason = sp_gate_train(conn, train_count, now_ns);
    if (reason != SP_WAIT_NONE) /* a packet that lacked a record was tried, and is tried again */
        return conn->lacks_records ? SP_WAIT_MEMORY : reason;

    /* A space that can send decides; otherwise the first one that has to wait. */
    reason = SP_WAIT_IDLE;
    for (uint32_t i = sp_conn_first_space(conn); i < SP_SPACES; i++) {
        enum sp_wait wait = space_wait(conn, (enum sp_space)i, now_ns);
        if (wait == SP_WAIT_NONE)
            return wait;
        if (reason == SP_WAIT_IDLE)
            reason = wait;
    }
    return reason != SP_WAIT_IDLE ? reason : quiet_wait(conn);
}

static uint64_t timer_of(const struct sp_conn *conn, enum sp_wait reason, uint64_t now_ns)
{
    switch (reason) {
    case SP_WAIT_NONE:
    case SP_WAIT_ENDING:
        return now_ns;
    case SP_WAIT_CWND:
    case SP_WAIT_TRAIN:
        return sp_loss_deadline_ns(&conn->loss);
    case SP_WAIT_PACER:
        return sp_gate_pacer_wake_ns(conn);
    case SP_WAIT_ACK_DELAY:
        return conn->app.ack.deadline_ns;
    case SP_WAIT_MEMORY:
        return conn->retry_at_ns;
    case SP_WAIT_CLOSED:
        return conn->state == SP_CONN_DRAINED ? SB_NEVER : conn->end_at_ns;
    case SP_WAIT_CONN_CREDIT:
    case SP_WAIT_STREAM_CREDIT:
    case SP_WAIT_IDLE:
        return sp_conn_alive_deadline_ns(conn);
    case SP_WAIT_AMPLIFICATION:
        return conn->state == SP_CONN_OPEN ? conn->paths_at_ns : conn->end_at_ns;
    case SP_WAIT_HELD:
    case SP_WAIT_KEY:
    case SP_WAIT_EXHAUSTED:
        return SB_NEVER;
    }
    SB_ASSERT(false);
}

static enum sp_wait reason_of(const struct sp_conn *conn, uint32_t train_count, uint64_t now_ns)
{
    SB_ASSERT(train_count > 0);
    return conn->state == SP_CONN_OPEN ? open_wait(conn, train_count, now_ns) : closing_wait(conn);
}

/* What is rare, or needs a call of sp_conn_send() that sends nothing, is left to that. */
bool sp_gate_is_through(const struct sp_conn *conn, uint64_t now_ns)
{
    if (conn->handshake_state < SP_HANDSHAKE_CONFIRMED ||
        sp_gate_is_due(conn, SP_SPACE_APP, now_ns) || sp_conn_has_frames(conn, SP_SPACE_APP) ||
        sp_pmtu_is_due(&conn->path->pmtu) || conn->wants_path_probe || !conn->path->is_valid ||
        conn->lacks_records)
        return false;
    return conn->qlog == NULL && conn->ahead_ns == 0 && !conn->is_roused &&
           !conn->keys.is_resting && conn->loss.path->cc.ops->on_app_limited == NULL &&
           !sp_gate_is_ending(conn) && sp_gate_congestion(conn, now_ns) == SP_WAIT_NONE;
}

/* It is asked whenever a connection was served.  Mostly the sender has just seen that there was
 * nothing more to send, and the conditions need not be looked at again. */
enum sp_wait sp_conn_last_wait(const struct sp_conn *conn, uint64_t now_ns)
{
    if (SB_LIKELY(conn->is_through && conn->state == SP_CONN_OPEN)) {
        enum sp_wait reason = quiet_wait(conn);
        SB_DEBUG_ASSERT(reason == reason_of(conn, SB_MAX(conn->room_count, 1), now_ns));
        return reason;
    }
    return reason_of(conn, SB_MAX(conn->room_count, 1), now_ns);
}

struct sp_send_wait sp_conn_send_wait(const struct sp_conn *conn, uint32_t train_count,
                                      uint64_t now_ns)
{
    enum sp_wait reason = reason_of(conn, train_count, now_ns);
    return (struct sp_send_wait){.reason = reason, .at_ns = timer_of(conn, reason, now_ns)};
}

bool sp_gate_is_explained(const struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns)
{
    uint32_t room_count = sp_gate_room_count(conn, train);
    if (room_count == 0)
        return true; /* no datagram fits */
    struct sp_send_wait wait = sp_conn_send_wait(conn, room_count, now_ns);
    return wait.reason != SP_WAIT_NONE && sp_conn_deadline_ns(conn) <= wait.at_ns;
}

bool sp_conn_wake_to_send(struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns)
{
    uint32_t room_count = SB_MAX(sp_gate_room_count(conn, train), 1u);
    enum sp_wait reason = sp_conn_send_wait(conn, room_count, now_ns).reason;
    conn->is_pacer_blocked = reason == SP_WAIT_PACER;
    if (reason != SP_WAIT_NONE)
        return false;
    if (sp_conn_wake(conn, now_ns))
        return true;
    conn->lacks_records = true;
    conn->retry_at_ns = sb_time_add(now_ns, sp_loss_pto_ns(&conn->loss));
    return false;
}

static enum sp_qlog_wait qlog_wait_of(enum sp_wait reason)
{
    switch (reason) {
    case SP_WAIT_NONE:
    case SP_WAIT_IDLE:
    case SP_WAIT_ACK_DELAY:
    case SP_WAIT_ENDING:
    case SP_WAIT_CLOSED:
        return SP_QLOG_WAIT_NONE;
    case SP_WAIT_CWND:
    case SP_WAIT_TRAIN:
        return SP_QLOG_WAIT_CWND;
    case SP_WAIT_PACER:
        return SP_QLOG_WAIT_PACING;
    case SP_WAIT_HELD:
        return SP_QLOG_WAIT_SCHEDULING;
    case SP_WAIT_AMPLIFICATION:
        return SP_QLOG_WAIT_AMPLIFICATION;
    case SP_WAIT_CONN_CREDIT:
        return SP_QLOG_WAIT_CONN_CREDIT;
    case SP_WAIT_STREAM_CREDIT:
        return SP_QLOG_WAIT_STREAM_CREDIT;
    case SP_WAIT_KEY:
    case SP_WAIT_EXHAUSTED:
        return SP_QLOG_WAIT_KEY;
    case SP_WAIT_MEMORY:
        return SP_QLOG_WAIT_MEMORY;
    }
    SB_ASSERT(false);
}

void sp_conn_trace_outcome(struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns)
{
    if (train->count > 0)
        sp_conn_trace_train(conn, train);
    else
        sp_qlog_wait(conn->qlog, qlog_wait_of(sp_conn_last_wait(conn, now_ns)));
}

void sp_conn_note_idle(struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns)
{
    if (sb_list_is_empty(&conn->credit_list) && sb_list_is_empty(&conn->blocked_list) &&
        !conn->lacks_records && sp_gate_congestion(conn, now_ns) == SP_WAIT_NONE &&
        sp_gate_train(conn, sp_gate_room_count(conn, train), now_ns) == SP_WAIT_NONE)
        sp_cc_on_app_limited(&conn->loss.path->cc);
}

const char *sp_wait_name(enum sp_wait reason)
{
    static const char *const names[] = {
        [SP_WAIT_NONE] = "none",
        [SP_WAIT_IDLE] = "idle",
        [SP_WAIT_ACK_DELAY] = "ACK delay",
        [SP_WAIT_CWND] = "congestion window",
        [SP_WAIT_PACER] = "pacer",
        [SP_WAIT_HELD] = "rate limit of the host",
        [SP_WAIT_TRAIN] = "train",
        [SP_WAIT_AMPLIFICATION] = "amplification limit",
        [SP_WAIT_CONN_CREDIT] = "connection credit",
        [SP_WAIT_STREAM_CREDIT] = "stream credit",
        [SP_WAIT_KEY] = "key",
        [SP_WAIT_EXHAUSTED] = "exhausted key",
        [SP_WAIT_MEMORY] = "memory",
        [SP_WAIT_ENDING] = "ending",
        [SP_WAIT_CLOSED] = "closed",
    };
    return names[reason];
}

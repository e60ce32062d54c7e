/* SPDX-License-Identifier: MIT */
#include "proto/conn/alive.h"

/* What keeps a quiet connection from its idle timeout.
 *
 * A sender that the peer's flow control holds back has nothing in flight, and a reader may pause
 * for longer than the idle timeout: so the sender says again that it is blocked, three times in
 * that time.  [RFC9000 4.1]  And an application may ask for PINGs.  [RFC9000 10.1.2]
 *
 * A client that expects more also sends one PING when the server falls silent: from another
 * address, if its NAT has given it one.  PTOs repeat it until it is acknowledged.
 *
 * Packets in flight keep the connection alive by themselves: they are acknowledged, or their PTO
 * sends others.
 *
 * A host may have 100,000 idle connections.  So what is not urgent is due at coarse times that all
 * connections share, and the host wakes up once for many.  Each wait is shortened by
 * a part that differs: after a pause in which all had become due, they do not go on in step. */

#include "proto/base/time.h"
#include "proto/conn/streams.h"

/* Silence after which a client that expects more shows where it is. */
#define HIDDEN_PTOS 3

/* Signs of life per idle timeout: one or two of them may get lost. */
#define PER_IDLE_TIMEOUT 3

/* A connection shows itself up to two of so many parts of its wait too early: one so that
 * connections do not go on in step, and one for a coarse time. */
#define EARLY_PARTS 16

/* Returns whether the application wants a stream that the peer does not allow, or has one of 0-RTT
 * that the peer does not allow any more. */
static bool is_short_of_streams(const struct sp_stream_limits *limits)
{
    return (limits->open_wait == SP_OPEN_WAIT_REFUSED && !sp_stream_limits_has_room(limits)) ||
           limits->local_opened > limits->local_max;
}

static bool is_blocked(const struct sp_conn *conn)
{
    return !sb_list_is_empty(&conn->credit_list) || !sb_list_is_empty(&conn->blocked_list) ||
           is_short_of_streams(&conn->limits[false]) || is_short_of_streams(&conn->limits[true]);
}

/* Returns whether a client should show where it is: it has heard from the server, expects more, and
 * has sent nothing since that would be answered.  Its NAT may have forgotten it meanwhile.  The
 * server would then send to nobody, and the client would not know. */
static bool is_hidden(const struct sp_conn *conn)
{
    return conn->is_hidden && conn->streams.count > 0 && !sp_conn_is_server(conn);
}

/* Its last bytes are random also where others have a meaning for load balancers. */
static uint16_t phase_of(const struct sp_conn *conn)
{
    const struct sp_cid *cid = &conn->original_dcid;
    if (cid->size < 2)
        return 0;
    uint32_t phase = (uint32_t)cid->bytes[cid->size - 2] << 8 | cid->bytes[cid->size - 1];
    return (uint16_t)phase;
}

/* The last power of two that is not above `ns`, and at most SP_COARSE_NS. */
static uint64_t grain_within(uint64_t ns)
{
    return ns >= SP_COARSE_NS ? SP_COARSE_NS : UINT64_C(1) << (63 - __builtin_clzll(ns | 1));
}

/* Returns one of 256 numbers that looks like a random one, also to those with the same `from_ns`
 * and the same result before.  (The finalizer of Stafford's Mix13.) */
static uint32_t share_of(uint64_t from_ns, uint16_t phase)
{
    uint64_t x = from_ns / SP_COARSE_NS << 16 | phase;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(x >> 56);
}

uint64_t sp_conn_alive_at_ns(uint64_t from_ns, uint64_t quiet_ns, uint16_t phase)
{
    if (quiet_ns > SB_NEVER - from_ns)
        return SB_NEVER;
    uint64_t part_ns = quiet_ns / EARLY_PARTS;
    uint64_t due_ns = from_ns + quiet_ns - part_ns / 256 * share_of(from_ns, phase);
    return sb_time_floor(due_ns, grain_within(part_ns));
}

uint64_t sp_conn_alive_deadline_ns(const struct sp_conn *conn)
{
    if (conn->state != SP_CONN_OPEN || conn->handshake_state < SP_HANDSHAKE_COMPLETE ||
        conn->loss.app.sent.eliciting_count > 0)
        return SB_NEVER;
    uint64_t keep_ns = conn->config->keep_alive_ns;
    bool is_waiting = conn->idle_timeout_ns != 0 && is_blocked(conn);
    if (keep_ns == 0 && !is_waiting && !is_hidden(conn))
        return SB_NEVER;

    uint64_t from_ns = SB_MAX(conn->idle_from_ns, conn->alive_from_ns);
    uint64_t pto_ns = sp_loss_pto_ns(&conn->loss);
    uint64_t due_ns = is_hidden(conn) ? sb_time_add(from_ns, HIDDEN_PTOS * pto_ns) : SB_NEVER;
    if (keep_ns == 0 && !is_waiting)
        return due_ns;
    uint64_t quiet_ns = keep_ns == 0 ? SB_NEVER : keep_ns;
    if (conn->idle_timeout_ns != 0)
        quiet_ns = SB_MIN(quiet_ns, SB_MAX(conn->idle_timeout_ns / PER_IDLE_TIMEOUT, pto_ns));
    return sb_time_min(due_ns, sp_conn_alive_at_ns(from_ns, quiet_ns, phase_of(conn)));
}

/* Makes a *_BLOCKED frame due again, as if it was lost. */
static void say_again(enum sp_blocked *blocked)
{
    *blocked = sp_blocked_next(*blocked, SP_BLOCKED_ON_LOST);
    *blocked = sp_blocked_next(*blocked, SP_BLOCKED_ON_BLOCK);
}

void sp_conn_stay_alive(struct sp_conn *conn, uint64_t now_ns)
{
    conn->alive_from_ns = now_ns;
    if (!is_blocked(conn)) {
        conn->app.probe_count = 1;
        return;
    }
    if (!sb_list_is_empty(&conn->credit_list))
        say_again(&conn->data_blocked);
    for (uint32_t i = 0; i < 2; i++)
        if (is_short_of_streams(&conn->limits[i]))
            say_again(&conn->limits[i].blocked);
    for (uint32_t i = 0; i < SP_BLOCKED_RESENDS_MAX; i++) {
        struct sb_link *link = sb_list_pop_front(&conn->blocked_list);
        if (link == NULL)
            return;
        /* To the end: the next round begins with others. */
        sb_list_push_back(&conn->blocked_list, link);
        struct sp_stream *stream = SB_CONTAINER_OF(link, struct sp_stream, send_link);
        sp_conn_stream_add_control(conn, stream, SP_CONTROL_BLOCKED);
    }
}

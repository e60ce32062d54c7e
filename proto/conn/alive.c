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
 * sends others. */

#include "proto/base/time.h"
#include "proto/conn/streams.h"

/* Silence after which a client that expects more shows where it is. */
#define HIDDEN_PTOS 3

/* Signs of life per idle timeout: one or two of them may get lost. */
#define PER_IDLE_TIMEOUT 3

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

uint64_t sp_conn_alive_deadline_ns(const struct sp_conn *conn)
{
    if (conn->state != SP_CONN_OPEN || conn->handshake_state < SP_HANDSHAKE_COMPLETE ||
        conn->loss.app.sent.eliciting_count > 0)
        return SB_NEVER;
    uint64_t keep_ns = conn->config->keep_alive_ns;
    bool is_waiting = conn->idle_timeout_ns != 0 && is_blocked(conn);
    if (keep_ns == 0 && !is_waiting && !is_hidden(conn))
        return SB_NEVER;

    uint64_t quiet_ns = keep_ns == 0 ? SB_NEVER : keep_ns;
    if (is_hidden(conn))
        quiet_ns = SB_MIN(quiet_ns, HIDDEN_PTOS * sp_loss_pto_ns(&conn->loss));
    if (conn->idle_timeout_ns != 0 && (keep_ns != 0 || is_waiting))
        quiet_ns = SB_MIN(quiet_ns, SB_MAX(conn->idle_timeout_ns / PER_IDLE_TIMEOUT,
                                           sp_loss_pto_ns(&conn->loss)));
    return sb_time_add(SB_MAX(conn->idle_from_ns, conn->alive_from_ns), quiet_ns);
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

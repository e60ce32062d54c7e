/* SPDX-License-Identifier: MIT */
/* Liveness: whoever sends nothing has a reason, and something will end it.
 *
 * The reason is the connection's own.  Whether its timer is armed is seen at the host.  Whether
 * its event can come is seen from above: at the peer, at the datagrams under way, and at what
 * the applications still owe. */

#include "test/sim/oracle_wait.h"

#include <inttypes.h>

#include "proto/base/time.h"
#include "proto/conn/impl.h"
#include "test/sim/host.h"

/* On a path that is not proven the challenges have timers, and end the wait one way or the other.
 */
static bool has_armed(const struct sp_conn *conn)
{
    return sp_loss_deadline_ns(&conn->loss) != SB_NEVER ||
           (!conn->path->is_valid && conn->paths_at_ns != SB_NEVER);
}

/* The other side's connection; NULL if it is gone or closed: then the idle timeout decides. */
static const struct qs_end *live_peer(const struct qs_end *end)
{
    const struct qs_end *peer = qs_host_end_of(end->host->peer, end->conn_index);
    bool lives =
        peer != NULL && peer->conn != NULL && !end->is_stray && !sp_conn_is_closed(peer->conn);
    return lives ? peer : NULL;
}

/* Datagrams are between the two hosts, or arrived and not read: they will cause steps. */
static bool is_something_under_way(const struct qs_host *host)
{
    return host->out->under_way_count > 0 || host->peer->out->under_way_count > 0 ||
           host->arrived_count > 0 || host->peer->arrived_count > 0;
}

/* The host of `end` will have it step without anything that comes from outside. */
static bool will_step(const struct qs_end *end)
{
    return end->must_wake || end->inbox_count > 0 || end->has_received || end->waits_for_tls ||
           end->host->clock->now_ns < end->full_until_ns;
}

/* When a train of now would depart: it does not overtake those that the host holds. */
static uint64_t send_time(const struct qs_end *end)
{
    return SB_MAX(end->host->clock->now_ns, end->depart_ns);
}

/* It waits for a time at which it sends by itself, for the pacer say.  The timers of the other
 * waits are those of conn/alive.h. */
static bool will_send(const struct qs_end *end)
{
    struct sp_send_wait wait = sp_conn_send_wait(end->conn, SP_TRAIN_COUNT_MAX, send_time(end));
    bool is_quiet = wait.reason == SP_WAIT_IDLE || wait.reason == SP_WAIT_CONN_CREDIT ||
                    wait.reason == SP_WAIT_STREAM_CREDIT;
    return !is_quiet && wait.at_ns != SB_NEVER;
}

/* Sooner or later the peer sends something: a timer of it is armed, or it is about to step. */
static bool will_hear(const struct qs_end *end)
{
    const struct qs_end *peer = live_peer(end);
    return peer == NULL || is_something_under_way(end->host) || will_step(peer) ||
           has_armed(peer->conn) || will_send(peer);
}

/* .. or the answer for which TLS waits comes, and with it the keys of packets that are kept. */
static bool will_proceed(const struct qs_end *end)
{
    return end->waits_for_tls || will_hear(end);
}

/* The application will give credit by itself: it reads slowly, or is about to lend memory.  Without
 * memory it cannot lend any more, which is its own affair. */
static bool owes_credit(const struct qs_app *app)
{
    if (app->unread > 0)
        return true;
    uint64_t id = QS_STREAM_FIRST;
    const struct qs_stream *stream;
    while ((stream = qs_stream_table_next(&app->streams, &id)) != NULL) {
        bool lacks = app->plan->may_lack_memory && stream->has_lent && stream->target_count == 0;
        if (stream->is_lending_again || lacks)
            return true;
    }
    return false;
}

/* More credit is on its way, or the peer is yet to send it. */
static bool will_get_credit(const struct qs_end *end)
{
    const struct qs_end *peer = live_peer(end);
    return will_proceed(end) || has_armed(end->conn) || owes_credit(&peer->app);
}

/* While it waits for credit, the idle timeout does not end it: packets are in flight, or it says
 * again in time that it is blocked.  [RFC9000 4.1] */
static bool stays_alive(const struct qs_end *end, const struct sp_send_wait *wait)
{
    const struct sp_conn *conn = end->conn;
    return conn->idle_timeout_ns == 0 || conn->handshake_state < SP_HANDSHAKE_CONFIRMED ||
           has_armed(conn) || wait->at_ns <= sb_time_add(conn->idle_from_ns, conn->idle_timeout_ns);
}

/* Streams of rejected 0-RTT wait for MAX_STREAMS. */
static bool is_held(const struct sp_conn *conn)
{
    return conn->limits[false].local_opened > conn->limits[false].local_max ||
           conn->limits[true].local_opened > conn->limits[true].local_max;
}

/* Bytes that were written and not acknowledged must be on their way, or nobody remembers them. */
static bool has_forgotten(const struct qs_end *end)
{
    const struct sp_conn *conn = end->conn;
    return !is_held(conn) && end->app.lent_out + end->app.messages_out > 0 && !has_armed(conn) &&
           conn->handshake_state >= SP_HANDSHAKE_CONFIRMED;
}

static bool can_end(const struct qs_end *end, const struct sp_send_wait *wait)
{
    const struct sp_conn *conn = end->conn;
    switch (wait->reason) {
    case SP_WAIT_NONE:
        return false;
    case SP_WAIT_CWND:
    case SP_WAIT_TRAIN:
        return conn->loss.path->cc.in_flight_bytes > 0 &&
               (wait->at_ns != SB_NEVER ||
                (conn->handshake_state < SP_HANDSHAKE_CONFIRMED && will_proceed(end)));
    case SP_WAIT_ENDING:
    case SP_WAIT_PACER:
    case SP_WAIT_ACK_DELAY:
    case SP_WAIT_MEMORY:
        return wait->at_ns != SB_NEVER;
    case SP_WAIT_AMPLIFICATION:
        return sp_conn_is_server(conn) && !conn->path->is_valid &&
               (wait->at_ns != SB_NEVER || will_hear(end));
    case SP_WAIT_CONN_CREDIT:
    case SP_WAIT_STREAM_CREDIT:
        return will_get_credit(end) && stays_alive(end, wait);
    case SP_WAIT_KEY:
        /* A client's timer is armed as long as its server may be held back.  [RFC9002 6.2.2.1] */
        return conn->handshake_state < SP_HANDSHAKE_COMPLETE &&
               (will_proceed(end) || (!sp_conn_is_server(conn) && has_armed(conn)));
    case SP_WAIT_EXHAUSTED:
        return conn->handshake_state < SP_HANDSHAKE_CONFIRMED;
    case SP_WAIT_IDLE:
        return !has_forgotten(end);
    case SP_WAIT_HELD:
        return false; /* no host of the simulator has a limit */
    case SP_WAIT_CLOSED:
        return true;
    }
    return false;
}

/* The connection asks in time, and its host has heard that. */
static bool is_timer_armed(const struct qs_end *end, uint64_t at_ns)
{
    if (at_ns == SB_NEVER)
        return true;
    if (sp_conn_deadline_ns(end->conn) > at_ns)
        return false;
    uint64_t now_ns = end->host->clock->now_ns;
    uint64_t until_ns = sb_time_add(SB_MAX(at_ns, now_ns), end->host->side->timer_slack_ns_max);
    return end->timer_ns >= now_ns && end->timer_ns <= until_ns;
}

static void judge(const struct qs_end *end)
{
    struct qs_trace *trace = end->host->trace;
    const struct sp_send_wait *wait = &end->wait;
    if (!can_end(end, wait))
        qs_fail(trace, "%s waits for ever: %s", end->who, sp_wait_name(wait->reason));
    else if (!is_timer_armed(end, wait->at_ns))
        qs_fail(trace, "%s waits without a timer: %s, for %" PRIu64 " us", end->who,
                sp_wait_name(wait->reason),
                sb_time_since(wait->at_ns, trace->clock->now_ns) / SB_US);
    else if (!is_timer_armed(end, sp_conn_deadline_ns(end->conn)))
        qs_fail(trace, "%s has no timer for its deadline", end->who);
}

void qs_oracle_check_wait(struct qs_end *end)
{
    enum sp_wait before = end->wait.reason;
    end->wait = sp_conn_send_wait(end->conn, end->last_train_count, send_time(end));
    if (end->wait.reason != before)
        qs_note(end->host->trace, "%s waits: %s", end->who, sp_wait_name(end->wait.reason));
    judge(end);
}

void qs_oracle_check_waits(struct qs_host *host)
{
    for (uint32_t i = 0; i < host->end_count && !host->trace->has_failed; i++) {
        const struct qs_end *end = host->ends[i];
        bool is_full = host->clock->now_ns <= end->full_until_ns; /* or was until now */
        if (end->conn != NULL && !will_step(end) && !is_full)
            judge(end);
    }
}

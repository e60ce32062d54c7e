/* SPDX-License-Identifier: MIT */
#include "engine/conn/waits.h"

/* Why a connection was waiting: each moment of its life belongs to one reason.
 *
 * sp_conn_send_wait() knows why proto/ sends nothing.  The shard knows three reasons more: the
 * connection's turn has not come, no transmit slot is free, and the host's limits hold it back. The
 * reason changes when the connection gets something to do (it waits for its shard then), and when
 * the shard has served it.  Both happen once per turn at most, and cost some nanoseconds. */

#include "engine/conn/conn.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

enum spate_wait se_waits_kind_of(enum sp_wait reason, bool has_slices)
{
    if (has_slices && (reason == SP_WAIT_IDLE || reason == SP_WAIT_ACK_DELAY))
        return SPATE_WAIT_APPLICATION;
    switch (reason) { /* constants alone: gcc makes a table of them */
    case SP_WAIT_NONE:
        return SPATE_WAIT_SHARD;
    case SP_WAIT_IDLE:
        return SPATE_WAIT_IDLE;
    case SP_WAIT_ACK_DELAY:
        return SPATE_WAIT_ACK_DELAY;
    case SP_WAIT_CWND:
    case SP_WAIT_TRAIN:
        return SPATE_WAIT_CWND;
    case SP_WAIT_PACER:
        return SPATE_WAIT_PACER;
    case SP_WAIT_HELD:
        return SPATE_WAIT_LIMIT;
    case SP_WAIT_AMPLIFICATION:
        return SPATE_WAIT_AMPLIFICATION;
    case SP_WAIT_CONN_CREDIT:
        return SPATE_WAIT_CONN_CREDIT;
    case SP_WAIT_STREAM_CREDIT:
        return SPATE_WAIT_STREAM_CREDIT;
    case SP_WAIT_KEY:
    case SP_WAIT_EXHAUSTED:
        return SPATE_WAIT_KEY;
    case SP_WAIT_MEMORY:
        return SPATE_WAIT_MEMORY;
    case SP_WAIT_ENDING:
    case SP_WAIT_CLOSED:
        return SPATE_WAIT_CLOSED;
    }
    return SPATE_WAIT_SHARD;
}

void se_waits_look(struct spate_conn *conn)
{
    if (!SB_HAS_INSTRUMENT(WAITS))
        return;
    uint64_t now_ns = conn->shard->now_ns;
    enum sp_wait reason = sp_conn_last_wait(conn->proto, SB_MAX(now_ns, conn->depart.last_ns));
    se_waits_set(&conn->waits, se_waits_kind_of(reason, conn->waits.held_bytes > 0), now_ns);
}

void se_conn_record_now(struct spate_conn *conn)
{
    conn->qlog->now_ns = SB_MAX(conn->qlog->now_ns, conn->shard->now_ns);
}

void se_waits_hold_back(struct spate_conn *conn, enum spate_wait wait)
{
    uint64_t now_ns = conn->shard->now_ns;
    se_waits_set(&conn->waits, wait, now_ns);
    if (SB_LIKELY(conn->qlog == NULL))
        return;
    se_conn_record_now(conn);
    sp_qlog_wait(conn->qlog, SP_QLOG_WAIT_SCHEDULING);
}

void se_waits_give(const struct se_waits *waits, uint64_t now_ns, struct spate_conn_stats *stats)
{
    struct se_waits own = *waits;
    const uint64_t *total_ns = own.total_ns;
    se_waits_set(&own, own.now, now_ns);
#define GIVE_COUNTER(name)
#define GIVE_GAUGE(name)
#define GIVE_WAIT(name)  stats->name = *total_ns++;
#define GIVE(kind, name) GIVE_##kind(name)
    SPATE_CONN_STATS(GIVE)
    SB_ASSERT(total_ns == own.total_ns + SE_WAITS_KINDS);
    stats->waits_for = own.now;
    stats->held_bytes = own.held_bytes;
}

const char *spate_wait_name(enum spate_wait wait)
{
    static const char *const names[] = {
        [SPATE_WAIT_SHARD] = "shard",
        [SPATE_WAIT_IDLE] = "nothing to send",
        [SPATE_WAIT_APPLICATION] = "application",
        [SPATE_WAIT_ACK_DELAY] = "ACK delay",
        [SPATE_WAIT_CWND] = "congestion window",
        [SPATE_WAIT_PACER] = "pacer",
        [SPATE_WAIT_LIMIT] = "rate limit or flow group",
        [SPATE_WAIT_AMPLIFICATION] = "amplification limit",
        [SPATE_WAIT_CONN_CREDIT] = "connection credit",
        [SPATE_WAIT_STREAM_CREDIT] = "stream credit",
        [SPATE_WAIT_KEY] = "key",
        [SPATE_WAIT_MEMORY] = "memory",
        [SPATE_WAIT_SLOT] = "transmit slot",
        [SPATE_WAIT_CLOSED] = "closed",
    };
    return (uint32_t)wait < SE_WAITS_KINDS ? names[wait] : "unknown";
}

/* SPDX-License-Identifier: MIT */
#include "proto/conn/rest.h"

/* What an idle connection gives back: the expanded keys, the records of packets with nothing but an
 * ACK, and what TLS needs only for messages that a peer sends right after its handshake.
 *
 * All keys rest and wake together, so that the first packet takes as long with one key phase bit as
 * with the other.  [RFC9001 6.3, 9.5]
 *
 * The timer is lazy: activity does not move it.  When it comes, it looks when the last packet was,
 * so a connection in use has one timer more per second, and an idle one none.
 *
 * A keep-alive after a long silence is two packets, a PING and its ACK.  A connection that woke up
 * for them acknowledges at once and rests at once: its state is in the caches now, and a delayed
 * ACK and a timer for the rest would bring it there twice more.  (A peer with the extension
 * ack-frequency asks for the former.)  One that woke up for more waits for the timer, so that
 * packets that come one by one do not wake it one by one. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/memory.h"
#include "proto/conn/recovery.h"

#define KEEP_ALIVE_PACKETS 2 /* the PING and the ACK */

static uint64_t quiet_ns(const struct sp_conn *conn)
{
    return SB_MAX(SP_REST_AFTER_NS, 3 * sp_loss_pto_ns(&conn->loss));
}

/* Returns whether nothing but a packet of the peer, an operation of the application or a keep-alive
 * is to be expected.  Credit that is held back leaves as soon as there is memory. */
static bool is_idle(const struct sp_conn *conn)
{
    return conn->loss.app.sent.eliciting_count == 0 && conn->keys.read != NULL &&
           conn->keys.write != NULL && conn->keys.read_prev == NULL && !conn->app.ack.is_wanted &&
           conn->app.ack.deadline_ns == SB_NEVER &&
           !sp_crypto_stream_wants_send(&conn->app.crypto) && !sp_conn_is_credit_held(conn);
}

/* Packets since it woke up. */
static uint64_t packet_count(const struct sp_conn *conn)
{
    return conn->stats.packets_in + conn->stats.packets_out - conn->woken_packets;
}

static void rest(struct sp_conn *conn)
{
    SB_ASSERT(conn->handshake == NULL);
    sp_keyphase_rest(&conn->keys);
    sp_conn_free_frames(conn, sp_sent_rest(&conn->loss.app.sent));
    if (!sp_crypto_stream_has_gap(&conn->app.crypto))
        sp_reassembly_clear(&conn->app.crypto.in); /* the page of the last ticket */
    if (conn->tls != NULL)
        conn->tls_ops->rest(conn->tls);
    conn->rest_at_ns = SB_NEVER;
}

void sp_conn_rest_on_deadline(struct sp_conn *conn, uint64_t now_ns)
{
    if (conn->rest_at_ns > now_ns)
        return;
    uint64_t idle_at_ns = sb_time_add(conn->idle_from_ns, quiet_ns(conn));
    if (idle_at_ns > now_ns || !is_idle(conn)) {
        conn->rest_at_ns = SB_MAX(idle_at_ns, sb_time_add(now_ns, SP_REST_AFTER_NS));
        return;
    }
    rest(conn);
}

bool sp_conn_acks_roused(const struct sp_conn *conn)
{
    return packet_count(conn) == 1 && sb_list_is_empty(&conn->event_list) &&
           sb_list_is_empty(&conn->opened_list);
}

void sp_conn_rest_roused(struct sp_conn *conn)
{
    if (packet_count(conn) < KEEP_ALIVE_PACKETS)
        return;
    conn->is_roused = false;
    if (packet_count(conn) == KEEP_ALIVE_PACKETS && is_idle(conn))
        rest(conn);
}

bool sp_conn_wake(struct sp_conn *conn, uint64_t now_ns)
{
    SB_ASSERT(conn->keys.is_resting);
    if (!sp_keyphase_wake(&conn->keys)) {
        sp_conn_note_shortage(conn, SP_SHORT_OF_KEYS, now_ns);
        return false;
    }
    sp_conn_end_shortage(conn, SP_SHORT_OF_KEYS);
    if (SB_UNLIKELY(conn->holds_credit))
        sp_conn_decide_credit(conn); /* what was decided before the rest is old */
    conn->is_roused = sb_time_since(now_ns, conn->idle_from_ns) >= quiet_ns(conn);
    conn->woken_packets = conn->stats.packets_in + conn->stats.packets_out;
    /* What woke it may be all, such as a keep-alive and its ACK: then it rests at a coarse time.
     * The ACK has a grain of time to come. */
    conn->rest_at_ns =
        sb_time_ceil(sb_time_add(now_ns, SP_REST_AFTER_NS + SP_COARSE_NS), SP_COARSE_NS);
    return true;
}

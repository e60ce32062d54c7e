/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_ACCOUNT_H
#define SP_CONN_ACCOUNT_H

#include "proto/conn/impl.h"

/* What a connection counts when packets leave, however they were built: conn/send.c accounts for
 * one packet, conn/run.c for all of a run at once.  The records for loss recovery are made
 * elsewhere. */

struct sp_account {
    enum sp_space space;
    enum sp_ecn ecn;
    uint32_t count; /* packets */
    bool is_eliciting;
};

/* Counts packets that leave now. */
static inline void sp_conn_account(struct sp_conn *conn, const struct sp_account *what,
                                   uint64_t now_ns)
{
    struct sp_loss_space *loss =
        what->space == SP_SPACE_APP ? &conn->loss.app : conn->loss.spaces[what->space];
    sp_ecn_on_sent(&conn->loss.path->ecn, &loss->ecn, what->ecn, what->count);
    conn->stats.packets_out += what->count;
    if (what->space == SP_SPACE_APP) {
        conn->keys.write_count += what->count;
        conn->acks_alone = what->is_eliciting ? 0 : conn->acks_alone + what->count;
    }
    if (!what->is_eliciting)
        return;
    struct sp_conn_space *s = conn->spaces[what->space];
    s->probe_count -= SB_MIN(s->probe_count, what->count);
    conn->is_hidden = false;
    /* [RFC9000 10.1] */
    if (!conn->sent_since_receive) {
        conn->sent_since_receive = true;
        conn->idle_from_ns = now_ns;
    }
}

/* Counts the bytes of `piece` as sent, in the connection and in its stream.  Returns false without
 * memory: the connection ends then. */
static inline bool sp_conn_account_bytes(struct sp_conn *conn, struct sp_stream *stream,
                                         const struct sp_send_piece *piece)
{
    conn->data_sent += piece->fresh;
    conn->stats.stream_bytes_out += piece->size;
    if (sp_stream_send_on_sent(&stream->send, piece))
        return true;
    conn->is_out_of_memory = true;
    return false;
}

/* Counts the datagrams of a finished train. */
static inline void sp_conn_account_train(struct sp_conn *conn, const struct sp_train *train)
{
    conn->stats.datagrams_out += train->count;
    conn->stats.bytes_out += train->size;
}

#endif

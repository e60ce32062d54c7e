/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_TRACE_H
#define SP_CONN_TRACE_H

#include "proto/base/probe.h"
#include "proto/conn/frames.h"
#include "proto/conn/impl.h"
#include "proto/packet/build.h"
#include "proto/wire/qlog.h"

/* What a connection records of itself, where its host asks for it: proto/wire/qlog.h; and the
 * probes of it: proto/base/probe.h.
 *
 * Packets are recorded where they are made, opened or dropped.  Everything else is seen by
 * comparison: whatever the host calls ends in sp_conn_trace_end(), which records what has changed
 * since the last time.  So the code that changes it needs no line for it, and a batch of ACKs gives
 * one record of metrics.
 *
 * Without a sink each of these functions is one branch that is never taken. */

/* The functions below, with a sink. */
void sp_conn_trace_changes(struct sp_conn *conn);
void sp_conn_trace_built(struct sp_conn *conn, struct sp_build *build);
void sp_conn_trace_opened(struct sp_conn *conn, const struct sp_packet *packet);
void sp_conn_trace_drop(struct sp_conn *conn, enum sp_packet_type type, size_t size,
                        enum sp_qlog_drop why);
void sp_conn_trace_close(struct sp_conn *conn);
void sp_conn_trace_train(struct sp_conn *conn, const struct sp_train *train);
void sp_conn_trace_datagrams(struct sp_conn *conn, const struct sp_datagram *datagrams,
                             uint32_t count);

/* A packet of a run: see conn/run.c. */
struct sp_trace_run {
    uint64_t pn;
    uint64_t size; /* bytes of the packet */
    uint64_t stream_id;
    uint64_t offset;
    uint64_t data_size;
};
void sp_conn_trace_run_built(struct sp_conn *conn, const struct sp_trace_run *packet);

/* Records the beginning. */
void sp_conn_trace_start(struct sp_conn *conn, uint64_t now_ns);

/* Records transport parameters, encoded as they were sent by `sender`. */
void sp_conn_trace_params(struct sp_conn *conn, enum sp_role sender, struct sb_bytes encoded);

/* Records a packet that was accepted and has no number.  [RFC9000 17.2.1, 17.2.5] */
void sp_conn_trace_retry(struct sp_conn *conn, const struct sp_header *header);
void sp_conn_trace_refusal(struct sp_conn *conn, const struct sp_header *header);

/* Records the limits of an earlier connection with which a client begins.  [RFC9000 7.4.1] */
void sp_conn_trace_restored(struct sp_conn *conn, const struct sp_tparams *remembered);

/* Records that a stream was opened, or is closed. */
void sp_conn_trace_a_stream(struct sp_conn *conn, uint64_t id, bool is_opened);

/* Records what a stream waits for from now on, if that has changed. */
void sp_conn_trace_a_wait(struct sp_conn *conn, struct sp_stream *stream);

/* Bytes that pass between the connection and the application. */
struct sp_trace_move {
    uint64_t stream_id; /* SP_QLOG_NONE: a message */
    uint64_t offset;
    uint64_t size;
    bool fin;
    bool is_received; /* they go to the application */
};
void sp_conn_trace_a_move(struct sp_conn *conn, const struct sp_trace_move *move);

/* Sets the time of what is recorded from now on. */
static inline void sp_conn_trace_begin(struct sp_conn *conn, uint64_t now_ns)
{
    if (SB_UNLIKELY(conn->qlog != NULL))
        conn->qlog->now_ns = now_ns;
}

/* sp_conn_receive() got datagrams. */
static inline void sp_conn_trace_receive(struct sp_conn *conn, const struct sp_datagram *datagrams,
                                         uint32_t count, uint64_t now_ns)
{
    sp_conn_trace_begin(conn, now_ns);
    if (SB_UNLIKELY(conn->qlog != NULL) && conn->qlog->has_datagrams)
        sp_conn_trace_datagrams(conn, datagrams, count);
}

/* Records what has changed since the last time. */
static inline void sp_conn_trace_end(struct sp_conn *conn)
{
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_changes(conn);
}

/* A packet is about to be sealed. */
static inline void sp_conn_trace_sent(struct sp_conn *conn, struct sp_build *build)
{
    SB_PROBE4(packet_sent, conn, build->space, build->pn, sp_build_size(build));
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_built(conn, build);
}

/* The same for a packet of a run, which was sealed. */
static inline void sp_conn_trace_run_packet(struct sp_conn *conn, const struct sp_trace_run *packet)
{
    SB_PROBE4(packet_sent, conn, SP_SPACE_APP, packet->pn, packet->size);
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_run_built(conn, packet);
}

/* A packet was opened; its frames were not handled yet. */
static inline void sp_conn_trace_received(struct sp_conn *conn, const struct sp_packet *packet)
{
    SB_PROBE4(packet_received, conn, packet->space, packet->pn, packet->size);
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_opened(conn, packet);
}

/* Counts a packet that is dropped.  `type`: SP_PACKET_UNKNOWN_VERSION where it is not known. */
static inline void sp_conn_drop_packet(struct sp_conn *conn, enum sp_packet_type type, size_t size,
                                       enum sp_qlog_drop why)
{
    conn->stats.packets_dropped++;
    SB_PROBE4(packet_dropped, conn, type, size, why);
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_drop(conn, type, size, why);
}

/* A packet waits for its keys. */
static inline void sp_conn_trace_buffered(struct sp_conn *conn, enum sp_packet_type type,
                                          size_t size)
{
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_qlog_numbers(conn->qlog, SP_QLOG_BUFFERED, (uint64_t[]){type, size}, 2);
}

/* The connection has ended: conn->close says why. */
static inline void sp_conn_trace_closed(struct sp_conn *conn, uint64_t now_ns)
{
    SB_PROBE4(conn_closed, conn, conn->close.kind, conn->close.is_local, conn->close.error);
    sp_conn_trace_begin(conn, now_ns);
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_close(conn);
}

static inline void sp_conn_trace_stream(struct sp_conn *conn, uint64_t id, bool is_opened)
{
    if (is_opened)
        SB_PROBE2(stream_opened, conn, id);
    else
        SB_PROBE2(stream_closed, conn, id);
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_a_stream(conn, id, is_opened);
}

/* What a stream has to send may have changed, or whether it may. */
static inline void sp_conn_trace_stream_wait(struct sp_conn *conn, struct sp_stream *stream)
{
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_a_wait(conn, stream);
}

/* Bytes of a stream are the connection's to send. */
static inline void sp_conn_trace_queued(struct sp_conn *conn, const struct sp_stream *stream,
                                        uint64_t size, bool fin)
{
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_a_move(conn, &(struct sp_trace_move){.stream_id = stream->id,
                                                           .offset = stream->send.queued_end - size,
                                                           .size = size,
                                                           .fin = fin});
}

/* Received bytes of a stream are the application's. */
static inline void sp_conn_trace_handed(struct sp_conn *conn, const struct sp_stream *stream,
                                        uint64_t offset, uint64_t size, bool fin)
{
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_a_move(conn, &(struct sp_trace_move){.stream_id = stream->id,
                                                           .offset = offset,
                                                           .size = size,
                                                           .fin = fin,
                                                           .is_received = true});
}

static inline void sp_conn_trace_message(struct sp_conn *conn, uint64_t size, bool is_received)
{
    if (SB_UNLIKELY(conn->qlog != NULL))
        sp_conn_trace_a_move(conn, &(struct sp_trace_move){.stream_id = SP_QLOG_NONE,
                                                           .size = size,
                                                           .is_received = is_received});
}

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SPATE_QLOG_H
#define SPATE_QLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* qlog: what happens in connections, packet by packet, for qvis and other viewers
 * [draft-ietf-quic-qlog-main-schema, draft-ietf-quic-qlog-quic-events].
 *
 * Set `qlog` in struct spate_config.  Each recorded connection gets a file in `dir`, named
 * GROUP_client.sqlog or GROUP_server.sqlog: GROUP is the client's first destination connection ID
 * in hexadecimal digits, which both sides know.  A file is a sequence of JSON texts [RFC7464].  It
 * has no payload and no secrets, but addresses, connection IDs and the reasons of closes.  Of the
 * draft's events it lacks: server_listening and udp_datagram_dropped, which are of no connection;
 * frames_created and frames_parsed, because packets have their frames; marked_for_retransmit, which
 * packet_lost implies; and datagram_data_blocked_updated, which is that of the connection.
 *
 * Shards write short records into a ring each; a thread of the engine, "spate/qlog", makes text of
 * them every 10 ms.  Nothing waits for it: when the ring is full, records are dropped, and counted
 * by qlog_dropped and by an event in the file.  Connections that are not recorded, and engines
 * without qlog, pay branches that are not taken.  The thread needs a CPU: where shards keep all of
 * them busy, it takes its share of theirs.  On a machine of two CPUs that were busy otherwise a
 * recorded bulk transfer went at a third of its rate, so record a sample there.
 *
 * A server's connection gets its file when a ClientHello has begun, so that garbage makes no files.
 * A file that exists is never written to. */
struct spate_qlog {
    size_t size; /* sizeof(struct spate_qlog): spate_qlog_init() sets it */

    /* The folder of the files, which must exist; copied.  Default NULL, which must be changed. */
    const char *dir;
    /* Which peers are recorded: prefixes of addresses, such as "192.0.2.0/24,2001:db8::/32", at
     * most 16; copied.  Default NULL: all. */
    const char *peers;
    /* Records one of so many of these connections, drawn by chance.
     * Default 1; 1 to 1,000,000. */
    uint32_t one_in;
    /* Connections that are recorded at a time, of all shards together.  Further ones are not
     * recorded.  Each takes 128 KiB.  Default 64; 1 to 4,096. */
    uint32_t files_max;
    /* Bytes of each file.  At the limit an event says so, and the rest is left out.
     * Default 64 MiB; 64 KiB to 1 TiB. */
    uint64_t file_bytes_max;
    /* Bytes of all files of the engine together, those that are closed included.  At the limit
     * nothing more is written.  Default 1 GiB; 64 KiB to 64 TiB. */
    uint64_t bytes_max;
    /* Bytes of the ring of each shard, rounded up to a power of two; beside memory_bytes_max.
     * Default 1 MiB; 64 KiB to 1 GiB. */
    uint64_t ring_bytes;
    /* Record the datagrams of UDP too, beside the packets in them: their sizes and ECN marks, those
     * of a train in one event.  Default false. */
    bool udp_datagrams;
    uint8_t reserved[7]; /* no padding; ignored */
};

/* Fills in the first `size` bytes of the defaults.  For languages other than C and C++, whose
 * programs call spate_qlog_init().
 *
 *   qlog  At least `size` bytes, in any state.
 *   size  Bytes that the program knows: its sizeof(struct spate_qlog).
 *
 * Threads: any. */
SPATE_API void spate_qlog_init_sized(struct spate_qlog *qlog, size_t size);

/* Fills in the defaults.  It is inline, so that the size is the one that the program was compiled
 * with.
 *
 *   qlog  In any state; every field is overwritten.
 *
 * Threads: any. */
static inline void spate_qlog_init(struct spate_qlog *qlog)
{
    spate_qlog_init_sized(qlog, sizeof(*qlog));
}

#ifdef __cplusplus
}
#endif

#endif

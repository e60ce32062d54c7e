/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_FRAMES_H
#define SP_CONN_FRAMES_H

#include "proto/conn/impl.h"
#include "proto/wire/frame.h"

/* An opened packet whose frames are being handled. */
struct sp_packet {
    enum sp_packet_type type;
    enum sp_space space;
    uint64_t pn;
    const uint8_t *payload;
    size_t payload_size;
    size_t size; /* with its header and tag */
    const struct sp_datagram *datagram;
    struct sp_conn_path *path; /* by which it came; NULL: one that the connection does not follow */
    const struct sp_key *key;  /* which has opened it; 1-RTT packets only */
    const struct sp_frame_stream *lone; /* not NULL: its one frame; `payload` has the frame's head
                                           alone */
    struct sb_buffer *lone_buffer;      /* of its data; NULL: lent memory */
    bool continues;                     /* the lone frame of the packet before */
    bool is_eliciting;                  /* found out on the way */
    bool is_nonprobing;                 /* found out on the way: more than probes a path */
    uint32_t message_count;             /* messages that it has brought, and that were kept */
    bool has_crypto;                    /* bytes that TLS has not got yet */
    uint32_t ack_count;                 /* ACK frames so far */
    uint64_t ack_walk_max;              /* walk_count of sp_sent up to which more are handled */
    uint64_t frame_type;                /* the last one looked at: for CONNECTION_CLOSE */
};

/* Returns when the packet arrived.  One that waited for its keys is handled at `now_ns`, but that
 * wait is not the network's: neither a sample of the round trip nor the delay that an ACK reports
 * may miss it.  [RFC9000 13.2.5] */
static inline uint64_t sp_packet_arrived_ns(const struct sp_packet *packet, uint64_t now_ns)
{
    return sb_time_since(now_ns, packet->datagram->waited_ns);
}

/* Handles all frames of a packet.  Returns SP_OK, SP_DROP, or the error to close with. */
enum sp_err sp_conn_frames(struct sp_conn *conn, struct sp_packet *packet, uint64_t now_ns);

#endif

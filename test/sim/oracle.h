/* SPDX-License-Identifier: MIT */
#ifndef QS_ORACLE_H
#define QS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/conn/conn.h"
#include "proto/wire/frame.h"
#include "test/sim/plan.h"
#include "test/sim/stream_table.h"
#include "test/sim/trace.h"

/* Watches one connection from outside, through its packets in plaintext, its datagrams and its
 * statistics, and fails the run when it breaks a rule:
 *
 *   oracle.c        packet numbers, key phases, acknowledgements, frames
 *   oracle_flow.c   flow control, stream limits, final sizes, contents
 *   oracle_send.c   datagram sizes, amplification, congestion window
 *
 * (oracle_wait.c watches whole ends: see oracle_wait.h.)  It knows what this side has sent and what
 * it has received, not what is under way. */

enum { QS_SEALED_MAX = 512, QS_ACKS_MAX = 16 };

/* A packet of ours with an ACK frame. */
struct qs_sent_ack {
    uint64_t pn;
    uint64_t largest; /* that the frame reports */
};

struct qs_oracle_space {
    bool has_sent;
    uint64_t largest_sent;
    uint8_t *received;       /* a bit for each packet number that was opened */
    uint64_t received_count; /* bits that there is room for */
    uint64_t largest_acked;  /* largest of our numbers that the peer has acknowledged; or
                                SB_VARINT_NONE */
    uint64_t ack_floor;      /* packets below may be refused: the smallest in the last ACK, or above
                                the largest in one of which the peer knows [RFC9000 13.2.4] */
    struct qs_sent_ack acks[QS_ACKS_MAX]; /* the last ones, in a ring */
    uint64_t ack_count;
    bool owes_ack;          /* opened an ack-eliciting packet since the last ACK frame */
    uint64_t owes_since_ns; /* when the first of those was opened */
    uint64_t owes_delay_ns; /* how long its ACK may take */
    uint64_t at_once_ns; /* when an IMMEDIATE_ACK came since the last ACK frame; SB_NEVER: none */
    uint32_t lone_acks;  /* ACK-only packets since the last batch */
};

/* A packet of the train that is being made. */
struct qs_sealed {
    const uint8_t *at;
    size_t size; /* ciphertext and tag */
    enum sp_packet_type type;
    bool is_eliciting;
};

struct qs_oracle {
    struct qs_trace *trace;
    const char *who;
    enum sp_role role;
    const struct sp_config *config;
    const struct sp_config *peer;

    struct qs_oracle_space spaces[SP_SPACES];

    /* Key phases.  [RFC9001 6] */
    bool phase_sent;
    bool phase_received;        /* phase of the packet with the largest number so far */
    uint64_t phase_received_pn; /* the number of that packet */
    bool phase_is_acked;        /* a packet that was sent with the current phase */
    uint64_t phase_first_pn;
    /* ACK_FREQUENCY frames.  [ack-frequency 4] */
    uint64_t asked_end;       /* one more than the last sequence number sent */
    uint64_t wish_end;        /* .. and than the largest received */
    uint64_t wished_delay_ns; /* how long ACKs may take by now */
    uint64_t cids_sent;       /* a bit for each sequence number in our NEW_CONNECTION_IDs */
    uint64_t cids_received;   /* a bit for each sequence number in the peer's */

    /* Returns the bytes that the application has got and not given back: of a stream, or with
     * QS_STREAM_FIRST of all streams.  NULL: none. */
    uint64_t (*unread)(void *context, uint64_t id);
    void *unread_context;

    /* Flow control.  "limit": what the peer has allowed us, as far as we have heard.
     * "sent", "received": the sum of the largest offsets of all streams. */
    struct qs_stream_table streams;
    uint64_t conn_limit;
    uint64_t conn_sent;
    uint64_t conn_received;
    uint64_t open_limit[2]; /* streams that we may open: bidi, uni */
    uint64_t opened_by_peer[2];

    /* Amplification.  [RFC9000 8.1] */
    uint64_t bytes_in;
    uint64_t bytes_out;
    bool address_is_valid;
    bool is_path_limited; /* the path in use is not proven, or was not until now */

    struct qs_sealed sealed[QS_SEALED_MAX];
    uint32_t sealed_count;
    bool has_closed; /* sealed or opened a CONNECTION_CLOSE */

    struct sp_stats stats; /* before the train that is being made */
    uint64_t probe_bytes;  /* that may be sent above the congestion window */
    uint64_t probe_ns;     /* when a timeout has allowed them last */
};

void qs_oracle_init(struct qs_oracle *oracle, struct qs_trace *trace, const char *who,
                    const struct qs_plan *plan, enum sp_role role);
void qs_oracle_deinit(struct qs_oracle *oracle);

/* A packet was sealed or opened. */
void qs_oracle_packet(struct qs_oracle *oracle, const struct qs_packet *packet);

/* `bytes` of datagrams are about to be received as one batch. */
void qs_oracle_batch(struct qs_oracle *oracle, uint64_t bytes);

/* Everything was done that there was to do for now.  `late_ns`: how much later than asked
 * the host does things. */
void qs_oracle_check_acks(struct qs_oracle *oracle, uint64_t late_ns);

/* Around sp_conn_send(). */
void qs_oracle_before_send(struct qs_oracle *oracle, const struct sp_conn *conn);
void qs_oracle_after_send(struct qs_oracle *oracle, const struct sp_conn *conn,
                          const struct sp_train *train);

/* Checks a datagram that sp_conn_bury() has sealed and that may be sent later. */
void qs_oracle_check_shape(struct qs_oracle *oracle, const struct sp_train *train);
/* `size` bytes leave. */
void qs_oracle_check_bytes(struct qs_oracle *oracle, uint64_t size);

/* Client: the limits of the peer's `config` count from now on.  With `restarts` nothing of what was
 * sent before counts. */
void qs_oracle_on_limits(struct qs_oracle *oracle, const struct sp_config *config, bool restarts);

/* What the two are made of. */
void qs_oracle_note_stats(struct qs_oracle *oracle, const struct sp_stats *now);
void qs_oracle_check_train(struct qs_oracle *oracle, const struct sp_train *train);
void qs_oracle_check_window(struct qs_oracle *oracle, const struct sp_stats *now);

/* Frames of a packet, for oracle_flow.c. */
void qs_oracle_flow_sent(struct qs_oracle *oracle, const struct sp_frame *frame);
void qs_oracle_flow_received(struct qs_oracle *oracle, const struct sp_frame *frame);

/* Steps of a connection in a row after which its deadline had passed. */
struct qs_spins {
    uint32_t count;
    uint64_t asked_count;
};

/* Notes a step.  `is_due`: the deadline has passed, and the host will meet it once more.
 * `asked_count`: what the application has asked for with a deadline that had come already; for each
 * of that, the connection may want its deadline.  Returns false if it hangs. */
bool qs_spins_note(struct qs_spins *spins, bool is_due, uint64_t asked_count);

#endif

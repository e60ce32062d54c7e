/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_IMPL_H
#define SP_CONN_IMPL_H

#include "proto/base/time.h"
#include "proto/recovery/ack.h"
#include "proto/recovery/ack_request.h"
#include "proto/path/cid_local.h"
#include "proto/path/cid_remote.h"
#include "proto/conn/conn.h"
#include "proto/stream/crypto_stream.h"
#include "proto/packet/keyphase.h"
#include "proto/recovery/loss.h"
#include "proto/path/path.h"
#include "proto/stream/stream_limits.h"
#include "proto/stream/stream_map.h"
#include "proto/stream/window.h"
#include "proto/wire/tparam.h"

/* The internals of a connection: only for the files of proto/conn/.
 *
 * A file calls only files of lower layers; tools/tidy.py checks that.
 *
 *     9  conn.c           creation, destruction, queries
 *     8  receive.c        datagrams to packets to frames
 *     7  frames.c         the handling of each frame
 *        send.c           packets to datagrams to trains
 *     6  send_wait.c      why nothing is sent
 *     5  run.c            runs of packets with one stream's bytes
 *        timers.c         deadlines
 *     4  handshake.c      TLS, keys, transport parameters
 *        events.c         events for the application
 *        acks.h           when to acknowledge
 *        gate.h           the conditions of sending
 *     3  close.c          the end
 *        fill.c           the frames of one packet
 *        space.c          the end of a packet number space and of the handshake
 *        early.c          0-RTT
 *        rest.c           what an idle connection gives back
 *     2  recovery.c       acknowledged and lost frames
 *        alive.c          what keeps a quiet connection from its idle timeout
 *        fill_messages.c  DATAGRAM frames of one packet
 *        paths.c          which paths there are, which one is used
 *     1  streams.c        streams: operations, limits, flow control
 *        place.c          which packets are opened into the application's memory
 *        prefetch.c       what a visit to the connection will touch
 *        undecryptable.c  packets that came before their keys
 *        account.h        what is counted when packets leave
 *        memory.c         what the connection holds, and how a lack of memory ends
 *        header_bits.h    the fixed bit and the spin bit
 *        mtu.c            the size of datagrams
 *        path_cids.h      the CIDs of paths
 *        version.c        which version of QUIC it is
 *     0  messages.c       DATAGRAM frames: queued, reported, received
 *        schedule.c       which stream sends next
 *        tombstone.c      what is left of a closed connection
 *        trace.c          records for qlog
 */

enum sp_conn_state {
    SP_CONN_OPEN,     /* handshake included */
    SP_CONN_CLOSING,  /* we closed: answer with CONNECTION_CLOSE. [RFC9000 10.2.1] */
    SP_CONN_DRAINING, /* the peer closed: send nothing. [RFC9000 10.2.2] */
    SP_CONN_DRAINED,
};

/* The CONNECTION_CLOSE that a closing connection has to send.  [RFC9000 10.2.1] */
enum sp_close_packet {
    SP_CLOSE_PACKET_NONE,   /* none, until the peer sends again */
    SP_CLOSE_PACKET_FIRST,  /* the first: SP_EVENT_CLOSED waits until it has been handed out */
    SP_CLOSE_PACKET_ANSWER, /* a further one, because the peer still sends */
};

/* A packet number space with its keys.  The application space has its keys in
 * conn->keys instead. */
struct sp_conn_space {
    struct sp_key *read;
    struct sp_key *write;
    struct sp_ack ack;
    struct sp_crypto_stream crypto;
    uint32_t probe_count; /* packets to send regardless of congestion window and pacer */
    uint64_t probe_pn;    /* the next probe repeats packets in flight from this number on */
};

/* A packet that came before its keys.  [RFC9001 5.7] */
struct sp_undecryptable {
    struct sp_datagram datagram; /* of this one packet; holds a reference */
    enum sp_packet_type type;
    uint64_t arrived_ns;
};

/* What a connection needs for 0-RTT.  A client has it from its start until the handshake is
 * complete, and for ever if 0-RTT was rejected: no packet of it may be acknowledged then.  A server
 * has it from accepting 0-RTT until late packets of it are not to be expected any more. */
struct sp_early {
    struct sp_key *key; /* client: seals 0-RTT packets; server: opens them; NULL: discarded */
    uint32_t version;   /* of 0-RTT packets: of the client's first flight */
    struct sp_tparams remembered; /* client: the limits of 0-RTT packets */
    /* Client, if 0-RTT was accepted: the server's parameters, which 0-RTT packets do not use.
     * [RFC9000 7.4.1] */
    struct sp_tparams fresh;
    bool has_fresh;
    uint64_t pn_end;   /* client, after the rejection: packets with lower numbers were 0-RTT */
    uint64_t until_ns; /* server: when the key is discarded.  [RFC9001 4.9.3] */
};

/* What a connection that ended has to release still, in this order.  There may be much of it, so
 * sp_conn_unwind() works it off in parts. */
enum sp_unwind {
    SP_UNWIND_NOTHING, /* the connection is open, or all was released */
    SP_UNWIND_PACKETS, /* packets in flight */
    SP_UNWIND_STREAMS, /* bytes to send, and received bytes that nobody gets */
};

/* How far the handshake has come.  The order counts: each state includes those before it. */
enum sp_handshake_state {
    SP_HANDSHAKE_STARTED,       /* nothing came that deserves state: see the next */
    SP_HANDSHAKE_AUTHENTICATED, /* a packet of the peer was opened; server: a ClientHello began */
    SP_HANDSHAKE_COMPLETE,      /* TLS has verified the peer's Finished.  [RFC9001 4.1.1] */
    SP_HANDSHAKE_CONFIRMED,     /* both sides know that it is complete.  [RFC9001 4.1.2] */
};

/* The Initial keys of a version that is not the connection's own: see conn/version.c. */
struct sp_other_version {
    uint32_t version; /* 0: there are no keys */
    struct sp_key *read;
    struct sp_key *write;
};

/* What a connection needs for its handshake only, about half of its memory.  sp_conn_create() makes
 * it.  Once the handshake is confirmed, or the connection is over, sp_conn_end_handshake() frees
 * it: conn->handshake is NULL from then on, and so are the two spaces. */
struct sp_handshake {
    struct sp_conn_space spaces[SP_SPACE_APP]; /* Initial and Handshake */
    struct sp_loss_space loss[SP_SPACE_APP];   /* of the same spaces */
    struct sp_undecryptable undecryptable[SP_UNDECRYPTABLE_MAX];
    uint32_t undecryptable_count;
    bool has_peer_params;
    bool has_retry;
    bool server_cid_is_known; /* client: the server's first packet chose it */
    bool has_negotiated;      /* client: this is the attempt after a Version Negotiation packet */
    bool version_is_settled;  /* client: the server's CRYPTO frames have shown it */
    uint32_t first_version;   /* of the client's first flight */
    struct sp_versions versions; /* that the connection may have, the preferred one first */
    struct sp_other_version other;
    struct sp_cid keys_dcid; /* that the Initial keys were made from */
    struct sp_cid retry_scid;
    struct sp_preferred preferred; /* addresses of the server; client: once they are known */
    struct sp_cid original_dcid;   /* server: of the client's first Initial, before a Retry */
    struct sp_cid client_scid;     /* as the peer must confirm it */
    struct sp_cid server_scid;
    struct sb_slice token; /* client: of a Retry, in its datagram, or of a NEW_TOKEN in an earlier
                              connection, in a copy; holds a reference */
    uint64_t peer_udp_payload_size_max; /* of its transport parameters */
    uint64_t start_ns;
    uint32_t flight_resends; /* server: after a repeated ClientHello */
};

/* See conn/header_bits.h. */
struct sp_header_bits {
    uint32_t fixed;
    uint32_t random_fixed;
    uint32_t spin;
    uint32_t cid; /* index in remote_ids that `spin` belongs to */
    bool spins;   /* `spin` follows the peer's; otherwise it is random */
};

/* A CID or token that was announced to the caller. */
struct sp_announced {
    struct sp_cid cid; /* a token is a CID of 16 bytes here */
    bool is_used;
};

/* What SP_EVENT_PATH is to report. */
enum sp_path_event {
    SP_PATH_EVENT_PEER_MOVED = 1 << 0,
    SP_PATH_EVENT_MIGRATED = 1 << 1,
    SP_PATH_EVENT_FAILED = 1 << 2,
    SP_PATH_EVENT_PREFERRED = 1 << 3,
};

/* What can wait for memory: see conn/memory.c. */
enum sp_shortage {
    SP_SHORT_OF_RECORDS,
    SP_SHORT_OF_ROOM,
    SP_SHORT_OF_CREDIT,
    SP_SHORT_OF_KEYS, /* after a rest */
    SP_SHORTAGES
};

/* What the connection has taken from the pools that it shares. */
struct sp_stores {
    struct sb_store streams;
    struct sb_store chunks;
    struct sb_store ranges;
    struct sb_store packets;
    struct sb_store frames;
    struct sb_store acks;
};

struct sp_conn {
    enum sp_role role;
    enum sp_conn_state state;
    const struct sp_config *config;
    struct sp_pools *pools;
    struct sp_stores stores;
    struct sp_protect protect;
    const struct sp_tls_ops *tls_ops;
    struct sp_tls *tls;
    struct sp_host host;
    struct sp_qlog *qlog; /* borrowed; NULL: nothing is recorded.  loss.qlog is the same */

    /* Handshake. */
    enum sp_handshake_state handshake_state;
    uint32_t version; /* of QUIC, in our long headers */
    /* Frames of the connection that are to be sent: one word tells that there are none. */
    union {
        uint64_t wanted_frames;
        struct {
            bool wants_handshake_done;
            bool wants_new_token;
            bool wants_max_data; /* MAX_DATA */
        };
    };
    bool is_out_of_memory;          /* set where it occurs; sp_conn_check_memory() closes */
    struct sp_cid original_dcid;    /* client: its first; server: of the Initial that made this */
    struct sp_handshake *handshake; /* NULL after its end: see sp_conn_end_handshake() */
    struct sp_early *early;         /* NULL: none */
    enum sp_early_state early_state;
    uint32_t peer_ack_delay_exponent;

    /* Packets. */
    struct sp_conn_space *spaces[SP_SPACES]; /* NULL: discarded */
    struct sp_conn_space app;                /* spaces[SP_SPACE_APP] */
    struct sp_keyphase keys;
    struct sp_loss loss;
    uint64_t skip_at_pn; /* see sp_conn_skip_number(): the next train comes to it from here on */
    uint32_t skip_span;  /* the skipped number is one of so many; 0: none was chosen yet */
    struct sp_ack_request ack_request;
    struct sp_ack_lag ack_lag; /* of our ACKs in the application space */
    struct sp_ack_wish ack_wish;
    struct sp_conn_path *path;                /* in use; loss.path is a part of it */
    struct sp_conn_path *paths[SP_PATHS_MAX]; /* by index; NULL: none */
    struct sp_conn_path first_path;           /* a connection that never migrates needs no other */
    struct sp_header_bits bits;
    bool wants_path_probe;         /* of some path */
    bool peer_takes_reset_at;      /* it announced reset_stream_at, or did so for 0-RTT */
    bool peer_stays;               /* disable_active_migration: the peer does not want us to move */
    struct sp_conn_path *out_path; /* of the train that is made */
    uint32_t path_count;           /* of `paths` */
    uint32_t paths_made;           /* so far */
    uint64_t paths_at_ns;          /* when a validation has something to do */
    uint64_t nonprobing_pn;        /* the largest number of a packet with more than probes */
    struct sp_cid_local local_ids;
    struct sp_cid_remote remote_ids;
    struct sp_piece_store pieces;

    /* Streams. */
    struct sp_stream_map streams;
    struct sp_stream_limits limits[2]; /* [is_uni] */
    struct sb_link send_list;          /* streams that have something to send: schedule.h */
    struct sp_stream *served;          /* whose bytes are the last of the packet that was filled
                                          last; NULL: none.  For a run: not valid for longer */
    struct sb_link credit_list;        /* streams that wait for connection credit to send, or for
                                          others that got it first */
    struct sb_link blocked_list;       /* streams that wait for credit of their own to send */
    struct sb_link control_list;
    struct sb_link held_list;              /* streams whose MAX_STREAM_DATA is held back */
    struct sb_link opened_list;            /* made, but STREAM_OPENED not taken yet */
    struct sb_link event_list;             /* streams that may have further events */
    struct sb_link zombie_list;            /* closed; packets in flight or pieces name them */
    struct sp_window window;               /* receive window of the connection */
    uint64_t handed_bytes;                 /* in slices that the application has not returned */
    uint64_t peer_stream_data_bidi_local;  /* initial send limit, streams opened by the peer */
    uint64_t peer_stream_data_bidi_remote; /* initial send limit, bidirectional streams of ours */
    uint64_t peer_stream_data_uni;         /* initial send limit, unidirectional streams of ours */
    uint64_t max_data;                     /* send limit of the connection */
    uint64_t data_sent;                    /* bytes sent that count against max_data */
    enum sp_blocked data_blocked;          /* DATA_BLOCKED about max_data */

    /* Messages: DATAGRAM frames.  [RFC9221] */
    uint32_t peer_message_frame_max;  /* max_datagram_frame_size of the peer */
    struct sp_messages *messages;     /* NULL: there was none yet */
    struct sp_priorities *priorities; /* NULL: all streams have the one they began with */

    /* Timers. */
    uint64_t idle_from_ns;    /* last activity. [RFC9000 10.1] */
    uint64_t idle_timeout_ns; /* the smaller of both sides' */
    uint64_t alive_from_ns;   /* when sp_conn_stay_alive() acted last */
    uint64_t end_at_ns;       /* end of closing or draining */
    uint64_t retry_at_ns;     /* when sending is tried again after lacks_records or holds_credit */
    uint64_t rest_at_ns;      /* when it may rest; SB_NEVER: it rests, or is in its handshake */
    uint64_t woken_packets;   /* packets in and out when it woke up last */
    uint64_t discard_at_ns;   /* when the timer may free discarded pieces */
    uint64_t short_since_ns[SP_SHORTAGES]; /* since when something waits; SB_NEVER: it does not */
    size_t datagram_size; /* of datagrams that we send: path.pmtu.size, near what else is read */
    uint32_t acks_alone;  /* ACK-only packets since the last ack-eliciting one */
    uint32_t ahead_ns;    /* for so long the host may hold a train, of this path; 0: not at all */
    bool sent_since_receive;
    bool is_hidden;        /* no ack-eliciting packet was sent after the last one that came */
    bool is_pacer_blocked; /* the pacer alone prevents sending */
    bool is_held;          /* of the train that is made, or was made last */
    bool is_through;       /* the last train ended because there was nothing more to send */
    bool lacks_records;    /* missing memory for records alone prevents sending */
    bool is_roused;        /* woke up after a long silence, for two packets perhaps: see rest.c */
    bool holds_credit;     /* no more credit for the peer: see conn/memory.c */
    uint16_t room_count;   /* datagrams that the last train had room for; 0: none was asked for */

    /* The end. */
    struct sp_close close;
    enum sp_unwind unwind;
    uint32_t unwind_bucket;      /* of `streams`: those before it were released */
    uint64_t close_packets_in;   /* datagrams that came while closing */
    uint64_t close_answer_at;    /* value of close_packets_in at which the next answer is sent */
    uint64_t close_size_bytes;   /* of the last datagram that had a CONNECTION_CLOSE */
    uint64_t close_budget_bytes; /* that answers may still take. [RFC9000 10.2.1] */
    enum sp_close_packet close_packet;
    bool is_close_late;    /* the first one was unsent when the time to close was over */
    bool reports_received; /* events about what came before the end are still due */

    /* Events. */
    struct sp_announced announced_cids[SP_CIDS_MAX + 1];
    struct sp_announced announced_tokens[SP_CIDS_MAX];
    bool ids_changed;
    bool original_dcid_is_routed; /* server: packets to original_dcid still belong to us */
    /* Events of the connection that are rare: one word tells that there are none. */
    union {
        uint64_t rare_events;
        struct {
            bool resumption_pending; /* one of the four below may be */
            bool connected_pending;
            bool confirmed_pending;
            bool preferred_pending; /* client: conn->handshake stays until it is taken */
            bool tls_wait_pending;
            uint8_t path_events; /* enum sp_path_event: reported by SP_EVENT_PATH */
        };
    };
    bool early_pending;
    bool early_rejected_pending;
    bool ticket_pending; /* TLS may have tickets */
    bool closed_pending;
    bool drained_pending;
    struct sb_slice new_token; /* client: the newest that was not taken; holds a reference */

    struct sp_counters stats;
};

/* The first space that is not discarded; the others follow it. */
static inline enum sp_space sp_conn_first_space(const struct sp_conn *conn)
{
    return conn->spaces[SP_SPACE_INITIAL] != NULL     ? SP_SPACE_INITIAL
           : conn->spaces[SP_SPACE_HANDSHAKE] != NULL ? SP_SPACE_HANDSHAKE
                                                      : SP_SPACE_APP;
}

/* Returns the shortest delay of ACKs that we grant: 1 ms, as precise as timers are, but no more
 * than our longest.  [ack-frequency 3] */
static inline uint64_t sp_conn_min_ack_delay_us(const struct sp_conn *conn)
{
    return SB_MIN(conn->config->ack_delay_ns_max, SB_MS) / SB_US;
}

static inline bool sp_conn_is_server(const struct sp_conn *conn)
{
    return conn->role == SP_SERVER;
}

static inline enum sp_space sp_space_of_level(enum sp_level level)
{
    return level == SP_LEVEL_INITIAL     ? SP_SPACE_INITIAL
           : level == SP_LEVEL_HANDSHAKE ? SP_SPACE_HANDSHAKE
                                         : SP_SPACE_APP;
}

static inline struct sp_key *sp_conn_read_key(const struct sp_conn *conn, enum sp_space space)
{
    if (space == SP_SPACE_APP)
        return conn->keys.read;
    return conn->spaces[space] == NULL ? NULL : conn->spaces[space]->read;
}

static inline struct sp_key *sp_conn_write_key(const struct sp_conn *conn, enum sp_space space)
{
    if (space != SP_SPACE_APP)
        return conn->spaces[space] == NULL ? NULL : conn->spaces[space]->write;
    if (SB_LIKELY(conn->keys.write != NULL))
        return conn->keys.write;
    /* [RFC9001 4.6.2, 5.6] A client's 0-RTT packets, until it can send others. */
    return conn->early == NULL || sp_conn_is_server(conn) ? NULL : conn->early->key;
}

/* Returns whether packets of the application space are 0-RTT packets now. */
static inline bool sp_conn_sends_early(const struct sp_conn *conn)
{
    return conn->keys.write == NULL;
}

/* Returns whether streams may be opened and used. */
static inline bool sp_conn_has_streams(const struct sp_conn *conn)
{
    return conn->handshake_state >= SP_HANDSHAKE_COMPLETE ||
           conn->early_state == SP_EARLY_ACCEPTED ||
           (!sp_conn_is_server(conn) && conn->early_state != SP_EARLY_NONE);
}

#endif

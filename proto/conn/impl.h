/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_IMPL_H
#define SP_CONN_IMPL_H

#include "proto/recovery/ack.h"
#include "proto/path/cid_local.h"
#include "proto/path/cid_remote.h"
#include "proto/conn/conn.h"
#include "proto/stream/crypto_stream.h"
#include "proto/packet/keyphase.h"
#include "proto/recovery/loss.h"
#include "proto/path/path.h"
#include "proto/stream/stream_map.h"
#include "proto/wire/tparam.h"
#include "proto/stream/window.h"

/* The inside of a connection: for the files conn*.c, and nobody else.
 *
 *     conn.c            life, and what is asked of it
 *     conn/receive.c    datagrams to packets to frames
 *     conn/place.c      which of them are opened into the application's memory
 *     conn/frames.c     what each frame means
 *     conn/streams.c    streams: verbs, limits, flow control
 *     conn/fill.c       the frames of one packet
 *     conn/run.c        many packets of one stream's bytes
 *     conn/send.c       packets to datagrams to trains
 *     conn/recovery.c   what an acknowledgment or a loss means for what was sent
 *     conn/handshake.c  TLS, keys, transport parameters
 *     conn/timers.c     deadlines
 *     conn/close.c      the end
 *     conn/events.c     what is told
 */

enum sp_conn_state {
    SP_CONN_OPEN,     /* handshake included */
    SP_CONN_CLOSING,  /* we closed: answer with CONNECTION_CLOSE. [RFC9000 10.2.1] */
    SP_CONN_DRAINING, /* the peer closed: say nothing. [RFC9000 10.2.2] */
    SP_CONN_DRAINED,
};

/* A packet number space with its keys.  The application space has its keys in
 * conn->keys instead. */
struct sp_conn_space {
    struct sp_key *read;
    struct sp_key *write;
    struct sp_ack ack;
    struct sp_crypto_stream crypto;
    uint32_t probe_count; /* packets to send whatever the windows say */
    bool is_discarded;
};

/* A packet that came before its keys.  [RFC9001 5.7] */
struct sp_undecryptable {
    struct sp_datagram datagram; /* of this one packet; holds a reference */
    enum sp_space space;
};

/* Streams of one kind (bidirectional or unidirectional). */
struct sp_stream_limits {
    uint64_t local_opened;
    uint64_t local_max;     /* what the peer allows */
    uint64_t remote_opened; /* by the peer */
    uint64_t remote_closed;
    uint64_t remote_max;    /* what we have allowed */
    bool wants_max_streams; /* MAX_STREAMS is to be sent */
    bool wants_blocked;     /* STREAMS_BLOCKED is to be sent */
    uint64_t blocked_at;    /* the limit reported by it; UINT64_MAX: none */
    bool was_refused;       /* sp_conn_open() said AGAIN: tell when that changes */
    bool has_event;         /* .. it has */
};

/* A CID or token that the holder was told of. */
struct sp_announced {
    struct sp_cid cid; /* a token is a CID of 16 bytes here */
    bool is_used;
};

struct sp_conn {
    enum sp_role role;
    enum sp_conn_state state;
    const struct sp_config *config;
    struct sp_pools *pools;
    struct sp_protect protect;
    const struct sp_tls_ops *tls_ops;
    struct sp_tls *tls;
    struct sp_host host;
    void *user;

    /* Handshake. */
    bool is_authenticated;
    bool is_complete;  /* [RFC9001 4.1.1] */
    bool is_confirmed; /* [RFC9001 4.1.2] */
    bool has_peer_params;
    bool wants_handshake_done;
    bool has_retry;
    bool server_cid_is_known;    /* client: the server's first packet chose it */
    bool is_out_of_memory;       /* noted deep inside, acted upon at the border */
    struct sp_cid original_dcid; /* the client's first */
    struct sp_cid retry_scid;
    struct sp_cid client_scid; /* as the peer must confirm it */
    struct sp_cid server_scid;
    struct sp_tparams peer;
    struct sb_slice retry_token;
    uint8_t retry_token_bytes[256];

    /* Packets. */
    struct sp_conn_space spaces[SP_SPACES];
    struct sp_keyphase keys;
    struct sp_loss loss;
    struct sp_conn_path path;
    struct sp_cid_local local_ids;
    struct sp_cid_remote remote_ids;
    struct sp_undecryptable undecryptable[SP_UNDECRYPTABLE_MAX];
    uint32_t undecryptable_count;
    struct sp_piece_store pieces;

    /* Streams. */
    struct sp_stream_map streams;
    struct sp_stream_limits limits[2]; /* [is_uni] */
    struct sb_link send_list;          /* streams that have something to send */
    struct sb_link credit_list;        /* .. but wait for connection credit */
    struct sb_link control_list;
    struct sb_link opened_list; /* opened by the peer, not told yet */
    struct sb_link event_list;  /* told, with something more to tell */
    struct sb_link zombie_list; /* closed, but named by packets in flight */
    struct sp_window window;    /* what we give */
    uint64_t max_data;          /* what the peer gives */
    uint64_t data_sent;         /* of it used */
    uint64_t data_blocked_at;   /* the limit reported by DATA_BLOCKED; UINT64_MAX: none */
    bool wants_max_data;
    bool wants_data_blocked;

    /* Timers. */
    uint64_t start_ns;
    uint64_t idle_from_ns;    /* last activity. [RFC9000 10.1] */
    uint64_t idle_timeout_ns; /* the smaller of both sides' */
    bool sent_since_receive;
    uint64_t end_at_ns;    /* of closing or draining */
    bool is_pacer_blocked; /* something could leave if the pacer let it */
    uint32_t acks_alone;   /* packets with nothing but an ACK since the last eliciting one */
    size_t datagram_size;  /* that we send: 1200 until the handshake is complete */

    /* The end. */
    struct sp_close close;
    uint64_t close_packets_in; /* received while closing */
    uint64_t close_answer_at;  /* .. at which count the next answer leaves */
    bool has_close_to_send;
    bool tells_received; /* what came before the end is told still */

    /* Events. */
    struct sp_announced announced_cids[SP_CIDS_MAX + 1];
    struct sp_announced announced_tokens[SP_CIDS_MAX];
    bool ids_changed;
    bool original_dcid_is_routed; /* server: packets to it are ours still */
    bool connected_pending;
    bool confirmed_pending;
    bool closed_pending;
    bool drained_pending;

    struct sp_stats stats;
};

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
    return space == SP_SPACE_APP ? conn->keys.read : conn->spaces[space].read;
}

static inline struct sp_key *sp_conn_write_key(const struct sp_conn *conn, enum sp_space space)
{
    return space == SP_SPACE_APP ? conn->keys.write : conn->spaces[space].write;
}

/* An opened packet on its way through its frames. */
struct sp_packet {
    enum sp_packet_type type;
    enum sp_space space;
    uint64_t pn;
    const uint8_t *payload;
    size_t payload_size;
    const struct sp_datagram *datagram;
    const struct sp_frame_stream *placed; /* not NULL: its one frame, whose data is in lent memory;
                                             `payload` has the frame's head alone */
    bool is_eliciting;                    /* found out on the way */
    uint64_t frame_type;                  /* the last one looked at: for CONNECTION_CLOSE */
};

/* conn/frames.c: works off all frames.  SP_OK, SP_DROP, or the error to close with. */
enum sp_err sp_conn_frames(struct sp_conn *conn, struct sp_packet *packet, uint64_t now_ns);

/* conn/receive.c */
void sp_conn_receive_undecryptable(struct sp_conn *conn, uint64_t now_ns);
void sp_conn_drop_undecryptable(struct sp_conn *conn);

/* conn/place.c: chooses, among packets that are about to be opened with `key`, those that go into
 * lent memory.  They get a `body`, and their frame at the same index. */
void sp_conn_place(struct sp_conn *conn, struct sp_key *key, struct sp_open *opens, uint32_t count,
                   struct sp_frame_stream *ret_frames);

/* conn/streams.c */
void sp_conn_streams_init(struct sp_conn *conn);
void sp_conn_streams_deinit(struct sp_conn *conn);
/* Finds or opens the stream that a frame of the peer names.  `*ret` is NULL for one that is
 * closed: ignore the frame.  `for_send`: the frame concerns our sending part. */
enum sp_err sp_conn_stream_of_frame(struct sp_conn *conn, uint64_t id, bool for_send,
                                    struct sp_stream **ret);
void sp_conn_stream_schedule(struct sp_conn *conn, struct sp_stream *stream);
void sp_conn_stream_add_control(struct sp_conn *conn, struct sp_stream *stream, uint8_t control);
void sp_conn_stream_add_event(struct sp_conn *conn, struct sp_stream *stream);
/* Frees the stream if it is finished, told and forgotten. */
void sp_conn_stream_reap(struct sp_conn *conn, struct sp_stream *stream);
void sp_conn_discarded(struct sp_conn *conn, uint64_t bytes);
enum sp_err sp_conn_on_stream(struct sp_conn *conn, const struct sp_frame_stream *frame,
                              struct sb_buffer *buffer);
enum sp_err sp_conn_on_reset_stream(struct sp_conn *conn, uint64_t id, uint64_t error,
                                    uint64_t final_size);
enum sp_err sp_conn_on_stop_sending(struct sp_conn *conn, uint64_t id, uint64_t error);
enum sp_err sp_conn_on_max_stream_data(struct sp_conn *conn, uint64_t id, uint64_t limit);
void sp_conn_on_max_data(struct sp_conn *conn, uint64_t limit);
void sp_conn_on_max_streams(struct sp_conn *conn, bool is_uni, uint64_t limit);
/* The peer's limits became known. */
void sp_conn_streams_on_params(struct sp_conn *conn);

/* conn/recovery.c */
void sp_conn_on_outcome(struct sp_conn *conn, enum sp_space space,
                        const struct sp_loss_outcome *outcome);
void sp_conn_free_frames(struct sp_conn *conn, struct sp_sent_frame *frames);
/* Queues again what the oldest packets in flight of `space` carried. */
void sp_conn_retransmit_oldest(struct sp_conn *conn, enum sp_space space, uint32_t count);
void sp_conn_retransmit_all(struct sp_conn *conn, enum sp_space space,
                            struct sp_sent_frame *frames);

/* conn/fill.c */
struct sp_build;
/* Something beside ACKs waits to be sent in `space`. */
bool sp_conn_has_frames(const struct sp_conn *conn, enum sp_space space);
/* Fills a packet that has been begun.  `may_send`: the windows allow more than ACKs.  False,
 * and nothing has happened, if it would be empty. */
bool sp_conn_fill(struct sp_conn *conn, struct sp_build *build, bool may_send, uint64_t now_ns);

/* A control frame of the connection or of a stream waits. */
bool sp_conn_wants_control(const struct sp_conn *conn);

/* Adds an ACK of all that was received, if it fits. */
void sp_conn_fill_ack(struct sp_conn *conn, struct sp_build *build, uint64_t now_ns);

/* conn/run.c */
struct sp_mask_batch;
/* Adds full packets to the train that carry fresh bytes of the stream whose turn it is; none if
 * there is anything else to say. */
void sp_conn_send_run(struct sp_conn *conn, struct sp_train *train, struct sp_mask_batch *masks,
                      uint64_t now_ns);
/* True if it is better to send nothing now and a full train a little later. */
bool sp_conn_waits_for_train(struct sp_conn *conn, const struct sp_train *train, uint64_t now_ns);

/* conn/handshake.c */
bool sp_conn_start_tls(struct sp_conn *conn);
void sp_conn_advance_tls(struct sp_conn *conn, enum sp_level level, uint64_t now_ns);
void sp_conn_confirm(struct sp_conn *conn, uint64_t now_ns);
void sp_conn_discard_space(struct sp_conn *conn, enum sp_space space, uint64_t now_ns);
bool sp_conn_make_initial_keys(struct sp_conn *conn, const struct sp_cid *dcid);
void sp_conn_on_retry(struct sp_conn *conn, const uint8_t *data, const struct sp_header *header,
                      uint64_t now_ns);
void sp_conn_on_version_negotiation(struct sp_conn *conn, const struct sp_header *header,
                                    uint64_t now_ns);
void sp_conn_issue_cids(struct sp_conn *conn);

/* conn/close.c */
void sp_conn_fail(struct sp_conn *conn, enum sp_err error, uint64_t frame_type, const char *reason,
                  uint64_t now_ns);
/* Ends an open connection: the first reason wins.  `state`: how it goes on. */
void sp_conn_end(struct sp_conn *conn, const struct sp_close *close, enum sp_conn_state state,
                 uint64_t now_ns);
void sp_conn_set_drained(struct sp_conn *conn);
void sp_conn_on_peer_close(struct sp_conn *conn, const struct sp_frame_close *frame,
                           uint64_t now_ns);
void sp_conn_on_packet_while_closing(struct sp_conn *conn);
/* Acts upon `is_out_of_memory`. */
void sp_conn_check_memory(struct sp_conn *conn, uint64_t now_ns);

#endif
